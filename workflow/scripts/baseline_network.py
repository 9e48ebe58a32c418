"""data.h5, basis.h5, sensors.h5 -> a trained baseline: model.safetensors, history.csv, cost.json."""

from pathlib import Path

from sparsevq.config import Symmetries
from sparsevq.runtime.job import job

with job(snakemake, part=snakemake.wildcards.network) as work:
    from sparsevq.baselines.cost import Cost, write_cost
    from sparsevq.baselines.networks.registry import settings_of
    from sparsevq.baselines.networks.stage import NetworkStage
    from sparsevq.runs.data_sets import data_sets
    from sparsevq.runs.run import Run
    from sparsevq.training.stage import train

    name = str(snakemake.wildcards.network)
    settings = settings_of(name, dict(snakemake.params.network))
    fabric = work.fabric(settings.precision)
    run = Run.of(snakemake.input.items())
    work.tracker.log_data_sets(data_sets(run.domain, run.file("data"), "train", "val"))
    stage = NetworkStage(
        run,
        name,
        settings,
        symmetries=Symmetries(**snakemake.params.symmetries),
        horizon=int(snakemake.params.horizon),
        seed=int(snakemake.wildcards.seed),
        fabric=fabric,
    )
    model = Path(snakemake.output.model)
    train(stage, model.parent, tracker=work.tracker, checkpoints=work.checkpoints(model))
    cost = Cost(stage.module.parameters_count(), stage.seconds, stage.steps, str(fabric.device))
    if fabric.is_global_zero:
        write_cost(Path(snakemake.output.cost), cost)
    work.tracker.log_params({"parameters": cost.parameters, "steps": cost.steps})
    work.tracker.log_metrics({"training_seconds": cost.seconds}, cost.steps)
    work.tracker.log_artifact(snakemake.output.history)
