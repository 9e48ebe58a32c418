"""Models, data set, basis, sensors, calibration, scores.csv -> model/: the packed run as an MLflow model."""

from pathlib import Path

from sparsevq.runtime.job import job

with job(snakemake, concludes=True) as work:
    from sparsevq.config import number_and_placement
    from sparsevq.runs.run import Run
    from sparsevq.serving.entry import Which, entry_of, metrics_of
    from sparsevq.serving.model import write_model

    run, out, wildcards = Run(Path(snakemake.input.sensors).parent), Path(snakemake.output.model), snakemake.wildcards
    sensors, placement = number_and_placement(wildcards.num_sensors)
    which = Which(work.config.experiment, wildcards.data_set, sensors, int(wildcards.seed), placement)
    metrics = metrics_of(Path(snakemake.input.scores))
    write_model(run, out, {"experiment": which.experiment, "num_sensors": which.num_sensors, "seed": which.seed})
    if work.config.tracking.register_models:
        work.tracker.log_model(out, entry_of(out, which, run.domain, metrics))
