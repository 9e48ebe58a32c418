"""Digits that tell numbers apart, degrees as on a map, and arrows where a scale of colours ends too soon."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from sparsevq.plotting.numbers import coordinate, degrees, told_apart
from sparsevq.plotting.painter import error_colours, value_colours
from sparsevq.plotting.style import styled


@pytest.mark.parametrize(
    ("values", "texts"),
    [
        ([0.00206, 0.00164, 0.00161], ["0.00206", "0.00164", "0.00161"]),
        ([0.833, 0.447], ["0.833", "0.447"]),
        ([1013.3, 1013.4], ["1013.3", "1013.4"]),
        ([101300.001, 101300.002], ["101300.001", "101300.002"]),
        ([0.9996, 2.0], ["1.00", "2.00"]),
        ([1.0, 1.0, 2.0], ["1.00", "1.00", "2.00"]),
        ([0.0, 5.0], ["0", "5.00"]),
        ([123456.0], ["123456"]),
        ([1.5e-7, 2e9], ["1.50e-07", "2.00e+09"]),
        ([], []),
    ],
)
def test_as_few_digits_as_tell_numbers_apart(values, texts):
    assert told_apart(values) == texts


@pytest.mark.parametrize(
    ("value", "unit", "among", "text"),
    [
        (3.0769, "m", [2.97, 3.0769, 3.18], "3.08 m"),
        (1000.1, "hPa", [1000.1, 1000.2], "1000.1 hPa"),
        (5.0, "1", [], "5"),
        (30.0, "degrees_north", [], "30°N"),
        (240.0, "degrees_east", [], "120°W"),
    ],
)
def test_a_coordinate_has_the_digits_that_tell_it_from_its_neighbours(value, unit, among, text):
    assert coordinate(value, unit, among) == text


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (-30, "degrees_north", "30°S"),
        (0, "degrees_north", "0°"),
        (180, "degrees_east", "180°"),
        (-180, "degrees_east", "180°"),
        (360, "degrees_east", "0°"),
        (187.5, "degrees_east", "172.5°W"),
    ],
)
def test_degrees_are_those_of_a_map(value, unit, text):
    assert degrees(value, unit) == text


def test_ticks_of_a_large_number_that_varies_little_are_told_apart():
    @styled
    def ticks():
        figure = Figure()
        axes = figure.subplots()
        axes.plot([101300.001, 101300.004])
        figure.canvas.draw()
        return [text.get_text() for text in axes.get_yticklabels()], axes.yaxis.get_offset_text().get_text()

    labels, offset = ticks()
    assert len(set(labels)) == len(labels)
    assert not offset


@pytest.mark.parametrize(
    ("drawn", "arrows"),
    [((0.1, 0.9), "neither"), ((-0.1, 0.9), "min"), ((0.1, 1.1), "max"), ((-0.1, np.nan, 1.1), "both")],
)
def test_a_colour_bar_has_an_arrow_where_what_is_drawn_is_beyond_it(drawn, arrows):
    colours = value_colours(np.linspace(0, 1, 50))
    assert colours.extend == "neither"
    assert colours.clipping(np.array(drawn)).extend == arrows


def test_outliers_are_left_out_only_where_that_shows_more():
    even = np.linspace(0, 1, 1000)
    assert value_colours(even).norm.vmax == 1
    plume = np.r_[even, 30.0]
    colours = value_colours(plume)
    assert colours.norm.vmax == pytest.approx(1, abs=0.01)
    assert colours.extend == "max" if colours.norm.vmin == 0 else "both"
    assert error_colours(np.r_[-even, even, 50]).extend == "both"
