"""The fire benchmark's scenes -> fds/inputs/<scene>.fds."""

from pathlib import Path

from sparsevq.runtime.job import job

with job(snakemake) as work:
    from sparsevq.simulators.fds_inputs import write_fds_inputs

    paths = write_fds_inputs(Path(snakemake.output[0]).parent, work.config.simulation.fire)
    print(f"{len(paths)} input files of FDS in {paths[0].parent}", flush=True)
