"""Which case is shown, where one is to stand for all."""

import pandas as pd

from sparsevq.evaluation.labels import OURS


def median_case(by_case: pd.DataFrame) -> int:
    """The number of the case whose mean relative L2 is the median of all (the lower of two): neither best nor worst.

    Parameters
    ----------
    by_case
        Table of ``cases.csv``; its rows of sparsevq are compared, over leads from 1 on.
    """
    ours = by_case[(by_case["lead_time"] > 0) & (by_case["method"] == OURS[0])]
    errors = ours.groupby("case", sort=False)["relative_l2"].mean().sort_values(kind="stable")
    return int(errors.index[(len(errors) - 1) // 2])
