"""The GPT: it never looks ahead, its probabilities are probabilities, and generation is what training means."""

import itertools
import math
from dataclasses import replace

import pytest
import torch

from sparsevq.models.causal import Rotation, positions_last
from sparsevq.models.gpt import GPT, Given, GPTConfig, members_of, unit_codes
from sparsevq.models.regression import Outlook
from sparsevq.models.rollout import Draws, Sampler
from tests.host_waits import NoWaiting

SHAPE = GPTConfig(
    tokens_per_frame=3,
    num_quantizers=2,
    num_vq_embeddings=5,
    vq_embedding_dim=4,
    prediction="next_frame",
    context_frames=6,
    time_transformer_layers=2,
    time_transformer_heads=2,
    time_transformer_dim=16,
    observed_frames=3,
)
SIZES, COEFFICIENTS = (4, 3, 2), 11
"""Coefficients of the tokens, and of all: two are in no token."""
GUESSED = {
    "codebooks": 3,
    "groups": SIZES,
    "coefficients": COEFFICIENTS,
    "regressions": ((1, 2, 2, 4, SHAPE.leads, COEFFICIENTS, 3),),
    "flows": (2, 8),
}
"""What a GPT with a first guess has more."""

both_predictions = pytest.mark.parametrize("prediction", ["next_frame", "next_token"])
KINDS = {"one": {}, "each": {"codebooks": 3}, "guess": GUESSED}
all_kinds = pytest.mark.parametrize(
    "kind",
    [{"prediction": prediction, **more} for prediction in ("next_frame", "next_token") for more in KINDS.values()],
    ids=[f"{prediction}-{name}" for prediction in ("next_frame", "next_token") for name in KINDS],
)
observations = pytest.mark.parametrize("times", [(0,), (-2, -1, 0), (-7, -2, 0)], ids=["one", "three", "gaps"])


def gpt(seed: int = 0, **changes) -> GPT:
    """A GPT with weights far from zero, as after training."""
    shape = replace(SHAPE, **changes)
    torch.manual_seed(seed)
    draws = torch.Generator().manual_seed(seed)
    sizes = (shape.codebooks, shape.num_quantizers, shape.num_vq_embeddings, shape.vq_embedding_dim)
    codebook = torch.randn(sizes, generator=draws)
    if shape.regressions:  # channels that pad a group are zero
        codebook *= (torch.arange(sizes[-1]) < torch.tensor(shape.groups)[:, None])[:, None, None]
    model = GPT(shape, codebook).eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight += 0.3 * torch.randn(weight.shape, generator=draws)
        if model.first_guess is not None:
            spread = model.first_guess.codes.var(2).transpose(0, 1)  # (Q, P, D)
            correlation = 0.9 * torch.rand(shape.leads, shape.coefficients, generator=draws)
            model.first_guess.set(0.7 * (spread > 0), spread, spread, correlation)
            growth, spread = torch.rand(2, shape.coefficients, generator=draws)
            propagator = 0.3 * torch.randn(shape.coefficients, shape.coefficients, generator=draws)
            model.first_guess.continue_by(propagator, growth, 1 + spread)
    return model


def sequences(count: int, frames: int, shape: GPTConfig = SHAPE, seed: int = 1) -> torch.Tensor:
    draws = torch.Generator().manual_seed(seed)
    size = (count, frames, shape.tokens_per_frame, shape.num_quantizers)
    return torch.randint(shape.num_vq_embeddings, size, generator=draws)


def observed(*times: int) -> torch.Tensor:
    return torch.tensor(times or (0,))


def outlook(model: GPT, count: int, seed: int = 2) -> Outlook | None:
    if model.first_guess is None:
        return None
    draws, size = torch.Generator().manual_seed(seed), (count, model.config.leads, model.config.coefficients)
    return Outlook(torch.randn(size, generator=draws), 0.3 + torch.rand(size, generator=draws))


def given(model: GPT, count: int, frames: int | None = None, seed: int = 2) -> Given | None:
    """What a first guess of training sequences is made from, of the first `frames` lead times."""
    one = outlook(model, count, seed)
    if one is None:
        return None
    one = Outlook(one.mean[:, :frames], one.std[:, :frames])
    return Given(one, one.mean + torch.randn(one.mean.shape, generator=torch.Generator().manual_seed(seed + 1)))


def loss(model: GPT, whole: torch.Tensor, times: torch.Tensor, targets: torch.Tensor | None = None) -> torch.Tensor:
    """Of sequences (b, k + s, P, Q)."""
    targets = whole[:, len(times) :] if targets is None else targets
    return model(whole, targets, times, given(model, len(whole), targets.shape[1]))


def forecast(model: GPT, prompt: torch.Tensor, frames: int, times: torch.Tensor | None = None, **how) -> torch.Tensor:
    """Codes (b, frames + 1, P, Q) that are drawn after a prompt (b, k, P, Q); the likeliest if nothing is said."""
    how = {"temperature": 0, "outlook": outlook(model, len(prompt))} | how
    return model.generate(prompt, frames, times=times, **how).codes


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


# ------------------------------------------------------------------ what a prediction may depend on


@observations
def test_a_frames_prediction_depends_on_the_frames_before_it_alone(times):
    """Block-causal: hidden states of frame f predict frame f + 1, and see all of frame f but nothing later."""
    model, frames = gpt(), torch.tensor((*times, 0, 1))
    before = sequences(2, len(frames))
    reference = model.trunk(before.flatten(1, 2), frames, len(times)).unflatten(1, (-1, 3))
    for frame, token, level in itertools.product(range(len(frames)), range(3), range(2)):
        other = before.clone()
        other[:, frame, token, level] = (other[:, frame, token, level] + 1) % 5
        hidden = model.trunk(other.flatten(1, 2), frames, len(times)).unflatten(1, (-1, 3))
        change = (hidden - reference).abs().amax((0, 3))
        assert change[:frame].sum() == 0
        assert change[frame:].min() > 1e-4, "full attention within the frame, and in every later one"


def test_a_tokens_prediction_depends_on_the_tokens_before_it_alone():
    model, before, frames = gpt(prediction="next_token"), sequences(2, 4).flatten(1, 2), torch.tensor([-1, 0, 0, 1])
    reference = model.trunk(before, frames, 2)
    for token in range(12):
        other = before.clone()
        other[:, token] = (other[:, token] + 1) % 5
        change = (model.trunk(other, frames, 2) - reference).abs().amax((0, 2))
        assert change[:token].sum() == 0
        assert change[token:].min() > 1e-5


def test_only_how_far_frames_are_apart_matters():
    """Rotary positions: all times moved alike are the same, a gap is not."""
    model, whole = gpt(), sequences(2, 4).flatten(1, 2)
    first, moved, gap = (
        model.trunk(whole, torch.tensor(times), 2) for times in ((-1, 0, 0, 1), (4, 5, 5, 6), (-3, 0, 0, 1))
    )
    torch.testing.assert_close(moved, first, rtol=1e-3, atol=1e-4)
    assert (gap - first).abs().max() > 1e-3


@observations
@all_kinds
def test_probabilities_of_all_possible_completions_add_up_to_one(kind, times):
    """No token or level sees itself or what comes after it: else its own code would be likelier than is honest."""
    guessed = {"groups": SIZES[:2], "codebooks": 2} if "groups" in kind else {}
    kind = {**kind, "codebooks": min(kind.get("codebooks", 1), 2), **guessed}
    model = gpt(**{**kind, "tokens_per_frame": 2, "num_vq_embeddings": 3})
    prompt = sequences(1, len(times), model.config)
    futures = torch.tensor(list(itertools.product(range(3), repeat=4))).view(-1, 1, 2, 2)
    with torch.no_grad():
        losses = [loss(model, torch.cat([prompt, future[None]], dim=1), torch.tensor(times)) for future in futures]
    assert sum(math.exp(-4 * one) for one in losses) == pytest.approx(1, rel=1e-4)


@both_predictions
def test_codes_that_are_all_as_likely_cost_the_logarithm_of_their_number(prediction):
    model = gpt(prediction=prediction)
    with torch.no_grad():
        model.bias.zero_()
        for head in model.heads:
            head[-1].weight.zero_()
            head[-1].bias.zero_()
    whole = sequences(4, 5)
    assert loss(model, whole, observed()).item() == pytest.approx(math.log(5), rel=1e-5)


@observations
@all_kinds
def test_observed_frames_are_given_and_not_scored(kind, times):
    """The loss is of the complete frames, the first of which is the last observed one once more."""
    model, times = gpt(**kind), torch.tensor(times)
    whole = sequences(2, len(times) + 3)
    targets = whole[:, len(times) :]
    reference = loss(model, whole, times)
    for frame in range(3):
        other = targets.clone()
        other[:, frame, -1, -1] = (other[:, frame, -1, -1] + 1) % 5
        assert loss(model, whole, times, other) != reference


def test_observed_frames_are_marked():
    """Their codes come from few sensors: the same codes, observed or complete, may mean something else."""
    model = gpt()
    same = sequences(1, 1).expand(1, 4, 3, 2).flatten(1, 2)
    with torch.no_grad():
        marked = model.embed(same, 0, 2)
        torch.testing.assert_close(marked[:, 3:6] - marked[:, 6:9], model.prompt.expand(1, 3, 16))
        torch.testing.assert_close(marked[:, :3], marked[:, 3:6])
        torch.testing.assert_close(marked[:, 6:9], marked[:, 9:])


def test_the_codebook_is_given_and_never_trained():
    model = gpt()
    assert "codebook" not in dict(model.named_parameters())
    assert "codebook" in model.state_dict()
    with pytest.raises(ValueError, match=r"the codebook is \(1, 2, 4, 4\), the GPT was made for \(1, 2, 5, 4\)"):
        GPT(SHAPE, torch.zeros(1, 2, 4, 4))


def test_the_unit_of_the_codebook_changes_nothing():
    codebook = torch.randn(1, 2, 5, 4)
    first, second = GPT(SHAPE, codebook), GPT(SHAPE, 1000 * codebook)
    second.load_state_dict({k: v for k, v in first.state_dict().items() if k != "codebook"}, strict=False)
    whole = sequences(2, 4)
    torch.testing.assert_close(loss(second, whole, observed()), loss(first, whole, observed()))


@all_kinds
def test_every_weight_learns(kind):
    model, whole = gpt(**kind).train(), sequences(8, 6)
    loss(model, whole, observed(-1, 0)).backward()
    assert [name for name, weight in model.named_parameters() if weight.grad is None or not weight.grad.any()] == []


@both_predictions
def test_every_weight_that_may_learn_does_with_a_single_level_too(prediction):
    """Data-parallel training waits for a gradient of each."""
    model = gpt(prediction=prediction, num_quantizers=1).train()
    loss(model, sequences(8, 6, model.config), observed()).backward()
    learning = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
    assert [name for name, weight in learning.items() if weight.grad is None or not weight.grad.any()] == []


# ------------------------------------------------------------------ a codebook for each position


def test_one_codebook_has_the_weights_that_it_always_had():
    """Names and shapes of a file that was written before there were several codebooks."""
    found = {name: tuple(weight.shape) for name, weight in gpt().state_dict().items() if not name.startswith("layers.")}
    heads = {
        f"heads.{level}.{name}": shape
        for level in range(2)
        for name, shape in {
            "0.weight": (16,),
            "0.bias": (16,),
            "1.weight": (16, 16),
            "1.bias": (16,),
            "3.weight": (4, 16),
            "3.bias": (4,),
        }.items()
    }
    assert found == heads | {
        "codebook": (2, 5, 4),
        "from_code.weight": (16, 4),
        "from_code.bias": (16,),
        "code_vectors": (2, 5, 16),
        "token_position": (3, 16),
        "prompt": (16,),
        "from_levels.weight": (16, 4),
        "bias": (2, 5),
        "scale": (2,),
    }


def test_one_codebook_scores_codes_as_it_always_did():
    model = gpt()
    hidden, seen = torch.randn(3, 4, 16, generator=seeded(2)), torch.randn(3, 4, 4, generator=seeded(3))
    normalise, widen, activate, narrow = model.heads[1]
    vector = narrow(activate(widen(normalise(hidden + seen @ model.from_levels.weight.T))))
    expected = vector @ model.codebook[1].T * model.scale[1].exp() + model.bias[1]
    scores = model.code_scores().level(1)
    torch.testing.assert_close(scores(scores.lifted(hidden, seen)[None])[0], expected, rtol=1e-4, atol=1e-5)


@both_predictions
def test_the_same_codebook_for_each_position_is_one_for_all(prediction):
    one, each = gpt(prediction=prediction), gpt(prediction=prediction, codebooks=3)
    weights = one.state_dict()
    each.load_state_dict(
        {name: weights[name].expand_as(weight).clone() for name, weight in each.state_dict().items()}
        | {"codebook": weights["codebook"].expand(3, -1, -1, -1)}
    )
    whole = sequences(3, 5)
    torch.testing.assert_close(loss(each, whole, observed()), loss(one, whole, observed()))
    assert torch.equal(forecast(each, whole[:, :2], 4), forecast(one, whole[:, :2], 4))


def test_positions_in_another_order_are_the_same_forecast():
    """Every weight of a position goes with it."""
    model, other = gpt(codebooks=3), gpt(codebooks=3)
    order = torch.tensor([2, 0, 1])
    other.load_state_dict(
        {
            name: weight[order] if not name.startswith("layers.") and weight.shape[:1] == (3,) else weight
            for name, weight in model.state_dict().items()
        }
    )
    whole = sequences(4, 5)
    torch.testing.assert_close(loss(other, whole[:, :, order], observed()), loss(model, whole, observed()))
    assert torch.equal(forecast(other, whole[:, :2, order], 8), forecast(model, whole[:, :2], 8)[:, :, order])


def test_each_position_has_the_scale_of_its_own_codes():
    """Energies of the positions differ by orders; channels that a narrower group pads do not count."""
    codebook = torch.randn(3, 2, 5, 4, generator=seeded(1))
    codebook[1, ..., 2:] = 0
    scaled, unit = unit_codes(codebook * torch.tensor([1e-4, 1.0, 1e3])[:, None, None, None])
    torch.testing.assert_close(
        scaled * unit[..., None, None], codebook * torch.tensor([1e-4, 1.0, 1e3]).view(3, 1, 1, 1)
    )
    assert scaled[0, 0].var(0).mean().item() == pytest.approx(1, rel=1e-4)
    assert scaled[1, 0, :, :2].var(0).mean().item() == pytest.approx(1, rel=1e-4)
    torch.testing.assert_close(scaled[2], unit_codes(codebook)[0][2])


# ------------------------------------------------------------------ a first guess


@both_predictions
def test_before_any_training_the_loss_is_the_first_guesss(prediction):
    """The network's own scores begin as zero."""
    trained = gpt(prediction=prediction, **GUESSED)
    model = GPT(trained.config, trained.first_guess.codes).eval()
    model.first_guess.load_state_dict(trained.first_guess.state_dict())
    whole = sequences(2, 4)
    with torch.no_grad():
        found, one, other = loss(model, whole, observed()), given(model, 2, 3), given(model, 2, 3, seed=5)
        belief = model.first_guess.token_belief(model.first_guess.beliefs(one.outlook, one.states))
        seen, losses = torch.zeros(3, 6, 4), []
        codes = whole[:, 1:].flatten(0, 1).transpose(0, 1)  # (P, b s, Q)
        for level in range(2):
            scores = model.first_guess.level(level).scores(belief, seen)
            losses.append(-scores.log_softmax(-1).gather(-1, codes[..., level, None]).mean())
            code = model.first_guess.codes[torch.arange(3)[:, None], level, codes[..., level]]
            belief, seen = model.first_guess.level(level).update(belief, scores, code), seen + code
        assert model(whole, whole[:, 1:], observed(), other) != found
    torch.testing.assert_close(found, torch.stack(losses).mean(), rtol=1e-4, atol=1e-5)


@both_predictions
def test_coefficients_are_drawn_with_the_codes(prediction):
    model, prompt = gpt(prediction=prediction, **GUESSED), sequences(4, 2)
    drawn = model.generate(prompt, 5, outlook=outlook(model, 4), generator=seeded(1))
    assert drawn.states.shape == drawn.expected.shape == (4, 6, COEFFICIENTS)
    again = model.generate(prompt, 5, outlook=outlook(model, 4), generator=seeded(1))
    assert torch.equal(again.states, drawn.states) and torch.equal(again.codes, drawn.codes)
    assert not torch.equal(
        model.generate(prompt, 5, outlook=outlook(model, 4, 7), generator=seeded(1)).states, drawn.states
    )


@both_predictions
def test_the_likeliest_coefficients_are_those_that_are_expected(prediction):
    model = gpt(prediction=prediction, **GUESSED)
    drawn = model.generate(sequences(4, 2), 9, outlook=outlook(model, 4), temperature=0)
    torch.testing.assert_close(drawn.states, drawn.expected, rtol=1e-3, atol=1e-4)


@both_predictions
@pytest.mark.parametrize("how", [{}, {"temperature": 0.5}, {"top_k": 2}, {"network": 0.5}], ids=str)
def test_draws_are_what_is_expected_of_them_on_average(prediction, how):
    """Means over members of both are the same, within 5 standard errors, whatever the network says."""
    model, members = gpt(prediction=prediction, **GUESSED), 3000
    one = outlook(model, 1)
    drawn = model.generate(
        sequences(1, 1).expand(members, -1, -1, -1), 3, outlook=one.members(members), generator=seeded(1), **how
    )
    apart = drawn.states - drawn.expected
    assert (apart.mean(0).abs() < 5 * apart.std(0) / members**0.5).all()
    assert (drawn.expected.mean(0) - one.mean[:, :1]).abs().max() > 0.01, "the network speaks"


@both_predictions
def test_without_the_network_the_outlook_is_expected(prediction):
    """Of the codes that are drawn the network need not say anything, and nothing of it matters."""
    model, other = gpt(prediction=prediction, **GUESSED), gpt(prediction=prediction, **GUESSED)
    with torch.no_grad():
        for layer in other.layers:
            layer.out.weight.fill_(torch.nan)
    one = outlook(model, 4)
    for temperature in (0.7, 1.0):
        first, second = (
            each.generate(sequences(4, 1), 8, outlook=one, network=0.0, temperature=temperature, generator=seeded(1))
            for each in (model, other)
        )
        assert torch.equal(first.codes, second.codes) and torch.equal(first.states, second.states)
    found = model.generate(sequences(4, 1), 8, outlook=one, network=0.0, generator=seeded(1)).expected
    torch.testing.assert_close(found, model.first_guess.until(one, 9).mean, rtol=1e-4, atol=1e-5)


def test_without_the_network_errors_are_added_as_they_are():
    """Codes then tell nothing: they are the nearest, and members are no more Gaussian than the errors."""
    model = gpt(**GUESSED)
    one, leads = outlook(model, 4), 9
    errors = torch.randn(4, one.mean.shape[1], COEFFICIENTS, generator=seeded(3)).exp()
    for temperature in (0.0, 0.5, 1.0):
        drawn = model.generate(
            sequences(4, 1),
            leads,
            outlook=one,
            errors=errors,
            network=0.0,
            temperature=temperature,
            generator=seeded(1),
        )
        mean = model.first_guess.until(one, leads + 1).mean
        within = errors.shape[1]
        torch.testing.assert_close(drawn.states[:, :within], mean[:, :within] + temperature**0.5 * errors)
        torch.testing.assert_close(drawn.expected, mean)
        assert drawn.states.shape == mean.shape and drawn.codes.shape[:2] == mean.shape[:2]
        tokens = model.first_guess.to_tokens(drawn.states[2, 5]).unsqueeze(1)  # (P, 1, D)
        nearest = (tokens - model.first_guess.codes[:, 0]).square().sum(-1).argmin(-1)
        assert torch.equal(drawn.codes[2, 5, :, 0], nearest)


def test_past_the_outlook_errors_go_on_as_its_course_says():
    model, members = gpt(**GUESSED), 4000
    one = outlook(model, 1)
    errors = one.std.repeat(members, 1, 1) * torch.randn(members, *one.std.shape[1:], generator=seeded(4))
    drawn = model.generate(
        sequences(1, 1).expand(members, -1, -1, -1), 6, outlook=one.members(members), errors=errors, network=0.0,
        generator=seeded(1),
    )  # fmt: skip
    expected = model.first_guess.until(one, 7)
    assert drawn.states.shape[1] > one.mean.shape[1]
    apart = (drawn.states - expected.mean) / expected.std
    assert (apart.mean(0).abs() < 5 / members**0.5).all()
    assert ((apart.square().mean(0) - 1).abs() < 0.15).all()


def test_an_outlook_is_needed_where_there_is_a_first_guess():
    model = gpt(**GUESSED)
    with pytest.raises(ValueError, match="forecasts from an outlook"):
        model.generate(sequences(1, 1), 2)


# ------------------------------------------------------------------ generation


def generate_and_watch(model: GPT, prompt: torch.Tensor, frames: int, times: torch.Tensor, monkeypatch):
    """The likeliest forecast with its prompt, (b, n, Q), and the hidden states that each token was drawn from."""
    hidden: list[torch.Tensor] = []
    sample = Sampler.__call__

    def watched(sampler, states, *more):
        hidden.append(states.transpose(0, 1))
        return sample(sampler, states, *more)

    monkeypatch.setattr(Sampler, "__call__", watched)
    made = forecast(model, prompt, frames, times)
    return torch.cat([prompt, made], dim=1).flatten(1, 2), torch.cat(hidden, dim=1)


@observations
@all_kinds
def test_generation_sees_what_training_saw(kind, times, monkeypatch):
    """Keys and values that are kept stand for the whole sequence, up to the last token of a training sequence.

    A past bug: token by token, the observed frame had left the cache when the last frame was in the making.
    """
    model, prompt, times = gpt(**kind), sequences(4, len(times)), torch.tensor(times)
    leads, block = SHAPE.leads, model.config.block
    tokens, hidden = generate_and_watch(model, prompt, leads - 1, times, monkeypatch)
    coming = None
    if model.first_guess is not None:
        expected = positions_last(model.coming(model.first_guess.until(outlook(model, 4), leads + 1)), 4)
        silent = torch.zeros_like(expected[:, :1]).expand(-1, 3 * (len(times) - 1), -1)
        coming = torch.cat([silent, expected], dim=1)[:, :-block]
    with torch.no_grad():
        frames = torch.cat([times, torch.arange(leads)])
        whole = model.trunk(tokens[:, :-block], frames, len(times), coming)[:, 3 * len(times) - block :]
    torch.testing.assert_close(hidden, whole, rtol=1e-3, atol=1e-4)


@all_kinds
def test_what_is_likeliest_to_generate_has_the_least_loss(kind):
    """Generation and training agree on what follows: no other last code of a greedy forecast is likelier."""
    model, prompt, times = gpt(**kind), sequences(1, 2), observed(-3, 0)
    drawn = model.generate(prompt, 3, times=times, outlook=outlook(model, 1), temperature=0)
    one = None
    if drawn.states is not None:
        whole = outlook(model, 1)
        one = Given(Outlook(whole.mean[:, :4], whole.std[:, :4]), drawn.states)
    losses = []
    for code in range(5):
        other = torch.cat([prompt, drawn.codes], dim=1)
        other[:, -1, -1, -1] = code
        losses.append(model(other, other[:, 2:], times, one).item())
    assert min(range(5), key=losses.__getitem__) == int(drawn.codes[0, -1, -1, -1])


@observations
@all_kinds
def test_a_forecast_goes_on_past_the_trained_context(kind, times):
    model, prompt, times = gpt(**kind), sequences(2, len(times)), torch.tensor(times)
    made = forecast(model, prompt, 13, times)
    assert made.shape == (2, 14, 3, 2), "the last observed frame, completed, comes first"
    assert set(made.unique().tolist()) <= set(range(5))
    assert torch.equal(forecast(model, prompt, 8, times)[:, :8], made[:, :8]), "a shorter forecast is its beginning"


@both_predictions
def test_the_last_frame_of_a_forecast_is_drawn_as_if_others_followed(prediction):
    """Its tokens see what is expected a frame later, token by token, whether that is asked for or not."""
    model, prompt = gpt(prediction=prediction, **GUESSED), sequences(8, 1)
    assert torch.equal(forecast(model, prompt, 1), forecast(model, prompt, 2)[:, :2])


@both_predictions
def test_past_the_trained_context_the_latest_frames_are_seen(prediction, monkeypatch):
    """With one layer, whose keys hold no memory of older frames: attention to 4 frames and those tokens made so far."""
    model = gpt(prediction=prediction, time_transformer_layers=1, context_frames=4)
    size, block, times = 3, model.config.block, torch.tensor([-4, 0])
    tokens, hidden = generate_and_watch(model, sequences(3, 2), 9, times, monkeypatch)
    frames = torch.cat([times, torch.arange(10)])
    for target in range(2 * size, tokens.shape[1], block):
        place = torch.arange(max(0, target // size - 4) * size, target)
        with torch.no_grad():
            embedded = model.embed(tokens[:, place], int(place[0]), 2)
            rotation = Rotation(frames[int(place[0]) // size :], model.frequencies, size, len(place))
            expected = model.layers[0](embedded, rotation, block)[:, -block:]
        made = hidden[:, target - 2 * size : target - 2 * size + block]
        torch.testing.assert_close(made, expected, rtol=1e-3, atol=1e-4, msg=f"token {target}")


@observations
@all_kinds
def test_a_forecast_never_makes_the_host_wait(kind, times):
    """Draws are not looked at on their way: the host may run ahead of a GPU, past the trained context too."""
    model, prompt = gpt(**kind), sequences(2, len(times))
    one, draws, times = outlook(model, 2), seeded(1), torch.tensor(times)
    with NoWaiting():
        model.generate(prompt, 9, times=times, outlook=one, temperature=0.7, top_k=3, network=0.5, generator=draws)


def test_without_times_there_is_no_gap():
    model, prompt = gpt(), sequences(3, 3)
    assert torch.equal(forecast(model, prompt, 5), forecast(model, prompt, 5, observed(-2, -1, 0)))
    assert not torch.equal(forecast(model, prompt, 5), forecast(model, prompt, 5, observed(-9, -5, 0)))


@all_kinds
def test_the_seed_decides_the_draw(kind):
    model, prompt = gpt(**kind), sequences(3, 1)
    first, again, other = (forecast(model, prompt, 5, temperature=1.0, generator=seeded(seed)) for seed in (7, 7, 8))
    assert torch.equal(again, first) and not torch.equal(other, first)


@all_kinds
def test_members_of_an_ensemble_differ_unless_the_temperature_is_zero(kind):
    model, prompt, one = gpt(**kind), sequences(2, 1), outlook(gpt(**kind), 2)
    how = {"outlook": None if one is None else one.members(4), "generator": seeded(0)}
    hot = forecast(model, members_of(prompt, 4), 5, temperature=1.0, **how).unflatten(0, (2, 4))
    assert all(not torch.equal(hot[:, i], hot[:, j]) for i, j in itertools.combinations(range(4), 2))
    cold = forecast(model, members_of(prompt, 4), 5, **how).unflatten(0, (2, 4))
    assert all(torch.equal(cold[:, member], cold[:, 0]) for member in range(4))
    assert torch.equal(cold[:, 0], forecast(model, prompt, 5)), "members of a case lie side by side"


@all_kinds
def test_a_forecast_does_not_depend_on_the_others_of_its_batch(kind):
    model, prompts = gpt(**kind), sequences(6, 2)
    together, one = forecast(model, prompts, 8), outlook(model, 6)
    for case in range(6):
        alone = slice(case, case + 1)
        mine = forecast(model, prompts[alone], 8, outlook=None if one is None else one[alone])
        assert torch.equal(mine[0], together[case])


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_the_best_of_one_is_the_likeliest(kind):
    model, prompt = gpt(**kind), sequences(3, 1)
    one = model.generate(prompt, 0, outlook=outlook(model, 3), temperature=0).codes
    for how in ({"temperature": 0.5, "top_k": 1}, {"temperature": 3.0, "top_k": 1}, {"temperature": 1e-4}):
        assert torch.equal(forecast(model, prompt, 0, generator=seeded(1), **how), one), "later ones see draws"


@pytest.mark.parametrize("temperature", [0.7, 1.0, 2.0])
@pytest.mark.parametrize("top_k", [0, 2])
def test_codes_are_drawn_as_often_as_they_are_likely(temperature, top_k):
    """Frequencies of the first level against the softmax: within 5 standard errors."""
    model, draws = gpt(), 20_000
    hidden = torch.randn(1, 1, 16, generator=seeded(3))
    with torch.no_grad():
        model.scale.fill_(-1)  # none so likely that the others never come
        logits = model.code_scores().level(0)(hidden[None])[0, 0, 0] / temperature
        sampler = Sampler(model, Draws(temperature, top_k, generator=seeded(0)))
        codes = sampler(hidden.expand(3, draws, 16), 0, None).codes[0, :, 0]
    if top_k:
        logits[logits.argsort()[:-top_k]] = -torch.inf
    chance = logits.softmax(-1)
    share = torch.bincount(codes, minlength=5) / draws
    assert ((share - chance).abs() <= 5 * (chance * (1 - chance) / draws).sqrt()).all()
    assert chance.max() < 0.99


def test_progress_is_told_once_a_frame():
    for prediction in ("next_frame", "next_token"):
        frames: list[int] = []
        gpt(prediction=prediction).generate(sequences(1, 2), 4, progress=frames.append)
        assert frames == [1, 2, 3, 4, 5]


@both_predictions
def test_a_flow_that_repeats_is_learnt_by_heart(prediction):
    """A cycle of 5 frames, started anywhere, goes on for 12 frames, well past the trained context of 5."""
    torch.manual_seed(0)
    cycle = torch.randint(8, (5, 2, 2), generator=seeded(4))
    model = GPT(GPTConfig(2, 2, 8, 4, prediction, 5, 1, 2, 32), torch.randn(1, 2, 8, 4)).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    complete = cycle[(torch.arange(5)[:, None] + torch.arange(5)) % 5]
    whole = torch.cat([complete[:, :1], complete], dim=1)
    for _ in range(60):
        optimizer.zero_grad()
        loss(model, whole, observed()).backward()
        optimizer.step()
    made = forecast(model.eval(), cycle[:, None], 12)
    assert torch.equal(made, cycle[(torch.arange(5)[:, None] + torch.arange(13)) % 5])


@all_kinds
def test_buffers_can_be_sent_to_devices_that_train_together(kind):
    assert [name for name, buffer in gpt(**kind).named_buffers() if not buffer.is_contiguous()] == []
