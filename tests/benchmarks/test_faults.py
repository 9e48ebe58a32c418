"""The fault campaign detects differences; otherwise a campaign that finds none would mean nothing."""

import signal
import subprocess
import sys
from collections import Counter
from types import SimpleNamespace

import faults
import psutil
import pytest


@pytest.fixture
def workflow(tmp_path):
    config = tmp_path / "config.yaml"
    config.write_text("experiment: try\n")
    workflow = faults.Workflow(tmp_path / "run", config, cores=1)
    for name in ("try/a.csv", "try/x/model.safetensors", "try/logs/a.log", "mlflow.db", ".tracking/a.jsonl"):
        path = workflow.results / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return workflow


def test_results_are_compared_and_records_of_runs_are_not(workflow):
    assert workflow.files().keys() == {"try/a.csv", "try/x/model.safetensors"}


@pytest.mark.parametrize("name", ["try/a.csv", "try/.a.left.csv", "try/x/checkpoints/step1.safetensors"])
def test_a_changed_or_left_file_is_reported(workflow, name):
    before = workflow.files()
    path = workflow.results / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("other")
    assert faults.differences(before, workflow.files()) == [name]
    assert faults.differences(before, before) == []


def test_a_missing_file_is_reported(workflow):
    before = workflow.files()
    (workflow.results / "try/a.csv").unlink()
    assert faults.differences(before, workflow.files()) == ["try/a.csv"]


def run(name, status="FINISHED"):
    return SimpleNamespace(info=SimpleNamespace(run_name=name, status=status))


@pytest.mark.parametrize(
    ("mine", "expected"),
    [
        ([run("gpt")], "runs: {} too many, {'codes': 1} too few"),
        ([run("gpt"), run("codes"), run("codes")], "runs: {'codes': 1} too many, {} too few"),
        ([run("gpt"), run("codes", "RUNNING")], "run codes is RUNNING"),
    ],
)
def test_orphans_and_lost_runs_are_reported(monkeypatch, mine, expected):
    like = [run("gpt"), run("codes")]
    monkeypatch.setattr(faults, "_runs", lambda which: mine if which == "mine" else like)
    monkeypatch.setattr(faults, "_steps", lambda *_: {})
    assert faults.faults_in_tracking("mine", "like") == [expected]
    assert faults.faults_in_tracking("like", "like") == []


def test_a_metric_that_came_twice_is_reported(monkeypatch):
    monkeypatch.setattr(faults, "_runs", lambda _: [run("gpt")])
    monkeypatch.setattr(faults, "_steps", lambda which, _: {"val_loss": [3, 3, 6] if which == "mine" else [3, 6]})
    assert len(faults.faults_in_tracking("mine", "like")) == 1


def test_the_job_is_found_among_what_snakemake_started(tmp_path):
    script = tmp_path / "tmp123.gpt.py"
    script.write_text("import time; print(flush=True); time.sleep(60)")
    job = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE)
    job.stdout.readline()
    this = psutil.Process()
    assert [found.pid for found in faults.jobs_of(this, "gpt")] == [job.pid]
    assert faults.jobs_of(this, "codes") == []
    job.send_signal(signal.SIGKILL)
    job.communicate()


def test_every_rule_of_the_workflow_is_under_fire():
    rules = (faults.REPOSITORY / "workflow/rules").glob("*.smk")
    named = Counter(
        line.split()[1].rstrip(":")
        for path in rules
        for line in path.read_text().splitlines()
        if line.startswith("rule ") and path.stem != "fds"
    )
    of_another_tokenizer = {"baseline_continuous"}  # the miniature's has no coefficients; trained as baseline_network
    assert (named.keys() | {"sparse"}) - of_another_tokenizer == set(faults.RULES)
