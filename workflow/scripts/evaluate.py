"""data.h5, sensors.h5, codes.h5, forecast.h5, baselines.h5, histories -> scores.csv and other tables, figures/."""

from pathlib import Path

from sparsevq.runtime.job import job

with job(snakemake, concludes=True) as work:
    import pandas as pd

    from sparsevq.data.layout import read_data
    from sparsevq.evaluation.figures.draw import draw_case_figures
    from sparsevq.evaluation.scores import score
    from sparsevq.sensors.placement import read_sensors

    data = read_data(Path(snakemake.input.data))
    sensors = read_sensors(snakemake.input.sensors, data)
    folder = Path(snakemake.output.scores).parent
    which, split = snakemake.wildcards, snakemake.params.split
    data_set = which.data_set if split == "test" else f"{which.data_set}-{split}"
    score(
        data,
        sensors,
        snakemake.input.forecast,
        snakemake.input.baselines,
        folder,
        data_set,
        int(which.num_sensors),
        int(which.seed),
        codes_path=snakemake.input.codes,
        split=split,
    )
    figures = draw_case_figures(
        data,
        sensors,
        snakemake.input.forecast,
        snakemake.input.baselines,
        snakemake.input.codes,
        {Path(path).parent.name: Path(path) for path in snakemake.input.histories},
        folder,
        Path(snakemake.output.strip).parent,
        split=split,
    )
    for path in (*figures, *folder.glob("*.csv")):
        work.tracker.log_artifact(path)
    scores = pd.read_csv(snakemake.output.scores).query("channel == 'all' and metric == 'relative_l2'")
    means = scores.groupby("method")["value"].mean()  # over lead times
    prefix = "" if split == "test" else f"{split}/"
    work.tracker.conclude({f"{prefix}relative_l2/{method}": value for method, value in means.items()})
