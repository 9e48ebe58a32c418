"""data.h5, sensors.h5, both encoders -> the tokenizer: model.safetensors, history.csv."""

from pathlib import Path

from sparsevq.config import Stage2Config
from sparsevq.runtime.job import job

with job(snakemake) as work:
    from sparsevq.runs.data_sets import data_sets
    from sparsevq.runs.run import Run
    from sparsevq.stage2.train import TokenizerStage
    from sparsevq.training.stage import train

    settings = Stage2Config(**snakemake.params.stage2)
    fabric, seed = work.fabric(settings.precision), int(snakemake.wildcards.seed)
    run = Run.of(snakemake.input.items())
    stage = TokenizerStage(run, settings, seed=seed, fabric=fabric)
    work.tracker.log_data_sets(data_sets(run.domain, run.file("data"), "train", "val"))
    model = Path(snakemake.output.model)
    train(stage, model.parent, tracker=work.tracker, checkpoints=work.checkpoints(model))
    work.tracker.log_artifact(snakemake.output.history)
