"""Persistence: the last observed frame, as sparsevq reconstructs it from the sparse sensors, does not change."""

from collections.abc import Iterator

import numpy as np

from sparsevq.baselines.ridge import Regression, physical
from sparsevq.baselines.task import Array, BaselineForecast, Task
from sparsevq.baselines.validation import Windows, dressed


def persistence(task: Task) -> BaselineForecast:
    """The reconstruction of the last observed frame, at every lead time.

    Its members are dressed with the errors of the persistence of *another* reconstruction of validation frames, the
    best linear one from the same sensors (`ridge` at lead 0): evaluation has no network to make sparsevq's with. Where
    that one is worse, the spread is a little too large at the first lead times; later on, change dominates both.
    """
    cases, points, channels = task.reconstruction.shape
    shape = (task.cases.horizon + 1, points, channels)
    analysis = Regression(task, 1, horizon=0)
    analysis.choose(task)

    def persisted(windows: Windows, observed_frames: int) -> Iterator[Array]:
        for coefficients in analysis.coefficients(task.anomalies(*windows, observed_frames)):
            yield np.broadcast_to(physical(task.basis, coefficients), shape)

    return BaselineForecast(
        np.broadcast_to(task.reconstruction[:, None], (cases, *shape)),
        dressed(task, persisted),
        {"regularisation_of_validation": float(analysis.strength[0])},
        parameters=analysis.parameters + task.basis.modes.size,
    )
