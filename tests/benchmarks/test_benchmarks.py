"""The benchmarks measure what they say; how long it takes is no matter of tests."""

import json
import os
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import pytest
import yaml

REPOSITORY = Path(__file__).resolve().parents[2]
MINIATURE = REPOSITORY / "tests/config/miniature.yaml"


def run(script: str, *arguments: str, json_to: Path) -> tuple[dict, str]:
    """Run a benchmark on one CPU thread; its figures, and what it printed."""
    dropped = ("OMP_", "CUDA_", "SPARSEVQ_")
    ended = subprocess.run(
        [sys.executable, str(REPOSITORY / "benchmarks" / script), *arguments, "--json", str(json_to)],
        capture_output=True,
        text=True,
        env={name: value for name, value in os.environ.items() if not name.startswith(dropped)},
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return json.loads(json_to.read_text()), ended.stdout


def test_every_stage_is_timed_against_every_baseline(tmp_path):
    found, printed = run(
        "training_steps.py",
        *("--config", str(MINIATURE), "--threads", "1", "--device", "cpu", "--steps", "1"),
        json_to=tmp_path / "steps.json",
    )
    names = ["stage 1 semi_sparse", "stage 1 sparse", "stage 2 tokenizer", "stage 3 GPT"]
    assert [stage["name"] for stage in found["stages"]] == names
    for stage in found["stages"]:
        assert len(stage["variants"]) == 4
        assert stage["parameters"] > 0
        for timing in stage["variants"].values():
            assert timing["step"] == pytest.approx(timing["draw"] + timing["model"] + timing["optimizer"])
            assert min(timing.values()) > 0
    assert "Drawing the batch takes at most" in printed


def test_forecasts_without_the_cache_are_the_same_forecasts(tmp_path):
    config = yaml.safe_load(MINIATURE.read_text())
    config["stage3"]["precision"] = "32-true"  # rounding would send the two apart
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    found, _ = run(
        "forecast_speed.py",
        *("--config", str(tmp_path / "config.yaml"), "--threads", "1", "--device", "cpu", "--repeats", "1"),
        json_to=tmp_path / "forecast.json",
    )
    for rates in found["predictions"].values():
        assert rates["same_codes"] == 1
        frames = {part: rates[part]["frames_per_second"] * rates[part]["seconds"] for part in ("cached", "recomputed")}
        assert list(frames.values()) == pytest.approx([4 * 3 * 4] * 2)  # cases, members, horizon


@pytest.fixture
def results(tmp_path) -> Path:
    """A run of three jobs: two side by side, 10 s of work each in 12 s, and after 3 s one of 4 s that worked 1 s."""
    folder = tmp_path / "results/made_up"
    for name, start, wall, worked in (
        ("cylinder/simulate_0", 0, 12, 10),
        ("cylinder/simulate_1", 0, 12, 10),
        ("tables", 15, 4, 1),
    ):
        where = folder / Path(name).parent
        table = where / "benchmarks" / f"{Path(name).name}.tsv"
        log = where / "logs" / f"{Path(name).name}.log"
        for path in (table, log):
            path.parent.mkdir(parents=True, exist_ok=True)
        table.write_text(f"s\th:m:s\tmax_rss\n{wall}.0\t0:00:{wall}\t100.0\n")
        log.write_text(f"step 1\nworked {worked}.00 s\n")
        os.utime(table, (start + wall, start + wall))
        os.utime(log, (start + wall - 1, start + wall - 1))
    return folder


def test_the_overhead_of_a_run_is_its_wall_time_without_the_scripts_work(results, tmp_path):
    found, printed = run("workflow_overhead.py", str(results), "--repeats", "0", json_to=tmp_path / "overhead.json")
    summary = found[str(results)]["summary"]
    assert summary["jobs"] == 3
    assert summary["wall"] == 19
    assert summary["sum_wall"] == 28
    assert summary["sum_own"] == 21
    assert summary["sum_start_and_tracking"] == 7
    assert summary["working"] == 11  # two jobs worked at once
    assert summary["between_jobs"] == 3
    assert "cylinder simulate_0" in printed


def test_imports_in_a_scripts_block_are_no_work(results, tmp_path):
    sys.path.insert(0, str(REPOSITORY / "benchmarks"))
    try:
        from workflow_overhead import read_jobs, summarise
    finally:
        sys.path.pop(0)
    summary = summarise(read_jobs(results, {"simulate": 4.0, "tables": 9.0}), None)
    assert summary.sum_imports == 4 + 4 + 1  # no more than the block took
    assert summary.sum_own == 6 + 6
    assert summary.working == 6


def test_a_log_without_its_last_line_counts_as_no_work_known(results, tmp_path):
    (results / "logs/tables.log").write_text("step 1\n")
    os.utime(results / "logs/tables.log", (18, 18))
    found, printed = run("workflow_overhead.py", str(results), "--repeats", "0", json_to=tmp_path / "overhead.json")
    assert found[str(results)]["summary"]["sum_own"] == 20
    (row,) = (line for line in printed.splitlines() if line.startswith("tables"))
    assert row.split()[2] == "-"


def test_the_wall_time_of_a_run_is_in_snakemakes_log(results, tmp_path):
    start = datetime(2026, 3, 1, 9, 59, 58)
    for path in results.rglob("*.*"):
        at = start.timestamp() + 5 + path.stat().st_mtime
        os.utime(path, (at, at))
    log = tmp_path / ".snakemake/log/2026-03-01T095958.snakemake.log"
    log.parent.mkdir(parents=True)
    log.write_text(f"SNAKEMAKE\n  Date: {start}\n\n[Sun Mar  1 10:00:03 2026]\nJob 1\n[Sun Mar  1 10:00:24 2026]\n")
    found, _ = run("workflow_overhead.py", str(results), "--repeats", "0", json_to=tmp_path / "overhead.json")
    assert found[str(results)]["summary"]["wall"] == 26
    assert found[str(results)]["summary"]["working"] == 11
