"""A packed run that is small, and not much less exact: for a release, a mail or a demonstration."""

import json
import os
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sparsevq.data.domain import write_thinned
from sparsevq.errors import SparseVQError
from sparsevq.forecasting.model import load_forecast_model
from sparsevq.runs.pack import SMALL, TOLD, pack
from sparsevq.runs.run import FILES, Part, Run
from sparsevq.runtime.files import unwritable
from sparsevq.runtime.hdf5 import remade
from sparsevq.runtime.model_file import ModelFile, write_rounded
from sparsevq.runtime.rounded import Rounded
from sparsevq.serving.small.tolerance import Tolerance
from sparsevq.serving.small.weights import Weights, small_encoder, small_gpt, small_tokenizer
from sparsevq.stage1.encoding import load_stage1
from sparsevq.stage2.dump import load_tokenizer
from sparsevq.version import VERSION

SHARE = 0.01
"""Rms of the error that rounding one thing makes, over that of the anomalies."""
Measure = Callable[[Run, Run], dict[str, Any]]
DEFLATED = {"compression": "gzip", "compression_opts": 9, "shuffle": True}


def pack_small(run: Run, out: Path, share: float = SHARE, measure: Measure | None = None) -> dict[str, Any]:
    """Pack a run into a new folder, with numbers that have as many digits as matter.

    What it holds is what `pack` gives, and is opened as that is. Each kind of number is rounded so that it alone makes
    an error of about `share` of the anomalies' rms (`tolerance.py`); components of the regressions that say less than
    that are left out. Of each kernel's examples `weights.KEPT` at most stay: what that costs is no matter of `share`.

    Parameters
    ----------
    run
        A run with all models and a basis.
    out
        The folder to make; it must not be there, or be empty.
    share
        Above 0, below 1.
    measure
        What to say of it in its ``small.json``, by the run and the packed one; None: nothing.

    Returns
    -------
    What ``small.json`` says.

    Raises
    ------
    SparseVQError
        As of `pack`; the run has no basis, or `share` is not allowed.
    """
    if not 0 < share < 1:
        raise SparseVQError(f"tolerance={share:g} is not allowed", "give a number between 0 and 1, such as 0.01")
    tolerance = Tolerance.of(run.basis, share)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise SparseVQError(f"{out} is there already", "remove it, or choose another folder")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as folder:
            whole, made = Path(folder) / "whole", Path(folder) / "run"
            pack(run, whole)
            _write(Run(whole), made, tolerance)
            load_forecast_model(Run(made), torch.device("cpu"))  # its files are checked against each other
            told = {"sparsevq_version": VERSION, "tolerance": share, **(measure(run, Run(made)) if measure else {})}
            (made / SMALL).write_text(json.dumps(told, indent=1) + "\n")
            made.replace(out)
    except OSError as error:
        raise unwritable(out, error) from None
    return told


def _write(run: Run, made: Path, tolerance: Tolerance) -> None:
    """Write all files, each made from those that are written before."""
    made.mkdir()
    small = Run(made)
    write_thinned(made / FILES["domain"], run.file("domain"), tolerance.share)
    _write_basis(run, made / FILES["basis"], tolerance)
    _copy(run, small, "sensors", ("basis",))
    encoders: tuple[Part, ...] = ("sparse", "semi_sparse")
    for role in encoders:
        _write_model(small, role, *small_encoder(run.model(role), tolerance))
    _write_tokenizer(run, small, tolerance)
    if run.has("calibration"):
        _copy(run, small, "calibration", ("sensors", "tokenizer", "gpt"))
    for told in TOLD:
        if (run.path / told).is_file():
            os.link(run.path / told, made / told)


def _write_basis(run: Run, path: Path, tolerance: Tolerance) -> None:
    """Modes are multiples of a power of two, whose digits HDF5's filters make little of."""
    basis = run.basis
    steps = 2.0 ** np.floor(np.log2(tolerance.of_modes()))[:, None, None]
    modes = (np.rint(basis.modes / steps) * steps).astype(np.float32)
    lost = basis.std[:, None, None] ** 2 * (np.square(basis.modes, dtype=np.float64) - np.square(modes))
    residual = np.maximum(basis.residual + lost.sum(axis=0), 0).astype(np.float32)
    with remade(run.file("basis"), path, {}, without=("modes", "residual")) as file:
        file.create_dataset("modes", data=modes, chunks=(1, *modes.shape[1:]), **DEFLATED)
        file.create_dataset("residual", data=residual, **DEFLATED)


def _write_tokenizer(run: Run, small: Run, tolerance: Tolerance) -> None:
    """The tokenizer, and the GPT, which has its codebook."""
    file = run.model("tokenizer")
    weights = small_tokenizer(file, tolerance)
    _write_model(small, "tokenizer", file, weights)
    cpu = torch.device("cpu")
    codebook = load_tokenizer(small, load_stage1(small, "semi_sparse", cpu), cpu).quantizer.codebook()
    codes = weights.get("quantizer.codes")
    known = codes if isinstance(codes, Rounded) else None
    _write_model(small, "gpt", *small_gpt(run.model("gpt"), codebook, known, tolerance))


def _write_model(small: Run, part: Part, file: ModelFile, weights: Weights) -> None:
    path = small.file(part)
    path.parent.mkdir()
    write_rounded(path, file, weights, {**file.made_from, **_digests(small, file.made_from)})


def _copy(run: Run, small: Run, name: str, of: tuple[str, ...]) -> None:
    with remade(run.file(name), small.file(name), _digests(small, of)):
        pass


def _digests(small: Run, names: Mapping[str, str] | tuple[str, ...]) -> dict[str, str]:
    """Of those files that are there already."""
    return {name: small.digest(name) for name in names if name in FILES and small.has(name)}
