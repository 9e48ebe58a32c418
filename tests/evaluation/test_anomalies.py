"""Where the time mean hides what changes: by the shares of it that the basis has measured."""

from types import SimpleNamespace

import numpy as np
import pytest

from sparsevq.basis.basis import Basis
from sparsevq.evaluation.anomalies import hidden_in_energy, hidden_in_pictures


def basis(mean: float, std: float, share: float) -> Basis:
    """Two points and one mode, of one channel: a mean and the deviation of the anomalies."""
    ones = np.ones((2, 1), dtype=np.float32)
    parts = {"modes": ones[None], "std": np.array([1.0]), "residual": 0 * ones, "weights": np.ones(2)}
    scale = np.array([std], dtype=np.float32)
    return Basis(mean=mean * ones, scale=scale, time_mean_share=np.array([share]), **parts)


@pytest.mark.parametrize(("share", "hidden"), [(0.0, False), (0.6, False), (0.7, True), (1.0, True)])
def test_pictures_are_of_anomalies_where_the_pattern_of_the_mean_has_two_thirds_of_the_variance(share, hidden):
    assert hidden_in_pictures(SimpleNamespace(time_mean_share=np.array([share]))).tolist() == [hidden]


@pytest.mark.parametrize(
    ("mean", "std", "hidden"), [(300, 1, True), (1, 0.3, False), (0, 1, False), (10.1, 1, True), (9.9, 1, False)]
)
def test_spectra_are_of_anomalies_where_the_mean_has_nearly_all_of_the_energy(mean, std, hidden):
    assert hidden_in_energy(basis(mean, std, 0)).tolist() == [hidden]
