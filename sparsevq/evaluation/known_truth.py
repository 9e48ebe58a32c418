"""How wrong a forecast of a user's is, where what came is known."""

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from sparsevq.data.field_data import FieldData
from sparsevq.errors import SparseVQError
from sparsevq.evaluation import metrics
from sparsevq.forecasting.dataset.netcdf import channels_of

Floats = NDArray[np.float64]


def errors_by_lead(forecast: xr.Dataset, truth: NDArray[np.float32], data: FieldData, climatology: Floats) -> Floats:
    """Relative L2 of anomalies, all channels, of the mean of the members at each lead time, (L + 1,).

    Parameters
    ----------
    forecast
        On the data set's grid.
    truth
        ``(L + 1, N, C)`` in physical units from the last observed frame on, NaN where there is no field; of at least as
        many lead times as the forecast has.
    climatology
        ``(N, C)``: the time mean of the training flows, which itself has the error 1.

    Raises
    ------
    SparseVQError
        There are fewer frames of truth.
    """
    leads = forecast.sizes["lead_time"]
    if len(truth) < leads:
        raise SparseVQError(
            f"the forecast has {leads} lead times, but {len(truth)} are known", f"forecast {len(truth) - 1} frames"
        )
    mean = np.stack([forecast[name].mean("member").to_numpy() for name in channels_of(forecast)], axis=-1)
    mean = mean.reshape(leads, data.num_points, -1)
    valid = np.isfinite(mean).all(axis=(0, 2)) & np.isfinite(truth).all(axis=(0, 2))
    scale = data.joint_scale
    forecasts, true, usual = (values[..., valid, :] / scale for values in (mean, truth[:leads], climatology))
    found: Floats = metrics.relative_l2_anomalies(forecasts, true, usual, data.weights[valid])[:, -1]
    return found
