"""A trained stage-1 model in use: frames or readings to latents, latents to fields."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, partial
from itertools import compress
from types import MappingProxyType
from typing import ClassVar, Literal, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sparsevq.basis.basis import Basis, BasisAt
from sparsevq.config import Stage1Config
from sparsevq.data.device_fields import DeviceFields, Views
from sparsevq.data.field_data import Description, FieldData
from sparsevq.errors import SparseVQError
from sparsevq.models.autoencoder import SensorAutoencoder
from sparsevq.models.positions import sine_cosine_features
from sparsevq.sensors.placement import SensorSets
from sparsevq.sensors.readings import Readings

Role = Literal["sparse", "semi_sparse"]
FloatArray = npt.NDArray[np.float64]
Box = tuple[slice, ...]
"""A part of the grid: a slice of each of its axes; of scattered points one."""
NOTHING_KNOWN: Mapping[str, float] = MappingProxyType({})

VALUES_AT_ONCE = 2**16
"""Points, over all frames, that a network decodes together: bounds the memory. 16 frames of 4096 points fit a CPU's
cache; 64 are 1.3 times slower."""


@dataclass(frozen=True, eq=False)
class Target:
    """Where latents are decoded: p places.

    Attributes
    ----------
    places
        How many.
    queries
        What the decoder takes of each place; on the model's device.
    mean, scale
        ``(p, C)`` or ``(C,)``, and ``(C,)``: fields in physical units are values that are decoded ``* scale + mean``.
    """

    places: int
    queries: Tensor
    mean: Tensor
    scale: Tensor

    def physical(self, values: Tensor) -> Tensor:
        """Fields (..., p, C) in physical units of values that were decoded."""
        return values * self.scale + self.mean


@dataclass(frozen=True, kw_only=True)
class Stage1Model(ABC):
    """An encoder, for the sensors that it sees, and a decoder.

    Attributes
    ----------
    settings
        What it was trained with.
    basis
        What its fields are normalised by; None: a model of an earlier version, whose fields are normalised by one mean
        and one standard deviation a channel.
    digest
        SHA-256 of its file; empty if it was not read.
    """

    partial: ClassVar[bool]
    """Whether sensors may read some channels only, and readings may have errors of a known size."""

    settings: Stage1Config
    basis: Basis | None = None
    digest: str = ""

    @property
    @abstractmethod
    def latent_shape(self) -> tuple[int, int]:
        """Latents of a frame, and channels of each."""

    @property
    def parameters(self) -> tuple[str, ...]:
        """Names of the parameters of a trajectory that have to be known to encode its frames."""
        return ()

    @property
    @abstractmethod
    def device(self) -> torch.device:
        """Where it computes."""

    @property
    @abstractmethod
    def num_points(self) -> int:
        """Points of the grid, N."""

    @property
    def points_at_once(self) -> int:
        """Points, over all frames, that are decoded together."""
        return VALUES_AT_ONCE

    @property
    @abstractmethod
    def places_at_once(self) -> int:
        """Places of a `Target`, at most, that memory holds well."""

    @abstractmethod
    def encode(self, fields: DeviceFields, views: Views) -> Tensor:
        """Latents (b, num_latents, dim), float32, of a few frames."""

    @abstractmethod
    def readings(self, fields: DeviceFields, views: Views) -> Tensor:
        """(b, ...) normalised readings of the sensors that it sees, of a few frames."""

    def known(self, fields: DeviceFields, views: Views) -> Tensor | None:
        """(b, k) standardised `parameters` of the frames' trajectories; None: it takes none."""
        return None

    @abstractmethod
    def estimate(self, readings: Tensor, known: Tensor | None) -> Tensor:
        """Latents (b, num_latents, dim), float32, of what `readings` and `known` give."""

    @abstractmethod
    def seeing(self, where: Tensor, reads: Tensor, noise: float = 0.0) -> Self:
        """The same model with sensors at points (n_s,) of the grid that read channels (n_s, C).

        Parameters
        ----------
        noise
            Std of the readings' errors, normalised; unless the model is `partial`, 0.
        """

    @abstractmethod
    def encode_readings(
        self, data: FieldData, read: Readings, parameters: Mapping[str, float] = NOTHING_KNOWN
    ) -> Tensor:
        """Latents (1, num_latents, dim), float32, of one frame that was read at any places.

        Unless the model is `partial`, each sensor reads all channels, and without error.

        Parameters
        ----------
        data
            The data set, for its axes; its frames are not needed.
        read
            What the sensors measured.
        parameters
            Those of the frame's trajectory that the model takes (`parameters`), in the data set's units.
        """

    @abstractmethod
    def decoder(self, where: "Tensor | Target | None") -> Callable[[Tensor], Tensor]:
        """Latents (b, num_latents, dim) -> normalised values (b, p, c) at grid points (p,), None: all, or at places.

        What all frames share is computed now, once.
        """

    def decode(self, latents: Tensor, points: Tensor | None = None) -> Tensor:
        """Normalised values (b, p, c) at grid points (p,), None: all, of latents (b, num_latents, dim)."""
        return self.decoder(points)(latents)

    @abstractmethod
    def target(self, data: FieldData, where: FloatArray | Box) -> Target:
        """Places (p, d) in the axes' units, anywhere in the domain, or a part of the grid, to be decoded at."""

    def _target(self, queries: Tensor, data: FieldData, places: int, at: BasisAt | None) -> Target:
        """`at`: the basis at the places; None: there is none."""
        mean, scale = (data.mean, data.std) if self.basis is None or at is None else (at.mean, self.basis.scale)
        moments = (torch.tensor(moment, dtype=torch.float32, device=self.device) for moment in (mean, scale))
        return Target(places, queries, *moments)


@torch.no_grad()
def encode_views(model: Stage1Model, fields: DeviceFields, views: Views, frames_at_once: int = 512) -> Tensor:
    """Latents (b, num_latents, dim) of frames, float32."""
    starts = range(0, len(views), frames_at_once)
    return torch.cat([model.encode(fields, views[start : start + frames_at_once]) for start in starts])


@torch.no_grad()
def decode_everywhere(model: Stage1Model, latents: Tensor) -> Tensor:
    """Normalised fields (b, N, c) of latents (b, num_latents, dim), float32."""
    return _decode(model, latents, None, model.num_points)


@torch.no_grad()
def decode_at(model: Stage1Model, latents: Tensor, points: Tensor) -> Tensor:
    """Normalised values (b, p, c) at grid points (p,) of latents (b, num_latents, dim), float32."""
    return _decode(model, latents, points, len(points))


@torch.no_grad()
def decode_places(model: Stage1Model, latents: Tensor, target: Target) -> Tensor:
    """Fields (b, p, c) in physical units at places, of latents (b, num_latents, dim), float32."""
    decode = model.decoder(target)
    parts = latents.split(max(1, model.points_at_once // max(target.places, 1)))
    return torch.cat([target.physical(decode(part).float()) for part in parts])


def _decode(model: Stage1Model, latents: Tensor, points: Tensor | None, count: int) -> Tensor:
    decode = model.decoder(points)
    return torch.cat([decode(part).float() for part in latents.split(max(1, model.points_at_once // count))])


@dataclass(frozen=True, kw_only=True)
class PerceiverModel(Stage1Model):
    """The paper's encoder and decoder.

    Attributes
    ----------
    where
        Grid points of the sensors, (n_s,).
    grid
        The data set's points.
    """

    partial = False

    autoencoder: SensorAutoencoder
    where: Tensor
    grid: Description

    @cached_property
    def features(self) -> Tensor:
        """g(x) of every grid point, (N, f)."""
        return position_features(self.grid, self.settings.space_bands, self.device)

    @cached_property
    def sensor_features(self) -> Tensor:
        """g(x) of the sensors, (n_s, f)."""
        places = self.grid.physical_coordinates[self.where.cpu().numpy()]
        return features_at(self.grid, places, self.settings.space_bands).to(self.device)

    @cached_property
    def _where_on_host(self) -> Tensor:
        """As all indices (`sparsevq.data.device_fields.Views`): the fields may be there."""
        return self.where.cpu()

    @property
    def latent_shape(self) -> tuple[int, int]:
        config = self.autoencoder.config
        return config.num_latents, config.enc_num_latent_channels

    @property
    def device(self) -> torch.device:
        return self.where.device

    @property
    def num_points(self) -> int:
        return self.grid.num_points

    @property
    def places_at_once(self) -> int:
        return VALUES_AT_ONCE

    def encode(self, fields: DeviceFields, views: Views) -> Tensor:
        return self.estimate(self.readings(fields, views), None)

    def readings(self, fields: DeviceFields, views: Views) -> Tensor:
        return fields.gather(views, self._where_on_host)[0]

    def estimate(self, readings: Tensor, known: Tensor | None) -> Tensor:
        return self.autoencoder.encoder(readings, self.sensor_features).float()

    def seeing(self, where: Tensor, reads: Tensor, noise: float = 0.0) -> Self:
        if noise or not reads.all():
            raise ValueError("this encoder takes exact readings of all channels")
        return replace(self, where=where.to(self.device))

    def encode_readings(
        self, data: FieldData, read: Readings, parameters: Mapping[str, float] = NOTHING_KNOWN
    ) -> Tensor:
        device = self.device
        if self.basis is None:
            normalised = (read.values - data.mean) / data.std
        else:
            normalised = (read.values - self.basis.at(data, read.places).mean) / self.basis.scale
        readings = torch.from_numpy(normalised.astype(np.float32))[None].to(device)
        positions = features_at(data, read.places, self.settings.space_bands).to(device)
        return self.autoencoder.encoder(readings, positions).float()

    def decoder(self, where: Tensor | Target | None) -> Callable[[Tensor], Tensor]:
        if isinstance(where, Target):
            features = where.queries
        else:
            features = self.features if where is None else self.features[where]
        return partial(self.autoencoder.decoder.answer, asked=self.autoencoder.decoder.asked(features))

    def target(self, data: FieldData, where: FloatArray | Box) -> Target:
        places = data.part(where) if isinstance(where, tuple) else where
        queries = features_at(data, places, self.settings.space_bands).to(self.device)
        return self._target(queries, data, len(places), None if self.basis is None else self.basis.at(data, where))


def sensor_points(sensors: SensorSets, role: Role) -> Tensor:
    """Grid points of the sensors that an encoder of this role sees."""
    return torch.from_numpy(sensors.sparse if role == "sparse" else sensors.semi_sparse)


def channels_read(sensors: SensorSets, role: Role) -> npt.NDArray[np.bool_]:
    """(n_s, C): which channels the sensors of this role read."""
    return sensors.channels[: len(sensors.sparse)] if role == "sparse" else sensors.channels


def points_digest(sensors: SensorSets, role: Role) -> str:
    """SHA-256 of the grid points that an encoder of this role sees, in increasing order, and of what is read there."""
    points = sensors.sparse if role == "sparse" else sensors.semi_sparse
    order, reads = np.argsort(points), channels_read(sensors, role)
    # Files of earlier versions have the points alone: their sensors read all channels.
    partly = b"" if reads.all() else reads[order].tobytes()
    return hashlib.sha256(points[order].astype("<i8").tobytes() + partly).hexdigest()


def require_all_channels(sensors: SensorSets, role: Role) -> None:
    """Check that the sensors of the paper's encoder read all channels.

    Raises
    ------
    SparseVQError
        One of them reads some only.
    """
    partly = np.flatnonzero(~channels_read(sensors, role).all(axis=1))
    if len(partly):
        raise SparseVQError(
            f"sensor {partly[0]} reads {' and '.join(compress(sensors.channel_names, sensors.channels[partly[0]]))} "
            "only, but the paper's encoder needs all channels of each sensor",
            "set stage1.modes, or let all sensors read all channels (sensors.channels)",
        )


def position_features(data: Description, space_bands: int, device: torch.device) -> Tensor:
    """g(x) of every grid point, (N, f)."""
    return features_at(data, data.physical_coordinates, space_bands).to(device)


def features_at(data: Description, places: FloatArray, space_bands: int) -> Tensor:
    """g(x) at places (n, d) in the axes' units, on the CPU."""
    return sine_cosine_features(torch.from_numpy(data.scaled(places)), space_bands, data.resolution, data.closed)
