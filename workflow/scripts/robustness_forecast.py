"""data.h5, basis.h5, sensors.h5, models, calibration -> robustness_forecast.csv: forecasts in other conditions."""

from pathlib import Path

from sparsevq.config import EvaluationConfig, ForecastConfig, RobustnessConfig, Symmetries
from sparsevq.runtime.job import job

with job(snakemake) as work:
    from sparsevq.config import number_and_placement
    from sparsevq.evaluation.robustness.forecasts import robustness_of_forecasts
    from sparsevq.evaluation.table_files import identity_of, write_csv
    from sparsevq.runs.data_sets import data_sets
    from sparsevq.runs.run import Run

    run, which, given = Run.of(snakemake.input.items()), snakemake.wildcards, snakemake.params
    work.tracker.log_data_sets(data_sets(run.domain, run.file("data"), "test"))
    table = robustness_of_forecasts(
        run,
        RobustnessConfig(**given.robustness),
        forecast=ForecastConfig(**given.forecast),
        evaluation=EvaluationConfig(**given.evaluation),
        trained=given.trained,
        symmetries=Symmetries(**given.symmetries),
        seed=int(which.seed),
        fabric=work.fabric(work.config.stage3.precision),
        models={Path(path).parent.name: Path(path) for path in snakemake.input.networks},
    )
    identity = identity_of(which.data_set, *number_and_placement(which.num_sensors), int(which.seed))
    write_csv(snakemake.output.robustness, identity.merge(table, how="cross"))
    work.tracker.log_artifact(snakemake.output.robustness)
