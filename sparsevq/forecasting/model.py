"""All trained stages together: tokens of an observed frame -> an ensemble of fields."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from sparsevq.data.device_fields import DeviceFields
from sparsevq.data.field_data import FieldData
from sparsevq.errors import SparseVQError
from sparsevq.models.gpt import GPT, GPTShape, members_of
from sparsevq.models.tokenizer import LatentTokenizer
from sparsevq.runtime.files import digest
from sparsevq.runtime.integrity import require_made_from
from sparsevq.runtime.model_file import load_model
from sparsevq.sensors.placement import SensorSets
from sparsevq.stage1.encoding import Stage1Model, decode_everywhere, load_stage1
from sparsevq.stage2.dump import load_tokenizer
from sparsevq.stage3.codes import Codes


@dataclass(frozen=True)
class ForecastModel:
    """The encoders, the tokenizer and the GPT of one run."""

    sparse: Stage1Model
    teacher: Stage1Model
    tokenizer: LatentTokenizer
    gpt: GPT

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


def load_forecast_model(
    data: FieldData,
    sensors: SensorSets,
    *,
    sparse_model: Path,
    semi_sparse_model: Path,
    tokenizer_model: Path,
    gpt_model: Path,
    device: torch.device,
    codes: Codes | None = None,
) -> ForecastModel:
    """Load all stages of a run.

    Parameters
    ----------
    codes
        The index dump whose codes are to be forecast from; None: there are only readings.

    Raises
    ------
    SparseVQError
        A file is missing or damaged, or one of them was not made from the others.
    """
    sparse = load_stage1(sparse_model, "sparse", data, sensors, device)
    teacher = load_stage1(semi_sparse_model, "semi_sparse", data, sensors, device)
    tokenizer = load_tokenizer(tokenizer_model, teacher, device, sparse)
    file = load_model(gpt_model, "gpt")
    given = {"tokenizer": digest(tokenizer_model), "codes": codes.digest if codes else ""}
    require_made_from(gpt_model, file.made_from, given, "gpt")
    shape = GPTShape(**file.shape)
    codebook = tokenizer.quantizer.codebook()
    if codebook.shape != (shape.num_quantizers, shape.num_vq_embeddings, shape.vq_embedding_dim):
        raise SparseVQError(
            f"{gpt_model} was trained on a codebook of another shape than the one in {tokenizer_model}",
            "use the tokenizer whose index dump it was trained on, or train it again",
        )
    gpt = GPT(shape, codebook)
    trained_on = file.weights["codebook"]
    if not torch.allclose(gpt.codebook.cpu(), trained_on.cpu(), rtol=1e-4, atol=1e-5):
        raise SparseVQError(
            f"{gpt_model} was trained on another codebook than the one in {tokenizer_model}",
            "dump the indices again and train it again",
        )
    file.restore(gpt)
    return ForecastModel(sparse, teacher, tokenizer, gpt.to(device).eval().requires_grad_(False))
