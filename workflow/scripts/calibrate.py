"""data.h5, sensors.h5, all models, codes.h5 -> calibration.h5: temperature and spread of ensembles."""

from pathlib import Path

from sparsevq.config import ForecastConfig
from sparsevq.runtime.job import job

with job(snakemake) as work:
    from sparsevq.evaluation.calibration import calibrate
    from sparsevq.runs.data_sets import data_sets
    from sparsevq.runs.run import Run

    run = Run.of(snakemake.input.items())
    work.tracker.log_data_sets(data_sets(run.domain, run.file("data"), "val"))
    found = calibrate(
        run,
        Path(snakemake.output.calibration),
        settings=ForecastConfig(**snakemake.params.forecast),
        seed=int(snakemake.wildcards.seed),
        fabric=work.fabric(work.config.stage3.precision),
    )
    work.tracker.log_metrics(found, 0)
