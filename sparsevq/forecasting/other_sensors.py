"""What forecasts of held-out frames begin with, from any sensors of the grid and without training.

The networks of a run stay as they are. What was solved for, for its own sensors, is solved for again for others: the
estimate of the observed frames' coefficients and the regression to each lead time, as `Forecaster` does for a user's
readings; the paper's encoder takes any places as it is.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from sparsevq.data.device_fields import DeviceFields, Views
from sparsevq.forecasting.model import ForecastModel, Seen
from sparsevq.models.regression import Regression
from sparsevq.runs.run import Run
from sparsevq.sensors.placement import SensorSets
from sparsevq.sensors.taken import Sensors
from sparsevq.stage1.modal import ModalModel, by_place
from sparsevq.stage1.model import Stage1Model, channels_read


def own_sensors(run: Run) -> Sensors:
    """The sparse sensors of a run, in the order in which its models have their readings."""
    sensors: SensorSets = run.sensors
    if "modes" in run.model("sparse").shape:
        points, reads = by_place(sensors, "sparse", torch.device("cpu"))
        return Sensors(points.numpy(), reads.numpy())
    return Sensors(sensors.sparse, channels_read(sensors, "sparse"))


@dataclass(frozen=True, eq=False)
class Reader:
    """Readings of some sensors -> what forecasts begin with.

    Attributes
    ----------
    model
        The stages of a run.
    sparse
        Its encoder, for these sensors; None: nothing depends on the prompt, since the network has no weight.
    reads
        ``(n, C)`` which channels they read.
    frames
        Observed frames, the last ones, that the regression takes.
    regression
        To each lead time; None: the run's GPT has no first guess.
    knows
        Whether the regression takes known parameters of the trajectories.
    """

    model: ForecastModel
    sparse: Stage1Model | None
    reads: Tensor
    frames: int
    regression: Regression | None
    knows: bool

    def seen(self, readings: Tensor, known: Tensor | None) -> Seen:
        """From normalised anomalies (b, k, n, C) at the sensors, the last observed frame last.

        Parameters
        ----------
        known
            (b, p) standardised parameters of the trajectories, which the run's models take; None: they take none.
        """
        count, frames = readings.shape[:2]
        modal = isinstance(self.model.sparse, ModalModel)
        given = readings[..., self.reads] if modal else readings
        config = self.model.gpt.config
        prompt = torch.zeros(
            count, frames, config.tokens_per_frame, config.num_quantizers, dtype=torch.long, device=given.device
        )
        if self.sparse is not None:
            of_frames = None if known is None else known.repeat_interleave(frames, 0)
            latents = self.sparse.estimate(given.flatten(0, 1), of_frames)
            prompt = self.model.tokenizer.tokenize(latents).unflatten(0, (count, frames))
        outlook = None
        if self.regression is not None:
            last = given[:, -self.frames :]
            if self.knows and known is not None:
                last = torch.cat([last, known[:, None].expand(-1, self.frames, -1)], dim=-1)
            outlook = self.regression(last.flatten(1))
        times = torch.arange(1 - frames, 1, device=given.device)
        return Seen(prompt, times, outlook, self.regression)


class Readers:
    """Readers of a run, for its own sensors and for others.

    Parameters
    ----------
    model
        The stages of the run.
    own
        Its sensors (`own_sensors`).
    observed
        Observed frames.
    most
        Training frames, and windows, that what is solved for learns from, at most.
    """

    def __init__(self, model: ForecastModel, own: Sensors, observed: int, most: int):
        self._model, self._own, self._observed, self._most = model, own, observed, most
        sparse = model.sparse
        self._sparse = sparse.with_fewer_examples(most) if isinstance(sparse, ModalModel) else sparse
        guessed = model.gpt.outlooks is not None
        self._needs_prompt = not (guessed and model.network == 0)

    def as_trained(self) -> Reader:
        """For the run's own sensors, with what was learned for them."""
        reads, outlooks = torch.from_numpy(self._own.reads).to(self._model.device), self._model.gpt.outlooks
        frames, regression = (0, None) if outlooks is None else outlooks.by(self._observed)
        return Reader(self._model, self._model.sparse, reads, frames, regression, knows=True)

    def can_be_told(self, noise: float) -> bool:
        """Whether what the readings' errors are can be taken into account."""
        return noise == 0 or self._sparse.partial

    def fitted_to(self, sensors: Sensors) -> Reader:
        """For any sensors, solved for anew; ValueError where the encoder cannot be told of their errors."""
        if not self.can_be_told(sensors.noise):
            raise ValueError("this encoder takes exact readings")
        where, reads = torch.from_numpy(sensors.points), torch.from_numpy(sensors.reads)
        outlooks, sparse, device = self._model.gpt.outlooks, self._sparse, self._model.device
        frames, regression = 0, None
        with torch.autocast(device.type, enabled=False):
            if outlooks is not None:
                assert isinstance(sparse, ModalModel)
                frames = self._observed
                modes, error = sparse.seen_from(where, reads, sensors.noise)
                times = torch.arange(1 - frames, 1, device=device)
                regression = outlooks.fitted_to(times, [modes] * frames, [error] * frames, self._most)
            seeing = sparse.seeing(where.to(device), reads, sensors.noise) if self._needs_prompt else None
        return Reader(self._model, seeing, reads.to(device), frames, regression, knows=False)

    def known(self, fields: DeviceFields, views: Views) -> Tensor | None:
        """(b, p) standardised parameters of the frames' trajectories; None: the run's models take none."""
        return self._model.sparse.known(fields, views)
