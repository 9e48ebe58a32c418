"""The chain of errors: where the next gain lies."""

from pathlib import Path

import pandas as pd

from sparsevq.evaluation.labels import LINKS, METRICS
from sparsevq.evaluation.scores import ALL
from sparsevq.plotting.style import new_figure, save, styled

COLOURS = ("#56B4E9", "#0072B2", "#CC79A7", "#D55E00", "#E69F00")


@styled
def draw_chain(chain: pd.DataFrame, path: Path) -> Path:
    """Relative L2 of every link: a bar for the mean over the frames that are forecast, dots for the single lead times.

    Parameters
    ----------
    chain
        ``chain.csv``.
    path
        The picture.
    """
    table = chain[(chain["channel"] == ALL) & (chain["metric"] == "relative_l2") & (chain["lead_time"] > 0)]
    last = int(table["lead_time"].max())
    figure = new_figure(7.5, 3.8)
    axes = figure.subplots()
    for place, link in enumerate(LINKS):
        values = table[table["link"] == link].sort_values("lead_time")
        mean = values["value"].mean()
        axes.bar(place, mean, 0.7, color=COLOURS[place])
        across = place + 0.6 * (values["lead_time"] - (1 + last) / 2) / max(last - 1, 1)
        axes.plot(across, values["value"], color="0.1", marker="o", markersize=2, linewidth=1)
        look = {"boxstyle": "round,pad=0.2", "facecolor": "white", "edgecolor": "none"}
        axes.annotate(f"{mean:.3f}", (place, 0), (0, 10), textcoords="offset points", ha="center", bbox=look)
    axes.set_xticks(range(len(LINKS)), [label.replace(" ", "\n", 1) for label in LINKS.values()])
    axes.grid(visible=False, axis="x")
    axes.set_ylabel(METRICS["relative_l2"])
    axes.set_title(
        f"all on the same frames; bars: mean of leads 1 to {last}; dots: lead 1 (left) to {last}", loc="left"
    )
    return save(figure, path)
