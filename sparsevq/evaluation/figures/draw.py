"""All figures of a run, and those of many runs."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pandas as pd

from sparsevq.data.field_data import FieldData, Split
from sparsevq.errors import SparseVQError
from sparsevq.evaluation.anomalies import hidden_in_energy, hidden_in_pictures
from sparsevq.evaluation.figures.curves import (
    draw_calibration,
    draw_chain,
    draw_codebook,
    draw_lead_time,
    draw_lead_time_over_seeds,
)
from sparsevq.evaluation.figures.fields import PicturedCase, draw_animation, draw_strip
from sparsevq.evaluation.figures.spectra import draw_spectra
from sparsevq.evaluation.figures.training import draw_training
from sparsevq.evaluation.labels import NO_BASELINES, run_title
from sparsevq.evaluation.median import median_case
from sparsevq.evaluation.spectrum import spectrum_of
from sparsevq.forecasting.cases import SCHEMA, VERSION, read_cases
from sparsevq.runs.run import Run
from sparsevq.runtime.hdf5 import open_layout
from sparsevq.sensors.placement import SensorSets


def draw_case_figures(
    run: Run, histories: Mapping[str, Path], scores_dir: str | Path, out_dir: str | Path, split: Split = "test"
) -> list[Path]:
    """Draw all figures of one run: seven PNGs and ``animation.gif``.

    Pictures of fields show the case whose mean relative L2 is the median of all: neither the best nor the worst.

    Parameters
    ----------
    run
        Its data set, sensors, forecast, baselines and index dump are read.
    histories
        Stage -> its ``history.csv``, in the order of training.
    scores_dir
        Folder of the tables that `sparsevq.evaluation.scores.score` wrote.
    out_dir
        Folder to write to.
    split
        The split that the cases are from.

    Raises
    ------
    SparseVQError
        A file is missing.
    """
    scores_dir, out_dir = Path(scores_dir), Path(out_dir)
    data = run.data
    tables = {
        name: _read(scores_dir / f"{name}.csv") for name in ("cases", "chain", "calibration", "codebook", "spectra")
    }
    with (
        open_layout(run.file("forecast"), SCHEMA, VERSION) as forecast,
        open_layout(run.file("baselines"), SCHEMA, VERSION) as baselines,
    ):
        case = _pictured(data, run.sensors, forecast, baselines, tables["cases"])
    hidden = hidden_in_energy(run.basis)
    case = replace(case, climatology=np.where(hidden_in_pictures(run.basis), run.basis.mean, np.nan))
    who = run_title(tables["cases"], data.channels)
    unit = data.units[0] if len(set(data.units)) == 1 else ""
    return [
        draw_strip(case, out_dir / "strip.png"),
        draw_lead_time(tables["cases"], case.cases, who, out_dir / "lead_time.png"),
        draw_spectra(tables["spectra"], spectrum_of(data), unit, who, out_dir / "spectra.png", hidden),
        draw_codebook(run.file("codes"), tables["codebook"], split, who, out_dir / "codebook.png"),
        draw_training(histories, who, out_dir / "training.png"),
        draw_calibration(tables["calibration"], unit, who, out_dir / "calibration.png"),
        draw_chain(tables["chain"], who, out_dir / "chain.png"),
        draw_animation(case, out_dir / "animation.gif"),
    ]


def draw_summary_figures(forecast_csv: str | Path, out_dir: str | Path) -> list[Path]:
    """Draw the figures of many runs (``lead_time.png``) from ``tables/forecast.csv``."""
    return [draw_lead_time_over_seeds(_read(Path(forecast_csv)), Path(out_dir) / "lead_time.png")]


def _pictured(
    data: FieldData, sensors: SensorSets, forecast: h5py.File, baselines: h5py.File, by_case: pd.DataFrame
) -> PicturedCase:
    """The case with the median error, and the baseline with the smallest."""
    case = median_case(by_case)
    there = by_case.loc[by_case["case"] == case, "method"]  # some methods forecast from several frames alone
    later = by_case[(by_case["lead_time"] > 0) & by_case["method"].isin(there)]
    means = later.groupby("method")["relative_l2"].mean().drop(list(NO_BASELINES), errors="ignore")
    name = str(means.idxmin()) if len(means) else ""
    cases = read_cases(forecast, data)

    shape = (-1, data.num_points, len(data.channels))
    # One member at a time: the whole ensemble of a field in space would not be small.
    members = forecast["ensemble"]
    mean = (sum(members[case, member] for member in range(members.shape[1])) / members.shape[1]).reshape(shape)
    if cases.first_lead:
        mean = np.concatenate([forecast["reconstruction/sparse"][case, :1].reshape(shape), mean])
    baseline = baselines[f"methods/{name}"][case].reshape(shape) if name else None
    if baseline is not None and len(baseline) == cases.horizon:  # of an earlier version: from lead 1 on
        baseline = np.concatenate([np.full_like(baseline[:1], np.nan), baseline])
    return PicturedCase(
        data,
        sensors.sparse,
        cases,
        case,
        mean,
        baseline,
        name,
        run_title(by_case, data.channels).partition(";")[0],
    )


def _read(path: Path) -> pd.DataFrame:
    try:
        return pd.read_csv(path)
    except (OSError, pd.errors.EmptyDataError) as error:
        raise SparseVQError(f"{path} can't be read as a table ({error})", "evaluate the run first") from None
