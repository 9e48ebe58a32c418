"""Running NIST's Fire Dynamics Simulator where it is installed."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from sparsevq.errors import SparseVQError
from sparsevq.runtime.files import unwritable
from sparsevq.runtime.signals import killed_with_parent

PROGRAM = "fds"
FINISHED = "FDS completed successfully"
"""Last line of a successful run; the exit status is 0 after a numerical instability too."""


def run_fds(input_file: str | Path, folder: str | Path, threads: int = 1) -> None:
    """Run FDS on an input file, in a folder that appears once FDS has finished.

    Parameters
    ----------
    input_file
        ``<name>.fds``.
    folder
        Folder for its outputs, which must not exist.
    threads
        For OpenMP.

    Raises
    ------
    SparseVQError
        FDS is not installed, or ended early, or the folder can't be written.
    """
    source, folder = Path(input_file), Path(folder)
    program = shutil.which(PROGRAM)
    if program is None:
        raise SparseVQError(
            f"{source}: {PROGRAM} (NIST Fire Dynamics Simulator) is not installed here",
            f"install it (https://pages.nist.gov/fds-smv), or run the files of {source.parent} where it is, each in a "
            f"folder of its name, and put these folders into {folder.parent}",
        )
    part = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    try:
        part.mkdir(parents=True)
        shutil.copyfile(source, part / source.name)
        ended = subprocess.run(
            [program, source.name],
            cwd=part,
            env={**os.environ, "OMP_NUM_THREADS": str(threads)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            check=False,
            preexec_fn=killed_with_parent(),
        )
        sys.stderr.write(ended.stdout)
        if ended.returncode or FINISHED not in ended.stdout:
            raise SparseVQError(f"{source}: {PROGRAM} failed ({_reason(ended)})", "see its messages in the log")
        os.replace(part, folder)
    except OSError as error:
        raise unwritable(folder, error) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _reason(ended: subprocess.CompletedProcess[str]) -> str:
    """The line of FDS's output with the reason why it stopped, or else its exit status."""
    lines = [line.strip() for line in ended.stdout.splitlines()]
    reasons = (line for line in lines if line.startswith(("ERROR", "STOP")))
    return next(reasons, f"exit status {ended.returncode}")
