# Stage 3: the GPT over code indices.


rule gpt:
    input:
        codes=of_run("codes.h5"),
        data=where_refined("<data>/data.h5"),
        basis=where_refined("<data>/basis.h5"),
    output:
        model="<run>/gpt/model.safetensors",
        history="<run>/gpt/history.csv",
    log:
        "<run>/logs/gpt.log",
    benchmark:
        "<run>/benchmarks/gpt.tsv"
    conda:
        "../../environment.yml"
    threads: THREADS * PROCESSES
    resources:
        **TRAINING,
    params:
        stage3=settings_of("stage3"),
        version=VERSION,
    message:
        "{wildcards.data_set}, {wildcards.num_sensors} sensors, seed {wildcards.seed}: stage 3, GPT"
    script:
        "../scripts/gpt.py"
