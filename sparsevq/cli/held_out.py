"""`sparsevq train --test True`: score a trained stage on the test split, without training."""

from argparse import Namespace
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch

from sparsevq.cli.runs import find_run
from sparsevq.config import Stage3Config, Symmetries, parse
from sparsevq.data.device_fields import DeviceFields
from sparsevq.data.field_data import FieldData
from sparsevq.data.layout import read_data
from sparsevq.errors import SparseVQError
from sparsevq.forecasting.run_folder import RunFolder
from sparsevq.models.gpt import GPT, GPTShape
from sparsevq.runtime.devices.device import Precision
from sparsevq.runtime.integrity import require_made_from
from sparsevq.runtime.model_file import load_model
from sparsevq.sensors.placement import SensorSets, read_sensors
from sparsevq.stage1.encoding import Role, Stage1Model, decode_everywhere, encode_views, load_stage1
from sparsevq.stage1.train import reconstruction_metrics, validation_views
from sparsevq.stage2.dump import load_tokenizer
from sparsevq.stage3.codes import read_codes
from sparsevq.stage3.train import Sequences

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
        run.needs("gpt", "codes.h5")
    data = read_data(run.data)
    if not len(data.trajectories("test")):
        raise SparseVQError(f"{run.data} has no test split", "mark trajectories as `test` in split")
    fabric = fabric_of("auto")
    with torch.no_grad(), fabric.autocast():
        if args.training_stage == "stage1":
            return _reconstruction(run, role, data, read_sensors(run.sensors, data), fabric)
        if args.training_stage == "stage2":
            return _through_codes(run, data, read_sensors(run.sensors, data), fabric)
        return _cross_entropy(run, fabric)


def _reconstruction(run: RunFolder, role: Role, data: FieldData, sensors: SensorSets, fabric: "Fabric") -> Scores:
    model = load_stage1(run.model(role), role, data, sensors, fabric.device)
    fields = DeviceFields(data, Symmetries(), fabric.device)
    views = validation_views(data, fields, "test")
    found = reconstruction_metrics(fields, views, decode_everywhere(model, encode_views(model, fields, views)))
    return _renamed(found, "test_")


def _through_codes(run: RunFolder, data: FieldData, sensors: SensorSets, fabric: "Fabric") -> Scores:
    fields = DeviceFields(data, Symmetries(), fabric.device)
    views = validation_views(data, fields, "test")

    def encoder(role: Role) -> Stage1Model:
        return load_stage1(run.model(role), role, data, sensors, fabric.device)

    sparse, teacher = encoder("sparse"), encoder("semi_sparse")
    tokenizer = load_tokenizer(run.model("tokenizer"), teacher, fabric.device, sparse)
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


def _cross_entropy(run: RunFolder, fabric: "Fabric") -> Scores:
    codes = read_codes(run.codes, fabric.device)
    file = load_model(run.model("gpt"), "gpt")
    require_made_from(file.path, file.made_from, {"codes": codes.digest}, "gpt")
    sequences = Sequences(codes, parse(Stage3Config, file.settings, str(file.path)))
    gpt = GPT(GPTShape(**file.shape), codes.codebook)
    file.restore(gpt)
    gpt = gpt.to(fabric.device).eval()
    held_out = sequences.held_out("test")
    parts = held_out.split(8)
    losses = torch.stack([gpt(part, part) for part in parts])
    weights = torch.tensor([len(part) for part in parts], device=fabric.device)
    return {"test_cross_entropy": float((losses * weights).sum() / weights.sum())}


def _renamed(metrics: dict[str, float], prefix: str) -> Scores:
    return {prefix + name.removeprefix("val_"): value for name, value in metrics.items()}
