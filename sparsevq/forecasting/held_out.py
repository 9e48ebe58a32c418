"""Forecast the held-out trajectories, and reconstruct the same frames by every link of the chain."""

from pathlib import Path

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor

from sparsevq.config import ForecastConfig, Symmetries
from sparsevq.data.device_fields import DeviceFields, Views
from sparsevq.data.field_data import FieldData, Split
from sparsevq.data.layout import read_data
from sparsevq.errors import SparseVQError
from sparsevq.forecasting.model import ForecastModel, load_forecast_model
from sparsevq.runtime.files import digest
from sparsevq.runtime.hdf5 import created, stamp
from sparsevq.runtime.integrity import require_made_from
from sparsevq.sensors.placement import read_sensors
from sparsevq.stage1.encoding import Stage1Model, decode_everywhere, encode_views
from sparsevq.stage3.codes import Codes, read_codes
from sparsevq.training.loop import Logs

SCHEMA = "sparsevq-forecast"
VERSION = 1


def forecast_held_out(
    data_path: Path,
    sensors_path: Path,
    sparse_model: Path,
    semi_sparse_model: Path,
    tokenizer_model: Path,
    gpt_model: Path,
    codes_path: Path,
    out: Path,
    *,
    settings: ForecastConfig,
    seed: int,
    fabric: Fabric,
    tracker: Logs,
    split: Split = "test",
) -> None:
    """Write `forecast.h5` (docs/data-format.md): every trajectory of a held-out split from every start frame.

    Raises
    ------
    SparseVQError
        An input is missing, damaged or doesn't fit the others; or a start frame leaves too few frames to score.
    """
    data = read_data(data_path)
    sensors = read_sensors(sensors_path, data)
    codes = read_codes(codes_path, fabric.device)
    model = load_forecast_model(
        data,
        sensors,
        sparse_model=sparse_model,
        semi_sparse_model=semi_sparse_model,
        tokenizer_model=tokenizer_model,
        gpt_model=gpt_model,
        device=fabric.device,
        codes=codes,
    )
    given = {"data": data.digest, "sensors": sensors.digest, "tokenizer": digest(tokenizer_model)}
    given |= {"sparse": model.sparse.digest, "semi_sparse": model.teacher.digest}
    _require_dumped_by(codes_path, codes, model, given)
    fields = DeviceFields(data, Symmetries(), fabric.device)
    trajectory, start = cases(data, settings, split)
    frames = torch.from_numpy(start)[:, None] + torch.arange(settings.horizon + 1)
    which = torch.from_numpy(trajectory)[:, None].expand_as(frames)
    frames, which = frames.to(fabric.device), which.to(fabric.device)
    views = Views(which.flatten(), frames.flatten(), torch.zeros_like(frames.flatten()))

    def shaped(values: Tensor) -> np.ndarray:
        """(..., N, C) -> (..., *grid, C)."""
        return values.unflatten(-2, data.grid).cpu().numpy()

    def ensemble_of(prompt: Tensor) -> Tensor:
        """Code indices (case, member, lead, P, Q) that follow the prompts (case, P, Q)."""
        return model.generate(
            prompt,
            settings.horizon,
            settings.members,
            temperature=settings.temperature,
            top_k=settings.top_k,
            seed=seed,
        )

    def reconstructed(by: Stage1Model) -> np.ndarray:
        guess = fields.physical(decode_everywhere(by, encode_views(by, fields, views)))
        return shaped(guess.unflatten(0, frames.shape))

    made_from = {
        "data": data_path,
        "sensors": sensors_path,
        "sparse": sparse_model,
        "semi_sparse": semi_sparse_model,
        "tokenizer": tokenizer_model,
        "gpt": gpt_model,
        "codes": codes_path,
    }
    with fabric.autocast(), created(out) as file:
        stamp(file, SCHEMA, VERSION, made_from, {**settings.model_dump(mode="json"), "seed": seed, "split": split})
        file["trajectory"], file["start_frame"] = trajectory, start
        file["lead_time"] = data.time[1 : settings.horizon + 1] - data.time[0]
        file["lead_time"].attrs["units"] = data.time_units

        file["reconstruction/semi_sparse"] = reconstructed(model.teacher)
        file["reconstruction/sparse"] = reconstructed(model.sparse)
        file["reconstruction/quantized"] = shaped(model.decode(codes.sparse[0, which, frames], fields))
        print(f"reconstructed {len(views)} frames by each link of the chain", flush=True)

        tokens = ensemble_of(codes.sparse[0, which[:, 0], frames[:, 0]])
        file["tokens"] = tokens.cpu().numpy().astype(np.int32)
        shape = (*tokens.shape[:3], *data.grid, len(data.channels))
        ensemble = file.create_dataset("ensemble", shape, "f4", chunks=(1, 1, *shape[2:]))
        for case, indices in enumerate(tokens):
            ensemble[case] = shaped(model.decode(indices, fields))
            print(f"case {case + 1}/{len(tokens)}: trajectory {trajectory[case]} from frame {start[case]}", flush=True)

        prompted = ensemble_of(codes.semi_sparse[0, which[:, 0], frames[:, 0]])
        file["teacher_prompt"] = np.stack([shaped(model.decode(indices, fields).mean(0)) for indices in prompted])


def _require_dumped_by(path: Path, codes: Codes, model: ForecastModel, given: dict[str, str]) -> None:
    """Check that an index dump was made from the files given (name -> digest), with the tokenizer's very codebook."""
    require_made_from(path, codes.made_from, given, "codes")
    if not torch.equal(codes.codebook, model.tokenizer.quantizer.codebook().float()):
        raise SparseVQError(f"{path} was dumped by another tokenizer than the one beside it", "dump it again")


def cases(data: FieldData, settings: ForecastConfig, split: Split = "test") -> tuple[np.ndarray, np.ndarray]:
    """Trajectory and start frame of every forecast, (case,) each.

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
    trajectory, start = np.meshgrid(data.trajectories(split), np.array(settings.starts), indexing="ij")
    return trajectory.ravel().astype(np.int64), start.ravel().astype(np.int64)
