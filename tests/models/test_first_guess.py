"""The first guess: Gaussians before codes and with them, whose draws have the outlook's mean and variance."""

import math

import pytest
import torch

from sparsevq.models.course import Belief
from sparsevq.models.first_guess import FirstGuess
from sparsevq.models.gpt import GPT, GPTConfig
from sparsevq.models.groups import group_slots
from sparsevq.models.regression import Outlook
from sparsevq.models.residual_codes import codes_sum, residual_codes

SIZES, TOKENS, CHANNELS, LEVELS, CODES, LEADS, COEFFICIENTS = (1, 2, 3), 3, 3, 2, 16, 4, 8
"""Six coefficients in three tokens, two in none."""


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def codebook(seed: int = 0) -> torch.Tensor:
    """(P, Q, K, D), the second level finer; zero where a group is narrower than the widest."""
    used = (torch.arange(CHANNELS) < torch.tensor(SIZES)[:, None]).float()
    sizes = torch.tensor([1.0, 0.4])[:, None, None]
    return torch.randn(TOKENS, LEVELS, CODES, CHANNELS, generator=seeded(seed)) * sizes * used[:, None, None]


def channel(codes: torch.Tensor, slots: torch.Tensor, seed: int = 0) -> tuple[torch.Tensor, ...]:
    """Slope, noise and variance of each level's codes, for standard normal coefficients: as stage 3 measures them."""
    tokens = torch.zeros(2000, TOKENS * CHANNELS)
    tokens[:, slots] = torch.randn(2000, len(slots), generator=seeded(seed))
    left = tokens.view(-1, TOKENS, CHANNELS)
    indices, found = residual_codes(left, codes, beam=2), []
    for level in range(LEVELS):
        code = codes[torch.arange(TOKENS), level, indices[..., level]]
        slope = (code * left).mean(0) / left.square().mean(0).clamp_min(1e-20)
        found.append((slope, (code - slope * left).square().mean(0), code.square().mean(0)))
        left = left - code
    return tuple(torch.stack(parts) for parts in zip(*found, strict=True))


def guess(correlation: float = 0.7) -> FirstGuess:
    codes, slots = codebook(), group_slots(SIZES)
    found = FirstGuess(codes, TOKENS, slots, LEADS, COEFFICIENTS)
    correlations = correlation - 0.1 * torch.rand(LEADS, COEFFICIENTS, generator=seeded(1))
    found.set(*channel(codes, slots), correlations)
    draws = seeded(2)
    propagator = 0.3 * torch.randn(COEFFICIENTS, COEFFICIENTS, generator=draws)
    found.continue_by(
        propagator, 0.1 + 0.1 * torch.rand(COEFFICIENTS, generator=draws), torch.full((COEFFICIENTS,), 1.5)
    )
    return found


def outlook(count: int = 2, leads: int = LEADS) -> Outlook:
    draws = seeded(3)
    size = (count, leads, COEFFICIENTS)
    return Outlook(0.7 * torch.randn(size, generator=draws), 0.2 + 0.8 * torch.rand(size, generator=draws))


def belief(count: int = 5) -> Belief:
    """Of tokens, position by position: (P, count, D)."""
    draws = seeded(4)
    size = (TOKENS, count, CHANNELS)
    return Belief(torch.randn(size, generator=draws), 0.1 + torch.rand(size, generator=draws))


# ------------------------------------------------------------------ before the codes


def test_errors_of_all_lead_times_have_the_outlooks_std_and_the_correlation():
    """Draws one after the other, an autoregressive process: within 5 standard errors."""
    model, one = guess(), outlook(1)
    members, states = 20_000, []
    many = one.members(members)
    for lead in range(LEADS):
        before = model.belief(many, lead, states[-1] if states else None)
        states.append(before.draw(seeded(lead), 1.0))
    apart = (torch.stack(states, 1) - one.mean) / one.std
    bound = 5 / math.sqrt(members)
    assert apart.mean(0).abs().max() < bound
    assert (apart.square().mean(0) - 1).abs().max() < math.sqrt(2) * bound
    product = (apart[:, 1:] * apart[:, :-1]).mean(0)
    assert (product - model.correlation[1:]).abs().max() < math.sqrt(2) * bound


def test_beliefs_of_all_lead_times_at_once_are_those_of_each():
    model, given = guess(), outlook(3)
    states = torch.randn(3, LEADS, COEFFICIENTS, generator=seeded(5))
    together = model.beliefs(given, states)
    for lead in range(LEADS):
        alone = model.belief(given, lead, states[:, lead - 1] if lead else None)
        torch.testing.assert_close(together.mean[:, lead], alone.mean)
        torch.testing.assert_close(together.variance[:, lead], alone.variance)


def test_a_belief_never_looks_ahead():
    model, given = guess(), outlook(3)
    states = torch.randn(3, LEADS, COEFFICIENTS, generator=seeded(5))
    before = model.beliefs(given, states)
    for lead in range(LEADS):
        other = states.clone()
        other[:, lead] += 1
        change = (model.beliefs(given, other).mean - before.mean).abs().amax((0, 2))
        assert change.nonzero()[:, 0].tolist() == ([lead + 1] if lead + 1 < LEADS else []), "the next one alone"


def test_an_outlook_is_continued_by_the_propagator_and_less_and_less_sure():
    model, given = guess(), outlook()
    longer = model.until(given, LEADS + 6)
    assert longer.mean.shape == longer.std.shape == (2, LEADS + 6, COEFFICIENTS)
    assert torch.equal(longer.mean[:, :LEADS], given.mean) and torch.equal(longer.std[:, :LEADS], given.std)
    for lead in range(LEADS, LEADS + 6):
        torch.testing.assert_close(longer.mean[:, lead], longer.mean[:, lead - 1] @ model.propagator)
    later = longer.std[:, LEADS - 1 :]
    assert (later.diff(dim=1) >= 0).all()
    far = model.until(given, LEADS + 100).std[:, -1]
    torch.testing.assert_close(far, model.spread.sqrt().expand(2, -1), msg="no less sure than without readings")


@pytest.mark.parametrize("frames", [1, LEADS - 1, LEADS])
def test_a_shorter_outlook_is_its_beginning(frames):
    given = outlook()
    shorter = guess().until(given, frames)
    assert torch.equal(shorter.mean, given.mean[:, :frames]) and torch.equal(shorter.std, given.std[:, :frames])


def test_a_draw_without_temperature_is_the_mean_and_its_variance_is_in_proportion():
    one = Belief(torch.ones(50_000, 2), torch.tensor([1.0, 4.0]).expand(50_000, 2))
    assert torch.equal(one.draw(seeded(), 0), one.mean)
    found = one.draw(seeded(), 0.5).var(0) / torch.tensor([0.5, 2.0])
    assert (found - 1).abs().max() < 5 * math.sqrt(2 / 50_000)


# ------------------------------------------------------------------ with codes


def test_coefficients_are_laid_out_as_tokens():
    model = guess()
    tokens = model.to_tokens(torch.arange(1.0, 9.0), fill=-1)
    assert tokens.tolist() == [[1, -1, -1], [2, 3, -1], [4, 5, 6]]
    before = Belief(torch.zeros(1, COEFFICIENTS), torch.ones(1, COEFFICIENTS))
    known = model.drawn(before, Belief(tokens[:, None], tokens[:, None]))
    assert known.mean.tolist() == [[1, 2, 3, 4, 5, 6, 0, 0]], "coefficients in no token are as they were believed"
    assert known.variance.tolist() == [[1, 2, 3, 4, 5, 6, 1, 1]]
    assert not before.mean.any(), "what was believed before is left as it is"


def expectations(model: FirstGuess, before: Belief) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and variance of coefficients over the first level's codes by their chances, (P, b, D) each."""
    seen = torch.zeros_like(before.mean)
    scores = model.level(0).scores(before, seen)
    chance = scores.softmax(-1)[..., None]  # (P, b, K, 1)
    codes = model.codes[:, 0].transpose(0, 1)[:, :, None].expand(-1, -1, seen.shape[1], -1)  # (K, P, b, D)
    after = [model.level(0).update(before, scores, code) for code in codes]
    means, variances = (torch.stack([getattr(part, name) for part in after], 2) for name in ("mean", "variance"))
    assert (variances <= before.variance[:, :, None] * (1 + 1e-6)).all()
    mean = (chance * means).sum(2)
    return mean, (chance * (variances + means.square())).sum(2) - mean.square()


@pytest.mark.parametrize("sharpness", [1.0, 0.3, 0.03])
def test_codes_keep_mean_and_variance_in_expectation(sharpness):
    """Exactly, over the codes by their chances: E m' = m and E v' + Var m' = v, where codes leave something open."""
    model, before = guess(), belief()
    model.noise[:] += 0.3 * (model.slope > 0)
    model.trust[:] = 0.5
    model.log_sharpness.data.fill_(math.log(sharpness))
    mean, variance = expectations(model, before)
    torch.testing.assert_close(mean, before.mean, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(variance, before.variance, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("sharpness", [1.0, 0.1])
def test_codes_that_are_fine_or_unsharp_keep_mean_and_variance_too(sharpness):
    """Chances may be wider than the channel's Gaussian (a gap between codes, heavy tails): a^2 Var_p c reaches v."""
    model, before = guess(), belief()
    model.log_sharpness.data.fill_(math.log(sharpness))
    mean, variance = expectations(model, before)
    torch.testing.assert_close(mean, before.mean, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(variance, before.variance, rtol=1e-4, atol=1e-5)


def test_codes_tell_more_of_what_is_less_known():
    model, mean = guess(), torch.zeros(TOKENS, 1, CHANNELS)
    left = []
    for variance in (1e-4, 1.0):
        before = Belief(mean, torch.full_like(mean, variance))
        scores = model.level(0).scores(before, torch.zeros_like(mean))
        after = model.level(0).update(before, scores, model.codes[:, 0, 3][:, None])
        left.append((after.variance / before.variance).flatten()[model.slots])
    assert (left[0] > 0.95).all() and (left[1] < 0.6).all()


def test_chances_are_the_channels():
    """Bayes with the code as a noisy reading, over the codes' density, where no network has spoken."""
    model, before, level = guess(), belief(), 1
    seen = torch.randn(TOKENS, 5, CHANNELS, generator=seeded(6))
    scores = model.level(level).scores(before, seen)
    for token, size in enumerate(SIZES):
        codes = model.codes[token, level, :, :size]
        slope, noise = model.slope[level, token, :size], model.noise[level, token, :size]
        about = slope * (before.mean - seen)[token, :, :size]
        variance = slope.square() * before.variance[token, :, :size] + noise
        log = -0.5 * ((codes - about[:, None]).square() / variance[:, None]).sum(-1) + model.density[token, level]
        torch.testing.assert_close(scores[token].log_softmax(-1), log.log_softmax(-1), rtol=1e-4, atol=1e-4)


def test_without_an_outlook_codes_are_all_as_likely():
    """About 0 with the variance that the codes have: their density is that of a Gaussian."""
    model = guess()
    slopes, noises, spreads = channel(codebook(), model.slots)
    used = spreads > 0
    variance = ((spreads - noises) / slopes.square().clamp_min(1e-12))[0]
    before = Belief(torch.zeros(TOKENS, 1, CHANNELS), torch.where(used[0], variance, 1.0)[:, None])
    scores = model.level(0).scores(before, torch.zeros(TOKENS, 1, CHANNELS))
    torch.testing.assert_close(scores.softmax(-1), torch.full_like(scores, 1 / CODES), rtol=1e-3, atol=1e-4)


def test_channels_that_pad_a_group_do_not_matter():
    model, before = guess(), belief()
    seen = torch.randn(TOKENS, 5, CHANNELS, generator=seeded(6))
    padding = torch.ones(TOKENS * CHANNELS, dtype=torch.bool)
    padding[model.slots] = False
    padding = padding.view(TOKENS, 1, CHANNELS).expand(-1, 5, -1)
    other = Belief(before.mean + 1e3 * padding, before.variance * (1 + 1e3 * padding))
    for level in range(LEVELS):
        scores = model.level(level).scores(before, seen)
        assert torch.equal(model.level(level).scores(other, seen + 7 * padding), scores)
        code = model.codes[:, level, 2][:, None].expand(-1, 5, -1)
        one, two = (model.level(level).update(part, scores, code) for part in (before, other))
        assert torch.equal(one.mean[~padding], two.mean[~padding])
        assert torch.equal(one.variance[~padding], two.variance[~padding])
        assert torch.equal(one.mean[padding], before.mean[padding]), "nothing is learned of them"


def test_channels_without_spread_leave_all_finite():
    """A mode that never moves: all its codes are 0, and so are its slope, noise and variance."""
    codes, slots = codebook(), group_slots(SIZES)
    codes[1] = 0
    model = FirstGuess(codes, TOKENS, slots, LEADS, COEFFICIENTS)
    model.set(*channel(codes, slots), torch.full((LEADS, COEFFICIENTS), 0.5))
    before = Belief(torch.zeros(TOKENS, 2, CHANNELS), torch.full((TOKENS, 2, CHANNELS), 1e-12))
    scores = model.level(0).scores(before, torch.zeros(TOKENS, 2, CHANNELS))
    after = model.level(0).update(before, scores, model.codes[:, 0, 0][:, None].expand(-1, 2, -1))
    assert all(part.isfinite().all() for part in (scores, after.mean, after.variance))
    assert (scores[1] == scores[1, :, :1]).all()
    assert (after.variance > 0).all()


def test_tokens_of_a_frame_may_come_one_by_one():
    """What is believed of one position's codes is that of the position among all."""
    model, before = guess(), belief()
    seen = torch.randn(TOKENS, 5, CHANNELS, generator=seeded(6))
    code = model.codes[:, 1, 3][:, None].expand(-1, 5, -1)
    scores = model.level(1).scores(before, seen)
    after = model.level(1).update(before, scores, code)
    for token in range(TOKENS):
        one = slice(token, token + 1)
        alone, level = Belief(before.mean[one], before.variance[one]), model.level(1).at(token, 1)
        mine = level.scores(alone, seen[one])
        torch.testing.assert_close(mine, scores[one], rtol=1e-4, atol=1e-5)
        known = level.update(alone, mine, code[one])
        torch.testing.assert_close(known.mean, after.mean[one], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(known.variance, after.variance[one], rtol=1e-4, atol=1e-5)


def test_one_codebook_for_all_positions_is_the_same_for_each():
    shared, slots = torch.randn(1, LEVELS, CODES, CHANNELS, generator=seeded()), group_slots((3, 3, 3))
    one = FirstGuess(shared, TOKENS, slots, LEADS, 9)
    each = FirstGuess(shared.expand(TOKENS, -1, -1, -1), TOKENS, slots, LEADS, 9)
    each.load_state_dict(one.state_dict())
    before, seen = belief(), torch.zeros(TOKENS, 5, CHANNELS)
    scores = one.level(0).scores(before, seen)
    torch.testing.assert_close(each.level(0).scores(before, seen), scores)
    code = shared[0, 0, 3].expand(TOKENS, 5, -1)
    torch.testing.assert_close(
        each.level(0).update(before, scores, code).mean, one.level(0).update(before, scores, code).mean
    )


def test_scores_are_float32_whatever_the_precision_around():
    model, before = guess(), belief()
    seen = torch.zeros(TOKENS, 5, CHANNELS)
    expected = model.level(0).scores(before, seen)
    with torch.autocast("cpu", torch.bfloat16):
        found = model.level(0).scores(before, seen)
    assert found.dtype == torch.float32 and torch.equal(found, expected)


# ------------------------------------------------------------------ draws of a GPT that has learned nothing


def untrained(prediction: str) -> GPT:
    torch.manual_seed(0)
    config = GPTConfig(
        tokens_per_frame=TOKENS,
        num_quantizers=LEVELS,
        num_vq_embeddings=CODES,
        vq_embedding_dim=CHANNELS,
        prediction=prediction,
        context_frames=LEADS,
        time_transformer_layers=1,
        time_transformer_heads=1,
        time_transformer_dim=8,
        codebooks=TOKENS,
        groups=SIZES,
        coefficients=COEFFICIENTS,
        regressions=((1, 2, 2, 4, LEADS, COEFFICIENTS, 3),),
        flows=(2, 6),
    )
    found = GPT(config, codebook()).eval()
    found.first_guess.load_state_dict(guess().state_dict())
    found.first_guess.trust[:] = 0.5  # so that codes leave something open everywhere
    return found


@pytest.mark.parametrize("prediction", ["next_frame", "next_token"])
def test_draws_before_training_have_the_outlooks_mean_and_std(prediction):
    """Whatever the finite codebook: within 5 standard errors, for each coefficient and lead time, past the last too."""
    model, members, frames = untrained(prediction), 4000, LEADS + 1
    one = outlook(1)
    prompt = torch.zeros(members, 1, TOKENS, LEVELS, dtype=torch.long)
    drawn = model.generate(prompt, frames, outlook=one.members(members), generator=seeded(1))
    assert drawn.states.shape == (members, frames + 1, COEFFICIENTS)
    expected = model.first_guess.until(one, frames + 1)
    apart = (drawn.states - expected.mean) / expected.std
    bound = 5 / math.sqrt(members)
    assert apart.mean(0).abs().max() < bound
    # Draws by codes have other tails than Gaussians: their own fourth moment says how exact a variance is.
    error = (apart.pow(4).mean(0) - 1).sqrt()
    assert ((apart.square().mean(0) - 1).abs() < bound * error).all()


def test_draws_are_near_their_codes():
    """What the codes say of a frame is what the coefficients are, to the codebook's noise and the outlook's."""
    model, members = untrained("next_frame"), 2000
    model.first_guess.trust[:] = 1
    drawn = model.generate(
        torch.zeros(members, 1, TOKENS, LEVELS, dtype=torch.long),
        1,
        outlook=outlook(1).members(members),
        generator=seeded(1),
    )
    sums = codes_sum(drawn.codes[:, 0], codebook()).flatten(1)[:, model.first_guess.slots]
    states = drawn.states[:, 0, : sum(SIZES)]
    correlation = torch.corrcoef(torch.cat([sums, states], dim=1).T).diagonal(sum(SIZES))
    assert (correlation > 0.3).all()


def test_noise_of_innovations_makes_the_path_of_the_errors():
    """Where codes say nothing, a member goes from the outlook as the errors do that its noise is from."""
    guess = FirstGuess(torch.zeros(2, 1, 4, 3), 2, torch.arange(6), leads=4, coefficients=8)
    guess.correlation.copy_(torch.rand(4, 8, generator=torch.Generator().manual_seed(0)))
    guess.correlation[0] = 0
    draws = torch.Generator().manual_seed(1)
    outlook = Outlook(torch.randn(3, 4, 8, generator=draws), 0.5 + torch.rand(3, 4, 8, generator=draws))
    errors = torch.randn(3, 4, 8, generator=draws)
    noise, state = guess.innovations(errors, outlook), None
    for lead in range(4):
        state = guess.belief(outlook, lead, state).draw(None, 1.0, noise[:, lead])
        torch.testing.assert_close(state, outlook.mean[:, lead] + errors[:, lead])
