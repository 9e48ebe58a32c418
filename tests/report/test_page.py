"""The report begins with the result, shows what it tells of, and needs nothing but its file."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from sparsevq.errors import SparseVQError
from sparsevq.evaluation.scores import ALL
from sparsevq.evaluation.table_files import write_csv, write_text
from sparsevq.evaluation.tables import tabulate
from sparsevq.forecasting.cases import SCHEMA, VERSION
from sparsevq.report.captions import FIGURES
from sparsevq.report.headline import headline
from sparsevq.report.page import write_report
from sparsevq.report.texts import read_tables
from sparsevq.runtime.hdf5 import created, stamp
from tests.browser import browser, complaints, requests

METHODS = {"sparsevq": 0.04, "sparsevq_member": 0.06, "persistence": 0.1, "climatology": 0.12, "ridge": 0.08}
SIZES = {"strip": (1770, 1230), "lead_time": (1575, 525), "animation": (640, 400)}


def picture(path: Path, size: tuple[int, int]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    shades = [Image.new("L", size, grey) for grey in (120, 180)]
    more = {"save_all": True, "append_images": shades[1:]} if path.suffix == ".gif" else {}
    shades[0].save(path, **more)


def evaluated(run: Path, seed: int, observed: tuple[int, ...] = (1,), data_set: str = "cylinder") -> None:
    """What `evaluate` leaves of a run, as far as the tables and the report need it."""
    cells = [
        (data_set, 20, seed, frames, method, ALL, lead, metric, error * (lead + 1 + seed / 10) / frames, 4)
        for frames in observed
        for method, error in METHODS.items()
        for lead in range(6)
        for metric in ("relative_l2", "relative_l2_anomalies", "vrmse", "crps")
    ]
    columns = ["data_set", "num_sensors", "seed", "observed_frames", "method", "channel", "lead_time", "metric"]
    write_csv(run / "scores.csv", pd.DataFrame(cells, columns=[*columns, "value", "cases"]))
    with created(run / "forecast.h5") as file:
        stamp(file, SCHEMA, VERSION, {}, {})
        file["lead_time"] = 10800.0 * np.arange(1, 6)
        file["lead_time"].attrs["units"] = "s"
    for name in FIGURES:
        suffix = "gif" if name == "animation" else "png"
        picture(run / f"figures/{name}.{suffix}", SIZES.get(name, (1575, 520)))


def experiment(folder: Path, seeds=(1,), **more) -> tuple[list[Path], list[Path]]:
    """An experiment that is finished; its runs and its data sets."""
    runs = [folder / f"cylinder/n20/seed{seed}" for seed in seeds]
    for run, seed in zip(runs, seeds, strict=True):
        evaluated(run, seed, **more)
    tabulate([run / "scores.csv" for run in runs], [], [], [], [], [], folder / "tables", trained=20)
    picture(folder / "figures/lead_time.png", (1575, 525))
    picture(folder / "cylinder/figures/contact_sheet.png", (1200, 900))
    text = "### cylinder: channels by split\n\n| quantity | mean |\n|---|---:|\n| u (U) | 1.5 |\n"
    write_text(folder / "cylinder/split_statistics.md", text)
    return runs, [folder / "cylinder"]


def made(folder: Path, pages=(), **more) -> Path:
    runs, data_sets = experiment(folder, **more)
    return write_report(folder / "report.html", "quickstart", runs, data_sets, {"seeds": [1]}, pages)


def test_the_headline_table_and_picture_are_seen_at_once_and_nothing_is_cut_off(tmp_path):
    page = made(tmp_path)
    with browser(1920, 1000) as chromium:
        chromium.get(page.as_uri())
        assert not complaints(chromium)
        assert requests(chromium) == [page.as_uri()]

        def box(selector: str) -> dict[str, float]:
            script = "return document.querySelector(arguments[0]).getBoundingClientRect().toJSON()"
            return chromium.execute_script(script, selector)

        for selector in (".headline strong", ".result table", ".result .picture img"):
            seen = box(selector)
            assert seen["width"] > 0, selector
            assert seen["top"] >= 0, selector
            assert seen["bottom"] <= 1000, selector
            assert seen["right"] <= 1920, selector
        assert chromium.find_element("css selector", ".headline strong").text == "0.50 ×"
        too_wide = """return [document.documentElement, ...document.querySelectorAll("div, figure, section, pre, img")]
            .filter(each => each.scrollWidth > each.clientWidth + 1).map(each => each.className || each.tagName)"""
        assert chromium.execute_script(too_wide) == []
        under = """return [...document.querySelectorAll("figure")].filter(each => each.offsetParent).map(each =>
            each.querySelector("figcaption").getBoundingClientRect().top
            - each.querySelector("img").getBoundingClientRect().bottom)"""
        gaps = chromium.execute_script(under)
        assert len(gaps) == len(FIGURES) + 1, "the figures of the run, and the data"
        assert all(0 <= gap < 20 for gap in gaps)
        loaded = "return [...document.images].every(each => each.complete && each.naturalWidth > 0)"
        assert chromium.execute_script(loaded)


@pytest.mark.parametrize("width", [1500, 1024])
def test_on_a_narrow_screen_nothing_is_cut_off_either(tmp_path, width):
    page = made(tmp_path)
    with browser(width, 768) as chromium:
        chromium.get(page.as_uri())
        wide = "return document.documentElement.scrollWidth"
        assert chromium.execute_script(wide) <= width
        hidden = """return [...document.querySelectorAll(".table")].filter(each => each.offsetParent
            && each.scrollWidth > each.clientWidth).length"""
        assert chromium.execute_script(hidden) == 0


def test_of_several_seeds_the_median_one_is_pictured_and_each_has_its_figures(tmp_path):
    text = made(tmp_path, seeds=(1, 2, 3)).read_text()
    assert "Seed 2, the one with the median error of 3 seeds" in text
    assert "over 3 seeds" in text
    assert text.count('src="data:image/gif;base64') == 3
    for seed in (1, 2, 3):
        assert f"<summary>cylinder, 20 sensors, seed {seed}</summary>" in text


def test_settings_that_share_a_run_share_its_pictures(tmp_path):
    text = made(tmp_path, observed=(1, 5)).read_text()
    assert text.count('class="result"') == 2
    assert "cylinder, 20 sensors, 5 observed frames, 1 seed" in text
    assert text.count('src="data:image/gif;base64') == 1


def test_of_several_placements_each_has_its_result_and_they_are_compared(tmp_path):
    runs, data_sets = experiment(tmp_path, seeds=(1, 2))
    for placement, run in zip(("qr", "random"), runs, strict=True):
        scores = pd.read_csv(run / "scores.csv").assign(seed=1)
        scores.insert(2, "placement", placement)
        write_csv(run / "scores.csv", scores)
    summary = pd.concat(pd.read_csv(tmp_path / "tables/summary.csv") for _ in runs)
    summary.insert(2, "placement", np.repeat(["qr", "random"], len(summary) // 2))
    write_csv(tmp_path / "tables/summary.csv", summary)
    table = (tmp_path / "tables/summary.md").read_text()
    write_text(tmp_path / "tables/summary.md", f"{table}\n{table}")
    write_text(tmp_path / "tables/placements.md", "### cylinder\n\n| placement | error |\n|---|---:|\n| qr | 0.1 |\n")
    text = write_report(tmp_path / "report.html", "places", runs, data_sets, {}).read_text()
    assert "<summary>cylinder, 20 sensors (qr), seed 1</summary>" in text
    assert "<summary>cylinder, 20 sensors (random), seed 1</summary>" in text
    assert "Placements of the sensors" in text


def test_the_page_of_a_run_is_linked(tmp_path):
    run = tmp_path / "cylinder/n20/seed1"
    assert 'href="cylinder/n20/seed1/explore.html"' in made(tmp_path, pages=[run / "explore.html"]).read_text()


def test_the_numbers_of_leads_are_told_in_time(tmp_path):
    assert "Lead 1 is 3 h, lead 5 is 15 h after the last observed frame." in made(tmp_path).read_text()


def test_the_same_results_give_the_same_bytes(tmp_path):
    assert made(tmp_path / "one").read_bytes() == made(tmp_path / "other").read_bytes()


def test_without_a_finished_run_it_says_so(tmp_path):
    with pytest.raises(SparseVQError, match=r"no run that is evaluated.*run the workflow to its end"):
        write_report(tmp_path / "report.html", "quickstart", [], [], {})
    runs, data_sets = experiment(tmp_path)
    (tmp_path / "tables/summary.csv").unlink()
    with pytest.raises(SparseVQError, match=r"summary\.csv can't be read"):
        write_report(tmp_path / "report.html", "quickstart", runs, data_sets, {})
    with pytest.raises(SparseVQError, match=r"seed9/scores\.csv can't be read.*evaluate that run"):
        write_report(tmp_path / "report.html", "quickstart", [tmp_path / "seed9"], data_sets, {})


def of_methods(**ours) -> pd.DataFrame:
    """A setting's rows of the summary."""
    baseline = {"method": "ridge", "seeds": ours.get("seeds", 1), "relative_l2_mean": 0.2}
    sparsevq = {"method": "sparsevq", "seeds": 1, "relative_l2_mean": 0.1, **ours}
    return pd.DataFrame([sparsevq, baseline])


@pytest.mark.parametrize(
    ("ratio", "low", "high", "verdict"),
    [(0.5, 0.4, 0.6, []), (0.97, 0.92, 1.02, ["holds 1"]), (1.2, 1.1, 1.3, ["is better"]), (0.5, np.nan, np.nan, [])],
)
def test_the_headline_says_what_the_interval_allows(ratio, low, high, verdict):
    of = {"ratio_to_best_baseline_mean": ratio, "ratio_to_best_baseline_low": low, "ratio_to_best_baseline_high": high}
    said = headline(of_methods(**of))
    assert said.number == f"{ratio:.2f}"
    assert "ridge regression" in said.text
    assert (f"{low:.2f} to {high:.2f}" in said.text) == np.isfinite(low)
    assert [part for part in verdict if part in " ".join(said.more)] == verdict
    assert bool(said.more) == bool(verdict)


def test_the_headline_of_several_seeds_has_their_deviation_and_the_ensemble_its_coverage():
    said = headline(
        of_methods(
            seeds=3,
            ratio_to_best_baseline_mean=0.787,
            ratio_to_best_baseline_std=0.088,
            coverage_90_mean=0.935,
            spread_skill_ratio_mean=1.02,
        )
    )
    assert "± 0.088 over 3 seeds" in said.text
    assert said.more == ["The ensemble's 90 % intervals hold the truth in 94 %; spread over skill 1.02."]


def test_without_a_baseline_the_headline_is_the_error_itself():
    said = headline(of_methods().query("method == 'sparsevq'"))
    assert (said.number, said.is_ratio) == ("0.10", False)


def test_tables_are_read_as_they_were_written(tmp_path):
    write_text(
        tmp_path / "a.md", "### one\n\n| a | b |\n|---|---:|\n| x | **1 ± 2** |\n|  | 3 |\n\n### two\n\nnothing\n"
    )
    (table,) = read_tables(tmp_path / "a.md")
    assert (table.title, table.headings, table.numbers) == ("one", ["a", "b"], [False, True])
    assert [[cell.text for cell in row] for row in table.rows] == [["x", "1 ± 2"], ["", "3"]]
    assert [cell.bold for cell in table.rows[0]] == [False, True]
    assert table.rows[0][1].parts == ["1", "± 2"]
