"""The index dump: what the data format says, and what the encoders and the tokenizer would give."""

import json
from dataclasses import replace

import h5py
import numpy as np
import pytest
import torch

from sparsevq.data.layout import write_data
from sparsevq.errors import SparseVQError
from sparsevq.models.groups import group_slots
from sparsevq.runs.codes import read_codes
from sparsevq.runtime.files import digest
from sparsevq.stage1.encoding import load_stage1
from sparsevq.stage1.model import encode_views
from sparsevq.stage2.dump import dump_indices, load_tokenizer
from tests.chain import fabric

CPU = torch.device("cpu")


def read(path):
    with h5py.File(path) as file:
        return {name: file[name][()] for name in file}


def test_the_file_is_as_documented(trained):
    with h5py.File(trained.codes_path) as file:
        assert (file.attrs["schema"], file.attrs["schema_version"]) == ("sparsevq-codes", 2)
        names = ("sparse", "semi_sparse", "tokenizer")
        expected = {name: digest(trained.model(name)) for name in names}
        expected |= {"data": trained.data.digest, "sensors": trained.sensors.digest}
        assert json.loads(file.attrs["made_from"]) == expected
        for name in ("sparse", "semi_sparse"):
            assert file[name].shape == (2, 7, 10, 4, 2)
            assert file[name].dtype == np.int16
        assert file["codebook"].shape == (1, 2, 16, 8)
        assert file["codebook"].dtype == np.float32
        assert file["split"].asstr()[()].tolist() == ["train"] * 4 + ["val", "test", "test"]


def test_variants_are_of_training_trajectories_alone(trained):
    codes = read(trained.codes_path)
    for name in ("sparse", "semi_sparse"):
        assert (codes[name][1, 4:] == -1).all()
        assert (codes[name][0] >= 0).all() and (codes[name][1, :4] >= 0).all()
        assert codes[name].max() < 16


def test_indices_are_those_of_the_encoders_and_the_tokenizer(trained):
    codes = read(trained.codes_path)
    fields = trained.fields()
    teacher = load_stage1(trained.run(), "semi_sparse", CPU)
    tokenizer = load_tokenizer(trained.run(), teacher, CPU)
    for role in ("sparse", "semi_sparse"):
        model = load_stage1(trained.run(), role, CPU)
        for trajectory, frame in ((0, 0), (3, 9), (6, 4)):
            views = fields.views(torch.tensor([trajectory]), torch.tensor([frame]))
            expected = tokenizer.tokenize(encode_views(model, fields, views))[0]
            np.testing.assert_array_equal(codes[role][0, trajectory, frame], expected)
    np.testing.assert_allclose(codes["codebook"], tokenizer.quantizer.codebook())


def test_a_variant_is_what_a_mirrored_data_set_would_give(trained, tmp_path, unchecked_origins):
    data = trained.data
    mirrored = replace(data, fields=np.flip(data.fields, 2) * np.float32([1, -1]), mask=np.flip(data.mask, 1))
    mirrored = replace(mirrored, fields=np.ascontiguousarray(mirrored.fields), mask=np.ascontiguousarray(mirrored.mask))
    write_data(tmp_path / "mirrored.h5", mirrored)
    stored = read(trained.codes_path)
    direct = read(trained.codes(tmp_path / "codes.h5", data=tmp_path / "mirrored.h5"))
    for name in ("sparse", "semi_sparse"):
        differ = stored[name][1, :4] != direct[name][0, :4]
        assert differ.sum() <= 2, "rounding may choose between codes that are equally near, for one token of 160"
        assert not np.array_equal(stored[name][1, :4], stored[name][0, :4])


def test_the_same_models_give_the_same_file(trained, tmp_path):
    assert trained.codes(tmp_path / "codes.h5").read_bytes() == trained.codes_path.read_bytes()


def test_a_tokenizer_of_another_teacher_is_refused(trained, tmp_path):
    other, _ = trained.encoder("semi_sparse", tmp_path / "other", seed=9)
    with pytest.raises(
        SparseVQError, match=r"tokenizer/model\.safetensors was made from another semi-sparse .*forcerun tokenizer"
    ) as caught:
        trained.codes(tmp_path / "codes.h5", semi_sparse=other / "model.safetensors")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "codes.h5").exists()


def test_a_tokenizer_of_other_latents_is_refused(trained, tmp_path, unchecked_origins):
    files = {role: tmp_path / role / "model.safetensors" for role in ("sparse", "semi_sparse")}
    for role, file in files.items():
        trained.encoder(role, file.parent, num_latents=4)
    with pytest.raises(SparseVQError, match=r"completes latents of shape \(16, 16\), the encoders give \(4, 16\)"):
        trained.codes(tmp_path / "codes.h5", **files)
    assert not (tmp_path / "codes.h5").exists()


def test_groups_are_dumped_before_quantization_too(guessing):
    tokenizer = load_tokenizer(guessing.run(), load_stage1(guessing.run(), "semi_sparse", CPU), CPU)
    codes = read_codes(guessing.codes_path)
    assert codes.codebook.shape == (2, 2, 8, tokenizer.config.vq_embedding_dim)
    assert torch.equal(codes.codebook, tokenizer.quantizer.codebook())
    assert codes.groups == tuple(tokenizer.config.groups)
    fields = guessing.fields()
    views = fields.views(torch.tensor([3]), torch.tensor([9]))
    for role, tokens, indices in (
        ("sparse", codes.tokens_sparse, codes.sparse),
        ("semi_sparse", codes.tokens_semi_sparse, codes.semi_sparse),
    ):
        assert tokens.dtype == torch.float16 and tokens.shape == (*indices.shape[:-1], codes.codebook.shape[-1])
        expected = tokenizer.encode(encode_views(load_stage1(guessing.run(), role, CPU), fields, views))[0]
        torch.testing.assert_close(tokens[0, 3, 9].float(), expected, rtol=1e-3, atol=1e-4)
        assert not tokens[1, 4:].any(), "variants of training trajectories alone"


def test_readings_are_those_of_the_sparse_sensors_and_coefficients_the_complete_ones(guessing):
    codes, fields = read_codes(guessing.codes_path), guessing.fields()
    sparse, teacher = (load_stage1(guessing.run(), role, CPU) for role in ("sparse", "semi_sparse"))
    assert codes.readings.dtype == torch.float32 and codes.readings.shape == (2, 7, 10, 12), "6 sensors of 2 channels"
    assert codes.coefficients.dtype == torch.float16 and codes.coefficients.shape[:3] == (2, 7, 10)
    for trajectory, frame in ((0, 0), (3, 9), (6, 4)):
        views = fields.views(torch.tensor([trajectory]), torch.tensor([frame]))
        torch.testing.assert_close(codes.readings[0, trajectory, frame], sparse.seen(fields, views)[0])
        whole = teacher.latents.to_coefficients(encode_views(teacher, fields, views))[0]
        found = codes.coefficients[0, trajectory, frame].float() + codes.center
        torch.testing.assert_close(found, whole, rtol=2e-3, atol=2e-3)
    assert not codes.readings[1, 4:].any() and not codes.coefficients[1, 4:].any()
    assert codes.readings[1, :4].any() and not torch.equal(codes.readings[0, :4], codes.readings[1, :4])


def test_tokens_are_the_first_coefficients_in_groups(guessing):
    codes = read_codes(guessing.codes_path)
    slots = group_slots(codes.groups)
    tokens = codes.tokens_semi_sparse.flatten(-2)[..., slots].float()
    torch.testing.assert_close(tokens, codes.coefficients[..., : len(slots)].float(), rtol=2e-3, atol=1e-4)


def test_other_tokenizers_have_no_tokens_in_the_dump(trained):
    codes = read_codes(trained.codes_path)
    assert codes.tokens_sparse is None and codes.tokens_semi_sparse is None
    assert codes.readings is None and codes.coefficients is None and codes.center is None and codes.groups == ()


def test_groups_of_latents_that_are_no_coefficients_are_refused(trained, tmp_path):
    tokenizer, _ = trained.tokenizer(tmp_path, tokenizer="groups", continuous_steps=0)
    run = trained.run(tokenizer=tokenizer / "model.safetensors")
    with pytest.raises(SparseVQError, match="tokenizer=groups codes coefficients of POD modes"):
        dump_indices(run, tmp_path / "codes.h5", seed=1, fabric=fabric())
    assert not (tmp_path / "codes.h5").exists()
