"""The figure of energy spectra."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from sparsevq.evaluation.labels import in_usual_order, method_style
from sparsevq.evaluation.metrics import BANDS, wavenumber_bands
from sparsevq.evaluation.spectrum import Spectrum
from sparsevq.plotting.style import legend_below, new_figure, save, styled, title, with_unit


@styled
def draw_spectra(
    spectra: pd.DataFrame, kind: Spectrum, unit: str, who: str, path: Path, anomalies: Iterable[bool] = ()
) -> Path:
    """Spectra of all methods and of the truth at the first, a middle and the last lead time; or why there are none.

    Of the table ``spectra.csv``, of the fewest observed frames. `unit` is the fields'; empty where channels of
    different units were added. `anomalies`: of each channel whether its energy is that of the anomalies.
    """
    if kind.missing:
        figure = new_figure(5.6, 2.0)
        figure.text(0.5, 0.5, f"{kind.data.name} has no energy spectrum: {kind.missing}", ha="center", va="center")
        return save(figure, path)
    spectra = spectra[spectra["observed_frames"] == spectra["observed_frames"].min()]
    last = int(spectra["lead_time"].max())
    leads = sorted({1, (last + 1) // 2, last})
    width = 3.4 * len(leads) + 0.6
    figure = new_figure(width, 3.9)
    panels = figure.subplots(1, len(leads), sharey=True, squeeze=False)[0]
    for lead, axes in zip(leads, panels, strict=True):
        at_lead = spectra[spectra["lead_time"] == lead]
        for rank, method in enumerate(in_usual_order(at_lead["method"])):
            rows, style = at_lead[at_lead["method"] == method], method_style(method, rank)
            look = {"color": style.colour, "label": style.label, "linewidth": 2.4 if method == "truth" else 1.4}
            axes.loglog(rows["wavenumber"], rows["energy"], style.line, **look)
        _mark_bands(axes, np.sort(spectra["wavenumber"].unique()))
        axes.set_title(f"lead {lead}")
        axes.set_xlabel(kind.label)
        _plain_decades(axes)
    # Below a billionth of the truth's largest energy there is rounding only.
    true = spectra.loc[spectra["method"] == "truth", "energy"]
    panels[0].set_ylim(max(float(true.min()) / 10, float(true.max()) * 1e-9), float(true.max()) * 5)
    energy = "energy in the shell" if kind.longitude is None else "energy of the wave"
    panels[0].set_ylabel(with_unit(energy, _squared(unit)))
    hidden = [channel for channel, is_hidden in zip(kind.data.channels, anomalies, strict=False) if is_hidden]
    title(figure, f"{who}: energy spectra" + f"; of {', '.join(hidden)} those of the anomalies" * bool(hidden), width)
    legend_below(figure, panels[0], columns=7)
    return save(figure, path)


def _plain_decades(axes: Axes) -> None:
    """Ticks of less than two decades at 1, 2 and 5 as plain numbers; matplotlib's own would overlap."""
    low, high = axes.get_xlim()
    if high / low < 100:
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.xaxis.set_minor_formatter(NullFormatter())


def _squared(unit: str) -> str:
    """The unit of an energy: U², (m/s)²; empty where there is none."""
    if unit in ("", "1"):
        return ""
    return f"{unit}²" if unit.isalpha() else f"({unit})²"


def _mark_bands(axes: Axes, wavenumber: np.ndarray[Any, Any]) -> None:
    """Names of the bands of wavenumbers that scores are taken over, and lines between them."""
    bands = wavenumber_bands(wavenumber)
    for edge in np.flatnonzero(np.diff(bands)):
        axes.axvline(np.sqrt(wavenumber[edge] * wavenumber[edge + 1]), color="0.6", linewidth=0.8, linestyle=":")
    for band, name in enumerate(BANDS):
        inside = wavenumber[bands == band]
        if len(inside):
            centre = np.sqrt(inside[0] * inside[-1])
            axes.text(centre, 0.98, name, transform=axes.get_xaxis_transform(), ha="center", va="top", color="0.4")
