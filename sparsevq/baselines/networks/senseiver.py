"""A Senseiver: from the readings straight to the field at any point and lead time, by attention.

Each reading's place and time, as sine-cosine features, and its value are an element of a set; an encoder of
cross-attention and self-attention makes latents of the set, and a decoder's query, the features of a point and of a
lead time, attends to these [1]_. Beside the original's, queries have a lead time: nothing is rolled out, each lead time
is trained for by itself. The networks are those of stage 1 (`sparsevq.models.autoencoder`).

    b forecasts, k observed frames of n_s sensors of c channels, p points, l lead times

References
----------
.. [1] Santos, Fox, Mohan, O'Malley, Viswanathan & Lubbers, Development of the Senseiver for efficient field
   reconstruction from sparse observations, Nature Machine Intelligence 2023.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import torch
from torch import Tensor

from sparsevq.baselines.networks.network import Network, windows_of
from sparsevq.baselines.networks.scene import Scene
from sparsevq.baselines.networks.windows import Flows
from sparsevq.config.networks import SenseiverConfig
from sparsevq.models.autoencoder import AutoencoderConfig, CoordinateDecoder, SensorEncoder
from sparsevq.models.positions import sine_cosine_features
from sparsevq.runtime.devices.parallel import weights_of
from sparsevq.training.fields import PointsByArea

QUERIES_AT_ONCE = 2**15
"""Queries of all forecasts, points and lead times that are decoded together: a processor's caches hold no more."""


@dataclass(frozen=True)
class SenseiverSizes:
    """Sizes as in `sparsevq.config.networks.SenseiverConfig`.

    `resolution`, `closed`: points along each axis of the coordinates, and whether the domain closes on it; `leads`:
    frames that are forecast.
    """

    channels: int
    resolution: tuple[int, ...]
    closed: tuple[bool, ...]
    observed_frames: int
    leads: int
    space_bands: int
    time_bands: int
    width: int
    latents: int
    layers: int
    heads: int

    def networks(self) -> AutoencoderConfig:
        """Sizes of encoder and decoder."""
        return AutoencoderConfig(
            channels=self.channels,
            position_features=2 * len(self.resolution) * self.space_bands + 2 * self.time_bands,
            enc_preproc_ch=self.width,
            num_latents=self.latents,
            enc_num_latent_channels=self.width,
            num_layers=self.layers,
            num_cross_attention_heads=self.heads,
            num_self_attention_heads=self.heads,
            num_self_attention_layers_per_block=2,
            dec_preproc_ch=self.width,
            dec_num_latent_channels=self.width,
            mlp_ratio=2,
        )


class Senseiver(Network):
    """See the module's docstring."""

    section: ClassVar[str] = "senseiver"
    Sizes: ClassVar[type] = SenseiverSizes
    config: SenseiverSizes
    settings: SenseiverConfig

    def __init__(self, scene: Scene, config: SenseiverSizes, settings: SenseiverConfig):
        super().__init__(scene, config, settings)
        self.observed_frames = config.observed_frames
        networks = config.networks()
        self.encoder, self.decoder = SensorEncoder(networks), CoordinateDecoder(networks)

    @classmethod
    def sizes(cls, scene: Scene, settings: SenseiverConfig, horizon: int) -> SenseiverSizes:
        """As `Network.sizes`."""
        return SenseiverSizes(
            channels=scene.channels,
            resolution=tuple(scene.data.resolution),
            closed=tuple(scene.data.closed),
            observed_frames=settings.observed_frames,
            leads=horizon,
            space_bands=settings.space_bands,
            time_bands=settings.time_bands,
            width=settings.width,
            latents=settings.latents,
            layers=settings.layers,
            heads=settings.heads,
        )

    # ---------------------------------------------------------------------------------------------- training

    def draw(self, flows: Flows, generator: torch.Generator, done: float, mine: slice) -> tuple[Any, ...]:
        """Readings (b, k, m), points (p,), lead times (l,), values there (b, l, p, c) and where there is a field."""
        settings, leads = self.settings, self.config.leads
        asked = torch.randperm(leads + 1, generator=generator)[: settings.leads_a_batch].sort().values
        count = windows_of(settings.batch_frames, len(asked), mine)
        starts = flows.draw(count, generator, self.config.observed_frames, leads)[mine]
        points = self._points.draw(settings.batch_pixels, generator)
        readings = flows.readings(starts, self.config.observed_frames)
        device = readings.device
        return readings, points.to(device), asked.to(device), *flows.at_points(starts, asked, points)

    def loss(self, readings: Tensor, points: Tensor, leads: Tensor, truth: Tensor, valid: Tensor) -> dict[str, Tensor]:
        """Mean squared error; points are drawn by area."""
        guess = self.decoder(self.latents(readings), self.features(self._places[points], leads)).view_as(truth)
        total = valid.sum()
        error = ((guess - truth).square() * valid[..., None]).sum() / (total * truth.shape[-1]).clamp_min(1)
        return {"loss": weights_of(total)[0] * error}

    # ---------------------------------------------------------------------------------------------- forecasts

    def forecast(self, readings: Tensor, horizon: int) -> Tensor:
        """As `Network.forecast`; raises SparseVQError past the horizon that it was trained for."""
        self.require_leads(horizon, self.config.leads)
        latents = self.latents(readings)
        parts = self._places.split(max(1, QUERIES_AT_ONCE // len(latents)))
        found = []
        for lead in torch.arange(horizon + 1, device=readings.device).split(1):
            asked = [self.decoder(latents, self.features(part, lead)).float() for part in parts]
            found.append(torch.cat(asked, dim=1))
        return torch.stack(found, dim=1)

    def latents(self, readings: Tensor) -> Tensor:
        """Readings (b, k, m) -> (b, latents, width)."""
        times = torch.arange(1 - self.observed_frames, 1, device=readings.device)
        values = readings.new_zeros(*readings.shape[:2], self.scene.reads.size)
        values[..., self._read] = readings  # of a channel that a sensor does not read 0, the mean
        of_sensors = values.unflatten(-1, self.scene.reads.shape).flatten(1, 2)  # (b, k n_s, c)
        return self.encoder(of_sensors, self.features(self._places[self._sensors], times))

    def features(self, places: Tensor, times: Tensor) -> Tensor:
        """Of places (n, d) at times (l,), in frames after the last observed one: (l n, f), times outermost."""
        config = self.config
        earliest, span = 1 - config.observed_frames, max(config.leads + config.observed_frames - 1, 1)
        along = 2 * (times.to(places) - earliest) / span - 1
        of_places = sine_cosine_features(places, config.space_bands, tuple(config.resolution), tuple(config.closed))
        of_times = sine_cosine_features(along[:, None], config.time_bands, (span + 1,), (False,))
        size = len(times), len(places), -1
        return torch.cat([of_places.expand(*size), of_times[:, None].expand(*size)], dim=-1).flatten(0, 1)

    @cached_property
    def _places(self) -> Tensor:
        """(N, d) coordinates of all points, scaled to [-1, 1]."""
        return torch.from_numpy(self.scene.data.scaled_coordinates).float().to(self.scene.area.device)

    @cached_property
    def _sensors(self) -> Tensor:
        return torch.from_numpy(self.scene.sparse).to(self.scene.area.device)

    @cached_property
    def _read(self) -> Tensor:
        """(m,) places of the readings among all channels of all sensors."""
        return torch.from_numpy(self.scene.reads.ravel()).nonzero()[:, 0].to(self.scene.area.device)

    @cached_property
    def _points(self) -> PointsByArea:
        return PointsByArea(self.scene.data)
