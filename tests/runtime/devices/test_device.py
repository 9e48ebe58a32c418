"""Which GPUs a job may use, how many threads and which precision."""

import os
import re
import subprocess
import sys
import textwrap

import pytest

from sparsevq.errors import SparseVQError
from sparsevq.runtime.devices import device, gpus, leases
from sparsevq.runtime.devices.device import (
    Lease,
    claim_devices,
    fabric_for,
    kind_of_device,
    resolve_precision,
    set_threads,
)


@pytest.fixture(autouse=True)
def own_host(monkeypatch, tmp_path):
    """A host of its own: no GPUs but those a test pretends, no leases of other processes."""
    for variable in ("SPARSEVQ_GPUS", "SLURM_JOB_ID", "SLURM_JOB_GPUS", "LOCAL_RANK", *device.THREAD_VARIABLES):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("SPARSEVQ_LEASES", str(tmp_path / "leases"))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setattr(gpus, "_unused", "")
    yield
    if device._held is not None:
        device._held.release()
    device._held = None


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


# ------------------------------------------------------------------------------------------------ a GPU in vain


@pytest.fixture(params=[None, "12.8"], ids=["a build for the CPU", "a build for CUDA"])
def useless_torch(monkeypatch, request):
    """A torch that cannot use a GPU; the pattern of what it says."""
    import torch

    monkeypatch.setattr(torch.version, "cuda", request.param)

    def ones(*_sizes, device):
        assert device == "cuda:0"
        raise RuntimeError("CUDA error: no kernel image is available for execution.\nCUDA kernel errors might ...")

    if request.param is None:
        return rf"there is a GPU, but torch {re.escape(torch.__version__)} is built without CUDA"
    monkeypatch.setattr(torch, "ones", ones)
    return r"there is a GPU, but torch .* cannot use it \(CUDA error: no kernel image is available for execution\)"


def test_a_gpu_that_torch_cannot_use_is_said_once(monkeypatch, capsys, useless_torch):
    """With auto. Whoever means the GPU says cuda, and the job fails."""
    monkeypatch.setenv("SPARSEVQ_GPUS", "0")
    for _ in range(2):
        assert fabric_for(claim_devices("auto", 1), "32-true").device.type == "cpu"
    (said,) = capsys.readouterr().out.splitlines()
    assert re.fullmatch(f"WARNING: {useless_torch}: working on the CPU; install a torch .*", said)
    assert re.fullmatch(useless_torch, gpus.unused())
    leases.lease({"0": "0"}, 1, timeout=0)["0"].release()  # whoever can use it may have it
    device._held.release()
    with pytest.raises(SparseVQError, match=f"device=cuda needs a GPU that torch can use, but {useless_torch}"):
        fabric_for(claim_devices("cuda", 1), "32-true")


def test_of_processes_that_train_together_none_goes_to_the_cpu_alone(monkeypatch, useless_torch):
    """The others would wait for it for ever."""
    monkeypatch.setenv("SPARSEVQ_GPUS", "0,1")
    monkeypatch.setenv("LOCAL_RANK", "0")
    with pytest.raises(SparseVQError, match=f"of the processes that train together: {useless_torch}"):
        fabric_for(claim_devices("auto", 2), "32-true")


@pytest.fixture
def kernels_driver(monkeypatch, tmp_path):
    """A host whose kernel has a GPU, but NVIDIA's library does not answer."""
    (tmp_path / "nvidia0").touch()
    (tmp_path / "nvidiactl").touch()
    monkeypatch.setattr(gpus, "DEVICE_FILES", tmp_path)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    monkeypatch.setattr(gpus, "_listed", lambda: ((), "its driver does not answer (Driver/library version mismatch)"))
    return rf"there is a GPU \({tmp_path}/nvidia0\), but its driver does not answer \(Driver/library version mismatch\)"


def test_a_gpu_that_the_driver_does_not_list_is_said(monkeypatch, capsys, kernels_driver):
    assert claim_devices("auto", 1).kind == "cpu"
    assert re.match(f"WARNING: {kernels_driver}: working on the CPU; see that nvidia-smi", capsys.readouterr().out)
    device._held = None
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    with pytest.raises(SparseVQError, match=f"device=cuda needs a GPU, but {kernels_driver}"):
        claim_devices("cuda", 1)


@pytest.mark.parametrize("variable", ["CUDA_VISIBLE_DEVICES", "SPARSEVQ_GPUS", "SLURM_JOB_ID"])
def test_who_hides_the_gpus_hears_nothing_of_them(monkeypatch, capsys, kernels_driver, variable):
    monkeypatch.setenv(variable, "7" if variable == "SLURM_JOB_ID" else "")
    assert claim_devices("auto", 1).kind == "cpu"
    assert kind_of_device("auto") == "cpu"
    assert capsys.readouterr().out == gpus.unused() == ""


def test_a_job_on_the_cpu_hears_nothing_of_gpus(capsys, kernels_driver):
    assert claim_devices("cpu", 1).kind == "cpu"
    device._held = None
    assert claim_devices("auto", 0).kind == "cpu"
    assert kind_of_device("cpu") == "cpu"
    assert capsys.readouterr().out == gpus.unused() == ""


def test_forecasts_say_it_too(monkeypatch, capsys, kernels_driver):
    """A `Forecaster` leases nothing."""
    assert kind_of_device("auto") == "cpu"
    assert re.match(f"WARNING: {kernels_driver}: working on the CPU", capsys.readouterr().out)
    with pytest.raises(SparseVQError, match=kernels_driver):
        kind_of_device("cuda")


def test_a_gpu_that_works_is_taken(monkeypatch):
    import torch

    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    monkeypatch.setattr(torch.version, "cuda", "12.8")
    monkeypatch.setattr(torch, "ones", lambda *_sizes, device: torch.zeros(1))
    assert kind_of_device("auto") == kind_of_device("cuda") == "cuda"


def test_jobs_that_share_a_gpu_share_its_memory(monkeypatch):
    """One that needs more than its part fails, and not whoever asks next."""
    import torch

    class Bounded(Exception):
        pass

    def bound(share, gpu):
        raise Bounded(share, gpu)

    monkeypatch.setattr(device, "kind_of_device", lambda wanted, gpu: "cuda")
    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", bound)
    with pytest.raises(Bounded) as asked:
        fabric_for(Lease("cuda", ("0",), "auto", jobs_per_gpu=4), "32-true")
    assert asked.value.args == (pytest.approx(0.95 / 4), 0)


# ------------------------------------------------------------------------------------------------ precision, threads


@pytest.mark.parametrize(("pays", "expected"), [(True, "bf16-mixed"), (False, "32-true")])
def test_auto_precision_is_bf16_where_it_pays(monkeypatch, pays, expected):
    monkeypatch.setattr(device, "bf16_pays", lambda: pays)
    assert resolve_precision("auto", cuda=False) == expected
    assert resolve_precision("32-true", cuda=False) == "32-true"
    assert resolve_precision("bf16-mixed", cuda=False) == "bf16-mixed"


def test_threads_are_those_asked_for_and_no_more():
    code = (
        "from sparsevq.runtime.devices.device import set_threads; set_threads(1)\n"
        "import torch, threading, os\n"
        "a = torch.rand(600, 600)\nfor _ in range(5): a @ a\n"
        "print(torch.get_num_threads(), len(os.listdir('/proc/self/task')))\n"
        "print(*(os.environ[name] for name in ('OMP_WAIT_POLICY', 'GOMP_SPINCOUNT', 'KMP_BLOCKTIME')))"
    )
    own = {name: value for name, value in os.environ.items() if name not in device.WAITING} | {"KMP_BLOCKTIME": "3"}
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=own
    ).stdout.split()
    assert answer[0] == "1"
    assert answer[2:] == ["PASSIVE", "1000", "3"], "what the user has set stays"
    import torch

    before = torch.get_num_threads()
    set_threads(before)
    assert torch.get_num_threads() == before


def test_a_job_on_devices_imports_no_libraries_that_it_does_not_use():
    """They would cost each of the jobs a second."""
    code = (
        "import sys, sparsevq.stage1.train, sparsevq.stage2.train, sparsevq.stage2.dump, sparsevq.stage3.train\n"
        "import sparsevq.forecasting.held_out; from sparsevq.runtime.devices.device import claim_devices, fabric_for\n"
        "fabric_for(claim_devices('cpu'), '32-true')\n"
        "heavy = {'torchmetrics', 'scipy', 'sympy', 'matplotlib', 'pandas', 'xarray', 'mlflow', 'torch._dynamo'}\n"
        "print(*(heavy & set(sys.modules)))"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.split() == []


@pytest.mark.parametrize("first", ["", "import torch._dynamo"])
def test_fabric_knows_compiled_modules_whether_or_not_the_compiler_was_there_before_it(first):
    code = f"""
    {first}
    import sys, torch
    from sparsevq.runtime.devices.fabric import Fabric
    print("torch._dynamo" in sys.modules)
    from lightning_fabric.wrappers import _unwrap_compiled
    plain = torch.nn.Linear(2, 3)
    print(_unwrap_compiled(plain)[0] is plain)
    compiled = torch.compile(plain)
    print(_unwrap_compiled(compiled)[0] is plain)
    model = Fabric(accelerator="cpu").setup(compiled)
    print(isinstance(model._forward_module, torch._dynamo.OptimizedModule))
    """
    ended = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=True)
    assert ended.stdout.split() == [str(bool(first)), "True", "True", "True"]


def test_fabric_that_asks_for_more_of_the_compiler_is_imported_with_it(tmp_path):
    """As a later version may."""
    package = tmp_path / "lightning_fabric"
    for folder in ("plugins/environments", "strategies"):
        (package / folder).mkdir(parents=True)
    (package / "plugins/__init__.py").write_text("")
    (package / "plugins/environments/__init__.py").write_text("LightningEnvironment = 2")
    (package / "strategies/__init__.py").write_text("DDPStrategy = 3")
    (package / "__init__.py").write_text("from torch._dynamo import OptimizedModule, config\nFabric = OptimizedModule")
    code = "import torch, sparsevq.runtime.devices.fabric as f; print(f.Fabric is torch._dynamo.OptimizedModule)"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *filter(None, sys.path)])}
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert ended.stdout.split() == ["True"]


def test_gradients_of_gathered_rows_are_the_same_every_time():
    """A past bug: with two CPU threads no two trainings of the GPT had the same bytes."""
    code = """
    import torch
    from sparsevq.runtime.devices.device import Lease, fabric_for, set_threads
    set_threads(2)
    fabric_for(Lease("cpu", (), "cpu"), "32-true")
    rows = torch.randint(256, (6000,), generator=torch.Generator().manual_seed(0))
    weights = torch.randn(6000, 192, generator=torch.Generator().manual_seed(1))
    table = torch.zeros(256, 192, requires_grad=True)
    found = {torch.autograd.grad((table[rows] * weights).sum(), table)[0].numpy().tobytes() for _ in range(20)}
    print(len(found))
    """
    ended = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=True)
    assert ended.stdout == "1\n"
