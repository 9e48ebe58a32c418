"""Forecasts from a user's readings: a run folder and a CSV file in, an `xarray.Dataset` out."""

import math
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
import xarray as xr
from torch import Tensor

from sparsevq.errors import SparseVQError
from sparsevq.forecasting.model import doubt_about_members, load_forecast_model
from sparsevq.forecasting.netcdf import as_dataset
from sparsevq.forecasting.parameters import check_parameters
from sparsevq.runs.run import PARTS, Run
from sparsevq.runtime.files import digest
from sparsevq.sensors.readings import Readings, obstacle_test, read_readings

FloatArray = npt.NDArray[np.float64]


class Forecaster:
    """All trained stages of a run, ready to forecast from readings.

    Parameters
    ----------
    run
        Folder of a run: ``results/<experiment>/<data_set>/n<num_sensors>/seed<seed>`` of the workflow, or the folder
        that stage 3 of ``sparsevq train`` wrote.
    data
        The data set that the run was trained on, for its grid, units and normalisation; None: where the run has it.
    device
        ``auto``: a GPU if there is one.

    Raises
    ------
    SparseVQError
        The run is not finished, a file is damaged, or the files don't fit each other.

    Examples
    --------
    >>> import sparsevq
    >>> model = sparsevq.Forecaster("results/quickstart/cylinder/n20/seed123")
    >>> forecast = model.forecast("readings.csv", frames=20, members=16)
    """

    def __init__(
        self, run: str | Path, *, data: str | Path | None = None, device: Literal["auto", "cpu", "cuda"] = "auto"
    ):
        self.run = Run(run) if data is None else Run(run, data=data)
        self.run.needs(*PARTS)
        self._device = _device(device)
        self.data, self.sensors = self.run.domain, self.run.sensors
        self._model = load_forecast_model(self.run, self._device)
        training = self.data.mask[self.data.split == "train"]
        self._digests = self.run.digests(*PARTS, "data", "sensors")
        self._in_obstacle = obstacle_test(self.data)
        self._ever_valid = training.any(axis=0)

    def forecast(
        self,
        readings: str | Path | pd.DataFrame,
        frames: int = 20,
        members: int = 16,
        *,
        seed: int = 0,
        temperature: float = 1.0,
        top_k: int = 0,
        parameters: Mapping[str, float] | None = None,
    ) -> xr.Dataset:
        """Forecast from what sensors measured in one frame.

        Parameters
        ----------
        readings
            A CSV file or a table with a line for each sensor, in any order: the columns ``sensor`` (its number in the
            run's ``sensors.csv``) or one for each axis (any place in the domain); and one for each channel. All in the
            data set's units.
        frames
            Frames to forecast; may be more than the model was trained for.
        members
            Members of the ensemble.
        seed
            Of the draws: the same seed gives the same forecast.
        temperature
            Of the draws; 0 takes the likeliest code, which makes all members equal.
        top_k
            Draw among this many likeliest codes; 0: among all.
        parameters
            Name -> value of what is known of the trajectory, where the run's models take such parameters.

        Returns
        -------
        xarray.Dataset
            One variable for each channel, ``(member, lead_time, <axes>)`` in physical units; NaN where no trajectory
            for training has a field. If members do not differ, the attribute ``warning`` says so.

        Raises
        ------
        SparseVQError
            The readings are faulty (with the line and the column), or another argument is.
        """
        _check_arguments(frames, members, seed, temperature, top_k)
        known = check_parameters(parameters or {}, self.data, self._model.parameters)
        read, source = self._read(readings)
        tokens = self._draw(read, known, frames, members, seed, temperature, top_k)
        doubt = doubt_about_members(tokens[None], temperature, top_k)
        attributes = {
            "seed": seed,
            "temperature": float(temperature),
            "top_k": top_k,
            "run": str(self.run.path),
            **{f"parameter_{name}": value for name, value in known.items()},
            "digest_readings": source,
            **{f"digest_{name}": self._digests[name] for name in sorted(self._digests)},
            **({"warning": doubt} if doubt else {}),
        }
        return as_dataset(self.data, self._fields(tokens), self._lead_times(frames), read.places, attributes)

    def trained_places(self, forecast: xr.Dataset) -> int:
        """How many readings of a forecast are at places where the run's encoder was trained to have its sensors."""
        places = np.stack([forecast[f"sensor_{axis}"].to_numpy() for axis in self.data.axes], axis=-1)
        trained = {tuple(place) for place in self.sensors.coordinates[: len(self.sensors.sparse)].tolist()}
        return sum(tuple(place) in trained for place in places.tolist())

    # -------------------------------------------------------------------------------------------- parts

    def _read(self, readings: str | Path | pd.DataFrame) -> tuple[Readings, str]:
        """The readings by place, and their digest."""
        with _as_csv(readings) as path:
            read = read_readings(
                path,
                tuple(self.data.axes),
                self.data.channels,
                self.data.units,
                partial=self._model.sparse.partial,
                sensors=self.sensors.coordinates,
                domain=self.data.domain,
                in_obstacle=self._in_obstacle,
            )
            if read.noise.any() and not self._model.sparse.partial:
                raise SparseVQError(f"{path}: the encoder takes readings as exact", "leave out the columns of noise")
            source = digest(path)
        # Floating-point sums depend on their order, and a code on their last bit: the file's order must not matter.
        return read.by_place(), source

    @torch.no_grad()
    def _draw(
        self,
        readings: Readings,
        known: Mapping[str, float],
        frames: int,
        members: int,
        seed: int,
        temperature: float,
        top_k: int,
    ) -> Tensor:
        """Code indices (members, frames, P, Q)."""
        model, data = self._model, self.data
        latents = model.sparse.encode_readings(data, readings.places, readings.values, readings.noise, known)
        prompt = model.tokenizer.tokenize(latents)
        return model.generate(prompt, frames, members, temperature=temperature, top_k=top_k, seed=seed)[0]

    @torch.no_grad()
    def _fields(self, tokens: Tensor) -> npt.NDArray[np.float32]:
        """Code indices (members, frames, P, Q) as fields (members, frames, *grid, C) in physical units."""
        data = self.data
        fields = np.empty((*tokens.shape[:2], *data.grid, len(data.channels)), np.float32)
        basis = self._model.teacher.basis
        mean, std = (data.mean, data.std) if basis is None else (basis.mean, basis.scale)
        offset, scale = (torch.tensor(moment, dtype=torch.float32, device=self._device) for moment in (mean, std))
        for member, indices in enumerate(tokens):
            field: Tensor = self._model.decode_normalised(indices) * scale + offset  # (frames, N, C)
            fields[member] = field.unflatten(-2, data.grid).cpu().numpy()
        fields[..., ~self._ever_valid, :] = np.nan
        return fields

    def _lead_times(self, frames: int) -> FloatArray:
        """(frames,): as the data set's frames are spaced, and past its end as the last two are."""
        known = self.data.time[1 : frames + 1] - self.data.time[0]
        last = self.data.time[-1] - self.data.time[-2]
        further = self.data.time[-1] - self.data.time[0] + last * np.arange(1, frames - len(known) + 1)
        return np.concatenate([known, further])


def _device(wanted: Literal["auto", "cpu", "cuda"]) -> torch.device:
    if wanted == "cuda" and not torch.cuda.is_available():
        raise SparseVQError("device=cuda needs a GPU that torch can use, but there is none", "use auto or cpu")
    return torch.device("cuda" if wanted != "cpu" and torch.cuda.is_available() else "cpu")


def _check_arguments(frames: int, members: int, seed: int, temperature: float, top_k: int) -> None:
    for name, value, least, do in (
        ("frames", frames, 1, "forecast at least one frame"),
        ("members", members, 1, "draw at least one member"),
        ("seed", seed, 0, "give 0 or more"),
        ("temperature", temperature, 0, "give a number of 0 or more"),
        ("top_k", top_k, 0, "give 0 or more"),
    ):
        if not (math.isfinite(value) and value >= least):
            raise SparseVQError(f"{name}={value} is not allowed", do)


@contextmanager
def _as_csv(readings: str | Path | pd.DataFrame) -> Iterator[Path]:
    """Readings as the path of a CSV file, so that there is one way to read and check them."""
    if not isinstance(readings, pd.DataFrame):
        yield Path(readings)
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "readings.csv"
        path.write_text(readings.to_csv(index=False, lineterminator="\n"))
        try:
            yield path
        except SparseVQError as error:
            raise SparseVQError(str(error).replace(str(path), "readings (as CSV)")) from None
