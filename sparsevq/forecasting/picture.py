"""A picture of a forecast: mean and spread of the ensemble at several lead times, with the sensors."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from sparsevq.runtime.files import written_whole

MOST_COLUMNS = 5
MOST_CHANNELS = 3
DOTS = 700.0
"""Area of a scattered point's dot times the root of their number: they nearly touch."""


def draw_forecast(path: str | Path, forecast: xr.Dataset) -> None:
    """Write a PNG.

    Two axes: pictures; one: lines with a band of one standard deviation; three: the middle plane of the axis that is
    not shown, with the vertical axis ``z`` upwards where there is one. Scattered points: a dot each, seen along the
    first axis if there are three.

    Parameters
    ----------
    path
        The file; it appears whole or not at all.
    forecast
        What `sparsevq.Forecaster.forecast` gave.

    Raises
    ------
    SparseVQError
        The folder can't be written, or the disk is full.
    """
    shown, plane = _in_two_axes(forecast)
    columns = np.unique(np.linspace(0, shown.sizes["lead_time"] - 1, MOST_COLUMNS).round().astype(int))
    channels = list(shown.data_vars)[:MOST_CHANNELS]
    flat = len(_axes(shown)) > 1
    spread = flat and shown.sizes["member"] > 1
    rows = [(channel, what) for channel in channels for what in ("mean", "spread")[: 1 + spread]]
    figure = Figure(figsize=(1 + 2.1 * len(columns), 0.6 + 1.9 * len(rows)), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(len(rows), len(columns), squeeze=False, sharex=True, sharey="row")
    for panel, (channel, what) in zip(panels, rows, strict=True):
        (_picture_row if flat else _line_row)(figure, panel, shown, str(channel), what, columns)
    for panel, lead in zip(panels[0], columns, strict=True):
        unit = _unit(forecast["lead_time"])
        panel.set_title(f"lead {lead + 1}: {forecast['lead_time'].values[lead]:.3g} {unit}".rstrip())
    figure.suptitle(f"{forecast.attrs['title']}, {forecast.sizes['member']} members{plane}", fontsize=10)
    with written_whole(path) as part:
        figure.savefig(part, format="png", dpi=130, metadata={"Software": None})


def _picture_row(
    figure: Figure,
    panels: npt.NDArray[np.object_],
    shown: xr.Dataset,
    channel: str,
    what: str,
    columns: npt.NDArray[np.int_],
) -> None:
    values = shown[channel].mean("member") if what == "mean" else shown[channel].std("member", ddof=1)
    values = values.isel(lead_time=columns)
    low, high = float(values.min()), float(values.max())
    signed = what == "mean" and low < -0.2 * high and high > 0
    bound = max(abs(low), abs(high))
    limits = (-bound, bound) if signed else (low if what == "mean" else 0.0, high)
    across, along = _axes(shown)
    style = {
        "cmap": "RdBu_r" if signed else ("cividis" if what == "mean" else "magma"),
        "vmin": limits[0],
        "vmax": limits[1],
    }
    image = None
    for index, panel in enumerate(panels):
        frame = values.isel(lead_time=index)
        if "point" in shown.dims:
            image = panel.scatter(shown[along], shown[across], c=frame, s=DOTS / np.sqrt(frame.size), lw=0, **style)
        else:
            image = panel.pcolormesh(shown[along], shown[across], frame, shading="nearest", **style)
        panel.plot(
            shown[f"sensor_{along}"],
            shown[f"sensor_{across}"],
            "o",
            ms=3,
            mfc="none",
            mec="k" if what == "mean" else "w",
        )
        if shown[along].attrs["units"] == shown[across].attrs["units"]:
            panel.set_aspect("equal")
        if panel.get_subplotspec().is_last_row():
            panel.set_xlabel(_with_unit(along, shown[along]))
    panels[0].set_ylabel(_with_unit(across, shown[across]))
    assert image is not None, "there is at least one lead time"
    label = f"{what} of {channel}"
    figure.colorbar(
        image, ax=list(panels), label=_with_unit(label, shown[channel]), aspect=12
    ).ax.yaxis.label.set_fontsize(7)


def _line_row(
    figure: Figure,
    panels: npt.NDArray[np.object_],
    shown: xr.Dataset,
    channel: str,
    what: str,
    columns: npt.NDArray[np.int_],
) -> None:
    (along,) = _axes(shown)
    shown = shown.sortby(along)  # scattered points come in any order
    for lead, panel in zip(columns, panels, strict=True):
        members = shown[channel].isel(lead_time=int(lead))
        mean, spread = members.mean("member"), members.std("member")
        panel.plot(shown[along], mean)
        panel.fill_between(shown[along], mean - spread, mean + spread, alpha=0.3)
        _mark(panel, shown[f"sensor_{along}"].to_numpy())
        panel.set_xlabel(_with_unit(along, shown[along]))
    panels[0].set_ylabel(_with_unit(f"{channel}: mean and one standard deviation", shown[channel]))


def _mark(panel: Axes, places: npt.NDArray[np.float64]) -> None:
    panel.plot(places, np.zeros_like(places), "k|", transform=panel.get_xaxis_transform(), ms=8)


def _axes(shown: xr.Dataset) -> list[str]:
    """Vertical, then horizontal."""
    if "point" in shown.dims:
        return [str(name) for name, values in shown.coords.items() if values.dims == ("point",)][-2:]
    variable = next(iter(shown.data_vars.values()))
    return [str(name) for name in variable.dims if name not in ("member", "lead_time")]


def _in_two_axes(forecast: xr.Dataset) -> tuple[xr.Dataset, str]:
    """The middle plane of a field in space, and which it is."""
    axes = _axes(forecast)
    if len(axes) < 3:
        return forecast, ""
    hidden = axes[1] if axes[0] == "z" else axes[0]  # what rises is seen from the side
    middle = forecast.sizes[hidden] // 2
    at = float(forecast[hidden].values[middle])
    return forecast.isel({hidden: middle}), f"; plane {hidden} = {at:.3g}, all sensors"


def _unit(of: xr.DataArray) -> str:
    """The unit, as the data set calls it; empty for a plain number."""
    unit = of.attrs.get("units", "1")
    return str(of.attrs.get("long_name", "").partition("in units of ")[2] or ("" if unit == "1" else unit))


def _with_unit(name: str, of: xr.DataArray) -> str:
    return f"{name} ({_unit(of)})" if _unit(of) else name
