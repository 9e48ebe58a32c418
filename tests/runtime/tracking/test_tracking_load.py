"""Many jobs at once, and stores that are slow, away, or say no: nothing is lost, nothing is there twice."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from sparsevq.cli.main import main
from sparsevq.config import TrackingConfig
from sparsevq.errors import SparseVQError
from sparsevq.runtime.tracking import courier, leftovers, logs, writer
from sparsevq.runtime.tracking.courier import ENVIRONMENT, deliver_waiting
from sparsevq.runtime.tracking.identity import Job
from sparsevq.runtime.tracking.leftovers import wait_for_couriers
from sparsevq.runtime.tracking.mlflow_store import LOOK_SECONDS, Unreachable, looks_well
from sparsevq.runtime.tracking.spool import hold, spools
from sparsevq.runtime.tracking.tracker import tracked
from tests.in_process import AtOnce
from tests.servers import postgres_mlflow
from tests.servers.fake_mlflow import FakeMLflow

pytest.importorskip("mlflow")
SPARSE = Job("flow", "sparse", "cylinder", 20, 1)
GPT = Job("flow", "gpt", "cylinder", 20, 1)
PARENT = "s1 n20 cylinder"


@pytest.fixture
def server():
    fake = FakeMLflow()
    yield fake
    fake.delay = 0
    fake.stop()


@pytest.fixture(autouse=True)
def say_again(monkeypatch):
    for name, value in ENVIRONMENT.items():  # as in the courier's own process
        monkeypatch.setenv(name, value)
    logs.say_once.cache_clear()


def at(server: FakeMLflow, **settings) -> TrackingConfig:
    return TrackingConfig(uri=server.uri, **{"system_metrics": False, **settings})


def job(results: Path, uri: str, body: str, rule: str = "sparse") -> subprocess.Popen:
    """A job in a process of its own."""
    code = (
        "import time\nfrom sparsevq.config import TrackingConfig\n"
        "from sparsevq.runtime.tracking.identity import Job\n"
        "from sparsevq.runtime.tracking.tracker import tracked\n"
        f"settings = TrackingConfig(uri={uri!r}, system_metrics=False)\n"
        f"with tracked(Job('flow', {rule!r}, 'cylinder', 20, 1), settings, {str(results)!r}) as tracker:\n    {body}\n"
    )
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def until(condition, seconds: float = 30.0) -> None:
    since = time.monotonic()
    while not condition():
        assert time.monotonic() - since < seconds
        time.sleep(0.02)


class Idle(AtOnce):
    """A courier that delivers nothing."""

    def finish(self, seconds: float, leave: bool = False) -> None:
        pass


class Late(AtOnce):
    """Of a job that says why it leaves something."""

    reason = "later"


# ------------------------------------------------------------------------------------------------ many jobs


@pytest.mark.slow
def test_twenty_jobs_at_once_on_a_new_store_lose_no_run_and_no_metric(tmp_path):
    from mlflow import MlflowClient

    body = "[tracker.log_metrics({'x': i, 'y': -i}, i) for i in range(50)]"
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    jobs = [job(tmp_path, uri, body, rule=f"rule{i}") for i in range(20)]
    for process in jobs:
        _, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors
    deliver_waiting(tmp_path, uri)  # a machine may be too busy to deliver all while the jobs wait
    assert not spools(tmp_path), "all is delivered"
    client = MlflowClient(uri)
    runs = client.search_runs([client.get_experiment_by_name("flow").experiment_id])
    assert sorted(run.info.run_name for run in runs) == sorted([PARENT, *(f"rule{i} {PARENT}" for i in range(20))])
    for run in runs:
        if run.info.run_name != PARENT:
            assert run.info.status == "FINISHED"
            for name, sign in (("x", 1), ("y", -1)):
                curve = [(m.step, m.value) for m in client.get_metric_history(run.info.run_id, name)]
                assert curve == [(i, sign * i) for i in range(50)]


# ------------------------------------------------------------------------------------------------ servers away


def test_what_is_logged_while_the_server_is_away_arrives_when_it_is_back(server, tmp_path, capfd):
    server.stop()
    with tracked(SPARSE, at(server), tmp_path, params={"lr": 0.1}) as tracker:
        times = []
        for step in range(1, 6):
            tracker.log_metrics({"loss": 1 / step}, step)
            times.append(time.time() * 1000)
            time.sleep(0.01)
        assert not server.requests
        server.start()
        until(lambda: server.runs)  # the courier finds out by itself
        tracker.log_metrics({"loss": 1 / 6}, 6)
    run = server.named(SPARSE.run_name)
    assert server.curve(SPARSE.run_name, "loss") == [(step, 1 / step) for step in range(1, 7)]
    stamps = [metric["timestamp"] for metric in run["metrics"]]
    assert stamps[:5] == pytest.approx(times, abs=5), "the times at which they were logged"
    assert run["status"] == "FINISHED"
    assert run["params"] == {"lr": "0.1"}
    printed = capfd.readouterr()
    assert printed.out.count("does not answer ([Errno 111] Connection refused)") == 1
    assert printed.err.count("\n") <= 2, "one line that it is away, one that it is back"
    assert not spools(tmp_path)


def test_a_server_that_never_comes_back_costs_the_job_nothing_and_a_command_delivers_later(server, tmp_path, capfd):
    server.stop()
    since = time.monotonic()
    with tracked(SPARSE, at(server), tmp_path) as tracker:
        for step in range(100):
            tracker.log_metrics({"loss": 0.5}, step)
        assert time.monotonic() - since < writer.END_SERVER / 2
    assert time.monotonic() - since < writer.END_SERVER
    assert "102 records of sparse wait for MLflow" in capfd.readouterr().out
    assert main(["deliver", "--results", str(tmp_path)]) == 1
    assert "102 records still wait" in capfd.readouterr().err
    server.start()
    assert main(["deliver", "--results", str(tmp_path)]) == 0
    assert "102 records of 1 jobs delivered" in capfd.readouterr().out
    assert server.curve(SPARSE.run_name, "loss") == [(step, 0.5) for step in range(100)]
    assert server.named(SPARSE.run_name)["status"] == "FINISHED"
    assert main(["deliver", "--results", str(tmp_path)]) == 0
    assert "0 records" in capfd.readouterr().out


def test_the_next_job_delivers_what_an_earlier_one_had_to_leave(server, tmp_path, monkeypatch):
    monkeypatch.setattr(writer, "Courier", Late)
    server.stop()
    with tracked(SPARSE, at(server), tmp_path) as tracker:
        tracker.log_metrics({"loss": 0.5}, 1)
    server.start()
    with tracked(GPT, at(server), tmp_path):
        pass
    assert server.curve(SPARSE.run_name, "loss") == [(1, 0.5)]
    assert server.named(SPARSE.run_name)["status"] == server.named(GPT.run_name)["status"] == "FINISHED"


def test_a_slow_server_does_not_slow_the_training(server, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(writer, "END_SERVER", 1.0)
    server.delay = 1.0
    with tracked(SPARSE, at(server), tmp_path) as tracker:
        answered = len(server.requests)
        for step in range(2000):
            tracker.log_metrics({"loss": 1.0}, step)
        assert len(server.requests) - answered <= 1, "2000 steps take less time than two answers"
    assert "records of sparse wait" in capsys.readouterr().out
    server.delay = 0.0
    assert not deliver_waiting(tmp_path, server.uri).waiting
    assert server.curve(SPARSE.run_name, "loss") == [(step, 1.0) for step in range(2000)]


@pytest.mark.parametrize("number", range(1, 34))
def test_an_answer_that_is_lost_makes_nothing_twice(server, tmp_path, monkeypatch, number):
    """The server has done what was asked, and the courier cannot know."""
    monkeypatch.setattr(writer, "Courier", Late)
    server.lost = number
    settings = {"stage1": {"lr": 0.1}}
    data = {"name": "cylinder", "digest": "ab", "context": "train", "source_type": "local", "source": "{}"}
    with tracked(SPARSE, at(server), tmp_path, params=settings, shared=settings, concludes=True) as tracker:
        tracker.log_params({"device": "cpu"})
        tracker.log_data_sets([data])
        for step in range(5):
            tracker.log_metrics({"loss": 1.0}, step)
        tracker.conclude({"error": 0.5}, {"curve": {0: 0.25, 1: 0.5}}, headline="half")
    assert not deliver_waiting(tmp_path, server.uri).waiting
    assert len(server.runs) == 2, "the run and its parent"
    assert server.curve(SPARSE.run_name, "loss") == [(step, 1.0) for step in range(5)]
    assert server.named(SPARSE.run_name)["status"] == server.named(PARENT)["status"] == "FINISHED"
    assert server.curve(PARENT, "error") == [(0, 0.5)]
    assert server.curve(PARENT, "curve") == [(0, 0.25), (1, 0.5)]
    assert server.named(PARENT)["params"]["stage1.lr"] == "0.1"
    assert server.named(PARENT)["tags"]["mlflow.note.content"].startswith("half")
    assert len(server.named(PARENT)["inputs"]) == 1
    assert not spools(tmp_path)


# ------------------------------------------------------------------------------------------------ left to couriers


def test_a_job_that_leaves_its_courier_ends_at_once_and_the_end_of_the_workflow_waits_for_it(server, tmp_path):
    server.delay = 0.2
    with tracked(SPARSE, at(server), tmp_path, waits=False) as tracker:
        own = os.getpriority(os.PRIO_PROCESS, 0)
        assert os.getpriority(os.PRIO_PROCESS, tracker._courier._process.pid) == max(own, courier.NICENESS)
        tracker.log_metrics({"loss": 1.0}, 1)
    assert not any(run["status"] == "FINISHED" for run in server.runs.values())
    assert wait_for_couriers(tmp_path, 60) == 0
    assert server.named(SPARSE.run_name)["status"] == "FINISHED"
    assert server.curve(SPARSE.run_name, "loss") == [(1, 1.0)]
    until(lambda: not spools(tmp_path))


def test_what_no_courier_delivers_is_counted_at_the_end_of_the_workflow(server, tmp_path, monkeypatch):
    monkeypatch.setattr(leftovers, "UNHELD_SECONDS", 0.5)
    server.stop()
    with tracked(SPARSE, at(server), tmp_path, waits=False) as tracker:
        tracker.log_metrics({"loss": 1.0}, 1)
        assert wait_for_couriers(tmp_path, 60) == 0, "a job that runs is not waited for"
    (spool,) = spools(tmp_path)
    assert wait_for_couriers(tmp_path, 60) == spool.waiting() == 3, "opened, the number, ended"
    with hold(spool.path):  # as a courier does for a moment
        assert wait_for_couriers(tmp_path, 60) == 3


def test_couriers_deliver_in_the_order_of_the_jobs(server, tmp_path):
    """The first one replaces the parent, since its settings are others; one that came before it would keep the old."""
    for rate, delay in ((0.1, 0.0), (0.2, 0.1)):
        server.delay = delay
        for job in (SPARSE, GPT):
            shared = {"stage1": {"lr": rate}} if job is SPARSE else {"stage3": {"lr": 1.0}}
            with tracked(job, at(server), tmp_path, params=shared, shared=shared, waits=False) as tracker:
                tracker.log_metrics({"loss": rate}, 1)
        assert wait_for_couriers(tmp_path, 60) == 0
    assert server.named(PARENT)["params"] == {
        "data_set": "cylinder",
        "num_sensors": "20",
        "seed": "1",
        "stage1.lr": "0.2",
        "stage3.lr": "1.0",
    }
    assert server.curve(SPARSE.run_name, "loss") == server.curve(GPT.run_name, "loss") == [(1, 0.2)]


def test_a_courier_waits_for_those_of_jobs_that_started_before_and_have_ended(tmp_path, monkeypatch):
    monkeypatch.setattr(writer, "Courier", Idle)
    settings = TrackingConfig(system_metrics=False)
    with tracked(SPARSE, settings, tmp_path) as first:
        time.sleep(0.01)  # their starts are told in milliseconds
        with tracked(GPT, settings, tmp_path) as second:
            sparse, gpt = first._spool, second._spool
            with hold(sparse.lock):
                leftovers.wait_for_turn(gpt)  # the first one runs: both are at work at once
        with hold(gpt.lock):
            leftovers.wait_for_turn(sparse)  # the other started later
    turn = threading.Thread(target=leftovers.wait_for_turn, args=(gpt,), daemon=True)
    with hold(sparse.lock):
        turn.start()
        turn.join(0.5)
        assert turn.is_alive()
    turn.join()


def test_a_courier_that_takes_too_long_is_not_waited_for(server, tmp_path):
    server.delay = 1.0
    with tracked(SPARSE, at(server), tmp_path, waits=False):
        pass
    assert wait_for_couriers(tmp_path, 0.5) == 2
    server.delay = 0.0
    until(lambda: not spools(tmp_path))


# ------------------------------------------------------------------------------------------------ kills


def kill(process: subprocess.Popen, *others: int) -> None:
    for other in others:
        os.kill(other, signal.SIGKILL)
    process.kill()
    process.communicate()


def courier_of(process: subprocess.Popen) -> int:
    (pid,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return int(pid)


@pytest.mark.parametrize("recovered_by", ["the next job", "deliver"])
def test_a_job_killed_together_with_its_courier_leaves_no_run_behind_as_running(
    server, tmp_path, monkeypatch, recovered_by
):
    process = job(
        tmp_path, server.uri, "tracker.log_metrics({'loss': 1.0}, 1); print('go', flush=True); time.sleep(60)"
    )
    assert process.stdout.readline() == "go\n"
    until(lambda: len(server.runs) == 2)
    kill(process, courier_of(process))
    assert server.named(SPARSE.run_name)["status"] == "RUNNING", "nobody could say otherwise"
    monkeypatch.setattr(writer, "Courier", Late)
    if recovered_by == "deliver":
        assert main(["deliver", "--results", str(tmp_path)]) == 0
    else:
        with tracked(GPT, at(server), tmp_path):
            pass
    assert server.named(SPARSE.run_name)["status"] == "KILLED"
    assert server.curve(SPARSE.run_name, "loss") == [(1, 1.0)]
    with tracked(SPARSE, at(server), tmp_path) as tracker:
        tracker.log_metrics({"loss": 1.0}, 1)
        tracker.log_metrics({"loss": 0.5}, 2)
    assert server.named(SPARSE.run_name)["status"] == "FINISHED"
    assert server.curve(SPARSE.run_name, "loss") == [(1, 1.0), (2, 0.5)]
    assert len([run for run in server.runs.values() if run["name"] == SPARSE.run_name]) == 1


def test_a_job_killed_again_and_again_has_one_run_with_each_step_once(server, tmp_path):
    """Each attempt starts two steps before the last one's end, while the courier of that may still be at work."""
    for first in (1, 4, 7):
        steps = f"range({first}, {first + 5})"
        body = f"[tracker.log_metrics({{'loss': 1 / i}}, i) for i in {steps}]; print('go', flush=True); time.sleep(60)"
        process = job(tmp_path, server.uri, body)
        assert process.stdout.readline() == "go\n"
        process.kill()
        process.wait()
    with tracked(SPARSE, at(server), tmp_path) as tracker:
        for step in range(9, 13):
            tracker.log_metrics({"loss": 1 / step}, step)
    (run,) = [run for run in server.runs.values() if run["name"] == SPARSE.run_name]
    assert server.curve(SPARSE.run_name, "loss") == [(step, 1 / step) for step in range(1, 13)]
    assert run["status"] == "FINISHED"
    assert not spools(tmp_path)


def test_a_forked_child_that_outlives_its_job_does_not_pass_for_it(server, tmp_path):
    body = "import os; child = os.fork(); child or time.sleep(60); print(child, flush=True); time.sleep(60)"
    process = job(tmp_path, server.uri, body)
    child = int(process.stdout.readline())
    process.kill()
    process.wait()
    until(lambda: any(run["name"] == SPARSE.run_name and run["status"] == "KILLED" for run in server.runs.values()))
    os.kill(child, signal.SIGKILL)
    process.communicate()


def test_a_courier_that_somebody_ended_is_replaced_at_the_end(server, tmp_path):
    with tracked(SPARSE, at(server), tmp_path) as tracker:
        tracker._courier._process.kill()
        tracker._courier._process.wait()
        tracker.log_metrics({"loss": 1.0}, 1)
    assert server.curve(SPARSE.run_name, "loss") == [(1, 1.0)]
    assert server.named(SPARSE.run_name)["status"] == "FINISHED"


# ------------------------------------------------------------------------------------------------ faults


@pytest.mark.parametrize(("refusal", "path"), [(401, ""), (403, ""), (0, "/wrong/path")])
def test_a_server_that_says_no_is_one_line_before_the_work_begins(server, tmp_path, refusal, path):
    server.refusal = refusal
    settings = TrackingConfig(uri=server.uri + path)
    with pytest.raises(SparseVQError, match=r"tracking\.uri") as caught, tracked(SPARSE, settings, tmp_path):
        pytest.fail("the job must not start")
    assert "\n" not in str(caught.value)
    assert not spools(tmp_path), "and leaves nothing"


def test_a_database_that_is_away_is_one_warning_without_its_password(tmp_path, capfd):
    settings = TrackingConfig(uri="postgresql://me:hush@127.0.0.1:9/runs", system_metrics=False)
    with tracked(SPARSE, settings, tmp_path) as tracker:
        tracker.log_metrics({"loss": 1.0}, 1)
    printed = "".join(capfd.readouterr())
    (spool,) = spools(tmp_path)
    assert "postgresql://***@127.0.0.1:9/runs does not answer" in printed
    assert "hush" not in printed + spool.path.read_text()


def test_a_disk_that_takes_no_artifacts_holds_up_nothing_else(server, tmp_path, capfd):
    """The fake server keeps no files: uploads fail, as with a bucket that is misconfigured."""
    with tracked(SPARSE, at(server), tmp_path) as tracker:
        tracker.log_artifact(__file__)
        tracker.log_metrics({"loss": 1.0}, 1)
    assert server.curve(SPARSE.run_name, "loss") == [(1, 1.0)]
    assert server.named(SPARSE.run_name)["status"] == "FINISHED"
    assert "did not take" in capfd.readouterr().err


def test_a_server_that_sends_a_byte_at_a_time_is_away_after_the_time_of_a_look():
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def trickle() -> None:
            connection, _ = listener.accept()
            with connection, contextlib.suppress(OSError):
                for byte in b"HTTP/1.1 200 OK\r\n\r\n" + b" " * 1000:
                    connection.send(bytes([byte]))
                    time.sleep(0.1)

        threading.Thread(target=trickle, daemon=True).start()
        since = time.monotonic()
        with pytest.raises(Unreachable, match="no answer within"):
            looks_well(f"http://127.0.0.1:{listener.getsockname()[1]}")
        assert time.monotonic() - since < 2 * LOOK_SECONDS


@pytest.mark.parametrize("uri", ["http://far.example:5000", "postgresql://far.example/runs"])
def test_a_name_that_takes_long_to_resolve_is_away_after_the_time_of_a_look(monkeypatch, uri):
    def resolve(*_: object, **__: object) -> None:
        time.sleep(4)
        raise socket.gaierror("no such name")

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    monkeypatch.setenv("NO_PROXY", "*")
    since = time.monotonic()
    with pytest.raises(Unreachable, match="no answer within"):
        looks_well(uri)
    assert time.monotonic() - since < 2 * LOOK_SECONDS


@pytest.mark.slow
@pytest.mark.skipif(bool(postgres_mlflow.missing()), reason=postgres_mlflow.missing())
def test_a_job_through_a_server_on_postgresql(tmp_path):
    from mlflow import MlflowClient

    picture = tmp_path / "picture.png"
    picture.write_text("picture")
    with postgres_mlflow.running() as servers:
        for fails in (True, False):
            with (
                pytest.raises(ZeroDivisionError) if fails else contextlib.nullcontext(),
                tracked(
                    SPARSE, TrackingConfig(uri=servers.uri), tmp_path, params={"lr": 0.1}, concludes=True
                ) as tracker,
            ):
                for step in range(3 if fails else 6):
                    tracker.log_metrics({"loss": step / 2}, step)
                if fails:
                    raise ZeroDivisionError
                tracker.log_artifact(picture)
                tracker.conclude({"error": 0.5})
        client = MlflowClient(servers.uri)
        runs = client.search_runs([client.get_experiment_by_name("flow").experiment_id])
        found = {run.info.run_name: run for run in runs}
        assert len(runs) == 2
        assert {run.info.status for run in runs} == {"FINISHED"}
        run = found[f"sparse {PARENT}"].info.run_id
        curve = [(m.step, m.value) for m in client.get_metric_history(run, "loss")]
        assert curve == [(step, step / 2) for step in range(6)]
        assert [artifact.path for artifact in client.list_artifacts(run)] == ["picture.png"]
        assert found[PARENT].data.metrics == {"error": 0.5}
        wrong = servers.database.replace("mlflow:", "mlflow:not")
        with (
            pytest.raises(SparseVQError, match="password authentication failed"),
            tracked(GPT, TrackingConfig(uri=wrong), tmp_path),
        ):
            pytest.fail("the job must not start")
