"""data.h5, basis.h5, sensors.h5, forecast.h5, trained baselines -> baselines.h5: the same cases; costs.csv."""

from pathlib import Path

from sparsevq.config import EvaluationConfig, Symmetries
from sparsevq.runtime.job import job

with job(snakemake) as work:
    from sparsevq.baselines.registry import run_baselines
    from sparsevq.config import number_and_placement, variant_of
    from sparsevq.evaluation.costs import cost_of_parts, write_costs
    from sparsevq.evaluation.table_files import identity_of
    from sparsevq.runs.data_sets import data_sets
    from sparsevq.runs.run import Run

    run = Run.of(snakemake.input.items())
    work.tracker.log_data_sets(data_sets(run.domain, run.file("data"), "train", "val"))
    models = {Path(path).parent.name: Path(path) for path in snakemake.input.networks}
    costs = run_baselines(
        run,
        Path(snakemake.output.baselines),
        EvaluationConfig(**snakemake.params.evaluation),
        Symmetries(**snakemake.params.symmetries),
        seed=int(snakemake.wildcards.seed),
        models=models,
        device=work.fabric("32-true").device if models else "cpu",
    )
    which, split = snakemake.wildcards, snakemake.params.split
    data_set = which.data_set if split == "test" else f"{which.data_set}-{split}"
    sensors = number_and_placement(which.num_sensors)
    identity = identity_of(data_set, *sensors, int(which.seed), variant_of(which.num_sensors))
    ours = {"sparsevq": cost_of_parts([Path(path) for path in snakemake.input.parts])}
    write_costs(Path(snakemake.output.costs), identity, ours | costs)
