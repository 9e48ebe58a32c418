"""Statistics by split: closed forms, and a split from another distribution is detected."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from sparsevq.data.field_data import FieldData
from sparsevq.evaluation import split_statistics as module
from sparsevq.evaluation.split_statistics import (
    conclusions,
    smallest_p,
    split_statistics,
    trajectory_statistics,
    write_split_statistics,
)
from tests.flows import travelling_waves


def plane_waves(trajectories=24, frames=6, grid=(8, 32), amplitudes=None, seed=0, **changes) -> FieldData:
    """sin(3 x + phase - w t) on a torus of length 2 pi: every statistic of it is known."""
    flow = travelling_waves(trajectories=trajectories, frames=frames, grid=grid, obstacle=False)
    rng = np.random.default_rng(seed)
    amplitudes = rng.uniform(1, 2, trajectories) if amplitudes is None else np.asarray(amplitudes)
    y, x = (2 * np.pi * np.arange(size) / size for size in grid)
    angle = 3 * x - 0.4 * np.arange(frames)[:, None] + rng.uniform(0, 2 * np.pi, (trajectories, 1, 1))
    fields = amplitudes[:, None, None] * np.sin(angle)
    fields = np.broadcast_to(fields[:, :, None, :, None], (trajectories, frames, *grid, 1)).astype(np.float32)
    split = np.array(["train"] * (trajectories - 8) + ["val"] * 2 + ["test"] * 6)
    values = {
        "fields": fields.copy(),
        "axes": {"y": y, "x": x},
        "periodic": ("y", "x"),
        "vector": {},
        "channels": ("w",),
        "units": ("m/s",),
        "mean": np.zeros(1),
        "std": np.ones(1),
        "split": split,
        "parameters": {"amplitude": amplitudes, "shape": np.array(["disc", "square"])[np.arange(trajectories) % 2]},
        "parameter_units": {"amplitude": "m/s", "shape": ""},
    }
    return dataclasses.replace(flow, **(values | changes))


def row(table: pd.DataFrame, split: str, name: str) -> dict:
    (found,) = table[(table["split"] == split) & (table["name"] == name)].to_dict("records")
    return found


def test_statistics_of_a_wave_are_those_of_the_closed_form():
    data = plane_waves(amplitudes=np.full(24, 2.0))
    train = row(split_statistics(data), "train", "w")
    assert (train["trajectories"], train["frames"], train["unit"]) == (16, 6, "m/s")
    assert train["mean"] == pytest.approx(0, abs=1e-6)
    assert train["std"] == pytest.approx(np.sqrt(2), rel=1e-5)
    # Differences of a wave: 2 sin(half the phase step) of its amplitude. Along y there is no change.
    assert train["space_step"] == pytest.approx(np.sqrt(2) * 2 * np.sin(3 * np.pi / 32) / np.sqrt(2), rel=1e-5)
    assert train["time_step"] == pytest.approx(np.sqrt(2) * 2 * np.sin(0.2), rel=1e-5)
    # The arcsine law
    assert train["p50"] == pytest.approx(0, abs=0.1)
    assert train["p99"] == pytest.approx(2 * np.sin(0.49 * np.pi), abs=0.02)
    assert -2 <= train["min"] < train["p1"] < train["p99"] < train["max"] <= 2


def test_a_seam_that_is_open_counts_no_difference():
    ramp = np.broadcast_to(np.arange(32.0)[:, None], (24, 6, 8, 32, 1)).astype(np.float32)
    open_, closed = (plane_waves(fields=ramp, periodic=axes) for axes in ((), ("x",)))
    assert row(split_statistics(open_), "train", "w")["space_step"] == pytest.approx(
        np.sqrt(8 * 31 / (8 * 31 + 7 * 32))
    )
    assert row(split_statistics(closed), "train", "w")["space_step"] > 2


@pytest.mark.parametrize("obstacle", [False, True])
def test_blocks_and_what_is_under_the_mask_change_nothing(monkeypatch, obstacle):
    flow = travelling_waves(trajectories=6, obstacle=obstacle)
    whole = split_statistics(flow)
    monkeypatch.setattr(module, "BLOCK", 1)  # one frame at a time
    fields = np.where(flow.mask[:, None, ..., None], flow.fields, np.nan).astype(np.float32)
    by_frame = split_statistics(dataclasses.replace(flow, fields=fields))
    pd.testing.assert_frame_equal(by_frame, whole, rtol=1e-6)


def test_means_are_those_that_normalise():
    flow = travelling_waves(trajectories=6)
    table = split_statistics(flow)
    for channel, mean, std in zip(flow.channels, flow.mean, flow.std, strict=True):
        assert row(table, "train", channel)["mean"] == pytest.approx(mean, rel=1e-4)
        assert row(table, "train", channel)["std"] == pytest.approx(std, rel=1e-4)


def test_the_poles_count_by_their_area():
    latitude = np.linspace(-88.75, 88.75, 72)
    data = plane_waves(
        grid=(72, 16),
        axes={"latitude": latitude, "longitude": np.arange(0, 360, 22.5)},
        axis_units={"latitude": "degrees_north", "longitude": "degrees_east"},
        periodic=("longitude",),
    )
    squared = np.sin(np.deg2rad(latitude))[:, None, None] ** 2  # its mean over the sphere is 1/3, over the grid 1/2
    data = dataclasses.replace(data, fields=np.broadcast_to(squared, data.fields.shape).astype(np.float32))
    train = row(split_statistics(data), "train", "w")
    assert train["mean"] == pytest.approx(1 / 3, rel=2e-3)
    assert train["p50"] == pytest.approx(1 / 4, abs=0.03)  # |sin| is uniform on a sphere


def test_scattered_points_are_compared_with_the_nearest():
    data = plane_waves(grid=(1, 32))
    places = {"x": np.linspace(0, 1, 32), "y": np.zeros(32)}
    data = dataclasses.replace(
        data,
        fields=np.broadcast_to(np.arange(32.0)[:, None], (24, 6, 32, 1)).astype(np.float32),
        mask=np.ones((24, 32), dtype=bool),
        axes=places,
        periodic=(),
        scattered=True,
    )
    assert row(split_statistics(data), "train", "w")["space_step"] == pytest.approx(1)


def test_the_same_distribution_is_accepted_and_another_is_rejected():
    same = split_statistics(plane_waves(trajectories=40))
    smallest, count = smallest_p(same, "test")
    assert count == 4 + 3  # a channel's four statistics; amplitude and two shapes
    assert smallest * count > 0.05
    assert "cannot be told from train" in next(line for line in conclusions(same) if line.startswith("test"))

    amplitudes = np.random.default_rng(1).uniform(1, 2, 40)
    amplitudes[-6:] += 1.5
    other = split_statistics(plane_waves(trajectories=40, amplitudes=amplitudes))
    assert row(other, "test", "w")["ks_p_std"] < 1e-5
    assert row(other, "test", "amplitude")["ks_p_mean"] < 1e-5
    assert "differs from train" in next(line for line in conclusions(other) if line.startswith("test"))


def test_many_points_of_few_trajectories_are_not_significant():
    """Two test flows that differ from all others: a test over points would be sure of it, trajectories cannot be."""
    amplitudes = np.r_[np.linspace(1, 1.1, 10), np.full(8, 3.0)]
    table = split_statistics(plane_waves(trajectories=18, amplitudes=amplitudes))
    assert row(table, "val", "w")["ks_p_std"] == pytest.approx(2 / 66)  # 2 / (12 choose 2)
    assert "with 2 trajectories it could not be below 0.05" in conclusions(table)[0]


def test_a_sample_is_seeded_and_bounded(monkeypatch):
    monkeypatch.setattr(module, "SAMPLE", 500)
    data = plane_waves()
    sizes = [len(values) for values in trajectory_statistics(data)[1]]
    assert sum(sizes[:16]) == pytest.approx(500, abs=16)
    first, again, other = (split_statistics(data, seed) for seed in (0, 0, 1))
    pd.testing.assert_frame_equal(first, again)
    assert (first["p50"] != other["p50"]).any()


def test_parameters_by_split(tmp_path):
    data = plane_waves()
    table = split_statistics(data)
    inside = data.parameters["amplitude"][data.split == "test"]
    assert row(table, "test", "amplitude")["mean"] == pytest.approx(inside.mean())
    assert row(table, "test", "shape = disc")["mean"] == pytest.approx(0.5)
    write_split_statistics(table, "waves", tmp_path / "s.csv", tmp_path / "s.md")
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "s.csv")[["split", "kind", "name"]], table.iloc[:, :3])
    text = (tmp_path / "s.md").read_text()
    assert "| w (m/s) | train | 16 | 6 |" in text
    assert "nan" not in text
