"""Training on several devices: as on one, and the processes end together. The devices are processes on the CPU."""

import csv
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from vector_quantize_pytorch import finite_scalar_quantization, vector_quantize_pytorch

from sparsevq.cli.main import main
from sparsevq.errors import SparseVQError
from sparsevq.runtime.devices import device, parallel
from sparsevq.runtime.devices.device import Lease, claim_devices, fabric_for
from tests.chain import Chain, fabric
from tests.cli.conftest import as_own_process
from tests.together import CASES

REPOSITORY = Path(__file__).parents[3]

CURVES = {"rel": 1e-5, "abs": 1e-7}
"""Sums over a batch are taken in another order (6e-8 of them in float32), and eight steps multiply that; 5e-7 is usual.
"""
WEIGHTS = {"rtol": 1e-3, "atol": 2e-5}
"""Adam divides by the root of the squared gradient: where a gradient is nearly zero, its rounding is a step of part
of the learning rate, 1e-3. A gradient that is wrong by a factor, or another batch, moves weights by all of it."""
CLEAR = 3e-4
"""Rounding differs between one process and two, and between processors, and must not choose a token's code. So each
choice has a margin of many times the rounding: the distances to the two nearest codes differ by this part of the
token's length, and what FSQ rounds lies this far from a half.
"""


def environment(**more: str) -> dict[str, str]:
    alone = {name: value for name, value in os.environ.items() if not name.startswith("SLURM_")}
    return alone | {"PYTHONPATH": str(REPOSITORY), "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"} | more


def rows(history: Path) -> list[dict[str, float]]:
    with open(history) as file:
        return [{key: float(value) for key, value in row.items() if value} for row in csv.DictReader(file)]


# ------------------------------------------------------------------------------------------------ as on one device


@contextmanager
def margins_of_choices() -> Iterator[list[float]]:
    """The smallest margin, as `CLEAR` has it, of each batch of tokens that codes were chosen for, k-means' included."""
    margins: list[float] = []
    cdist, round_ste = vector_quantize_pytorch.cdist, finite_scalar_quantization.round_ste

    def watched_cdist(tokens: Tensor, codes: Tensor) -> Tensor:
        distance = cdist(tokens, codes)
        nearest, second = distance.detach().topk(2, largest=False).values.unbind(-1)
        margins.append(float(((second - nearest) / tokens.detach().norm(dim=-1)).min()))
        return distance

    def watched_round(values: Tensor) -> Tensor:
        margins.append(float((values.detach() % 1 - 0.5).abs().min()))
        return round_ste(values)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(vector_quantize_pytorch, "cdist", watched_cdist)
        patch.setattr(finite_scalar_quantization, "round_ste", watched_round)
        yield margins


@pytest.fixture(scope="module")
def one(trained, tmp_path_factory) -> tuple[Path, dict[str, list[float]]]:
    """Folder of the models that one process trained, and the margins of its choices in each case."""
    folder, margins = tmp_path_factory.mktemp("one"), {}
    for name, train in CASES.items():
        with margins_of_choices() as margins[name]:
            train(Chain(trained.folder), folder / name)
    return folder, margins


@pytest.fixture(scope="module")
def two(trained, tmp_path_factory) -> Path:
    """Folder of the models that two processes trained, from the same files."""
    folder = tmp_path_factory.mktemp("two")
    ended = subprocess.run(
        [sys.executable, "-m", "tests.together", str(trained.folder), str(folder)],
        cwd=REPOSITORY,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=300,  # processes that part ways wait for each other
    )
    assert ended.returncode == 0, ended.stderr
    return folder


@pytest.mark.parametrize("case", CASES)
def test_two_processes_have_the_curves_and_the_weights_of_one(one, two, case):
    """Masks of different frames hide different points, and batches of nine are shared as five and four."""
    curves, others = (rows(folder / case / "history.csv") for folder in (one[0], two))
    assert len(curves) == len(others) == 4
    for row, other in zip(curves, others, strict=True):
        assert other == pytest.approx(row, **CURVES)
    weights, others = (load_file(folder / case / "model.safetensors") for folder in (one[0], two))
    torch.testing.assert_close(others, weights, **WEIGHTS)


@pytest.mark.parametrize("case", ["vq", "rvq", "fsq"])
def test_rounding_chooses_no_code(one, case):
    """Else the test above would depend on the processor. If this fails, give the case another seed."""
    assert min(one[1][case]) > CLEAR


def test_codes_died_and_were_drawn_anew(one):
    """Else two processes that draw them differently would pass the test above."""
    layer = load_file(one[0] / "vq/model.safetensors")
    sizes = next(value for name, value in layer.items() if name.endswith("cluster_size"))
    assert (sizes == 1).sum() > 4, "a code that was drawn anew has size 1"


FAKE_GPUS = """
import sys
from sparsevq.cli import train
from sparsevq.cli.main import main
from sparsevq.runtime.devices.device import Lease

real = train.fabric_for
fake = lambda lease: Lease("cpu", (), "cpu", processes=len(lease.gpus))
train.fabric_for = lambda lease, precision, **asked: real(fake(lease), precision, **asked)
sys.exit(main(sys.argv[1:]))
"""


def test_the_command_line_trains_on_the_gpus_that_it_is_given(trained, tmp_path):
    command = (
        f"train --data {trained.data_path} --num_sensors 6 --num_latents 16 --enc_preproc_ch 16 --dec_preproc_ch 16 "
        "--enc_num_latent_channels 16 --dec_num_latent_channels 16 --num_layers 2 --batch_pixels 64 --batch_frames 7 "
        "--max_steps 4 --val_every 2 --tracking False --precision 32-true --runs"
    ).split()
    with as_own_process(tmp_path):
        main([*command, "one"])
    ended = subprocess.run(
        [sys.executable, "-c", FAKE_GPUS, *command, "two", "--gpu", "0,1"],
        cwd=tmp_path,
        env=environment(SPARSEVQ_GPUS="0,1", SPARSEVQ_LEASES=str(tmp_path / "leases")),
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.count("step 4/4") == 1, "one process speaks"
    (one,), (two,) = (list(tmp_path.glob(f"{runs}/*/sparse/history.csv")) for runs in ("one", "two"))
    for row, other in zip(rows(one), rows(two), strict=True):
        assert other == pytest.approx(row, **CURVES)


def test_a_batch_that_is_too_small_to_share_is_one_line(trained, tmp_path, monkeypatch):
    monkeypatch.setattr(parallel, "world", lambda: 3)
    message = r"stage3.batch_frames / stage2_frames makes batches of 2, fewer than the 3 devices .*: raise "
    with pytest.raises(SparseVQError, match=message):
        trained.gpt(tmp_path, batch_frames=10)
    with pytest.raises(SparseVQError, match=r"stage1.batch_frames makes batches of 2"):
        trained.encoder("sparse", tmp_path, batch_frames=2)
    with pytest.raises(SparseVQError, match=r"stage2.batch_frames makes batches of 2"):
        trained.tokenizer(tmp_path, batch_frames=2)


def test_on_one_device_nothing_is_weighed():
    assert parallel.weights_of(3, torch.tensor(0)).tolist() == [1, 1]
    assert fabric().world_size == 1


# ------------------------------------------------------------------------------------------------ who takes part


@pytest.fixture
def no_lease():
    """A process that has claimed nothing."""
    yield
    if device._held is not None:
        device._held.release()
    device._held = None


@pytest.mark.parametrize(("wanted", "processes"), [("cpu", 3), ("auto", 1)])
def test_processes_on_the_cpu_are_asked_for_by_name(wanted, processes, monkeypatch, no_lease):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert claim_devices(wanted, 3).processes == processes


def test_several_nodes_without_slurm_are_one_line(monkeypatch):
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    with pytest.raises(SparseVQError, match=r"2 nodes were asked for, but .*: lower resources.nodes to 1"):
        fabric_for(Lease("cpu", (), "cpu"), "32-true", nodes=2)


SRUN = """#!/bin/sh
# Stands for srun: one task, on this host.
while [ "${1#--}" != "$1" ]; do echo "$1" >> srun_flags; shift; done
SLURM_PROCID=0 exec "$@"
"""


def test_each_node_starts_its_own_processes_and_all_are_one_group(tmp_path):
    (tmp_path / "srun").write_text(SRUN)
    (tmp_path / "srun").chmod(0o755)
    code = """
    import os, torch
    from sparsevq.runtime.devices.device import Lease, fabric_for, set_threads
    from sparsevq.runtime.devices.processes import together
    set_threads(4)
    with together():
        fabric = fabric_for(Lease("cpu", (), "cpu", processes=2), "32-true", nodes=2)
        place = [fabric.global_rank, fabric.node_rank, fabric.local_rank, torch.get_num_threads()]
        places = fabric.all_gather(torch.tensor(place)).tolist()
        if fabric.is_global_zero:
            print(places)
    """
    ended = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        cwd=tmp_path,
        env=environment(SLURM_JOB_ID="7", PATH=f"{tmp_path}:{os.environ['PATH']}"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout == "[[0, 0, 0, 2], [1, 0, 1, 2], [2, 1, 0, 2], [3, 1, 1, 2]]\n"
    flags = (tmp_path / "srun_flags").read_text().split()
    assert {"--nodes=1", "--relative=1", "--ntasks=1", "--cpus-per-task=4"} <= set(flags)


# ------------------------------------------------------------------------------------------------ they end together

JOB = """
import os
from pathlib import Path
from types import SimpleNamespace
from sparsevq.runtime.job import job

class Named(dict):
    __getattr__ = dict.__getitem__
    def __getitem__(self, key):
        return list(self.values())[key] if isinstance(key, int) else dict.__getitem__(self, key)

snakemake = SimpleNamespace(
    rule="sparse", input=Named(), output=Named(), params=Named(), threads=2,
    wildcards=Named(data_set="waves", num_sensors="6", seed="1"), resources=Named(gpu=0, processes=2),
    log=Named(log="sparse.log"), scriptdir=".", config={"tracking": {"enabled": False}},
)
with job(snakemake) as work:
    fabric = work.fabric("32-true")
    import torch
    from sparsevq.config import TrainingConfig
    from sparsevq.training.loop import fit
    from tests.stages import made_of

    class Line(torch.nn.Linear):
        def forward(self, x):
            return {"loss": super().forward(x).square().mean()}

    def draw(generator, step):
        if step == 5:
            Path(f"rank{fabric.global_rank}").write_text(str(os.getpid()))
        return (torch.rand(4, 3, generator=generator),)

    settings = TrainingConfig(max_steps=10**8, val_every=10**7)
    stage = made_of(Line(3, 1), draw, lambda: {"val_loss": 1.0}, settings, fabric=fabric)
    fit(stage, tracker=work.tracker, history=Path("history.csv"))
"""


@pytest.fixture
def training(tmp_path):
    """A job of two processes in the midst of its training: the job, and the process of each rank."""
    job = subprocess.Popen(
        [sys.executable, "-c", JOB], cwd=tmp_path, env=environment(), stderr=subprocess.PIPE, text=True
    )
    ranks = [tmp_path / f"rank{rank}" for rank in range(2)]
    until = time.monotonic() + 120
    while not all(path.exists() and path.read_text() for path in ranks):
        assert job.poll() is None and time.monotonic() < until, (tmp_path / "sparse.log").read_text()
        time.sleep(0.05)
    processes = [int(path.read_text()) for path in ranks]
    assert processes[0] == job.pid
    yield job, processes
    for process in processes:
        if runs(process):
            os.kill(process, signal.SIGKILL)
    job.communicate()


def runs(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def ends(process: int, within: float) -> bool:
    until = time.monotonic() + within
    while runs(process) and time.monotonic() < until:
        time.sleep(0.05)
    return not runs(process)


def test_a_killed_process_ends_the_job_which_says_which_it_was(training):
    job, processes = training
    os.kill(processes[1], signal.SIGKILL)
    _, told = job.communicate(timeout=30)
    assert job.returncode == 1
    assert told.count("error in") == 1
    last = told.splitlines()[-1]
    assert last.startswith("error in sparse: of the processes that train together, rank 1 of 2 was killed (SIGKILL): ")


def test_no_process_outlives_the_first(training):
    job, processes = training
    os.kill(processes[0], signal.SIGKILL)
    assert ends(processes[1], within=10)
    assert job.wait() == -signal.SIGKILL


def test_a_job_that_is_asked_to_stop_stops_in_all_its_processes_after_one_step(training, tmp_path):
    job, processes = training
    os.kill(processes[0], signal.SIGTERM)
    _, told = job.communicate(timeout=30)
    assert job.returncode == 128 + signal.SIGTERM
    assert ends(processes[1], within=10)
    assert told.count("asked to stop, stopped after step") == 1
    assert "error" not in told


RESUMED = """
import os, signal, sys
from pathlib import Path
from tests import chain
from sparsevq.runtime.checkpoints import Checkpoints
from sparsevq.runtime.devices.device import Lease, fabric_for
from sparsevq.runtime.devices.processes import together
from sparsevq.runtime.signals import handled_signals

files, out, stopping = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3] == "stop"

class Asked(chain.Recorder):
    def log_metrics(self, metrics, step):
        if stopping and step == 8 and os.environ.get("RANK") == "1":
            os.kill(os.getpid(), signal.SIGTERM)  # SLURM may tell any of them first

chain.fabric = lambda precision: fabric_for(Lease("cpu", (), "cpu", processes=2), precision)
settings = {"max_steps": 400, "val_every": 8, "dropout": 0.1, "batch_frames": 15}
with handled_signals(), together():
    chain.Chain(files).gpt(out=out, tracker=Asked(), checkpoints=Checkpoints(out / "checkpoints", 1e9), **settings)
"""


def test_two_processes_resume_where_two_were_stopped(trained, tmp_path):
    def run(out: str, how: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", RESUMED, str(trained.folder), str(tmp_path / out), how]
        env = environment()
        return subprocess.run(command, cwd=REPOSITORY, env=env, capture_output=True, text=True, check=False)

    undisturbed = run("undisturbed", "no")
    assert undisturbed.returncode == 0, undisturbed.stderr
    stopped = run("stopped", "stop")
    assert stopped.returncode == 128 + signal.SIGTERM, stopped.stderr
    assert len(list((tmp_path / "stopped/checkpoints").iterdir())) == 1
    assert not (tmp_path / "stopped/model.safetensors").exists()
    resumed = run("stopped", "no")
    assert resumed.returncode == 0, resumed.stderr
    assert "resumes after step" in resumed.stdout
    for name in ("history.csv", "model.safetensors"):
        assert (tmp_path / "stopped" / name).read_bytes() == (tmp_path / "undisturbed" / name).read_bytes()
