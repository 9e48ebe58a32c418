"""The whole chain on every kind of domain: lines, boxes, spheres, scattered points."""

import numpy as np
import pandas as pd
import pytest

from sparsevq import Forecaster
from sparsevq.config import SensorsConfig, Symmetries
from sparsevq.data.layout import write_data
from sparsevq.sensors.placement import place_sensors, write_sensors
from tests.chain import Chain
from tests.flows import on_a_sphere, scattered_waves, travelling_waves

DOMAINS = {
    "line": travelling_waves(grid=(40,)),
    "box": travelling_waves(grid=(4, 6, 8)),
    "sphere": on_a_sphere(),
    "scattered": scattered_waves(),
    "scattered in space": scattered_waves(dimensions=3),
}


@pytest.mark.parametrize("domain", DOMAINS)
def test_a_forecast_on_every_kind_of_domain(domain, tmp_path):
    data = DOMAINS[domain]
    folder = tmp_path / "results/try" / data.name / "n6/seed1"
    chain = Chain(folder)
    folder.mkdir(parents=True)
    write_data(chain.data_path, data)
    chain.basis(Symmetries())
    write_sensors(chain.sensors_path, place_sensors(data, SensorsConfig(num_semi_sparse=10), 6, seed=1))
    for role in ("semi_sparse", "sparse"):
        chain.encoder(role, symmetries={})
    chain.tokenizer()
    chain.codes()
    chain.gpt()
    chain.forecast(folder / "forecast.h5")
    chain.data_path.rename(folder.parent.parent / "data.h5")

    sensors = chain.sensors
    values = data.flat_fields[-1, 0, sensors.sparse].astype(float)
    places = sensors.coordinates[:6].copy()
    for axis, name in enumerate(data.axes):
        if name == "lon":
            places[:, axis] -= 360  # west instead of east: the same places
    readings = pd.DataFrame(np.concatenate([places, values], axis=1), columns=[*data.axes, *data.channels])
    by_place = Forecaster(folder).forecast(readings, frames=3, members=2)
    numbers = pd.DataFrame(values, columns=list(data.channels)).assign(sensor=range(6))
    by_number = Forecaster(folder).forecast(numbers, frames=3, members=2)
    for channel in data.channels:
        assert by_place[channel].shape == (2, 4, *data.grid)
        np.testing.assert_allclose(by_place[channel], by_number[channel], rtol=1e-4, atol=1e-4 * data.std.max())
