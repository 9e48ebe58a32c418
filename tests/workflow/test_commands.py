"""What README.md and the documentation tell users to type is typed, in a folder that has what it speaks of."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterable
from pathlib import Path

import pandas as pd
import pytest
import xarray as xr
import yaml

from sparsevq.config import Config, parse
from tests.commands import (
    EXCEPTIONS,
    IN_PLACE_OF,
    REPOSITORY,
    Command,
    blocks_of,
    commands_of,
    files_named_in,
    in_place,
)
from tests.flows import travelling_waves

from .conftest import environment

FOR_DEVELOPERS = ("architecture.md", "data-format.md", "lab-notes.md")
"""They have layouts and code in blocks, not commands."""
DOCUMENTS = [
    "README.md",
    *(f"docs/{path.name}" for path in sorted((REPOSITORY / "docs").glob("*.md")) if path.name not in FOR_DEVELOPERS),
]
GENERATED = set(re.findall(r'"([\w-]+\.md)"', (REPOSITORY / "docs/generated_pages.py").read_text()))
"""Pages that `make docs` writes from the code."""
COMMANDS = [command for document in DOCUMENTS for command in commands_of(document)]
RUN = Path(IN_PLACE_OF["results/quickstart/cylinder/n20/seed1"])


@pytest.fixture(scope="module")
def workplace(finished, tmp_path_factory) -> Path:
    """A folder as a user has it: the repository, results, files of own data, readings."""
    place = tmp_path_factory.mktemp("commands")
    for item in REPOSITORY.iterdir():
        if item.name not in ("results", "data", "runs", ".git", ".snakemake"):
            (place / item.name).symlink_to(item)
    (place / "results").symlink_to(finished / "results")
    _write_own_data(place)
    readings = pd.read_csv(finished / RUN / "readings_example.csv")
    for name in ("readings.csv", "next_readings.csv"):
        readings.to_csv(place / name, index=False)
    readings.to_excel(place / "readings.xlsx", index=False)
    readings[["y [L]", "x [L]"]].head(3).to_csv(place / "points.csv", index=False)
    made = typed(f"sparsevq forecast {RUN} --readings readings.csv --out forecast.nc --frames 4 --members 2", place)
    assert made.returncode == 0, made.stdout
    try:
        import iris_sample_data

        (place / "data").mkdir()
        shutil.copy(Path(iris_sample_data.path) / "ostia_monthly.nc", place / "data")
    except ImportError:
        (place / "data/ostia_monthly.nc").touch()
    (place / "mine.yaml").write_text((REPOSITORY / "tests/config/miniature.yaml").read_text())
    return place


def _write_own_data(place: Path) -> None:
    """Files of several trajectories, alone and in a folder."""
    data = travelling_waves(trajectories=24, frames=24, grid=(16, 16), obstacle=False)
    axes = {name: (name, at, {"units": "m"}) for name, at in data.axes.items()}
    axes["time"] = ("time", data.time, {"units": "s"})
    fields = {
        name: (("trajectory", "time", "y", "x"), data.fields[..., index], {"units": "m/s"})
        for index, name in enumerate(data.channels)
    }
    flows = xr.Dataset(fields, axes)
    flows.to_netcdf(place / "my_runs.nc")
    (place / "runs").mkdir()
    for number in range(24):
        flows.isel(trajectory=[number]).to_netcdf(place / f"runs/{number}.nc")


def typed(command: str, place: Path) -> subprocess.CompletedProcess:
    programs = {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}", "CUDA_VISIBLE_DEVICES": ""}
    return subprocess.run(
        ["bash", "-ec", command],
        cwd=place,
        env=environment() | programs,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


@pytest.mark.e2e
@pytest.mark.parametrize("command", [command for command in COMMANDS if command.exception is None], ids=str)
def test_each_command_does_what_it_says(command, workplace, finished):
    if command.is_server:
        _serves(command, workplace, finished)
        return
    before = set(workplace.iterdir())
    ended = typed(command.as_run(finished), workplace)
    assert ended.returncode == 0, f"{command}\n{ended.stdout}"
    for written in re.findall(r"(?:--out|--png|--picture|-o) (\S+)", command.text):
        assert (workplace / written).exists(), f"{command} did not write {written}\n{ended.stdout}"
    for path in set(workplace.iterdir()) - before:  # each command has to do with what users have before it
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def _serves(command: Command, place: Path, finished: Path) -> None:
    """It answers, and is ended."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    programs = {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    line = command.as_run(finished, port)
    output = place / "server.log"
    with (
        output.open("w") as log,
        subprocess.Popen(
            ["bash", "-c", f"exec {line}"],
            cwd=place,
            env=environment() | programs | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        ) as server,
    ):
        try:
            assert _answers(f"http://127.0.0.1:{port}/", server), output.read_text()
        finally:
            os.killpg(server.pid, signal.SIGTERM)


def _answers(address: str, server: subprocess.Popen) -> bool:
    since = time.monotonic()
    while time.monotonic() - since < 120 and server.poll() is None:
        try:
            with urllib.request.urlopen(address, timeout=5) as page:
                return page.status == 200
        except OSError:
            time.sleep(0.2)
    return False


@pytest.mark.e2e
@pytest.mark.parametrize(
    "block", [block for document in DOCUMENTS for block in blocks_of(document) if block.language == "python"], ids=str
)
def test_each_program_runs(block, workplace):
    (workplace / "program.py").write_text(in_place(block.text))
    store = "MLFLOW_TRACKING_URI=sqlite:///results/mlflow.db"
    ended = typed(f"{store} {sys.executable} program.py", workplace)
    assert ended.returncode == 0, f"{block.text}\n{ended.stdout}"


@pytest.mark.e2e
@pytest.mark.parametrize(
    "block", [block for document in DOCUMENTS for block in blocks_of(document) if block.language == "yaml"], ids=str
)
def test_each_configuration_is_one_and_can_be_planned(block, workplace):
    given = yaml.safe_load(block.text)
    parse(Config, given, str(block))
    if "data_sets" in given:
        (workplace / "told.yaml").write_text(block.text)
        ended = typed("snakemake -n --configfile told.yaml", workplace)
        assert ended.returncode == 0, f"{block.text}\n{ended.stdout}"


@pytest.mark.parametrize("document", DOCUMENTS)
def test_the_files_that_are_named_exist(document):
    missing = [name for name, path in files_named_in(document) if not (any(_matching(path)) or path.name in GENERATED)]
    assert not missing


def _matching(path: Path) -> Iterable[Path]:
    """The files of a name, in which stars may stand."""
    return REPOSITORY.glob(os.path.relpath(path, REPOSITORY)) if "*" in str(path) else [path] * path.exists()


def test_nothing_is_an_exception_that_no_document_has():
    for begin in EXCEPTIONS:
        assert any(command.text.startswith(begin) for command in COMMANDS), begin


def test_every_document_is_read(tmp_path):
    """The extraction finds what there is: fenced and indented commands, continued and with comments."""
    texts = [command.text for command in commands_of("README.md")]
    assert "make quickstart" in texts
    forecast = next(text for text in texts if text.startswith("sparsevq forecast"))
    assert "--out" in forecast
    assert "\\" not in forecast
    assert not any("#" in text for text in texts)
    assert json.dumps(texts)
    languages = {block.language for document in DOCUMENTS for block in blocks_of(document)}
    assert {"sh", "python", "yaml"} <= languages
