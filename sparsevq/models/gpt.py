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

from sparsevq.models.causal import Head, Layer, PositionLinear, by_position
from sparsevq.models.first_guess import Belief, FirstGuess
from sparsevq.models.groups import group_slots
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
        self.from_code = PositionLinear(channels, dim, positions)
        self.code_vectors = nn.Parameter(torch.zeros(*of_positions, levels, codes, dim))
        self.token_position = nn.Parameter(torch.randn(config.tokens_per_frame, dim) * 0.02)
        self.prompt = nn.Parameter(torch.zeros(dim))  # added to the tokens of observed frames
        layers = [
            Layer(dim, config.time_transformer_heads, config.dropout) for _ in range(config.time_transformer_layers)
        ]
        self.layers = nn.ModuleList(layers)
        self.from_levels = PositionLinear(channels, dim, positions, bias=False)
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
            self.outlooks = Outlooks(config.regressions, config.flows, config.coefficients)
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
            beliefs = self.first_guess.token_belief(self.first_guess.beliefs(given.outlook, given.states))
            belief = Belief(beliefs.mean.flatten(1, 2), beliefs.variance.flatten(1, 2))
            following = self.coming(self.first_guess.until(given.outlook, leads + 1))  # as in generation
            coming = F.pad(following, (0, 0, 0, 0, observed - 1, 0)).flatten(1, 2)[:, :-block]
        hidden = self.trunk(inputs.flatten(1, 2)[:, :-block], frames, observed, coming)
        # Position i predicts token i + block; the observed frames' own tokens are given, not forecast.
        return self.cross_entropy(hidden[:, observed * size - block :], targets.flatten(1, 2), belief)

    def cross_entropy(self, hidden: Tensor, targets: Tensor, belief: Belief | None) -> Tensor:
        """Hidden states (b, n, dim), beliefs (b, n, D) against codes (b, n, Q), the levels before each one given."""
        vectors = self.vectors(targets)  # (b, n, Q, D)
        seen = torch.zeros_like(vectors[..., 0, :])
        losses = []
        for level in range(self.config.num_quantizers):
            logits, guess = self.logits(hidden, seen, level, 0, belief)
            losses.append(F.cross_entropy(logits.flatten(0, 1).float(), targets[..., level].flatten()))
            belief = self.learned(belief, guess, vectors[..., level, :], level)
            seen = seen + vectors[..., level, :]
        return torch.stack(losses).mean()

    def learned(self, belief: Belief | None, guess: Tensor | None, vector: Tensor, level: int) -> Belief | None:
        """The belief with a level's code vectors (b, n, D), of which the first guess had these scores."""
        if self.first_guess is None or belief is None or guess is None:
            return None
        return self.first_guess.update(belief, guess, self.raw(vector, 0), level, 0)

    def guessed(self, belief: Belief, seen: Tensor, level: int, start: int) -> Tensor:
        """Scores (b, n, K) by the first guess; `seen` (b, n, D) in the codebook's unit."""
        assert self.first_guess is not None
        return self.first_guess.scores(belief, self.raw(seen, start), level, start)

    def raw(self, vectors: Tensor, start: int) -> Tensor:
        """Vectors (b, n, D) of tokens `start` ... in the unit of the coefficients."""
        return vectors.float() * self._units(start, vectors)

    def _units(self, start: int, tokens: Tensor) -> Tensor:
        """(n, 1) of tokens (b, n, ...) at places `start` ..."""
        return self.unit.expand(self.config.tokens_per_frame, 1)[self.positions(start, tokens)]

    def trunk(self, tokens: Tensor, times: Tensor, observed: int, coming: Tensor | None = None) -> Tensor:
        """Tokens (b, n, Q) of frames at times (s,), the first `observed` of them observed -> hidden states (b, n, dim).

        `coming`: what is expected of the frame after each one, (b, n, D).
        """
        place = torch.arange(tokens.shape[1], device=tokens.device)
        block = place // self.config.block
        mask = block[:, None] >= block[None, :]
        x = self.embed(tokens, 0, observed, coming)
        for layer in self.layers:
            x = layer(x, times[place // self.config.tokens_per_frame], mask)
        return x

    def coming(self, outlook: Outlook) -> Tensor:
        """Expected vectors (b, L, P, D) of tokens, in the codebook's unit."""
        assert self.first_guess is not None
        return self.first_guess.to_tokens(outlook.mean) / self.unit

    def embed(self, tokens: Tensor, start: int, observed: int, coming: Tensor | None = None) -> Tensor:
        """Tokens (b, n, Q) at the places `start` ... of the sequence -> (b, n, dim)."""
        size = self.config.tokens_per_frame
        seen = start + torch.arange(tokens.shape[1], device=tokens.device) < observed * size
        x = self.from_code(self.vectors(tokens, start).sum(-2), start % size)
        x = x + self.of_codes(self.code_vectors, tokens, start).sum(-2)
        if coming is not None:
            x = x + self.from_outlook(coming, start % size)
        return x + self.token_position[self.positions(start, tokens)] + seen.to(x.dtype)[:, None] * self.prompt

    def vectors(self, tokens: Tensor, start: int = 0) -> Tensor:
        """Codes (b, n, Q) at the places `start` ... of the sequence -> their vectors (b, n, Q, D)."""
        return self.of_codes(self.codebook, tokens, start)

    def of_codes(self, table: Tensor, tokens: Tensor, start: int) -> Tensor:
        """Entries (b, n, Q, d) of tokens (b, n, Q) at places `start` ... in a table (Q, K, d), or (P, Q, K, d)."""
        levels = torch.arange(self.config.num_quantizers, device=tokens.device)
        if self.config.codebooks == 1:
            return table[levels, tokens]
        return table[self.positions(start, tokens)[:, None], levels, tokens]

    def positions(self, start: int, tokens: Tensor) -> Tensor:
        """Positions (n,) in their frames of tokens (b, n, ...) at the places `start` ... of the sequence."""
        return (start + torch.arange(tokens.shape[1], device=tokens.device)) % self.config.tokens_per_frame

    def logits(
        self, hidden: Tensor, seen: Tensor, level: int, start: int = 0, belief: Belief | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """Scores of the codes of one level.

        Parameters
        ----------
        hidden
            (b, n, dim), of the tokens `start` ... of complete frames.
        seen
            (b, n, D), the sum of the codes of the levels before.
        belief
            (b, n, D), of the tokens given these codes, if there is a first guess.

        Returns
        -------
        (b, n, K) each.
        """
        vector = self.heads[level](hidden + self.from_levels(seen, start), start)
        position = self.positions(start, hidden)
        if self.config.codebooks == 1:
            scores = vector @ self.codebook[level].T.to(vector.dtype) * self.scale[level].exp() + self.bias[level]
        else:
            scores = by_position(vector, self.codebook[:, level].mT, start) * self.scale[position, level].exp()[:, None]
            scores = scores + self.bias[position, level]
        if self.first_guess is None or belief is None:
            return scores, None
        guess = self.guessed(belief, seen, level, start)
        return scores + guess, guess

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

    def level_vectors(self, code: Tensor, level: int, start: int) -> Tensor:
        """Vectors (b, n, D) of codes (b, n) of one level, at places `start` ..."""
        if self.config.codebooks == 1:
            return self.codebook[level][code]
        return self.codebook[self.positions(start, code), level, code]


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
