"""data.h5, basis.h5, sensors.h5, the sparse encoder -> robustness.csv: its errors with other sensors and noise."""

from sparsevq.runtime.job import job

with job(snakemake) as work:
    import pandas as pd

    from sparsevq.evaluation.table_files import write_csv
    from sparsevq.forecasting.robustness import robustness
    from sparsevq.runs.data_sets import data_sets
    from sparsevq.runs.run import Run

    run, which = Run.of(snakemake.input.items()), snakemake.wildcards
    work.tracker.log_data_sets(data_sets(run.domain, run.file("data"), "test"))
    table = robustness(run, seed=int(which.seed), fabric=work.fabric(work.config.stage1.precision))
    identity = {"data_set": which.data_set, "num_sensors": int(which.num_sensors), "seed": int(which.seed)}
    write_csv(snakemake.output.robustness, pd.DataFrame([identity]).merge(table, how="cross"))
    work.tracker.log_artifact(snakemake.output.robustness)
