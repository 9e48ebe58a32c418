# Forecasts of the held-out trajectories, by sparsevq and by what it is compared with.


rule forecast:
    input:
        data="<data>/data.h5",
        sensors="<run>/sensors.h5",
        sparse="<run>/sparse/model.safetensors",
        semi_sparse="<run>/semi_sparse/model.safetensors",
        tokenizer="<run>/tokenizer/model.safetensors",
        gpt="<run>/gpt/model.safetensors",
        codes="<run>/codes.h5",
    output:
        forecast="<run>/forecast.h5",
    log:
        "<run>/logs/forecast.log",
    benchmark:
        "<run>/benchmarks/forecast.tsv"
    conda:
        "../../environment.yml"
    threads: THREADS
    resources:
        gpu=GPU,
        mem_mb=MEM_MB,
        runtime=120,
    params:
        forecast=settings("forecast"),
        version=VERSION,
    message:
        "{wildcards.data_set}, {wildcards.num_sensors} sensors, seed {wildcards.seed}: forecasting held-out trajectories"
    script:
        "../scripts/forecast.py"


rule baselines:
    input:
        data="<data>/data.h5",
        sensors="<run>/sensors.h5",
        forecast="<run>/forecast.h5",
    output:
        baselines="<run>/baselines.h5",
    log:
        "<run>/logs/baselines.log",
    benchmark:
        "<run>/benchmarks/baselines.tsv"
    conda:
        "../../environment.yml"
    threads: THREADS
    resources:
        gpu=0,
        mem_mb=MEM_MB,
        runtime=120,
    params:
        symmetries=settings("stage1")["symmetries"],
        evaluation=settings("evaluation"),
        version=VERSION,
    message:
        "{wildcards.data_set}, {wildcards.num_sensors} sensors, seed {wildcards.seed}: forecasting by the baselines"
    script:
        "../scripts/baselines.py"
