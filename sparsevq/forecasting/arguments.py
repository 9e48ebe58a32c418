"""What a user asks of a forecast in numbers, checked."""

import math
from typing import Any

import numpy as np

from sparsevq.errors import SparseVQError
from sparsevq.forecasting.model import Asked

MOST_SEEDS = 2**63
"""Seeds are below."""


def asked_of(frames: Any, members: Any, seed: Any, temperature: Any, top_k: Any, network: float) -> Asked:
    """The numbers of a forecast, as of `Forecaster.forecast`; `network` is as of `Asked`.

    Raises
    ------
    SparseVQError
        One of them is no number of its kind, or too small or large.
    """
    for name, value, least, do in (
        ("frames", frames, 1, "forecast at least one frame"),
        ("members", members, 1, "draw at least one member"),
        ("seed", seed, 0, "give 0 or more"),
        ("top_k", top_k, 0, "give 0 or more"),
    ):
        if not isinstance(value, int | np.integer) or isinstance(value, bool):
            raise SparseVQError(f"{name}={value!r} is not allowed", "give a whole number")
        if value < least:
            raise SparseVQError(f"{name}={value} is not allowed", do)
    if seed >= MOST_SEEDS:
        raise SparseVQError(f"seed={seed} is not allowed", f"give less than {MOST_SEEDS}")
    if not isinstance(temperature, int | float | np.number) or not (math.isfinite(temperature) and temperature >= 0):
        raise SparseVQError(f"temperature={temperature!r} is not allowed", "give a number of 0 or more")
    return Asked(int(frames), int(members), float(temperature), int(top_k), int(seed), network)
