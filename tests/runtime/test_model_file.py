"""Model files: what is saved comes back, and a file that doesn't fit says where."""

import hashlib
import json

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from sparsevq.errors import SparseVQError
from sparsevq.runtime.model_file import load_model, save_model, write_rounded
from sparsevq.runtime.rounded import rounded

NEWER = {"schema": "sparsevq-model", "schema_version": 3}


def network(width=4):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, width), nn.Linear(width, 2))
    model.register_buffer("center", torch.arange(3.0))
    return model


@pytest.fixture
def source():
    return hashlib.sha256(b"data").hexdigest()


@pytest.fixture
def path(tmp_path, source):
    save_model(
        tmp_path / "model.safetensors",
        network(),
        "sparse",
        shape={"width": 4},
        settings={"lr": 0.1, "roll": {"x": 3}},
        made_from={"data": source},
        extra={"grid": [8, 8]},
    )
    return tmp_path / "model.safetensors"


def test_what_is_saved_comes_back(path, source):
    file = load_model(path, "sparse")
    assert (file.kind, file.shape, file.settings) == ("sparse", {"width": 4}, {"lr": 0.1, "roll": {"x": 3}})
    assert file.extra == {"grid": [8, 8]}
    assert file.made_from == {"data": source}
    assert file.digest == hashlib.sha256(path.read_bytes()).hexdigest()
    other = network()
    nn.init.zeros_(other[0].weight)
    other.center.zero_()
    file.restore(other)
    for name, weight in network().state_dict().items():
        assert torch.equal(other.state_dict()[name], weight), name


def test_the_same_training_writes_the_same_bytes(path, tmp_path, source):
    """Entries of a safetensors header come in no certain order, so there is one alone."""
    for again in range(5):
        save_model(
            tmp_path / f"{again}.safetensors",
            network(),
            "sparse",
            extra={"grid": [8, 8]},
            made_from={"data": source},
            settings={"roll": {"x": 3}, "lr": 0.1},
            shape={"width": 4},
        )
        assert (tmp_path / f"{again}.safetensors").read_bytes() == path.read_bytes()


def test_weights_that_share_memory_or_are_transposed_are_saved_as_they_are(tmp_path):
    model = nn.Module()
    model.first = nn.Parameter(torch.arange(6.0).view(2, 3).T)
    model.second = model.first
    save_model(tmp_path / "m.safetensors", model, "gpt", shape={}, settings={}, made_from={})
    weights = load_model(tmp_path / "m.safetensors", "gpt").weights
    assert torch.equal(weights["first"], model.first)
    assert torch.equal(weights["second"], model.first)


def test_rounded_weights_are_read_as_any_others(path, tmp_path, source):
    file = load_model(path, "sparse")
    weight = file.weights["0.weight"].numpy()
    steps = np.array([[0.25], [0.5], [0.25], [0.125]])
    weights = {**file.weights, "0.weight": rounded(weight, steps)}
    write_rounded(tmp_path / "small.safetensors", file, weights, {"data": source, "basis": "b"})
    found = load_model(tmp_path / "small.safetensors", "sparse")
    assert (found.shape, found.settings, found.extra) == (file.shape, file.settings, file.extra)
    assert found.made_from == {"data": source, "basis": "b"}
    assert found.weights.keys() == file.weights.keys()
    np.testing.assert_array_equal(found.weights["0.weight"], np.rint(weight / steps) * steps)
    assert torch.equal(found.weights["1.weight"], file.weights["1.weight"])
    found.restore(network())
    damaged = bytearray((tmp_path / "small.safetensors").read_bytes())
    damaged[-1] ^= 1
    (tmp_path / "small.safetensors").write_bytes(damaged)
    with pytest.raises(SparseVQError, match="is not as sparsevq wrote it"):
        load_model(tmp_path / "small.safetensors", "sparse")


def test_any_of_several_kinds_will_do(path):
    assert load_model(path, "semi_sparse", "sparse").kind == "sparse"


def test_a_model_of_another_kind_is_refused(path):
    with pytest.raises(SparseVQError, match="is a sparse model, not gpt or tokenizer") as caught:
        load_model(path, "gpt", "tokenizer")
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (network(5), r"0\.bias is \(4,\) in the file, \(5,\) here"),
        (nn.Sequential(nn.Linear(3, 4)), r"1\.bias is \(2,\) in the file, none here"),
        (nn.Sequential(*network(), nn.Linear(2, 2)), r"2\.bias is missing in the file, \(2,\) here"),
    ],
)
def test_weights_that_do_not_fit_are_named(path, model, message):
    if "center" not in model.state_dict():
        model.register_buffer("center", torch.zeros(3))
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    with pytest.raises(SparseVQError, match=message) as caught:
        load_model(path, "sparse").restore(model)
    assert "\n" not in str(caught.value)
    assert all(torch.equal(weight, before[name]) for name, weight in model.state_dict().items())


@pytest.mark.parametrize("kept", [0, 4, 100, 0.5, 0.99])
def test_a_truncated_file_is_one_line(path, kept):
    whole = path.read_bytes()
    path.write_bytes(whole[: kept if isinstance(kept, int) else int(kept * len(whole))])
    with pytest.raises(SparseVQError, match="is not a readable model file") as caught:
        load_model(path, "sparse")
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: None, "no model at .*: train it first"),
        (lambda path: path.mkdir(), "no model at"),
        (lambda path: path.write_text("hello"), "is not a readable model file"),
        (lambda path: torch.save({"weight": torch.zeros(3)}, path), "is not a readable model file"),
        (lambda path: save_file({"weight": torch.zeros(3)}, path), "is not a model of sparsevq"),
        (lambda path: save_file({}, path, {"sparsevq": "[]"}), "is not a model of sparsevq"),
        (lambda path: save_file({}, path, {"sparsevq": "{"}), "is not a readable model file"),
        (
            lambda path: save_file({}, path, {"sparsevq": json.dumps(NEWER)}),
            "schema version 3, this program reads 1 and 2",
        ),
    ],
)
def test_what_is_no_model_of_ours_is_refused(tmp_path, make, message):
    make(tmp_path / "mine.safetensors")
    with pytest.raises(SparseVQError, match=message):
        load_model(tmp_path / "mine.safetensors", "sparse")


def test_a_model_that_cannot_be_written_leaves_the_old_one(path, source, monkeypatch):
    before = path.read_bytes()

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("sparsevq.runtime.model_file.save_file", full)
    with pytest.raises(SparseVQError, match=r"cannot write .*model\.safetensors \(No space left on device\)"):
        save_model(path, network(), "sparse", shape={}, settings={}, made_from={})
    assert path.read_bytes() == before
    assert sorted(file.name for file in path.parent.iterdir()) == ["model.safetensors"]
