# What sparsevq is compared with. Trained baselines need the data set, its basis and the sensors alone, so they are trained
# beside sparsevq; all of them forecast the cases of its forecast file.

# The parts of sparsevq, whose costs stand beside those of the baselines.
PARTS = ("semi_sparse", "sparse", "tokenizer", "gpt")

# What baselines that are parts of sparsevq read of it.
OF_SPARSEVQ = {"codes": of_run("codes.h5"), "gpt": of_run("gpt/model.safetensors")}


rule baseline_network:
    input:
        data="<data>/data.h5",
        basis="<data>/basis.h5",
        sensors=of_run("sensors.h5"),
    output:
        model="<run>/baselines/{network}/model.safetensors",
        history="<run>/baselines/{network}/history.csv",
        cost="<run>/baselines/{network}/cost.json",
    log:
        "<run>/logs/baseline_network_{network}.log",
    benchmark:
        "<run>/benchmarks/baseline_network_{network}.tsv"
    wildcard_constraints:
        network="(?!continuous)[a-z_]+",
    conda:
        "../../environment.yml"
    threads: THREADS * PROCESSES
    resources:
        **TRAINING,
    params:
        symmetries=lambda wildcards: CONFIG.symmetries_of(wildcards.data_set).model_dump(mode="json"),
        network=lambda wildcards: CONFIG.networks.of(wildcards.network).model_dump(mode="json"),
        horizon=CONFIG.forecast.horizon,
        version=VERSION,
    message:
        "{wildcards.data_set}, {wildcards.num_sensors} sensors, seed {wildcards.seed}: training the baseline {wildcards.network}"
    script:
        "../scripts/baseline_network.py"


# The GPT's Transformer without codes: of the run's index dump, by the settings of stage 3.
rule baseline_continuous:
    input:
        codes=of_run("codes.h5"),
    output:
        model="<run>/baselines/{network}/model.safetensors",
        history="<run>/baselines/{network}/history.csv",
        cost="<run>/baselines/{network}/cost.json",
    log:
        "<run>/logs/baseline_continuous_{network}.log",
    benchmark:
        "<run>/benchmarks/baseline_continuous_{network}.tsv"
    wildcard_constraints:
        network="continuous|continuous_frames",
    conda:
        "../../environment.yml"
    threads: THREADS * PROCESSES
    resources:
        **TRAINING,
    params:
        stage3=settings("stage3"),
        version=VERSION,
    message:
        "{wildcards.data_set}, {wildcards.num_sensors} sensors, seed {wildcards.seed}: training the baseline {wildcards.network}"
    script:
        "../scripts/baseline_continuous.py"


rule baselines:
    input:
        **{part: OF_SPARSEVQ[part] for part in CONFIG.evaluation.parts_of_run},
        data="<data>/data.h5",
        basis="<data>/basis.h5",
        sensors=of_run("sensors.h5"),
        forecast="<held_out>/forecast.h5",
        parts=of_run(*(f"{part}/model.safetensors" for part in PARTS)),
        networks=of_networks("model.safetensors"),
        network_costs=of_networks("cost.json"),
    output:
        baselines="<held_out>/baselines.h5",
        costs="<held_out>/costs.csv",
    log:
        "<run>/logs/baselines.log",
    benchmark:
        "<run>/benchmarks/baselines.tsv"
    conda:
        "../../environment.yml"
    threads: THREADS
    resources:
        **(INFERENCE if TRAINED_BASELINES else {**INFERENCE, "gpu": 0}),
        runtime=scaled(120),
    params:
        symmetries=lambda wildcards: CONFIG.symmetries_of(wildcards.data_set).model_dump(mode="json"),
        evaluation=settings_of("evaluation"),
        split="test",
        version=VERSION,
    message:
        "{wildcards.data_set}, {wildcards.num_sensors} sensors, seed {wildcards.seed}: forecasting by the baselines"
    script:
        "../scripts/baselines.py"


use rule baselines as baselines_ood with:
    log:
        "<run>/logs/baselines_ood.log",
    benchmark:
        "<run>/benchmarks/baselines_ood.tsv"
    pathvars:
        held_out="<run>/ood",
    params:
        split="ood",
    message:
        "{wildcards.data_set}, {wildcards.num_sensors} sensors, seed {wildcards.seed}: baselines outside the training range"
