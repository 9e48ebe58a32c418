"""Which code made a run, in the tags that MLflow shows it by."""

import contextlib
import functools
import getpass
import re
import subprocess
from pathlib import Path

from sparsevq.version import VERSION

PACKAGE = Path(__file__).resolve().parents[2]


@functools.cache
def origin(source: Path | None = None) -> dict[str, str]:
    """Tags of a run.

    Parameters
    ----------
    source
        The script that was started. Its checkout is told, or that of the package where the script is in none.
    """
    tags = {"sparsevq_version": VERSION, "mlflow.user": "unknown"}
    with contextlib.suppress(OSError, KeyError):  # a user without a name
        tags["mlflow.user"] = getpass.getuser()
    if source is not None:
        tags |= {"mlflow.source.name": str(source), "mlflow.source.type": "LOCAL"}
    for folder in (source.parent if source is not None else PACKAGE, PACKAGE):
        if found := _checkout(folder):
            return tags | found
    return tags


def _checkout(folder: Path) -> dict[str, str]:
    """Commit, branch and remote of a folder that git keeps; nothing of another, such as one within a checkout that
    git ignores."""
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        _git(folder, "ls-files", "--error-unmatch", ".")
        described = _git(folder, "describe", "--always", "--dirty", "--exclude=*", "--abbrev=40")
        commit, _, dirty = described.partition("-")
        tags = {"mlflow.source.git.commit": commit, "git_commit": commit, "git_clean": str(not dirty).lower()}
        for name, command in (
            ("branch", ("symbolic-ref", "--short", "HEAD")),
            ("repoURL", ("config", "--get", "remote.origin.url")),
        ):
            with contextlib.suppress(subprocess.SubprocessError):  # none
                tags[f"mlflow.source.git.{name}"] = re.sub("//[^/@]*@", "//", _git(folder, *command))
        return tags
    return {}


def _git(folder: Path, *command: str) -> str:
    ended = subprocess.run(("git", "-C", str(folder), *command), capture_output=True, text=True, check=True, timeout=10)
    return ended.stdout.strip()
