"""How near windows are to each other, for the regression of `sparsevq.models.regression`.

Distances are taken in linear coordinates of the readings, so that readings that decide little count little. At first
two windows are as near to each other as what ridge regression makes of their readings. A kernel regression in such
coordinates is steep along some of them and flat along others: they may be replaced, a few times, by coordinates in
which it is equally steep along all, on average. How often, and which kernel, is chosen on held-out windows.

    m readings, q coordinates, S windows, V held-out ones, l lead times, r coefficients, d directions of these

References
----------
Radhakrishnan, Beaglehole, Pandit & Belkin, Mechanism for feature learning in neural networks and backpropagation-free
machine learning models, Science 2024 (mean products of slopes); Rasmussen & Williams, Gaussian processes for machine
learning, 2006, equations 4.14 and 4.17 (kernels).
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from sparsevq.models.estimate import kernel

RIDGES = (1e-4, 1e-3, 1e-2, 3e-2, 0.1, 0.3)
"""Penalties of the ridge regression that first distances are taken from, in units of the readings' mean variance."""
ORDERS = (1, 2)
"""How often what is predicted can be differentiated: Matern kernels of order 3/2 and 5/2."""
WIDTHS = (0.25, 1.0, 4.0, 16.0, 64.0)
"""Squared widths of the kernel, in units of the median squared distance of two windows."""
LINEAR = (0.0, 0.1)
"""Weights of the linear kernel, in units of one over that distance."""
NOISES = (1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3, 1.0)
"""Variance of what the readings leave open, in units of that of what they decide."""
TO_CHOOSE = 1200
"""Windows, at most, with which coordinates and kernel are chosen."""
STEPS = 2
"""Times, at most, that the coordinates are replaced."""
SLOPES = 400
"""Windows, at most, where slopes are taken."""
SLOPES_NOISE = 1e-3
"""Noise of the regression whose slopes they are; its kernel is of order 3/2 and of width 1."""
DIRECTIONS = 256
"""Leading directions of what is predicted, at most, that decide the choice; a quarter of them decide coordinates."""


@dataclass(frozen=True)
class Choice:
    """What is chosen on held-out windows; given, it need not be chosen again. `steps`: of the coordinates."""

    ridge: float
    width: float
    linear: float
    noise: float
    order: float = 1.0
    steps: float = 0.0


@dataclass(frozen=True)
class Nearness:
    """Coordinates (m, q) of readings less their mean, the median squared distance of two windows, and the choice."""

    metric: Tensor
    median: Tensor
    choice: Choice

    def inverse(self, places: Tensor) -> Tensor:
        """(S, S) of the kernel of places (S, q) with the noise, float64."""
        within = torch.empty(len(places), len(places), dtype=torch.float64, device=places.device)
        choice, width = self.choice, self.choice.width * self.median
        for rows in torch.arange(len(places), device=places.device).split(1024):  # in parts, whose like is needed twice
            within[rows] = sum_kernel(places[rows], places, width, choice.linear / self.median, choice.order)
        within.diagonal().add_(choice.noise)
        factor = torch.linalg.cholesky(within)
        del within
        return torch.cholesky_inverse(factor)


@torch.no_grad()
def nearness(
    readings: Tensor, targets: Tensor, held_out: tuple[Tensor, Tensor] | None, choice: Choice | None
) -> Nearness:
    """Choose coordinates and kernel.

    Parameters
    ----------
    readings, targets
        (S, m) and (S, l, r), each less its mean over the windows.
    held_out
        The same of windows to choose by, less the same means; None: `choice` is given.
    """
    few = _Ridge(readings, targets.flatten(1))
    if choice is not None:
        ridge, steps = choice.ridge, round(choice.steps)
    else:
        assert held_out is not None
        unseen, wanted = held_out[0], held_out[1].flatten(1)
        ridge, steps = min(RIDGES, key=lambda ridge: float((unseen @ few(ridge) - wanted).square().sum())), STEPS
    rows = torch.linspace(0, len(readings) - 1, min(TO_CHOOSE, len(readings))).round().long().unique()
    some, parts, directions = readings[rows], *_leading(targets.flatten(1)[rows].double())
    metrics = list(_metrics(_metric(few(ridge).unflatten(1, targets.shape[1:])), some, parts, steps))
    if choice is not None:
        return Nearness(metrics[-1], _median(readings @ metrics[-1]), choice)
    tried = []
    for step, metric in enumerate(metrics):
        trial = _Trial(some @ metric, parts, unseen @ metric, wanted.double() @ directions)
        start = Choice(ridge, 0, 0, 0, steps=step)
        trials = [trial(start, order, width) for order in ORDERS for width in WIDTHS]
        _, best = min(trials, key=lambda one: one[0])
        trials += [trial(best, best.order, best.width, linear) for linear in LINEAR if linear]
        tried += [(error, each, metric) for error, each in trials]
    _, best, metric = min(tried, key=lambda one: one[0])
    return Nearness(metric, _median(readings @ metric), best)


def sum_kernel(places: Tensor, others: Tensor, width: Tensor, linear: Tensor, order: Tensor | float) -> Tensor:
    """(a, q), (b, q) -> (a, b) float64: where there is little noise, weights are large and of both signs."""
    places, others = places.double(), others.double()
    return kernel(places, others, width.double(), order) + linear * (places @ others.T)


class _Trial:
    """Errors on held-out windows of kernel regressions in some coordinates.

    Parameters
    ----------
    places, parts
        (S, q) and (S, d) of the windows that are learned from.
    unseen, wanted
        (V, q) and (V, d) of held-out ones.
    """

    def __init__(self, places: Tensor, parts: Tensor, unseen: Tensor, wanted: Tensor):
        self._places, self._parts, self._unseen, self._wanted = places, parts, unseen, wanted
        self._median = _median(places)

    def __call__(self, start: Choice, order: float, width: float, linear: float = 0.0) -> tuple[float, Choice]:
        """The best noise, and its error."""
        arguments = width * self._median, linear / self._median, order
        within, across = (sum_kernel(one, self._places, *arguments) for one in (self._places, self._unseen))
        values, vectors = torch.linalg.eigh(within)
        rotated, across = vectors.T @ self._parts, across @ vectors
        found = []
        for noise in NOISES:
            guess = (across / (values.clamp_min(0) + noise)) @ rotated
            found.append((float((guess - self._wanted).square().sum()), noise))
        error, noise = min(found)
        return error, replace(start, width=width, linear=linear, noise=noise, order=float(order))


def _metrics(metric: Tensor, readings: Tensor, parts: Tensor, steps: int) -> Iterator[Tensor]:
    """The first coordinates (m, q), and those of each step, by windows with readings (S, m) and parts (S, d)."""
    yield metric
    for _ in range(steps):
        metric = (metric.double() @ _equally_steep(readings.double() @ metric.double(), parts)).float()
        yield metric


def _equally_steep(places: Tensor, parts: Tensor) -> Tensor:
    """(q, q') coordinates of places (S, q) in which a regression of parts (S, d) is equally steep along all.

    Their mean squared length is that of the places.
    """
    median = _median(places)
    within = sum_kernel(places, places, median, torch.zeros_like(median), 1)
    within.diagonal().add_(SLOPES_NOISE)
    weights = torch.cholesky_solve(parts[:, : DIRECTIONS // 4], torch.linalg.cholesky(within))  # (S, d)
    where = places[torch.linspace(0, len(places) - 1, min(SLOPES, len(places))).round().long().unique()]
    steepness = 6 / median  # the kernel's slope is -steepness exp(-z) times the difference of places
    products = torch.zeros(places.shape[1], places.shape[1], dtype=places.dtype, device=places.device)
    for some in where.split(32):
        near = (torch.cdist(some, places) * steepness.sqrt()).neg().exp()  # (a, S)
        by_window = near[:, None] * weights.T  # (a, d, S)
        slopes = by_window @ places - by_window.sum(-1, keepdim=True) * some[:, None]  # (a, d, q)
        products += torch.einsum("adq,adp->qp", slopes, slopes)
    values, vectors = torch.linalg.eigh(products)
    kept = values > 1e-8 * values.max()
    found = vectors[:, kept] * values[kept].sqrt()
    length = (places.square().sum() / (places @ found).square().sum().clamp_min(1e-300)).sqrt()
    return found * length


def _leading(targets: Tensor) -> tuple[Tensor, Tensor]:
    """Parts (S, d) along orthonormal directions (o, d) of targets (S, o), those with the most of their variance."""
    values, windows = torch.linalg.eigh(targets @ targets.T)
    values, windows = values.flip(0)[:DIRECTIONS], windows.flip(1)[:, :DIRECTIONS]
    kept = values > 1e-12 * values[:1].clamp_min(1e-300)
    lengths = values[kept].sqrt()
    return windows[:, kept] * lengths, targets.T @ windows[:, kept] / lengths


def _median(places: Tensor) -> Tensor:
    """Median squared distance of two windows at places (S, q)."""
    some = places[torch.linspace(0, len(places) - 1, 500).round().long().unique()]
    return torch.pdist(some).square().median().clamp_min(1e-12)


class _Ridge:
    """Coefficients (m, o) of ridge regression from readings (S, m) to targets (S, o), for any penalty.

    From the products of readings or, where these are fewer, of windows.
    """

    def __init__(self, readings: Tensor, targets: Tensor):
        count, size = readings.shape
        if size <= count:
            self.values, self.vectors = torch.linalg.eigh((readings.T @ readings).double() / count)
            self.cross = self.vectors.T @ ((readings.T @ targets).double() / count)
            self.mean = self.values.mean()
        else:
            values, windows = torch.linalg.eigh((readings @ readings.T).double() / count)
            kept = values > 1e-12 * values.max()
            self.values, windows = values[kept], windows[:, kept]
            self.vectors = readings.T.double() @ windows / (count * self.values).sqrt()
            self.cross = (self.values / count).sqrt()[:, None] * (windows.T @ targets.double())
            self.mean = values.sum() / size

    def __call__(self, ridge: float) -> Tensor:
        penalty = ridge * self.mean.clamp_min(1e-12)
        return (self.vectors @ (self.cross / (self.values.clamp_min(0) + penalty)[:, None])).float()


def _metric(weights: Tensor) -> Tensor:
    """(m, q) coordinates in which distances are those of predictions by weights (m, l, r), over all of them."""
    flat, leads = weights.flatten(1).double(), weights.shape[1]
    many = len(flat) > flat.shape[1]  # then the products of what is predicted are the fewer
    values, vectors = torch.linalg.eigh((flat.T @ flat if many else flat @ flat.T) / leads)
    kept = values > 1e-8 * values.max()
    return (flat @ vectors[:, kept] / leads**0.5 if many else vectors[:, kept] * values[kept].sqrt()).float()
