"""data.h5, basis.h5, sensors.h5, codes.h5, forecast.h5, baselines.h5, histories -> tables, figures/."""

from pathlib import Path
from tempfile import TemporaryDirectory

from sparsevq.runtime.job import job

with job(snakemake, concludes=True) as work:
    from sparsevq.config import number_and_placement, variant_of
    from sparsevq.evaluation.figures.draw import draw_case_figures
    from sparsevq.evaluation.scores import score
    from sparsevq.evaluation.table_files import identity_of
    from sparsevq.report.in_mlflow import shown_of_run, write_table
    from sparsevq.runs.data_sets import data_sets
    from sparsevq.runs.run import Run

    run, folder = Run.of(snakemake.input.items()), Path(snakemake.output.scores).parent
    which, split = snakemake.wildcards, snakemake.params.split
    data_set = which.data_set if split == "test" else f"{which.data_set}-{split}"
    sensors = number_and_placement(which.num_sensors)
    identity = identity_of(data_set, *sensors, int(which.seed), variant_of(which.num_sensors))
    score(run, folder, identity, split)
    histories = {Path(path).parent.name: Path(path) for path in snakemake.input.histories}
    figures = draw_case_figures(run, histories, folder, Path(snakemake.output.strip).parent, split)
    work.tracker.log_data_sets(data_sets(run.domain, run.file("data"), split))
    for path in folder.glob("*.csv"):
        work.tracker.log_artifact(path)
    shown = shown_of_run(folder, split)
    with TemporaryDirectory() as scratch:
        table = Path(scratch) / "summary.json"
        write_table(table, shown.table)
        work.tracker.conclude(
            shown.metrics,
            shown.curves,
            headline=shown.sentences,
            files=figures,
            tables=[table],
            folder="result" if split == "test" else split,
        )
