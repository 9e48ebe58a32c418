"""Pages of small results with known errors, and the same pages open in Chromium."""

import pytest

from sparsevq.explore.page import write_page
from sparsevq.explore.result import result_page
from tests.browser import browser
from tests.evaluation.conftest import make_experiment
from tests.evaluation.test_scores import run as score
from tests.flows import on_a_sphere, scattered_waves, travelling_waves

FLOWS = {
    "line": lambda: travelling_waves(trajectories=12, frames=16, grid=(40,)),
    "plane": lambda: travelling_waves(trajectories=12, frames=16, grid=(16, 20)),
    "space": lambda: travelling_waves(trajectories=12, frames=16, grid=(8, 10, 12)),
    "sphere": lambda: on_a_sphere(trajectories=12, frames=16),
    "dots": lambda: scattered_waves(trajectories=12, frames=16),
    "cloud": lambda: scattered_waves(trajectories=12, frames=16, dimensions=3),
}
"""One of each geometry."""


def make_result(folder, geometry):
    """A scored experiment on a flow of `FLOWS`, and what its page shows."""
    experiment = make_experiment(folder, data=FLOWS[geometry]())
    score(experiment)
    return experiment, result_page(experiment.run(), folder / "scores")


@pytest.fixture(scope="session")
def pages(tmp_path_factory):
    """Geometry -> a page, made when it is first asked for."""
    found = {}

    def page(geometry):
        if geometry not in found:
            folder = tmp_path_factory.mktemp(geometry)
            found[geometry] = write_page(folder / "explore.html", make_result(folder, geometry)[1])
        return found[geometry]

    return page


@pytest.fixture(scope="session")
def chromium():
    """One browser for all pages."""
    with browser() as opened:
        yield opened
