"""What is in a page: numbers that are those of the files, in bounded size, and no more than text."""

import json
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from sparsevq.errors import SparseVQError
from sparsevq.explore import content
from sparsevq.explore.coastlines import coastlines
from sparsevq.explore.domain import Domain
from sparsevq.explore.fields import Fields, packed_fields
from sparsevq.explore.packing import MOST, packed, unpacked
from sparsevq.explore.page import write_page
from sparsevq.explore.result import choose_cases, result_page
from tests.explore.conftest import FLOWS, make_result


@pytest.fixture(scope="module")
def plane(tmp_path_factory):
    return make_result(tmp_path_factory.mktemp("plane"), "plane")


@pytest.mark.parametrize("finest", [np.inf, 0.5, 1e-9])
def test_what_is_packed_is_half_a_step_off_at_most(finest):
    values = np.random.default_rng(0).normal(size=(5, 37)).cumsum(axis=1)
    values[2, 3:9] = np.nan
    found = packed(values, finest)
    assert found["step"] <= max(finest, np.nanmax(values) - np.nanmin(values))
    assert found["step"] >= (np.nanmax(values) - np.nanmin(values)) / MOST
    np.testing.assert_allclose(unpacked(found), values, atol=found["step"] * 0.501)


@pytest.mark.parametrize("values", [np.zeros((2, 3)), np.full((2, 3), np.nan), np.full((1, 1), 7.5)])
def test_fields_without_any_contrast_are_packed_too(values):
    np.testing.assert_array_equal(unpacked(packed(values)), values)


def test_the_interval_of_members_is_that_of_the_tables():
    members = np.random.default_rng(1).normal(size=(20, 2, 3, 1))
    mean = members.mean(axis=0)
    found = packed_fields(Fields(None, mean, members), np.ones(1))
    for end, share in (("low", 0.05), ("high", 0.95)):
        expected = np.quantile(members, share, axis=0, method="weibull")[..., 0]
        packed_end = found[end][0]
        near = packed_end["step"] + found["mean"][0]["step"]
        np.testing.assert_allclose(unpacked(found["mean"][0]) + unpacked(packed_end), expected, atol=near)
    np.testing.assert_allclose(unpacked(found["spread"][0]), members.std(axis=0, ddof=1)[..., 0], atol=0.01)


def test_a_page_shows_the_fields_of_its_cases(plane):
    experiment, page = plane
    cases = page.script["cases"]
    assert [case["reason"] for case in cases] == ["median error", "smallest error", "largest error"]
    for case in cases:
        trajectory, start = map(int, re.fullmatch(r"trajectory (\d+), frame (\d+)", case["name"]).groups())
        number = experiment.cases.index((trajectory, start))
        for channel in range(2):
            found = unpacked(case["fields"]["truth"][channel])
            truth = np.where(experiment.data.mask[trajectory], experiment.truth[number][..., channel], np.nan)
            np.testing.assert_allclose(found, truth.reshape(len(found), -1), atol=0.01)
        sensors = case["sensors"]
        np.testing.assert_allclose(
            np.array(sensors["readings"])[:, :, -1].T,
            experiment.data.flat_fields[trajectory, start, experiment.sensors.sparse],
            rtol=1e-4,
            atol=1e-5,
        )


def test_the_chosen_cases_are_the_median_the_best_and_the_worst():
    rows = [(observed, case, error) for observed in (1, 4) for case, error in enumerate((5, 1, 3, 2, 4))]
    table = pd.DataFrame(rows, columns=["observed_frames", "case", "relative_l2"])
    table["case"] += 10 * table["observed_frames"]
    table["method"], table["lead_time"] = "sparsevq", 1
    assert choose_cases(table) == {
        42: "median error",
        41: "smallest error",
        40: "largest error",
        12: "median error",
    }


def test_curves_and_numbers_are_those_of_the_tables(plane):
    experiment, page = plane
    scores = pd.read_csv(experiment.folder / "scores/scores.csv")
    rows = scores.query("metric == 'relative_l2' and channel == 'u'")
    of = {curve["name"]: curve["values"][0] for curve in page.script["curves"][1]}
    ours = rows[rows["method"] == "sparsevq"].sort_values("lead_time")["value"]
    np.testing.assert_allclose(of["sparsevq (ensemble mean)"], ours, rtol=1e-4)
    means = (
        scores.query("metric == 'relative_l2' and channel == 'all' and lead_time > 0").groupby("method")["value"].mean()
    )
    best = means.drop(["sparsevq", "sparsevq_member"]).min()
    assert page.numbers[1][0].value == f"{means['sparsevq'] / best:.2f}"


@pytest.mark.parametrize("geometry", ["plane", "space", "cloud"])
def test_a_large_field_is_thinned_until_it_fits_and_the_page_says_so(tmp_path, monkeypatch, geometry):
    experiment, whole = make_result(tmp_path, geometry)
    size = content.size([case["fields"] for case in whole.script["cases"]])
    monkeypatch.setattr(content, "BYTES", size * 3 // 4)
    small = result_page(experiment.run(), tmp_path / "scores")
    assert content.size([case["fields"] for case in small.script["cases"]]) <= size * 3 // 4
    fewer = len(small.script["cases"][0]["fields"]["members"]) < len(whole.script["cases"][0]["fields"]["members"])
    assert fewer or small.script["domain"]["leftOut"]
    monkeypatch.setattr(content, "BYTES", 100)
    with pytest.raises(SparseVQError, match="would be larger"):
        result_page(experiment.run(), tmp_path / "scores")


def test_coarser_means_half_as_many_lead_times_first_then_points_along_the_longest_axis():
    domain = Domain.of(FLOWS["space"](), 31)
    domain = domain.coarser()
    assert (domain.every_frame, domain.every) == (2, (1, 1, 1))
    wide = Domain.of(FLOWS["plane"](), 6).coarser()
    assert wide.every == (1, 2)
    assert [len(at) for at in wide.axes.values()] == [16, 10]
    assert wide.points.tolist() == [20 * row + column for row in range(16) for column in range(0, 20, 2)]


def test_more_points_than_can_be_drawn_are_never_in_a_page():
    data = replace(FLOWS["space"](), axes={name: np.linspace(0, 1, 128) for name in "zyx"})
    assert Domain.of(data, 6).grid == (32, 32, 64)
    assert Domain.of(data, 6).left_out == "coarsened: of the points 1 of 4 along z, 1 of 4 along y, 1 of 2 along x"
    wide = replace(FLOWS["plane"](), axes={"y": np.arange(18.0), "x": np.arange(432.0)})
    assert Domain.of(wide, 6).left_out == ""


def test_text_of_a_data_set_ends_no_script(tmp_path, plane):
    _, page = plane
    script = json.loads(json.dumps(page.script))
    script["channels"][0]["label"] = "</script><b>u"
    text = write_page(tmp_path / "page.html", page._replace(title="<i>flow</i>", script=script)).read_text()
    assert "</script><b>u" not in text
    assert "<h1>&lt;i&gt;flow&lt;/i&gt;</h1>" in text


def test_the_same_result_gives_the_same_bytes(tmp_path, plane):
    experiment, page = plane
    again = result_page(experiment.run(), experiment.folder / "scores")
    assert write_page(tmp_path / "a.html", page).read_bytes() == write_page(tmp_path / "b.html", again).read_bytes()


# ------------------------------------------------------------------------------------------------ coastlines


def test_coastlines_are_where_land_meets_the_sea():
    """The Strait of Gibraltar is crossed by none, its shores are near."""
    lines = coastlines((-10, 0), (30, 42))
    near = lines[np.isfinite(lines[:, 0])]
    distance = np.hypot(*(near - [-5.6, 36.0]).T)
    assert distance.min() < 0.3
    assert not (np.hypot(*(near - [-8.0, 33.8]).T) < 0.5).all()
    assert (np.abs(near[:, 0] + 5) < 5 + 2.1).all()


@pytest.mark.parametrize("first", [0, -180, -30, 180])
def test_coastlines_follow_the_longitudes_of_the_map(first):
    lines = coastlines((first, first + 359), (-90, 90))
    there = lines[np.isfinite(lines[:, 0])]
    assert there[:, 0].min() < first + 1 < first + 358 < there[:, 0].max()
    australia = np.hypot((there[:, 0] - 153.0 + 180) % 360 - 180, there[:, 1] + 27.5)
    assert australia.min() < 1.5
    steps = np.diff(lines, axis=0)
    assert np.nanmax(np.abs(steps[:, 0])) < 40  # no line across the map


def test_simulated_planets_have_no_coast_at_first():
    data = FLOWS["sphere"]()
    assert Domain.of(data, 6).described()["coast"]["shown"]
    data.provenance["simulator"] = "shallow"
    assert not Domain.of(data, 6).described()["coast"]["shown"]
    assert Domain.of(FLOWS["plane"](), 6).described()["coast"] is None
