"""Parameters of trajectories as numbers."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from sparsevq.data.field_data import FieldData
from sparsevq.errors import SparseVQError


def known_parameters(data: FieldData, names: Sequence[str]) -> npt.NDArray[np.float64]:
    """``(T, k)``: these parameters of every trajectory, in the data set's units.

    Raises
    ------
    SparseVQError
        A parameter is unknown or no finite number, or all training trajectories have the same value of it.
    """
    numbers = [name for name in sorted(data.parameters) if np.issubdtype(data.parameters[name].dtype, np.number)]
    known = f"its trajectories have {', '.join(numbers) if numbers else 'no number as a parameter'}"
    training = data.trajectories("train")
    for name in names:
        if name not in numbers:
            what = "is not a number" if name in data.parameters else "is not known"
            raise SparseVQError(f"{data.name}: parameter {name!r} {what}", known)
        values = data.parameters[name]
        if not np.isfinite(values).all():
            which = int(np.flatnonzero(~np.isfinite(values))[0])
            raise SparseVQError(f"{data.name}: parameter {name!r} of trajectory {which} is {values[which]}", known)
        if np.ptp(values[training]) == 0:
            raise SparseVQError(
                f"{data.name}: parameter {name!r} is {values[training][0]:.6g} in all training trajectories",
                "leave it out: it tells nothing",
            )
    columns = [np.asarray(data.parameters[name], dtype=np.float64) for name in names]
    return np.stack(columns, axis=-1) if columns else np.zeros((len(data.split), 0))
