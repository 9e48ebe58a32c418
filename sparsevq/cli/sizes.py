"""Sizes of the stages for the data at hand, with which a first table comes in minutes, and what they cost."""

import math
from dataclasses import dataclass, replace
from typing import Any

from sparsevq.config import Stage1Config

BUDGET, MOST_MINUTES = 10.0, 15.0
"""Minutes on two cores that sizes are lowered to, and that a first table may take at most."""
MOST_HELD_OUT = 24
"""Trajectories for validation, and for the test, at most: a table needs no more."""
CASES = 12
"""Test forecasts that a table has at least, where the trajectories are long enough for several starts."""
MOST_STARTS = 6
LONGEST = 20
"""Frames ahead, at most, as many as the paper's."""
FRAMES_A_MODE = 5
"""Training frames for each mode: more modes fit the frames' own noise (docs/lab-notes.md, a record of two years)."""
MOST_MODES = 512
BUSY = 1.3
"""CPU seconds on a machine that others use too, over those on one at rest."""
WORTH_IT = 0.7
"""Share of the time to which lowered sizes must come."""
LEAST_MODES, LEAST_HORIZON, LEAST_STEPS = 128, 5, 100
"""What sizes are lowered to, where the data are large."""


@dataclass(frozen=True)
class Sizes:
    """Sizes of data, stages and evaluation.

    Attributes
    ----------
    training, validation, test
        Trajectories (or time blocks) of each split.
    frames
        Of each of them.
    values
        Of a frame: valid points times channels.
    horizon, starts
        Frames ahead, and start frames of the forecasts.
    modes, steps
        Of stage 1, and of stage 3.
    gpu
        Whether stage 3 trains on a GPU.
    """

    training: int
    validation: int
    test: int
    frames: int
    values: int
    horizon: int
    starts: tuple[int, ...]
    modes: int
    steps: int
    gpu: bool = False

    @property
    def learned_from(self) -> int:
        """Training frames."""
        return self.training * self.frames

    @property
    def examples(self) -> int:
        """Training frames that the estimate from the sensors learns from."""
        return min(5000, self.learned_from)

    @property
    def tokens(self) -> int:
        """Tokens of a frame."""
        return min(self.modes, 3 if self.modes < 16 else 4 if self.modes < 128 else 8)

    @property
    def levels(self) -> int:
        """Residual levels of a token."""
        return 2 if self.learned_from < 500 else 4

    @property
    def codes(self) -> int:
        """Codes of a level: a power of two, with a few frames for each."""
        return 2 ** min(8, max(2, int(math.log2(max(4, self.learned_from / 3)))))

    @property
    def network(self) -> tuple[int, int]:
        """Layers and width of the GPT: a small one learns less by heart."""
        if self.gpu and self.learned_from >= 5000:
            return 6, 256
        return (2, 64) if self.learned_from < 500 else (3, 128) if self.learned_from < 2000 else (4, 192)

    @property
    def sequence(self) -> int:
        """Complete frames of a training sequence."""
        return self.horizon + 1

    @property
    def sequences(self) -> int:
        """Training sequences of a batch."""
        return 16

    def minutes(self) -> float:
        """What all jobs take on two cores.

        The factors are CPU seconds of the jobs of the four small experiments in config/, and of the sea surface's, by
        their sizes (2026-11-26, 2 cores of an EPYC; docs/lab-notes.md): right within a third for these; and `BUSY`.
        """
        frames = self.training + self.validation + self.test, self.frames
        all_values, learned = math.prod(frames) * self.values, self.learned_from
        layers, width = self.network
        windows = min(6000, self.training * max(1, self.frames - self.horizon))
        cases, rounds = self.test * len(self.starts), 6 * self.validation * len(self.starts)
        rolled_out = 20 * self.sequence * self.tokens * (rounds + 2 * cases)
        step = 9e-5 * self.sequences * self.sequence * self.tokens * layers * width**2 / (4 * 192**2)
        seconds = (
            80  # the jobs themselves
            + 1.1e-7 * all_values + 2.3e-10 * learned * self.values * self.modes  # data and basis
            + 6e-3 * self.examples + learned * (2.8e-3 + 1e-7 * self.values)  # stages 1 and 2, baselines, robustness
            + 2.2e-4 * windows * self.sequence + (0 if self.gpu else self.steps * step)  # stage 3
            + 6e-5 * rolled_out + 1.5e-5 * cases * self.sequence * self.values  # forecasts, scores and figures
        )  # fmt: skip
        return BUSY * seconds / 60

    def settings(self) -> dict[str, Any]:
        """The sections of the configuration that depend on them."""
        few, layers_width = self.learned_from < 500, self.network
        warmup = max(1, self.steps // 10)
        stage1: dict[str, Any] = {"modes": self.modes, "examples": self.examples}
        if self.modes < Stage1Config().num_latents:
            stage1["num_latents"] = 1
        if few:  # what few frames do not show is like noise of the readings
            stage1["noise"] = 0.1
        stage2 = {
            "tokenizer": "groups",
            "tokens_per_frame": self.tokens,
            "num_quantizers": self.levels,
            "num_vq_embeddings": self.codes,
        }
        stage3 = {
            "lr": 3e-4 if few else 5e-4,
            "weight_decay": 0.1 if few else 0.05,
            "dropout": 0.4 if few else 0.1,
            "max_steps": self.steps,
            "warmup_steps": warmup,
            "val_every": max(1, self.steps // (10 if few else 4)),
            "time_transformer_layers": layers_width[0],
            "time_transformer_heads": 4,
            "time_transformer_dim": layers_width[1],
            "first_guess": "regression" if self.training > 1 else "none",  # each is predicted by the others
            "code_noise": 2.0 if few else 1.0,
            "stage2_frames": self.sequence,
            "batch_frames": self.sequences * self.sequence,
        }
        ranks = [rank for rank in (2, 5, 10, 20, 40, 80) if rank <= self.modes] or [1]
        evaluation = {"pod_ranks": ranks} if self.modes < 80 else {}
        forecast = {"horizon": self.horizon, "starts": list(self.starts)}
        found = {"stage1": stage1, "stage2": stage2, "stage3": stage3, "forecast": forecast, "evaluation": evaluation}
        return {name: section for name, section in found.items() if section}


def sizes_for(
    training: int, validation: int, test: int, frames: int, values: int, gpu: bool = False, budget: float = BUDGET
) -> Sizes:
    """Sizes for data: as large as their number of training frames supports, and lowered until they fit the budget.

    Parameters
    ----------
    training, validation, test
        Trajectories of each split; the held-out ones are not changed.
    frames, values
        Of each trajectory, and of each frame.
    budget
        Minutes.
    """
    learned_from = training * frames
    horizon = max(1, min(LONGEST, frames // 2))
    sizes = Sizes(
        training, validation, test, frames, values,
        horizon=horizon,
        starts=_starts(frames, horizon, test, CASES),
        modes=max(1, min(MOST_MODES, learned_from // FRAMES_A_MODE, values, learned_from - 1)),
        steps=(1000 if gpu else 200) if learned_from >= 500 else 100,
        gpu=gpu,
    )  # fmt: skip
    lowered = (
        lambda now: replace(now, starts=now.starts[: max(1, len(now.starts) // 2)]),
        lambda now: replace(now, steps=max(LEAST_STEPS, now.steps // 2)),
        lambda now: replace(now, modes=max(min(LEAST_MODES, now.modes), now.modes // 2)),
        lambda now: _shorter(now),
    )
    wanted = sizes
    while sizes.minutes() > budget:
        smaller = min((lower(sizes) for lower in lowered), key=Sizes.minutes)
        if smaller.minutes() >= sizes.minutes():
            break
        sizes = smaller
    # Where the data themselves take the time, smaller stages would be worse for little.
    return wanted if budget < sizes.minutes() > WORTH_IT * wanted.minutes() else sizes


def _shorter(sizes: Sizes) -> Sizes:
    horizon = max(min(LEAST_HORIZON, sizes.horizon), sizes.horizon // 2)
    return replace(sizes, horizon=horizon, starts=_starts(sizes.frames, horizon, sizes.test, len(sizes.starts)))


def _starts(frames: int, horizon: int, test: int, cases: int) -> tuple[int, ...]:
    """Start frames, spread evenly, that give a table so many forecasts."""
    last = frames - 1 - horizon
    count = max(1, min(MOST_STARTS, -(-cases // max(1, test)), last + 1))
    return tuple(sorted({round(last * place / max(1, count - 1)) for place in range(count)}))
