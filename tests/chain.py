"""All stages on a small flow, a few steps each: what a run of the workflow leaves behind, in seconds."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from sparsevq.basis.layout import make_basis
from sparsevq.config import (
    BasisConfig,
    ForecastConfig,
    SensorsConfig,
    Stage1Config,
    Stage2Config,
    Stage3Config,
    Symmetries,
)
from sparsevq.data.device_fields import DeviceFields
from sparsevq.data.field_data import FieldData
from sparsevq.data.layout import read_data, write_data
from sparsevq.evaluation.calibration import calibrate
from sparsevq.forecasting.held_out import forecast_held_out
from sparsevq.runs.run import Run
from sparsevq.runtime.devices.device import Lease, fabric_for
from sparsevq.sensors.placement import SensorSets, place_sensors, read_sensors, write_sensors
from sparsevq.stage1.fit import encoder_stage
from sparsevq.stage2.dump import dump_indices
from sparsevq.stage2.train import TokenizerStage
from sparsevq.stage3.train import GPTStage
from sparsevq.training.stage import train
from tests.flows import travelling_waves

QUICK = {"max_steps": 4, "val_every": 2, "warmup_steps": 1, "lr": 1e-3, "precision": "32-true"}
STAGE1 = Stage1Config(
    **QUICK,
    space_bands=4,
    enc_preproc_ch=16,
    num_latents=16,
    enc_num_latent_channels=16,
    num_layers=2,
    num_self_attention_layers_per_block=1,
    dec_preproc_ch=16,
    dec_num_latent_channels=16,
    batch_frames=8,
    batch_pixels=64,
    symmetries={"reflect": ["y"], "variants": 2},
)
STAGE2 = Stage2Config(
    **QUICK,
    tokens_per_frame=4,
    num_quantizers=2,
    num_vq_embeddings=16,
    vq_embedding_dim=8,
    num_hiddens=16,
    continuous_steps=2,
    batch_frames=16,
    batch_pixels=32,
)
STAGE3 = Stage3Config(
    **QUICK,
    time_transformer_layers=1,
    time_transformer_heads=2,
    time_transformer_dim=16,
    stage2_frames=5,
    batch_frames=20,
)
FORECAST = ForecastConfig(horizon=5, starts=(0, 4), members=3)
MODAL = {"modes": 20, "examples": 60, "num_latents": 4}
"""Of stage 1: a linear model on modes, instead of a network."""
GROUPS = {"tokenizer": "groups", "tokens_per_frame": 2, "num_vq_embeddings": 8}
"""Of stage 2: codes of groups of its coefficients."""
REGRESSION = {"first_guess": "regression", "observed_frames": 3}
"""Of stage 3: from one frame, or from three."""

Trained = tuple[Path, list[dict[str, float]]]
"""The folder of a model, and the metrics that were logged."""


class Recorder:
    """Stands for the tracker."""

    def __init__(self) -> None:
        self.rows: list[dict[str, float]] = []

    def log_metrics(self, metrics: dict[str, float], step: int) -> None:
        self.rows.append(metrics)


@dataclass(frozen=True)
class Chain:
    """The files of a run; each method makes one of them from the others, or into another folder `out`."""

    folder: Path

    def model(self, stage: str) -> Path:
        return self.folder / stage / "model.safetensors"

    @property
    def data_path(self) -> Path:
        return self.folder / "data.h5"

    @property
    def sensors_path(self) -> Path:
        return self.folder / "sensors.h5"

    @property
    def codes_path(self) -> Path:
        return self.folder / "codes.h5"

    @property
    def data(self) -> FieldData:
        return read_data(self.data_path)

    @property
    def sensors(self) -> SensorSets:
        return read_sensors(self.sensors_path)

    def fields(self, symmetries: Symmetries | None = None) -> DeviceFields:
        """The data set as the models of the run see it."""
        return DeviceFields(self.data, symmetries or Symmetries(), torch.device("cpu"), self.run().basis)

    def basis(self, symmetries: Symmetries = STAGE1.symmetries) -> None:
        make_basis(self.data_path, self.folder / "basis.h5", BasisConfig(modes=20), symmetries)

    def run(self, **files: Path | None) -> Run:
        """The run, some files of which may be others."""
        return Run(self.folder, **{name: file for name, file in files.items() if file is not None})

    def encoder(
        self, role: str, out: Path | None = None, seed: int = 1, start_from: Path | None = None, **changes: Any
    ) -> Trained:
        make = partial(encoder_stage, self.run(), role, start_from=start_from)
        return _train(make, out or self.folder / role, STAGE1, changes, seed)

    def tokenizer(
        self,
        out: Path | None = None,
        seed: int = 1,
        teacher: Path | None = None,
        start_from: Path | None = None,
        **changes: Any,
    ) -> Trained:
        make = partial(TokenizerStage, self.run(semi_sparse=teacher), start_from=start_from)
        return _train(make, out or self.folder / "tokenizer", STAGE2, changes, seed)

    def codes(self, out: Path | None = None, seed: int = 1, precision: Any = "32-true", **files: Path) -> Path:
        out = out or self.codes_path
        dump_indices(self.run(**files), out, seed=seed, fabric=fabric(precision))
        return out

    def gpt(
        self,
        out: Path | None = None,
        seed: int = 1,
        codes: Path | None = None,
        start_from: Path | None = None,
        **changes: Any,
    ) -> Trained:
        # The dump alone, of which nothing else is needed unless the first guess is corrected.
        run = self.run(codes=codes) if changes.get("refine_steps") else Run(codes=codes or self.codes_path)
        make = partial(GPTStage, run, start_from=start_from)
        return _train(make, out or self.folder / "gpt", STAGE3, changes, seed)

    def calibrate(self, out: Path | None = None, seed: int = 1, **changes: Any) -> Path:
        out = out or self.folder / "calibration.h5"
        settings = ForecastConfig(**{**FORECAST.model_dump(), **changes})
        calibrate(self.run(), out, settings=settings, seed=seed, fabric=fabric())
        return out

    def forecast(
        self, out: Path, seed: int = 1, precision: Any = "32-true", files: dict[str, Path] | None = None, **changes: Any
    ) -> Path:
        settings = ForecastConfig(**{**FORECAST.model_dump(), **changes})
        forecast_held_out(self.run(**(files or {})), out, settings=settings, seed=seed, fabric=fabric(precision))
        return out


def write_small_flow(chain: Chain, trajectories: int = 7, frames: int = 10) -> None:
    """Data, basis and sensors. Of the trajectories, the last two are to test, the one before to validate."""
    data = travelling_waves(trajectories=trajectories, frames=frames, grid=(8, 12))
    data.split[-3:] = ["val", "test", "test"]
    write_data(chain.data_path, data)
    chain.basis()
    made_from = {"data": chain.data_path}
    write_sensors(chain.sensors_path, place_sensors(data, SensorsConfig(num_semi_sparse=12), 6, seed=1), made_from)


def make_chain(folder: Path) -> Chain:
    """Run all stages."""
    chain = Chain(folder)
    write_small_flow(chain)
    chain.encoder("semi_sparse")
    chain.encoder("sparse")
    chain.tokenizer()
    chain.codes()
    chain.gpt()
    return chain


def make_modal_chain(folder: Path, trajectories: int = 20) -> Chain:
    """Run all stages on modes, with a first guess from the readings of up to three frames; not calibrated.

    Of few trajectories the regression cannot learn how sure it is.
    """
    chain = Chain(folder)
    write_small_flow(chain, trajectories=trajectories)
    chain.encoder("semi_sparse", **MODAL)
    chain.encoder("sparse", **MODAL)
    chain.tokenizer(**GROUPS)
    chain.codes()
    chain.gpt(**REGRESSION)
    return chain


def fabric(precision: Any = "32-true"):
    return fabric_for(Lease("cpu", (), "cpu"), precision)


def _train(make, out: Path, settings, changes: dict[str, Any], seed: int) -> Trained:
    given = {key: changes.pop(key) for key in ("checkpoints", "tracker") if key in changes}
    changed = type(settings)(**{**settings.model_dump(), **changes})
    tracker = given.setdefault("tracker", Recorder())
    train(make(settings=changed, seed=seed, fabric=fabric(changed.precision)), out, **given)
    return out, tracker.rows
