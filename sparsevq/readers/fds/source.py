"""Output of NIST's Fire Dynamics Simulator as a source: its meshes on one grid, its quantities on one time axis.

References
----------
K. McGrattan et al., Fire Dynamics Simulator User's Guide, NIST Special Publication 1019: Smoke3D, SLCF, Plot3D.
"""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sparsevq.config import FileConfig
from sparsevq.data.source import Source
from sparsevq.errors import SparseVQError
from sparsevq.readers.fds.meshes import AXES, one_grid, same_points
from sparsevq.readers.fds.outputs import KINDS, Output, Run, open_run

ROUNDING = 0.006
"""Tolerance for equal times (s): names of PLOT3D files have hundredths."""
ALONG = {"U-VELOCITY": "x", "V-VELOCITY": "y", "W-VELOCITY": "z"}


def open_fds(path: Path, settings: FileConfig, label: str) -> Source:
    """One run of FDS as one trajectory on the axes z, y, x (m).

    Reading frames takes the memory of the result, and of one quantity on one mesh in these frames. Points where FDS had
    no gas to report (inside OBST) are NaN.

    Parameters
    ----------
    path
        A .smv file, or the folder of one run.
    settings
        `arrays`: quantities as FDS names them, ``TEMPERATURE``, or with their kind, ``slice/TEMPERATURE``,
        ``plot3d/TEMPERATURE``, ``smoke3d/TEMPERATURE``. Those that share grid and times are chosen; if there are
        several such sets, the one with the most frames, and of equals slices before PLOT3D before SMOKE3D (8 bits).
        None named: the set with the most frames times quantities. `channels`: names for `arrays`, one for each;
        otherwise channels are called ``w_velocity`` for ``W-VELOCITY``. `resample`: size of a regular grid. `time`:
        [first, step] of moments to interpolate at linearly, so that runs whose time steps differ have the same.
    label
        Name of the data set, for messages.

    Raises
    ------
    SparseVQError
        There is no run or more than one, a file is truncated, a quantity is not there, quantities share no grid or no
        times, meshes do not fit together, fewer than two frames, or fdsreader is missing.
    """
    run = open_run(_smv(path))
    outputs = _chosen(run, settings.arrays)
    source = _source(run, outputs, settings, label)
    if settings.time is None:
        return source
    if isinstance(settings.time, str):
        raise SparseVQError(
            f"{label}: time={settings.time!r}, but FDS gives its times itself", "leave it out, or give [first, step]"
        )
    return at_times(source, *settings.time)


def _smv(path: Path) -> Path:
    """The .smv file of a run."""
    if path.is_dir():
        found = sorted(path.glob("*.smv"))
        if len(found) > 1:
            names = ", ".join(each.name for each in found)
            raise SparseVQError(f"{path}: several runs of FDS in one folder ({names})", "name one of these files")
        if not found:
            below = sorted({str(each.parent) for each in path.rglob("*.smv")})
            hint = f"there are .smv files in {', '.join(below[:3])}" if below else "name the folder that FDS ran in"
            raise SparseVQError(f"{path}: no .smv file of FDS", hint)
        return found[0]
    if path.suffix != ".smv" or not path.is_file():
        raise SparseVQError(f"{path}: no .smv file of FDS", "name one, or the folder that FDS ran in")
    return path


# ------------------------------------------------------------------------------------------------ which quantities


def _chosen(run: Run, wanted: Sequence[str]) -> list[Output]:
    """The outputs that are wanted, on one grid and time axis."""
    if not wanted:
        return _all_of_one_set(run)
    called = [_called(run, name) for name in wanted]
    for outputs in called:
        if called.count(outputs) > 1:
            raise SparseVQError(
                f"{run.smv}: `arrays` names {outputs[0].name} more than once", "name each quantity once"
            )
    every = [output for outputs in called for output in outputs]
    complete = []
    for group in _sets(sorted(every, key=lambda output: KINDS.index(output.kind))):
        matched = [[output for output in group if output in outputs] for outputs in called]
        if all(matched):
            complete.append([outputs[0] for outputs in matched])
    if not complete:
        raise SparseVQError(
            f"{run.smv}: {', '.join(wanted)} share no grid and times",
            f"choose among those that do: {_listed(every)}",
        )
    return max(complete, key=lambda outputs: len(outputs[0].times))


def _called(run: Run, name: str) -> list[Output]:
    """The outputs that `name` means, of which no file is truncated."""
    called = [output for output in run.outputs if output.is_called(name)]
    if not called:
        for fault in run.unread:
            raise fault
        raise SparseVQError(f"{run.smv}: no volume of {name!r}", f"there are: {_listed(run.outputs) or 'none'}")
    whole = [output for output in called if output.fault is None]
    if not whole and called[0].fault is not None:
        raise called[0].fault
    return whole


def _all_of_one_set(run: Run) -> list[Output]:
    for fault in [*run.unread, *(output.fault for output in run.outputs)]:
        if fault is not None:
            raise fault
    if not run.outputs:
        raise SparseVQError(
            f"{run.smv}: no volumes (SMOKE3D, 3-D slices or PLOT3D)",
            "ask FDS for some, such as &SLCF QUANTITY='TEMPERATURE', XB=... /",
        )
    largest = max(_sets(run.outputs), key=lambda group: len(group) * len(group[0].times))
    first: dict[str, Output] = {}
    for output in largest:
        first.setdefault(output.quantity, output)
    return list(first.values())


def _sets(outputs: Sequence[Output]) -> list[list[Output]]:
    """Outputs that share their grid and times, together; floats before codes."""
    groups: list[list[Output]] = []
    for output in dict.fromkeys(outputs):
        for group in groups:
            if same_points(group[0].pieces, output.pieces) and same_times(group[0].times, output.times):
                group.append(output)
                break
        else:
            groups.append([output])
    return groups


def same_times(some: npt.NDArray[np.float64], others: npt.NDArray[np.float64]) -> bool:
    """Whether two outputs were written at the same moments, up to how their times are rounded."""
    if len(some) != len(others):
        return False
    step = float(np.diff(some).min()) if len(some) > 1 else np.inf
    return bool(np.abs(some - others).max(initial=0) <= min(ROUNDING, step / 4))


def _listed(outputs: Sequence[Output]) -> str:
    """Outputs, set by set."""
    described = []
    for group in _sets(outputs):
        times = group[0].times
        span = f"{len(times)} frames, {times[0]:g} to {times[-1]:g} s" if len(times) else "no frames"
        points = sum(int(np.prod([len(piece.points[axis]) for axis in AXES])) for piece in group[0].pieces)
        described.append(f"{', '.join(output.name for output in group)} ({span}, {points} points)")
    return "; ".join(described)


# ------------------------------------------------------------------------------------------------ the source


def _source(run: Run, outputs: list[Output], settings: FileConfig, label: str) -> Source:
    first = outputs[0]
    times = next((output.times for output in outputs if output.kind != "plot3d"), first.times)
    names = ", ".join(output.name for output in outputs)
    if len(times) < 2:
        raise SparseVQError(f"{run.smv}: {names} of {len(times)} frames", "a trajectory needs at least two")
    back = np.flatnonzero(np.diff(times) <= 0)
    if len(back):
        raise SparseVQError(
            f"{run.smv}: times of {names} go back after frame {back[0]} ({times[back[0]]:g} s)",
            "a restarted run leaves such files: run it in one piece",
        )
    axes, fill = one_grid(first.pieces, settings.resample, str(run.smv))
    shape = tuple(len(at) for at in axes.values())
    channels = _channels(outputs, settings)

    def read(trajectory: int, start: int, stop: int) -> npt.NDArray[np.float32]:
        values = np.full((stop - start, *shape, len(outputs)), np.nan, dtype=np.float32)
        for number, output in enumerate(outputs):

            def frames(index: int, output: Output = output) -> npt.NDArray[np.float32]:
                return output.pieces[index].read(start, stop, times)

            fill(frames, values[..., number])
        return values

    return Source(
        label=label,
        trajectories=1,
        read=read,
        axes=axes,
        axis_units=dict.fromkeys(axes, "m"),
        time=times,
        time_units="s",
        channels=channels,
        units=tuple(output.unit for output in outputs),
        files=(run.smv, *(file for output in outputs for file in output.files)),
        parameters={"run": np.array([run.name])},
        parameter_units={"run": ""},
        vector={
            channel: ALONG[output.quantity]
            for channel, output in zip(channels, outputs, strict=True)
            if output.quantity in ALONG
        },
        provenance={
            "solver": "FDS",
            "version": run.version,
            "reader": f"fdsreader {run.reader}",
            "outputs": {channel: output.name for channel, output in zip(channels, outputs, strict=True)},
            "unmasked_solids": run.solids,
        },
    )


def _channels(outputs: list[Output], settings: FileConfig) -> tuple[str, ...]:
    """Names of the channels."""
    own = tuple(re.sub(r"[^a-z0-9]+", "_", output.quantity.lower()).strip("_") for output in outputs)
    names_all = settings.arrays and len(settings.arrays) == len(settings.channels)
    return settings.channels if names_all and set(settings.channels) != set(own) else own


def at_times(source: Source, first: float, step: float) -> Source:
    """A source at times `first`, ``first + step``, ... up to its last, linearly between its frames.

    Raises
    ------
    SparseVQError
        Its frames begin later, or fewer than two times are left.
    """
    have = source.time
    count = int((have[-1] - first) / step + 1e-6) + 1 if step > 0 else 0
    times = first + step * np.arange(count, dtype=np.float64)
    if len(times) < 2:
        raise SparseVQError(
            f"{source.label}: time=[{first:g}, {step:g}] leaves {len(times)} frames between "
            f"{have[0]:g} and {have[-1]:g} s",
            "choose an earlier start or a smaller step",
        )
    if first < have[0] - 1e-6:
        raise SparseVQError(
            f"{source.label}: time=[{first:g}, {step:g}] starts before the first frame, at {have[0]:g} s", "start later"
        )
    low = np.clip(np.searchsorted(have, times, side="right") - 1, 0, len(have) - 2)
    weight = np.clip((times - have[low]) / (have[low + 1] - have[low]), 0, 1).astype(np.float32)

    def read(trajectory: int, start: int, stop: int) -> npt.NDArray[np.float32]:
        needed = np.unique([low[start:stop], low[start:stop] + 1])
        runs = np.split(needed, np.flatnonzero(np.diff(needed) > 1) + 1)
        frames = np.concatenate([source.read(trajectory, int(run[0]), int(run[-1]) + 1) for run in runs])
        before = frames[np.searchsorted(needed, low[start:stop])]
        after = frames[np.searchsorted(needed, low[start:stop] + 1)]
        share = weight[start:stop].reshape(-1, *(1,) * (frames.ndim - 1))
        return before + share * (after - before)

    return replace(source, read=read, time=times.astype(np.float64))
