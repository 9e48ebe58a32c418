"""All stages on a small flow, a few steps each: what a run of the workflow leaves behind, in seconds."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sparsevq.config import ForecastConfig, SensorsConfig, Stage1Config, Stage2Config, Stage3Config
from sparsevq.data.field_data import FieldData
from sparsevq.data.layout import read_data, write_data
from sparsevq.forecasting.held_out import forecast_held_out
from sparsevq.runtime.devices.device import Lease, fabric_for
from sparsevq.sensors.placement import SensorSets, place_sensors, read_sensors, write_sensors
from sparsevq.stage1.train import train_encoder
from sparsevq.stage2.dump import dump_indices
from sparsevq.stage2.train import train_tokenizer
from sparsevq.stage3.train import train_gpt
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

    def encoder(
        self, role: str, out: Path | None = None, seed: int = 1, start_from: Path | None = None, **changes: Any
    ):
        return _train(
            train_encoder,
            (self.data_path, self.sensors_path),
            out or self.folder / role,
            STAGE1,
            changes,
            role=role,
            seed=seed,
            start_from=start_from,
        )

    def tokenizer(self, out: Path | None = None, seed: int = 1, teacher: Path | None = None, **changes: Any) -> Trained:
        models = self.model("sparse"), teacher or self.model("semi_sparse")
        files = self.data_path, self.sensors_path, *models
        return _train(train_tokenizer, files, out or self.folder / "tokenizer", STAGE2, changes, seed=seed)

    def codes(self, out: Path | None = None, seed: int = 1, precision: Any = "32-true", **files: Path) -> Path:
        given = self._files("data", "sensors", "sparse", "semi_sparse", "tokenizer", **files)
        out = out or self.codes_path
        dump_indices(*given, out, seed=seed, fabric=fabric(precision))
        return out

    def gpt(self, out: Path | None = None, seed: int = 1, codes: Path | None = None, **changes: Any) -> Trained:
        return _train(train_gpt, (codes or self.codes_path,), out or self.folder / "gpt", STAGE3, changes, seed=seed)

    def forecast(
        self, out: Path, seed: int = 1, precision: Any = "32-true", files: dict[str, Path] | None = None, **changes: Any
    ) -> Path:
        given = self._files("data", "sensors", "sparse", "semi_sparse", "tokenizer", "gpt", "codes", **(files or {}))
        settings = ForecastConfig(**{**FORECAST.model_dump(), **changes})
        forecast_held_out(*given, out, settings=settings, seed=seed, fabric=fabric(precision), tracker=Recorder())
        return out

    def _files(self, *names: str, **others: Path) -> list[Path]:
        known = {"data": self.data_path, "sensors": self.sensors_path, "codes": self.codes_path}
        return [others.get(name) or known.get(name) or self.model(name) for name in names]


def write_small_flow(chain: Chain, trajectories: int = 7, frames: int = 10) -> None:
    """Data and sensors. Of the trajectories, the last two are to test, the one before to validate."""
    data = travelling_waves(trajectories=trajectories, frames=frames, grid=(8, 12))
    data.split[-3:] = ["val", "test", "test"]
    write_data(chain.data_path, data)
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


def fabric(precision: Any = "32-true"):
    return fabric_for(Lease("cpu", (), "cpu"), precision)


def _train(train, files: tuple[Path, ...], out: Path, settings, changes: dict[str, Any], **more: Any) -> Trained:
    given = {key: changes.pop(key) for key in ("checkpoints", "tracker") if key in changes}
    changed = type(settings)(**{**settings.model_dump(), **changes})
    tracker = given.setdefault("tracker", Recorder())
    train(*files, out, settings=changed, fabric=fabric(changed.precision), **given, **more)
    return out, tracker.rows
