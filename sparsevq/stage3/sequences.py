"""Sequences of code indices that the GPT is trained on and validated by."""

import torch
from torch import Tensor

from sparsevq.config import Stage3Config
from sparsevq.errors import SparseVQError
from sparsevq.models.residual_codes import codes_sum, residual_codes
from sparsevq.runs.codes import Codes

VALIDATION_STARTS = 4
"""Validation sequences of each trajectory, evenly spaced."""


class Sequences:
    """Sequences of `stage2_frames` frames: the first by the sparse encoder, the others by `targets`.

    Raises
    ------
    SparseVQError
        No trajectory is that long, or the start frames that are allowed leave none.
    """

    def __init__(self, codes: Codes, settings: Stage3Config):
        self.codes, self.length = codes, settings.stage2_frames
        self.targets = codes.semi_sparse if settings.targets == "semi_sparse" else codes.sparse
        self.variants, _, frames = codes.sparse.shape[:3]
        last = frames - self.length
        if last < 0:
            raise SparseVQError(
                f"stage3.stage2_frames={self.length} is more than the {frames} frames of a trajectory", "lower it"
            )
        if settings.max_X:
            last = min(last, settings.max_X)
        if settings.freeze_start_on_0 > last:
            raise SparseVQError(
                f"stage3.freeze_start_on_0={settings.freeze_start_on_0}: sequences of {self.length} frames start at "
                f"{last} or before",
                "lower it",
            )
        fixed = settings.freeze_start_on_0
        self.starts = torch.arange(last + 1) if fixed < 0 else torch.tensor([fixed])
        self.starts = self.starts.to(codes.sparse.device)
        self.training = codes.of("train")
        # Fine codes hold more than a few hundred trajectories can teach: the GPT would learn them by heart. With noise
        # before they are coded, neighbouring codes are neighbours for it.
        self.noise = settings.code_noise * self.quantization_error() if settings.code_noise else None

    def draw(self, count: int, generator: torch.Generator, fold: int | None = None) -> Tensor:
        """Random training sequences, (count, s, P, Q); with `code_noise` their tokens are disturbed and coded anew.

        `fold`: of every other training trajectory, from the first (0) or the second (1); None: of all.
        """
        training = self.training if fold is None else self.training[fold::2]

        def choose(options: Tensor) -> Tensor:
            return options[torch.randint(len(options), (count,), generator=generator, device=options.device)]

        variant = torch.randint(self.variants, (count,), generator=generator, device=self.starts.device)
        which = variant, choose(training), choose(self.starts)
        return self.take(*which) if self.noise is None else self.take_disturbed(*which, generator)

    def held_out(self, split: str = "val") -> Tensor:
        """Sequences of the validation (or test) split, the same every time, (n, s, P, Q).

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
        picks = torch.linspace(0, len(self.starts) - 1, min(VALIDATION_STARTS, len(self.starts)))
        starts = self.starts[picks.round().long().to(self.starts.device)]
        trajectory, start = torch.cartesian_prod(held_out, starts).unbind(-1)
        return self.take(torch.zeros_like(trajectory), trajectory, start)

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
        square = torch.zeros(tokens.shape[-2:], dtype=torch.float64, device=self.starts.device)
        for trajectory in self.training.tolist():
            found = codes_sum(self.targets[:, trajectory], self.codes.codebook)
            square += (tokens[:, trajectory].to(found) - found).square().double().mean((0, 1))
        return (square / len(self.training)).sqrt().float()

    def take_disturbed(self, variant: Tensor, trajectory: Tensor, start: Tensor, generator: torch.Generator) -> Tensor:
        """What `take` returns, with noise in the tokens before they are coded."""
        assert self.noise is not None
        sparse, targets = self.unquantized()
        frame = start[:, None] + torch.arange(1, self.length, device=start.device)
        prompt = chosen(sparse, variant, trajectory, start)[:, None]
        following = chosen(targets, variant[:, None], trajectory[:, None], frame)
        tokens = torch.cat([prompt, following], dim=1).float()
        tokens += self.noise * torch.randn(tokens.shape, generator=generator, device=tokens.device)
        return residual_codes(tokens.flatten(0, 1), self.codes.codebook, beam=1).unflatten(0, tokens.shape[:2])

    def take(self, variant: Tensor, trajectory: Tensor, start: Tensor) -> Tensor:
        """(b,), (b,), (b,) -> (b, s, P, Q)."""
        frame = start[:, None] + torch.arange(self.length, device=start.device)
        following = self.targets[variant[:, None], trajectory[:, None], frame]
        prompt = self.codes.sparse[variant, trajectory, start][:, None]
        return torch.cat([prompt, following[:, 1:]], dim=1)


def chosen(tokens: Tensor, *places: Tensor) -> Tensor:
    """Entries of a tensor at places, on the places' device wherever the tensor is: it may be too large for a GPU."""
    return tokens[tuple(place.to(tokens.device) for place in places)].to(places[0].device)
