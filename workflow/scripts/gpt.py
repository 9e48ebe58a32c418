"""codes.h5 -> the GPT: model.safetensors, history.csv."""

from pathlib import Path

from sparsevq.config import Stage3Config
from sparsevq.runtime.job import job

with job(snakemake) as work:
    from sparsevq.runs.run import Run
    from sparsevq.stage3.train import GPTStage
    from sparsevq.training.stage import train

    settings = Stage3Config(**snakemake.params.stage3)
    fabric, seed = work.fabric(settings.precision), int(snakemake.wildcards.seed)
    stage = GPTStage(Run.of(snakemake.input.items()), settings, seed=seed, fabric=fabric)
    model = Path(snakemake.output.model)
    train(stage, model.parent, tracker=work.tracker, checkpoints=work.checkpoints(model))
    work.tracker.log_artifact(snakemake.output.history)
