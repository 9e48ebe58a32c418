"""The benchmarks measure what they claim; times are not tested."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace

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
        assert len(stage["variants"]) == 5
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
    assert summary["sum_ours"] == 7  # with tracking, whose share a single run cannot tell
    assert summary["sum_tracking"] is None
    assert summary["working"] == 11  # two jobs worked at once
    assert summary["between_jobs"] == 3
    assert "cylinder simulate_0" in printed
    last = printed.strip().splitlines()[-1]
    assert last == "The largest share of ours in any job: 3.00 s (tables), within the limit of 3 s."


@pytest.fixture
def benchmark(monkeypatch):
    """The benchmark's modules, as they import each other."""
    monkeypatch.syspath_prepend(str(REPOSITORY / "benchmarks"))
    import fixed_costs
    import workflow_overhead

    return SimpleNamespace(**vars(fixed_costs) | vars(workflow_overhead))


def test_a_jobs_wall_time_is_the_sum_of_its_shares(results, benchmark):
    """Imports in a block are not its own work; they take at most the time of the block."""
    imports = {"simulate": benchmark.Imports(4.5, 0.5, 4.0), "tables": benchmark.Imports(9.25, 0.5, 9.0)}
    jobs = benchmark.read_jobs(results, benchmark.Costs(imports, 0.25))
    summary = benchmark.summarise(jobs, None)
    assert summary.sum_own == 6 + 6
    assert summary.working == 6
    assert summary.sum_libraries == 4.5 + 4.5 + 1.25
    assert [job.ours for job in jobs] == [12 - 6 - 0.25 - 4.5] * 2 + [4 - 0 - 0.25 - 1.25]


def test_tracking_is_the_difference_to_the_same_job_without_it(results, benchmark):
    tracked = benchmark.read_jobs(results, benchmark.Costs({}, 0.5))
    untracked = [replace(job, wall=job.wall - 1.5, own=job.own - 0.25) for job in tracked if job.name != "tables"]
    *simulated, tables = benchmark.with_tracking(tracked, untracked)
    for job in simulated:
        assert job.tracking == 1.5
        assert job.ours == 12 - (10 - 0.25) - 0.5 - 1.5, "what is logged within the block is tracking's"
    assert tables.tracking is None


def test_imports_are_counted_by_owner_and_place(benchmark):
    report = """import time: self [us] | cumulative | imported package
import time:   1000000 |    1000000 | site
part: preamble
import time:   2000000 |    2000000 | snakemake.logging
part: before
import time:    500000 |     500000 |   pydantic
import time:    250000 |     750000 | sparsevq.config
part: block
import time:   4000000 |    4000000 |     torch
import time:    125000 |    4125000 | sparsevq.stage1.train
"""
    assert benchmark.account(report) == benchmark.Imports(libraries=4.5, ours=0.375, block=4.125)


def test_what_a_script_imports_is_measured(benchmark):
    found = benchmark.imports_of(REPOSITORY / "workflow/scripts/simulate.py", repeats=1)
    assert 0 < found.libraries < 20
    assert 0 < found.ours < 20
    assert found.block == 0, "it imports nothing in its block"


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
