"""The encoders of a run, read and checked against its data set, sensors and basis."""

import torch

from sparsevq.config import Stage1Config, parse
from sparsevq.errors import SparseVQError
from sparsevq.models.autoencoder import AutoencoderConfig, SensorAutoencoder
from sparsevq.models.modal import ModalConfig, ModalLatents
from sparsevq.runs.run import Run
from sparsevq.stage1.modal import ModalModel, Seen, by_place
from sparsevq.stage1.model import (
    PerceiverModel,
    Role,
    Stage1Model,
    points_digest,
    require_all_channels,
    sensor_points,
)


def load_stage1(run: Run, role: Role, device: torch.device) -> Stage1Model:
    """A run's trained encoder and decoder, ready to use.

    Parameters
    ----------
    role
        Which sensors it is to see. A role is about use: an encoder that a run of its own trained as its sparse one may
        be the teacher of another run.

    Raises
    ------
    SparseVQError
        The file is missing, damaged, of another kind, or was trained on another grid, other channels, another data set
        or other sensors than the run's. Which file the sensors are from does not matter, nor their order.
    """
    data, sensors, file = run.domain, run.sensors, run.model(role)
    settings = parse(Stage1Config, file.settings, str(file.path))
    if file.extra["grid"] != list(data.grid) or file.shape["channels"] != len(data.channels):
        raise SparseVQError(
            f"{file.path} was trained on a grid {file.extra['grid']} with {file.shape['channels']} channels, "
            f"but {data.name} has {list(data.grid)} with {len(data.channels)}",
            "train it on this data set",
        )
    if file.extra.get("points", "") not in ("", points_digest(sensors, role)):
        raise SparseVQError(
            f"{file.path} was trained with other sensors than the {role.replace('_', '-')} ones that it is used with, "
            "or they read other channels",
            f"train it again (snakemake --forcerun {file.kind}), or give the sensors.h5 that it was made from",
        )
    if "modes" in file.shape:
        latents = ModalLatents(ModalConfig(**file.shape))
        file.restore(latents)
        latents = latents.to(device)
        estimator = latents.estimator
        return ModalModel(
            settings=settings,
            basis=run.basis.leading(latents.config.modes),
            digest=file.digest,
            latents=latents,
            sensors=None if estimator is None else Seen(*by_place(sensors, role, device), estimator),
        )
    require_all_channels(sensors, role)
    autoencoder = SensorAutoencoder(AutoencoderConfig(**file.shape))
    file.restore(autoencoder)
    return PerceiverModel(
        settings=settings,
        basis=run.basis if "basis" in file.made_from else None,  # models of earlier versions have none
        digest=file.digest,
        autoencoder=autoencoder.to(device).eval().requires_grad_(False),
        where=sensor_points(sensors, role).to(device),
        grid=data,
    )


def load_encoders(run: Run, device: torch.device) -> tuple[Stage1Model, Stage1Model]:
    """A run's sparse encoder and its teacher, whose latents are alike in shape.

    Raises
    ------
    SparseVQError
        As `load_stage1`; or the latents differ in shape.
    """
    sparse, teacher = load_stage1(run, "sparse", device), load_stage1(run, "semi_sparse", device)
    if sparse.latent_shape != teacher.latent_shape:
        raise SparseVQError(
            f"{run.file('sparse')} gives latents of shape {sparse.latent_shape}, {run.file('semi_sparse')} of shape "
            f"{teacher.latent_shape}",
            "train both encoders with the same num_latents and enc_num_latent_channels",
        )
    return sparse, teacher
