"""All trained stages together: tokens of an observed frame -> an ensemble of fields."""

from dataclasses import dataclass

import torch
from torch import Tensor

from sparsevq.data.device_fields import DeviceFields
from sparsevq.errors import SparseVQError
from sparsevq.models.gpt import GPT, GPTConfig, members_of
from sparsevq.models.tokenizer import LatentTokenizer
from sparsevq.runs.run import Run
from sparsevq.stage1.encoding import load_encoders
from sparsevq.stage1.model import Stage1Model, decode_everywhere
from sparsevq.stage2.dump import load_tokenizer


@dataclass(frozen=True)
class ForecastModel:
    """The encoders, the tokenizer and the GPT of one run; `parameters`: those of a trajectory that they take."""

    sparse: Stage1Model
    teacher: Stage1Model
    tokenizer: LatentTokenizer
    gpt: GPT
    parameters: tuple[str, ...] = ()

    def generate(
        self, prompt: Tensor, frames: int, members: int, *, temperature: float, top_k: int, seed: int
    ) -> Tensor:
        """Prompts (b, P, Q) -> an ensemble of code indices (b, members, frames, P, Q)."""
        generator = torch.Generator(device=prompt.device).manual_seed(seed)
        drawn = self.gpt.generate(
            members_of(prompt, members), frames, temperature=temperature, top_k=top_k, generator=generator
        )
        return drawn.unflatten(0, (len(prompt), members))

    def decode(self, indices: Tensor, fields: DeviceFields) -> Tensor:
        """Code indices (..., P, Q) -> fields in physical units (..., N, C), float32."""
        return fields.physical(self.decode_normalised(indices))

    def decode_normalised(self, indices: Tensor) -> Tensor:
        """Code indices (..., P, Q) -> normalised fields (..., N, C), float32."""
        flat = indices.flatten(0, -3)
        parts = [decode_everywhere(self.teacher, self.tokenizer.detokenize(part)) for part in flat.split(512)]
        return torch.cat(parts).unflatten(0, indices.shape[:-2])


def doubt_about_members(tokens: Tensor, temperature: float, top_k: int) -> str | None:
    """What to say if the members that were drawn (b, members, frames, P, Q) end alike in most of the forecasts."""
    forecasts, members = tokens.shape[:2]
    if members == 1 or temperature == 0 or top_k == 1:
        return None
    ends = tokens[:, :, -1].flatten(2)
    alike = int((ends == ends[:, :1]).flatten(1).all(1).sum())
    if 2 * alike <= forecasts:
        return None
    where = f"in {alike} of {forecasts} forecasts all" if forecasts > 1 else "all"
    return (
        f"{where} {members} members have the same codes at the last lead time, so that their spread says nothing: see "
        "how many codes are in use (history.csv of the tokenizer), else raise the temperature"
    )


def load_forecast_model(run: Run, device: torch.device) -> ForecastModel:
    """Load all stages of a run.

    Raises
    ------
    SparseVQError
        A file is missing or damaged, or one of them was not made from the others.
    """
    sparse, teacher = load_encoders(run, device)
    tokenizer = load_tokenizer(run, teacher, device)
    file = run.model("gpt")
    config = GPTConfig(**file.shape)
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
    return ForecastModel(sparse, teacher, tokenizer, gpt.to(device).eval().requires_grad_(False), sparse.parameters)
