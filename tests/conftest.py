"""Fixtures that tests of several rooms share."""

import os
import sys

import pytest

THREADS = int(os.environ.get("OMP_NUM_THREADS") or len(os.sched_getaffinity(0)))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    """Each test, and each fixture, has all threads: a command that ran in this process has set them for itself.

    The last digits of a sum depend on their number, so files that must have the same bytes would differ.
    """
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(THREADS)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """What SPARSEVQ_REQUIRE names (slurm,openfoam) must not be skipped for want of it: its skips are failures."""
    report = yield
    required = [name for name in os.environ.get("SPARSEVQ_REQUIRE", "").lower().split(",") if name]
    if report.skipped and isinstance(report.longrepr, tuple):
        reason = report.longrepr[2]
        if any(name in reason.lower() for name in required):
            report.outcome = "failed"
            report.longrepr = f"{item.nodeid} must not be skipped (SPARSEVQ_REQUIRE): {reason}"
    return report


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """A run of all stages on a small flow (`tests.chain`); tests only read it."""
    from tests.chain import make_chain  # imports torch, which takes seconds

    return make_chain(tmp_path_factory.mktemp("chain"))


@pytest.fixture(scope="session")
def guessing(tmp_path_factory):
    """The same on POD coefficients, with a GPT that has a first guess; tests only read it."""
    from tests.chain import make_modal_chain

    return make_modal_chain(tmp_path_factory.mktemp("guessing"), trajectories=7)


@pytest.fixture(scope="session")
def modal_run(tmp_path_factory):
    """A run on modes as the workflow lays it out (`tests.forecasting.runs`); tests only read it."""
    from tests.forecasting.runs import small_modal_run

    return small_modal_run(tmp_path_factory.mktemp("modal_results"))


@pytest.fixture
def unchecked_origins(monkeypatch):
    """Models may be used with data that they were not trained on, which is a fault elsewhere."""
    monkeypatch.setattr("sparsevq.runs.run.require_made_from", lambda *arguments: None)
