"""A tracking server in a thread: MLflow's REST interface over dictionaries, as far as couriers use it.

It answers late, refuses or is away as a test wants, and starts in no time.
"""

import json
import re
import threading
import time
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit


class FakeMLflow:
    """The server, and what it holds.

    Attributes
    ----------
    delay
        Seconds before each answer.
    refusal
        An HTTP status to answer everything with.
    lost
        After this many more requests, do what is asked but hang up instead of answering.
    """

    def __init__(self) -> None:
        self.delay, self.refusal, self.lost = 0.0, 0, -1
        self.requests: list[str] = []
        self.experiments: dict[str, dict[str, Any]] = {}
        self.runs: dict[str, dict[str, Any]] = {}
        self.lock = threading.Lock()
        self.port = 0
        self._server: ThreadingHTTPServer | None = None
        self.start()

    @property
    def uri(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Listen, after `stop` at the same port."""
        fake = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.answer({key: value[0] for key, value in parse_qs(urlsplit(self.path).query).items()})

            def do_POST(self) -> None:
                self.answer(json.loads(self.rfile.read(int(self.headers["Content-Length"])) or b"{}"))

            do_PATCH = do_POST

            def answer(self, given: dict[str, Any]) -> None:
                time.sleep(fake.delay)
                if fake.refusal:
                    status, found = fake.refusal, {"error_code": "PERMISSION_DENIED", "message": "no entry"}
                else:
                    with fake.lock:
                        status, found = fake.respond(urlsplit(self.path).path, given)
                    fake.lost -= 1
                    if fake.lost == 0:
                        return
                body = json.dumps(found).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            allow_reuse_address = True

            def handle_error(self, *_: object) -> None:  # a client that was killed
                pass

        self._server = Server(("127.0.0.1", self.port), Handler)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def stop(self) -> None:
        """Go away, and keep what is held."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    # ------------------------------------------------------------------------------------------ what it holds

    def named(self, name: str) -> dict[str, Any]:
        """The one run of this name that is not deleted."""
        (run,) = [run for run in self.runs.values() if run["name"] == name and not run["deleted"]]
        return run

    def curve(self, name: str, metric: str) -> list[tuple[int, float]]:
        """(step, value) of a metric, as they arrived."""
        return [(m["step"], m["value"]) for m in self.named(name)["metrics"] if m["key"] == metric]

    def respond(self, path: str, given: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """Status and body of an answer."""
        what = path.removeprefix("/api/2.0/mlflow/")
        self.requests.append(what)
        if what.startswith("experiments/"):
            return self._experiments(what, given)
        if what == "runs/search":
            tag, value = re.findall("tags.`(.*)` = '(.*)'", given["filter"])[0]
            found = [run for run in self.runs.values() if run["tags"].get(tag) == value and not run["deleted"]]
            return 200, {"runs": [_shown(run) for run in found]}
        if what == "runs/create":
            run = {"id": uuid.uuid4().hex, "name": given.get("run_name"), "status": "RUNNING", "deleted": False}
            run |= {"tags": {}, "params": {}, "metrics": [], "experiment": given["experiment_id"], "end_time": None}
            run |= {"start_time": int(given["start_time"]), "inputs": []}
            run["tags"] = {tag["key"]: tag["value"] for tag in given.get("tags", [])}
            self.runs[run["id"]] = run
            return 200, {"run": _shown(run)}
        return self._change(what, self.runs.get(given.get("run_id") or given.get("run_uuid") or ""), given)

    def _experiments(self, what: str, given: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        if what == "experiments/search":
            return 200, {"experiments": []}
        if what == "experiments/create":
            tags = {tag["key"]: tag["value"] for tag in given.get("tags", [])}
            number = str(len(self.experiments) + 1)
            made = self.experiments.setdefault(given["name"], {"id": number, "name": given["name"], "tags": tags})
            return 200, {"experiment_id": made["id"]}
        by, wanted = ("name", given.get("experiment_name")) if what.endswith("name") else ("id", given["experiment_id"])
        found = next((one for one in self.experiments.values() if one[by] == wanted), None)
        if wanted == "0":
            found = {"id": "0", "name": "Default", "tags": {}}
        if found is None:
            return 404, {"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "no such experiment"}
        if what == "experiments/set-experiment-tag":
            found["tags"][given["key"]] = given["value"]
            return 200, {}
        tags = [{"key": key, "value": value} for key, value in found["tags"].items()]
        shown = {"experiment_id": found["id"], "name": found["name"], "lifecycle_stage": "active", "tags": tags}
        return 200, {"experiment": shown}

    def _change(self, what: str, run: dict[str, Any] | None, given: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        known = ("get", "delete", "update", "set-tag", "log-batch", "log-inputs")
        if what not in [f"runs/{name}" for name in known]:
            return 404, {"error_code": "ENDPOINT_NOT_FOUND", "message": what}
        if run is None:
            return 404, {"error_code": "RESOURCE_DOES_NOT_EXIST", "message": f"no such run ({what})"}
        if what == "runs/get":
            return 200, {"run": _shown(run)}
        if what == "runs/delete":
            run["deleted"] = True
        elif run["deleted"]:
            return 400, {"error_code": "INVALID_PARAMETER_VALUE", "message": "The run must be in the 'active' state."}
        elif what == "runs/update":
            run["status"] = given.get("status", run["status"])
            run["name"] = given.get("run_name", run["name"])
            run["end_time"] = int(given["end_time"]) if "end_time" in given else run["end_time"]
            return 200, {"run_info": _shown(run)["info"]}
        elif what == "runs/set-tag":
            run["tags"][given["key"]] = given["value"]
        elif what == "runs/log-inputs":
            run["inputs"] += [each for each in given["datasets"] if each not in run["inputs"]]
        elif what == "runs/log-batch":
            for param in given.get("params", []):
                if run["params"].setdefault(param["key"], param["value"]) != param["value"]:
                    return 400, {"error_code": "INVALID_PARAMETER_VALUE", "message": "Changing param values"}
            if any(len(metric["key"]) > 250 for metric in given.get("metrics", [])):
                return 400, {"error_code": "INVALID_PARAMETER_VALUE", "message": "name too long"}
            run["tags"] |= {tag["key"]: tag["value"] for tag in given.get("tags", [])}
            for metric in given.get("metrics", []):
                metric = {
                    name: int(value) if name in ("step", "timestamp") else value for name, value in metric.items()
                }
                if (metric := {"step": 0, **metric}) not in run["metrics"]:  # as MLflow's stores do
                    run["metrics"].append(metric)
        return 200, {}


def _shown(run: dict[str, Any]) -> dict[str, Any]:
    info = {"run_id": run["id"], "run_uuid": run["id"], "run_name": run["name"], "status": run["status"]}
    info |= {"experiment_id": run["experiment"], "lifecycle_stage": "deleted" if run["deleted"] else "active"}
    info["start_time"] = run["start_time"]
    data = {name: [{"key": key, "value": value} for key, value in run[name].items()] for name in ("tags", "params")}
    return {"info": info, "data": data, "inputs": {"dataset_inputs": run["inputs"]}}
