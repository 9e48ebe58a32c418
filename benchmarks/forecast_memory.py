"""Memory of a forecast that is larger than it: 128^3 points, 3 channels, 16 members, 20 frames, to NetCDF and Zarr.

    python benchmarks/forecast_memory.py --size 128 --modes 512

The run is synthetic: its stages are trained for a few steps on a small grid, and then moved to the large one, since
what they hold does not depend on the points. Only the data set's description (whose fields are a hole in the file), the
basis (random modes) and the sensors are of the large grid. Each way to write is a process of its own, which reads the
run, forecasts and writes; its peak resident memory includes the pages of mapped files. Then one field is read back and
compared with what the models give there.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from report import REPOSITORY, machine, print_machine, print_table, write_json

CHANNELS = {"u": "m/s", "v": "m/s", "temperature": "K"}
SMALL = 8
FRAMES = 12


def main() -> None:
    """Print the figures."""
    command = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    command.add_argument("--size", type=int, default=128, help="points along each of three axes")
    command.add_argument("--modes", type=int, default=512)
    command.add_argument("--members", type=int, default=16)
    command.add_argument("--frames", type=int, default=20)
    command.add_argument("--threads", type=int, default=2)
    command.add_argument("--folder", type=Path, help="in which all is written, and deleted (default: /tmp)")
    command.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    command.add_argument("--write", help=argparse.SUPPRESS)  # the name of the file to write: in a process of its own
    asked = command.parse_args()
    if asked.write:
        print(json.dumps(forecast_and_write(asked)))
        return
    about = machine() | {"threads": asked.threads}
    print_machine(about)
    with tempfile.TemporaryDirectory(dir=asked.folder) as folder:
        make_run(Path(folder), asked.size, asked.modes)
        basis = (Path(folder) / "basis.h5").stat().st_size / 1e9
        whole = 4e-9 * asked.size**3 * len(CHANNELS) * asked.members * (asked.frames + 1)
        print(f"{asked.size}^3 points, {len(CHANNELS)} channels, {asked.members} members, {asked.frames} frames: ")
        print(f"{whole:.1f} GB of fields, from {asked.modes} modes of {basis:.1f} GB\n", flush=True)
        found = {name: in_a_process(asked, folder, name) for name in ("forecast.nc", "forecast.zarr")}
    columns = ("load_s", "forecast_s", "write_s", "peak_gb", "file_gb", "one_field_s")
    print_table(
        ("", "load, s", "forecast, s", "write, s", "peak memory, GB", "file, GB", "read one field, s"),
        [(name, *(one[column] for column in columns)) for name, one in found.items()],
    )
    write_json(asked.json, {"machine": about, "asked": {"fields_gb": whole, "basis_gb": basis}, **found})


def in_a_process(asked: argparse.Namespace, folder: str, name: str) -> dict[str, float]:
    """Figures of one way to write, whose file is deleted."""
    given = [f"--{key}={getattr(asked, key)}" for key in ("size", "modes", "members", "frames", "threads")]
    made = subprocess.run(
        [sys.executable, __file__, *given, f"--folder={folder}", f"--write={name}"], stdout=subprocess.PIPE, check=True
    )
    found: dict[str, float] = json.loads(made.stdout.splitlines()[-1])
    return found


def forecast_and_write(asked: argparse.Namespace) -> dict[str, float]:
    """What a user does, in a process of its own."""
    import shutil

    import torch
    import xarray as xr
    from measuring import peak_mb

    import sparsevq
    from sparsevq.forecasting.dataset.writing import write_forecast

    torch.set_num_threads(asked.threads)
    path, times = asked.folder / asked.write, [time.perf_counter()]
    model = sparsevq.Forecaster(asked.folder, device="cpu")
    times.append(time.perf_counter())
    forecast = model.forecast(asked.folder / "readings.csv", asked.frames, asked.members)
    times.append(time.perf_counter())
    write_forecast(path, forecast, "forecast_memory.py")
    times.append(time.perf_counter())
    peak = peak_mb(torch.device("cpu")) / 1e3
    chosen = {"member": 1, "lead_time": asked.frames // 2}
    with xr.open_dataset(path) as written:
        begin = time.perf_counter()
        field = written["temperature"].isel(chosen).to_numpy()
        took = time.perf_counter() - begin
    plane = field.shape[0] // 2  # that of a plane takes as much computing, but not as long
    expected = forecast["temperature"].isel(chosen | {"z": plane}).to_numpy()
    np.testing.assert_allclose(field[plane], expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())
    bytes_ = sum(file.stat().st_size for file in path.rglob("*") if file.is_file()) or path.stat().st_size
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    seconds = dict(zip(("load_s", "forecast_s", "write_s"), np.diff(times).tolist(), strict=True))
    return {**seconds, "peak_gb": peak, "file_gb": bytes_ / 1e9, "one_field_s": took}


# ------------------------------------------------------------------------------------------------ the synthetic run


def make_run(folder: Path, size: int, modes: int) -> None:
    """A run on a grid of `size` points along each axis; see the module's docstring."""
    sys.path.insert(0, str(REPOSITORY))
    from sparsevq.sensors.placement import read_sensors, write_sensors
    from tests.chain import GROUPS, MODAL, REGRESSION, Chain

    with tempfile.TemporaryDirectory(dir=folder) as small:
        chain = Chain(Path(small))
        write_small(chain, modes)
        settings = {**MODAL, "modes": modes}
        chain.encoder("semi_sparse", **settings)
        chain.encoder("sparse", **settings)
        chain.tokenizer(**GROUPS)
        chain.codes()
        chain.gpt(**REGRESSION)
        data = write_large_data(folder / "data.h5", chain.data, size)
        write_large_basis(folder, modes, size, chain.run().basis)
        sensors = read_sensors(chain.sensors_path)
        step = size // SMALL
        at = np.unravel_index(sensors.semi_sparse, (SMALL,) * 3)
        points = np.ravel_multi_index([index * step for index in at], (size,) * 3)
        places = data.physical_coordinates[points]
        sensors = replace(sensors, sparse=points[: len(sensors.sparse)], semi_sparse=points, coordinates=places)
        write_sensors(folder / "sensors.h5", sensors, {"data": folder / "data.h5"})
        move_models(Path(small), folder, sensors, size)
    rows = [f"{index},1,1,300" for index in range(len(sensors.sparse))]
    (folder / "readings.csv").write_text("\n".join(["sensor,u,v,temperature", *rows]) + "\n")


def write_small(chain: Any, modes: int) -> None:
    """Data, basis and sensors of a small grid, of as many frames as there are to be modes, and more."""
    from sparsevq.basis.layout import make_basis
    from sparsevq.config import BasisConfig, SensorsConfig, Symmetries
    from sparsevq.data.layout import write_data
    from sparsevq.sensors.placement import place_sensors, write_sensors
    from tests.flows import travelling_waves

    rng = np.random.default_rng(0)
    waves = travelling_waves(trajectories=4, frames=FRAMES, grid=(SMALL,) * 3)
    trajectories = -(-modes // FRAMES) + 10
    fields = rng.normal((1, 1, 300), size=(trajectories, FRAMES, SMALL, SMALL, SMALL, 3)).astype(np.float32)
    data = replace(
        waves,
        fields=fields,
        mask=np.ones(fields.shape[:1] + fields.shape[2:-1], bool),
        split=np.array(["train"] * (trajectories - 2) + ["val", "test"]),
        channels=tuple(CHANNELS),
        units=tuple(CHANNELS.values()),
        parameters={},
        parameter_units={},
        vector={},
        mean=np.array([1.0, 1, 300]),
        std=np.ones(3),
    )
    write_data(chain.data_path, data)
    make_basis(chain.data_path, chain.folder / "basis.h5", BasisConfig(modes=modes), Symmetries())
    sensors = place_sensors(data, SensorsConfig(num_semi_sparse=20), 20, seed=1)
    write_sensors(chain.sensors_path, sensors, {"data": chain.data_path})


def write_large_data(path: Path, small: Any, size: int) -> Any:
    """The same description on a fine grid; fields are a hole in the file, which takes no space on the disk."""
    from sparsevq.data.layout import SCHEMA, VERSION, read_domain, write_header
    from sparsevq.runtime.hdf5 import created, stamp

    axes = {axis: np.linspace(at[0], at[-1], size) for axis, at in small.axes.items()}
    trajectories, frames = small.fields.shape[:2]
    described = {**small.description(), "axes": axes, "periodic": ()}
    kept = {name: getattr(small, name) for name in ("name", "split", "mean", "std")}
    none = np.empty((trajectories, 0, size, size, size, 3), np.float32)
    mask = np.ones((trajectories, size, size, size), bool)
    mask[:, :2, :2, :2] = False
    large = type(small)(**described, **kept, fields=none, mask=mask)
    with created(path) as file:
        stamp(file, SCHEMA, VERSION, {})
        file.create_dataset("fields", (trajectories, frames, size, size, size, 3), np.float32)
        write_header(file, large)
    return read_domain(path)


def write_large_basis(folder: Path, modes: int, size: int, small: Any) -> None:
    """Random modes: a product of waves along each axis."""
    from sparsevq.basis.layout import SCHEMA, VERSION
    from sparsevq.runtime.hdf5 import created, stamp

    rng, at, points = np.random.default_rng(1), np.linspace(0, 2 * np.pi, size), size**3
    mean = np.broadcast_to(np.float32([1, 1, 300]), (points, 3))
    with created(folder / "basis.h5") as file:
        stamp(file, SCHEMA, VERSION, {"data": folder / "data.h5"}, {})
        stored = file.create_dataset("modes", (modes, points, 3), np.float32)
        for index in range(modes):
            waves = [np.cos(rng.integers(0, size // 4) * at + rng.uniform(0, 6)) for _ in range(3)]
            mode = np.einsum("i,j,k,c->ijkc", *waves, rng.normal(size=3)).astype(np.float32)
            stored[index] = mode.reshape(points, 3)
        file["mean"], file["scale"], file["std"] = mean, small.scale, small.std
        file["residual"] = np.full((points, 3), 0.01, np.float32)
        file["time_mean_share"], file["weights"] = small.time_mean_share, np.ones(points)


def move_models(small: Path, large: Path, sensors: Any, size: int) -> None:
    """The models as they are, but as made from the files of the large grid."""
    from sparsevq.runs.run import FILES, PARTS
    from sparsevq.runtime.files import digest
    from sparsevq.runtime.model_file import load_model, save_model
    from sparsevq.stage1.model import points_digest

    for part in PARTS:
        file = load_model(small / FILES[part], part)
        given = {name: digest(large / FILES[name]) for name in FILES if (large / FILES[name]).is_file()}
        extra = dict(file.extra)
        if part in ("sparse", "semi_sparse"):
            extra |= {"grid": [size] * 3} | ({"points": points_digest(sensors, part)} if extra.get("points") else {})
        save_model(
            large / FILES[part],
            Weights(file.weights),
            part,
            shape=file.shape,
            settings=file.settings,
            made_from={name: given.get(name, found) for name, found in file.made_from.items()},
            extra=extra,
        )


class Weights:
    """What `save_model` wants of a module."""

    def __init__(self, weights: dict[str, Any]):
        self._weights = weights

    def state_dict(self) -> dict[str, Any]:
        """The weights."""
        return self._weights


if __name__ == "__main__":
    main()
