"""What `sparsevq data describe` prints: tables, complete when piped too."""

import json
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.text import Text

from sparsevq.cli.guesses import Opened
from sparsevq.cli.printing import print_plain, print_table, tables_console
from sparsevq.cli.suggestion import suggested, suggested_arrays
from sparsevq.cli.survey import Survey
from sparsevq.config import FileConfig
from sparsevq.data.field_data import SPLITS
from sparsevq.data.source import Source
from sparsevq.errors import SparseVQError
from sparsevq.readers.opening.stored import size_text

MOST_VALUES = 12
MOST_ARRAYS = 60
"""Arrays of a file that are listed: a file with a group a sample may have thousands."""
MOST_OF_ATTRIBUTE = 80
OF_HDF5 = ("class", "name", "dimension_labels", "_netcdf4dimid", "_netcdf4coordinates", "_nc3_strict")


def print_description(
    source: Source, found: Survey, settings: FileConfig, kind: str, name: str, assumed: Sequence[str] = ()
) -> None:
    """Print all that is known of a source, and a configuration to start from; `assumed`: what the file does not say."""
    console = tables_console()
    print_table(console, source.label, ("", ""), _overview(source, found, kind), header=False)
    axes = (_axis(source, axis) for axis in source.axes)
    print_table(console, "axes", ("axis", "points", "first", "last", "spacing", "unit", ""), axes)
    channels = (_channel(source, found, index) for index in range(len(source.channels)))
    print_table(console, "channels", ("channel", "unit", "min", "mean", "max", "std", "time mean", "NaN", ""), channels)
    if source.parameters:
        print_table(console, "parameters", ("parameter", "unit", "values"), _parameters(source))
    if source.provenance:
        rows = ((key, _short(value)) for key, value in source.provenance.items())
        print_table(console, "provenance", ("", ""), rows, header=False)
    try:
        lines, notes = suggested(source, found, settings, name)
    except SparseVQError as error:
        print_plain(console, f"No configuration can be suggested:\n  {error}\n")
        console.print(Text("lines that read it, for more data of the kind", style="bold"))
        print_plain(console, suggested_arrays(settings, name).rstrip())
        return
    _print_suggestion(console, lines, [*assumed, *notes])


def print_contents(found: Opened, name: str) -> None:
    """Print what is in a file that does not say how to read it; and, where no guess does, lines that may help."""
    console, contents = tables_console(), found.contents
    assert contents is not None
    columns = ("array", "shape", "type", "dimensions", "unit", "attributes")
    rows = [
        (item.name, _times(item.shape), str(item.dtype), ", ".join(item.dimensions), item.units, _attributes(item))
        for item in islice(contents.arrays.values(), MOST_ARRAYS)
    ]
    print_table(console, f"{contents.path}: arrays", columns, rows)
    if len(contents.arrays) > MOST_ARRAYS:
        print_plain(console, f"and {len(contents.arrays) - MOST_ARRAYS} more arrays\n")
    if contents.unreadable:
        print_table(console, "not arrays of numbers", ("name", "what"), contents.unreadable.items())
    how = "cannot be read as fields yet:" if found.source is None else "is read by a guess, since"
    print_plain(console, f"It {how}\n  {found.why}\n")
    if found.source is None and found.notes:
        unknown = "?" in found.settings.dimensions
        why = "say what each dimension is, then describe again with these settings" if unknown else found.notes[0]
        _print_suggestion(console, suggested_arrays(found.settings, name), [f"it does not work yet: {why}"])


# ------------------------------------------------------------------------------------------------ rows


def _overview(source: Source, found: Survey, kind: str) -> list[tuple[str, str]]:
    frames, channels = len(source.time), len(source.channels)
    values = source.trajectories * frames * int(np.prod(source.grid)) * channels
    where = f"{source.grid[0]} scattered points" if source.scattered else f"{_times(source.grid)} points"
    files = [path for path in source.files if path.exists()]
    rows = [
        ("format", kind),
        ("trajectories", f"{source.trajectories}{_split_text(source)}"),
        ("frames", f"{frames} of each trajectory"),
        ("grid", f"{where} ({', '.join(source.axes)})"),
        ("time", _time(source)),
        ("in memory", size_text(4 * values)),
        ("on disk", f"{size_text(sum(map(_stored, files)))} in {len(files)} file{'s' * (len(files) != 1)}"),
    ]
    if found.frames < source.trajectories * frames:
        rows.append(("looked at", f"{found.frames} of {source.trajectories * frames} frames, spread evenly"))
    masked, gaps = found.masked[~np.isnan(found.masked)], found.gaps[~np.isnan(found.gaps)]
    if masked.any():
        rows.append(("mask", f"{masked.mean():.2%} of the points never have a value ({_range(masked, '.2%')})"))
    if gaps.any():
        rows.append(
            ("gaps", f"{gaps.mean():.2%} of the points have values in some frames or channels only: masked too")
        )
    if found.empty_frames.any():
        rows.append(("empty frames", f"{found.empty_frames.sum()} frames have no value at all"))
    rows += [("unread", fault) for fault in found.faults]
    return rows


def _split_text(source: Source) -> str:
    if source.split is not None:
        counts = {name: int((source.split == name).sum()) for name in SPLITS}
        return " (" + ", ".join(f"{count} {name}" for name, count in counts.items() if count) + ")"
    ood = int(source.ood.sum()) if source.ood is not None else 0
    return f" ({ood} of them ood)" if ood else ""


def _time(source: Source) -> str:
    unit = f" {source.time_units}".rstrip()
    if len(source.time) < 2:
        return f"{source.time[0]:g}{unit}"
    steps = np.diff(source.time)
    step = float(np.median(steps))
    text = f"{source.time[0]:.6g} to {source.time[-1]:.6g}{unit}, step {step:.6g}"
    uneven = int((np.abs(steps - step) > 1e-3 * abs(step)).sum())
    longest = f"; {uneven} steps differ, the longest is {steps.max():.6g}" if uneven else ""
    return text + longest


def _axis(source: Source, axis: str) -> tuple[str, ...]:
    at = source.axes[axis]
    spacing, notes = np.diff(at), []
    if source.scattered or not len(spacing):
        step = ""
    elif np.allclose(spacing, spacing[0], rtol=1e-3):
        step = f"{spacing.mean():.6g}"
    else:
        step = f"{spacing.min():.4g} to {spacing.max():.4g}"
    if axis in source.periodic:
        notes.append("periodic")
    low, high = (at.min(), at.max()) if source.scattered else (at[0], at[-1])
    unit = source.axis_units.get(axis, "")
    return axis, str(len(at)), f"{low:.6g}", f"{high:.6g}", step, unit, ", ".join(notes)


def _channel(source: Source, found: Survey, index: int) -> tuple[str, ...]:
    name = source.channels[index]
    notes = [about] if (about := source.channel_about.get(name, {}).get("long_name")) else []
    if found.infinite[index]:
        notes.append(f"{found.infinite[index]} infinite values")
    blank = int(found.blank[:, index].sum())
    if blank:
        notes.append(f"no value in {blank} trajector{'ies' if blank > 1 else 'y'}")
    if found.minimum[index] == found.maximum[index]:
        notes.append("constant")
    if name in source.vector:
        notes.append(f"points along {source.vector[name]}")
    numbers = (found.minimum[index], found.mean[index], found.maximum[index], found.std[index])
    shown = [f"{value:.5g}" if np.isfinite(value) else "-" for value in numbers]
    share = found.time_mean_share[index]
    shown.append(f"{share:.2%}" if np.isfinite(share) else "-")
    return name, source.units[index], *shown, f"{found.missing[index]:.2%}", ", ".join(notes)


def _parameters(source: Source) -> Iterable[tuple[str, str, str]]:
    for name, values in source.parameters.items():
        different = np.unique(values)
        if len(different) <= (MOST_VALUES if values.dtype.kind in "UO" else 3):
            shown = ", ".join(f"{_value(value)} ({(values == value).sum()})" for value in different.tolist())
        elif values.dtype.kind in "UO":
            shown = f"{len(different)} different, such as {different[0]}"
        else:
            shown = f"{np.nanmin(values):.5g} to {np.nanmax(values):.5g}, mean {np.nanmean(values):.5g}"
        yield name, source.parameter_units.get(name, ""), shown


def _value(value: str | float) -> str:
    return value if isinstance(value, str) else f"{value:.5g}"


def _attributes(array: Any) -> str:
    """Those that say something beside the unit, which has a column of its own, and HDF5's own book-keeping."""
    said = {key: value for key, value in array.attributes.items() if key.lower() not in ("units", "unit", *OF_HDF5)}
    return ", ".join(f"{key}={_short(value, MOST_OF_ATTRIBUTE)}" for key, value in said.items())


def _short(value: Any, most: int = 300) -> str:
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    text = " ".join(text.split())
    return text if len(text) <= most else text[: most - 3] + "..."


def _range(values: Any, form: str) -> str:
    return f"{values.min():{form}} to {values.max():{form}} of a trajectory"


def _times(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape)) or "a number"


def _stored(path: Path) -> int:
    return (
        sum(part.stat().st_size for part in path.rglob("*") if part.is_file()) if path.is_dir() else path.stat().st_size
    )


def _print_suggestion(console: Console, lines: str, notes: list[str]) -> None:
    console.print(Text("suggested configuration", style="bold"))
    print_plain(console, "".join(f"# {line}\n" for line in notes) + lines.rstrip())
