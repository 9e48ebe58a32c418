"""The continuous control on the index dump of a run: its sequences are the GPT's, and it is trained for forecasts."""

import pytest
import torch

from sparsevq.baselines.networks.continuous import ContinuousConfig, ContinuousTransformer
from sparsevq.baselines.networks.continuous_stage import ContinuousStage, forecast_coefficients, outlook_of
from sparsevq.errors import SparseVQError
from sparsevq.models.groups import group_slots
from sparsevq.runtime.model_file import load_model
from sparsevq.training.stage import train
from tests.chain import REGRESSION, STAGE3, Recorder, fabric


def stage_of(chain, whole_frames=False, **changes):
    settings = STAGE3.model_copy(update=REGRESSION | changes)
    return ContinuousStage(chain.run(), settings, seed=1, fabric=fabric(), whole_frames=whole_frames)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def test_it_sees_the_gpts_sequences_without_codes(guessing):
    stage = stage_of(guessing)
    codes = stage.sequences.codes
    batch = stage.draw(seeded(), 1)[0]
    observed, true = batch.observed, batch.complete
    assert batch.passes == 0 and batch.times.tolist() == [-2, -1, 0]
    _, which, _ = stage.sequences.drawn(stage.batch, seeded(), 1)
    slots = group_slots(codes.groups)
    for row, (variant, trajectory, start) in enumerate(zip(*(part.tolist() for part in which), strict=True)):
        sparse, complete = (
            part[variant, trajectory].flatten(1)[:, slots].float()
            for part in (codes.tokens_sparse, codes.tokens_semi_sparse)
        )
        assert torch.equal(observed[row], sparse[start - 2 : start + 1])
        assert torch.equal(true[row], complete[start : start + 5])
        # They are the coefficients that the outlook is of, in its unit.
        expected = codes.coefficients[variant, trajectory, start : start + 5, : len(slots)].float()
        torch.testing.assert_close(true[row], expected, rtol=2e-3, atol=2e-3)
    assert torch.equal(batch.seen[0], observed) and torch.equal(batch.seen[1], true)
    assert batch.outlook.mean.shape == (stage.batch, 5, codes.coefficients.shape[-1])


def test_noise_is_on_what_it_sees_alone(guessing):
    stage = stage_of(guessing, code_noise=2.0, batch_frames=500)
    batch = stage.draw(seeded(), 0)[0]
    exact = stage_of(guessing, batch_frames=500).draw(seeded(), 0)[0]
    assert torch.equal(batch.complete, exact.complete) and torch.equal(batch.observed, exact.observed)
    for noisy, plain in zip(batch.seen, exact.seen, strict=True):
        apart = (noisy - plain).square().mean((0, 1)).sqrt()
        expected = stage.sequences.noise.flatten()[stage.slots]
        assert ((apart / expected).log().abs() < 0.3).all()


def test_passes_come_with_the_steps(guessing):
    stage = stage_of(guessing, max_steps=1000)
    early, late = (
        [stage.draw(seeded(seed), step)[0].passes for seed in range(40)] for step in (1, 1000)
    )  # fmt: skip
    assert sum(early) <= 3
    assert set(late) == {1, 2, 3}


@pytest.mark.parametrize("whole_frames", [False, True])
def test_training_lowers_the_error_of_validation_forecasts(guessing, tmp_path, whole_frames):
    stage = stage_of(guessing, whole_frames, max_steps=60, val_every=20, lr=3e-3)
    start = stage.validate()["val_loss"]
    tracker = Recorder()
    train(stage, tmp_path, tracker=tracker)
    best = min(row["val_loss"] for row in tracker.rows)
    assert best <= start if not whole_frames else best < 0.9 * start
    file = load_model(tmp_path / "model.safetensors", "baseline")
    module = ContinuousTransformer(ContinuousConfig(**file.shape)).eval()
    file.restore(module)
    codes = stage.sequences.codes
    observed, _, times, outlook = stage.val[-1]
    expected = module.forecast(observed, times, 4, outlook)
    starts = stage.sequences.starts_of(3)
    picks = starts[torch.linspace(0, len(starts) - 1, min(4, len(starts))).round().long()]
    found = forecast_coefficients(module, codes, torch.full_like(picks, int(codes.of("val")[0])), picks, 3, 4)
    torch.testing.assert_close(found, expected + codes.center)


def test_it_begins_as_the_outlook(guessing):
    stage = stage_of(guessing)
    codes = stage.sequences.codes
    trajectory, start = codes.of("test"), torch.full((2,), 2)
    outlook = outlook_of(stage.module.eval(), codes, trajectory, start, 3)
    found = forecast_coefficients(stage.module, codes, trajectory, start, 3, 4)
    torch.testing.assert_close(found, outlook.mean + codes.center, rtol=1e-4, atol=1e-4)


def test_other_tokens_are_refused(trained):
    with pytest.raises(SparseVQError, match=r"tokenizer=groups"):
        ContinuousStage(trained.run(), STAGE3, seed=1, fabric=fabric())
