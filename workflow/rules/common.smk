# What several topics need: the sweep, what each rule depends on, what a training job asks for, and the end in MLflow.

import functools
import itertools
from types import SimpleNamespace

from snakemake.logging import logger

from sparsevq.runtime.tracking.leftovers import wait_for_couriers
from sparsevq.runtime.tracking.mlflow_store import store_uri
from sparsevq.runtime.tracking.spool import FOLDER
from sparsevq.runtime.tracking.writer import end_seconds

# Where the experiment has several placements of the sensors, the number has the placement's name: 20-qr. After it a run
# of `variants` has the variant's: 20-qr+wide.
SWEEP = {
    "data_set": CONFIG.data_sets,
    "num_sensors": [
        f"{number}-{placement}" if placement else f"{number}"
        for number in CONFIG.num_sensors
        for placement in CONFIG.placements or [""]
    ],
    "seed": CONFIG.seeds,
}

VARIANTS = {
    **SWEEP,
    "num_sensors": [f"{number}+{variant}" for number in SWEEP["num_sensors"] for variant in CONFIG.variants],
}


wildcard_constraints:
    data_set="[A-Za-z][A-Za-z0-9_-]*",
    num_sensors=r"\d+(-[a-z]+)?(\+[A-Za-z][A-Za-z0-9_-]*)?",
    seed=r"\d+",
    shard=r"\d+",
    network="[a-z_]+",


def settings(section, without=(), of=CONFIG):
    """A section of the configuration with all defaults filled in: a rule that has it as a parameter reruns when it changes."""
    return getattr(of, section).model_dump(mode="json", exclude=set(without))


of_variant = functools.cache(CONFIG.of_variant)  # it is asked for by every input of every job


def config_of(wildcards):
    """The configuration of a run: of a variant's with its changes."""
    return of_variant(variant_of(wildcards.num_sensors))


def settings_of(section):
    """The same as `settings` of a run."""
    return lambda wildcards: settings(section, of=config_of(wildcards))


def sensors_of(wildcards):
    """The section `sensors` of a run, with its own placement."""
    return config_of(wildcards).sensors_of(number_and_placement(wildcards.num_sensors)[1])


def stage1_of(wildcards, without=()):
    """The settings of stage 1 for a data set, with its own symmetries."""
    return settings("stage1", without, config_of(wildcards)) | {
        "symmetries": CONFIG.symmetries_of(wildcards.data_set).model_dump(mode="json")
    }


# File of a run -> the rule that makes it, of what a variant may share with the base run.
MADE_BY = {
    "sensors.h5": "sensors",
    **{f"{part}/model.safetensors": part for part in ("semi_sparse", "sparse", "tokenizer", "gpt")},
    **{f"{part}/history.csv": part for part in ("semi_sparse", "sparse", "tokenizer", "gpt")},
    "codes.h5": "codes",
    "calibration.h5": "calibrate",
}


@functools.cache
def own_of(num_sensors):
    """The rules whose output a run has of its own, if it is a variant's."""
    return own_files(CONFIG, of_variant(variant_of(num_sensors)), number_and_placement(num_sensors)[1])


def folder_of(file, wildcards):
    """What `num_sensors` is in the folder that has a file of a run: the base run's where no change has a part in it."""
    number, base = wildcards.num_sensors, wildcards.num_sensors.partition("+")[0]
    return number if MADE_BY[file] in own_of(number) else base


def of_run(*files):
    """Input: files of a run, its own or those of the base run."""

    def where(wildcards):
        found = [f"<data>/n{folder_of(file, wildcards)}/seed{wildcards.seed}/{file}" for file in files]
        return found if len(files) > 1 else found[0]

    return where


def where_refined(file):
    """Input: a file of the data set that the correction of the first guess is made from, where a run has one."""
    return lambda wildcards: [file] if config_of(wildcards).stage3.refine_steps else []


def shards(wildcards):
    """The files that the trajectories of a simulated data set are divided among."""
    if wildcards.data_set in CONFIG.files:
        return []
    count = CONFIG.data_set(wildcards.data_set).shards
    return expand("<data>/shards/{shard}.h5", shard=range(count), allow_missing=True)


def files(wildcards):
    """The user's files that a data set is made from."""
    if wildcards.data_set not in CONFIG.files:
        return []
    return [str(path) for path in matching_files(CONFIG.files[wildcards.data_set])]


def has_ood(data_set):
    """Whether a data set has trajectories from outside the training range: said before any is made."""
    return data_set not in CONFIG.files and CONFIG.data_set(data_set).total > CONFIG.data_set(data_set).trajectories


# Forecasts of those are results of their own, <run>/ood/ and in tables <data_set>-ood: never averaged with the test split.
OOD_SWEEP = {**SWEEP, "data_set": [name for name in CONFIG.data_sets if has_ood(name)]}

if taken := {f"{data_set}-ood" for data_set in OOD_SWEEP["data_set"]} & set(CONFIG.data_sets):
    raise WorkflowError(
        f"data_sets: {min(taken)} is what the tables call a test set outside training: choose another name"
    )


def of_all_runs(output):
    """One output of every evaluation but those of variants."""
    return [
        *expand(getattr(rules.evaluate.output, output), **SWEEP),
        *expand(getattr(rules.evaluate_ood.output, output), **OOD_SWEEP),
    ]


def with_variants(output):
    """One output of every evaluation on the test split, of variants too."""
    return [*expand(output, **SWEEP), *expand(output, **VARIANTS)]


def of_runs_with_variants(file):
    """The same of a file that a variant may share with the base run."""
    found = []
    for sweep in (SWEEP, VARIANTS):
        for values in itertools.product(*sweep.values()):
            run = SimpleNamespace(**dict(zip(sweep, values, strict=True)))
            found.append(f"<experiment>/{run.data_set}/n{folder_of(file, run)}/seed{run.seed}/{file}")
    return found


# Baselines that are trained, each by a job of its own.
TRAINED_BASELINES = [*CONFIG.evaluation.networks, *CONFIG.evaluation.controls]


def of_networks(file):
    """Input: a file of each trained baseline that a run is compared with; a variant's is with none."""
    return lambda wildcards: [
        f"<run>/baselines/{network}/{file}"
        for network in ([] if variant_of(wildcards.num_sensors) else TRAINED_BASELINES)
    ]


# The code is no input of the rules: outputs carry the version that made them, and a new version reruns them.
VERSION = sparsevq.__version__

THREADS = CONFIG.resources.threads
MEM_MB = CONFIG.resources.mem_mb
RUNTIME = CONFIG.resources.runtime
GPU = 0 if CONFIG.resources.device == "cpu" else CONFIG.resources.gpu
PROCESSES = max(1, CONFIG.resources.gpu)  # that train together on each node: one a GPU
NODES = CONFIG.resources.nodes
JOBS_PER_GPU = CONFIG.resources.jobs_per_gpu  # with several, `gpu` counts places on GPUs: one for each job


def scaled(amount):
    """More at each retry: what did not fit in memory, or did not end in time, may then."""
    return lambda wildcards, attempt: amount * attempt


# What a job without training asks for that computes on a device.
INFERENCE = {"gpu": min(GPU, 1), "mem_mb": scaled(MEM_MB)}

# What a training job asks for: `gpu` is counted over all nodes; threads and memory are those of each node.
TRAINING = {
    "gpu": GPU * NODES,
    "nodes": NODES,
    "processes": PROCESSES,
    "mem_mb": scaled(MEM_MB * PROCESSES),
    "runtime": scaled(RUNTIME),
}
if NODES > 1:
    # To SLURM's executor `mpi` means: start the script once, which starts the processes on the other nodes itself.
    TRAINING |= {"mpi": "srun", "tasks": NODES, "tasks_per_gpu": 0}
    TRAINING |= {"gres": f"gpu:{GPU}"} if GPU else {}


def wait_for_mlflow():
    """Jobs leave what they logged to their couriers: the workflow ends when MLflow has it, or does not answer."""
    if not CONFIG.tracking.enabled:
        return
    patience = end_seconds(store_uri(CONFIG.tracking, CONFIG.results))
    if left := wait_for_couriers(Path(CONFIG.results), patience):
        logger.warning(
            f"{left} records wait for MLflow in {CONFIG.results}/{FOLDER}: "
            "they are delivered with the next job, or by `sparsevq deliver`"
        )
