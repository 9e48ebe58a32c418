"""data.h5, sensors.h5, encoders, tokenizer -> codes.h5: the code indices of every frame."""

from pathlib import Path

from sparsevq.runtime.job import job

with job(snakemake) as work:
    from sparsevq.stage2.dump import dump_indices

    dump_indices(
        Path(snakemake.input.data),
        Path(snakemake.input.sensors),
        Path(snakemake.input.sparse),
        Path(snakemake.input.semi_sparse),
        Path(snakemake.input.tokenizer),
        Path(snakemake.output.codes),
        seed=int(snakemake.wildcards.seed),
        fabric=work.fabric(work.config.stage2.precision),
    )
