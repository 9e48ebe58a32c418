"""codes.h5 -> the GPT: model.safetensors, history.csv."""

from pathlib import Path

from sparsevq.config import Stage3Config
from sparsevq.runtime.job import job

with job(snakemake) as work:
    from sparsevq.runs.data_sets import code_sets
    from sparsevq.runs.run import Run
    from sparsevq.stage3.train import GPTStage
    from sparsevq.training.stage import train

    settings = Stage3Config(**snakemake.params.stage3)
    fabric, seed = work.fabric(settings.precision), int(snakemake.wildcards.seed)
    run = Run.of(snakemake.input.items())
    work.tracker.log_data_sets(code_sets(run.file("codes"), snakemake.wildcards.data_set), of_parent=False)
    stage = GPTStage(run, settings, seed=seed, fabric=fabric)
    model = Path(snakemake.output.model)
    train(stage, model.parent, tracker=work.tracker, checkpoints=work.checkpoints(model))
    work.tracker.log_artifact(snakemake.output.history)
