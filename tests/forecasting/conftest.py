"""A run as the workflow lays it out: its data set is two folders above."""

import pytest

from tests.forecasting.runs import Run, small_run


@pytest.fixture(scope="session")
def run(tmp_path_factory) -> Run:
    return small_run(tmp_path_factory.mktemp("results"))
