"""The model in an environment of its own, made from nothing but what its folder says: served, and loaded."""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pytest

import sparsevq
from tests.forecasting.wrong_inputs import SERVED, WRONG_INPUTS, Given, check_message
from tests.serving.requests import payload, told

pytestmark = pytest.mark.slow

LOADED = """
import json, sys
import mlflow.pyfunc
model = mlflow.pyfunc.load_model(sys.argv[1], model_config={"device": "cpu"})
body = json.load(sys.stdin)
found = model.predict(body["inputs"], params=body["params"])
import sparsevq
print(json.dumps([sparsevq.__file__, found.to_dict("list")]))
"""


def outside() -> dict[str, str]:
    """The environment of a user who has neither this package nor its dependencies."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "MLFLOW", "VIRTUAL"))}
    return {**kept, "MLFLOW_DISABLE_TELEMETRY": "true"}


@pytest.fixture(scope="module")
def fresh(model_folder, tmp_path_factory) -> Path:
    """The programs of a new environment with the model's requirements."""
    folder = tmp_path_factory.mktemp("fresh") / "venv"
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    install = [folder / "bin/python", "-m", "pip", "install", "-q", "-r", model_folder / "requirements.txt"]
    found = subprocess.run(list(map(str, install)), capture_output=True, text=True, env=outside())
    if found.returncode:
        reason = found.stderr.strip().splitlines()[-1]
        pytest.skip(f"needs packages from an index, and cannot install the requirements: {reason}")
    return folder / "bin"


@pytest.fixture(scope="module")
def server(fresh, model_folder, tmp_path_factory):
    """The URL of the served model."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = tmp_path_factory.mktemp("server") / "log"
    command = [fresh / "mlflow", "models", "serve", "-m", model_folder, "--env-manager", "local"]
    command += ["--host", "127.0.0.1", "--port", port]
    environment = {**outside(), "PATH": f"{fresh}:{os.environ['PATH']}"}
    with open(log, "w") as said:
        process = subprocess.Popen(
            list(map(str, command)), stdout=said, stderr=said, env=environment, cwd=log.parent, start_new_session=True
        )
    try:
        until = time.monotonic() + 120
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/ping", timeout=5).close()
                break
            except OSError:
                assert process.poll() is None and time.monotonic() < until, log.read_text()
                time.sleep(0.2)
        yield f"http://127.0.0.1:{port}/invocations"
    finally:
        os.killpg(process.pid, 15)
        process.wait(30)


def ask(server, body) -> tuple[int, dict]:
    """Status and content of the answer."""
    request = urllib.request.Request(server, json.dumps(body).encode(), {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as answer:
        return answer.code, json.load(answer)


def test_it_forecasts_what_the_run_does(fresh, server, model_folder, modal_run):
    readings = modal_run.history(0, 1, 2)
    forecast = sparsevq.load(modal_run.path, device="cpu").forecast(readings, 3, 4, seed=2)
    there = ~np.isnan(forecast["u"][0, 0].to_numpy())
    body = payload(Given(readings, {"frames": 3, "members": 4, "seed": 2}))
    status, answer = ask(server, body)
    assert status == 200
    loaded = subprocess.run(
        [fresh / "python", "-c", LOADED, str(model_folder)],
        input=json.dumps(body),
        capture_output=True,
        text=True,
        env=outside(),
        cwd=fresh,
    )
    assert loaded.returncode == 0, loaded.stderr
    code, columns = json.loads(loaded.stdout.splitlines()[-1])
    assert Path(code).is_relative_to(model_folder)  # the model brings the package
    for name in ("u", "v"):
        members = forecast[name].to_numpy()[..., there]
        for part, expected in (("mean", members.mean(axis=0)), ("std", members.std(axis=0, ddof=1))):
            served = [row[f"{name}_{part}"] for row in answer["predictions"]]
            for found in (served, columns[f"{name}_{part}"]):
                np.testing.assert_allclose(found, expected.ravel(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("wrong", [wrong for wrong in WRONG_INPUTS if SERVED in wrong.ways], ids=str)
def test_a_wrong_input_has_status_400_and_one_line(server, modal_run, tmp_path, wrong):
    status, answer = ask(server, payload(wrong.make(modal_run, tmp_path)))
    assert status == 400
    check_message(told(answer), wrong.words)
    assert "Traceback" not in answer["message"]


def test_a_csv_file_is_an_input(server, modal_run):
    text = modal_run.readings().to_csv(index=False).encode()
    request = urllib.request.Request(server, text, {"Content-Type": "text/csv"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        assert len(json.load(answer)["predictions"]) > 21
