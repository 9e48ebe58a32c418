"""What the columns of a user's file are: their names and units against those of the data set."""

import difflib
import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from sparsevq.data.units import Conversion, conversion, parsed
from sparsevq.errors import SparseVQError
from sparsevq.sensors.tables.table import Row, Say, Table

_AXES = (("lat", "latitude"), ("lon", "longitude", "long", "lng"))
"""Names of one axis."""
SPECIAL = {
    "sensor": "sensor sensors sensor_id sensor_no sensor_nr sensor_number sensor_#",
    "frame": "frame frames",
    "time": "time times t timestamp date_time datetime date/time valid_time time_utc utc date",
    "clock": "clock time_of_day hour",
}
"""What else a column may be, and what it may be called."""
_NOT_READ = (
    *("name", "names", "station", "stations", "station_name", "station_id", "id", "label", "site", "location", "row"),
    *("comment", "comments", "remark", "remarks", "note", "notes", "description", "source", "flag", "flags", "qc"),
    *("quality", "record", "rec", "index", "unnamed", "unnamed_0", "no", "nr", "number"),
)
"""Columns that people have beside their readings."""
_OF_SENSORS = ("set", "channels", "expected_error")
"""Columns of a CSV file of sensors that say nothing of readings."""
_NO_UNIT = ("", "-", "none", "n/a", "nd", "nondim", "nondimensional", "dimensionless", "none given")
_CLOSE = 0.7


@dataclass(frozen=True)
class Names:
    """The names that columns may have, and what they then are.

    Attributes
    ----------
    exact
        Name -> what it is.
    loose
        The same, for names in `loosely` written ones that are not ambiguous.
    channels
        The data set's.
    """

    exact: Mapping[str, str]
    loose: Mapping[str, str]
    channels: tuple[str, ...]

    @classmethod
    def of(
        cls,
        axes: tuple[str, ...],
        channels: tuple[str, ...],
        special: tuple[str, ...] = (),
        about: Mapping[str, Mapping[str, str]] = MappingProxyType({}),
    ) -> "Names":
        """Of axes and channels, and of those of the `SPECIAL` columns that are not called like one of these.

        `about` has their further names: ``long_name``, ``standard_name``.
        """
        named: dict[str, str] = {}
        wanted = [(name, name) for name in (*axes, *channels)]
        for axis in axes:
            wanted += [(other, axis) for group in _AXES if axis.lower() in group for other in group]
        for name, said in about.items():
            wanted += [(said[key], name) for key in ("long_name", "standard_name") if said.get(key)]
        for name in special:
            wanted += [(other, name) for other in SPECIAL.get(name, name).split() if name not in (*axes, *channels)]
        for name, meaning in wanted:
            named.setdefault(name, meaning)
        loose: dict[str, set[str]] = {}
        for name, meaning in wanted:
            # What is special is so only where no axis or channel is called so, in whatever capitals.
            if meaning in (*axes, *channels) or loosely(name) not in loose:
                loose.setdefault(loosely(name), set()).add(meaning)
        return cls(named, {name: next(iter(meant)) for name, meant in loose.items() if len(meant) == 1}, channels)

    def __call__(self, cell: str) -> bool:
        """Whether a cell of a header is one of them."""
        return self.meaning(cell) is not None

    def meaning(self, cell: str) -> tuple[str, str] | None:
        """What a column is, and its unit ("" where the header says none); None: it is none of these."""
        for name, unit in _splits(cell):
            if name in self.exact:
                return self.exact[name], unit
            if loosely(name) in self.loose:
                return self.loose[loosely(name)], unit
        return None


def loosely(name: str) -> str:
    """A name in small letters, with one kind of space."""
    return re.sub(r"[\s_.-]+", "_", unicodedata.normalize("NFKC", name).casefold()).strip("_")


def _splits(cell: str) -> Iterator[tuple[str, str]]:
    """A cell as a name and a unit, in the ways in which people write it; first as a name alone."""
    yield cell, ""
    for pattern in (
        r"(.*?)\s*[\[({<]\s*(.*?)\s*[\])}>]",  # u [m/s]
        r"(.*?\S)\s*/\s*(\S.*)",  # T / K
        r"(.*?)\s+in\s+(.+)",  # temp in degC
    ):
        if found := re.fullmatch(pattern, cell):
            yield found[1], found[2]
    for pattern in (r"(.*?)\s*[,:]\s*(.+)", r"(.*\S)\s+(\S+)"):  # temp, degC; temp degC
        if (found := re.fullmatch(pattern, cell)) and parsed(found[2]) is not None:
            yield found[1], found[2]


@dataclass(frozen=True)
class Columns:
    """Which column of a file is what, and how its numbers become those of the data set's units.

    Attributes
    ----------
    titles
        What it is -> the column's title in the file.
    conversions
        What it is -> from the file's unit to the data set's, where that is another.
    """

    titles: Mapping[str, str]
    conversions: Mapping[str, Conversion]

    def __contains__(self, name: str) -> bool:
        return name in self.titles

    def missing(self, row: Row, name: str) -> bool:
        """Whether a line has no value of what is `name`."""
        return name not in self.titles or row.missing(self.titles[name])

    def text(self, row: Row, name: str) -> str:
        """A line's cell; "" where there is no such column."""
        return row.cells[self.titles[name]] if name in self.titles else ""

    def fault(self, row: Row, name: str, what: str, do: str) -> SparseVQError:
        """The error to raise for a row's cell."""
        return row.cell_fault(self.titles[name], what, do)

    def number(self, row: Row, name: str) -> float:
        """A line's number in the data set's unit; as `Row.number`."""
        return self.conversions.get(name, Conversion())(row.number(self.titles[name]))


def columns_of(table: Table, names: Names, units: Mapping[str, str], say: Say) -> Columns:
    """Match a file's columns with what they may be.

    Parameters
    ----------
    table
        The file.
    names
        What there may be.
    units
        What it is -> the data set's unit; "" where that is unknown.
    say
        Takes a note for each unit that is converted and each column that is not read.

    Raises
    ------
    SparseVQError
        Two columns are the same; a unit is none of that quantity; or a column is none of these but nearly named so.
    """
    titles: dict[str, str] = {}
    said: dict[str, str] = {}
    others = []
    for title in table.columns:
        found = names.meaning(title)
        if found is None:
            others.append(title)
            continue
        name, unit = found
        name = "clock" if name == "time" and "time" in titles and _is_clock(table, title) else name
        if name == "time" and "time" in titles and _is_clock(table, titles["time"]):
            titles["clock"] = titles.pop("time")
        if name in titles:
            raise table.fault(f"both {titles[name]!r} and {title!r} are {name}", "keep one of the two")
        titles[name] = title
        said[name] = unit or table.units.get(title, "")
    read = {units.get(channel, "") for channel in names.channels if channel in titles}
    if "noise" in titles and len(read) == 1:
        units = {"noise": read.pop(), **units}
    conversions = _conversions(table, titles, said, units, say)
    for name in titles:
        if name.startswith("noise") and name not in names.channels:
            _convert_noise(name, names, said, conversions)
    _check_others(table, others, names, titles, say)
    return Columns(titles, conversions)


def _is_clock(table: Table, title: str) -> bool:
    return all(re.match(r"T?\d{1,2}:\d\d", row.cells[title]) for row in table.rows)


def _conversions(
    table: Table, titles: Mapping[str, str], said: Mapping[str, str], units: Mapping[str, str], say: Say
) -> dict[str, Conversion]:
    found: dict[str, Conversion] = {}
    for name, given in said.items():
        given = given.split(" since ")[0].strip()
        if name not in units or loosely(given) in map(loosely, _NO_UNIT) or (name == "time" and given.isupper()):
            continue
        wanted = units[name]
        if loosely(wanted) in ("", "none"):
            say(f"{table.name}: the unit of {titles[name]!r} is not compared: the data set's unit of {name} is unknown")
            continue
        converted = conversion(given, wanted)
        if converted is None:
            raise table.fault(
                f"column {titles[name]!r} is in {given!r}, but the data set has {name} in {wanted!r}",
                f"give the values in {wanted}",
            )
        if converted:
            found[name] = converted
            say(f"{table.name}: {name} is converted from {given} to {wanted}")
    return found


def _convert_noise(name: str, names: Names, said: Mapping[str, str], conversions: dict[str, Conversion]) -> None:
    """Standard deviations are in their own unit, else in that of their values; no offset is added to them."""
    own = [channel for channel in names.channels if channel in said and name in ("noise", f"noise_{channel}")]
    if not said[name] and own and own[0] in conversions:
        conversions[name] = conversions[own[0]]
    if name in conversions:
        conversions[name] = Conversion(conversions[name].scale)


def _check_others(table: Table, others: list[str], names: Names, titles: Mapping[str, str], say: Say) -> None:
    """Say which columns are not read; see `columns_of`."""
    absent = {loosely(name): name for name, meaning in names.exact.items() if meaning not in titles}
    for title in others:
        key = loosely(title)
        cells = [row.cells[title] for row in table.rows]
        if key in _OF_SENSORS or not any(cells):
            continue
        first = title == table.columns[0]
        if not title and not first:
            raise table.fault("a column has values but no name", "name it, or leave it out")
        text = not any(any(character.isdigit() for character in cell) for cell in cells)
        close = difflib.get_close_matches(key, absent, n=1, cutoff=_CLOSE)
        if title and close and key not in _NOT_READ:
            raise table.fault(f"unknown column {title!r}", f"if it is {absent[close[0]]}, call it so; or leave it out")
        what = f"column {title!r}" if title else "the first column, which has no name,"
        if key in _NOT_READ or text or not title:
            say(f"{table.name}: {what} is not read")
        elif any(name not in titles for name in names.channels):
            known = ", ".join(dict.fromkeys(names.exact.values()))
            raise table.fault(f"unknown column {title!r}", f"known are {known}; leave it out if it is none of them")
        else:
            say(f"{table.name}: {what} is nothing that the data set has: not read")
