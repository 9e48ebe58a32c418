"""Which instruction sets the processor has, as the system tells."""

import pytest

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
