"""Fields on the device: normalised, augmented, gathered; the same as if each transformed field had been stored."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from sparsevq.config import Symmetries
from sparsevq.data.device_fields import DeviceFields, Views
from sparsevq.data.symmetries import symmetry_group
from tests.flows import travelling_waves

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


def test_every_symmetry_is_the_transformed_data_set():
    """A component whose mean is not nought, mirrored, is not minus its normalised value."""
    data = travelling_waves(grid=(6, 10))
    data = replace(data, mean=np.array([0.7, -0.4]), std=np.array([0.5, 2.0]))
    fields, group = DeviceFields(data, SYMMETRIES, CPU), symmetry_group(data, SYMMETRIES)
    assert fields.num_symmetries == len(group) == 20
    points = torch.tensor([0, 59, 31, 8, 22])
    rows = torch.tensor([(trajectory, frame) for trajectory in range(6) for frame in (0, 4, 11)])
    for element in range(20):
        stored = (data.flat_fields[:, :, group.source[element]] * group.sign[element]).reshape(data.fields.shape)
        mask = data.flat_mask[:, group.source[element]].reshape(data.mask.shape)
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


def test_the_data_set_itself_is_left_as_it_is():
    data = travelling_waves()
    before = data.fields.copy()
    fields = DeviceFields(data, Symmetries(), CPU)
    fields.gather(views((0, 0, 0)), torch.arange(4))[0].zero_()
    np.testing.assert_array_equal(data.fields, before)
