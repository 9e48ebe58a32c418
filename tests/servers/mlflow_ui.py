"""MLflow's pages of a store; as a program, a picture of the charts that compare the runs of an experiment:

python -m tests.servers.mlflow_ui results/mlflow.db sea-surface docs/figures/mlflow-comparison.png
"""

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.browser import browser, screenshot

QUIET = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
SECONDS = 120.0


@contextlib.contextmanager
def running(database: Path) -> Iterator[str]:
    """`mlflow ui` on a store in a file, at a free port of this machine; its address."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    arguments = ("ui", "--backend-store-uri", f"sqlite:///{database.resolve()}", "--port", str(port), "--workers", "1")
    process = subprocess.Popen(
        [sys.executable, "-m", "mlflow", *arguments],
        env={**os.environ, **QUIET},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait(lambda: _listens(port))
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


def _listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


def wait(condition: Any) -> Any:
    """What a function returns once that is true."""
    until = time.monotonic() + SECONDS
    while not (found := condition()):
        assert time.monotonic() < until, "the page does not show what it should"
        time.sleep(0.2)
    return found


def open_charts(chromium: Any, address: str, experiment: str) -> None:
    """The charts of an experiment's results, by the link in its description, as a user comes to them."""
    chromium.get(f"{address}/#/experiments/{experiment}")
    wait(lambda: chromium.find_elements("link text", "Charts"))
    _close(chromium)
    charts = chromium.find_element("link text", "Charts").get_attribute("href")
    chromium.get("about:blank")
    chromium.get(charts)
    wait(lambda: "by_lead_time/relative_l2" in chromium.find_element("tag name", "body").text)


def _close(chromium: Any) -> None:
    """Close the panel that MLflow opens by itself."""
    name = "mlflow.assistant.chat_panel.close"
    for button in chromium.find_elements("css selector", f"button[data-component-id='{name}']"):
        chromium.execute_script("arguments[0].click()", button)  # it may be below another window


if __name__ == "__main__":
    from mlflow import MlflowClient

    store, name, out = sys.argv[1:]
    number = MlflowClient(f"sqlite:///{Path(store).resolve()}").get_experiment_by_name(name).experiment_id
    with running(Path(store)) as where, browser(1600, 1000) as pages:
        open_charts(pages, where, number)
        time.sleep(5)  # lines are drawn
        screenshot(pages, Path(out))
