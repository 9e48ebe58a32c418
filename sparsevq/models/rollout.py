"""Draws of a GPT, frame after frame, by what its network and its first guess say of the codes.

Beside the codes, and the coefficients that they and the first guess leave, it follows what is *expected* of the
coefficients: all draws are drawn about something, and what they differ by from it is 0 in the mean. So the mean over
members of what is expected is the mean of the ensemble without the noise of its members (Rao-Blackwell: Casella &
Robert, Biometrika 1996).
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sparsevq.models.causal import Cache, Rotation
from sparsevq.models.code_scores import CodeScores
from sparsevq.models.course import Belief
from sparsevq.models.first_guess import FirstGuess, Level
from sparsevq.models.regression import Outlook
from sparsevq.models.residual_codes import residual_codes

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
    """Codes of one block of tokens (n, b, Q); with a first guess what they leave of its belief, and their mean shift.

    `shift` (n, b, D) is how far the network moves the mean of coefficients through the chances of the codes.
    """

    codes: Tensor
    belief: Belief | None = None
    shift: Tensor | None = None


class Sampler:
    """Draws codes by what a GPT's heads and first guess say, whose weights it has in the form that products take.

    Parameters
    ----------
    gpt
        Its weights stay as they are while this is in use.
    draws
        How codes are drawn.
    """

    def __init__(self, gpt: "GPT", draws: Draws):
        self.gpt, self.draws = gpt, draws
        self.alone = gpt.first_guess is not None and draws.network == 0
        config = gpt.config
        levels = range(config.num_quantizers)
        blocks = range(0, config.tokens_per_frame, config.block)
        self._scores: dict[int, list[CodeScores]] = {}
        if not self.alone:
            scores = gpt.code_scores()
            if torch.is_autocast_enabled(gpt.codebook.device.type):  # once, not in each product
                scores = scores.to(torch.get_autocast_dtype(gpt.codebook.device.type))
            self._scores = {
                first: [scores.level(level).at(first, config.block) for level in levels] for first in blocks
            }
        guess = gpt.guess_levels()
        self._guess: dict[int, list[Level]] = {}
        if guess is not None:
            self._guess = {first: [one.at(first, config.block) for one in guess] for first in blocks}

    def __call__(self, hidden: Tensor | None, first: int, belief: Belief | None) -> Sampled:
        """Draw codes of the block of tokens that begins at position `first` of a frame.

        Parameters
        ----------
        hidden
            (n, b, dim) hidden states; None: by the first guess alone.
        belief
            (n, b, D) of the tokens, if there is a first guess.
        """
        of = belief.mean if hidden is None and belief is not None else hidden
        assert of is not None
        seen = torch.zeros(*of.shape[:2], self.gpt.config.vq_embedding_dim, device=of.device)
        shift, drawn = None, []
        for level in range(self.gpt.config.num_quantizers):
            guess = None
            if belief is not None:
                one = self._guess[first][level]
                guess = one.scores(belief, seen)
            code, chance = self._draw(hidden, seen, guess, first, level)
            drawn.append(code)
            vector = self.gpt.level_vectors(code, level, first)
            if belief is not None and guess is not None:
                channel = one.channel(belief, guess.softmax(-1))
                moved = channel.gain * ((vector if chance is None else one.mean(chance)) - channel.mean)
                shift = moved if shift is None else shift + moved
                belief = one.told(belief, channel, vector)
            seen = seen + vector
        return Sampled(torch.stack(drawn, dim=-1), belief, shift)

    def _draw(
        self, hidden: Tensor | None, seen: Tensor, guess: Tensor | None, first: int, level: int
    ) -> tuple[Tensor, Tensor | None]:
        """Codes (n, b) of a level, and the chances (n, b, K) that they are drawn by; None: they are the likeliest."""
        draws = self.draws
        if hidden is None:
            assert guess is not None
            logits = guess
        else:
            scores = self._scores[first][level]
            logits = scores((scores.lifted(hidden, seen) if level else hidden)[None])[0].float()
            if guess is not None:
                logits = torch.add(guess, logits, alpha=draws.network)
        if draws.top_k and draws.top_k < logits.shape[-1]:
            logits = logits.masked_fill(logits < logits.topk(draws.top_k).values[..., -1:], -torch.inf)
        if draws.temperature == 0:
            return logits.argmax(-1), None
        chance = (logits if draws.temperature == 1 else logits / draws.temperature).softmax(-1)
        return drawn_by(chance, draws.generator), chance


def drawn_by(chance: Tensor, generator: torch.Generator | None) -> Tensor:
    """Codes (n, b) that are drawn by chances (n, b, K): the first of K arrivals at these rates.

    As `torch.multinomial` draws, which makes the host wait for the device to check the chances. The numbers are in the
    order of sequences, so that one has the same for whatever is drawn together with it.
    """
    arrival = torch.empty_like(chance.transpose(0, 1), memory_format=torch.contiguous_format)
    arrival.exponential_(generator=generator)
    return (chance / arrival.transpose(0, 1)).argmax(-1)


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
        self.sampler = Sampler(gpt, draws)
        if not self.sampler.alone:
            self._prepare()
        self.guess, self.outlook = gpt.first_guess, outlook
        if self.guess is not None:
            if outlook is None:
                raise ValueError("a GPT with a first guess forecasts from an outlook")
            self.outlook = self.guess.until(outlook, frames + 2)  # the last frame is drawn as if others followed
        self.noise: Tensor | None = None
        self.errors = errors if self.sampler.alone else None
        if self.guess is not None and self.outlook is not None and errors is not None and self.errors is None:
            self.noise = self.guess.innovations(errors, self.outlook)
        self.codes: list[Tensor] = []
        self.states: list[Tensor] = []
        self.expected: list[Tensor] = []

    def _prepare(self) -> None:
        """What the network needs in every frame: its tables, its weights in the precision of products, its memory."""
        config = self.gpt.config
        self.table = self.gpt.code_table()
        ever = torch.cat([self.times, torch.arange(self.frames + 1, device=self.times.device)])
        self.rotation = Rotation(ever, self.gpt.frequencies, self.size, len(ever) * self.size)
        self.layers = in_precision(self.gpt.layers, self.prompt.device.type)
        # As much as a position sees in training: the frames before the one that it predicts, and of that one the tokens
        # that are made.
        room = (config.context_frames + 1) * self.size - self.block
        self.caches = [Cache(room, self.size, len(ever) * self.size) for _ in self.layers]

    def run(self, progress: Callable[[int], None] | None) -> Drawn:
        """All frames."""
        if self.guess is not None and self.outlook is not None and self.errors is not None:
            return self._with_errors(self.guess, self.outlook, self.errors)
        given = self.prompt.flatten(1, 2)
        for lead in range(self.frames + 1):
            given = self._frame(lead, given)
            if progress is not None:
                progress(lead + 1)
        states, expected = (torch.stack(parts, dim=1) if parts else None for parts in (self.states, self.expected))
        return Drawn(torch.stack(self.codes, dim=1), states, expected)

    def _with_errors(self, guess: FirstGuess, outlook: Outlook, errors: Tensor) -> Drawn:
        """The outlook and errors (b, L, r) that its own are like, as they are; codes are the nearest.

        Where the network has no weight, codes tell nothing that the outlook does not: drawing them first, and then
        coefficients given them, would only make the errors more Gaussian than they are.
        """
        mean = outlook.mean[:, : self.frames + 1]
        leads = min(errors.shape[1], self.frames + 1)
        states = [mean[:, :leads] + self.draws.temperature**0.5 * errors[:, :leads]]
        for lead in range(leads, self.frames + 1):  # past the outlook's own lead times
            belief = guess.belief(outlook, lead, states[-1][:, -1])
            states.append(belief.draw(self.draws.generator, self.draws.temperature)[:, None])
        drawn = torch.cat(states, dim=1)
        tokens = guess.to_tokens(drawn.flatten(0, 1)).transpose(0, 1)  # (b s, P, D)
        codes = residual_codes(tokens, guess.codes, beam=1).unflatten(0, drawn.shape[:2])
        return Drawn(codes, drawn, mean)

    def _frame(self, lead: int, given: Tensor) -> Tensor:
        """Draw the frame of a lead time; `given`: what the network has not seen yet. Its last block is left to see."""
        belief = tokens = None
        if self.guess is not None and self.outlook is not None:
            belief = self.guess.belief(self.outlook, lead, self.states[-1] if self.states else None)
            tokens = self.guess.token_belief(belief)
        parts: list[Sampled] = []
        for first in range(0, self.size, self.block):
            hidden = None if self.sampler.alone else self._hidden(given, lead * self.size + first)
            mine = None
            if tokens is not None:
                some = slice(first, first + self.block)
                mine = Belief(tokens.mean[some], tokens.variance[some])
            parts.append(self.sampler(hidden, first, mine))
            given = parts[-1].codes.transpose(0, 1)
        self.codes.append(torch.cat([part.codes for part in parts]).transpose(0, 1))
        if self.guess is not None and belief is not None:
            self._settle(self.guess, lead, belief, parts)
        return given

    def _settle(self, guess: FirstGuess, lead: int, belief: Belief, parts: list[Sampled]) -> None:
        """Draw a frame's coefficients, given its codes, and follow what is expected of them."""
        assert self.outlook is not None
        known = [part.belief for part in parts if part.belief is not None]
        tokens = Belief(torch.cat([one.mean for one in known]), torch.cat([one.variance for one in known]))
        moved = torch.cat([part.shift for part in parts if part.shift is not None])
        before = guess.belief(self.outlook, lead, self.expected[-1] if self.expected else None)
        shifted = replace(before, mean=before.mean + guess.to_coefficients(moved, before.mean.shape[-1]))
        self.expected.append(shifted.mean)
        noise = None
        if self.noise is not None and lead < self.noise.shape[1]:
            noise = self.noise[:, lead]
        self.states.append(guess.drawn(belief, tokens).draw(self.draws.generator, self.draws.temperature, noise))

    def _hidden(self, given: Tensor, made: int) -> Tensor:
        """Hidden states (n, b, dim) that the next block is drawn by, when `made` tokens are; `given` are seen now."""
        count = given.shape[1]
        place = self.observed * self.size + made - count if made else 0
        x = self.gpt.embed(given, place, self.observed, self._coming(place, count), self.table)
        rotation = self.rotation.at(place, count)
        for layer, cache in zip(self.layers, self.caches, strict=True):
            x = layer(x, rotation, self.block, cache)
        return x[:, -self.block :].transpose(0, 1)

    def _coming(self, place: int, count: int) -> Tensor | None:
        """Of the tokens at places `place` ..., what is expected a frame later, (b, count, dim).

        Before the last observed frame nothing is.
        """
        if self.guess is None or self.outlook is None:
            return None
        lead = max(place // self.size - self.observed + 1, 0)
        one = Outlook(*(part[:, lead : lead + 1] for part in (self.outlook.mean, self.outlook.std)))
        first, size = place % self.size, min(count, self.size)
        coming = self.gpt.coming(one, first, size).transpose(0, 1)
        return F.pad(coming, (0, 0, count - size, 0)) if count > size else coming


def in_precision(layers: nn.ModuleList, kind: str) -> nn.ModuleList:
    """Layers whose weights need not be converted in each product: under autocast copies in its type, else the same."""
    if not torch.is_autocast_enabled(kind):
        return layers
    copies = copy.deepcopy(layers)
    for module in copies.modules():
        if isinstance(module, nn.Linear):
            module.to(torch.get_autocast_dtype(kind))
    return copies
