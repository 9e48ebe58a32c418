"""codes.h5 -> the GPT: model.safetensors, history.csv."""

from pathlib import Path

from sparsevq.config import Stage3Config
from sparsevq.runtime.job import job

with job(snakemake) as work:
    from sparsevq.stage3.train import train_gpt

    settings = Stage3Config(**snakemake.params.stage3)
    train_gpt(
        Path(snakemake.input.codes),
        Path(snakemake.output.model).parent,
        settings=settings,
        seed=int(snakemake.wildcards.seed),
        fabric=work.fabric(settings.precision),
        tracker=work.tracker,
        checkpoints=work.checkpoints(Path(snakemake.output.model)),
    )
    work.tracker.log_artifact(snakemake.output.history)
