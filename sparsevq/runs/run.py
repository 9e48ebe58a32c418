"""One run: which files it has, what made each of them, and reading them checked against each other.

The names of the files are the same whether the workflow or `sparsevq train` wrote them (``docs/architecture.md``).
"""

import re
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

from sparsevq.basis.basis import Basis
from sparsevq.basis.layout import read_basis
from sparsevq.data.domain import SamplesOfDomain, read_packed_domain
from sparsevq.data.field_data import FieldData
from sparsevq.data.layout import read_data, read_domain
from sparsevq.data.sampled import Samples, SamplesOfDataSet
from sparsevq.errors import SparseVQError
from sparsevq.runtime.files import digest
from sparsevq.runtime.integrity import require_made_from
from sparsevq.sensors.placement import SensorSets, read_sensors

if TYPE_CHECKING:
    import torch

    from sparsevq.runs.codes import Codes
    from sparsevq.runtime.model_file import ModelFile

Part = Literal["sparse", "semi_sparse", "tokenizer", "gpt"]

PARTS: tuple[Part, ...] = ("sparse", "semi_sparse", "tokenizer", "gpt")
"""The models of a run, in the order in which they are trained (the semi-sparse encoder may come first)."""

FILES: dict[str, str] = {
    "data": "data.h5",
    "domain": "domain.h5",
    "basis": "basis.h5",
    "sensors": "sensors.h5",
    **{part: f"{part}/model.safetensors" for part in PARTS},
    "codes": "codes.h5",
    "calibration": "calibration.h5",
    "forecast": "forecast.h5",
    "baselines": "baselines.h5",
}
"""Name -> where the file is in the run's folder."""

MADE_BY: dict[str, str] = {
    "sparse": "stage 1",
    "semi_sparse": "stage 1",
    "tokenizer": "stage 2",
    "codes": "stage 2",
    "gpt": "stage 3",
    "calibration": "stage 3",
}

OF_BASE: tuple[str, ...] = ("sensors", *PARTS, "codes")
"""What a variant's run may lack: where its changes have no part in it, it has that of the base run.

Its calibration, which is its own, says which it was made from.
"""

OF_VARIANT = re.compile(r"n\d+(-[a-z]+)?\+")
"""How the name of the folder above a variant's run begins."""

CHECKED: dict[str, tuple[str, ...]] = {
    "basis": ("data",),
    "sensors": ("data", "basis"),
    "sparse": ("data", "basis"),
    "semi_sparse": ("data", "basis"),
    "tokenizer": ("semi_sparse", "sparse"),
    "codes": ("data", "sensors", "tokenizer", "sparse", "semi_sparse"),
    "gpt": ("tokenizer", "codes"),
    "calibration": ("data", "sensors", "tokenizer", "gpt", "codes"),
    "forecast": ("data", "basis", "sensors", "codes", "calibration"),
    "baselines": ("data", "basis", "sensors", "forecast"),
}
"""Name -> the files of the run that it must have been made from.

Encoders are bound to the places of their sensors (`sparsevq.stage1.encoding.load_stage1`), not to the sensors' file.
"""


class Run:
    """The files of one run.

    A file is read once, and checked against the other files of the run that are there: that it was made from them.

    Parameters
    ----------
    path
        Folder of the run: ``results/<experiment>/<data_set>/n<num_sensors>/seed<seed>`` of the workflow, or the folder
        that `sparsevq train` wrote; None: the run has only `files`.
    **files
        Name (a key of `FILES`) -> a file that takes the place of the folder's own.
    """

    def __init__(self, path: str | Path | None = None, **files: str | Path):
        self._path = None if path is None else Path(path)
        self._files = {name: Path(file) for name, file in files.items()}
        self._models: dict[str, ModelFile] = {}

    @classmethod
    def of(cls, files: Iterable[tuple[str, object]]) -> Self:
        """A run of the files that a rule of the workflow declares, by name; other names are left out."""
        return cls(None, **{name: str(file) for name, file in files if name in FILES and file})

    # -------------------------------------------------------------------------------------------- files

    @property
    def path(self) -> Path:
        """Folder of the run.

        Raises
        ------
        SparseVQError
            It has none, but only files.
        """
        if self._path is None:
            raise SparseVQError("this run has no folder", "give it one, or name each of its files")
        return self._path

    @property
    def packed(self) -> bool:
        """Whether it has only what forecasts need of its data set, not the data set (`sparsevq.runs.pack`)."""
        return "data" not in self._files and self.has("domain") and not (self.path / FILES["data"]).exists()

    def file(self, name: str) -> Path:
        """Where a file of the run is, or is to be.

        Raises
        ------
        SparseVQError
            The run has no folder, and the file is not one of those that it was given.
        """
        if name in self._files:
            return self._files[name]
        own = self.path / FILES[name]
        if name in OF_BASE and not own.exists() and (self.path / FILES["calibration"]).exists():
            run = self.path.resolve()
            if OF_VARIANT.match(run.parent.name):
                return run.parent.with_name(run.parent.name.partition("+")[0]) / run.name / FILES[name]
        # The workflow has the data set and its basis two folders above, for all runs on it.
        above = self.path.resolve().parent.parent / FILES[name]
        shared = name in ("data", "basis") and not (self.path / FILES["domain"]).exists()
        return above if shared and not own.exists() and above.exists() else own

    def folder(self, part: Part) -> Path:
        """Folder of a model and its training curves."""
        return self.file(part).parent

    def has(self, name: str) -> bool:
        """Whether a file is there."""
        return (name in self._files or self._path is not None) and self.file(name).is_file()

    @property
    def parts(self) -> tuple[Part, ...]:
        """The models that are there."""
        return tuple(part for part in PARTS if self.has(part))

    def needs(self, *names: str) -> None:
        """Check that files are there.

        Raises
        ------
        SparseVQError
            The folder or one of the files is missing; the message says which stage makes it.
        """
        if not self.path.is_dir():
            raise SparseVQError(f"there is no run folder {self.path}", "check the path")
        for name in names:
            if not self.has(name) and self.packed and name not in PARTS:
                raise self._only_packed(name)
            if not self.has(name):
                below = sorted(str(file.parent.parent) for file in self.path.glob(f"**/{FILES['gpt']}"))
                raise SparseVQError(
                    f"{self.path} has no {FILES[name]}, which {MADE_BY[name]} makes",
                    f"give the folder of one run, such as {below[0]}" if below else "train that stage first",
                )

    def _only_packed(self, name: str) -> SparseVQError:
        return SparseVQError(
            f"{self.path} is a packed run, which is for forecasts alone: it has no {FILES[name]}",
            "use the run that it was packed from",
        )

    def digest(self, name: str) -> str:
        """SHA-256 digest of a file; of a packed run's data set, of that which it was packed from."""
        return self.domain.digest if name == "data" and self.packed else digest(self.file(name))

    def digests(self, *names: str) -> dict[str, str]:
        """Name -> SHA-256 digest."""
        return {name: self.digest(name) for name in names}

    def paths(self, *names: str) -> dict[str, Path]:
        """Name -> path."""
        return {name: self.file(name) for name in names}

    # -------------------------------------------------------------------------------------------- contents

    @cached_property
    def data(self) -> FieldData:
        """The data set.

        Raises
        ------
        SparseVQError
            The file is missing (of packed runs too), damaged or faulty.
        """
        if self.packed:
            raise self._only_packed("data")
        return read_data(self.file("data"))

    @cached_property
    def domain(self) -> FieldData:
        """The data set without its frames, which may be many gigabytes."""
        if self.packed:
            return read_packed_domain(self.file("domain"))
        return self.__dict__.get("data") or read_domain(self.file("data"))

    @property
    def samples(self) -> Samples:
        """Some frames of the data set, by which readings are judged."""
        if self.packed:
            return SamplesOfDomain(self.file("domain"))
        return SamplesOfDataSet(self.file("data"), self.domain)

    @cached_property
    def basis(self) -> Basis:
        """Time mean and modes of the data set.

        Raises
        ------
        SparseVQError
            The file is missing (runs of earlier versions have none), damaged, or of another data set.
        """
        if not self.has("basis"):
            raise SparseVQError(
                f"{self._path or 'this run'} has no {FILES['basis']}: the time mean and modes of the data set",
                "make it (snakemake, rule basis); models of earlier versions do without, but nothing new is made so",
            )
        basis = read_basis(self.file("basis"))
        self.check("basis", basis.made_from)
        return basis

    @cached_property
    def sensors(self) -> SensorSets:
        """The sensors.

        Raises
        ------
        SparseVQError
            The file is missing, damaged, or of another data set.
        """
        sensors = read_sensors(self.file("sensors"), self.domain.channels if self.has("data") or self.packed else ())
        self.check("sensors", sensors.made_from)
        return sensors

    def model(self, part: Part) -> "ModelFile":
        """A trained model as read.

        An encoder may have been trained in either role: another run's only encoder may be the teacher of this one.

        Raises
        ------
        SparseVQError
            The file is missing, damaged, of another kind, or was made from other files than those of this run.
        """
        from sparsevq.runtime.model_file import load_model  # imports torch, which takes seconds

        if part not in self._models:
            kinds = ("sparse", "semi_sparse") if part in ("sparse", "semi_sparse") else (part,)
            file = load_model(self.file(part), *kinds)
            self.check(part, file.made_from, rule=file.kind)
            self._models[part] = file
        return self._models[part]

    def codes(self, device: "torch.device | str" = "cpu") -> "Codes":
        """The index dump, on a device.

        Raises
        ------
        SparseVQError
            The file is missing, damaged, or was made from other files than those of this run.
        """
        from sparsevq.runs.codes import read_codes

        codes = read_codes(self.file("codes"), device)
        self.check("codes", codes.made_from)
        return codes

    def check(self, name: str, made_from: Mapping[str, str], rule: str | None = None) -> None:
        """Check that a file was made from the other files of the run that are there.

        Parameters
        ----------
        made_from
            Name -> digest, as the file records them.
        rule
            The rule of the workflow that makes it; None: of the same name.

        Raises
        ------
        SparseVQError
            It was made from others; the message names the first.
        """
        there = (other for other in CHECKED[name] if self.has(other) or (other == "data" and self.packed))
        given = self.digests(*there)
        require_made_from(self.file(name), made_from, given, rule or name)
