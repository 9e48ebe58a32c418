# Forecasts of the held-out trajectories: of the test split, and of those from outside the training range where the data
# set has any.


rule calibrate:
    input:
        data="<data>/data.h5",
        basis="<data>/basis.h5",
        sensors=of_run("sensors.h5"),
        sparse=of_run("sparse/model.safetensors"),
        semi_sparse=of_run("semi_sparse/model.safetensors"),
        tokenizer=of_run("tokenizer/model.safetensors"),
        gpt=of_run("gpt/model.safetensors"),
        codes=of_run("codes.h5"),
    output:
        calibration="<run>/calibration.h5",
    log:
        "<run>/logs/calibrate.log",
    benchmark:
        "<run>/benchmarks/calibrate.tsv"
    conda:
        "../../environment.yml"
    threads: THREADS
    resources:
        **INFERENCE,
        runtime=scaled(120),
    params:
        forecast=settings_of("forecast"),
        version=VERSION,
    message:
        "{wildcards.data_set}, {wildcards.num_sensors} sensors, seed {wildcards.seed}: calibrating ensembles on the validation split"
    script:
        "../scripts/calibrate.py"


rule forecast:
    input:
        data="<data>/data.h5",
        basis="<data>/basis.h5",
        sensors=of_run("sensors.h5"),
        sparse=of_run("sparse/model.safetensors"),
        semi_sparse=of_run("semi_sparse/model.safetensors"),
        tokenizer=of_run("tokenizer/model.safetensors"),
        gpt=of_run("gpt/model.safetensors"),
        codes=of_run("codes.h5"),
        calibration=of_run("calibration.h5"),
    output:
        forecast="<held_out>/forecast.h5",
    log:
        "<run>/logs/forecast.log",
    benchmark:
        "<run>/benchmarks/forecast.tsv"
    conda:
        "../../environment.yml"
    threads: THREADS
    resources:
        **INFERENCE,
        runtime=scaled(120),
    params:
        forecast=settings_of("forecast"),
        split="test",
        version=VERSION,
    message:
        "{wildcards.data_set}, {wildcards.num_sensors} sensors, seed {wildcards.seed}: forecasting held-out trajectories"
    script:
        "../scripts/forecast.py"


use rule forecast as forecast_ood with:
    log:
        "<run>/logs/forecast_ood.log",
    benchmark:
        "<run>/benchmarks/forecast_ood.tsv"
    pathvars:
        held_out="<run>/ood",
    params:
        split="ood",
    message:
        "{wildcards.data_set}, {wildcards.num_sensors} sensors, seed {wildcards.seed}: forecasting outside the training range"


rule robustness:
    input:
        data="<data>/data.h5",
        basis="<data>/basis.h5",
        sensors=of_run("sensors.h5"),
        sparse=of_run("sparse/model.safetensors"),
    output:
        robustness="<run>/robustness.csv",
    log:
        "<run>/logs/robustness.log",
    benchmark:
        "<run>/benchmarks/robustness.tsv"
    conda:
        "../../environment.yml"
    # Nothing but tables waits for it: on half of the threads it runs beside `evaluate`, which has one.
    threads: max(1, THREADS // 2)
    resources:
        **INFERENCE,
        runtime=scaled(60),
    params:
        version=VERSION,
    message:
        "{wildcards.data_set}, {wildcards.num_sensors} sensors, seed {wildcards.seed}: reconstruction from other sensors"
    script:
        "../scripts/robustness.py"


# Planned unless `robustness.curves` is empty.
rule robustness_forecast:
    input:
        data="<data>/data.h5",
        basis="<data>/basis.h5",
        sensors="<run>/sensors.h5",
        sparse="<run>/sparse/model.safetensors",
        semi_sparse="<run>/semi_sparse/model.safetensors",
        tokenizer="<run>/tokenizer/model.safetensors",
        gpt="<run>/gpt/model.safetensors",
        calibration="<run>/calibration.h5",
        networks=expand(
            "<run>/baselines/{network}/model.safetensors",
            network=[name for name in CONFIG.evaluation.networks if name in CONFIG.robustness.baselines],
            allow_missing=True,
        ),
    output:
        robustness="<run>/robustness_forecast.csv",
    log:
        "<run>/logs/robustness_forecast.log",
    benchmark:
        "<run>/benchmarks/robustness_forecast.tsv"
    conda:
        "../../environment.yml"
    # As `robustness`.
    threads: max(1, THREADS // 2)
    resources:
        **INFERENCE,
        runtime=scaled(120),
    params:
        robustness=settings("robustness"),
        forecast=settings("forecast"),
        evaluation=settings("evaluation"),
        trained=CONFIG.stage3.stage2_frames - 1,
        symmetries=lambda wildcards: CONFIG.symmetries_of(wildcards.data_set).model_dump(mode="json"),
        version=VERSION,
    message:
        "{wildcards.data_set}, {wildcards.num_sensors} sensors, seed {wildcards.seed}: forecasts under other conditions than in training"
    script:
        "../scripts/robustness_forecast.py"
