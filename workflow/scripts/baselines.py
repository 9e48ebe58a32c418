"""data.h5, basis.h5, sensors.h5, forecast.h5 -> baselines.h5: the same cases, forecast by the baselines."""

from pathlib import Path

from sparsevq.config import EvaluationConfig, Symmetries
from sparsevq.runtime.job import job

with job(snakemake):
    from sparsevq.evaluation.baselines.registry import run_baselines
    from sparsevq.runs.run import Run

    run_baselines(
        Run.of(snakemake.input.items()),
        Path(snakemake.output.baselines),
        EvaluationConfig(**snakemake.params.evaluation),
        Symmetries(**snakemake.params.symmetries),
        seed=int(snakemake.wildcards.seed),
    )
