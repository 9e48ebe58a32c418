"""Known parameters of the trajectory to forecast, such as the speed of an inflow."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from sparsevq.data.field_data import Description
from sparsevq.errors import SparseVQError


def check_parameters(given: Any, data: Description, needed: tuple[str, ...]) -> dict[str, float]:
    """The parameters that a model needs, in its order.

    Parameters
    ----------
    given
        Name -> value, in the data set's unit.
    data
        What the model was trained on; its trajectories have `data.parameters`.
    needed
        Names of the parameters that the model takes.

    Raises
    ------
    SparseVQError
        A parameter is unknown, not taken by the model, missing, or no finite number.
    """
    if not isinstance(given, Mapping):
        raise SparseVQError(f"parameters={given!r} is not allowed", 'give names and values, such as {"speed": 1.5}')
    for name, value in given.items():
        if name not in data.parameters:
            known = (
                f"known are {', '.join(sorted(data.parameters))}" if data.parameters else "its trajectories have none"
            )
            raise SparseVQError(f"the data set has no parameter {name!r}", known)
        if name not in needed:
            takes = f"it takes {', '.join(needed)}" if needed else "it takes none"
            raise SparseVQError(f"the model was not trained with the parameter {name!r}", f"leave it out: {takes}")
        if not isinstance(value, int | float | np.number) or not math.isfinite(value):
            raise SparseVQError(f"parameter {name}={value} is not allowed", "give a finite number")
    if missing := [name for name in needed if name not in given]:
        units = ", ".join(f"{name} ({data.parameter_units.get(name) or 'no unit'})" for name in missing)
        raise SparseVQError(f"the model needs the trajectory's {units}", f"give {', '.join(missing)}")
    return {name: float(given[name]) for name in needed}
