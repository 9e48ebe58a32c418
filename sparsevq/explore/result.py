"""The page of a run: a few of its held-out forecasts beside their truth, and its scores."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sparsevq.data.clock import frame_date
from sparsevq.errors import SparseVQError
from sparsevq.evaluation.metrics import relative_l2
from sparsevq.explore.content import Content, channels_described, fitted, shown
from sparsevq.explore.domain import Domain
from sparsevq.explore.fields import Fields, packed_fields, scales
from sparsevq.explore.headline import ENSEMBLE, error_curves, headline
from sparsevq.explore.packing import packed, rounded
from sparsevq.explore.sensors import AtSensors, sensors_described
from sparsevq.forecasting.cases import SCHEMA, VERSION, Cases, read_cases
from sparsevq.runs.run import Run
from sparsevq.runtime.hdf5 import open_layout, read_made_from
from sparsevq.version import VERSION as RELEASE

Array = NDArray[Any]

TABLES = ("scores", "cases", "calibration")


def result_page(run: Run, tables: Path) -> Content:
    """What the page of a run shows.

    Of the forecasts from the largest number of observed frames the one with the median error, the best and the worst;
    of those from other numbers the median one.

    Parameters
    ----------
    run
        Its data set, sensors and forecast are read.
    tables
        Folder of its ``scores.csv``, ``cases.csv`` and ``calibration.csv``.

    Raises
    ------
    SparseVQError
        A file is missing, damaged or of another run.
    """
    data, read = run.data, {name: _read(tables / f"{name}.csv") for name in TABLES}
    with open_layout(run.file("forecast"), SCHEMA, VERSION) as file:
        run.check("forecast", read_made_from(file))
        cases = read_cases(file, data)
        chosen = choose_cases(read["cases"])
        pictured = [_Pictured(run, file, cases, case) for case in chosen]
        domain, described = fitted(
            Domain.of(data, cases.horizon + 1),
            lambda domain: [case.described(domain, chosen[case.case]) for case in pictured],
        )
        members = int(file["ensemble"].shape[1])
    settings = sorted(set(cases.observed_frames[list(chosen)].tolist()))
    of = {
        int(observed): {name: table[table["observed_frames"] == observed] for name, table in read.items()}
        for observed in settings
    }
    first = read["scores"].iloc[0]
    outside = bool((data.split[cases.trajectory] == "ood").all())
    sensors = int(first["num_sensors"])
    placement = f" ({first['placement']})" if "placement" in first else ""
    title = f"{data.name}: {sensors} sensors{placement}, seed {first['seed']}"
    count = len(np.unique(cases.trajectory))
    which = "outside the training range" if outside else "held out of training"
    whose = f"{count} trajector{'ies' if count > 1 else 'y'} {which}"
    about = [
        f"{len(cases)} forecasts of {whose}; {len(chosen)} are shown",
        f"{members} members, {cases.horizon} frames",
        f"sparsevq {RELEASE}",
    ]
    script = {
        "channels": channels_described(data),
        "members": members,
        "curves": {observed: error_curves(parts["scores"], data.channels) for observed, parts in of.items()},
        "timeMean": _time_mean(run, domain),
        **shown(domain, np.concatenate([[0.0], cases.lead_time]), cases.lead_units, described),
    }
    numbers = {observed: headline(*(parts[name] for name in TABLES)) for observed, parts in of.items()}
    return Content(title, about, numbers, script)


def _time_mean(run: Run, domain: Domain) -> dict[str, Any] | None:
    """Time mean of each point, by channel, and its share of the variance; models of earlier versions have none."""
    if not run.has("basis"):
        return None
    fields = [packed(channel[None]) for channel in run.basis.mean[domain.points].T]
    return {"fields": fields, "shares": rounded(run.basis.time_mean_share)}


def choose_cases(by_case: pd.DataFrame) -> dict[int, str]:
    """Case -> why it is shown, by its mean relative L2 over lead times from 1 on."""
    rows = by_case[(by_case["lead_time"] > 0) & (by_case["method"] == ENSEMBLE)]
    chosen: dict[int, str] = {}
    for rank, (_, of) in enumerate(sorted(rows.groupby("observed_frames"), reverse=True)):
        errors = of.groupby("case")["relative_l2"].mean().sort_values(kind="stable")
        places = {"median error": (len(errors) - 1) // 2, "smallest error": 0, "largest error": len(errors) - 1}
        for reason, place in list(places.items())[: 1 if rank else None]:
            chosen.setdefault(int(errors.index[place]), reason)
    return chosen


class _Pictured:
    """One case of an open forecast file."""

    def __init__(self, run: Run, file: h5py.File, cases: Cases, case: int):
        self._run, self._data, self._sensors = run, run.data, run.sensors
        self._file, self._cases, self.case = file, cases, case
        self._valid = self._data.flat_mask[cases.trajectory[case]]
        self._shape = (self._data.num_points, len(self._data.channels))

    def described(self, domain: Domain, reason: str) -> dict[str, Any]:
        """For the page's script."""
        data, cases, case = self._data, self._cases, self.case
        truth, mean, valid = cases.truth(data, case), self._mean(), self._valid
        points, leads = domain.points, domain.leads
        there = np.where(valid[points][:, None], 1, np.nan).astype(np.float32)
        at = np.ix_(leads, points)
        fields = Fields(truth[at] * there, mean[at] * there, self._members(points)[:, leads] * there)
        found = scales(fields, self._run.basis.mean[points] if self._run.has("basis") else None)
        scale = data.joint_scale
        errors = relative_l2(mean[:, valid] / scale, truth[:, valid] / scale, data.weights[valid])
        start, observed = int(cases.start_frame[case]), int(cases.observed_frames[case])
        trajectory = int(cases.trajectory[case])
        dates = [frame_date(data, trajectory, frame) for frame in range(start, start + cases.horizon + 1)]
        return {
            "name": cases.name(case),
            "reason": reason,
            "observed": observed,
            "dates": None if dates[0] is None else [str(dates[lead]) for lead in leads],
            "errors": rounded(errors.T),
            "scales": found,
            "fields": packed_fields(fields, np.array([scale["bound"] for scale in found])),
            "sensors": self._at_sensors(truth[leads], mean[leads], leads),
        }

    def _mean(self) -> Array:
        """``(L + 1, N, C)``: the forecast; of files that begin at lead 1, lead 0 is the reconstruction."""
        file, case = self._file, self.case
        if "mean" in file:
            found = file["mean"][case]
        else:  # one member at a time: the whole ensemble of a field in space would not be small
            members = file["ensemble"]
            found = sum(members[case, member] for member in range(members.shape[1])) / members.shape[1]
        found = found.reshape(-1, *self._shape)
        if self._cases.first_lead:
            found = np.concatenate([file["reconstruction/sparse"][case, :1].reshape(1, *self._shape), found])
        return np.asarray(found)

    def _members(self, points: NDArray[np.int64]) -> Array:
        """``(M, L + 1, n, C)`` at some points; NaN at lead 0 where the file begins at lead 1."""
        stored = self._file["ensemble"]
        found = np.full((stored.shape[1], self._cases.horizon + 1, len(points), self._shape[1]), np.nan, np.float32)
        for member in range(len(found)):
            found[member, self._cases.first_lead :] = stored[self.case, member].reshape(-1, *self._shape)[:, points]
        return found

    def _at_sensors(self, truth: Array, mean: Array, leads: NDArray[np.int64]) -> dict[str, Any]:
        """Places of the sensors, what they read, and truth and forecast there."""
        data, cases, sensors, case = self._data, self._cases, self._sensors, self.case
        start, count = int(cases.start_frame[case]), int(cases.observed_frames[case])
        frames = np.arange(start - count + 1, start + 1)
        points = sensors.sparse
        return sensors_described(
            AtSensors(
                [str(number) for number in range(len(points))],
                data.physical_coordinates[points],
                sensors.channels[: len(points)],
                data.time[frames] - data.time[start],
                data.flat_fields[cases.trajectory[case], frames][:, points],
                truth[:, points],
                mean[:, points],
                self._members(points)[:, leads],
            )
        )


def _read(path: Path) -> pd.DataFrame:
    try:
        table = pd.read_csv(path)
    except (OSError, pd.errors.EmptyDataError, pd.errors.ParserError) as error:
        raise SparseVQError(f"{path} can't be read as a table ({error})", "evaluate the run first") from None
    if "observed_frames" not in table:  # of earlier versions
        table.insert(0, "observed_frames", 1)
    return table
