"""The user's readings of one or several observed frames, and a CSV file of them."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sparsevq.errors import SparseVQError
from sparsevq.sensors.readings import CLOCKS, FloatArray, Form, Readings
from sparsevq.sensors.table import Table, read_table

ON_FRAME = 1e-3
"""Largest distance of a time, of a reading or of the data set, from that of its frame on an even grid, in steps. Single
steps of the data set are not compared: rounding of single precision counts twice in them."""


@dataclass(frozen=True, eq=False)
class History:
    """What sensors measured in one or several frames.

    Attributes
    ----------
    offsets
        ``(k,)`` frames after the last observed one: strictly increasing, the last is 0. There may be gaps.
    frames
        ``(k,)`` readings, each by place; frames may have different sensors.
    """

    offsets: tuple[int, ...]
    frames: tuple[Readings, ...]

    def __post_init__(self) -> None:
        """Raise ValueError if offsets are not as described."""
        rising = all(a < b for a, b in zip(self.offsets, self.offsets[1:], strict=False))
        if len(self.offsets) != len(self.frames) or not self.offsets or self.offsets[-1] != 0 or not rising:
            raise ValueError(f"offsets {self.offsets} of {len(self.frames)} frames")

    def latest(self, span: int) -> "History":
        """The last observed frame and those fewer than ``span`` frames before it; ValueError if span < 1."""
        if span < 1:
            raise ValueError(f"span={span} leaves no frame")
        kept = [pair for pair in zip(self.offsets, self.frames, strict=True) if pair[0] > -span]
        return History(tuple(offset for offset, _ in kept), tuple(frame for _, frame in kept))

    def appended(self, later: "History", steps: int) -> "History":
        """These frames and later ones, whose last one is ``steps`` frames after the last of these.

        Raises
        ------
        SparseVQError
            ``steps`` is less than 1, or both have the same frame.
        """
        if steps < 1:
            raise SparseVQError(f"readings of {steps} frames later are not later", "append readings in order of time")
        merged = dict(zip(later.offsets, later.frames, strict=True))
        for offset, frame in zip(self.offsets, self.frames, strict=True):
            if offset - steps in merged:
                raise SparseVQError(
                    f"both the earlier and the later readings have the frame {steps - offset} before the last one",
                    "give each frame once",
                )
            merged[offset - steps] = frame
        offsets = tuple(sorted(merged))
        return History(offsets, tuple(merged[offset] for offset in offsets))


def read_history(csv: str | Path, form: Form, times: FloatArray) -> History:
    """Read the values that sensors measured in one or several frames.

    The file has one line for each sensor and frame, in any order, and the columns

    - ``sensor`` (a number of ``sensors.csv``), or one column for each axis with the coordinate of the sensor,
    - one column for each channel with the measured value, in the channel's physical unit,
    - if there are several frames, ``frame``: its number, counted from anywhere; or ``time``: its time in the data set's
      unit, counted from anywhere,
    - and, if the values have errors, ``noise``: their standard deviation in the unit of the channels, or where these
      have several, ``noise_<channel>``. Without one, or where the cell is empty, values are exact.

    Parameters
    ----------
    csv
        The file.
    form
        What its lines may hold.
    times
        ``(F,)`` times of the data set's frames, whose spacing is that of frames.

    Returns
    -------
    History
        Frames without a line are gaps.

    Raises
    ------
    SparseVQError
        A column is unknown or missing, or both clocks are there; a number of a frame is no integer; a time is no whole
        number of steps before the last one, or the data set's times are not evenly spaced; a cell is no finite number;
        a sensor is unknown, reads nothing, or a place is outside the domain, inside an obstacle or twice in a frame; or
        the file is empty. The message names the line and the column.
    """
    table = read_table(csv)
    clocks = tuple(column for column in CLOCKS if column not in (*form.axes, *form.channels))
    given = [column for column in clocks if column in table.columns]
    if len(given) > 1:
        raise SparseVQError(
            f"{table.path}, line 1: both {' and '.join(map(repr, given))} tell which frame a line is of",
            "keep one of the two",
        )
    form.check_columns(table, clocks)
    clock = given[0] if given else None
    if clock == "frame":
        offsets = _by_number(table)
    else:
        offsets = [0] * len(table.rows) if clock is None else _by_time(table, times)
    frames = form.frames(table, offsets, clock)
    ordered = tuple(sorted(frames))
    return History(ordered, tuple(frames[offset].by_place() for offset in ordered))


def _by_number(table: Table) -> list[int]:
    """The offset of each line, from the column ``frame``."""
    numbers = []
    for row in table.rows:
        number = row.number("frame")
        if number != int(number):
            raise row.fault(f"column frame holds {row.cells['frame']!r}, which is no integer", "number the frames")
        numbers.append(int(number))
    return [number - max(numbers) for number in numbers]


def _by_time(table: Table, times: FloatArray) -> list[int]:
    """The offset of each line, from the column ``time``."""
    # The mean step, not the first: what rounding is in a step would add up over the frames before the last one.
    step = float(times[-1] - times[0]) / (len(times) - 1) if len(times) > 1 else 0.0
    if len(times) < 2 or np.abs(times - times[0] - step * np.arange(len(times))).max() > ON_FRAME * step:
        raise SparseVQError(
            f"{table.path}, line 1: column 'time', but the data set's times are not evenly spaced",
            "number the frames in a column frame instead",
        )
    given = [row.number("time") for row in table.rows]
    last = max(given)
    offsets = []
    for row, time in zip(table.rows, given, strict=True):
        before = (last - time) / step
        if abs(before - round(before)) > ON_FRAME:
            raise row.fault(
                f"column time holds {row.cells['time']}, {before:.6g} steps of {step:.6g} before the last time",
                "give times of frames, or number them in a column frame instead",
            )
        offsets.append(-round(before))
    return offsets
