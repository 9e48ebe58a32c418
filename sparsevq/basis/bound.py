"""What so many bits a frame can do at best: reverse water-filling (Cover & Thomas 2006, section 10.3.3).

For independent Gaussian components of variances v_k, any code of B bits in all has a mean squared error, summed over
the components, of at least ``sum_k min(v_k, level)``, where the *water level* is such that the components above it get
``sum_k log2(v_k / level) / 2 = B`` bits. Variances and distortions here are of squared errors; the ratio of two
relative L2 errors is the root of their ratio. A source that is not Gaussian (a low-dimensional manifold) may do better.
"""

import math

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


def rate_distortion(variances: npt.ArrayLike, bits: float) -> float:
    """Least mean squared error, summed over components of variances (r,), of a code of `bits` a frame."""
    found = np.asarray(variances, np.float64)
    return float(np.minimum(found, water_level(found, bits)).sum())


def bits_per_component(variances: npt.ArrayLike, bits: float) -> Array:
    """Bits (r,) that each component gets of `bits` in all, in the order given; 0 for those below the water level."""
    found = np.asarray(variances, np.float64)
    level = water_level(found, bits)
    above = found > level
    return 0.5 * np.log2(np.where(above, found, 1.0) / (level if above.any() else 1.0)) * above


def bits_needed(variances: npt.ArrayLike, distortion: float) -> float:
    """Fewest bits a frame that leave at most `distortion`: the inverse of `rate_distortion`; infinite for 0."""
    found = np.sort(np.asarray(variances, np.float64))
    found = found[found > 0]
    if distortion >= found.sum():
        return 0.0
    if distortion <= 0:
        return math.inf
    # With the `count` smallest components below the level, the distortion is theirs and the level for each other one.
    below = np.concatenate([[0.0], np.cumsum(found)[:-1]])
    levels = (distortion - below) / np.arange(len(found), 0, -1)
    level = levels[np.flatnonzero(levels <= found)[0]]
    return float(0.5 * np.log2(found[found > level] / level).sum())


def levels_needed(variances: npt.ArrayLike, estimate_error: float, tokens: int, codes: int, share: float = 0.25) -> int:
    """Levels of residual codes a token that suffice for what the sensors can see, at least 1.

    The fewest whose bound leaves a quantization error below a share of the error that the estimate from the sensors has
    of itself: finer codes describe what the estimate does not know, and are learnt by heart in stage 3.

    Parameters
    ----------
    variances
        Of the coefficients, (r,).
    estimate_error
        Mean squared error of the estimate, summed over the coefficients.
    tokens, codes
        Tokens a frame, and codes of a level.
    share
        Largest quantization error, as a share of `estimate_error` (both of squared errors).
    """
    needed = bits_needed(variances, share * estimate_error)
    if math.isinf(needed):
        raise ValueError("no number of bits leaves no error")
    return max(1, math.ceil(needed / (tokens * math.log2(codes)) - 1e-9))


def water_level(variances: Array, bits: float) -> float:
    """The variance that components which get bits are left with; the largest variance where there are no bits."""
    found = np.sort(variances[variances > 0])[::-1]
    if not len(found):
        return 0.0
    # log2 of the level if the `count` largest components get the bits: the largest count whose components lie above it.
    logs = np.log2(found)
    levels = (np.cumsum(logs) - 2 * bits) / np.arange(1, len(found) + 1)
    count = int(np.flatnonzero(logs >= levels)[-1])
    return float(2.0 ** levels[count])
