"""Baselines that are trained: networks that forecast from the same readings, learned from the same flows."""
