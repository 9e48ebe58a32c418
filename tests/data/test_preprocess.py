"""From shards to a data set: nothing is lost, nothing of the held-out trajectories is used."""

import dataclasses
from pathlib import Path

import h5py
import numpy as np
import pytest

from sparsevq.config import PreprocessConfig
from sparsevq.data.layout import read_data
from sparsevq.data.preprocess import assign_splits, preprocess
from sparsevq.data.shards import Shard, read_shard, write_shard
from sparsevq.errors import SparseVQError
from tests.flows import travelling_waves

SETTINGS = PreprocessConfig(validation=2, test=1)


def shards_of(folder: Path, count: int = 3, **changes) -> list[Path]:
    """The synthetic flow with a third channel, as a simulator would leave it: trajectories i, i + count, ..."""
    flow = travelling_waves(trajectories=8)
    speed = np.linalg.norm(flow.fields, axis=-1, keepdims=True)
    paths = []
    for index in range(count):
        numbers = np.arange(index, 8, count)
        shard = Shard(
            trajectory=numbers,
            fields=np.concatenate([flow.fields, speed], axis=-1)[numbers],
            mask=flow.mask[numbers],
            axes=flow.axes,
            axis_units=flow.axis_units,
            time=flow.time,
            time_units="s",
            parameters={
                "strength": flow.parameters["strength"][numbers],
                "shape": np.array(["disc", "interval"])[numbers % 2],
            },
            parameter_units={"strength": "m/s", "shape": ""},
            channels=("u", "v", "speed"),
            units=("m/s", "m/s", "m/s"),
            periodic=("x",),
            vector=flow.vector,
            provenance={"solver": "waves"},
        )
        paths.append(folder / f"{count}_{index}.h5")
        write_shard(paths[-1], dataclasses.replace(shard, **changes))
    return paths


def datasets(path: Path) -> dict[str, object]:
    found: dict[str, object] = {}
    with h5py.File(path) as file:
        file.visititems(lambda name, item: found.update({name: item[()]}) if isinstance(item, h5py.Dataset) else None)
    return found


def test_a_shard_comes_back(tmp_path):
    path = shards_of(tmp_path)[1]
    shard = read_shard(path)
    assert shard.trajectory.tolist() == [1, 4, 7]
    np.testing.assert_array_equal(shard.fields[..., :2], travelling_waves(trajectories=8).fields[[1, 4, 7]])
    assert shard.parameters["shape"].tolist() == ["interval", "disc", "interval"]


def test_shards_and_their_order_never_change_the_data(tmp_path):
    for name, paths in {
        "three": shards_of(tmp_path, 3),
        "three_mixed": shards_of(tmp_path, 3)[::-1],
        "one": shards_of(tmp_path, 1),
    }.items():
        preprocess(paths, tmp_path / f"{name}.h5", "waves", SETTINGS)
    expected = datasets(tmp_path / "one.h5")
    for name in ("three", "three_mixed"):
        np.testing.assert_equal(datasets(tmp_path / f"{name}.h5"), expected)
    assert (tmp_path / "three.h5").read_bytes() == (tmp_path / "three_mixed.h5").read_bytes()


def test_channels_and_stride(tmp_path):
    settings = PreprocessConfig(validation=1, test=1, channels=("speed", "u"), time_sub=5)
    preprocess(shards_of(tmp_path), tmp_path / "data.h5", "waves", settings)
    data, flow = read_data(tmp_path / "data.h5"), travelling_waves(trajectories=8)
    assert data.channels == ("speed", "u")
    assert data.vector == {"u": "x"}
    np.testing.assert_array_equal(data.fields[..., 1], flow.fields[:, ::5, ..., 0])
    np.testing.assert_array_equal(data.time, flow.time[::5])
    np.testing.assert_array_equal(data.parameters["strength"], flow.parameters["strength"])
    assert data.provenance == {"solver": "waves"}


def test_statistics_are_of_valid_points_of_the_training_split(tmp_path):
    preprocess(shards_of(tmp_path), tmp_path / "data.h5", "waves", SETTINGS)
    data = read_data(tmp_path / "data.h5")
    training = [data.fields[t][:, data.mask[t]].reshape(-1, 2) for t in data.trajectories("train")]
    values = np.concatenate(training).astype(np.float64)
    np.testing.assert_allclose(data.mean, values.mean(axis=0), rtol=1e-10)
    np.testing.assert_allclose(data.std, values.std(axis=0), rtol=1e-10)


def test_held_out_and_masked_values_never_reach_the_statistics(tmp_path):
    paths = shards_of(tmp_path, 1)
    preprocess(paths, tmp_path / "before.h5", "waves", SETTINGS)
    before = read_data(tmp_path / "before.h5")
    with h5py.File(paths[0], "r+") as file:
        fields, mask = file["fields"][()], file["mask"][()]
        fields[before.split != "train"] += 100
        fields[~np.broadcast_to(mask[:, None, ..., None], fields.shape)] = np.nan
        file["fields"][...] = fields
    preprocess(paths, tmp_path / "after.h5", "waves", SETTINGS)
    after = read_data(tmp_path / "after.h5")
    np.testing.assert_array_equal(after.mean, before.mean)
    np.testing.assert_array_equal(after.std, before.std)
    np.testing.assert_array_equal(after.fields[before.split == "train"], before.fields[before.split == "train"])


def test_splits_are_whole_seeded_and_of_the_sizes_asked_for():
    split = assign_splits(50, PreprocessConfig(validation=7, test=9, split_seed=1))
    assert [(split == name).sum() for name in ("train", "val", "test")] == [34, 7, 9]
    np.testing.assert_array_equal(split, assign_splits(50, PreprocessConfig(validation=7, test=9, split_seed=1)))
    assert (split != assign_splits(50, PreprocessConfig(validation=7, test=9, split_seed=2))).any()


def _not_finite(paths):
    with h5py.File(paths[1], "r+") as file:
        file["fields"][(2, 4, *np.argwhere(file["mask"][2])[0], 1)] = np.nan


def _constant(paths):
    for path in paths:
        with h5py.File(path, "r+") as file:
            file["fields"][..., 0] = np.where(file["mask"][()][:, None], 3.0, 0)


def _other_solver(paths):
    with h5py.File(paths[2], "r+") as file:
        file.attrs["provenance"] = '{"solver": "other"}'


@pytest.mark.parametrize(
    ("damage", "settings", "message"),
    [
        (None, {"channels": ("u", "w")}, "'w' is not in .*: known are u, v, speed"),
        (None, {"channels": ("u", "u")}, "names none, or one twice"),
        (None, {"validation": 4, "test": 4}, "8 trajectories are too few: .*validation=4 .*test=4 .*at least 9"),
        (None, {"time_sub": 12}, "time_sub=12 leaves 1 of 12 frames"),
        (lambda paths: paths.clear(), {}, "no shards"),
        (lambda paths: paths.pop(1), {}, "trajectory . is in none of the 2 shards"),
        (lambda paths: paths.append(paths[0]), {}, "trajectory 0 is in .* and in"),
        (lambda paths: paths[1].unlink(), {}, "is missing"),
        (lambda paths: paths[1].write_bytes(paths[1].read_bytes()[:5000]), {}, "is truncated"),
        (_not_finite, {}, "3_1.h5: 1 NaN .* trajectory 7, frame 4, channel v"),
        (_constant, {}, "channel u has mean 3 and standard deviation 0 .*leave out a channel"),
        (_other_solver, {}, "of different simulations: their provenance differ"),
    ],
)
def test_faults_are_one_line(tmp_path, damage, settings, message):
    paths = shards_of(tmp_path)
    if damage:
        damage(paths)
    with pytest.raises(SparseVQError, match=message):
        preprocess(paths, tmp_path / "data.h5", "waves", PreprocessConfig(**{"validation": 2, "test": 1} | settings))
    assert not (tmp_path / "data.h5").exists()
