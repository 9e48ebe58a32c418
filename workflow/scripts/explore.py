"""data.h5, basis.h5, sensors.h5, forecast.h5, tables -> explore.html: a page of a few forecasts, without a network."""

from pathlib import Path

from sparsevq.runtime.job import job

with job(snakemake, concludes=True) as work:
    from sparsevq.explore.page import write_page
    from sparsevq.explore.result import result_page
    from sparsevq.runs.run import Run

    page = Path(snakemake.output.page)
    write_page(page, result_page(Run.of(snakemake.input.items()), Path(snakemake.input.scores).parent))
    work.tracker.conclude({}, files=[page], folder=page.parent.name if page.parent.name == "ood" else "result")
