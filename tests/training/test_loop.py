"""The training loop: repeatable, it keeps the best weights, and it stops when told or when it has gone wrong."""

import csv
import math
from itertools import pairwise

import pytest
import torch
from torch import nn

from sparsevq.config import TrainingConfig
from sparsevq.errors import SparseVQError
from sparsevq.training.loop import fit, learning_rate
from tests.stages import made_of


class Regression(nn.Module):
    """A straight line through points."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.line = nn.Linear(3, 1)

    def forward(self, x, y):
        loss = (self.line(x) - y).square().mean()
        return {"loss": loss, "twice": 2 * loss}


class Recorder:
    def __init__(self):
        self.rows = []

    def log_metrics(self, metrics, step):
        self.rows.append({"logged_step": step, **metrics})


def points(generator, step=0, count=16):
    x = torch.randn(count, 3, generator=generator)
    return x, x @ torch.tensor([[1.0], [-2.0], [0.5]])


@pytest.fixture
def train(tmp_path):
    """Train a regression; `train.history` and `train.tracker` tell what was written."""

    def run(*, draw=points, validate=None, objective=None, seed=1, **settings):
        of_stage = {key: settings.pop(key) for key in ("best_after", "validates_first", "doubts") if key in settings}
        objective = objective or Regression()
        run.tracker, run.history = Recorder(), tmp_path / "history.csv"
        settings = {"lr": 0.05, "warmup_steps": 2, "max_steps": 12, "val_every": 3, "precision": "32-true"} | settings
        held_out = points(torch.Generator().manual_seed(99))
        stage = made_of(
            objective,
            draw,
            validate or (lambda: {"val_loss": objective(*held_out)["loss"].item()}),
            TrainingConfig(**settings),
            seed=seed,
            **of_stage,
        )
        run.best = fit(stage, tracker=run.tracker, history=run.history)
        return objective

    return run


def same(first, second):
    return all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))


def scripted(values, objective=None):
    """Validations that give these losses one after the other; remembers the weights at each."""
    values = iter(values)

    def validate():
        if objective is not None:
            validate.weights.append([p.detach().clone() for p in objective.parameters()])
        return {"val_loss": next(values)}

    validate.weights = []
    return validate


def test_the_same_seed_gives_the_same_weights(train):
    first, second, other = train(seed=4), train(seed=4), train(seed=5)
    assert same(first, second)
    assert not same(first, other)


def test_it_learns(train):
    model = train(max_steps=300, lr=0.1)
    torch.testing.assert_close(model.line.weight, torch.tensor([[1.0, -2.0, 0.5]]), atol=0.02, rtol=0)


def test_a_batch_depends_on_seed_step_and_part_alone(train):
    def drawn(**settings):
        seen = []

        def draw(generator, step):
            seen.append((step, torch.rand((), generator=generator).item()))
            torch.rand(step, generator=generator)  # however much a step draws, the next one starts afresh
            return points(generator)

        train(draw=draw, max_steps=6, **settings)
        return seen

    usual = drawn(seed=3)
    assert [step for step, _ in usual] == [1, 2, 3, 4, 5, 6]
    assert drawn(seed=3, val_every=1, lr=1e-6) == usual
    accumulated = drawn(seed=3, accum_grads=2)
    assert accumulated[::2] == usual
    assert len({number for _, number in accumulated + drawn(seed=4)}) == 12 + 6, "no batch comes twice"


def test_the_weights_of_the_best_validation_are_kept(train):
    objective = Regression()
    validate = scripted([3.0, 1.0, 2.0, 4.0], objective)
    train(objective=objective, validate=validate)
    assert train.best == {"val_loss": 1.0}
    for kept, at_best, at_end in zip(objective.parameters(), validate.weights[1], validate.weights[3], strict=True):
        assert torch.equal(kept, at_best)
        assert not torch.equal(kept, at_end)


def test_validations_before_best_after_do_not_compete(train):
    objective = Regression()
    validate = scripted([0.1, 0.2, 5.0, 4.0], objective)
    train(objective=objective, validate=validate, best_after=7)
    assert train.best == {"val_loss": 4.0}
    assert torch.equal(objective.line.weight, validate.weights[3][0])


def test_it_stops_after_as_many_validations_without_improvement_as_its_patience(train, capsys):
    train(validate=scripted([5.0, 4.0, 6.0, 4.0, 4.5]), max_steps=1000, patience=3)
    assert [row["step"] for row in train.tracker.rows] == [3, 6, 9, 12, 15]
    assert "no improvement in 3 validations, stopped at step 15" in capsys.readouterr().out


def test_patience_begins_when_validations_begin_to_compete(train):
    """A past bug: with more validations before the codebook's start than patience, the tokenizer never had one."""
    train(validate=scripted([1.0, 1.0, 1.0, 1.0, 3.0, 2.0, 2.0, 2.0]), best_after=13, patience=2, max_steps=1000)
    assert [row["step"] for row in train.tracker.rows] == [3, 6, 9, 12, 15, 18, 21, 24]
    assert train.best == {"val_loss": 2.0}


def test_the_last_step_is_validated(train):
    train(max_steps=8)
    assert [row["step"] for row in train.tracker.rows] == [3, 6, 8]


def test_a_budget_of_no_steps_validates_once_and_keeps_the_weights(train, capsys):
    def draw(generator, step):
        raise AssertionError("no batch is needed")

    model = train(max_steps=0, draw=draw, validate=scripted([3.0]))
    assert same(model, Regression())
    assert not model.training
    assert train.best == {"val_loss": 3.0}
    assert train.tracker.rows == [{"logged_step": 0, "step": 0, "val_loss": 3.0}]
    assert train.history.read_text().split() == ["step,val_loss", "0,3.0"]
    assert "step 0/0" in capsys.readouterr().out


def test_without_steps_there_need_be_nothing_to_train(train):
    frozen = Regression().requires_grad_(False)
    assert same(train(objective=frozen, max_steps=0), Regression())


def test_weights_that_training_begins_with_compete_where_the_stage_says_so(train):
    objective = Regression()
    train(objective=objective, validate=scripted([1.0, 2.0, 3.0, 4.0, 5.0]), validates_first=True)
    assert [row["step"] for row in train.tracker.rows] == [0, 3, 6, 9, 12]
    assert train.best == {"val_loss": 1.0}
    assert same(objective, Regression()), "training made them worse"
    train(objective=objective, validate=scripted([3.0, 2.0, 1.0, 4.0, 5.0]), validates_first=True)
    assert train.best == {"val_loss": 1.0}
    assert not same(objective, Regression())


def test_a_first_validation_changes_nothing_of_what_follows(train):
    usual = train()
    rows = train.tracker.rows
    assert same(usual, train(validates_first=True))
    assert [row["train_loss"] for row in train.tracker.rows[1:]] == [row["train_loss"] for row in rows]


def test_doubts_about_the_best_weights_are_printed_once(train, capsys):
    train(doubts=("few codes are used",))
    assert capsys.readouterr().out.count("stage 1 sparse: WARNING: few codes are used") == 1


@pytest.mark.parametrize("schedule", ["cosine", "constant"])
def test_the_learning_rate_warms_up_linearly_and_then_follows_its_schedule(schedule):
    settings = TrainingConfig(warmup_steps=10, max_steps=110, schedule=schedule)
    assert [learning_rate(step, settings) for step in range(10)] == pytest.approx([0.1 * k for k in range(1, 11)])
    shares = [learning_rate(10 + done, settings) for done in (0, 25, 50, 75, 100)]
    cosine = [0.5 * (1 + math.cos(math.pi * done / 4)) for done in range(5)]
    assert shares == pytest.approx(cosine if schedule == "cosine" else [1.0] * 5)
    assert learning_rate(10**6, settings) == pytest.approx(0 if schedule == "cosine" else 1)


def test_without_a_warm_up_the_first_step_has_the_whole_learning_rate():
    assert learning_rate(0, TrainingConfig(warmup_steps=0)) == 1


def test_the_first_step_of_adamw_is_the_learning_rate(train):
    """Adam's first step has the size of the learning rate, whatever the gradient: here 0.05 / 2."""
    moved = (train(max_steps=1).line.weight - Regression().line.weight).abs()
    torch.testing.assert_close(moved, torch.full((1, 3), 0.025), rtol=1e-3, atol=0)


def test_a_run_that_is_as_long_as_its_warm_up_is_no_division_by_zero():
    settings = TrainingConfig(warmup_steps=100, max_steps=100)
    assert learning_rate(99, settings) == 1
    assert math.isfinite(learning_rate(100, settings))


def test_halves_of_a_batch_accumulated_are_the_batch(train, monkeypatch):
    """By plain gradient descent: Adam would not mind a gradient of twice the size."""
    monkeypatch.setattr(torch.optim, "AdamW", lambda weights, lr, **_: torch.optim.SGD(weights, lr=lr))
    whole = points(torch.Generator().manual_seed(7))
    halves = [[part[:8] for part in whole], [part[8:] for part in whole]]
    turn = iter(halves * 100)
    once = train(draw=lambda generator, step: whole, grad_clip=100)
    losses = [row["train_loss"] for row in train.tracker.rows]
    twice = train(draw=lambda generator, step: next(turn), accum_grads=2, grad_clip=100)
    for a, b in zip(once.parameters(), twice.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)
    assert [row["train_loss"] for row in train.tracker.rows] == pytest.approx(losses, rel=1e-3)


def test_a_gradient_is_never_longer_than_grad_clip(train, monkeypatch):
    """By plain gradient descent, whose step is as long as the gradient."""
    monkeypatch.setattr(torch.optim, "AdamW", lambda weights, lr, **_: torch.optim.SGD(weights, lr=lr))
    model = train(max_steps=1, warmup_steps=0, lr=1.0, grad_clip=0.01)
    moved = torch.cat([(a - b).flatten() for a, b in zip(model.parameters(), Regression().parameters(), strict=True)])
    assert moved.norm().item() == pytest.approx(0.01, rel=1e-3)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_is_one_line(train, bad):
    def draw(generator, step):
        x, y = points(generator)
        return x, y * (bad if step == 5 else 1)

    with pytest.raises(SparseVQError, match="stage 1 sparse: the loss is not finite by step 6: lower lr") as caught:
        train(draw=draw)
    assert "\n" not in str(caught.value)


def test_validations_that_are_never_finite_are_one_line(train):
    with pytest.raises(SparseVQError, match="stage 1 sparse: no validation gave a finite loss"):
        train(validate=lambda: {"val_loss": math.nan})


def test_one_validation_that_is_not_finite_is_not_the_best(train):
    train(validate=scripted([2.0, math.nan, 1.0, math.nan]))
    assert train.best == {"val_loss": 1.0}


def test_the_history_tells_the_means_since_the_last_validation(train):
    losses = []

    class Watched(Regression):
        def forward(self, x, y):
            terms = super().forward(x, y)
            if self.training:
                losses.append(terms["loss"].item())
            return terms

    train(objective=Watched(), max_steps=8)
    with open(train.history) as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["step", "train_loss", "train_twice", "val_loss", "lr"]
    assert [int(row["step"]) for row in rows] == [3, 6, 8]
    means = [sum(losses[a:b]) / (b - a) for a, b in pairwise((0, 3, 6, 8))]
    assert [float(row["train_loss"]) for row in rows] == pytest.approx(means)
    assert [float(row["train_twice"]) for row in rows] == pytest.approx([2 * mean for mean in means])
    for row, logged in zip(rows, train.tracker.rows, strict=True):
        assert {key: float(value) for key, value in row.items()} == {key: float(logged[key]) for key in row}
        assert logged["logged_step"] == logged["step"]


def test_a_metric_that_appears_later_has_a_column_of_its_own(train):
    values = iter([{"val_loss": 2.0}, {"val_loss": 1.0, "val_perplexity": 7.0}])
    train(validate=lambda: next(values), max_steps=6)
    with open(train.history) as file:
        assert [row["val_perplexity"] for row in csv.DictReader(file)] == ["", "7.0"]


def test_weights_that_are_frozen_stay(train):
    objective = Regression()
    objective.frozen = nn.Parameter(torch.ones(2), requires_grad=False)
    train(objective=objective, weight_decay=0.5)
    assert torch.equal(objective.frozen, torch.ones(2))


def test_dropout_is_for_training_alone(train):
    class Watched(Regression):
        def forward(self, x, y):
            modes.append(self.training)
            return super().forward(x, y)

    modes: list[bool] = []
    objective = train(objective=Watched(), max_steps=4, val_every=2)
    assert modes == [True, True, False, True, True, False]
    assert not objective.training


def lines_about(printed, what):
    return [line for line in printed.splitlines() if what in line]


def test_the_time_that_is_left_is_said_after_a_few_steps(train, capfd):
    """Once, and before the first validation, which may be a quarter of an hour away."""
    train(max_steps=40, val_every=30)
    printed = capfd.readouterr().out
    first, *others = printed.splitlines()
    assert first.startswith("stage 1 sparse: up to 40 steps, 4 weights, on cpu")
    (line,) = lines_about(printed, "validations not counted")
    assert line.startswith("stage 1 sparse: step 11/40, ")
    assert " min left at most" in line
    assert others.index(line) == 0


def test_where_the_first_validation_says_it_no_line_is_added(train, capfd):
    train(max_steps=12, val_every=3)
    assert not lines_about(capfd.readouterr().out, "validations not counted")


def test_steps_that_are_slow_say_it_after_a_few_seconds(train, capfd, monkeypatch):
    now = iter(range(0, 100_000, 7))
    monkeypatch.setattr("sparsevq.training.loop.time.perf_counter", lambda: float(next(now)))
    train(max_steps=20, val_every=20)
    (line,) = lines_about(capfd.readouterr().out, "validations not counted")
    assert int(line.split("step ")[1].split("/")[0]) < 11
