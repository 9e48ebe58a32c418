"""`sparsevq place`: where sensors would help most, what error to expect of them, and what random places would give."""

import contextlib
import json
import math
import shlex
import sys
from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sparsevq.cli.flags import HelpFormatter, add_flag
from sparsevq.cli.place_wanted import whole_number
from sparsevq.errors import SparseVQError

if TYPE_CHECKING:
    from sparsevq.evaluation.placing.proposal import Comparison, Placed, Wanted
    from sparsevq.runs.run import Run

DESCRIPTION = """
Propose places for sensors, from the modes in which the training flows vary: one after the other where it lowers the
expected error of the linear estimate of the whole field the most (variance), or at QR pivots of the modes (qr).

DATA is a data set (data.h5), the folder of a data set, of a run or of an experiment with one data set; or a file of
your own in any format that `sparsevq data describe` reads, of which a data set is made for the time of the command
(--keep FOLDER keeps it).

The table says, by the number of sensors, which error is expected, which error is measured on frames that the modes were
not made from, and what random places would have given. Errors are shares of the anomalies' standard deviation: 1 is
that of the time mean. The best places for a linear estimate are good ones for a trained encoder; how good, an
experiment with several `placements` in its configuration shows.
"""
EXAMPLES = """
examples:

  sparsevq place results/quickstart/cylinder --sensors 20 --out places.csv --png places.png

  sparsevq place sst.nc --sensors 5 --existing buoys.csv --map gain.nc --min-distance 500km --noise 0.2

  sparsevq place results/mine/plant --sensors 3 --candidates flanges.csv --channels temperature --noise 20dB
"""


def add_place(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "place",
        help="propose places for sensors",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        usage="%(prog)s DATA [--sensors N] [--out places.csv] [--png places.png] [--flag value ...]",
        formatter_class=HelpFormatter,
    )
    parser.set_defaults(run=run, parser=parser)
    parser.add_argument("data", metavar="DATA", help="data set, run, experiment, or a file of your own")
    wanted = parser.add_argument_group("what is wanted")
    add_flag(wanted, "sensors", "sensors to propose", type=whole_number, default=20, metavar="N")
    explained = "how: greedily by the posterior variance of the linear estimate, or QR pivots"
    add_flag(wanted, "method", explained, choices=("variance", "qr"), default="variance")
    explained = "std of the readings' errors: in the channels' unit, in decibels, or for each channel (u=0.1,T=0.5)"
    add_flag(wanted, "noise", explained, default="0", metavar="STD|dB")
    add_flag(wanted, "channels", "channels that a sensor reads; empty: all", default="", metavar="NAME,...")
    add_flag(wanted, "error-of", "channels whose error counts; empty: all", default="", metavar="NAME,...")
    places = parser.add_argument_group("where they may stand")
    explained = "only there: (low, high) along some axes, or along each in order (default: anywhere)"
    add_flag(places, "region", explained, metavar="AXIS=LOW:HIGH,...")
    explained = "of two sensors: in the axes' unit, or with a unit; on a sphere along great circles, in degrees or km"
    add_flag(places, "min-distance", explained, default="0", metavar="LENGTH")
    explained = "sensors that are there already: a column for each axis, and `channels` (default: none)"
    add_flag(places, "existing", explained, type=Path, metavar="CSV")
    explained = "the places where one may be installed; columns as of --existing (default: every point)"
    add_flag(places, "candidates", explained, type=Path, metavar="CSV")
    files = parser.add_argument_group("what is written and told")
    explained = "the places, as `sensors.placement: csv` of a configuration reads them (default: none)"
    add_flag(files, "out", explained, type=Path, metavar="CSV")
    add_flag(
        files, "png", "picture of places, what they leave open, and errors (default: none)", type=Path, metavar="PNG"
    )
    explained = "maps of what one more sensor would gain, and of what is open, after the CF conventions (default: none)"
    add_flag(files, "map", explained, type=Path, metavar="NC")
    explained = "frames on which the error is measured"
    add_flag(files, "split", explained, choices=("val", "test", "train"), default="val")
    add_flag(files, "draws", "random placements to compare with; 1 or more", type=whole_number, default=10, metavar="N")
    files.add_argument("--json", action="store_true", help="print all as JSON, for scripts")
    own = parser.add_argument_group("a file of your own")
    explained = (
        "configuration whose `files` has an entry that says how to read DATA (default: what is suggested for it)"
    )
    add_flag(own, "config", explained, type=Path, metavar="YAML")
    add_flag(own, "name", "the entry (default: the only one)", metavar="NAME")
    add_flag(
        own, "keep", "folder for the data set that is made of it (default: none is kept)", type=Path, metavar="FOLDER"
    )


def run(args: Namespace, argv: list[str]) -> None:
    """Propose, compare, and write.

    Raises
    ------
    SparseVQError
        The data, a file of places or a flag is faulty, or a file can't be written.
    """
    for flag, ending in (("out", ".csv"), ("png", ".png"), ("map", ".nc")):
        if hasattr(args, flag) and getattr(args, flag).suffix.lower() != ending:
            raise SparseVQError(
                f"--{flag} {getattr(args, flag)} does not end in {ending}", f"give a name that ends in {ending}"
            )
    from sparsevq.cli.place_data import data_set
    from sparsevq.cli.place_wanted import wanted_of
    from sparsevq.evaluation.placing.held_out import HeldOut
    from sparsevq.evaluation.placing.proposal import compare, place

    with data_set(args) as made:
        with contextlib.redirect_stdout(sys.stderr):
            wanted = wanted_of(args, made)
        placed = place(wanted, args.method, args.sensors)
        held_out = None
        if len(wanted.data.trajectories(args.split)):
            held_out = HeldOut(wanted.data, wanted.basis, args.split, wanted.importance)
        errors = compare(wanted, placed, held_out, args.draws)
        written = _write(args, argv, wanted, placed, errors)
        if args.json:
            print(json.dumps(_as_json(args, made, wanted, placed, errors, written), indent=1), flush=True)
            return
        print("\n".join(_table(args, wanted, placed, errors)), flush=True)
        for what, path in written.items():
            print(f"{what}: {path}", flush=True)


def _write(
    args: Namespace, argv: list[str], wanted: "Wanted", placed: "Placed", errors: "Comparison"
) -> dict[str, str]:
    """Write the files that were asked for; what each is -> where."""
    from sparsevq.evaluation.placing.files import as_maps, write_places
    from sparsevq.evaluation.placing.proposal import maps

    written = {}
    if hasattr(args, "out"):
        write_places(args.out, wanted, placed)
        written["places"] = str(args.out)
    if hasattr(args, "png") or hasattr(args, "map"):
        found = maps(wanted, placed)
        coordinates = wanted.data.physical_coordinates
        if hasattr(args, "map"):
            from sparsevq.forecasting.dataset.writing import write_netcdf

            title = f"Where sensors would help: {wanted.data.name}"
            write_netcdf(args.map, as_maps(wanted.data, found, title), shlex.join(["sparsevq", *argv]))
            written["maps"] = str(args.map)
        if hasattr(args, "png"):
            from sparsevq.evaluation.placing.picture import draw_places

            there = coordinates[wanted.existing]
            draw_places(args.png, wanted.data, found, coordinates[placed.points], there, errors, args.method)
            written["picture"] = str(args.png)
    return written


def _table(args: Namespace, wanted: "Wanted", placed: "Placed", errors: "Comparison") -> list[str]:
    """What is printed: the places, and the errors by their number."""
    data = wanted.data
    lines = [f"{data.name}: {len(placed.points)} sensors, {args.method}, of {len(wanted.points)} places"]
    if len(wanted.existing):
        lines[0] += f", beside {len(wanted.existing)} existing ones"
    widths = [max(len(axis), 11) for axis in data.axes]
    lines.append("sensor  " + "  ".join(f"{axis:>{width}}" for axis, width in zip(data.axes, widths, strict=True)))
    for number, at in enumerate(data.physical_coordinates[placed.points].tolist(), 1):
        shown = (f"{value:>{width}.6g}" for value, width in zip(at, widths, strict=True))
        lines.append(f"{number:>6}  " + "  ".join(shown))
    measured = f"; measured on {errors.frames} frames ({errors.split})" if len(errors.measured) else ""
    if not measured:
        lines.append(f"note: nothing is measured: {data.name} has no frames of the split {args.split}")
    if len(errors.random_expected) < args.draws:
        lines.append(
            f"note: only {len(errors.random_expected)} of {args.draws} random draws leave room for all sensors: "
            "the least distance is large"
        )
    lines.append("")
    lines.append(f"error / std of the anomalies (1: that of the time mean), by linear theory{measured}")
    head = ["sensors", "expected"] + ["measured"] * bool(measured)
    head += ["random: expected (range)"] * bool(len(errors.random_expected))
    head += ["random: measured (range)"] * bool(len(errors.random_expected) and measured)
    rows = [head]
    for index, count in enumerate(errors.counts):
        row = [str(count), f"{errors.expected[index]:.3f}"]
        row += [f"{errors.measured[index]:.3f}"] * bool(measured)
        for draws in (errors.random_expected, errors.random_measured) if len(errors.random_expected) else ():
            if draws.size:
                of = draws[:, index]
                row.append(f"{of.mean():.3f} ({of.min():.3f} to {of.max():.3f})")
        rows.append(row)
    columns = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines += ["  ".join(f"{cell:>{width}}" for cell, width in zip(row, columns, strict=True)) for row in rows]
    return lines


def _as_json(
    args: Namespace, made: "Run", wanted: "Wanted", placed: "Placed", errors: "Comparison", written: dict[str, str]
) -> dict[str, Any]:
    data, total = wanted.data, wanted.prior.value
    places = data.physical_coordinates

    def sensors(points: Any, reads: Any) -> list[dict[str, Any]]:
        return [
            {**dict(zip(data.axes, places[point].tolist(), strict=True)), "channels": _named(data.channels, read)}
            for point, read in zip(points.tolist(), reads, strict=True)
        ]

    table = []
    for index, count in enumerate(errors.counts):
        row: dict[str, Any] = {"sensors": count, "expected": float(errors.expected[index])}
        if len(errors.measured):
            row["measured"] = float(errors.measured[index])
        for name, draws in (("expected", errors.random_expected), ("measured", errors.random_measured)):
            if draws.size:
                row[f"random_{name}"] = draws[:, index].tolist()
        table.append(row)
    return {
        "data_set": data.name,
        "method": args.method,
        "noise": dict(zip(data.channels, (wanted.noise * wanted.basis.scale).tolist(), strict=True)),
        "min_distance": wanted.min_distance,
        "existing": sensors(wanted.existing, wanted.existing_reads),
        "sensors": [
            {**at, "expected": math.sqrt(error / total)}
            for at, error in zip(sensors(placed.points, placed.reads), placed.expected[1:].tolist(), strict=True)
        ],
        "measured_on": {"split": errors.split, "frames": errors.frames},
        "errors": table,
        "files": written,
    }


def _named(channels: tuple[str, ...], read: Any) -> list[str]:
    return [channel for channel, flag in zip(channels, read, strict=True) if flag]
