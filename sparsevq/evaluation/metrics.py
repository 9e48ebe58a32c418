"""Metrics: pure functions of arrays, one a metric.

Conventions, the same for every function:

- A prediction and its truth have the shape ``(..., N, C)``: any leading axes (cases, lead times), ``N`` points, ``C``
  channels; an ensemble has its members first, ``(M, ..., N, C)``. Spectra alone need the grid, ``(..., *grid, C)``.
- `weights` has a shape that broadcasts to ``(..., N)``: the area that each point stands for, 0 (or False) where the
  point is not scored. A mask is a weight, a sensor set is a weight, the cosine of the latitude is a weight. None: all
  alike. A point of weight 0 never matters, whatever value it holds.
- A result has the shape ``(..., C + 1)``: each channel, and last all channels in one norm.
- Sums are taken in float64, whatever the fields are.
- A metric that is not defined (a truth with no norm, no variance, no energy) is NaN: callers check *predictions* with
  `require_finite`, so that a NaN in a result can only come from the truth.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

BANDS = ("low", "mid", "high")
"""Bands of wavenumbers in which spectra are compared."""

INTERVALS = (0.5, 0.9)
"""Central intervals of an ensemble whose coverage is counted."""


# --------------------------------------------------------------------------------------------- errors of one prediction


def relative_l2(prediction: Array, truth: Array, weights: Array | None = None) -> Array:
    """Relative error in the L2 norm, ``||p - u|| / ||u||``, of each frame; no unit, 0 is perfect.

    Source: Li et al., Fourier neural operator for parametric partial differential equations, ICLR 2021.
    """
    return _root_of_ratio(_mean(np.square(prediction - truth), weights), _mean(np.square(truth), weights))


def relative_l2_anomalies(prediction: Array, truth: Array, climatology: Array, weights: Array | None = None) -> Array:
    """Relative error of the anomalies from `climatology` ``(N, C)``, ``||p - u|| / ||u - c||``, of each frame.

    Beside `relative_l2` it says what a forecast knows of that which varies: 1 is what climatology itself has. Source:
    the root of one minus the skill score of Murphy, Monthly Weather Review 1988, equation 5, for single frames.
    """
    return _root_of_ratio(_mean(np.square(prediction - truth), weights), _mean(np.square(truth - climatology), weights))


def vrmse(prediction: Array, truth: Array, weights: Array | None = None) -> Array:
    """Root-mean-square error over the truth's standard deviation in space, of each frame; no unit.

    1 is what predicting the frame's own mean would give. Source: Ohana et al., The Well, NeurIPS 2024.
    """
    variance = _mean(np.square(truth - _mean_of_each(truth, weights)[..., None, :]), weights)
    return _root_of_ratio(_mean(np.square(prediction - truth), weights), variance)


def mse(prediction: Array, truth: Array, std: Array | float = 1.0, weights: Array | None = None) -> Array:
    """Mean squared error of each frame, on fields normalised by `std` ``(C,)``.

    The normalisation's mean cancels, so it is not asked for.
    """
    return _with_joint(_mean_of_each(np.square(prediction - truth), weights) / np.square(std, dtype=np.float64))


def rmse(prediction: Array, truth: Array, weights: Array | None = None) -> Array:
    """Root-mean-square error of each frame, in the fields' units."""
    return np.sqrt(_mean(np.square(prediction - truth), weights))


def anomaly_correlation(prediction: Array, truth: Array, climatology: Array, weights: Array | None = None) -> Array:
    """Correlation of the anomalies from `climatology` ``(N, C)``, of each frame: 1 is perfect, 0 without skill.

    ``sum (p - c)(u - c) / sqrt(sum (p - c)^2 sum (u - c)^2)``, not centred. A prediction that has no anomaly
    (climatology itself) has 0. Source: Rasp et al., WeatherBench, JAMES 2020.
    """
    predicted, true = prediction - climatology, truth - climatology
    covariance = _mean(predicted * true, weights)
    true_square = _mean(np.square(true), weights)
    product = np.sqrt(_mean(np.square(predicted), weights) * true_square)
    correlation = np.divide(covariance, product, out=np.zeros_like(covariance), where=product > 0)
    return np.where(true_square > 0, correlation, np.nan)


def correlation_time(correlation: Array, lead_times: Array, threshold: float = 0.8) -> Array:
    """First of `lead_times` ``(L,)`` at which `correlation` ``(..., L)`` is below `threshold`; inf if it never is.

    In the unit of `lead_times`; shape ``(...)``. Source: Koehler et al., APEBench, NeurIPS 2024.
    """
    below = np.asarray(correlation) < threshold
    first = np.asarray(lead_times, dtype=np.float64)[np.argmax(below, axis=-1)]
    return np.where(below.any(axis=-1), first, np.inf)


# ------------------------------------------------------------------------------------------------ spectra


def energy_spectrum(
    fields: Array,
    spacing: Sequence[float],
    periodic: Sequence[bool] | None = None,
) -> tuple[Array, Array]:
    """Isotropic energy spectrum of each frame and channel on a regular grid in one, two or three dimensions.

    Parameters
    ----------
    fields
        ``(..., *grid, C)``; the mean over space is subtracted first. Set points that don't exist to one value.
    spacing
        Distance between neighbours along each axis of the grid; tells the number of axes.
    periodic
        Along each axis: an axis that is not periodic gets a Hann window (scaled to keep the mean square of noise), so
        that the jump between its ends does not fill the high wavenumbers. None: all periodic.

    Returns
    -------
    wavenumber
        ``(K,)``: centres of the shells, 2 pi / (the coordinates' unit), up to the smallest of the axes' Nyquist
        wavenumbers.
    energy
        ``(..., K, C)``: half the mean square of the field that each shell holds, so that the sum over all wavenumbers
        is half the variance (Parseval). In the fields' unit squared.
    """
    spacing = tuple(float(step) for step in spacing)
    dimensions = len(spacing)
    axes = tuple(range(-1 - dimensions, -1))
    grid = tuple(fields.shape[axis] for axis in axes)
    periodic = (True,) * dimensions if periodic is None else tuple(periodic)

    fields = np.asarray(fields) - np.mean(fields, axis=axes, keepdims=True, dtype=np.float64).astype(fields.dtype)
    for axis, size, is_periodic in zip(axes, grid, periodic, strict=True):
        if not is_periodic:
            hann = 0.5 - 0.5 * np.cos(2 * np.pi * (np.arange(size) + 0.5) / size)
            hann = (hann / np.sqrt(np.mean(hann**2))).astype(fields.dtype)
            fields = fields * hann.reshape((size,) + (1,) * (-1 - axis))

    coefficients = np.fft.rfftn(fields, axes=axes)
    power = 0.5 * (np.square(coefficients.real) + np.square(coefficients.imag)) / float(np.prod(grid)) ** 2
    # The real transform leaves out the mirror images along its last axis: count those that have one twice.
    twice = np.full(power.shape[-2], 2.0, dtype=power.dtype)
    twice[0] = 1.0
    if grid[-1] % 2 == 0:
        twice[-1] = 1.0
    power = power * twice[:, None]

    frequencies = [np.fft.fftfreq(size, step) for size, step in zip(grid[:-1], spacing[:-1], strict=True)]
    frequencies.append(np.fft.rfftfreq(grid[-1], spacing[-1]))
    magnitude = 2 * np.pi * np.sqrt(sum(f**2 for f in np.meshgrid(*frequencies, indexing="ij")))
    width = min(2 * np.pi / (size * step) for size, step in zip(grid, spacing, strict=True))
    # + 1e-9: a Nyquist wavenumber that rounding puts just below a whole number of shells
    highest = int(min(np.pi / step for step in spacing) / width + 1e-9)
    shell = np.rint(magnitude / width).astype(np.int64).ravel()
    inside = np.flatnonzero((shell >= 1) & (shell <= highest))
    inside = inside[np.argsort(shell[inside], kind="stable")]
    starts = np.searchsorted(shell[inside], np.arange(1, highest + 1))

    flat = power.reshape(*power.shape[: power.ndim - 1 - dimensions], -1, power.shape[-1])
    energy = np.add.reduceat(flat[..., inside, :], starts, axis=-2, dtype=np.float64)
    return width * np.arange(1, highest + 1), energy


def wavenumber_bands(wavenumber: Array) -> Array:
    """The band of each wavenumber ``(K,)``, as an index into `BANDS`: three bands, equal in the logarithm.

    Source: Ohana et al., The Well, NeurIPS 2024.
    """
    edges = np.geomspace(wavenumber[0], wavenumber[-1], len(BANDS) + 1)[1:-1]
    return np.searchsorted(edges, wavenumber, side="right")


def spectral_error(predicted_energy: Array, true_energy: Array, wavenumber: Array) -> Array:
    """Relative error of the energy spectrum in each of the bands; no unit, 1 where all energy is missing.

    ``sqrt(mean_k (1 - E_p(k) / E_u(k))^2)`` over the wavenumbers ``k`` of a band. It sees blur and noise, not phase.

    From energies ``(..., K, C)`` and wavenumbers ``(K,)``, as of `energy_spectrum`, to ``(3, ..., C + 1)`` in the order
    of `BANDS`; the last channel is of the channels' spectra added. NaN for a band without wavenumbers or energy.
    Source: Rozet et al., Lost in Latent Space, NeurIPS 2025.
    """
    predicted, true = _with_joint(predicted_energy), _with_joint(true_energy)
    ratio = np.divide(predicted, true, out=np.full_like(predicted, np.nan), where=true > 0)
    squares = np.moveaxis(np.square(1 - ratio), -2, 0)  # (K, ..., C + 1)
    bands = wavenumber_bands(wavenumber)
    return np.stack(
        [
            np.sqrt(squares[bands == band].mean(axis=0) if band in bands else np.full(squares.shape[1:], np.nan))
            for band in range(len(BANDS))
        ]
    )


# ------------------------------------------------------------------------------------------------ ensembles


AT_ONCE = 2**13
"""Values of a member that are ranked together: those of all members fit a core's second-level cache."""


@dataclass(frozen=True, eq=False)
class Ranked:
    """An ensemble whose members are in increasing order in each value, ``(M, ..., N, C)``; see `rank`."""

    values: Array

    def __len__(self) -> int:
        return len(self.values)


def rank(ensemble: Array) -> Ranked:
    """Order an ensemble ``(M, ..., N, C)`` in each value, once for all metrics that need it.

    By a network of comparisons of whole members, several times as fast as sorting each value's members. Where one
    member is NaN, others may become it.
    """
    found = np.empty(ensemble.shape, ensemble.dtype)
    flat, ordered = ensemble.reshape(len(ensemble), -1), found.reshape(len(ensemble), -1)
    for start in range(0, flat.shape[1], AT_ONCE):
        part = slice(start, start + AT_ONCE)
        rows = list(flat[:, part].copy())
        spare = np.empty_like(rows[0])
        for one, other in _comparisons(len(rows)):
            np.minimum(rows[one], rows[other], out=spare)
            np.maximum(rows[one], rows[other], out=rows[other])
            rows[one], spare = spare, rows[one]
        for row, member in zip(rows, ordered, strict=True):
            member[part] = row
    return Ranked(found)


@cache
def _comparisons(count: int) -> tuple[tuple[int, int], ...]:
    """Pairs whose comparisons, one after the other, sort so many rows.

    Source: Batcher's merge exchange, Knuth, The art of computer programming 3, algorithm 5.2.2M.
    """
    pairs = []
    most = 1 << max(count - 1, 0).bit_length() >> 1
    step = most
    while step > 0:
        high, rest, distance = most, 0, step
        while True:
            pairs += [(row, row + distance) for row in range(count - distance) if row & step == rest]
            if high == step:
                break
            distance, high, rest = high - step, high >> 1, step
        step >>= 1
    return tuple(pairs)


def fair_crps(ensemble: Ranked, truth: Array, weights: Array | None = None) -> Array:
    """Continuous ranked probability score of each frame, mean over points, in the fields' units; smaller is better.

    ``mean_m |x_m - u| - sum_{m,n} |x_m - x_n| / (2 M (M - 1))``: the *fair* form, whose expectation does not depend on
    the number of members. With one member it is the absolute error, which is the score of a forecast without spread.
    Source: Ferro, Fair scores for ensemble forecasts, QJRMS 2014.
    """
    members = len(ensemble)
    score = np.abs(ensemble.values - truth).mean(axis=0)
    if members > 1:
        # Sorted, x_(1) <= ... <= x_(M), the sum over pairs is a weighted sum:
        # sum_{m<n} |x_m - x_n| = sum_m (2m - M - 1) x_(m)
        factor = (2 * np.arange(1, members + 1) - members - 1) / (members * (members - 1))
        score = score - np.tensordot(factor.astype(ensemble.values.dtype), ensemble.values, axes=1)
    return _mean(score, weights)


def ensemble_spread(ensemble: Array, weights: Array | None = None) -> Array:
    """Root of the mean over points of the members' variance (divided by M - 1), of each frame, in the fields' units.

    Source: Fortin et al., Why should ensemble spread match the RMSE of the ensemble mean?, J. Hydrometeorology 2014.
    """
    if len(ensemble) < 2:
        return np.full((*ensemble.shape[1:-2], ensemble.shape[-1] + 1), np.nan)
    return np.sqrt(_mean(np.var(ensemble, axis=0, ddof=1), weights))


def spread_skill_ratio(spread: Array, skill: Array, members: int) -> Array:
    """``sqrt((M + 1) / M) * spread / skill``: 1 for a reliable ensemble, below 1 for an overconfident one.

    `skill` is the root-mean-square error of the ensemble mean; the factor corrects for the sampling error of that mean.
    Both must already be root-mean-squares over what they are compared on (`root_mean_square` over cases): the ratio of
    means is not the mean of ratios. Source: Fortin et al., as `ensemble_spread`.
    """
    spread, skill = np.asarray(spread, dtype=np.float64), np.asarray(skill, dtype=np.float64)
    ratio = np.divide(spread, skill, out=np.full(np.broadcast(spread, skill).shape, np.nan), where=skill > 0)
    return np.sqrt((members + 1) / members) * ratio


def rank_histogram(ensemble: Ranked, truth: Array, weights: Array | None = None) -> Array:
    """How often the truth takes each rank among the members: flat if reliable, U-shaped for too small a spread.

    Frequencies ``(M + 1, ..., C + 1)`` that add to 1. Where the truth equals members (still fluid beside a wall), its
    count is shared by the ranks that tie. Source: Hamill, Interpretation of rank histograms for verifying ensemble
    forecasts, Monthly Weather Review 2001.
    """
    ranks = len(ensemble) + 1
    lowest = (ensemble.values < truth).sum(axis=0, dtype=np.int16)  # (..., N, C)
    ties = (ensemble.values == truth).sum(axis=0, dtype=np.int16)
    *frames, points, channels = lowest.shape
    weights = np.ones(points) if weights is None else np.asarray(weights, dtype=np.float64)
    weight = np.broadcast_to(weights[..., None], lowest.shape)
    bins = int(np.prod(frames)) * channels  # of each frame and channel a histogram
    place = np.arange(bins).reshape(*frames, 1, channels) * ranks + lowest
    most = int(ties.max())
    share = (weight / (ties + 1) if most else weight).ravel()
    counts = np.bincount(place.ravel(), weights=share, minlength=bins * ranks)
    for above in range(1, most + 1):
        tied = ties.ravel() >= above
        counts += np.bincount(place.ravel()[tied] + above, weights=share[tied], minlength=len(counts))
    found = np.moveaxis(counts.reshape(*frames, channels, ranks), -1, 0)
    total = weight.sum(axis=-2)
    return _with_joint(found / np.where(total > 0, total, np.nan))


def interval_coverage(ensemble: Ranked, truth: Array, share: float, weights: Array | None = None) -> Array:
    """How often the truth is in the central interval that `share` of a reliable ensemble's distribution lies in.

    Its ends are the quantiles at probabilities ``p = (1 -+ share) / 2``: of M sorted members that at position
    ``p (M + 1)``, linear between neighbours, for which a reliable ensemble covers `share` whatever M is. Where M is so
    small that the position is before the first member (below 19 for 90 %, below 3 for 50 %), there is no such interval:
    NaN. Where both ends equal the truth (still fluid beside a wall), `share` of the point counts. Source: Hyndman &
    Fan, Sample quantiles in statistical packages, American Statistician 1996, definition 6.
    """
    members = len(ensemble)
    position = (1 - share) / 2 * (members + 1)
    if position < 1 - 1e-9:
        return np.full((*ensemble.values.shape[1:-2], ensemble.values.shape[-1] + 1), np.nan)
    ranked = ensemble.values
    before = max(int(position + 1e-9), 1)  # from 1
    part = ranked.dtype.type(max(position - before, 0))
    low = ranked[before - 1] + part * (ranked[min(before, members - 1)] - ranked[before - 1])
    high = ranked[members - before] - part * (ranked[members - before] - ranked[max(members - before - 1, 0)])
    inside = ((low <= truth) & (truth <= high)).astype(np.float64)
    return _mean(np.where((low == truth) & (truth == high), share, inside), weights)


def root_mean_square(values: Array, axis: int = 0) -> Array:
    """Root of the mean square along `axis`."""
    return np.sqrt(np.mean(np.square(values, dtype=np.float64), axis=axis))


# ------------------------------------------------------------------------------------------------ what they share


def _mean_of_each(values: Array, weights: Array | None) -> Array:
    """Weighted mean over the second-last axis, in float64: ``(..., N, C)`` to ``(..., C)``."""
    weights = np.ones(values.shape[-2]) if weights is None else np.asarray(weights, dtype=np.float64)
    scored = weights > 0
    if not scored.all():
        # Not only multiplied by 0: a NaN where nothing is scored must not get through.
        values = np.where(scored[..., None], values, 0)
    total = weights.sum(axis=-1)
    total = np.where(total > 0, total, np.nan)
    # A product with a row vector: the fast way to sum along the points in float64.
    return (weights[..., None, :] @ values.astype(np.float64, copy=False))[..., 0, :] / total[..., None]


def _with_joint(values: Array) -> Array:
    """Mean squares (or energies) of each channel ``(..., C)``, and last their mean: ``(..., C + 1)``."""
    return np.concatenate([values, values.mean(axis=-1, keepdims=True)], axis=-1)


def _mean(values: Array, weights: Array | None) -> Array:
    """Weighted mean over points, of each channel and last of all: ``(..., N, C)`` to ``(..., C + 1)``."""
    return _with_joint(_mean_of_each(values, weights))


def _root_of_ratio(numerator: Array, denominator: Array) -> Array:
    return np.sqrt(np.divide(numerator, denominator, out=np.full_like(numerator, np.nan), where=denominator > 0))
