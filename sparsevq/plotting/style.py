"""The look that all figures share, and how they are saved."""

from collections.abc import Mapping
from pathlib import Path
from textwrap import wrap
from typing import Any

import matplotlib.style
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure, FigureBase
from matplotlib.text import Text

from sparsevq.data.lead_units import LeadUnit
from sparsevq.runtime.files import written_whole

DPI = 150
LONGEST_NAME = 32
"""Characters of a long name that fits beside a picture."""

LETTERS = 12.0
"""Of a title to the inch."""

# Any: matplotlib types every key, but nobody else needs to.
RC: Any = {
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.labelsize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "0.9",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "axes.formatter.useoffset": False,  # a tick says its value, with the digits that the next one differs in
    "axes.formatter.limits": (-4, 6),
    "legend.frameon": False,
    "legend.fontsize": 8,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "lines.linewidth": 1.6,
    "lines.markersize": 3.5,
}

styled = matplotlib.style.context(["default", RC])
"""Decorator: draw with this project's look, whatever the user's matplotlib settings are, and leave those alone."""


def new_figure(width: float, height: float) -> Figure:
    """A figure (inches) that needs no display and no global state."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def save(figure: Figure, path: Path) -> Path:
    """Write a PNG whose bytes depend on nothing but what is drawn.

    The figure is laid out here, once: matplotlib would draw everything twice to do it.
    """
    if figure.axes and (layout := figure.get_layout_engine()) is not None:
        figure.set_dpi(DPI)
        layout.execute(figure)
        figure.set_layout_engine("none")
    with written_whole(path) as part:
        figure.savefig(part, dpi=DPI, metadata={"Software": None})
    return path


def with_unit(quantity: str, unit: str) -> str:
    """A label with its unit in brackets, where there is one."""
    unit = WRITTEN.get(unit, unit)
    return f"{quantity} ({unit})" if unit else quantity


def channel_label(channel: str, about: Mapping[str, str]) -> str:
    """What a channel is called in figures: its file's long name, unless that is too long to be a label."""
    name = about.get("long_name", "").partition(" in units of ")[0]
    return name if 0 < len(name) <= LONGEST_NAME else channel


def lead_label(lead: int, time: float, unit: LeadUnit) -> str:
    """A lead time, in frames and as time, as the title of a panel; `unit` is that of all leads of the figure."""
    told = unit.text(time)
    return f"lead {lead}" if told == str(lead) else f"lead {lead} ({told})"


def title(figure: FigureBase, text: str, width: float, **look: Any) -> Text:
    """A title over a figure of a width (inches), in as many lines as it needs."""
    return figure.suptitle("\n".join(lines_of(text, width)), **{"fontsize": 10, **look})


def lines_of(text: str, width: float) -> list[str]:
    """The lines of a title of a width (inches)."""
    return wrap(text, max(int(width * LETTERS), 20))


def legend_below(figure: Figure, axes: Axes, columns: int = 6) -> None:
    """One legend for the whole figure, under its panels."""
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=min(columns, max(len(labels), 1)))


WRITTEN = {"1": "", "degrees": "°", "degree": "°"}
"""Units as people write them."""
