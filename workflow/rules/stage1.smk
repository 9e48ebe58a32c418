# Stage 1: the semi-sparse encoder (the teacher) and the sparse one, each with the coordinate decoder.


rule semi_sparse:
    input:
        data="<data>/data.h5",
        basis="<data>/basis.h5",
        sensors=of_run("sensors.h5"),
    output:
        model="<run>/semi_sparse/model.safetensors",
        history="<run>/semi_sparse/history.csv",
    log:
        "<run>/logs/semi_sparse.log",
    benchmark:
        "<run>/benchmarks/semi_sparse.tsv"
    conda:
        "../../environment.yml"
    threads: THREADS * PROCESSES
    resources:
        **TRAINING,
    params:
        stage1=lambda wildcards: stage1_of(wildcards, without=["warm_start", "warm_steps"]),
        version=VERSION,
    message:
        "{wildcards.data_set}, {wildcards.num_sensors} sensors, seed {wildcards.seed}: stage 1, semi-sparse encoder"
    script:
        "../scripts/stage1.py"


use rule semi_sparse as sparse with:
    input:
        data="<data>/data.h5",
        basis="<data>/basis.h5",
        sensors=of_run("sensors.h5"),
        start_from=lambda wildcards: (
            of_run("semi_sparse/model.safetensors")(wildcards) if config_of(wildcards).stage1.warm_start else []
        ),
    output:
        model="<run>/sparse/model.safetensors",
        history="<run>/sparse/history.csv",
    log:
        "<run>/logs/sparse.log",
    benchmark:
        "<run>/benchmarks/sparse.tsv"
    params:
        stage1=stage1_of,
        version=VERSION,
    message:
        "{wildcards.data_set}, {wildcards.num_sensors} sensors, seed {wildcards.seed}: stage 1, sparse encoder"
