"""Training the GPT: it reads the dump alone, and a sequence is the sparse prompt with what is to follow."""

import csv
import math
import shutil
from types import SimpleNamespace

import pytest
import torch

from sparsevq.config import Stage3Config
from sparsevq.errors import SparseVQError
from sparsevq.models.gpt import GPT, GPTConfig
from sparsevq.runs.codes import Codes, read_codes
from sparsevq.runtime.model_file import load_model
from sparsevq.stage3.sequences import Sequences, observed_counts
from sparsevq.stage3.train import NextCodeLoss, noisy
from tests.chain import STAGE3


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def codes():
    """Two variants, 8 trajectories (5 to train, 2 to validate, 1 to test), 12 frames; an index tells where it is from.

    Of an index, the tens of thousands are 1 for the sparse encoder and 2 for the teacher, then comes the variant, then
    the trajectory, then the frame.
    """
    place = sum(
        scale * torch.arange(size).view(shape)
        for scale, size, shape in ((1000, 2, (2, 1, 1)), (100, 8, (1, 8, 1)), (1, 12, (1, 1, 12)))
    )[..., None, None].expand(2, 8, 12, 3, 2)
    split = ["train"] * 5 + ["val"] * 2 + ["test"]
    both = []
    for scale in (10_000, 20_000):
        mine = place + scale
        mine[1, 5:] = -1
        both.append(mine)
    return Codes(*both, codebook=torch.zeros(1, 2, 30_000, 4), split=split)


def origin(sequences):
    """Where each frame of (b, s, P, Q) comes from; all tokens of a frame agree."""
    assert (sequences == sequences[..., :1, :1]).all()
    flat = sequences[..., 0, 0]
    return SimpleNamespace(
        encoder=flat // 10_000, variant=flat // 1000 % 10, trajectory=flat // 100 % 10, frame=flat % 100
    )


# ------------------------------------------------------------------ sequences


def drawn(codes, rows=500, step=0, **settings):
    return Sequences(codes, STAGE3.model_copy(update=settings)).draw(rows, seeded(), step)


def test_the_prompt_is_the_sparse_encoders_and_what_follows_the_teachers(codes):
    """The last observed frame comes twice: as the sensors see it, and complete."""
    batch = drawn(codes)
    found = origin(batch.codes)
    assert found.encoder.shape == (500, 6)
    assert (found.encoder[:, 0] == 1).all()
    assert (found.encoder[:, 1:] == 2).all()
    assert (found.frame[:, 0] == found.frame[:, 1]).all()
    assert torch.equal(batch.targets, batch.codes[:, 1:]) and batch.inputs is batch.codes
    assert batch.times.tolist() == [0] and batch.given is None


def test_targets_may_be_the_sparse_encoders_own_as_in_the_paper(codes):
    assert (origin(drawn(codes, targets="sparse").codes).encoder == 1).all()


@pytest.mark.parametrize(("most", "counts"), [(1, (1,)), (2, (1, 2)), (3, (1, 3)), (10, (1, 3, 10)), (5, (1, 5))])
def test_numbers_of_observed_frames_are_thirds_of_the_most(most, counts):
    assert observed_counts(most) == counts


def test_numbers_of_observed_frames_take_turns(codes):
    for step, count in enumerate((1, 3, 1, 3)):
        batch = drawn(codes, step=step, observed_frames=3)
        assert batch.times.tolist() == list(range(1 - count, 1))
        found = origin(batch.codes)
        assert (found.encoder == torch.tensor([1] * count + [2] * 5)).all()
        assert (found.frame - found.frame[:, -5:-4] == torch.cat([batch.times, torch.arange(5)])).all()
        starts = set(found.frame[:, count].tolist())
        assert starts == set(range(count - 1, 8)), "with all frames that are observed before"


def test_a_sequence_is_successive_frames_of_one_trajectory_and_variant(codes):
    found = origin(drawn(codes).codes)
    assert (found.frame[:, 1:].diff(dim=1) == 1).all()
    for what in (found.trajectory, found.variant):
        assert (what == what[:, :1]).all()


def test_all_variants_starts_and_training_trajectories_are_drawn_and_no_others(codes):
    found = origin(drawn(codes, 2000).codes)
    assert set(found.trajectory[:, 0].tolist()) == {0, 1, 2, 3, 4}
    assert set(found.variant[:, 0].tolist()) == {0, 1}
    assert set(found.frame[:, 0].tolist()) == set(range(8)), "5 frames of 12 start at 0 ... 7"


@pytest.mark.parametrize(
    ("settings", "starts"),
    [
        ({"freeze_start_on_0": 0}, {0}),
        ({"freeze_start_on_0": 3}, {3}),
        ({"freeze_start_on_0": 3, "observed_frames": 4}, {3}),
        ({"max_X": 2}, {0, 1, 2}),
        ({"max_X": 99}, set(range(8))),
        ({"stage2_frames": 12}, {0}),
    ],
)
def test_start_frames_are_those_that_the_configuration_allows(codes, settings, starts):
    sequences = Sequences(codes, STAGE3.model_copy(update=settings))
    assert set(origin(sequences.draw(1000, seeded()).codes).frame[:, 0].tolist()) == starts
    for batch in sequences.held_out():
        assert set(origin(batch.targets).frame[:, 0].tolist()) <= starts


def test_validation_is_the_same_spread_of_starts_of_each_validation_trajectory(codes):
    one, three = Sequences(codes, STAGE3.model_copy(update={"observed_frames": 3})).held_out()
    for batch, starts in ((one, (0, 2, 5, 7)), (three, (2, 4, 5, 7))):
        found, complete = origin(batch.codes), origin(batch.targets)
        pairs = list(zip(complete.trajectory[:, 0].tolist(), complete.frame[:, 0].tolist(), strict=True))
        assert pairs == [(trajectory, start) for trajectory in (5, 6) for start in starts]
        assert not found.variant.any()
        assert (complete.encoder == 2).all() and (found.encoder[:, : len(batch.times)] == 1).all()
    assert [len(batch.times) for batch in (one, three)] == [1, 3]


def test_a_part_of_a_batch_is_some_of_its_sequences(codes):
    batch = drawn(codes, 10, 1, observed_frames=3)
    part = batch.part(slice(2, 5))
    assert torch.equal(part.codes, batch.codes[2:5]) and torch.equal(part.inputs, batch.inputs[2:5])
    assert torch.equal(part.times, batch.times) and part.targets.shape[1] == 5


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"stage2_frames": 13}, "stage3.stage2_frames=13 is more than the 12 frames of a trajectory: lower it"),
        ({"freeze_start_on_0": 8}, "stage3.freeze_start_on_0=8: sequences of 5 frames start at 7 or before"),
        (
            {"observed_frames": 9},
            "stage3.observed_frames=9 with stage2_frames=5 needs 13 frames .* start, 7: lower one",
        ),
        ({"observed_frames": 4, "max_X": 2}, "stage3.observed_frames=4 .* last allowed start, 2: lower one of them"),
        ({"observed_frames": 2, "freeze_start_on_0": 0}, "stage3.observed_frames=2 .* last allowed start, 0: lower"),
    ],
)
def test_sequences_that_do_not_fit_are_one_line(codes, settings, message):
    with pytest.raises(SparseVQError, match=message):
        Sequences(codes, STAGE3.model_copy(update=settings))


def test_a_dump_without_a_validation_split_is_one_line(codes):
    with pytest.raises(SparseVQError, match="no trajectory of the split val"):
        Sequences(Codes(codes.sparse, codes.semi_sparse, codes.codebook, ["train"] * 8), STAGE3).held_out()


# ------------------------------------------------------------------ noise


def test_without_noise_tokens_are_as_they_are():
    indices = torch.randint(16, (4, 5, 3, 2), generator=seeded())
    assert torch.equal(noisy(indices, 1, 0.0, 16, seeded()), indices)


@pytest.mark.parametrize("observed", [1, 3])
def test_noise_replaces_its_share_of_whole_tokens_after_the_observed_frames(observed):
    indices = torch.full((200, 6, 10, 3), 1000)
    changed = noisy(indices, observed, 0.2, 16, seeded()) != 1000
    assert not changed[:, :observed].any(), "the prompt is what the sensors gave"
    assert torch.equal(changed.any(-1), changed.all(-1)), "all levels of a token or none"
    assert changed[:, observed:].float().mean().item() == pytest.approx(0.2, abs=0.02)
    assert set(noisy(indices, observed, 0.2, 16, seeded())[changed].tolist()) == set(range(16))


# ------------------------------------------------------------------ training


def test_a_gpt_and_its_curves_are_written(trained):
    file = load_model(trained.model("gpt"), "gpt")
    assert file.shape == {
        "tokens_per_frame": 4,
        "num_quantizers": 2,
        "num_vq_embeddings": 16,
        "vq_embedding_dim": 8,
        "prediction": "next_frame",
        "context_frames": 5,
        "time_transformer_layers": 1,
        "time_transformer_heads": 2,
        "time_transformer_dim": 16,
        "dropout": 0.0,
        "codebooks": 1,
        "observed_frames": 1,
        "groups": [],
        "coefficients": 0,
        "regressions": [],
        "flows": [0, 0],
        "refinement": None,
    }
    assert Stage3Config(**file.settings) == STAGE3
    with open(trained.folder / "gpt/history.csv") as history:
        rows = list(csv.DictReader(history))
    assert [row["step"] for row in rows] == ["2", "4"]
    assert list(rows[0]) == ["step", "train_loss", "val_loss", "lr"]


def test_the_dump_is_all_that_is_needed(trained, tmp_path):
    """Copied to a folder of its own, it gives the very same model."""
    alone = shutil.copy(trained.codes_path, tmp_path / "codes.h5")
    out, _ = trained.gpt(tmp_path / "gpt", codes=alone)
    assert (out / "model.safetensors").read_bytes() == trained.model("gpt").read_bytes()


def test_another_seed_gives_another_model(trained, tmp_path):
    out, _ = trained.gpt(tmp_path, seed=2)
    assert (out / "model.safetensors").read_bytes() != trained.model("gpt").read_bytes()


def test_a_gpt_that_is_loaded_is_as_good_as_it_was_at_its_best_validation(trained):
    file, codes = load_model(trained.model("gpt"), "gpt"), read_codes(trained.codes_path)
    gpt = GPT(GPTConfig(**file.shape), codes.codebook)
    file.restore(gpt)
    (val,) = Sequences(codes, STAGE3).held_out()
    with torch.no_grad():
        loss = NextCodeLoss(gpt.eval())(val.codes, val)["loss"].item()
    assert loss == pytest.approx(file.extra["validation"]["val_loss"], rel=1e-5)


def test_the_validation_loss_does_not_depend_on_the_batch(trained, tmp_path):
    """4 sequences in batches of 4, or of 3 and 1."""
    still = {"lr": 1e-30, "max_steps": 1}
    losses = [trained.gpt(tmp_path, batch_frames=frames, **still)[1][0]["val_loss"] for frames in (5, 15, 20, 24, 500)]
    assert losses == pytest.approx([losses[0]] * 5, rel=1e-5)


def test_a_run_may_start_from_another_gpts_weights(trained, tmp_path):
    start = trained.model("gpt")
    trained.gpt(tmp_path, seed=9, start_from=start, lr=1e-30, max_steps=1)
    after = load_model(tmp_path / "model.safetensors", "gpt").weights
    for name, weight in load_model(start, "gpt").weights.items():
        torch.testing.assert_close(after[name], weight, rtol=1e-6, atol=1e-12, msg=name)


@pytest.mark.parametrize(
    "settings",
    [
        {"prediction": "next_token", "observed_frames": 3},
        {"token_noise": 0.3, "dropout": 0.2},
        {"freeze_start_on_0": 0, "targets": "sparse"},
    ],
)
def test_every_kind_of_training_runs(trained, tmp_path, settings):
    _, rows = trained.gpt(tmp_path, **settings)
    assert all(math.isfinite(value) for value in rows[-1].values())


def test_it_learns(trained, tmp_path):
    """From no better than guessing among 16 codes to better than that."""
    _, rows = trained.gpt(tmp_path, lr=1e-2, max_steps=60, val_every=60)
    assert rows[-1]["train_loss"] < 0.8 * math.log(16)
