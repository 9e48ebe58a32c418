"""All shards of a data set -> data.h5."""

from pathlib import Path

from sparsevq.config import PreprocessConfig
from sparsevq.training.job import job

with job(snakemake, concludes=True):
    from sparsevq.data.preprocess import preprocess

    preprocess(
        [Path(shard) for shard in snakemake.input.shards],
        Path(snakemake.output.data),
        snakemake.wildcards.data_set,
        PreprocessConfig(**snakemake.params.preprocess),
    )
