"""Shards as a source: one set of trajectories, whatever the shards and their order."""

import numpy as np
import pytest

from sparsevq.data.source import every, with_channels
from sparsevq.errors import SparseVQError
from sparsevq.readers.shards import open_shards
from sparsevq.simulators.shards import read_shard
from tests.edited import edited
from tests.flows import travelling_waves
from tests.shards import shards_of

FLOW = travelling_waves(trajectories=8)


def test_a_shard_comes_back(tmp_path):
    shard = read_shard(shards_of(tmp_path)[1])
    assert shard.trajectory.tolist() == [1, 4, 7]
    np.testing.assert_array_equal(shard.fields[..., :2], FLOW.fields[[1, 4, 7]])
    assert shard.parameters["shape"].tolist() == ["interval", "disc", "interval"]
    assert shard.ood.tolist() == [False, False, True]


@pytest.mark.parametrize(("count", "order"), [(1, 1), (3, 1), (3, -1), (8, -1)])
def test_trajectories_are_in_the_order_of_their_numbers(tmp_path, count, order):
    source = open_shards(shards_of(tmp_path, count)[::order], "waves")
    assert source.trajectories == 8
    for trajectory in range(8):
        values = source.read(trajectory, 3, 7)
        valid = FLOW.mask[trajectory]
        np.testing.assert_array_equal(values[:, valid, :2], FLOW.fields[trajectory, 3:7][:, valid])
        assert np.isnan(values[:, ~valid]).all()
    np.testing.assert_array_equal(source.parameters["strength"], FLOW.parameters["strength"])
    assert source.parameters["shape"].tolist() == ["disc", "interval"] * 4
    assert source.ood.tolist() == [False] * 7 + [True]
    assert source.vector == FLOW.vector
    assert len(source.files) == count


def test_channels_and_stride_are_parts_of_what_is_read(tmp_path):
    whole = open_shards(shards_of(tmp_path), "waves")
    part = every(with_channels(whole, ("speed", "u")), 5)
    assert (part.channels, part.units, part.vector) == (("speed", "u"), ("m/s", "m/s"), {"u": "x"})
    np.testing.assert_array_equal(part.time, FLOW.time[[0, 5, 10]])
    np.testing.assert_array_equal(part.read(2, 1, 3), whole.read(2, 0, 12)[[5, 10]][..., [2, 0]])


def _not_finite(paths):
    with edited(paths[1]) as file:
        file["fields"][(2, 4, *np.argwhere(file["mask"][2])[0], 1)] = np.nan


def _change(name, value):
    def damage(paths):
        with edited(paths[2]) as file:
            if name in file:
                del file[name]
                file[name] = value
                file[name].attrs["units"] = "s"
            else:
                file.attrs[name] = value

    return damage


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda paths: paths.clear(), "no shards"),
        (lambda paths: paths.pop(1), "trajectory . is in none of the 2 shards: name all"),
        (lambda paths: paths.append(paths[0]), "trajectory 0 is in .*3_0.h5 and in .*3_0.h5: name each shard once"),
        (lambda paths: paths[1].unlink(), "3_1.h5 is missing"),
        (lambda paths: paths[1].write_bytes(paths[1].read_bytes()[:5000]), "3_1.h5 is truncated"),
        (_change("provenance", '{"solver": "other"}'), "3_2.h5 and .* of different simulations: their provenance diff"),
        (_change("time", np.arange(12.0)), "of different simulations: their time differ"),
        (_change("coordinates/y", np.arange(16.0)), "of different simulations: their axes differ"),
        (_change("schema_version", 1), "version 1 of the layout sparsevq-shard; .* reads version 2"),
        (_change("trajectory", np.array([2, 5, 8])), r"3_2.h5: /trajectory has shape \(3,\), not \(2\)"),
        (_not_finite, "3_1.h5: 1 NaN .* trajectory 7, frame 4, channel v"),
    ],
)
def test_a_fault_is_one_line(tmp_path, damage, message):
    paths = shards_of(tmp_path)
    damage(paths)
    with pytest.raises(SparseVQError, match=message) as caught:
        open_shards(paths, "waves").read(7, 0, 12)
    assert "\n" not in str(caught.value)


def test_an_unknown_channel_or_too_large_a_stride_is_refused(tmp_path):
    source = open_shards(shards_of(tmp_path), "waves")
    with pytest.raises(SparseVQError, match="channels: 'w' is not in waves: known are u, v, speed"):
        with_channels(source, ("u", "w"))
    with pytest.raises(SparseVQError, match="stride of 12 leaves 1 of 12 frames"):
        every(source, 12)
