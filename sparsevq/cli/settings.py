"""Settings of a stage: what the user gave, over what an earlier model has, over the paper's defaults."""

from argparse import Namespace
from pathlib import Path
from typing import Any

from sparsevq.cli.flags import PAPER, SECTIONS, SYMMETRIES
from sparsevq.config import Config, Stage1Config, Stage2Config, Stage3Config, Symmetries, parse
from sparsevq.errors import SparseVQError

ARCHITECTURE: dict[str, tuple[str, ...]] = {
    "stage1": (
        "space_bands",
        "enc_preproc_ch",
        "num_latents",
        "enc_num_latent_channels",
        "num_layers",
        "num_cross_attention_heads",
        "num_self_attention_heads",
        "num_self_attention_layers_per_block",
        "dec_preproc_ch",
        "dec_num_latent_channels",
        "mlp_ratio",
    ),
    "stage2": (
        "tokenizer",
        "tokens_per_frame",
        "quantizer",
        "num_quantizers",
        "num_vq_embeddings",
        "vq_embedding_dim",
        "num_hiddens",
    ),
    "stage3": (
        "prediction",
        "time_transformer_layers",
        "time_transformer_heads",
        "time_transformer_dim",
        "stage2_frames",
    ),
}
"""What a trained model's weights depend on."""


def stage1_settings(args: Namespace, loaded: dict[str, Any] | None, path: Path | None) -> Stage1Config:
    """Settings to train an encoder with; `loaded` are those of the model in `path` that it starts from."""
    values = _merged("stage1", args, loaded, path)
    values["symmetries"] = {name: getattr(args, name) for name in SYMMETRIES if hasattr(args, name)}
    return parse(Stage1Config, values, "stage 1")


def stage2_settings(
    args: Namespace, stage1: dict[str, Any], loaded: dict[str, Any] | None, path: Path | None
) -> Stage2Config:
    """Settings to train a tokenizer with, for latents by the encoder whose settings are `stage1`."""
    values = _merged("stage2", args, loaded, path)
    if values.get("tokenizer") == "conv" and "tokens_per_frame" not in values:
        values["tokens_per_frame"] = max(1, stage1["num_latents"] // 16)
    settings = parse(Stage2Config, values, "stage 2")
    # The whole configuration checks that the two stages fit each other.
    parse(Config, {"stage1": stage1, "stage2": settings.model_dump(mode="json")}, "stages 1 and 2")
    return settings


def stage3_settings(args: Namespace, loaded: dict[str, Any] | None, path: Path | None) -> Stage3Config:
    """Settings to train a GPT with."""
    return parse(Stage3Config, _merged("stage3", args, loaded, path), "stage 3")


def check_against(stage: str, args: Namespace, loaded: dict[str, Any], path: Path, but: tuple[str, ...] = ()) -> None:
    """Check that flags about an earlier stage say what its model is.

    Raises
    ------
    SparseVQError
        One contradicts; the message names it, the value given and the value in the model.
    """
    for name in ARCHITECTURE[stage]:
        if name not in but and hasattr(args, name) and getattr(args, name) != loaded[name]:
            raise contradiction(name, getattr(args, name), loaded[name], path)
    if stage == "stage1":
        saved = Symmetries.model_validate(loaded["symmetries"])
        for name in SYMMETRIES:
            if hasattr(args, name) and getattr(args, name) != getattr(saved, name):
                raise contradiction(name, getattr(args, name), getattr(saved, name), path)


def contradiction(name: str, given: Any, found: Any, path: Path) -> SparseVQError:
    """The error to raise when a flag and an earlier model say different things."""
    return SparseVQError(
        f"{name}={given} was given, but {path} has {name}={found}", "leave the flag out or name another run"
    )


def _merged(stage: str, args: Namespace, loaded: dict[str, Any] | None, path: Path | None) -> dict[str, Any]:
    values = dict(PAPER[stage])
    if loaded is not None and path is not None:
        for name in ARCHITECTURE[stage]:
            if hasattr(args, name) and getattr(args, name) != loaded[name]:
                raise contradiction(name, getattr(args, name), loaded[name], path)
        values |= {name: loaded[name] for name in ARCHITECTURE[stage]}
    return values | {name: getattr(args, name) for name in SECTIONS[stage].model_fields if hasattr(args, name)}
