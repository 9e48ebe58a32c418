"""Stage 1 on POD modes: what the estimate learns from is chosen, and it is solved for; no steps are taken."""

from pathlib import Path
from typing import Any

import torch

from sparsevq.config import Stage1Config, TrainingConfig
from sparsevq.data.device_fields import DeviceFields
from sparsevq.data.parameters import known_parameters
from sparsevq.errors import SparseVQError
from sparsevq.models.modal import ModalConfig, ModalLatents
from sparsevq.runs.run import Run
from sparsevq.runtime.devices.fabric import Fabric
from sparsevq.runtime.devices.parallel import from_first
from sparsevq.stage1.modal import ModalModel, by_place, project
from sparsevq.stage1.model import Role, decode_at, encode_views, points_digest
from sparsevq.stage1.train import EncoderStage
from sparsevq.training.fields import (
    Truth,
    training_views,
    validation_points,
    validation_views,
    variant_symmetries,
)
from sparsevq.training.stage import Stage


class ModalStage(Stage):
    """Coefficients of POD modes: of the dense field, or as estimated from sensors.

    Parameters
    ----------
    run
        Its data set, basis and sensors are read.
    role
        Which sensors the encoder sees; with `settings.complete` = projection the semi-sparse one sees all points.

    Raises
    ------
    SparseVQError
        An input is missing, damaged or doesn't fit.
    """

    module: ModalLatents
    config: ModalConfig
    settings: Stage1Config

    def __init__(self, run: Run, role: Role, settings: Stage1Config, *, seed: int, fabric: Fabric):
        super().__init__(settings, seed, fabric)
        data, sensors, device = run.data, run.sensors, fabric.device
        self.name, self.kind = f"stage 1 {role}", role
        basis = run.basis.leading(settings.modes)
        if len(basis.modes) < settings.modes:
            fabric.print(f"{self.name}: the basis has {len(basis.modes)} modes, not {settings.modes}", flush=True)
        self.fields = DeviceFields(data, settings.symmetries, device, basis)
        self.val, self.val_points = validation_views(data, self.fields), validation_points(self.fields).to(device)
        variants = variant_symmetries(self.fields, settings.symmetries.variants, seed)
        views = training_views(data, self.fields, variants)
        projects = role == "semi_sparse" and settings.complete == "projection"
        count = 0 if projects else min(settings.examples, len(views))
        where, reads = by_place(sensors, role, device)
        known = torch.from_numpy(known_parameters(data, settings.parameters)).to(device)
        self.config = ModalConfig(
            channels=len(data.channels),
            modes=len(basis.modes),
            num_latents=settings.num_latents,
            readings=0 if projects else int(reads.sum()),
            examples=count,
            held_out=len(self.val) if count else 0,
            parameters=known.shape[1] if count else 0,
        )
        self.module = ModalLatents(self.config).to(device)
        self.model = ModalModel(settings=settings, basis=basis, latents=self.module)
        if not projects:
            fabric.print(f"{self.name}: learning from {count} frames and {self.config.readings} readings", flush=True)
            generator = torch.Generator().manual_seed(seed)
            chosen = torch.randperm(len(views), generator=generator)[:count].sort().values
            if count:
                self.module.examples.copy_(project(self.model.modes, self.fields, views[chosen]))
                self.module.held_out.copy_(project(self.model.modes, self.fields, self.val))
            if self.module.known is not None:
                training = known[torch.from_numpy(data.trajectories("train"))]
                self.module.known.mean.copy_(training.mean(0))
                self.module.known.std.copy_(training.std(0, correction=0))
                for kept, of in ((self.module.known.examples, views[chosen]), (self.module.known.held_out, self.val)):
                    kept.copy_(self.module.known.standardised(known[of.trajectory]))
            self.model = self.model.seeing(where, reads, settings.noise)
            assert self.model.sensors is not None
            self.module.estimator = self.model.sensors.estimator
            for buffer in self.module.buffers():  # ranks may differ in the last bits
                from_first(buffer)
        self.truth = Truth(self.fields, self.val, self.val_points)
        self.objective = self.module
        self.made_from = {"data": data.digest, "basis": run.basis.digest, "sensors": sensors.digest}
        self.extra = {"grid": list(data.grid), "points": "" if projects else points_digest(sensors, role)}

    @property
    def budget(self) -> TrainingConfig:
        """No steps."""
        return self.settings.model_copy(update={"max_steps": 0})

    def draw(self, generator: torch.Generator, step: int) -> tuple[Any, ...]:
        raise RuntimeError("there is nothing to train")

    def validate(self) -> dict[str, float]:
        """Error of the reconstruction of validation frames, and of the linear one."""
        metrics = self._metrics(encode_views(self.model, self.fields, self.val))
        if self.model.sensors is None:
            return metrics
        linear = self._metrics(self.model.encode_linear(self.fields, self.val))
        return {**metrics, "val_linear_relative_l2": linear["val_relative_l2"]}

    def _metrics(self, latents: torch.Tensor) -> dict[str, float]:
        guess = decode_at(self.model, latents, self.val_points)
        return self.truth.metrics(guess)


def encoder_stage(
    run: Run, role: Role, settings: Stage1Config, *, seed: int, fabric: Fabric, start_from: Path | None = None
) -> Stage:
    """Stage 1 as the settings ask for it: on POD modes, or the paper's encoder.

    Parameters
    ----------
    start_from
        A model whose weights to begin with; only the paper's encoder has such.

    Raises
    ------
    SparseVQError
        As of the stages; or there is a model to start from, but nothing that is trained.
    """
    if not settings.modes:
        return EncoderStage(run, role, settings, seed=seed, fabric=fabric, start_from=start_from)
    if start_from is not None:
        raise SparseVQError(
            f"stage1.modes={settings.modes} trains no weights that could begin as those of {start_from}",
            "leave out the model to start from (warm_start, --model_name), or set modes to 0",
        )
    return ModalStage(run, role, settings, seed=seed, fabric=fabric)
