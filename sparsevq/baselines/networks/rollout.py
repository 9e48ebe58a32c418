"""Autoregressive rollouts: a first frame from the readings, then one network that makes the next frame of a frame.

The first frame is the optimal interpolation of the readings, or what a network makes of their Voronoi tessellation
(Fukami, Maulik, Ramachandra, Fukagata & Taira, Global field reconstruction from sparse sensors with Voronoi
tessellation-assisted deep learning, Nature Machine Intelligence 2021).

Trained as such networks are: one step ahead from true frames with a little noise (Sanchez-Gonzalez et al., Learning to
simulate complex physics with graph networks, ICML 2020), then, for the last `rollout_share` of the steps, on rollouts
of growing length from the first frame as it is estimated, differentiated through. The network gives the change of a
frame, in units of its root mean square over the training flows.
"""

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from sparsevq.baselines.networks.network import Network, mean_square
from sparsevq.baselines.networks.scene import Scene
from sparsevq.baselines.networks.windows import Flows
from sparsevq.config.networks import RolloutConfig

PAIRS = 64
"""Pairs of frames on which the size of a change is measured."""


@dataclass(frozen=True)
class RolloutSizes:
    """Sizes that any of these networks has.

    Attributes
    ----------
    channels
        Of a field.
    fixed
        Channels that are the same in each frame (`Scene.fixed`).
    axes
        Dimensions of the grid.
    """

    channels: int
    fixed: int
    axes: int


class Rollout(Network):
    """A rollout of `step`; a subclass says which network that is, `body`.

    Attributes
    ----------
    tessellated
        Whether the first frame is made by a network of its own from the Voronoi tessellation of the readings.
    """

    any_sensors = True
    tessellated: ClassVar[bool] = False
    settings: RolloutConfig

    def __init__(self, scene: Scene, config: Any, settings: RolloutConfig):
        scene.require_grid(self.section)
        super().__init__(scene, config, settings)
        channels, fixed = config.channels, config.fixed
        self.step = self.body(channels + fixed, channels)
        # The tessellation, and where the sensors are.
        self.analysis = self.body(channels + 1 + fixed, channels) if self.tessellated else None
        self.change: Tensor
        self.register_buffer("change", torch.ones(channels))

    @abstractmethod
    def body(self, given: int, made: int) -> nn.Module:
        """A network from ``(b, given, *grid)`` to ``(b, made, *grid)``."""

    def prepare(self, flows: Flows, seed: int) -> None:
        """Measure the root mean square of the change from one frame to the next, of each channel."""
        starts = flows.draw(PAIRS, torch.Generator().manual_seed(seed), 1, 1)
        truth, valid = flows.truth(starts, 1)
        weight = (valid * self.scene.area)[..., None]
        squares = ((truth[:, 1] - truth[:, 0]).square() * weight).sum((0, 1)) / weight.sum()
        self.change.copy_(squares.sqrt().clamp_min(1e-6))

    # ---------------------------------------------------------------------------------------------- training

    def leads(self, done: float) -> int:
        """Frames that are forecast when a share of the training is done."""
        settings = self.settings
        alone = 1 - settings.rollout_share
        if done < alone:
            return 1
        grown = (done - alone) / max(settings.rollout_share, 1e-9)
        return min(settings.rollout_frames, 2 + int(grown * (settings.rollout_frames - 1)))

    def draw(self, flows: Flows, generator: torch.Generator, done: float, mine: slice) -> tuple[Any, ...]:
        """Readings (b, m), frames (b, leads + 1, N, C), where they have a field (b, N), noise on the first one."""
        leads = self.leads(done)
        least = 1 if mine.step is None else mine.step  # each rank has a row
        count = max(least, self.settings.batch_frames // leads)
        starts = flows.draw(count, generator, 1, leads)
        noise = int(torch.randint(2**62, (), generator=generator))
        starts = starts[mine]
        truth, valid = flows.truth(starts, leads)
        noisy = None
        if leads == 1:
            own = torch.Generator(truth.device).manual_seed(noise + (mine.start or 0))
            white = torch.randn(truth[:, 0].shape, generator=own, device=truth.device)
            noisy = truth[:, 0] + self.settings.noise * white * valid[..., None]
        return flows.readings(starts, 1)[:, 0], truth, valid, noisy

    def loss(self, readings: Tensor, truth: Tensor, valid: Tensor, noisy: Tensor | None) -> dict[str, Tensor]:
        """One step from `noisy`, in units of the change; where that is None the rollout from the readings."""
        area, leads = self.scene.area, truth.shape[1] - 1
        start = self.first(readings) if self.tessellated or noisy is None else None
        terms = {}
        if noisy is not None:
            guess = self.roll(self.scene.gridded(noisy), 1)[:, 1:]
            terms["step"] = mean_square(guess / self.change, truth[:, 1:] / self.change, valid, area)
        else:
            assert start is not None
            guess = self.roll(start, leads)[:, 1:]
            terms["step"] = mean_square(guess, truth[:, 1:], valid, area)
        if self.tessellated:
            assert start is not None
            terms["first"] = mean_square(self.scene.flat(start)[:, None], truth[:, :1], valid, area)
        return {"loss": sum(terms.values(), torch.zeros((), device=truth.device)), **terms}

    # ---------------------------------------------------------------------------------------------- forecasts

    def first(self, readings: Tensor) -> Tensor:
        """The frame that is observed, ``(b, C, *grid)``, from its readings ``(b, m)``."""
        if self.analysis is None:
            return self.scene.gridded(self.scene.estimate(readings))
        mosaic = self.scene.tessellated(readings)
        marked, fixed = self._of_each(self.scene.marked, mosaic), self._of_each(self.scene.fixed, mosaic)
        return mosaic + self.analysis(torch.cat([mosaic, marked, fixed], dim=1)).float()

    def roll(self, state: Tensor, horizon: int) -> Tensor:
        """``(b, horizon + 1, N, C)`` from a first frame ``(b, C, *grid)`` on, with that."""
        fixed = self._of_each(self.scene.fixed, state)
        # Where no training flow has a field nothing is learned: it stays as it is.
        change = self.change.reshape(-1, *[1] * len(self.scene.grid)) * (self.scene.fixed[:1] > 0)
        states = [state]
        for _ in range(horizon):
            state = state + change * self.step(torch.cat([state, fixed], dim=1)).float()
            states.append(state)
        stacked = torch.stack(states, dim=1)
        return self.scene.flat(stacked.flatten(0, 1)).unflatten(0, (-1, horizon + 1))

    def forecast(self, readings: Tensor, horizon: int) -> Tensor:
        """As `Network.forecast`: from the last of the observed frames."""
        return self.roll(self.first(readings[:, -1]), horizon)

    def forecast_from(self, first: Tensor, horizon: int) -> Tensor:
        """The same from a dense first frame ``(b, N, C)``: what the rollout can do where nothing is hidden."""
        return self.roll(self.scene.gridded(first), horizon)

    @staticmethod
    def _of_each(fixed: Tensor, like: Tensor) -> Tensor:
        return fixed.expand(len(like), *fixed.shape)
