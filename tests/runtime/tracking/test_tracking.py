"""Every job is one run, under one parent, in the state that it really ended in."""

import contextlib
import dataclasses
import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from sparsevq.config import TrackingConfig
from sparsevq.errors import SparseVQError
from sparsevq.runtime.tracking import logs, writer
from sparsevq.runtime.tracking import tracker as tracking
from sparsevq.runtime.tracking.courier import deliver_waiting
from sparsevq.runtime.tracking.identity import Job
from sparsevq.runtime.tracking.mlflow_store import _file_system, locked, store_uri, without_password
from sparsevq.runtime.tracking.params import flatten
from sparsevq.runtime.tracking.spool import append, now, spools
from sparsevq.runtime.tracking.tracker import tracked
from tests.in_process import AtOnce

QUIET = TrackingConfig(system_metrics=False)
SPARSE = Job("flow", "sparse", "cylinder", 20, 1)


def runs(results: Path, experiment: str = "flow") -> dict[str, list]:
    """Runs by rule, parents by name; deleted ones left out."""
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{results}/mlflow.db")
    found: dict[str, list] = {}
    for run in client.search_runs([client.get_experiment_by_name(experiment).experiment_id]):
        found.setdefault(run.data.tags.get("rule", run.info.run_name), []).append(run)
    return found


def one(results: Path, name: str):
    (run,) = runs(results)[name]
    return run


def test_a_job_is_a_child_run_with_all_that_it_logged(results, tmp_path):
    picture = tmp_path / "picture.png"
    picture.write_text("picture")
    with tracked(SPARSE, QUIET, results, params={"stage1": {"lr": 0.1}}, inputs={"data": "ab" * 32}) as tracker:
        for step in (10, 20):
            tracker.log_metrics({"val_loss": 1 / step, "train loss(%)": 1.0}, step)
        tracker.log_params({"device": "cpu"})
        tracker.log_artifact(picture)
    run, parent = one(results, "sparse"), one(results, "s1 n20 cylinder")
    assert run.info.status == "FINISHED"
    assert run.data.tags["mlflow.parentRunId"] == parent.info.run_id
    assert run.data.params == {"stage1.lr": "0.1", "device": "cpu"}
    assert run.data.metrics["val_loss"] == 0.05
    assert run.data.tags["digest.data"] == "ab" * 32
    assert len(run.data.tags["git_commit"]) == 40
    assert list(results.glob("mlartifacts/flow/*/artifacts/picture.png"))

    from mlflow import MlflowClient

    history = MlflowClient(f"sqlite:///{results}/mlflow.db").get_metric_history(run.info.run_id, "val_loss")
    assert [(point.step, point.value) for point in history] == [(10, 0.1), (20, 0.05)]


def test_running_again_leaves_one_run(results):
    for attempt in (1, 2):
        with tracked(SPARSE, QUIET, results) as tracker:
            tracker.log_metrics({"attempt": attempt}, 0)
    assert one(results, "sparse").data.metrics["attempt"] == 2
    assert len(runs(results)) == 2, "the run and its parent"


@pytest.mark.parametrize(
    "other",
    [
        Job("flow", "sparse", "cylinder", 20, 2),
        Job("flow", "sparse", "cylinder", 50, 1),
        Job("flow", "sparse", "channel", 20, 1),
        Job("flow", "gpt", "cylinder", 20, 1),
        Job("flow", "sparse", "cylinder", 20, 1, part="2"),
    ],
)
def test_another_job_keeps_its_run(results, other):
    for job in (SPARSE, other):
        with tracked(job, QUIET, results):
            pass
    children = [run for group in runs(results).values() for run in group if "rule" in run.data.tags]
    assert len(children) == 2


def test_two_results_folders_with_one_experiment_share_a_server_but_no_runs(results, tmp_path):
    settings = TrackingConfig(uri=f"sqlite:///{results}/mlflow.db", system_metrics=False)
    for folder in ("mine", "yours"):
        with tracked(SPARSE, settings, tmp_path / folder):
            pass
    assert len(runs(results)["sparse"]) == 2


@pytest.mark.parametrize(("error", "status"), [(ValueError, "FAILED"), (KeyboardInterrupt, "KILLED")])
def test_the_status_is_how_it_ended(results, error, status):
    with pytest.raises(error), tracked(SPARSE, QUIET, results):
        raise error
    assert one(results, "sparse").info.status == status
    assert one(results, "s1 n20 cylinder").info.status == status


def test_a_nonzero_exit_is_a_failure(results):
    """`mlflow.start_run` takes every SystemExit for success."""
    with pytest.raises(SystemExit), tracked(SPARSE, QUIET, results):
        raise SystemExit(1)
    assert one(results, "sparse").info.status == "FAILED"


def test_the_last_job_ends_the_parent_and_gives_it_the_final_figures(results):
    name = "s1 n20 cylinder"
    with tracked(SPARSE, QUIET, results, shared={"stage1": {"lr": 0.1}}) as tracker:
        tracker._courier.deliver_now()
        assert one(results, "sparse").info.status == one(results, name).info.status == "RUNNING"
    assert one(results, name).info.status == "RUNNING"
    with tracked(Job("flow", "evaluate", "cylinder", 20, 1), QUIET, results, concludes=True) as tracker:
        tracker.conclude({"relative_l2": 0.5})
    parent = one(results, name)
    assert parent.info.status == "FINISHED"
    assert parent.data.metrics == {"relative_l2": 0.5}
    assert parent.data.params == {"data_set": "cylinder", "num_sensors": "20", "seed": "1", "stage1.lr": "0.1"}
    with tracked(SPARSE, QUIET, results, shared={"stage1": {"lr": 0.1}}) as tracker:
        tracker._courier.deliver_now()
        assert one(results, name).info.status == "RUNNING"


def logged(results: Path, name: str, metric: str) -> list[tuple[int, float]]:
    """(step, value) of a curve."""
    from mlflow import MlflowClient

    history = MlflowClient(f"sqlite:///{results}/mlflow.db").get_metric_history(one(results, name).info.run_id, metric)
    return [(point.step, point.value) for point in history]


def cut_short(results: Path, steps: range, **settings) -> str:
    """A job that fails after some steps; the id of its run."""
    with pytest.raises(ZeroDivisionError), tracked(SPARSE, QUIET, results, **settings) as tracker:
        for step in steps:
            tracker.log_metrics({"loss": 1 / step, "seconds_per_step": time.monotonic()}, step)
        raise ZeroDivisionError
    return one(results, "sparse").info.run_id


def test_a_rerun_goes_on_with_the_run_and_logs_no_step_twice(results):
    first = cut_short(results, range(1, 8), params={"lr": 0.1})
    with tracked(SPARSE, QUIET, results, params={"lr": 0.1}) as tracker:
        tracker._courier.deliver_now()
        assert one(results, "sparse").info.status == "RUNNING"
        for step in range(5, 11):  # from a checkpoint after step 4
            tracker.log_metrics({"loss": 1 / step}, step)
    run = one(results, "sparse")
    assert (run.info.run_id, run.info.status) == (first, "FINISHED")
    assert logged(results, "sparse", "loss") == [(step, 1 / step) for step in range(1, 11)]
    assert not spools(results), "nothing is left of a finished job"


@pytest.mark.parametrize("settings", [{"params": {"lr": 0.2}}, {"params": {"lr": 0.1}, "inputs": {"data": "ab" * 32}}])
def test_changed_settings_or_inputs_replace_the_run(results, settings):
    first = cut_short(results, range(1, 8), params={"lr": 0.1})
    with tracked(SPARSE, QUIET, results, **settings) as tracker:
        tracker.log_metrics({"loss": 5.0}, 1)
    assert one(results, "sparse").info.run_id != first
    assert logged(results, "sparse", "loss") == [(1, 5.0)]


def test_a_metric_that_a_job_logs_twice_in_one_step_is_there_twice_in_a_rerun_too(results):
    for fails in (True, False):
        with contextlib.suppress(ZeroDivisionError), tracked(SPARSE, QUIET, results) as tracker:
            for value in (1.0, 2.0) if not fails else (1.0,):
                tracker.log_metrics({"error": value})
                time.sleep(0.002)  # the same step, value and millisecond are one for MLflow
            if fails:
                raise ZeroDivisionError
    assert logged(results, "sparse", "error") == [(0, 1.0), (0, 2.0)]


def test_what_a_rerun_sets_differently_is_a_tag_since_mlflow_takes_no_parameter_twice(results, capfd):
    for device in ("cuda:0", "cpu"):
        with contextlib.suppress(ZeroDivisionError), tracked(SPARSE, QUIET, results) as tracker:
            tracker.log_params({"device": device, "devices": 1})
            if device != "cpu":
                raise ZeroDivisionError
    run = one(results, "sparse")
    assert run.data.params == {"device": "cuda:0", "devices": "1"}
    assert run.data.tags["rerun.device"] == "cpu"
    assert "did not take" not in capfd.readouterr().err


def test_a_run_that_somebody_deleted_comes_back_whole_with_the_rerun(results):
    from mlflow import MlflowClient

    first = cut_short(results, range(1, 4))
    MlflowClient(f"sqlite:///{results}/mlflow.db").delete_run(first)
    with tracked(SPARSE, QUIET, results) as tracker:
        tracker.log_metrics({"loss": 0.25}, 4)
    assert [step for step, _ in logged(results, "sparse", "loss")] == [1, 2, 3, 4]


def test_a_file_that_changes_or_goes_after_it_was_logged_is_delivered_as_it_was(results, tmp_path):
    history = tmp_path / "history.csv"
    with tracked(SPARSE, QUIET, results) as tracker:
        history.write_text("as it was")
        tracker.log_artifact(history)
        tracker.log_artifact(tmp_path / "never.csv")
        history.unlink()
    (kept,) = results.glob("mlartifacts/flow/*/artifacts/history.csv")
    assert kept.read_text() == "as it was"
    assert not spools(results)


def test_a_record_that_names_a_folder_delivers_its_files(results):
    """Older spools have such records."""
    with tracked(SPARSE, QUIET, results) as tracker:
        folder = tracker._spool.files / "figures"
        folder.mkdir(parents=True)
        (folder / "one.txt").write_text("1")
        append(tracker._handle.fileno(), {"kind": "file", "time": now(), "name": "figures"})
    assert [file.read_text() for file in results.glob("mlartifacts/flow/*/artifacts/one.txt")] == ["1"]


def test_one_record_that_mlflow_will_not_have_does_not_hold_up_the_others(results, capfd):
    with tracked(SPARSE, QUIET, results) as tracker:
        for step in range(4):
            tracker.log_metrics({"good": 1.0, "x" * 300: 1.0}, step)
    assert [step for step, _ in logged(results, "sparse", "good")] == [0, 1, 2, 3]
    assert capfd.readouterr().err.count("did not take") == 4


def test_records_torn_by_a_kill_are_passed_over(results):
    cut_short(results, range(1, 4))
    (spool,) = spools(results)
    with open(spool.path, "ab") as file:
        file.write(b'{"kind": "metric", "st')
    with tracked(SPARSE, QUIET, results) as tracker:
        tracker.log_metrics({"loss": 0.25}, 4)
    assert [step for step, _ in logged(results, "sparse", "loss")] == [1, 2, 3, 4]


def test_a_batch_that_went_out_before_its_courier_was_killed_counts_once(results):
    """Progress is written down after each batch; a kill in between sends the batch again."""
    cut_short(results, range(1, 8))
    (spool,) = spools(results)
    start = spool.history().start
    spool.keep(dataclasses.replace(spool.progress(), offset=start, run_id=None))
    with tracked(SPARSE, QUIET, results) as tracker:
        tracker.log_metrics({"loss": 0.125}, 8)
    assert logged(results, "sparse", "loss") == [(step, 1 / step) for step in range(1, 9)]


def test_the_parent_is_as_the_latest_job_left_it_in_whatever_order_records_come(results, tmp_path):
    """An earlier job's records, delivered late, must not set a finished parent to RUNNING."""
    early = AtOnce.finish
    try:
        AtOnce.finish = lambda self, seconds, leave: None
        with tracked(SPARSE, QUIET, results):
            pass
    finally:
        AtOnce.finish = early
    (late,) = spools(results)
    late.path.rename(tmp_path / "late")
    time.sleep(0.01)
    with tracked(Job("flow", "evaluate", "cylinder", 20, 1), QUIET, results, concludes=True) as tracker:
        tracker.conclude({"relative_l2": 0.5})
    assert one(results, "s1 n20 cylinder").info.status == "FINISHED"
    (tmp_path / "late").rename(late.path)
    assert deliver_waiting(results, store_uri(QUIET, results)).jobs == 1
    assert one(results, "sparse").info.status == "FINISHED"
    assert one(results, "s1 n20 cylinder").info.status == "FINISHED"


def test_the_same_job_twice_at_once_is_refused(results, monkeypatch):
    monkeypatch.setattr(writer, "HELD_SECONDS", 0.1)
    with (
        tracked(SPARSE, QUIET, results),
        pytest.raises(SparseVQError, match=f"runs already .process {os.getpid()}"),
        tracked(SPARSE, QUIET, results),
    ):
        pytest.fail("the job must not start")


def script(results: Path, body: str, after: str = "", **environment: str) -> subprocess.Popen:
    code = (
        "import time\nfrom sparsevq.config import TrackingConfig\n"
        "from sparsevq.runtime.tracking.identity import Job\n"
        "from sparsevq.runtime.tracking.tracker import tracked\n"
        f"with tracked(Job('flow', 'sparse', 'cylinder', 20, 1), TrackingConfig(), {str(results)!r}) as tracker:\n"
        + textwrap.indent(body, "    ")
        + after
    )
    return subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    )


def test_sigterm_ends_the_run_as_killed_with_its_metrics(results):
    process = script(results, "tracker.log_metrics({'loss': 3.0}, 1)\nprint('go', flush=True)\ntime.sleep(60)\n")
    assert process.stdout.readline() == "go\n"
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=30) == 128 + signal.SIGTERM
    process.communicate()
    run = one(results, "sparse")
    assert run.info.status == "KILLED"
    assert run.data.metrics["loss"] == 3.0


def test_the_job_never_imports_mlflow(results):
    process = script(
        results, "tracker.log_metrics({'loss': 3.0}, 1)\n", "import sys\nsys.exit('mlflow' in sys.modules)\n"
    )
    process.communicate(timeout=60)
    assert process.returncode == 0
    assert one(results, "sparse").data.metrics["loss"] == 3.0


def test_a_full_disk_costs_records_and_not_the_job(results, capsys):
    with tracked(SPARSE, QUIET, results) as tracker:
        full = os.open("/dev/full", os.O_RDWR)
        kept = os.dup(tracker._handle.fileno())
        os.dup2(full, tracker._handle.fileno())
        for step in range(3):
            tracker.log_metrics({"loss": 1.0}, step)
        os.dup2(kept, tracker._handle.fileno())
        os.close(full)
        os.close(kept)
        tracker.log_metrics({"loss": 1.0}, 3)
    assert capsys.readouterr().out.count("MLflow misses records") == 1
    assert logged(results, "sparse", "loss") == [(3, 1.0)]


def test_the_run_of_a_job_killed_outright_ends_as_killed_without_anybodys_help(results):
    process = script(results, "tracker.log_metrics({'loss': 3.0}, 1)\nprint('go', flush=True)\ntime.sleep(60)\n")
    assert process.stdout.readline() == "go\n"
    process.kill()
    process.communicate()  # ends with the courier, which has the same standard error
    run = one(results, "sparse")
    assert run.info.status == one(results, "s1 n20 cylinder").info.status == "KILLED"
    assert run.data.metrics["loss"] == 3.0


def test_concurrent_jobs_on_a_new_store_make_one_parent(tmp_path):
    """Four processes that migrate one new SQLite file at once break each other."""
    pytest.importorskip("mlflow")
    code = (
        "import sys\nfrom sparsevq.config import TrackingConfig\n"
        "from sparsevq.runtime.tracking.identity import Job\n"
        "from sparsevq.runtime.tracking.tracker import tracked\n"
        f"with tracked(Job('flow', sys.argv[1], 'cylinder', 20, 1), {QUIET!r}, {str(tmp_path)!r}) as tracker:\n"
        "    [tracker.log_metrics({'x': i}, i) for i in range(50)]\n"
    )
    environment = {name: value for name, value in os.environ.items() if name != "MLFLOW_TRACKING_URI"}
    jobs = [
        subprocess.Popen([sys.executable, "-c", code, f"rule{i}"], env=environment, stderr=subprocess.PIPE, text=True)
        for i in range(4)
    ]
    for job in jobs:
        _, errors = job.communicate(timeout=120)
        assert job.returncode == 0, errors
    found = runs(tmp_path)
    assert len(found.pop("s1 n20 cylinder")) == 1
    assert {name: [run.info.status for run in group] for name, group in found.items()} == {
        f"rule{i}": ["FINISHED"] for i in range(4)
    }
    assert all(run.data.metrics["x"] == 49 for group in found.values() for run in group)
    with sqlite3.connect(tmp_path / "mlflow.db") as database:
        assert database.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_system_metrics_of_a_short_job(results):
    process = script(results, "sum(i for i in range(10**6))\n")
    process.communicate(timeout=60)
    assert "system/cpu_utilization_percentage" in one(results, "sparse").data.metrics


@pytest.mark.parametrize("uri", ["nonsense://there", "/no/scheme", "http://", "sqlite://"])
def test_a_store_that_can_never_be_used_is_one_line_at_once(tmp_path, uri):
    pytest.importorskip("mlflow")
    with (
        pytest.raises(SparseVQError, match=r"tracking\.uri") as caught,
        tracked(SPARSE, TrackingConfig(uri=uri), tmp_path),
    ):
        pytest.fail("the job must not start")
    assert "\n" not in str(caught.value)
    assert not spools(tmp_path)


def test_a_file_that_is_no_database_is_one_line(tmp_path, monkeypatch):
    pytest.importorskip("mlflow")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    (tmp_path / "mlflow.db").write_text("not a database at all, however long it may be" * 100)
    with pytest.raises(SparseVQError, match=r"mlflow\.db cannot be MLflow's store"), tracked(SPARSE, QUIET, tmp_path):
        pass


def test_a_courier_killed_while_it_makes_the_store_leaves_none_behind(tmp_path):
    """Half-migrated, it would fail all later jobs."""
    pytest.importorskip("mlflow")
    psutil = pytest.importorskip("psutil")
    process = script(tmp_path, "time.sleep(60)\n", MLFLOW_TRACKING_URI="", MLFLOW_LOGGING_LEVEL="INFO")
    while "initial MLflow database" not in (line := process.stderr.readline()):
        assert line, "the store is made"
    time.sleep(0.3)
    for courier in psutil.Process(process.pid).children():
        courier.kill()
    process.kill()
    process.communicate()
    assert not (tmp_path / "mlflow.db").exists()
    assert script(tmp_path, "pass\n", MLFLOW_TRACKING_URI="").wait(timeout=60) == 0
    assert one(tmp_path, "sparse").info.status == "FINISHED"


def test_an_unwritable_results_folder_is_one_line(tmp_path):
    pytest.importorskip("mlflow")
    (tmp_path / "results").write_text("a file where the folder should be")
    with pytest.raises(SparseVQError, match="cannot write"), tracked(SPARSE, QUIET, tmp_path / "results"):
        pass


def test_without_mlflow_training_goes_on_and_says_once_that_tracking_is_off(tmp_path, monkeypatch, capsys):
    logs.say_once.cache_clear()
    monkeypatch.setattr(tracking, "find_spec", lambda name: None)
    for _ in range(2):
        with tracked(SPARSE, QUIET, tmp_path / "results") as tracker:
            tracker.log_metrics({"loss": 1.0}, 1)
            tracker.log_params({"a": 1})
            tracker.log_artifact(tmp_path)
            tracker.conclude({"a": 1.0})
    assert capsys.readouterr().out.count("tracking is off") == 1
    assert not (tmp_path / "results").exists()


def test_tracking_turned_off_touches_nothing(tmp_path):
    with tracked(SPARSE, TrackingConfig(enabled=False), tmp_path / "results"):
        pass
    assert not (tmp_path / "results").exists()


def test_importing_the_module_does_not_import_mlflow():
    code = "import sys, sparsevq.runtime.tracking.tracker; sys.exit('mlflow' in sys.modules or 'torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_configuration_goes_before_the_environment_and_that_before_sqlite(monkeypatch, tmp_path):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://of-environment")
    assert store_uri(TrackingConfig(uri="http://of-configuration"), tmp_path) == "http://of-configuration"
    assert store_uri(TrackingConfig(), tmp_path) == "http://of-environment"
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert store_uri(TrackingConfig(), tmp_path) == f"sqlite:///{tmp_path}/mlflow.db"


def test_names_and_passwords():
    assert flatten({"a": {"b": {"c": 1}, "d": [1, 2]}}) == {"a.b.c": 1, "a.d": [1, 2]}
    assert without_password("http://me:hush@host/x") == "http://***@host/x"
    assert without_password("sqlite:///tmp/a.db") == "sqlite:///tmp/a.db"


def test_an_error_under_the_lock_is_not_blamed_on_the_lock(tmp_path):
    with pytest.raises(FileNotFoundError, match="of the block"), locked(tmp_path):
        raise FileNotFoundError("of the block")
    with locked(tmp_path):  # it was released
        pass


@pytest.mark.parametrize(("mounts", "kind"), [("a / ext4 rw\nb /x nfs4 rw\nc /x tmpfs rw\n", "tmpfs"), (None, "")])
def test_the_file_system_of_a_folder_is_that_of_the_last_mount_and_may_be_unknown(monkeypatch, mounts, kind):
    def read_text(_: Path) -> str:
        if mounts is None:
            raise FileNotFoundError
        return mounts

    monkeypatch.setattr(Path, "read_text", read_text)
    assert _file_system(Path("/x/results")) == kind
