"""data.h5, sensors.h5, all models, codes.h5 -> forecast.h5: forecasts of the held-out trajectories."""

from pathlib import Path

from sparsevq.config import ForecastConfig
from sparsevq.runtime.job import job

with job(snakemake) as work:
    from sparsevq.forecasting.held_out import forecast_held_out
    from sparsevq.runs.data_sets import data_sets
    from sparsevq.runs.run import Run

    run, split = Run.of(snakemake.input.items()), snakemake.params.split
    work.tracker.log_data_sets(data_sets(run.domain, run.file("data"), split))
    forecast_held_out(
        run,
        Path(snakemake.output.forecast),
        settings=ForecastConfig(**snakemake.params.forecast),
        seed=int(snakemake.wildcards.seed),
        fabric=work.fabric(work.config.stage3.precision),
        split=split,
    )
