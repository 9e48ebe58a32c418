"""Which instruction sets the processor has, as the system tells."""

import pytest
import torch

from sparsevq.runtime.devices import processor


@pytest.mark.parametrize(
    ("cpuinfo", "expected"),
    [
        ("processor\t: 0\nflags\t\t: fpu avx2\nbugs\t\t: spectre\n\nprocessor\t: 1\nflags\t\t: fpu", {"fpu", "avx2"}),
        ("processor\t: 0\nFeatures\t: fp asimd bf16\n", {"fp", "asimd", "bf16"}),
        ("cpu\t\t: POWER9", set()),
    ],
)
def test_they_are_those_of_the_first_processor(monkeypatch, cpuinfo, expected):
    monkeypatch.setattr(processor.Path, "read_text", lambda path: cpuinfo)
    assert processor.instruction_sets() == expected


def test_a_system_without_cpuinfo_names_none(monkeypatch):
    def missing(path):
        raise FileNotFoundError(path)

    monkeypatch.setattr(processor.Path, "read_text", missing)
    assert processor.instruction_sets() == set()


@pytest.mark.parametrize(
    ("has", "speed", "pays"),
    [
        ({"avx512f", "avx512_bf16", "amx_bf16"}, 6.0, True),
        ({"avx512f", "avx512_bf16"}, 2.0, True),
        ({"asimd", "bf16"}, 1.8, True),
        ({"avx512f", "avx512_bf16"}, 0.9, False),  # a library that does not use them
        ({"avx512f", "avx512bw", "avx512_vnni"}, 6.0, False),  # what is not there is not measured
    ],
)
def test_bf16_pays_where_the_processor_has_it_and_it_is_faster(monkeypatch, has, speed, pays):
    monkeypatch.setattr(processor, "instruction_sets", lambda: frozenset(has))
    monkeypatch.setattr(processor, "bf16_speed", lambda: speed)
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: True)
    assert processor.bf16_pays() is pays
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    assert not processor.bf16_pays()


def test_the_speed_of_bf16_is_that_of_the_best_products(monkeypatch):
    """Turns of float32 and bf16, the latter in half the time except where other work is in between."""
    taken = iter([4.0, 2.0, 4.0, 9.0, 5.0, 2.0, 4.0, 2.0, 4.0, 3.0])
    clock = [0.0]

    def perf_counter() -> float:
        clock.append(clock[-1] + (next(taken) if len(clock) % 2 == 0 else 0.0))
        return clock[-1]

    monkeypatch.setattr(processor.time, "perf_counter", perf_counter)
    assert processor.bf16_speed() == 2.0
