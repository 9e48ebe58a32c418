"""codes.h5 -> the Transformer without codes: model.safetensors, history.csv, cost.json."""

from pathlib import Path

from sparsevq.config import Stage3Config
from sparsevq.runtime.job import job

with job(snakemake, part=snakemake.wildcards.network) as work:
    from sparsevq.baselines.cost import Cost, write_cost
    from sparsevq.baselines.networks.continuous_stage import ContinuousStage
    from sparsevq.runs.data_sets import code_sets
    from sparsevq.runs.run import Run
    from sparsevq.training.stage import train

    settings = Stage3Config(**snakemake.params.stage3)
    fabric, seed = work.fabric(settings.precision), int(snakemake.wildcards.seed)
    run = Run.of(snakemake.input.items())
    work.tracker.log_data_sets(code_sets(run.file("codes"), snakemake.wildcards.data_set), of_parent=False)
    whole_frames = snakemake.wildcards.network == "continuous_frames"
    stage = ContinuousStage(run, settings, seed=seed, fabric=fabric, whole_frames=whole_frames)
    model = Path(snakemake.output.model)
    train(stage, model.parent, tracker=work.tracker, checkpoints=work.checkpoints(model))
    cost = Cost(stage.parameters_count(), stage.seconds, stage.steps, str(fabric.device))
    if fabric.is_global_zero:
        write_cost(Path(snakemake.output.cost), cost)
    work.tracker.log_params({"parameters": cost.parameters, "steps": cost.steps})
    work.tracker.log_metrics({"training_seconds": cost.seconds}, cost.steps)
    work.tracker.log_artifact(snakemake.output.history)
