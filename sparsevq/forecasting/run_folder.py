"""The folder of a run: the same names whether the workflow or `sparsevq train` wrote it (``docs/architecture.md``)."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sparsevq.errors import SparseVQError

Part = Literal["sparse", "semi_sparse", "tokenizer", "gpt"]

PARTS: tuple[Part, ...] = ("sparse", "semi_sparse", "tokenizer", "gpt")
MADE_BY = {
    "sparse": "stage 1",
    "semi_sparse": "stage 1",
    "tokenizer": "stage 2",
    "codes.h5": "stage 2",
    "gpt": "stage 3",
}


@dataclass(frozen=True)
class RunFolder:
    """Where the files of one run are."""

    path: Path

    def folder(self, part: Part) -> Path:
        """Folder of a model."""
        return self.path / part

    def model(self, part: Part) -> Path:
        """A trained model."""
        return self.path / part / "model.safetensors"

    @property
    def sensors(self) -> Path:
        """The sensors."""
        return self.path / "sensors.h5"

    @property
    def codes(self) -> Path:
        """The index dump."""
        return self.path / "codes.h5"

    @property
    def data(self) -> Path:
        """The data set: in the run's own folder, or where the workflow has it, two above."""
        own = self.path / "data.h5"
        return own if own.exists() or not self._workflow_data.exists() else self._workflow_data

    @property
    def _workflow_data(self) -> Path:
        return self.path.resolve().parent.parent / "data.h5"

    @property
    def parts(self) -> tuple[Part, ...]:
        """The models that are there."""
        return tuple(part for part in PARTS if self.model(part).is_file())

    def needs(self, *parts: Part | Literal["codes.h5"]) -> None:
        """Check that what is needed is there.

        Raises
        ------
        SparseVQError
            The folder or one of its files is missing; the message says which stage makes it.
        """
        if not self.path.is_dir():
            raise SparseVQError(f"there is no run folder {self.path}", "check the path")
        for part in parts:
            file = self.codes if part == "codes.h5" else self.model(part)
            if not file.is_file():
                below = sorted(str(model.parent.parent) for model in self.path.glob("**/gpt/model.safetensors"))
                raise SparseVQError(
                    f"{self.path} has no {file.relative_to(self.path)}, which {MADE_BY[part]} makes",
                    f"give the folder of one run, such as {below[0]}" if below else "train that stage first",
                )
