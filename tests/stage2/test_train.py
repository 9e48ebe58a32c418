"""Training the tokenizer: codes start when they should, the teacher is the target and stays as it is."""

import csv
import math

import pytest
import torch

from sparsevq.config import Stage2Config
from sparsevq.data.device_fields import Views
from sparsevq.errors import SparseVQError
from sparsevq.runtime.files import digest
from sparsevq.runtime.model_file import load_model
from sparsevq.stage1.encoding import load_stage1
from sparsevq.stage1.model import decode_everywhere, encode_views
from sparsevq.stage2 import latents
from sparsevq.stage2 import train as stage2
from sparsevq.stage2.dump import load_tokenizer
from sparsevq.stage2.train import CompletionLoss, TokenizerStage, code_counts, codebook_use
from sparsevq.training.fields import reconstruction_metrics, validation_views
from tests.chain import STAGE1, STAGE2

CPU = torch.device("cpu")


@pytest.fixture
def teacher(trained):
    return load_stage1(trained.run(), "semi_sparse", CPU)


@pytest.fixture
def tokenizer(trained, teacher):
    return load_tokenizer(trained.run(), teacher, CPU)


def test_a_tokenizer_and_its_curves_are_written(trained):
    file = load_model(trained.model("tokenizer"), "tokenizer")
    assert file.made_from == {
        "data": trained.data.digest,
        "sensors": digest(trained.sensors_path),
        "sparse": load_model(trained.model("sparse"), "sparse").digest,
        "semi_sparse": load_model(trained.model("semi_sparse"), "semi_sparse").digest,
    }
    assert Stage2Config(**file.settings) == STAGE2
    with open(trained.folder / "tokenizer/history.csv") as history:
        rows = list(csv.DictReader(history))
    assert [row["step"] for row in rows] == ["2", "4"]
    assert {"train_latent_mse", "val_loss", "val_ratio_to_unquantized", "val_perplexity"} <= rows[0].keys()


def test_the_same_seed_gives_the_same_file(trained, tmp_path):
    again, _ = trained.tokenizer(tmp_path / "again")
    assert (again / "model.safetensors").read_bytes() == trained.model("tokenizer").read_bytes()


def test_a_tokenizer_that_is_loaded_is_as_good_as_it_was_at_its_best_validation(trained, teacher, tokenizer):
    sparse = load_stage1(trained.run(), "sparse", CPU)
    fields = trained.fields()
    views = validation_views(trained.data, fields)
    latents = encode_views(sparse, fields, views)
    guess = decode_everywhere(teacher, tokenizer.detokenize(tokenizer.tokenize(latents)))
    again = reconstruction_metrics(fields, views, guess)
    unquantized = reconstruction_metrics(fields, views, decode_everywhere(sparse, latents))
    best = load_model(trained.model("tokenizer"), "tokenizer").extra["validation"]
    assert again == pytest.approx({name: best[name] for name in again}, rel=1e-6)
    ratio = again["val_relative_l2"] / unquantized["val_relative_l2"]
    assert best["val_ratio_to_unquantized"] == pytest.approx(ratio, rel=1e-6)


def training_latents(trained, role):
    """Of every frame of the training trajectories, as simulated and mirrored, (80, n, c)."""
    model = load_stage1(trained.run(), role, CPU)
    fields = trained.fields(STAGE1.symmetries)
    views = fields.views(torch.arange(4), torch.arange(10))
    mirrored = Views(views.trajectory, views.frame, torch.ones_like(views.symmetry))
    return torch.cat([encode_views(model, fields, part) for part in (views, mirrored)])


def test_half_of_a_batch_is_the_sparse_encoders_and_the_target_always_the_teachers(trained, tmp_path, monkeypatch):
    batches = []

    class Watched(CompletionLoss):
        def forward(self, latents, complete, *rest):
            batches.append((latents, complete))
            return super().forward(latents, complete, *rest)

    monkeypatch.setattr(stage2, "CompletionLoss", Watched)
    trained.tokenizer(tmp_path, max_steps=8)
    given, target = (torch.cat(parts) for parts in zip(*batches, strict=True))
    sparse, complete = (training_latents(trained, role) for role in ("sparse", "semi_sparse"))
    far = (target.flatten(1)[:, None] - complete.flatten(1)).norm(dim=-1)
    assert far.min(1).values.max() < 1e-3
    frame = far.argmin(1)
    assert len(set(frame.tolist())) > 40
    from_teacher, from_sparse = (
        torch.isclose(given, latents[frame], rtol=1e-3, atol=1e-4).all(2).all(1) for latents in (complete, sparse)
    )
    assert (from_teacher ^ from_sparse).all()
    assert 0.3 < from_teacher.float().mean() < 0.7


def test_latents_that_are_not_kept_train_the_same_tokenizer(trained, tmp_path, monkeypatch):
    """Those of very many frames would not fit into memory: they are encoded when they are drawn."""
    budget = {"continuous_steps": 3, "max_steps": 5, "val_every": 1}
    _, kept = trained.tokenizer(tmp_path / "kept", **budget)
    encoded, encode = [], latents.latents_of

    def watched(*models_fields_and_views):
        encoded.append(len(models_fields_and_views[-1]))
        return encode(*models_fields_and_views)

    monkeypatch.setattr(latents, "KEPT_SHARE", 0)
    monkeypatch.setattr(latents, "latents_of", watched)
    _, drawn = trained.tokenizer(tmp_path / "drawn", **budget)
    assert encoded == [80, *[STAGE2.batch_frames] * 3, stage2.KMEANS_FRAMES, *[STAGE2.batch_frames] * 2, 80]
    for one, other in zip(kept[:3], drawn[:3], strict=True):
        for name in ("train_loss", "train_latent_mse", "val_loss"):
            assert other[name] == pytest.approx(one[name], rel=1e-3)


def test_latents_are_standardised_by_the_teachers_of_the_training_split(trained, tokenizer):
    latents = training_latents(trained, "semi_sparse")
    torch.testing.assert_close(tokenizer.center, latents.mean(0), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(tokenizer.spread, latents.std(0).clamp_min(1e-3), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("continuous_steps", [0, 1, 3])
def test_the_codebook_starts_after_the_continuous_steps(trained, tmp_path, continuous_steps):
    _, rows = trained.tokenizer(tmp_path, continuous_steps=continuous_steps, val_every=1, max_steps=5)
    for row in rows:
        quantized = row["step"] > continuous_steps
        assert ("val_perplexity" in row) == quantized
        assert (row["train_commitment"] > 0) == quantized
    best = load_model(tmp_path / "model.safetensors", "tokenizer").extra["validation"]
    assert "val_perplexity" in best, "weights from before the codebook are never kept, however good they are"


@pytest.mark.parametrize("accum_grads", [1, 2])
def test_k_means_sees_the_teachers_tokens_once(trained, tmp_path, monkeypatch, accum_grads):
    calls = []
    initialise = TokenizerStage._initialise_codebook

    def watched(stage, generator):
        calls.append(stage.module.quantizer.started)
        complete = stage.latents.complete()
        torch.testing.assert_close(complete, training_latents(trained, "semi_sparse"), rtol=1e-3, atol=1e-4)
        initialise(stage, generator)

    monkeypatch.setattr(TokenizerStage, "_initialise_codebook", watched)
    trained.tokenizer(tmp_path, continuous_steps=2, accum_grads=accum_grads)
    assert calls == [False]


def test_patience_waits_for_the_codebook(trained, tmp_path):
    _, rows = trained.tokenizer(tmp_path, continuous_steps=6, val_every=1, max_steps=8, patience=2)
    assert len(rows) == 8


def test_a_run_may_start_from_another_tokenizers_weights_and_codebook(trained, tmp_path):
    trained.tokenizer(tmp_path, start_from=trained.model("tokenizer"), lr=1e-30, max_steps=1, continuous_steps=0)
    before = load_model(trained.model("tokenizer"), "tokenizer").weights
    after = load_model(tmp_path / "model.safetensors", "tokenizer").weights
    for name, weight in before.items():
        if "_codebook" not in name:
            assert torch.equal(after[name], weight), name
    codes = "quantizer.core.layers.0._codebook.embed"
    kept = torch.isclose(after[codes], before[codes], rtol=0.5, atol=0.05).float().mean()
    assert kept > 0.5, "moved by one step's averages, not drawn anew"


@pytest.mark.parametrize("quantizer", ["vq", "fsq"])
@pytest.mark.parametrize("design", ["conv", "attention"])
def test_every_design_trains(trained, tmp_path, design, quantizer):
    changes = {"tokenizer": design, "quantizer": quantizer, "tokens_per_frame": 1 if design == "conv" else 4}
    out, rows = trained.tokenizer(tmp_path, **changes)
    assert all(math.isfinite(value) for value in rows[-1].values())
    assert load_model(out / "model.safetensors", "tokenizer").shape["quantizer"] == quantizer


def test_fsq_of_an_unknown_number_of_codes_is_one_line(trained, tmp_path):
    with pytest.raises(SparseVQError, match="stage2: fsq has no levels for 100 codes; choose one of") as caught:
        trained.tokenizer(tmp_path, quantizer="fsq", num_vq_embeddings=100)
    assert "\n" not in str(caught.value)


def test_encoders_of_different_latents_are_refused(trained, tmp_path):
    other, _ = trained.encoder("semi_sparse", tmp_path / "teacher", num_latents=9)
    with pytest.raises(SparseVQError, match=r"latents of shape \(16, 16\).* of shape \(9, 16\)"):
        trained.tokenizer(tmp_path / "tokenizer", teacher=other / "model.safetensors")


# ------------------------------------------------------------------ the loss


def batch(trained, teacher, count=8):
    fields = trained.fields()
    views = fields.views(torch.arange(2), torch.arange(count // 2))
    points = torch.randint(96, (50,), generator=torch.Generator().manual_seed(0))
    return encode_views(teacher, fields, views), points, *fields.gather(views, points)


def test_the_target_is_the_teachers_latents_in_units_of_their_spread(trained, teacher, tokenizer):
    loss = CompletionLoss(tokenizer, teacher, STAGE2)
    latents, points, values, valid = batch(trained, teacher)
    guess, _ = tokenizer(latents, False)
    perfect = loss(latents, guess, False, points, values, valid)
    assert perfect["loss"] == perfect["latent_mse"] == 0
    off = loss(latents, guess + 3 * tokenizer.spread, False, points, values, valid)
    assert off["loss"].item() == pytest.approx(9, rel=1e-4)


def test_the_decoded_fields_error_has_its_weight_and_leaves_out_obstacles(trained, teacher, tokenizer):
    settings = STAGE2.model_copy(update={"field_weight": 10.0})
    loss = CompletionLoss(tokenizer, teacher, settings)
    latents, points, values, valid = batch(trained, teacher)
    assert not valid.all()
    terms = loss(latents, latents, False, points, values, valid)
    field = teacher.autoencoder.decoder(tokenizer(latents, False)[0], teacher.features[points])
    torch.testing.assert_close(terms["field_mse"], (field - values)[valid].square().mean())
    torch.testing.assert_close(terms["loss"], terms["latent_mse"] + 10 * terms["field_mse"])
    other = torch.where(valid[..., None], values, 1e6)
    assert torch.equal(loss(latents, latents, False, points, other, valid)["loss"], terms["loss"])


def test_training_by_the_field_leaves_the_decoder_as_it_is(trained, tmp_path):
    _, rows = trained.tokenizer(tmp_path, field_weight=1.0)
    assert rows[-1]["train_field_mse"] > 0
    assert not any("decoder" in name for name in load_model(tmp_path / "model.safetensors", "tokenizer").weights)


# ------------------------------------------------------------------ groups of coefficients, fitted without steps


GROUPS = {"tokenizer": "groups", "continuous_steps": 0}


def test_groups_are_fitted_without_a_step(trained, tmp_path):
    _, rows = trained.tokenizer(tmp_path, **GROUPS)
    assert [row["step"] for row in rows] == [0]
    file = load_model(tmp_path / "model.safetensors", "tokenizer")
    sizes = file.shape["groups"]
    assert len(sizes) == 4 and file.shape["vq_embedding_dim"] == max(sizes)
    assert file.weights["quantizer.codes"].shape == (4, 2, 16, max(sizes))
    assert {"val_loss", "val_ratio_to_unquantized", "val_perplexity", "val_error_over_bound"} <= rows[0].keys()
    with open(tmp_path / "history.csv") as history:
        assert [row["step"] for row in csv.DictReader(history)] == ["0"]
    again, _ = trained.tokenizer(tmp_path / "again", **GROUPS)
    assert (again / "model.safetensors").read_bytes() == (tmp_path / "model.safetensors").read_bytes()


def test_both_kinds_of_latents_are_coded_well(trained, teacher, tmp_path):
    trained.tokenizer(tmp_path, **GROUPS, num_vq_embeddings=64)
    tokenizer = load_tokenizer(trained.run(tokenizer=tmp_path / "model.safetensors"), teacher, CPU)
    for role in ("sparse", "semi_sparse"):
        latents = training_latents(trained, role)
        error = (tokenizer.detokenize(tokenizer.tokenize(latents)) - latents).square().sum()
        assert error < 0.1 * (latents - tokenizer.center).square().sum(), role


def test_groups_may_start_from_others_and_are_no_worse(trained, tmp_path):
    _, before = trained.tokenizer(tmp_path / "first", **GROUPS)
    start = tmp_path / "first/model.safetensors"
    _, after = trained.tokenizer(tmp_path / "second", **GROUPS, start_from=start)
    groups = [
        load_model(tmp_path / name / "model.safetensors", "tokenizer").shape["groups"] for name in ("first", "second")
    ]
    assert groups[0] == groups[1]
    assert after[0]["val_error_over_bound"] < 1.05 * before[0]["val_error_over_bound"]
    with pytest.raises(SparseVQError, match="codes 0 groups of coefficients, not 4"):
        trained.tokenizer(tmp_path / "third", **GROUPS, start_from=trained.model("tokenizer"))


# ------------------------------------------------------------------ use of the codebook


def test_codes_that_are_all_used_alike_have_a_perplexity_of_their_number():
    indices = torch.arange(32).repeat(3).view(12, 4, 2) // 2 % 16
    assert codebook_use(code_counts(indices, 16)) == pytest.approx({"val_perplexity": 16, "val_codes_used": 1})


def test_a_single_code_has_a_perplexity_of_one():
    used = codebook_use(code_counts(torch.full((5, 4, 1), 7), 16))
    assert used == pytest.approx({"val_perplexity": 1, "val_codes_used": 1 / 16})


def test_use_is_the_mean_over_levels():
    first, second = torch.arange(8).view(2, 4) % 4, torch.zeros(2, 4, dtype=torch.long)
    used = codebook_use(code_counts(torch.stack([first, second], dim=-1), 8))
    assert used == pytest.approx({"val_perplexity": (4 + 1) / 2, "val_codes_used": (4 + 1) / 16})


def test_codebooks_of_token_positions_are_counted_apart():
    """Two tokens that each use one code, not the same: of one codebook two are in use, of two codebooks one each."""
    indices = torch.tensor([[[3], [5]]] * 6)
    assert codebook_use(code_counts(indices, 8)) == pytest.approx({"val_perplexity": 2, "val_codes_used": 2 / 8})
    apart = code_counts(indices, 8, positions=2)
    assert apart.nonzero().tolist() == [[0, 0, 3], [1, 0, 5]] and apart.max() == 6
    assert codebook_use(apart) == pytest.approx({"val_perplexity": 1, "val_codes_used": 1 / 8})


def test_few_codes_in_use_are_said_at_the_end(trained, tmp_path, monkeypatch, capsys):
    trained.tokenizer(tmp_path / "many")
    assert "WARNING" not in capsys.readouterr().out
    take = latents.TrainingLatents.take

    def still(self, rows):
        """Frames that hardly vary."""
        return take(self, torch.zeros_like(rows))

    monkeypatch.setattr(latents.TrainingLatents, "take", still)
    trained.tokenizer(tmp_path / "few", quantizer="fsq")
    out = capsys.readouterr().out
    assert out.count("stage 2 tokenizer: WARNING: level 1 uses ") == 1
    assert "of its 16 codes: the latents hardly vary" in out
