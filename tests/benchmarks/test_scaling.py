"""The formulas of what rules need are right where they can be counted: the bytes of what is written."""

import contextlib
from dataclasses import replace

import pytest
import scaling

from sparsevq.config import load
from sparsevq.runs.run import FILES
from tests.benchmarks.test_benchmarks import REPOSITORY


def test_what_rules_write_is_what_the_formulas_say(tmp_path, capsys):
    sizes = replace(scaling.SMALL, grid=(12, 12, 12), modes=20, examples=30)
    ended = []

    @contextlib.contextmanager
    def rule(name):
        yield
        ended.append(name)

    scaling.run_rules(tmp_path, sizes, rule)
    expected = scaling.costs(sizes)
    assert set(ended) == set(expected)
    files = {"preprocess": "data", "basis": "basis", "forecast": "forecast", "baselines": "baselines"}
    for name, file in files.items():
        assert (tmp_path / FILES[file]).stat().st_size == pytest.approx(expected[name].written, rel=0.1), name


def test_a_large_data_set_is_mapped_and_counted_so():
    sizes = scaling.Sizes.of(load(REPOSITORY / "config/benchmarks.yaml"), grid=(64,) * 3, channels=2, trajectories=200)
    twice = replace(sizes, trajectories=400)
    assert sizes.data > 2**32, "its fields are not read whole"
    assert twice.loaded - sizes.loaded == 200 * 64**3, "but there is a mask of every trajectory"
    assert sizes.cases == sizes.test * 3 and sizes.leads == 21


def test_the_largest_grid_is_one_that_fits_and_the_next_does_not(capsys):
    base, limits = scaling.targets()[scaling.LIMITED], scaling.largest()
    for rule, found in limits.items():
        side, most = found["64 GB, no GPU"], 64e9
        assert scaling.costs(replace(base, grid=(side,) * 3))[rule].memory <= most
        assert scaling.costs(replace(base, grid=(side + 1,) * 3))[rule].memory > most
