"""SHRED: a recurrent network over the last frames' readings, and a shallow decoder to what is to be known.

It is given a history: an LSTM over the readings of the observed frames, whose last hidden state two hidden layers turn
into the POD coefficients of the last observed frame and of all that follow [1]_ [2]_. The fields are modes times these.
Its authors' package (pyshred) needs a version of NumPy below 2, so it is written here, with its sizes as defaults: two
layers of 64, decoder of 350 and 400, dropout 0.1.

    b forecasts, k observed frames, m readings of a frame, s lead times 0 ... s - 1, r coefficients

References
----------
.. [1] Williams, Zahn & Kutz, Sensing with shallow recurrent decoder networks, Proc. R. Soc. A 2024.
.. [2] Tomasetto, Williams, Braghin, Manzoni & Kutz, Reduced order modeling with shallow recurrent decoder networks,
   2025 (decoding to coefficients of modes).
"""

import itertools
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from sparsevq.baselines.networks.network import Network, windows_of
from sparsevq.baselines.networks.scene import Scene
from sparsevq.baselines.networks.windows import Flows
from sparsevq.config.networks import ShredConfig
from sparsevq.runtime.devices.parallel import weights_of

MEASURED = 2048
"""Training windows on which units are measured."""


@dataclass(frozen=True)
class ShredSizes:
    """`readings` m, `leads` s, `coefficients` r, `observed_frames` k; `layers` and `width` of the LSTM."""

    readings: int
    leads: int
    coefficients: int
    observed_frames: int
    layers: int
    width: int
    decoder: tuple[int, ...]
    dropout: float


class Shred(Network):
    """See the module's docstring; before it is trained it forecasts about the mean of training windows."""

    section: ClassVar[str] = "shred"
    Sizes: ClassVar[type] = ShredSizes
    config: ShredSizes
    settings: ShredConfig

    def __init__(self, scene: Scene, config: ShredSizes, settings: ShredConfig):
        super().__init__(scene, config, settings)
        self.observed_frames = config.observed_frames
        self.recurrent = nn.LSTM(config.readings, config.width, config.layers, batch_first=True)
        layers: list[nn.Module] = []
        for before, after in itertools.pairwise((config.width, *config.decoder)):
            layers += [nn.Linear(before, after), nn.Dropout(config.dropout), nn.ReLU()]
        self.decoder = nn.Sequential(*layers, nn.Linear(config.decoder[-1], config.leads * config.coefficients))
        self.register_buffer("center", torch.zeros(config.readings))
        self.register_buffer("unit", torch.ones(config.readings))
        self.register_buffer("mean", torch.zeros(config.leads, config.coefficients))
        self.register_buffer("spread", torch.ones(config.coefficients))
        self.center: Tensor
        self.unit: Tensor
        self.mean: Tensor
        self.spread: Tensor

    @classmethod
    def sizes(cls, scene: Scene, settings: ShredConfig, horizon: int) -> ShredSizes:
        """As `Network.sizes`; no more modes than the basis has."""
        return ShredSizes(
            readings=scene.readings,
            leads=horizon + 1,
            coefficients=min(settings.modes, len(scene.modes)),
            observed_frames=settings.observed_frames,
            layers=settings.layers,
            width=settings.width,
            decoder=settings.decoder,
            dropout=settings.dropout,
        )

    def prepare(self, flows: Flows, seed: int) -> None:
        """Measure mean and std of readings and coefficients on training windows."""
        starts = flows.draw(MEASURED, torch.Generator().manual_seed(seed), *self._window)
        self.set_units(*self._given(flows, starts))

    @torch.no_grad()
    def set_units(self, readings: Tensor, coefficients: Tensor) -> None:
        """Take mean and std of training readings (w, k, m), and of coefficients (w, s, r).

        The std of coefficients is each one's own, the same at all lead times.
        """
        flat = readings.flatten(0, -2)
        self.center.copy_(flat.mean(0))
        self.unit.copy_(flat.std(0).clamp_min(1e-6))
        self.mean.copy_(coefficients.mean(0))
        spread = (coefficients - self.mean).square().mean((0, 1)).sqrt()
        self.spread.copy_(spread.clamp_min(1e-6 * float(spread.max())))

    def draw(self, flows: Flows, generator: torch.Generator, done: float, mine: slice) -> tuple[Any, ...]:
        """Readings (b, k, m), coefficients (b, s, r)."""
        count = windows_of(self.settings.batch_frames, self.config.leads, mine)
        return self._given(flows, flows.draw(count, generator, *self._window)[mine])

    @property
    def _window(self) -> tuple[int, int]:
        return self.config.observed_frames, self.config.leads - 1

    def _given(self, flows: Flows, starts: Any) -> tuple[Tensor, Tensor]:
        coefficients = flows.coefficients(starts, self.config.leads - 1)[..., : self.config.coefficients]
        return flows.readings(starts, self.config.observed_frames), coefficients

    def loss(self, readings: Tensor, true: Tensor) -> dict[str, Tensor]:
        """Squared error of coefficients, which is the fields', over their variance: 1 for the mean."""
        error = (self(readings) - true).square().sum(-1).mean()
        weight = weights_of(torch.full((), len(readings), device=readings.device))[0]
        return {"loss": weight * error / self.spread.square().sum()}

    def forward(self, readings: Tensor) -> Tensor:
        """Readings (b, k, m) of the observed frames, in order of time -> coefficients (b, s, r)."""
        with torch.autocast(readings.device.type, enabled=False):  # so small that conversions cost more than they gain
            _, (hidden, _) = self.recurrent((readings.float() - self.center) / self.unit)
            found = self.decoder(hidden[-1]).unflatten(-1, (self.config.leads, self.config.coefficients))
            return self.mean + found * self.spread

    def forecast(self, readings: Tensor, horizon: int) -> Tensor:
        """As `Network.forecast`; raises SparseVQError past the horizon that it was trained for."""
        self.require_leads(horizon, self.config.leads - 1)
        return self.scene.fields_of(self(readings)[:, : horizon + 1])
