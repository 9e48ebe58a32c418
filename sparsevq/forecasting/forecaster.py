"""Forecasts from a user's readings: a run folder and what its sensors measured in, an `xarray.Dataset` out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
import xarray as xr
from torch import Tensor

from sparsevq.data.clock import Clock
from sparsevq.errors import SparseVQError
from sparsevq.forecasting.about import as_html, as_text, facts
from sparsevq.forecasting.arguments import asked_of
from sparsevq.forecasting.dataset.lead_times import lead_times
from sparsevq.forecasting.dataset.netcdf import as_dataset
from sparsevq.forecasting.dataset.observed import Observed
from sparsevq.forecasting.dataset.valid_times import Date, forecast_clock, later_clock
from sparsevq.forecasting.fields import FieldsOf, quantiles_of
from sparsevq.forecasting.intake import Intake, Observations, Received
from sparsevq.forecasting.model import Asked, Seen, doubt_about_members, load_forecast_model
from sparsevq.forecasting.outlook import OutlookFromReadings
from sparsevq.forecasting.parameters import check_parameters
from sparsevq.forecasting.steps import counted_on, steps_later
from sparsevq.forecasting.wanted import Chunks, Wanted
from sparsevq.models.regression import Outlook
from sparsevq.models.rollout import Drawn
from sparsevq.runs.run import PARTS, Run
from sparsevq.runtime.devices.device import kind_of_device
from sparsevq.sensors.history import History


@dataclass(frozen=True)
class Issued:
    """A forecast as it was issued, so that it can be issued again: what was read, drawn, and with which arguments.

    `received` has the last readings, `history` all that the forecast is from.
    """

    received: Received
    history: History
    known: Mapping[str, float]
    outlook: Outlook | None
    drawn: Drawn
    asked: Asked
    wanted: Wanted
    clock: Clock | None = None


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
    >>> forecast = model.update("readings_of_the_next_frame.csv")
    """

    def __init__(
        self, run: str | Path, *, data: str | Path | None = None, device: Literal["auto", "cpu", "cuda"] = "auto"
    ):
        self.run = Run(run) if data is None else Run(run, data=data)
        self.run.needs(*PARTS)
        self.called = str(self.run.path)
        """What it says that it is made from: the run's folder, or the URI that this was found by."""
        self._device = torch.device(kind_of_device(device))
        self.data, self.sensors = self.run.domain, self.run.sensors
        self._model = load_forecast_model(self.run, self._device)
        self._outlook = OutlookFromReadings(self._model, self.data)
        self._digests = self.run.digests(*PARTS, "data", "sensors")
        self._intake = Intake(self.run, self.data, self.sensors, self._model)
        self._issued: Issued | None = None

    def __repr__(self) -> str:
        return as_text(self._facts())

    def _repr_html_(self) -> str:
        return as_html(self._facts())

    def _facts(self) -> dict[str, str]:
        return facts(self.called, self.data, self.sensors, self._model, self._device)

    @property
    def observed_frames(self) -> int:
        """Observed frames, at most, that the run's forecasts were trained for."""
        return self._model.gpt.config.observed_frames

    def forecast(
        self,
        observations: Observations,
        frames: int = 20,
        members: int = 16,
        *,
        points: Any = None,
        quantiles: Sequence[float] | float | None = None,
        seed: int = 0,
        temperature: float | None = None,
        top_k: int = 0,
        parameters: Mapping[str, float] | None = None,
        strict: bool = False,
        date: Date | None = None,
        chunks: Chunks = "auto",
    ) -> xr.Dataset:
        """Forecast from what sensors measured in one frame, or in several.

        Parameters
        ----------
        observations
            What the sensors measured, in one frame or in several; NaN or an empty cell where there is no value:

            - a table with a line for each sensor (of several frames: for each sensor and frame), in any order: a CSV
              file, an Excel workbook (its first sheet, or ``readings.xlsx#name``), or a pandas table. The columns are
              ``sensor`` (its number in the run's ``sensors.csv``) or one for each axis (any place in the domain), one
              for each channel, and of several frames ``frame`` (whole numbers) or ``time`` (numbers or dates);
            - an array or tensor ``(n, C)`` or ``(k, n, C)`` in the order of the run's sensors, the oldest frame first;
              of one channel ``(n,)`` or ``(k, n)``, too;
            - a dictionary of arrays, ``{"u": (n,), "v": (n,)}`` or ``(k, n)``, in the order of the run's sensors or
              with ``sensor`` or the axes; times or frames may be told by ``time`` or ``frame``, ``(k,)``;
            - a data set of xarray, in memory, NetCDF or Zarr: variables along ``sensor`` and, of several frames,
              ``time`` or ``frame``, with the sensors' places as coordinates called like the axes or ``sensor_<axis>``.
              Of an earlier forecast, the readings that it was made from.

            All in the data set's units, or in those that are said (``u [km/h]``, the attribute ``units``). There may
            be gaps, and sensors may be missing. What is converted, left out or not read is printed. Frames older than
            the run was trained for (`observed_frames`) are left out.
        frames
            Frames to forecast; may be more than the model was trained for.
        members
            Members of the ensemble.
        points
            Where: an array ``(points, axes)``, or columns that are called as the axes are, with their unit if it is
            another (``x [km]``), of a table, a dictionary, an `xarray.Dataset`, or a CSV or Excel file. Anywhere in the
            domain; NaN in obstacles. None: on the data set's grid.
        quantiles
            Of the members, from 0 to 1: ``<channel>_quantile`` ``(quantile, lead_time, ...)``.
        seed
            Of the draws: the same seed gives the same forecast.
        temperature
            Of the draws; None: the one that was calibrated with the run. 0 takes the likeliest code, which makes all
            members equal.
        top_k
            Draw among this many likeliest codes; 0: among all.
        parameters
            Name -> value of what is known of the trajectory, where the run's models take such parameters.
        strict
            Readings that cannot be true, by the training data and each other, are an error; otherwise they are printed
            and named in the attribute ``doubts``.
        date
            Of the last observed frame (2006-04-16T12:00, or a date of Python, NumPy or pandas), where the readings do
            not say it.
        chunks
            ``auto``: a forecast of more than 512 MiB is computed when it is used or written, block by block (dask).
            None: always at once; or sizes of blocks, such as ``{"lead_time": 1}``: always when it is used.

        Returns
        -------
        xarray.Dataset
            One variable for each channel, ``(member, lead_time, <axes>)`` in physical units, of points ``(member,
            lead_time, point)``; from the last observed frame on (lead time 0: an analysis). NaN where no trajectory for
            training has a field. Beside it what the sensors read, ``<channel>_reading`` ``(observed_frame, sensor)``,
            and the forecast at their places, ``<channel>_at_sensors`` ``(member, lead_time, sensor)``. If members do
            not differ, the attribute ``warning`` says so. Where the date of the last observed frame is known (`date`,
            or dates in the column ``time``), the coordinates ``forecast_reference_time`` and ``valid_time``
            (lead_time) have dates.

        Raises
        ------
        SparseVQError
            The readings are faulty (with where, such as the line and the column), or another argument is.
        """
        temperature = self._model.temperature if temperature is None else temperature
        asked = asked_of(frames, members, seed, temperature, top_k, self._model.network)
        known = check_parameters(parameters or {}, self.data, self._model.parameters)
        wanted = Wanted.of(self.data, points, quantiles, chunks)
        received = self._intake(observations, self.observed_frames, strict)
        history = received.history
        clock = forecast_clock(self.data, history.date, date)
        with torch.no_grad(), self._model.as_trained():
            prompt = self._prompt(history, known)
            outlook, regression = self._outlook(history, known) or (None, None)
            seen = Seen(prompt, torch.tensor(history.offsets, device=self._device), outlook, regression)
            drawn = self._model.generate(seen, asked).case(0)
        self._issued = Issued(received, history, known, outlook, drawn, asked, wanted, clock)
        return self._dataset(self._issued)

    def update(self, observations: Observations, steps: int | None = None, *, strict: bool = False) -> xr.Dataset:
        """Issue the last forecast again, when readings of a further frame have arrived.

        Parameters
        ----------
        observations
            As of `forecast`, of one frame (or several, the last of which is the new one).
        steps
            Frames from the last observed one of the forecast before to that of these readings; None: by their dates,
            times or numbers, if both say these, else 1.
        strict
            As of `forecast`.

        Returns
        -------
        As `forecast` gives, from the longer history. Each member goes on as it was: its distance from the outlook, in
        units of the outlook's std, stays, and only frames that are new are drawn. So nothing is generated twice, and a
        member of one forecast is the same member of the next. Where the run's GPT has no first guess, all is drawn
        again.

        Raises
        ------
        SparseVQError
            There has been no forecast, or an argument is faulty.
        """
        last = self._issued
        if last is None:
            raise SparseVQError("there is no forecast to issue again", "call forecast first")
        received = self._intake(observations, self.observed_frames, strict)
        further, times = received.history, lead_times(self.data, last.asked.frames)
        given = forecast_clock(self.data, further.date, None)
        steps = steps_later(last.history, further, (last.clock, given), times, steps)
        further = replace(further, counted=counted_on(last.history, further, steps, times))
        history = last.history.appended(further, steps).latest(self.observed_frames)
        with torch.no_grad(), self._model.as_trained():
            outlook, _ = self._outlook(history, last.known) or (None, None)
            if outlook is None or last.outlook is None or last.drawn.states is None:
                seen = Seen(self._prompt(history, last.known), torch.tensor(history.offsets, device=self._device))
                drawn = self._model.generate(seen, last.asked).case(0)
            else:
                drawn = self._model.carried(last.drawn, last.outlook, outlook, steps, last.asked)
        clock = given or later_clock(last.clock, float(times[steps]))
        self._issued = replace(last, received=received, history=history, outlook=outlook, drawn=drawn, clock=clock)
        return self._dataset(self._issued)

    def trained_places(self, forecast: xr.Dataset) -> int:
        """How many sensors of a forecast are at places where the run's encoder was trained to have them."""
        numbers = forecast["sensor_number"].to_numpy()
        return int(((numbers >= 0) & (numbers < len(self.sensors.sparse))).sum())

    # -------------------------------------------------------------------------------------------- parts

    def _prompt(self, history: History, known: Mapping[str, float]) -> Tensor:
        """Codes of the observed frames (1, k, P, Q)."""
        model, data = self._model, self.data
        latents = [model.sparse.encode_readings(data, read, known) for read in history.frames]
        return model.tokenizer.tokenize(torch.cat(latents))[None]

    def _dataset(self, issued: Issued) -> xr.Dataset:
        observed, asked = len(issued.history.frames), issued.asked
        doubt = doubt_about_members(issued.drawn.by_case(asked.members), asked)
        attributes = {
            "seed": asked.seed,
            "temperature": asked.temperature,
            "top_k": asked.top_k,
            "observed_frames": observed,
            "run": self.called,
            **({"simulator": str(self.data.provenance["simulator"])} if "simulator" in self.data.provenance else {}),
            **{f"parameter_{name}": value for name, value in issued.known.items()},
            "digest_readings": issued.received.digest,
            **{f"digest_{name}": self._digests[name] for name in sorted(self._digests)},
            **({"warning": doubt} if doubt else {}),
            **({"doubts": "\n".join(issued.received.doubts)} if issued.received.doubts else {}),
        }
        sensors, wanted = Observed.of(issued.history, self.sensors), issued.wanted
        points = wanted.points
        places = None if points is None else points.places
        fields = FieldsOf(self._model, self.data, issued.drawn, observed, places).arrays(wanted.chunks)
        return as_dataset(
            self.data,
            fields,
            lead_times(self.data, asked.frames),
            sensors,
            FieldsOf(self._model, self.data, issued.drawn, observed, sensors.places).arrays(None),
            attributes,
            issued.clock,
            points=None if points is None else points.given,
            quantiles=(wanted.quantiles, quantiles_of(fields, wanted.quantiles)) if wanted.quantiles else None,
        )
