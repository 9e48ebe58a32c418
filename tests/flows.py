"""Small synthetic flows for all tests: smooth, travelling, known in closed form, made in milliseconds."""

import numpy as np

from sparsevq.data.field_data import FieldData, grid_points


def travelling_waves(
    trajectories: int = 6,
    frames: int = 12,
    grid: tuple[int, ...] = (16, 16),
    obstacle: bool = True,
    seed: int = 0,
) -> FieldData:
    """Two vortex streets of each trajectory's own strength, phase and speed, which travel along the last axis.

    The velocity comes from a stream function, so it has no divergence; it is periodic along x and, in 2-D, zero
    across the walls y = 0 and y = 1. No flow repeats: the ratio of the two streets' speeds is irrational.

    Parameters
    ----------
    trajectories
        At least 3; the last is for testing, the one before for validation, the others for training.
    frames
        Frames of each trajectory, 0.5 s apart.
    grid
        Points along each axis: one to three axes, the last of which is x.
    obstacle
        Mask a disc (a ball, an interval) of radius 0.15 whose centre differs a little between trajectories.
    seed
        Of the draws.

    Returns
    -------
    FieldData
        Channels u and v (in 1-D: v alone), m/s; float64 coordinates of 0 ... 1 m, x without its end (periodic).
    """
    rng = np.random.default_rng(seed)
    names = ("z", "y", "x")[-len(grid) :]
    axes = {name: np.linspace(0, 1, size, endpoint=name != "x") for name, size in zip(names, grid, strict=True)}
    points = dict(zip(names, grid_points(tuple(axes.values())).T, strict=True))  # axis -> (N,)
    time = 0.5 * np.arange(frames, dtype=np.float64)
    x, y = points["x"], points.get("y", np.full_like(points["x"], 0.5))
    envelope = 0.5 + np.sin(np.pi * points["z"]) if "z" in points else 1.0

    parameters = {"strength": rng.uniform(0.5, 1.5, trajectories), "speed": rng.uniform(0.04, 0.08, trajectories)}
    phase = rng.uniform(0, 2 * np.pi, (trajectories, 2))
    centre = 0.5 + rng.uniform(-0.05, 0.05, (trajectories, len(names)))
    fields, mask = [], []
    for index in range(trajectories):
        along = np.zeros((frames, x.size))
        across = np.zeros((frames, x.size))
        for street, (waves, rows, faster) in enumerate(((1, 1, 1.0), (2, 2, np.sqrt(2)))):
            k, m = 2 * np.pi * waves, np.pi * rows
            travelled = x - parameters["speed"][index] * faster * time[:, None]
            # The stream function is sin(m y) cos(k x' + phase) / k: u is its slope along y, v minus that along x.
            along += m / k * np.cos(m * y) * np.cos(k * travelled + phase[index, street])
            across += np.sin(m * y) * np.sin(k * travelled + phase[index, street])
        channels = (1 + along, across) if len(names) > 1 else (across,)
        values = parameters["strength"][index] * np.stack([envelope * channel for channel in channels], axis=-1)
        distance = np.linalg.norm(np.stack([points[name] for name in names], axis=-1) - centre[index], axis=-1)
        valid = distance > 0.15 if obstacle else np.full(x.size, True)
        fields.append(np.where(valid[:, None], values, 0))  # (F, N, C)
        mask.append(valid)

    stacked = np.stack(fields).astype(np.float32)
    valid = np.stack(mask)
    split = np.array(["train"] * (trajectories - 2) + ["val", "test"])
    training = np.concatenate([stacked[t][:, valid[t]].reshape(-1, stacked.shape[-1]) for t in range(trajectories - 2)])
    vector = {"u": "x", "v": "y"} if len(names) > 1 else {}
    return FieldData(
        name="waves",
        fields=stacked.reshape(trajectories, frames, *grid, -1),
        mask=valid.reshape(trajectories, *grid),
        axes=axes,
        axis_units=dict.fromkeys(names, "m"),
        time=time,
        time_units="s",
        parameters=parameters,
        parameter_units={"strength": "m/s", "speed": "m/s"},
        split=split,
        channels=("u", "v") if len(names) > 1 else ("v",),
        units=("m/s",) * stacked.shape[-1],
        mean=training.mean(axis=0, dtype=np.float64),
        std=training.std(axis=0, dtype=np.float64),
        periodic=("x",),
        vector=vector,
        provenance={"solver": "tests.flows.travelling_waves", "seed": seed},
    )


def on_a_sphere(trajectories: int = 6, frames: int = 12, grid: tuple[int, int] = (12, 24), seed: int = 0) -> FieldData:
    """Zonal waves of height and vorticity that travel around the globe, weaker towards the poles.

    Latitudes are cell centres, longitudes 0 ... 360 degrees without the point that repeats. Splits as in
    `travelling_waves`.
    """
    rng = np.random.default_rng(seed)
    axes = {
        "lat": -90 + 180 * (np.arange(grid[0]) + 0.5) / grid[0],
        "lon": 360 * np.arange(grid[1]) / grid[1],
    }
    lat, lon = np.deg2rad(grid_points(tuple(axes.values()))).T
    time = np.arange(frames, dtype=np.float64)
    speed, phase = rng.uniform(0.02, 0.1, trajectories), rng.uniform(0, 2 * np.pi, trajectories)
    angle = lon - speed[:, None, None] * time[:, None] - phase[:, None, None]  # (T, F, N)
    height = 100 * np.cos(lat) ** 2 * np.cos(2 * angle) + 50 * np.sin(lat)
    vorticity = 1e-5 * np.cos(lat) ** 3 * np.sin(3 * angle)
    return _data_set(
        "sphere",
        np.stack([height, vorticity], axis=-1).reshape(trajectories, frames, *grid, 2),
        axes,
        units={"height": "m", "vorticity": "1/s"},
        axis_units={"lat": "degrees_north", "lon": "degrees_east"},
        parameters={"speed": speed},
        periodic=("lon",),
    )


def scattered_waves(
    trajectories: int = 6, frames: int = 12, points: int = 150, dimensions: int = 2, seed: int = 0
) -> FieldData:
    """A wave of pressure and one of temperature that travel over points at random in the unit square (cube)."""
    rng = np.random.default_rng(seed)
    names = ("z", "y", "x")[-dimensions:]
    places = rng.uniform(0, 1, (points, dimensions))
    time = np.arange(frames, dtype=np.float64)
    phase = rng.uniform(0, 2 * np.pi, trajectories)
    angle = 2 * np.pi * places.sum(axis=-1) - 0.4 * time[:, None] - phase[:, None, None]  # (T, F, N)
    fields = np.stack([1e5 + 50 * np.sin(angle), 300 + np.cos(angle)], axis=-1)
    return _data_set(
        "scattered",
        fields,
        dict(zip(names, places.T, strict=True)),
        units={"pressure": "Pa", "temperature": "K"},
        axis_units=dict.fromkeys(names, "m"),
        parameters={"phase": phase},
        scattered=True,
    )


def _data_set(name, fields, axes, *, units, axis_units, parameters, **more) -> FieldData:
    """Without masks; the last trajectory is for testing, the one before for validation."""
    trajectories, frames, *grid, _ = fields.shape
    return FieldData(
        name=name,
        fields=fields.astype(np.float32),
        mask=np.ones((trajectories, *grid), dtype=bool),
        axes=axes,
        axis_units=axis_units,
        time=np.arange(frames, dtype=np.float64),
        time_units="h",
        parameters=parameters,
        parameter_units=dict.fromkeys(parameters, "1"),
        split=np.array(["train"] * (trajectories - 2) + ["val", "test"]),
        channels=tuple(units),
        units=tuple(units.values()),
        mean=fields[:-2].reshape(-1, fields.shape[-1]).mean(axis=0),
        std=fields[:-2].reshape(-1, fields.shape[-1]).std(axis=0),
        provenance={"solver": f"tests.flows.{name}"},
        **more,
    )
