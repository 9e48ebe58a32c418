"""The small experiment of evaluation is that of its baselines too."""

from tests.evaluation.conftest import experiment

__all__ = ["experiment"]
