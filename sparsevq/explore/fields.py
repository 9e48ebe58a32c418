"""What a page holds of one forecast: truth, mean, spread, interval and members, packed, and their scales of colours."""

from typing import Any, NamedTuple

import matplotlib
import numpy as np
from matplotlib.colors import Colormap, to_hex
from numpy.typing import NDArray

from sparsevq.explore.packing import Packed, packed
from sparsevq.plotting.painter import value_colours

Array = NDArray[Any]

INTERVAL = (0.05, 0.95)
"""Ends of the interval that is shown, as probabilities."""
MOST_MEMBERS = 16
"""Members that a page has at most."""
STEPS = 250
"""Steps of truth and mean in the bound of errors: their difference is as fine as a scale of colours."""
OUTLIERS = 0.005
"""Share of the errors that the scale of colours leaves out: a few points beside a wall do not wash out the rest."""


class Fields(NamedTuple):
    """One forecast at the points of a page, in physical units; NaN where there is no field.

    Attributes
    ----------
    truth
        ``(L, n, C)``; None: it is not known.
    mean
        ``(L, n, C)``.
    members
        ``(M, L, n, C)``.
    """

    truth: Array | None
    mean: Array
    members: Array


def packed_fields(fields: Fields, bounds: Array) -> dict[str, Any]:
    """Each quantity as a list of packed channels; of the members, as differences to the mean, a list of such lists.

    `low` and `high` are the ends of `interval` less the mean.

    Parameters
    ----------
    bounds
        ``(C,)``: how large errors and spread are, in each channel's unit.
    """
    mean, members = fields.mean, fields.members
    found: dict[str, Any] = {"mean": _channels(mean, bounds / STEPS), "members": []}
    if fields.truth is not None:
        found["truth"] = _channels(fields.truth, bounds / STEPS)
    if len(members) > 1:
        spread, low, high = interval(members)
        found["spread"] = _channels(spread)
        found["low"], found["high"] = _channels(low - mean), _channels(high - mean)
        found["members"] = [_channels(member - mean) for member in members[:MOST_MEMBERS]]
    return found


def interval(members: Array) -> tuple[Array, Array, Array]:
    """Standard deviation of ``(M, ...)`` members, and the ends of their 90 % interval; NaN of a single one.

    The ends are quantiles by definition 6 of Hyndman & Fan (1996), as those of the tables
    (`sparsevq.evaluation.metrics.interval_coverage`).
    """
    if len(members) < 2:
        none = np.full(members.shape[1:], np.nan)
        return none, none, none
    low, high = np.quantile(members, INTERVAL, axis=0, method="weibull")
    return members.std(axis=0, ddof=1), low, high


def scales(fields: Fields, time_mean: Array | None = None) -> list[dict[str, Any]]:
    """For each channel range and palette of values (and of these less ``(n, C)`` `time_mean`), and the bound of errors.

    The bound is the spread's, too.
    """
    found = []
    for channel in range(fields.mean.shape[-1]):
        mean = fields.mean[..., channel]
        truth = mean if fields.truth is None else fields.truth[..., channel]
        spread = fields.members[..., channel].std(axis=0, ddof=1) if len(fields.members) > 1 else np.zeros(1)
        off = [np.abs(mean - truth), spread]
        bounds = [float(np.quantile(part[np.isfinite(part)], 1 - OUTLIERS)) for part in off if np.isfinite(part).any()]
        anomalies = None if time_mean is None else _scale(truth - time_mean[:, channel])
        found.append({"values": _scale(truth), "anomalies": anomalies, "bound": max(bounds, default=0.0) or 1.0})
    return found


def _scale(values: Array) -> dict[str, Any]:
    colours = value_colours(values, OUTLIERS / 10)
    found = {"low": float(colours.norm.vmin or 0), "high": float(colours.norm.vmax or 0)}
    return {**found, "palette": colours.palette.name}


def palettes() -> dict[str, list[tuple[float, str]]]:
    """Palettes of matplotlib that the pages use, as plotly has them."""
    names = ("cividis", "RdBu_r", "PuOr_r", "magma")
    return {name: _stops(matplotlib.colormaps[name]) for name in names}


def _stops(palette: Colormap) -> list[tuple[float, str]]:
    return [(round(float(at), 4), to_hex(palette(float(at)))) for at in np.linspace(0, 1, 33)]


def _channels(values: Array, finest: Array | None = None) -> list[Packed]:
    steps = np.full(values.shape[-1], np.inf) if finest is None else finest
    return [packed(channel, step) for channel, step in zip(np.moveaxis(values, -1, 0), steps, strict=True)]
