"""Jobs on one host never share a GPU, and a process that dies gives its GPUs back."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sparsevq.errors import SparseVQError
from sparsevq.training import device
from sparsevq.training.device import claim_devices, fabric_for, resolve_precision, set_threads


@pytest.fixture(autouse=True)
def own_host(monkeypatch, tmp_path):
    """A host of its own: no GPUs but those a test pretends, no leases of other processes."""
    for variable in ("SPARSEVQ_GPUS", "SLURM_JOB_ID", "LOCAL_RANK", *device.THREAD_VARIABLES):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("SPARSEVQ_LEASES", str(tmp_path / "leases"))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    yield
    if device._held is not None:
        device._held.release()
    device._held = None


def holder(tmp_path: Path, count: int = 1, **environment: str) -> subprocess.Popen:
    """A process that leases GPUs, prints them and keeps them until it is killed."""
    code = (
        "import time; from sparsevq.training.device import claim_devices\n"
        f"print(*claim_devices('cuda', {count}).gpus, flush=True); time.sleep(60)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env={**os.environ, **environment}
    )
    process.gpus = process.stdout.readline().split()
    return process


def end(*processes: subprocess.Popen) -> None:
    for process in processes:
        process.kill()
        process.wait()
        process.stdout.close()


def test_without_gpus_auto_is_the_cpu_and_cuda_is_an_error(monkeypatch):
    assert claim_devices("auto", 1).kind == "cpu"
    device._held = None
    with pytest.raises(SparseVQError, match="device=cuda needs a GPU, but there is none"):
        claim_devices("cuda", 1)
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    with pytest.raises(SparseVQError, match="this SLURM job was given none"):
        claim_devices("cuda", 1)


def test_a_cpu_job_sees_no_gpu(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    assert claim_devices("cpu", 1).gpus == ()
    assert os.environ["CUDA_VISIBLE_DEVICES"] == ""


def test_more_gpus_than_there_are_is_an_error_at_once(monkeypatch):
    monkeypatch.setenv("SPARSEVQ_GPUS", "0,1")
    with pytest.raises(SparseVQError, match="3 GPUs were asked for, but there are 2"):
        claim_devices("auto", 3)


def test_a_value_that_is_set_already_is_the_pool(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,7")
    lease = claim_devices("auto", 1)
    assert lease.gpus == ("5",)
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "5"
    assert claim_devices("auto", 1) is lease, "a process has one lease"


def test_processes_get_different_gpus_and_a_killed_one_gives_its_back(monkeypatch, tmp_path):
    monkeypatch.setenv("SPARSEVQ_GPUS", "0,1")
    first, second = holder(tmp_path), holder(tmp_path)
    assert sorted(first.gpus + second.gpus) == ["0", "1"]
    with pytest.raises(SparseVQError, match="other processes hold them"):
        claim_devices("cuda", 1, patience=0.3)
    freed = second.gpus
    second.send_signal(signal.SIGKILL)
    second.wait()
    assert list(claim_devices("cuda", 1, patience=10).gpus) == freed
    end(first, second)


def test_all_or_none(monkeypatch, tmp_path):
    """Who waits for two holds none meanwhile: two such processes would wait for each other."""
    monkeypatch.setenv("SPARSEVQ_GPUS", "0,1")
    one = holder(tmp_path)
    with pytest.raises(SparseVQError):
        claim_devices("cuda", 2, patience=0.3)
    other = holder(tmp_path)
    assert sorted(one.gpus + other.gpus) == ["0", "1"]
    end(one, other)


def test_slurm_jobs_do_not_contend_over_equal_names(monkeypatch, tmp_path):
    """Where SLURM confines its jobs, each of them calls its first GPU 0."""
    monkeypatch.delenv("SPARSEVQ_GPUS", raising=False)
    first = holder(tmp_path, CUDA_VISIBLE_DEVICES="0", SLURM_JOB_ID="1")
    second = holder(tmp_path, CUDA_VISIBLE_DEVICES="0", SLURM_JOB_ID="2")
    assert first.gpus == second.gpus == ["0"]
    end(first, second)


def test_eight_contending_processes_never_overlap(tmp_path):
    """Each leases two of four GPUs, notes when it had them, and goes on."""
    code = """
import json, sys, time
from sparsevq.training.device import claim_devices
lease = claim_devices("cuda", 2, patience=60)
since = time.monotonic()
time.sleep(0.15)
print(json.dumps([lease.gpus, since, time.monotonic()]))
"""
    environment = {**os.environ, "SPARSEVQ_GPUS": "0,1,2,3"}
    jobs = [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=environment)
        for _ in range(8)
    ]
    spans = [eval(job.communicate(timeout=90)[0].splitlines()[-1]) for job in jobs]
    for number, (gpus, start, stop) in enumerate(spans):
        assert len(set(gpus)) == 2
        for other, begin, finish in spans[:number]:
            if set(gpus) & set(other):
                assert stop <= begin or finish <= start, "one GPU was leased twice at a time"


def test_nvidia_smi_names_gpus_and_mig_devices(monkeypatch, tmp_path):
    """Indices mean another GPU under another device order, UUIDs never do."""
    program = tmp_path / "nvidia-smi"
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    monkeypatch.setattr(device, "_uuids", None)

    program.write_text("#!/bin/sh\necho 'GPU 0: H200 (UUID: GPU-aa)'\necho 'GPU 1: H200 (UUID: GPU-bb)'\n")
    program.chmod(0o755)
    assert device._pool(os.environ)[0] == ("GPU-aa", "GPU-bb")
    assert device._same_name("1", "") == "GPU-bb", "one lock, whichever name is used"

    program.write_text("#!/bin/sh\necho 'GPU 0: H200 (UUID: GPU-aa)'\necho '  MIG 1g (UUID: MIG-cc)'\n")
    assert device._pool(os.environ)[0] == ("MIG-cc",)

    program.write_text("#!/bin/sh\nexit 9\n")
    assert device._pool(os.environ)[0] == ()


def test_fabric_on_the_cpu_says_so_when_torch_cannot_use_the_gpu(monkeypatch, capsys):
    import torch

    monkeypatch.setenv("SPARSEVQ_GPUS", "0")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    fabric = fabric_for(claim_devices("auto", 1), "32-true")
    assert fabric.device.type == "cpu"
    assert "training on the CPU" in capsys.readouterr().out
    device._held.release()
    with pytest.raises(SparseVQError, match="cannot use it"):
        fabric_for(claim_devices("cuda", 1), "32-true")


@pytest.mark.parametrize(("has_amx", "expected"), [(True, "bf16-mixed"), (False, "32-true")])
def test_auto_precision_is_bf16_where_the_processor_multiplies_it(monkeypatch, has_amx, expected):
    monkeypatch.setattr(device, "_cpu_has", lambda flag: has_amx and flag == "amx_bf16")
    assert resolve_precision("auto", cuda=False) == expected
    assert resolve_precision("32-true", cuda=False) == "32-true"


def test_threads_are_those_asked_for_and_no_more():
    code = (
        "from sparsevq.training.device import set_threads; set_threads(1)\n"
        "import torch, threading, os\n"
        "a = torch.rand(600, 600)\nfor _ in range(5): a @ a\n"
        "print(torch.get_num_threads(), len(os.listdir('/proc/self/task')), os.environ['OMP_WAIT_POLICY'])"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert answer[0] == "1"
    assert answer[2] == "PASSIVE"
    import torch

    before = torch.get_num_threads()
    set_threads(before)
    assert torch.get_num_threads() == before


def test_waiting_is_said(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("SPARSEVQ_GPUS", "0")
    one = holder(tmp_path)
    since = time.monotonic()
    with pytest.raises(SparseVQError):
        claim_devices("cuda", 1, patience=0.2)
    assert time.monotonic() - since < 5
    assert "waiting for 1 free GPU(s) of 0" in capsys.readouterr().out
    end(one)
