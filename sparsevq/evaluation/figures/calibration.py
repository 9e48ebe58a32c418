"""Is the ensemble's spread what its error asks for?"""

from pathlib import Path

import numpy as np
import pandas as pd

from sparsevq.evaluation.scores import ALL
from sparsevq.plotting.style import new_figure, save, styled, with_unit


@styled
def draw_calibration(calibration: pd.DataFrame, unit: str, path: Path) -> Path:
    """Spread and skill by lead time, their ratio, and the rank histogram.

    Parameters
    ----------
    calibration
        ``calibration.csv``.
    unit
        Of the fields; empty where channels of different units are pooled.
    path
        The picture.
    """
    table = calibration[calibration["channel"] == ALL]
    figure = new_figure(10.5, 3.3)
    left, middle, right = figure.subplots(1, 3)
    ranks = table[table["quantity"] == "rank_frequency"]
    members = int(ranks["rank"].max())

    curves = {name: table[table["quantity"] == name] for name in ("spread", "skill", "spread_skill_ratio")}
    if len(curves["spread"]):
        spread, skill, ratio = curves.values()
        corrected = np.sqrt((members + 1) / members) * spread["value"]
        left.plot(skill["lead_time"], skill["value"], color="#D55E00", marker="o", label="skill: RMSE of the mean")
        left.plot(spread["lead_time"], corrected, color="#0072B2", marker="s", label=r"spread $\sqrt{(M+1)/M}$")
        left.set_ylim(0)
        left.legend()
        middle.plot(ratio["lead_time"], ratio["value"], color="#0072B2", marker="o")
        middle.axhline(1, color="0.4", linewidth=0.8, linestyle=(0, (4, 3)))
        middle.set_ylim(0, max(1.3, 1.1 * float(ratio["value"].max())))
        middle.text(0.98, 0.03, "too sure of itself", transform=middle.transAxes, ha="right", va="bottom", color="0.4")
    left.set_ylabel(with_unit("spread, skill", unit))
    middle.set_ylabel("spread / skill")
    for axes in (left, middle):
        axes.set_xlabel("lead time (frames)")

    pooled = ranks.groupby("rank")["value"].mean()
    right.bar(pooled.index, pooled, 0.9, color="#56B4E9", label="all lead times")
    leads = sorted(ranks["lead_time"].unique())
    for lead, colour in ((leads[0], "#009E73"), (leads[-1], "#D55E00")):
        rows = ranks[ranks["lead_time"] == lead]
        right.plot(rows["rank"], rows["value"], color=colour, marker="o", linewidth=1, label=f"lead {lead}")
    right.axhline(1 / (members + 1), color="0.2", linewidth=0.9, linestyle=(0, (4, 3)), label="reliable")
    right.set_xticks(range(0, members + 1, max(1, (members + 1) // 10)))
    right.grid(visible=False, axis="x")
    right.set_xlabel(f"rank of the truth among {members} members")
    right.set_ylabel("frequency")
    right.legend()
    return save(figure, path)
