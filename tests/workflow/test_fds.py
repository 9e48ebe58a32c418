"""FDS in the workflow: input files of the scenes, and the program run on them: a stand-in that copies a real run."""

import importlib.util
import zipfile
from pathlib import Path

import numpy as np
import pytest

from sparsevq.config import FileConfig
from sparsevq.readers.fds.source import open_fds

from .conftest import REPOSITORY

CONFIGURATION = str(REPOSITORY / "config" / "fds-fire.yaml")


def test_targets_are_the_inputs_and_the_runs_of_all_scenes(snakemake):
    plan = snakemake("fds_runs", "--dry-run", "--configfile", CONFIGURATION)
    assert plan.status == 0, plan.output
    assert plan.jobs == {"fds_inputs": 1, "fds_run": 36, "fds_runs": 1, "total": 38}


@pytest.mark.slow
def test_the_program_runs_on_a_scene_and_its_output_is_read(snakemake, tmp_path, monkeypatch):
    pytest.importorskip("fdsreader", reason="reads FDS output")
    found = importlib.util.find_spec("pyfdstools")
    if found is None:
        pytest.skip("pyfdstools carries the FDS runs")
    with zipfile.ZipFile(Path(found.submodule_search_locations[0], "examples/data/hfg_slice.zip")) as archive:
        archive.extractall(tmp_path / "real")
    program = tmp_path / "bin" / "fds"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\ntest -f $1 && cp {tmp_path}/real/* . && echo STOP: FDS completed successfully\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=":")
    wanted = [f"made/fds-fire/fds/runs/{name}" for name in ("scene_001", "room_033")]
    ended = snakemake(*wanted, "--configfile", CONFIGURATION, "--config", "results=made", "tracking={enabled: false}")
    assert ended.status == 0, ended.output
    runs = tmp_path / "made" / "fds-fire" / "fds" / "runs"
    assert sorted(path.name for path in runs.iterdir()) == ["room_033", "scene_001"]
    assert "CHID='room_033'" in (runs / "room_033" / "room_033.fds").read_text()
    source = open_fds(runs / "room_033", FileConfig(path="", arrays=("TEMPERATURE",), time=(1.0, 2.0)), "fires")
    assert np.isfinite(source.read(0, 3, 5)).any()
    assert source.grid == (21, 21, 21)
