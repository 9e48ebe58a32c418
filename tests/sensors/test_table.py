"""CSV as spreadsheets and loggers write it: read as meant, or refused in one line that says what to write."""

import zipfile

import numpy as np
import pytest

from sparsevq.data.units import conversion
from sparsevq.errors import SparseVQError
from sparsevq.sensors.form import Form
from sparsevq.sensors.history import read_history, read_readings
from sparsevq.sensors.space import Space

AXES, CHANNELS = ("y", "x"), ("u", "v")
PLACES = np.array([[0.5, 1.0], [1.5, 2.0], [2.5, 3.0]])
VALUES = np.array([[1.25, -0.5], [0.75, 0.25], [-0.125, 1e-3]])
LINES = [(*map(str, place), *map(str, values)) for place, values in zip(PLACES, VALUES, strict=True)]


def text(separator=",", header=("y", "x", "u", "v"), lines=LINES, end="\n"):
    return end.join(separator.join(cells) for cells in (header, *lines)) + end


def with_commas(lines=LINES):
    return [[cell.replace(".", ",") for cell in line] for line in lines]


def with_first(cells, lines=LINES):
    """The lines with another cell before each."""
    return [(str(cell), *line) for cell, line in zip(cells, lines, strict=True)]


def read(folder, content, **given):
    """Places, values and notes."""
    path, notes = folder / "readings.csv", []
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    known = {"sensors": PLACES, "domain": {"y": (0, 4), "x": (0, 4)}, "say": notes.append}
    return *read_readings(path, AXES, CHANNELS, **known | given), notes


QUOTED = text(lines=[[f'"{cell}"' for cell in line] for line in with_commas()])

AS_MEANT = {
    "byte order mark, Windows": b"\xef\xbb\xbf" + text(end="\r\n").encode(),
    "old Macintosh": text(end="\r"),
    "mixed ends of lines": text().replace("\n", "\r\n", 2),
    "semicolons": text(";"),
    "semicolons, decimal commas": text(";", lines=with_commas()),
    "tabs, decimal commas": text("\t", lines=with_commas()),
    "decimal commas in quotes": QUOTED,
    "bars": text("|"),
    "tabs": text("\t"),
    "spaces": text(" "),
    "columns of a fixed width": "  y   x       u      v\n"
    + "".join("   ".join(f"{cell:>6}" for cell in line) + " \n" for line in LINES),
    "UTF-16 of Excel": text("\t", end="\r\n").encode("utf-16"),
    "UTF-16, high byte first": b"\xfe\xff" + text("\t").encode("utf-16-be"),
    "UTF-16 without its mark": text("\t").encode("utf-16-le"),
    "UTF-32": text().encode("utf-32"),
    "which separator": "sep=;\r\n" + text(";", end="\r\n"),
    "quotes": text(header=('"y"', '"x"', '"u"', '"v"')),
    "spaces before quotes": text(", ", header=('"y"', '"x"', '"u"', '"v"')),
    "single quotes": text(header=("'y'", "'x'", "'u'", "'v'")),
    "capitals": text(header=("Y", "X", "U", "V")),
    "no-break space": text(header=("y", "x", "u", "v\u00a0")),
    "axes in another order": text(header=("x", "v", "u", "y"), lines=[(b, d, c, a) for a, b, c, d in LINES]),
    "header in a comment": "# " + text(),
    "header of MATLAB": "% station log\n%" + text(" "),
    "comments": "# station log 2024\n" + text() + "# end, y, x\n",
    "comment within": text().replace("1.5", "# moved\n1.5", 1),
    "lines about the logger": "Station,North\nSerial,12,5\n\n" + text(),
    "empty lines of Excel": text() + ",,,\n,,,\n",
    "lines of spaces": "\n" + text() + " , , , \n   \n",
    "separator at the end": text(header=("y", "x", "u", "v", ""), lines=[(*line, "") for line in LINES]),
    "separators at the end of lines alone": text(lines=[(*line, "", "") for line in LINES]),
    "row numbers of pandas": text(header=("", "y", "x", "u", "v"), lines=with_first(range(3))),
    "row numbers of R": text("\t", lines=with_first(range(1, 4))),
    "minus sign": text().replace("-", "\u2212"),
    "Fortran": text(lines=[(*line[:3], f"{float(line[3]) * 1e3:.4f}D-03") for line in LINES]),
    "signs and exponents": text(lines=[(*line[:3], f"{float(line[3]):+.5E}") for line in LINES]),
    "bare points": text().replace("0.25", ".25").replace("1.0,", "1.,"),
    "names of stations": text(header=("name", "y", "x", "u", "v"), lines=with_first(("S1", "S2", "Süd"))),
    "Windows' encoding": text(header=("Ort", "y", "x", "u", "v"), lines=with_first(("Nord", "Süd", "Fluß"))).encode(
        "cp1252"
    ),
    "units": text(header=("y [m]", "x(m)", "u (m/s)", "v / m s-1")),
    "a unit in quotes": text(header=("y", "x", '"u, m/s"', "v")),
    "a unit with a comma among semicolons": text(";", header=("y", "x", "u, m/s", "v")),
    "units among spaces": text(" ", header=("y [m]", "x [m]", "u [m s-1]", "v [m s-1]")),
    "a line of units": text(lines=[("m", "m", "m/s", "m/s"), *LINES]),
    "a header again": text() + "y,x,u,v\n",
    "numbers as text": text(lines=[(*line[:3], f'="{line[3]}"') for line in LINES]),
    "a sensor's number as well": text(header=("sensor", "y", "x", "u", "v"), lines=with_first(range(3))),
    "a run's table": text(
        header=("sensor", "y", "x", "set", "u", "v"),
        lines=[(str(n), *line[:2], "sparse", *line[2:]) for n, line in enumerate(LINES)],
    ),
    "sensors' numbers": text(
        header=("Sensor", "u", "v"), lines=[(f"{n}.0", *line[2:]) for n, line in enumerate(LINES)]
    ),
    "a channel more": text(header=("y", "x", "u", "v", "humidity"), lines=[(*line, "50") for line in LINES]),
}


@pytest.mark.parametrize("kind", AS_MEANT)
def test_read_as_meant(tmp_path, kind):
    places, values, _ = read(tmp_path, AS_MEANT[kind])
    np.testing.assert_array_equal(places, PLACES)
    np.testing.assert_allclose(values, VALUES, rtol=1e-12)


@pytest.mark.parametrize(
    ("kind", "note"),
    [
        ("row numbers of pandas", "the first column, which has no name, is not read"),
        ("names of stations", "column 'name' is not read"),
        ("Windows' encoding", "column 'Ort' is not read"),
        ("a channel more", "column 'humidity' is nothing that the data set has: not read"),
    ],
)
def test_columns_that_are_not_read_are_told(tmp_path, kind, note):
    *_, notes = read(tmp_path, AS_MEANT[kind])
    assert len(notes) == 1 and notes[0].endswith(note)


def one(cell, header="y,x,u,v"):
    return f"{header}\n0.5,1,{cell},2\n1.5,2,0.25,1\n"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is empty"),
        (" \n\n", "is empty"),
        (one("1_000"), "line 2: column u holds '1_000', which separates thousands: write the digits alone"),
        (one("1'000.5"), "line 2: column u holds .*, which separates thousands"),
        (one("1 000"), "line 2: column u holds '1 000', which separates thousands"),
        (one('"1,000.5"'), "line 2: column u holds '1,000.5', which separates thousands"),
        (one('"1,000"'), "line 2: column u holds '1,000', a decimal comma or a separator .* '0.5' on line 2"),
        ('sensor,u,v\n0,"1,000",2\n', "may be a decimal comma or a separator of thousands: write a decimal point"),
        (text(lines=with_commas()), "line 2: 8 cells, but .*: name each column; if the numbers have decimal commas"),
        (one("1.2 m/s"), "a number with a unit: write 1.2 alone, and the unit in the header"),
        (one("5%"), "a number with a unit: write 5 alone"),
        (one("1.Mai"), "column u holds '1.Mai', which is a date: set the cells' format to number"),
        (one("****"), "what Fortran writes where it is too wide"),
        (one("inf"), "line 2: column u holds 'inf': write a finite number, or leave the cell empty"),
        (one("high"), "line 2: column u holds 'high', which is no number: write a number, or leave the cell empty"),
        (one("0x10"), "column u holds '0x10'"),
        (text(header=LINES[0]), "has no header: line 1 holds 0.5, 1.0, 1.25, -0.5: write the names of the columns"),
        (text().replace("u", "u\0", 1), "line 1: holds a NUL byte, which no text has: the file is damaged"),
        (b"PK\x03\x04" + bytes(99), "is no text but a spreadsheet .*: open it and save it as CSV"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(99), r"an Excel workbook \(.xls\): open it in Excel and save it"),
        (b"\x89HDF\r\n\x1a\n" + bytes(99), r"cannot be read as NetCDF or Zarr \(.*\): write it again"),
        (b"\x1f\x8b\x08" + bytes(9), "compressed by gzip: unpack it first"),
        ("<html><body>", "is a web page or XML"),
        ('[\n{"y": 1}]', "is JSON"),
        ("y,x,U,u,v\n0,0,1,1,1\n", "line 1: both 'U' and 'u' are u: keep one of the two"),
        ("y,x,u,u,v\n0,0,1,1,1\n", "line 1: column 'u' is there twice"),
        ("y,x,u,v,\n0,0,1,1,7\n", "line 2: 5 cells, but the header has 4: y, x, u, v: name each column"),
        ("y,,x,u,v\n0,7,0,1,1\n", "line 1: a column has values but no name"),
        ("y,x,u\n0,0,1,1\n", "line 2: 4 cells, but the header has 3: y, x, u"),
        ("lat,x,u,v\n0,0,1,1\n", "column y missing"),
    ],
)
def test_refused_in_one_line(tmp_path, content, message):
    with pytest.raises(SparseVQError, match=message) as caught:
        read(tmp_path, content)
    assert "\n" not in str(caught.value)
    assert str(tmp_path / "readings.csv") in str(caught.value)


def test_typing_errors_of_names_are_told_the_nearest(tmp_path):
    path = tmp_path / "readings.csv"
    path.write_text("y,x,temprature\n0,0,1\n")
    with pytest.raises(SparseVQError, match="line 1: unknown column 'temprature': if it is temperature, call it so"):
        read_readings(path, AXES, ("pressure", "temperature"))


@pytest.mark.parametrize("name", ["xl/workbook.xml", "content.xml"])
def test_spreadsheets_are_known_by_their_contents(tmp_path, name):
    with zipfile.ZipFile(tmp_path / "readings.csv", "w") as file:
        file.writestr("mimetype", "application/vnd.oasis.opendocument.spreadsheet" if name == "content.xml" else "")
        file.writestr(name, "<x/>")
    with pytest.raises(SparseVQError, match="xlsx" if "xl/" in name else "ods"):
        read_readings(tmp_path / "readings.csv", AXES, CHANNELS)


# ------------------------------------------------------------------ values that are missing


@pytest.mark.parametrize("mark", ["", "NaN", "NA", "n/a", "-", "null", "#N/A", "None", "--", "#DIV/0!", "nan"])
def test_missing_values_are_left_out_and_told(tmp_path, mark):
    _, values, notes = read(tmp_path, one(mark))
    np.testing.assert_array_equal(values, [[np.nan, 2], [0.25, 1]])
    assert notes == [f"{tmp_path}/readings.csv, line 2: the sensor at y=0.5, x=1 has no u ({mark!r}): left out"]


def test_a_sensor_without_any_value_is_left_out(tmp_path):
    places, values, notes = read(tmp_path, "sensor,u,v\n0,,NaN\n2,1,2\n")
    np.testing.assert_array_equal(places, PLACES[2:])
    np.testing.assert_array_equal(values, [[1, 2]])
    assert notes[0].endswith("line 2: sensor 0 has no u and no v ('', 'NaN'): the sensor is left out")


def test_where_all_channels_are_needed_a_sensor_without_one_is_left_out(tmp_path):
    places, _, notes = read(tmp_path, "sensor,u,v\n0,1,NaN\n2,1,2\n", partial=False)
    np.testing.assert_array_equal(places, PLACES[2:])
    assert notes[0].endswith("line 2: sensor 0 has no v ('NaN'): the sensor is left out")


def test_many_are_told_together(tmp_path):
    path, notes = tmp_path / "readings.csv", []
    path.write_text("y,x,u,v\n" + "".join(f"0,{place},,1\n" for place in range(20)))
    read_readings(path, AXES, CHANNELS, say=notes.append)
    assert len(notes) == 5 and notes[-1] == "and 16 more like this"


@pytest.mark.parametrize("code", ["-9999", "-999.0", "9.96921e36", "1e20"])
def test_codes_for_missing_values_are_told(tmp_path, code):
    _, values, notes = read(tmp_path, one(code))
    assert values[0, 0] == float(code)
    if code != "9.96921e36":
        assert "which loggers write where there is no value" in notes[0]


# ------------------------------------------------------------------ units and places


def in_units(folder, header, line, *, units=("K", "m/s"), axis_units=None, space=None):
    path, notes = folder / "readings.csv", []
    path.write_text(f"{header}\n{line}\n")
    form = Form(
        AXES,
        CHANNELS,
        units,
        True,
        PLACES,
        space or Space(),
        axis_units=axis_units or {"y": "m", "x": "m"},
        say=notes.append,
    )
    (frame,) = read_history(path, form, np.arange(3.0)).frames
    return frame, notes


@pytest.mark.parametrize(
    ("header", "cell", "value"),
    [
        ("u [degC]", "20", 293.15),
        ("u (°C)", "20", 293.15),
        ("u / C", "20", 293.15),
        ("u, celsius", "20", 293.15),
        ("u in °F", "68", 293.15),
        ("u [K]", "20", 20),
        ("u [Kelvin]", "20", 20),
        ("u [mK]", "20", 0.02),
        ("v [km/h]", "36", 10),
        ("v [km h-1]", "36", 10),
        ("v (knots)", "36", 18.52),
        ("v [kt]", "36", 18.52),
        ("v [mph]", "10", 4.4704),
        ("v [cm s^-1]", "36", 0.36),
        ("v [m s**-1]", "36", 36),
        ("v [m·s⁻¹]", "36", 36),
        ("v [meter per second]", "36", 36),
        ("V [M/S]", "36", 36),
    ],
)
def test_units_are_converted_and_told(tmp_path, header, cell, value):
    frame, notes = in_units(tmp_path, f'sensor,"{header}"', f"1,{cell}")
    np.testing.assert_allclose(frame.values[0, "uv".index(header[0].lower())], value, rtol=1e-9)
    assert len(notes) == (value != float(cell))
    assert all("is converted from" in note for note in notes)


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("u [m]", "line 1: column 'u \\[m\\]' is in 'm', but the data set has u in 'K': give the values in K"),
        ("v [furlongs per fortnight]", "but the data set has v in 'm/s'"),
    ],
)
def test_units_of_something_else_are_refused(tmp_path, header, message):
    with pytest.raises(SparseVQError, match=message):
        in_units(tmp_path, f"sensor,{header}", "1,2")


def test_units_of_noise_are_those_of_its_channel_without_an_offset(tmp_path):
    frame, _ = in_units(tmp_path, "sensor,u [degC],v [km/h],noise_u,noise_v", "1,20,36,0.5,3.6")
    np.testing.assert_allclose(frame.noise, [[0.5, 1]])
    frame, _ = in_units(tmp_path, "sensor,u [degC],noise_u [degF]", "1,20,0.9")
    np.testing.assert_allclose(frame.noise, [[0.5, 0]])
    frame, _ = in_units(tmp_path, "sensor,v [km/h],noise", "1,36,3.6")
    np.testing.assert_allclose(frame.noise[0, 1], 1)


def test_units_of_places_and_of_a_line_below_the_header(tmp_path):
    frame, notes = in_units(tmp_path, "y [cm],x,u,v", ",km,°C,\n50,0.001,20,1")
    np.testing.assert_allclose(frame.places, [[0.5, 1]])
    np.testing.assert_allclose(frame.values, [[293.15, 1]])
    assert len(notes) == 3


PERIODIC = Space({"y": (0, 4), "x": (-4, 8)}, {"x": (0.0, 4.0)}, {"y": 0.5, "x": 0.5})


@pytest.mark.parametrize(
    ("x", "found", "notes"), [("1", 1, 0), ("5", 1, 1), ("-3", 1, 1), ("4", 0, 1), ("-1.5", 2.5, 1), ("3.9", 3.9, 0)]
)
def test_places_a_period_away_are_the_same(tmp_path, x, found, notes):
    frame, told = in_units(tmp_path, "y,x,u,v", f"0.2,{x},1,1", space=PERIODIC)
    assert frame.places.tolist() == [[0.2, found]]
    assert len(told) == notes and all(f"x={x} is taken as {found}" in note for note in told)


def test_the_same_sensor_twice_a_period_away(tmp_path):
    with pytest.raises(SparseVQError, match=r"line 3: the place y=0\.2, x=1 is on line 2 already"):
        in_units(tmp_path, "y,x,u,v", "0.2,1,1,1\n0.2,5,1,1", space=PERIODIC)


def test_places_of_sensors_may_be_rounded(tmp_path):
    frame, notes = in_units(tmp_path, "y,x,u,v", "0.5001,0.9999,1,1\n1.5,2.02,1,1\n2.4,3,1,1", space=PERIODIC)
    np.testing.assert_array_equal(frame.places, [[0.5, 1], [1.5, 2], [2.4, 3]])
    assert len(notes) == 1 and "line 3: taken as the place of sensor 1, which is 4.0%" in notes[0]


# ------------------------------------------------------------------ times


TIMES = 0.5 * np.arange(9)


def history_of(folder, content, times=TIMES, units="h", **given):
    path = folder / "readings.csv"
    path.write_text(content)
    form = Form(AXES, CHANNELS, ("K", "m/s"), True, PLACES, time_units=units, say=lambda note: None, **given)
    return read_history(path, form, times)


@pytest.mark.parametrize(
    ("column", "earlier", "later", "date"),
    [
        ("time", "2024-01-31T23:30", "2024-02-01T00:30", "2024-02-01T00:30:00"),
        ("Timestamp", "2024-01-31 23:30:00", "2024-02-01 00:30:00", "2024-02-01T00:30:00"),
        ("date", "2024/1/31 23:30", "2024/2/1 0:30", "2024-02-01T00:30:00"),
        ("time", "20240131T2330", "20240201T0030", "2024-02-01T00:30:00"),
        ("Time (UTC)", "31.01.2024 23:30", "01.02.2024 00:30", "2024-02-01T00:30:00"),
        ("time", "31-Jan-2024 23:30:00", "01-Feb-2024 00:30:00", "2024-02-01T00:30:00"),
        ("time", "2024-01-31T23:30:00Z", "2024-02-01T02:30:00+02:00", "2024-02-01T00:30:00Z"),
        ("time [min]", "30", "90", None),
        ("t", "1.5", "2.5", None),
    ],
)
def test_times_and_dates(tmp_path, column, earlier, later, date):
    found = history_of(tmp_path, f"sensor,{column},u\n0,{later},2\n0,{earlier},1\n")
    assert (found.offsets, found.date) == ((-2, 0), date)
    assert [frame.values[0, 0] for frame in found.frames] == [1, 2]


def test_a_date_and_a_clock_in_two_columns(tmp_path):
    found = history_of(tmp_path, "date,time,sensor,u\n2024-01-31,23:30,0,1\n2024-02-01,00:30,0,2\n")
    assert (found.offsets, found.date) == ((-2, 0), "2024-02-01T00:30:00")
    found = history_of(tmp_path, "date time sensor u\n2024-01-31 23:30 0 1\n2024-02-01 00:30 0 2\n")
    assert found.offsets == (-2, 0)


def test_a_date_among_spaces(tmp_path):
    found = history_of(tmp_path, "time sensor u\n2024-01-31 23:30 0 1\n2024-02-01 00:30 0 2\n")
    assert (found.offsets, found.date) == ((-2, 0), "2024-02-01T00:30:00")


def test_months_are_steps(tmp_path):
    times = 730.485 * np.arange(9)
    found = history_of(tmp_path, "time,sensor,u\n2023-12-15,0,1\n2024-03-15,0,2\n", times)
    assert found.offsets == (-3, 0)


def test_dates_are_of_the_data_sets_calendar(tmp_path):
    lines = "time,sensor,u\n2023-02-28,0,1\n2023-02-30,0,2\n2023-03-01,1,2\n"
    found = history_of(tmp_path, lines, times=np.arange(9.0), units="d", calendar="360_day")
    assert (found.offsets, found.date) == ((-3, -1, 0), "2023-03-01T00:00:00")
    lines = "time,sensor,u\n2024-02-28,0,1\n2024-03-01,0,2\n"
    assert history_of(tmp_path, lines, times=np.arange(9.0), units="d").offsets == (-2, 0)
    assert history_of(tmp_path, lines, times=np.arange(9.0), units="d", calendar="noleap").offsets == (-1, 0)


def test_long_and_standard_names_are_names(tmp_path):
    about = {
        "u": {"long_name": "2 metre temperature", "standard_name": "air_temperature"},
        "x": {"long_name": "Easting"},
    }
    found = history_of(tmp_path, "y,Easting [m],2 metre temperature [K]\n0.5,1,2\n", about=about)
    assert found.frames[0].values[0, 0] == 2
    found = history_of(tmp_path, "sensor,Air temperature\n0,3\n", about=about)
    assert found.frames[0].values[0, 0] == 3


def test_one_date_needs_no_even_times(tmp_path):
    found = history_of(tmp_path, "time,sensor,u\n2024-01-31,0,1\n2024-01-31,1,1\n", np.array([0.0, 1, 5]), "L/U")
    assert (found.offsets, found.date) == ((0,), "2024-01-31T00:00:00")


@pytest.mark.parametrize(
    ("times", "message"),
    [
        (("01/02/2024", "01/03/2024"), "line 2: column time holds '01/02/2024', in which day and month cannot be told"),
        (("2024-02-30", "2024-03-01"), "line 2: column time holds '2024-02-30', which is no day of the calendar"),
        (("2024-01-01", "3"), "line 3: column time holds '3', which is no date as in other lines"),
        (("2024-01-01T00:00Z", "2024-01-01T01:00"), "line 3: .* other lines have a zone: write all dates with a zone"),
        (("noon", "later"), "line 2: column time holds 'noon', which is no number"),
        (("2024-01-01T00:00", "2024-01-01T00:10"), "line 2: .* 0.333333 steps of 0.5 before the last time"),
    ],
)
def test_faulty_dates(tmp_path, times, message):
    with pytest.raises(SparseVQError, match=message):
        history_of(tmp_path, "time,sensor,u\n" + "".join(f"{time},0,1\n" for time in times))


def test_dates_of_a_data_set_without_a_unit_of_time(tmp_path):
    with pytest.raises(SparseVQError, match="has dates, but the data set's times are in L/U: number the frames"):
        history_of(tmp_path, "time,sensor,u\n2024-01-01,0,1\n2024-01-02,0,1\n", units="L/U")


def test_a_unit_to_a_power_that_no_unit_has_is_none():
    assert conversion("m99999", "m") is None
    assert conversion("m/s9" + "9" * 400, "m/s") is None


@pytest.mark.parametrize("below", ["", "\t\t\t\t\n", "1\t1.5\t2.0\t\t4.0\n"])
def test_a_column_of_tabs_without_a_name_moves_no_value(tmp_path, below):
    """The index that pandas writes; by spaces the header would have as many names, and empty cells would vanish."""
    (tmp_path / "readings.csv").write_text("\ty\tx\tu\tv\n0\t0.5\t1.0\t3.0\t\n" + below)
    (frame,) = read_history(
        tmp_path / "readings.csv", Form(("y", "x"), ("u", "v"), ("", ""), True), np.arange(3.0)
    ).frames
    np.testing.assert_array_equal(frame.places[0], (0.5, 1.0))
    np.testing.assert_array_equal(frame.values[0], (3.0, np.nan))
