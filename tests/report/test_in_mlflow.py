"""What MLflow shows of a run that is evaluated: the numbers of its tables."""

import json

import pandas as pd
import pytest

from sparsevq.report.in_mlflow import shown_of_run, write_table

METHODS = {"sparsevq": 0.25, "sparsevq_member": 0.375, "persistence": 0.5, "ridge": 1.0}


def rows(observed: int, factor: float) -> tuple[list[dict], list[dict], list[dict]]:
    run = {"data_set": "cylinder", "num_sensors": 8, "seed": 1, "observed_frames": observed}
    scores, calibration, cases = [], [], []
    for method, error in METHODS.items():
        for lead in range(3):
            at = {**run, "method": method, "channel": "all", "lead_time": lead}
            for metric in ("relative_l2", "relative_l2_anomalies", "vrmse", "crps", "anomaly_correlation"):
                scores.append({**at, "metric": metric, "value": factor * error * (1 + lead), "cases": 4})
            if method != "sparsevq_member":
                for quantity in ("spread_skill_ratio", "coverage_90"):
                    calibration.append({**at, "quantity": quantity, "rank": None, "value": 0.5 + error})
            for case in range(4):
                quantities = ("relative_l2", "relative_l2_anomalies", "vrmse", "crps")
                of_case = dict.fromkeys(quantities, factor * error * (1 + lead))
                cases.append({**run, "method": method, "case": case, "trajectory": case, "lead_time": lead, **of_case})
    return scores, calibration, cases


@pytest.fixture
def folder(tmp_path):
    parts = [rows(1, 1.0), rows(3, 0.5)]
    for name, tables in zip(("scores", "calibration", "cases"), zip(*parts, strict=True), strict=True):
        pd.DataFrame([row for table in tables for row in table]).to_csv(tmp_path / f"{name}.csv", index=False)
    return tmp_path


def test_metrics_are_means_over_lead_times_of_sparsevq_and_of_each_baseline(folder):
    metrics = shown_of_run(folder).metrics
    assert metrics["error/relative_l2"] == pytest.approx(0.25 * 2.5)
    assert metrics["error/ratio_to_best_baseline"] == pytest.approx(0.5)
    assert metrics["calibration/coverage_90"] == pytest.approx(0.75)
    assert metrics["reference/relative_l2/persistence"] == pytest.approx(0.5 * 2.5)
    assert metrics["reference/crps/ridge"] == pytest.approx(2.5)
    assert metrics["3 observed/error/relative_l2"] == pytest.approx(0.125 * 2.5)
    assert not any("member" in name for name in metrics)


def test_curves_have_lead_times_as_steps(folder):
    curves = shown_of_run(folder).curves
    assert curves["by_lead_time/relative_l2"] == {0: 0.25, 1: 0.5, 2: 0.75}
    assert curves["by_lead_time/spread_skill_ratio"] == {0: 0.75, 1: 0.75, 2: 0.75}
    assert curves["reference_by_lead_time/relative_l2/ridge"] == {0: 1.0, 1: 2.0, 2: 3.0}
    assert list(curves["3 observed/by_lead_time/crps"]) == [0, 1, 2]


def test_names_of_another_split_begin_with_it(folder):
    shown = shown_of_run(folder, "ood")
    assert all(name.startswith("ood/") for name in (*shown.metrics, *shown.curves))
    assert shown.sentences.startswith("Outside the training range")


def test_the_sentences_are_the_headline_of_the_report(folder):
    sentences = shown_of_run(folder).sentences
    assert "**0.50 ×** the error of the best baseline, persistence" in sentences
    assert "From 3 observed frames" in sentences


def test_the_table_is_one_that_mlflow_reads(folder, tmp_path):
    write_table(tmp_path / "summary.json", shown_of_run(folder).table)
    table = json.loads((tmp_path / "summary.json").read_text())
    assert table["columns"][:3] == ["observed frames", "method", "error / best baseline"]
    assert all(len(row) == len(table["columns"]) for row in table["data"])
    assert table["data"][0][1] == "sparsevq (ensemble mean)"
    assert len(table["data"]) == 8
    assert {type(cell) for row in table["data"] for cell in row} <= {int, float, str}
