"""data.h5, sensors.h5 (and a model to start from) -> an encoder: model.safetensors, history.csv."""

from pathlib import Path

from sparsevq.config import Stage1Config
from sparsevq.runtime.job import job

with job(snakemake) as work:
    from sparsevq.stage1.train import train_encoder

    settings = Stage1Config(**snakemake.params.stage1)
    start_from = snakemake.input.get("start_from")
    train_encoder(
        Path(snakemake.input.data),
        Path(snakemake.input.sensors),
        Path(snakemake.output.model).parent,
        role=snakemake.rule,
        settings=settings,
        seed=int(snakemake.wildcards.seed),
        fabric=work.fabric(settings.precision),
        tracker=work.tracker,
        checkpoints=work.checkpoints(Path(snakemake.output.model)),
        start_from=Path(start_from) if start_from else None,
    )
    work.tracker.log_artifact(snakemake.output.history)
