# The fire benchmark's scenes by NIST's Fire Dynamics Simulator, for those who have it. No part of the default target:
#
#   snakemake --configfile config/fds-fire.yaml --cores 1 fds_inputs    writes <experiment>/fds/inputs/<scene>.fds
#   snakemake --configfile config/fds-fire.yaml --cores 8 fds_runs      runs `fds` on each, in <experiment>/fds/runs/<scene>
#   snakemake --configfile config/fds-fire.yaml --cores 8               from these runs to tables, as with any files
#
# Runs that were made elsewhere count as well: copy each into <experiment>/fds/runs/<scene>.

from sparsevq.simulators.fds_inputs import scene_name

FDS_SCENES = [scene_name(number, CONFIG.simulation.fire) for number in range(CONFIG.simulation.fire.total)]


wildcard_constraints:
    scene=r"(scene|room)_\d+",


rule fds_inputs:
    output:
        expand("<experiment>/fds/inputs/{scene}.fds", scene=FDS_SCENES),
    log:
        "<experiment>/fds/logs/inputs.log",
    benchmark:
        "<experiment>/fds/benchmarks/inputs.tsv"
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        gpu=0,
        mem_mb=scaled(1000),
        runtime=scaled(10),
    params:
        fire=CONFIG.simulation.fire.model_dump(mode="json", exclude={"shards", *LEARNING}),
        version=VERSION,
    message:
        "FDS input files of all scenes"
    script:
        "../scripts/fds_inputs.py"


rule fds_run:
    input:
        "<experiment>/fds/inputs/{scene}.fds",
    output:
        directory("<experiment>/fds/runs/{scene}"),
    log:
        "<experiment>/fds/logs/{scene}.log",
    benchmark:
        "<experiment>/fds/benchmarks/{scene}.tsv"
    conda:
        "../../environment.yml"
    threads: THREADS
    resources:
        gpu=0,
        mem_mb=scaled(MEM_MB),
        runtime=scaled(RUNTIME),
    params:
        version=VERSION,
    message:
        "FDS: {wildcards.scene}"
    script:
        "../scripts/fds_run.py"


# A target: all runs of FDS.
rule fds_runs:
    input:
        expand("<experiment>/fds/runs/{scene}", scene=FDS_SCENES),
