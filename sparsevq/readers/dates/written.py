"""A time array as a file has it: its values, and what its attributes say of them."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sparsevq.data.dates import CALENDARS, calendar_named, since
from sparsevq.errors import SparseVQError
from sparsevq.runtime.hdf5 import Array

Tell = Callable[[str], None]

NEVER = 1e30
"""Numbers as large are no times but fill values."""
JULIAN_DAY_0 = "-4713-01-01 12:00"
"""In the calendar standard, which has no year 0; in astronomers' years it is -4712."""


@dataclass(frozen=True, eq=False)
class Written:
    """A time array as it is written: where, its values, and what its attributes say of them."""

    path: Path
    name: str
    values: Array
    units: str
    calendar: str

    def fault(self, what: str, do: str = "") -> SparseVQError:
        """An error of these times, by default with the way to say in the configuration what they are."""
        unit = (since(self.units) or ("",))[0] or "hours"
        do = do or f"write `units: {{time: {unit} since 2001-01-01}}` (the right date), or `units: {{time: {unit}}}`"
        return SparseVQError(f"{self.path}: {self.name} {what}", do)

    @property
    def known_calendar(self) -> str:
        """The calendar by its CF name.

        Raises
        ------
        SparseVQError
            It is not known.
        """
        calendar = calendar_named(self.calendar)
        if calendar is None:
            unit = (since(self.units) or ("hours",))[0]
            raise self.fault(
                f"is in the calendar {self.calendar!r}, which is not known",
                f"known are {', '.join(CALENDARS)}; for the time elapsed alone write `units: {{time: {unit}}}`",
            )
        return calendar
