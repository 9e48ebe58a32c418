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
from sparsevq import signals
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
from sparsevq.signals import killed_with_parent
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


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks into /proc")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_job_stops_when_snakemake_is_gone(tmp_path, number):
    """Its parent is a shell, which lives on."""
    told, code = tmp_path / "told", tmp_path / "job.py"
    code.write_text(JOB)
    shell = f"import subprocess; subprocess.run(['bash', '-c', '{sys.executable} {code} {told}; true'])"
    snakemake = subprocess.Popen([sys.executable, "-c", shell])
    assert reads(told, "started")
    os.kill(snakemake.pid, number)
    snakemake.wait()
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
