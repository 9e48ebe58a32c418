"""fds/inputs/<scene>.fds -> fds/runs/<scene>, by the program fds."""

from sparsevq.training.job import job

with job(snakemake, part=snakemake.wildcards.scene):
    from sparsevq.data.fds_runs import run_fds

    run_fds(snakemake.input[0], snakemake.output[0], snakemake.threads)
