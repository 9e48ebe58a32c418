"""Stage 3: a decoder-only Transformer over code indices.

A sequence is the codes of the observed frames, by the sparse encoder; then the complete codes of the last observed
frame, which the sensors leave open in part; then those of the frames to come. So a forecast completes before it
forecasts, and members of an ensemble begin differently. What is particular to it:

- A frame is P tokens of Q codes (residual levels). A token enters as its vector in the codebook, so that codes that
  mean nearly the same look nearly the same, plus a learned vector for each code.
- `next_frame`: attention is causal between frames and full within one, and position i predicts token i of the *next*
  frame (block-causal, as in BCAT); `next_token`: strictly causal, each position predicts the token that follows.
- The levels of a token are predicted one after the other by a small head that has seen the levels before it.
- Logits are dot products of a predicted vector with the codebook plus a learned bias: nearby codes have similar logits
  from the first step. With a first guess (`sparsevq.models.first_guess`) they are added to its, and begin as zero.
- Where each token position has a codebook of its own (`codebooks` = P), it has projections of its own, too.
- Rotary positions over time, so that observed frames may have gaps and a context can slide past the trained length;
  learned positions within a frame.
- Generation keeps keys and values, and runs trajectories and ensemble members as one batch.

    b sequences, k observed frames, s frames from the last observed one on (lead times 0 ... s - 1), P tokens a frame,
    Q levels, K codes a level, D channels of a code; P' codebooks, 1 or P; r coefficients
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sparsevq.models.causal import (
    Head,
    Layer,
    PositionLinear,
    Rotation,
    by_position,
    positions_first,
    positions_last,
    rotary_frequencies,
)
from sparsevq.models.code_scores import CodeScores
from sparsevq.models.course import Belief
from sparsevq.models.first_guess import FirstGuess, Level
from sparsevq.models.groups import group_slots
from sparsevq.models.refinement import RefinementSizes
from sparsevq.models.regression import Outlook, Outlooks
from sparsevq.models.rollout import Drawn, Draws, Rollout


@dataclass(frozen=True)
class GPTConfig:
    """Sizes; names as in `sparsevq.config.Stage3Config`."""

    tokens_per_frame: int
    num_quantizers: int
    num_vq_embeddings: int
    vq_embedding_dim: int
    prediction: Literal["next_frame", "next_token"]
    context_frames: int
    time_transformer_layers: int
    time_transformer_heads: int
    time_transformer_dim: int
    dropout: float = 0.0
    codebooks: int = 1
    observed_frames: int = 1
    groups: tuple[int, ...] = ()
    coefficients: int = 0
    regressions: tuple[tuple[int, ...], ...] = ()
    flows: tuple[int, int] = (0, 0)
    refinement: RefinementSizes | None = None

    @property
    def leads(self) -> int:
        """Lead times of a training sequence, from 0 on."""
        return self.context_frames - self.observed_frames + 1

    @property
    def block(self) -> int:
        """Tokens that are predicted at once."""
        return self.tokens_per_frame if self.prediction == "next_frame" else 1


class GPT(nn.Module):
    """See the module's docstring. `codebook` (P', Q, K, D) comes from the index dump and stays as it is."""

    def __init__(self, config: GPTConfig, codebook: Tensor):
        super().__init__()
        dim, levels, codes = config.time_transformer_dim, config.num_quantizers, config.num_vq_embeddings
        channels, positions = config.vq_embedding_dim, config.codebooks
        if codebook.shape != (positions, levels, codes, channels):
            raise ValueError(
                f"the codebook is {tuple(codebook.shape)}, the GPT was made for {(positions, levels, codes, channels)}"
            )
        self.config = config
        # Weights of one codebook for all positions have no dimension for it, as before there were several.
        of_positions = (positions,) if positions > 1 else ()
        scaled, scale = unit_codes(codebook)
        self.register_buffer("codebook", scaled.view(*of_positions, levels, codes, channels))
        self.register_buffer("unit", scale, persistent=False)  # (P', 1) of the codes, as the tokenizer has them
        self.codebook: Tensor
        self.unit: Tensor
        # Where each token's codes begin in tables of all codebooks, (P, Q).
        begins = codes * torch.arange(positions * levels).view(positions, levels)
        begins = begins.expand(config.tokens_per_frame, -1).contiguous()  # which devices that train together send
        self.register_buffer("begins", begins, persistent=False)
        self.begins: Tensor
        rows = codes * torch.arange(config.tokens_per_frame)[:, None]  # the same in a table of one level, (P, 1)
        self.register_buffer("rows", rows, persistent=False)
        self.rows: Tensor
        frequencies = rotary_frequencies(dim // config.time_transformer_heads)
        self.register_buffer("frequencies", frequencies, persistent=False)
        self.frequencies: Tensor
        self.from_code = PositionLinear(channels, dim, positions)
        self.code_vectors = nn.Parameter(torch.zeros(*of_positions, levels, codes, dim))
        self.token_position = nn.Parameter(torch.randn(config.tokens_per_frame, dim) * 0.02)
        self.prompt = nn.Parameter(torch.zeros(dim))  # added to the tokens of observed frames
        layers = [
            Layer(dim, config.time_transformer_heads, config.dropout) for _ in range(config.time_transformer_layers)
        ]
        self.layers = nn.ModuleList(layers)
        self.from_levels = PositionLinear(channels, dim, positions, bias=False)
        if levels == 1:  # there are none before: with several devices every weight that may learn must have a gradient
            self.from_levels.requires_grad_(False)
        guesses = bool(config.regressions)  # then the network's own scores are added to those of the guess
        self.heads = nn.ModuleList(Head(dim, channels, positions, speaks=not guesses) for _ in range(levels))
        self.bias = nn.Parameter(torch.zeros(*of_positions, levels, codes))
        self.scale = nn.Parameter(torch.zeros(*of_positions, levels))
        self.first_guess: FirstGuess | None = None
        self.outlooks: Outlooks | None = None
        if guesses:
            slots = group_slots(tuple(config.groups))
            tokens = config.tokens_per_frame
            self.first_guess = FirstGuess(codebook, tokens, slots, config.leads, config.coefficients)
            self.outlooks = Outlooks(config.regressions, config.flows, config.coefficients, config.refinement)
            self.from_outlook = PositionLinear(channels, dim, positions, bias=False)
            nn.init.zeros_(self.from_outlook.weight)
        for layer in layers:  # residual branches start small (GPT-2)
            for branch in (layer.out, layer.feed_forward.narrow):
                nn.init.normal_(branch.weight, std=0.02 / (2 * len(layers)) ** 0.5)

    # ------------------------------------------------------------------ training

    def forward(self, inputs: Tensor, targets: Tensor, times: Tensor, given: "Given | None" = None) -> Tensor:
        """Mean cross-entropy (nats a code) of the complete codes.

        Parameters
        ----------
        inputs
            Sequences as the network sees them (perhaps with noise), (b, k + s, P, Q): the observed frames, the last of
            them once more but complete, and those that follow.
        targets
            The complete frames as they are, (b, s, P, Q).
        times
            (k,) of the observed frames, in frames after the last of them: 0 or less.
        given
            With a first guess: what it is made from.
        """
        block, size = self.config.block, self.config.tokens_per_frame
        observed, leads = len(times), targets.shape[1]
        frames = torch.cat([times, torch.arange(leads, device=times.device)])
        belief, coming = None, None
        if self.first_guess is not None and given is not None:
            belief = self.first_guess.token_belief(self.first_guess.beliefs(given.outlook, given.states))
            coming = self.coming(self.first_guess.until(given.outlook, leads + 1))  # as in generation
            coming = F.pad(positions_last(coming, len(inputs)), (0, 0, (observed - 1) * size, 0))[:, :-block]
        hidden = self.trunk(inputs.flatten(1, 2)[:, :-block], frames, observed, coming)
        # Position i predicts token i + block; the observed frames' own tokens are given, not forecast.
        hidden = hidden[:, observed * size - block :]
        return self.cross_entropy(positions_first(hidden, size), positions_first(targets.flatten(1, 2), size), belief)

    def cross_entropy(self, hidden: Tensor, targets: Tensor, belief: Belief | None) -> Tensor:
        """Hidden states (P, R, dim), beliefs (P, R, D) against codes (P, R, Q), the levels before each one given."""
        scores = self.code_scores()
        vectors = [self.level_vectors(code, level, 0) for level, code in enumerate(targets.unbind(-1))]
        seen = [torch.zeros_like(vectors[0])]
        for vector in vectors[:-1]:
            seen.append(seen[-1] + vector)
        lifted = [hidden, *(scores.lifted(hidden, before) for before in seen[1:])]
        logits = scores(torch.stack([part.to(lifted[-1].dtype) for part in lifted])).unbind(0)
        losses = []
        for level, (of_level, code) in enumerate(zip(logits, targets.unbind(-1), strict=True)):
            of_level = of_level.float()
            if self.first_guess is not None and belief is not None:
                one = self.first_guess.level(level)
                guess = one.scores(belief, seen[level])
                of_level = of_level + guess
                if level + 1 < len(vectors):
                    belief = one.update(belief, guess, vectors[level])
            losses.append(F.cross_entropy(of_level.flatten(0, 1), code.flatten()))
        return torch.stack(losses).mean()

    def trunk(self, tokens: Tensor, times: Tensor, observed: int, coming: Tensor | None = None) -> Tensor:
        """Tokens (b, n, Q) of frames at times (s,), the first `observed` of them observed -> hidden states (b, n, dim).

        `coming`: of the frame after each one, (b, n, dim).
        """
        x = self.embed(tokens, 0, observed, coming)
        rotation = Rotation(times, self.frequencies, self.config.tokens_per_frame, tokens.shape[1])
        for layer in self.layers:
            x = layer(x, rotation, self.config.block)
        return x

    def coming(self, outlook: Outlook, first: int = 0, count: int | None = None) -> Tensor:
        """What is expected of tokens, by an outlook (b, L, r), as the trunk sees it, (P, b L, dim).

        Of `count` positions from `first` on; None: of all.
        """
        assert self.first_guess is not None
        some = slice(first, None if count is None else first + count)
        tokens = self.first_guess.to_tokens(outlook.mean)[some].flatten(1, 2)
        unit = self.unit.expand(self.config.tokens_per_frame, 1)[some, None]
        matrices = self.from_outlook.matrices()
        return by_position(tokens / unit, matrices[some] if len(matrices) > 1 else matrices)

    def code_table(self) -> Tensor:
        """The vectors (P' Q K, dim) that codes enter the trunk as, but for what their position adds."""
        positions, levels, codes, channels = self._codebook.shape
        with torch.autocast(self.codebook.device.type, enabled=False):
            codebook = self._codebook.reshape(positions, levels * codes, channels)
            known = self.code_vectors.reshape(positions, levels * codes, -1)
            return torch.baddbmm(known, codebook, self.from_code.matrices()).flatten(0, 1)

    def embed(
        self, tokens: Tensor, start: int, observed: int, coming: Tensor | None = None, table: Tensor | None = None
    ) -> Tensor:
        """Tokens (b, n, Q) at the places `start` ... of the sequence -> (b, n, dim).

        `table`: `code_table`, where it is known.
        """
        size, count = self.config.tokens_per_frame, tokens.shape[1]
        index = tokens + self._by_place(self.begins, start, count)
        table = self.code_table() if table is None else table
        x = F.embedding_bag(index.flatten(0, 1), table, mode="sum").view(*tokens.shape[:2], -1)
        x = x + self._by_place(self.token_position + self.from_code.bias, start, count)
        if coming is not None:
            x = x + coming
        marked = min(max(observed * size - start, 0), count)
        return x + F.pad(self.prompt.expand(marked, -1), (0, 0, 0, count - marked)) if marked else x

    def _by_place(self, of_positions: Tensor, start: int, count: int) -> Tensor:
        """What each position has (P, ...), of tokens at the places `start` ... of the sequence, (n, ...)."""
        first = start % len(of_positions)
        if first + count <= len(of_positions):
            return of_positions[first : first + count]
        again = -(-(first + count) // len(of_positions))
        return of_positions.repeat(again, *(1,) * (of_positions.ndim - 1))[first : first + count]

    @property
    def _codebook(self) -> Tensor:
        """(P', Q, K, D)."""
        return self.codebook if self.codebook.ndim == 4 else self.codebook[None]

    def code_scores(self) -> CodeScores:
        """What scores codes by hidden states, by the present weights."""
        own = self.config.codebooks
        levels, codes = self.config.num_quantizers, self.config.num_vq_embeddings
        lift = self.from_levels.matrices()
        if self.first_guess is not None:  # the sum of codes is in the coefficients' unit
            lift = lift / self.unit[..., None]
        heads = [head for head in self.heads if isinstance(head, Head)]
        scale, bias = self.scale.reshape(own, levels), self.bias.reshape(own, levels, codes)
        return CodeScores.of(heads, lift, self._codebook, scale, bias)

    def guess_levels(self) -> list[Level] | None:
        """Of all levels what the first guess believes of codes; None: there is none."""
        if self.first_guess is None:
            return None
        return [self.first_guess.level(level) for level in range(self.config.num_quantizers)]

    def level_vectors(self, code: Tensor, level: int, start: int) -> Tensor:
        """Vectors (n, R, D) of codes (n, R) of one level, at positions `start` ... of a frame.

        With a first guess in the unit of the coefficients, else in the codebook's.
        """
        if self.first_guess is not None:
            place = code + self.rows[start : start + len(code)]
            return F.embedding(place, self.first_guess.book[level].flatten(0, 1))[..., : self.config.vq_embedding_dim]
        place = code + self._by_place(self.begins, start, len(code))[:, level, None]
        return F.embedding(place, self.codebook.flatten(0, -2))

    # ------------------------------------------------------------------ generation

    @torch.no_grad()
    def generate(
        self,
        prompt: Tensor,
        frames: int,
        *,
        times: Tensor | None = None,
        outlook: Outlook | None = None,
        errors: Tensor | None = None,
        temperature: float = 1.0,
        top_k: int = 0,
        network: float = 1.0,
        generator: torch.Generator | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> Drawn:
        """Complete the last observed frame, and continue it.

        Parameters
        ----------
        prompt
            Code indices of the observed frames, (b, k, P, Q).
        frames
            Frames after the last observed one; past the trained context it slides.
        times
            (k,) of the observed frames, in frames after the last of them; None: there is no gap.
        outlook
            With a first guess: of the coefficients.
        errors
            (b, L, r) that the outlook's may be like: a forecast's noise is of this kind; None: Gaussian.
        temperature
            Of the softmax, and of the variance of coefficients given their codes; 0 takes the likeliest.
        top_k
            Draw among this many likeliest codes; 0: among all.
        network
            With a first guess: weight of what the network adds to it.
        generator
            Source of randomness, on the prompt's device.

        Returns
        -------
        Draws of frames 0 ... `frames`.
        """
        if times is None:
            times = torch.arange(1 - prompt.shape[1], 1, device=prompt.device)
        draws = Draws(temperature, top_k, network, generator)
        return Rollout(self, prompt, times, outlook, frames, draws, errors).run(progress)


@dataclass(frozen=True)
class Given:
    """What a first guess of training sequences is made from: an outlook, and the coefficients as they are (b, s, r)."""

    outlook: Outlook
    states: Tensor


def unit_codes(codebook: Tensor) -> tuple[Tensor, Tensor]:
    """A codebook (P', Q, K, D) over the std of its first level, so that codes of any tokenizer have unit size; the std.

    Each position has a std of its own, (P', 1), over the channels that it uses: the others are zero in all its codes.
    """
    if len(codebook) == 1:
        scale = codebook[0, 0].std().clamp_min(1e-8).view(1, 1)
    else:
        used = (codebook[:, 0] != 0).any(1).sum(-1).clamp_min(1)
        scale = (codebook[:, 0].var(1).sum(-1) / used).sqrt().clamp_min(1e-8)[:, None]
    return codebook / scale[..., None, None], scale


def members_of(prompt: Tensor, members: int) -> Tensor:
    """Repeat prompts (b, ...) for every ensemble member: (b * members, ...), members of a case side by side."""
    return prompt.repeat_interleave(members, 0)
