"""Symmetries are numpy's flip and roll of the field, with the signs of the physics."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from sparsevq.config import Symmetries
from sparsevq.data.symmetries import symmetry_group
from sparsevq.errors import SparseVQError
from sparsevq.simulators.torus import Torus
from tests.flows import on_a_sphere, scattered_waves, travelling_waves


def transformed(data, group, element):
    """All frames under one element of the group, (T, F, *grid, C)."""
    source = group.source(element, np.arange(data.num_points))
    return (data.flat_fields[:, :, source] * group.sign[element]).reshape(data.fields.shape)


def index_of(data, group, expected):
    """The one element of the group that transforms the data to `expected`."""
    found = [element for element in range(len(group)) if np.array_equal(transformed(data, group, element), expected)]
    assert len(found) == 1
    return found[0]


def test_without_symmetries_there_is_the_flow_itself_alone():
    data = travelling_waves()
    group = symmetry_group(data, Symmetries())
    assert len(group) == 1
    np.testing.assert_array_equal(transformed(data, group, 0), data.fields)


@pytest.mark.parametrize(("axis", "dimension", "signs"), [("y", 2, (1, -1)), ("x", 3, (-1, 1))])
def test_a_mirror_flips_the_field_and_the_component_across_it(axis, dimension, signs):
    data = travelling_waves(grid=(6, 10))
    group = symmetry_group(data, Symmetries(reflect=(axis,)))
    assert len(group) == 2
    np.testing.assert_array_equal(transformed(data, group, 0), data.fields)
    np.testing.assert_array_equal(transformed(data, group, 1), np.flip(data.fields, dimension) * signs)


def test_a_shift_rolls_the_field():
    data = travelling_waves(grid=(6, 10))
    group = symmetry_group(data, Symmetries(roll={"x": 3}))
    assert len(group) == 7, "-3 ... 3"
    for shift in range(-3, 4):
        index_of(data, group, np.roll(data.fields, shift, 3))


def test_axes_that_are_shifted_together_go_all_the_way_round():
    data = replace(travelling_waves(grid=(6, 10)), periodic=("x", "y"))
    group = symmetry_group(data, Symmetries(roll_together={"x": 1, "y": -2}))
    assert len(group) == 30, "x is back after 10 steps, y after 3"
    for step in range(30):
        rolled = np.roll(data.fields, (step, -2 * step), (3, 2))
        np.testing.assert_array_equal(transformed(data, group, step), rolled)


def test_a_shift_along_its_crests_leaves_the_forcing_of_navier_stokes_as_it_is():
    torus = Torus(16, 1e-3, 0.1, 0.02)
    start = np.random.default_rng(0).standard_normal((16, 16))
    first, shifted = (
        torus.fields(torus.run(torus.spectrum(field), 50))[..., 0] for field in (start, np.roll(start, (3, -3), (1, 0)))
    )
    assert np.abs(first - start).max() > 0.1
    np.testing.assert_allclose(np.roll(first, (3, -3), (1, 0)), shifted, atol=1e-10)


def test_mirrors_and_shifts_combine_and_the_first_is_the_identity():
    data = travelling_waves(grid=(6, 10))
    group = symmetry_group(data, Symmetries(reflect=("x", "y"), roll={"x": 2}))
    assert len(group) == 2 * 2 * 5
    np.testing.assert_array_equal(transformed(data, group, 0), data.fields)
    places = set()
    for mirror_x, mirror_y, shift in product((False, True), (False, True), range(-2, 3)):
        flips = (3,) * mirror_x + (2,) * mirror_y
        signs = np.array([-1 if mirror_x else 1, -1 if mirror_y else 1])
        places.add(index_of(data, group, np.flip(np.roll(data.fields, shift, 3), flips) * signs))
    assert places == set(range(len(group)))


@pytest.mark.parametrize("grid", [(12,), (7, 9), (4, 5, 6)])
def test_each_element_moves_every_point_to_one_place(grid):
    data = travelling_waves(grid=grid)
    mirrors = tuple(name for name in data.axes if name != "x")
    group = symmetry_group(data, Symmetries(reflect=mirrors, roll={"x": 2}))
    assert len(group) == 5 * 2 ** len(mirrors)
    source = group.source(np.arange(len(group))[:, None], np.arange(data.num_points))
    assert (np.sort(source, axis=1) == np.arange(data.num_points)).all()
    assert (abs(group.sign) == 1).all()
    assert len({(*moved, *sign) for moved, sign in zip(source, group.sign, strict=True)}) == len(group)


def test_a_group_takes_the_memory_of_axes_not_of_points():
    """All shifts and mirrors of a map of 360 longitudes: 1442 elements, whose points would take 750 MB."""
    data = on_a_sphere(grid=(180, 360), trajectories=3, frames=2)
    group = symmetry_group(data, Symmetries(reflect=("lat",), roll={"lon": 360}))
    assert len(group) == 2 * 721
    assert sum(table.nbytes for table in group.along) <= 8 * len(group) * (180 + 360)


@pytest.mark.parametrize("symmetries", [{"reflect": ("y",)}, {"reflect": ("x", "y")}, {"roll": {"x": 3}}])
def test_a_transformed_flow_has_no_divergence_either(symmetries):
    """With a wrong sign the divergence would be as large as the gradients."""
    data = travelling_waves(trajectories=3, frames=2, grid=(64, 64), obstacle=False)
    group = symmetry_group(data, Symmetries(**symmetries))
    spacing = data.axes["y"][1], data.axes["x"][1]
    for element in range(len(group)):
        flow = transformed(data, group, element)
        inside = np.s_[:, :, 4:-4, 4:-4]
        along = np.gradient(flow[..., 0], spacing[1], axis=3)[inside]
        across = np.gradient(flow[..., 1], spacing[0], axis=2)[inside]
        assert abs(along + across).max() < 0.05 * abs(along).max()


def test_vorticity_changes_its_sign_under_each_mirror():
    data = replace(travelling_waves(grid=(6, 10)), channels=("u", "vorticity"))
    group = symmetry_group(data, Symmetries(reflect=("x", "y")))
    once, twice = np.flip(data.fields, 2) * (1, -1), np.flip(data.fields, (2, 3)) * (-1, 1)
    index_of(data, group, once)
    index_of(data, group, twice)


def test_a_scalar_keeps_its_sign():
    data = replace(travelling_waves(), channels=("u", "pressure"), vector={"u": "x"})
    group = symmetry_group(data, Symmetries(reflect=("x", "y")))
    assert (group.sign[:, 1] == 1).all()


def uneven(data):
    return replace(data, axes={**data.axes, "y": data.axes["y"] ** 2})


def vorticity_in_space(data):
    return replace(travelling_waves(grid=(4, 4, 4)), channels=("u", "vorticity"))


@pytest.mark.parametrize(
    ("change", "symmetries", "message"),
    [
        (None, {"reflect": ("z",)}, "waves has no axis 'z': choose among y, x"),
        (None, {"roll": {"time": 1}}, "waves has no axis 'time': choose among y, x"),
        (None, {"roll": {"y": 1}}, "axis 'y' of waves is not periodic: periodic are: x"),
        (None, {"roll_together": {"x": 1, "z": 1}}, "waves has no axis 'z': choose among y, x"),
        (None, {"roll_together": {"x": 1, "y": 1}}, "axis 'y' of waves is not periodic: periodic are: x"),
        (uneven, {"reflect": ("y",)}, "axis 'y' of waves is not evenly spaced"),
        (vorticity_in_space, {"reflect": ("y",)}, "vorticity is a pseudo-scalar in two dimensions only"),
    ],
)
def test_a_symmetry_that_the_data_does_not_have_is_one_line(change, symmetries, message):
    data = travelling_waves()
    with pytest.raises(SparseVQError, match=message) as caught:
        symmetry_group(change(data) if change else data, Symmetries(**symmetries))
    assert str(caught.value).startswith("stage1.symmetries")
    assert "\n" not in str(caught.value)


def test_a_flow_on_a_sphere_is_mirrored_across_the_equator_and_turned_about_the_axis():
    data = on_a_sphere(grid=(6, 8))
    group = symmetry_group(data, Symmetries(reflect=("lat",), roll={"lon": 4}))
    assert len(group) == 2 * 9
    field = data.fields[0, 0].reshape(-1, 2)
    mirrored = (group.sign[9] * field[group.source(9, np.arange(48))]).reshape(6, 8, 2)
    np.testing.assert_array_equal(mirrored[..., 0], data.fields[0, 0, ::-1, :, 0])  # height
    np.testing.assert_array_equal(mirrored[..., 1], -data.fields[0, 0, ::-1, :, 1])  # vorticity changes its sign


def test_latitudes_of_one_hemisphere_have_no_mirror():
    data = on_a_sphere(grid=(6, 8))
    north = replace(data, axes={**data.axes, "lat": 45 + data.axes["lat"] / 2})
    with pytest.raises(SparseVQError, match="not the same on both sides of the equator"):
        symmetry_group(north, Symmetries(reflect=("lat",)))


def test_scattered_points_have_no_symmetry_but_themselves():
    data = scattered_waves(points=20)
    assert len(symmetry_group(data, Symmetries())) == 1
    with pytest.raises(SparseVQError, match="not a grid"):
        symmetry_group(data, Symmetries(reflect=("x",)))


def test_a_rotating_sphere_has_no_mirror_along_the_longitude():
    with pytest.raises(SparseVQError, match="the sphere rotates the other way"):
        symmetry_group(on_a_sphere(grid=(6, 8)), Symmetries(reflect=("lon",)))
