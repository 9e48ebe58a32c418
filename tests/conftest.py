"""Fixtures that tests of several rooms share."""

import pytest


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """A run of all stages on a small flow (`tests.chain`); tests only read it."""
    from tests.chain import make_chain  # imports torch, which takes seconds

    return make_chain(tmp_path_factory.mktemp("chain"))
