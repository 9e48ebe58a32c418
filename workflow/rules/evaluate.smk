# Scores and figures of each seed, then tables and figures over all of them.

ONE_RUN = {"data set": "{data_set}", "sensors": "{num_sensors}", "seed": "{seed}"}


rule evaluate:
    input:
        data="<data>/data.h5",
        sensors="<run>/sensors.h5",
        codes="<run>/codes.h5",
        forecast="<run>/forecast.h5",
        baselines="<run>/baselines.h5",
        histories=expand(
            "<run>/{stage}/history.csv", stage=["semi_sparse", "sparse", "tokenizer", "gpt"], allow_missing=True
        ),
    output:
        scores="<run>/scores.csv",
        chain="<run>/chain.csv",
        calibration="<run>/calibration.csv",
        codebook="<run>/codebook.csv",
        cases="<run>/cases.csv",
        spectra_table="<run>/spectra.csv",
        strip=report(
            "<run>/figures/strip.png",
            caption="../report/strip.rst",
            category="Forecasts",
            labels={**ONE_RUN, "figure": "truth, forecast, error"},
        ),
        animation=report(
            "<run>/figures/animation.gif",
            caption="../report/animation.rst",
            category="Forecasts",
            labels={**ONE_RUN, "figure": "animation"},
        ),
        lead_time=report(
            "<run>/figures/lead_time.png",
            caption="../report/lead_time.rst",
            category="Forecasts",
            labels={**ONE_RUN, "figure": "error against lead time"},
        ),
        spectra=report(
            "<run>/figures/spectra.png",
            caption="../report/spectra.rst",
            category="Forecasts",
            labels={**ONE_RUN, "figure": "energy spectra"},
        ),
        calibration_figure=report(
            "<run>/figures/calibration.png",
            caption="../report/calibration.rst",
            category="Forecasts",
            labels={**ONE_RUN, "figure": "calibration of the ensemble"},
        ),
        chain_figure=report(
            "<run>/figures/chain.png",
            caption="../report/chain.rst",
            category="Where the error comes from",
            labels={**ONE_RUN, "figure": "chain of errors"},
        ),
        codebook_figure=report(
            "<run>/figures/codebook.png",
            caption="../report/codebook.rst",
            category="Where the error comes from",
            labels={**ONE_RUN, "figure": "use of the codebook"},
        ),
        training=report(
            "<run>/figures/training.png",
            caption="../report/training.rst",
            category="Training",
            labels={**ONE_RUN, "figure": "training curves"},
        ),
    log:
        "<run>/logs/evaluate.log",
    benchmark:
        "<run>/benchmarks/evaluate.tsv"
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        gpu=0,
        mem_mb=MEM_MB,
        runtime=60,
    params:
        version=VERSION,
    message:
        "{wildcards.data_set}, {wildcards.num_sensors} sensors, seed {wildcards.seed}: scores and figures"
    script:
        "../scripts/evaluate.py"


rule tables:
    input:
        scores=expand(rules.evaluate.output.scores, **SWEEP),
        chain=expand(rules.evaluate.output.chain, **SWEEP),
        calibration=expand(rules.evaluate.output.calibration, **SWEEP),
        codebook=expand(rules.evaluate.output.codebook, **SWEEP),
    output:
        forecast="<experiment>/tables/forecast.csv",
        summary=report(
            "<experiment>/tables/summary.csv",
            caption="../report/summary.rst",
            category="Tables",
            labels={"table": "forecast errors, mean and spread over seeds"},
        ),
        summary_markdown="<experiment>/tables/summary.md",
        summary_latex="<experiment>/tables/summary.tex",
        chain=report(
            "<experiment>/tables/chain.csv",
            caption="../report/chain.rst",
            category="Tables",
            labels={"table": "chain of errors"},
        ),
        chain_markdown="<experiment>/tables/chain.md",
        chain_latex="<experiment>/tables/chain.tex",
        calibration="<experiment>/tables/calibration.csv",
        codebook=report(
            "<experiment>/tables/codebook.csv",
            caption="../report/codebook.rst",
            category="Tables",
            labels={"table": "use of the codebook"},
        ),
        codebook_markdown="<experiment>/tables/codebook.md",
        lead_time=report(
            "<experiment>/figures/lead_time.png",
            caption="../report/lead_time.rst",
            category="Tables",
            labels={"table": "error against lead time, over seeds"},
        ),
    log:
        "<experiment>/logs/tables.log",
    benchmark:
        "<experiment>/benchmarks/tables.tsv"
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        gpu=0,
        mem_mb=4000,
        runtime=30,
    params:
        version=VERSION,
    message:
        "Tables and figures over all seeds of {CONFIG.experiment}"
    script:
        "../scripts/tables.py"
