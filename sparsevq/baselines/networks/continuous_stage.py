"""The training of the Transformers without codes, by the sequences, the settings and the budget of the GPT."""

import torch
from torch import Tensor

from sparsevq.baselines.networks.continuous import Batch, ContinuousConfig, ContinuousLoss, ContinuousTransformer
from sparsevq.baselines.networks.registry import KIND
from sparsevq.config import Stage3Config
from sparsevq.errors import SparseVQError
from sparsevq.forecasting.model import frames_of
from sparsevq.models.groups import group_slots
from sparsevq.models.regression import Outlook
from sparsevq.runs.codes import Codes
from sparsevq.runs.run import Run
from sparsevq.runtime.devices.fabric import Fabric
from sparsevq.runtime.devices.memory import generator_on
from sparsevq.runtime.devices.parallel import from_first, require_rows
from sparsevq.stage3.regression import learn_regressions, set_course
from sparsevq.stage3.sequences import VALIDATION_STARTS, Sequences, times_of
from sparsevq.training.stage import Stage

MOST_PASSES = 3
"""Passes, at most, in which a step's own predictions take the place of the true frames."""
MEASURED = 256
"""Training sequences on which is measured how much remains to be predicted."""


class ContinuousStage(Stage):
    """Sequences of coefficients: those of the observed frames in, those of the complete frames out.

    As the GPT's training: the sequences, the first guess (`stage3.first_guess`), the noise on what the network sees
    (`stage3.code_noise`, which is not coded here), sizes, optimizer and budget. The weights of the validation forecast
    with the smallest error are kept.

    Parameters
    ----------
    run
        Its index dump alone is read: coefficients and readings.
    whole_frames
        As the release has it: a frame is one vector, which is regressed without a first guess.

    Raises
    ------
    SparseVQError
        The dump is missing or damaged, has no unquantized tokens, or its trajectories are too short.
    """

    name, kind = "continuous control", KIND
    module: ContinuousTransformer
    config: ContinuousConfig
    settings: Stage3Config

    def __init__(self, run: Run, settings: Stage3Config, *, seed: int, fabric: Fabric, whole_frames: bool = False):
        self.batch = settings.batch_frames // settings.stage2_frames
        require_rows(self.batch, "stage3.batch_frames / stage2_frames")
        super().__init__(settings, seed, fabric)
        codes = run.codes(fabric.device)
        if codes.coefficients is None or codes.tokens_sparse is None:
            raise SparseVQError(
                "evaluation.baselines: the continuous control needs coefficients in the index dump, which "
                "stage2.tokenizer=groups alone has",
                "train that tokenizer, or leave the control out",
            )
        self.sequences = Sequences(codes, settings)
        guess = settings.first_guess == "regression" and not whole_frames
        if guess:
            fabric.print(f"{self.name}: learning the first guess", flush=True)
            learn_regressions(self.sequences, settings, seed)
        self.validates_first = guess
        self.config = continuous_config(self.sequences, settings, whole_frames)
        self.module = ContinuousTransformer(self.config).to(fabric.device)
        if self.module.course is not None and self.module.outlooks is not None:
            set_course(self.module.course, self.module.outlooks, self.sequences)
        self.slots = group_slots(codes.groups).to(fabric.device)
        self._measure()
        for buffer in self.module.buffers():  # ranks may differ in the last bits
            from_first(buffer)
        self.val = self._held_out()
        self.made_from = {"codes": codes.digest}
        self.objective = ContinuousLoss(self.module)

    def draw(self, generator: torch.Generator, step: int) -> tuple[Batch]:
        """Sequences with noise, and without; more and more of them with passes of their own predictions."""
        count, which, given = self.sequences.drawn(self.batch, generator, step)
        observed, complete = self._coefficients(*which, count)
        share = step / max(1, self.settings.max_steps)  # of the steps, late in training nearly all, with passes
        roll = torch.rand(2, generator=generator)
        passes = int(float(roll[0]) < share) * (1 + int(float(roll[1]) * MOST_PASSES))
        seen = observed, complete
        if self.sequences.noise is not None:
            noise = self.sequences.noise.flatten()[self.slots]
            draws = generator_on(complete.device, generator)

            def disturbed(part: Tensor) -> Tensor:
                return part + noise * torch.randn(part.shape, generator=draws, device=part.device)

            seen = disturbed(observed), disturbed(complete)
        mine, times = self.mine, times_of(count, complete.device)
        outlook = None if given is None else given.outlook[mine]
        return (Batch(observed[mine], complete[mine], times, outlook, (seen[0][mine], seen[1][mine]), passes),)

    def draws_ahead(self, step: int) -> bool:
        """Where tokens or coefficients cross to a GPU."""
        return self.sequences.slow

    @torch.no_grad()
    def validate(self) -> dict[str, float]:
        """Error of forecasts over the size of what is true, in coefficients: mean over sequences and lead times."""
        found = []
        with self.fabric.autocast():
            for observed, true, times, outlook in self.val:
                forecast = self.module.forecast(observed, times, true.shape[1] - 1, outlook)
                error, size = ((part[:, 1:]).square().sum(-1) for part in (forecast - true, true))
                found.append((error / size.clamp_min(1e-20)).sqrt().flatten())
        return {"val_loss": float(torch.cat(found).mean())}

    def parameters_count(self) -> int:
        """Numbers that are trained."""
        return sum(weight.numel() for weight in self.module.parameters())

    def _coefficients(self, variant: Tensor, trajectory: Tensor, start: Tensor, count: int) -> tuple[Tensor, Tensor]:
        """Those in tokens, of the observed frames (b, k, n) and of the complete ones (b, s, n)."""
        found = self.sequences.take_unquantized(variant, trajectory, start, count).flatten(2)[..., self.slots]
        return found[:, :count], found[:, count:]

    @torch.no_grad()
    def _measure(self) -> None:
        """Give the network its units: by training sequences as they are."""
        generator, squares, sizes = torch.Generator().manual_seed(self.seed), [], []
        for step in range(len(self.sequences.counts)):
            count, which, given = self.sequences.drawn(MEASURED, generator, step)
            observed, true = self._coefficients(*which, count)
            about = self.module.about(observed, true, None if given is None else given.outlook)
            sizes.append(true.square().mean((0, 1)))
            squares.append((true if about is None else true - about).square().mean((0, 1)))
        self.module.set_units(*(torch.stack(part).mean(0).sqrt() for part in (sizes, squares)))

    def _held_out(self) -> list[tuple[Tensor, Tensor, Tensor, Outlook | None]]:
        """Of each number of observed frames: observed and complete coefficients (those in no token too), times."""
        found = []
        for count in self.sequences.counts:
            starts = self.sequences.starts_of(count)
            picks = torch.linspace(0, len(starts) - 1, min(VALIDATION_STARTS, len(starts))).round().long()
            trajectory, start = torch.cartesian_prod(self.sequences.codes.of("val"), starts[picks]).unbind(-1)
            which = torch.zeros_like(trajectory), trajectory, start
            outlook = outlook_of(self.module, self.sequences.codes, trajectory, start, count)
            observed, _ = self._coefficients(*which, count)
            true = self.sequences.coefficients(*which)
            found.append((observed, true, times_of(count, true.device), outlook))
        return found


def continuous_config(sequences: Sequences, settings: Stage3Config, whole_frames: bool) -> ContinuousConfig:
    """The sizes that the sequences and the configuration ask for: those of the GPT."""
    codes, learned = sequences.codes, sequences.learned
    assert codes.coefficients is not None
    groups = codes.groups if not whole_frames else (sum(codes.groups),)
    return ContinuousConfig(
        groups=groups,
        coefficients=codes.coefficients.shape[-1],
        context_frames=settings.observed_frames + settings.stage2_frames - 1,
        time_transformer_layers=settings.time_transformer_layers,
        time_transformer_heads=settings.time_transformer_heads,
        time_transformer_dim=settings.time_transformer_dim,
        dropout=settings.dropout,
        observed_frames=settings.observed_frames,
        residual=not whole_frames,
        regressions=tuple((frames, *found.regression.sizes) for frames, found in learned.items()),
        flows=(sequences.variants * len(sequences.training), codes.coefficients.shape[2]) if learned else (0, 0),
    )


@torch.no_grad()
def outlook_of(
    module: ContinuousTransformer, codes: Codes, trajectory: Tensor, start: Tensor, count: int
) -> Outlook | None:
    """From what the sensors read in `count` frames up to frames `start` (b,) of trajectories (b,)."""
    if module.outlooks is None or codes.readings is None:
        return None
    used, regression = module.outlooks.by(count)
    return regression(frames_of(codes.readings, trajectory, start, times_of(used, start.device)).flatten(1))


@torch.no_grad()
def forecast_coefficients(
    module: ContinuousTransformer, codes: Codes, trajectory: Tensor, start: Tensor, count: int, frames: int
) -> Tensor:
    """Coefficients (b, frames + 1, r) of forecasts from `count` frames up to frames `start` (b,) of trajectories."""
    assert codes.tokens_sparse is not None and codes.center is not None
    times = times_of(count, start.device)
    tokens = frames_of(codes.tokens_sparse, trajectory, start, times)
    observed = tokens.flatten(2).float()[..., group_slots(codes.groups).to(tokens.device)]
    outlook = outlook_of(module, codes, trajectory, start, count)
    return module.forecast(observed, times, frames, outlook) + codes.center.to(start.device)
