"""What users are told of SLURM, from what SLURM and its executor print."""

from dataclasses import replace

import pytest

from sparsevq.errors import SparseVQError
from sparsevq.runtime import slurm
from sparsevq.runtime.slurm import Request, require_possible, waiting

from . import cluster

SINFO = """\
gpu|n1|64|256000|gpu:a100:4(S:0-1)|2-00:00:00
gpu|n2|64|256000+|gpu:v100:2,gpu:h100:2|2-00:00:00
cpu|c1|128|512000|(null)|infinite
debug|n1|64|256000|gpu:a100:4(S:0-1)|30:00
"""
FITS = Request("gpt", "gpu", nodes=2, cpus=64, memory=256000, gpus=4, minutes=2880)


@pytest.fixture(autouse=True)
def answers(monkeypatch):
    """A cluster with accounts."""
    given = {"sinfo": (0, SINFO, ""), "sacct": (0, "", "")}
    monkeypatch.setattr(slurm, "_ask", lambda *command: slurm.subprocess.CompletedProcess(command, *given[command[0]]))
    return given


def refusal(*requests: Request, status: str | None = "sacct") -> str:
    with pytest.raises(SparseVQError) as caught:
        require_possible(requests, status)
    return str(caught.value)


def test_what_fits_just_so_is_let_through():
    require_possible([FITS, replace(FITS, partition="cpu", gpus=0, nodes=1, minutes=10**6)], "sacct")
    require_possible([replace(FITS, partition="gpu,cpu"), replace(FITS, partition=None)], None)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"partition": "gpus"}, "slurm_partition=gpus: this cluster has no such partition; it has: cpu, debug, gpu"),
        ({"gpus": 5}, "rule gpt asks for 5 GPUs on a node, but no node of partition gpu has more than 4"),
        ({"partition": "cpu"}, "asks for 4 GPUs on a node, but no node of partition cpu has more than 0"),
        ({"cpus": 65}, "asks for 65 CPUs on a node, but no node of partition gpu has more than 64"),
        ({"memory": 256001}, "asks for 256001 MB on a node, but no node of partition gpu has more than 256000"),
        ({"nodes": 3}, "asks for 3 node(s) with 4 GPUs, 64 CPUs and 256000 MB each, but partition gpu has 2 such"),
        ({"minutes": 2881}, "asks for 2881 minutes, but partition gpu allows 2880"),
        ({"partition": "debug", "nodes": 1, "minutes": 31}, "asks for 31 minutes, but partition debug allows 30"),
        ({"minutes": 4, "extra": "--signal=USR1@120"}, "is to be warned 120 s before the end: set resources.runtime"),
    ],
)
def test_one_more_is_refused(change, message):
    assert message in refusal(FITS, replace(FITS, **change))


def test_a_job_that_fits_nowhere_as_a_whole_is_refused():
    mixed = replace(FITS, partition="gpu,cpu", cpus=128, nodes=1)
    assert "but partition gpu,cpu has 0 such" in refusal(mixed)


def test_a_cluster_without_accounts_needs_the_other_status_command(answers):
    answers["sacct"] = (1, "", "Slurm accounting storage is disabled\n")
    assert "(Slurm accounting storage is disabled)" in refusal(FITS)
    require_possible([FITS], "squeue")


def test_a_silent_controller_is_named(answers):
    answers["sinfo"] = (1, "", "slurm_load_partitions: Unable to contact slurm controller (connect failure)\n")
    assert "SLURM does not answer here (slurm_load_partitions: Unable to contact" in refusal(FITS)


def test_only_what_does_not_pass_is_told_of_waiting_jobs():
    listed = (
        "41|JobHeldUser|rule_gpt_wildcards_cylinder_8_1\n"
        "42|Priority|rule_gpt_wildcards_cylinder_8_2\n"
        "43|PartitionTimeLimit|rule_tables\n"
        "44|BadConstraints|another's job\n"
        "45|Resources|rule_tables\n"
    )
    assert [line.split(" waits")[0] for line in waiting(listed)] == [
        "gpt (cylinder_8_1): SLURM job 41",
        "tables: SLURM job 43",
    ]


def test_another_slurm_is_left_alone(monkeypatch, tmp_path):
    theirs = tmp_path / "slurm.conf"
    theirs.write_text("ClusterName=theirs\n")
    monkeypatch.setattr(cluster, "LINK", theirs)
    monkeypatch.setattr(cluster, "PROGRAMS", ("sh",))
    monkeypatch.setattr(cluster.os, "geteuid", lambda: 0)
    with pytest.raises(cluster.NoCluster, match="belongs to another SLURM"):
        cluster.start(tmp_path / "ours")
    cluster.stop(tmp_path / "ours")
    assert theirs.read_text() == "ClusterName=theirs\n"
