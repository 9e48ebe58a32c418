"""fds/inputs/<scene>.fds -> fds/runs/<scene>, by the program fds."""

from sparsevq.runtime.job import job

with job(snakemake, part=snakemake.wildcards.scene):
    from sparsevq.simulators.fds_runs import run_fds

    run_fds(snakemake.input[0], snakemake.output[0], snakemake.threads)
