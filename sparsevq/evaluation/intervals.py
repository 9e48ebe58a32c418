"""How sure the tables' numbers are: confidence intervals by resampling trajectories, paired over methods.

Frames and starts of one trajectory are not independent, so whole trajectories are drawn with replacement [1]_; errors
of several seeds on the same trajectory are averaged before. All methods get the same draws, so that a difference of two
has an interval of its own. With a handful of trajectories the intervals are too narrow, as those of any bootstrap.

References
----------
.. [1] Efron & Tibshirani, An introduction to the bootstrap, 1993, chapters 8 and 13 (percentile intervals).
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Array = NDArray[Any]

RESAMPLES = 1000
LEVEL = 0.95


class Interval(NamedTuple):
    """Ends of a confidence interval; NaN where there are fewer than two trajectories."""

    low: float
    high: float

    @property
    def holds_zero(self) -> bool:
        """Whether nothing is known of the sign; so it is where there is no interval."""
        return not (self.low > 0 or self.high < 0)


class Resampled:
    """Means over trajectories of some methods' errors, and the same of `RESAMPLES` draws of the trajectories.

    Parameters
    ----------
    errors
        A row a method, a column a trajectory: a method's error on it.
    """

    def __init__(self, errors: pd.DataFrame):
        complete = errors.dropna(axis=1)
        trajectories = complete.shape[1]
        draws = np.random.default_rng(0).integers(0, max(trajectories, 1), (RESAMPLES, trajectories))
        values = complete.to_numpy(dtype=np.float64)
        self._known = trajectories > 1
        self.mean = dict(zip(errors.index, values.mean(axis=1), strict=True)) if trajectories else {}
        self._means = dict(zip(errors.index, values[:, draws].mean(axis=-1), strict=True)) if trajectories else {}

    def of(self, method: str) -> Interval:
        """Of a method's mean error."""
        return self._interval(self._means.get(method))

    def difference(self, one: str, other: str) -> Interval:
        """Of the difference of two methods' mean errors."""
        return self._interval(self._means[one] - self._means[other])

    def ratio(self, one: str, other: str) -> Interval:
        """Of the ratio of two methods' mean errors."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return self._interval(self._means[one] / self._means[other])

    def best(self, among: Sequence[str] | None = None) -> str | None:
        """The method with the smallest mean error, of those in `among`; None where there is none."""
        means = {name: mean for name, mean in self.mean.items() if among is None or name in among}
        return min(means, key=lambda name: means[name]) if means else None

    def surely_best(self, without: Sequence[str] = ()) -> str | None:
        """The best method, if the interval of its difference to the next best does not hold 0.

        Parameters
        ----------
        without
            Methods that do not compete.
        """
        competing = sorted((name for name in self.mean if name not in without), key=lambda name: self.mean[name])
        if not self._known or len(competing) < 2:
            return None
        first, second = competing[:2]
        return None if self.difference(first, second).holds_zero else first

    def _interval(self, draws: Array | None) -> Interval:
        if draws is None or not self._known:
            return Interval(np.nan, np.nan)
        low, high = np.quantile(draws, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
        return Interval(float(low), float(high))


def errors_by_trajectory(cases: pd.DataFrame, columns: dict[str, tuple[str, int | None]]) -> dict[str, pd.DataFrame]:
    """Name -> a method's error on each trajectory, as `Resampled` takes it.

    Parameters
    ----------
    cases
        ``cases.csv`` of all seeds of one setting.
    columns
        Name -> which column of it, and at which lead time; None: the mean over leads from 1 on.
    """
    later = cases[cases["lead_time"] > 0]
    found = {}
    for name, (metric, lead) in columns.items():
        rows = later if lead is None else cases[cases["lead_time"] == lead]
        if metric in rows:
            found[name] = rows.pivot_table(index="method", columns="trajectory", values=metric, aggfunc="mean")
    return found
