"""What pictures of a forecast show: mean and spread of its first channels, where its sensors are and what they read."""

import textwrap
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr
from matplotlib.artist import Artist
from matplotlib.axes import Axes

from sparsevq.data.lead_units import lead_unit
from sparsevq.forecasting.dataset.netcdf import channels_of
from sparsevq.plotting.painter import FieldPainter, std_colours, value_colours
from sparsevq.plotting.style import channel_label, with_unit
from sparsevq.plotting.viewer import FieldViewer, most_varied

MOST_CHANNELS = 3
OF_DAYS = ("day", "month", "year")
"""Units of lead times whose dates are told without the time of day."""
LETTER = 0.07
"""Inches of a letter of a label."""

Array = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class Quantity:
    """One quantity of a channel in a row of panels.

    Attributes
    ----------
    channel
        Name of the channel.
    painter
        How it is drawn.
    shown
        ``(L, ...)`` at the leads, as the viewer shows it.
    bands
        ``(L, 2, n)`` from below to above it, of lines; None: there is none.
    values
        Whether it is in the unit and on the scale of the readings.
    """

    channel: str
    painter: FieldPainter
    shown: Array
    bands: Array | None = None
    values: bool = True


class PicturedForecast:
    """The fields of a forecast at some lead times, as they are drawn.

    Parameters
    ----------
    forecast
        What `sparsevq.Forecaster.forecast` gave.
    leads
        Indices of the lead times.
    width
        Of a panel, as in `FieldViewer.panel_size`.
    """

    def __init__(self, forecast: xr.Dataset, leads: Sequence[int], width: float):
        self.forecast, self.leads = forecast, list(leads)
        self.channels = channels_of(forecast)[:MOST_CHANNELS]
        fields = forecast[list(self.channels)].isel(lead_time=self.leads)
        members = forecast.sizes["member"]
        with warnings.catch_warnings():  # of points without a field, in the threads of dask
            warnings.simplefilter("ignore", RuntimeWarning)
            moments = xr.Dataset(
                {("mean", name): field.mean("member") for name, field in fields.items()}
                | {("std", name): field.std("member", ddof=int(members > 1)) for name, field in fields.items()}
            ).compute()  # of a forecast that is computed in parts all in one pass
        flat = {key: field.to_numpy().reshape(len(self.leads), -1) for key, field in moments.items()}
        means = np.stack([flat["mean", name] for name in self.channels], axis=-1)  # (L, N, C)
        self.viewer = _viewer(forecast, means)
        self.size = self.viewer.panel_size(width)
        self.rows = [
            quantity
            for name in self.channels
            for quantity in self._quantities(name, flat["mean", name], flat["std", name], members)
        ]

    def _quantities(self, channel: str, mean: Array, std: Array, members: int) -> list[Quantity]:
        viewer, about = self.viewer, self.forecast[channel]
        mean, std = viewer.shown(mean), viewer.shown(std)
        name, unit = channel_label(channel, about.attrs), unit_of(about)
        if viewer.is_line:
            bands = np.stack([mean - std, mean + std], axis=1)
            label = with_unit(f"{name}: mean and std" if members > 1 else name, unit)
            label = "\n".join(textwrap.wrap(label, self.letters, break_long_words=False))
            painter = FieldPainter(viewer, label, value_colours(bands), self.size)
            return [Quantity(channel, painter, mean, bands if members > 1 else None)]
        painter = FieldPainter(viewer, with_unit(f"mean of {name}", unit), value_colours(mean), self.size)
        found = [Quantity(channel, painter, mean)]
        if members > 1:
            painter = FieldPainter(viewer, with_unit(f"spread of {name}", unit), std_colours(std), self.size)
            found.append(Quantity(channel, painter, std, values=False))
        return found

    @property
    def letters(self) -> int:
        """Letters of a label that fit along the height of a panel."""
        return max(8, int(self.size[1] / LETTER))

    @property
    def title(self) -> str:
        """Which forecast this is, for people."""
        members = self.forecast.sizes["member"]
        said = [f"{self.forecast.attrs['title']}, {members} member{'s' * (members > 1)}"]
        left_out = len(channels_of(self.forecast)) - len(self.channels)
        if left_out:
            said.append(f"{left_out} more channel{'s' * (left_out > 1)}")
        if self.viewer.part:
            said.append(f"{self.viewer.part}, all sensors")
        return "; ".join(said)

    @cached_property
    def lead_titles(self) -> list[str]:
        """Of each lead its number and time, and the date where it is known."""
        return lead_titles(self.forecast, self.leads)

    def sensors(self, axes: Axes, quantity: Quantity, row: int) -> Artist | None:
        """Mark the sensors that read a channel, at the first of the leads by what they read; None: there are none.

        In space they are seen along the axis that the picture leaves out, so that their readings are not compared.
        """
        places = np.stack([self.forecast[f"sensor_{axis}"].to_numpy() for axis in self.viewer.axes], axis=-1)
        readings = self.forecast[f"{quantity.channel}_reading"].to_numpy()  # (observed frame, sensor)
        reads = np.isfinite(readings).any(axis=0)
        if not reads.any():
            return None
        last = readings[-1, reads]
        compared = self.leads[row] == 0 and quantity.values and self.viewer.across is None and np.isfinite(last).all()
        return quantity.painter.sensors(axes, places[reads], values=last if compared else None)

    def draw(self, axes: Axes, quantity: Quantity, row: int) -> list[Artist]:
        """Draw a quantity at a lead, with its band and the sensors; gives back all that was drawn."""
        drawn = [quantity.painter.draw(axes, quantity.shown[row]), self.band(axes, quantity, row)]
        drawn.append(self.sensors(axes, quantity, row))
        return [artist for artist in drawn if artist is not None]

    def band(self, axes: Axes, quantity: Quantity, row: int) -> Artist | None:
        """Shade one standard deviation on both sides of a line."""
        if quantity.bands is None:
            return None
        along = self.viewer.along(self.viewer.shown_axes[0])
        return axes.fill_between(along, *quantity.bands[row], color=quantity.painter.line, alpha=0.3, linewidth=0)


def lead_titles(forecast: xr.Dataset, leads: Sequence[int]) -> list[str]:
    """Of each lead its number and time, such as ``lead 3 (+6 h)``, and in a second line its date where it is known."""
    times = forecast["lead_time"].to_numpy()
    unit = lead_unit(times.tolist(), unit_of(forecast["lead_time"]))
    found = []
    for lead in leads:
        said = f"lead {lead} (+{unit.text(float(times[lead]))})" if unit.name else f"lead {lead}"
        title = said if lead else "analysis"
        if "valid_time" in forecast:
            title += "\n" + date_text(forecast["valid_time"].to_numpy()[lead], unit.name in OF_DAYS)
        found.append(title)
    return found


def date_text(date: Any, day: bool = False) -> str:
    """A date of any calendar to the minute, and to the day where it is midnight, or that is what is wanted."""
    text = str(date.isoformat()) if hasattr(date, "isoformat") else str(np.datetime64(date, "s"))
    return text[:10] if day else text[:16].replace("T", " ").removesuffix(" 00:00")


def unit_of(of: xr.DataArray) -> str:
    """The unit, as the data set calls it."""
    return str(of.attrs.get("long_name", "").partition("in units of ")[2] or of.attrs.get("units", ""))


def _viewer(forecast: xr.Dataset, means: Array) -> FieldViewer:
    """The forecast's points are the coordinates of its fields; in space the plane in which the mean varies most."""
    field = forecast[channels_of(forecast)[0]]
    space = field.dims[2:]  # after member and lead_time
    scattered = space == ("point",)
    axes = [name for name, at in field.coords.items() if at.dims == space] if scattered else space
    units = {str(name): unit_of(forecast[name]) for name in axes}
    viewer = FieldViewer({str(name): forecast[name].to_numpy() for name in axes}, units, scattered)
    std = np.nanstd(means, axis=(0, 1))
    return most_varied(viewer, means, np.where(std > 0, std, 1))
