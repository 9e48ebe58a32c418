"""What of a forecast is wanted: where, which quantiles, and whether it is computed now or when it is used."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np

from sparsevq.data.field_data import FieldData
from sparsevq.errors import SparseVQError
from sparsevq.forecasting.points import Points, read_points

Chunks = Literal["auto"] | Mapping[str, int] | None


@dataclass(frozen=True)
class Wanted:
    """What of a forecast is wanted, checked.

    Attributes
    ----------
    points
        Where; None: on the data set's grid.
    quantiles
        Of the members, each in 0 ... 1.
    chunks
        Block sizes by dimension of what is computed when it is used; None: all now; ``auto``: by its size.
    """

    points: Points | None = None
    quantiles: tuple[float, ...] = ()
    chunks: Chunks = "auto"

    @classmethod
    def of(cls, data: FieldData, points: Any, quantiles: Sequence[float] | float | None, chunks: Any) -> Self:
        """Of the arguments of `Forecaster.forecast`.

        Raises
        ------
        SparseVQError
            One of them is faulty.
        """
        shown = _quantiles(quantiles)
        space = ("point",) if points is not None or data.scattered else tuple(data.axes)
        _check_chunks(chunks, ("lead_time", *space))
        return cls(None if points is None else read_points(points, data), shown, chunks)


def _quantiles(given: Sequence[float] | float | None) -> tuple[float, ...]:
    if given is None:
        return ()
    try:
        found = tuple(np.atleast_1d(np.asarray(given, dtype=np.float64)).ravel().tolist())
    except (TypeError, ValueError):
        found = (np.nan,)
    if not all(0 <= each <= 1 for each in found):
        raise SparseVQError(f"quantiles={given} is not allowed", "give numbers from 0 to 1, such as 0.05, 0.5, 0.95")
    if len(set(found)) < len(found):
        raise SparseVQError(f"quantiles={given} has one of them twice", "give each once")
    return found


def _check_chunks(chunks: Any, known: tuple[str, ...]) -> None:
    do = f'give None, "auto" or sizes of blocks, such as {{"lead_time": 1}}; there are {", ".join(known)}'
    if chunks is None or chunks == "auto":
        return
    if not isinstance(chunks, Mapping):
        raise SparseVQError(f"chunks={chunks!r} is not allowed", do)
    for name, size in chunks.items():
        if name == "member":
            raise SparseVQError(f"chunks={dict(chunks)}: members are computed together: they have a mean", do)
        if name not in known:
            raise SparseVQError(f"chunks={dict(chunks)}: there is no dimension {name!r}", do)
        if isinstance(size, bool) or not isinstance(size, int | np.integer) or size < 1:
            raise SparseVQError(f"chunks={dict(chunks)}: {name} is no size of a block", do)
