"""What the numbers of lead times in tables are in time."""

from pathlib import Path

import numpy as np

from sparsevq.data.lead_units import lead_unit
from sparsevq.forecasting.cases import SCHEMA, VERSION
from sparsevq.runtime.hdf5 import open_layout, read_dataset


def leads_in_time(forecast: Path) -> str:
    """A sentence about the leads of ``forecast.h5``: the first and the last; empty where time has no unit.

    Raises
    ------
    SparseVQError
        The file can't be read.
    """
    with open_layout(forecast, SCHEMA, VERSION, checked=False) as file:  # whoever scored it has checked it
        times = read_dataset(file, "lead_time", (None,)).astype(np.float64).tolist()
        unit = lead_unit(times, str(file["lead_time"].attrs.get("units", "")))
    if not unit.name:
        return ""
    later = f", lead {len(times)} is {unit.text(times[-1])}" if len(times) > 1 else ""
    return f"Lead 1 is {unit.text(times[0])}{later} after the last observed frame."
