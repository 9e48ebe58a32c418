"""Time forecasts by untrained models of a configuration's sizes: the values of the codes change no time."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from einops import rearrange
from measuring import peak_mb, reset_peak, seconds
from synthetic import smooth_fields
from torch import Tensor

from sparsevq.config import Config, Symmetries
from sparsevq.data.device_fields import DeviceFields
from sparsevq.data.field_data import FieldData
from sparsevq.forecasting.model import Asked, ForecastModel, Seen
from sparsevq.models.autoencoder import SensorAutoencoder
from sparsevq.models.gpt import GPT, members_of
from sparsevq.models.rollout import Draws, Sampler
from sparsevq.models.tokenizer import LatentTokenizer
from sparsevq.runs.codes import Codes
from sparsevq.runtime.devices.device import Lease, fabric_for
from sparsevq.sensors.placement import SensorSets, place_sensors
from sparsevq.stage1.model import PerceiverModel, Role, sensor_points
from sparsevq.stage1.train import autoencoder_config
from sparsevq.stage2.train import tokenizer_config
from sparsevq.stage3.sequences import Sequences
from sparsevq.stage3.train import gpt_config

PREDICTIONS = ("next_frame", "next_token")


@dataclass
class Rate:
    """Frames forecast (of every case and member) per second, and peak memory."""

    frames_per_second: float
    seconds: float
    peak_mb: float


@dataclass
class Rates:
    """Rates of one kind of prediction."""

    cached: Rate
    recomputed: Rate | None
    decoded: Rate
    same_codes: float | None
    """Share of codes that are the same with and without the cache at temperature 0."""


def time_forecasts(
    config: Config, lease: Lease, cases: int, members: int, repeats: int, recompute: bool
) -> tuple[dict[str, Rates], Rate]:
    """Rates of each kind of prediction, and of decoding alone."""
    settings = config.forecast
    fabric = fabric_for(lease, config.stage3.precision)
    device = fabric.device
    data = smooth_fields(config, trajectories=4, frames=2)
    fields = DeviceFields(data, Symmetries(), device)

    def rate(work: Callable[[], object], times: int) -> Rate:
        reset_peak(device)
        taken = seconds(work, device, times)
        return Rate(cases * members * settings.horizon / taken, taken, peak_mb(device))

    temperature = 1.0 if settings.temperature is None else settings.temperature
    now = torch.zeros(1, dtype=torch.long, device=device)

    def tokens(model: ForecastModel, prompt: Tensor) -> Tensor:
        asked = Asked(settings.horizon, members, temperature, settings.top_k, seed=0)
        return model.generate(Seen(prompt, now), asked).codes

    def decode(model: ForecastModel, indices: Tensor) -> None:
        for case in indices:  # as the rule `forecast` does
            model.decode_codes(case, fields)

    def rates_of(prediction: str) -> Rates:
        model = untrained(config, data, prediction, device)
        prompt = random_codes(model, cases)
        cached, recomputed, same = rate(lambda: tokens(model, prompt), repeats), None, None
        if recompute:
            repeated = members_of(prompt, members)
            recomputed = rate(lambda: generate_without_cache(model.gpt, repeated, settings.horizon, temperature), 1)
            likeliest = model.gpt.generate(prompt, settings.horizon, temperature=0).codes
            same = float((likeliest == generate_without_cache(model.gpt, prompt, settings.horizon, 0)).float().mean())
        return Rates(cached, recomputed, rate(lambda: decode(model, tokens(model, prompt)), 1), same)

    with torch.no_grad(), fabric.autocast():
        rates = {prediction: rates_of(prediction) for prediction in PREDICTIONS}
        model = untrained(config, data, config.stage3.prediction, device)
        drawn = tokens(model, random_codes(model, cases))
        return rates, rate(lambda: decode(model, drawn), 1)


def generate_without_cache(gpt: GPT, prompt: Tensor, frames: int, temperature: float) -> Tensor:
    """A baseline: `GPT.generate`, with the whole sequence so far recomputed at each prediction."""
    size, block, context = gpt.config.tokens_per_frame, gpt.config.block, gpt.config.context_frames
    draws = Draws(temperature, generator=torch.Generator(prompt.device).manual_seed(0))
    sample = Sampler(gpt, draws)
    tokens = prompt.flatten(1, 2)
    times = torch.cat([torch.zeros(1), torch.arange(frames + 1)]).long().to(prompt.device)  # observed, completed, ...
    while tokens.shape[1] < size * (2 + frames):
        # The window starts with a whole frame.
        first = max(0, -(-(tokens.shape[1] - size * context) // size))
        hidden = gpt.trunk(tokens[:, size * first :], times[first:], observed=max(0, 1 - first))
        codes = sample(hidden[:, -block:].transpose(0, 1), tokens.shape[1] % size, None).codes
        tokens = torch.cat([tokens, codes.transpose(0, 1)], dim=1)
    return rearrange(tokens[:, size:], "b (s p) q -> b s p q", p=size)


def untrained(config: Config, data: FieldData, prediction: str, device: torch.device) -> ForecastModel:
    """All stages before training."""
    torch.manual_seed(0)
    sensors = place_sensors(data, config.sensors, config.num_sensors[0], seed=0)
    sparse, teacher = (_stage1(config, data, sensors, role, device) for role in ("sparse", "semi_sparse"))
    tokenizer = LatentTokenizer(tokenizer_config(teacher, config.stage2)).to(device).eval().requires_grad_(False)
    codebook = torch.randn_like(tokenizer.quantizer.codebook().float())
    frames = config.stage3.stage2_frames
    none = torch.zeros(1, 1, frames, config.stage2.tokens_per_frame, codebook.shape[1], dtype=torch.long, device=device)
    settings = config.stage3.model_copy(update={"prediction": prediction, "observed_frames": 1, "code_noise": 0.0})
    gpt = GPT(gpt_config(Sequences(Codes(none, none, codebook, ["test"]), settings), settings), codebook)
    return ForecastModel(sparse, teacher, tokenizer, gpt.to(device).eval().requires_grad_(False))


def random_codes(model: ForecastModel, cases: int) -> Tensor:
    """Observed frames, (cases, 1, P, Q)."""
    shape = model.gpt.config
    device = model.gpt.codebook.device
    return torch.randint(
        shape.num_vq_embeddings, (cases, 1, shape.tokens_per_frame, shape.num_quantizers), device=device
    )


def _stage1(config: Config, data: FieldData, sensors: SensorSets, role: Role, device: torch.device) -> PerceiverModel:
    autoencoder = SensorAutoencoder(autoencoder_config(data, config.stage1)).to(device).eval().requires_grad_(False)
    where = sensor_points(sensors, role).to(device)
    return PerceiverModel(autoencoder=autoencoder, where=where, grid=data, settings=config.stage1)
