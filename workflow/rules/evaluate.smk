# Scores and figures of each seed, then tables and figures over all of them.


FIGURES = (
    "strip",
    "animation",
    "lead_time",
    "spectra",
    "calibration_figure",
    "chain_figure",
    "codebook_figure",
    "training",
)


rule evaluate:
    input:
        data="<data>/data.h5",
        basis="<data>/basis.h5",
        sensors=of_run("sensors.h5"),
        codes=of_run("codes.h5"),
        forecast="<held_out>/forecast.h5",
        baselines="<held_out>/baselines.h5",
        histories=of_run(*(f"{stage}/history.csv" for stage in ("semi_sparse", "sparse", "tokenizer", "gpt"))),
    output:
        scores="<held_out>/scores.csv",
        chain="<held_out>/chain.csv",
        calibration="<held_out>/calibration.csv",
        codebook="<held_out>/codebook.csv",
        cases="<held_out>/cases.csv",
        spectra_table="<held_out>/spectra.csv",
        strip="<held_out>/figures/strip.png",
        animation="<held_out>/figures/animation.gif",
        lead_time="<held_out>/figures/lead_time.png",
        spectra="<held_out>/figures/spectra.png",
        calibration_figure="<held_out>/figures/calibration.png",
        chain_figure="<held_out>/figures/chain.png",
        codebook_figure="<held_out>/figures/codebook.png",
        training="<held_out>/figures/training.png",
    log:
        "<run>/logs/evaluate.log",
    benchmark:
        "<run>/benchmarks/evaluate.tsv"
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        gpu=0,
        mem_mb=scaled(MEM_MB),
        runtime=scaled(60),
    params:
        split="test",
        version=VERSION,
    message:
        "{wildcards.data_set}, {wildcards.num_sensors} sensors, seed {wildcards.seed}: scores and figures"
    script:
        "../scripts/evaluate.py"


use rule evaluate as evaluate_ood with:
    log:
        "<run>/logs/evaluate_ood.log",
    benchmark:
        "<run>/benchmarks/evaluate_ood.tsv"
    pathvars:
        held_out="<run>/ood",
    params:
        split="ood",
    message:
        "{wildcards.data_set}, {wildcards.num_sensors} sensors, seed {wildcards.seed}: scores outside the training range"


# As their paths come from path variables, the wildcards' constraints do not keep `<run>/ood` from being read as a run.
ruleorder: forecast_ood > forecast
ruleorder: baselines_ood > baselines
ruleorder: evaluate_ood > evaluate


# One page of a few forecasts: lead times, members, slices, sensors.
rule explore:
    input:
        data="<data>/data.h5",
        basis="<data>/basis.h5",
        sensors=of_run("sensors.h5"),
        forecast="<held_out>/forecast.h5",
        scores="<held_out>/scores.csv",
        cases="<held_out>/cases.csv",
        coverage="<held_out>/calibration.csv",
    output:
        page="<held_out>/explore.html",
    log:
        "<run>/logs/explore.log",
    benchmark:
        "<run>/benchmarks/explore.tsv"
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        gpu=0,
        mem_mb=scaled(MEM_MB),
        runtime=scaled(30),
    params:
        version=VERSION,
    message:
        "{wildcards.data_set}, {wildcards.num_sensors} sensors, seed {wildcards.seed}: page to explore the forecasts"
    script:
        "../scripts/explore.py"


use rule explore as explore_ood with:
    log:
        "<run>/logs/explore_ood.log",
    benchmark:
        "<run>/benchmarks/explore_ood.tsv"
    pathvars:
        held_out="<run>/ood",
    message:
        "{wildcards.data_set}, {wildcards.num_sensors} sensors, seed {wildcards.seed}: page outside the training range"


ruleorder: explore_ood > explore


# Readings to try the run's forecasts with, of the case that the figures show.
rule example:
    input:
        data="<data>/data.h5",
        sensors=of_run("sensors.h5"),
        cases="<run>/cases.csv",
    output:
        readings="<run>/readings_example.csv",
        about="<run>/readings_example.json",
    log:
        "<run>/logs/example.log",
    benchmark:
        "<run>/benchmarks/example.tsv"
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        gpu=0,
        mem_mb=scaled(MEM_MB),
        runtime=scaled(10),
    params:
        observed_frames=CONFIG.stage3.observed_frames,
        version=VERSION,
    message:
        "{wildcards.data_set}, {wildcards.num_sensors} sensors, seed {wildcards.seed}: example of readings"
    script:
        "../scripts/example.py"


# The run as an MLflow model, to serve or to load anywhere; planned where mlflow is installed.
rule model:
    input:
        data="<data>/data.h5",
        basis="<data>/basis.h5",
        sensors=of_run("sensors.h5"),
        sparse=of_run("sparse/model.safetensors"),
        semi_sparse=of_run("semi_sparse/model.safetensors"),
        tokenizer=of_run("tokenizer/model.safetensors"),
        gpt=of_run("gpt/model.safetensors"),
        calibration=of_run("calibration.h5"),
        scores="<run>/scores.csv",
        readings="<run>/readings_example.csv",
    output:
        model=directory("<run>/model"),
    log:
        "<run>/logs/model.log",
    benchmark:
        "<run>/benchmarks/model.tsv"
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        gpu=0,
        mem_mb=scaled(MEM_MB),
        runtime=scaled(30),
    params:
        version=VERSION,
    message:
        "{wildcards.data_set}, {wildcards.num_sensors} sensors, seed {wildcards.seed}: MLflow model"
    script:
        "../scripts/model.py"


# Where there are several placements, they are compared.
PLACEMENT_TABLES = (
    {
        "placements": "<experiment>/tables/placements.csv",
        "placements_markdown": "<experiment>/tables/placements.md",
    }
    if CONFIG.placements
    else {}
)


# Forecasts under other conditions than in training, where the configuration asks for any.
ROBUSTNESS = CONFIG.robustness.curves
ROBUSTNESS_TABLES = (
    {
        "robustness_forecast": "<experiment>/tables/robustness_forecast.csv",
        "robustness_forecast_markdown": "<experiment>/tables/robustness_forecast.md",
        "robustness_figure": "<experiment>/figures/robustness.png",
    }
    if ROBUSTNESS
    else {}
)


rule tables:
    input:
        scores=of_all_runs("scores"),
        cases=of_all_runs("cases"),
        chain=of_all_runs("chain"),
        calibration=of_all_runs("calibration"),
        codebook=of_all_runs("codebook"),
        robustness=expand(rules.robustness.output.robustness, **SWEEP),
        robustness_forecast=(expand(rules.robustness_forecast.output.robustness, **SWEEP) if ROBUSTNESS else []),
        costs=expand(rules.baselines.output.costs, **SWEEP),
    output:
        **PLACEMENT_TABLES,
        **ROBUSTNESS_TABLES,
        forecast="<experiment>/tables/forecast.csv",
        summary="<experiment>/tables/summary.csv",
        summary_markdown="<experiment>/tables/summary.md",
        summary_latex="<experiment>/tables/summary.tex",
        in_out="<experiment>/tables/in_out.csv",
        in_out_markdown="<experiment>/tables/in_out.md",
        in_out_latex="<experiment>/tables/in_out.tex",
        chain="<experiment>/tables/chain.csv",
        chain_markdown="<experiment>/tables/chain.md",
        chain_latex="<experiment>/tables/chain.tex",
        calibration="<experiment>/tables/calibration.csv",
        calibration_markdown="<experiment>/tables/calibration.md",
        baselines="<experiment>/tables/baselines.csv",
        baselines_markdown="<experiment>/tables/baselines.md",
        codebook="<experiment>/tables/codebook.csv",
        codebook_markdown="<experiment>/tables/codebook.md",
        robustness="<experiment>/tables/robustness.csv",
        robustness_markdown="<experiment>/tables/robustness.md",
        lead_time="<experiment>/figures/lead_time.png",
    log:
        "<experiment>/logs/tables.log",
    benchmark:
        "<experiment>/benchmarks/tables.tsv"
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        gpu=0,
        mem_mb=scaled(4000),
        runtime=scaled(30),
    params:
        trained=CONFIG.stage3.stage2_frames - 1,
        version=VERSION,
    message:
        "Tables and figures over all seeds of {CONFIG.experiment}"
    script:
        "../scripts/tables.py"


# What each change of `variants` costs or gains, beside the base run. Only with `variants`.
rule ablations:
    input:
        scores=with_variants(rules.evaluate.output.scores),
        cases=with_variants(rules.evaluate.output.cases),
        chain=with_variants(rules.evaluate.output.chain),
        calibration=with_variants(rules.evaluate.output.calibration),
        semi_sparse=of_runs_with_variants("semi_sparse/model.safetensors"),
        sparse=of_runs_with_variants("sparse/model.safetensors"),
        tokenizer=of_runs_with_variants("tokenizer/model.safetensors"),
        gpt=of_runs_with_variants("gpt/model.safetensors"),
    output:
        ablations="<experiment>/tables/ablations.csv",
        markdown="<experiment>/tables/ablations.md",
        latex="<experiment>/tables/ablations.tex",
    log:
        "<experiment>/logs/ablations.log",
    benchmark:
        "<experiment>/benchmarks/ablations.tsv"
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        gpu=0,
        mem_mb=scaled(4000),
        runtime=scaled(30),
    params:
        version=VERSION,
    message:
        "Ablations of {CONFIG.experiment}"
    script:
        "../scripts/ablations.py"


# The page that begins with the result. Figures stand in it, so it can be sent to others as it is.
rule report:
    input:
        tables=rules.tables.output,
        ablations=rules.ablations.output if CONFIG.variants else [],
        data_sets=[expand(file, data_set=CONFIG.data_sets) for file in rules.describe_data.output],
        scores=of_all_runs("scores"),
        forecasts=[
            *expand(rules.forecast.output.forecast, **SWEEP),
            *expand(rules.forecast_ood.output.forecast, **OOD_SWEEP),
        ],
        figures=[of_all_runs(figure) for figure in FIGURES],
        pages=[*expand(rules.explore.output.page, **SWEEP), *expand(rules.explore_ood.output.page, **OOD_SWEEP)],
    output:
        report=report("<experiment>/report.html", category="Result", labels={"page": "the report"}),
    log:
        "<experiment>/logs/report.log",
    benchmark:
        "<experiment>/benchmarks/report.tsv"
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        gpu=0,
        mem_mb=scaled(2000),
        runtime=scaled(10),
    params:
        version=VERSION,
    message:
        "The report of {CONFIG.experiment}"
    script:
        "../scripts/report.py"
