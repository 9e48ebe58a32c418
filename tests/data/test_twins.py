"""A trajectory that is there twice is refused where one is trained on and the other held out."""

from pathlib import Path

import numpy as np
import pytest

from sparsevq.config import FileConfig, PreprocessConfig
from sparsevq.data.preprocess import preprocess
from sparsevq.data.twins import Twins
from sparsevq.errors import SparseVQError
from sparsevq.readers.files import open_files
from tests.user_files import values


def noted(fields, split, files=()):
    twins = Twins("mine", np.array(split), tuple(map(Path, files)))
    for trajectory, frames in enumerate(fields):
        for start in range(0, len(frames), 2):
            twins.note(trajectory, frames[start : start + 2])
    return twins


def test_the_same_values_in_two_splits(monkeypatch):
    monkeypatch.setattr("sparsevq.data.twins.AT_ONCE", 40)
    fields = values(5, 6, 4, 3, 1)
    fields[3] = fields[1]
    split = ["train", "train", "test", "val", "train"]
    with pytest.raises(
        SparseVQError, match=r"mine: trajectory 3 has the same values as trajectory 1, but one is for train, .* for val"
    ):
        noted(fields, split).check(fields)
    with pytest.raises(SparseVQError, match=r"mine: d.nc has the same values as b.nc, but .*: leave out one of them"):
        noted(fields, split, ["a.nc", "b.nc", "c.nc", "d.nc", "e.nc"]).check(fields)


def test_in_one_split_it_is_said(capsys):
    fields = values(4, 6, 5, 1)
    fields[3] = fields[1]
    noted(fields, ["train", "train", "val", "train"]).check(fields)
    assert "trajectory 3 has the same values as trajectory 1: both are kept, for train" in capsys.readouterr().out


def test_what_differs_in_one_value_is_another(capsys):
    fields = values(4, 6, 5, 1)
    fields[3] = fields[1]
    fields[3, 5, 4, 0] += 1
    noted(fields, ["train", "train", "val", "val"]).check(fields)
    assert "5 held-out frames are in training too" in capsys.readouterr().out
    fields[3, 1:] = values(5, 5, 1, seed=1)
    noted(fields, ["train", "train", "val", "val"]).check(fields)  # trajectories may begin alike
    assert not capsys.readouterr().out


def test_checksums_that_agree_by_chance_are_not_believed():
    fields = values(2, 6, 5, 1)
    twins = noted(fields, ["train", "test"])
    twins.sums[1] = twins.sums[0]
    twins.check(fields)


def test_preprocess_leaves_nothing_behind(tmp_path):
    fields = values(4, 6, 5)
    fields[2] = fields[0]
    np.save(tmp_path / "u.npy", fields)
    config = FileConfig(path=str(tmp_path / "u.npy"), dimensions=("trajectory", "time", "x"), validation=1, test=1)
    for seed in range(6):
        settings = PreprocessConfig(split_seed=seed)
        try:
            preprocess(open_files(config, "mine"), tmp_path / "data.h5", "mine", config, settings)
        except SparseVQError as error:
            assert "trajectory 2 has the same values as trajectory 0" in str(error)
            assert not (tmp_path / "data.h5").exists()
            return
        (tmp_path / "data.h5").unlink()
    pytest.fail("no seed divides them")
