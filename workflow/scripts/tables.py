"""The tables of all runs -> tables/ and figures/ over all seeds."""

from pathlib import Path

from sparsevq.runtime.job import job

with job(snakemake) as work:
    from sparsevq.evaluation.figures.draw import draw_summary_figures
    from sparsevq.evaluation.figures.robustness import draw_robustness
    from sparsevq.evaluation.tables import tabulate, tabulate_robustness
    from sparsevq.report.in_mlflow import shown_of_experiment

    kinds = ("scores", "cases", "chain", "calibration", "codebook", "robustness")
    folder = Path(snakemake.output.forecast).parent
    read = ([Path(path) for path in snakemake.input[kind]] for kind in kinds)
    tabulate(*read, folder, trained=snakemake.params.trained, costs=list(map(Path, snakemake.input.costs)))
    draw_summary_figures(snakemake.output.forecast, Path(snakemake.output.lead_time).parent)
    if snakemake.input.get("robustness_forecast"):
        paths = [Path(path) for path in snakemake.input.robustness_forecast]
        draw_robustness(tabulate_robustness(paths, folder), Path(snakemake.output.robustness_figure))
    for path in snakemake.output:
        work.tracker.log_artifact(path)
    told = shown_of_experiment(folder)
    work.tracker.describe_experiment(told)
    shown = [snakemake.output[name] for name in ("summary", "summary_markdown", "lead_time")]
    work.tracker.conclude({}, headline=told, files=shown)
