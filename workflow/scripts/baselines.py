"""data.h5, sensors.h5, forecast.h5 -> baselines.h5: the same cases, forecast by the baselines."""

from pathlib import Path

from sparsevq.config import EvaluationConfig, Symmetries
from sparsevq.runtime.job import job

with job(snakemake):
    from sparsevq.data.layout import read_data
    from sparsevq.evaluation.baselines.registry import run_baselines
    from sparsevq.sensors.placement import read_sensors

    inputs = {name: Path(path) for name, path in snakemake.input.items()}
    data = read_data(inputs["data"])
    run_baselines(
        data,
        read_sensors(inputs["sensors"], data),
        inputs["forecast"],
        Path(snakemake.output.baselines),
        EvaluationConfig(**snakemake.params.evaluation),
        made_from=inputs,
        symmetries=Symmetries(**snakemake.params.symmetries),
        seed=int(snakemake.wildcards.seed),
    )
