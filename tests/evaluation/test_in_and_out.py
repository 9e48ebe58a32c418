"""In-s and Out-s, In-t and Out-t."""

import pandas as pd
import pytest

from sparsevq.evaluation.in_and_out import in_and_out

RUN = {"data_set": "waves", "num_sensors": 20, "seed": 1, "observed_frames": 1, "method": "sparsevq"}


def scores(leads: int) -> pd.DataFrame:
    """At lead l: l at the sensors, 10 l elsewhere, and 100 for a single channel."""
    values = {("all", "relative_l2_in_sensors"): 1, ("all", "relative_l2_out_sensors"): 10}
    values |= {("u", "relative_l2_in_sensors"): 100, ("all", "crps"): 100}
    rows = [
        {**RUN, "channel": channel, "lead_time": lead, "metric": metric, "value": factor * lead if lead else 1e6}
        for (channel, metric), factor in values.items()
        for lead in range(leads + 1)
    ]
    return pd.DataFrame(rows)


def test_means_over_lead_times_within_and_beyond_training_by_hand():
    (row,) = in_and_out(scores(leads=5), trained=3).to_dict("records")
    assert {name: row[name] for name in RUN} == RUN
    assert row["in_s_in_t"] == pytest.approx((1 + 2 + 3) / 3)
    assert row["out_s_in_t"] == pytest.approx(20)
    assert row["in_s_out_t"] == pytest.approx((4 + 5) / 2)
    assert row["out_s_out_t"] == pytest.approx(45)


def test_without_later_lead_times_there_is_no_out_t():
    table = in_and_out(scores(leads=3), trained=3)
    assert list(table.columns) == [*RUN, "in_s_in_t", "out_s_in_t"]
