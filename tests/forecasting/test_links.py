"""Links of the chain that no training made: closed forms of the bound, and the estimate that linear theory gives."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from sparsevq.basis.basis import Basis, compute_basis
from sparsevq.config import Stage1Config, Symmetries
from sparsevq.data.device_fields import DeviceFields
from sparsevq.forecasting.links import rate_distortion_bound
from sparsevq.models.modal import ModalConfig, ModalLatents
from sparsevq.stage1.modal import ModalModel, linear_theory
from sparsevq.stage1.model import decode_everywhere, encode_views
from tests.flows import travelling_waves

CPU = torch.device("cpu")


def without_sensors(basis):
    modes, _, channels = basis.modes.shape
    latents = ModalLatents(ModalConfig(channels, modes, num_latents=2, readings=0, examples=0, held_out=0))
    return ModalModel(settings=Stage1Config(), basis=basis, latents=latents)


def two_waves(units, scale, std, left=0.0):
    """Frames a (cos x, 0) + b (0, sin x), of all signs of a = 2 and b = 1 in units of `scale`; and their basis.

    To these comes `left` times cos 2x, which the modes do not have.
    """
    angle = np.tile(2 * np.pi * np.arange(8) / 8, 4)
    modes = np.sqrt(2) * np.stack([np.stack([np.cos(angle), 0 * angle], -1), np.stack([0 * angle, np.sin(angle)], -1)])
    signs = np.array([(2, 1), (2, -1), (-2, 1), (-2, -1)])
    anomalies = np.tensordot(signs, modes, 1)
    anomalies[..., 0] += left * np.sqrt(2) * np.cos(2 * angle)
    flow = travelling_waves(trajectories=3, frames=4, grid=(4, 8), obstacle=False)
    fields = np.broadcast_to((anomalies * scale).reshape(4, 4, 8, 2), flow.fields.shape).astype(np.float32)
    data = replace(flow, fields=fields, units=units, std=np.array(std), point_weights=np.ones((4, 8)))
    basis = Basis(
        mean=np.zeros((32, 2), np.float32),
        scale=np.array(scale, np.float32),
        modes=modes.astype(np.float32),
        std=np.array([2.0, 1.0]),
        residual=np.zeros((32, 2), np.float32),
        time_mean_share=np.zeros(2),
        weights=np.ones(32),
    )
    return data, basis


@pytest.mark.parametrize(
    ("units", "scale", "std", "left", "bits", "expected"),
    [
        (("m/s", "m/s"), (3.0, 3.0), (7.0, 5.0), 0, 0, 1),
        # variances 4 and 1: one bit halves the deviation of the first, down to that of the second
        (("m/s", "m/s"), (3.0, 3.0), (7.0, 5.0), 0, 1, (1 + 1) / 5),
        (("m/s", "m/s"), (3.0, 3.0), (7.0, 5.0), 0, 3, (1 / 4 + 1 / 4) / 5),
        (("m/s", "m/s"), (3.0, 3.0), (7.0, 5.0), 0.5, 3, (1 / 4 + 1 / 4 + 1 / 4) / 5.25),
        # in the joint norm, each channel over its deviation, variances 4 and 4: half a bit each
        (("m/s", "Pa"), (3.0, 0.1), (3.0, 0.05), 0, 1, (2 + 2) / 8),
    ],
)
def test_the_bound_of_two_waves_by_hand(units, scale, std, left, bits, expected):
    data, basis = two_waves(units, scale, std, left)
    fields = DeviceFields(data, Symmetries(), CPU, basis)
    views = fields.views(torch.arange(3), torch.arange(4))
    found = rate_distortion_bound(without_sensors(basis), fields, views, bits)
    assert found == pytest.approx(np.sqrt(expected), rel=1e-5)


def test_with_bits_enough_the_bound_is_what_the_modes_leave():
    data = travelling_waves(trajectories=5)
    basis = compute_basis(data, Symmetries(), 6)
    fields, theory = DeviceFields(data, Symmetries(), CPU, basis), without_sensors(basis)
    views = fields.views(torch.tensor([3, 4]), torch.arange(12))
    found = [rate_distortion_bound(theory, fields, views, bits) for bits in (0, 10, 1000)]
    valid = data.flat_mask[views.trajectory][..., None] * data.weights[:, None]
    truth = data.flat_fields[views.trajectory, views.frame]
    guess = fields.physical(decode_everywhere(theory, encode_views(theory, fields, views))).numpy()
    left = (valid * (guess - truth) ** 2).sum() / (valid * truth**2).sum()
    assert found[2] == pytest.approx(np.sqrt(left), rel=1e-4)
    assert found[0] > found[1] > found[2]


def test_the_papers_encoder_has_a_linear_estimate_where_it_has_a_basis(trained):
    from sparsevq.stage1.encoding import load_stage1

    model = load_stage1(trained.run(), "sparse", CPU)
    theory = linear_theory(model)
    fields = DeviceFields(trained.data, Symmetries(), CPU, model.basis)
    views = fields.views(torch.tensor([5]), torch.arange(3))
    readings = fields.gather(views, model.where)[0].flatten(1).double().numpy()
    basis = model.basis
    # Rasmussen & Williams, equation 2.23
    seen = basis.modes[:, model.where].reshape(len(basis.modes), -1).astype(float)
    error = np.maximum(basis.residual[model.where].ravel().astype(float), 1e-6)
    gram = (seen.T * basis.std**2) @ seen + np.diag(error)
    expected = readings @ np.linalg.solve(gram, seen.T * basis.std**2)
    found = theory.latents.to_coefficients(theory.encode_linear(fields, views))
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)
    assert linear_theory(replace(model, basis=None)) is None
