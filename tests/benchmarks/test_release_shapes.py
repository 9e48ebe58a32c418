"""The benchmark beside the published release compares models of the same size."""

import release_shapes
import torch
from synthetic import smooth_fields, write_inputs

from sparsevq.config import load
from sparsevq.models.autoencoder import SensorAutoencoder
from sparsevq.runtime.devices.device import Lease
from sparsevq.stage1.train import autoencoder_config
from tests.benchmarks.test_benchmarks import MINIATURE


def test_the_encoder_has_as_many_weights_as_the_releases():
    config = release_shapes.release_config()
    sizes = autoencoder_config(smooth_fields(config, trajectories=3, frames=1), config.stage1)
    assert (sizes.channels, sizes.position_features) == (1, 128)
    found = sum(weight.numel() for weight in SensorAutoencoder(sizes).parameters())
    assert abs(found / release_shapes.RELEASE["stage 1 step, 20 sensors"].weights - 1) < 0.01
    assert config.num_sensors[0] + config.sensors.num_semi_sparse == 300
    assert (config.stage1.batch_frames, config.stage1.batch_pixels, config.stage2.num_hiddens) == (64, 2048, 2048)


def test_a_row_is_compared_with_the_release_and_with_the_rate_of_its_precision():
    row = release_shapes.Row("a", "", "stage 2 step", 7.15, 3000.0, 10_000_000, gflop=715.0, precision="bf16-mixed")
    rates = {"float32": 400.0, "bf16": 1000.0}
    name, seconds, release, ratio, *_, rate, share = release_shapes._cells(row, rates)
    assert (name, seconds, release, ratio, rate, share) == ("a", 7.15, 14.3, 2.0, 100.0, 0.1)
    alone = release_shapes._cells(release_shapes.Row("b", "", "", 1.0, 1.0, 0), rates)
    assert alone[2] is None and alone[3] is None and alone[-1] is None


def test_rates_are_of_products():
    assert release_shapes.product_rate(torch.float32, Lease("cpu", (), "cpu"), size=64) > 0


def test_synthetic_inputs_have_sensors_at_pivots_of_their_basis(tmp_path):
    config = load(MINIATURE)
    sensors = config.sensors.model_copy(update={"placement": "qr"})
    _, written = write_inputs(tmp_path, config.model_copy(update={"sensors": sensors}), trajectories=4)
    assert written.exists()
