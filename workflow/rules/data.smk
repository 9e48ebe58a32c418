# Simulated trajectories, in shards that run as parallel jobs, and from them one data set.


rule simulate:
    output:
        "<data>/shards/{shard}.h5",
    log:
        "<data>/logs/simulate_{shard}.log",
    benchmark:
        "<data>/benchmarks/simulate_{shard}.tsv"
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        gpu=0,
        mem_mb=scaled(2000),
        runtime=scaled(RUNTIME),
    params:
        simulation=lambda wildcards: CONFIG.data_set(wildcards.data_set).model_dump(mode="json", exclude=set(LEARNING)),
        version=VERSION,
    message:
        "{wildcards.data_set}: simulating shard {wildcards.shard}"
    script:
        "../scripts/simulate.py"


rule preprocess:
    input:
        shards=shards,
        files=files,
    output:
        data=ensure("<data>/data.h5", non_empty=True),
    log:
        "<data>/logs/preprocess.log",
    benchmark:
        "<data>/benchmarks/preprocess.tsv"
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        gpu=0,
        mem_mb=scaled(MEM_MB),
        runtime=scaled(60),
    params:
        preprocess=settings("preprocess"),
        data_set=lambda wildcards: CONFIG.data_set(wildcards.data_set).model_dump(
            mode="json", exclude={"shards", "symmetries"}
        ),
        version=VERSION,
    message:
        "{wildcards.data_set}: one data set"
    script:
        "../scripts/preprocess.py"


rule basis:
    input:
        data="<data>/data.h5",
    output:
        basis=ensure("<data>/basis.h5", non_empty=True),
    log:
        "<data>/logs/basis.log",
    benchmark:
        "<data>/benchmarks/basis.tsv"
    conda:
        "../../environment.yml"
    threads: THREADS
    resources:
        gpu=0,
        mem_mb=scaled(MEM_MB),
        runtime=scaled(60),
    params:
        basis=settings("basis"),
        symmetries=lambda wildcards: CONFIG.symmetries_of(wildcards.data_set).model_dump(mode="json"),
        version=VERSION,
    message:
        "{wildcards.data_set}: time mean and modes"
    script:
        "../scripts/basis.py"


rule describe_data:
    input:
        data="<data>/data.h5",
    output:
        contact_sheet="<data>/figures/contact_sheet.png",
        statistics="<data>/split_statistics.csv",
        statistics_markdown="<data>/split_statistics.md",
    log:
        "<data>/logs/describe_data.log",
    benchmark:
        "<data>/benchmarks/describe_data.tsv"
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        gpu=0,
        mem_mb=scaled(MEM_MB),
        runtime=scaled(60),
    params:
        version=VERSION,
    message:
        "{wildcards.data_set}: contact sheet, statistics by split"
    script:
        "../scripts/describe_data.py"
