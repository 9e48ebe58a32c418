"""What readings usually are: their mean and covariance by a run's basis, and how far true ones are from it."""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from sparsevq.basis.basis import BasisAt
from sparsevq.data.field_data import FieldData
from sparsevq.data.sampled import Samples
from sparsevq.models.leave_one_out import contradicted, leave_one_out, precision_of
from sparsevq.sensors.readings import FloatArray, Readings
from sparsevq.stage1.model import Stage1Model

Flags = npt.NDArray[np.bool_]

LEAST_VARIANCE = 1e-6
"""Of a reading, normalised: what is never seen to vary is not exact."""
LEAST_LIMIT = 6.0
"""Standard deviations up to which no reading is doubted, however close the data set's own are."""
MARGIN = 1.5
"""How much farther than all but few true readings of the data set one is before it is doubted."""
FEW = 1e-3
WHOLE_MARGIN = 1.3
"""How much farther than any frame of the data set a whole frame is before it is doubted, of many frames."""
OF_FEW = 20.0
"""Over their number, what is added to it."""
LEAST_WHOLE = 2.5
"""Mean squared distance of a frame's readings, in units of the expected, up to which it is not doubted."""


@dataclass(frozen=True, eq=False)
class Judged:
    """What is wrong with the m readings of a frame: flags (m,), how far all are together, and their log-likelihood."""

    wrong: Flags
    together: float
    likelihood: float

    def amiss(self, climate: "Climate") -> bool:
        """Whether there is anything wrong."""
        return bool(self.wrong.any()) or self.together > climate.together


@dataclass(frozen=True, eq=False)
class Climate:
    """What the m readings of a set of sensors usually are.

    Attributes
    ----------
    mean, scale
        ``(m,)`` physical; anomalies ``(value - mean) / scale`` have the `covariance` ``(m, m)``.
    low, high
        ``(m,)`` physical: the range of the data set's training frames at the nearest point; NaN where there is none.
    inflation
        ``(m,)`` by which true readings are farther from what the others say than Gaussian theory has it, at least 1.
    apart
        Expected deviations, inflated, beyond which a reading is doubted; from its neighbours, and from its mean.
    together
        Mean squared distance of all readings, in units of the expected, beyond which a frame is doubted.
    """

    mean: FloatArray
    scale: FloatArray
    covariance: FloatArray
    precision: FloatArray
    low: FloatArray
    high: FloatArray
    inflation: FloatArray
    apart: float
    together: float

    def anomalies(self, values: FloatArray) -> FloatArray:
        """Of physical readings (m,)."""
        return (values - self.mean) / self.scale

    def judged(self, values: FloatArray) -> Judged:
        """Physical readings (m,) as they are."""
        return self.judged_anomalies(self.anomalies(values))

    def judged_anomalies(self, anomalies: FloatArray) -> Judged:
        """The same of anomalies (m,)."""
        far = np.abs(anomalies) / np.sqrt(np.diag(self.covariance)) / self.inflation > self.apart
        wrong = contradicted(self.precision, anomalies, self.inflation, self.apart, far)
        squared = float(anomalies @ self.precision @ anomalies)
        likelihood = (np.linalg.slogdet(self.precision)[1] - squared) / 2
        kept = ~wrong
        if wrong.any() and kept.any():
            rest = anomalies[kept]
            squared = float(rest @ np.linalg.solve(self.covariance[np.ix_(kept, kept)], rest))
        return Judged(wrong, squared / max(int(kept.sum()), 1) if kept.any() else 0.0, float(likelihood))


class Climates:
    """Makes climates for a run's model.

    Parameters
    ----------
    model
        Its basis says what readings have to do with each other; without one (earlier versions) they are independent.
    data, samples
        The data set's grid, and a few hundred of its frames, which are read at the sensors' points.
    """

    def __init__(self, model: Stage1Model, data: FieldData, samples: Samples):
        self._model, self._data, self._samples = model, data, samples
        self._kept: dict[bytes, Climate] = {}

    def __call__(self, places: FloatArray, reads: Flags, noise: FloatArray) -> Climate:
        """Of sensors at places (n, d) that read channels (n, C), with noise (n, C) of known size."""
        key = b"".join(np.ascontiguousarray(part).tobytes() for part in (places, reads, noise))
        if key not in self._kept:
            if len(self._kept) >= 8:
                self._kept.pop(next(iter(self._kept)))
            self._kept[key] = self._made(places, reads, noise)
        return self._kept[key]

    def like(self, other: Climate, places: FloatArray, reads: Flags, noise: FloatArray) -> Climate:
        """The same, but as far as true readings are by `other`: without reading the data set."""
        mean, scale, covariance = self.without_noise(places, reads)
        covariance = covariance + np.diag(np.square(noise[reads] / scale) + LEAST_VARIANCE)
        return replace(other, mean=mean, scale=scale, covariance=covariance, precision=precision_of(covariance))

    def change(self, places: FloatArray) -> FloatArray:
        """(n, C) what changes at places from one training frame to the next, rms; 0 where at times nothing does."""
        return self._samples.change(self._data.nearest(places))

    def of(self, read: Readings) -> Climate:
        """Of a frame's readings; its m are those that are no NaN, sensor by sensor."""
        return self(read.places, ~np.isnan(read.values), read.noise)

    def without_noise(self, places: FloatArray, reads: Flags) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Mean and scale (m,) and covariance (m, m) of exact readings."""
        basis, data = self._model.basis, self._data
        if basis is None:
            mean, scale = np.broadcast_to(data.mean, reads.shape)[reads], np.broadcast_to(data.std, reads.shape)[reads]
            return mean.astype(float), scale.astype(float), np.eye(len(mean))
        at: BasisAt = basis.at(data, places)
        modes = at.modes[:, reads].T.astype(np.float64)  # (m, r)
        covariance = (modes * np.square(basis.std)) @ modes.T + np.diag(at.residual[reads].astype(np.float64))
        scale = np.broadcast_to(basis.scale, reads.shape)[reads].astype(np.float64)
        return at.mean[reads].astype(np.float64), scale, covariance

    def _made(self, places: FloatArray, reads: Flags, noise: FloatArray) -> Climate:
        mean, scale, covariance = self.without_noise(places, reads)
        error = np.diag(np.square(noise[reads] / scale) + LEAST_VARIANCE)
        points = self._data.nearest(places)
        own_mean, _, own = self.without_noise(self._data.physical_coordinates[points], reads)
        samples = self._samples.at(points)
        anomalies = [(values[:, reads] - own_mean) / scale for values in samples]
        inflation, apart, together = _as_true_ones_are(own + np.diag(np.full(len(own), LEAST_VARIANCE)), anomalies)
        training = samples[0][:, reads]
        nowhere = np.isnan(training).all(axis=0)
        low, high = (
            np.where(nowhere, np.nan, extreme(np.where(np.isnan(training), beyond, training), axis=0))
            for extreme, beyond in ((np.min, np.inf), (np.max, -np.inf))
        )
        covariance = covariance + error
        return Climate(mean, scale, covariance, precision_of(covariance), low, high, inflation, apart, together)


def _as_true_ones_are(covariance: FloatArray, samples: list[FloatArray]) -> tuple[FloatArray, float, float]:
    """Inflation (m,) and limits, from anomalies (b, m) of frames of the data set; NaN where there is no field."""
    precision = precision_of(covariance)
    inflation, farthest, together = np.ones(len(covariance)), 0.0, 0.0
    apart = []
    for anomalies in samples:
        filled = np.nan_to_num(anomalies)
        from_others = np.where(np.isnan(anomalies), np.nan, leave_one_out(precision, filled).apart(filled))
        from_mean = np.abs(anomalies) / np.sqrt(np.diag(covariance))
        apart.append((from_others, from_mean))
        if len(anomalies):
            margin = WHOLE_MARGIN + OF_FEW / len(anomalies)
            squares = np.nan_to_num(np.square(from_others))
            inflation = np.maximum(inflation, np.sqrt(squares.mean(axis=0)))
            whole = np.einsum("bi,ij,bj->b", filled, precision, filled) / len(precision)
            together = max(together, margin * float(whole.max()))
    for pair in apart:
        for each in pair:
            known = (each / inflation)[~np.isnan(each)]
            if len(known):
                farthest = max(farthest, float(np.quantile(known, 1 - FEW)))
    return inflation, max(LEAST_LIMIT, MARGIN * farthest), max(LEAST_WHOLE, together)
