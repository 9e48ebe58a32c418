# Where the sensors stand.


rule sensors:
    input:
        data="<data>/data.h5",
        basis=lambda wildcards: "<data>/basis.h5" if sensors_of(wildcards).needs_basis else [],
        placement=lambda wildcards: str(path) if (path := sensors_of(wildcards).csv) else [],
    output:
        sensors="<run>/sensors.h5",
        csv="<run>/sensors.csv",
    log:
        "<run>/logs/sensors.log",
    benchmark:
        "<run>/benchmarks/sensors.tsv"
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        gpu=0,
        mem_mb=scaled(MEM_MB),
        runtime=scaled(20),
    params:
        sensors=lambda wildcards: sensors_of(wildcards).model_dump(mode="json"),
        noise=lambda wildcards: (
            config_of(wildcards).stage1.noise if sensors_of(wildcards).placement == "variance" else None
        ),
        version=VERSION,
    message:
        "{wildcards.data_set}: placing {wildcards.num_sensors} sensors, seed {wildcards.seed}"
    script:
        "../scripts/sensors.py"
