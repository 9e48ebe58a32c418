"""data.h5, basis.h5, sensors.h5, the sparse encoder -> robustness.csv: its errors with other sensors and noise."""

from sparsevq.runtime.job import job

with job(snakemake) as work:
    from sparsevq.config import number_and_placement
    from sparsevq.evaluation.table_files import identity_of, write_csv
    from sparsevq.forecasting.robustness import robustness
    from sparsevq.runs.data_sets import data_sets
    from sparsevq.runs.run import Run

    run, which = Run.of(snakemake.input.items()), snakemake.wildcards
    work.tracker.log_data_sets(data_sets(run.domain, run.file("data"), "test"))
    table = robustness(run, seed=int(which.seed), fabric=work.fabric(work.config.stage1.precision))
    identity = identity_of(which.data_set, *number_and_placement(which.num_sensors), int(which.seed))
    write_csv(snakemake.output.robustness, identity.merge(table, how="cross"))
    work.tracker.log_artifact(snakemake.output.robustness)
