"""A run packed: a folder with all that forecasts need and nothing else, to send to somebody or to serve."""

import os
import shutil
import tempfile
from pathlib import Path

from sparsevq.data.domain import write_domain
from sparsevq.errors import SparseVQError
from sparsevq.runs.folder import RECORD
from sparsevq.runs.run import FILES, PARTS, Run
from sparsevq.runtime.files import unwritable

NEEDED = ("sensors", *PARTS)
ALSO = ("basis", "calibration")
"""Files that runs of earlier versions, or runs that are not calibrated, do without."""
SMALL = "small.json"
"""Of a small packed run (`sparsevq.serving.small`): how far its numbers are rounded, and what that costs."""
TOLD = ("sensors.csv", "readings_example.csv", "scores.csv", SMALL, RECORD)
"""For those who use it: where its sensors are, what readings look like, how good its forecasts were."""


def pack(run: Run, out: Path) -> None:
    """Pack a run into a new folder, which `Run` and `Forecaster` open as they do the run's own.

    Files take no further space where the file system can give one a second name. The folder appears whole or not at
    all.

    Parameters
    ----------
    run
        A run with all models; its files are checked against each other.
    out
        The folder to make; it must not be there, or be empty.

    Raises
    ------
    SparseVQError
        The run is not finished, a file is damaged or doesn't fit the others, or the folder can't be made.
    """
    run.needs(*PARTS)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise SparseVQError(f"{out} is there already", "remove it, or choose another folder")
    names = [*NEEDED, *(name for name in ALSO if run.has(name))]
    assert run.sensors is not None  # read, and so checked
    for part in PARTS:
        run.model(part)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as folder:
            made = Path(folder) / "run"
            made.mkdir()
            if run.packed:
                names.append("domain")
            else:
                write_domain(made / FILES["domain"], run.file("data"))
            for name in names:
                _add(run.file(name), made / FILES[name])
            for told in TOLD:
                if (run.path / told).is_file():
                    _add(run.path / told, made / told)
            made.replace(out)
    except OSError as error:
        raise unwritable(out, error) from None


def _add(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source.resolve(), target)
    except OSError:
        shutil.copyfile(source, target)
