"""Coefficients of the modes at every lead time, straight from the readings of the observed frames.

Kernel ridge regression (the mean of a Gaussian process) on windows of the training flows: what the sensors read in the
frames up to the last observed one, and the coefficients of that frame and of those that followed. One solve serves all
lead times. Two windows are as near to each other as what ridge regression makes of their readings, at a few lead times,
so readings that decide little count little, and the kernel is the sum of that of `sparsevq.models.estimate` and a
linear one.

Each window is predicted, too, without all windows of its own trajectory, in closed form: those errors are what the
regression's errors on other trajectories are. Nearby windows' errors say how sure a prediction is.

    m readings of k frames, q coordinates, S windows, L lead times from 0 on, r coefficients, p components, B bands

References
----------
Rasmussen & Williams, Gaussian processes for machine learning, 2006, section 2.2, equation 5.12 (leave-one-out; here for
blocks); Halko, Martinsson & Tropp, SIAM Review 2011 (components).
"""

from dataclasses import astuple, dataclass
from typing import Self

import torch
from torch import Tensor, nn

from sparsevq.models.nearness import Choice, nearness, sum_kernel
from sparsevq.models.refinement import Refinement, RefinementSizes

COMPONENTS = 1536
"""Components, at most, of what is predicted at all lead times."""
LEFT = 0.05
"""What they may leave, as a share of the squared error on other trajectories; so there may be fewer."""
NEIGHBOURS = 400
"""Nearest windows, at most, whose errors tell how sure a prediction is."""
BANDS = 8
"""Bands of coefficients, of equal variance of error, that are more or less sure together."""
REFINED_AT_ONCE = 32
"""Windows whose correction is computed together."""
LEAST_SHARE = 1e-6
"""Least variance of an error, as a share of the largest."""


@dataclass(frozen=True)
class Windows:
    """Windows to learn from: readings (S, m), coefficients (S, L, r), the trajectory that each is of (S,).

    `where`: flow and last observed frame of each (S, 2), as in the flows that `Regression.errors` is given.
    """

    readings: Tensor
    coefficients: Tensor
    trajectory: Tensor
    where: Tensor


@dataclass(frozen=True)
class Outlook:
    """What is expected of b forecasts' coefficients at lead times 0 ... L - 1: mean and std (b, L, r).

    `like`: windows whose errors its own may be like, (b, N); None: not known.
    """

    mean: Tensor
    std: Tensor
    like: Tensor | None = None

    def __getitem__(self, which: Tensor | slice) -> "Outlook":
        return Outlook(self.mean[which], self.std[which], None if self.like is None else self.like[which])

    def members(self, count: int) -> "Outlook":
        """Each forecast `count` times, side by side."""
        mean, std = (part.repeat_interleave(count, 0) for part in (self.mean, self.std))
        return Outlook(mean, std, None if self.like is None else self.like.repeat_interleave(count, 0))


@dataclass(frozen=True)
class LeftOut:
    """Predictions of training windows by the other trajectories: parts (S, p), scales of the errors (S, L, B)."""

    parts: Tensor
    scales: Tensor


class Regression(nn.Module):
    """Mean and std of coefficients (b, L, r) from readings (b, m); see `fitted`.

    Its buffers are all that it needs: what a solve gives depends in its last bits on the number of threads.
    """

    def __init__(self, readings: int, coordinates: int, windows: int, leads: int, coefficients: int, components: int):
        super().__init__()
        self.leads, self.coefficients = leads, coefficients
        sizes = {
            "center": (readings,),
            "metric": (readings, coordinates),
            "places": (windows, coordinates),
            "choice": (6,),
            "width": (),
            "weights": (windows, components),
            "components": (components, leads * coefficients),
            "offset": (leads * coefficients,),
            "variance": (leads, coefficients),
            "scales": (windows, leads, BANDS),
            "shrink": (leads, BANDS),
        }
        for name, size in sizes.items():
            self.register_buffer(name, torch.zeros(size))
        self.shrink.fill_(1)
        self.register_buffer("band", torch.zeros(coefficients, dtype=torch.long))
        self.register_buffer("where", torch.zeros(windows, 2, dtype=torch.long))  # flow and frame of each window
        self.register_buffer("alone", torch.zeros(windows, components, dtype=torch.float16))
        self.center: Tensor
        self.metric: Tensor
        self.places: Tensor
        self.choice: Tensor
        self.width: Tensor
        self.weights: Tensor
        self.components: Tensor
        self.offset: Tensor
        self.variance: Tensor
        self.scales: Tensor
        self.shrink: Tensor  # of errors, by what `refined` corrects
        self.band: Tensor
        self.where: Tensor
        self.alone: Tensor  # of each window by the other trajectories, as weights of components
        # What corrects its means, and its own number of observed frames; a tuple, since it is no part of this module.
        self.refined: tuple[Refinement, int] | None = None

    @property
    def sizes(self) -> tuple[int, int, int, int, int, int]:
        """Arguments that rebuild it."""
        return (*self.metric.shape, len(self.places), self.leads, self.coefficients, len(self.components))

    # -------------------------------------------------------------------------------------------- use

    def forward(self, readings: Tensor) -> Outlook:
        """Normalised readings (b, m), of the frames in order of time -> the outlook."""
        with torch.autocast(readings.device.type, enabled=False):
            places = (readings.float() - self.center) @ self.metric
            weights = self.weights.double()
            parts = [(self.across(part, self.places) @ weights).float() for part in places.split(1024)]
            found = self.outlook(torch.cat(parts), self._nearby(places, None))
            nearest = [
                torch.cdist(part, self.places).topk(self.neighbours, largest=False) for part in places.split(1024)
            ]
            return Outlook(found.mean, found.std, torch.cat([part.indices for part in nearest]))

    @property
    def neighbours(self) -> int:
        """Windows near a forecast whose errors its own are taken to be like."""
        return max(1, min(NEIGHBOURS, len(self.places) // 8))

    def errors(self, windows: Tensor, flows: Tensor) -> Tensor:
        """(b, L, r) of windows (b,) as the other trajectories predict them; `flows` (flow, F, r) are their truth.

        With a correction they are as much less as its errors are on flows that it was not trained on.
        """
        flow, frame = self.where[windows].unbind(-1)
        true = flows[flow[:, None], frame[:, None] + torch.arange(self.leads, device=flow.device)].float()
        guess = self.alone[windows].float() @ self.components + self.offset
        return (true - guess.unflatten(1, (self.leads, self.coefficients))) * self.shrink[:, self.band]

    def outlook(self, parts: Tensor, scales: Tensor) -> Outlook:
        """Parts (b, p) and scales of errors (b, L, B) -> the outlook."""
        mean = (parts @ self.components + self.offset).unflatten(1, (self.leads, self.coefficients))
        if self.refined is not None:
            refinement, frames = self.refined
            with torch.no_grad(), torch.autocast(mean.device.type, enabled=False):
                mean = torch.cat([part + refinement(part, frames) for part in mean.split(REFINED_AT_ONCE)])
        return Outlook(mean, (self.variance * scales[..., self.band]).sqrt() * self.shrink[:, self.band])

    def chosen(self) -> Choice:
        """What was chosen."""
        return Choice(*self.choice.double().tolist())

    # -------------------------------------------------------------------------------------------- fit

    @classmethod
    @torch.no_grad()
    def fitted(
        cls,
        windows: Windows,
        held_out: Windows | None,
        seed: int,
        choice: Choice | None = None,
        reduced: tuple[Tensor, Tensor] | None = None,
    ) -> tuple[Self, LeftOut]:
        """The regression, and its predictions of its own windows by those of other trajectories.

        Parameters
        ----------
        windows
            To learn from; of two trajectories at least.
        held_out
            To choose by; None: `choice` is given.
        reduced
            Parts and components (`reduced_to_components`) of the windows' coefficients, which do not depend on the
            readings; None: they are computed.
        """
        leads, coefficients = windows.coefficients.shape[1:]
        center, offset = windows.readings.mean(0), windows.coefficients.mean(0)
        readings = windows.readings - center
        targets = (windows.coefficients - offset).flatten(1)
        some = torch.linspace(0, leads - 1, min(4, leads)).round().long().unique()
        unseen = None
        if held_out is not None:
            unseen = held_out.readings - center, (held_out.coefficients - offset)[:, some]
        near = nearness(readings, targets.unflatten(1, (leads, coefficients))[:, some], unseen, choice)
        places = readings @ near.metric
        parts, components = reduced_to_components(windows.coefficients, seed) if reduced is None else reduced
        inverse = near.inverse(places)
        weights, alone = inverse @ parts.double(), parts.clone()
        for rows in _blocks(windows.trajectory):
            alone[rows] -= torch.linalg.solve(inverse[rows][:, rows], weights[rows]).float()
        del inverse
        count = _enough(targets, parts, alone)
        found = cls(len(center), near.metric.shape[1], len(readings), leads, coefficients, count).to(center.device)
        values = {"center": center, "metric": near.metric, "places": places, "offset": offset.flatten()}
        values |= {"width": near.median, "choice": torch.tensor(astuple(near.choice)), "where": windows.where}
        values |= {"components": components[:count], "weights": weights[:, :count], "alone": alone[:, :count]}
        for name, value in values.items():
            found.get_buffer(name).copy_(value)
        alone = alone[:, :count].contiguous()
        return found, LeftOut(alone, found._learn_errors(targets - alone @ found.components, windows.trajectory))

    def _learn_errors(self, errors: Tensor, trajectory: Tensor) -> Tensor:
        """Take variances of the errors (S, L r) of windows by other trajectories; scales (S, L, B) by these, too."""
        errors = errors.unflatten(1, (self.leads, self.coefficients))
        variance = errors.square().mean(0)
        self.variance.copy_(variance.clamp_min(LEAST_SHARE * float(variance.max())))
        spent = self.variance.sum(0)
        # By NumPy, since CUDA's cumsum has no fixed order.
        share = torch.from_numpy(spent.double().cpu().numpy().cumsum()).to(spent) / spent.sum()
        self.band.copy_((share * BANDS).long().clamp_max(BANDS - 1))
        one = nn.functional.one_hot(self.band, BANDS).to(errors)  # (r, B)
        whole = self.variance @ one  # (L, B)
        self.scales.copy_(torch.where(whole > 0, errors.square() @ one / whole, torch.ones_like(whole)))
        nearby = self._nearby(self.places, trajectory)
        # Windows that are near to many have smaller errors than most: on average a scale must be 1.
        self.scales /= nearby.mean(0).clamp_min(1e-12)
        return nearby / nearby.mean(0).clamp_min(1e-12)

    def _nearby(self, places: Tensor, trajectory: Tensor | None) -> Tensor:
        """Mean of the nearest windows' scales (b, L, B); given their trajectories, without those of each one's own."""
        count, found = self.neighbours, []
        for rows in torch.arange(len(places), device=places.device).split(1024):
            distance = torch.cdist(places[rows], self.places)
            if trajectory is not None:
                distance.masked_fill_(trajectory[rows, None] == trajectory, torch.inf)
            nearest = distance.topk(count, largest=False).indices
            chance = torch.zeros_like(distance).scatter_(1, nearest, 1 / count)
            found.append((chance @ self.scales.flatten(1)).unflatten(1, self.scales.shape[1:]))
        return torch.cat(found)

    def across(self, places: Tensor, others: Tensor) -> Tensor:
        """Kernel (a, b) of places (a, q) and (b, q), float64."""
        _, width, linear, _, order, _ = self.choice.unbind()
        return sum_kernel(places, others, width * self.width, linear / self.width, order)


class Outlooks(nn.Module):
    """Regressions from the readings of a run's own sensors, and what one from any others is fitted to.

    Parameters
    ----------
    sizes
        Of each regression, first the frames that it sees, then `Regression.sizes`.
    flows
        Training flows, symmetry variants of each trajectory one after the other, and their frames.
    coefficients
        r.
    refinement
        Sizes of what corrects the regressions from the run's own sensors; None: nothing does.
    """

    def __init__(
        self,
        sizes: tuple[tuple[int, ...], ...],
        flows: tuple[int, int],
        coefficients: int,
        refinement: RefinementSizes | None = None,
    ):
        super().__init__()
        regressions = {frames: Regression(*others) for frames, *others in sizes}
        self.own = nn.ModuleDict({str(frames): regression for frames, regression in regressions.items()})
        self.refinement: Refinement | None = None
        if refinement is not None:
            self.refinement = Refinement(refinement).requires_grad_(False)
            for frames, regression in regressions.items():
                regression.refined = (self.refinement, frames)
        self.register_buffer("flows", torch.zeros(*flows, coefficients, dtype=torch.float16))
        self.register_buffer("trajectory", torch.zeros(flows[0], dtype=torch.long))
        self.register_buffer("center", torch.zeros(coefficients))
        self.flows: Tensor
        self.trajectory: Tensor
        self.center: Tensor  # of the coefficients, which are less it
        # Of the windows of the last fit to other sensors, by its observed frames and their number: most of its time.
        self._reduced: dict[tuple[int, int], tuple[Tensor, Tensor]] = {}

    @property
    def counts(self) -> tuple[int, ...]:
        """Numbers of observed frames that there is a regression for, increasing."""
        return tuple(sorted(int(count) for count in self.own))

    def by(self, frames: int) -> tuple[int, Regression]:
        """The regression that sees most of `frames` observed ones without a gap, and how many these are."""
        count = max(count for count in self.counts if count <= frames)
        regression = self.own[str(count)]
        assert isinstance(regression, Regression)
        return count, regression

    @torch.no_grad()
    def fitted_to(
        self, times: Tensor, modes: list[Tensor], errors: list[Tensor], most: int | None = None
    ) -> Regression:
        """A regression from readings at any sensors, in frames at times (k,), the last of them 0.

        Parameters
        ----------
        modes
            Of each frame, (m, r) the modes where a reading is taken, of its channel.
        errors
            Of each frame, (m,) variance of each reading's error: of the instrument, and of what the modes leave there.
        most
            Windows to learn from, at most, which it takes the cube of their number to solve for; None: as many as the
            regression from the run's own sensors has.
        """
        span = 1 - int(times[0])
        _, like = self.by(min(span, self.counts[-1]))
        count = len(like.places) if most is None else min(most, len(like.places))
        windows = chosen_windows(len(self.flows), self.flows.shape[1], like.leads, span, count, seed=0)
        flow, frame = windows.to(self.flows.device).unbind(-1)
        leads = torch.arange(like.leads, device=flow.device)
        generator = torch.Generator().manual_seed(0)
        readings = []
        for time, at_sensors, error in zip(times.tolist(), modes, errors, strict=True):
            exact = (self.flows[flow, frame + time].float() + self.center) @ at_sensors.T
            noise = torch.randn(exact.shape, generator=generator).to(exact)
            readings.append(exact + noise * error.float().sqrt())
        coefficients = self.flows[flow[:, None], frame[:, None] + leads].float()
        learned = Windows(torch.cat(readings, dim=1), coefficients, self.trajectory[flow], windows.to(flow.device))
        if (span, count) not in self._reduced:
            self._reduced = {(span, count): reduced_to_components(coefficients, seed=0)}
        reduced = self._reduced[span, count]
        return Regression.fitted(learned, None, seed=0, choice=like.chosen(), reduced=reduced)[0]


def chosen_windows(flows: int, frames: int, leads: int, span: int, count: int, seed: int) -> Tensor:
    """Flow and last observed frame (S, 2) of at most `count` windows with `span` observed frames."""
    every = torch.cartesian_prod(torch.arange(flows), torch.arange(span - 1, frames - leads + 1))
    generator = torch.Generator().manual_seed(seed)
    return every[torch.randperm(len(every), generator=generator)[:count].sort().values]


def reduced_to_components(coefficients: Tensor, seed: int) -> tuple[Tensor, Tensor]:
    """Parts (S, p) and orthonormal components (p, L r) of coefficients (S, L, r), whose product is near them.

    Of what the coefficients differ by from their mean over the windows; those with the most of their variance first.
    """
    targets = (coefficients - coefficients.mean(0)).flatten(1)
    count = min(COMPONENTS, *targets.shape)
    generator = torch.Generator().manual_seed(seed)
    sketch = torch.randn(len(targets), count, generator=generator).to(targets)
    rows = torch.linalg.qr((sketch.T @ targets).T).Q  # (o, p) near the leading directions of the targets
    rows = torch.linalg.qr(targets.T @ (targets @ rows)).Q
    parts = targets @ rows
    order = torch.linalg.eigh((parts.T @ parts).double()).eigenvectors.flip(1).float()
    return parts @ order, (rows @ order).T.contiguous()


def _enough(targets: Tensor, parts: Tensor, alone: Tensor) -> int:
    """Number of leading components that leave little of targets (S, o) beside errors of `alone` (S, p)."""
    energy = parts.double().square().sum(0)
    left = targets.square().sum(dtype=torch.float64) - torch.from_numpy(energy.cpu().numpy().cumsum()).to(energy)
    errors = (parts - alone).square().sum(dtype=torch.float64) + left[-1].clamp_min(0)
    return min(len(left), 1 + int((left > LEFT * errors).sum()))


def _blocks(trajectory: Tensor) -> list[Tensor]:
    """Rows of each trajectory (S,)."""
    order = trajectory.argsort(stable=True)
    counts = trajectory[order].unique_consecutive(return_counts=True)[1]
    return list(order.split(counts.tolist()))
