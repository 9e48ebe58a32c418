"""`sparsevq forecast`: readings of one or several frames in, a NetCDF file and a picture out."""

import os
import shlex
from argparse import ArgumentTypeError, Namespace
from pathlib import Path
from typing import Any

from sparsevq.cli.flags import HelpFormatter, add_flag
from sparsevq.errors import SparseVQError
from sparsevq.runtime.devices.device import claim_devices, set_threads

DESCRIPTION = """
Forecast the whole field from what sensors measured in one frame, or in several.

The readings are a CSV file with a line for each sensor, in any order: the columns `sensor` (its number in the run's
sensors.csv) or one for each axis (any place in the domain, off the grid too); and one for each channel. All in the
units of the data set, or in those that the header says (`u [km/h]`). Of several frames: a column `frame` (whole
numbers) or `time` (numbers or dates).
"""


def add_forecast(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "forecast",
        help="forecast from a CSV file of readings",
        description=DESCRIPTION,
        usage="%(prog)s RESULT_DIR --readings readings.csv --out forecast.nc [--flag value ...]",
        formatter_class=HelpFormatter,
    )
    parser.set_defaults(run=run, parser=parser)
    parser.add_argument(
        "result",
        type=Path,
        metavar="RESULT_DIR",
        help="a run: results/<experiment>/<data set>/n<sensors>/seed<seed>, or what stage 3 of sparsevq train wrote",
    )
    add_flag(parser, "readings", "what the sensors measured", type=Path, required=True, metavar="CSV")
    explained = "readings that cannot be true are an error (default: they are printed, and used)"
    parser.add_argument("--strict", action="store_true", help=explained)
    add_flag(parser, "out", "NetCDF-4 file to write, after the CF conventions", type=Path, required=True, metavar="NC")
    explained = "picture to write: mean and ensemble spread at several lead times (default: none)"
    add_flag(parser, "png", explained, type=Path, metavar="PNG")
    add_flag(parser, "frames", "frames to forecast", type=int, default=20, metavar="N")
    add_flag(parser, "members", "members of the ensemble", type=int, default=16, metavar="N")
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
    threads = getattr(args, "threads", None)
    if threads is not None and threads < 1:
        raise SparseVQError(f"threads={threads} is not allowed", "give 1 or more")
    set_threads(threads or int(os.environ.get("OMP_NUM_THREADS") or len(os.sched_getaffinity(0))))
    lease = claim_devices(args.device)
    from sparsevq.forecasting.forecaster import Forecaster
    from sparsevq.forecasting.picture import draw_forecast
    from sparsevq.forecasting.writing import write_netcdf

    model = Forecaster(args.result, data=getattr(args, "data", None), device="auto" if lease.kind == "cuda" else "cpu")
    forecast = model.forecast(
        args.readings,
        args.frames,
        args.members,
        seed=args.seed,
        temperature=getattr(args, "temperature", None),
        top_k=args.top_k,
        parameters=_each_once(getattr(args, "parameter", [])),
        strict=args.strict,
        date=getattr(args, "date", None),
    )
    read, known = forecast.sizes["sensor"], model.trained_places(forecast)
    trained = len(model.sensors.sparse)
    if (read, known) != (trained, trained):
        print(
            f"note: {known} of the {read} readings are from the {trained} sensors that the encoder was trained with; "
            "with others it is less exact",
            flush=True,
        )
    if "warning" in forecast.attrs:
        print(f"WARNING: {forecast.attrs['warning']}", flush=True)
    write_netcdf(args.out, forecast, shlex.join(["sparsevq", *argv]))
    print(f"{forecast.attrs['title']}: {args.members} members, {args.frames} frames: {args.out}", flush=True)
    if hasattr(args, "png"):
        draw_forecast(args.png, forecast)
        print(f"picture: {args.png}", flush=True)


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
