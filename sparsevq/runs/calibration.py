"""The layout of a run's calibration: what makes its ensembles as uncertain as they are wrong."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sparsevq.errors import SparseVQError
from sparsevq.runtime.hdf5 import open_layout, read_dataset, read_made_from

SCHEMA = "sparsevq-calibration"
VERSION = 1

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Calibration:
    """How ensembles are drawn, and how far members are moved from their mean.

    Attributes
    ----------
    temperature
        Of the draws.
    network
        Weight of what the GPT's network adds to its first guess.
    observed
        ``(n,)`` numbers of observed frames that there are factors for, increasing.
    factors
        ``(n, L + 1, C)``: what the distance of members from their mean is multiplied by, at each lead time.
    """

    temperature: float
    network: float
    observed: npt.NDArray[np.int64]
    factors: FloatArray

    def factor(self, observed: int, leads: int) -> FloatArray:
        """``(leads, C)`` for forecasts from so many observed frames: of the next smaller number that there is.

        Lead times past the last have its factor.
        """
        row = max(int(np.searchsorted(self.observed, observed, side="right")) - 1, 0)
        known = self.factors[row, :leads]
        further = np.repeat(self.factors[row, -1:], max(leads - len(known), 0), axis=0)
        found: FloatArray = np.concatenate([known, further])
        return found


def read_calibration(path: Path, channels: int) -> tuple[Calibration, dict[str, str]]:
    """Read `calibration.h5`, and the digests of what it was made from.

    Raises
    ------
    SparseVQError
        The file is missing, damaged or of another schema, or a number in it is not allowed.
    """
    with open_layout(path, SCHEMA, VERSION) as file:
        observed = read_dataset(file, "observed_frames", (None,)).astype(np.int64)
        factors = read_dataset(file, "factors", (len(observed), None, channels)).astype(np.float64)
        temperature = float(read_dataset(file, "temperature", ()))
        network = float(read_dataset(file, "network", ()))
        made_from = read_made_from(file)
    if not (
        np.isfinite(factors).all() and (factors > 0).all() and temperature >= 0 and 0 <= network <= 1 and len(observed)
    ):
        raise SparseVQError(f"{path}: factors and temperature must be finite and positive", "calibrate the run again")
    return Calibration(temperature, network, observed, factors), made_from
