"""`sparsevq info`: what a run holds, how good it is and how to forecast with it; or which runs a folder has."""

import json
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sparsevq.cli.flags import HelpFormatter

if TYPE_CHECKING:
    from sparsevq.runs.run import Run

DESCRIPTION = """
What a run holds: its data set and sensors, what it was trained for, its scores and calibration, what its files were
made from and whether they fit one another, and a command that forecasts with it. Of a run that is not finished it says
what is missing. Of a folder of runs (an experiment, or all results) it lists them.

With --json the standard output is one JSON object: of a run, or with the key `runs`.
"""
EXAMPLES = """
examples:

  sparsevq info results/quickstart/cylinder/n20/seed1

  sparsevq info results/quickstart --json
"""
DEPTH = 4
"""Folders between results and a run: <experiment>/<data set>/n<sensors>/seed<seed>."""


def add_info(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "info",
        help="what a run holds, how good it is and how to forecast with it",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=HelpFormatter,
    )
    explained = (
        "a run, finished or not; what sparsevq pack made; an MLflow model (models:/<name>/<version>); or a folder "
    )
    explained += "of runs"
    parser.add_argument("result", metavar="RUN", help=explained)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    explained = "take digests of large files too, which reads them; else those that are not known are not compared"
    parser.add_argument("--check", action="store_true", help=explained)
    parser.set_defaults(run=run, parser=parser)


def run(args: Namespace, _argv: list[str]) -> None:
    """Print what there is to say.

    Raises
    ------
    SparseVQError
        There is no such folder, or no run in it.
    """
    from sparsevq.cli.about import about
    from sparsevq.cli.info_text import print_run, print_runs
    from sparsevq.runs.run import Run

    if ":/" in args.result and not Path(args.result).exists():
        from sparsevq.serving.load import load  # imports torch, which takes seconds

        model = load(args.result, device="cpu")  # kept: its files are there as long as it lives
        found = about(model.run, thorough=args.check) | {"run": args.result}
    elif below := list(runs_below(Path(args.result))):
        runs = [about(each, thorough=args.check) for each in below]
        if args.json:
            print(json.dumps({"runs": runs}), flush=True)
        else:
            print_runs(runs)
        return
    else:
        found = about(Run(args.result), thorough=args.check)
    if args.json:
        print(json.dumps(found), flush=True)
    else:
        print_run(found)


def runs_below(folder: Path) -> "Iterator[Run]":
    """The runs in a folder that is none itself, by path."""
    from sparsevq.runs.run import PARTS, Run

    def is_run(path: Path) -> bool:
        return (path / "sensors.h5").is_file() or any(Run(path).has(part) for part in PARTS)

    if not folder.is_dir() or is_run(folder):
        return
    level = [folder]
    for _ in range(DEPTH):
        level = sorted(child for parent in level for child in parent.iterdir() if child.is_dir())
        level = [child for child in level if not child.name.startswith(".")]
        yield from (Run(child) for child in level if is_run(child))
        level = [child for child in level if not is_run(child)]
