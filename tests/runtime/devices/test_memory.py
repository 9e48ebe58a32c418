"""What fits where, and copies that nothing waits for. The device that is not the host is torch's `meta`, from which
nothing can come back."""

from types import SimpleNamespace

import pytest
import torch

from sparsevq.runtime.devices import memory
from sparsevq.runtime.devices.memory import fits, free_on, generator_on, sent, taken, total_of

CPU, GPU, ELSEWHERE = torch.device("cpu"), torch.device("cuda", 0), torch.device("meta")
GB = 10**9


@pytest.fixture
def gpu(monkeypatch):
    """80 GB, of which others hold 20 and torch 10, 4 of them in use; a process may take all."""
    about = SimpleNamespace(total=80 * GB, free=50 * GB, reserved=10 * GB, allocated=4 * GB, share=1.0)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (about.free, about.total))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: about.reserved)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: about.allocated)
    monkeypatch.setattr(torch.cuda, "get_per_process_memory_fraction", lambda device: about.share)
    properties = SimpleNamespace(total_memory=about.total)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: properties)
    return about


def test_half_of_what_a_gpu_has_free_may_be_taken(gpu):
    assert free_on(GPU) == 56 * GB
    assert fits(28 * GB, GPU)
    assert not fits(28 * GB + 1, GPU)
    assert fits(10**15, CPU), "on the CPU data are where they are"


def test_of_a_gpu_that_several_jobs_share_each_takes_its_part(gpu):
    gpu.share = 0.25
    assert free_on(GPU) == 16 * GB
    assert total_of(GPU) == 20 * GB


def test_what_there_is_in_all_does_not_depend_on_other_jobs(gpu):
    before = total_of(GPU)
    gpu.free = gpu.reserved = 0
    assert total_of(GPU) == before == 80 * GB


@pytest.mark.parametrize(
    ("membership", "limits", "expected"),
    [
        ("0::/slurm/job/step\n", {"slurm/job/memory.max": "3000", "slurm/job/step/memory.max": "max"}, 3000),
        ("0::/\n", {"memory.max": "5000"}, 5000),  # a container
        ("4:cpu:/a\n7:memory:/a/b\n", {"memory/a/memory.limit_in_bytes": "4000"}, 4000),
        ("0::/x\n", {}, None),
        ("", {}, None),
    ],
)
def test_a_job_has_the_memory_that_its_control_group_has(tmp_path, monkeypatch, membership, limits, expected):
    (tmp_path / "membership").write_text(membership)
    for name, limit in limits.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(limit + "\n")
    whole = total_of(CPU)
    monkeypatch.setattr(memory, "_CGROUPS", tmp_path)
    monkeypatch.setattr(memory, "_MEMBERSHIP", tmp_path / "membership")
    assert total_of(CPU) == expected or (expected is None and total_of(CPU) >= whole)


@pytest.mark.parametrize("kind", [torch.float32, torch.float16, torch.int64])
def test_rows_are_taken_where_they_are_and_sent(kind):
    rows, index = torch.arange(60).view(10, 3, 2).to(kind), torch.tensor([[7, 0, 7], [1, 2, 9]])
    assert torch.equal(taken(rows, index, CPU), rows[index])
    there = taken(rows, index, ELSEWHERE)
    assert (there.device, there.shape, there.dtype) == (ELSEWHERE, (2, 3, 3, 2), kind)
    assert taken(rows.to(ELSEWHERE), index, ELSEWHERE).shape == (2, 3, 3, 2)


def test_what_is_on_its_device_is_not_copied():
    tensor = torch.zeros(3)
    assert sent(tensor, CPU) is tensor


def test_on_the_cpu_large_draws_take_from_the_one_generator():
    generator = torch.Generator().manual_seed(0)
    assert generator_on(CPU, generator) is generator
