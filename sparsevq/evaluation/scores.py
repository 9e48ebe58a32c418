"""Scores of one run: one pass over the cases, every metric of every method, as tidy tables."""

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sparsevq.baselines.ensembles import forecasts_from, members
from sparsevq.basis.basis import Basis
from sparsevq.data.field_data import FieldData, Split
from sparsevq.errors import SparseVQError
from sparsevq.evaluation import metrics
from sparsevq.evaluation.anomalies import hidden_in_energy
from sparsevq.evaluation.score_tables import by_case, calibration, coverage_name, every, tidy
from sparsevq.evaluation.spectrum import spectrum_of
from sparsevq.evaluation.table_files import write_csv
from sparsevq.forecasting.cases import SCHEMA, VERSION, Cases, read_cases, require_finite, same_cases
from sparsevq.runs.run import Run
from sparsevq.runtime.hdf5 import open_layout, read_dataset, read_made_from, require_dataset
from sparsevq.sensors.placement import SensorSets

Array = NDArray[Any]

ENSEMBLE, MEMBER = "sparsevq", "sparsevq_member"
"""Methods: the mean of the ensemble, and its first member alone. Errors of the others, baselines, are of their single
forecast. CRPS and calibration of all but the member are of ensembles."""

CHAIN = {
    "linear_estimate": "reconstruction/linear",
    "teacher_reconstruction": "reconstruction/semi_sparse",
    "sparse_reconstruction": "reconstruction/sparse",
    "quantized_teacher_reconstruction": "reconstruction/quantized_complete",
    "quantized_reconstruction": "reconstruction/quantized",
    "forecast": "ensemble",
    "forecast_teacher_prompt": "teacher_prompt",
}
"""Links of the chain of errors, and where the forecast file has them."""

NOT_IN_ALL = ("linear_estimate", "quantized_teacher_reconstruction")
"""Links that files of earlier versions do not have; without a basis there is no linear estimate either."""

BOUND = "rate_distortion_bound"
"""A link that has no fields, but one number for all frames: the relative L2 that the codes' bits leave at best."""

ALL = "all"
"""The channel column's entry for all channels in one norm."""


def score(run: Run, out_dir: str | Path, identity: pd.DataFrame, split: Split = "test") -> None:
    """Score a forecast and its baselines on the cases that they share, at valid points, in physical units.

    Points count by the area (volume) that they stand for (`FieldData.weights`) in every metric.

    Writes into `out_dir`, each a tidy CSV that starts with the columns ``data_set, num_sensors, seed, observed_frames``
    (``codebook.csv`` without the last):

    ``scores.csv``
        ``method, channel, lead_time, metric, value, cases``: the mean over cases in which the metric is defined
        (`cases` of them); root-mean-square for `spread` and `skill`. `mse` is on fields normalised by the training
        split. `crps` of one member is its absolute error; `skill` is the error of the mean of the members, which for a
        baseline is not its single forecast.
    ``cases.csv``
        ``method, case, trajectory, start_frame, lead_time`` and one column a metric: errors of every case, all
        channels.
    ``chain.csv``
        ``link, channel, lead_time, metric, value``: the chain of errors, all on the same frames.
        ``rate_distortion_bound`` has but one value, that of all frames that are forecast.
    ``calibration.csv``
        ``method, channel, lead_time, quantity, rank, value``: of each ensemble spread, skill, their ratio, coverage of
        the central 50 and 90 % intervals (empty where there are too few members), and the rank histogram.
    ``spectra.csv``
        ``method, lead_time, wavenumber, energy``: mean energy spectra (`spectrum_of`), channels added; of the anomalies
        where the time mean has nearly all of a channel's energy (`hidden_in_energy`); `truth` is a method.
        No rows where the domain has no spectrum, and then no `spectral_error` in ``scores.csv``.
    ``codebook.csv``
        See `codebook_use`; only where there is an index dump.

    Lead times are counted in frames from the last observed one, which is lead 0: its analysis. The channel ``all`` is
    all channels in one norm; where their units differ, each is first divided by its training standard deviation, and
    quantities with a unit then have none.

    Parameters
    ----------
    run
        Its data set, sensors, forecast and baselines are read; and its index dump, for codebook use, if there is one.
    out_dir
        Folder for the tables.
    identity
        Identifies the run in tables of many (`sparsevq.evaluation.table_files.identity_of`).
    split
        The split that the cases are from, for codebook use.

    Raises
    ------
    SparseVQError
        A prediction is NaN or infinite at a valid point, or the files do not belong together.
    """
    data, sensors, basis = run.data, run.sensors, run.basis
    with (
        open_layout(run.file("forecast"), SCHEMA, VERSION) as forecast,
        open_layout(run.file("baselines"), SCHEMA, VERSION) as baselines,
    ):
        run.check("forecast", read_made_from(forecast))
        run.check("baselines", read_made_from(baselines))
        cases = read_cases(forecast, data)
        of_baselines = read_cases(baselines, data)
        if not same_cases(cases, of_baselines):
            raise SparseVQError(
                f"{run.file('baselines')} holds other cases than {run.file('forecast')}",
                "run the baselines on this forecast",
            )
        by_observed: dict[int, dict[str, pd.DataFrame]] = {}
        for observed in np.unique(cases.observed_frames):
            chosen = np.flatnonzero(cases.observed_frames == observed)
            scorer = _Scorer(data, basis, sensors, cases, chosen, of_baselines.first_lead)
            for case in map(int, chosen):
                scorer.add(case, forecast, baselines)
            by_observed[int(observed)] = scorer.tables()
    tables = {name: _stacked(by_observed, name) for name in next(iter(by_observed.values()))}
    if run.has("codes"):
        from sparsevq.evaluation.codebook import codebook_use  # imports torch, which takes seconds

        tables["codebook"] = codebook_use(run.file("codes"), split)
    for name, table in tables.items():
        write_csv(Path(out_dir) / f"{name}.csv", identity.merge(table, how="cross"))


def _stacked(by_observed: dict[int, dict[str, pd.DataFrame]], name: str) -> pd.DataFrame:
    """One table of forecasts from each number of observed frames, which becomes the first column."""
    parts = []
    for observed, tables in by_observed.items():
        part = tables[name]
        part.insert(0, "observed_frames", observed)
        parts.append(part)
    return pd.concat(parts)


class _Scorer:
    """Collects the metrics of `chosen` cases, one after the other; memory holds the fields of one case at a time."""

    def __init__(
        self,
        data: FieldData,
        basis: Basis,
        sensors: SensorSets,
        cases: Cases,
        chosen: NDArray[np.int64],
        baselines_from: int,
    ):
        self._data, self._cases, self._chosen, self._baselines_from = data, cases, chosen, baselines_from
        self._area = data.weights
        self._at_sensor = np.zeros(data.num_points, dtype=bool)
        self._at_sensor[sensors.sparse] = True
        self._scale = data.joint_scale
        self._climatology = basis.mean / self._scale
        self._hidden = hidden_in_energy(basis)  # channels whose spectra are those of the anomalies
        self._spectrum_of = spectrum_of(data)
        self._wavenumber = self._true_energy = np.zeros(0)  # the latter of the case at hand
        # (method or link, metric) -> a list with one array (lead, channel) for each case
        self._scores: dict[tuple[str, str], list[Array]] = defaultdict(list)
        self._chain: dict[tuple[str, str], list[Array]] = defaultdict(list)
        self._ranks: dict[str, list[Array]] = defaultdict(list)
        self._energy: dict[str, Array] = {}

    def add(self, case: int, forecast: h5py.File, baselines: h5py.File) -> None:
        """Score all methods on one case."""
        valid = self._data.flat_mask[self._cases.trajectory[case]]
        truth = (self._cases.truth(self._data, case) / self._scale)[:, valid]  # (L + 1, valid points, C)
        leads = len(truth)

        there = {link: name for link, name in CHAIN.items() if link not in NOT_IN_ALL or name in forecast}
        links = {link: self._fields(forecast, name, case, link, valid) for link, name in there.items()}
        ensemble = links["forecast"]  # (M, L or L + 1, valid points, C)
        # The mean without the members' noise, where the file has it.
        own_mean = "mean" in forecast
        links["forecast"] = self._fields(forecast, "mean", case, ENSEMBLE, valid) if own_mean else ensemble.mean(axis=0)
        for link, fields in links.items():
            for name, metric in (("relative_l2", metrics.relative_l2), ("vrmse", metrics.vrmse)):
                error = metric(fields, truth[-len(fields) :], self._area[valid])
                self._chain[link, name].append(_from_lead_zero(error, leads))
        if BOUND in forecast:
            bound = np.full((leads, len(self._scale) + 1), np.nan)
            bound[:, -1] = read_dataset(forecast, BOUND, ())
            self._chain[BOUND, "relative_l2"].append(bound)

        self._spectrum("truth", truth, valid, leads)
        self._add(ENSEMBLE, links["forecast"], ensemble, truth, valid)
        self._add(MEMBER, ensemble[0], ensemble[:1], truth, valid)
        for name, stored in baselines["methods"].items():
            if not forecasts_from(stored, self._cases.observed_frames[case]):
                continue
            fields = self._fields(baselines, f"methods/{name}", case, name, valid)
            self._add(name, fields, self._members(baselines, name, case, valid), truth, valid)

    def _add(self, method: str, prediction: Array, ensemble: Array | None, truth: Array, valid: Array) -> None:
        """Score the single forecast and the members of one method on one case; both begin at lead 0 or at lead 1.

        No members: the single forecast is one.
        """
        leads, truth = len(truth), truth[-len(prediction) :]
        energy = self._spectrum(method, prediction, valid, leads)
        ensemble = prediction[None] if ensemble is None else ensemble
        of_ensemble, ranks = self._of_ensemble(ensemble, truth, valid)
        for name, value in [*self._errors(prediction, truth, valid, energy), *of_ensemble.items()]:
            self._scores[method, name].append(_from_lead_zero(value, leads))
        if method == ENSEMBLE or len(ensemble) > 1:
            self._ranks[method].append(_from_lead_zero(ranks, leads, axis=1))

    def _fields(self, file: h5py.File, name: str, case: int, method: str, valid: Array) -> Array:
        """Fields of one case ``(..., valid points, C)``, scaled and checked."""
        first = self._baselines_from if name.startswith("methods") else self._cases.first_lead
        first = 0 if name.startswith("reconstruction") else first
        leads = self._cases.horizon + 1 - first
        of_members = (None,) if name == "ensemble" else ()
        wanted = (len(self._cases), *of_members, leads, *self._data.grid, len(self._data.channels))
        fields = require_dataset(file, name, wanted)[case]
        fields = fields.reshape(*fields.shape[: len(of_members) + 1], self._data.num_points, -1)
        where = f"{method} ({self._cases.name(case)})"
        require_finite(fields, where, case, valid, len(of_members), first)
        return self._scaled(fields, valid)

    def _members(self, file: h5py.File, name: str, case: int, valid: Array) -> Array | None:
        """The members of a baseline as `_fields`; None in files of earlier versions."""
        fields = file[f"methods/{name}"][case]
        fields = fields.reshape(len(fields), self._data.num_points, -1)
        found = members(file, name, case, fields, self._data)
        if found is None:
            return None
        where = f"{name}'s ensemble ({self._cases.name(case)})"
        require_finite(found, where, case, valid, 1, self._baselines_from)
        return self._scaled(found, valid)

    def _scaled(self, fields: Array, valid: Array) -> Array:
        # A take of numbers is several times as fast as an index of booleans.
        fields = fields if valid.all() else fields.take(np.flatnonzero(valid), axis=-2)
        return fields if (self._scale == 1).all() else fields / self._scale

    def _errors(
        self, prediction: Array, truth: Array, valid: Array, energy: Array | None
    ) -> Iterator[tuple[str, Array]]:
        """Name and value ``(leads, C + 1)`` of each metric of a single forecast; `energy` is its spectrum."""
        weights, at_sensor = self._area[valid], self._at_sensor[valid]
        # The fields are on the joint scale: what has a unit goes back to it, except for the joint value, the last.
        unit = np.append(self._scale, 1)
        yield "relative_l2", metrics.relative_l2(prediction, truth, weights)
        yield "vrmse", metrics.vrmse(prediction, truth, weights)
        yield "mse", metrics.mse(prediction, truth, self._data.std / self._scale, weights)
        yield "rmse", unit * metrics.rmse(prediction, truth, weights)
        climatology = self._climatology[valid]
        yield "relative_l2_anomalies", metrics.relative_l2_anomalies(prediction, truth, climatology, weights)
        yield "anomaly_correlation", metrics.anomaly_correlation(prediction, truth, climatology, weights)
        for name, chosen in (("in_sensors", at_sensor), ("out_sensors", ~at_sensor)):
            value = metrics.relative_l2(prediction[:, chosen], truth[:, chosen], weights[chosen])
            yield f"relative_l2_{name}", value
        if energy is not None:
            error = metrics.spectral_error(energy, self._true_energy[-len(energy) :], self._wavenumber)
            for band, value in zip(metrics.BANDS, error, strict=True):
                yield f"spectral_error_{band}", value

    def _of_ensemble(self, ensemble: Array, truth: Array, valid: Array) -> tuple[dict[str, Array], Array]:
        """Each metric of an ensemble ``(leads, C + 1)`` by name, and the rank histogram ``(M + 1, leads, C + 1)``.

        One lead at a time, for it may be large; its members are ranked once.
        """
        weights, ranks = self._area[valid], []
        found: dict[str, list[Array]] = defaultdict(list)
        for lead, true in enumerate(truth):
            members = ensemble[:, lead]
            ranked = metrics.rank(members)
            found["crps"].append(metrics.fair_crps(ranked, true, weights))
            ranks.append(metrics.rank_histogram(ranked, true, weights))
            if len(ensemble) == 1:
                continue
            found["spread"].append(metrics.ensemble_spread(members, weights))
            found["skill"].append(metrics.rmse(members.mean(axis=0), true, weights))
            for share in metrics.INTERVALS:
                found[coverage_name(share)].append(metrics.interval_coverage(ranked, true, share, weights))
        unit = np.append(self._scale, 1)
        scores = {
            name: np.stack(values) * (unit if name in ("crps", "spread", "skill") else 1)
            for name, values in found.items()
        }
        return scores, np.stack(ranks, axis=1)

    def _spectrum(self, method: str, fields: Array, valid: Array, leads: int) -> Array | None:
        """Energy spectra ``(leads of the fields, K, C)``; None where the domain has none."""
        if self._spectrum_of.missing:
            return None
        # Inside an obstacle every method has the same value as the truth, so that its boundary affects all alike.
        whole = np.zeros((len(fields), self._data.num_points, fields.shape[-1]), dtype=fields.dtype)
        whole[:, valid] = fields - np.where(self._hidden, self._climatology[valid], 0).astype(fields.dtype)
        self._wavenumber, energy = self._spectrum_of(whole)
        if method == "truth":
            self._true_energy = energy
        total = _from_lead_zero(energy.sum(axis=-1), leads) / len(self._chosen)
        self._energy[method] = self._energy.get(method, 0) + total
        return energy

    # -------------------------------------------------------------------------------------------- tables

    def tables(self) -> dict[str, pd.DataFrame]:
        """Averages over cases, by the name of the file that they belong in."""
        channels, leads = (*self._data.channels, ALL), range(self._cases.horizon + 1)
        spectra = every(method=self._energy, lead_time=leads, wavenumber=self._wavenumber)
        spectra["energy"] = np.ravel(list(self._energy.values()))
        return {
            "scores": tidy("method", self._scores, channels, leads),
            "cases": by_case(self._scores, self._cases, self._chosen, leads),
            "chain": tidy("link", self._chain, channels, leads).drop(columns="cases"),
            "calibration": calibration(self._scores, self._ranks, channels, leads),
            "spectra": spectra.dropna(),
        }


def _from_lead_zero(values: Array, leads: int, axis: int = 0) -> Array:
    """Values of the last lead times along an axis, with NaN for those of `leads` that come before them."""
    missing = leads - values.shape[axis]
    widths = [(missing if place == axis else 0, 0) for place in range(values.ndim)]
    return np.pad(values, widths, constant_values=np.nan)
