# What several topics need: the sweep, what each rule depends on, what a training job asks for, and the end in MLflow.

from snakemake.logging import logger

from sparsevq.runtime.tracking.leftovers import wait_for_couriers
from sparsevq.runtime.tracking.mlflow_store import store_uri
from sparsevq.runtime.tracking.spool import FOLDER
from sparsevq.runtime.tracking.writer import end_seconds

# Where the experiment has several placements of the sensors, the number has the placement's name: 20-qr.
SWEEP = {
    "data_set": CONFIG.data_sets,
    "num_sensors": [
        f"{number}-{placement}" if placement else f"{number}"
        for number in CONFIG.num_sensors
        for placement in CONFIG.placements or [""]
    ],
    "seed": CONFIG.seeds,
}


wildcard_constraints:
    data_set="[A-Za-z][A-Za-z0-9_-]*",
    num_sensors=r"\d+(-[a-z]+)?",
    seed=r"\d+",
    shard=r"\d+",
    network="[a-z_]+",


def settings(section, without=()):
    """A section of the configuration with all defaults filled in: a rule that has it as a parameter reruns when it changes."""
    return getattr(CONFIG, section).model_dump(mode="json", exclude=set(without))


def sensors_of(wildcards):
    """The section `sensors` of a run, with its own placement."""
    return CONFIG.sensors_of(number_and_placement(wildcards.num_sensors)[1])


def stage1_of(wildcards, without=()):
    """The settings of stage 1 for a data set, with its own symmetries."""
    return settings("stage1", without) | {
        "symmetries": CONFIG.symmetries_of(wildcards.data_set).model_dump(mode="json")
    }


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
    """One output of every evaluation."""
    return [
        *expand(getattr(rules.evaluate.output, output), **SWEEP),
        *expand(getattr(rules.evaluate_ood.output, output), **OOD_SWEEP),
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
