"""The workflow through `profiles/slurm`, on a real SLURM that is started for it: about five minutes.

Skipped without root or SLURM, unless SPARSEVQ_REQUIRE names slurm.
"""

import re
import signal
import subprocess
import time
from pathlib import Path

import pandas as pd
import pytest
from mlflow import MlflowClient

from sparsevq.runtime.slurm import watch
from tests.slurm import cluster as slurm

from .conftest import MINIATURE, REPOSITORY, Ended, command, copied, environment, logs, same_each_time, workflow

pytestmark = pytest.mark.e2e

PROFILE = ("--workflow-profile", str(REPOSITORY / "profiles/slurm"))
# The cluster has no accounting database, and here nobody wants to wait.
FOLLOWED = (
    "--slurm-status-command",
    "squeue",
    "--slurm-init-seconds-before-status-checks",
    "10",
    "--latency-wait",
    "5",
)
RUN = "results/miniature/cylinder/n8/seed1"
TRAININGS = ("semi_sparse", "sparse", "tokenizer", "gpt")
ON_GPUS = (*TRAININGS, "codes", "calibrate", "forecast", "robustness", "robustness_forecast")
ENDLESS = "stage1={max_steps: 1000000, val_every: 50}"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """A SLURM for the tests of this file."""
    folder = tmp_path_factory.mktemp("slurm") / "cluster"
    if problem := slurm.obstacle(folder):
        pytest.skip(f"no SLURM can be started: {problem}")
    with slurm.cluster(folder):
        yield folder


def through_slurm(folder: Path, *arguments: str) -> Ended:
    return workflow(folder, *PROFILE, *FOLLOWED, *arguments)


def started(folder: Path, *arguments: str) -> subprocess.Popen:
    """Snakemake, not waited for."""
    return subprocess.Popen(
        command("--directory", str(folder), "--configfile", str(MINIATURE), *PROFILE, *FOLLOWED, *arguments),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment(),
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # ignored where tests run behind `&`
    )


def jobs() -> list[dict[str, str]]:
    """All jobs that SLURM knows, oldest first."""
    listed = subprocess.run(
        ("scontrol", "show", "job", "--oneliner"), capture_output=True, text=True, check=True
    ).stdout.splitlines()
    return [dict(re.findall(r"([A-Za-z/:]+)=(\S*)", line)) for line in listed if "JobId=" in line]


def of_rule(rule: str, since: int = 0) -> list[dict[str, str]]:
    return [job for job in jobs() if re.match(rf"rule_{rule}(_wildcards|$)", job["Comment"]) and _id(job) > since]


def said(log: Path, words: str) -> bool:
    """Whether a job's log has these words; a retried job begins a new one."""
    try:
        return words in log.read_text()
    except FileNotFoundError:
        return False


def last_job() -> int:
    return max(map(_id, jobs()), default=0)


def _id(job: dict[str, str]) -> int:
    return int(job["JobId"])


def until(condition, patience: float = 60.0):
    """What `condition` gives once it gives something."""
    since = time.monotonic()
    while not (found := condition()):
        assert time.monotonic() - since < patience
        time.sleep(0.2)
    return found


@pytest.fixture(scope="module")
def too_short(cluster, finished, tmp_path_factory):
    """A training that has a minute and needs more: Snakemake at work, whose end another test waits for."""
    folder = tmp_path_factory.mktemp("too_short") / "miniature"
    copied(finished, folder)
    asked = ("--set-resources", "semi_sparse:runtime=1", "--retries", "0", "--config", ENDLESS)
    late = ("--slurm-init-seconds-before-status-checks", "75")  # it cannot end sooner
    process = started(folder, *asked, *late, "--until", "semi_sparse")
    yield process
    process.kill()
    process.communicate()


@pytest.fixture(scope="module")
def by_slurm(cluster, too_short, tmp_path_factory):
    """The miniature's folder after SLURM ran it, and the jobs that it was."""
    folder = tmp_path_factory.mktemp("by_slurm")
    ended = through_slurm(folder, "--config", "resources={device: auto}")
    assert ended.status == 0, ended.output + logs(folder)
    return folder, jobs()


def test_tables_through_slurm_equal_those_of_one_machine(by_slurm, finished):
    tables = same_each_time(finished / "results/miniature/tables")
    assert len(tables) == 18
    assert same_each_time(by_slurm[0] / "results/miniature/tables") == tables


def test_each_job_was_slurms_with_what_its_rule_asks_for(by_slurm):
    everything = [job for job in by_slurm[1] if job["WorkDir"] == str(by_slurm[0])]
    assert len(everything) == 22
    for job in everything:
        rule = re.match(r"rule_(.+?)(_wildcards|$)", job["Comment"])[1]
        assert job["JobState"] == "COMPLETED", rule
        assert (job["Partition"], job["NumNodes"], job["NumCPUs"]) == ("gpu", "1", "1"), rule
        assert job.get("TresPerJob") == ("gres:gpu:1" if rule in ON_GPUS else None), rule
        assert job["MinMemoryNode"] == ("4000M" if rule == "tables" else "2000M"), rule
        if rule in TRAININGS:
            assert job["TimeLimit"] == "04:00:00", rule
        assert job["Requeue"] == "1", rule


def test_a_job_that_needs_a_gpu_was_given_one_by_slurm(by_slurm):
    """Where SLURM gave none, CUDA_VISIBLE_DEVICES is unset in its job, and the log says nothing of a GPU."""
    for rule in ON_GPUS:
        assert "there is a GPU, but torch" in (by_slurm[0] / RUN / f"logs/{rule}.log").read_text(), rule
    assert "GPU" not in (by_slurm[0] / RUN / "logs/evaluate.log").read_text()


def test_a_job_with_a_share_of_a_gpu_sees_that_gpu(cluster, finished, tmp_path):
    """As docs/cluster.md has it; without that, `jobs_per_gpu` shares nothing, which is said."""
    copied(finished, tmp_path / "run")
    before = last_job()
    share = ("--set-resources", "sparse:gpu=0", "sparse:gres='shard:1'")
    forced = ("--forcerun", "sparse", "tokenizer", "--until", "tokenizer")
    shared = ("--config", "resources={device: auto, jobs_per_gpu: 2}")
    ended = through_slurm(tmp_path / "run", *share, *forced, *shared)
    assert ended.status == 0, ended.output
    assert "resources.jobs_per_gpu=2: SLURM gives each job a whole GPU" in ended.output
    (sparse,), (tokenizer,) = of_rule("sparse", before), of_rule("tokenizer", before)
    assert (sparse.get("TresPerNode"), tokenizer.get("TresPerJob")) == ("gres:shard:1", "gres:gpu:1")
    assert "there is a GPU, but torch" in (tmp_path / "run" / RUN / "logs/sparse.log").read_text()


def test_a_training_that_is_warned_killed_and_retried_goes_on_from_its_checkpoint(cluster, finished, tmp_path):
    copied(finished, tmp_path / "run")
    checkpoints, log = (tmp_path / "run" / RUN / name for name in ("checkpoints/semi_sparse", "logs/semi_sparse.log"))
    log.unlink()
    before = last_job()
    snakemake = started(tmp_path / "run", "--config", ENDLESS, "--until", "semi_sparse")
    (job,) = until(lambda: [job for job in of_rule("semi_sparse", before) if job["JobState"] == "RUNNING"])
    until(lambda: said(log, "step 50/"))
    subprocess.run(("scancel", "--signal=USR1", job["JobId"]), check=True)  # as --signal=USR1@120 does
    first = until(lambda: sorted(checkpoints.glob("step*")))
    time.sleep(2)
    assert of_rule("semi_sparse", before)[0]["JobState"] == "RUNNING", "the warning must not end it"

    subprocess.run(("scancel", job["JobId"]), check=True)
    until(lambda: sorted(checkpoints.glob("step*"))[-1] > first[-1])
    assert said(log, "asked to stop, stopped after step")
    retried = until(lambda: [other for other in of_rule("semi_sparse", before) if other["JobId"] != job["JobId"]])
    assert retried[0]["MinMemoryNode"] == "4000M", "twice as much"
    until(lambda: said(log, "resumes after step"))

    snakemake.send_signal(signal.SIGINT)
    output, _ = snakemake.communicate(timeout=60)
    assert "CANCELLED" in output
    until(lambda: all(other["JobState"] == "CANCELLED" for other in of_rule("semi_sparse", before)))


def test_one_training_on_two_nodes_has_the_curves_of_one_process(cluster, finished, tmp_path):
    copied(finished, tmp_path / "run")
    before = last_job()
    ended = through_slurm(
        tmp_path / "run", "--config", "resources={nodes: 2}", "--until", "semi_sparse", "--forcerun", "semi_sparse"
    )
    assert ended.status == 0, ended.output + logs(tmp_path / "run")
    (job,) = of_rule("semi_sparse", before)
    assert job["NumNodes"] == "2"
    alone, together = (
        pd.read_csv(folder / RUN / "semi_sparse/history.csv").set_index("step")
        for folder in (finished, tmp_path / "run")
    )
    for loss in ("train_loss", "val_loss"):
        assert together[loss].to_numpy() == pytest.approx(
            alone[loss].to_numpy(), rel=1e-2
        )  # bfloat16, on some machines
    client = MlflowClient(f"sqlite:///{tmp_path}/run/results/mlflow.db")
    experiment = client.get_experiment_by_name("miniature").experiment_id
    last = client.search_runs([experiment], "tags.rule = 'semi_sparse'", order_by=["start_time DESC"])[0]
    assert last.data.params["devices"] == "2"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("--default-resources", "slurm_partition=long", "slurm_account=a"),
            "slurm_partition=long: this cluster has no such partition; it has: gpu, short: set slurm_partition in",
        ),
        (
            ("--config", "resources={device: auto, gpu: 6}"),
            "rule semi_sparse asks for 6 GPUs on a node, but no node of partition gpu has more than 4: lower",
        ),
        (
            ("--config", "resources={mem_mb: 64000}"),
            "rule sensors asks for 64000 MB on a node, but no node of partition gpu has more than 16000",
        ),
        (
            ("--config", "resources={threads: 64}"),
            "asks for 64 CPUs on a node, but no node of partition gpu has more than 8",
        ),
        (("--config", "resources={nodes: 3}"), "rule semi_sparse asks for 3 node(s)"),
        (("--config", "resources={runtime: 2000}"), "asks for 2000 minutes, but partition gpu allows 1440"),
        (("--config", "resources={runtime: 4}"), "set resources.runtime in the configuration to 5 or more"),
        (("--slurm-status-command", "sacct"), "add the line `slurm-status-command: squeue` to the profile"),
    ],
    ids=["partition", "GPUs", "memory", "CPUs", "nodes", "limit", "warning", "accounting"],
)
def test_what_slurm_would_refuse_is_said_before_any_job(cluster, finished, tmp_path, arguments, message):
    before = last_job()
    ended = through_slurm(
        finished, "--forcerun", "semi_sparse", "sensors", "--until", "semi_sparse", "--nolock", *arguments
    )
    assert ended.status == 1
    assert message in ended.output
    assert "Traceback" not in ended.output
    assert last_job() == before


def test_a_training_whose_time_is_too_short_ends_with_slurms_reason(too_short):
    output, _ = too_short.communicate(timeout=200)
    assert too_short.returncode == 1
    assert "TIMEOUT" in output


def test_a_job_that_waits_in_vain_is_noticed(cluster):
    job = subprocess.run(
        ("sbatch", "--parsable", "--hold", "--comment=rule_gpt_wildcards_cylinder_8_1", "--wrap=true"),
        capture_output=True,
        text=True,
        check=True,
        cwd=cluster,
    ).stdout.strip()
    told = []
    ended = watch(told.append, every=0.2)
    until(lambda: told, 10)
    time.sleep(1)
    ended.set()
    subprocess.run(("scancel", job), check=True)
    assert len(told) == 1
    assert told[0].startswith(f"gpt (cylinder_8_1): SLURM job {job} waits (JobHeldUser), perhaps for ever")


def test_without_a_controller_the_workflow_ends_with_one_line(cluster, finished):
    slurm.controller(cluster, up=False)
    try:
        ended = through_slurm(finished, "--forcerun", "tables", "--nolock")
    finally:
        slurm.controller(cluster, up=True)
    assert ended.status == 1
    assert "SLURM does not answer here (" in ended.output
    assert "try `scontrol ping`" in ended.output
