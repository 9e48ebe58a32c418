"""A run as the workflow lays it out, with a small flow: each test only reads it."""

from pathlib import Path

import pytest

from tests.chain import make_modal_chain


@pytest.fixture(scope="session")
def trained_run(tmp_path_factory) -> Path:
    """On modes, with a first guess; its data set is two folders above."""
    folder = tmp_path_factory.mktemp("results") / "try/waves/n6/seed1"
    chain = make_modal_chain(folder)
    chain.data_path.rename(folder.parent.parent / "data.h5")
    return folder
