# Where the sensors stand.


rule sensors:
    input:
        data="<data>/data.h5",
        placement=str(CONFIG.sensors.csv) if CONFIG.sensors.csv else [],
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
        mem_mb=scaled(4000),
        runtime=scaled(20),
    params:
        sensors=settings("sensors"),
        version=VERSION,
    message:
        "{wildcards.data_set}: placing {wildcards.num_sensors} sensors, seed {wildcards.seed}"
    script:
        "../scripts/sensors.py"
