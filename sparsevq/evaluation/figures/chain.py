"""The chain of errors: where the next gain lies."""

from pathlib import Path

import pandas as pd

from sparsevq.evaluation.figures.style import new_figure, save, styled
from sparsevq.evaluation.labels import LINKS, METRICS
from sparsevq.evaluation.scores import ALL

COLOURS = ("#56B4E9", "#0072B2", "#CC79A7", "#D55E00", "#E69F00")


@styled
def draw_chain(chain: pd.DataFrame, path: Path) -> Path:
    """Relative L2 of every link, a bar each for the mean over the frames that are forecast; points show single lead times.

    Parameters
    ----------
    chain
        ``chain.csv``.
    path
        The picture.
    """
    table = chain[(chain["channel"] == ALL) & (chain["metric"] == "relative_l2") & (chain["lead_time"] > 0)]
    last = int(table["lead_time"].max())
    leads = sorted({lead for lead in (1, 5, 10, 20, last) if lead <= last})
    figure = new_figure(7.5, 3.8)
    axes = figure.subplots()
    for place, (link, label) in enumerate(LINKS.items()):
        values = table[table["link"] == link].set_index("lead_time")["value"]
        axes.bar(place, values.mean(), 0.62, color=COLOURS[place], label=label)
        inside = place - 0.22
        axes.text(inside, values.mean(), f"{values.mean():.3f}", ha="center", va="bottom", fontsize=9)
        for lead in leads:
            axes.plot(place + 0.16, values[lead], "o", color="0.15", markersize=3)
        if link.startswith("forecast"):
            # Nearer than a line of text, numbers would overlap: the first and the last tell the range.
            for lead in (leads[0], leads[-1]):
                axes.annotate(
                    f"lead {lead}", (place + 0.16, values[lead]), (4, 0), textcoords="offset points", va="center", fontsize=7
                )
    axes.set_xticks(range(len(LINKS)), [label.replace(" ", "\n", 1) for label in LINKS.values()])
    axes.grid(visible=False, axis="x")
    axes.set_ylabel(METRICS["relative_l2"])
    axes.set_title(f"all on the same frames: mean over leads 1 to {last}; points: leads {', '.join(map(str, leads))}", loc="left")
    return save(figure, path)
