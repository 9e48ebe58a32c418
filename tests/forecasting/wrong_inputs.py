"""Wrong inputs to a forecast, each with the words that its message must have: what is wrong, where, what to do.

One table for all ways to ask for a forecast. The tests of the Python API, of the command line and of the served model
are parametrised by it; each leaves out the rows that cannot be given to it (`WrongInput.ways`).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from tests.forecasting.runs import Run

API, COMMAND, SERVED = "api", "command", "served"
EVERY_WAY = (API, COMMAND, SERVED)


@dataclass(frozen=True)
class Given:
    """What is given to a forecast.

    Attributes
    ----------
    observations
        A table (the command gets it as a CSV file, the served model as its input), a path (str), or for the API alone
        anything else.
    arguments
        Further arguments of `Forecaster.forecast`, by their names there.
    """

    observations: Any
    arguments: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class WrongInput:
    """A row of the table.

    Attributes
    ----------
    name
        What is wrong.
    make
        Makes it for a run (`small_modal_run`), in an empty folder.
    words
        The message has all of these, in every way.
    where
        So does the message of the API: where it is in what was given. A file has lines instead of rows.
    ways
        In which ways it can be given.
    """

    name: str
    make: Callable[[Run, Path], Given]
    words: tuple[str, ...]
    where: str = ""
    ways: tuple[str, ...] = EVERY_WAY

    def __str__(self) -> str:
        return self.name


def check_message(message: str, wanted: tuple[str, ...]) -> None:
    """A message of one line has these words; AssertionError."""
    assert "\n" not in message.strip(), message
    missing = [words for words in wanted if words not in message]
    assert not missing, f"{missing} not in: {message}"


# ------------------------------------------------------------------ how they are made


def changed(change: Callable[[pd.DataFrame], Any], **arguments: Any) -> Callable[[Run, Path], Given]:
    """Good readings, of which something is changed: in place, or what the change returns."""

    def make(run: Run, folder: Path) -> Given:
        table = run.readings().astype({"u": object, "sensor": object})
        found = change(table)
        return Given(table if found is None else found, arguments)

    return make


def cell(row: int, column: str, value: Any) -> Callable[[Run, Path], Given]:
    """Good readings with another value in a cell."""

    def change(table: pd.DataFrame) -> None:
        table.loc[row, column] = value

    return changed(change)


def asked(**arguments: Any) -> Callable[[Run, Path], Given]:
    """Good readings, and arguments."""
    return lambda run, folder: Given(run.readings(), arguments)


def file(name: str, content: str | bytes | None) -> Callable[[Run, Path], Given]:
    """A file of this content; None: there is none."""

    def make(run: Run, folder: Path) -> Given:
        path = folder / name
        if content is not None:
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        return Given(str(path))

    return make


def a_folder(run: Run, folder: Path) -> Given:
    (folder / "readings").mkdir()
    return Given(str(folder / "readings"))


def at_place(**place: float) -> Callable[[Run, Path], Given]:
    """Readings by place, the third of them elsewhere."""

    def make(run: Run, folder: Path) -> Given:
        table = run.by_place()
        for axis, coordinate in place.items():
            table.loc[2, axis] = coordinate
        return Given(table)

    return make


def in_the_obstacle(run: Run, folder: Path) -> Given:
    y, x = np.argwhere(~run.data.mask[run.data.split == "train"].any(axis=0))[0]
    return at_place(y=float(run.data.axes["y"][y]), x=float(run.data.axes["x"][x]))(run, folder)


def values_of(run: Run) -> np.ndarray:
    """(n, C) readings in the order of the run's sensors."""
    return run.readings()[["u", "v"]].to_numpy()


def array(change: Callable[[np.ndarray], Any]) -> Callable[[Run, Path], Given]:
    """A change of good readings as an array (n, C)."""
    return lambda run, folder: Given(change(values_of(run)))


def dictionary(change: Callable[[dict[str, Any]], dict[str, Any]]) -> Callable[[Run, Path], Given]:
    """A change of good readings as a dictionary of arrays."""
    return lambda run, folder: Given(change(dict(zip(("u", "v"), values_of(run).T, strict=True))))


def with_one(values: np.ndarray, value: float) -> np.ndarray:
    """Another value of sensor 4 in the second channel."""
    found = values.copy()
    found[4, 1] = value
    return found


def in_dataset(change: Callable[[xr.Dataset], xr.Dataset]) -> Callable[[Run, Path], Given]:
    """A change of good readings as a data set."""

    def make(run: Run, folder: Path) -> Given:
        u, v = values_of(run).T
        return Given(change(xr.Dataset({"u": ("sensor", u), "v": ("sensor", v)})))

    return make


def fields(run: Run) -> xr.Dataset:
    """A frame of the fields, instead of what sensors read of it."""
    frame = run.data.fields[run.trajectory, 0]
    return xr.Dataset({name: (("y", "x"), frame[..., index]) for index, name in enumerate(run.data.channels)})


def netcdf_of_fields(run: Run, folder: Path) -> Given:
    fields(run).to_netcdf(folder / "fields.nc")
    return Given(str(folder / "fields.nc"))


def sheet_that_is_not_there(run: Run, folder: Path) -> Given:
    run.readings().to_excel(folder / "readings.xlsx", sheet_name="May", index=False)
    return Given(f"{folder / 'readings.xlsx'}#July")


def text_in_a_workbook(run: Run, folder: Path) -> Given:
    table = run.readings().astype({"u": object})
    table.loc[2, "u"] = "wet"
    table.to_excel(folder / "readings.xlsx", index=False)
    return Given(str(folder / "readings.xlsx"))


def at_points(content: str) -> Callable[[Run, Path], Given]:
    """Good readings, and points from a file."""

    def make(run: Run, folder: Path) -> Given:
        (folder / "points.csv").write_text(content)
        return Given(run.readings(), {"points": str(folder / "points.csv")})

    return make


def frames_with_half_a_number(run: Run, folder: Path) -> Given:
    return Given(run.history(0, 1).replace({"frame": {0: 0.5}}))


FILES = (API, COMMAND)
IN_PYTHON = (API,)

WRONG_INPUTS = (
    # -------------------------------------------------------------- what the sensors measured
    WrongInput(
        "text in a number",
        cell(2, "u", "high"),
        ("'high'", "no number: write a number"),
        "observations, row 2: column u",
    ),
    WrongInput("a number with its unit", cell(1, "u", "3 m/s"), ("'3 m/s'", "the unit in the header"), "row 1"),
    WrongInput("an infinite value", cell(3, "u", "inf"), ("'inf'", "write a finite number"), "row 3"),
    WrongInput(
        "NaN everywhere",
        changed(lambda table: table.assign(u=np.nan, v=np.nan)),
        ("no sensor has a value", "give at least one reading"),
    ),
    WrongInput(
        "unknown channel",
        changed(lambda table: table.rename(columns={"v": "pressure"})),
        ("unknown column 'pressure'", "known are", "leave it out"),
    ),
    WrongInput(
        "no channel",
        changed(lambda table: table[["sensor"]]),
        ("no column has what the sensors read", "add at least one of the columns u, v"),
    ),
    WrongInput(
        "unit that cannot be converted",
        changed(lambda table: table.rename(columns={"u": "u [kg]"})),
        ("'u [kg]' is in 'kg'", "the data set has u in 'm/s'", "give the values in m/s"),
    ),
    WrongInput(
        "no column of places or numbers",
        changed(lambda table: table[["u", "v"]]),
        ("no column tells where the sensors are", "add the columns y, x, or a column sensor"),
    ),
    WrongInput("unknown sensor number", cell(4, "sensor", 99), ("there is no sensor 99", "use 0 ... 17"), "row 4"),
    WrongInput(
        "sensor twice", cell(3, "sensor", 1), ("sensor: 1 is ", "already", "keep one reading for each sensor"), "row 3"
    ),
    WrongInput(
        "place outside the domain", at_place(y=7.5), ("y=7.5 is outside the domain", "check the units"), "row 2"
    ),
    WrongInput("place inside an obstacle", in_the_obstacle, ("inside an obstacle", "leave this sensor out"), "row 2"),
    WrongInput(
        "negative noise",
        changed(lambda table: table.assign(noise=-0.1)),
        ("noise holds -0.1", "a standard deviation, 0 or more"),
        "row 0",
    ),
    WrongInput(
        "frame without a whole number",
        frames_with_half_a_number,
        ("'0.5', which is no integer", "number the frames"),
        "row 0",
    ),
    WrongInput(
        "bad date in the readings",
        changed(lambda table: table.assign(time="31/12/2001")),
        ("'31/12/2001'", "day and month cannot be told apart", "write it as 2024-01-31T12:00"),
        "row 0",
    ),
    WrongInput(
        "a value as large as no number of single precision",
        changed(lambda table: table.assign(u=1e30)),
        ("u = 1e+30 at y=", "times the standard deviation", "check its unit"),
    ),
    WrongInput(
        "frames and times",
        changed(lambda table: table.assign(frame=1, time=0.5)),
        ("both 'frame' and 'time' tell which frame", "keep one of the two"),
    ),
    WrongInput(
        "the last frame is empty",
        lambda run, folder: Given(
            pd.concat([run.readings(), run.readings().assign(u=np.nan, v=np.nan)])
            .assign(frame=lambda table: np.repeat([0, 1], len(table) // 2))
            .reset_index(drop=True)
        ),
        ("the last frame has no reading", "out, or give a value"),
    ),
    # -------------------------------------------------------------- arrays and other objects
    WrongInput(
        "readings of fewer sensors",
        array(lambda values: values[:5]),
        ("observations have the shape (5, 2)", "6 sensors and the channels u, v", "give (6, 2) or (frames, 6, 2)"),
        ways=IN_PYTHON,
    ),
    WrongInput(
        "channels before sensors",
        array(lambda values: values.T),
        ("the shape (2, 6)", "transpose the last two dimensions"),
        ways=IN_PYTHON,
    ),
    WrongInput(
        "an infinite value in an array",
        array(lambda values: with_one(values, np.inf)),
        ("holds 'inf'", "give NaN"),
        "observations[4, 1] (v)",
        ways=IN_PYTHON,
    ),
    WrongInput(
        "no value at all",
        array(lambda values: values[:0]),
        ("of the shape (0, 2)", "at least one reading"),
        ways=IN_PYTHON,
    ),
    WrongInput(
        "complex numbers", array(lambda values: values + 0j), ("complex128", "give real numbers"), ways=IN_PYTHON
    ),
    WrongInput("flags", array(lambda values: values > 0), ("bool", "give real numbers"), ways=IN_PYTHON),
    WrongInput(
        "texts in an array",
        array(lambda values: np.full(values.shape, "high")),
        ("holds 'high', which is no number", "or give NaN"),
        "observations[0, 0] (u)",
        ways=IN_PYTHON,
    ),
    WrongInput(
        "lists of several lengths",
        array(lambda values: [[1.0, 2.0], [3.0]]),
        ("no array of numbers", "give lists of as many"),
        ways=IN_PYTHON,
    ),
    WrongInput(
        "channels of several lengths",
        dictionary(lambda given: given | {"v": given["v"][:5]}),
        ("observations['v'] has 5 sensors, but observations['u'] has 6", "NaN where there is none"),
        ways=IN_PYTHON,
    ),
    WrongInput(
        "more times than frames",
        dictionary(lambda given: {"u": np.stack([given["u"]] * 2), "time": [0.0, 0.5, 1.0]}),
        ("observations['time'] has 3 frames, but observations['u'] has 2",),
        ways=IN_PYTHON,
    ),
    WrongInput(
        "unknown name in a dictionary",
        dictionary(lambda given: {"u": given["u"], "pressure": given["v"]}),
        ("unknown column 'pressure'", "known are"),
        ways=IN_PYTHON,
    ),
    WrongInput(
        "sensor twice in a dictionary",
        dictionary(lambda given: given | {"sensor": [0, 1, 2, 2, 4, 5]}),
        ("2 is at entry [2] already", "keep one reading for each sensor"),
        "observations['sensor'][3]",
        ways=IN_PYTHON,
    ),
    WrongInput("a set", lambda run, folder: Given({1.0, 2.0}), ("of the type set", "give a path"), ways=IN_PYTHON),
    WrongInput("nothing", lambda run, folder: Given(None), ("of the type NoneType", "give a path"), ways=IN_PYTHON),
    WrongInput(
        "fields instead of readings",
        lambda run, folder: Given(fields(run)),
        ("u is on a grid (y, x)", "select their places along one dimension: ds.sel(y="),
        ways=IN_PYTHON,
    ),
    WrongInput(
        "members of readings",
        in_dataset(lambda given: given.expand_dims(member=2)),
        ("u is along member, sensor", "keep the dimensions time and sensor"),
        ways=IN_PYTHON,
    ),
    WrongInput(
        "a data set without channels",
        in_dataset(lambda given: given.rename(u="s", v="t")),
        ("no variable is what the sensors read", "name them u, v; there is s, t"),
        ways=IN_PYTHON,
    ),
    WrongInput(
        "unit of a data set that cannot be converted",
        in_dataset(lambda given: given.assign(v=given["v"].assign_attrs(units="K"))),
        ("column 'v' is in 'K'", "give the values in m/s"),
        ways=IN_PYTHON,
    ),
    # -------------------------------------------------------------- files
    WrongInput(
        "missing file", file("nowhere.csv", None), ("nowhere.csv", "No such file", "check the path"), ways=FILES
    ),
    WrongInput("empty file", file("empty.csv", ""), ("empty.csv is empty", "write a header"), ways=FILES),
    WrongInput("a folder", a_folder, ("is a folder", "give a path"), ways=FILES),
    WrongInput(
        "no header",
        file("bare.csv", "0,1.0,2.0\n1,1.5,2.5\n"),
        ("bare.csv has no header", "write the names of the columns in the first line"),
        ways=FILES,
    ),
    WrongInput(
        "too few cells",
        file("short.csv", "sensor,u,v\n0,1.0\n"),
        ("short.csv, line 2: 2 cells, but the header has 3", "fix the line"),
        ways=FILES,
    ),
    WrongInput(
        "a file of fields", netcdf_of_fields, ("fields.nc: u is on a grid (y, x)", "along one dimension"), ways=FILES
    ),
    WrongInput(
        "a damaged workbook",
        file("damaged.xlsx", b"PK\x03\x04" + bytes(100)),
        ("damaged.xlsx is no Excel workbook that can be read", "save it again"),
        ways=FILES,
    ),
    WrongInput(
        "a sheet that is not there", sheet_that_is_not_there, ("has no sheet 'July'", "it has 'May'"), ways=FILES
    ),
    WrongInput(
        "text in a workbook",
        text_in_a_workbook,
        ("readings.xlsx, row 4: column u holds 'wet'", "write a number, or leave the cell empty"),
        ways=FILES,
    ),
    WrongInput(
        "a damaged NetCDF file",
        file("damaged.nc", b"\x89HDF\r\n\x1a\n" + bytes(99)),
        ("damaged.nc cannot be read as NetCDF", "write it again"),
        ways=FILES,
    ),
    WrongInput(
        "a file of the run",
        lambda run, folder: Given(str(run.path / "codes.h5")),
        ("codes.h5 is an HDF5 file, but no NetCDF", "write the readings as CSV, Excel or NetCDF"),
        ways=FILES,
    ),
    # -------------------------------------------------------------- what is asked for
    WrongInput("no frames", asked(frames=0), ("frames=0 is not allowed", "forecast at least one frame")),
    WrongInput("no members", asked(members=0), ("members=0 is not allowed", "draw at least one member")),
    WrongInput("negative seed", asked(seed=-1), ("seed=-1 is not allowed", "give 0 or more")),
    WrongInput("negative temperature", asked(temperature=-0.5), ("temperature=-0.5 is not allowed", "0 or more")),
    WrongInput("unknown parameter", asked(parameters={"viscosity": 1.0}), ("no parameter 'viscosity'", "known are")),
    WrongInput("bad date", asked(date="2001-02-30"), ("'2001-02-30'", "give a date of the calendar standard")),
    WrongInput("half a frame", asked(frames=2.5), ("frames=2.5 is not allowed", "give a whole number"), ways=IN_PYTHON),
    WrongInput(
        "a date that is a number", asked(date=20010131), ("date=20010131 is not allowed", "2006-04-16"), ways=IN_PYTHON
    ),
    WrongInput("a quantile above 1", asked(quantiles=[0.5, 1.2]), ("1.2", "give numbers from 0 to 1")),
    WrongInput("a quantile twice", asked(quantiles=[0.5, 0.5]), ("one of them twice", "give each once")),
    WrongInput(
        "points outside the domain",
        at_points("y,x\n0.5,0.5\n7.5,0.5\n"),
        ("points.csv, line 3: y=7.5 is outside the domain", "check the units"),
        ways=FILES,
    ),
    WrongInput(
        "points without a column",
        at_points("y\n0.5\n"),
        ("points.csv: no column has x of the places", "give the columns y, x"),
        ways=FILES,
    ),
    WrongInput(
        "points of three coordinates",
        asked(points=np.zeros((2, 3))),
        ("points have the shape (2, 3)", "give a row for each place"),
        ways=IN_PYTHON,
    ),
    WrongInput(
        "blocks of an unknown dimension",
        asked(chunks={"depth": 2}),
        ("chunks={'depth': 2}: there is no dimension 'depth'", "lead_time"),
        ways=IN_PYTHON,
    ),
)
"""The table."""
