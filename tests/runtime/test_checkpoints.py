"""A training that was killed resumes from its last checkpoint, and ends as if it had never been killed."""

import os
import signal
from pathlib import Path

import pytest
import torch

from sparsevq.errors import SparseVQError
from sparsevq.runtime.checkpoints import Checkpoint, Checkpoints, read_checkpoint
from sparsevq.runtime.devices import device
from sparsevq.runtime.signals import Terminated, handled_signals
from tests.chain import Chain, Recorder, make_chain

MADE_OF = {
    "training": "stage 3 GPT",
    "seed": 1,
    "settings": {"lr": 0.1, "max_steps": 10},
    "made_from": {"codes": "a" * 64},
}


@pytest.fixture(scope="module")
def chain(tmp_path_factory) -> Chain:
    return make_chain(tmp_path_factory.mktemp("chain"))


@pytest.fixture
def checkpoints(tmp_path) -> Checkpoints:
    return Checkpoints(tmp_path / "checkpoints/gpt", minutes=0)


def saved(checkpoints: Checkpoints, *steps: int) -> list[Path]:
    for step in steps:
        checkpoints.save(Checkpoint(step, {"model.weight": torch.full((3,), float(step))}, {"waited": step}), MADE_OF)
    return sorted(checkpoints.folder.iterdir())


class Signalled(Recorder):
    """Sends this process a signal when the metrics of a step are logged, or dies like a killed one."""

    def __init__(self, step: int, number: int | None):
        super().__init__()
        self.step, self.number = step, number

    def log_metrics(self, metrics, step):
        super().log_metrics(metrics, step)
        if step == self.step:
            if self.number is None:
                raise RuntimeError("killed")
            os.kill(os.getpid(), self.number)


STAGES = {
    "sparse": lambda chain, **how: chain.encoder("sparse", **how),
    "tokenizer": lambda chain, **how: chain.tokenizer(**how),
    "gpt": lambda chain, **how: chain.gpt(**how),
}
LONGER = {"max_steps": 14, "val_every": 3}
"""Validations at 3, 6, 9, 12 and 14; the tokenizer's codebook starts at step 3."""


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize(
    ("number", "stopped_after"), [(signal.SIGTERM, 9), (signal.SIGINT, 9), (None, 8)], ids=["term", "ctrl-c", "kill"]
)
def test_the_resumed_training_is_the_undisturbed_one_bit_for_bit(chain, tmp_path, capsys, stage, number, stopped_after):
    train = STAGES[stage]
    dropout = {"dropout": 0.2} if stage == "gpt" else {}
    undisturbed, _ = train(chain, out=tmp_path / "undisturbed", **LONGER, **dropout)
    # SIGTERM and Ctrl-C leave a checkpoint whatever the time; a kill leaves that of the step before.
    kept = Checkpoints(tmp_path / "checkpoints", minutes=0 if number is None else 1e9)
    out = tmp_path / "killed"
    ends = {signal.SIGTERM: Terminated, signal.SIGINT: KeyboardInterrupt, None: RuntimeError}
    with handled_signals(), pytest.raises(ends[number]):
        train(chain, out=out, checkpoints=kept, tracker=Signalled(9, number), **LONGER, **dropout)
    assert not (out / "model.safetensors").exists()
    (out / "history.csv").unlink()  # as the workflow does with the outputs of a job that failed

    _, logged = train(chain, out=out, checkpoints=kept, **LONGER, **dropout)
    assert f"resumes after step {stopped_after}" in capsys.readouterr().out
    assert [row["step"] for row in logged] == [step for step in (3, 6, 9, 12, 14) if step > stopped_after]
    assert (out / "model.safetensors").read_bytes() == (undisturbed / "model.safetensors").read_bytes()
    assert (out / "history.csv").read_bytes() == (undisturbed / "history.csv").read_bytes()


@pytest.mark.parametrize("killed_at", [1, 2, 3, 4])
def test_a_tokenizer_killed_around_the_start_of_its_codebook(chain, tmp_path, killed_at):
    """Codes start at step 3, by k-means on random samples: before or after, the rerun starts the same ones."""
    settings = {"max_steps": 6, "val_every": 1}
    undisturbed, _ = chain.tokenizer(out=tmp_path / "undisturbed", **settings)
    kept = Checkpoints(tmp_path / "checkpoints", minutes=0)
    with pytest.raises(RuntimeError):
        chain.tokenizer(out=tmp_path / "out", checkpoints=kept, tracker=Signalled(killed_at, None), **settings)
    out, _ = chain.tokenizer(out=tmp_path / "out", checkpoints=kept, **settings)
    assert (out / "model.safetensors").read_bytes() == (undisturbed / "model.safetensors").read_bytes()


def test_a_warning_before_the_time_limit_leaves_a_checkpoint_and_the_training_continues(chain, tmp_path):
    kept = Checkpoints(tmp_path / "checkpoints", minutes=1e9)
    with handled_signals():
        _, logged = chain.gpt(out=tmp_path / "out", checkpoints=kept, tracker=Signalled(6, signal.SIGUSR1), **LONGER)
    assert [row["step"] for row in logged] == [3, 6, 9, 12, 14]
    (path,) = kept.folder.iterdir()
    assert read_checkpoint(path).step == 6


def test_a_checkpoint_of_another_precision_is_not_resumed(chain, tmp_path, capsys, monkeypatch):
    """`auto` may come to another precision where the rest of a training runs."""
    kept = Checkpoints(tmp_path / "checkpoints", minutes=0)
    settings = {"max_steps": 4, "precision": "auto"}
    monkeypatch.setattr(device, "bf16_pays", lambda: True)
    with pytest.raises(RuntimeError):
        chain.gpt(out=tmp_path / "out", checkpoints=kept, tracker=Signalled(2, None), **settings)
    monkeypatch.setattr(device, "bf16_pays", lambda: False)
    chain.gpt(out=tmp_path / "out", checkpoints=kept, **settings)
    said = capsys.readouterr().out
    assert "is of another training (precision: bf16-mixed there, 32-true here): not used" in said
    assert "resumes" not in said


def test_a_training_that_had_stopped_early_ends_at_once(chain, tmp_path):
    settings = {"max_steps": 500, "val_every": 1, "patience": 1, "lr": 1e-9}
    kept = Checkpoints(tmp_path / "checkpoints", minutes=0)
    _, first = chain.gpt(out=tmp_path / "out", checkpoints=kept, **settings)
    before = (tmp_path / "out/model.safetensors").read_bytes()
    history = (tmp_path / "out/history.csv").read_bytes()
    (tmp_path / "out/history.csv").unlink()
    _, again = chain.gpt(out=tmp_path / "out", checkpoints=kept, **settings)
    assert len(first) < 500
    assert again == []
    assert (tmp_path / "out/model.safetensors").read_bytes() == before
    assert (tmp_path / "out/history.csv").read_bytes() == history


@pytest.mark.parametrize("other", [{"seed": 2}, {"lr": 2e-3}], ids=["seed", "settings"])
def test_a_training_with_another_seed_or_settings_starts_from_scratch(chain, tmp_path, capsys, other):
    undisturbed, _ = chain.gpt(out=tmp_path / "undisturbed", **LONGER, **other)
    kept = Checkpoints(tmp_path / "checkpoints", minutes=0)
    with pytest.raises(RuntimeError):
        chain.gpt(out=tmp_path / "out", checkpoints=kept, tracker=Signalled(9, None), **LONGER)
    out, _ = chain.gpt(out=tmp_path / "out", checkpoints=kept, **LONGER, **other)
    assert f"{next(iter(other))}: " in capsys.readouterr().out
    assert (out / "model.safetensors").read_bytes() == (undisturbed / "model.safetensors").read_bytes()


def test_the_last_two_are_kept(checkpoints):
    names = [path.name for path in saved(checkpoints, 8, 9, 10, 11)]
    assert [name.partition("-")[0] for name in names] == ["step00000010", "step00000011"]


def test_what_is_read_is_what_was_written(checkpoints):
    saved(checkpoints, 5)
    found = read_checkpoint(checkpoints.latest(MADE_OF))
    assert (found.step, found.values) == (5, {"waited": 5})
    assert torch.equal(found.tensors["model.weight"], torch.full((3,), 5.0))


@pytest.mark.parametrize("harm", ["flipped", "cut", "empty", "other"])
def test_a_damaged_checkpoint_is_named_and_the_one_before_is_taken(checkpoints, capsys, harm):
    before, last = saved(checkpoints, 1, 2)
    content = bytearray(last.read_bytes())
    content[-5] ^= 1
    last.write_bytes({"flipped": content, "cut": content[:-20], "empty": b"", "other": b"hello"}[harm])
    assert checkpoints.latest(MADE_OF) == before
    said = capsys.readouterr().out
    assert f"the checkpoint {last} is damaged" in said
    assert len(said.splitlines()) == 1
    assert not last.exists()


def test_if_all_are_damaged_the_training_starts_from_scratch(checkpoints):
    for path in saved(checkpoints, 1, 2):
        path.write_bytes(b"")
    assert checkpoints.latest(MADE_OF) is None


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"seed": 2}, "seed: 1 there, 2 here"),
        ({"settings": {"lr": 0.2, "max_steps": 10}}, "settings.lr: 0.1 there, 0.2 here"),
        ({"made_from": {"codes": "b" * 64}}, f"made_from.codes: {'a' * 12} there, {'b' * 12} here"),
    ],
)
def test_a_checkpoint_of_another_training_is_named_and_not_used(checkpoints, capsys, change, named):
    saved(checkpoints, 7)
    changed = MADE_OF | change
    assert checkpoints.latest(changed) is None
    assert named in capsys.readouterr().out
    # It stays until the other training has one of its own, should the change have been a mistake.
    assert len(list(checkpoints.folder.iterdir())) == 1
    checkpoints.save(Checkpoint(1, {"model.weight": torch.zeros(3)}, {}), changed)
    assert [path.name.partition("-")[0] for path in checkpoints.folder.iterdir()] == ["step00000001"]


def test_settings_with_tuples_are_those_that_were_written(checkpoints):
    """JSON has only lists."""
    made_of = MADE_OF | {"settings": {"reflect": ("y",)}}
    checkpoints.save(Checkpoint(1, {"model.weight": torch.zeros(3)}, {}), made_of)
    assert checkpoints.latest(made_of) is not None


def test_a_disk_that_takes_no_checkpoint_is_said_and_does_not_end_the_training(chain, tmp_path, capsys, monkeypatch):
    from sparsevq.runtime import checkpoints as module

    def full(*_args, **_kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "save_file", full)
    out, _ = chain.gpt(out=tmp_path / "out", checkpoints=Checkpoints(tmp_path / "checkpoints", minutes=0))
    assert (out / "model.safetensors").exists()
    assert "no checkpoint of step 1: cannot write" in capsys.readouterr().out


def test_nothing_is_left_when_a_training_is_done(checkpoints):
    saved(checkpoints, 1, 2)
    (checkpoints.folder / ".writing.left.by.a.kill.safetensors").write_bytes(b"half")
    checkpoints.clear()
    assert not checkpoints.folder.exists()
    checkpoints.clear()


def test_the_next_checkpoint_is_due_after_its_time(tmp_path):
    assert Checkpoints(tmp_path, minutes=0).due()
    assert not Checkpoints(tmp_path, minutes=1).due()


def test_a_second_signal_is_obeyed_at_once():
    from sparsevq.runtime.signals import deferred_stop

    with handled_signals(), pytest.raises(Terminated), deferred_stop() as requests:
        os.kill(os.getpid(), signal.SIGTERM)
        assert requests.stop
        os.kill(os.getpid(), signal.SIGTERM)
        raise SparseVQError("not reached")
