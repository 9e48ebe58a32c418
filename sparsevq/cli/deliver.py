"""`sparsevq deliver`: bring to MLflow what jobs logged while it did not answer."""

from argparse import Namespace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from sparsevq.cli.flags import HelpFormatter
from sparsevq.config import TrackingConfig
from sparsevq.errors import SparseVQError

DESCRIPTION = """
Bring to MLflow what ended jobs of a results folder logged while it did not answer. Each record goes to the store that
its job had, with the time at which it was logged; runs of jobs that were killed end as KILLED. The next job would do
the same. Jobs that run deliver by themselves.
"""
EXAMPLES = """
examples:

  sparsevq deliver

  sparsevq deliver --results /scratch/results --tracking_uri http://tracking.example.org:5000
"""


def add_deliver(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "deliver",
        help="bring to MLflow what waits for it",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=HelpFormatter,
    )
    parser.add_argument("--results", type=Path, default=Path("results"), help="results folder (default: results)")
    parser.add_argument(
        "--tracking_uri", help="the store with its password, which is not kept (default: MLFLOW_TRACKING_URI)"
    )
    parser.set_defaults(run=deliver, parser=parser)


def deliver(args: Namespace, _argv: list[str]) -> None:
    """Deliver, and say how much."""
    from sparsevq.runtime.tracking.courier import deliver_waiting, use_environment
    from sparsevq.runtime.tracking.mlflow_store import store_uri
    from sparsevq.runtime.tracking.spool import FOLDER

    if not args.results.is_dir():
        raise SparseVQError(f"there is no folder {args.results}", "give the results folder by --results")
    if find_spec("mlflow") is None:
        raise SparseVQError("mlflow is not installed", "pip install 'sparsevq[workflow]'")
    use_environment()
    found = deliver_waiting(args.results, store_uri(TrackingConfig(uri=args.tracking_uri), args.results))
    if found.records or not found.waiting:
        print(f"{found.records} records of {found.jobs} jobs delivered", flush=True)
    if found.waiting:
        told = "; ".join(
            f"{count} to {store or 'the results folder'}: {reason}" for store, (count, reason) in found.waiting.items()
        )
        left = sum(count for count, _ in found.waiting.values())
        raise SparseVQError(
            f"{left} records still wait in {args.results / FOLDER} ({told})", "try again when the server answers"
        )
