"""All trained stages together: tokens of an observed frame -> an ensemble of fields."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from sparsevq.data.device_fields import DeviceFields, Views
from sparsevq.errors import SparseVQError
from sparsevq.models.gpt import GPT, GPTConfig, members_of
from sparsevq.models.refinement import RefinementSizes
from sparsevq.models.regression import Outlook, Regression, Windows, chosen_windows
from sparsevq.models.rollout import Drawn
from sparsevq.models.tokenizer import LatentTokenizer
from sparsevq.runs.calibration import Calibration, FloatArray, read_calibration
from sparsevq.runs.codes import Codes
from sparsevq.runs.run import Run
from sparsevq.runtime.model_file import ModelFile
from sparsevq.stage1.encoding import load_encoders
from sparsevq.stage1.modal import ModalModel
from sparsevq.stage1.model import Stage1Model, decode_at, decode_everywhere
from sparsevq.stage2.dump import load_tokenizer


@dataclass(frozen=True)
class ForecastModel:
    """The encoders, the tokenizer and the GPT of one run.

    `parameters`: those of a trajectory that they take; `calibration`: of ensembles, None: there is none yet; `bf16`:
    whether the GPT was trained in bf16-mixed.
    """

    sparse: Stage1Model
    teacher: Stage1Model
    tokenizer: LatentTokenizer
    gpt: GPT
    parameters: tuple[str, ...] = ()
    calibration: Calibration | None = None
    bf16: bool = False

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return self.gpt.codebook.device

    def as_trained(self) -> torch.autocast:
        """The precision of training on a GPU; on the CPU float32: there conversions cost what small products gain."""
        kind = self.device.type
        return torch.autocast(kind, torch.bfloat16, enabled=self.bf16 and kind == "cuda")

    def generate(self, seen: "Seen", asked: "Asked") -> Drawn:
        """An ensemble (b, members, frames + 1, ...), from the last observed frame on."""
        generator, members = torch.Generator(device=seen.prompt.device).manual_seed(asked.seed), asked.members
        drawn = self.gpt.generate(
            members_of(seen.prompt, members),
            asked.frames,
            times=seen.times,
            outlook=None if seen.outlook is None else seen.outlook.members(members),
            errors=self.errors_like(seen, members, generator),
            temperature=asked.temperature,
            top_k=asked.top_k,
            network=asked.network,
            generator=generator,
        )
        return drawn.by_case(members)

    def errors_like(self, seen: "Seen", members: int, generator: torch.Generator) -> Tensor | None:
        """(b * members, L, r) errors of windows that are like each forecast, drawn for its members; None: unknown."""
        outlook, regression, outlooks = seen.outlook, seen.regression, self.gpt.outlooks
        if outlook is None or outlook.like is None or regression is None or outlooks is None:
            return None
        like = outlook.like
        drawn = torch.randint(like.shape[1], (len(like), members), generator=generator, device=like.device)
        return regression.errors(like.gather(1, drawn).flatten(), outlooks.flows)

    @property
    def network(self) -> float:
        """Weight of the network that draws are calibrated for."""
        return 1.0 if self.calibration is None else self.calibration.network

    def decode(self, drawn: Drawn, fields: DeviceFields, points: Tensor | None = None) -> Tensor:
        """Draws (..., P, Q) -> fields in physical units (..., N, C), float32; at points (p,) of the grid, or all."""
        return fields.physical(self.decode_normalised(drawn, points), points)

    def mean(self, drawn: Drawn, fields: DeviceFields, points: Tensor | None = None) -> Tensor:
        """Draws of members (M, L + 1, P, Q) -> their mean in physical units (L + 1, N, C), without members' noise.

        Without a first guess it is the mean of the members. At points (p,) of the grid, or all.
        """
        if drawn.expected is None:
            return self.decode(drawn, fields, points).mean(0)
        return self.decode(drawn.mean(), fields, points)

    def ensemble(self, drawn: Drawn, fields: DeviceFields, observed: int, points: Tensor | None = None) -> Tensor:
        """Draws of members (M, L + 1, P, Q) -> calibrated fields in physical units (M, L + 1, N, C), float32."""
        return self.calibrated(self.decode(drawn, fields, points), observed)

    def calibrated(self, members: Tensor, observed: int) -> Tensor:
        """Members (M, L + 1, N, C), drawn from `observed` frames, as far from their mean as they are wrong."""
        return apart(members, self.factor(observed, members.shape[1]))

    def factor(self, observed: int, leads: int) -> FloatArray:
        """(leads, C) that members' distance from their mean is multiplied by."""
        if self.calibration is None:
            return np.ones((leads, 1))
        return self.calibration.factor(observed, leads)

    def carried(self, drawn: Drawn, before: Outlook, now: Outlook, steps: int, asked: "Asked") -> Drawn:
        """Members (M, L + 1, ...) drawn from the outlook `before`, as they go on from the outlook `now`, `steps` later.

        Each keeps its distance from the outlook, in units of the outlook's std; frames past the last are drawn by the
        correlation of these distances in time.
        """
        guess = self.gpt.first_guess
        assert guess is not None
        assert drawn.states is not None
        frames = drawn.states.shape[1]
        before, now = guess.until(before, frames), guess.until(now, frames)
        apart = (drawn.states - before.mean) / before.std
        generator = torch.Generator(device=apart.device).manual_seed(asked.seed + 1)
        carried = [*apart[:, steps:].unbind(1)]
        while len(carried) < frames:
            correlation = guess.correlation[min(len(carried), guess.leads - 1)]
            noise = torch.randn(apart[:, 0].shape, generator=generator, device=apart.device)
            noise = noise * (asked.temperature * (1 - correlation.square())).sqrt()
            carried.append(correlation * carried[-1] + noise)
        states = now.mean + now.std * torch.stack(carried, dim=1)
        assert isinstance(self.teacher, ModalModel)
        latents = self.latents(Drawn(drawn.codes, states)).flatten(0, 1)
        return Drawn(self.tokenizer.tokenize(latents).unflatten(0, states.shape[:2]), states)

    @property
    def temperature(self) -> float:
        """That draws are calibrated for."""
        return 1.0 if self.calibration is None else self.calibration.temperature

    def decode_codes(self, indices: Tensor, fields: DeviceFields) -> Tensor:
        """Code indices (..., P, Q) -> fields in physical units (..., N, C), float32, by the codes alone."""
        return self.decode(Drawn(indices), fields)

    def decode_normalised(self, drawn: Drawn, points: Tensor | None = None) -> Tensor:
        """Draws (..., P, Q) -> normalised fields (..., N, C), float32."""
        latents = self.latents(drawn)
        parts = [
            decode_everywhere(self.teacher, part) if points is None else decode_at(self.teacher, part, points)
            for part in latents.flatten(0, -3).split(512)
        ]
        return torch.cat(parts).unflatten(0, latents.shape[:-2])

    def latents(self, drawn: Drawn) -> Tensor:
        """Complete latents (..., num_latents, dim) of draws: of their coefficients, or of their codes alone."""
        if drawn.states is None:
            flat = drawn.codes.flatten(0, -3)
            parts = [self.tokenizer.detokenize(part) for part in flat.split(512)]
            return torch.cat(parts).unflatten(0, drawn.codes.shape[:-2])
        assert isinstance(self.teacher, ModalModel)
        assert self.gpt.outlooks is not None
        states = drawn.states + self.gpt.outlooks.center
        return self.teacher.latents.to_latents(states.flatten(0, -2)).unflatten(0, states.shape[:-1])


def apart(members: Tensor, factor: FloatArray) -> Tensor:
    """Members (M, l, p, C) with their distance from their mean multiplied by a factor (l, C)."""
    mean = members.mean(0)
    return mean + torch.from_numpy(factor).to(members)[:, None] * (members - mean)


@dataclass(frozen=True)
class Asked:
    """What is asked of an ensemble: frames after the last observed one, members, and how these are drawn.

    `network`: weight of what the GPT's network adds to its first guess, if it has one.
    """

    frames: int
    members: int
    temperature: float
    top_k: int
    seed: int
    network: float = 1.0


@dataclass(frozen=True)
class Seen:
    """What b forecasts begin with: codes of observed frames (b, k, P, Q), at times (k,); an outlook and its source."""

    prompt: Tensor
    times: Tensor
    outlook: Outlook | None = None
    regression: Regression | None = None


def seen_by_sensors(gpt: GPT, codes: Codes, trajectory: Tensor, start: Tensor, count: int) -> Seen:
    """What the run's own sensors see of `count` frames up to frames `start` (b,) of trajectories (b,)."""
    times = torch.arange(1 - count, 1, device=start.device)
    outlook = regression = None
    if gpt.outlooks is not None and codes.readings is not None:
        used, regression = gpt.outlooks.by(count)
        outlook = regression(frames_of(codes.readings, trajectory, start, times[-used:]).flatten(1))
    return Seen(frames_of(codes.sparse, trajectory, start, times), times, outlook, regression)


def seen_of_frames(model: ForecastModel, fields: DeviceFields, trajectory: int, start: int, count: int) -> Seen:
    """As `seen_by_sensors`, of one forecast and without an index dump: what `model` makes of the frames themselves.

    Parameters
    ----------
    fields
        The data set as the model sees it, with its frames.
    start
        The last observed frame.
    """
    times = torch.arange(1 - count, 1)
    views = Views(torch.full_like(times, trajectory), start + times, torch.zeros_like(times))
    prompt = model.tokenizer.tokenize(model.sparse.encode(fields, views))[None]
    times = times.to(model.device)
    if model.gpt.outlooks is None or not isinstance(model.sparse, ModalModel):
        return Seen(prompt, times)
    used, regression = model.gpt.outlooks.by(count)
    readings = model.sparse.seen(fields, views[count - used :])
    return Seen(prompt, times, regression(readings.flatten()[None]), regression)


def dense_regression(gpt: GPT, codes: Codes) -> Regression | None:
    """A regression from the complete coefficients of a frame, which no sensors give; None: there is no first guess."""
    outlooks = gpt.outlooks
    if outlooks is None or codes.coefficients is None:
        return None
    device, like = outlooks.center.device, outlooks.by(1)[1]

    def windows(flows: Tensor, flow: Tensor, frame: Tensor, trajectory: Tensor) -> Windows:
        after = frame[:, None] + torch.arange(like.leads, device=frame.device)
        coefficients = flows[flow[:, None], after].float().to(device)
        return Windows(coefficients[:, 0], coefficients, trajectory, torch.stack([flow, frame], dim=-1))

    frames = codes.coefficients.shape[2]
    chosen = chosen_windows(len(outlooks.flows), frames, like.leads, 1, len(like.places), seed=0).to(device)
    flow, frame = chosen.unbind(-1)
    learned = windows(outlooks.flows, flow, frame, outlooks.trajectory[flow])
    unseen = codes.of("val").cpu()
    starts = torch.linspace(0, frames - like.leads, min(8, frames - like.leads + 1)).round().long()
    trajectory, frame = torch.cartesian_prod(unseen, starts).unbind(-1)
    held_out = windows(codes.coefficients[0], trajectory, frame, trajectory)
    return Regression.fitted(learned, held_out, seed=0)[0]


def seen_by_teacher(codes: Codes, trajectory: Tensor, start: Tensor, dense: Regression | None) -> Seen:
    """What perfect sensing would see of frames `start` (b,) of trajectories (b,)."""
    times = torch.zeros(1, dtype=torch.long, device=start.device)
    outlook = None
    if dense is not None and codes.coefficients is not None:
        outlook = dense(frames_of(codes.coefficients, trajectory, start, times)[:, 0].float())
    return Seen(frames_of(codes.semi_sparse, trajectory, start, times), times, outlook, dense)


def frames_of(values: Tensor, trajectory: Tensor, start: Tensor, times: Tensor) -> Tensor:
    """Of values (V, T, F, ...) those of the flows as they are, at times (k,) after frames `start` (b,): (b, k, ...)."""
    where = trajectory[:, None].to(values.device), (start[:, None] + times).to(values.device)
    return values[0, where[0], where[1]].to(start.device)


def doubt_about_members(drawn: Drawn, asked: Asked) -> str | None:
    """What to say if members that were drawn (b, members, s, ...) end alike in most of the forecasts."""
    forecasts, members = drawn.codes.shape[:2]
    if members == 1 or asked.temperature == 0 or asked.top_k == 1:
        return None
    ends = (drawn.codes if drawn.states is None else drawn.states)[:, :, -1].flatten(2)
    alike = int((ends == ends[:, :1]).flatten(1).all(1).sum())
    if 2 * alike <= forecasts:
        return None
    where = f"in {alike} of {forecasts} forecasts all" if forecasts > 1 else "all"
    return (
        f"{where} {members} members have the same codes at the last lead time, so that their spread says nothing: see "
        "how many codes are in use (history.csv of the tokenizer), else raise the temperature"
    )


def load_forecast_model(run: Run, device: torch.device, calibrated: bool = True) -> ForecastModel:
    """Load all stages of a run.

    Parameters
    ----------
    calibrated
        Whether to use its calibration, if it has one.

    Raises
    ------
    SparseVQError
        A file is missing or damaged, or one of them was not made from the others.
    """
    sparse, teacher = load_encoders(run, device)
    tokenizer = load_tokenizer(run, teacher, device)
    file = run.model("gpt")
    config = gpt_config_of(file)
    codebook = tokenizer.quantizer.codebook()
    if codebook.shape != (
        config.codebooks,
        config.num_quantizers,
        config.num_vq_embeddings,
        config.vq_embedding_dim,
    ):
        raise SparseVQError(
            f"{file.path} was trained on a codebook of another shape than the one in {run.file('tokenizer')}",
            "use the tokenizer whose index dump it was trained on, or train it again",
        )
    gpt = GPT(config, codebook)
    if not torch.allclose(gpt.codebook.cpu(), file.weights["codebook"].cpu(), rtol=1e-4, atol=1e-5):
        raise SparseVQError(
            f"{file.path} was trained on another codebook than the one in {run.file('tokenizer')}",
            "dump the indices again and train it again",
        )
    file.restore(gpt)
    calibration = None
    if calibrated and run.has("calibration"):
        calibration, made_from = read_calibration(run.file("calibration"), len(run.domain.channels))
        run.check("calibration", made_from, rule="calibrate")
    gpt = gpt.to(device).eval().requires_grad_(False)
    return ForecastModel(sparse, teacher, tokenizer, gpt, sparse.parameters, calibration, trained_in_bf16(file))


def trained_in_bf16(file: ModelFile) -> bool:
    """Whether a model was trained in bf16-mixed; of earlier versions, which do not say it, what was asked for."""
    asked = file.settings.get("precision", "32-true")
    return str(file.extra.get("precision", "bf16-mixed" if asked == "auto" else asked)) == "bf16-mixed"


def gpt_config_of(file: ModelFile) -> GPTConfig:
    """The sizes of a GPT that was read.

    Raises
    ------
    SparseVQError
        It is of an earlier version, whose sequences had no completed frame.
    """
    if "observed_frames" not in file.shape:
        raise SparseVQError(
            f"{file.path} was trained by an earlier version, whose sequences did not complete the observed frame",
            "train stage 3 again",
        )
    refinement = file.shape.get("refinement")
    return GPTConfig(**{**file.shape, "refinement": refinement and RefinementSizes(**refinement)})
