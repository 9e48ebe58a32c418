"""`sparsevq forecast`: readings of one or several frames in; NetCDF or Zarr, pictures, films and JSON out."""

import json
import os
import shlex
import sys
from argparse import SUPPRESS, ArgumentTypeError, Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from sparsevq.cli.flags import HelpFormatter, add_flag
from sparsevq.cli.outputs import as_written, check_names, draw
from sparsevq.cli.progress import Parts
from sparsevq.errors import SparseVQError
from sparsevq.runtime.devices.device import claim_devices, set_threads

if TYPE_CHECKING:
    import xarray as xr

    from sparsevq.forecasting.forecaster import Forecaster

DESCRIPTION = """
Forecast the whole field from what sensors measured in one frame, or in several.

The readings are a table, a CSV or Excel file, with a line for each sensor, in any order: the columns `sensor` (its
number in the run's sensors.csv) or one for each axis (any place in the domain, off the grid too); and one for each
channel. All in the units of the data set, or in those that the header says (`u [km/h]`). Of several frames: a column
`frame` (whole numbers) or `time` (numbers or dates). Or they are a NetCDF file or a Zarr store. Every run has an
example, readings_example.csv.

With --json the standard output is one JSON object; notes, warnings and progress then go to the standard error. Where
the forecast fails it is empty, and the exit status is 1.
"""
EXAMPLES = """
examples:

  sparsevq forecast RUN --readings RUN/readings_example.csv --out forecast.nc --picture forecast.png

  sparsevq forecast RUN --readings log.xlsx --frames 40 --out forecast.zarr --picture forecast.mp4

  sparsevq forecast models:/NAME/1 --readings log.csv --points stations.csv --quantiles 0.05,0.5,0.95 --out at.nc --json
"""


def add_forecast(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "forecast",
        help="forecast from a file of readings",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        usage="%(prog)s RUN --readings FILE --out forecast.nc [--flag value ...]",
        formatter_class=HelpFormatter,
    )
    parser.set_defaults(run=run, parser=parser)
    parser.add_argument(
        "result",
        metavar="RUN",
        help="a run: results/<experiment>/<data set>/n<sensors>/seed<seed>, what stage 3 of sparsevq train wrote, what "
        "sparsevq pack made, or an MLflow model (models:/<name>/<version>)",
    )
    explained = "what the sensors measured: CSV, Excel, NetCDF or Zarr"
    add_flag(parser, "readings", explained, type=Path, required=True, metavar="FILE")
    explained = "readings that cannot be true are an error (default: they are printed, and used)"
    parser.add_argument("--strict", action="store_true", help=explained)
    explained = "file to write, after the CF conventions: NetCDF-4 (.nc) or a Zarr store (.zarr)"
    add_flag(parser, "out", explained, type=Path, metavar="FILE")
    explained = (
        "picture (.png: mean and ensemble spread at several lead times) or film (.gif, .mp4: at each of them) to "
        "write; may be given several times"
    )
    add_flag(parser, "picture", explained, type=Path, action="append", metavar="FILE")
    parser.add_argument("--png", dest="picture", type=Path, action="append", default=SUPPRESS, help=SUPPRESS)
    parser.add_argument("--json", action="store_true", help="print what was forecast and written as one JSON object")
    add_flag(parser, "frames", "frames to forecast", type=int, default=20, metavar="N")
    add_flag(parser, "members", "members of the ensemble", type=int, default=16, metavar="N")
    explained = "where to forecast instead of everywhere: CSV or Excel with a column for each axis"
    add_flag(parser, "points", explained, type=Path, metavar="FILE")
    explained = "of the members, in the file beside these (0.05,0.5,0.95)"
    add_flag(parser, "quantiles", explained, type=_numbers, metavar="Q,...")
    add_flag(parser, "seed", "of the samples: the same seed, the same forecast", type=int, default=0, metavar="N")
    explained = "of sampling (default: as calibrated with the run); 0: the most likely code"
    add_flag(parser, "temperature", explained, type=float, metavar="T")
    add_flag(parser, "top_k", "sample among this many most likely codes; 0: all", type=int, default=0, metavar="N")
    explained = "what is known of the trajectory, where the model takes it; may be given several times"
    add_flag(parser, "parameter", explained, type=_parameter, action="append", metavar="NAME=VALUE")
    explained = "of the last observed frame (2006-04-16T12:00), where the readings do not say it"
    add_flag(parser, "date", explained, metavar="DATE")
    explained = "data set that the run was trained on (default: the run's own)"
    add_flag(parser, "data", explained, type=Path, metavar="H5")
    add_flag(parser, "device", "auto: a GPU if there is one", choices=("auto", "cpu", "cuda"), default="auto")
    add_flag(parser, "threads", "CPU threads (default: OMP_NUM_THREADS, else all)", type=int, metavar="N")


def run(args: Namespace, argv: list[str]) -> None:
    """Forecast and write.

    Raises
    ------
    SparseVQError
        The run, the readings or another argument is faulty, or a file can't be written.
    """
    out, pictures = getattr(args, "out", None), getattr(args, "picture", [])
    threads, known = getattr(args, "threads", None), _each_once(getattr(args, "parameter", []))
    if threads is not None and threads < 1:
        raise SparseVQError(f"threads={threads} is not allowed", "give 1 or more")
    check_names(out, pictures, args.json)
    set_threads(threads or int(os.environ.get("OMP_NUM_THREADS") or len(os.sched_getaffinity(0))))
    parts = Parts(sys.stderr if args.json else sys.stdout)
    with parts.part("load", "loading the run"):
        lease = claim_devices(args.device)
        from sparsevq.serving.load import load

        there: Literal["auto", "cpu"] = "auto" if lease.kind == "cuda" else "cpu"
        model = load(args.result, data=getattr(args, "data", None), device=there)
    with parts.part("forecast", "forecasting"):
        forecast = model.forecast(
            args.readings,
            args.frames,
            args.members,
            points=getattr(args, "points", None),
            quantiles=getattr(args, "quantiles", None),
            seed=args.seed,
            temperature=getattr(args, "temperature", None),
            top_k=args.top_k,
            parameters=known,
            strict=args.strict,
            date=getattr(args, "date", None),
        )
        trained = model.trained_places(forecast)
        _say_doubts(forecast, trained, len(model.sensors.sparse))
    if out is not None:
        with parts.part("write", f"writing {out}") as tell:
            from sparsevq.forecasting.dataset.writing import write_forecast

            write_forecast(out, forecast, shlex.join(["sparsevq", *argv]), tell)
            forecast = as_written(forecast, out)
    for picture in pictures:
        with parts.part("draw", f"drawing {picture}") as tell:
            draw(picture, forecast, tell)
    _conclude(args, model, forecast, parts, [*([] if out is None else [out]), *pictures], trained)


def _say_doubts(forecast: "xr.Dataset", known: int, trained: int) -> None:
    read = forecast.sizes["sensor"]
    if (read, known) != (trained, trained):
        print(
            f"note: {known} of the {read} readings are from the {trained} sensors that the encoder was trained with; "
            "with others it is less exact"
        )
    if "warning" in forecast.attrs:
        print(f"WARNING: {forecast.attrs['warning']}")


def _conclude(
    args: Namespace, model: "Forecaster", forecast: "xr.Dataset", parts: Parts, written: list[Path], trained: int
) -> None:
    """Say what was forecast: to people, or to scripts."""
    from sparsevq.forecasting.summary import lines_of, summary_of

    with parts.part("summarise", "summarising"):
        summary = summary_of(forecast, model.data)
    doubts = [line for line in forecast.attrs.get("doubts", "").split("\n") if line]
    warning = forecast.attrs.get("warning")
    seconds = {name: round(spent, 3) for name, spent in parts.seconds.items()}
    found = {
        "run": str(args.result),
        "readings": str(args.readings),
        **summary,
        "sensors_trained_with": trained,
        "doubts": doubts,
        "warnings": [warning] if warning else [],
        "notes": [line.removeprefix("note: ") for line in parts.lines if line.startswith("note: ")],
        "outputs": [str(path) for path in written],
        "seconds": seconds | {"total": round(sum(parts.seconds.values()), 3)},
    }
    if args.json:
        print(json.dumps(found), flush=True)
        return
    spent = ", ".join(f"{name} {value:.1f} s" for name, value in seconds.items() if value >= 0.05)
    for line in [*lines_of(summary), *([f"written: {', '.join(map(str, written))}"] if written else []), spent]:
        print(line, flush=True)


def _numbers(text: str) -> tuple[float, ...]:
    """``0.05,0.5``."""
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise ArgumentTypeError(f"{text!r} are no numbers, separated by commas") from None


def _parameter(text: str) -> tuple[str, float]:
    """``inflow=1.5`` as a name and a number."""
    name, found, value = text.partition("=")
    if not (name and found):
        raise ArgumentTypeError(f"{text!r} is not of the form NAME=VALUE")
    try:
        return name, float(value)
    except ValueError:
        raise ArgumentTypeError(f"{name}={value!r} is no number") from None


def _each_once(parameters: list[tuple[str, float]]) -> dict[str, float]:
    for name, _ in parameters:
        if sum(name == other for other, _ in parameters) > 1:
            raise SparseVQError(f"--parameter {name} is given more than once", "give each parameter once")
    return dict(parameters)
