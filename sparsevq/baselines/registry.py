"""The baselines by name, and the file of their forecasts."""

import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from sparsevq.baselines.climatology import climatology
from sparsevq.baselines.cost import Cost
from sparsevq.baselines.ensembles import GIVEN, forecasts_from
from sparsevq.baselines.outlook import outlook
from sparsevq.baselines.persistence import persistence
from sparsevq.baselines.pod_dmd import pod_dmd
from sparsevq.baselines.ridge import ridge
from sparsevq.baselines.task import Baseline, BaselineForecast, Task
from sparsevq.basis.basis import MODES_A_FRAME
from sparsevq.config import EvaluationConfig, Symmetries
from sparsevq.config.networks import ORACLES
from sparsevq.data.flows import TrainingFlows
from sparsevq.errors import SparseVQError
from sparsevq.forecasting.cases import SCHEMA, VERSION, read_cases, require_finite, write_cases
from sparsevq.runs.run import Run
from sparsevq.runtime.hdf5 import created, open_layout, read_made_from, require_dataset, stamp

if TYPE_CHECKING:
    import torch

BASELINES: dict[str, Baseline] = {
    "persistence": persistence,
    "climatology": climatology,
    "pod_dmd": pod_dmd,
    "ridge": ridge,
    "outlook": outlook,
}
"""Name -> baseline. A new one is a module beside this, an entry here, and its name in `EvaluationConfig.baselines`."""


def run_baselines(
    run: Run,
    out: str | Path,
    settings: EvaluationConfig,
    symmetries: Symmetries | None = None,
    seed: int = 0,
    *,
    models: Mapping[str, Path] | None = None,
    device: "torch.device | str" = "cpu",
) -> dict[str, Cost]:
    """Forecast the cases of a forecast file with each baseline, and write ``baselines.h5`` (``docs/data-format.md``).

    Parameters
    ----------
    run
        Its data set, basis, sensors (baselines see the sparse ones alone) and forecast are read: which cases, and the
        reconstruction of the observed frame (for persistence). And `EvaluationConfig.parts_of_run`.
    out
        The file to write.
    settings
        Which baselines, and what they choose from.
    symmetries, seed
        As of stage 1: baselines learn from the same flows as sparsevq, the mirrored ones too. `seed` is also that of
        the members' draws.
    models
        Name -> model file of each trained baseline that the settings name.
    device
        Where those forecast.

    Returns
    -------
    What each baseline took.

    Raises
    ------
    SparseVQError
        The forecast does not fit the data set, a baseline can't be fitted, or a baseline's forecast is not finite.
    """
    data, sensors, basis = run.data, run.sensors, run.basis
    with open_layout(run.file("forecast"), SCHEMA, VERSION) as file:
        run.check("forecast", read_made_from(file))
        cases = read_cases(file, data)
        wanted = (len(cases), cases.horizon + 1, *data.grid, len(data.channels))
        reconstruction = require_dataset(file, "reconstruction/sparse", wanted)[:, 0]
    flows = TrainingFlows(data, symmetries, seed, together=max(1, len(basis.modes) // MODES_A_FRAME))
    task = Task(
        data=data,
        basis=basis,
        training=flows,
        sparse=sensors.sparse,
        reads=sensors.channels[: len(sensors.sparse)],
        cases=cases,
        reconstruction=reconstruction.reshape(wanted[0], data.num_points, -1),
        settings=settings,
        seed=seed,
        models=models or {},
        digests={"data": data.digest, "basis": basis.digest, "sensors": sensors.digest},
        device=device,
        run=run,
    )

    with created(out) as file:
        learned = {"symmetries": (symmetries or Symmetries()).model_dump(mode="json"), "seed": seed}
        read = ("data", "basis", "sensors", "forecast", *settings.parts_of_run)
        made_from = run.paths(*(name for name in read if run.has(name)))
        made_from |= {f"baseline_{name}": path for name, path in task.models.items()}
        stamp(file, SCHEMA, VERSION, made_from, {**settings.model_dump(mode="json"), **learned})
        write_cases(file, replace(cases, first_lead=0))
        file.create_group("methods")  # there may be none
        found: dict[str, Cost] = {}
        for name in settings.baselines:
            print(f"{name}: {len(cases)} forecasts of {cases.horizon} frames", flush=True)
            since = time.perf_counter()
            forecast = baseline(name, task)
            found[name] = forecast.cost or Cost(forecast.parameters, time.perf_counter() - since)
            shape = (len(cases), cases.horizon + 1, *data.grid, len(data.channels))
            stored = file.create_dataset(f"methods/{name}", shape=shape, dtype=np.float32, fillvalue=np.nan)
            if forecast.observed_frames is not None:
                stored.attrs[GIVEN] = forecast.observed_frames
            for case, fields in enumerate(forecast.fields):
                if not forecasts_from(stored, cases.observed_frames[case]):
                    continue
                require_finite(fields, name, case, data.flat_mask[cases.trajectory[case]], first_lead=0)
                stored[case] = fields.reshape(shape[1:])
            stored.attrs.update(forecast.chosen)
            forecast.ensemble.write(file.create_group(f"ensembles/{name}"), data)
    return found


def baseline(name: str, task: Task) -> BaselineForecast:
    """The forecast of a baseline by its name.

    Raises
    ------
    SparseVQError
        It is a trained one whose model is missing.
    """
    if name in BASELINES:
        return BASELINES[name](task)
    # They import torch, which the others do without.
    from sparsevq.baselines.networks.controls import of_control
    from sparsevq.baselines.networks.forecast import of_network

    of = ORACLES.get(name, name)
    if of not in task.models:
        raise SparseVQError(f"baseline {name}: there is no model of {of}", "train it: rule baseline_network")
    if name in task.settings.controls:
        return of_control(task, task.models[of])
    return of_network(task, task.models[of], dense=name in ORACLES)
