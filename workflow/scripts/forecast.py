"""data.h5, sensors.h5, all models -> forecast.h5: forecasts of the held-out trajectories."""

from pathlib import Path

from sparsevq.config import ForecastConfig
from sparsevq.runtime.job import job

with job(snakemake) as work:
    from sparsevq.forecasting.held_out import forecast_held_out

    forecast_held_out(
        Path(snakemake.input.data),
        Path(snakemake.input.sensors),
        Path(snakemake.input.sparse),
        Path(snakemake.input.semi_sparse),
        Path(snakemake.input.tokenizer),
        Path(snakemake.input.gpt),
        Path(snakemake.input.codes),
        Path(snakemake.output.forecast),
        settings=ForecastConfig(**snakemake.params.forecast),
        seed=int(snakemake.wildcards.seed),
        fabric=work.fabric(work.config.stage3.precision),
        tracker=work.tracker,
        split=snakemake.params.split,
    )
