"""Lead times are told in the unit that a person would choose."""

import pytest

from sparsevq.data.lead_units import lead_unit


@pytest.mark.parametrize(
    ("times", "unit", "told"),
    [
        ((0.15, 4.5), "s", ("0.15 s", "4.5 s")),
        ((2, 40), "h", ("2 h", "40 h")),
        ((10800,), "s", ("3 h",)),
        ((3600, 21600), "seconds", ("1 h", "6 h")),
        ((86400, 432000), "s", ("1 day", "5 days")),
        ((12960000,), "s", ("5 months",)),
        ((730.9, 2192.7, 4385.4), "h", ("1 month", "3 months", "6 months")),
        ((744, 1416, 2160), "hours", ("31 days", "59 days", "90 days")),  # 1.94 months
        ((6, 240), "h", ("6 h", "240 h")),
        ((30, 60), "days", ("30 days", "60 days")),
        ((1, 2), "months", ("1 month", "2 months")),
        ((12,), "months", ("12 months",)),
        ((365.2425 * 300,), "d", ("300 years",)),
        ((2e-6, 4e-6), "s", ("2 µs", "4 µs")),
        ((0, 90, 180), "s", ("0 min", "1.5 min", "3 min")),
        ((0.45, 9), "L/U", ("0.45 L/U", "9 L/U")),
        ((1, 2000), "1", ("1", "2000")),
        ((1,), "", ("1",)),
        ((0,), "s", ("0 s",)),
    ],
)
def test_the_unit_of_lead_times(times, unit, told):
    chosen = lead_unit(times, unit)
    assert tuple(map(chosen.text, times)) == told


def test_an_axis_has_the_unit_in_the_plural():
    assert lead_unit([86400.0], "s").plural == "days"
    assert lead_unit([0.15], "s").plural == "s"
    assert lead_unit([1.0], "1").plural == ""


@pytest.mark.parametrize("unit", ["ms", "s", "min", "h", "d", "months", "years", "weeks", "6 hours"])
@pytest.mark.parametrize("scale", [1e-7, 1e-3, 1.0, 37.0, 1e4])
def test_a_lead_time_means_the_same_in_the_unit_that_is_chosen(unit, scale):
    chosen = lead_unit([scale, 3 * scale], unit)
    other = lead_unit([1.0], unit)
    assert chosen.value(3 * scale) == pytest.approx(3 * scale * chosen.factor, rel=0.02)
    assert chosen.name
    assert other.name
