# Stage 2: the tokenizer, and the dump of every frame's code indices, which is all that stage 3 reads.


rule tokenizer:
    input:
        data="<data>/data.h5",
        basis="<data>/basis.h5",
        sensors=of_run("sensors.h5"),
        sparse=of_run("sparse/model.safetensors"),
        semi_sparse=of_run("semi_sparse/model.safetensors"),
    output:
        model="<run>/tokenizer/model.safetensors",
        history="<run>/tokenizer/history.csv",
    log:
        "<run>/logs/tokenizer.log",
    benchmark:
        "<run>/benchmarks/tokenizer.tsv"
    conda:
        "../../environment.yml"
    threads: THREADS * PROCESSES
    resources:
        **TRAINING,
    params:
        stage2=settings_of("stage2"),
        version=VERSION,
    message:
        "{wildcards.data_set}, {wildcards.num_sensors} sensors, seed {wildcards.seed}: stage 2, tokenizer"
    script:
        "../scripts/tokenizer.py"


rule codes:
    input:
        data="<data>/data.h5",
        basis="<data>/basis.h5",
        sensors=of_run("sensors.h5"),
        sparse=of_run("sparse/model.safetensors"),
        semi_sparse=of_run("semi_sparse/model.safetensors"),
        tokenizer=of_run("tokenizer/model.safetensors"),
    output:
        codes="<run>/codes.h5",
    log:
        "<run>/logs/codes.log",
    benchmark:
        "<run>/benchmarks/codes.tsv"
    conda:
        "../../environment.yml"
    threads: THREADS
    resources:
        **INFERENCE,
        runtime=scaled(60),
    params:
        version=VERSION,
    message:
        "{wildcards.data_set}, {wildcards.num_sensors} sensors, seed {wildcards.seed}: dumping code indices"
    script:
        "../scripts/codes.py"
