"""The basis: orthonormal by area, exact in its span, the same however the flows are read."""

import dataclasses
import tracemalloc

import numpy as np
import pytest

from sparsevq.basis import leading_modes as svd
from sparsevq.basis.basis import compute_basis
from sparsevq.basis.layout import make_basis, read_basis, write_basis
from sparsevq.config import BasisConfig, Symmetries
from sparsevq.data import flows
from sparsevq.data.flows import TrainingFlows
from sparsevq.data.layout import read_data, write_data
from sparsevq.errors import SparseVQError
from sparsevq.runs.run import Run
from tests.edited import edited
from tests.flows import on_a_sphere, scattered_waves, travelling_waves


def anomalies_of(basis, data, symmetries=None):
    """All training anomalies, 0 inside obstacles: ``(S, N, C)``."""
    return np.concatenate(
        [np.where(valid[:, None], basis.normalised(fields), 0) for fields, valid in TrainingFlows(data, symmetries)]
    )


def noisy_sphere():
    data = on_a_sphere(trajectories=10)
    data.fields[...] += np.random.default_rng(0).normal(0, 20, data.fields.shape) * [1, 1e-7]
    return data


@pytest.mark.parametrize("data", [travelling_waves(), noisy_sphere(), scattered_waves(points=40)], ids=lambda d: d.name)
def test_modes_are_orthonormal_by_area_and_leave_the_least(data):
    basis = compute_basis(data, None, modes=3)
    assert basis.modes.shape == (3, data.num_points, 2)
    area = data.weights[:, None] / data.num_points
    np.testing.assert_allclose(np.einsum("knc,lnc,nj->kl", basis.modes, basis.modes, area), np.eye(3), atol=1e-5)
    anomalies = anomalies_of(basis, data)
    coefficients = basis.project(anomalies, np.ones(data.num_points, bool))
    np.testing.assert_allclose(basis.std, np.sqrt(np.mean(coefficients.astype(float) ** 2, axis=0)), rtol=1e-3)
    assert (np.diff(basis.std) <= 0).all()
    # Eckart & Young: no three modes leave less, in the norm over the area
    left = anomalies - np.einsum("sk,knc->snc", coefficients, basis.modes)
    rows = (anomalies * np.sqrt(area)).reshape(len(anomalies), -1)
    least = np.sum(np.linalg.svd(rows, compute_uv=False)[3:] ** 2)
    np.testing.assert_allclose(np.sum(left**2 * area), least, rtol=1e-3, atol=1e-6 * np.sum(rows**2))
    np.testing.assert_allclose(basis.residual, np.mean(left**2, axis=0), rtol=1e-2, atol=1e-5)
    np.testing.assert_allclose(basis.variance, np.sum(rows**2) / len(rows), rtol=1e-4)


def test_leading_modes_are_those_of_an_exact_svd_down_to_rounding():
    rng = np.random.default_rng(0)
    snapshots = (rng.normal(size=(60, 12)) * 0.3 ** np.arange(12) @ rng.normal(size=(12, 200))).astype(np.float32)
    values, expected = np.linalg.svd(snapshots.astype(float), full_matrices=False)[1:]
    modes, energy = svd.leading_modes([snapshots[:25], snapshots[25:]], (60, 200), 10)
    np.testing.assert_allclose(np.abs(np.sum(modes * expected[:10], axis=1)), 1, atol=1e-3)
    np.testing.assert_allclose(energy**0.5, values[:10], rtol=1e-3)
    low_rank = (rng.normal(size=(60, 8)) @ rng.normal(size=(8, 200))).astype(np.float32)
    assert len(svd.leading_modes([low_rank], (60, 200), 20)[0]) == 8  # no more than there are


@pytest.mark.parametrize("rows", [30, 100, 250, 999, 1000])
def test_a_factorisation_block_by_block_is_one(rows):
    rng = np.random.default_rng(0)
    columns = (rng.standard_normal((1000, 12)) * 0.1 ** np.arange(12) @ rng.standard_normal((12, 12))).astype(
        np.float32
    )
    found = columns.copy()
    triangle = svd.orthonormal(found, rows)
    np.testing.assert_allclose(found.T @ found, np.eye(12), atol=1e-5)
    np.testing.assert_allclose(found.astype(float) @ triangle, columns, atol=1e-5)
    np.testing.assert_allclose(triangle, np.triu(triangle), atol=0)


def test_small_modes_are_as_exact_in_blocks(monkeypatch):
    """What is 6e-5 of the largest mode: lost where directions are mixed before they are orthonormal."""
    monkeypatch.setattr(svd, "ROWS", 40)
    monkeypatch.setattr(svd, "ROWS_A_DIRECTION", 1)
    rng = np.random.default_rng(0)
    snapshots = (rng.normal(size=(60, 12)) * 0.3 ** np.arange(12) @ rng.normal(size=(12, 200))).astype(np.float32)
    _, energy = svd.leading_modes([snapshots[:25], snapshots[25:]], snapshots.shape, 9)
    values = np.linalg.svd(snapshots.astype(float), compute_uv=False)
    np.testing.assert_allclose(energy**0.5, values[:9], rtol=1e-3)


def test_memory_of_the_modes_is_twice_that_of_the_directions():
    """A QR factorisation by NumPy took ten times: its copies are in float64."""
    blocks = [np.random.default_rng(0).standard_normal((20, 300_000), dtype=np.float32)]
    directions = 4 * 300_000 * (8 + 10)
    tracemalloc.start()
    modes, _ = svd.leading_modes(blocks, blocks[0].shape, 8)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(modes) == 8
    assert peak < 2.5 * directions


def test_coefficients_of_a_field_in_the_span_are_exact():
    data = travelling_waves()
    basis = compute_basis(data, None, modes=6)
    wanted = np.random.default_rng(0).normal(size=(4, 6)) * basis.std
    anomalies = np.einsum("bk,knc->bnc", wanted, basis.modes)
    np.testing.assert_allclose(basis.project(anomalies, np.ones((4, 256), bool)), wanted, atol=1e-5)
    fields = basis.mean + basis.scale * anomalies
    np.testing.assert_allclose(basis.normalised(fields), anomalies, atol=1e-5)


def test_the_mean_and_modes_are_those_of_the_symmetry_variants_too():
    data, symmetries = travelling_waves(), Symmetries(reflect=("y",), variants=2)
    basis = compute_basis(data, symmetries, modes=4)
    mean = basis.mean.reshape(16, 16, 2)
    somewhere = data.mask[data.trajectories("train")].any(axis=0)
    np.testing.assert_allclose((mean - mean[::-1] * [1, -1])[somewhere & somewhere[::-1]], 0, atol=1e-5)
    variance = np.mean(anomalies_of(basis, data, symmetries) ** 2, axis=0)
    explained = np.einsum("k,knc->nc", basis.std**2, basis.modes**2)
    np.testing.assert_allclose(explained + basis.residual, variance, rtol=1e-3, atol=1e-5)


def test_each_point_has_its_own_mean_over_the_frames_in_which_it_is_valid():
    data = travelling_waves()
    basis = compute_basis(data, None, modes=4)
    train = data.trajectories("train")
    for point in (0, 100, 7 * 16 + 6):
        valid = train[data.flat_mask[train, point]]
        np.testing.assert_allclose(basis.mean[point], data.flat_fields[valid, :, point].mean(axis=(0, 1)), atol=1e-5)
    never = ~data.flat_mask[train].any(axis=0)
    assert never.any()
    np.testing.assert_allclose(basis.mean[never], np.broadcast_to(data.mean, (never.sum(), 2)), rtol=1e-6)
    assert not basis.modes[:, never].any()
    assert not basis.residual[never].any()


def test_what_is_inside_an_obstacle_never_matters():
    data = travelling_waves()
    fields = np.where(data.mask[:, None, ..., None], data.fields, np.nan).astype(np.float32)
    expected, found = (compute_basis(each, None, 4) for each in (data, dataclasses.replace(data, fields=fields)))
    for name in ("mean", "scale", "modes", "std", "residual"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
    frame = np.where(data.flat_mask[0][:, None], expected.normalised(data.flat_fields[0, :1]), np.nan)
    assert np.isfinite(expected.project(frame, data.flat_mask[:1])).all()


def test_blocks_give_the_same_as_whole_flows(monkeypatch):
    data, symmetries = travelling_waves(), Symmetries(reflect=("y",), roll={"x": 5}, variants=3)
    whole = compute_basis(data, symmetries, modes=8)
    monkeypatch.setattr(svd, "KEPT", 0)
    monkeypatch.setattr(flows, "BLOCK", 4 * 512 * 5)  # five frames of twelve
    monkeypatch.setattr(svd, "BLOCK", 4 * 512 * 7)
    assert [len(fields) for fields, _ in TrainingFlows(data)][:4] == [5, 5, 2, 5]
    assert [len(fields) for fields, _ in TrainingFlows(data, together=8)][:3] == [8, 4, 8]
    blocks = compute_basis(data, symmetries, modes=8)
    np.testing.assert_allclose(blocks.std, whole.std, rtol=1e-4)
    np.testing.assert_allclose(blocks.mean, whole.mean, atol=1e-6)
    np.testing.assert_allclose(blocks.residual, whole.residual, atol=1e-5)
    area = data.weights[:, None] / data.num_points
    turned = np.einsum("knc,lnc,nj->kl", blocks.modes, whole.modes, area)
    np.testing.assert_allclose(np.linalg.svd(turned, compute_uv=False), 1, atol=1e-3)  # the same space


def test_one_scale_for_channels_of_one_unit_else_one_for_each():
    data = travelling_waves()
    basis = compute_basis(data, None, modes=4)
    assert basis.scale[0] == basis.scale[1]
    mixed = compute_basis(dataclasses.replace(data, units=("m/s", "Pa")), None, modes=4)
    assert mixed.scale[0] != mixed.scale[1]
    valid = np.concatenate([np.broadcast_to(valid, (len(f), 256)) for f, valid in TrainingFlows(data)])
    of_channels = anomalies_of(mixed, data)[valid]
    np.testing.assert_allclose(np.mean(of_channels**2, axis=0), 1, rtol=1e-5)
    np.testing.assert_allclose(np.mean(anomalies_of(basis, data)[valid] ** 2), 1, rtol=1e-5)


def test_the_share_of_the_time_mean():
    """Temperatures of 300 K whose time mean varies by 20 K between points, and which vary by 0.5 K."""
    data, rng = on_a_sphere(), np.random.default_rng(0)
    steady = rng.normal(0, 20, data.num_points)
    data.flat_fields[..., 0] = 300 + steady + rng.normal(0, 0.5, data.flat_fields.shape[:-1])
    share = compute_basis(data, None, modes=4).time_mean_share
    variance = np.cov(steady, aweights=data.weights, bias=True)
    np.testing.assert_allclose(1 - share[0], 0.25 / (variance + 0.25), rtol=0.1)
    assert share[1] < 0.1, "waves of vorticity that travel"


def test_frames_that_are_all_equal_are_refused_and_a_channel_may_be():
    data = on_a_sphere()
    data.fields[..., 0] = data.fields[0, 0, ..., 0]
    basis = compute_basis(data, None, modes=4)
    assert basis.scale[0] == np.float32(data.std[0])
    assert basis.time_mean_share[0] == pytest.approx(1)
    data.fields[...] = data.fields[0, 0]
    with pytest.raises(SparseVQError, match="sphere: all training frames are equal"):
        compute_basis(data, None, modes=4)


def test_a_value_that_is_not_finite_is_an_error():
    data = scattered_waves(points=20)
    data.fields[1, 3, 7, 0] = np.nan
    with pytest.raises(SparseVQError, match="NaN or infinite values at valid points of a training trajectory"):
        compute_basis(data, None, modes=4)


# ------------------------------------------------------------------------------------------------ at any place


@pytest.mark.parametrize("grid", [(12,), (7, 9), (4, 5, 6)])
def test_at_grid_points_it_is_exact_and_between_them_linear(grid):
    data = travelling_waves(grid=grid, obstacle=False)
    basis = compute_basis(data, None, modes=4)
    there = basis.at(data, data.physical_coordinates)
    for name in ("mean", "modes", "residual"):
        np.testing.assert_allclose(getattr(there, name), getattr(basis, name), atol=1e-6)
    one, other = (0,) * len(grid), (0,) * (len(grid) - 1) + (1,)
    first, second = (np.ravel_multi_index(index, grid) for index in (one, other))
    place = 0.75 * data.physical_coordinates[first] + 0.25 * data.physical_coordinates[second]
    between = basis.at(data, place[None])
    np.testing.assert_allclose(between.mean[0], 0.75 * basis.mean[first] + 0.25 * basis.mean[second], atol=1e-6)
    expected = 0.75 * basis.modes[:, first] + 0.25 * basis.modes[:, second]
    np.testing.assert_allclose(between.modes[:, 0], expected, atol=1e-5)


def test_a_periodic_axis_wraps_and_another_ends():
    data = travelling_waves(grid=(5, 10), obstacle=False)  # x is periodic: 0, 0.1, ..., 0.9
    basis = compute_basis(data, None, modes=4)
    mean = basis.mean.reshape(5, 10, 2)
    places = np.array([[0.25, 0.95], [0.25, -0.05], [0.25, 1.95], [1.5, 0.3]])
    found = basis.at(data, places).mean
    for row in found[:3]:
        np.testing.assert_allclose(row, (mean[1, 9] + mean[1, 0]) / 2, atol=1e-6)
    np.testing.assert_allclose(found[3], mean[4, 3], atol=1e-6)


def test_points_that_are_always_inside_an_obstacle_do_not_reach_into_the_flow():
    data = travelling_waves()
    never = ~data.mask[data.trajectories("train")].any(axis=0)
    row, column = np.argwhere(never & ~np.roll(never, 1, axis=1))[0]  # the point before it is in the flow
    places = np.stack([data.physical_coordinates.reshape(16, 16, 2)[row, column - 1 : column + 1].mean(axis=0)])
    basis = compute_basis(data, None, modes=4)
    np.testing.assert_allclose(basis.at(data, places).mean[0], basis.mean.reshape(16, 16, 2)[row, column - 1])


def test_of_scattered_points_it_is_that_of_the_nearest():
    data = scattered_waves(points=40)
    basis = compute_basis(data, None, modes=4)
    found = basis.at(data, data.physical_coordinates[[3, 17]] + 1e-6)
    np.testing.assert_array_equal(found.modes, basis.modes[:, [3, 17]])
    np.testing.assert_array_equal(found.mean, basis.mean[[3, 17]])


# ------------------------------------------------------------------------------------------------ the file


@pytest.fixture
def folder(tmp_path):
    write_data(tmp_path / "data.h5", travelling_waves())
    make_basis(tmp_path / "data.h5", tmp_path / "basis.h5", BasisConfig(modes=5), Symmetries(reflect=("y",)))
    return tmp_path


def test_a_round_trip_keeps_everything_and_the_same_data_give_the_same_bytes(folder):
    basis = Run(folder).basis
    expected = compute_basis(read_data(folder / "data.h5"), Symmetries(reflect=("y",)), 5)
    for name in ("mean", "scale", "modes", "std", "residual", "time_mean_share", "weights"):
        np.testing.assert_array_equal(getattr(basis, name), getattr(expected, name), err_msg=name)
    assert basis.digest == Run(folder).digest("basis")
    assert basis.made_from == Run(folder).digests("data")
    make_basis(folder / "data.h5", folder / "again.h5", BasisConfig(modes=5), Symmetries(reflect=("y",)))
    assert (folder / "again.h5").read_bytes() == (folder / "basis.h5").read_bytes()


def test_a_run_finds_the_basis_beside_the_data_set(folder):
    run = folder / "n20" / "seed1"
    run.mkdir(parents=True)
    assert Run(run).has("basis")
    assert Run(run).basis.modes.shape == (5, 256, 2)


def test_a_run_without_a_basis_or_with_one_of_other_data_is_told_so(folder):
    write_data(folder / "data.h5", travelling_waves(seed=1))
    with pytest.raises(SparseVQError, match=r"was made from another data set .*--forcerun basis"):
        _ = Run(folder).basis
    (folder / "basis.h5").unlink()
    with pytest.raises(SparseVQError, match=r"has no basis.h5: the time mean and modes of the data set: make it"):
        _ = Run(folder).basis


def test_a_basis_that_is_mapped_is_the_same(folder):
    data, whole, mapped = read_data(folder / "data.h5"), *(read_basis(folder / "basis.h5", size) for size in (2**30, 0))
    assert isinstance(mapped.modes, np.memmap) and not isinstance(whole.modes, np.memmap)
    places = np.random.default_rng(0).uniform(0.2, 0.8, (7, 2))
    for where in (places, (slice(2, 5), slice(None)), (slice(None), slice(3, 9))):
        one, other = whole.at(data, where), mapped.at(data, where)
        for name in ("mean", "modes", "residual"):
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
        assert not isinstance(other.modes, np.memmap)
    np.testing.assert_array_equal(whole.leading(2).residual, mapped.leading(2).residual)
    np.testing.assert_array_equal(whole.leading(2).at(data, places).modes, mapped.leading(2).at(data, places).modes)


def test_a_part_of_the_grid_is_that_of_the_whole(folder):
    data, basis = read_data(folder / "data.h5"), read_basis(folder / "basis.h5")
    box = (slice(2, 5), slice(3, 9))
    points = np.arange(data.num_points).reshape(data.grid)[box].ravel()
    found = basis.at(data, box)
    np.testing.assert_array_equal(found.modes, basis.modes[:, points])
    np.testing.assert_array_equal(found.mean, basis.mean[points])
    np.testing.assert_array_equal(data.part(box), data.physical_coordinates[points])


def test_damage_is_named(folder):
    path = folder / "basis.h5"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(SparseVQError, match="is truncated"):
        read_basis(path)
    path.write_bytes(whole)
    with edited(path) as file:
        del file["std"]
        file["std"] = np.ones(4)
    with pytest.raises(SparseVQError, match=r"/std has shape \(4,\), not \(5\)"):
        read_basis(path)
    basis = compute_basis(travelling_waves(), None, 3)
    write_basis(path, dataclasses.replace(basis, scale=np.full(2, np.nan)), {})
    with pytest.raises(SparseVQError, match="scale is not finite"):
        read_basis(path)
