# On SLURM (`--workflow-profile profiles/slurm`) users are told what is wrong before jobs are submitted and while they wait.

from snakemake.logging import logger

from sparsevq.runtime.slurm import Request, require_possible, watch


def on_slurm():
    return workflow.executor_plugin is not None and workflow.executor_plugin.name == "slurm"


def request(job):
    """What a job asks of each node; GPUs are counted over all of them."""
    asked = job.resources
    nodes = asked.get("nodes", 1)
    partition = asked.get("slurm_partition")
    return Request(
        job.rule.name,
        None if partition is None else str(partition),
        nodes,
        job.threads,
        asked.get("mem_mb", 0),
        -(-asked.get("gpu", 0) // nodes),
        asked.get("runtime", 0),
        asked.get("slurm_extra", ""),
    )


def before_slurm():
    """End with one line if jobs could not run or be followed; otherwise watch for those that wait for ever."""
    if not on_slurm():
        return
    order = [rule.name for rule in workflow.rules]  # Snakemake keeps jobs in a set
    submitted = sorted(
        (job for job in workflow.dag.needrun_jobs() if not job.is_local and not job.is_group()),
        key=lambda job: order.index(job.rule.name),
    )
    try:
        require_possible(map(request, submitted), workflow.executor_settings.status_command)
    except SparseVQError as error:
        raise WorkflowError(str(error)) from None
    if JOBS_PER_GPU > 1 and any(job.resources.get("gpu", 0) and not job.resources.get("gres") for job in submitted):
        logger.warning(
            f"resources.jobs_per_gpu={JOBS_PER_GPU}: SLURM gives each job a whole GPU, and it uses a part of the memory: "
            "set it to 1, or ask for shares of GPUs in the profile (docs/cluster.md)"
        )
    watch(logger.warning)
