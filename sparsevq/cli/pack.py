"""`sparsevq pack`: a run as a folder to send to somebody or to serve, without the data set."""

from argparse import Namespace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sparsevq.cli.flags import HelpFormatter, add_flag
from sparsevq.errors import SparseVQError

if TYPE_CHECKING:
    from sparsevq.runs.run import Run

DESCRIPTION = """
Pack a trained run: a folder with its models and with what forecasts need of the data set, but without the data set's
fields. `sparsevq forecast`, sparsevq.load and sparsevq.Forecaster open it as they do the run's own folder, and give the
same forecasts, bit for bit. With --mlflow it is an MLflow model, which is served by `mlflow models serve`.

With --small its numbers have only as many digits as matter, so that it takes a tenth or less of the space: what that
costs is measured on the test split of the run's data set, printed, and kept in the file small.json.
"""
EXAMPLES = """
examples:

  sparsevq pack results/quickstart/cylinder/n20/seed1 -o cylinder-run

  tar czf cylinder-run.tar.gz cylinder-run

  sparsevq pack results/quickstart/cylinder/n20/seed1 -o cylinder-small --small

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
    explained = "round its numbers, and say how much less exact its forecasts are"
    parser.add_argument("--small", action="store_true", help=explained)
    explained = "with --small: error that rounding one thing may make, over the rms of the anomalies (default: 0.01)"
    add_flag(parser, "tolerance", explained, type=float, metavar="SHARE")
    parser.set_defaults(run=run, parser=parser)


def run(args: Namespace, _argv: list[str]) -> None:
    """Pack, and say how large it is.

    Raises
    ------
    SparseVQError
        The run is not finished, a file is damaged, the folder can't be made, mlflow is not installed, or the flags do
        not go together.
    """
    if args.small and args.mlflow:
        raise SparseVQError("--small and --mlflow do not go together", "pack what --small made with --mlflow")
    if "tolerance" in args and not args.small:
        raise SparseVQError("--tolerance is of --small alone", "add --small")
    if args.mlflow and find_spec("mlflow") is None:
        raise SparseVQError("mlflow is not installed", "pip install 'sparsevq[workflow]'")
    from sparsevq.runs.run import Run

    lines: list[str] = []
    if args.small:
        lines = small(Run(args.result), args.out, getattr(args, "tolerance", None))
    else:
        from sparsevq.runs.pack import pack
        from sparsevq.serving.model import write_model

        make = write_model if args.mlflow else pack
        make(Run(args.result), args.out)
    print(f"packed as {args.out}: {size_of(args.out) / 1e6:.1f} MB", *lines, sep="\n", flush=True)


def small(run: "Run", out: Path, tolerance: float | None = None) -> list[str]:
    """Pack a run small; what that costs, in words.

    Raises
    ------
    SparseVQError
        As of `sparsevq.serving.small.pack.pack_small`.
    """
    from sparsevq.evaluation.packing_loss import packing_loss
    from sparsevq.serving.small.pack import SHARE, pack_small

    share = SHARE if tolerance is None else tolerance
    if run.packed or not run.domain.trajectories("test").size:
        pack_small(run, out, share)
        return ["what that costs is not known: there is no data set with test trajectories to measure it on"]
    lines: list[str] = []

    def measure(whole: "Run", made: "Run") -> dict[str, Any]:
        loss = packing_loss(whole, made)
        lines.extend(loss.lines())
        return {"loss": loss.as_dict()}

    pack_small(run, out, share, measure)
    return lines


def size_of(folder: Path) -> int:
    """Bytes of all files in a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
