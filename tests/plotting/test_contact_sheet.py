"""The contact sheet shows every split, right side up, one scale of colours a channel, and says what is left out."""

import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest
from matplotlib.collections import PathCollection, QuadMesh
from PIL import Image

from sparsevq.data.field_data import FieldData
from sparsevq.data.source import Source
from sparsevq.plotting import contact_sheet
from sparsevq.plotting.contact_sheet import draw_contact_sheet
from sparsevq.readers.data_set import as_source
from tests.flows import on_a_sphere, scattered_waves, travelling_waves


def source_of(data: FieldData) -> Source:
    return as_source(data, data.name)


@pytest.fixture
def figure_of(monkeypatch):
    """The figure that a source is drawn as."""
    drawn = []
    monkeypatch.setattr(contact_sheet, "save", lambda figure, path: drawn.append(figure) or path)

    def draw(source, **options):
        draw_contact_sheet(source_of(source) if isinstance(source, FieldData) else source, Path("unused"), **options)
        return drawn[-1]

    return draw


def texts(figure):
    """Titles of the sheet, of its blocks, of rows and of columns, in that order."""
    whole = [figure, *figure.subfigs]
    parts = [text for part in whole for text in ([part._suptitle] if part._suptitle else [])]
    parts += [text for axes in figure.axes for text in (axes.title, *axes.texts)]
    return [text.get_text().strip() for text in parts if text.get_text().strip()]


def panels(figure, kind=QuadMesh):
    """Pictures in the order that they were drawn, colour bars left out."""
    found = [next((item for item in axes.collections if isinstance(item, kind)), None) for axes in figure.axes]
    return [item for axes, item in zip(figure.axes, found, strict=True) if item is not None and not is_bar(axes)]


def is_bar(axes):
    return axes.yaxis.get_label_position() == "right"


ALL = {
    "line": lambda: travelling_waves(trajectories=9, frames=5, grid=(32,)),
    "plane": lambda: travelling_waves(trajectories=9, frames=5),
    "long plane": lambda: long_plane(),
    "space": lambda: travelling_waves(trajectories=9, frames=5, grid=(6, 8, 8)),
    "sphere": lambda: on_a_sphere(trajectories=9, frames=5),
    "points": lambda: scattered_waves(trajectories=9, frames=5),
    "points in space": lambda: scattered_waves(trajectories=9, frames=5, dimensions=3),
    "points on a line": lambda: scattered_waves(trajectories=9, frames=5, dimensions=1),
}


def long_plane():
    """A channel five times as long as it is high."""
    data = travelling_waves(trajectories=9, frames=5)
    return dataclasses.replace(data, axes={"y": data.axes["y"], "x": 5 * data.axes["x"]})


@pytest.mark.parametrize("kind", ALL)
def test_a_sheet_of_every_kind_of_domain(kind, tmp_path):
    data = ALL[kind]()
    path = draw_contact_sheet(source_of(data), tmp_path / "sheet.png", "mine")
    with Image.open(path) as picture:
        assert max(picture.size) < 150 * 16
        assert len(picture.convert("RGB").getcolors(1 << 24)) > 50
    assert list(tmp_path.iterdir()) == [path]


def test_every_split_is_drawn_and_what_is_left_out_is_said(figure_of):
    data = travelling_waves(trajectories=20, frames=30)
    data.split[:6] = ["train", "ood", "train", "ood", "val", "test"]
    told = texts(figure_of(data, name="mine"))
    assert told[0] == "mine: 4 of 20 trajectories, 6 of 30 frames, 2 of 2 channels"
    rows = [text.split("   ")[0] for text in told if re.match(r"\d+ \(", text)]
    assert rows == ["0 (train)", "4 (val)", "5 (test)", "1 (ood)"] * 2
    data = dataclasses.replace(data, fields=data.fields.repeat(3, axis=-1), channels=tuple("uvwpqr"), units=("1",) * 6)
    figure = figure_of(data, name="mine")
    assert texts(figure)[0] == "mine: 4 of 20 trajectories, 6 of 30 frames, 4 of 6 channels"
    assert [part._suptitle.get_text() for part in figure.subfigs] == list("uvwp")


def test_most_trajectories_are_of_the_training_split(figure_of):
    data = travelling_waves(trajectories=20, frames=3, grid=(16,))
    told = texts(figure_of(data))
    assert [text.split("   ")[0] for text in told if "(train)" in text] == [
        f"{index} (train)" for index in (0, 3, 7, 10, 14, 17)
    ]


def test_the_same_data_gives_the_same_bytes(tmp_path):
    data = travelling_waves(trajectories=3, grid=(16,))
    one, other = (draw_contact_sheet(source_of(data), tmp_path / name).read_bytes() for name in ("1.png", "2.png"))
    assert one == other


@pytest.mark.parametrize("kind", ALL)
def test_titles_say_trajectory_split_parameters_and_time(kind, figure_of):
    data = ALL[kind]()
    told = texts(figure_of(data))
    for split in ("train", "val", "test"):
        assert any(f"({split})" in text for text in told), told
    name = {"points": "phase", "sphere": "speed"}.get(kind.split()[0], "strength")
    assert any(text.startswith("8 (test)") and f"{name} {data.parameters[name][8]:.4g}" in text for text in told), told
    for channel, unit in zip(data.channels, data.units, strict=True):
        assert any(text.startswith(f"{channel} ({unit})") for text in told)
    assert ("t = 0 " + data.time_units in told) == ("line" not in kind)
    assert not [text for text in told if re.search(r" 1$", text) and "." not in text], "a unit 1 is none"


def test_pictures_are_the_fields_and_masked_points_are_left_to_the_grey(figure_of):
    data = travelling_waves(trajectories=3, frames=5)
    shown = panels(figure_of(data))
    assert len(shown) == 2 * 3 * 5
    for index, picture in enumerate(shown):
        channel, rest = divmod(index, 15)
        trajectory, frame = divmod(rest, 5)
        values = picture.get_array()
        np.testing.assert_array_equal(values.mask, ~data.mask[trajectory])
        expected = data.fields[trajectory, frame, ..., channel][data.mask[trajectory]]
        np.testing.assert_array_equal(values.compressed(), expected)
        assert tuple(picture.cmap.get_bad()) == (0.6, 0.6, 0.6, 1)


def test_a_line_is_a_diagram_of_space_and_time(figure_of):
    data = travelling_waves(trajectories=4, frames=12, grid=(32,), obstacle=False)
    shown = panels(figure_of(data))
    for trajectory, picture in enumerate(shown):
        np.testing.assert_array_equal(picture.get_array().compressed(), data.fields[trajectory, ..., 0].ravel())
        assert (picture.axes.get_ylim()[0] + picture.axes.get_ylim()[1]) / 2 == pytest.approx(data.time.mean())


def test_up_is_up_in_whatever_order_the_axes_are(figure_of):
    data = travelling_waves(trajectories=3, obstacle=False)
    turned = dataclasses.replace(
        data,
        fields=data.fields.swapaxes(2, 3).copy(),
        mask=data.mask.swapaxes(1, 2),
        axes={"x": data.axes["x"], "y": data.axes["y"]},
    )
    for one, other in zip(panels(figure_of(data)), panels(figure_of(turned)), strict=True):
        np.testing.assert_array_equal(one.get_array(), other.get_array())


def test_one_scale_for_each_channel_and_white_is_zero_only_where_both_signs_are(figure_of):
    data = travelling_waves(trajectories=4)
    fields = data.fields.copy()
    fields[-1] *= 3  # the last trajectory has the largest values
    fields[..., 0] = np.abs(fields[..., 0]) + 1
    figure = figure_of(dataclasses.replace(data, fields=fields))
    shown = panels(figure)
    half = len(shown) // 2
    first, second = shown[:half], shown[half:]
    assert len({(picture.norm.vmin, picture.norm.vmax) for picture in first}) == 1
    assert first[0].norm.vmin == pytest.approx(1, abs=0.05)
    assert first[0].norm.vmax == pytest.approx(max(picture.get_array().max() for picture in first), rel=0.05)
    assert first[0].cmap.name == "cividis"
    assert second[0].norm.vmin == -second[0].norm.vmax
    assert second[0].cmap.name == "RdBu_r"
    bars = [axes.get_ylabel() for axes in figure.axes if is_bar(axes)]
    assert bars == ["u (m/s)", "v (m/s)"]


def test_a_globe_is_a_rectangle_with_degrees(figure_of):
    figure = figure_of(on_a_sphere(trajectories=4))
    figure.canvas.draw()
    axes = next(axes for axes in figure.axes if not is_bar(axes))
    width, height = axes.get_window_extent().size
    assert width / height == pytest.approx(360 / 180, rel=0.01)
    labels = {text.get_text() for axes in figure.axes for text in (*axes.get_yticklabels(), *axes.get_xticklabels())}
    assert {"60°N", "0°", "60°S", "120°E", "120°W"} <= labels


def plume(signed=False):
    """Hot where x = y = 1/2 alone, the hotter the lower; z is the first axis."""
    data = travelling_waves(trajectories=3, frames=5, grid=(8, 9, 9), obstacle=False)
    fields = np.zeros_like(data.fields[..., :1])
    fields[..., 4, 4, 0] = np.arange(8, 0, -1)
    if signed:
        fields += np.random.default_rng(0).normal(0, 4, fields.shape)
    return dataclasses.replace(data, fields=fields, channels=("heat",), units=("K",), vector={})


def test_a_plume_is_seen_from_the_side_through_everything(figure_of):
    data = plume()
    data.fields[:, :, :, [4, 1], 4] = data.fields[:, :, :, [1, 4], 4]  # off the middle plane
    figure = figure_of(data)
    assert "heat (K), largest along y" in texts(figure)
    picture = panels(figure)[0].get_array()
    np.testing.assert_array_equal(picture[:, 4], np.arange(8, 0, -1))
    assert np.delete(picture, 4, axis=1).max() == 0


def test_what_fills_space_is_cut_in_the_middle(figure_of):
    data = plume(signed=True)
    figure = figure_of(data)
    assert "heat (K), y = 0.5 m" in texts(figure)
    np.testing.assert_array_equal(panels(figure)[0].get_array(), data.fields[0, 0, :, 4, :, 0])


def test_scattered_points_are_dots_of_their_value_and_gaps_are_grey(figure_of):
    data = scattered_waves(trajectories=3, frames=5)
    data.mask[:, :20] = False
    figure = figure_of(data)
    axes = next(axes for axes in figure.axes if not is_bar(axes))
    (dots,) = [item for item in axes.collections if isinstance(item, PathCollection)]
    np.testing.assert_array_equal(dots.get_array().compressed(), data.fields[0, 0, 20:, 0])
    np.testing.assert_allclose(dots.get_offsets(), np.c_[data.axes["x"], data.axes["y"]])
    dots.update_scalarmappable()
    assert (dots.get_facecolors()[:20] == (0.6, 0.6, 0.6, 1)).all()


def test_only_what_is_drawn_is_read(figure_of):
    reads = []
    source = source_of(travelling_waves(trajectories=40, frames=60))
    counted = dataclasses.replace(source, read=lambda *part: reads.append(part) or source.read(*part))
    shown = panels(figure_of(counted))
    assert len(reads) == len(shown) / 2
    assert all(stop - start == 1 for _, start, stop in reads)
    frames = sorted({start for _, start, _ in reads})
    assert (frames[0], frames[-1]) == (0, 59)
    assert np.ptp(np.diff(frames)) <= 1
