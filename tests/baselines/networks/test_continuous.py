"""The continuous control: it never looks ahead, begins as its first guess, and a forecast is what training means."""

from dataclasses import replace

import pytest
import torch

from sparsevq.baselines.networks.continuous import Batch, ContinuousConfig, ContinuousLoss, ContinuousTransformer
from sparsevq.models.regression import Outlook

SIZES, COEFFICIENTS = (4, 3, 2), 11
SHAPE = ContinuousConfig(
    groups=SIZES,
    coefficients=COEFFICIENTS,
    context_frames=6,
    time_transformer_layers=2,
    time_transformer_heads=2,
    time_transformer_dim=16,
    observed_frames=3,
)
LEADS, KNOWN = SHAPE.leads, sum(SIZES)
GUESSED = {"regressions": ((1, 2, 2, 4, LEADS, COEFFICIENTS, 3),), "flows": (2, 8)}
KINDS = {"guess": GUESSED, "frame-before": {}, "released": {"groups": (9,), "residual": False}}
all_kinds = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def network(trained: bool = True, **changes) -> ContinuousTransformer:
    """With weights far from zero, as after training, or as it begins."""
    torch.manual_seed(0)
    model = ContinuousTransformer(replace(SHAPE, **changes)).eval()
    model.set_units(0.5 + torch.rand(KNOWN, generator=seeded(1)), 0.1 + torch.rand(KNOWN, generator=seeded(2)))
    if model.course is not None:
        model.course.correlate(torch.rand(LEADS, COEFFICIENTS, generator=seeded(3)))
        model.course.continue_by(
            0.1 * torch.randn(COEFFICIENTS, COEFFICIENTS), torch.rand(COEFFICIENTS), torch.ones(COEFFICIENTS)
        )
    if trained:
        with torch.no_grad():
            for weight in model.parameters():
                weight.add_(0.3 * torch.randn(weight.shape, generator=seeded(4)))
    return model


def given(model, observed=3, batch=2, seed=5):
    """Observed frames, complete ones, times and an outlook."""
    draws = seeded(seed)
    frames = [torch.randn(batch, count, KNOWN, generator=draws) for count in (observed, LEADS)]
    outlook = None
    if model.course is not None:
        mean, std = (torch.randn(batch, LEADS, COEFFICIENTS, generator=draws) for _ in range(2))
        outlook = Outlook(mean, 0.1 + std.abs())
    return *frames, torch.arange(1 - observed, 1), outlook


@all_kinds
def test_a_frame_is_predicted_from_those_before_it_alone(kind):
    model = network(**kind)
    observed, complete, times, outlook = given(model)
    before = model(observed, complete, times, outlook)
    for lead in range(LEADS):
        other = complete.clone()
        other[:, lead:] += 1
        after = model(observed, other, times, outlook)
        torch.testing.assert_close(after[:, : lead + 1], before[:, : lead + 1])
        if lead + 1 < LEADS:
            assert not torch.allclose(after[:, lead + 1], before[:, lead + 1], atol=1e-3)


@all_kinds
@pytest.mark.parametrize("observed", [1, 3])
def test_a_forecast_is_what_predictions_of_its_own_frames_are(kind, observed):
    model = network(**kind)
    frames, _, times, outlook = given(model, observed)
    found = model.forecast(frames, times, LEADS - 1, outlook)
    assert found.shape == (2, LEADS, COEFFICIENTS)
    torch.testing.assert_close(model(frames, found[..., :KNOWN], times, outlook), found[..., :KNOWN])
    others = torch.zeros(2, LEADS, 2) if outlook is None else outlook.mean[..., KNOWN:]
    assert torch.equal(found[..., KNOWN:], others)


@all_kinds
def test_passes_make_the_frames_of_a_forecast_one_after_the_other(kind):
    """That the loss after as many passes as there are frames is that of the forecast, whatever was seen before."""
    model = network(**kind)
    observed, complete, times, outlook = given(model)
    true = torch.randn(complete.shape, generator=seeded(7))
    forecast = model.forecast(observed, times, LEADS - 1, outlook)[..., :KNOWN]
    expected = (forecast - true).square().mean((0, 1)).sum() / model.remaining.square().sum()
    loss = ContinuousLoss(model)
    seen = observed, complete
    torch.testing.assert_close(loss(Batch(observed, true, times, outlook, seen, passes=LEADS))["loss"], expected)
    teacher_forced = loss(Batch(observed, true, times, outlook, seen))["loss"]
    assert not torch.allclose(teacher_forced, expected)


@all_kinds
def test_a_forecast_goes_on_past_the_trained_context(kind):
    model = network(**kind)
    observed, _, times, outlook = given(model)
    short = model.forecast(observed, times, LEADS - 1, outlook)
    long = model.forecast(observed, times, LEADS + 5, outlook)
    assert long.shape[1] == LEADS + 6 and long.isfinite().all()
    torch.testing.assert_close(long[:, :LEADS], short)


def test_it_begins_as_its_first_guess():
    model = network(trained=False, **GUESSED)
    observed, complete, times, outlook = given(model)
    torch.testing.assert_close(model.forecast(observed, times, LEADS - 1, outlook), outlook.mean)
    # Told a frame that has gone from the outlook, the next goes from it by the correlation of its errors.
    assert model.course is not None
    apart = (complete - outlook.mean[..., :KNOWN]) / outlook.std[..., :KNOWN]
    expected = outlook.mean[:, 1:, :KNOWN] + (
        model.course.correlation[1:, :KNOWN] * outlook.std[:, 1:, :KNOWN] * apart[:, :-1]
    )
    torch.testing.assert_close(model(observed, complete, times, outlook)[:, 1:], expected)


def test_without_one_it_begins_as_the_frame_before():
    model = network(trained=False)
    observed, complete, times, _ = given(model)
    found = model(observed, complete, times)
    torch.testing.assert_close(found, torch.cat([observed[:, -1:], complete[:, :-1]], dim=1))


def test_the_released_design_regresses_whole_frames():
    model = network(**KINDS["released"])
    assert model.tokens == 1 and model.channels == KNOWN
    observed, complete, times, outlook = given(model)
    with torch.no_grad():
        model.to_token.weight.zero_()
        model.to_token.bias.fill_(2.0)
    expected = (2 * model.unit).expand(2, LEADS, -1)
    torch.testing.assert_close(model(observed, complete, times, outlook), expected)


def test_a_network_with_a_first_guess_needs_an_outlook():
    model = network(**GUESSED)
    observed, _, times, _ = given(model)
    with pytest.raises(ValueError, match="outlook"):
        model.forecast(observed, times, 2)
