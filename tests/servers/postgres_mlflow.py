"""A private PostgreSQL and an MLflow server on it, at free ports of this machine, until they are told to stop.

    python tests/servers/postgres_mlflow.py

prints the server's address and waits for Ctrl-C. Debian's package `postgresql` and `psycopg2-binary` are needed, no
service nor any right: PostgreSQL refuses to run as root, so root starts it as the user `postgres` or `nobody`.
"""

import contextlib
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path


@dataclass(frozen=True)
class Servers:
    """Where they are: `uri` is the MLflow server, `database` PostgreSQL with its password."""

    uri: str
    database: str


def missing() -> str:
    """What keeps the servers from being started; empty if nothing does."""
    if programs() is None:
        return "PostgreSQL is not installed (Debian: postgresql)"
    absent = [name for name in ("mlflow", "psycopg2") if find_spec(name) is None]
    return f"not installed: {', '.join(absent)}" if absent else ""


def programs() -> Path | None:
    """The folder of PostgreSQL's programs, which Debian keeps off the path."""
    on_path = shutil.which("initdb")
    found = [Path(on_path).resolve()] if on_path else sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return found[-1].parent if found else None


@contextlib.contextmanager
def running() -> Iterator[Servers]:
    """Start both; stop both and remove their data at the end."""
    with tempfile.TemporaryDirectory(prefix="postgres-mlflow-", dir="/tmp") as name:
        folder = Path(name)
        with _postgres(folder) as database, _mlflow(folder, database) as uri:
            yield Servers(uri, database)


@contextlib.contextmanager
def _postgres(folder: Path) -> Iterator[str]:
    found = programs()
    assert found is not None, missing()
    owner: dict[str, int] = {}
    if os.geteuid() == 0:
        user = next(entry for entry in pwd.getpwall() if entry.pw_name in ("postgres", "nobody"))
        owner = {"user": user.pw_uid, "group": user.pw_gid}
        os.chown(folder, user.pw_uid, user.pw_gid)
    password, port, data = secrets.token_hex(8), free_port(), folder / "data"
    (folder / "password").write_text(password)
    (folder / "password").chmod(0o644)  # the folder itself is its owner's alone

    def call(program: str, *arguments: str) -> None:
        environment = {**os.environ, "PGPASSWORD": password}
        ended = subprocess.run(
            (found / program, *arguments),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=folder,
            env=environment,
            check=False,
            **owner,
        )
        if ended.returncode:
            raise RuntimeError(f"{program} failed: {ended.stdout}")

    login = ("--username=mlflow", f"--pwfile={folder / 'password'}", "--auth=scram-sha-256")
    call("initdb", f"--pgdata={data}", *login, "--no-sync", "--encoding=UTF8", "--locale=C")
    options = f"-p {port} -h 127.0.0.1 -k {folder} -c fsync=off"
    call("pg_ctl", f"--pgdata={data}", f"--log={folder / 'postgres.log'}", "--wait", f"--options={options}", "start")
    try:
        call("createdb", "--host=127.0.0.1", f"--port={port}", "--username=mlflow", "runs")
        yield f"postgresql://mlflow:{password}@127.0.0.1:{port}/runs"
    finally:
        call("pg_ctl", f"--pgdata={data}", "--mode=fast", "stop")


@contextlib.contextmanager
def _mlflow(folder: Path, database: str) -> Iterator[str]:
    port = free_port()
    uri = f"http://127.0.0.1:{port}"
    command = (
        *(sys.executable, "-m", "mlflow", "server", "--backend-store-uri", database),
        *("--artifacts-destination", str(folder / "artifacts"), "--host", "127.0.0.1", "--port", str(port)),
        *("--workers", "1"),
    )
    settings = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    with open(folder / "mlflow.log", "w+") as log:
        server = subprocess.Popen(
            command, stdout=log, stderr=log, cwd=folder, env={**os.environ, **settings}, start_new_session=True
        )
        try:
            _wait_for(f"{uri}/health", server, Path(log.name))
            yield uri
        finally:
            os.killpg(server.pid, signal.SIGTERM)
            try:
                server.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(server.pid, signal.SIGKILL)
                server.wait()


def _wait_for(address: str, server: subprocess.Popen, log: Path) -> None:
    until = time.monotonic() + 120
    while time.monotonic() < until and server.poll() is None:
        with contextlib.suppress(OSError), urllib.request.urlopen(address, timeout=2):
            return
        time.sleep(0.1)
    raise RuntimeError(f"the MLflow server does not come up:\n{log.read_text()[-2000:]}")


def free_port() -> int:
    """A port that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def main() -> int:
    """Run both until Ctrl-C or SIGTERM."""
    if missing():
        print(missing(), file=sys.stderr)
        return 1
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with contextlib.suppress(KeyboardInterrupt), running() as servers:
        print(f"MLFLOW_TRACKING_URI={servers.uri}\n{servers.database}", flush=True)
        signal.pause()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
