"""Numbers as spreadsheets, loggers and Fortran write them, and what they write where there is none."""

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass

MISSING = frozenset(
    (
        *("", "nan", "-nan", "+nan", "na", "n/a", "n.a.", "nat", "null", "(null)", "none", "nil", "missing", "no data"),
        *("nodata", "-", "--", "---", "?", ".", "\\n", "<na>", "#n/a", "#na", "#div/0!", "#value!", "#ref!", "#num!"),
        *("#null!", "#name?", "1.#qnan", "-1.#ind", "1.#ind", "///"),
    )
)
"""What stands in a cell without a value, in lower case."""
NOTHING = "{nothing}"
"""In what to do, in place of how the user says that there is no value."""
CODES = frozenset(
    sign * code for code in (999, 9999, 99999, 999999, 999.9, 9999.9, 6999, 7999, 8888, 32767) for sign in (1, -1)
) | {-32768.0, -888.0, -99.0, -99.9, -9999999.0, 1e20, -1e20, 1e30, -1e30, 1e35, 9.969209968386869e36, -2147483648.0}
"""Numbers that loggers and data formats write where there is no value."""

_NUMBER = re.compile(r"[+-]?(\d+[.,]?\d*|[.,]\d+)([eEdD][+-]?\d+)?$")
_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2}[.,]\d{3}$")
_GROUPED = re.compile(r"[+-]?\d{1,3}([ _'.,]\d{3})+([.,]\d*)?$|[+-]?\d+(_\d+)+([.,]\d*)?$")
_WITH_UNIT = re.compile(r"([+-]?(?:\d+[.,]?\d*|[.,]\d+)(?:[eE][+-]?\d+)?)\s*([^\W\d_]|[°%µ]).*$")
_MONTHS = re.compile(r"\d{0,4}[-. /]?(jan|feb|m[aä]r|apr|ma[iy]|jun|jul|aug|sep|o[ck]t|nov|de[cz])", re.IGNORECASE)
_DASHES = dict.fromkeys(map(ord, "\u2010\u2011\u2012\u2013\u2014\u2212\ufe63\uff0d"), "-")


def plain(text: str) -> str:
    """A cell without spaces and quotes around it; no-break spaces, other digits and other minus signs are plain."""
    text = unicodedata.normalize("NFKC", text.translate(_DASHES)).translate(_DASHES).strip(" \t\n\u200b\ufeff")
    if text.startswith("=") and len(text) > 2:  # ="1.5", how Excel is told that it is text
        text = text[1:].strip()
    for quote in "\"'":
        if len(text) > 1 and text[0] == text[-1] == quote:
            text = text[1:-1].strip()
    return text


def is_number(text: str) -> bool:
    """Whether a plain cell looks like a number, with either decimal mark or separators of thousands."""
    return bool(_NUMBER.match(text) or _GROUPED.match(text))


@dataclass(frozen=True)
class Marks:
    """Which decimal marks the cells of a file have.

    Attributes
    ----------
    point
        The first cell with a decimal point, and where it is (``on line 3``); None: there is none.
    comma
        The first with a comma that does not separate thousands.
    """

    point: tuple[str, str] | None = None
    comma: tuple[str, str] | None = None

    @classmethod
    def found_in(cls, cells: Iterable[tuple[str, str]]) -> "Marks":
        """Of all cells, with where they are."""
        point = comma = None
        for text, where in cells:
            if _NUMBER.match(text):
                if "." in text and point is None:
                    point = text, where
                if "," in text and comma is None and not _THOUSANDS.match(text):
                    comma = text, where
        return cls(point, comma)

    def number(self, text: str) -> float:
        """The number of a plain cell; infinite and NaN where it says so.

        Raises
        ------
        ValueError
            There is none, or not one alone; with what to do after a colon.
        """
        if _NUMBER.match(text):
            if "," in text:
                self._check_comma(text)
            return float(text.replace(",", ".").replace("d", "e").replace("D", "e"))
        if text.lower().lstrip("+-") in ("inf", "infinity"):
            return float("inf")
        if _GROUPED.match(text):
            raise ValueError("which separates thousands: write the digits alone, and a decimal point")
        if found := _WITH_UNIT.match(text):
            if _MONTHS.match(text):
                raise ValueError("which is a date: set the cells' format to number before typing")
            raise ValueError(f"a number with a unit: write {found[1]} alone, and the unit in the header in brackets")
        if set(text) == {"*"}:
            raise ValueError("which is no number but what Fortran writes where it is too wide: write it wider")
        raise ValueError(f"which is no number: write a number, or {NOTHING} where there is none")

    def _check_comma(self, text: str) -> None:
        if self.point is not None:
            raise ValueError(
                f"a decimal comma or a separator of thousands, but {self.point[0]!r} {self.point[1]} has a "
                "decimal point: write decimal points alone"
            )
        if self.comma is None:
            raise ValueError(
                "which may be a decimal comma or a separator of thousands: write a decimal point, or the digits alone"
            )
