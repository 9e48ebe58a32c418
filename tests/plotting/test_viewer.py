"""What pictures of fields show: up is up, and of a field in space the plane that is worth seeing."""

import dataclasses

import numpy as np
import pytest
from matplotlib.figure import Figure

from sparsevq.plotting.painter import FieldPainter, error_colours, std_colours, value_colours
from sparsevq.plotting.viewer import FieldViewer, view_most_varied
from tests.flows import on_a_sphere, scattered_waves, travelling_waves


def view_of(data, fields=None):
    return view_most_varied(data, data.flat_fields[0] if fields is None else fields)


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
    assert view.shown_axes == ("x", "z")
    assert view.part == "y = 5 m"
    shown = view.shown(fields[0, :, 0])
    assert shown.shape == (12, 8)
    np.testing.assert_array_equal(np.argmax(shown, axis=1), np.clip(np.round(2 + 0.31 * np.arange(12)), 0, 7))
    np.testing.assert_array_equal(view.shown(data.physical_coordinates[:, names.index("z")])[:, 0], np.arange(12))


def test_a_plume_is_seen_from_the_side_even_if_the_ground_is_livelier():
    data, fields = box()
    fields = (
        fields + np.where(data.physical_coordinates[:, 2] == 0, np.sin(data.physical_coordinates[:, 0]), 0)[:, None]
    )
    assert view_of(data, 9 * fields).shown_axes[1] == "z"
    lying = dataclasses.replace(data, axes=dict(zip(("a", "b", "c"), data.axes.values(), strict=True)), axis_units={})
    assert view_of(lying, 9 * fields).shown_axes == ("b", "a"), "without a z it is the plane that varies most"


def test_what_is_inside_an_obstacle_is_no_variance():
    data, fields = box()
    valid = data.physical_coordinates[:, 1] < 8
    fields[:, ~valid] = np.nan
    assert view_of(data, fields).part == "y = 5 m"


def test_a_field_that_is_the_same_everywhere_is_cut_in_the_middle():
    data, fields = box()
    view = view_of(data, np.zeros_like(fields))
    assert view.part in ("y = 4 m", "y = 5 m")
    assert view.shown_axes == ("x", "z")


@pytest.mark.parametrize("names", [("x", "y", "z"), ("z", "y", "x"), ("y", "z", "x")])
def test_the_largest_value_along_the_line_of_sight(names):
    data, fields = box(names)
    view = dataclasses.replace(view_of(data, fields), layer=None)
    assert view.part == "largest along y"
    x, z = np.meshgrid(np.arange(8), np.arange(12))
    fields[:, data.physical_coordinates[:, names.index("y")] < 2] = np.nan
    np.testing.assert_allclose(view.shown(fields[0, :, 0]), np.exp(-((x - 2 - 0.31 * z) ** 2) - 0.2 * z))
    fields[0, (data.physical_coordinates[:, [names.index("x"), names.index("z")]] == 0).all(axis=1)] = np.nan
    shown = view.shown(fields[..., 0])
    assert np.isnan(shown[0, 0, 0]), "nothing on the way"
    assert np.isfinite(shown).sum() == shown.size - 1


def test_an_axis_of_one_point_is_left_out():
    data = travelling_waves(grid=(6, 8))
    viewer = FieldViewer({"y": data.axes["y"], "z": np.zeros(1), "x": data.axes["x"]}, {}, False)
    assert viewer.shown_axes == ("x", "y")
    np.testing.assert_array_equal(viewer.shown(data.flat_fields[0, 0, :, 0]), data.fields[0, 0, ..., 0])


def test_no_more_points_than_can_be_seen():
    axes = {"y": np.arange(900.0), "x": np.arange(30.0)}
    values = np.arange(27000.0)
    viewer = FieldViewer(axes, {}, False)
    assert viewer.shown(values).shape == (450, 30)
    np.testing.assert_array_equal(viewer.shown(values)[:, 0], 30 * viewer.along("y"))


def test_a_map_of_the_sphere_has_north_up_and_its_proportions():
    data = on_a_sphere(grid=(12, 24))
    view = view_of(data)
    assert view.shown_axes == ("lon", "lat")
    assert view.proportions == pytest.approx(165 / 345)
    width, height = view.panel_size()
    assert height / width == pytest.approx(165 / 345)
    turned = dataclasses.replace(
        data,
        fields=np.swapaxes(data.fields, 2, 3),
        mask=np.swapaxes(data.mask, 1, 2),
        axes={"lon": data.axes["lon"], "lat": data.axes["lat"]},
    )
    assert view_of(turned).shown_axes == ("lon", "lat")
    np.testing.assert_array_equal(
        view.shown(data.flat_fields[0, ..., 0]), view_of(turned).shown(turned.flat_fields[0, ..., 0])
    )
    west = np.array([[30.0, -15.0], [30.0, 345.0]])
    np.testing.assert_array_equal(view.places(west), [[345, 30], [345, 30]])


def test_a_strip_of_the_globe_is_stretched_until_something_is_seen():
    """Ten degrees of latitude all around the globe, in proportion, would be a line."""
    data = on_a_sphere(grid=(12, 24))
    strip = view_of(dataclasses.replace(data, axes={**data.axes, "lat": data.axes["lat"] / 18}))
    assert strip.proportions is None
    width, height = strip.panel_size()
    assert 0.3 < height / width < 0.7


def test_on_a_sphere_with_heights_a_map_is_shown():
    data = on_a_sphere(grid=(6, 8), frames=2)
    fields = np.stack([data.fields, 3 * data.fields, data.fields], axis=2)  # the middle height is the liveliest
    levels = {"level": np.array([0.0, 5.0, 9.0]), **data.axes}
    units = {**data.axis_units, "level": "km"}
    solid = dataclasses.replace(data, fields=fields, mask=np.ones((6, 3, 6, 8), bool), axes=levels, axis_units=units)
    view = view_of(solid)
    assert view.shown_axes == ("lon", "lat")
    assert view.part == "level = 5 km"


def test_scattered_points_are_drawn_where_they_are_and_grey_where_nothing_is():
    data = scattered_waves(points=60, dimensions=2)
    fields = data.flat_fields[0].copy()
    fields[:, :10] = np.nan
    view = view_of(data, fields)
    assert view.shown_axes == ("x", "y")
    sensors = data.physical_coordinates[[12, 30]]
    painter = FieldPainter(view, "pressure (Pa)", value_colours(fields[..., 0]), (1, 1))
    axes = Figure().subplots()
    dots = painter.draw(axes, view.shown(fields[2, :, 0]))
    np.testing.assert_allclose(dots.get_offsets(), data.physical_coordinates[:, ::-1])
    np.testing.assert_array_equal(dots.get_array().compressed(), fields[2, 10:, 0])
    np.testing.assert_allclose(painter.sensors(axes, sensors).get_offsets(), sensors[:, ::-1])
    painter.update(dots, view.shown(fields[3, :, 0]))
    np.testing.assert_array_equal(dots.get_array().compressed(), fields[3, 10:, 0])
    dots.update_scalarmappable()
    assert (dots.get_facecolors()[:10] == (0.6, 0.6, 0.6, 1)).all()
    assert not (dots.get_facecolors()[10:] == (0.6, 0.6, 0.6, 1)).all(axis=1).any()


@pytest.mark.parametrize(
    ("low", "high", "palette", "limits"),
    [
        (-1.0, 2.0, "RdBu_r", (-2, 2)),
        (-3.0, 1.0, "RdBu_r", (-3, 3)),
        (-0.1, 1.0, "cividis", (-0.1, 1)),
        (-1.0, 0.1, "cividis", (-1, 0.1)),
        (-2.0, -1.0, "cividis", (-2, -1)),
        (3.0, 3.0, "cividis", (3, 4)),
    ],
)
def test_white_is_zero_only_where_both_signs_are(low, high, palette, limits):
    colours = value_colours(np.array([low, np.nan, high]))
    assert colours.palette.name == palette
    assert (colours.norm.vmin, colours.norm.vmax) == limits


def test_a_few_points_do_not_wash_out_the_errors():
    errors = np.r_[np.linspace(-1, 1, 10000), 50, np.nan]
    assert error_colours(errors).norm.vmax == -error_colours(errors).norm.vmin == pytest.approx(1, abs=0.01)
    values = value_colours(np.r_[errors, -50], outliers=0.001)
    assert values.norm.vmax == -values.norm.vmin == pytest.approx(1, abs=0.01)


def test_colours_of_nothing():
    nothing = np.full(3, np.nan)
    for colours in (value_colours(nothing), error_colours(nothing), std_colours(nothing)):
        assert colours.norm.vmax == 1


def test_of_scattered_points_in_space_a_slab_is_shown():
    data = scattered_waves(points=1000, dimensions=3)
    at = data.physical_coordinates
    fields = np.where(np.abs(at[:, 1] - 0.7) < 0.1, np.sin(20 * at[:, 2]), 0)[None, :, None] * data.std + data.mean
    view = view_of(data, fields)
    assert view.shown_axes == ("x", "z")
    shown = view.shown(at[:, 1])
    assert 0.5 < shown.min() < 0.7 < shown.max() < 0.9
    assert len(shown) == 200  # five slabs across each axis
    assert view.part.startswith("y = 0.")


def test_points_on_a_line_are_drawn_in_order():
    data = scattered_waves(points=30, dimensions=1)
    view = view_of(data)
    assert (np.diff(view.along("x")) > 0).all()
    assert view.is_line
