"""From any source to a data set: no value is lost, statistics use no held-out data, and memory is bounded."""

import dataclasses
import tracemalloc
from pathlib import Path

import h5py
import numpy as np
import pytest

from sparsevq.config import DataSetConfig, PreprocessConfig
from sparsevq.data import preprocess as module
from sparsevq.data.layout import read_data
from sparsevq.data.preprocess import Moments, assign_splits, preprocess
from sparsevq.data.source import Source
from sparsevq.errors import SparseVQError
from sparsevq.readers.shards import open_shards
from tests.edited import edited
from tests.flows import travelling_waves
from tests.shards import shards_of

DATA_SET = {"validation": 2, "test": 1}


def from_shards(paths: list[Path], out: Path, time_sub: int = 1, **data_set) -> None:
    settings = PreprocessConfig(time_sub=time_sub)
    preprocess(open_shards(paths, "waves"), out, "waves", DataSetConfig(**DATA_SET | data_set), settings)


def from_memory(fields: np.ndarray, out: Path, **changes) -> list[tuple[int, int, int]]:
    """Preprocess trajectories (T, F, H, W, C); returns the reads of the source: (trajectory, start, stop)."""
    reads = []

    def read(trajectory: int, start: int, stop: int) -> np.ndarray:
        reads.append((trajectory, start, stop))
        return fields[trajectory, start:stop].astype(np.float32)

    trajectories, frames, height, width, channels = fields.shape
    source = Source(
        label="made up",
        trajectories=trajectories,
        read=read,
        axes={"y": np.arange(height) * 0.5, "x": np.arange(width) * 0.5},
        axis_units={"y": "m", "x": "m"},
        time=np.arange(frames) * 0.1,
        time_units="s",
        channels=("p", "q", "r")[:channels],
        units=("Pa",) * channels,
        files=(),
    )
    settings = DataSetConfig(validation=1, test=1)
    preprocess(dataclasses.replace(source, **changes), out, "made_up", settings, PreprocessConfig())
    return reads


def made_up(trajectories: int = 5, frames: int = 10, height: int = 6, width: int = 8) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((trajectories, frames, height, width, 2)) * (1, 50) + (3, -900)


def datasets(path: Path) -> dict[str, object]:
    found: dict[str, object] = {}
    with h5py.File(path) as file:
        file.visititems(lambda name, item: found.update({name: item[()]}) if isinstance(item, h5py.Dataset) else None)
    return found


@pytest.fixture
def small_blocks(monkeypatch):
    """Three frames of `made_up` (four of the waves) at a time."""
    monkeypatch.setattr(module, "BLOCK", 3 * 6 * 8 * 2 * 4)


# ------------------------------------------------------------------------------------------------ from shards


def test_shards_and_their_order_never_change_the_data(tmp_path):
    for name, paths in {
        "three": shards_of(tmp_path, 3),
        "three_mixed": shards_of(tmp_path, 3)[::-1],
        "one": shards_of(tmp_path, 1),
    }.items():
        from_shards(paths, tmp_path / f"{name}.h5")
    expected = datasets(tmp_path / "one.h5")
    for name in ("three", "three_mixed"):
        np.testing.assert_equal(datasets(tmp_path / f"{name}.h5"), expected)


def test_the_same_input_gives_the_same_bytes(tmp_path):
    paths = shards_of(tmp_path)
    for name in ("a.h5", "b.h5"):
        from_shards(paths, tmp_path / name)
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()


def test_channels_and_stride(tmp_path):
    from_shards(shards_of(tmp_path), tmp_path / "data.h5", time_sub=5, channels=("speed", "u"))
    data, flow = read_data(tmp_path / "data.h5"), travelling_waves(trajectories=8)
    assert data.channels == ("speed", "u")
    assert data.vector == {"u": "x"}
    np.testing.assert_array_equal(data.mask, flow.mask)
    np.testing.assert_array_equal(data.fields[..., 1], flow.fields[:, ::5, ..., 0])
    np.testing.assert_array_equal(data.time, flow.time[::5])
    np.testing.assert_array_equal(data.parameters["strength"], flow.parameters["strength"])
    assert data.provenance == {"solver": "waves"}


def test_statistics_are_of_valid_points_of_the_training_split_by_area(tmp_path):
    axes = travelling_waves().axes | {"y": np.linspace(0, 1, 16) ** 2}  # cells of unequal width
    from_shards(shards_of(tmp_path, axes=axes), tmp_path / "data.h5")
    data = read_data(tmp_path / "data.h5")
    values, weights = [], []
    for trajectory in data.trajectories("train"):
        valid = data.flat_mask[trajectory]
        values.append(data.flat_fields[trajectory][:, valid].reshape(-1, 3).astype(np.float64))
        weights.append(np.tile(data.weights[valid], data.fields.shape[1]))
    values, weights = np.concatenate(values), np.concatenate(weights)
    mean = np.average(values, axis=0, weights=weights)
    assert np.abs(mean - values.mean(axis=0)).max() > 1e-5  # else the weights would not matter here
    np.testing.assert_allclose(data.mean, mean, rtol=1e-10)
    np.testing.assert_allclose(data.std, np.sqrt(np.average((values - mean) ** 2, axis=0, weights=weights)), rtol=1e-10)


def test_held_out_and_masked_values_never_reach_the_statistics(tmp_path):
    paths = shards_of(tmp_path, 1)
    from_shards(paths, tmp_path / "before.h5")
    before = read_data(tmp_path / "before.h5")
    with edited(paths[0]) as file:
        fields, mask = file["fields"][()], file["mask"][()]
        fields[before.split != "train"] += 100
        fields[~np.broadcast_to(mask[:, None, ..., None], fields.shape)] = np.nan
        file["fields"][...] = fields
    from_shards(paths, tmp_path / "after.h5")
    after = read_data(tmp_path / "after.h5")
    np.testing.assert_array_equal(after.mean, before.mean)
    np.testing.assert_array_equal(after.std, before.std)
    np.testing.assert_array_equal(after.fields[before.split == "train"], before.fields[before.split == "train"])


def test_trajectories_out_of_distribution_are_in_no_other_split(tmp_path):
    from_shards(shards_of(tmp_path), tmp_path / "data.h5")
    assert read_data(tmp_path / "data.h5").trajectories("ood").tolist() == [7]


# ------------------------------------------------------------------------------------------------ splits


def a_source(trajectories: int, ood: int = 0) -> Source:
    numbers = np.arange(trajectories)
    return Source(
        label="made up",
        trajectories=trajectories,
        read=lambda *_: np.empty(0, np.float32),
        axes={"x": np.arange(3.0)},
        axis_units={},
        time=np.arange(2.0),
        time_units="s",
        channels=("u",),
        units=("m/s",),
        files=(),
        ood=numbers >= trajectories - ood,
    )


def test_splits_are_whole_seeded_and_of_the_sizes_asked_for():
    sizes = DataSetConfig(validation=7, test=9)
    split = assign_splits(a_source(53, ood=3), sizes, PreprocessConfig(split_seed=1))
    assert [(split == name).sum() for name in ("train", "val", "test", "ood")] == [34, 7, 9, 3]
    assert (split[50:] == "ood").all()
    again = assign_splits(a_source(53, ood=3), sizes, PreprocessConfig(split_seed=1))
    np.testing.assert_array_equal(split, again)
    other = assign_splits(a_source(53, ood=3), sizes, PreprocessConfig(split_seed=2))
    assert (split != other).any()
    np.testing.assert_array_equal(split[:50], assign_splits(a_source(50), sizes, PreprocessConfig(split_seed=1)))


def test_a_source_that_knows_its_split_keeps_it(tmp_path):
    split = np.array(["test", "val", "train", "train", "ood"])
    from_memory(made_up(), tmp_path / "data.h5", split=split)
    assert read_data(tmp_path / "data.h5").split.tolist() == split.tolist()


# ------------------------------------------------------------------------------------------------ streaming


def test_blocks_never_change_the_data(tmp_path, monkeypatch):
    fields = made_up()
    fields[1, 4:, 2, 3] = np.nan  # a gap that begins after the first blocks are written
    fields[1, 1, 4, 4] = np.nan  # and one that ends with the first
    fields[:, :, 0, 0, 1] = np.nan  # a point that one channel alone has
    blocks = {"whole": 2**27, "three_frames": 3 * 6 * 8 * 2 * 4, "less_than_a_frame": 1}
    for name, block in blocks.items():
        monkeypatch.setattr(module, "BLOCK", block)
        reads = from_memory(fields, tmp_path / f"{name}.h5")
        assert max(stop - start for _, start, stop in reads) == {"whole": 10, "three_frames": 3}.get(name, 1)
    whole = datasets(tmp_path / "whole.h5")
    for name in blocks:
        found = datasets(tmp_path / f"{name}.h5")
        for statistic in ("normalisation/mean", "normalisation/std"):
            np.testing.assert_allclose(found.pop(statistic), whole[statistic], rtol=1e-12)
        np.testing.assert_equal(found, {key: value for key, value in whole.items() if key in found})
    valid = np.ones((5, 6, 8), dtype=bool)
    valid[1, 2, 3] = valid[1, 4, 4] = valid[:, 0, 0] = False
    np.testing.assert_array_equal(whole["mask"], valid)
    np.testing.assert_array_equal(whole["fields"], np.where(valid[:, None, ..., None], fields, 0).astype(np.float32))


def test_every_frame_is_read_once(tmp_path, small_blocks):
    """Sources may be slow: compressed, or on another machine."""
    reads = from_memory(made_up(), tmp_path / "data.h5")
    frames = [(trajectory, frame) for trajectory, start, stop in reads for frame in range(start, stop)]
    assert frames == [(trajectory, frame) for trajectory in range(5) for frame in range(10)]


def test_statistics_of_a_trajectory_in_blocks_with_a_gap(tmp_path, small_blocks):
    fields = made_up()
    fields[:, 8, 1:3] = np.nan
    from_memory(fields, tmp_path / "data.h5")
    data = read_data(tmp_path / "data.h5")
    kept = np.delete(fields[data.trajectories("train")].astype(np.float32), (1, 2), axis=2).astype(np.float64)
    np.testing.assert_allclose(data.mean, kept.mean(axis=(0, 1, 2, 3)), rtol=1e-10)
    np.testing.assert_allclose(data.std, kept.std(axis=(0, 1, 2, 3)), rtol=1e-10)


def test_small_fluctuations_on_a_large_mean_are_not_lost():
    """Pressure: 101325 Pa and a fluctuation of 1 Pa; a temperature of 300 +- 20 K; a velocity around 0."""
    rng = np.random.default_rng(1)
    noise = rng.standard_normal((40, 50, 20, 3))
    fields = (np.array([101325, 300, 1e-3]) + noise * np.array([1, 20, 1])).astype(np.float32)
    weights = rng.uniform(0, 2, 20)
    moments = Moments.none(3)
    for block in fields:
        moments.add(block, weights)
    everywhere = np.broadcast_to(weights, (40, 50, 20)).ravel()
    expected = np.average(fields.reshape(-1, 3).astype(np.float64), axis=0, weights=everywhere)
    variance = np.average((fields.reshape(-1, 3) - expected) ** 2, axis=0, weights=everywhere)
    mean, std = moments.mean_and_std()
    np.testing.assert_allclose(mean, expected, rtol=1e-12)
    np.testing.assert_allclose(std, np.sqrt(variance), rtol=1e-11)


def test_a_constant_does_not_vary_by_rounding():
    moments = Moments.none(1)
    for count in (3, 7, 50):
        moments.add(np.full((count, 11, 1), 0.1, np.float32), np.random.default_rng(count).uniform(0, 1, 11))
    assert moments.mean_and_std()[1] == 0


def test_memory_is_bounded_by_the_block(tmp_path, monkeypatch):
    """32 MB of fields in blocks of 1 MB."""
    monkeypatch.setattr(module, "BLOCK", 2**20)
    frame = np.random.default_rng(0).standard_normal((1, 64, 64, 2)).astype(np.float32)

    def read(trajectory: int, start: int, stop: int) -> np.ndarray:
        return frame * np.arange(start + trajectory, stop + trajectory, dtype=np.float32)[:, None, None, None]

    shape_only = np.broadcast_to(np.float32(0), (4, 256, 64, 64, 2))
    tracemalloc.start()
    try:
        from_memory(shape_only, tmp_path / "data.h5", read=read)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (tmp_path / "data.h5").stat().st_size > 2**25
    assert peak < 6 * 2**20


def test_progress_has_share_speed_and_time_left(tmp_path, capsys, monkeypatch, small_blocks):
    monkeypatch.setattr(module, "PROGRESS", 0)
    from_memory(made_up(), tmp_path / "data.h5")
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 5 * 4 + 1
    assert lines[1].startswith("trajectory 1/5, ")
    assert " MB/s, " in lines[1]
    assert lines[1].endswith(" s left")
    assert lines[-1].startswith("trajectory 5/5, ")


def test_gaps_are_reported(tmp_path, capsys):
    fields = made_up()
    fields[0, 3, :3] = np.nan
    fields[:, :, 5] = np.nan  # never there: no gap
    from_memory(fields, tmp_path / "data.h5")
    assert "10.00% of the points have gaps in some frames" in capsys.readouterr().out


# ------------------------------------------------------------------------------------------------ faults


@pytest.mark.parametrize(
    ("data_set", "message"),
    [
        ({"channels": ("u", "w")}, "channels: 'w' is not in waves: known are u, v, speed"),
        ({"validation": 4, "test": 4}, "7 trajectories are too few: .*validation=4 .*test=4 .*at least 9"),
        ({"time_sub": 12}, "a stride of 12 leaves 1 of 12 frames"),
    ],
)
def test_settings_that_do_not_fit_are_one_line(tmp_path, data_set, message):
    with pytest.raises(SparseVQError, match=message):
        from_shards(shards_of(tmp_path), tmp_path / "out/data.h5", **data_set)
    assert not (tmp_path / "out").exists()


def _set(place, value):
    def damage(fields):
        fields[place] = value

    return damage


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_set((3, 7, 2, 1, 1), np.inf), "made up: 1 infinite values, first in trajectory 3, frame 7, channel q"),
        (_set((2, ..., 1), np.nan), "made up: channel q of trajectory 2 is NaN everywhere: leave out the channel or"),
        (_set((..., 0), 3.0), "made up: channel p has mean 3 and standard deviation 0 .*leave out a channel"),
        (_set((1, slice(5), ..., 0), np.nan), "made up: trajectory 1 has no valid point"),
    ],
)
def test_faulty_values_are_one_line_and_leave_nothing(tmp_path, small_blocks, damage, message):
    fields = made_up()
    damage(fields)
    with pytest.raises(SparseVQError, match=message) as caught:
        from_memory(fields, tmp_path / "out/data.h5")
    assert "\n" not in str(caught.value)
    assert not list((tmp_path / "out").iterdir())


def test_a_faulty_description_is_an_error_before_anything_is_read(tmp_path):
    def read(*_):
        raise AssertionError("it was read")

    axes = {"y": np.zeros(6), "x": np.arange(8.0)}
    with pytest.raises(SparseVQError, match="made up: coordinates/y are not increasing"):
        from_memory(made_up(), tmp_path / "out/data.h5", axes=axes, read=read)
    with pytest.raises(SparseVQError, match="made up: time is not finite and increasing"):
        from_memory(made_up(), tmp_path / "out/data.h5", time=np.zeros(10), read=read)
    assert not (tmp_path / "out").exists()
