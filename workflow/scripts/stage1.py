"""data.h5, sensors.h5 (and a model to start from) -> an encoder: model.safetensors, history.csv."""

from pathlib import Path

from sparsevq.config import Stage1Config
from sparsevq.runtime.job import job

with job(snakemake) as work:
    from sparsevq.runs.data_sets import data_sets
    from sparsevq.runs.run import Run
    from sparsevq.stage1.fit import encoder_stage
    from sparsevq.training.stage import train

    settings = Stage1Config(**snakemake.params.stage1)
    start_from = snakemake.input.get("start_from")
    run = Run.of(snakemake.input.items())
    stage = encoder_stage(
        run,
        snakemake.rule,
        settings,
        seed=int(snakemake.wildcards.seed),
        fabric=work.fabric(settings.precision),
        start_from=Path(start_from) if start_from else None,
    )
    work.tracker.log_data_sets(data_sets(run.domain, run.file("data"), "train", "val"))
    model = Path(snakemake.output.model)
    train(stage, model.parent, tracker=work.tracker, checkpoints=work.checkpoints(model))
    work.tracker.log_artifact(snakemake.output.history)
