"""Which frames stages 2 and 3 see: every training trajectory as it is, and in other symmetry variants."""

import torch

from sparsevq.config import Symmetries
from sparsevq.data.device_fields import DeviceFields
from sparsevq.training.fields import training_views, variant_symmetries
from tests.flows import travelling_waves

CPU = torch.device("cpu")


def fields_with(**symmetries):
    return DeviceFields(travelling_waves(trajectories=9, frames=3, grid=(4, 6)), Symmetries(**symmetries), CPU)


def test_variant_zero_is_the_flow_as_simulated():
    chosen = variant_symmetries(fields_with(reflect=("x", "y")), 3, seed=1)
    assert chosen.shape == (3, 9)
    assert not chosen[0].any()


def test_variants_of_a_trajectory_differ_while_the_group_has_enough():
    fields = fields_with(roll={"x": 2})
    assert fields.num_symmetries == 5
    chosen = variant_symmetries(fields, 5, seed=1)
    assert all(sorted(column) == [0, 1, 2, 3, 4] for column in chosen.T.tolist())
    assert len({tuple(column) for column in chosen.T.tolist()}) > 3, "each trajectory has an order of its own"


def test_more_variants_than_the_group_has_come_round_again():
    chosen = variant_symmetries(fields_with(reflect=("y",)), 4, seed=1)
    assert chosen[1:].tolist() == [[1] * 9] * 3
    assert not variant_symmetries(fields_with(), 4, seed=1).any(), "without symmetries there is the flow itself alone"


def test_the_seed_decides():
    fields = fields_with(roll={"x": 2})
    assert torch.equal(variant_symmetries(fields, 3, seed=1), variant_symmetries(fields, 3, seed=1))
    assert not torch.equal(variant_symmetries(fields, 3, seed=1), variant_symmetries(fields, 3, seed=2))


def test_all_frames_of_all_variants_of_the_training_trajectories_are_seen():
    fields = fields_with(roll={"x": 2})
    data = travelling_waves(trajectories=9, frames=3, grid=(4, 6))
    data.split[2] = "test"
    symmetries = variant_symmetries(fields, 3, seed=1)
    views = training_views(data, fields, symmetries)
    seen = list(zip(views.trajectory.tolist(), views.frame.tolist(), views.symmetry.tolist(), strict=True))
    expected = [
        (trajectory, frame, int(symmetries[variant, trajectory]))
        for variant in range(3)
        for trajectory in (0, 1, 3, 4, 5, 6)
        for frame in range(3)
    ]
    assert seen == expected
