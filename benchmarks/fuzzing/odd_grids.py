"""Dimensions and coordinates as files name, order and describe them, whose places the generator knows."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

Dice = np.random.Generator
LENGTH_UNITS = {"m": 1.0, "km": 1e3, "cm": 1e-2, "metres": 1.0}


@dataclass
class Axis:
    """A dimension in space: its name, stored coordinates (None: there are none), attributes, and places.

    `places` are in metres, or degrees of an angle; `role` is how a configuration names it.
    """

    name: str
    size: int
    stored: np.ndarray | None
    attributes: dict[str, Any]
    places: np.ndarray | None
    role: str
    longitude: bool = False


@dataclass
class Grid:
    """Axes, and further variables (name -> values, dimensions, attributes).

    `scattered`: the axes only count; each point has places of its own, in the variables `lat` and `lon`.
    """

    axes: list[Axis]
    scattered: bool = False
    others: dict[str, tuple[np.ndarray, tuple[str, ...], dict[str, Any]]] = field(default_factory=dict)


def grid(dice: Dice, named: bool = True) -> Grid:
    """One to three axes; `named`: the format has names of dimensions, which may be anything that is explained."""
    if dice.random() < 0.5:
        axes = [latitudes(dice), longitudes(dice)]
        if named and dice.random() < 0.3:
            return meshed(dice, axes)
    else:
        roles = [("x",), ("y", "x"), ("y", "x"), ("z", "y", "x")][int(dice.integers(4))]
        axes = [lengths(dice, role, named) for role in roles]
    return Grid(axes)


def meshed(dice: Dice, axes: list[Axis]) -> Grid:
    """Latitudes and longitudes of two dimensions, of a rectilinear grid, whose axes they are, or a curved one."""
    names = [("y", "x"), ("eta_rho", "xi_rho"), ("south_north", "west_east"), ("j", "i"), ("nlat", "nlon")]
    curved = bool(dice.random() < 0.5)
    dimensions = names[int(dice.integers(len(names)))]
    mesh = np.meshgrid(*(axis.stored for axis in axes), indexing="ij")
    if curved:  # far more than rounding, in degrees or radians
        mesh = [
            mesh[0] + 0.05 * np.arange(axes[1].size) ** 1.5,
            mesh[1] + 0.03 * np.arange(axes[0].size)[:, None] ** 1.5,
        ]
    made = Grid([], curved)
    for axis, values, standard in zip(axes, mesh, ("lat", "lon"), strict=True):
        made.others[standard] = (values.astype(axis.stored.dtype), dimensions, axis.attributes)
    for axis, name in zip(axes, dimensions, strict=True):
        made.axes.append(Axis(name, axis.size, None, {}, axis.places, axis.role, axis.longitude))
    return made


def lengths(dice: Dice, role: str, named: bool) -> Axis:
    """An axis in metres or the like, or one of a conventional name that is only counted."""
    size = int(dice.integers(2, 5))
    unit = str(dice.choice(list(LENGTH_UNITS)))
    places = _spaced(dice, size) * float(dice.choice([1, 100]))
    if dice.random() < 0.3:
        places = places[::-1]
    name, attributes = role, {"units": unit}
    if named and dice.random() < 0.3:
        name = {"x": "xc", "y": "yc", "z": "depth"}[role]
        attributes |= {"axis": role.upper()} if dice.random() < 0.5 else {}
    elif dice.random() < 0.15:
        return Axis(role, size, None, {}, None, role)
    stored = (places / LENGTH_UNITS[unit]).astype(str(dice.choice(["f8", "f4"])))
    return Axis(name, size, stored, attributes, stored.astype(np.float64) * LENGTH_UNITS[unit], role)


def latitudes(dice: Dice) -> Axis:
    """Latitudes in degrees or radians, of either direction."""
    size = int(dice.integers(2, 5))
    places = _spaced(dice, size) * float(dice.choice([5, 15])) - 20
    if dice.random() < 0.5:
        places = places[::-1]
    name = str(dice.choice(["lat", "latitude", "nlat", "y", "j"]))
    return _angle(dice, name, places, "latitude", ("degrees_north", "degree_north", "degrees_N", "degreeN"), False)


def longitudes(dice: Dice) -> Axis:
    """Longitudes of a region or around the globe, from anywhere, of either direction, in degrees or radians."""
    around = dice.random() < 0.4
    size = int(dice.integers(3, 6)) if around else int(dice.integers(2, 5))
    first = float(dice.choice([0, -180, 10, 120]))
    places = first + (360 / size * np.arange(size) if around else _spaced(dice, size) * 10)
    if dice.random() < 0.3:
        places = np.mod(places, 360)
    if dice.random() < 0.3:
        places = places[::-1]
    name = str(dice.choice(["lon", "longitude", "nlon", "x", "i"]))
    return _angle(dice, name, places, "longitude", ("degrees_east", "degree_east", "degrees_E", "degreeE"), True)


def _angle(dice: Dice, name: str, places: np.ndarray, standard: str, units: tuple[str, ...], longitude: bool) -> Axis:
    attributes: dict[str, Any] = {"units": str(dice.choice(units))}
    radians = dice.random() < 0.25
    if radians:
        attributes = {"units": str(dice.choice(["radian", "radians", "rad"])), "standard_name": standard}
    elif dice.random() < 0.2:
        attributes = {"units": "degrees", "standard_name": standard}
    elif dice.random() < 0.3:
        attributes |= {"standard_name": standard, "axis": "X" if longitude else "Y"}
    stored = (np.deg2rad(places) if radians else places).astype(str(dice.choice(["f8", "f4"])))
    true = np.rad2deg(stored.astype(np.float64)) if radians else stored.astype(np.float64)
    return Axis(name, len(places), stored, attributes, true, standard, longitude)


def _spaced(dice: Dice, size: int) -> np.ndarray:
    """Increasing numbers, evenly spaced or not."""
    if dice.random() < 0.7:
        return np.arange(size) + float(dice.integers(0, 3))
    return np.cumsum(dice.uniform(0.5, 1.5, size))


def distractors(dice: Dice, made: Grid, time: str, frames: int) -> None:
    """Variables beside the field, as files have them: bounds, a map projection, a mask, names, areas."""
    axis = made.axes[0]
    choices = {
        f"{axis.name}_bnds": (np.zeros((axis.size, 2)), (axis.name, "nv"), {}),
        "crs": (np.int32(0), (), {"grid_mapping_name": "latitude_longitude"}),
        f"{time}_bnds": (np.arange(2.0 * frames).reshape(frames, 2), (time, "nv"), {}),
        "height": (np.float64(2.0), (), {"units": "m", "positive": "up", "standard_name": "height"}),
        "landmask": (np.ones(axis.size, dtype="i4"), (axis.name,), {"units": "1", "long_name": "land mask"}),
        "iteration": (np.arange(frames, dtype="i4") * 100, (time,), {"long_name": "time step of the model"}),
        "orography": (
            np.ones([each.size for each in made.axes]),
            tuple(each.name for each in made.axes),
            {"units": "m"},
        ),
    }
    for name in dice.choice(list(choices), size=int(dice.integers(1, 4)), replace=False):
        made.others[str(name)] = choices[str(name)]
