"""What pictures of fields show: up is up, and of a field in space the plane that is worth seeing."""

import dataclasses

import numpy as np
import pytest
from matplotlib.figure import Figure

from sparsevq.evaluation.figures.painter import FieldPainter, panel_size
from sparsevq.evaluation.figures.view import choose_view
from tests.flows import on_a_sphere, scattered_waves, travelling_waves


def view_of(data, fields=None, valid=None):
    fields = data.flat_fields[0] if fields is None else fields
    return choose_view(data, fields, np.ones(data.num_points, bool) if valid is None else valid)


def box(names=("x", "y", "z")):
    """Space with its axes in any order, and a plume at x = 2 m that rises in y = 5 m, hottest at the ground."""
    grid = {"x": 8, "y": 10, "z": 12}
    flow = travelling_waves(frames=3, grid=tuple(grid[name] for name in names), obstacle=False)
    axes = {name: np.arange(grid[name], dtype=float) for name in names}
    data = dataclasses.replace(flow, axes=axes, axis_units=dict.fromkeys(names, "m"), periodic=())
    data.mean[:], data.std[:] = 0, 1
    x, y, z = (data.physical_coordinates[:, names.index(name)] for name in "xyz")
    plume = np.exp(-((x - 2 - 0.31 * z) ** 2) - (y - 5) ** 2 - 0.2 * z)
    return data, (plume[None, :, None] * np.array([1.0, 0.0])).repeat(3, axis=0)


@pytest.mark.parametrize("names", [("x", "y", "z"), ("z", "y", "x"), ("y", "z", "x")])
def test_a_plume_is_seen_from_the_side_and_rises(names):
    data, fields = box(names)
    view = view_of(data, fields)
    assert view.axes == ("x", "z")
    assert view.plane == "y = 5 m"
    assert view.points.shape == (12, 8)
    shown = fields[0, view.points, 0]
    np.testing.assert_array_equal(np.argmax(shown, axis=1), np.clip(np.round(2 + 0.31 * np.arange(12)), 0, 7))
    np.testing.assert_array_equal(data.physical_coordinates[view.points][:, 0, names.index("z")], np.arange(12))


def test_a_plume_is_seen_from_the_side_even_if_the_ground_is_livelier():
    data, fields = box()
    fields = (
        fields + np.where(data.physical_coordinates[:, 2] == 0, np.sin(data.physical_coordinates[:, 0]), 0)[:, None]
    )
    assert view_of(data, 9 * fields).axes[1] == "z"
    lying = dataclasses.replace(data, axes=dict(zip(("a", "b", "c"), data.axes.values(), strict=True)), axis_units={})
    assert view_of(lying, 9 * fields).axes == ("b", "a"), "without a z it is the plane that varies most"


def test_what_is_inside_an_obstacle_is_no_variance():
    data, fields = box()
    valid = data.physical_coordinates[:, 1] < 8
    fields[:, ~valid] = np.random.default_rng(0).normal(0, 1e6, (3, (~valid).sum(), 2))
    assert view_of(data, fields, valid).plane == "y = 5 m"
    fields[:, ~valid] = np.nan
    assert view_of(data, fields, valid).plane == "y = 5 m"


def test_a_field_that_is_the_same_everywhere_is_cut_in_the_middle():
    data, fields = box()
    view = view_of(data, np.zeros_like(fields))
    assert view.plane in ("x = 3 m", "x = 4 m")


def test_a_map_of_the_sphere_has_north_up_and_its_proportions():
    data = on_a_sphere(grid=(12, 24))
    view = view_of(data)
    assert view.axes == ("lon", "lat")
    assert view.proportions == pytest.approx(165 / 345)
    width, height = panel_size(view)
    assert height / width == pytest.approx(165 / 345)
    turned = dataclasses.replace(
        data,
        fields=np.swapaxes(data.fields, 2, 3),
        mask=np.swapaxes(data.mask, 1, 2),
        axes={"lon": data.axes["lon"], "lat": data.axes["lat"]},
    )
    assert view_of(turned).axes == ("lon", "lat")
    np.testing.assert_array_equal(data.flat_fields[0][:, view.points], turned.flat_fields[0][:, view_of(turned).points])


def test_on_a_sphere_with_heights_a_map_is_shown():
    data = on_a_sphere(grid=(6, 8), frames=2)
    fields = np.stack([data.fields, 3 * data.fields, data.fields], axis=2)  # the middle height is the liveliest
    levels = {"level": np.array([0.0, 5.0, 9.0]), **data.axes}
    units = {**data.axis_units, "level": "km"}
    solid = dataclasses.replace(data, fields=fields, mask=np.ones((6, 3, 6, 8), bool), axes=levels, axis_units=units)
    view = view_of(solid)
    assert view.axes == ("lon", "lat")
    assert view.plane == "level = 5 km"


def test_scattered_points_are_drawn_where_they_are_and_exist():
    data = scattered_waves(points=60, dimensions=2)
    valid = np.arange(60) >= 10
    view = view_of(data, valid=valid)
    assert view.axes == ("x", "y")
    np.testing.assert_array_equal(view.points, np.arange(10, 60))
    sensors = np.array([12, 30])
    fields = data.flat_fields[0]
    painter = FieldPainter(view, 0, valid, sensors, fields, [fields - fields.mean()], (1, 1))
    axes = Figure().subplots()
    dots = painter.draw(axes, fields[2])
    np.testing.assert_allclose(dots.get_offsets(), data.physical_coordinates[10:, ::-1])
    np.testing.assert_array_equal(dots.get_array(), fields[2, 10:, 0])
    np.testing.assert_allclose(painter.sensors(axes).get_offsets(), data.physical_coordinates[sensors][:, ::-1])
    painter.update(dots, fields[3])
    np.testing.assert_array_equal(dots.get_array(), fields[3, 10:, 0])


def test_of_scattered_points_in_space_a_slab_is_shown():
    data = scattered_waves(points=1000, dimensions=3)
    at = data.physical_coordinates
    fields = np.where(np.abs(at[:, 1] - 0.7) < 0.1, np.sin(20 * at[:, 2]), 0)[None, :, None] * data.std + data.mean
    view = view_of(data, fields)
    assert view.axes == ("x", "z")
    shown = at[view.points, 1]
    assert 0.5 < shown.min() < 0.7 < shown.max() < 0.9
    assert len(shown) == 200  # five slabs across each axis
    assert view.plane.startswith("y = 0.")


def test_points_on_a_line_are_drawn_in_order():
    data = scattered_waves(points=30, dimensions=1)
    view = view_of(data)
    assert (np.diff(view.along("x")) > 0).all()
    assert view.is_line
