"""A stage-1 model on POD modes: latents are coefficients, of the dense field or as estimated from any sensors."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sparsevq.basis.basis import MODES_A_FRAME, Basis, BasisAt
from sparsevq.data.device_fields import DeviceFields, Views
from sparsevq.data.field_data import FieldData
from sparsevq.models.estimate import Estimator
from sparsevq.models.modal import ModalConfig, ModalLatents
from sparsevq.sensors.placement import SensorSets
from sparsevq.sensors.readings import Readings, order_by_place
from sparsevq.stage1.model import (
    NOTHING_KNOWN,
    Box,
    FloatArray,
    PerceiverModel,
    Role,
    Stage1Model,
    Target,
    channels_read,
)

FITTED_KEPT = 4
"""Estimates from other sensors that are kept."""
DENSE_VALUES_AT_ONCE = 2**24
"""Values of dense frames that are projected together."""
POINTS_AT_ONCE = 2**22
"""Points, over all frames, that are decoded together: the modes are read once for all of them."""
MODES_AT_ONCE = 2**27
"""Bytes of the modes at the places of a `Target`."""


@dataclass(frozen=True, eq=False)
class Seen:
    """Sensors of the grid: points (n_s,), which channels they read (n_s, C), and the estimate from their readings."""

    where: Tensor
    reads: Tensor
    estimator: Estimator


@dataclass(frozen=True, kw_only=True)
class ModalModel(Stage1Model):
    """Coefficients of the leading modes of a basis.

    Attributes
    ----------
    basis
        Its modes are those of the model, no others.
    latents
        Examples, and how coefficients are laid out as latents.
    sensors
        None: latents are the projection of the dense field.
    fitted, places
        Estimates from other sensors that readings came from, a solve each, and the basis at their places.
    """

    partial = True

    basis: Basis
    latents: ModalLatents
    sensors: Seen | None = None
    fitted: dict[bytes, Estimator] = field(default_factory=dict)
    places: dict[bytes, BasisAt] = field(default_factory=dict)

    @property
    def latent_shape(self) -> tuple[int, int]:
        config = self.latents.config
        return config.num_latents, config.latent_channels

    @property
    def parameters(self) -> tuple[str, ...]:
        return () if self.latents.known is None else self.settings.parameters

    @property
    def device(self) -> torch.device:
        return self.latents.device

    @property
    def num_points(self) -> int:
        return len(self.basis.mean)

    @property
    def points_at_once(self) -> int:
        return POINTS_AT_ONCE

    @property
    def places_at_once(self) -> int:
        modes, _, channels = self.basis.modes.shape
        return max(1, MODES_AT_ONCE // (4 * modes * channels))

    @cached_property
    def modes(self) -> Tensor:
        """(N, C, r)."""
        return torch.from_numpy(np.ascontiguousarray(self.basis.modes.transpose(1, 2, 0))).to(self.device)

    def encode(self, fields: DeviceFields, views: Views) -> Tensor:
        if self.sensors is None:
            return self.latents.to_latents(project(self.modes, fields, views))
        return self.estimate(self.readings(fields, views), self.known(fields, views))

    def encode_linear(self, fields: DeviceFields, views: Views) -> Tensor:
        """What optimal interpolation makes of the readings that `encode` sees; of the dense field, its projection."""
        return self.encode(fields, views) if self.sensors is None else self.linear(self.readings(fields, views), None)

    def readings(self, fields: DeviceFields, views: Views) -> Tensor:
        assert self.sensors is not None
        return fields.gather(views, self.sensors.where)[0][:, self.sensors.reads]

    def known(self, fields: DeviceFields, views: Views) -> Tensor | None:
        if self.latents.known is None:
            return None
        return self.latents.known.standardised(fields.known(views, self.parameters))

    def seen(self, fields: DeviceFields, views: Views) -> Tensor:
        """(b, m + k) all that is known of frames: normalised readings, and standardised parameters."""
        known = self.known(fields, views)
        readings = self.readings(fields, views)
        return readings if known is None else torch.cat([readings, known], dim=1)

    def estimate(self, readings: Tensor, known: Tensor | None) -> Tensor:
        assert self.sensors is not None
        return self._latents(self.sensors.estimator, readings, known)

    def linear(self, readings: Tensor, known: Tensor | None) -> Tensor:
        """What optimal interpolation, which knows no parameters, makes of what `readings` gives; as `estimate`."""
        assert self.sensors is not None
        return self._latents(self.sensors.estimator.linear, readings)

    def encode_readings(
        self, data: FieldData, read: Readings, parameters: Mapping[str, float] = NOTHING_KNOWN
    ) -> Tensor:
        read = read.by_place()
        known = self.standardised(parameters)
        return self._latents(
            self._estimator_for(data, read), self.normalised(data, read)[None], None if known is None else known[None]
        )

    def sees(self, data: FieldData, read: Readings) -> bool:
        """Whether readings, in the order of places, are those of the model's own sensors, all of them and exact."""
        if self.sensors is None:
            return False
        places = data.physical_coordinates[self.sensors.where.cpu().numpy()]
        return (
            read.places.shape == places.shape
            and bool(np.allclose(read.places, places, rtol=0, atol=1e-9 + 1e-9 * np.abs(places).max()))
            and bool((~np.isnan(read.values) == self.sensors.reads.cpu().numpy()).all())
            and not read.noise.any()
        )

    def _estimator_for(self, data: FieldData, read: Readings) -> Estimator:
        """That of the own sensors, which takes no solve, or one that is fitted to others; the last few are kept."""
        if self.sensors is not None and self.settings.noise == 0 and self.sees(data, read):
            return self.sensors.estimator
        at, reads = self.at(data, read.places), ~np.isnan(read.values)
        key = b"".join(np.ascontiguousarray(part).tobytes() for part in (read.places, reads, read.noise))
        if key not in self.fitted:
            if len(self.fitted) >= FITTED_KEPT:
                self.fitted.pop(next(iter(self.fitted)))
            self.fitted[key] = self.estimator(at, reads, read.noise / self.basis.scale)
        return self.fitted[key]

    def at(self, data: FieldData, places: FloatArray) -> BasisAt:
        """The basis at places (n, d) in the axes' units; the last few are kept."""
        key = np.ascontiguousarray(places).tobytes()
        if key not in self.places:
            if len(self.places) >= FITTED_KEPT:
                self.places.pop(next(iter(self.places)))
            self.places[key] = self.basis.at(data, places)
        return self.places[key]

    def normalised(self, data: FieldData, read: Readings) -> Tensor:
        """(m,) readings of a frame, normalised, sensor by sensor."""
        anomalies = (read.values - self.at(data, read.places).mean) / self.basis.scale
        return torch.from_numpy(anomalies[~np.isnan(read.values)].astype(np.float32)).to(self.device)

    def standardised(self, parameters: Mapping[str, float]) -> Tensor | None:
        """(k,) known parameters; None: it takes none."""
        if self.latents.known is None:
            return None
        given = torch.tensor([[parameters[name] for name in self.parameters]], dtype=torch.float64)
        return self.latents.known.standardised(given.to(self.device))[0]

    def seen_at(self, data: FieldData, read: Readings) -> tuple[Tensor, Tensor]:
        """Where a frame's readings are taken: the modes (m, r), and the variance of each reading's error (m,)."""
        at, reads = self.at(data, read.places), ~np.isnan(read.values)
        error = (at.residual + np.square(read.noise / self.basis.scale))[reads]
        modes = torch.from_numpy(at.modes[:, reads].T.astype(np.float32)).to(self.device)
        return modes, torch.from_numpy(error.astype(np.float32)).to(self.device)

    def seen_from(self, where: Tensor, reads: Tensor, noise: float = 0.0) -> tuple[Tensor, Tensor]:
        """As `seen_at`, of sensors at points (n_s,) of the grid; `noise`: std of their errors, normalised."""
        at, chosen = self._at_points(where), reads.cpu().numpy()
        modes = torch.from_numpy(at.modes[:, chosen].T.astype(np.float32)).to(self.device)
        error = (at.residual + noise**2)[chosen].astype(np.float32)
        return modes, torch.from_numpy(error).to(self.device)

    def with_fewer_examples(self, most: int) -> Self:
        """The same, whose estimates from other sensors than its own learn from so many of its examples at most."""
        config = self.latents.config
        if config.examples <= most:
            return self
        kept = torch.linspace(0, config.examples - 1, most).round().long().to(self.device)
        fewer = ModalLatents(replace(config, examples=most, readings=0)).to(self.device)
        fewer.examples.copy_(self.latents.examples[kept])
        fewer.held_out.copy_(self.latents.held_out)
        if self.latents.known is not None and fewer.known is not None:
            known = self.latents.known
            fewer.known.load_state_dict({**known.state_dict(), "examples": known.examples[kept]})
        return replace(self, latents=fewer, fitted={}, places={})

    def _at_points(self, where: Tensor) -> BasisAt:
        """The basis at points (n_s,) of the grid."""
        points = where.cpu().numpy()
        return BasisAt(self.basis.mean[points], self.basis.modes_at(points), self.basis.residual[points])

    def seeing(self, where: Tensor, reads: Tensor, noise: float = 0.0) -> Self:
        at = self._at_points(where)
        estimator = self.estimator(at, reads.cpu().numpy(), np.full(reads.shape, noise))
        device = self.device
        return replace(self, sensors=Seen(where.to(device), reads.to(device), estimator), fitted={}, places={})

    def estimator(self, at: BasisAt, reads: npt.NDArray[np.bool_], noise: FloatArray) -> Estimator:
        """The estimate from sensors where the basis is `at`; channels that they read and std of errors (n_s, C)."""
        device = self.device
        at_sensors = torch.from_numpy(at.modes[:, reads].T.copy()).to(device)
        error = torch.from_numpy((at.residual + np.square(noise))[reads]).to(device)
        prior = torch.from_numpy(self.basis.std).to(device)
        with torch.autocast(device.type, enabled=False):
            return Estimator.fitted(at_sensors, error, prior, self.latents.learned_from())

    def decoder(self, where: Tensor | Target | None) -> Callable[[Tensor], Tensor]:
        if isinstance(where, Target):
            modes = where.queries  # (r, p, C)
            matrix, channels = modes.flatten(1), modes.shape[2]
        else:
            modes = self.modes if where is None else self.modes[where]  # (p, C, r)
            matrix, channels = modes.flatten(0, 1).T, modes.shape[1]

        def decode(latents: Tensor) -> Tensor:
            with torch.autocast(latents.device.type, enabled=False):
                values = self.latents.to_coefficients(latents.float()) @ matrix
            return values.unflatten(1, (-1, channels))

        return decode

    def target(self, data: FieldData, where: FloatArray | Box) -> Target:
        at = self.basis.at(data, where)
        return self._target(torch.from_numpy(at.modes).to(self.device), data, len(at.mean), at)

    def _latents(self, estimate: Callable[..., Tensor], *given: Tensor | None) -> Tensor:
        with torch.autocast(self.device.type, enabled=False):  # bf16 would round off what the estimate gains
            return self.latents.to_latents(estimate(*given))


def linear_theory(model: Stage1Model) -> ModalModel | None:
    """A model whose `encode_linear` is optimal interpolation from the sensors that `model` sees; None: it has no basis.

    Of the paper's encoder: with all modes of its basis.
    """
    if isinstance(model, ModalModel):
        return model
    if not isinstance(model, PerceiverModel) or model.basis is None:
        return None
    modes, _, channels = model.basis.modes.shape
    config = ModalConfig(channels=channels, modes=modes, num_latents=1, readings=0, examples=0, held_out=0)
    alone = ModalModel(settings=model.settings, basis=model.basis, latents=ModalLatents(config).to(model.device))
    return alone.seeing(model.where, torch.ones(len(model.where), channels, dtype=torch.bool))


def by_place(sensors: SensorSets, role: Role, device: torch.device) -> tuple[Tensor, Tensor]:
    """Grid points (n_s,) and channels that are read (n_s, C) of a role's sensors, in the order of their places.

    The order of the readings is that of what an estimate keeps, and must not depend on the file that names them.
    """
    points = sensors.sparse if role == "sparse" else sensors.semi_sparse
    order = order_by_place(sensors.coordinates[: len(points)])
    return torch.from_numpy(points[order]).to(device), torch.from_numpy(channels_read(sensors, role)[order]).to(device)


@torch.no_grad()
def project(modes: Tensor, fields: DeviceFields, views: Views) -> Tensor:
    """Coefficients (b, r) of dense frames in modes (N, C, r); there is no anomaly where there is no field."""
    points = torch.arange(fields.points)
    at_once = max(1, DENSE_VALUES_AT_ONCE // (fields.points * fields.channels), modes.shape[-1] // MODES_A_FRAME)
    by_area = (modes * (fields.weights / fields.points)[:, None, None]).flatten(0, 1)  # (N C, r)
    found = []
    with torch.autocast(fields.device.type, enabled=False):
        for start in range(0, len(views), at_once):
            values, valid = fields.gather(views[start : start + at_once], points)
            found.append(values.masked_fill_(~valid[..., None], 0).flatten(1) @ by_area)
    return torch.cat(found)
