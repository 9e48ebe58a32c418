"""Sequences of code indices that the GPT is trained on and validated by."""

from dataclasses import dataclass

import torch
from torch import Tensor

from sparsevq.config import Stage3Config
from sparsevq.errors import SparseVQError
from sparsevq.models.gpt import Given
from sparsevq.models.regression import LeftOut, Outlook, Outlooks, Regression
from sparsevq.models.residual_codes import codes_sum, residual_codes
from sparsevq.runs.codes import Codes
from sparsevq.runtime.devices.memory import generator_on, sent, taken

VALIDATION_STARTS = 4
"""Validation sequences of each trajectory, evenly spaced."""


class Batch:
    """Sequences of code indices: the observed frames', then the complete frames' from the last observed one on.

    No dataclass, whose numbers Fabric would round to bf16.

    Attributes
    ----------
    codes
        (b, k + s, P, Q).
    times
        (k,) of the observed frames, in frames after the last of them.
    given
        With a first guess: what it is made from.
    inputs
        `codes` as the network sees them, perhaps disturbed; None: as they are.
    """

    def __init__(self, codes: Tensor, times: Tensor, given: Given | None = None, inputs: Tensor | None = None):
        self.codes, self.times, self.given = codes, times, given
        self.inputs = codes if inputs is None else inputs

    @property
    def targets(self) -> Tensor:
        """The complete frames, (b, s, P, Q)."""
        return self.codes[:, len(self.times) :]

    def part(self, rows: slice) -> "Batch":
        """Some of the sequences."""
        given = None if self.given is None else Given(self.given.outlook[rows], self.given.states[rows])
        return Batch(self.codes[rows], self.times, given, self.inputs[rows])


class Sequences:
    """Sequences of `stage2_frames` complete frames, by `targets`; before them the observed ones, by the sparse encoder.

    Which sequences is decided on the host; what they hold is on the device of the codes. Where regressions have been
    learned (`learned`), training sequences are the windows that these know, each with its
    outlook by the other trajectories.

    Raises
    ------
    SparseVQError
        No trajectory is that long, or the start frames that are allowed leave none.
    """

    def __init__(self, codes: Codes, settings: Stage3Config):
        self.codes, self.length = codes, settings.stage2_frames
        self.counts = observed_counts(settings.observed_frames)
        self.targets = codes.semi_sparse if settings.targets == "semi_sparse" else codes.sparse
        self.variants, _, frames = codes.sparse.shape[:3]
        last = frames - self.length
        if last < 0:
            raise SparseVQError(
                f"stage3.stage2_frames={self.length} is more than the {frames} frames of a trajectory", "lower it"
            )
        if settings.max_X:
            last = min(last, settings.max_X)
        fixed = settings.freeze_start_on_0
        if fixed > last:
            raise SparseVQError(
                f"stage3.freeze_start_on_0={fixed}: sequences of {self.length} frames start at {last} or before",
                "lower it",
            )
        if (last if fixed < 0 else fixed) < self.counts[-1] - 1:
            raise SparseVQError(
                f"stage3.observed_frames={self.counts[-1]} with stage2_frames={self.length} needs "
                f"{self.counts[-1] + self.length - 1} frames up to the last allowed start, "
                f"{last if fixed < 0 else fixed}",
                "lower one of them",
            )
        self.starts = torch.arange(last + 1) if fixed < 0 else torch.tensor([fixed])
        self.training, self.device = codes.of("train"), codes.sparse.device
        self._starts_of = {count: self.starts[self.starts >= count - 1] for count in self.counts}
        self._times_of = {count: times_of(count, self.device) for count in self.counts}
        # Fine codes hold more than a few hundred trajectories can teach: the GPT would learn them by heart. With noise
        # before they are coded, neighbouring codes are neighbours for it.
        self.noise = settings.code_noise * self.quantization_error() if settings.code_noise else None
        self.learned: dict[int, Learned] = {}

    @property
    def slow(self) -> bool:
        """Whether a part of a sequence has to cross from the host to another device."""
        parts = (self.codes.tokens_sparse, self.codes.coefficients)
        return any(part is not None and part.device != self.device for part in parts)

    def starts_of(self, count: int) -> Tensor:
        """Last observed frames that have `count` frames up to them, one of `counts`."""
        return self._starts_of[count]

    def draw(self, rows: int, generator: torch.Generator, step: int = 0) -> Batch:
        """Random training sequences, b = `rows`; with `code_noise` the network sees others, of disturbed tokens.

        The number of observed frames changes from step to step.
        """
        count, which, given = self.drawn(rows, generator, step)
        codes, inputs = self.take(*which, count), None
        if self.noise is not None:
            inputs = self.take_disturbed(*which, count, generator)
        return Batch(codes, self._times_of[count], given, inputs)

    def drawn(
        self, rows: int, generator: torch.Generator, step: int
    ) -> tuple[int, tuple[Tensor, Tensor, Tensor], Given | None]:
        """Which sequences `draw` draws: how many observed frames; variant, trajectory and start (b,) each."""
        count = self.counts[step % len(self.counts)]

        def choose(options: Tensor) -> Tensor:
            return options[torch.randint(len(options), (rows,), generator=generator)]

        if self.learned:
            learned = self.learned[count]
            row = torch.randint(len(learned.where), (rows,), generator=generator)
            variant, trajectory, start = learned.where[row].unbind(-1)
            given = Given(learned.outlook(row), self.coefficients(variant, trajectory, start))
            return count, (variant, trajectory, start), given
        variant = torch.randint(self.variants, (rows,), generator=generator)
        return count, (variant, choose(self.training), choose(self.starts_of(count))), None

    def held_out(self, split: str = "val", outlooks: Outlooks | None = None) -> list[Batch]:
        """Sequences of the validation (or test) split, the same every time: a batch for each number of observed frames.

        Raises
        ------
        SparseVQError
            The split has no trajectory.
        """
        held_out = self.codes.of(split)
        if not len(held_out):
            raise SparseVQError(
                f"the index dump has no trajectory of the split {split}", "give the data set at least one (/split)"
            )
        batches = []
        for count in self.counts:
            starts = self.starts_of(count)
            picks = torch.linspace(0, len(starts) - 1, min(VALIDATION_STARTS, len(starts)))
            trajectory, start = torch.cartesian_prod(held_out, starts[picks.round().long()]).unbind(-1)
            which = torch.zeros_like(trajectory), trajectory, start
            given = None
            if outlooks is not None:
                regression = outlooks.by(count)[1]
                given = Given(regression(self.readings(*which, count)), self.coefficients(*which))
            batches.append(Batch(self.take(*which, count), self._times_of[count], given))
        return batches

    def readings(self, variant: Tensor, trajectory: Tensor, start: Tensor, count: int) -> Tensor:
        """(b,), (b,), (b,) -> (b, count m) what was seen in the observed frames, in the order of time."""
        assert self.codes.readings is not None
        return self._chosen(self.codes.readings, variant, trajectory, start[:, None] + _observed(count)).flatten(1)

    def coefficients(self, variant: Tensor, trajectory: Tensor, start: Tensor) -> Tensor:
        """(b,), (b,), (b,) -> (b, s, r) complete coefficients."""
        assert self.codes.coefficients is not None
        frame = start[:, None] + torch.arange(self.length)
        return self._chosen(self.codes.coefficients, variant, trajectory, frame).float()

    def unquantized(self) -> tuple[Tensor, Tensor]:
        """Tokens before quantization by the sparse encoder, and of the targets, (V, T, F, P, D) float16.

        Raises
        ------
        SparseVQError
            The dump lacks them.
        """
        sparse, targets = self.codes.tokens_sparse, self.codes.tokens_semi_sparse
        if self.targets is self.codes.sparse:
            targets = sparse
        if sparse is None or targets is None:
            raise SparseVQError(
                "stage3.code_noise: the index dump has no unquantized tokens, which stage2.tokenizer=groups alone has",
                "set stage3.code_noise to 0 (stage3.token_noise is for every tokenizer), or train that tokenizer",
            )
        return sparse, targets

    def quantization_error(self) -> Tensor:
        """Root mean square over the training frames of what the codes leave of each token's channels, (P, D)."""
        _, tokens = self.unquantized()
        square = torch.zeros(tokens.shape[-2:], dtype=torch.float64, device=self.device)
        for trajectory in self.training.tolist():
            found = codes_sum(self.targets[:, trajectory], self.codes.codebook)
            square += (tokens[:, trajectory].to(found) - found).square().double().mean((0, 1))
        return (square / len(self.training)).sqrt().float()

    def take_disturbed(
        self, variant: Tensor, trajectory: Tensor, start: Tensor, count: int, generator: torch.Generator
    ) -> Tensor:
        """What `take` returns, with noise in the tokens before they are coded."""
        assert self.noise is not None
        tokens = self.take_unquantized(variant, trajectory, start, count)
        generator = generator_on(tokens.device, generator)
        tokens += self.noise * torch.randn(tokens.shape, generator=generator, device=tokens.device)
        return residual_codes(tokens.flatten(0, 1), self.codes.codebook, beam=1).unflatten(0, tokens.shape[:2])

    def take(self, variant: Tensor, trajectory: Tensor, start: Tensor, count: int) -> Tensor:
        """(b,), (b,), (b,) -> (b, k + s, P, Q)."""
        return self._joined(self.codes.sparse, self.targets, variant, trajectory, start, count)

    def take_unquantized(self, variant: Tensor, trajectory: Tensor, start: Tensor, count: int) -> Tensor:
        """(b,), (b,), (b,) -> (b, k + s, P, D) tokens before quantization, float32; raises as `unquantized`."""
        return self._joined(*self.unquantized(), variant, trajectory, start, count).float()

    def _joined(
        self, sparse: Tensor, complete: Tensor, variant: Tensor, trajectory: Tensor, start: Tensor, count: int
    ) -> Tensor:
        """(b, k + s, P, ...) of the observed frames by the sparse encoder, and of the complete ones."""
        observed, following = start[:, None] + _observed(count), start[:, None] + torch.arange(self.length)
        parts = ((sparse, observed), (complete, following))
        return torch.cat([self._chosen(values, variant, trajectory, frame) for values, frame in parts], dim=1)

    def _chosen(self, values: Tensor, variant: Tensor, trajectory: Tensor, frame: Tensor) -> Tensor:
        """Of values (V, T, F, ...), wherever they are, those of frames (b, f), on the device: (b, f, ...)."""
        _, trajectories, frames = values.shape[:3]
        row = ((variant * trajectories + trajectory) * frames)[:, None] + frame
        return taken(values.flatten(0, 2), row, self.device)


@dataclass(frozen=True)
class Learned:
    """A regression, the windows that it is of (S, 3: variant, trajectory, start), on the host, and its guesses."""

    where: Tensor
    regression: Regression
    left_out: LeftOut

    def outlook(self, rows: Tensor) -> Outlook:
        """Of windows (b,), by the other trajectories."""
        rows = sent(rows, self.left_out.parts.device)
        return self.regression.outlook(self.left_out.parts[rows], self.left_out.scales[rows])


def observed_counts(most: int) -> tuple[int, ...]:
    """Numbers of observed frames that are mixed in training, increasing: `most`, a third of it, and so on down to 1."""
    counts = {1, most}
    while (most := most // 3) > 1:
        counts.add(most)
    return tuple(sorted(counts))


def times_of(count: int, device: torch.device) -> Tensor:
    """(k,) of observed frames without a gap, in frames after the last of them."""
    return torch.arange(1 - count, 1, device=device)


def _observed(count: int) -> Tensor:
    return times_of(count, torch.device("cpu"))
