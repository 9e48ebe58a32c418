"""Tables and models of runs and variants -> tables/ablations: what each change costs or gains."""

from pathlib import Path

from sparsevq.runtime.job import job

with job(snakemake) as work:
    from sparsevq.evaluation.ablations import EvaluatedRun, tabulate_ablations
    from sparsevq.runs.run import PARTS

    tables = zip(*(snakemake.input[name] for name in EvaluatedRun.TABLES), strict=True)
    models = zip(*(snakemake.input[part] for part in PARTS), strict=True)
    runs = [
        EvaluatedRun(
            dict(zip(EvaluatedRun.TABLES, map(Path, of_tables), strict=True)),
            dict(zip(PARTS, map(Path, of_models), strict=True)),
        )
        for of_tables, of_models in zip(tables, models, strict=True)
    ]
    tabulate_ablations(runs, Path(snakemake.output.ablations).parent)
    for path in snakemake.output:
        work.tracker.log_artifact(path)
    work.tracker.conclude({}, files=[snakemake.output.ablations, snakemake.output.markdown])
