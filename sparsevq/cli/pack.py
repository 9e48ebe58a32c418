"""`sparsevq pack`: a run as a folder to send to somebody or to serve, without the data set."""

from argparse import Namespace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from sparsevq.cli.flags import HelpFormatter
from sparsevq.errors import SparseVQError

DESCRIPTION = """
Pack a trained run: a folder with its models and with what forecasts need of the data set, but without the data set's
fields. `sparsevq forecast`, sparsevq.load and sparsevq.Forecaster open it as they do the run's own folder, and give the
same forecasts, bit for bit. With --mlflow it is an MLflow model, which is served by `mlflow models serve`.
"""
EXAMPLES = """
examples:

  sparsevq pack results/quickstart/cylinder/n20/seed1 -o cylinder-run

  tar czf cylinder-run.tar.gz cylinder-run

  sparsevq pack results/quickstart/cylinder/n20/seed1 -o cylinder-model --mlflow
"""


def add_pack(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "pack",
        help="make a folder of all that forecasts need of a run",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=HelpFormatter,
    )
    parser.add_argument("result", type=Path, metavar="RESULT_DIR", help="a run, all stages of which are trained")
    parser.add_argument("-o", "--out", type=Path, required=True, metavar="FOLDER", help="folder to make")
    parser.add_argument("--mlflow", action="store_true", help="make an MLflow model of it")
    parser.set_defaults(run=run, parser=parser)


def run(args: Namespace, _argv: list[str]) -> None:
    """Pack, and say how large it is.

    Raises
    ------
    SparseVQError
        The run is not finished, a file is damaged, the folder can't be made, or mlflow is not installed.
    """
    if args.mlflow and find_spec("mlflow") is None:
        raise SparseVQError("mlflow is not installed", "pip install 'sparsevq[workflow]'")
    from sparsevq.runs.pack import pack
    from sparsevq.runs.run import Run
    from sparsevq.serving.model import write_model

    make = write_model if args.mlflow else pack
    make(Run(args.result), args.out)
    size = sum(path.stat().st_size for path in args.out.rglob("*") if path.is_file())
    print(f"packed as {args.out}: {size / 1e6:.1f} MB", flush=True)
