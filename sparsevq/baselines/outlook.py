"""The GPT's first guess alone, without codes and without its network: what the GPT adds is what it is better by.

Kernel regression from the readings of the observed frames to the coefficients at each lead time
(`sparsevq.models.regression`), as the run's GPT keeps it (`stage3.first_guess: regression`): the same numbers, so that
nothing is fitted again. Its best single forecast is the regression's mean; as all baselines it is dressed with the
errors that it makes on the validation split.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from sparsevq.baselines.ridge import physical
from sparsevq.baselines.task import Array, BaselineForecast, Task
from sparsevq.baselines.validation import Windows, dressed
from sparsevq.errors import SparseVQError

if TYPE_CHECKING:
    from sparsevq.runs.run import Run


def outlook(task: Task) -> BaselineForecast:
    """Forecast by the regressions of the run's GPT, from as many observed frames as each case has.

    Raises
    ------
    SparseVQError
        The run's GPT has no first guess.
    """
    cases, model = task.cases, GuessOfRun(task.run)
    fields = np.empty((len(cases), cases.horizon + 1, *task.basis.mean.shape), np.float32)

    def forecast(windows: Windows, observed_frames: int) -> Iterator[Array]:
        for coefficients in model.coefficients(windows, observed_frames, cases.horizon):
            yield physical(task.basis, coefficients)

    for count in map(int, np.unique(cases.observed_frames)):
        which = np.flatnonzero(cases.observed_frames == count)
        windows = Windows(cases.trajectory[which], cases.start_frame[which])
        for case, field in zip(which, forecast(windows, count), strict=True):
            fields[case] = field
    return BaselineForecast(fields, dressed(task, forecast, cases.observed_frames), parameters=model.parameters)


class GuessOfRun:
    """The regressions that a run's GPT keeps, and what the run's sensors read of each frame (its index dump).

    Raises
    ------
    SparseVQError
        There is no GPT or no dump, or the GPT has no first guess.
    """

    def __init__(self, run: "Run | None"):
        # Imported here: torch takes seconds, which whoever evaluates without this baseline need not wait.
        from sparsevq.forecasting.model import gpt_config_of
        from sparsevq.models.gpt import GPT

        if run is None:
            raise SparseVQError(
                "evaluation.baselines: outlook is of a run's GPT, and there is no run", "leave it out, or give the run"
            )
        file, self._codes = run.model("gpt"), run.codes("cpu")
        gpt = GPT(gpt_config_of(file), self._codes.codebook)
        file.restore(gpt)
        if gpt.outlooks is None or gpt.first_guess is None:
            raise SparseVQError(
                "evaluation.baselines: outlook is the GPT's first guess, which this GPT does not have",
                "set stage3.first_guess to regression, or leave outlook out",
            )
        self._gpt = gpt.eval()
        self.parameters = sum(part.numel() for part in gpt.outlooks.own.buffers())

    def coefficients(self, windows: Windows, observed_frames: int, horizon: int) -> Array:
        """``(B, horizon + 1, r)`` of the leading modes of the run's basis."""
        import torch

        from sparsevq.forecasting.model import seen_by_sensors

        guess, outlooks = self._gpt.first_guess, self._gpt.outlooks
        assert guess is not None and outlooks is not None
        with torch.no_grad():
            trajectory, start = (torch.from_numpy(np.asarray(part)) for part in windows)
            seen = seen_by_sensors(self._gpt, self._codes, trajectory, start, observed_frames)
            assert seen.outlook is not None
            found = guess.until(seen.outlook, horizon + 1).mean + outlooks.center
        values: Array = found.numpy()
        return values
