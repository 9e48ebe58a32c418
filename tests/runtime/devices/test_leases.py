"""Jobs on one host never share a GPU, none starves, and the GPUs of one that dies are free again."""

import importlib
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from sparsevq.errors import SparseVQError
from sparsevq.runtime.devices import device, leases
from sparsevq.runtime.devices import gpus as gpus_here
from sparsevq.runtime.devices.device import claim_devices


@pytest.fixture(autouse=True)
def own_host(monkeypatch, tmp_path):
    """A host of its own: no GPUs but those a test pretends, no leases of other processes."""
    for variable in ("SPARSEVQ_GPUS", "SLURM_JOB_ID", "SLURM_JOB_GPUS", "LOCAL_RANK", "CUDA_VISIBLE_DEVICES"):
        monkeypatch.setenv(variable, "")  # so that what a test changes is undone
        monkeypatch.delenv(variable)
    monkeypatch.setenv("SPARSEVQ_LEASES", str(tmp_path / "leases"))
    monkeypatch.setattr(gpus_here, "_unused", "")
    gpus_here._listed.cache_clear()
    yield
    if device._held is not None:
        device._held.release()
    gpus_here._listed.cache_clear()


@pytest.fixture
def start():
    """Starts processes that lease GPUs, print them and continue; they are killed at the end of the test."""
    started = []

    def start_one(count=1, then="time.sleep(60)", before="", jobs_per_gpu=1, **environment):
        code = (
            f"import os, subprocess, sys, time\nfrom sparsevq.runtime.devices import device, leases\n{before}\n"
            f"print(*device.claim_devices('cuda', {count}, jobs_per_gpu={jobs_per_gpu}).gpus, flush=True)\n{then}"
        )
        process = subprocess.Popen(
            [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env={**os.environ, **environment}
        )
        started.append(process)
        return process

    yield start_one
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()


def gpus(process) -> list[str]:
    """What a process leased: its first line that is no news of waiting or sharing."""
    while (line := process.stdout.readline()).startswith(("waiting", "up to")):
        pass
    return line.split()


def kill(process) -> None:
    process.send_signal(signal.SIGKILL)
    process.wait()


PYNVML = """
# Stands for the driver: GPUs, each with the UUIDs of its MIG devices by place; None: it cannot be split.
GPUS = {gpus!r}


class NVMLError(Exception):
    pass


class NVMLError_NotFound(NVMLError):
    pass


def nvmlInit():
    if GPUS is None:
        raise NVMLError("Driver Not Loaded")


def nvmlDeviceGetCount():
    return len(GPUS)


def nvmlDeviceGetHandleByIndex(index):
    return list(GPUS.items())[index]


def nvmlDeviceGetMaxMigDeviceCount(gpu):
    if gpu[1] is None:
        raise NVMLError("Not Supported")
    return len(gpu[1])


def nvmlDeviceGetMigDeviceHandleByIndex(gpu, index):
    if gpu[1][index] is None:
        raise NVMLError_NotFound
    return gpu[1][index], None


def nvmlDeviceGetUUID(device):
    return device[0]
"""


@pytest.fixture
def driver(monkeypatch, tmp_path):
    """Pretend that NVIDIA's driver lists these GPUs; None: there is no driver."""
    folder = tmp_path / "driver"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setenv("PYTHONPATH", f"{folder}:{os.environ.get('PYTHONPATH', '')}")

    def lists(gpus):
        gpus_here._listed.cache_clear()
        monkeypatch.delitem(sys.modules, "pynvml", raising=False)
        (folder / "pynvml.py").write_text(PYNVML.format(gpus=gpus))
        importlib.invalidate_caches()

    yield lists
    sys.modules.pop("pynvml", None)


TWO_GPUS = {"GPU-aa11": None, "GPU-bb22": []}
SPLIT = {"GPU-aa11": ["MIG-cc33", None, "MIG-dd44"], "GPU-bb22": None}


# ------------------------------------------------------------------------------------------------ many at once

CONTENDER = """
import os, random, sys, time
from pathlib import Path
from sparsevq.runtime.devices import device, leases

leases.COLLECT_AFTER = 0.5
markers, killed = Path(sys.argv[1]), Path(sys.argv[2])
dice = random.Random(sys.argv[3])
for _ in range(3):
    lease = device.claim_devices("cuda", dice.randint(1, 3), timeout=60)
    mine = [markers / gpu / str(os.getpid()) for gpu in lease.gpus]
    for marker in mine:
        marker.touch()
        # Those that were killed have left theirs.
        others = {path.name for path in marker.parent.iterdir()} - {str(os.getpid())}
        if rival := [pid for pid in others if not (killed / pid).exists()]:
            sys.exit(f"{marker.parent.name} has two holders: {os.getpid()} and {rival}")
    time.sleep(dice.uniform(0.05, 0.15))
    for marker in mine:
        marker.unlink()
    lease.release()
"""


def test_eight_contending_processes_never_share_a_device_though_some_are_killed(monkeypatch, tmp_path):
    """Each leases one to three of four devices three times; who holds one marks it, and looks for other marks."""
    monkeypatch.setenv("SPARSEVQ_GPUS", "0,1,2,3")
    markers, killed = tmp_path / "markers", tmp_path / "killed"
    killed.mkdir()
    for gpu in range(4):
        (markers / str(gpu)).mkdir(parents=True)
    dice = random.Random(0)
    left = [f"contender {number}" for number in range(14)]  # six of them are killed
    running: list[subprocess.Popen] = []
    done = victims = 0
    next_kill = 0.0
    while left or running:
        while left and len(running) < 8:
            command = [sys.executable, "-c", CONTENDER, str(markers), str(killed), left.pop()]
            running.append(subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True))
        time.sleep(0.02)
        holders = {path.name for path in markers.glob("*/*")}
        holding = [process for process in running if process.poll() is None and str(process.pid) in holders]
        if holding and victims < 6 and time.monotonic() > next_kill:
            victim = dice.choice(holding)
            (killed / str(victim.pid)).touch()
            kill(victim)
            victims += 1
            next_kill = time.monotonic() + 0.2
        for process in [process for process in running if process.poll() is not None]:
            running.remove(process)
            said = process.communicate()[1]
            if not (killed / str(process.pid)).exists():
                assert process.returncode == 0, said
                done += 1
    assert victims >= 4, "the test kills some while they hold devices"
    assert done == 14 - victims
    assert len(claim_devices("cuda", 4, timeout=0).gpus) == 4, "all devices are free at the end"


def test_a_job_that_needs_two_is_not_passed_over_for_ever_by_jobs_that_need_one(monkeypatch, start):
    """Once it has waited long it keeps what it gets; before that, free devices go to whom they are enough for."""
    monkeypatch.setenv("SPARSEVQ_GPUS", "0,1")
    first = start()
    assert gpus(first) == ["0"]
    second = start()
    assert gpus(second) == ["1"]
    patient = start(2)
    assert patient.stdout.readline().startswith("waiting for 2")
    kill(first)
    third = start()
    assert gpus(third) == ["0"]

    collector = start(2, before="leases.COLLECT_AFTER = 0")
    assert collector.stdout.readline().startswith("waiting for 2")
    kill(patient)
    kill(third)
    time.sleep(1.0)  # it looks twice a second
    with pytest.raises(SparseVQError, match=f"0: process {collector.pid} of .*1: process {second.pid} of "):
        claim_devices("cuda", 1, timeout=0.2)
    kill(second)
    assert gpus(collector) == ["0", "1"]


def test_all_or_none_until_then(monkeypatch, start):
    """Who waits for two holds none meanwhile: two such processes would wait for each other."""
    monkeypatch.setenv("SPARSEVQ_GPUS", "0,1")
    one = start()
    assert gpus(one) == ["0"]
    with pytest.raises(SparseVQError):
        claim_devices("cuda", 2, timeout=0.3)
    assert gpus(start()) == ["1"]


# ------------------------------------------------------------------------------------------------ crashes and children


def test_a_killed_holder_gives_its_gpu_back(monkeypatch, start):
    monkeypatch.setenv("SPARSEVQ_GPUS", "0,1")
    first, second = start(), start()
    assert sorted([*gpus(first), *(freed := gpus(second))]) == ["0", "1"]
    with pytest.raises(SparseVQError, match="other processes still hold them"):
        claim_devices("cuda", 1, timeout=0.3)
    kill(second)
    assert list(claim_devices("cuda", 1, timeout=10).gpus) == freed


@pytest.mark.parametrize(
    "leaves_a_child",
    [
        "child = os.fork() or (time.sleep(60), os._exit(0))",
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'], close_fds=False).pid",
    ],
    ids=["forked", "started with close_fds=False"],
)
def test_a_killed_holder_gives_its_gpu_back_though_its_child_lives_on(monkeypatch, start, leaves_a_child):
    """Such as a worker that loads data, another rank, or what carries records to MLflow."""
    monkeypatch.setenv("SPARSEVQ_GPUS", "0")
    parent = start(then=f"{leaves_a_child}\nprint(child, flush=True); time.sleep(60)")
    assert gpus(parent) == ["0"]
    child = int(parent.stdout.readline())
    try:
        kill(parent)
        assert claim_devices("cuda", 1, timeout=1).gpus == ("0",)
        os.kill(child, 0)  # it is there still
    finally:
        os.kill(child, signal.SIGKILL)


def test_a_forked_child_cannot_release_what_its_parent_holds(monkeypatch, start):
    monkeypatch.setenv("SPARSEVQ_GPUS", "0")
    lease = claim_devices("cuda", 1)
    child = os.fork()
    if not child:
        lease.release()
        os._exit(0)
    os.waitpid(child, 0)
    with pytest.raises(SparseVQError, match=f"0: process {os.getpid()} of "):
        leases.lease({"0": "0"}, 1, timeout=0)


def test_ranks_share_the_lease_of_the_first_and_outlive_it(monkeypatch, start):
    monkeypatch.setenv("SPARSEVQ_GPUS", "0,1,2")
    other = start()
    assert gpus(other) == ["0"]
    rank = "env = {**os.environ, 'LOCAL_RANK': '1'}\n"
    rank += 'code = "from sparsevq.runtime.devices.device import claim_devices; import time; "\n'
    rank += (
        "code += \"print(*claim_devices('cuda', 2).gpus, flush=True); time.sleep(2); print('trained', flush=True)\"\n"
    )
    first = start(2, then=f"{rank}subprocess.Popen([sys.executable, '-c', code], env=env)\ntime.sleep(60)")
    assert gpus(first) == ["1", "2"]
    assert gpus(first) == ["1", "2"], "the second rank prints to the same pipe"
    kill(first)
    assert claim_devices("cuda", 2, timeout=1).gpus == ("1", "2")
    assert gpus(first) == ["trained"]


# ------------------------------------------------------------------------------------------------ which devices


@pytest.mark.parametrize(
    ("value", "pool"),
    [
        ("", ()),
        ("-1", ()),
        ("NoDevFiles", ()),
        ("0,-1,1", ("0",)),
        ("3, 1", ("3", "1")),
        ("1,1", ("1",)),
        ("GPU-aa11,GPU-bb22", ("GPU-aa11", "GPU-bb22")),
        ("MIG-cc33", ("MIG-cc33",)),
    ],
)
def test_what_is_visible_is_what_cuda_would_see(monkeypatch, driver, value, pool):
    driver(TWO_GPUS)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", value)
    assert device.visible_gpus() == pool
    lease = claim_devices("auto", 1)
    assert lease.gpus == pool[:1]
    assert os.environ["CUDA_VISIBLE_DEVICES"] == ",".join(pool[:1])


def test_the_driver_names_gpus_and_the_mig_devices_of_split_ones(driver):
    driver(TWO_GPUS)
    assert device.visible_gpus() == ("GPU-aa11", "GPU-bb22")
    driver(SPLIT)
    assert device.visible_gpus() == ("MIG-cc33", "MIG-dd44", "GPU-bb22")
    driver(None)
    assert device.visible_gpus() == ()


def test_without_pynvml_there_are_no_gpus(monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", None)  # importing it fails
    assert device.visible_gpus() == ()
    assert claim_devices("auto", 1).kind == "cpu"


def test_the_real_pynvml_has_what_is_used_of_it():
    """The tests above pretend one."""
    used = set(re.findall(r"pynvml\.(\w+)", Path(gpus_here.__file__).read_text()))
    assert len(used) >= 8
    assert used <= set(dir(importlib.import_module("pynvml")))


@pytest.mark.parametrize("other_name", ["GPU-bb22", "GPU-b"])
def test_a_gpu_has_one_lock_whichever_name_is_used(monkeypatch, driver, start, other_name):
    driver(TWO_GPUS)
    assert gpus(start(CUDA_VISIBLE_DEVICES="1")) == ["1"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", other_name)
    with pytest.raises(SparseVQError, match=f"{other_name}: process"):
        claim_devices("cuda", 1, timeout=0)


def test_slices_of_a_gpu_cannot_train_together(driver):
    driver(SPLIT)
    with pytest.raises(SparseVQError, match="2 GPUs were asked for, but there are 1 here beside 2 MIG slices"):
        claim_devices("auto", 2)
    assert claim_devices("auto", 1).gpus == ("MIG-cc33",)


# ------------------------------------------------------------------------------------------------ shared devices


def test_jobs_that_share_fill_the_gpus_evenly_and_no_more_than_they_may(monkeypatch, start):
    monkeypatch.setenv("SPARSEVQ_GPUS", "0,1")
    jobs = [start(jobs_per_gpu=2) for _ in range(2)]
    assert {gpu for job in jobs for gpu in gpus(job)} == {"0", "1"}, "the second gets the GPU that is empty"
    jobs += [start(jobs_per_gpu=2) for _ in range(2)]
    assert {gpu for job in jobs[2:] for gpu in gpus(job)} == {"0", "1"}
    with pytest.raises(SparseVQError, match=r"waited 0.2 s for a place among 2 on a GPU, .* and process "):
        claim_devices("cuda", 1, timeout=0.2, jobs_per_gpu=2)
    kill(jobs[1])
    lease = claim_devices("cuda", 1, timeout=5, jobs_per_gpu=2)
    assert lease.jobs_per_gpu == 2
    assert len(lease.gpus) == 1


def test_who_needs_a_whole_gpu_never_shares_it(monkeypatch, start):
    """Jobs of another experiment, or of several GPUs."""
    monkeypatch.setenv("SPARSEVQ_GPUS", "0,1")
    sharing = start(jobs_per_gpu=3)
    assert gpus(sharing) == ["0"]
    with pytest.raises(SparseVQError, match=f"for 2 free .*0: process {sharing.pid} of "):
        claim_devices("cuda", 2, timeout=0.2, jobs_per_gpu=3)
    whole = start()
    assert gpus(whole) == ["1"]
    lease = claim_devices("cuda", 1, timeout=1, jobs_per_gpu=3)
    assert lease.gpus == ("0",)
    lease.release()
    kill(sharing)
    assert gpus(start(jobs_per_gpu=3)) == ["0"]
    kill(whole)
    assert claim_devices("cuda", 1, timeout=5).gpus == ("1",)
    device._held.release()


def test_sharing_jobs_do_not_starve_one_that_needs_the_whole(monkeypatch, start):
    monkeypatch.setenv("SPARSEVQ_GPUS", "0")
    first, second = start(jobs_per_gpu=2), start(jobs_per_gpu=2)
    assert [gpus(first), gpus(second)] == [["0"], ["0"]]
    collector = start(before="leases.COLLECT_AFTER = 0")
    assert collector.stdout.readline().startswith("waiting for 1")
    time.sleep(1.0)  # it looks twice a second
    kill(first)
    with pytest.raises(SparseVQError, match="a place among 2"):
        claim_devices("cuda", 1, timeout=1, jobs_per_gpu=2)
    kill(second)
    assert gpus(collector) == ["0"]


@pytest.mark.parametrize("runs", [True, False])
def test_whether_kernels_run_at_once_is_said(monkeypatch, tmp_path, capsys, runs):
    """The daemon of MPS leaves its files where it was killed."""
    monkeypatch.setenv("SPARSEVQ_GPUS", "0")
    monkeypatch.setenv("CUDA_MPS_PIPE_DIRECTORY", str(tmp_path))
    os.mkfifo(tmp_path / "control")
    ended = subprocess.Popen(["true"])
    ended.wait()
    (tmp_path / "nvidia-cuda-mps-control.pid").write_text(f"{os.getpid() if runs else ended.pid}\n")
    claim_devices("cuda", 1, jobs_per_gpu=3)
    said = "at once, by MPS" if runs else "in turns: no MPS answers (nvidia-cuda-mps-control -d)"
    assert capsys.readouterr().out == f"up to 3 jobs compute on GPU 0 {said}\n"


# ------------------------------------------------------------------------------------------------ SLURM


def test_in_a_slurm_job_only_what_slurm_gave_is_used(monkeypatch, driver, capsys):
    driver(TWO_GPUS)
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    with pytest.raises(SparseVQError, match="this SLURM job was given none"):
        claim_devices("cuda", 1)
    assert claim_devices("auto", 1).kind == "cpu"
    assert capsys.readouterr().out == ""

    device._held = None
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    monkeypatch.setenv("SLURM_JOB_GPUS", "1")
    assert claim_devices("auto", 1).kind == "cpu"
    assert "SLURM gave this job GPUs, but CUDA_VISIBLE_DEVICES names none" in capsys.readouterr().out

    device._held = None
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    assert claim_devices("auto", 1).gpus == ("1",)


def test_slurm_jobs_do_not_contend_over_equal_names_but_steps_of_one_do(monkeypatch, start):
    """Where SLURM confines its jobs, each of them calls its first GPU 0."""
    for job in ("1", "2"):
        assert gpus(start(CUDA_VISIBLE_DEVICES="0,1", SLURM_JOB_ID=job)) == ["0"]
    assert gpus(start(CUDA_VISIBLE_DEVICES="0,1", SLURM_JOB_ID="2")) == ["1"]


# ------------------------------------------------------------------------------------------------ users and news


def test_a_waiting_job_says_for_whom_it_waits_and_says_it_again(monkeypatch, start, capsys):
    monkeypatch.setenv("SPARSEVQ_GPUS", "0")
    monkeypatch.setenv("USER", "ann")
    one = start()
    assert gpus(one) == ["0"]
    with pytest.raises(SparseVQError, match=f"0: process {one.pid} of ann since "):
        claim_devices("cuda", 1, timeout=1.2)
    (said,) = capsys.readouterr().out.splitlines()
    assert said.startswith(f"waiting for 1 free GPU(s) of 0 (0: process {one.pid} of ann since ")
    monkeypatch.setattr(leases, "REMIND_EVERY", 0.3)
    with pytest.raises(SparseVQError):
        claim_devices("cuda", 1, timeout=1.5)
    assert len(capsys.readouterr().out.splitlines()) >= 2


@pytest.mark.skipif(os.getuid() != 0, reason="to be other users one must be root")
def test_users_of_one_host_respect_each_other(monkeypatch):
    """Whoever comes first makes the files, with a umask that keeps others out of everything else of theirs."""
    monkeypatch.setenv("SPARSEVQ_GPUS", "0,1")
    children = []

    def as_user(user: int) -> str:
        reading, writing = os.pipe()
        child = os.fork()
        if not child:
            try:
                os.umask(0o077)
                os.setgid(user)
                os.setuid(user)
                os.environ["USER"] = f"u{user}"
                answer = " ".join(claim_devices("cuda", 1, timeout=0).gpus)
            except BaseException as error:
                answer = str(error)
            os.write(writing, answer.encode())
            time.sleep(60)
            os._exit(0)
        children.append(child)
        os.close(writing)
        with os.fdopen(reading, "rb") as pipe:
            return os.read(pipe.fileno(), 1000).decode()

    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        os.chmod(folder, 0o777)
        monkeypatch.setenv("SPARSEVQ_LEASES", str(Path(folder) / "leases"))
        try:
            assert as_user(65533) == "0"
            assert as_user(65534) == "1"
            assert "0: process" in (third := as_user(65532))
            assert "of u65533 since" in third
            for child in children:
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
            children.clear()
            assert as_user(65534) == "0", "also a GPU that another user had first"
        finally:
            for child in children:
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
