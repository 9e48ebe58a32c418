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


def frames_with_half_a_number(run: Run, folder: Path) -> Given:
    return Given(run.history(0, 1).replace({"frame": {0: 0.5}}))


FILES = (API, COMMAND)

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
    # -------------------------------------------------------------- what is asked for
    WrongInput("no frames", asked(frames=0), ("frames=0 is not allowed", "forecast at least one frame")),
    WrongInput("no members", asked(members=0), ("members=0 is not allowed", "draw at least one member")),
    WrongInput("negative seed", asked(seed=-1), ("seed=-1 is not allowed", "give 0 or more")),
    WrongInput("negative temperature", asked(temperature=-0.5), ("temperature=-0.5 is not allowed", "0 or more")),
    WrongInput("unknown parameter", asked(parameters={"viscosity": 1.0}), ("no parameter 'viscosity'", "known are")),
    WrongInput("bad date", asked(date="2001-02-30"), ("'2001-02-30'", "give a date of the calendar standard")),
)
"""The table."""
