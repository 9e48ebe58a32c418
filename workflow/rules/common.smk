# What several topics need: the sweep, what each rule depends on, and what a training job asks for.

SWEEP = {"data_set": CONFIG.data_sets, "num_sensors": CONFIG.num_sensors, "seed": CONFIG.seeds}


wildcard_constraints:
    data_set="[A-Za-z][A-Za-z0-9_-]*",
    num_sensors=r"\d+",
    seed=r"\d+",
    shard=r"\d+",


def settings(section, without=()):
    """A section of the configuration with all defaults filled in: a rule that has it as a parameter reruns when it changes."""
    return getattr(CONFIG, section).model_dump(mode="json", exclude=set(without))


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


# The code is no input of the rules: outputs carry the version that made them, and a new one makes them anew.
VERSION = sparsevq.__version__

GPU = CONFIG.resources.gpu
THREADS = CONFIG.resources.threads
MEM_MB = CONFIG.resources.mem_mb
RUNTIME = CONFIG.resources.runtime
