"""The contact sheet shows every split, right side up, on one page, with one scale of colours a channel."""

import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest
from matplotlib.collections import PathCollection, QuadMesh
from PIL import Image

from sparsevq.data.field_data import FieldData
from sparsevq.data.source import Source
from sparsevq.errors import SparseVQError
from sparsevq.evaluation.figures import contact_sheet
from sparsevq.evaluation.figures.contact_sheet import PAGE, draw_contact_sheet
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
    return [text.get_text() for text in figure.texts]


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
def test_every_split_is_on_one_page(kind, tmp_path):
    data = ALL[kind]()
    data.split[:6] = ["train", "ood", "train", "ood", "val", "test"]
    path = draw_contact_sheet(source_of(data), tmp_path / "sheet.png", "mine")
    with Image.open(path) as picture:
        assert picture.size[0] == int(150 * PAGE[0])
        assert picture.size[1] <= 150 * PAGE[1] + 1
        assert len(picture.convert("RGB").getcolors(1 << 24)) > 50
    assert list(tmp_path.iterdir()) == [path]


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
        assert picture.axes.get_facecolor()[:3] == (0.6, 0.6, 0.6)


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
    assert bars == ["m/s", "m/s"]


def test_a_globe_is_a_rectangle_with_degrees(figure_of):
    figure = figure_of(on_a_sphere(trajectories=4))
    axes = next(axes for axes in figure.axes if not is_bar(axes))
    width, height = axes.get_window_extent().size
    assert width / height == pytest.approx((360 - 15) / (180 - 15), rel=0.01)
    figure.canvas.draw()
    labels = {text.get_text() for axes in figure.axes for text in (*axes.get_yticklabels(), *axes.get_xticklabels())}
    assert {"60°N", "0°", "60°S", "150°E", "60°W"} <= labels


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
    gaps, dots = [item for item in axes.collections if isinstance(item, PathCollection)]
    assert len(gaps.get_offsets()) == 20
    np.testing.assert_array_equal(dots.get_array(), data.fields[0, 0, 20:, 0])
    np.testing.assert_allclose(dots.get_offsets(), np.c_[data.axes["x"], data.axes["y"]][20:])


def test_of_one_long_trajectory_more_frames_are_drawn(figure_of):
    data = travelling_waves(trajectories=3, frames=30)
    one = dataclasses.replace(source_of(data), trajectories=1, split=np.array(["train"]), parameters={})
    figure = figure_of(one)
    times = [text for text in texts(figure) if text.startswith("t = ")]
    assert len(times) == len(panels(figure)) >= 2 * 10
    assert len(set(times)) == len(times) / 2, "both channels have the same times"
    assert figure.get_size_inches()[1] <= PAGE[1]


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


def test_channels_of_ones_own_choice(figure_of, tmp_path):
    data = travelling_waves(trajectories=3)
    assert not [text for text in texts(figure_of(data, channels=["v"])) if text.startswith("u")]
    with pytest.raises(SparseVQError, match="'w' is not in waves: known are u, v"):
        draw_contact_sheet(source_of(data), tmp_path / "sheet.png", channels=["w"])
    assert not list(tmp_path.iterdir())
