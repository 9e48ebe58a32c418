"""Readings as spreadsheets and loggers write them: read as meant, or one line that says what to change."""

import numpy as np
import pytest

from sparsevq.errors import SparseVQError
from sparsevq.sensors.form import Form
from sparsevq.sensors.history import read_history
from tests.readers.cases.table import check_words

PLACES = np.array([(0.5, 1.0), (1.5, 2.0), (2.5, 3.0)])
VALUES = np.array([(1.25, -0.5), (0.75, 0.25), (-0.125, 1e-3)])
ROWS = [(*place, *value) for place, value in zip(PLACES.tolist(), VALUES.tolist(), strict=True)]
FORM = Form(("y", "x"), ("u", "v"), ("m/s", "m/s"), True, PLACES, axis_units={"y": "m", "x": "m"})


def table(separator=",", head=("y", "x", "u", "v"), number=str, newline="\n", rows=ROWS, quoted=False, before=""):
    """The text of a table."""
    cell = (lambda text: f'"{text}"') if quoted else str
    lines = [separator.join(cell(each) for each in head)]
    lines += [separator.join(cell(number(value)) for value in row) for row in rows]
    return before + newline.join(lines) + newline


def comma(value):
    return str(value).replace(".", ",")


def first(u, v=1.0):
    """Two sensors, of which the first reads these."""
    return [(0.5, 1.0, u, v), (1.5, 2.0, 1.0, 1.0)]


READ = {
    "plain": table().encode(),
    "mark of UTF-8, lines of Windows": ("\ufeff" + table(newline="\r\n")).encode(),
    "semicolons": table(";").encode(),
    "semicolons, decimal commas": table(";", number=comma).encode(),
    "tabs": table("\t").encode(),
    "quoted header": table(quoted=True, number=str).encode(),
    "quoted after a space": b'"y", "x", "u", "v"\n' + "\n".join(", ".join(map(str, row)) for row in ROWS).encode(),
    "units in the header": table(head=("y [m]", "x [m]", "u (m/s)", "v (m/s)")).encode(),
    "capitals": table(head=("Y", "X", "U", "V")).encode(),
    "spaces after commas": table(", ").encode(),
    "axes and channels in another order": table(
        head=("x", "y", "v", "u"), rows=[(x, y, v, u) for y, x, u, v in ROWS]
    ).encode(),
}
"""Read as meant."""

EITHER = {
    "spaces between": table(" ").encode(),
    "UTF-16, as Excel's Unicode text": table("\t", newline="\r\n").encode("utf-16"),
    "sep= of Excel": ("sep=;\r\n" + table(";", newline="\r\n")).encode(),
    "header after #": table(head=("# y", "x", "u", "v")).encode(),
    "index of pandas": table(head=("", "y", "x", "u", "v"), rows=[(k, *row) for k, row in enumerate(ROWS)]).encode(),
    "empty rows of Excel": (table() + ",,,\n,,,\n").encode(),
    "rows of spaces": (table() + " , , , \n").encode(),
    "separator at the end": table(head=("y", "x", "u", "v", ""), rows=[(*row, "") for row in ROWS]).encode(),
    "a line of comment": ("# station log 2024\n" + table()).encode(),
    "decimal commas in quotes": table(number=comma, quoted=True).encode(),
    "lines of an old Macintosh": table(newline="\r").encode(),
    "minus sign of typography": table(number=lambda value: str(value).replace("-", "\u2212")).encode(),
    "another column, Latin-1": table(head=("y", "x", "u", "v", "\u00b5"), rows=[(*row, 1.0) for row in ROWS]).encode(
        "latin-1"
    ),
    "names of the sensors": table(
        head=("name", "y", "x", "u", "v"), rows=[(f"S{k}", *row) for k, row in enumerate(ROWS)]
    ).encode(),
    "space that does not break": table(head=("y", "x", "u", "v\u00a0")).encode(),
    "a NUL": table().encode().replace(b"u", b"u\x00", 1),
    "no header": table(head=[str(value) for value in ROWS[0]], rows=ROWS[1:]).encode(),
}
"""Read as meant, or refused."""

ODD_NUMBERS = {
    "thousands with underscores": (table(rows=first("1_000", 2)).encode(), np.array([[1000, 2], [1, 1]])),
    "NaN": (table(rows=first("NaN")).encode(), np.array([[np.nan, 1], [1, 1]])),
    "unit in a cell": (table(rows=first("1.2 m/s")).encode(), np.array([[1.2, 1], [1, 1]])),
    "Fortran's D": (table(rows=first("1.2D-01")).encode(), np.array([[0.12, 1], [1, 1]])),
}


def read(tmp_path, content):
    (tmp_path / "readings.csv").write_bytes(content)
    (frame,) = read_history(tmp_path / "readings.csv", FORM, np.arange(3.0)).frames
    return frame


@pytest.mark.parametrize("name", READ)
def test_common_tables_are_read(tmp_path, name):
    frame = read(tmp_path, READ[name])
    np.testing.assert_array_equal(frame.places, PLACES)
    np.testing.assert_allclose(frame.values, VALUES)


@pytest.mark.parametrize("name", EITHER)
def test_odd_tables_are_read_or_refused(tmp_path, name):
    try:
        frame = read(tmp_path, EITHER[name])
    except SparseVQError as error:
        check_words(str(error), ("readings.csv",))
        return
    np.testing.assert_array_equal(frame.places, PLACES)
    np.testing.assert_allclose(frame.values, VALUES)


@pytest.mark.parametrize("name", ODD_NUMBERS)
def test_odd_numbers_are_read_or_refused(tmp_path, name):
    content, meant = ODD_NUMBERS[name]
    try:
        frame = read(tmp_path, content)
    except SparseVQError as error:
        check_words(str(error), ("readings.csv", "line 2"))
        return
    np.testing.assert_allclose(frame.values, meant)


def test_a_workbook_is_named(tmp_path):
    with pytest.raises(SparseVQError) as caught:
        read(tmp_path, b"PK\x03\x04\x14\x00\x06\x00" + bytes(200))
    check_words(str(caught.value), ("readings.csv", "Excel|xlsx|workbook|spreadsheet", "CSV"))
