"""`sparsevq data`: what is in a file, whether it is sound, and what it looks like."""

import argparse
import contextlib
import sys
from argparse import Namespace
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from pydantic import Field

from sparsevq.cli.flags import HelpFormatter, Parser, add_field_flags, add_flag
from sparsevq.config import FileConfig, Section, load, parse
from sparsevq.config.section import Count
from sparsevq.errors import SparseVQError

DESCRIPTION = """
Look at data before learning from them: a file of your own in any format that the configuration's `files` takes (NetCDF,
Zarr, HDF5, MATLAB, NumPy, FDS, files for the published release), a data set (data.h5) or a simulation's shards.
"""
DESCRIBE = """
Print what is in a file: format, grid, axes, time, channels with their ranges and the share of their variance that the
time mean of each point has, what is missing, sizes, parameters, provenance; and a configuration to start from. What a
file does not say (which arrays, what their dimensions mean) is given by flags, or by an entry of a configuration's
`files`; the contents of a file that needs them are listed.
"""
VALIDATE = """
Check a file and name every fault, one a line with what to do; exit status 1 if there is one. Of a data set (data.h5)
all rules of docs/data-format.md; of other files, and of shards, that everything can be read, that no channel is empty
or constant, no value infinite and no frame without values.
"""
PREVIEW = """
Draw a contact sheet: some trajectories of each split, at frames spread evenly in time, one block for each channel.
"""
SEAL = """
Files that sparsevq wrote (data.h5, shards, codes.h5 and so on) store the digest of their own bytes, so that damage is
noticed before anything is learned from them. Who edits one on purpose says so by this; what was made from it before is
then no longer accepted beside it.
"""
EXAMPLES = {
    "describe": (
        "describe sst.nc",
        "describe runs/*.h5 --arrays flow/u,flow/v --dimensions time,y,x --sample 100",
        "describe --config my.yaml --name sst",
    ),
    "validate": ("validate results/quickstart/cylinder/data.h5", "validate --config my.yaml --name sst"),
    "preview": (
        "preview results/quickstart/cylinder/data.h5 -o preview.png",
        "preview sst.nc -o sst.png --channels sst",
    ),
    "seal": ("seal results/mine/sst/data.h5",),
}
OWN = ("path", "validation", "test", "channels", "symmetries", "coordinates", "time")
"""Keys of a `files` entry that are no flags here, or flags with a form of their own."""


class Sampling(Section):
    """How much to look at."""

    sample: Count | None = Field(
        None, description="frames to look at, spread evenly over trajectories and time (default: all)"
    )


def add_data(commands: Any) -> None:
    """Add the command to the parser."""
    first = [EXAMPLES[part][0] for part in ("describe", "validate", "preview")]
    parser = _add_command(commands, "data", "describe, validate or preview data", DESCRIPTION, first)
    parts = parser.add_subparsers(required=True, metavar="PART", parser_class=Parser)
    described = _add_part(parts, "describe", "print what is in a file", DESCRIBE, describe)
    add_field_flags(described, Sampling.model_fields)
    _add_part(parts, "validate", "check a file and name every fault", VALIDATE, validate)
    previewed = _add_part(parts, "preview", "draw a contact sheet", PREVIEW, preview)
    previewed.add_argument("-o", "--out", type=Path, required=True, metavar="PNG", help="picture to write")
    sealed = _add_command(parts, "seal", "say that you edited a file on purpose", SEAL, EXAMPLES["seal"])
    sealed.set_defaults(run=seal_again, parser=sealed)
    sealed.add_argument("file", nargs="+", type=Path, metavar="FILE", help="HDF5 file that sparsevq wrote")


def _add_command(commands: Any, name: str, short: str, description: str, examples: Sequence[str], **more: Any) -> Any:
    epilog = "\n\n".join(["examples:", *(f"  sparsevq data {example}" for example in examples)])
    options = {"help": short, "description": description, "epilog": epilog, "formatter_class": HelpFormatter}
    return commands.add_parser(name, **options, **more)


def _add_part(parts: Any, name: str, short: str, description: str, run: Callable[[Namespace, list[str]], None]) -> Any:
    usage = f"%(prog)s FILE [FILE ...] {'-o PNG ' if name == 'preview' else ''}[--flag value ...]"
    parser = _add_command(parts, name, short, description, EXAMPLES[name], usage=usage)
    parser.set_defaults(run=run, parser=parser)
    parser.add_argument("file", nargs="*", metavar="FILE", help="file, folder or pattern; several are one data set")
    group = parser.add_argument_group("what the file does not say (the keys of `files` in a configuration)")
    add_flag(group, "config", "configuration whose `files` has an entry for the file", type=Path, metavar="YAML")
    add_flag(group, "name", "name of the entry, and of the data set", metavar="NAME")
    fields = FileConfig.model_fields
    add_field_flags(group, {name: field for name, field in fields.items() if name not in OWN})
    own = {"coordinates": (_coordinates, "AXIS=ARRAY|FIRST:LAST,..."), "time": (_ends, "ARRAY|FIRST:STEP")}
    for key, (convert, metavar) in own.items():
        add_flag(group, key, str(fields[key].description), type=convert, metavar=metavar)
    explained = "only these channels, or names for them where the file has none (default: all)"
    add_flag(group, "channels", explained, type=_names, metavar="NAME,...")
    return parser


def _names(text: str) -> list[str]:
    return [part for part in text.split(",") if part]


def _ends(text: str) -> str | tuple[float, float]:
    """Two numbers as ``0:0.1``, or the name of an array."""
    first, found, second = text.partition(":")
    try:
        return (float(first), float(second)) if found else text
    except ValueError:
        return text


def _coordinates(text: str) -> dict[str, str | tuple[float, float]]:
    """``x=0:1,y=lat``."""
    pairs = [part.partition("=") for part in text.split(",")]
    wrong = [axis for axis, found, at in pairs if not (axis and found and at)]
    if wrong:
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form axis=array or axis=first:last")
    return {axis: _ends(at) for axis, _, at in pairs}


# ------------------------------------------------------------------------------------------------ the parts


def describe(args: Namespace, argv: list[str]) -> None:
    """Print what is in a file.

    Raises
    ------
    SparseVQError
        It cannot be read at all.
    """
    from sparsevq.cli.describe import print_contents, print_description
    from sparsevq.cli.guesses import opened
    from sparsevq.cli.marked import surveyed
    from sparsevq.cli.opened import kind_of

    settings, name = _settings(args)
    kind = kind_of(settings)
    with _to_stderr():
        found = opened(settings, name)
    if found.contents is not None:
        print_contents(found, name)
    if found.source is not None:
        with _to_stderr():
            sample = getattr(args, "sample", None)
            source, settings, values, more = surveyed(found.source, found.settings, name, sample)
        print_description(source, values, settings, kind, name, (*found.notes, *more))


def validate(args: Namespace, argv: list[str]) -> None:
    """Check a file and name every fault.

    Raises
    ------
    SparseVQError
        There is a fault; each was printed.
    """
    from sparsevq.cli.opened import faults_of, matching_files

    settings, name = _settings(args)
    paths = matching_files(settings)
    with _to_stderr():
        faults, checked = faults_of(settings, name)
    for fault in faults:
        print(fault, flush=True)
    named = str(paths[0]) if len(paths) == 1 else f"{len(paths)} files"
    if faults:
        count = f"{len(faults)} fault{'s' * (len(faults) > 1)}"
        raise SparseVQError(f"{named}: {count}", "see the lines above")
    print(f"{named}: no fault ({checked})", flush=True)


def preview(args: Namespace, argv: list[str]) -> None:
    """Draw a contact sheet.

    Raises
    ------
    SparseVQError
        The file cannot be read, or the picture not written.
    """
    from sparsevq.cli.opened import open_source
    from sparsevq.plotting.contact_sheet import draw_contact_sheet

    if args.out.suffix.lower() != ".png":
        raise SparseVQError(f"--out {args.out} is no PNG", "give a name that ends in .png")
    settings, name = _settings(args)
    with _to_stderr():
        source = open_source(settings, name)
    draw_contact_sheet(source, args.out, name)
    print(f"contact sheet: {args.out}", flush=True)


def seal_again(args: Namespace, argv: list[str]) -> None:
    """Seal files that were edited.

    Raises
    ------
    SparseVQError
        There is no such file, it has no room for a seal, or it can't be written.
    """
    from sparsevq.runtime.files import digest, unwritable
    from sparsevq.runtime.integrity import seal

    for path in args.file:
        try:
            seal(path)
        except OSError as error:
            raise unwritable(path, error) from None
        print(f"{path}: sealed (SHA-256 {digest(path)})", flush=True)


def _settings(args: Namespace) -> tuple[FileConfig, str]:
    """The entry of `files` for the arguments, and the data set's name."""
    from sparsevq.cli.suggestion import name_for

    given = {key: getattr(args, key) for key in FileConfig.model_fields if hasattr(args, key)}
    if args.file:
        given["path"] = args.file[0] if len(args.file) == 1 else tuple(args.file)
    values: dict[str, Any] = {}
    name = getattr(args, "name", None)
    if hasattr(args, "config"):
        entries = load(args.config).files
        name = name or (next(iter(entries)) if len(entries) == 1 else None)
        if name not in entries:
            there = ", ".join(entries) or "none"
            what = "no --name was given" if name is None else f"there is no entry {name!r}"
            raise SparseVQError(f"{args.config}: {what}", f"`files` has {there}")
        values = entries[name].model_dump(exclude_unset=True)
    values |= given
    if "path" not in values:
        args.parser.error("name a FILE, or --config and --name")
    if "release" in given and "format" not in given:
        values["format"] = "release"
    first = values["path"] if isinstance(values["path"], str) else values["path"][0]
    return parse(FileConfig, values, "settings"), name or name_for(first)


def _to_stderr() -> contextlib.AbstractContextManager[Any]:
    """Messages of readers are not part of the output."""
    return contextlib.redirect_stdout(sys.stderr)
