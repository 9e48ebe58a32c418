"""A simulation's shards, or files of the user's -> data.h5."""

from pathlib import Path

from sparsevq.config import FileConfig, PreprocessConfig
from sparsevq.runtime.job import job

# The data set is complete after it, even if it is the only target; `describe_data` opens its run once more.
with job(snakemake, concludes=True) as work:
    from sparsevq.data.preprocess import preprocess
    from sparsevq.readers.files import open_files
    from sparsevq.readers.shards import open_shards

    name = snakemake.wildcards.data_set
    data_set = work.config.data_set(name)
    if isinstance(data_set, FileConfig):
        source = open_files(data_set, name)
        # Before hours of training, not after them.
        work.config.require_frames(name, -(-len(source.time) // work.config.preprocess.time_sub))
    else:
        source = open_shards([Path(shard) for shard in snakemake.input.shards], name)
    settings = PreprocessConfig(**snakemake.params.preprocess)
    preprocess(source, Path(snakemake.output.data), name, data_set, settings)
