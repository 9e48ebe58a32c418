"""The control of the quantizer: the GPT's Transformer on coefficients as they are, without codes.

What the GPT (`sparsevq.models.gpt`) has of its design, this has too: the frames and their order (the observed ones by
the sparse encoder, then the complete ones from the last observed one on), the groups of coefficients that are tokens,
its layers, positions and attention between frames, and its first guess. What differs is what it tells the two apart:

- A token enters as its coefficients, each over its std, through a linear layer, and not as its codes.
- It predicts one vector, which is trained by the mean squared error, and no chances of codes. What it predicts is added
  to the first guess and begins as zero; without one, to the frame before.
- A forecast is one sequence of frames, its own predictions taken for the frames before: no draws. So that it learns
  from such frames, a part of the training steps predicts all frames, puts these in the place of the true ones, and
  predicts again, some times over: after n passes the first n frames are those of a forecast [1]_.

As the paper's release has it (`whole_frames`), a frame is one vector of all its coefficients, which is regressed as it
is from the frames before.

    b sequences, k observed frames, s frames from the last observed one on (lead times 0 ... s - 1), P tokens a frame of
    D channels; r coefficients, of which n are in tokens

References
----------
.. [1] Mihaylova & Martins, Scheduled sampling for Transformers, ACL student research workshop 2019 (passes in
   parallel); Bengio et al., Scheduled sampling, NeurIPS 2015.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sparsevq.models.causal import (
    Layer,
    PositionLinear,
    Rotation,
    by_position,
    positions_first,
    positions_last,
    rotary_frequencies,
)
from sparsevq.models.course import Course
from sparsevq.models.groups import group_slots
from sparsevq.models.regression import Outlook, Outlooks
from sparsevq.runtime.devices.parallel import weights_of


@dataclass(frozen=True)
class ContinuousConfig:
    """Sizes; names as those of `sparsevq.models.gpt.GPTConfig`.

    `groups`: coefficients of each token of a frame; one group: frames are vectors. `residual`: whether predictions are
    of what remains of the first guess, or of the frame before.
    """

    groups: tuple[int, ...]
    coefficients: int
    context_frames: int
    time_transformer_layers: int
    time_transformer_heads: int
    time_transformer_dim: int
    dropout: float = 0.0
    observed_frames: int = 1
    residual: bool = True
    regressions: tuple[tuple[int, ...], ...] = ()
    flows: tuple[int, int] = (0, 0)

    @property
    def leads(self) -> int:
        """Lead times of a training sequence, from 0 on."""
        return self.context_frames - self.observed_frames + 1


class ContinuousTransformer(nn.Module):
    """See the module's docstring; `set_units` gives it units, and whoever trains it an outlook."""

    def __init__(self, config: ContinuousConfig):
        super().__init__()
        dim, tokens, channels = config.time_transformer_dim, len(config.groups), max(config.groups)
        self.config, self.tokens, self.channels = config, tokens, channels
        slots = group_slots(tuple(config.groups))
        self.register_buffer("slots", slots, persistent=False)  # of each coefficient, its place among P D channels
        places = torch.full((tokens * channels,), len(slots))
        places[slots] = torch.arange(len(slots))
        self.register_buffer("places", places, persistent=False)  # of each of these, its coefficient; else n
        frequencies = rotary_frequencies(dim // config.time_transformer_heads)
        self.register_buffer("frequencies", frequencies, persistent=False)
        self.register_buffer("unit", torch.ones(len(slots)))  # std of coefficients
        self.register_buffer("remaining", torch.ones(len(slots)))  # rms of what predictions are about
        self.slots: Tensor
        self.places: Tensor
        self.frequencies: Tensor
        self.unit: Tensor
        self.remaining: Tensor
        self.from_token = PositionLinear(channels, dim, tokens)
        self.token_position = nn.Parameter(torch.randn(tokens, dim) * 0.02)
        self.prompt = nn.Parameter(torch.zeros(dim))  # added to the tokens of observed frames
        layers = [
            Layer(dim, config.time_transformer_heads, config.dropout) for _ in range(config.time_transformer_layers)
        ]
        self.layers = nn.ModuleList(layers)
        self.norm, self.hidden = nn.LayerNorm(dim), nn.Linear(dim, dim)
        self.to_token = PositionLinear(dim, channels, tokens)
        if config.residual:
            nn.init.zeros_(self.to_token.weight)
            nn.init.zeros_(self.to_token.bias)
        self.course: Course | None = None
        self.outlooks: Outlooks | None = None
        if config.regressions:
            self.course = Course(config.leads, config.coefficients)
            self.outlooks = Outlooks(config.regressions, config.flows, config.coefficients)
            self.from_outlook = PositionLinear(channels, dim, tokens, bias=False)
            nn.init.zeros_(self.from_outlook.weight)
        for layer in layers:  # residual branches start small (GPT-2)
            for branch in (layer.out, layer.feed_forward.narrow):
                nn.init.normal_(branch.weight, std=0.02 / (2 * len(layers)) ** 0.5)

    @torch.no_grad()
    def set_units(self, unit: Tensor, remaining: Tensor) -> None:
        """Take the std of the coefficients in tokens, and the rms of what remains to be predicted, (n,) each."""
        self.unit.copy_(unit.clamp_min(1e-8))
        self.remaining.copy_(remaining)

    # ------------------------------------------------------------------ one step

    def forward(self, observed: Tensor, complete: Tensor, times: Tensor, outlook: Outlook | None = None) -> Tensor:
        """Predict each complete frame from those before it.

        Parameters
        ----------
        observed
            Coefficients in tokens of the observed frames, by the sparse encoder, (b, k, n).
        complete
            Those of the complete frames as the network sees them, (b, s, n); the last one is not looked at.
        times
            (k,) of the observed frames, in frames after the last of them: 0 or less.
        outlook
            With a first guess, of s lead times or more.

        Returns
        -------
        (b, s, n) float32.
        """
        leads, before = complete.shape[1], len(times) - 1
        frames = torch.cat([observed, complete[:, :-1]], dim=1)
        when = torch.cat([times, torch.arange(leads - 1, device=times.device)])
        change = self._changes(frames, when, len(times), self._expected(outlook, before, leads))[:, before:]
        about = self.about(observed, complete, outlook)
        return change * self.unit if about is None else about + change * self.remaining

    def _changes(self, frames: Tensor, when: Tensor, observed: int, expected: Tensor | None) -> Tensor:
        """What the network says of the frame after each of frames (b, f, n), (b, f, n) float32, in its units.

        Frames are at times (f,), the first `observed` of them observed; `expected` (b, f, n) of those after them.
        """
        size, count = self.tokens, frames.shape[1]
        x = by_position(self._tokens(frames), self.from_token.matrices())
        x = x + (self._bias(self.from_token) + self.token_position)[:, None]
        if expected is not None:
            x = x + by_position(self._tokens(expected), self.from_outlook.matrices())
        x = positions_last(x, len(frames))  # (b, f P, dim)
        x = x + F.pad(self.prompt.expand(observed * size, -1), (0, 0, 0, (count - observed) * size))
        rotation = Rotation(when, self.frequencies, size, x.shape[1])
        for layer in self.layers:
            x = layer(x, rotation, size)
        hidden = F.gelu(self.hidden(self.norm(positions_first(x, size))))
        said = by_position(hidden, self.to_token.matrices()) + self._bias(self.to_token)[:, None]  # (P, b f, D)
        return said.float().transpose(0, 1).flatten(1)[:, self.slots].unflatten(0, (-1, count))

    def about(self, observed: Tensor, complete: Tensor, outlook: Outlook | None) -> Tensor | None:
        """What predictions begin as, (b, s, n): the first guess, or the frame before; None: nothing."""
        if self.course is not None and outlook is not None:
            known, leads = len(self.slots), complete.shape[1]
            some = Outlook(outlook.mean[:, :leads], outlook.std[:, :leads])
            others = some.mean[..., known:]  # which no token has, go by the outlook
            return self.course.beliefs(some, torch.cat([complete, others], dim=-1)).mean[..., :known]
        return torch.cat([observed[:, -1:], complete[:, :-1]], dim=1) if self.config.residual else None

    def _expected(self, outlook: Outlook | None, before: int, leads: int) -> Tensor | None:
        """(b, before + leads, n): nothing, then the outlook's means of the first lead times."""
        if outlook is None:
            return None
        return F.pad(outlook.mean[:, :leads, : len(self.slots)], (0, 0, before, 0))

    def _tokens(self, coefficients: Tensor) -> Tensor:
        """(b, f, n) -> (P, b f, D) over their std, zero where a token has no channel."""
        known = F.pad(coefficients / self.unit, (0, 1))[..., self.places]
        return known.flatten(0, 1).unflatten(-1, (self.tokens, self.channels)).transpose(0, 1)

    @staticmethod
    def _bias(layer: PositionLinear) -> Tensor:
        """(P or 1, outputs)."""
        return layer.bias if layer.bias.ndim == 2 else layer.bias[None]

    # ------------------------------------------------------------------ a forecast

    @torch.no_grad()
    def forecast(self, observed: Tensor, times: Tensor, frames: int, outlook: Outlook | None = None) -> Tensor:
        """Coefficients (b, frames + 1, r) from the last observed frame on, each frame from those predicted before it.

        Those that no token has are the outlook's, or 0: their mean. Past the trained context the oldest frames are
        left out, and the outlook is continued. The whole sequence is computed anew for each frame: for some dozens of
        frames and a few dozens of cases it takes seconds.
        """
        if self.course is not None:
            if outlook is None:
                raise ValueError("a network with a first guess forecasts from an outlook")
            outlook = self.course.until(outlook, frames + 1)
        found = observed.float().new_zeros(len(observed), 0, observed.shape[-1])
        for lead in range(frames + 1):
            found = torch.cat([found, self._next(observed, found, times, outlook, lead)], dim=1)
        missing = self.config.coefficients - found.shape[-1]
        others = found.new_zeros(*found.shape[:2], missing)
        if outlook is not None:
            others = outlook.mean[:, : frames + 1, found.shape[-1] :]
        return torch.cat([found, others], dim=-1)

    def _next(self, observed: Tensor, found: Tensor, times: Tensor, outlook: Outlook | None, lead: int) -> Tensor:
        """The frame (b, 1, n) of a lead time, after those that were found, (b, lead, n)."""
        seen = slice(-self.config.context_frames, None)
        frames, when = torch.cat([observed, found], dim=1), torch.cat([times, torch.arange(lead, device=times.device)])
        expected = self._expected(outlook, len(times) - 1, lead + 1)
        left = max(len(times) - max(frames.shape[1] - self.config.context_frames, 0), 0)
        some = None if expected is None else expected[:, seen]
        change = self._changes(frames[:, seen], when[seen], left, some)[:, -1:]
        if self.course is not None and outlook is not None:
            known = len(self.slots)
            state = torch.cat([found[:, -1], outlook.mean[:, lead - 1, known:]], dim=-1) if lead else None
            return self.course.belief(outlook, lead, state).mean[:, None, :known] + change * self.remaining
        return frames[:, -1:] + change * self.remaining if self.config.residual else change * self.unit


class Batch:
    """A batch of training sequences.

    No dataclass, whose numbers Fabric would round to bf16.

    Attributes
    ----------
    observed, complete
        Coefficients in tokens of the observed frames (b, k, n), and of the complete ones (b, s, n).
    seen
        Both as the network sees them, perhaps disturbed.
    times
        (k,) of the observed frames, in frames after the last of them.
    passes
        How often the network's own predictions are put in the place of the complete frames that it sees.
    outlook
        With a first guess.
    """

    def __init__(
        self,
        observed: Tensor,
        complete: Tensor,
        times: Tensor,
        outlook: Outlook | None = None,
        seen: tuple[Tensor, Tensor] | None = None,
        passes: int = 0,
    ):
        self.observed, self.complete, self.times, self.outlook = observed, complete, times, outlook
        self.seen, self.passes = (observed, complete) if seen is None else seen, passes


class ContinuousLoss(nn.Module):
    """Mean squared error of what is predicted, over that of what remains to be: about 1 at the first step."""

    def __init__(self, network: ContinuousTransformer):
        super().__init__()
        self.network = network

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """This rank's share of a batch, so that the mean over ranks is that of the whole."""
        observed, seen = batch.seen
        for _ in range(batch.passes):
            with torch.no_grad():
                seen = self.network(observed, seen, batch.times, batch.outlook)
        error = self.network(observed, seen, batch.times, batch.outlook) - batch.complete
        weight = weights_of(torch.full((), len(observed), device=observed.device))[0]
        return {"loss": weight * error.square().mean((0, 1)).sum() / self.network.remaining.square().sum()}
