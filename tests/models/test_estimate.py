"""Estimates of coefficients from readings: closed forms of the linear one, and what examples may add to it."""

import itertools

import pytest
import torch

from sparsevq.models.estimate import Estimator, Examples, kernel, posterior, ridge_regression
from tests.allocations import Largest


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def no_examples(modes):
    return Examples(torch.zeros(0, modes), torch.zeros(0, modes))


def curve(count, bend, seed=0):
    """Frames on a parabola: the second coefficient follows from the first, but not linearly."""
    first = 2 * torch.rand(count, generator=torch.Generator().manual_seed(seed)) - 1
    return torch.stack([first, bend * (first.square() - 1 / 3)], dim=1)


def of_curve(bend=1.0, bend_held_out=1.0, noise=0.0, read=((1.0, 0.0),)):
    """An estimate from readings, the first coefficient alone, of frames on a parabola."""
    at_sensors = torch.tensor(read)
    examples = Examples(curve(200, bend), curve(60, bend_held_out, seed=1))
    return Estimator.fitted(at_sensors, torch.full((len(read),), noise**2), torch.tensor([0.58, 0.3]), examples)


# ------------------------------------------------------------------------------------------------ linear


def test_the_posterior_of_two_gaussian_coefficients_read_once():
    """Read x + y with an error of variance 1/4; x and y have variances 4 and 1."""
    found = posterior(torch.tensor([[1.0, 1.0]]), torch.tensor([0.25]), torch.tensor([2.0, 1.0]))
    torch.testing.assert_close(found.gain, torch.tensor([[4 / 5.25], [1 / 5.25]]))
    torch.testing.assert_close(found.std, torch.tensor([4 - 16 / 5.25, 1 - 1 / 5.25]).sqrt())


def test_with_more_exact_readings_than_modes_it_is_the_least_squares_solution():
    at_sensors = normal(30, 5)
    found = posterior(at_sensors, torch.zeros(30), torch.full((5,), 10.0))
    torch.testing.assert_close(found.gain, torch.linalg.pinv(at_sensors), rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("readings", [40, 400])
def test_of_many_readings_it_is_what_the_equations_of_the_readings_give(readings):
    at_sensors, prior = normal(readings, 12), torch.logspace(0, -3, 12)
    error = torch.linspace(1e-4, 0.5, readings)
    found, modes, variance = posterior(at_sensors, error, prior), at_sensors.double(), prior.double().square()
    across = variance[:, None] * modes.T
    gain = across @ torch.linalg.inv(modes @ across + torch.diag(error.double()))
    torch.testing.assert_close(found.gain, gain.float(), rtol=1e-4, atol=1e-7)
    torch.testing.assert_close(found.std, (variance - (gain * across).sum(1)).sqrt().float(), rtol=1e-4, atol=1e-7)


def test_memory_of_the_posterior_is_not_the_square_of_the_readings():
    readings, modes = 5000, 6
    with Largest() as made:
        posterior(normal(readings, modes), torch.full((readings,), 0.1), torch.ones(modes))
    assert made.largest <= readings * modes


def test_with_fewer_exact_readings_than_modes_it_agrees_with_the_readings():
    at_sensors, readings = normal(5, 30), normal(7, 5, seed=1)
    found = posterior(at_sensors, torch.zeros(5), torch.logspace(0, -2, 30))
    torch.testing.assert_close(readings @ found.gain.T @ at_sensors.T, readings, rtol=1e-2, atol=1e-3)


def test_every_further_sensor_narrows_the_posterior_and_noise_widens_it():
    at_sensors, prior, error = normal(20, 8), torch.logspace(0, -1, 8), torch.full((20,), 0.01)
    widths = [posterior(at_sensors[:count], error[:count], prior).std for count in range(21)]
    torch.testing.assert_close(widths[0], prior)
    for before, after in itertools.pairwise(widths):
        assert (after <= before * (1 + 1e-6)).all()
        assert after.sum() < before.sum()
    noisy = posterior(at_sensors, 100 * error, prior).std
    assert (noisy > widths[-1]).all() and (noisy < prior).all()


def test_the_order_of_the_sensors_does_not_matter():
    at_sensors, error, readings = normal(12, 6), torch.linspace(0, 0.1, 12), normal(4, 12, seed=1)
    order = torch.randperm(12, generator=torch.Generator().manual_seed(0))
    prior = torch.ones(6)
    one, other = posterior(at_sensors, error, prior), posterior(at_sensors[order], error[order], prior)
    torch.testing.assert_close(readings[:, order] @ other.gain.T, readings @ one.gain.T, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(other.std, one.std)


def test_two_sensors_at_one_place_are_no_fault():
    twice = normal(1, 6).expand(2, 6)
    found = posterior(twice, torch.zeros(2), torch.ones(6))
    assert found.gain.isfinite().all() and found.std.isfinite().all()


@pytest.mark.parametrize(("readings", "modes"), [(3, 8), (8, 3)])
def test_without_examples_it_is_linear(readings, modes):
    estimator = Estimator.fitted(normal(readings, modes), torch.zeros(readings), torch.ones(modes), no_examples(modes))
    given = normal(5, readings, seed=1)
    assert torch.equal(estimator(given), estimator.linear(given))


@pytest.mark.parametrize(("readings", "modes"), [(3, 8), (8, 3)])
def test_readings_are_as_far_apart_as_their_linear_estimates(readings, modes):
    estimator = Estimator.fitted(normal(readings, modes), torch.zeros(readings), torch.ones(modes), no_examples(modes))
    given = normal(5, readings, seed=1)
    assert estimator.metric.shape == (readings, min(readings, modes))
    torch.testing.assert_close(torch.pdist(given @ estimator.metric), torch.pdist(estimator.linear(given)))


# ------------------------------------------------------------------------------------------------ examples


def test_ridge_regression_interpolates_its_examples_when_the_ridge_is_small_and_is_nothing_when_it_is_large():
    places, targets = normal(40, 3), normal(40, 2, seed=1)
    within = kernel(places, places, torch.tensor(4.0))
    torch.testing.assert_close(within.diagonal(), torch.ones(40), rtol=0, atol=1e-2)
    torch.testing.assert_close(within @ ridge_regression(within, targets, 1e-5), targets, rtol=0, atol=1e-2)
    assert (within @ ridge_regression(within, targets, 1e6)).abs().max() < 1e-3
    torch.testing.assert_close(within, kernel(places, places, torch.tensor(4.0)), rtol=0, atol=0)  # is left as it was


def test_what_readings_do_not_tell_linearly_is_learned_from_examples():
    estimator, frames = of_curve(), curve(50, 1.0, seed=2)
    readings = frames[:, :1]
    linear, learned = estimator.linear(readings) - frames, estimator(readings) - frames
    assert linear[:, 1].square().mean() == pytest.approx(4 / 45, rel=0.3), "it knows nothing of the second"
    assert learned.square().mean() < 1e-2 * linear.square().mean()


def test_frames_at_hand_are_not_needed_in_one_batch():
    estimator, readings = of_curve(), normal(2500, 1)
    torch.testing.assert_close(estimator(readings)[2000:], estimator(readings[2000:]))


def test_examples_that_mislead_on_held_out_frames_are_not_used():
    estimator = of_curve(bend=1.0, bend_held_out=-1.0)
    readings = normal(5, 1)
    assert not estimator.weights.any()
    assert torch.equal(estimator(readings), estimator.linear(readings))


def test_examples_that_are_all_alike_are_not_used():
    frames = torch.ones(30, 2)
    estimator = Estimator.fitted(normal(3, 2), torch.zeros(3), torch.ones(2), Examples(frames, frames[:5]))
    assert not estimator.weights.any()
    one = Estimator.fitted(normal(3, 2), torch.zeros(3), torch.ones(2), Examples(frames[:1], frames[:5]))
    assert not one.weights.any()


def chosen_by(parameters, tells):
    """An estimate from the first of two independent coefficients, the second of which a known parameter may tell."""

    def part(count, seed):
        frames, known = normal(count, 2, seed=seed), normal(count, parameters, seed=seed + 1)
        frames[:, 1] = tells * torch.tanh(2 * known[:, 0]) + (1 - tells) * frames[:, 1]
        return frames, known

    (training, known), (held_out, held_out_known) = part(300, 0), part(100, 2)
    examples = Examples(training, held_out, known, held_out_known)
    at_sensors = torch.tensor([[1.0, 0.0]])
    return Estimator.fitted(at_sensors, torch.full((1,), 1e-4), torch.ones(2), examples), *part(200, 4)


@pytest.mark.parametrize("parameters", [1, 3])
def test_a_known_parameter_decides_what_the_readings_leave_open(parameters):
    estimator, frames, known = chosen_by(parameters, tells=1.0)
    readings = frames[:, :1]
    assert estimator.known_weight[0] > 0
    left = (estimator(readings, known) - frames).square().mean(0)
    assert left[0] < 0.01, "what the readings tell stays"
    assert left[1] < (0.05 if parameters == 1 else 0.3) * frames[:, 1].square().mean()
    far = estimator(readings, known + 100)
    torch.testing.assert_close(far, estimator.linear(readings), msg="far from all examples it is linear")


def test_a_parameter_that_tells_nothing_does_no_harm():
    estimator, frames, known = chosen_by(1, tells=0.0)
    readings = frames[:, :1]
    with_it, linear = (guess - frames for guess in (estimator(readings, known), estimator.linear(readings)))
    assert with_it.square().mean() < 1.05 * linear.square().mean()


def test_without_parameters_an_estimate_is_what_it_was():
    """No column, no buffer, no choice more."""
    estimator = of_curve()
    assert set(estimator.state_dict()) == {"gain", "std", "metric", "places", "weights", "width"}
    assert estimator.places.shape == (200, 1)


def test_noisy_readings_are_believed_less():
    exact, noisy = of_curve(), of_curve(noise=1.0)
    frames = curve(50, 1.0, seed=2)
    readings = frames[:, :1] + normal(50, 1)
    errors = [(estimator(readings) - frames).square().sum(1).mean() for estimator in (exact, noisy)]
    assert errors[1] < 0.5 * errors[0]
    assert (noisy.std >= exact.std).all() and noisy.std[0] > 10 * exact.std[0]


def test_the_order_of_exact_sensors_does_not_matter_with_examples():
    read = [(1.0, 0.0), (0.5, 0.2), (0.1, -0.4)]
    one, other = of_curve(read=tuple(read)), of_curve(read=tuple(read[::-1]))
    readings = curve(20, 1.0, seed=2) @ torch.tensor(read).T
    torch.testing.assert_close(other(readings.flip(1)), one(readings), rtol=0, atol=0.01)


def test_what_is_stored_is_all_that_it_needs():
    estimator, readings = of_curve(), normal(9, 1)
    again = Estimator(2, 1, 200)
    again.load_state_dict(estimator.state_dict())
    assert torch.equal(again(readings), estimator(readings))
    assert of_curve().state_dict().keys() == again.state_dict().keys()
    for name, value in of_curve().state_dict().items():
        assert torch.equal(value, estimator.state_dict()[name]), f"{name}: a solve is the same each time"
