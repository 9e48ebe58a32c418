"""What the GPT's first guess is made of: regressions on training windows, and what codes tell of coefficients."""

import math
from dataclasses import replace

import pytest
import torch

from sparsevq.errors import SparseVQError
from sparsevq.models.gpt import GPT, GPTConfig
from sparsevq.models.regression import Regression
from sparsevq.models.residual_codes import codes_sum
from sparsevq.runs.codes import read_codes
from sparsevq.runtime.model_file import load_model
from sparsevq.stage3.regression import learn_regressions, set_first_guess
from sparsevq.stage3.sequences import Sequences
from sparsevq.stage3.train import cross_entropy, gpt_config
from tests.chain import REGRESSION, STAGE3


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def codes(guessing):
    return read_codes(guessing.codes_path)


def learned(codes, **settings):
    settings = STAGE3.model_copy(update=REGRESSION | settings)
    sequences = Sequences(codes, settings)
    learn_regressions(sequences, settings, seed=0)
    return sequences


def with_guess(sequences, **settings):
    torch.manual_seed(0)
    gpt = GPT(gpt_config(sequences, STAGE3.model_copy(update=REGRESSION | settings)), sequences.codes.codebook)
    set_first_guess(gpt, sequences)
    return gpt.eval()


# ------------------------------------------------------------------ regressions


def test_windows_come_from_training_trajectories_alone(codes):
    sequences = learned(codes, guess_examples=10**6)
    assert list(sequences.learned) == [1, 3]
    for count, found in sequences.learned.items():
        variant, trajectory, start = found.where.T
        assert set(trajectory.tolist()) == {0, 1, 2, 3} and set(variant.tolist()) == {0, 1}
        assert set(start.tolist()) == set(range(count - 1, 6)), "5 of 10 frames start at 5 or before"
        assert len(found.where) == len(found.where.unique(dim=0)) == 2 * 4 * (7 - count)


@pytest.mark.parametrize(
    ("settings", "starts"),
    [({"max_X": 3}, {0, 1, 2, 3}), ({"freeze_start_on_0": 4}, {4}), ({"freeze_start_on_0": 0}, {0})],
)
def test_windows_start_where_sequences_may(codes, settings, starts):
    found = learned(codes, observed_frames=1, **settings).learned[1]
    assert set(found.where[:, 2].tolist()) == starts


def test_no_more_windows_than_asked_for(codes):
    assert [len(found.where) for found in learned(codes, guess_examples=17).learned.values()] == [17, 17]


def test_outlooks_of_training_windows_are_by_the_other_trajectories(codes):
    """What a trajectory's coefficients are does not matter for them: only its own errors do."""
    sequences = learned(codes)
    found = sequences.learned[1]
    outlook = found.outlook(torch.arange(len(found.where)))
    own = found.regression(sequences.readings(*found.where.unbind(-1), 1))
    true = sequences.coefficients(*found.where.unbind(-1))
    assert (own.mean - true).square().mean() < (outlook.mean - true).square().mean(), "it knows its own windows"
    assert (outlook.std.square().mean() / (outlook.mean - true).square().mean()).item() == pytest.approx(1, abs=0.05)


def test_training_draws_windows_with_their_outlooks(codes):
    sequences = learned(codes)
    for step, count in enumerate((1, 3)):
        batch = sequences.draw(50, seeded(), step)
        assert len(batch.times) == count and batch.codes.shape[:2] == (50, count + 5)
        found = sequences.learned[count]
        variant, trajectory, start = found.where.unbind(-1)
        every = found.outlook(torch.arange(len(found.where)))
        true, whole = sequences.coefficients(variant, trajectory, start), sequences.take(*found.where.unbind(-1), count)
        for row in range(50):
            same = (every.mean == batch.given.outlook.mean[row]).flatten(1).all(1).nonzero()[:, 0]
            assert len(same) == 1
            assert torch.equal(batch.given.outlook.std[row], every.std[same[0]])
            assert torch.equal(batch.given.states[row], true[same[0]])
            assert torch.equal(batch.codes[row], whole[same[0]])
        part = batch.part(slice(3, 5))
        assert torch.equal(part.given.outlook.std, batch.given.outlook.std[3:5])
        assert torch.equal(part.given.states, batch.given.states[3:5])


def test_readings_and_coefficients_are_those_of_the_dump(codes):
    sequences = learned(codes)
    one, start = torch.tensor([1]), torch.tensor([4])
    assert torch.equal(sequences.readings(one, one, start, 3)[0], codes.readings[1, 1, 2:5].flatten())
    assert torch.equal(sequences.coefficients(one, one, start)[0], codes.coefficients[1, 1, 4:9].float())


def test_validation_is_by_the_regressions_of_the_gpt(codes):
    sequences = learned(codes)
    gpt = with_guess(sequences)
    for batch, count in zip(sequences.held_out("val", gpt.outlooks), (1, 3), strict=True):
        assert len(batch.times) == count
        plain = next(one for one in sequences.held_out() if len(one.times) == count)
        assert plain.given is None and torch.equal(plain.codes, batch.codes)
        starts = sequences.starts_of(count)[torch.linspace(0, 6 - count, 4).round().long()]
        where = torch.zeros(4, dtype=torch.long), torch.full((4,), 4), starts
        expected = sequences.learned[count].regression(sequences.readings(*where, count))
        torch.testing.assert_close(batch.given.outlook.mean, expected.mean)
        assert torch.equal(batch.given.states, sequences.coefficients(*where))


# ------------------------------------------------------------------ numbers of the first guess


def test_a_gpt_holds_the_regressions_and_the_training_flows(codes):
    sequences = learned(codes)
    gpt = with_guess(sequences)
    assert gpt.outlooks.counts == (1, 3)
    for count, found in sequences.learned.items():
        own = gpt.outlooks.own[str(count)]
        assert isinstance(own, Regression) and own.sizes == found.regression.sizes
        assert all(torch.equal(part, own.state_dict()[name]) for name, part in found.regression.state_dict().items())
    assert torch.equal(gpt.outlooks.flows, codes.coefficients[:, :4].flatten(0, 1))
    assert gpt.outlooks.trajectory.tolist() == [0, 1, 2, 3] * 2
    assert torch.equal(gpt.outlooks.center, codes.center)


def test_numbers_of_codes_are_finite_and_in_range(codes):
    guess = with_guess(learned(codes)).first_guess
    assert all(part.isfinite().all() for part in guess.state_dict().values())
    assert (guess.noise > 0).all() and (guess.slope <= 1.5).all() and (guess.slope >= 0).all()
    assert not guess.correlation[0].any() and (guess.correlation.abs() < 1).all()
    assert (guess.log_sharpness <= 0).all()


def test_before_any_step_it_is_better_than_guessing(codes):
    sequences = learned(codes)
    gpt = with_guess(sequences)
    loss = cross_entropy(gpt, sequences.held_out("val", gpt.outlooks), 100)
    assert loss < 0.95 * math.log(8)


def test_a_second_time_all_is_the_same(codes):
    first, second = (with_guess(learned(codes)).state_dict() for _ in range(2))
    assert all(torch.equal(part, second[name]) for name, part in first.items())


def test_a_gpt_without_a_first_guess_is_left_as_it_is(codes):
    sequences = Sequences(codes, STAGE3)
    gpt = GPT(gpt_config(sequences, STAGE3), codes.codebook)
    before = {name: part.clone() for name, part in gpt.state_dict().items()}
    set_first_guess(gpt, sequences)
    assert gpt.first_guess is None and gpt.outlooks is None
    assert all(torch.equal(part, before[name]) for name, part in gpt.state_dict().items())


# ------------------------------------------------------------------ training


def test_it_is_trained_saved_and_read_like_any_other(guessing, codes):
    file = load_model(guessing.model("gpt"), "gpt")
    assert file.shape["groups"] == list(codes.groups)
    assert [regression[0] for regression in file.shape["regressions"]] == [1, 3]
    assert file.shape["context_frames"] == 7 and file.shape["observed_frames"] == 3
    gpt = GPT(GPTConfig(**file.shape), codes.codebook)
    file.restore(gpt)
    settings = STAGE3.model_copy(update=REGRESSION)
    val = Sequences(codes, settings).held_out("val", gpt.outlooks)
    loss = cross_entropy(gpt.eval(), val, 100)
    assert loss == pytest.approx(file.extra["validation"]["val_loss"], rel=1e-4)
    drawn = gpt.generate(val[1].codes[:, :3], 9, outlook=val[1].given.outlook, generator=seeded())
    assert drawn.codes.shape[:2] == (4, 10) and drawn.states.isfinite().all()


def test_a_trained_gpt_completes_near_the_truth(guessing, codes):
    """Lead time 0 by its own codes: better than none, which is the mean of the flows."""
    file = load_model(guessing.model("gpt"), "gpt")
    gpt = GPT(GPTConfig(**file.shape), codes.codebook)
    file.restore(gpt)
    (one, _) = Sequences(codes, STAGE3.model_copy(update=REGRESSION)).held_out("test", gpt.outlooks)
    drawn = gpt.eval().generate(one.codes[:, :1], 0, outlook=one.given.outlook, temperature=0)
    true = one.given.states[:, :1]
    assert (drawn.states - true).square().sum() < 0.5 * true.square().sum()
    vectors = codes_sum(drawn.codes, codes.codebook)
    tokens = gpt.first_guess.to_tokens(true).movedim(0, -2)
    assert (vectors - tokens).square().sum() < tokens.square().sum()


@pytest.mark.parametrize("settings", [{"prediction": "next_token"}, {"code_noise": 1.0}, {"freeze_start_on_0": 2}])
def test_every_kind_of_training_runs(guessing, tmp_path, settings):
    _, rows = guessing.gpt(tmp_path, **REGRESSION | settings)
    assert all(math.isfinite(value) for value in rows[-1].values())


# ------------------------------------------------------------------ faults


def test_a_dump_without_readings_is_one_line(codes):
    bare = replace(codes, readings=None, coefficients=None, center=None)
    with pytest.raises(
        SparseVQError, match=r"stage3\.first_guess=regression: the index dump has no readings"
    ) as caught:
        learned(bare)
    assert "\n" not in str(caught.value)


def test_two_training_trajectories_are_needed(codes):
    alone = replace(codes, split=["train", *["test"] * 3, *codes.split[4:]])
    with pytest.raises(SparseVQError, match="needs two training trajectories"):
        learned(alone)
