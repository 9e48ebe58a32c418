"""OpenFOAM from Python: find it, write its dictionaries, run it, read its fields."""

import contextlib
import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sparsevq.errors import SparseVQError
from sparsevq.runtime.signals import killed_with_parent
from sparsevq.simulators.shard_job import BlownUpError

INSTALL = "install it (Debian: `apt-get install --no-install-recommends openfoam`) or source its environment first"
OTHER_VERSION = "this is written for version 1912 of openfoam.com: install that one"
# Where Debian's package has the files that WM_PROJECT_DIR points to in other installations.
DEBIAN = Path("/usr/share/openfoam")
# A time step (s) below it means that the solution is blowing up.
SHORTEST_STEP = 1e-5
POLL = 0.2  # s between checks of a running solver
PROGRESS = 20.0  # s between reports of progress


def environment(programs: tuple[str, ...]) -> dict[str, str]:
    """The environment that OpenFOAM's programs run in.

    Raises
    ------
    SparseVQError
        One of them is not on the path, or their configuration is not found.
    """
    missing = [program for program in programs if shutil.which(program) is None]
    if missing:
        raise SparseVQError(f"OpenFOAM's {', '.join(missing)} is missing", INSTALL)
    project = os.environ.get("WM_PROJECT_DIR") or (str(DEBIAN) if (DEBIAN / "etc/controlDict").is_file() else "")
    if not project:
        raise SparseVQError("OpenFOAM is there, but WM_PROJECT_DIR is not set", "source its environment first")
    return {**os.environ, "WM_PROJECT_DIR": project, "FOAM_SIGFPE": "true", "OMP_NUM_THREADS": "1"}


def version(program: str) -> str:
    """The version that a program reports, such as ``1912``."""
    text = subprocess.run(
        [program, "-help"], env=environment((program,)), capture_output=True, text=True, check=False
    ).stdout
    found = re.search(r"Using: OpenFOAM\S*\s*\(?v?(\d[\w.]*)", text)
    return found.group(1) if found else "of unknown version"


def write_dictionary(path: Path, content: str, kind: str = "dictionary") -> None:
    """Write one of a case's files, with the header that all of them have."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"FoamFile {{ version 2.0; format ascii; class {kind}; object {path.name}; }}\n{content}\n")


def read_field(path: Path, cells: int) -> npt.NDArray[np.float64]:
    """Values of a field in the cells: ``(cells,)`` of a scalar, ``(cells, 3)`` of a vector.

    Raises
    ------
    SparseVQError
        The file is missing or no such field.
    """
    fault = SparseVQError(f"{path} is no OpenFOAM field of {cells} cells", "simulate again")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise SparseVQError(f"cannot read {path} ({error.strerror})", "simulate again") from None
    header = re.search(rb"format\s+(ascii|binary)\s*;.*?class\s+vol(Scalar|Vector)Field\s*;", content, re.DOTALL)
    start = re.search(rb"internalField\s+(?:uniform\s+([^;]+);|nonuniform\s+List<\w+>\s*(\d+)\s*\()", content)
    if header is None or start is None:
        raise fault
    components = 3 if header.group(2) == b"Vector" else 1
    if start.group(1) is not None:
        values = np.tile(np.array(start.group(1).strip(b"() ").split(), dtype=np.float64), cells)
    elif int(start.group(2)) != cells:
        raise fault
    elif header.group(1) == b"binary":
        held = content[start.end() : start.end() + 8 * cells * components]
        values = np.frombuffer(held[: len(held) // 8 * 8], "<f8")
    else:
        values = np.array(re.sub(rb"[()]", b" ", content[start.end() :].split(b";")[0]).split(), dtype=np.float64)
    if values.size != cells * components:
        raise fault
    return values.reshape(cells, components) if components > 1 else values


def prepare(case: Path, commands: tuple[str, ...]) -> None:
    """Run the programs that make a case's mesh.

    Raises
    ------
    SparseVQError
        OpenFOAM is missing, or one of them fails.
    """
    for command in commands:
        with _running(case, command) as (program, log):
            if program.wait():
                raise SparseVQError(f"OpenFOAM's {command.split()[0]} failed ({last_line(log)})", OTHER_VERSION)


def solve(case: Path, program: str, frame: Callable[[Path], None], progress: Callable[[float, float], None]) -> None:
    """Run a solver to its end. Each time's folder is removed once `frame` has read it, to limit the space on disk.

    Parameters
    ----------
    case
        The case's folder.
    program
        The solver.
    frame
        ``frame(folder)`` is called once for each time written, in order.
    progress
        ``progress(simulated, elapsed)`` is called every `PROGRESS` seconds with the simulated and the wall time (s).

    Raises
    ------
    BlownUpError
        The solver failed after its first step (the message is the last line of its log), or its time step collapsed.
    SparseVQError
        OpenFOAM is missing, or the solver fails before its first step.
    """
    with _running(case, program) as (running, log):
        started = reported = time.monotonic()
        while running.poll() is None:
            time.sleep(POLL)
            _read_frames(_times(case)[:-1], frame)  # the last may be incomplete
            tail = _tail(log)
            step, simulated = _last_number("deltaT", tail), _last_number("Time", tail)
            if step is not None and step < SHORTEST_STEP:
                raise BlownUpError(f"its time step fell to {step:g} s")
            if simulated and time.monotonic() - reported >= PROGRESS:
                reported = time.monotonic()
                progress(simulated, reported - started)
    if running.returncode:
        if "\nTime = " not in log.read_text(errors="replace"):
            raise SparseVQError(f"OpenFOAM's {program} does not begin ({last_line(log)})", OTHER_VERSION)
        raise BlownUpError(last_line(log))
    _read_frames(_times(case), frame)


@contextlib.contextmanager
def _running(case: Path, command: str) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """A program that runs in a case's folder, and its log; it is killed if the block ends before it."""
    program, *arguments = command.split()
    log = case / f"log.{program}"
    with open(log, "w") as out:
        running = subprocess.Popen(
            [program, *arguments],
            cwd=case,
            env=environment((program,)),
            stdout=out,
            stderr=out,
            preexec_fn=killed_with_parent(),
        )
    try:
        yield running, log
    finally:
        running.kill()
        running.wait()


def _read_frames(folders: list[Path], frame: Callable[[Path], None]) -> None:
    for folder in folders:
        frame(folder)
        shutil.rmtree(folder)


def last_line(log: Path) -> str:
    """The last line of a log that is not empty."""
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1] if lines else "its log is empty"


def _times(case: Path) -> list[Path]:
    """Folders of the times written, in order, without the initial values."""
    folders = [path for path in case.iterdir() if re.fullmatch(r"\d+(\.\d+)?(e-?\d+)?", path.name)]
    return sorted((path for path in folders if float(path.name) > 0), key=lambda path: float(path.name))


def _tail(log: Path) -> str:
    with open(log, "rb") as file:
        file.seek(max(0, log.stat().st_size - 8192))
        return file.read().decode(errors="replace")


def _last_number(name: str, text: str) -> float | None:
    found = re.findall(rf"^{name} = ([-+.\deE]+)", text, re.MULTILINE)
    return float(found[-1]) if found else None
