# From simulation to tables: `snakemake --cores 8 --resources gpu=4`.
#
# A configuration file stands for itself: what it leaves out has the default that sparsevq/config/ states together with
# its meaning. Without --configfile, config/config.yaml is used.

import signal
from importlib.util import find_spec
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.utils import min_version

import sparsevq
from sparsevq.config import Config, number_and_placement, read_yaml, variant_of
from sparsevq.config import parse as checked
from sparsevq.config.variants import own_files
from sparsevq.simulators.shard_job import LEARNING
from sparsevq.readers.files import matching_files
from sparsevq.errors import SparseVQError

min_version("9.20")

# SLURM sends its warning before the time limit to every process of a job. Only trainings, which handle it, have use for
# it: it would end the Snakemake around them.
signal.signal(signal.SIGUSR1, signal.SIG_IGN)


if not workflow.overwrite_configfiles:

    configfile: Path(workflow.basedir) / "config" / "config.yaml"


try:
    for path in map(Path, workflow.configfiles):  # of a key that stands twice Snakemake takes the last
        if path.suffix != ".json":
            read_yaml(path)
    CONFIG = checked(Config, config, "configuration")
except SparseVQError as error:
    raise WorkflowError(str(error)) from None


pathvars:
    experiment=f"{CONFIG.results}/{CONFIG.experiment}",
    data="<experiment>/{data_set}",
    run="<data>/n{num_sensors}/seed{seed}",
    held_out="<run>",  # forecasts and scores of the test split; <run>/ood in rules for trajectories outside training


report: "workflow/report/workflow.rst"


include: "workflow/rules/common.smk"
include: "workflow/rules/slurm.smk"
include: "workflow/rules/data.smk"
include: "workflow/rules/fds.smk"
include: "workflow/rules/sensors.smk"
include: "workflow/rules/stage1.smk"
include: "workflow/rules/stage2.smk"
include: "workflow/rules/stage3.smk"
include: "workflow/rules/forecast.smk"
include: "workflow/rules/baselines.smk"
include: "workflow/rules/evaluate.smk"


# A finished run is whole: `sparsevq forecast` needs its models, not only the tables.
RESULTS = (
    rules.sensors,
    rules.semi_sparse,
    rules.sparse,
    rules.tokenizer,
    rules.codes,
    rules.gpt,
    rules.calibrate,
    rules.evaluate,
    rules.example,
    rules.explore,
    *([rules.model] if find_spec("mlflow") else []),
)


rule all:
    default_target: True
    input:
        rules.tables.output,
        rules.report.output,
        [file for file in (rules.ablations.output if CONFIG.variants else [])],
        [expand(file, data_set=CONFIG.data_sets) for file in rules.describe_data.output],
        [expand(file, **SWEEP) for made in RESULTS for file in made.output],
        [expand(file, **OOD_SWEEP) for made in (rules.evaluate_ood, rules.explore_ood) for file in made.output],


onstart:
    before_slurm()


onsuccess:
    wait_for_mlflow()


onerror:
    wait_for_mlflow()
