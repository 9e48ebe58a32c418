"""Coordinates drawn at random, of any shape, unit and attribute: a space that holds what it promises, or one line."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from sparsevq.config import FileConfig
from sparsevq.errors import SparseVQError
from sparsevq.readers.opening.stored import Contents, from_array
from sparsevq.readers.points.lookup import Dimension
from sparsevq.readers.points.space import space_of

NAMES = [
    "lat",
    "lon",
    "x",
    "y",
    "z",
    "X",
    "Y",
    "XLAT",
    "XLONG",
    "latitude",
    "longitude",
    "level",
    "i",
    "j",
    "depth",
    "clat",
    "nav_lat",
    "x-coordinate",
    "grid/x",
    "lat_bnds",
    "height",
    "time",
    "row",
]
UNITS = [
    "",
    "1",
    "degrees_north",
    "degrees_east",
    "radians",
    "m",
    "km",
    "hPa",
    "degrees",
    "K",
    "parsec",
    "degrees_west",
]
STANDARD = [
    "latitude",
    "longitude",
    "grid_latitude",
    "projection_x_coordinate",
    "cell_area",
    b"latitude",
    np.ones(2),
    5,
]
FRAMES = 3


def drawn_values(rng, shape):
    """Counted, constant, random, angles in degrees or radians, with NaN and infinities; of any type."""
    count = int(np.prod(shape))
    line = np.linspace(0, 1, count)
    rows = np.arange(count) // max(count // shape[0], 1) if shape else np.zeros(count)
    kinds = [
        np.arange(count), np.zeros(count), rng.normal(size=count), 180 * line - 90, 360 * line, np.pi * (line - 0.5),
        np.full(count, np.nan), np.where(rng.random(count) < 0.2, np.nan, line), np.where(line > 0.8, np.inf, line),
        (350 + 20 * line) % 360, rows * 10.0 - 40, np.arange(count) % (shape[-1] if shape else 1) * 20.0,
    ]  # fmt: skip
    with np.errstate(invalid="ignore"):
        return kinds[rng.integers(len(kinds))].reshape(shape).astype(rng.choice(["f8", "f4", "i4"]))


def drawn_file(rng):
    """A field, and arrays along some of its dimensions, in a format with or without names of dimensions."""
    count = int(rng.integers(1, 4))
    names = [str(name) for name in rng.choice(NAMES, count, replace=False)]
    sizes = [int(size) for size in rng.choice([1, 2, 3, 4, 5, 12], count)]
    named = rng.random() < 0.6
    arrays = {"u": from_array("u", np.zeros((FRAMES, *sizes)), dimensions=("time", *names) if named else ())}
    for _ in range(rng.integers(6)):
        along = rng.permutation(count)[: rng.integers(count + 1)].tolist()
        along = along if rng.random() < 0.2 else sorted(along)
        shape, dims = [sizes[index] for index in along], [names[index] for index in along]
        if rng.random() < 0.2 and "time" not in dims:
            shape, dims = [FRAMES, *shape], ["time", *dims]
        attributes = {"standard_name": STANDARD[rng.integers(len(STANDARD))]} if rng.random() < 0.4 else {}
        attributes |= {"axis": str(rng.choice(list("XYZT")))} if rng.random() < 0.2 else {}
        name = str(rng.choice(NAMES + names))
        about = {"units": str(rng.choice(UNITS)), "attributes": attributes, "dimensions": tuple(dims) if named else ()}
        arrays[name] = from_array(name, drawn_values(rng, tuple(shape)), **about)
    dimensions = tuple(
        Dimension(name="point" if rng.random() < 0.1 else name.rsplit("/")[-1], stored=name if named else "", size=size)
        for name, size in zip(names, sizes, strict=True)
    )
    contents = Contents(path=Path("a"), arrays=arrays, fields=("u",), describes_itself=named)
    coordinates = {each.name: str(rng.choice(list(arrays))) for each in dimensions if rng.random() < 0.1}
    return contents, dimensions, FileConfig(path="a", coordinates=coordinates)


@pytest.mark.filterwarnings("error")
def test_any_coordinates_are_read_as_promised_or_refused_in_one_line():
    rng, outcomes = np.random.default_rng(0), Counter()
    for _ in range(600):
        contents, dimensions, settings = drawn_file(rng)
        if len({each.name for each in dimensions}) < len(dimensions):
            continue
        try:
            space = space_of(contents, dimensions, settings, contents.arrays["u"], ("time",))
        except SparseVQError as error:
            assert "\n" not in str(error)
            outcomes["refused"] += 1
            continue
        sizes = tuple(each.size for each in dimensions)
        assert space.arranged(np.zeros((FRAMES, *sizes, 1))).shape == (FRAMES, *space.grid, 1)
        for axis, at in space.axes.items():
            assert np.isfinite(at).all() and (space.scattered or (np.diff(at) > 0).all())
            assert space.units[axis] != "degrees_north" or np.abs(at).max() <= 90
        outcomes["scattered" if space.scattered else "grid"] += 1
    assert min(outcomes.values()) > 20, outcomes
