"""Whether readings can be true: against the training frames at their places, and against each other.

Readings are doubted that are farther from what the others imply (optimal interpolation without them), or from the mean
at their place, than true readings of the data set are. Then the usual reasons are tried: another unit, a sign,
exchanged columns, sensors numbered from 1. A reason is named if with it all readings fit.
"""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from sparsevq.data.field_data import FieldData
from sparsevq.forecasting.doubts.climate import Climate, Climates
from sparsevq.forecasting.doubts.reasons import Reasons, single_reason
from sparsevq.models.leave_one_out import given, leave_one_out
from sparsevq.sensors.history import History
from sparsevq.sensors.placement import SensorSets
from sparsevq.sensors.readings import FloatArray, Readings
from sparsevq.sensors.space import shown
from sparsevq.sensors.tables.numbers import CODES

TOLD = 6
"""Readings that are told one by one."""
SUSPECT = 0.5
"""Share of the distance at which a frame is doubted, from which on reasons are tried: one may explain it better."""


class Plausibility:
    """Compares readings with a run's data set.

    Parameters
    ----------
    climates
        What readings usually are.
    data, sensors
        The run's grid and its numbered sensors.
    """

    def __init__(self, climates: Climates, data: FieldData, sensors: SensorSets):
        self._climates, self._data, self._sensors = climates, data, sensors
        self._reasons = Reasons(climates, data, sensors)

    def __call__(self, history: History) -> list[str]:
        """One line for each thing that cannot be true; none if all can."""
        found: dict[str, list[int]] = {}
        for offset, read in zip(history.offsets, history.frames, strict=True):
            for line in self._frame(read):
                found.setdefault(line, []).append(offset)
        several = len(history.frames) > 1
        lines = [line + _frames(offsets) * several for line, offsets in found.items()]
        return [*lines, *self._stuck(history)]

    # -------------------------------------------------------------------------------------------- parts

    def _frame(self, read: Readings) -> list[str]:
        reads = ~np.isnan(read.values)
        climate, values = self._climates.of(read), read.values[reads]
        judged = climate.judged(values)
        count, wrong = len(values), int(judged.wrong.sum())
        coded = (judged.wrong & np.isin(values, list(CODES))).any()
        many = wrong > max(2, count / 4) or wrong == count
        suspect = count > 2 and judged.together > climate.together * SUSPECT
        if (suspect or judged.together > climate.together or many) and not coded:
            reason = self._reasons.best(read, climate, judged)
            if reason is not None:
                anomalies = climate.anomalies(values)
                farthest = leave_one_out(climate.precision, anomalies).apart(anomalies).max()
                return [
                    f"the readings do not fit each other or the training data ({wrong} of {count} by themselves, the "
                    f"farthest is {farthest:.3g} times its error away), but all would if {reason}"
                ]
        if not judged.amiss(climate):
            return []
        lines = list(self._single(read, climate, judged.wrong))
        if len(lines) > TOLD:
            lines = [*lines[: TOLD - 1], f"and {len(lines) - TOLD + 1} more readings like these"]
        if not wrong:
            lines = [
                f"the readings together fit no field of the training data: {np.sqrt(judged.together):.1f} times the "
                "expected distance; check their units, their order and the sensors' places"
            ]
        return lines

    def _single(self, read: Readings, climate: Climate, wrong: npt.NDArray[np.bool_]) -> Iterator[str]:
        """A line for each reading that is wrong, the worst first."""
        reads = ~np.isnan(read.values)
        sensor, channel = np.nonzero(reads)
        values = read.values[reads]
        expected = given(climate.covariance, climate.anomalies(values), ~wrong)
        mean = climate.mean + climate.scale * expected.mean
        std = climate.scale * expected.std * climate.inflation
        apart = np.abs(values - mean) / std
        for index in sorted(np.flatnonzero(wrong), key=lambda each: -apart[each]):
            name = self._data.channels[channel[index]]
            units = self._data.units[channel[index]]
            from_what = "the others" if (~wrong).any() else "the training data"
            expectation = f"expected {mean[index]:.4g} +- {std[index]:.2g} {units * (units != '1')}".rstrip()
            line = (
                f"{self._who(read.places[sensor[index]])}: {name} = {values[index]:.6g}, {expectation} from {from_what}"
            )
            line += f": {apart[index]:.3g} times its error away"
            if np.isfinite(climate.low[index]):
                line += f" (training data there: {climate.low[index]:.4g} ... {climate.high[index]:.4g})"
            others = dict(zip(self._data.channels, read.values[sensor[index]].tolist(), strict=True))
            reason = single_reason(float(values[index]), mean[index], std[index], units, others)
            yield line + (f"; {reason}" if reason else "")

    def _who(self, place: FloatArray) -> str:
        """A sensor, by its number if it has one, and its place."""
        at = shown(tuple(self._data.axes), tuple(place.tolist()))
        number = np.flatnonzero((self._sensors.coordinates == place).all(axis=1))
        return f"sensor {number[0]} ({at})" if len(number) else f"the sensor at {at}"

    def _stuck(self, history: History) -> list[str]:
        """Sensors whose readings are the very same in all of three frames or more, while most others' change."""
        if len(history.frames) < 3:
            return []
        first = history.frames[0]
        if any(not np.array_equal(frame.places, first.places) for frame in history.frames):
            return []
        values = np.stack([frame.values for frame in history.frames])  # (k, n, C)
        still = (values == values[0]).all(axis=0)
        if not still.any() or still.sum() > np.isfinite(values[0]).sum() / 2:
            return []
        usual = self._climates.change(first.places)  # (n, C): what a step changes, 0 where some do not
        rounding = _resolution(values)
        lines = []
        for sensor, channel in zip(*np.nonzero(still & (usual > 5 * rounding)), strict=True):
            value = f"{self._data.channels[channel]} = {values[0, sensor, channel]:.6g}"
            lines.append(
                f"{self._who(first.places[sensor])}: {value} in all {len(values)} frames, but it changes by "
                f"{usual[sensor, channel]:.2g} from frame to frame in the training data: is it stuck?"
            )
        return lines


def _frames(offsets: list[int]) -> str:
    shown_ones = ", ".join(map(str, offsets[:4])) + (" ..." if len(offsets) > 4 else "")
    return f" [frame {shown_ones}]"


def _resolution(values: FloatArray) -> float:
    """The last digit that readings have."""
    texts = [repr(float(value)) for value in values[np.isfinite(values)].ravel()[:1000]]
    if any("e" in text for text in texts):
        return 0.0
    return 10.0 ** -max(len(text.partition(".")[2].rstrip("0")) for text in texts)
