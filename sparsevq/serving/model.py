"""The folder of a run's MLflow model: the packed run, this package, a signature, an example and pinned requirements."""

import contextlib
import logging
import shutil
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import sparsevq
from sparsevq.errors import SparseVQError
from sparsevq.forecasting.forecaster import Forecaster
from sparsevq.runs.pack import pack
from sparsevq.runs.run import Run
from sparsevq.runtime.files import folder_beside, unwritable
from sparsevq.version import VERSION

REQUIRED = (
    *("torch", "lightning-fabric", "vector-quantize-pytorch", "einops", "safetensors"),
    *("numpy", "scipy", "pandas", "xarray", "cftime", "h5py", "pydantic", "pyyaml", "filelock", "nvidia-ml-py"),
)
"""What a forecast imports of other packages; they bring the rest."""


def requirements() -> list[str]:
    """Pinned to what is installed here. Of MLflow the part that serves models is enough (``mlflow-skinny``)."""
    pinned = [f"{name}=={version(name).partition('+')[0]}" for name in REQUIRED]
    return [f"mlflow-skinny=={version('mlflow')}", *pinned]


def write_model(run: Run, out: Path, about: Mapping[str, Any] | None = None) -> None:
    """Write a run as a model of MLflow's flavor ``python_function``; the folder appears whole or not at all.

    Parameters
    ----------
    run
        A run, all stages of which are trained.
    out
        The folder to make; it must not be there, or be empty.
    about
        What else the file ``MLmodel`` is to say of it (under ``metadata``).

    Raises
    ------
    SparseVQError
        The run is not finished, a file is damaged or doesn't fit the others, or the folder can't be made.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise SparseVQError(f"{out} is there already", "remove it, or choose another folder")
    try:
        with folder_beside(out) as folder:
            _write(run, folder / "model", folder / "run", about or {})
            (folder / "model").replace(out)
    except OSError as error:
        raise unwritable(out, error) from None


def _write(run: Run, out: Path, packed: Path, about: Mapping[str, Any]) -> None:
    from mlflow.models import Model
    from mlflow.pyfunc import save_model

    from sparsevq.serving.pyfunc import ARTIFACT
    from sparsevq.serving.signature import example_of, signature_of

    pack(run, packed)
    forecaster = Forecaster(packed, device="cpu")
    told = {"sparsevq_version": VERSION, "data_set": forecaster.data.name, **about}
    place_holder = packed.with_name("empty") / ARTIFACT
    place_holder.mkdir(parents=True)
    with _quiet(), _package() as code:
        save_model(
            str(out),
            python_model=str(Path(__file__).with_name("served.py")),
            artifacts={ARTIFACT: str(place_holder)},
            code_paths=[str(code)],
            signature=signature_of(forecaster),
            input_example=(example_of(forecaster), {"frames": 3}),
            pip_requirements=requirements(),
            model_config={"device": "auto"},
            metadata={"sparsevq": told},
        )
    # MLflow copies artifacts; the models of a run are large, and a second name of a file takes no space.
    shutil.rmtree(out / "artifacts")
    (out / "artifacts").mkdir()
    packed.replace(out / "artifacts" / ARTIFACT)
    model = Model.load(str(out))
    flavor = model.flavors["python_function"]  # no paths of this machine
    flavor["artifacts"][ARTIFACT]["uri"] = flavor["artifacts"][ARTIFACT]["path"]
    flavor["model_code_path"] = "served.py"
    model.model_size_bytes = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
    model.save(str(out / "MLmodel"))


@contextlib.contextmanager
def _package() -> Iterator[Path]:
    """This package's code alone, wherever it is installed."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(sparsevq.__file__).parent
        yield Path(
            shutil.copytree(
                source, Path(folder) / "sparsevq", ignore=shutil.ignore_patterns("__pycache__", "demo_models")
            )
        )


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """MLflow says of this way to save what is no fault."""
    logger = logging.getLogger("mlflow")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
