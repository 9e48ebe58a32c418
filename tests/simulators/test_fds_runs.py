"""Running FDS, with a script instead of the program."""

import os
from pathlib import Path

import pytest

from sparsevq.errors import SparseVQError
from sparsevq.simulators.fds_runs import run_fds


@pytest.fixture
def fds(tmp_path, monkeypatch):
    """Install a program `fds` that is this shell script."""

    def install(script: str) -> None:
        program = tmp_path / "bin" / "fds"
        program.parent.mkdir()
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")

    return install


@pytest.fixture
def scene(tmp_path) -> Path:
    path = tmp_path / "inputs" / "scene_000.fds"
    path.parent.mkdir()
    path.write_text("&HEAD CHID='scene_000' /\n&TAIL /\n")
    return path


def test_outputs_appear_in_a_folder_of_the_scene(fds, scene, tmp_path):
    fds('grep -q CHID "$1" && echo "$OMP_NUM_THREADS" > scene_000.smv; echo " STOP: FDS completed successfully"')
    run_fds(scene, tmp_path / "runs" / "scene_000", threads=3)
    assert (tmp_path / "runs" / "scene_000" / "scene_000.smv").read_text() == "3\n"
    assert (tmp_path / "runs" / "scene_000" / "scene_000.fds").read_text() == scene.read_text()
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["scene_000"]


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("echo begins; echo 'ERROR(101): Problem with MESH line'; exit 1", r"\(ERROR\(101\): Problem with MESH line\)"),
        ("touch scene_000.smv; echo ' STOP: Numerical Instability - FDS stopped'", r"\(STOP: Numerical Instability"),
        ("exit 3", r"\(exit status 3\)"),
        ("kill -9 $$", r"\(exit status -9\)"),
    ],
)
def test_a_run_that_fails_leaves_nothing_and_says_why(fds, scene, tmp_path, script, reason):
    fds(script)
    with pytest.raises(SparseVQError, match=reason):
        run_fds(scene, tmp_path / "runs" / "scene_000")
    assert not list((tmp_path / "runs").iterdir())


def test_where_fds_is_not_installed_it_says_what_to_run_and_where_it_belongs(scene, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SparseVQError) as raised:
        run_fds(scene, tmp_path / "runs" / "scene_000")
    message = str(raised.value)
    assert "fds (NIST Fire Dynamics Simulator) is not installed here" in message
    assert str(scene.parent) in message
    assert str(tmp_path / "runs") in message
    assert "\n" not in message
