"""The tables of all runs -> tables/ and figures/ over all seeds."""

from pathlib import Path

from sparsevq.runtime.job import job

with job(snakemake) as work:
    from sparsevq.evaluation.figures.draw import draw_summary_figures
    from sparsevq.evaluation.tables import tabulate

    kinds = ("scores", "cases", "chain", "calibration", "codebook", "robustness")
    folder = Path(snakemake.output.forecast).parent
    tabulate(*([Path(path) for path in snakemake.input[kind]] for kind in kinds), folder)
    draw_summary_figures(snakemake.output.forecast, Path(snakemake.output.lead_time).parent)
    for path in snakemake.output:
        work.tracker.log_artifact(path)
