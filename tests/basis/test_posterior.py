"""What readings leave open, against the textbook's dense Gaussians."""

import numpy as np
import pytest
import torch

from sparsevq.basis.basis import compute_basis
from sparsevq.basis.posterior import LEAST_ERROR, Posterior, channel_variances, inner_products, left_by_modes
from sparsevq.models.estimate import posterior
from tests.flows import on_a_sphere, travelling_waves


@pytest.fixture(scope="module")
def basis():
    return compute_basis(on_a_sphere(grid=(6, 10)), None, 12)


def test_readings_one_after_the_other_are_readings_at_once(basis):
    """Conditioning a dense Gaussian of fields and readings: C - C H^T (H C H^T + R)^-1 H C."""
    modes, error = basis.modes[:, [3, 17, 40]].transpose(1, 2, 0), np.array([[0.1, 0.2], [0.05, 0.3], [0.0, 0.1]])
    found = Posterior(basis.std)
    for at, of in zip(modes, error, strict=True):
        found.read(at, of)
    h, r = modes.reshape(6, -1).astype(float), np.diag(np.maximum(error.ravel(), LEAST_ERROR))
    prior = np.diag(basis.std**2)
    dense = prior - prior @ h.T @ np.linalg.inv(h @ prior @ h.T + r) @ h @ prior
    np.testing.assert_allclose(found.covariance, dense, atol=1e-10)
    gain = prior @ h.T @ np.linalg.inv(h @ prior @ h.T + r)
    np.testing.assert_allclose(found.gain(h, error.ravel()), gain, atol=1e-6)


def test_it_is_the_posterior_of_the_estimate(basis):
    at, error = basis.modes[:, [5, 30], 0].T, np.array([0.04, 0.09])
    found = Posterior(basis.std)
    found.read(at, error)
    theirs = posterior(torch.from_numpy(at.copy()), torch.from_numpy(error), torch.from_numpy(basis.std))
    np.testing.assert_allclose(np.sqrt(np.diag(found.covariance)), theirs.std, rtol=1e-5)
    np.testing.assert_allclose(found.gain(at, error), theirs.gain, atol=1e-5)


def test_noise_to_infinity_leaves_the_prior(basis):
    found = Posterior(basis.std)
    found.read(basis.modes[:, 5].T, np.full(2, 1e12))
    np.testing.assert_allclose(found.covariance, np.diag(basis.std**2), atol=1e-9)
    everywhere = found.variance(basis.modes) + basis.residual
    np.testing.assert_allclose((basis.weights[:, None] * everywhere).sum() / len(everywhere), basis.variance, rtol=1e-5)


def test_the_expected_error_is_the_area_mean_of_the_variance_at_the_points(basis):
    found, importance = Posterior(basis.std), np.array([1.0, 0.25])
    found.read(basis.modes[:, 5].T, np.full(2, 0.1))
    at_points = (found.variance(basis.modes) + basis.residual) * importance
    expected = np.sum(inner_products(basis, importance) * found.covariance) + left_by_modes(basis, importance)
    assert expected == pytest.approx((basis.weights[:, None] * at_points).sum() / len(at_points), rel=1e-5)


def test_products_of_modes_in_their_own_norm_are_the_identity(basis):
    np.testing.assert_allclose(inner_products(basis, np.array([1, 1.0 + 1e-9])), np.eye(len(basis.std)), atol=1e-5)


def test_variances_of_channels_add_up(basis):
    assert channel_variances(basis).sum() == pytest.approx(basis.variance, rel=1e-5)
    joint = compute_basis(travelling_waves(obstacle=False), None, 10)
    assert channel_variances(joint).sum() == pytest.approx(joint.variance, rel=1e-5)
