"""Training an encoder: what it writes, what it never looks at, and that it learns."""

import csv
import threading
from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from sparsevq.config import SensorsConfig, Stage1Config, Symmetries
from sparsevq.data.device_fields import DeviceFields
from sparsevq.data.layout import read_data, write_data
from sparsevq.errors import SparseVQError
from sparsevq.models.autoencoder import SensorAutoencoder
from sparsevq.runtime.model_file import load_model
from sparsevq.sensors.placement import place_sensors, write_sensors
from sparsevq.stage1.train import EncoderStage, ReconstructionLoss, autoencoder_config, training_frames
from sparsevq.training.fields import PointsByArea, reconstruction_metrics, validation_points, validation_views
from tests.chain import STAGE1, Chain
from tests.flows import on_a_sphere, travelling_waves

CPU = torch.device("cpu")


def test_an_encoder_and_its_curves_are_written(trained):
    for role in ("sparse", "semi_sparse"):
        file = load_model(trained.model(role), role)
        assert file.made_from == trained.run().digests("data", "basis", "sensors")
        assert Stage1Config(**file.settings) == STAGE1
        with open(trained.folder / role / "history.csv") as history:
            rows = list(csv.DictReader(history))
        assert [row["step"] for row in rows] == ["2", "4"]
        assert list(rows[0]) == ["step", "train_loss", "val_loss", "val_relative_l2", "lr"]
        assert min(float(row["val_loss"]) for row in rows) == pytest.approx(file.extra["validation"]["val_loss"])


def test_the_same_seed_gives_the_same_file(trained, tmp_path):
    again, _ = trained.encoder("sparse", tmp_path / "again")
    assert (again / "model.safetensors").read_bytes() == trained.model("sparse").read_bytes()
    other, _ = trained.encoder("sparse", tmp_path / "other", seed=2)
    assert (other / "model.safetensors").read_bytes() != trained.model("sparse").read_bytes()


def test_an_encoder_does_not_depend_on_where_its_data_are(trained, tmp_path, monkeypatch):
    """Of a mapped data set the batches are drawn ahead, by a thread."""
    threads, draw = set(), EncoderStage.draw

    def noted(self, generator, step):
        threads.add(threading.current_thread().name)
        return draw(self, generator, step)

    monkeypatch.setattr(EncoderStage, "draw", noted)
    trained.encoder("sparse", tmp_path / "read")
    assert len(threads) == 1
    monkeypatch.setattr("sparsevq.runs.run.read_data", partial(read_data, in_memory=0))
    mapped, _ = trained.encoder("sparse", tmp_path / "mapped")
    assert len(threads) == 2
    assert (mapped / "model.safetensors").read_bytes() == trained.model("sparse").read_bytes()


def test_a_validation_gathers_nothing_anew(trained, tmp_path, monkeypatch):
    """What is true of the validation frames, and what is read of them, is kept."""
    gathered, gather = [], DeviceFields.gather

    def counted(self, views, points):
        gathered.append(len(views))
        return gather(self, views, points)

    monkeypatch.setattr(DeviceFields, "gather", counted)
    trained.encoder("sparse", tmp_path, max_steps=4, val_every=1)
    assert gathered == [10, 10, *[STAGE1.batch_frames] * 8]


def test_a_run_may_start_from_another_models_weights(trained, tmp_path):
    start = trained.model("semi_sparse")
    out, _ = trained.encoder("sparse", tmp_path, start_from=start, lr=1e-30, max_steps=1)
    file = load_model(out / "model.safetensors", "sparse")
    for name, weight in load_model(start, "semi_sparse").weights.items():
        assert torch.equal(file.weights[name], weight), name
    assert file.made_from["start"] == load_model(start, "semi_sparse").digest


def test_a_start_of_another_shape_is_one_line(trained, tmp_path):
    with pytest.raises(SparseVQError, match=r"encoder\.queries is \(16, 16\) in the file, \(9, 16\) here"):
        trained.encoder("sparse", tmp_path, start_from=trained.model("semi_sparse"), num_latents=9)


def test_only_training_frames_are_augmented_and_test_frames_are_never_seen(trained, tmp_path, monkeypatch):
    seen = set()
    gather = DeviceFields.gather

    def watched(self, views, points):
        seen.update(zip(views.trajectory.tolist(), views.symmetry.tolist(), strict=True))
        return gather(self, views, points)

    monkeypatch.setattr(DeviceFields, "gather", watched)
    trained.encoder("sparse", tmp_path, max_steps=12)
    assert seen == {(0, 0), (1, 0), (2, 0), (3, 0), (0, 1), (1, 1), (2, 1), (3, 1), (4, 0)}


def test_it_learns(tmp_path):
    """One trajectory by heart; to know nothing but the mean costs 1."""
    chain = Chain(tmp_path)
    data = travelling_waves(trajectories=3, frames=10, grid=(8, 12))
    data.fields[1], data.mask[1] = data.fields[0], data.mask[0]
    write_data(chain.data_path, data)
    chain.basis()
    write_sensors(chain.sensors_path, place_sensors(data, SensorsConfig(num_semi_sparse=12), 6, seed=1))
    settings = {"lr": 1e-2, "max_steps": 200, "val_every": 100, "batch_frames": 16, "symmetries": Symmetries()}
    _, rows = chain.encoder("semi_sparse", **settings)
    assert rows[-1]["val_loss"] < 0.6


# ------------------------------------------------------------------ the loss


@pytest.fixture
def problem():
    data = travelling_waves(grid=(8, 12))
    torch.manual_seed(0)
    autoencoder = SensorAutoencoder(autoencoder_config(data, STAGE1))
    features = torch.randn(96, 16)
    points = torch.randint(96, (40,))
    valid = torch.rand(3, 40) < 0.7
    return SimpleNamespace(
        loss=ReconstructionLoss(autoencoder, features[:5], features),
        autoencoder=autoencoder,
        batch=(torch.randn(3, 5, 2), points, torch.randn(3, 40, 2), valid),
        features=features,
    )


def test_the_loss_is_the_mean_square_over_valid_points_and_channels(problem):
    readings, points, values, valid = problem.batch
    guess = problem.autoencoder(readings, problem.features[:5], problem.features[points])
    expected = (guess - values)[valid].square().mean()
    torch.testing.assert_close(problem.loss(*problem.batch)["loss"], expected)


def test_a_point_inside_an_obstacle_never_matters(problem):
    readings, points, values, valid = problem.batch
    other = torch.where(valid[..., None], values, 1e6)
    assert torch.equal(problem.loss(readings, points, other, valid)["loss"], problem.loss(*problem.batch)["loss"])
    problem.loss(*problem.batch)["loss"].backward()
    gradient = problem.autoencoder.encoder.queries.grad.clone()
    problem.autoencoder.zero_grad()
    problem.loss(readings, points, other, valid)["loss"].backward()
    assert torch.equal(problem.autoencoder.encoder.queries.grad, gradient)


def test_a_batch_that_lies_in_obstacles_alone_costs_nothing(problem):
    readings, points, values, valid = problem.batch
    assert problem.loss(readings, points, values, torch.zeros_like(valid))["loss"] == 0


# ------------------------------------------------------------------ validation


def test_validation_metrics_in_closed_form():
    data = travelling_waves(grid=(8, 12))
    data = replace(data, mean=np.array([0.5, -0.25]), std=np.array([2.0, 0.5]))
    fields = DeviceFields(data, Symmetries(), CPU)
    views = validation_views(data, fields)
    truth, valid = fields.gather(views, torch.arange(96))
    assert reconstruction_metrics(fields, views, truth) == {"val_loss": 0, "val_relative_l2": 0}

    off = truth + torch.tensor([3.0, 1.0])
    assert reconstruction_metrics(fields, views, off)["val_loss"] == pytest.approx((9 + 1) / 2, rel=1e-5)

    nothing = (torch.zeros_like(truth) - fields.mean) / fields.std
    assert reconstruction_metrics(fields, views, nothing)["val_relative_l2"] == pytest.approx(1, rel=1e-5)
    double = (2 * fields.physical(truth) - fields.mean) / fields.std
    assert reconstruction_metrics(fields, views, double)["val_relative_l2"] == pytest.approx(1, rel=1e-5)

    inside = torch.where(valid[..., None], truth, 1e6)
    assert not valid.all()
    assert reconstruction_metrics(fields, views, inside) == {"val_loss": 0, "val_relative_l2": 0}


@pytest.mark.parametrize(("frames", "each"), [(12, 12), (200, 128), (1, 1)])
def test_validation_is_spread_over_whole_validation_trajectories(frames, each):
    data = travelling_waves(frames=frames, grid=(4, 4))
    views = validation_views(data, DeviceFields(data, Symmetries(reflect=("y",)), CPU))
    assert views.trajectory.tolist() == [4] * each
    assert len(set(views.frame.tolist())) == each
    assert (views.frame[0], views.frame[-1]) == (0, frames - 1)
    assert not views.symmetry.any()


def test_validation_frames_are_shared_among_many_trajectories():
    data = travelling_waves(trajectories=40, frames=12, grid=(4, 4))
    data.split[3:35] = "val"
    views = validation_views(data, DeviceFields(data, Symmetries(), CPU))
    assert len(views) <= 132
    assert set(views.trajectory.tolist()) == set(data.trajectories("val").tolist())


def test_data_without_a_validation_split_is_one_line(tmp_path):
    """A user's own file: training needs a validation split."""
    data = travelling_waves(grid=(8, 12))
    data.split[4] = "train"
    with pytest.raises(SparseVQError, match="waves has no trajectory of the split val") as caught:
        validation_views(data, DeviceFields(data, Symmetries(), CPU))
    assert "\n" not in str(caught.value)


# ------------------------------------------------------------------ frames to train on


def test_all_frames_of_the_training_split_by_default():
    data = travelling_waves(trajectories=5, frames=4, grid=(4, 4))
    frames = training_frames(data, STAGE1, seed=0)
    assert frames.tolist() == [[trajectory, frame] for trajectory in range(3) for frame in range(4)]
    assert torch.equal(training_frames(data, STAGE1.model_copy(update={"training_frames": 99}), 0), frames)


@pytest.mark.parametrize("consecutive", [False, True])
def test_some_frames_of_each_training_trajectory(consecutive):
    data = travelling_waves(trajectories=20, frames=30, grid=(4, 4))
    settings = STAGE1.model_copy(update={"training_frames": 5, "consecutive_train": consecutive})
    frames = training_frames(data, settings, seed=0)
    assert torch.equal(training_frames(data, settings, seed=0), frames)
    assert not torch.equal(training_frames(data, settings, seed=1), frames)
    starts = set()
    for trajectory in range(18):
        mine = frames[frames[:, 0] == trajectory, 1]
        assert len(set(mine.tolist())) == 5 and mine.max() < 30
        assert bool((mine.diff() == 1).all()) == consecutive
        starts.add(int(mine[0]))
    assert len(frames) == 18 * 5
    assert len(starts) > 3


def test_points_are_drawn_by_the_area_that_they_stand_for():
    data = on_a_sphere(grid=(12, 24))
    drawn = PointsByArea(data).draw(200_000, torch.Generator().manual_seed(0))
    rows = np.bincount(drawn.numpy() // 24, minlength=12) / len(drawn)
    np.testing.assert_allclose(rows, data.weights.reshape(12, 24).sum(axis=1) / data.num_points, atol=0.003)


def test_points_of_equal_area_are_all_alike():
    drawn = PointsByArea(travelling_waves(grid=(8, 8))).draw(64_000, torch.Generator().manual_seed(0))
    assert np.bincount(drawn.numpy(), minlength=64).min() > 800


def test_an_error_at_a_pole_counts_by_its_area():
    data = on_a_sphere(grid=(6, 8))
    fields = DeviceFields(data, Symmetries(), CPU)
    views = fields.views(torch.tensor([0]), torch.tensor([0]))
    truth, _ = fields.gather(views, torch.arange(fields.points))

    def loss(row: int) -> float:
        guess = truth.clone().reshape(1, 6, 8, 2)
        guess[:, row] += 1
        return reconstruction_metrics(fields, views, guess.reshape(truth.shape))["val_loss"]

    edges = np.sin(np.deg2rad([-90, -60, -30, 0, 30, 60, 90]))
    area = np.diff(edges) / 2  # each row's share of the sphere
    np.testing.assert_allclose([loss(row) for row in range(6)], area, rtol=1e-5)


def test_channels_of_different_units_count_alike():
    """The relative L2 that is shown while training is the evaluation's."""
    data = on_a_sphere(grid=(6, 8))
    fields = DeviceFields(data, Symmetries(), CPU)
    views = fields.views(torch.tensor([0]), torch.tensor([3]))
    truth, _ = fields.gather(views, torch.arange(fields.points))
    guess = truth + 0.1 * torch.randn(truth.shape, generator=torch.Generator().manual_seed(0))
    physical = (fields.physical(guess)[0].numpy() / data.std, data.flat_fields[0, 3] / data.std)
    error, size = (
        np.sqrt((np.square(values).sum(-1) * data.weights).sum()) for values in (physical[0] - physical[1], physical[1])
    )
    found = reconstruction_metrics(fields, views, guess)["val_relative_l2"]
    assert found == pytest.approx(error / size, rel=1e-4)


def test_a_large_grid_is_validated_at_some_of_its_points(monkeypatch):
    """An estimate of the error everywhere, the same at every validation."""
    data = travelling_waves(grid=(40, 40), obstacle=False)
    fields = DeviceFields(data, Symmetries(), CPU)
    views = validation_views(data, fields)
    truth, _ = fields.gather(views, torch.arange(fields.points))
    guess = truth + torch.sin(truth)
    assert validation_points(fields).tolist() == list(range(1600))
    monkeypatch.setattr("sparsevq.training.fields.VALIDATION_POINTS", 400)
    at = validation_points(fields)
    assert len(at.unique()) == 400
    assert torch.equal(at, validation_points(fields))
    everywhere = reconstruction_metrics(fields, views, guess)
    some = reconstruction_metrics(fields, views, guess[:, at], at)
    for name, value in everywhere.items():
        assert some[name] == pytest.approx(value, rel=0.1)


def test_an_encoder_that_starts_from_another_may_take_fewer_steps(trained, tmp_path):
    start = trained.model("semi_sparse")
    for steps, given in ((2, {"start_from": start}), (4, {})):
        out, _ = trained.encoder("sparse", tmp_path / str(steps), warm_steps=2, val_every=1, **given)
        with open(out / "history.csv") as history:
            assert max(int(row["step"]) for row in csv.DictReader(history)) == steps
