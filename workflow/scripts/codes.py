"""data.h5, sensors.h5, encoders, tokenizer -> codes.h5: the code indices of every frame."""

from pathlib import Path

from sparsevq.runtime.job import job

with job(snakemake) as work:
    from sparsevq.runs.run import Run
    from sparsevq.stage2.dump import dump_indices

    fabric, seed = work.fabric(work.config.stage2.precision), int(snakemake.wildcards.seed)
    dump_indices(Run.of(snakemake.input.items()), Path(snakemake.output.codes), seed=seed, fabric=fabric)
