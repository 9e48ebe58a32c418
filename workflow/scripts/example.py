"""data.h5, sensors.h5, cases.csv -> readings_example.csv and .json: the sensors' readings of a test trajectory."""

from pathlib import Path

from sparsevq.runtime.job import job

with job(snakemake, concludes=True) as work:
    import pandas as pd

    from sparsevq.evaluation.median import median_case
    from sparsevq.runs.run import Run
    from sparsevq.sensors.example import write_example

    run, cases = Run.of(snakemake.input.items()), pd.read_csv(snakemake.input.cases)
    case = cases[cases["case"] == median_case(cases)].iloc[0]
    observed, chosen = snakemake.params.observed_frames, "the test trajectory with the median error, as in the figures"
    write_example(
        Path(snakemake.output.readings),
        run.data,
        run.sensors,
        int(case["trajectory"]),
        int(case["start_frame"]),
        observed,
        chosen,
    )
    work.tracker.conclude({}, files=[snakemake.output.readings], folder="result")
