"""Batches on the device: normalised, augmented, gathered; the same as if each transformed field had been stored."""

import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from sparsevq.basis.basis import compute_basis
from sparsevq.config import Symmetries
from sparsevq.data import device_fields, mapped_rows
from sparsevq.data.device_fields import DeviceFields, Views
from sparsevq.data.field_data import FieldData
from sparsevq.data.layout import read_data, write_data
from sparsevq.data.symmetries import symmetry_group
from sparsevq.errors import SparseVQError
from tests.edited import edited
from tests.flows import on_a_sphere, scattered_waves, travelling_waves

CPU = torch.device("cpu")
SYMMETRIES = Symmetries(reflect=("x", "y"), roll={"x": 2})


def views(*rows):
    return Views(*torch.tensor(rows).T)


def test_values_are_normalised_by_the_training_split():
    data = travelling_waves()
    fields = DeviceFields(data, Symmetries(), CPU)
    points = torch.tensor([3, 200, 17])
    values, valid = fields.gather(views((1, 5, 0), (4, 0, 0)), points)
    expected = np.stack([data.flat_fields[1, 5, points], data.flat_fields[4, 0, points]])
    np.testing.assert_allclose(values, (expected - data.mean) / data.std, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(valid, data.flat_mask[[1, 4]][:, points])


def test_physical_undoes_normalisation():
    data = travelling_waves()
    fields = DeviceFields(data, Symmetries(), CPU)
    values, _ = fields.gather(views((2, 7, 0)), torch.arange(fields.points))
    np.testing.assert_allclose(fields.physical(values)[0], data.flat_fields[2, 7], rtol=1e-5, atol=1e-5)


def test_with_a_basis_values_are_anomalies_about_the_mean_of_each_point():
    """Over the training frames their time mean is 0 and their rms 1, and `physical` undoes it, at some points too."""
    data = travelling_waves(obstacle=False)
    basis = compute_basis(data, None, modes=2)
    fields = DeviceFields(data, Symmetries(), CPU, basis)
    training = fields.views(torch.from_numpy(data.trajectories("train")), torch.arange(fields.frames))
    values, _ = fields.gather(training, torch.arange(fields.points))
    torch.testing.assert_close(values.mean(0), torch.zeros(256, 2), rtol=0, atol=1e-5)
    area = fields.weights[:, None]
    torch.testing.assert_close((values.square() * area).mean().sqrt(), torch.tensor(1.0), rtol=1e-4, atol=0)
    points = torch.tensor([3, 200, 17])
    some, _ = fields.gather(training, points)
    assert torch.equal(some, values[:, points])
    expected = data.flat_fields[data.trajectories("train")].reshape(-1, 256, 2)
    np.testing.assert_allclose(fields.physical(values), expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(fields.physical(some, points), expected[:, points], rtol=1e-5, atol=1e-5)


def test_a_mirrored_frame_is_normalised_by_the_mean_of_where_it_is():
    data = travelling_waves(grid=(6, 10), obstacle=False)
    fields = DeviceFields(data, Symmetries(reflect=("y",)), CPU, compute_basis(data, None, modes=2))
    values, _ = fields.gather(views((1, 5, 1)), torch.arange(60))
    mirrored = data.fields[1, 5, ::-1] * [1, -1]
    np.testing.assert_allclose(fields.physical(values)[0], mirrored.reshape(60, 2), rtol=1e-4, atol=1e-5)


def test_every_symmetry_is_the_transformed_data_set():
    """A component whose mean is not 0, mirrored, is not minus its normalised value."""
    data = travelling_waves(grid=(6, 10))
    data = replace(data, mean=np.array([0.7, -0.4]), std=np.array([0.5, 2.0]))
    fields, group = DeviceFields(data, SYMMETRIES, CPU), symmetry_group(data, SYMMETRIES)
    assert fields.num_symmetries == len(group) == 20
    points = torch.tensor([0, 59, 31, 8, 22])
    rows = torch.tensor([(trajectory, frame) for trajectory in range(6) for frame in (0, 4, 11)])
    for element in range(20):
        source = group.source(element, np.arange(data.num_points))
        stored = (data.flat_fields[:, :, source] * group.sign[element]).reshape(data.fields.shape)
        mask = data.flat_mask[:, source].reshape(data.mask.shape)
        plain = DeviceFields(replace(data, fields=stored, mask=mask), Symmetries(), CPU)
        augmented = fields.gather(Views(rows[:, 0], rows[:, 1], torch.full((18,), element)), points)
        expected = plain.gather(Views(rows[:, 0], rows[:, 1], torch.zeros(18, dtype=torch.long)), points)
        torch.testing.assert_close(augmented[0], expected[0], rtol=1e-4, atol=1e-5)
        assert torch.equal(augmented[1], expected[1])


def test_frames_of_a_batch_may_each_have_their_own_symmetry():
    fields = DeviceFields(travelling_waves(grid=(6, 10)), SYMMETRIES, CPU)
    rows = [(trajectory, frame, element) for trajectory in (0, 3) for frame in (2, 9) for element in (0, 7, 19)]
    points = torch.arange(60)
    values, valid = fields.gather(views(*rows), points)
    for index, row in enumerate(rows):
        one, where = fields.gather(views(row), points)
        assert torch.equal(values[index], one[0])
        assert torch.equal(valid[index], where[0])


def test_all_frames_of_some_trajectories():
    fields = DeviceFields(travelling_waves(frames=3), SYMMETRIES, CPU)
    everything = fields.views(torch.tensor([4, 1]), torch.tensor([0, 2]))
    assert len(everything) == 4
    assert everything.trajectory.tolist() == [4, 4, 1, 1]
    assert everything.frame.tolist() == [0, 2, 0, 2]
    assert everything.symmetry.tolist() == [0, 0, 0, 0]
    part = everything[1:3]
    assert (part.trajectory.tolist(), part.frame.tolist()) == ([4, 1], [2, 0])


@pytest.mark.parametrize("grid", [(12,), (7, 9), (4, 5, 6)])
def test_any_number_of_dimensions(grid):
    data = travelling_waves(grid=grid)
    fields = DeviceFields(data, Symmetries(roll={"x": 1}), CPU)
    assert (fields.trajectories, fields.frames, fields.points) == (6, 12, np.prod(grid))
    values, _ = fields.gather(views((0, 0, 0)), torch.arange(fields.points))
    np.testing.assert_allclose(fields.physical(values)[0], data.flat_fields[0, 0], rtol=1e-5, atol=1e-5)


def test_the_data_set_itself_is_not_changed():
    data = travelling_waves()
    before = data.fields.copy()
    fields = DeviceFields(data, Symmetries(), CPU)
    fields.gather(views((0, 0, 0)), torch.arange(4))[0].zero_()
    np.testing.assert_array_equal(data.fields, before)


def test_in_memory_nothing_is_copied():
    data = travelling_waves(trajectories=20, grid=(64, 64))
    tracemalloc.start()
    try:
        fields = DeviceFields(data, Symmetries(), CPU)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 0.1 * data.fields.nbytes
    data.fields[3, 4, 5, 6] = 7.0  # it is the same memory
    values, _ = fields.gather(views((3, 4, 0)), torch.tensor([5 * 64 + 6]))
    np.testing.assert_allclose(fields.physical(values), 7.0, rtol=1e-6)


def test_areas_are_the_data_sets():
    data = on_a_sphere()
    np.testing.assert_allclose(DeviceFields(data, Symmetries(), CPU).weights, data.weights, rtol=1e-6)


# ------------------------------------------------------------------------------------------------ mapped


def written(data: FieldData, folder: Path) -> Path:
    write_data(folder / "data.h5", data)
    return folder / "data.h5"


@pytest.mark.parametrize(
    ("data", "symmetries"),
    [
        (travelling_waves(grid=(12,)), Symmetries(roll={"x": 1})),
        (travelling_waves(grid=(6, 10)), SYMMETRIES),
        (travelling_waves(grid=(24, 50)), SYMMETRIES),  # frames of several pages
        (travelling_waves(grid=(4, 5, 6)), Symmetries(reflect=("z",))),
        (on_a_sphere(), Symmetries(roll={"lon": 3})),
        (scattered_waves(), Symmetries()),
    ],
)
@pytest.mark.parametrize("ahead", [0, 2**16])
def test_mapped_batches_are_the_same_to_the_last_bit(tmp_path, monkeypatch, data, symmetries, ahead):
    """Whether frames are read ahead or page by page."""
    monkeypatch.setattr(mapped_rows, "PAGE_COST", ahead)
    path = written(data, tmp_path)
    whole = DeviceFields(read_data(path), symmetries, CPU)
    mapped = DeviceFields(read_data(path, in_memory=0), symmetries, CPU)
    generator = torch.Generator().manual_seed(0)
    for count in (1, 5, 40):
        chosen = Views(
            torch.randint(whole.trajectories, (count,), generator=generator),
            torch.randint(whole.frames, (count,), generator=generator),
            torch.randint(whole.num_symmetries, (count,), generator=generator),
        )
        for points in (torch.arange(whole.points), torch.randint(whole.points, (7,), generator=generator)):
            expected, found = whole.gather(chosen, points), mapped.gather(chosen, points)
            assert torch.equal(found[0], expected[0])
            assert torch.equal(found[1], expected[1])


def test_what_a_mapped_file_holds_inside_obstacles_never_matters(tmp_path):
    path = written(travelling_waves(), tmp_path)
    expected, valid = DeviceFields(read_data(path), Symmetries(), CPU).gather(views((1, 5, 0)), torch.arange(256))
    assert not valid.all()
    with edited(path) as file:
        stored, mask = file["fields"][()], file["mask"][()]
        stored[~np.broadcast_to(mask[:, None, ..., None], stored.shape)] = np.nan
        file["fields"][...] = stored
    mapped = DeviceFields(read_data(path, in_memory=0), Symmetries(), CPU)
    assert torch.equal(mapped.gather(views((1, 5, 0)), torch.arange(256))[0], expected)


def test_a_value_of_a_mapped_file_that_is_not_finite_is_an_error_of_one_line(tmp_path):
    """Values of a large file are not checked when it is opened."""
    data = travelling_waves()
    path = written(data, tmp_path)
    point = int(np.flatnonzero(data.flat_mask[4])[9])
    with edited(path) as file:
        file["fields"][(4, 11, *np.unravel_index(point, data.grid), 1)] = np.inf
    fields = DeviceFields(read_data(path, in_memory=0), Symmetries(), CPU)
    fields.gather(views((0, 1, 0), (4, 10, 0)), torch.arange(256))
    with pytest.raises(SparseVQError, match=r"waves: NaN or infinite .* trajectory 4, frame 11: .*data validate"):
        fields.gather(views((0, 1, 0), (4, 11, 0)), torch.tensor([point]))


def test_a_mapped_data_set_needs_memory_for_its_batches_alone(tmp_path):
    data = travelling_waves(trajectories=40, grid=(64, 64))
    path = written(data, tmp_path)
    size = data.fields.nbytes
    tracemalloc.start()
    try:
        fields = DeviceFields(read_data(path, in_memory=0), Symmetries(), CPU)
        fields.gather(views((0, 1, 0), (4, 10, 0)), torch.arange(256))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 0.1 * size


# ------------------------------------------------------------------------------------------------ on another device


ELSEWHERE = torch.device("meta")
"""Nothing can come back from it: what would need it is an error."""


@pytest.fixture
def large(monkeypatch):
    """No data set fits on a device."""
    monkeypatch.setattr(device_fields, "fits", lambda size, device: False)


@pytest.mark.parametrize("in_memory", [0, 2**32])
def test_of_fields_on_the_host_nothing_has_to_come_back_from_the_device(tmp_path, large, capsys, in_memory):
    data = read_data(written(travelling_waves(grid=(6, 10)), tmp_path), in_memory)
    fields = DeviceFields(data, SYMMETRIES, ELSEWHERE)
    assert "left on the host" in capsys.readouterr().out
    values, valid = fields.gather(views((1, 5, 0), (4, 0, 7)), torch.tensor([3, 20, 17]))
    assert values.device == valid.device == ELSEWHERE
    assert (values.shape, valid.shape, valid.dtype) == ((2, 3, 2), (2, 3), torch.bool)
    assert fields.slow


@pytest.mark.parametrize("in_memory", [0, 2**32])
def test_what_is_sent_was_gathered_once_into_the_memory_that_is_copied(tmp_path, monkeypatch, large, in_memory):
    data = read_data(written(travelling_waves(), tmp_path), in_memory)
    fields, made, make = DeviceFields(data, Symmetries(), ELSEWHERE), [], device_fields.host_buffer
    crossed, send = [], device_fields.sent

    def noted(shape, kind, device):
        assert device == ELSEWHERE
        made.append(make(shape, kind, device))
        return made[-1]

    def crossing(tensor, device):
        if tensor.device.type == "cpu" and device == ELSEWHERE:
            crossed.append(tensor)
        return send(tensor, device)

    monkeypatch.setattr(device_fields, "host_buffer", noted)
    monkeypatch.setattr(device_fields, "sent", crossing)
    chosen, points = views((1, 5, 0), (4, 0, 0)), torch.tensor([3, 200, 17])
    fields.gather(chosen, points)
    expected = DeviceFields(data, Symmetries(), CPU)
    values, valid = made
    truth, where = expected.gather(chosen, points)
    torch.testing.assert_close((values - expected.mean[points]) / expected.std, truth)
    assert torch.equal(valid.view(2, 3), where)
    for buffer in made:
        assert any(tensor.data_ptr() == buffer.data_ptr() for tensor in crossed)


@pytest.mark.parametrize("in_memory", [0, 2**32])
def test_fields_that_fit_are_copied_to_the_device_mapped_or_not(tmp_path, monkeypatch, capsys, in_memory):
    copied, asked = [], []

    def copy(device, data):
        copied.append(device)
        return torch.empty(data.fields[..., 0].size, 2, device=device)

    def fit(size, device):
        asked.append(size)
        return True

    monkeypatch.setattr(device_fields, "frames_on", copy)
    monkeypatch.setattr(device_fields, "fits", fit)
    data = read_data(written(travelling_waves(), tmp_path), in_memory)
    fields = DeviceFields(data, Symmetries(), ELSEWHERE)
    assert copied == [ELSEWHERE]
    assert asked == [data.fields.nbytes]
    assert not fields.slow
    assert "copied to meta" in capsys.readouterr().out
    assert fields.gather(views((1, 5, 0)), torch.tensor([3]))[0].device == ELSEWHERE


def test_on_the_cpu_only_a_file_is_slow(tmp_path, capsys):
    path = written(travelling_waves(), tmp_path)
    assert not DeviceFields(read_data(path), Symmetries(), CPU).slow
    assert DeviceFields(read_data(path, in_memory=0), Symmetries(), CPU).slow
    assert not capsys.readouterr().out
