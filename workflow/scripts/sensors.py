"""data.h5 -> sensors.h5, and the same as sensors.csv."""

from pathlib import Path

from sparsevq.config import SensorsConfig
from sparsevq.runtime.job import job

with job(snakemake) as work:
    from sparsevq.data.layout import read_data
    from sparsevq.sensors.placement import place_sensors, write_sensors

    data = Path(snakemake.input.data)
    inputs = {name: Path(path) for name, path in snakemake.input.items() if path}  # without a CSV, it is an empty list
    sets = place_sensors(
        read_data(data),
        SensorsConfig(**snakemake.params.sensors),
        int(snakemake.wildcards.num_sensors),
        int(snakemake.wildcards.seed),
    )
    write_sensors(snakemake.output.sensors, sets, made_from=inputs)
    work.tracker.log_artifact(snakemake.output.csv)
