"""Energy spectra: does a forecast keep the small scales?"""

from pathlib import Path

import numpy as np
import pandas as pd

from sparsevq.evaluation.labels import in_usual_order, method_style
from sparsevq.evaluation.metrics import BANDS, wavenumber_bands
from sparsevq.evaluation.spectrum import Spectrum
from sparsevq.plotting.style import legend_below, new_figure, save, styled, with_unit


@styled
def draw_spectra(spectra: pd.DataFrame, kind: Spectrum, energy_unit: str, path: Path) -> Path:
    """Spectra of all methods and of the truth at the first, a middle and the last lead time; or why there are none.

    Parameters
    ----------
    spectra
        ``spectra.csv``.
    kind
        Which spectrum it is.
    energy_unit
        Of the energy; empty where channels of different units were added.
    path
        The picture.
    """
    if kind.missing:
        figure = new_figure(5.6, 2.0)
        figure.text(0.5, 0.5, f"{kind.data.name} has no energy spectrum: {kind.missing}", ha="center", va="center")
        return save(figure, path)
    last = int(spectra["lead_time"].max())
    leads = sorted({1, (last + 1) // 2, last})
    wavenumber = np.sort(spectra["wavenumber"].unique())
    figure = new_figure(3.4 * len(leads) + 0.6, 3.6)
    panels = figure.subplots(1, len(leads), sharey=True, squeeze=False)[0]
    true = spectra.loc[spectra["method"] == "truth", "energy"]
    for lead, axes in zip(leads, panels, strict=True):
        at_lead = spectra[spectra["lead_time"] == lead]
        for rank, method in enumerate(in_usual_order(at_lead["method"])):
            rows, style = at_lead[at_lead["method"] == method], method_style(method, rank)
            width = 2.4 if method == "truth" else 1.4
            axes.loglog(
                rows["wavenumber"], rows["energy"], style.line, color=style.colour, linewidth=width, label=style.label
            )
        bands = wavenumber_bands(wavenumber)
        for edge in np.flatnonzero(np.diff(bands)):
            axes.axvline(np.sqrt(wavenumber[edge] * wavenumber[edge + 1]), color="0.6", linewidth=0.8, linestyle=":")
        for band, name in enumerate(BANDS):
            inside = wavenumber[bands == band]
            if len(inside):
                centre = np.sqrt(inside[0] * inside[-1])
                axes.text(centre, 0.98, name, transform=axes.get_xaxis_transform(), ha="center", va="top", color="0.4")
        axes.set_title(f"lead {lead}")
        axes.set_xlabel(kind.label)
    # Below a millionth of the truth's largest energy there is rounding only.
    panels[0].set_ylim(max(float(true.min()) / 10, float(true.max()) * 1e-9), float(true.max()) * 5)
    panels[0].set_ylabel(
        with_unit("energy in the shell" if kind.longitude is None else "energy of the wave", energy_unit)
    )
    legend_below(figure, panels[0], columns=7)
    return save(figure, path)
