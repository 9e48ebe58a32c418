"""Rows of the table of files as people have them: a file, how it is read, and what is right."""

import contextlib
import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from sparsevq.config import FileConfig, PreprocessConfig
from sparsevq.data.field_data import FieldData
from sparsevq.data.layout import read_data
from sparsevq.data.preprocess import preprocess
from sparsevq.data.source import Source
from sparsevq.errors import SparseVQError
from sparsevq.readers.files import open_files

NY, NX = 8, 12
TIME_BLOCKS = {"split": "time", "block": 4, "validation": 1, "test": 1}


def wave(frames: int = 24, ny: int = NY, nx: int = NX, seed: int = 0) -> np.ndarray:
    """A smooth field that moves, ``(frames, ny, nx)`` float32, with a little noise; no value is exactly 0."""
    t, y, x = np.meshgrid(np.arange(frames), np.arange(ny) / ny, np.arange(nx) / nx, indexing="ij")
    noise = np.random.default_rng(seed).normal(scale=0.01, size=t.shape)
    return (np.sin(2 * np.pi * (x - t / 12)) + 0.5 * np.cos(2 * np.pi * (y + t / 9)) + noise).astype(np.float32)


def hdf5(**datasets: Any) -> Callable[[Path], Path]:
    """Makes an HDF5 file of these datasets in a folder."""

    def make(folder: Path) -> Path:
        with h5py.File(folder / "a.h5", "w") as file:
            for name, values in datasets.items():
                file[name] = values
        return folder / "a.h5"

    return make


def island() -> np.ndarray:
    """``(NY, NX)``: six points of land."""
    land = np.zeros((NY, NX), dtype=bool)
    land[2:4, 3:6] = True
    return land


@dataclass(frozen=True)
class Right:
    """What is read.

    Attributes
    ----------
    values
        ``(F, *grid)`` of the first channel and trajectory, or ``(T, F, *grid)``; NaN where missing. Or None.
    masked
        Points without values in the data set that `preprocess` makes of it in time blocks.
    mean
        Of that data set, within a hundredth of its standard deviation.
    said
        Words among the printed lines.
    about
        Attribute of the source -> what it must be; of numbers within rounding.
    start
        Parameter ``start`` of the first trajectories begins with these.
    axes
        Axis (in the order of the grid) -> its coordinates.
    """

    values: np.ndarray | None = None
    masked: int | None = None
    mean: float | None = None
    said: tuple[str, ...] = ()
    about: Mapping[str, Any] = field(default_factory=dict)
    start: tuple[str, ...] = ()
    axes: Mapping[str, np.ndarray] | None = None
    tolerance: float = 1e-5


@dataclass(frozen=True)
class Refused:
    """One line that has all of these words (of alternatives ``a|b`` one); `late`: when the data set is made."""

    words: tuple[str, ...] = ()
    late: bool = False


@dataclass(frozen=True)
class Row:
    """A row of the table.

    Attributes
    ----------
    name
        Of the test.
    make
        Writes the file or files into a folder; gives the path as in a configuration.
    settings
        Further settings.
    right
        Outcomes that are right; one of them must be.
    """

    name: str
    make: Callable[[Path], Any]
    right: tuple[Right | Refused, ...]
    settings: Mapping[str, Any] = field(default_factory=dict)


def row(name: str, make: Callable[[Path], Any], *right: Right | Refused, **settings: Any) -> Row:
    """A row, in one line."""
    return Row(name, make, right, settings)


def check(case: Row, folder: Path) -> None:
    """Make the files of a row, read them, and compare with what is right."""
    made = case.make(folder)
    path = [str(each) for each in made] if isinstance(made, list) else str(made)
    failures = []
    for right in case.right:
        try:
            _check_one(path, case.settings, right, folder)
            return
        except AssertionError as error:
            failures.append(f"not {type(right).__name__}: {error}")
    raise AssertionError("\n".join(failures))


def _check_one(path: Any, settings: Mapping[str, Any], right: Right | Refused, folder: Path) -> None:
    said = io.StringIO()
    try:
        with contextlib.redirect_stdout(said):
            source = open_files(FileConfig(path=path, **settings), "case")
            frames = np.stack([source.read(k, 0, len(source.time)) for k in range(source.trajectories)])
            if isinstance(right, Refused) and right.late:
                _data_set(path, settings, folder)
            if isinstance(right, Right):
                _compare(source, frames, right, path, settings, folder)
    except SparseVQError as error:
        assert isinstance(right, Refused), f"refused: {error}"
        check_words(str(error), right.words)
        return
    assert isinstance(right, Right), f"read as {dict(source.axes).keys()}, {frames.shape}, time {source.time[:3]}"
    for words in right.said:
        assert words in said.getvalue(), f"{words!r} was not said: {said.getvalue()!r}"


def check_words(message: str, words: tuple[str, ...]) -> None:
    """Check that a message is one line that has the words."""
    assert "\n" not in message
    for alternatives in words:
        assert any(word.lower() in message.lower() for word in alternatives.split("|")), (
            f"no {alternatives!r}: {message}"
        )


def _compare(
    source: Source, frames: np.ndarray, right: Right, path: Any, settings: Mapping[str, Any], folder: Path
) -> None:
    if right.values is not None:
        want = np.asarray(right.values, dtype=np.float64)
        got = frames[..., 0] if want.ndim == frames.ndim - 1 else frames[0, ..., 0]
        assert got.shape == want.shape, f"shape {got.shape}, not {want.shape}"
        assert np.isnan(got).sum() == np.isnan(want).sum(), f"{np.isnan(got).sum()} missing, not {np.isnan(want).sum()}"
        near = np.isclose(got, want, rtol=0, atol=right.tolerance * float(np.nanmax(np.abs(want))), equal_nan=True)
        assert near.all(), f"{got[~near][:3]}, not {want[~near][:3]}"
    for name, want in right.about.items():
        got = getattr(source, name)
        if isinstance(want, np.ndarray | float):
            np.testing.assert_allclose(got, want, rtol=1e-6, atol=1e-6, err_msg=name)
        else:
            assert got == want, f"{name}: {got!r}, not {want!r}"
    if right.axes is not None:
        assert len(source.axes) == len(right.axes), f"axes {list(source.axes)}, not {list(right.axes)}"
        for (name, at), (wanted, want) in zip(source.axes.items(), right.axes.items(), strict=True):
            assert name.rsplit("/", 1)[-1] == wanted, f"axis {name}, not {wanted}"
            np.testing.assert_allclose(at, want, rtol=1e-5, atol=1e-5, err_msg=name)
    if right.start:
        found = [str(at).replace(" ", "T") for at in source.parameters.get("start", ())]
        begin = [at[: len(want)] for at, want in zip(found, right.start, strict=False)]
        assert begin == list(right.start), f"start {found[:3]}"
    if right.masked is not None or right.mean is not None:
        _compare_data_set(right, path, settings, folder)


def _compare_data_set(right: Right, path: Any, settings: Mapping[str, Any], folder: Path) -> None:
    data = _data_set(path, settings, folder)
    if right.masked is not None:
        assert int((~data.mask[0]).sum()) == right.masked, f"{int((~data.mask[0]).sum())} masked, not {right.masked}"
    if right.mean is not None:
        assert abs(data.mean[0] - right.mean) < 1e-2 * data.std[0], f"mean {data.mean[0]}, not {right.mean}"


def _data_set(path: Any, settings: Mapping[str, Any], folder: Path) -> FieldData:
    """The data set that `preprocess` makes of the files, in time blocks."""
    chosen = FileConfig(path=path, **{**TIME_BLOCKS, **settings})
    out = folder / "made" / "data.h5"
    out.parent.mkdir(exist_ok=True)
    preprocess(open_files(chosen, "case"), out, "case", chosen, PreprocessConfig())
    return read_data(out)
