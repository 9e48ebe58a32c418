"""A run as MLflow's python function: a table of readings in, a tidy table of the forecast out (``docs/serving.md``)."""

import threading
from collections.abc import Mapping
from typing import Any

import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.pyfunc import PythonModel, PythonModelContext

from sparsevq.errors import SparseVQError
from sparsevq.forecasting.forecaster import Forecaster
from sparsevq.serving.table import Wanted, as_table

ARTIFACT = "run"
"""What the packed run is called among the model's artifacts."""
SAME = ("frames", "members", "seed", "temperature", "top_k", "strict")
"""Parameters that are arguments of `Forecaster.forecast` as they are."""


class ServedRun(PythonModel):  # type: ignore[misc]  # MLflow's class decorates itself
    """What ``mlflow models serve`` and ``mlflow.pyfunc.load_model`` call.

    What is wrong with an input or a parameter is an `MlflowException` of one line, which the server answers with
    status 400.
    """

    def __init__(self) -> None:
        self._forecaster: Forecaster | None = None
        self._one_at_a_time = threading.Lock()  # a server has several threads; a forecast has all cores

    def load_context(self, context: PythonModelContext) -> None:
        """Open the packed run; ``model_config={"device": "cpu"}`` keeps it off a GPU."""
        device = (context.model_config or {}).get("device", "auto")
        self._forecaster = Forecaster(context.artifacts[ARTIFACT], device=device)

    def predict(
        self, context: PythonModelContext, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """The forecast as a table.

        Parameters
        ----------
        model_input
            Readings as `sparsevq.Forecaster.forecast` takes them: a table; of a server also records, or lists by name
            of the column (a wider type hint would make MLflow write a signature of its own).
        params
            See `sparsevq.serving.signature`.
        """
        assert self._forecaster is not None
        try:
            return forecast_table(self._forecaster, model_input, params or {}, self._one_at_a_time)
        except SparseVQError as error:
            raise MlflowException.invalid_parameter_value(str(error)) from None


def forecast_table(
    forecaster: Forecaster, given: Any, params: Mapping[str, Any], one_at_a_time: threading.Lock
) -> pd.DataFrame:
    """The forecast from readings as a table, with the arguments that `params` has; a lock is held while it is computed.

    Raises
    ------
    SparseVQError
        The readings or a parameter is faulty, or the table would be very large.
    """
    params = {name: value for name, value in params.items() if value is not None}
    wanted = Wanted.of(params, forecaster.data)
    arguments = {name: params[name] for name in SAME if name in params}
    with one_at_a_time:
        forecast = forecaster.forecast(
            as_readings(given),
            **arguments,
            points=_points(params, tuple(forecaster.data.axes)),
            quantiles=params.get("quantiles") or None,
            parameters=_by_name(params.get("parameters", ())),
            date=params.get("date") or None,
            chunks=None,
        )
    return as_table(forecast, wanted)


def _points(params: Mapping[str, Any], axes: tuple[str, ...]) -> dict[str, Any] | None:
    given = {axis: params.get(f"points_{axis}") or [] for axis in axes}
    return given if any(given.values()) else None


def as_readings(given: Any) -> pd.DataFrame:
    """The table that a request or a caller means.

    Raises
    ------
    SparseVQError
        It is none.
    """
    if isinstance(given, pd.DataFrame):
        return given
    records = isinstance(given, list) and given and all(isinstance(row, dict) for row in given)
    if records or isinstance(given, dict):
        try:
            return pd.DataFrame(given)
        except ValueError as error:  # lists of several lengths, numbers alone
            raise SparseVQError(f"the readings are no table: {error}", "give as many values in each column") from None
    what = "are empty" if given in ([], None) else f"are {type(given).__name__}, not a table"
    raise SparseVQError(
        f"the readings {what}", 'give a record for each sensor, such as {"sensor": 0, ...}, or a list for each column'
    )


def _by_name(given: Any) -> dict[str, float]:
    """``NAME=VALUE``, as on the command line."""
    found = {}
    for text in given:
        name, _, value = str(text).partition("=")
        try:
            found[name.strip()] = float(value)
        except ValueError:
            raise SparseVQError(f"parameters: {text!r} is not NAME=VALUE", "write it as reynolds=250") from None
    return found
