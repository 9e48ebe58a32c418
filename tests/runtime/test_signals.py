"""What is left when something is killed: nothing that works on alone."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

JOB = """
import sys, time
from pathlib import Path
from sparsevq.runtime import signals
signals.SECONDS_BETWEEN_LOOKS = 0.05
signals.stop_with_snakemake()
try:
    with signals.handled_signals():
        Path(sys.argv[1]).write_text("started")
        time.sleep(60)
except signals.Terminated:
    Path(sys.argv[1]).write_text("stopped")
"""
PROGRAM = """
import subprocess, sys
from sparsevq.runtime.signals import killed_with_parent
child = [sys.executable, "-c", "import os, sys, time; print(os.getpid(), flush=True); time.sleep(60)"]
subprocess.run(child, preexec_fn=killed_with_parent())
"""


def reads(path: Path, text: str) -> bool:
    """Whether a file says so within some seconds."""
    until = time.monotonic() + 20
    while time.monotonic() < until:
        if path.exists() and path.read_text() == text:
            return True
        time.sleep(0.02)
    return False


BASH = ["bash", "-c", "{python} {job} {told}; true"]  # stays beside the job, as some shells do
DIRECT = ["{python}", "{job}", "{told}"]  # other shells let the job take their place


def start_snakemake(folder: Path, shell: list[str], *, terminal: bool) -> tuple[subprocess.Popen, int, Path]:
    """Start a process that starts a job, itself started from a terminal or not.

    Returns what was started, the number of the process that the job is to watch, and the file that the job writes.
    """
    told, job, snakemake = folder / "told", folder / "job.py", folder / "snakemake.py"
    job.write_text(JOB)
    command = [part.format(python=sys.executable, job=job, told=told) for part in shell]
    snakemake.write_text(f"import os, subprocess\nprint(os.getpid(), flush=True)\nsubprocess.run({command!r})")
    start = [sys.executable, str(snakemake)]
    from_terminal = [sys.executable, "-c", f"import subprocess; subprocess.run({start!r})"]
    started = subprocess.Popen(from_terminal if terminal else start, stdout=subprocess.PIPE, text=True)
    number = int(started.stdout.readline())
    assert reads(told, "started")
    return started, number, told


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks into /proc")
@pytest.mark.parametrize("shell", [BASH, DIRECT], ids=["beside a shell", "in its place"])
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_job_stops_when_snakemake_is_gone(tmp_path, number, shell):
    started, snakemake, told = start_snakemake(tmp_path, shell, terminal=False)
    os.kill(snakemake, number)
    started.wait()
    started.stdout.close()
    assert reads(told, "stopped")


@pytest.mark.parametrize("shell", [BASH, DIRECT], ids=["beside a shell", "in its place"])
def test_a_job_goes_on_when_the_user_logs_out(tmp_path, shell):
    """Whoever started Snakemake with nohup may go."""
    started, snakemake, told = start_snakemake(tmp_path, shell, terminal=True)
    started.kill()
    started.wait()
    started.stdout.close()
    time.sleep(1)
    assert told.read_text() == "started"
    os.kill(snakemake, signal.SIGKILL)
    assert reads(told, "stopped")


@pytest.mark.skipif(sys.platform != "linux", reason="Linux alone can")
def test_a_program_dies_with_the_job_that_started_it():
    job = subprocess.Popen([sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, text=True)
    program = psutil.Process(int(job.stdout.readline()))
    assert program.is_running()
    job.kill()
    job.wait()
    job.stdout.close()
    program.wait(timeout=10)
    assert not program.is_running()
