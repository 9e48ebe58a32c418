"""data.h5, sensors.h5, both encoders -> the tokenizer: model.safetensors, history.csv."""

from pathlib import Path

from sparsevq.config import Stage2Config
from sparsevq.runtime.job import job

with job(snakemake) as work:
    from sparsevq.stage2.train import train_tokenizer

    settings = Stage2Config(**snakemake.params.stage2)
    train_tokenizer(
        Path(snakemake.input.data),
        Path(snakemake.input.sensors),
        Path(snakemake.input.sparse),
        Path(snakemake.input.semi_sparse),
        Path(snakemake.output.model).parent,
        settings=settings,
        seed=int(snakemake.wildcards.seed),
        fabric=work.fabric(settings.precision),
        tracker=work.tracker,
        checkpoints=work.checkpoints(Path(snakemake.output.model)),
    )
    work.tracker.log_artifact(snakemake.output.history)
