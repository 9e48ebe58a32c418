"""Stage 3: a decoder-only Transformer over code indices.

What is particular to it:

- A frame is P tokens of Q codes (residual levels). A token enters as its vector in the codebook, so that codes that
  mean nearly the same look nearly the same, plus a learned vector for each code.
- `next_frame`: attention is causal between frames and full within one, and position i predicts token i of the *next*
  frame (block-causal, as in BCAT); `next_token`: strictly causal, each position predicts the token that follows.
- The levels of a token are predicted one after the other by a small head that has seen the levels before it.
- Logits are dot products of a predicted vector with the codebook plus a learned bias: nearby codes have similar logits
  from the first step.
- Where each token position has a codebook of its own (`codebooks` = P), it has projections of its own, too.
- Rotary positions over frames, learned positions within a frame; so a context can slide past the trained length.
- Generation keeps keys and values, and runs trajectories and ensemble members as one batch.

    b sequences, s frames, P tokens a frame, Q levels, K codes a level, D channels of a code; P' codebooks, 1 or P
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from einops import rearrange, repeat
from torch import Tensor, nn

from sparsevq.models.causal import Cache, Head, Layer, PositionLinear, by_position
from sparsevq.models.first_guess import FirstGuess, energy_scale


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
    first_guess: Literal["none", "linear", "quadratic", "kernel"] = "none"
    guess_examples: int = 0

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
        self.register_buffer("codebook", unit_codes(codebook).view(*of_positions, levels, codes, channels))
        self.codebook: Tensor
        self.from_code = PositionLinear(channels, dim, positions)
        self.code_vectors = nn.Parameter(torch.zeros(*of_positions, levels, codes, dim))
        self.token_position = nn.Parameter(torch.randn(config.tokens_per_frame, dim) * 0.02)
        self.prompt = nn.Parameter(torch.zeros(dim))  # added to the tokens of the observed frame
        layers = [
            Layer(dim, config.time_transformer_heads, config.dropout) for _ in range(config.time_transformer_layers)
        ]
        self.layers = nn.ModuleList(layers)
        self.from_levels = PositionLinear(channels, dim, positions, bias=False)
        speaks = config.first_guess == "none"  # else the network's own scores are added to those of the guess
        self.heads = nn.ModuleList(Head(dim, channels, positions, speaks) for _ in range(levels))
        self.bias = nn.Parameter(torch.zeros(*of_positions, levels, codes))
        self.scale = nn.Parameter(torch.zeros(*of_positions, levels))
        self.first_guess: FirstGuess | None = None
        if config.first_guess != "none":
            quadratic = config.first_guess == "quadratic"
            self.first_guess = FirstGuess(codebook, config.tokens_per_frame, quadratic, config.guess_examples)
        for layer in layers:  # residual branches start small (GPT-2)
            for branch in (layer.out, layer.feed_forward.narrow):
                nn.init.normal_(branch.weight, std=0.02 / (2 * len(layers)) ** 0.5)

    # ------------------------------------------------------------------ training

    def forward(self, inputs: Tensor, targets: Tensor, fold: int | None = None) -> Tensor:
        """Mean cross-entropy (nats a code) of the codes that follow the observed frame.

        Parameters
        ----------
        inputs
            Sequences as the network sees them (perhaps with noise), (b, s, P, Q); the first frame is the observed one.
        targets
            Sequences as they are, (b, s, P, Q).
        fold
            Which half of the training trajectories they are of (`sparsevq.models.first_guess`); None: of neither.
        """
        block, size = self.config.block, self.config.tokens_per_frame
        hidden = self.trunk(inputs.flatten(1, 2)[:, :-block])
        guess = None
        if self.first_guess is not None:
            guess = self.first_guess(self.frames(inputs)[:, :-1], fold=fold).flatten(1, 2)
        # Position i predicts token i + block; the observed frame's own tokens are given, not forecast.
        return self.cross_entropy(hidden[:, size - block :], targets.flatten(1, 2)[:, size:], guess)

    def cross_entropy(self, hidden: Tensor, targets: Tensor, guess: Tensor | None) -> Tensor:
        """Hidden states (b, n, dim), guesses (b, n, D) against codes (b, n, Q), the levels before each one given."""
        vectors = self.vectors(targets)  # (b, n, Q, D)
        seen = torch.zeros_like(vectors[..., 0, :])
        losses = []
        for level in range(self.config.num_quantizers):
            logits = self.logits(hidden, seen, level, 0, guess)
            losses.append(F.cross_entropy(logits.flatten(0, 1).float(), targets[..., level].flatten()))
            seen = seen + vectors[..., level, :]
        return torch.stack(losses).mean()

    def trunk(self, tokens: Tensor) -> Tensor:
        """Tokens (b, n, Q), the first of them the first token of a frame -> hidden states (b, n, dim)."""
        place = torch.arange(tokens.shape[1], device=tokens.device)
        frame, block = place // self.config.tokens_per_frame, place // self.config.block
        mask = block[:, None] >= block[None, :]
        x = self.embed(tokens, 0)
        for layer in self.layers:
            x = layer(x, frame, mask)
        return x

    def embed(self, tokens: Tensor, start: int) -> Tensor:
        """Tokens (b, n, Q) at the places `start` ... of the sequence -> (b, n, dim)."""
        size = self.config.tokens_per_frame
        observed = start + torch.arange(tokens.shape[1], device=tokens.device) < size
        x = self.from_code(self.vectors(tokens, start).sum(-2), start % size)
        x = x + self.of_codes(self.code_vectors, tokens, start).sum(-2)
        return x + self.token_position[self.positions(start, tokens)] + observed.to(x.dtype)[:, None] * self.prompt

    def vectors(self, tokens: Tensor, start: int = 0) -> Tensor:
        """Codes (b, n, Q) at the places `start` ... of the sequence -> their vectors (b, n, Q, D)."""
        return self.of_codes(self.codebook, tokens, start)

    def frames(self, tokens: Tensor) -> Tensor:
        """Codes of whole frames (b, s, P, Q) -> vectors of their tokens (b, s, P, D)."""
        return self.vectors(tokens.flatten(1, 2)).sum(-2).unflatten(1, tokens.shape[1:3])

    def of_codes(self, table: Tensor, tokens: Tensor, start: int) -> Tensor:
        """Entries (b, n, Q, d) of tokens (b, n, Q) at places `start` ... in a table (Q, K, d), or (P, Q, K, d)."""
        levels = torch.arange(self.config.num_quantizers, device=tokens.device)
        if self.config.codebooks == 1:
            return table[levels, tokens]
        return table[self.positions(start, tokens)[:, None], levels, tokens]

    def positions(self, start: int, tokens: Tensor) -> Tensor:
        """Positions (n,) in their frames of tokens (b, n, ...) at the places `start` ... of the sequence."""
        return (start + torch.arange(tokens.shape[1], device=tokens.device)) % self.config.tokens_per_frame

    def logits(self, hidden: Tensor, seen: Tensor, level: int, start: int = 0, guess: Tensor | None = None) -> Tensor:
        """Scores of the codes of one level.

        Parameters
        ----------
        hidden
            (b, n, dim), of the tokens `start` ... after the observed frame.
        seen
            (b, n, D), the sum of the codes of the levels before.
        guess
            (b, n, D), the first guess of the tokens, if there is one.

        Returns
        -------
        (b, n, K)
        """
        vector = self.heads[level](hidden + self.from_levels(seen, start), start)
        if self.config.codebooks == 1:
            codes = self.codebook[None, level]
            scores = vector @ codes[0].T.to(vector.dtype) * self.scale[level].exp() + self.bias[level]
        else:
            codes, position = self.codebook[:, level], self.positions(start, hidden)
            scores = by_position(vector, codes.mT, start) * self.scale[position, level].exp()[:, None]
            scores = scores + self.bias[position, level]
        if self.first_guess is not None and guess is not None:
            scores = scores + self.first_guess.scores(guess - seen, codes, level, start)
        return scores

    # ------------------------------------------------------------------ generation

    @torch.no_grad()
    def generate(
        self,
        prompt: Tensor,
        frames: int,
        *,
        temperature: float = 1.0,
        top_k: int = 0,
        generator: torch.Generator | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> Tensor:
        """Continue observed frames.

        Parameters
        ----------
        prompt
            Code indices of the observed frame, (b, P, Q).
        frames
            Frames to generate; past the trained context it slides.
        temperature
            Of the softmax; 0 takes the likeliest code.
        top_k
            Draw among this many likeliest codes; 0: among all.
        generator
            Source of randomness, on the prompt's device.

        Returns
        -------
        Indices (b, frames, P, Q).
        """
        config = self.config
        size, block = config.tokens_per_frame, config.block
        # As much as a position sees in training: the frames before the one that it predicts, and of that one the tokens
        # that are made.
        room = (config.context_frames + 1) * size - block
        caches = [Cache(room, size) for _ in self.layers]
        given, place = prompt, 0
        made: list[Tensor] = []
        guess = None
        while len(made) * block < frames * size:
            frame = torch.arange(place, place + given.shape[1], device=prompt.device) // size
            x = self.embed(given, place)
            mask = None
            if block == 1 and given.shape[1] > 1:  # the prompt, token by token
                mask = torch.ones(size, size, dtype=torch.bool, device=prompt.device).tril()
            for layer, cache in zip(self.layers, caches, strict=True):
                x = layer(x, frame, mask, cache)
            place += given.shape[1]
            first = place % size
            if self.first_guess is not None and first == 0:
                latest = torch.cat([prompt, *made], dim=1)[:, -2 * size :].unflatten(1, (-1, size))
                guess = self.first_guess(self.frames(latest), start=place // size - latest.shape[1])[:, -1]
            mine = None if guess is None else guess[:, first : first + block]
            given = self.sample(x[:, -block:], temperature, top_k, generator, place - size, mine)
            made.append(given)
            if progress is not None and place % size == 0:
                progress(place // size)
        return rearrange(torch.cat(made, dim=1), "b (s p) q -> b s p q", p=size)

    def sample(
        self,
        hidden: Tensor,
        temperature: float,
        top_k: int,
        generator: torch.Generator | None,
        start: int = 0,
        guess: Tensor | None = None,
    ) -> Tensor:
        """Draw codes (b, n, Q) of the tokens `start` ... after the observed frame.

        By hidden states (b, n, dim) and first guesses (b, n, D).
        """
        seen = torch.zeros(*hidden.shape[:2], self.config.vq_embedding_dim, device=hidden.device)
        drawn: list[Tensor] = []
        for level in range(self.config.num_quantizers):
            logits = self.logits(hidden, seen, level, start, guess).float()
            if top_k and top_k < logits.shape[-1]:
                logits = logits.masked_fill(logits < logits.topk(top_k).values[..., -1:], -torch.inf)
            if temperature == 0:
                code = logits.argmax(-1)
            else:
                chance = (logits / temperature).softmax(-1)
                code = torch.multinomial(chance.flatten(0, 1), 1, generator=generator).view(logits.shape[:-1])
            drawn.append(code)
            seen = seen + self.level_vectors(code, level, start)
        return torch.stack(drawn, dim=-1)

    def level_vectors(self, code: Tensor, level: int, start: int) -> Tensor:
        """Vectors (b, n, D) of codes (b, n) of one level, at places `start` ..."""
        if self.config.codebooks == 1:
            return self.codebook[level][code]
        return self.codebook[self.positions(start, code), level, code]


def unit_codes(codebook: Tensor) -> Tensor:
    """A codebook (P', Q, K, D) scaled by the std of its first level, so that codes of any tokenizer have unit size.

    Each position has a scale of its own, over the channels that it uses: the others are zero in all of its codes.
    """
    if len(codebook) == 1:
        return codebook / codebook[0, 0].std().clamp_min(1e-8)
    return codebook / energy_scale(codebook)[..., None, None]


def members_of(prompt: Tensor, members: int) -> Tensor:
    """Repeat prompts (b, P, Q) for every ensemble member: (b * members, P, Q), members of a case side by side."""
    return repeat(prompt, "b p q -> (b m) p q", m=members)
