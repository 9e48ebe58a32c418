"""data.h5, basis.h5, sensors.h5, codes.h5, forecast.h5, baselines.h5, histories -> tables, figures/."""

from pathlib import Path

from sparsevq.runtime.job import job

with job(snakemake, concludes=True) as work:
    import pandas as pd

    from sparsevq.evaluation.figures.draw import draw_case_figures
    from sparsevq.evaluation.scores import score
    from sparsevq.runs.run import Run

    run, folder = Run.of(snakemake.input.items()), Path(snakemake.output.scores).parent
    which, split = snakemake.wildcards, snakemake.params.split
    data_set = which.data_set if split == "test" else f"{which.data_set}-{split}"
    score(run, folder, data_set, int(which.num_sensors), int(which.seed), split)
    histories = {Path(path).parent.name: Path(path) for path in snakemake.input.histories}
    figures = draw_case_figures(run, histories, folder, Path(snakemake.output.strip).parent, split)
    for path in (*figures, *folder.glob("*.csv")):
        work.tracker.log_artifact(path)
    scores = pd.read_csv(snakemake.output.scores).query(
        "channel == 'all' and metric == 'relative_l2' and lead_time > 0"
    )
    scores = scores[scores["observed_frames"] == scores["observed_frames"].min()]
    means = scores.groupby("method")["value"].mean()  # over lead times
    prefix = "" if split == "test" else f"{split}/"
    work.tracker.conclude({f"{prefix}relative_l2/{method}": value for method, value in means.items()})
