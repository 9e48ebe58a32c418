"""The weights of a run's models with as many digits as a tolerance asks for.

m readings, r coefficients, S examples or windows, q coordinates of a kernel, p components, L lead times
"""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sparsevq.models.estimate import kernel
from sparsevq.models.gpt import unit_codes
from sparsevq.models.regression import Regression
from sparsevq.runtime.model_file import ModelFile
from sparsevq.runtime.rounded import Rounded, rounded
from sparsevq.serving.small.tolerance import Tolerance, water_level

Weights = dict[str, Rounded | Tensor]

WHOLE = 2048
"""Numbers of a tensor up to which it is kept as it is."""
FINER = 8
"""Steps of the places of a kernel are finer than those of coefficients by this: weights that cancel make more of it."""
LEARNED_FROM = 4
"""Steps of coefficients that are learned from are coarser by this: errors of many average out."""
KEPT = 2000
"""Places of a kernel that are kept, at most."""
PENALTY = 1e-6
"""On weights that are fitted again, in units of the kernel's mean square over all places."""
LEAST = 1e-12
"""Least variance of an error, normalised."""
OF_SCALES = 0.1
"""Step of windows' scales of errors, 1 in the mean: hundreds of them are averaged."""
FINE = 1024
"""Steps in the rms of numbers that are few and used as they are."""
REFINEMENT = "outlooks.refinement."
"""How names of the weights of the outlook's correction begin."""


def small_encoder(file: ModelFile, tolerance: Tolerance) -> tuple[ModelFile, Weights]:
    """Of an encoder, and what the file says of it.

    On modes by what its coefficients may be wrong, with `KEPT` examples; of the paper's a share of the weights' rms.
    """
    if "modes" not in file.shape:
        return file, small_network(file.weights, tolerance)
    rows = _sample(file.shape["examples"], KEPT)
    of_examples = ("examples", "known.examples", "estimator.places", "estimator.weights")
    kept = {name: weight[rows] if name in of_examples else weight for name, weight in file.weights.items()}
    found: Weights = {}
    for name, weight in kept.items():
        learned = name in ("examples", "held_out")
        found[name] = _rounded(weight, LEARNED_FROM * tolerance.step if learned else _fine(weight))
    if len(rows) and "estimator.weights" in kept:
        width, places = file.weights["estimator.width"], file.weights["estimator.places"]
        found["estimator.places"] = _rounded(kept["estimator.places"], tolerance.step / FINER)
        across = kernel(places, _values(found["estimator.places"]), width)
        weights = file.weights["estimator.weights"]
        predicted = torch.cat([kernel(part, places, width) @ weights for part in places.split(1024)])
        variance = predicted.square().mean(0)
        level = water_level(variance.double().numpy(), min(tolerance.allowed, float(variance.sum())))
        fitted = weights if len(rows) == len(places) else _fitted_again(across, predicted)
        fitted = fitted * (variance > level)
        found["estimator.weights"] = _rounded(fitted, math.sqrt(12 * max(level, LEAST)) / _gathered(across))
    return replace(file, shape={**file.shape, "examples": len(rows)}), found


def small_network(weights: Mapping[str, Tensor], tolerance: Tolerance) -> Weights:
    """Of a network: each weight with an error of the tolerance's share of the rms of its tensor's."""
    found: Weights = {}
    for name, weight in weights.items():
        step = math.sqrt(12) * tolerance.share * _rms(weight)
        found[name] = _rounded(weight, step if weight.is_floating_point() else 1.0)
    return found


def small_tokenizer(file: ModelFile, tolerance: Tolerance) -> Weights:
    """Of a tokenizer; codes of groups of coefficients by what these may be wrong."""
    found = small_network(file.weights, tolerance)
    if "quantizer.codes" in file.weights:
        found["quantizer.codes"] = _rounded(file.weights["quantizer.codes"], tolerance.step / 2)
    return found


def small_gpt(
    file: ModelFile, codebook: Tensor, codes: Rounded | None, tolerance: Tolerance
) -> tuple[ModelFile, Weights]:
    """Of a GPT, and what the file says of it: its regressions have fewer components.

    Parameters
    ----------
    codebook
        (P', Q, K, D) of the tokenizer that is written with it.
    codes
        The same as they are stored, if they are rounded.
    """
    own = {name: weight for name, weight in file.weights.items() if not name.startswith(("outlooks.", "first_guess."))}
    found = small_network(own, tolerance)
    unit, scale = unit_codes(codebook)
    shape = file.weights["codebook"].shape
    found["codebook"] = unit.view(shape)
    if codes is not None:  # the same whole numbers
        steps = (codes.steps / scale.numpy()).astype(np.float32)
        steps = steps.reshape(-1, *(1,) * 3) if len(shape) == 4 else steps.reshape((1,) * 3)
        found["codebook"] = Rounded(codes.numbers.reshape(shape), steps, "float32")
    for name, weight in file.weights.items():
        if name.startswith("first_guess."):
            found[name] = weight if name != "first_guess.propagator" else _propagator(weight, tolerance)
    if "outlooks.flows" not in file.weights:
        return file, found
    found["outlooks.flows"] = _rounded(file.weights["outlooks.flows"], LEARNED_FROM * tolerance.step)
    found["outlooks.center"], found["outlooks.trajectory"] = (
        file.weights[f"outlooks.{name}"] for name in ("center", "trajectory")
    )
    correction = _below(file.weights, REFINEMENT)
    if correction:
        body = {name: weight for name, weight in correction.items() if name.startswith("body.")}
        small: Weights = {**correction, **small_network(body, tolerance)}
        small["modes"] = _rounded(correction["modes"], tolerance.step / FINER)
        found.update({REFINEMENT + name: weight for name, weight in small.items()})
    sizes = []
    for frames, *others in file.shape["regressions"]:
        prefix = f"outlooks.own.{frames}."
        regression = Regression(*others)
        regression.load_state_dict(_below(file.weights, prefix))
        weights, kept = small_regression(regression, tolerance)
        found.update({prefix + name: weight for name, weight in weights.items()})
        sizes.append([frames, *kept])
    return replace(file, shape={**file.shape, "regressions": sizes}), found


@torch.no_grad()
def small_regression(regression: Regression, tolerance: Tolerance) -> tuple[Weights, tuple[int, ...]]:
    """Of a regression, and its sizes: it has `KEPT` windows, and fewer components.

    Components are turned to the principal ones of the windows: what most windows have little of is left out. Weights of
    the windows that are kept are fitted again, so that it predicts of all windows what it did.
    """
    weights = {name: weight.clone() for name, weight in regression.state_dict().items()}
    alone = weights["alone"].double()
    variances, turn = torch.linalg.eigh(alone.T @ alone / len(alone))  # increasing
    variances, turn = variances.flip(0).clamp_min(0), turn.flip(1)
    # The error of all lead times together, of which each may have the allowed one.
    level = water_level(variances.numpy(), tolerance.allowed * regression.leads)
    kept = max(int((variances > level).sum()), 1)
    turn, std = turn[:, :kept], variances[:kept].sqrt()
    step = math.sqrt(12 * level)
    rows, places = _sample(len(alone), KEPT), regression.places
    of_components = math.sqrt(12 * tolerance.allowed / (regression.coefficients * kept)) / std.clamp_min(1e-30)
    found: Weights = {name: weights[name] for name in ("center", "width", "choice", "band", "variance", "shrink")}
    readings = max(len(regression.center), 1)
    found["metric"] = _rounded(weights["metric"], tolerance.step / FINER / math.sqrt(readings))
    found["places"] = _rounded(places[rows], tolerance.step / FINER)
    turned = weights["weights"].double() @ turn
    predicted = torch.cat([regression.across(part, places) @ turned for part in places.split(1024)])
    across = regression.across(places, _values(found["places"]))
    fitted = turned.float() if len(rows) == len(places) else _fitted_again(across, predicted)
    found["weights"] = _rounded(fitted, step / _gathered(across))
    found["components"] = _rounded((turn.T @ weights["components"].double()).float(), of_components[:, None])
    found["alone"] = _rounded((alone @ turn)[rows].half(), step)
    found["offset"] = _rounded(weights["offset"], tolerance.step)
    found["scales"] = _rounded(weights["scales"][rows], OF_SCALES)
    found["where"] = _rounded(weights["where"][rows], 1.0)
    sizes = (*weights["metric"].shape, len(rows), regression.leads, regression.coefficients, kept)
    return found, sizes


def _fitted_again(across: Tensor, predicted: Tensor) -> Tensor:
    """Weights (M, o) of some places, by the kernel (S, M) of all with these, for what is predicted at all (S, o)."""
    across, predicted = across.double(), predicted.double()
    gram = across.T @ across
    gram.diagonal().add_(PENALTY * gram.diagonal().mean().clamp_min(LEAST))
    return torch.cholesky_solve(across.T @ predicted, torch.linalg.cholesky(gram)).float()


def _values(weight: Rounded | Tensor) -> Tensor:
    return weight if isinstance(weight, Tensor) else torch.from_numpy(weight.values)


def _propagator(weight: Tensor, tolerance: Tolerance) -> Rounded | Tensor:
    """Rows of coefficients that vary little may be wrong by more."""
    std = torch.from_numpy(tolerance.std[: len(weight)]).clamp_min(1e-30)
    return _rounded(weight, (tolerance.step / (std * len(weight) ** 0.5))[:, None])


def _rounded(weight: Tensor, step: Tensor | float) -> Rounded | Tensor:
    """A tensor rounded, unless it is small."""
    if weight.numel() <= WHOLE:
        return weight
    values = weight.numpy()
    steps = step.numpy() if isinstance(step, Tensor) else step
    largest = np.abs(values).max(initial=0.0)
    # At least so many that all are below 2^24: float32 has no more digits.
    return rounded(values, np.maximum(steps, float(largest) * 2.0**-23 or 1.0))


def _gathered(across: Tensor) -> float:
    """By how much an error of all weights of a kernel (n, S) is larger in what they give."""
    return max(float(across.square().sum(1).mean().sqrt()), 1e-12)


def _fine(weight: Tensor) -> float:
    return _rms(weight) / FINE if weight.is_floating_point() else 1.0


def _rms(weight: Tensor) -> float:
    return max(float(weight.double().square().mean().sqrt()), 1e-30) if weight.numel() else 1.0


def _sample(count: int, most: int) -> Tensor:
    """At most so many of `count` rows, evenly."""
    return torch.linspace(0, max(count - 1, 0), min(most, count), dtype=torch.float64).round().long()


def _below(weights: Mapping[str, Tensor], prefix: str) -> dict[str, Any]:
    return {name.removeprefix(prefix): weight for name, weight in weights.items() if name.startswith(prefix)}
