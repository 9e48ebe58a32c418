"""data.h5, basis.h5, sensors.h5, forecast.h5, trained baselines -> baselines.h5: the same cases; costs.csv."""

from pathlib import Path

from sparsevq.config import EvaluationConfig, Symmetries
from sparsevq.runtime.job import job

with job(snakemake) as work:
    from sparsevq.baselines.registry import run_baselines
    from sparsevq.runs.data_sets import data_sets
    from sparsevq.runs.run import Run

    run = Run.of(snakemake.input.items())
    work.tracker.log_data_sets(data_sets(run.domain, run.file("data"), "train", "val"))
    models = {Path(path).parent.name: Path(path) for path in snakemake.input.networks}
    run_baselines(
        run,
        Path(snakemake.output.baselines),
        EvaluationConfig(**snakemake.params.evaluation),
        Symmetries(**snakemake.params.symmetries),
        seed=int(snakemake.wildcards.seed),
        models=models,
        device=work.fabric("32-true").device if models else "cpu",
        costs=Path(snakemake.output.costs),
    )
