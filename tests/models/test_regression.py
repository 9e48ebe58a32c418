"""The regression from readings to coefficients: closed forms of what it predicts, and of how sure it is."""

from dataclasses import replace

import pytest
import torch

from sparsevq.models.nearness import Choice
from sparsevq.models.regression import BANDS, LEFT, Outlook, Outlooks, Regression, Windows, chosen_windows
from tests.allocations import Largest

TRAJECTORIES, FRAMES, LEADS, COEFFICIENTS, SENSORS = 10, 12, 4, 6, 8
GIVEN = Choice(ridge=1e-3, width=4.0, linear=0.1, noise=1e-2)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


SIZES = 0.5 ** torch.arange(COEFFICIENTS // 2).repeat_interleave(2)
MODES = torch.randn(SENSORS, COEFFICIENTS, generator=seeded(9))
"""Of each sensor, what it reads of each coefficient."""


def flows(count: int = TRAJECTORIES, nonlinear: float = 0.0, seed: int = 0) -> torch.Tensor:
    """(T, F, r) pairs of coefficients that go round, the later the smaller; `nonlinear`: at their amplitude's speed."""
    draws = seeded(seed)
    phase = 6.3 * torch.rand(count, 1, COEFFICIENTS // 2, generator=draws)
    radius = 0.5 + torch.rand(count, 1, COEFFICIENTS // 2, generator=draws)
    speed = 0.3 * torch.arange(1, COEFFICIENTS // 2 + 1) + nonlinear * radius.sum(-1, keepdim=True)
    angle = phase + speed * torch.arange(FRAMES)[:, None]
    return SIZES * torch.stack([radius * angle.cos(), radius * angle.sin()], dim=-1).flatten(2)


def windows(of: torch.Tensor, observed: int = 1, every: int = 1, error: float = 0.0) -> Windows:
    """All windows of flows: exact readings of `observed` frames (or with noise), and the coefficients that follow."""
    found = chosen_windows(len(of), FRAMES, LEADS, observed, 10**6, seed=0)[::every]
    flow, frame = found.unbind(-1)
    readings = torch.cat([of[flow, frame + time] @ MODES.T for time in range(1 - observed, 1)], dim=1)
    readings = readings + error * torch.randn(readings.shape, generator=seeded(5))
    where = torch.stack([flow, frame], dim=-1)
    return Windows(readings, of[flow[:, None], frame[:, None] + torch.arange(LEADS)], flow, where)


def fitted(learned: Windows, choice: Choice | None = GIVEN):
    return Regression.fitted(learned, None if choice else windows(flows(4, seed=7)), seed=0, choice=choice)


def relative(found: torch.Tensor, wanted: torch.Tensor) -> float:
    return float(((found - wanted).square().sum() / wanted.square().sum()).sqrt())


# ------------------------------------------------------------------ many readings


def test_more_readings_than_windows_say_what_as_many_as_they_do():
    """Each sensor is read many times over: the same numbers, the same regression, whichever equations are solved."""
    learned, unseen = windows(flows(4), every=2, error=0.01), windows(flows(2, seed=3), error=0.01)
    few, _ = fitted(learned)
    times = 1 + len(learned.readings) // SENSORS

    def again(readings: torch.Tensor) -> torch.Tensor:
        return readings.repeat(1, times) / times**0.5

    # The penalty is a share of the mean variance of a reading, which is less by as much.
    choice = replace(GIVEN, ridge=times * GIVEN.ridge)
    many, _ = fitted(replace(learned, readings=again(learned.readings)), choice)
    assert len(many.metric) > len(learned.readings) >= len(few.metric)
    found, wanted = many(again(unseen.readings)), few(unseen.readings)
    torch.testing.assert_close(found.mean, wanted.mean, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(found.std, wanted.std, rtol=1e-3, atol=1e-3)


def test_memory_of_a_regression_is_not_the_square_of_the_readings():
    learned = windows(flows(4), every=2)
    learned = replace(learned, readings=torch.randn(len(learned.readings), 3000, generator=seeded()))
    with Largest() as made:
        fitted(learned)
    assert made.largest <= 3000 * max(len(learned.readings), LEADS * COEFFICIENTS)


# ------------------------------------------------------------------ what is predicted


def test_a_linear_flow_is_predicted_from_exact_readings():
    """One frame tells all of it, and what follows is a linear function of that."""
    regression, _ = fitted(windows(flows(20)), choice=None)
    unseen = windows(flows(4, seed=3))
    assert relative(regression(unseen.readings).mean, unseen.coefficients) < 0.005
    assert regression.chosen().noise <= 1e-3


def test_a_flow_of_no_linear_law_needs_the_frames_before():
    """The speed is the amplitude's: in one frame it is as plain as in several, but no linear map of it."""
    unseen = windows(flows(4, nonlinear=0.1, seed=3), every=3)
    learned, held_out = windows(flows(60, nonlinear=0.1)), windows(flows(8, nonlinear=0.1, seed=7))
    found = Regression.fitted(learned, held_out, seed=0)[0](unseen.readings)
    design, wanted = torch.nn.functional.pad(learned.readings, (0, 1), value=1.0), learned.coefficients.flatten(1)
    linear = torch.linalg.pinv(design) @ wanted
    line = torch.nn.functional.pad(unseen.readings, (0, 1), value=1.0) @ linear
    assert relative(found.mean, unseen.coefficients) < 0.6 * relative(
        line.unflatten(1, (LEADS, -1)), unseen.coefficients
    )


@pytest.mark.parametrize("choice", [GIVEN, Choice(ridge=1e-3, width=1.0, linear=0.0, noise=1e-7, order=1)])
def test_predictions_are_those_of_an_explicit_solve(choice):
    """With little noise weights are large and of both signs."""
    learned, unseen = windows(flows(), error=0.1), windows(flows(3, seed=3))
    regression, _ = fitted(learned, choice)
    places, new = ((part.readings - regression.center) @ regression.metric for part in (learned, unseen))
    within, across = (regression.across(one, places).double() for one in (places, new))
    targets = (learned.coefficients - learned.coefficients.mean(0)).flatten(1).double()
    wanted = across @ torch.linalg.solve(within + choice.noise * torch.eye(len(places)), targets)
    wanted = wanted.float().unflatten(1, (LEADS, -1)) + learned.coefficients.mean(0)
    torch.testing.assert_close(regression(unseen.readings).mean, wanted, rtol=1e-3, atol=1e-3)


def test_components_that_are_small_beside_the_errors_are_left_out():
    learned = windows(flows(nonlinear=0.2), error=0.3)
    regression, left_out = fitted(learned)
    targets = (learned.coefficients - learned.coefficients.mean(0)).flatten(1)
    count = len(regression.components)
    assert count < min(targets.shape)
    assert left_out.parts.shape == (len(targets), count)
    left = targets - targets @ regression.components.T @ regression.components
    errors = regression.outlook(left_out.parts, left_out.scales).mean - learned.coefficients
    assert left.square().sum() < LEFT * errors.square().sum()
    one_less = targets - targets @ regression.components[:-1].T @ regression.components[:-1]
    assert one_less.square().sum() > 0.9 * LEFT * errors.square().sum()


@pytest.mark.parametrize("order", ["as they come", "shuffled"])
def test_a_window_is_predicted_by_the_other_trajectories_alone(order):
    """In closed form what a solve without its trajectory gives, with the same centre and metric."""
    learned = windows(flows(6), error=0.1)
    if order == "shuffled":
        rows = torch.randperm(len(learned.readings), generator=seeded())
        learned = Windows(
            learned.readings[rows], learned.coefficients[rows], learned.trajectory[rows], learned.where[rows]
        )
    regression, left_out = fitted(learned)
    parts = ((learned.coefficients - learned.coefficients.mean(0)).flatten(1) @ regression.components.T).double()
    kernel = regression.across(regression.places, regression.places).double()
    for trajectory in range(6):
        rest, own = learned.trajectory != trajectory, learned.trajectory == trajectory
        within = kernel[rest][:, rest] + GIVEN.noise * torch.eye(int(rest.sum()))
        wanted = kernel[own][:, rest] @ torch.linalg.solve(within, parts[rest])
        torch.testing.assert_close(left_out.parts[own], wanted.float(), rtol=1e-3, atol=2e-3)


def test_copies_of_a_window_help_in_other_trajectories_and_not_in_its_own():
    """As symmetry variants do: they have the number of the trajectory that they are of."""
    once = windows(flows(6, nonlinear=0.2), every=2)
    rows = torch.arange(len(once.readings)).repeat(2)
    twice = Windows(once.readings[rows], once.coefficients[rows], once.trajectory[rows], once.where[rows])
    apart = replace(twice, trajectory=twice.trajectory + 6 * (torch.arange(len(rows)) >= len(once.readings)))
    errors = []
    for learned in (twice, apart):
        regression, left_out = fitted(learned)
        errors.append(relative(regression.outlook(left_out.parts, left_out.scales).mean, learned.coefficients))
    assert errors[1] < 0.3 * errors[0]


def test_errors_left_out_are_those_on_other_trajectories():
    learned, unseen = windows(flows(40, nonlinear=0.1)), windows(flows(40, nonlinear=0.1, seed=3))
    regression, left_out = fitted(learned)
    own = regression.outlook(left_out.parts, left_out.scales).mean - learned.coefficients
    other = regression(unseen.readings).mean - unseen.coefficients
    assert float(other.square().mean() / own.square().mean()) == pytest.approx(1, abs=0.4)


# ------------------------------------------------------------------ how sure it is


def test_the_outlooks_variance_is_that_of_the_errors_left_out():
    """For each coefficient, and over all windows; the mean scale is 1 at every lead time and in every band."""
    learned = windows(flows(nonlinear=0.2), error=0.1)
    regression, left_out = fitted(learned)
    outlook = regression.outlook(left_out.parts, left_out.scales)
    torch.testing.assert_close(left_out.scales.mean(0), torch.ones(LEADS, BANDS))
    errors = outlook.mean - learned.coefficients
    torch.testing.assert_close(outlook.std.square().mean(0), errors.square().mean(0), rtol=1e-3, atol=1e-6)
    assert (outlook.std > 0).all()


def test_bands_are_of_the_order_of_the_coefficients_and_of_as_much_variance():
    regression, _ = fitted(windows(flows(nonlinear=0.2), error=0.3))
    assert (regression.band.diff() >= 0).all()
    assert regression.band[0] >= 0 and regression.band[-1] == BANDS - 1
    share = regression.variance.sum(0) / regression.variance.sum()
    for band in regression.band.unique():
        assert share[regression.band == band][1:].sum() <= 1 / BANDS + 1e-6, "all but its first begin in the band"


def test_it_is_less_sure_where_its_errors_are_larger():
    """Half of the flows obey no law."""
    of = flows(40)
    of[20:] += 2  # elsewhere among the readings
    of[20:, 1:] += torch.randn(of[20:, 1:].shape, generator=seeded(4))
    regression, _ = fitted(windows(of))
    regular, wild = (regression(windows(flows(4, seed=3) + shift).readings).std.square().mean() for shift in (0.0, 2.0))
    assert wild > 4 * regular


# ------------------------------------------------------------------ the same, whatever


def test_a_second_fit_is_the_same():
    learned = windows(flows(6))
    first, second = (fitted(learned, choice=None) for _ in range(2))
    for name, buffer in first[0].state_dict().items():
        assert torch.equal(buffer, second[0].state_dict()[name]), name
    assert torch.equal(first[1].parts, second[1].parts) and torch.equal(first[1].scales, second[1].scales)


def test_what_was_chosen_need_not_be_chosen_again():
    learned = windows(flows(6))
    first, _ = fitted(learned, choice=None)
    again, _ = fitted(learned, choice=first.chosen())
    assert again.chosen() == first.chosen()
    new = windows(flows(2, seed=3)).readings
    torch.testing.assert_close(again(new).mean, first(new).mean, rtol=1e-3, atol=1e-3)


def test_it_is_rebuilt_from_its_sizes_and_buffers():
    first, _ = fitted(windows(flows(6)))
    again = Regression(*first.sizes)
    again.load_state_dict(first.state_dict())
    new = windows(flows(2, seed=3)).readings
    one, other = first(new), again(new)
    assert torch.equal(one.mean, other.mean) and torch.equal(one.std, other.std)
    assert not list(first.parameters()), "nothing for an optimizer"


def test_forecasts_do_not_depend_on_the_others_of_their_batch_or_on_the_precision_around():
    regression, _ = fitted(windows(flows(6)))
    new = windows(flows(2, seed=3)).readings
    whole = regression(new)
    with torch.autocast("cpu", torch.bfloat16):
        again = regression(new)
    assert torch.equal(again.mean, whole.mean) and torch.equal(again.std, whole.std)
    alone = regression(new[3:4])
    torch.testing.assert_close(alone.mean[0], whole.mean[3], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(alone.std[0], whole.std[3], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("factor", [1e-3, 1e3])
def test_the_unit_of_the_coefficients_changes_nothing(factor):
    """Distances are in units of the median one."""
    of, new = flows(6), windows(flows(2, seed=3)).readings
    learned = windows(of, error=0.1)
    scaled = replace(learned, coefficients=factor * learned.coefficients)
    one, other = fitted(learned)[0](new), fitted(scaled)[0](new)
    torch.testing.assert_close(other.mean / factor, one.mean, rtol=1e-2, atol=5e-3)
    torch.testing.assert_close(other.std / factor, one.std, rtol=2e-2, atol=5e-3)


def test_members_of_a_forecast_are_side_by_side():
    outlook = Outlook(torch.arange(6.0).view(3, 2, 1), torch.ones(3, 2, 1))
    assert outlook.members(2).mean[:, 0, 0].tolist() == [0, 0, 2, 2, 4, 4]
    assert outlook[torch.tensor([2])].mean.tolist() == [[[4], [5]]]


# ------------------------------------------------------------------ windows


@pytest.mark.parametrize("span", [1, 3])
@pytest.mark.parametrize("count", [7, 10**6])
def test_windows_have_their_frames_before_and_after(span, count):
    found = chosen_windows(5, FRAMES, LEADS, span, count, seed=0)
    flow, frame = found.unbind(-1)
    every = 5 * (FRAMES - LEADS + 1 - (span - 1))
    assert len(found) == min(count, every) == len(found.unique(dim=0))
    assert int(flow.min()) >= 0 and int(flow.max()) <= 4
    assert int(frame.min()) >= span - 1 and int(frame.max()) <= FRAMES - LEADS
    if count > every:
        assert int(frame.min()) == span - 1 and int(frame.max()) == FRAMES - LEADS
    assert torch.equal(found, found[torch.argsort(flow * FRAMES + frame)]), "in order of flows and frames"
    assert torch.equal(chosen_windows(5, FRAMES, LEADS, span, count, seed=0), found)
    if count < every:
        assert not torch.equal(chosen_windows(5, FRAMES, LEADS, span, count, seed=1), found)


# ------------------------------------------------------------------ other sensors


def outlooks(of: torch.Tensor, counts: tuple[int, ...] = (1, 3), center: float = 0.0) -> Outlooks:
    own = {count: fitted(windows(of, observed=count))[0] for count in counts}
    sizes = tuple((count, *regression.sizes) for count, regression in own.items())
    found = Outlooks(sizes, of.shape[:2], COEFFICIENTS)
    for count, regression in own.items():
        found.own[str(count)].load_state_dict(regression.state_dict())
    found.flows.copy_(of)
    found.trajectory.copy_(torch.arange(len(of)))
    found.center.fill_(center)
    return found


def test_the_regression_that_sees_most_of_the_observed_frames_is_used():
    found = outlooks(flows(4))
    assert found.counts == (1, 3)
    assert [found.by(frames)[0] for frames in (1, 2, 3, 9)] == [1, 1, 3, 3]
    assert found.by(3)[1].places.shape[0] == 4 * (FRAMES - LEADS - 1)


@pytest.mark.parametrize("observed", [1, 3])
def test_a_regression_fitted_to_the_own_sensors_is_nearly_the_own(observed):
    of = flows(12, nonlinear=0.1).half().float()
    found = outlooks(of)
    exact = [torch.zeros(SENSORS)] * observed
    regression = found.fitted_to(torch.arange(1 - observed, 1), [MODES] * observed, exact)
    new = windows(flows(3, nonlinear=0.1, seed=3), observed).readings
    own, other = found.by(observed)[1](new), regression(new)
    torch.testing.assert_close(other.mean, own.mean, rtol=1e-2, atol=1e-3)
    torch.testing.assert_close(other.std, own.std, rtol=1e-2, atol=1e-3)


def test_readings_are_of_the_coefficients_with_their_mean():
    of = flows(6).half().float()
    found = outlooks(of, center=5.0)
    regression = found.fitted_to(torch.zeros(1, dtype=torch.long), [MODES], [torch.zeros(SENSORS)])
    plain = found.by(1)[1]
    new = windows(flows(3, seed=3))
    shifted = new.readings + 5 * MODES.sum(1)
    torch.testing.assert_close(regression(shifted).mean, plain(new.readings).mean, rtol=1e-2, atol=2e-3)


def test_readings_that_are_less_exact_make_it_less_sure():
    found = outlooks(flows(12).half().float())
    new, stds = windows(flows(3, seed=3)).readings, []
    for variance in (0.0, 0.3, 3.0):
        errors = [torch.full((SENSORS,), variance)]
        regression = found.fitted_to(torch.zeros(1, dtype=torch.long), [MODES], errors)
        stds.append(float(regression(new).std.square().mean()))
    assert stds[0] < 0.5 * stds[1] < 0.5 * stds[2]


def test_frames_may_have_gaps_and_sensors_of_their_own():
    """Of the frame two before the last all sensors are there, of the last one two that say little alone."""
    of = flows(12).half().float()
    found = outlooks(of)
    times = torch.tensor([-2, 0])
    regression = found.fitted_to(times, [MODES, MODES[:2]], [torch.zeros(SENSORS), torch.zeros(2)])
    new = flows(3, seed=3)
    readings = torch.cat([new[:, 2] @ MODES.T, new[:, 4] @ MODES[:2].T], dim=1)
    assert relative(regression(readings).mean, new[:, 4 : 4 + LEADS]) < 0.1


# ------------------------------------------------------------------ errors of windows that are like a forecast


def test_errors_are_those_of_the_windows_as_others_predict_them():
    of = flows(20, nonlinear=0.1)
    learned = windows(of, every=2, error=0.1)
    regression, left_out = fitted(learned)
    rows = torch.tensor([0, 7, 3])
    wanted = learned.coefficients - regression.outlook(left_out.parts, left_out.scales).mean
    torch.testing.assert_close(regression.errors(rows, of), wanted[rows], rtol=1e-2, atol=1e-2)  # kept in float16


def test_a_forecast_is_like_the_nearest_windows():
    learned = windows(flows(20, nonlinear=0.1), every=2)
    regression, _ = fitted(learned)
    found = regression(learned.readings[:5]).like
    assert found.shape == (5, regression.neighbours)
    assert found[:, 0].tolist() == [0, 1, 2, 3, 4], "a window is nearest to itself"


def test_how_sure_a_window_is_comes_from_other_trajectories():
    """Coefficients that nothing tells of make a trajectory's own errors large, not what is expected of them."""
    learned = windows(flows(12), every=2)
    own = learned.trajectory == 3
    noise = torch.randn(learned.coefficients.shape, generator=seeded(8)) * own[:, None, None]
    regression, left_out = fitted(replace(learned, coefficients=learned.coefficients + noise))
    assert regression.scales[own].mean() > 5 * regression.scales[~own].mean()
    assert left_out.scales[own].mean() < 1.5 * left_out.scales[~own].mean()
