"""`sparsevq demo`: a forecast at once, by a small model that the package brings."""

import os
import sys
from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sparsevq.cli.flags import HelpFormatter, add_flag
from sparsevq.cli.progress import Parts
from sparsevq.errors import SparseVQError
from sparsevq.runtime.devices.device import set_threads

if TYPE_CHECKING:
    import xarray as xr

    from sparsevq.forecasting.forecaster import Forecaster
    from sparsevq.serving.demo.make import Truth

DESCRIPTION = """
Forecast at once, without a data set and without training: by a small model that the package brings, from readings of a
flow that it was not trained on. It writes the forecast (forecast.nc), a page to explore it in a browser
(forecast.html) and a picture (forecast.png), and says how far the forecast is from what came.

With --readings it forecasts from readings of your own, at the demonstration's sensors (sensors.csv in its folder) or at
any places in its domain.

With --make it makes such a model of a finished run: the small packed run (sparsevq pack --small), an example of
readings of a test trajectory, and what came.
"""
EXAMPLES = """
examples:

  sparsevq demo cylinder

  sparsevq demo shallow --members 32 -o shallow-demo

  sparsevq demo --make results/quickstart/cylinder/n20/seed1 -o my-model

  sparsevq demo my-model
"""
FILES = ("forecast.nc", "forecast.html", "forecast.png")


def add_demo(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "demo",
        help="forecast at once, by a small model that the package brings",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=HelpFormatter,
    )
    explained = "cylinder, shallow, or the folder of one that --make made (default: cylinder)"
    parser.add_argument("model", nargs="?", default="cylinder", metavar="MODEL", help=explained)
    explained = "what sensors measured: CSV, Excel, NetCDF or Zarr (default: the example)"
    add_flag(parser, "readings", explained, type=Path, metavar="FILE")
    add_flag(parser, "members", "members of the ensemble", type=int, default=16, metavar="N")
    add_flag(parser, "seed", "of the samples: the same seed, the same forecast", type=int, default=0, metavar="N")
    explained = "folder to write into (default: demo-MODEL); with --make the folder to make"
    parser.add_argument("-o", "--out", type=Path, metavar="FOLDER", help=explained)
    add_flag(parser, "make", "make a model for demonstrations of this run", type=Path, metavar="RUN")
    explained = "with --make: as of sparsevq pack --small"
    add_flag(parser, "tolerance", explained, type=float, metavar="SHARE")
    parser.set_defaults(run=run, parser=parser)


def run(args: Namespace, argv: list[str]) -> None:
    """Forecast, or make a model to forecast with.

    Raises
    ------
    SparseVQError
        There is no such model, an argument is faulty, or a file can't be written.
    """
    if "make" in args:
        _make(args)
        return
    if "tolerance" in args:
        raise SparseVQError("--tolerance is of --make alone", "leave it out")
    from sparsevq.serving.demo.found import demo_folder

    folder = demo_folder(args.model)
    set_threads(int(os.environ.get("OMP_NUM_THREADS") or len(os.sched_getaffinity(0))))
    out: Path = args.out or Path(f"demo-{folder.name}")
    parts = Parts(sys.stdout)
    with parts.part("load", "loading the model"):
        from sparsevq.serving.demo.make import read_truth
        from sparsevq.serving.load import load

        model = load(folder, device="cpu")
        truth = read_truth(folder, model.data)
    with parts.part("forecast", "forecasting"):
        from sparsevq.sensors.example import EXAMPLE

        readings = getattr(args, "readings", folder / EXAMPLE)
        forecast = model.forecast(readings, truth.frames, args.members, seed=args.seed)
    with parts.part("write", f"writing into {out}"):
        _write(out, forecast, " ".join(["sparsevq", *argv]))
    _conclude(model, forecast, None if "readings" in args else truth, out)


def _write(out: Path, forecast: "xr.Dataset", command: str) -> None:
    from sparsevq.explore.given import forecast_page
    from sparsevq.explore.page import write_page
    from sparsevq.forecasting.dataset.writing import write_forecast
    from sparsevq.forecasting.pictures.picture import draw_forecast

    data, page, picture = (out / name for name in FILES)
    write_forecast(data, forecast, command, lambda done, of: None)
    write_page(page, forecast_page(forecast))
    draw_forecast(picture, forecast)


def _conclude(model: "Forecaster", forecast: "xr.Dataset", truth: "Truth | None", out: Path) -> None:
    """Say what was forecast, how wrong it is where that is known, and where it is."""
    from sparsevq.evaluation.known_truth import errors_by_lead
    from sparsevq.forecasting.summary import lines_of, summary_of

    lines = lines_of(summary_of(forecast, model.data))
    sensors = len(model.sensors.sparse)
    lines.insert(1, f"{sensors} sensors, {model.data.num_points} points of {', '.join(model.data.channels)}")
    if truth is not None:
        errors = errors_by_lead(forecast, truth.fields, model.data, model.run.basis.mean.astype(float))
        lines.append(
            f"error (relative L2 of anomalies; 1: the time mean): {errors[0]:.3f} at lead 0, {errors[-1]:.3f} at lead "
            f"{len(errors) - 1}, {errors[1:].mean():.3f} in the mean of leads from 1 on"
        )
        lines.append(f"the readings are of trajectory {truth.trajectory}, which no model was trained on")
    lines.append(f"written: {', '.join(str(out / name) for name in FILES)}; open {FILES[1]} in a browser")
    print(*lines, sep="\n", flush=True)


def _make(args: Namespace) -> None:
    if args.out is None or "readings" in args:
        raise SparseVQError("--make needs a folder to make, and no readings", "sparsevq demo --make RUN -o FOLDER")
    from sparsevq.cli.pack import size_of, small
    from sparsevq.runs.run import Run
    from sparsevq.serving.demo.make import add_example, case_of

    run = Run(args.make)
    run.needs("gpt")
    config = run.model("gpt").shape
    observed = int(config["observed_frames"])
    frames = int(config["context_frames"]) - observed  # those of a training sequence, after the last observed one
    case_of(run, frames, observed)  # what is missing is said before minutes of work
    lines = small(run, args.out, getattr(args, "tolerance", None))
    case = add_example(run, args.out, frames, observed)
    print(
        f"made {args.out}: {size_of(args.out) / 1e6:.1f} MB; readings of trajectory {case.trajectory} up to frame "
        f"{case.frame} ({case.chosen})",
        *lines,
        f"forecast with it: sparsevq demo {args.out}",
        sep="\n",
        flush=True,
    )
