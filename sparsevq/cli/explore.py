"""`sparsevq explore`: a page to look at a forecast, or at a run's held-out forecasts, in a browser."""

from argparse import Namespace
from pathlib import Path
from typing import Any

from sparsevq.cli.flags import HelpFormatter
from sparsevq.errors import SparseVQError

DESCRIPTION = """
Write a page to look at a forecast in a browser: one HTML file with a slider over lead time, mean, spread, single
members, slices and surfaces of fields in space, and the sensors with their readings. It needs no network, so it can be
sent to others.

Of a run it shows held-out forecasts beside their truth, and the errors of the baselines; the workflow writes that page,
too.
"""
EXAMPLES = """
examples:

  sparsevq explore forecast.nc

  sparsevq explore results/quickstart/cylinder/n20/seed123 -o result.html
"""


def add_explore(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "explore",
        help="write a page to look at a forecast in a browser",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=HelpFormatter,
    )
    explained = "what sparsevq forecast wrote (.nc, .zarr), or the folder of a run that was evaluated"
    parser.add_argument("source", type=Path, metavar="FORECAST", help=explained)
    explained = "page to write (default: FORECAST.html; of a run explore.html in its folder)"
    parser.add_argument("-o", "--out", type=Path, metavar="HTML", help=explained)
    parser.set_defaults(run=run, parser=parser)


def run(args: Namespace, _argv: list[str]) -> None:
    """Write the page, and say how large it is.

    Raises
    ------
    SparseVQError
        There is no such forecast, the run is not evaluated, or the page can't be written.
    """
    from sparsevq.explore.given import forecast_page, open_forecast
    from sparsevq.explore.page import write_page
    from sparsevq.explore.result import result_page
    from sparsevq.runs.run import Run

    source: Path = args.source
    if source.is_dir() and source.suffix != ".zarr":
        run = Run(source)
        if not run.has("forecast"):
            raise SparseVQError(
                f"{source} has no held-out forecasts (forecast.h5)",
                "give a run that the workflow evaluated, or what sparsevq forecast wrote",
            )
        page, out = result_page(run, source), source / "explore.html"
    else:
        page, out = forecast_page(open_forecast(source)), source.with_suffix(".html")
    path = write_page(args.out or out, page)
    print(f"{page.title}: {path} ({path.stat().st_size / 1e6:.1f} MB)", flush=True)
