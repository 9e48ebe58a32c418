"""Values that probably mark missing data although nothing says so: they stand apart from all others, frame after frame.

A value is a candidate if it is among the least or greatest of a trajectory's first or last frame, and repeats or is a
number of those that programs write for missing data (-9999, 1e20). What is far from the others at points where it never
changes is found out as frames pass by; an obstacle, a wall or dry land at 0 is not, unless temperatures are absolute.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sparsevq.config import FileConfig
from sparsevq.data.sentinels import HUGE, looks_like_a_mark
from sparsevq.data.source import Source
from sparsevq.errors import SparseVQError

MOST = 4
"""Candidates at each end of the values."""
FAR = {"mark": 1.0, "fixed mark": 0.2, "absolute zero": 1.0, "other": 20.0, "doubtful": 10.0}
"""How far a value has to be from the others, in units of their range."""
ABSOLUTE = ("K", "kelvin", "Kelvin", "degK")
"""Units of temperatures, which are never 0 or less; a difference of temperatures that is has others near it."""


@dataclass(frozen=True, kw_only=True)
class Mark:
    """A value that probably marks missing data.

    Attributes
    ----------
    channel
        In which channel.
    value
        The value.
    points
        At how many points it stands in every frame of a trajectory; 0: it changes places.
    low, high
        The range of the other values of that trajectory.
    sure
        It is no value of the field. Otherwise it may be one, such as a fixed boundary value.
    """

    channel: str
    value: float
    points: int
    low: float
    high: float
    sure: bool

    @property
    def what(self) -> str:
        """In words."""
        where = f"at {self.points} points in every frame" if self.points else "at some points of some frames"
        return (
            f"channel {self.channel}: the value {text_of_number(self.value)} stands {where}, far from the others "
            f"({self.low:.5g} to {self.high:.5g})"
        )


def text_of_number(value: float) -> str:
    """The shortest decimal number that is this one in single precision, as YAML reads it."""
    number = float(str(np.float32(value)))
    text = repr(int(number)) if number.is_integer() and abs(number) < 1e9 else repr(number)
    return text.replace("e", ".0e") if "e" in text and "." not in text else text


def undeclared(marks: Sequence[Mark], label: str, missing: Sequence[float] = ()) -> SparseVQError | None:
    """The error for values that are no values of the field; None if there is none among the marks."""
    sure = [mark for mark in marks if mark.sure]
    if not sure:
        return None
    values = ", ".join(dict.fromkeys(text_of_number(mark.value) for mark in sure))
    known = ", ".join(dict.fromkeys([*map(text_of_number, missing), *values.split(", ")]))
    return SparseVQError(
        f"{label}: {'; '.join(mark.what for mark in sure[:3])}, and nothing declares it missing",
        f"write `missing: [{known}]`, or `not_missing: [{values}]` if that is the field's value there",
    )


class Watch:
    """Looks for such values in frames that pass by, trajectory by trajectory.

    Parameters
    ----------
    channels, units
        Names and units of the channels.
    kept
        Values that are no marks, by the user's word.
    """

    def __init__(self, channels: Sequence[str], units: Sequence[str], kept: Sequence[float] = ()):
        self.channels, self.units = channels, units
        self.marks: list[Mark] = []
        self._kept = [np.float32(value) for value in kept]
        self._candidates: list[_Candidate] = []

    def frames(self, block: npt.NDArray[np.float32], first: bool, last: bool) -> None:
        """Look at successive frames ``(f, ..., C)`` of a trajectory; whether its first or its last is among them."""
        flat = block.reshape(len(block), -1, block.shape[-1])
        if first:
            self._candidates = []
            self._add(flat[0], late=False)
        for channel in {candidate.channel for candidate in self._candidates}:
            _look(flat[..., channel], [each for each in self._candidates if each.channel == channel])
        if last:
            self._add(flat[-1], late=True)
            self.marks += [mark for mark in map(self._judged, self._candidates) if mark is not None]

    def _add(self, frame: npt.NDArray[np.float32], late: bool) -> None:
        """Candidates of a frame ``(n, C)``; later frames only bring them closer to the others."""
        for channel in range(len(self.channels)):
            values = frame[:, channel]
            found, low, high = _apart(values)
            for value in found:
                known = {float(mark.value) for mark in self.marks if mark.channel == self.channels[channel]}
                known |= {float(each.value) for each in self._candidates if each.channel == channel}
                fixed = np.full(len(values), not late)
                candidate = _Candidate(channel, value, low, high, fixed)
                if float(value) not in known and value not in self._kept and self._judged(candidate) is not None:
                    self._candidates.append(candidate)

    def _judged(self, candidate: "_Candidate") -> Mark | None:
        """The candidate as a mark; None if it is not far enough from the others."""
        value, low, high = float(candidate.value), candidate.low, candidate.high
        points = int(candidate.fixed.sum())
        distance = max(low - value, value - high)
        share = distance / (high - low) if high > low else np.inf
        if looks_like_a_mark(value):
            sure = share > FAR["fixed mark" if points else "mark"]
        elif value <= 0 and self.units[candidate.channel] in ABSOLUTE and points:
            sure = share > FAR["absolute zero"]
        else:
            sure = bool(points) and share > FAR["other"] and value != 0
        doubtful = bool(points) and share > FAR["doubtful"]
        if not distance > 0 or not (sure or doubtful):
            return None
        channel = self.channels[candidate.channel]
        return Mark(channel=channel, value=value, points=points, low=low, high=high, sure=sure)


class Guard:
    """Refuses values in a user's files that must mark missing data, as frames pass by; of others that may it tells.

    Parameters
    ----------
    source
        Whose frames pass by.
    settings
        What the user says of its values.
    """

    def __init__(self, source: Source, settings: FileConfig):
        self._source, self._settings = source, settings
        self._watch = Watch(source.channels, source.units, settings.not_missing)

    def note(self, block: npt.NDArray[np.float32], start: int) -> None:
        """Look at frames ``start, start + 1, ...`` of a trajectory, ``(f, ..., C)``.

        Raises
        ------
        SparseVQError
            There is such a value.
        """
        told = len(self._watch.marks)
        self._watch.frames(block, start == 0, start + len(block) == len(self._source.time))
        error = undeclared(self._watch.marks, self._source.label, self._settings.missing)
        if error is not None:
            raise error
        for mark in self._watch.marks[told:]:
            print(f"{mark.what}: if it is missing, write `missing: [{text_of_number(mark.value)}]`", flush=True)


@dataclass
class _Candidate:
    """A value of a channel; the range of the others; and ``(n,)`` the points at which it stood in all frames so far."""

    channel: int
    value: np.float32
    low: float
    high: float
    fixed: npt.NDArray[np.bool_]


def _look(values: npt.NDArray[np.float32], candidates: Sequence[_Candidate]) -> None:
    """Note where candidates of a channel stand in the frames ``(f, n)``, and the range of the other values."""
    with np.errstate(invalid="ignore"):
        others = np.abs(values) < HUGE
    for candidate in candidates:
        here = values == candidate.value
        candidate.fixed &= here.all(axis=0)
        others &= ~here
    low, high = values.min(where=others, initial=np.inf), values.max(where=others, initial=-np.inf)
    for candidate in candidates:
        candidate.low, candidate.high = min(candidate.low, float(low)), max(candidate.high, float(high))


def _apart(values: npt.NDArray[np.float32]) -> tuple[list[np.float32], float, float]:
    """Values at the ends that repeat or look like marks, and the range of what is left without these."""
    left = values[np.isfinite(values)]
    found: list[np.float32] = []
    for end in (np.max, np.min):
        for _ in range(MOST):
            value = end(left) if len(left) else np.float32(np.nan)
            rest = left[left != value]
            if not len(rest) or (len(left) - len(rest) < 2 and not looks_like_a_mark(float(value))):
                break
            found.append(value)
            left = rest
    return (found, float(left.min()), float(left.max())) if len(left) else ([], np.inf, -np.inf)
