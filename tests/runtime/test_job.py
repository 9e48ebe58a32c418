"""A job of the workflow: its log, its console, its exit status."""

import os
import re
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

CALL = """
import os, sys
from types import SimpleNamespace
from sparsevq.runtime.job import job

class Named(dict):
    __getattr__ = dict.__getitem__
    def __getitem__(self, key):
        return list(self.values())[key] if isinstance(key, int) else dict.__getitem__(self, key)

snakemake = SimpleNamespace(scriptdir=".",
    rule="sparse", input=Named(data="data.h5"), output=Named(), params=Named(stage1={"lr": 0.1}), threads=1,
    wildcards=Named(data_set="cylinder", num_sensors="20", seed="1"), resources=Named(gpu=0),
    log=Named(log="logs/sparse.log"), config={"tracking": {"enabled": False}},
)
with job(snakemake) as work:
"""


def run(folder: Path, body: str, **environment: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-c", CALL + textwrap.indent(textwrap.dedent(body), "    ")],
        capture_output=True,
        text=True,
        cwd=folder,
        env={**os.environ, **environment},
        check=False,
    )


def log(folder: Path) -> str:
    """The log without the line that ends a good job's."""
    return re.sub(r"worked \d+\.\d\d s\n$", "", (folder / "logs/sparse.log").read_text())


def test_the_log_has_everything_and_the_console_what_a_person_follows(tmp_path):
    ended = run(
        tmp_path,
        """
        print("step 10")
        print("a warning", file=sys.stderr)
        os.system("echo from a child")
        """,
    )
    assert ended.returncode == 0
    assert set(log(tmp_path).splitlines()) == {"step 10", "a warning", "from a child"}
    assert ended.stderr == "cylinder num_sensors 20 seed 1 sparse | step 10\n"


def test_the_last_line_of_the_log_is_the_works_own_time(tmp_path):
    ended = run(tmp_path, "print('done')")
    done, last = (tmp_path / "logs/sparse.log").read_text().splitlines()
    assert done == "done"
    assert re.fullmatch(r"worked \d+\.\d\d s", last)
    assert "worked" not in ended.stderr


def test_a_users_fault_is_one_line_in_both_and_status_1(tmp_path):
    ended = run(tmp_path, "from sparsevq.errors import SparseVQError\nraise SparseVQError('no sensors', 'add some')")
    assert ended.returncode == 1
    assert ended.stderr == "error in sparse: no sensors: add some.\n"
    assert log(tmp_path) == ended.stderr


def test_a_bug_leaves_its_traceback_in_the_log(tmp_path):
    ended = run(tmp_path, "{}['a key']")
    assert ended.returncode == 1
    assert ended.stderr == "bug in sparse: KeyError: 'a key' (traceback in logs/sparse.log)\n"
    assert "Traceback (most recent call last)" in log(tmp_path)


def test_what_was_printed_before_an_outright_kill_is_in_the_log(tmp_path):
    ended = run(tmp_path, "print('nearly done')\nos.kill(os.getpid(), 9)")
    assert ended.returncode == -signal.SIGKILL
    assert log(tmp_path) == "nearly done\n"


def test_a_job_without_training_never_imports_torch(tmp_path):
    assert run(tmp_path, "assert 'torch' not in sys.modules and 'mlflow' not in sys.modules").returncode == 0


def test_a_job_keeps_to_its_threads(tmp_path):
    ended = run(tmp_path, "print(os.environ['OMP_NUM_THREADS'], work.fabric('32-true').device)", OMP_NUM_THREADS="64")
    assert log(tmp_path).splitlines()[-1] == "1 cpu", ended.stderr


@pytest.mark.parametrize("gpus", ["", "3"])
def test_a_job_that_asks_for_no_gpu_sees_none(tmp_path, gpus):
    run(tmp_path, "print(repr(os.environ['CUDA_VISIBLE_DEVICES']))", CUDA_VISIBLE_DEVICES=gpus)
    assert log(tmp_path) == "''\n"


def test_a_job_has_a_gpu_by_number_or_by_the_share_that_slurm_gave():
    from sparsevq.runtime.job import gpus_of

    for resources, count in (({"gpu": 2}, 2), ({"gpu": 0}, 0), ({}, 0), ({"gpu": 4, "gres": "gpu:2"}, 4)):
        assert gpus_of(resources) == count, resources
    for gres in ("shard:2", "mps:50", "gpu:1g.5gb:1"):
        assert gpus_of({"gpu": 0, "gres": gres}) == 1, gres
    assert gpus_of({"gpu": 0, "gres": "tmp:10G"}) == 0


def test_a_gpu_in_vain_is_a_tag_of_the_run(monkeypatch):
    from sparsevq.config import Config
    from sparsevq.runtime import job
    from sparsevq.runtime.devices.device import Lease
    from sparsevq.runtime.tracking.logs import Tracker

    tags: list[dict[str, str]] = []
    monkeypatch.setattr(Tracker, "log_tags", lambda self, given: tags.append(given))
    monkeypatch.setattr(job, "unused", lambda: "")
    work = job.Work(Config(), Tracker(), Lease("cpu", (), "cpu"))
    work.fabric("32-true")
    assert tags == []
    monkeypatch.setattr(job, "unused", lambda: "there is a GPU, but ...")
    work.fabric("32-true")
    assert tags == [{"gpu_unused": "there is a GPU, but ..."}]


def test_a_full_disk_is_one_line_whoever_meets_it(tmp_path):
    ended = run(tmp_path, "open('/dev/full', 'w', buffering=1).write('much text\\n')")
    assert ended.returncode == 1
    assert "cannot write" in ended.stderr
    assert "No space left on device" in ended.stderr
    assert ended.stderr.count("\n") == 1


def test_a_log_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "logs").write_text("a file where the folder should be")
    ended = run(tmp_path, "pass")
    assert ended.returncode == 1
    assert ended.stderr.startswith("error in sparse: cannot write logs/sparse.log")
    assert ended.stderr.count("\n") == 1
