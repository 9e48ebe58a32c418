"""The GPT: it never looks ahead, its probabilities are probabilities, and generation is what training means."""

import itertools
import math
from dataclasses import replace

import pytest
import torch

from sparsevq.models import first_guess
from sparsevq.models.gpt import GPT, GPTConfig, members_of, unit_codes

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
)

both_predictions = pytest.mark.parametrize("prediction", ["next_frame", "next_token"])
all_kinds = pytest.mark.parametrize(
    "kind",
    [
        {"prediction": prediction, "codebooks": codebooks, "first_guess": first_guess}
        for prediction in ("next_frame", "next_token")
        for codebooks in (1, 3)
        for first_guess in ("none", "quadratic")
    ],
    ids=lambda kind: "-".join(map(str, kind.values())),
)


def gpt(seed: int = 0, **changes) -> GPT:
    """A GPT with weights far from zero, as after training."""
    shape = replace(SHAPE, **changes)
    torch.manual_seed(seed)
    draws = torch.Generator().manual_seed(seed)
    sizes = (shape.codebooks, shape.num_quantizers, shape.num_vq_embeddings, shape.vq_embedding_dim)
    model = GPT(shape, torch.randn(sizes, generator=draws)).eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight += 0.3 * torch.randn(weight.shape, generator=draws)
        if model.first_guess is not None:
            model.first_guess.matrix.normal_(0, 0.3, generator=draws)
            model.first_guess.offset.normal_(generator=draws)
    return model


def sequences(count: int, frames: int, shape: GPTConfig = SHAPE, seed: int = 1) -> torch.Tensor:
    draws = torch.Generator().manual_seed(seed)
    size = (count, frames, shape.tokens_per_frame, shape.num_quantizers)
    return torch.randint(shape.num_vq_embeddings, size, generator=draws)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


# ------------------------------------------------------------------ what a prediction may depend on


def test_a_frames_prediction_depends_on_the_frames_before_it_alone():
    """Block-causal: hidden states of frame f predict frame f + 1, and see all of frame f but nothing later."""
    model, before = gpt(), sequences(2, 5)
    reference = model.trunk(before.flatten(1, 2)).unflatten(1, (5, 3))
    for frame, token, level in itertools.product(range(5), range(3), range(2)):
        other = before.clone()
        other[:, frame, token, level] = (other[:, frame, token, level] + 1) % 5
        change = (model.trunk(other.flatten(1, 2)).unflatten(1, (5, 3)) - reference).abs().amax((0, 3))
        assert change[:frame].sum() == 0
        assert change[frame:].min() > 1e-4, "full attention within the frame, and in every later one"


def test_a_tokens_prediction_depends_on_the_tokens_before_it_alone():
    model, before = gpt(prediction="next_token"), sequences(2, 4).flatten(1, 2)
    reference = model.trunk(before)
    for token in range(12):
        other = before.clone()
        other[:, token] = (other[:, token] + 1) % 5
        change = (model.trunk(other) - reference).abs().amax((0, 2))
        assert change[:token].sum() == 0
        assert change[token:].min() > 1e-5


@all_kinds
def test_probabilities_of_all_possible_next_frames_add_up_to_one(kind):
    """No token or level sees itself or what comes after it: else its own code would be likelier than is honest."""
    kind = {**kind, "codebooks": min(kind["codebooks"], 2), "tokens_per_frame": 2, "num_vq_embeddings": 3}
    model = gpt(**kind)
    prompt = sequences(1, 2, model.config)
    futures = torch.tensor(list(itertools.product(range(3), repeat=4))).view(-1, 1, 2, 2)
    total = 0.0
    with torch.no_grad():
        for future in futures:
            whole = torch.cat([prompt, future[None]], dim=1)
            both = 8 * model(whole, whole)  # the loss is a mean over the 2 x 4 codes of frames 1 and 2
            first = 4 * model(prompt, prompt)
            total += math.exp(first - both)
    assert total == pytest.approx(1, rel=1e-4)


@both_predictions
def test_codes_that_are_all_as_likely_cost_the_logarithm_of_their_number(prediction):
    model = gpt(prediction=prediction)
    with torch.no_grad():
        model.bias.zero_()
        for head in model.heads:
            head[-1].weight.zero_()
            head[-1].bias.zero_()
    whole = sequences(4, 5)
    assert model(whole, whole).item() == pytest.approx(math.log(5), rel=1e-5)


@all_kinds
def test_the_observed_frame_is_given_and_not_scored(kind):
    model, whole = gpt(**kind), sequences(2, 4)
    other = whole.clone()
    other[:, 0] = (other[:, 0] + 1) % 5
    assert model(whole, other) == model(whole, whole)
    other = whole.clone()
    other[:, -1, -1, -1] = (other[:, -1, -1, -1] + 1) % 5
    assert model(whole, other) != model(whole, whole), "the last code of the last frame is scored"


def test_the_observed_frame_is_marked():
    """Its codes come from few sensors: the same codes, observed or forecast, may mean something else."""
    model = gpt()
    same = sequences(1, 1).expand(1, 3, 3, 2).flatten(1, 2)
    with torch.no_grad():
        marked = model.embed(same, 0)
        torch.testing.assert_close(marked[:, :3] - marked[:, 3:6], model.prompt.expand(1, 3, 16))
        torch.testing.assert_close(marked[:, 3:6], marked[:, 6:9])


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
    torch.testing.assert_close(second(whole, whole), first(whole, whole))


@all_kinds
def test_every_weight_learns(kind):
    model, whole = gpt(**kind).train(), sequences(8, 6)
    model(whole, whole).backward()
    assert [name for name, weight in model.named_parameters() if weight.grad is None or not weight.grad.any()] == []


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
    hidden, seen = torch.randn(2, 6, 16, generator=seeded(2)), torch.randn(2, 6, 4, generator=seeded(3))
    normalise, widen, activate, narrow = model.heads[1]
    vector = narrow(activate(widen(normalise(hidden + seen @ model.from_levels.weight.T))))
    expected = vector @ model.codebook[1].T * model.scale[1].exp() + model.bias[1]
    torch.testing.assert_close(model.logits(hidden, seen, 1), expected)


@both_predictions
@pytest.mark.parametrize("first_guess", ["none", "quadratic"])
def test_the_same_codebook_for_each_position_is_one_for_all(prediction, first_guess):
    kind = {"prediction": prediction, "first_guess": first_guess}
    one, each = gpt(**kind), gpt(**kind, codebooks=3)
    weights = one.state_dict()
    each.load_state_dict(
        {name: weights[name].expand_as(weight).clone() for name, weight in each.state_dict().items()}
        | {"codebook": weights["codebook"].expand(3, -1, -1, -1)}
    )
    whole = sequences(3, 5)
    torch.testing.assert_close(each(whole, whole), one(whole, whole))
    prompt = whole[:, 0]
    assert torch.equal(each.generate(prompt, 4, temperature=0), one.generate(prompt, 4, temperature=0))


def test_positions_in_another_order_are_the_same_forecast():
    """Every weight of a position goes with it."""
    model, other = gpt(codebooks=3, first_guess="linear"), gpt(codebooks=3, first_guess="linear")
    order = torch.tensor([2, 0, 1])
    channels = torch.arange(12).view(3, 4)[order].flatten()
    before = torch.cat([channels, 12 + channels])
    weights = model.state_dict()
    for name, weight in weights.items():
        if name == "first_guess.matrix":
            weights[name] = weight[:, before][:, :, channels]
        elif name == "first_guess.log_weight":
            weights[name] = weight[:, order]
        elif name == "first_guess.offset":
            weights[name] = weight[:, channels]
        elif not name.startswith("layers.") and weight.shape[:1] == (3,):
            weights[name] = weight[order]
    other.load_state_dict(weights)
    whole = sequences(4, 5)
    torch.testing.assert_close(other(whole[:, :, order], whole[:, :, order]), model(whole, whole))
    prompt = whole[:, 0]
    made = model.generate(prompt, 8, temperature=0)
    assert torch.equal(other.generate(prompt[:, order], 8, temperature=0), made[:, :, order])


def test_each_position_has_the_scale_of_its_own_codes():
    """Energies of the positions differ by orders; channels that a narrower group pads do not count."""
    codebook = torch.randn(3, 2, 5, 4, generator=seeded(1))
    codebook[1, ..., 2:] = 0
    scaled = unit_codes(codebook * torch.tensor([1e-4, 1.0, 1e3])[:, None, None, None])
    assert scaled[0, 0].var(0).mean().item() == pytest.approx(1, rel=1e-4)
    assert scaled[1, 0, :, :2].var(0).mean().item() == pytest.approx(1, rel=1e-4)
    torch.testing.assert_close(scaled[2], unit_codes(codebook)[2])


# ------------------------------------------------------------------ a first guess


def test_before_any_training_codes_are_as_likely_as_a_gaussian_about_the_guess_says():
    torch.manual_seed(0)
    codebook = torch.randn(3, 2, 5, 4)
    model = GPT(replace(SHAPE, codebooks=3, first_guess="linear"), codebook).eval()
    step, offset, variance = torch.randn(12, 12) / 4, torch.randn(12), torch.rand(3, 12) + 0.5
    matrix = torch.stack([torch.cat([step, torch.zeros(12, 12)])] * 3)
    model.first_guess.set(matrix, offset.expand(3, -1), variance)
    whole = sequences(2, 3)
    with torch.no_grad():
        found = model(whole, whole)
        vectors = model.vectors(whole.flatten(1, 2)).view(2, 3, 3, 2, 4)
        guess = (vectors.sum(-2).flatten(2) @ step + offset).view(2, 3, 3, 4)[:, :-1]
        losses, rest = [], guess
        for level in range(2):
            away = (rest[..., None, :] - model.codebook[:, level]) ** 2 / variance[:2].view(2, 3, 1, 4)
            chance = (-0.5 * away.sum(-1)).log_softmax(-1)
            losses.append(-chance.gather(-1, whole[:, 1:, :, level, None]).mean())
            rest = rest - vectors[:, 1:, :, level]
    torch.testing.assert_close(found, torch.stack(losses).mean())


def test_channels_that_pad_a_group_have_no_regression():
    codebook = torch.randn(3, 2, 5, 4, generator=seeded(1))
    codebook[1, ..., 2:] = 0
    model = GPT(replace(SHAPE, codebooks=3, first_guess="linear"), codebook)
    assert model.first_guess.matrix.shape == (3, 20, 10)
    model.first_guess.offset.fill_(1)
    guess = model.first_guess(torch.zeros(1, 1, 3, 4))[0, 0]
    assert guess.tolist() == [[1, 1, 1, 1], [1, 1, 0, 0], [1, 1, 1, 1]]


def test_a_quadratic_guess_has_the_products_of_the_channels_of_most_energy(monkeypatch):
    monkeypatch.setattr(first_guess, "LEADING", 2)
    codebook = torch.randn(3, 2, 5, 4, generator=seeded(1))
    codebook[2, ..., 1] *= 100
    codebook[0, ..., 3] *= 10
    guess = GPT(replace(SHAPE, codebooks=3, first_guess="quadratic"), codebook).first_guess
    frame = torch.arange(12.0).view(1, 1, 3, 4)
    assert guess.history(frame)[0, 0, 24:].tolist() == [9 * 9, 9 * 3, 3 * 3]
    assert guess.matrix.shape == (3, 27, 12)


# ------------------------------------------------------------------ generation


def generate_and_watch(model: GPT, prompt: torch.Tensor, frames: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The likeliest forecast with its prompt, (b, n, Q), and the hidden states that each token was drawn from."""
    hidden: list[torch.Tensor] = []
    draw = model.sample
    model.sample = lambda states, *given: hidden.append(states) or draw(states, *given)
    made = model.generate(prompt, frames, temperature=0)
    return torch.cat([prompt, made.flatten(1, 2)], dim=1), torch.cat(hidden, dim=1)


@all_kinds
@pytest.mark.parametrize("seed", range(2))
def test_generation_sees_what_training_saw(kind, seed):
    """Keys and values that are kept stand for the whole sequence, up to the last token of a training sequence.

    A past bug: token by token, the observed frame had left the cache when the last frame was in the making.
    """
    model, prompt = gpt(seed, **kind), sequences(4, 1)[:, 0]
    tokens, hidden = generate_and_watch(model, prompt, SHAPE.context_frames)
    block = model.config.block
    with torch.no_grad():
        whole = model.trunk(tokens[:, :-block])[:, 3 - block :]
    torch.testing.assert_close(hidden, whole, rtol=1e-3, atol=1e-4)


@all_kinds
def test_what_is_likeliest_to_generate_has_the_least_loss(kind):
    """Generation and training agree on what follows: no other last code of a greedy forecast is likelier."""
    model, prompt = gpt(**kind), sequences(1, 1)
    made = torch.cat([prompt, model.generate(prompt[:, 0], 4, temperature=0)], dim=1)
    losses = []
    for code in range(5):
        other = made.clone()
        other[:, -1, -1, -1] = code
        losses.append(model(other, other).item())
    assert min(range(5), key=losses.__getitem__) == int(made[0, -1, -1, -1])


@all_kinds
def test_a_forecast_goes_on_past_the_trained_context(kind):
    model, prompt = gpt(**kind), sequences(2, 1)[:, 0]
    made = model.generate(prompt, 14, temperature=0)
    assert made.shape == (2, 14, 3, 2)
    assert set(made.unique().tolist()) <= set(range(5))
    assert torch.equal(model.generate(prompt, 9, temperature=0), made[:, :9]), "a shorter forecast is its beginning"


@both_predictions
def test_past_the_trained_context_the_latest_frames_are_seen(prediction):
    """With one layer, whose keys hold no memory of older frames: attention to 4 frames and those tokens made so far."""
    model = gpt(prediction=prediction, time_transformer_layers=1, context_frames=4)
    size, block = 3, model.config.block
    tokens, hidden = generate_and_watch(model, sequences(3, 1)[:, 0], 9)
    for target in range(size, tokens.shape[1], block):
        place = torch.arange(max(0, target // size - 4) * size, target)
        with torch.no_grad():
            causal = place[:, None] // block >= place[None] // block
            embedded = model.embed(tokens[:, place], int(place[0]))
            expected = model.layers[0](embedded, place // size, causal)[:, -block:]
        made = hidden[:, target - size : target - size + block]
        torch.testing.assert_close(made, expected, rtol=1e-3, atol=1e-4, msg=f"token {target}")


@both_predictions
def test_the_seed_decides_the_draw(prediction):
    model, prompt = gpt(prediction=prediction), sequences(3, 1)[:, 0]
    first = model.generate(prompt, 5, generator=seeded(7))
    assert torch.equal(model.generate(prompt, 5, generator=seeded(7)), first)
    assert not torch.equal(model.generate(prompt, 5, generator=seeded(8)), first)


@both_predictions
def test_members_of_an_ensemble_differ_unless_the_temperature_is_zero(prediction):
    model, prompt = gpt(prediction=prediction), sequences(2, 1)[:, 0]
    hot = model.generate(members_of(prompt, 4), 5, generator=seeded(0)).unflatten(0, (2, 4))
    assert all(not torch.equal(hot[:, i], hot[:, j]) for i, j in itertools.combinations(range(4), 2))
    cold = model.generate(members_of(prompt, 4), 5, temperature=0, generator=seeded(0)).unflatten(0, (2, 4))
    assert all(torch.equal(cold[:, member], cold[:, 0]) for member in range(4))
    assert torch.equal(cold[:, 0], model.generate(prompt, 5, temperature=0)), "members of a case lie side by side"


@all_kinds
def test_a_forecast_does_not_depend_on_the_others_of_its_batch(kind):
    model, prompts = gpt(**kind), sequences(6, 1)[:, 0]
    together = model.generate(prompts, 8, temperature=0)
    for case in range(6):
        assert torch.equal(model.generate(prompts[case : case + 1], 8, temperature=0)[0], together[case])


@pytest.mark.parametrize("temperature", [0.5, 3.0])
def test_the_best_of_one_is_the_likeliest(temperature):
    model, prompt = gpt(), sequences(3, 1)[:, 0]
    greedy = model.generate(prompt, 8, temperature=0)
    assert torch.equal(model.generate(prompt, 8, temperature=temperature, top_k=1, generator=seeded(1)), greedy)
    assert torch.equal(model.generate(prompt, 8, temperature=1e-4, generator=seeded(1)), greedy)


@pytest.mark.parametrize("temperature", [0.7, 1.0, 2.0])
@pytest.mark.parametrize("top_k", [0, 2])
def test_codes_are_drawn_as_often_as_they_are_likely(temperature, top_k):
    """Frequencies of the first level against the softmax: within 5 standard errors."""
    model, draws = gpt(), 20_000
    hidden = torch.randn(1, 1, 16, generator=seeded(3))
    with torch.no_grad():
        model.scale.fill_(-1)  # none so likely that the others never come
        logits = model.logits(hidden, torch.zeros(1, 1, 4), 0)[0, 0] / temperature
        codes = model.sample(hidden.expand(draws, 1, 16), temperature, top_k, seeded(0))[:, 0, 0]
    if top_k:
        logits[logits.argsort()[:-top_k]] = -torch.inf
    chance = logits.softmax(-1)
    share = torch.bincount(codes, minlength=5) / draws
    assert ((share - chance).abs() <= 5 * (chance * (1 - chance) / draws).sqrt()).all()
    assert chance.max() < 0.99


def test_progress_is_told_once_a_frame():
    for prediction in ("next_frame", "next_token"):
        frames: list[int] = []
        gpt(prediction=prediction).generate(sequences(1, 1)[:, 0], 4, progress=frames.append)
        assert frames == [1, 2, 3, 4]


@both_predictions
def test_a_flow_that_repeats_is_learnt_by_heart(prediction):
    """A cycle of 5 frames, started anywhere, goes on for 12 frames, well past the trained context of 5."""
    torch.manual_seed(0)
    cycle = torch.randint(8, (5, 2, 2), generator=seeded(4))
    model = GPT(GPTConfig(2, 2, 8, 4, prediction, 5, 1, 2, 32), torch.randn(1, 2, 8, 4)).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    whole = cycle[(torch.arange(5)[:, None] + torch.arange(6)) % 5]
    for _ in range(60):
        optimizer.zero_grad()
        model(whole, whole).backward()
        optimizer.step()
    made = model.eval().generate(cycle, 12, temperature=0)
    assert torch.equal(made, cycle[(torch.arange(5)[:, None] + 1 + torch.arange(12)) % 5])
