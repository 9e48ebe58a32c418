"""A run as the workflow lays it out, trained for a few steps."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest
from lightning_fabric import Fabric

from sparsevq.config import ForecastConfig, SensorsConfig, Stage1Config, Stage2Config, Stage3Config
from sparsevq.data.layout import FieldData, write_data
from sparsevq.forecasting.held_out import forecast_held_out
from sparsevq.forecasting.run_folder import RunFolder
from sparsevq.sensors.placement import SensorSets, place_sensors, write_sensors
from sparsevq.stage1.train import train_encoder
from sparsevq.stage2.dump import dump_indices
from sparsevq.stage2.train import train_tokenizer
from sparsevq.stage3.train import train_gpt
from sparsevq.training.tracking import Tracker
from tests.flows import travelling_waves

SHORT = {"max_steps": 2, "val_every": 2, "precision": "32-true"}
STAGE1 = Stage1Config(
    **SHORT, num_latents=4, enc_num_latent_channels=16, dec_num_latent_channels=16, num_layers=1, batch_frames=4
)
STAGE2 = Stage2Config(
    **SHORT, tokens_per_frame=4, num_quantizers=2, num_vq_embeddings=16, vq_embedding_dim=8, num_hiddens=16
)
STAGE3 = Stage3Config(
    **SHORT,
    time_transformer_layers=1,
    time_transformer_dim=16,
    time_transformer_heads=2,
    stage2_frames=6,
    batch_frames=12,
)


@dataclass(frozen=True)
class Run:
    """A run, its data set, and what the sensors measured in the first frame of the test trajectory."""

    path: Path
    data: FieldData
    sensors: SensorSets
    readings: pd.DataFrame


@pytest.fixture(scope="session")
def run(tmp_path_factory) -> Run:
    folder = RunFolder(tmp_path_factory.mktemp("results") / "try/waves/n8/seed3")
    data = travelling_waves()
    data_path = folder.path.parent.parent / "data.h5"
    write_data(data_path, data)
    sensors = place_sensors(data, SensorsConfig(num_semi_sparse=20), 8, 3)
    write_sensors(folder.sensors, sensors)
    fabric = Fabric(accelerator="cpu", devices=1, precision="32-true")
    work = {"seed": 3, "fabric": fabric, "tracker": Tracker()}
    given = (data_path, folder.sensors)
    for role in ("semi_sparse", "sparse"):
        train_encoder(*given, folder.folder(role), role=role, settings=STAGE1, **work)
    given = (*given, folder.model("sparse"), folder.model("semi_sparse"))
    train_tokenizer(*given, folder.folder("tokenizer"), settings=STAGE2, **work)
    dump_indices(*given, folder.model("tokenizer"), folder.codes, seed=3, fabric=fabric)
    train_gpt(folder.codes, folder.folder("gpt"), settings=STAGE3, **work)
    forecast_held_out(
        *given,
        folder.model("tokenizer"),
        folder.model("gpt"),
        folder.codes,
        folder.path / "forecast.h5",
        settings=ForecastConfig(horizon=9, members=3),
        **work,
    )
    (test,) = data.trajectories("test")
    values = data.flat_fields[test, 0, sensors.sparse].astype(float)
    readings = pd.DataFrame({"sensor": range(8), "u": values[:, 0], "v": values[:, 1]})
    return Run(folder.path, data, sensors, readings)
