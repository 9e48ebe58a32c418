"""One shard of simulated trajectories. Out: shards/<shard>.h5.

The simulator is a process of its own: some are under the GPL.
"""

import json
import subprocess
import sys

from sparsevq.errors import SparseVQError
from sparsevq.runtime.job import job
from sparsevq.runtime.signals import killed_with_parent

with job(snakemake, part=snakemake.wildcards.shard):
    name = snakemake.wildcards.data_set
    command = [sys.executable, "-m", f"sparsevq.simulators.{name}", "--out", snakemake.output[0]]
    command += ["--shard", snakemake.wildcards.shard, "--settings", json.dumps(snakemake.params.simulation)]
    ended = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False, preexec_fn=killed_with_parent())
    sys.stderr.write(ended.stderr)
    if ended.returncode:
        *_, last = ended.stderr.strip().splitlines() or [f"exit status {ended.returncode}"]
        raise SparseVQError(f"the simulation of {name} failed ({last})", f"see {snakemake.log[0]}")
