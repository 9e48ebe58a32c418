"""Forecast the held-out trajectories, and reconstruct the same frames by every link of the chain."""

from pathlib import Path

import h5py
import numpy as np
import torch

from sparsevq.config import ForecastConfig, Symmetries
from sparsevq.data.clock import frame_date
from sparsevq.data.device_fields import DeviceFields, Views
from sparsevq.data.field_data import FieldData, Split
from sparsevq.errors import SparseVQError
from sparsevq.forecasting.dataset.lead_times import lead_times
from sparsevq.forecasting.links import bits_of, rate_distortion_bound, reconstructions
from sparsevq.forecasting.model import (
    Asked,
    ForecastModel,
    dense_regression,
    doubt_about_members,
    load_forecast_model,
    seen_by_sensors,
    seen_by_teacher,
)
from sparsevq.runs.codes import Codes
from sparsevq.runs.run import Run
from sparsevq.runtime.devices.fabric import Fabric
from sparsevq.runtime.hdf5 import created, stamp, write_column
from sparsevq.stage1.modal import linear_theory

SCHEMA = "sparsevq-forecast"
VERSION = 1


def forecast_held_out(
    run: Run, out: Path, *, settings: ForecastConfig, seed: int, fabric: Fabric, split: Split = "test"
) -> None:
    """Write `forecast.h5` (docs/data-format.md): every trajectory of a held-out split from every start frame.

    Parameters
    ----------
    run
        All its files are read.
    out
        The file to write.
    seed
        Of the ensemble's draws.

    Raises
    ------
    SparseVQError
        An input is missing, damaged or doesn't fit the others; or a start frame leaves too few frames to score.
    """
    data, model = run.data, load_forecast_model(run, fabric.device)
    codes = run.codes(fabric.device)
    if not torch.equal(codes.codebook, model.tokenizer.quantizer.codebook().float()):
        raise SparseVQError(
            f"{run.file('codes')} was dumped by another tokenizer than the one beside it", "dump it again"
        )
    fields = DeviceFields(data, Symmetries(), fabric.device, model.teacher.basis)
    trajectory, start, observed = cases(data, settings, split)
    frames = torch.from_numpy(start)[:, None] + torch.arange(settings.horizon + 1)
    which = torch.from_numpy(trajectory)[:, None].expand_as(frames)
    frames, which = frames.to(fabric.device), which.to(fabric.device)  # (case, lead 0 ... horizon)
    temperature = model.temperature if settings.temperature is None else settings.temperature
    asked = Asked(settings.horizon, settings.members, temperature, settings.top_k, seed, model.network)
    dense = dense_regression(model.gpt, codes)

    print(f"{len(start)} forecasts of {settings.horizon} frames, {settings.members} members", flush=True)
    with fabric.autocast(), created(out) as file:
        basis = () if model.teacher.basis is None else ("basis",)  # models of earlier versions have none
        calibration = ("calibration",) if run.has("calibration") else ()
        made_from = run.paths(
            "data", *basis, "sensors", "sparse", "semi_sparse", "tokenizer", "gpt", "codes", *calibration
        )
        stamp(file, SCHEMA, VERSION, made_from, {**settings.model_dump(mode="json"), "seed": seed, "split": split})
        file["trajectory"], file["start_frame"], file["observed_frames"] = trajectory, start, observed
        file["lead_time"] = lead_times(data, settings.horizon)[1:]
        file["lead_time"].attrs["units"] = data.time_units
        _write_dates(file, data, trajectory, start)
        views = Views(which.flatten(), frames.flatten(), torch.zeros_like(frames.flatten()))
        _write_reconstructions(file, model, codes, fields, views, (*frames.shape, *data.grid))

        file["temperature"] = temperature
        shape = (len(start), settings.members, settings.horizon + 1)
        grid = (*data.grid, len(data.channels))
        tokens = file.create_dataset("tokens", (*shape, *codes.sparse.shape[-2:]), "i4")
        ensemble = file.create_dataset("ensemble", (*shape, *grid), "f4", chunks=(1, 1, shape[2], *grid))
        best = file.create_dataset("mean", (shape[0], shape[2], *grid), "f4")
        prompted = file.create_dataset("teacher_prompt", (shape[0], shape[2], *grid), "f4")
        file.attrs["first_lead"] = 0
        for count in settings.observed_frames:
            rows = np.flatnonzero(observed == count)
            of_cases = which[rows, 0], frames[rows, 0]
            for seen, store in (
                (seen_by_sensors(model.gpt, codes, *of_cases, count), ensemble),
                (seen_by_teacher(codes, *of_cases, dense), prompted),
            ):
                drawn = model.generate(seen, asked)
                if store is prompted:
                    for row, case in enumerate(rows):
                        mean = model.mean(drawn.case(row), fields)
                        prompted[case] = mean.unflatten(-2, data.grid).cpu().numpy()
                    continue
                if doubt := doubt_about_members(drawn, asked):
                    print(f"WARNING: {doubt}", flush=True)
                tokens[rows] = drawn.codes.cpu().numpy().astype(np.int32)
                for row, case in enumerate(rows):
                    best[case] = model.mean(drawn.case(row), fields).unflatten(-2, data.grid).cpu()
                    ensemble[case] = model.ensemble(drawn.case(row), fields, count).unflatten(-2, data.grid).cpu()
                    said = f"trajectory {trajectory[case]} from frame {start[case]}, {count} observed"
                    print(f"case {case + 1}/{len(start)}: {said}", flush=True)


def _write_dates(file: h5py.File, data: FieldData, trajectory: np.ndarray, start: np.ndarray) -> None:
    """The date of the last observed frame of each case, where the data set has dates."""
    dates = [frame_date(data, *case) for case in zip(trajectory.tolist(), start.tolist(), strict=True)]
    found = [date.isoformat() for date in dates if date is not None]
    if len(found) == len(dates):
        write_column(file, "reference_time", np.array(found))
        file["reference_time"].attrs["calendar"] = data.calendar


def _write_reconstructions(
    file: h5py.File,
    model: ForecastModel,
    codes: Codes,
    fields: DeviceFields,
    views: Views,
    shape: tuple[int, ...],
) -> None:
    """Reconstruct frames by each link of the chain, and say what the bits of the codes could do at best.

    `shape` is (case, lead, *grid), of which the views are the flattened cases and leads.
    """
    theory = linear_theory(model.sparse)
    for name, values in reconstructions(model, theory, codes, fields, views):
        file[f"reconstruction/{name}"] = values.cpu().numpy().reshape(*shape, -1)
    if theory is not None:
        later = torch.arange(len(views), device=fields.device) % shape[1] > 0  # the frames that are forecast
        bits = bits_of(codes)
        file["rate_distortion_bound"] = rate_distortion_bound(theory, fields, views[later], bits)
        file["rate_distortion_bound"].attrs["bits"] = bits
    print(f"reconstructed {len(views)} frames by each link of the chain", flush=True)


def cases(
    data: FieldData, settings: ForecastConfig, split: Split = "test"
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Trajectory, last observed frame and number of observed frames of every forecast, (case,) int64 each.

    Raises
    ------
    SparseVQError
        A start frame leaves fewer frames than the horizon, or there is no trajectory of that split.
    """
    if not len(data.trajectories(split)):
        raise SparseVQError(f"{data.name} has no trajectory of the split {split}", "give it at least one (/split)")
    frames = data.fields.shape[1]
    late = [start for start in settings.starts if start + settings.horizon >= frames]
    if late:
        raise SparseVQError(
            f"forecast.starts={late[0]} with forecast.horizon={settings.horizon} "
            f"needs frame {late[0] + settings.horizon}, but the trajectories of {data.name} end at frame {frames - 1}",
            "start earlier or lower the horizon",
        )
    found = np.meshgrid(data.trajectories(split), settings.starts, settings.observed_frames, indexing="ij")
    trajectory, start, observed = (of_case.ravel().astype(np.int64) for of_case in found)
    return trajectory, start, observed
