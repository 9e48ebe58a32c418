"""Errors at the sensors' points and elsewhere, within the lead times that a GPT is trained for and beyond them.

The four figures of DINo (Yin et al., ICLR 2023) and Janny et al. (ICLR 2024): In-s, Out-s; In-t, Out-t.
"""

import pandas as pd

from sparsevq.evaluation.scores import ALL
from sparsevq.evaluation.table_texts import forecasts_of

WHERE = {"in_s": "relative_l2_in_sensors", "out_s": "relative_l2_out_sensors"}


def in_and_out(forecast: pd.DataFrame, trained: int) -> pd.DataFrame:
    """A row a method and run: mean relative L2 over lead times from 1 to `trained` (``..._in_t``), and later ones.

    A method that observes is scored from lead 1 on: at lead 0 what it reads is the answer at the sensors.

    Parameters
    ----------
    forecast
        ``forecast.csv``.
    trained
        The last lead time of a training sequence (frames).

    Returns
    -------
    ``in_s_in_t, out_s_in_t, in_s_out_t, out_s_out_t``; the last two where forecasts go beyond the trained lead times.
    """
    keys = [*forecasts_of(forecast), "method"]
    scored = forecast[(forecast["channel"] == ALL) & (forecast["lead_time"] > 0)]
    within = scored["lead_time"] <= trained
    columns = {
        f"{where}_{when}": scored[chosen & (scored["metric"] == metric)].groupby(keys)["value"].mean()
        for when, chosen in (("in_t", within), ("out_t", ~within))
        for where, metric in WHERE.items()
        if chosen.any()
    }
    return pd.DataFrame(columns).reset_index()
