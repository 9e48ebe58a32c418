"""The models that `sparsevq demo` forecasts with: small packed runs that the package brings, or in any folder."""

from pathlib import Path

from sparsevq.errors import SparseVQError
from sparsevq.runs.run import FILES

BROUGHT = Path(__file__).parents[1] / "demo_models"
"""The package's own, a folder each."""


def brought() -> list[str]:
    """Names of the models that this installation brings."""
    return sorted(path.parent.name for path in BROUGHT.glob(f"*/{FILES['domain']}"))


def demo_folder(name: str) -> Path:
    """The folder of a demonstration, by the name of one that the package brings or by its path.

    Raises
    ------
    SparseVQError
        There is no such model; the message says which there are.
    """
    if name in brought():
        return BROUGHT / name
    if (Path(name) / FILES["domain"]).is_file():
        return Path(name)
    known = f"there are {', '.join(brought())}" if brought() else "this installation brings no models"
    raise SparseVQError(
        f"there is no demonstration {name!r}: {known}",
        "give the folder of one, which sparsevq demo --make RUN -o FOLDER makes of a finished run",
    )
