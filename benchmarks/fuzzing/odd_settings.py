"""Odd settings for good files: names, paths, windows and numbers that users mistype."""

from pathlib import Path
from typing import Any

import numpy as np

from fuzzing.attempt import Attempt, look_at_anything
from fuzzing.damage import Files, written

Dice = np.random.Generator
WORDS = (
    "u",
    "v",
    "x",
    "y",
    "time",
    "t",
    "",
    " ",
    "/",
    "u/",
    "a/b",
    "../a",
    "ü",
    "u" * 300,
    "*",
    "[u]",
    "None",
    "0",
    "channel",
    "point",
    "trajectory",
    "\n",
    "TIME",
)
NUMBERS = (
    0,
    1,
    -1,
    2,
    3,
    10**9,
    0.5,
    1e308,
    -1e308,
    float("nan"),
    float("inf"),
    True,
    None,
    "1",
    "2001-01-01",
    "2001-13-45",
    "",
    [],
)
PATHS = (
    "",
    ".",
    "..",
    "/",
    "~",
    "~/x.nc",
    "~nobody/x",
    "*",
    "**",
    "**/*.nc",
    "a[1].nc",
    "a[",
    "{}",
    "no.nc",
    "a b.npy",
    "\x00",
    "x" * 400,
    "no/such/*.nc",
    "http://x/y.nc",
    "s3://b/k.zarr",
    "C:\\data\\a.nc",
)
KEYS = (
    "arrays",
    "dimensions",
    "coordinates",
    "time",
    "units",
    "periodic",
    "vector",
    "missing",
    "window",
    "stride",
    "split",
    "block",
    "gap",
    "format",
    "join",
    "validation",
    "test",
    "channels",
    "resample",
    "release",
    "path",
    "unknown",
)
CHEAP = ("npy", "npz", "hdf5", "netcdf-3", "mat-5")


def attempts(dice: Dice, folder: Path, pristine: dict[str, Files]) -> Attempt:
    """Settings of which one or more are odd, for a good file."""
    form = str(dice.choice(CHEAP, p=[0.4, 0.35, 0.1, 0.05, 0.1]))
    written(folder, pristine[form])
    path = str(folder / sorted(pristine[form])[0])
    settings: dict[str, Any] = {"path": path, "dimensions": ["time", "y", "x"]}
    settings |= {} if form == "npy" else {"arrays": ["u"]}
    keys = [str(key) for key in dice.choice(KEYS, size=int(dice.choice([1, 1, 2, 3])), replace=False)]
    for key in keys:
        settings[key] = _odd(dice, key, folder, path)
    return Attempt(f"odd settings: {keys[0]}", lambda: look_at_anything(settings), {"settings": settings})


def _odd(dice: Dice, key: str, folder: Path, path: str) -> Any:
    """A value for a key: of its kind, but odd; sometimes of another kind."""
    if dice.random() < 0.1:
        return _number(dice)
    if key == "path":
        found = PATHS[int(dice.integers(len(PATHS)))]
        inside = dice.random() < 0.6 and found[:1] not in ("/", "~", ".") and found
        found = (
            str(folder / found)
            if inside
            else found
            if found not in ("/", ".", "..", "*", "**", "**/*.nc", "~")
            else str(folder)
        )
        return [found, path] if dice.random() < 0.2 else found
    if key in ("arrays", "dimensions", "periodic", "channels"):
        return [_word(dice) for _ in range(int(dice.integers(4)))]
    if key in ("units", "vector"):
        return {_word(dice): _word(dice) for _ in range(int(dice.integers(1, 3)))}
    if key == "coordinates":
        return {
            _word(dice): _word(dice) if dice.random() < 0.5 else [_number(dice), _number(dice)]
            for _ in range(int(dice.integers(1, 3)))
        }
    if key in ("time", "window", "missing", "resample"):
        return _word(dice) if dice.random() < 0.3 else [_number(dice) for _ in range(int(dice.choice([1, 2, 2, 2, 3])))]
    if key in ("format", "join", "split", "release"):
        return str(
            dice.choice(
                [
                    "auto",
                    "netcdf",
                    "zarr",
                    "hdf5",
                    "matlab",
                    "numpy",
                    "sparsevq",
                    "release",
                    "fds",
                    "time",
                    "trajectory",
                    "sea",
                    "pipe",
                    "cylinder",
                    "x",
                ]
            )
        )
    return _number(dice)


def _word(dice: Dice) -> str:
    return WORDS[int(dice.integers(len(WORDS)))]


def _number(dice: Dice) -> Any:
    found = NUMBERS[int(dice.integers(len(NUMBERS)))]
    return int(dice.integers(-3, 8)) if found == 1 and dice.random() < 0.5 else found
