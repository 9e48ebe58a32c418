"""Packed runs: the same forecasts, bit for bit, from a folder without the data set."""

import shutil

import h5py
import numpy as np
import pandas as pd
import pytest
import xarray as xr

import sparsevq
from sparsevq.data.domain import SamplesOfDomain, read_packed_domain, write_domain
from sparsevq.data.layout import read_domain, write_data
from sparsevq.data.sampled import SamplesOfDataSet
from sparsevq.errors import SparseVQError
from sparsevq.runs.pack import pack
from sparsevq.runs.run import Run
from tests.edited import edited
from tests.flows import travelling_waves


@pytest.fixture(scope="module", params=["run", "modal_run"])
def both(request, tmp_path_factory):
    """A run, of networks and of modes, and its packed folder elsewhere."""
    run = request.getfixturevalue(request.param)
    packed = tmp_path_factory.mktemp("elsewhere") / "packed"
    pack(Run(run.path), packed)
    return run, packed


def same(one: xr.Dataset, other: xr.Dataset) -> bool:
    where = {"run": ""}  # the only thing that may differ
    return one.assign_attrs(where).identical(other.assign_attrs(where))


def test_forecasts_are_the_same(both):
    run, packed = both
    own, other = sparsevq.Forecaster(run.path, device="cpu"), sparsevq.load(packed, device="cpu")
    for readings in (run.readings(), run.by_place().iloc[:4], run.history(0, 1, 2)):
        assert same(own.forecast(readings, 5, 3), other.forecast(readings, 5, 3))
    assert same(own.update(run.readings(3)), other.update(run.readings(3)))
    wrong = run.readings().assign(u=lambda table: table["u"] + np.where(table["sensor"] == 2, 40.0, 0))
    doubted = own.forecast(wrong, 2, 2)
    assert "40" in doubted.attrs["doubts"] or "training data there" in doubted.attrs["doubts"]
    assert same(doubted, other.forecast(wrong, 2, 2))
    stuck = pd.concat([run.readings(0).assign(frame=frame) for frame in range(3)], ignore_index=True)
    assert same(own.forecast(stuck, 2, 2), other.forecast(stuck, 2, 2))


def test_it_has_what_forecasts_need_and_no_more(both):
    run, packed = both
    found = {str(path.relative_to(packed)) for path in packed.rglob("*") if path.is_file()}
    models = {f"{part}/model.safetensors" for part in ("sparse", "semi_sparse", "tokenizer", "gpt")}
    assert found == models | {"sensors.h5", "sensors.csv", "domain.h5", "basis.h5"}
    again = packed.parent / "again"
    pack(Run(packed), again)
    assert (again / "domain.h5").read_bytes() == (packed / "domain.h5").read_bytes()
    again_run = Run(again)
    assert again_run.domain.digest == Run(run.path).domain.digest
    with pytest.raises(SparseVQError, match=r"is a packed run, which is for forecasts alone: it has no data\.h5"):
        _ = again_run.data
    with pytest.raises(SparseVQError, match=r"is a packed run, which is for forecasts alone: it has no codes\.h5"):
        again_run.needs("codes")
    shutil.rmtree(again)


def test_files_that_do_not_fit_are_refused(both, tmp_path):
    run, packed = both
    folder = shutil.copytree(packed, tmp_path / "packed")
    other = tmp_path / "other.h5"
    write_data(other, travelling_waves(trajectories=7, frames=10, grid=(8, 12), seed=9))
    write_domain(folder / "domain.h5", other)
    with pytest.raises(SparseVQError, match="was made from another data set"):
        sparsevq.load(folder)
    shutil.copy(packed / "domain.h5", folder / "domain.h5")
    with open(folder / "domain.h5", "r+b") as file:
        file.seek(-40, 2)
        file.write(b"damaged")
    with pytest.raises(SparseVQError, match="is not as sparsevq wrote it"):
        sparsevq.load(folder)
    (folder / "domain.h5").unlink()
    with pytest.raises(SparseVQError, match=r"data\.h5 is missing"):
        sparsevq.load(folder)
    assert sparsevq.load(folder, data=run.path.parents[1] / "data.h5").data.name == run.data.name


def test_packing_says_what_is_in_its_way(both, tmp_path):
    run, packed = both
    with pytest.raises(SparseVQError, match="is there already: remove it, or choose another folder"):
        pack(Run(run.path), packed)
    with pytest.raises(SparseVQError, match="there is no run folder"):
        pack(Run(tmp_path / "none"), tmp_path / "out")
    (tmp_path / "half/sparse").mkdir(parents=True)
    shutil.copy(packed / "sparse/model.safetensors", tmp_path / "half/sparse")
    with pytest.raises(SparseVQError, match=r"has no semi_sparse/model.safetensors"):
        pack(Run(tmp_path / "half"), tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("grid", [(8, 12), (5, 4, 6)])
def test_a_domain_is_the_data_set_without_its_frames(tmp_path, grid):
    data = travelling_waves(trajectories=6, frames=40, grid=grid)
    still = data.fields.copy()
    still[:, :, 1, 1] = still[:, :1, 1, 1]  # nothing changes there
    path, packed = tmp_path / "data.h5", tmp_path / "domain.h5"
    write_data(path, data)
    with edited(path) as file:
        file["fields"][()] = still * data.mask[:, None, ..., None]
    write_domain(packed, path)
    whole, domain = read_domain(path), read_packed_domain(packed)
    for name, value in vars(whole).items():
        np.testing.assert_equal(getattr(domain, name), value)
    points = np.array([7, 3, 3, 60, int(np.ravel_multi_index((1, 1, *(2,) * (len(grid) - 2)), grid))])
    own, other = SamplesOfDataSet(path, whole), SamplesOfDomain(packed)
    for one, two in zip(own.at(points), other.at(points), strict=True):
        assert one.shape[0] >= 40
        np.testing.assert_array_equal(one, two)
    np.testing.assert_array_equal(own.change(points), other.change(points))
    assert (own.change(points) == 0).any()
    assert (own.change(points) > 0).any()
    with h5py.File(packed) as file:
        assert file["fields"].id.get_storage_size() == 0
