"""data.h5 (and basis.h5) -> sensors.h5, and the same as sensors.csv."""

from pathlib import Path

from sparsevq.config import SensorsConfig, number_and_placement
from sparsevq.runtime.job import job

with job(snakemake) as work:
    from sparsevq.runs.run import Run
    from sparsevq.sensors.placement import place_sensors, write_sensors

    run = Run.of(snakemake.input.items())
    inputs = {name: Path(path) for name, path in snakemake.input.items() if path}  # what is not needed is an empty list
    sets = place_sensors(
        run.data,
        SensorsConfig(**snakemake.params.sensors),
        number_and_placement(snakemake.wildcards.num_sensors)[0],
        int(snakemake.wildcards.seed),
        run.basis if run.has("basis") else None,
        snakemake.params.noise or 0.0,
    )
    write_sensors(snakemake.output.sensors, sets, made_from=inputs)
    work.tracker.log_artifact(snakemake.output.csv)
