"""The data set that `sparsevq place` looks at: one that is there, or one that is made of a user's files."""

import contextlib
import sys
import tempfile
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path

import yaml

from sparsevq.config import BasisConfig, Config, FileConfig, load, parse
from sparsevq.data import layout
from sparsevq.errors import SparseVQError
from sparsevq.runs.folder import link
from sparsevq.runs.run import FILES, Run

NEEDED = ("data", "basis")


@contextlib.contextmanager
def data_set(args: Namespace) -> Iterator[Run]:
    """The data set and its basis: of a data set, a run or an experiment; or made of files, in ``--keep`` or for now.

    Raises
    ------
    SparseVQError
        There is none, or several; or the files cannot be read, or hold too little to learn from.
    """
    with contextlib.ExitStack() as stack:
        with contextlib.redirect_stdout(sys.stderr):  # messages are not part of the output
            found = _found(args)
            if found is None or not found.has("basis"):
                found = _made(args, found, stack)
            elif hasattr(args, "keep"):
                raise SparseVQError(f"--keep: {args.data} is a data set with its basis", "leave --keep out")
        yield found


def _made(args: Namespace, found: Run | None, stack: contextlib.ExitStack) -> Run:
    """A data set of files, or the basis of one that has none."""
    from sparsevq.basis.layout import make_basis

    folder = _folder(args, stack)
    files = {name: folder / FILES[name] for name in NEEDED}
    if found is None:
        config, name = _prepare(args, files["data"])
        settings, symmetries = config.basis, config.symmetries_of(name)
    else:
        link(found.file("data"), files["data"])
        settings, symmetries = BasisConfig(), Config().stage1.symmetries
    make_basis(files["data"], files["basis"], settings, symmetries)
    return Run(None, **files)


def _folder(args: Namespace, stack: contextlib.ExitStack) -> Path:
    if not hasattr(args, "keep"):
        return Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sparsevq-")))
    folder: Path = args.keep
    if any((folder / FILES[name]).exists() for name in NEEDED):
        raise SparseVQError(f"--keep {folder} has a data set already", f"use it (sparsevq place {folder}), or another")
    return folder


def _found(args: Namespace) -> Run | None:
    """The data set where there is one: in a file, in the folder of a data set, a run or an experiment; None: files."""
    from sparsevq.readers.finding.formats import schema_of

    given = Path(args.data)
    if hasattr(args, "config"):
        return None
    if given.is_file() and schema_of(given) == layout.SCHEMA:
        beside = given.with_name(FILES["basis"])
        return Run(None, data=given, **({"basis": beside} if beside.is_file() else {}))
    if not given.is_dir():
        return None
    if Run(given).has("data"):
        return Run(None, **{name: Run(given).file(name) for name in NEEDED if Run(given).has(name)})
    if len(below := sorted(given.glob(f"*/{FILES['data']}"))) == 1:
        return _found(Namespace(data=str(below[0].parent)))
    if below:
        names = ", ".join(str(path.parent) for path in below)
        raise SparseVQError(f"{given} has {len(below)} data sets", f"name one of {names}")
    return None


def _prepare(args: Namespace, out: Path) -> tuple[Config, str]:
    """Make a data set of files, as a configuration says or as is suggested; that, and the name of the entry."""
    from sparsevq.data.preprocess import preprocess
    from sparsevq.readers.files import open_files

    config, name = _configured(args) if hasattr(args, "config") else _suggested(str(args.data))
    entry = config.files[name].model_copy(update={"path": str(args.data)})
    preprocess(open_files(entry, name), out, name, entry, config.preprocess)
    return config, name


def _configured(args: Namespace) -> tuple[Config, str]:
    config = load(args.config)
    name = getattr(args, "name", None) or (next(iter(config.files)) if len(config.files) == 1 else None)
    if name not in config.files:
        what = "no --name was given" if name is None else f"there is no entry {name!r}"
        raise SparseVQError(f"{args.config}: {what}", f"`files` has {', '.join(config.files) or 'none'}")
    return config, name


def _suggested(path: str) -> tuple[Config, str]:
    """What `sparsevq data describe` suggests for a file."""
    from sparsevq.cli.guesses import opened
    from sparsevq.cli.marked import surveyed
    from sparsevq.cli.suggestion import name_for, suggested

    settings, name = parse(FileConfig, {"path": path}, "settings"), name_for(path)
    found = opened(settings, name)
    if found.source is None:
        raise SparseVQError(found.why.rstrip("."), f"describe it first: sparsevq data describe {path}")
    source, settings, values, notes = surveyed(found.source, found.settings, name, None)
    lines, more = suggested(source, values, settings, name)
    for note in (*found.notes, *notes, *more):
        print(f"note: {note}", flush=True)
    return parse(Config, yaml.safe_load(lines), "the suggestion"), name
