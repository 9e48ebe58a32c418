"""Scores of a trained model of a run on the test split, by the metrics of its validation."""

import torch

from sparsevq.config import Stage3Config, Symmetries, parse
from sparsevq.data.device_fields import DeviceFields, Views
from sparsevq.forecasting.model import gpt_config_of
from sparsevq.models.gpt import GPT
from sparsevq.runs.run import Part, Run
from sparsevq.runtime.devices.fabric import Fabric
from sparsevq.stage1.encoding import load_encoders, load_stage1
from sparsevq.stage1.model import Stage1Model, decode_everywhere, encode_views
from sparsevq.stage2.dump import load_tokenizer
from sparsevq.stage3.sequences import Sequences
from sparsevq.stage3.train import cross_entropy
from sparsevq.training.fields import reconstruction_metrics, validation_views

SEQUENCES_AT_ONCE = 8


@torch.no_grad()
def scores_on_test(run: Run, part: Part, fabric: Fabric) -> dict[str, float]:
    """Name -> score of a model.

    Of an encoder: reconstruction of frames from its sensors. Of the tokenizer: the same through the codes, without
    them, and by the teacher. Of the GPT: cross-entropy of the codes to forecast, in nats a code.

    Raises
    ------
    SparseVQError
        A file of the run is missing, damaged or doesn't fit the others, or its data set has no test split.
    """
    device = fabric.device
    with fabric.autocast():
        if part == "gpt":
            run.needs("gpt", "codes")
            codes, file = run.codes(device), run.model("gpt")
            gpt = GPT(gpt_config_of(file), codes.codebook)
            file.restore(gpt)
            settings = parse(Stage3Config, file.settings, str(file.path))
            sequences = Sequences(codes, settings).held_out("test", gpt.to(device).outlooks)
            return {"test_cross_entropy": cross_entropy(gpt.eval(), sequences, SEQUENCES_AT_ONCE)}
        run.needs(*(("sparse", "semi_sparse", "tokenizer") if part == "tokenizer" else (part,)))
        if part == "tokenizer":
            sparse, teacher = load_encoders(run, device)
            fields, views = _test_split(run, teacher)
            tokenizer = load_tokenizer(run, teacher, device)
            latents, complete = encode_views(sparse, fields, views), encode_views(teacher, fields, views)
            guesses = {
                "test_": decode_everywhere(teacher, tokenizer.detokenize(tokenizer.tokenize(latents))),
                "test_unquantized_": decode_everywhere(sparse, latents),
                "test_teacher_": decode_everywhere(teacher, complete),
            }
        else:
            model = load_stage1(run, part, device)
            fields, views = _test_split(run, model)
            guesses = {"test_": decode_everywhere(model, encode_views(model, fields, views))}
        return {
            prefix + name.removeprefix("val_"): value
            for prefix, guess in guesses.items()
            for name, value in reconstruction_metrics(fields, views, guess).items()
        }


def _test_split(run: Run, model: Stage1Model) -> tuple[DeviceFields, Views]:
    """Frames of the test split, normalised as the model needs them."""
    fields = DeviceFields(run.data, Symmetries(), model.device, model.basis)
    return fields, validation_views(run.data, fields, "test")
