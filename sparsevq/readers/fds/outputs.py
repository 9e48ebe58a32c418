"""Output of one FDS run: volumes of SMOKE3D, 3-D slices and PLOT3D, mesh by mesh, some frames at a time.

fdsreader knows the formats (``.smv`` and the files that it names) and turns SMOKE3D's display codes into physical
values. It reads all frames of an output at once, and keeps a pickle beside the data, which it loads the next time:
here it reads a few frames at a time, and does not read, write or remove a pickle.
"""

import copy
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from sparsevq.errors import SparseVQError
from sparsevq.readers.fds.meshes import Frames, Piece, lines_of, outside_gas

KINDS = ("slice", "plot3d", "smoke3d")
"""Floats first: SMOKE3D has 255 levels."""
LOADERS = {"slcf": "slice", "pl3d": "plot3d", "smoke3d": "smoke3d"}
"""fdsreader's names of its loaders in `load_errors`."""
HINT = "let FDS finish or copy its files again; or leave this quantity out of `arrays`"
INTEGER = np.dtype("<i4")


@dataclass(frozen=True, eq=False)
class Output:
    """A quantity that FDS wrote over a volume, on one mesh or several.

    Attributes
    ----------
    name
        ``kind/QUANTITY``; a second one of that name ends in ``#2``.
    kind
        One of `KINDS`.
    quantity, short_name, unit
        As FDS names them.
    times
        ``(F,)``, s.
    pieces
        The output on each mesh.
    files
        Where the values are.
    fault
        Error in its files, as far as their sizes show.
    """

    name: str
    kind: str
    quantity: str
    short_name: str
    unit: str
    times: npt.NDArray[np.float64]
    pieces: tuple[Piece, ...]
    files: tuple[Path, ...]
    fault: SparseVQError | None = None

    def is_called(self, name: str) -> bool:
        """Whether `name` is this output: with or without its kind, in upper or lower case."""
        return name.strip().lower() in {self.name.lower(), self.quantity.lower(), self.short_name.lower()}


@dataclass(frozen=True, eq=False)
class Run:
    """One run of FDS.

    Attributes
    ----------
    smv
        The file that names all others.
    name
        FDS's own name of the run (CHID).
    version
        Of FDS.
    reader
        Version of fdsreader.
    outputs
        All volumes.
    unread
        Errors of fdsreader's loaders.
    solids
        How many solids of arbitrary shape (GEOM) there are, whose inside is not masked.
    """

    smv: Path
    name: str
    version: str
    reader: str
    outputs: tuple[Output, ...]
    unread: tuple[SparseVQError, ...]
    solids: int


def open_run(smv: Path) -> Run:
    """Describe a run; no values are read.

    Raises
    ------
    SparseVQError
        fdsreader is not installed, or the .smv file is missing or damaged.
    """
    simulation, version = _parsed(smv)
    failed = {loader: SparseVQError(f"{smv}: {error}", HINT) for loader, error in simulation.load_errors}
    if "obst" in failed:  # otherwise values inside solids would count as gas
        raise failed["obst"]
    kinds: dict[str, Iterator[Output]] = {
        "slice": (_slice(smv, item) for item in simulation.slices if item.type == "3D"),
        "plot3d": (_plot3d(smv, item) for item in simulation.data_3d if item.quantity is not None),
        "smoke3d": (_smoke3d(smv, item) for item in simulation.smoke_3d),
    }
    faults = {kind: failed[loader] for loader, kind in LOADERS.items() if loader in failed}
    outputs: list[Output] = []
    for kind, found in kinds.items():
        for output in found:
            before = sum(output.name == other.name.split("#")[0] for other in outputs)
            name = f"{output.name}#{before + 1}" if before else output.name
            outputs.append(replace(output, name=name, fault=faults.get(kind, output.fault)))
    return Run(
        smv=smv,
        name=str(simulation.chid),
        version=str(getattr(simulation, "fds_version", "unknown")),
        reader=version,
        outputs=tuple(outputs),
        unread=tuple(faults.values()),
        solids=len(simulation.geoms),
    )


def _parsed(smv: Path) -> tuple[Any, str]:
    """fdsreader's view of a run, and its version; nothing is cached on disk."""
    try:
        import fdsreader
    except ImportError:
        raise SparseVQError(f"{smv}: reading FDS output needs fdsreader", "pip install sparsevq[readers]") from None
    # `Simulation(...)` would load, or remove, a pickle in the folder before it reads the run
    simulation = object.__new__(fdsreader.Simulation)
    caching, quiet = fdsreader.settings.ENABLE_CACHING, logging.root.manager.disable
    fdsreader.settings.ENABLE_CACHING = False
    logging.disable(logging.WARNING)  # faults of parts are kept in `load_errors`
    try:
        fdsreader.Simulation.__init__(simulation, str(smv))
    except OSError as error:
        raise SparseVQError(f"{error.filename or smv}: cannot be read ({error.strerror or error})", HINT) from None
    except Exception as error:  # whatever its parser raises
        what = f"{type(error).__name__} {error}".strip()
        raise SparseVQError(f"{smv}: not a whole .smv file of FDS ({what})", "copy it again") from None
    finally:
        fdsreader.settings.ENABLE_CACHING = caching
        logging.disable(quiet)
    if not getattr(simulation, "chid", None) or not len(simulation.meshes):
        raise SparseVQError(f"{smv}: not a whole .smv file of FDS (it names no run or no mesh)", "copy it again")
    return simulation, str(fdsreader.__version__)


def _output(kind: str, quantity: Any, **rest: Any) -> Output:
    return Output(
        name=f"{kind}/{quantity.name}",
        kind=kind,
        quantity=quantity.name,
        short_name=quantity.short_name,
        unit=quantity.unit,
        **rest,
    )


def _truncated(path: Path, there: int, expected: int) -> SparseVQError:
    return SparseVQError(f"{path}: truncated, it holds {there} whole frames of {expected}", HINT)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError as error:
        raise SparseVQError(f"{path}: cannot be read ({error.strerror})", HINT) from None


# ------------------------------------------------------------------------------------------------ slices


def _slice(smv: Path, item: Any) -> Output:
    """A 3-D slice: records of one size, a time and the values in each."""
    pieces, files, counts, fault = [], [], [], None
    times = np.empty(0)
    for part in item.subslices:
        path = smv.parent / part.filename
        record = 20 + 4 * part.dimension.size(cell_centered=False)  # bytes: Fortran records of 12 and 8 + 4 n
        files.append(path)
        try:
            frames, rest = divmod(max(_size(path) - part._offset, 0), record)
        except SparseVQError as error:
            fault = fault or error
            continue
        counts.append(frames)
        if rest:
            fault = fault or _truncated(path, frames, frames + 1)
        if frames and not len(times):
            layout = np.dtype({"names": ["time"], "formats": ["<f4"], "offsets": [4], "itemsize": record})
            times = np.memmap(path, layout, "r", part._offset, (frames,))["time"].astype(np.float64)
        ranges = {axis: (where.start, where.stop) for axis, where in part.index_ranges().items()}
        lines = {axis: lines_of(part.mesh)[axis] for axis in ranges}
        read = _slice_reader(part, record)
        pieces.append(Piece.of(lines, ranges, item.cell_centered, read, outside_gas(part.mesh)))
    if counts and min(counts) < max(counts):
        short = counts.index(min(counts))
        fault = fault or _truncated(files[short], min(counts), max(counts))
    return _output(
        "slice", item.quantity, times=np.round(times, 6), pieces=tuple(pieces), files=tuple(files), fault=fault
    )


def _slice_reader(part: Any, record: int) -> Callable[[int, int], Frames]:
    def read(start: int, stop: int) -> Frames:
        # fdsreader reads `n_t` records from `_offset` on: a view of the file that begins and ends elsewhere
        parent, view = copy.copy(part._parent_slice), copy.copy(part)
        parent.n_t, view._parent_slice, view._offset = stop - start, parent, part._offset + start * record
        return np.asarray(view.data)

    return read


# ------------------------------------------------------------------------------------------------ PLOT3D


def _plot3d(smv: Path, item: Any) -> Output:
    """One of the five quantities of PLOT3D: a file for each frame and mesh."""
    pieces, files, fault = [], [], None
    for part in item.subplots:
        shape = part.mesh.dimension.shape()
        expected = part._offset + 8 + 4 * 5 * int(np.prod(shape))
        if len(part.times) < len(item.times):
            fault = fault or SparseVQError(
                f"{smv}: {len(part.times)} of {len(item.times)} frames of PLOT3D are there for mesh {part.mesh.id}",
                HINT,
            )
        for path in map(Path, part.file_paths):
            files.append(path)
            try:
                if _size(path) != expected:
                    fault = fault or SparseVQError(
                        f"{path}: truncated, it holds {_size(path)} bytes of {expected}", HINT
                    )
            except SparseVQError as error:
                fault = fault or error
        pieces.append(Piece.whole(lines_of(part.mesh), _plot3d_reader(part), outside_gas(part.mesh)))
    times = np.asarray(item.times, dtype=np.float64)
    return _output("plot3d", item.quantity, times=times, pieces=tuple(pieces), files=tuple(files), fault=fault)


def _plot3d_reader(part: Any) -> Callable[[int, int], Frames]:
    def read(start: int, stop: int) -> Frames:
        view = copy.copy(part)
        view.times, view.file_paths = part.times[start:stop], part.file_paths[start:stop]
        return np.asarray(view.data)

    return read


# ------------------------------------------------------------------------------------------------ SMOKE3D


def _smoke3d(smv: Path, item: Any) -> Output:
    """A quantity of SMOKE3D: for each frame its time, a size, and run-length encoded codes of that size."""
    pieces, files, fault = [], [], None
    times = np.asarray(item.times, dtype=np.float64)
    for part in item.subsmokes:
        path = Path(part._file_path)
        files.append(path)
        if len(part.upper_bounds) != len(times):
            fault = fault or SparseVQError(
                f"{path}.sz: {len(part.upper_bounds)} frames, but {len(times)} on another mesh", HINT
            )
        try:
            _size(path)
        except SparseVQError as error:
            fault = fault or error
        pieces.append(Piece.whole(lines_of(part.mesh), _Smoke(part, len(times)).read, outside_gas(part.mesh)))
    return _output("smoke3d", item.quantity, times=times, pieces=tuple(pieces), files=tuple(files), fault=fault)


class _Smoke:
    """Frames of one quantity on one mesh; where each begins in the file is found when the first is read."""

    def __init__(self, part: Any, frames: int):
        self._part, self._frames = part, frames
        self._starts: dict[Path, npt.NDArray[np.int64]] = {}

    def read(self, start: int, stop: int) -> Frames:
        """Physical values of frames ``start ... stop - 1``, ``(f, x, y, z)``."""
        view, path = copy.copy(self._part), Path(self._part._file_path)
        view.times = self._part.times[start:stop]
        view.upper_bounds, view.max_vals = self._part.upper_bounds[start:stop], self._part.max_vals[start:stop]
        view._data = self._codes(path, start, stop)
        # FDS 6.10 wrote densities a second time, finer, beside the codes
        density = path.with_name(path.name + "d")
        view._density_data = self._codes(density, start, stop) if density.exists() else None
        try:
            return np.asarray(view.to_physical())
        except ValueError as error:
            raise SparseVQError(f"{path}: {error}", "choose other quantities in `arrays`") from None

    def _codes(self, path: Path, start: int, stop: int) -> Frames:
        from fdsreader.smoke3d.smoke3d import _decode_rle

        shape = self._part.mesh.dimension.shape()
        points = int(np.prod(shape))
        codes = np.zeros((stop - start, *shape), dtype=np.float32)
        with open(path, "rb") as file:
            starts = self._starts_in(file, path)
            for frame, where in enumerate(starts[start:stop]):
                file.seek(where)
                size = int(np.fromfile(file, INTEGER, 6)[5])
                if not size:  # no values to show
                    continue
                file.seek(8, 1)
                decoded = _decode_rle(np.fromfile(file, np.uint8, size), size, points)
                if decoded.size != points:
                    raise SparseVQError(f"{path}: frame {start + frame} is damaged", HINT)
                codes[frame] = decoded.reshape(shape, order="F")
        return codes

    def _starts_in(self, file: BinaryIO, path: Path) -> npt.NDArray[np.int64]:
        """``(F,)``: offset of each frame, from the sizes in the file, one after the other."""
        if path not in self._starts:
            end, where, starts = _size(path), 40, []
            for frame in range(self._frames):
                file.seek(where)
                head = np.fromfile(file, INTEGER, 7)  # [4, time, 4], [8, points, size, 8]
                size = int(head[5]) if len(head) == 7 else 0
                following = where + 28 + (size + 8 if size else 0)
                if len(head) < 7 or following > end:
                    raise _truncated(path, frame, self._frames)
                if (head[0], head[2], head[3], head[6]) != (4, 4, 8, 8) or size < 0:
                    raise SparseVQError(f"{path}: frame {frame} is damaged", HINT)
                starts.append(where)
                where = following
            self._starts[path] = np.array(starts, dtype=np.int64)
        return self._starts[path]
