"""A forecast as a tidy table: a row for each lead time and place, mean and spread of each channel."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr

from sparsevq.data.field_data import FieldData
from sparsevq.errors import SparseVQError
from sparsevq.forecasting.dataset.lead_times import lead_times
from sparsevq.forecasting.dataset.netcdf import channels_of

MOST_ROWS = 500_000
"""Of a table: as JSON, some 80 MB."""


@dataclass(frozen=True)
class Wanted:
    """Which rows and columns of a table are asked for.

    Attributes
    ----------
    leads
        Numbers of the lead times, from 0 on.
    each_member
        A row for each member, with its values instead of these.
    """

    leads: npt.NDArray[np.int64]
    each_member: bool = False

    @classmethod
    def of(cls, params: Mapping[str, Any], data: FieldData) -> Self:
        """By the parameters of a request (`sparsevq.serving.signature`).

        Raises
        ------
        SparseVQError
            There is no such lead time, or the table would be very large.
        """
        frames, members = int(params.get("frames", 20)), int(params.get("members", 16))
        leads = _leads(params.get("lead_times", ()), lead_times(data, max(frames, 1)), data.time_units)
        each_member = bool(params.get("each_member", False))
        asked = max(len(params.get(f"points_{axis}") or ()) for axis in data.axes)
        rows = len(leads) * (asked or data.num_points) * (max(members, 1) if each_member else 1)
        if rows > MOST_ROWS:
            raise SparseVQError(
                f"the table would have {rows:,} rows, more than {MOST_ROWS:,}",
                f"ask for places ({', '.join(f'points_{axis}' for axis in data.axes)}) or for fewer lead_times",
            )
        return cls(leads, each_member)


def _leads(given: Any, known: npt.NDArray[np.float64], units: str) -> npt.NDArray[np.int64]:
    if not len(given):
        return np.arange(len(known))
    found = []
    for wanted in given:
        number = int(np.abs(known - wanted).argmin())
        if not np.isclose(known[number], wanted, rtol=1e-6, atol=1e-9):
            shown = ", ".join(f"{time:g}" for time in known[:4])
            raise SparseVQError(
                f"lead_times: there is none of {wanted:g} {units}".rstrip(), f"give some of {shown} ... {known[-1]:g}"
            )
        found.append(number)
    return np.unique(found)


def as_table(forecast: xr.Dataset, wanted: Wanted) -> pd.DataFrame:
    """The rows of a forecast that are wanted.

    Returns
    -------
    Columns ``lead_time``, where dates are known ``valid_time`` (ISO 8601), a coordinate for each axis, and for each
    channel ``<channel>_mean``, ``<channel>_std`` (of the members; one has 0) and ``<channel>_q<quantile>``, in the
    units of the data set; or ``member`` and ``<channel>``. Rows are in the order of time; a place where no trajectory
    for training has a field has none.
    """
    forecast = forecast.isel(lead_time=wanted.leads)
    channels = channels_of(forecast)
    fields = {name: _flat(forecast[name]) for name in channels}  # (M, L, P)
    places = _places(forecast[channels[0]])
    there = ~np.isnan(np.stack([values[0, 0] for values in fields.values()])).all(axis=0)
    fields = {name: values[..., there] for name, values in fields.items()}
    places = {axis: at[there] for axis, at in places.items()}
    members, leads, points = next(iter(fields.values())).shape
    repeated = members if wanted.each_member else 1
    table: dict[str, Any] = {}
    if wanted.each_member:
        table["member"] = np.repeat(np.arange(members), leads * points)
    times = {"lead_time": forecast["lead_time"].to_numpy()}
    if "valid_time" in forecast:
        times["valid_time"] = np.array([_iso(time) for time in forecast["valid_time"].to_numpy()], dtype=object)
    table |= {name: np.tile(np.repeat(at, points), repeated) for name, at in times.items()}
    table |= {axis: np.tile(at, repeated * leads) for axis, at in places.items()}
    for name, values in fields.items():
        if wanted.each_member:
            table[name] = values.ravel()
            continue
        table[f"{name}_mean"] = values.mean(axis=0).ravel()
        table[f"{name}_std"] = values.std(axis=0, ddof=int(members > 1)).ravel()
        if "quantile" in forecast:
            for quantile, at in zip(forecast["quantile"].to_numpy(), _flat(forecast[f"{name}_quantile"]), strict=True):
                table[f"{name}_q{quantile:g}"] = at[:, there].ravel()
    return pd.DataFrame(table)


def _flat(field: xr.DataArray) -> npt.NDArray[np.float32]:
    """(..., lead time, *space) -> (..., lead time, P)."""
    values = field.to_numpy()
    return values.reshape(*values.shape[:2], -1)


def _places(field: xr.DataArray) -> dict[str, npt.NDArray[np.float64]]:
    """Axis -> its coordinate at each place (P,), in the order of the field's values."""
    space = field.dims[2:]
    if space == ("point",):
        axes = [name for name, at in field.coords.items() if at.dims == ("point",) and name != "point"]
        return {str(axis): field[axis].to_numpy() for axis in axes}
    at = np.meshgrid(*(field[axis].to_numpy() for axis in space), indexing="ij")
    return {str(axis): values.ravel() for axis, values in zip(space, at, strict=True)}


def _iso(time: Any) -> str:
    """A date of any calendar."""
    return time.isoformat() if hasattr(time, "isoformat") else str(np.datetime_as_string(time, unit="s"))
