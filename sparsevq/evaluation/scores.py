"""Scores of one run: one pass over the cases, every metric of every method, as tidy tables."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sparsevq.data.field_data import FieldData, Split
from sparsevq.errors import SparseVQError
from sparsevq.evaluation import metrics
from sparsevq.evaluation.cases import SCHEMA, VERSION, Cases, read_cases, same_cases
from sparsevq.evaluation.codebook import codebook_use
from sparsevq.evaluation.spectrum import spectrum_of
from sparsevq.evaluation.table_files import write_csv
from sparsevq.runs.run import Run
from sparsevq.runtime.hdf5 import open_layout, read_dataset, read_made_from, require_dataset
from sparsevq.sensors.placement import SensorSets

Array = NDArray[Any]

ENSEMBLE, MEMBER = "sparsevq", "sparsevq_member"
"""Methods: the mean of the ensemble (its CRPS is the ensemble's), and its first member alone."""

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


def score(run: Run, out_dir: str | Path, data_set: str, num_sensors: int, seed: int, split: Split = "test") -> None:
    """Score a forecast and its baselines on the cases that they share, at valid points, in physical units.

    Points count by the area (volume) that they stand for (`FieldData.weights`) in every metric.

    Writes into `out_dir`, each a tidy CSV that starts with the columns ``data_set, num_sensors, seed, observed_frames``
    (``codebook.csv`` without the last):

    ``scores.csv``
        ``method, channel, lead_time, metric, value, cases``: the mean over cases in which the metric is defined
        (`cases` of them); root-mean-square for `spread` and `skill`. `mse` is on fields normalised by the training
        split. `crps` of a method without an ensemble is its absolute error.
    ``cases.csv``
        ``method, case, trajectory, start_frame, lead_time`` and one column a metric: errors of every case, all
        channels.
    ``chain.csv``
        ``link, channel, lead_time, metric, value``: the chain of errors, all on the same frames; lead 0 is the
        observed one. ``rate_distortion_bound`` has but one value, that of all frames that are forecast.
    ``calibration.csv``
        ``channel, lead_time, quantity, rank, value``: spread, skill, their ratio, and the rank histogram.
    ``spectra.csv``
        ``method, lead_time, wavenumber, energy``: mean energy spectra (`spectrum_of`), channels added; `truth` is a
        method. No rows where the domain has no spectrum, and then no `spectral_error` in ``scores.csv``.
    ``codebook.csv``
        See `codebook_use`; only where there is an index dump.

    Lead times are counted in frames. The channel ``all`` is all channels in one norm; where their units differ, each is
    first divided by its training standard deviation, and quantities with a unit then have none.

    Parameters
    ----------
    run
        Its data set, sensors, forecast and baselines are read; and its index dump, for codebook use, if there is one.
    out_dir
        Folder for the tables.
    data_set, num_sensors, seed
        Identify the run in tables of many.
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
        if not same_cases(cases, read_cases(baselines, data)):
            raise SparseVQError(
                f"{run.file('baselines')} holds other cases than {run.file('forecast')}",
                "run the baselines on this forecast",
            )
        by_observed: dict[int, dict[str, pd.DataFrame]] = {}
        for observed in np.unique(cases.observed_frames):
            chosen = np.flatnonzero(cases.observed_frames == observed)
            scorer = _Scorer(data, basis.mean, sensors, cases, chosen)
            for case in map(int, chosen):
                scorer.add(case, forecast, baselines)
            by_observed[int(observed)] = scorer.tables()
    tables = {name: _stacked(by_observed, name) for name in next(iter(by_observed.values()))}
    if run.has("codes"):
        tables["codebook"] = codebook_use(run.file("codes"), split)
    identity = pd.DataFrame({"data_set": [data_set], "num_sensors": [num_sensors], "seed": [seed]})
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

    def __init__(self, data: FieldData, mean: Array, sensors: SensorSets, cases: Cases, chosen: NDArray[np.int64]):
        self._data, self._cases, self._chosen = data, cases, chosen
        self._area = data.weights
        self._at_sensor = np.zeros(data.num_points, dtype=bool)
        self._at_sensor[sensors.sparse] = True
        self._scale = data.joint_scale
        self._climatology = mean / self._scale
        self._spectrum_of = spectrum_of(data)
        self._members = 0
        self._wavenumber = np.zeros(0)
        # (method or link, metric) -> a list with one array (lead, channel) for each case
        self._scores: dict[tuple[str, str], list[Array]] = defaultdict(list)
        self._chain: dict[tuple[str, str], list[Array]] = defaultdict(list)
        self._ranks: list[Array] = []
        self._energy: dict[str, Array] = {}

    def add(self, case: int, forecast: h5py.File, baselines: h5py.File) -> None:
        """Score all methods on one case."""
        valid = self._data.flat_mask[self._cases.trajectory[case]]
        truth = (self._cases.truth(self._data, case) / self._scale)[:, valid]  # (L + 1, valid points, C)
        horizon = self._cases.horizon

        there = {link: name for link, name in CHAIN.items() if link not in NOT_IN_ALL or name in forecast}
        links = {link: self._fields(forecast, name, case, link, valid) for link, name in there.items()}
        ensemble = links["forecast"]  # (M, L, valid points, C)
        self._members = len(ensemble)
        links["forecast"] = ensemble.mean(axis=0)
        for link, fields in links.items():
            for name, metric in (("relative_l2", metrics.relative_l2), ("vrmse", metrics.vrmse)):
                error = metric(fields, truth[-len(fields) :], self._area[valid])
                # Reconstructions begin at the observed frame, lead 0; forecasts at lead 1.
                missing = np.full((horizon + 1 - len(fields), error.shape[-1]), np.nan)
                self._chain[link, name].append(np.concatenate([missing, error]))
        if BOUND in forecast:
            bound = np.full((horizon + 1, len(self._scale) + 1), np.nan)
            bound[:, -1] = read_dataset(forecast, BOUND, ())
            self._chain[BOUND, "relative_l2"].append(bound)

        predictions = {ENSEMBLE: links["forecast"], MEMBER: ensemble[0]}
        for name in baselines["methods"]:
            predictions[name] = self._fields(baselines, f"methods/{name}", case, name, valid)
        true_energy = self._spectrum("truth", truth[1:], valid)
        for method, prediction in predictions.items():
            members = ensemble if method == ENSEMBLE else prediction[None]
            energy = self._spectrum(method, prediction, valid)
            for name, value in self._metrics(prediction, members, truth[1:], valid, energy, true_energy):
                self._scores[method, name].append(value)
        self._ranks.append(metrics.rank_histogram(ensemble, truth[1:], self._area[valid]))

    def _fields(self, file: h5py.File, name: str, case: int, method: str, valid: Array) -> Array:
        """Fields of one case ``(..., valid points, C)``, scaled and checked."""
        cases, horizon = len(self._cases), self._cases.horizon
        leads = horizon + name.startswith("reconstruction")
        members = (None,) if name == "ensemble" else ()
        wanted = (cases, *members, leads, *self._data.grid, len(self._data.channels))
        fields = require_dataset(file, name, wanted)[case]
        fields = fields.reshape(*fields.shape[: len(members) + 1], self._data.num_points, -1)
        metrics.require_finite(
            fields, f"{method} ({self._cases.name(case)})", case, valid, len(members), horizon + 1 - leads
        )
        fields = fields[..., valid, :]
        return fields if (self._scale == 1).all() else fields / self._scale

    def _metrics(
        self,
        prediction: Array,
        members: Array,
        truth: Array,
        valid: Array,
        energy: Array | None,
        true_energy: Array | None,
    ) -> Iterator[tuple[str, Array]]:
        """Name and value ``(L, C + 1)`` of each metric of one method on one case."""
        weights, at_sensor = self._area[valid], self._at_sensor[valid]
        # The fields are on the joint scale: what has a unit goes back to it, except for the joint value, the last.
        unit = np.append(self._scale, 1)
        yield "relative_l2", metrics.relative_l2(prediction, truth, weights)
        yield "vrmse", metrics.vrmse(prediction, truth, weights)
        yield "mse", metrics.mse(prediction, truth, self._data.std / self._scale, weights)
        rmse = unit * metrics.rmse(prediction, truth, weights)
        yield "rmse", rmse
        climatology = self._climatology[valid]
        yield "anomaly_correlation", metrics.anomaly_correlation(prediction, truth, climatology, weights)
        for name, chosen in (("in_sensors", at_sensor), ("out_sensors", ~at_sensor)):
            value = metrics.relative_l2(prediction[:, chosen], truth[:, chosen], weights[chosen])
            yield f"relative_l2_{name}", value
        if energy is not None and true_energy is not None:
            error = metrics.spectral_error(energy, true_energy, self._wavenumber)
            for band, value in zip(metrics.BANDS, error, strict=True):
                yield f"spectral_error_{band}", value
        yield "crps", unit * metrics.fair_crps(members, truth, weights)
        if len(members) > 1:
            yield "spread", unit * metrics.ensemble_spread(members, weights)
            yield "skill", rmse  # of the ensemble mean

    def _spectrum(self, method: str, fields: Array, valid: Array) -> Array | None:
        """Energy spectra ``(L, K, C)``; None where the domain has none."""
        if self._spectrum_of.missing:
            return None
        # Inside an obstacle every method has the same value as the truth, so that its boundary affects all alike.
        whole = np.zeros((len(fields), self._data.num_points, fields.shape[-1]), dtype=fields.dtype)
        whole[:, valid] = fields
        self._wavenumber, energy = self._spectrum_of(whole)
        total = energy.sum(axis=-1) / len(self._chosen)
        self._energy[method] = self._energy.get(method, 0) + total
        return energy

    # -------------------------------------------------------------------------------------------- tables

    def tables(self) -> dict[str, pd.DataFrame]:
        """Averages over cases, by the name of the file that they belong in."""
        channels = (*self._data.channels, ALL)
        leads = range(1, self._cases.horizon + 1)
        spectra = _every(method=self._energy, lead_time=leads, wavenumber=self._wavenumber)
        return {
            "scores": _tidy("method", self._scores, channels, leads),
            "cases": self._by_case(leads),
            "chain": _tidy("link", self._chain, channels, range(self._cases.horizon + 1)).drop(columns="cases"),
            "calibration": self._calibration(channels, leads),
            "spectra": spectra.assign(energy=np.ravel(list(self._energy.values()))),
        }

    def _by_case(self, leads: range) -> pd.DataFrame:
        methods = dict.fromkeys(method for method, _ in self._scores)
        table = _every(method=methods, case=self._chosen, lead_time=leads)
        table.insert(2, "trajectory", self._cases.trajectory[table["case"]])
        table.insert(3, "start_frame", self._cases.start_frame[table["case"]])
        for name in ("relative_l2", "vrmse", "anomaly_correlation"):
            errors = np.stack([self._scores[method, name] for method in methods])  # (method, case, lead, channel)
            table[name] = errors[..., -1].ravel()
        return table

    def _calibration(self, channels: Sequence[str], leads: range) -> pd.DataFrame:
        ranks = np.mean(self._ranks, axis=0)  # (M + 1, L, C + 1)
        quantities: list[tuple[str, int | None, Array]] = []
        if self._members > 1:
            spread = metrics.root_mean_square(np.stack(self._scores[ENSEMBLE, "spread"]))  # (L, C + 1)
            skill = metrics.root_mean_square(np.stack(self._scores[ENSEMBLE, "skill"]))
            ratio = metrics.spread_skill_ratio(spread, skill, self._members)
            quantities += [("spread", None, spread), ("skill", None, skill), ("spread_skill_ratio", None, ratio)]
        quantities += [("rank_frequency", rank, values) for rank, values in enumerate(ranks)]
        table = pd.concat(
            _table_of(values, channels, leads).assign(quantity=quantity, rank=rank)
            for quantity, rank, values in quantities
        )
        table["rank"] = table["rank"].astype("Int64")
        return table[["channel", "lead_time", "quantity", "rank", "value"]]


def _tidy(
    first: str, scores: dict[tuple[str, str], list[Array]], channels: Sequence[str], leads: range
) -> pd.DataFrame:
    """Averages over cases: ``<first>, channel, lead_time, metric, value, cases``, without what is never defined."""
    parts = []
    for (owner, metric), values in scores.items():
        stacked = np.stack(values)  # (case, lead, channel)
        defined = ~np.isnan(stacked)
        power = 2 if metric in ("spread", "skill") else 1
        count = defined.sum(axis=0)
        mean = (np.where(defined, stacked, 0) ** power).sum(axis=0) / np.maximum(count, 1)
        table = _table_of(mean ** (1 / power), channels, leads)
        parts.append(table.assign(**{first: owner, "metric": metric, "cases": count.T.ravel()}))
    table = pd.concat(parts)
    return table.loc[table["cases"] > 0, [first, "channel", "lead_time", "metric", "value", "cases"]]


def _table_of(values: Array, channels: Sequence[str], leads: range) -> pd.DataFrame:
    """``(lead, channel)`` as rows, channel by channel."""
    return _every(channel=channels, lead_time=leads).assign(value=values.T.ravel())


def _every(**columns: Iterable[Any]) -> pd.DataFrame:
    """A row for each combination of what the columns hold, the last running fastest."""
    index = pd.MultiIndex.from_product([list(values) for values in columns.values()], names=list(columns))
    return index.to_frame(index=False)
