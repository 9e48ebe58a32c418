"""`sparsevq train --test True`: score a trained stage on the test split, without training."""

from argparse import Namespace
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch

from sparsevq.cli.runs import find_run
from sparsevq.config import Stage3Config, Symmetries, parse
from sparsevq.data.device_fields import DeviceFields
from sparsevq.errors import SparseVQError
from sparsevq.models.gpt import GPT, GPTConfig
from sparsevq.runs.run import Run
from sparsevq.runtime.devices.device import Precision
from sparsevq.stage1.encoding import Role, decode_everywhere, encode_views, load_encoders, load_stage1
from sparsevq.stage2.dump import load_tokenizer
from sparsevq.stage3.train import Sequences, cross_entropy
from sparsevq.training.fields import reconstruction_metrics, validation_views

if TYPE_CHECKING:
    from lightning_fabric import Fabric

Scores = dict[str, float]


def score(args: Namespace, fabric_of: Callable[[Precision], "Fabric"]) -> Scores:
    """Scores of the stage `args.training_stage` of the run `args.model_name`.

    Stage 1: reconstruction of frames from the run's sensors. Stage 2: the same through the codes, and beside it without
    them and by the teacher. Stage 3: cross-entropy of the codes to forecast, in nats a code.

    Raises
    ------
    SparseVQError
        The run is missing or has not trained that stage, or its data set has no test split.
    """
    run = find_run(args.model_name, "model_name", args.runs)
    role: Role = "semi_sparse" if args.semi_sparse or "sparse" not in run.parts else "sparse"
    if args.training_stage == "stage1":
        run.needs(role)
    elif args.training_stage == "stage2":
        run.needs("sparse", "semi_sparse", "tokenizer")
    else:
        run.needs("gpt", "codes")
    if args.training_stage != "stage3" and not len(run.data.trajectories("test")):
        raise SparseVQError(f"{run.file('data')} has no test split", "mark trajectories as `test` in split")
    fabric = fabric_of("auto")
    with torch.no_grad(), fabric.autocast():
        if args.training_stage == "stage1":
            return _reconstruction(run, role, fabric)
        if args.training_stage == "stage2":
            return _through_codes(run, fabric)
        return _cross_entropy(run, fabric)


def _reconstruction(run: Run, role: Role, fabric: "Fabric") -> Scores:
    model, data = load_stage1(run, role, fabric.device), run.data
    fields = DeviceFields(data, Symmetries(), fabric.device)
    views = validation_views(data, fields, "test")
    found = reconstruction_metrics(fields, views, decode_everywhere(model, encode_views(model, fields, views)))
    return _renamed(found, "test_")


def _through_codes(run: Run, fabric: "Fabric") -> Scores:
    fields = DeviceFields(run.data, Symmetries(), fabric.device)
    views = validation_views(run.data, fields, "test")
    sparse, teacher = load_encoders(run, fabric.device)
    tokenizer = load_tokenizer(run, teacher, fabric.device)
    latents = encode_views(sparse, fields, views)
    complete = encode_views(teacher, fields, views)
    fields_by = {
        "test_": decode_everywhere(teacher, tokenizer.detokenize(tokenizer.tokenize(latents))),
        "test_unquantized_": decode_everywhere(sparse, latents),
        "test_teacher_": decode_everywhere(teacher, complete),
    }
    scores: Scores = {}
    for prefix, guess in fields_by.items():
        scores |= _renamed(reconstruction_metrics(fields, views, guess), prefix)
    return scores


def _cross_entropy(run: Run, fabric: "Fabric") -> Scores:
    codes, file = run.codes(fabric.device), run.model("gpt")
    sequences = Sequences(codes, parse(Stage3Config, file.settings, str(file.path)))
    gpt = GPT(GPTConfig(**file.shape), codes.codebook)
    file.restore(gpt)
    gpt = gpt.to(fabric.device).eval()
    return {"test_cross_entropy": cross_entropy(gpt, sequences.held_out("test"), 8)}


def _renamed(metrics: dict[str, float], prefix: str) -> Scores:
    return {prefix + name.removeprefix("val_"): value for name, value in metrics.items()}
