"""Draws of a GPT, frame after frame, by what its network and its first guess say of the codes.

Beside the codes, and the coefficients that they and the first guess leave, it follows what is *expected* of the
coefficients: all draws are drawn about something, and what they differ by from it is 0 in the mean. So the mean over
members of what is expected is the mean of the ensemble without the noise of its members (Rao-Blackwell: Casella &
Robert, Biometrika 1996).
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from sparsevq.models.causal import Cache
from sparsevq.models.first_guess import Belief, FirstGuess
from sparsevq.models.regression import Outlook

if TYPE_CHECKING:
    from sparsevq.models.gpt import GPT


@dataclass(frozen=True)
class Draws:
    """How codes are drawn.

    Attributes
    ----------
    temperature
        Of the softmax, and of the variance of coefficients given their codes; 0 takes the likeliest.
    top_k
        Draw among this many likeliest codes; 0: among all.
    network
        With a first guess: weight of what the network adds to it; 0: the network need not be computed.
    generator
        Source of randomness, on the prompt's device.
    """

    temperature: float = 1.0
    top_k: int = 0
    network: float = 1.0
    generator: torch.Generator | None = None


@dataclass(frozen=True)
class Drawn:
    """Draws: codes (b, s, P, Q), and with a first guess coefficients given these (b, s, r), and what is expected."""

    codes: Tensor
    states: Tensor | None = None
    expected: Tensor | None = None

    def case(self, case: int | slice) -> "Drawn":
        """One of those that are side by side, or some."""
        return self._each(lambda part: part[case])

    def by_case(self, members: int) -> "Drawn":
        """(b * members, ...) -> (b, members, ...)."""
        return self._each(lambda part: part.unflatten(0, (-1, members)))

    def mean(self) -> "Drawn":
        """The mean of members (M, s, ...) as a draw (s, ...) of its own; its codes are those of the first."""
        expected = None if self.expected is None else self.expected.mean(0)
        return Drawn(self.codes[0], expected, expected)

    def _each(self, change: Callable[[Tensor], Tensor]) -> "Drawn":
        parts = (None if part is None else change(part) for part in (self.states, self.expected))
        return Drawn(change(self.codes), *parts)


@dataclass(frozen=True)
class Sampled:
    """Codes of one block of tokens (b, n, Q); with a first guess what they leave of its belief, and their mean shift.

    `shift` (b, n, D) is how far the network moves the mean of coefficients through the chances of the codes.
    """

    codes: Tensor
    belief: Belief | None = None
    shift: Tensor | None = None


def sample(gpt: "GPT", hidden: Tensor | None, start: int, belief: Belief | None, draws: Draws) -> Sampled:
    """Draw codes of the tokens `start` ... of a frame.

    Parameters
    ----------
    hidden
        (b, n, dim) hidden states; None: by the first guess alone.
    belief
        (b, n, D) of the tokens, if there is a first guess.
    """
    first_guess, shift = gpt.first_guess, None
    of = belief.mean if hidden is None and belief is not None else hidden
    assert of is not None
    seen = torch.zeros(*of.shape[:2], gpt.config.vq_embedding_dim, device=of.device)
    drawn: list[Tensor] = []
    for level in range(gpt.config.num_quantizers):
        logits, guess = _chances(gpt, hidden, seen, level, start, belief, draws)
        if draws.temperature == 0:
            code = logits.argmax(-1)
        else:
            chance = logits.softmax(-1)
            code = torch.multinomial(chance.flatten(0, 1), 1, generator=draws.generator).view(logits.shape[:-1])
        drawn.append(code)
        vector = gpt.level_vectors(code, level, start)
        if first_guess is not None and belief is not None and guess is not None:
            channel = first_guess.channel(belief, guess, level, start)
            gain, without, _ = channel
            about = first_guess.mean(logits, level, start) if draws.temperature else gpt.raw(vector, start)
            moved = gain * (about - without)
            shift = moved if shift is None else shift + moved
            belief = first_guess.told(belief, channel, gpt.raw(vector, start))
        seen = seen + vector
    return Sampled(torch.stack(drawn, dim=-1), belief, shift)


def _chances(
    gpt: "GPT", hidden: Tensor | None, seen: Tensor, level: int, start: int, belief: Belief | None, draws: Draws
) -> tuple[Tensor, Tensor | None]:
    """Logits (b, n, K) that codes of a level are drawn by, and those of the first guess."""
    guess: Tensor | None
    if hidden is None:
        assert belief is not None
        guess = logits = gpt.guessed(belief, seen, level, start)
    else:
        logits, guess = gpt.logits(hidden, seen, level, start, belief)
        logits = logits.float() if guess is None else guess + draws.network * (logits.float() - guess)
    if draws.top_k and draws.top_k < logits.shape[-1]:
        logits = logits.masked_fill(logits < logits.topk(draws.top_k).values[..., -1:], -torch.inf)
    return (logits / draws.temperature if draws.temperature else logits), guess


class Rollout:
    """One call of `GPT.generate`, which describes the parameters."""

    def __init__(
        self,
        gpt: "GPT",
        prompt: Tensor,
        times: Tensor,
        outlook: Outlook | None,
        frames: int,
        draws: Draws,
        errors: Tensor | None = None,
    ):
        config = gpt.config
        self.gpt, self.draws, self.frames = gpt, draws, frames
        self.size, self.block = config.tokens_per_frame, config.block
        self.prompt, self.times = prompt[:, -config.context_frames :], times[-config.context_frames :]
        self.observed = self.prompt.shape[1]
        # As much as a position sees in training: the frames before the one that it predicts, and of that one the tokens
        # that are made.
        room = (config.context_frames + 1) * self.size - self.block
        self.caches = [Cache(room, self.size) for _ in gpt.layers]
        self.guess, self.outlook = gpt.first_guess, outlook
        self.coming: Tensor | None = None
        if self.guess is not None:
            if outlook is None:
                raise ValueError("a GPT with a first guess forecasts from an outlook")
            self.outlook = self.guess.until(outlook, frames + 2)  # the last frame is drawn as if others followed
            self.coming = gpt.coming(self.outlook)
        self.noise: Tensor | None = None
        if self.guess is not None and self.outlook is not None and errors is not None:
            self.noise = self.guess.innovations(errors, self.outlook)
        self.alone = self.guess is not None and draws.network == 0
        self.codes: list[Tensor] = []
        self.states: list[Tensor] = []
        self.expected: list[Tensor] = []

    def run(self, progress: Callable[[int], None] | None) -> Drawn:
        """All frames."""
        given = self.prompt.flatten(1, 2)
        for lead in range(self.frames + 1):
            given = self._frame(lead, given)
            if progress is not None:
                progress(lead + 1)
        states, expected = (torch.stack(parts, dim=1) if parts else None for parts in (self.states, self.expected))
        return Drawn(torch.stack(self.codes, dim=1), states, expected)

    def _frame(self, lead: int, given: Tensor) -> Tensor:
        """Draw the frame of a lead time; `given`: what the network has not seen yet. Its last block is left to see."""
        belief = tokens = None
        if self.guess is not None and self.outlook is not None:
            belief = self.guess.belief(self.outlook, lead, self.states[-1] if self.states else None)
            tokens = self.guess.token_belief(belief)
        parts: list[Sampled] = []
        for first in range(0, self.size, self.block):
            hidden = None if self.alone else self._hidden(given, lead * self.size + first)
            mine = None
            if tokens is not None:
                mine = Belief(
                    tokens.mean[:, first : first + self.block], tokens.variance[:, first : first + self.block]
                )
            parts.append(sample(self.gpt, hidden, first, mine, self.draws))
            given = parts[-1].codes
        self.codes.append(torch.cat([part.codes for part in parts], dim=1))
        if self.guess is not None and belief is not None:
            self._settle(self.guess, lead, belief, parts)
        return given

    def _settle(self, guess: FirstGuess, lead: int, belief: Belief, parts: list[Sampled]) -> None:
        """Draw a frame's coefficients, given its codes, and follow what is expected of them."""
        assert self.outlook is not None
        known = [part.belief for part in parts if part.belief is not None]
        tokens = Belief(
            torch.cat([one.mean for one in known], dim=1), torch.cat([one.variance for one in known], dim=1)
        )
        moved = torch.cat([part.shift for part in parts if part.shift is not None], dim=1)
        before = guess.belief(self.outlook, lead, self.expected[-1] if self.expected else None)
        shifted = replace(before, mean=before.mean + guess.to_coefficients(moved, before.mean.shape[-1]))
        self.expected.append(shifted.mean)
        noise = None
        if self.noise is not None and lead < self.noise.shape[1]:
            noise = self.noise[:, lead]
        self.states.append(guess.drawn(belief, tokens).draw(self.draws.generator, self.draws.temperature, noise))

    def _hidden(self, given: Tensor, made: int) -> Tensor:
        """Hidden states (b, n, dim) that the next block is drawn by, when `made` tokens are; `given` are seen now."""
        size, count = self.size, given.shape[1]
        place = self.observed * size + made - count if made else 0
        now = self.times if not made else torch.tensor([place // size - self.observed], device=given.device)
        mask = None
        if not made and (self.block == 1 or self.observed > 1):
            order = torch.arange(count, device=given.device) // self.block
            mask = order[:, None] >= order[None, :]
        x = self.gpt.embed(given, place, self.observed, self._coming(place, count))
        for layer, cache in zip(self.gpt.layers, self.caches, strict=True):
            x = layer(x, now.repeat_interleave(size)[:count], mask, cache)
        return x[:, -self.block :]

    def _coming(self, place: int, count: int) -> Tensor | None:
        """Of the tokens at places `place` ..., what is expected a frame later, (b, count, D); 0 before the last."""
        if self.coming is None:
            return None
        if place == 0:
            return F.pad(self.coming[:, 0], (0, 0, count - self.size, 0))
        lead = place // self.size - self.observed + 1
        first = place % self.size
        return self.coming[:, lead, first : first + count]
