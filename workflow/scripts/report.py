"""tables/, figures/ of all runs and data sets -> report.html."""

from pathlib import Path

from sparsevq.runtime.job import job

with job(snakemake) as work:
    from sparsevq.report.page import write_report

    runs = [Path(path).parent for path in snakemake.input.scores]
    data_sets = list(dict.fromkeys(Path(path).parent for path in snakemake.input.data_sets if path.endswith(".csv")))
    pages = [Path(path) for path in snakemake.input.pages]
    write_report(Path(snakemake.output.report), work.config.experiment, runs, data_sets, snakemake.config, pages)
    work.tracker.conclude({}, files=[snakemake.output.report])
