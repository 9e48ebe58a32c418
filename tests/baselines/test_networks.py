"""Trained baselines: what they are given, what they learn, and what they must not see."""

import dataclasses
import json

import numpy as np
import pytest
import torch

from sparsevq.baselines.cost import Cost, read_cost, write_cost
from sparsevq.baselines.networks.fno import spectral
from sparsevq.baselines.networks.registry import NETWORKS, load_network
from sparsevq.baselines.networks.rollout import Rollout
from sparsevq.baselines.registry import baseline
from sparsevq.baselines.task import Task
from sparsevq.config import Config, EvaluationConfig, Symmetries, parse
from sparsevq.data.flows import TrainingFlows
from sparsevq.errors import SparseVQError
from sparsevq.evaluation.metrics import relative_l2
from sparsevq.forecasting.cases import Cases
from sparsevq.models.periodic import wrap_around
from sparsevq.runtime.model_file import load_model
from sparsevq.training.stage import train
from tests.baselines.scenes import make_scene, persistence_error, stage_of
from tests.flows import on_a_sphere, scattered_waves, travelling_waves

SMALL = {
    "fno": {"width": 8, "modes": 6, "layers": 2, "lr": 1e-2},
    "unet": {"widths": (8, 8, 16, 16, 16), "lr": 4e-3},
}
PACKAGES = {"fno": "neuralop", "unet": "monai"}
MISSING = "optional packages of requirements-networks.lock are missing"


class Silent:
    """A tracker that keeps nothing."""

    def log_metrics(self, metrics, step):
        pass


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return make_scene(tmp_path_factory.mktemp("scene"))


def small_stage(made, network, **settings):
    kind = network.removeprefix("voronoi_")
    pytest.importorskip(PACKAGES[kind], reason=MISSING)
    return stage_of(made, network, **{"warmup_steps": 5, "batch_frames": 8, **SMALL[kind], **settings})


def task_of(made, models, horizon=4):
    test = np.repeat(made.data.trajectories("test"), 2)
    start = np.tile([2, 6], len(test) // 2)
    return Task(
        data=made.data,
        basis=made.basis,
        training=TrainingFlows(made.data),
        sparse=made.sparse,
        reads=made.reads,
        cases=Cases(test, start, np.ones_like(start), np.arange(1.0, horizon + 1), "s", 0),
        reconstruction=np.zeros((len(test), *made.basis.mean.shape), np.float32),
        settings=EvaluationConfig(members=4),
        models=models,
    )


# ------------------------------------------------------------------------------------------------ what they are given


def test_windows_are_of_the_flows_and_their_mirror_images(made):
    stage = small_stage(made, "unet", max_steps=2, symmetries=Symmetries(reflect=("y",), variants=2))
    flows, data = stage.flows, made.data
    assert flows.training == 2 * len(data.trajectories("train"))
    starts = flows.draw(200, torch.Generator().manual_seed(0), 2, 3)
    assert starts.last.min() == 1 and starts.last.max() == data.fields.shape[1] - 4
    truth, valid = flows.truth(starts, 3)
    readings = flows.readings(starts, 2)
    assert readings.shape == (200, 2, made.reads.sum())
    at_sensors = truth[:, 0, torch.from_numpy(made.sparse)][..., torch.from_numpy(made.reads[0])]
    torch.testing.assert_close(readings[:, 1], at_sensors.flatten(1))
    assert (truth.movedim(1, -1)[~valid] == 0).all()
    # each is a frame of a flow of `TrainingFlows`, which the other baselines learn from
    every = [
        np.where(inside[:, None], made.basis.normalised(fields), 0)
        for fields, inside in TrainingFlows(data, Symmetries(reflect=("y",), variants=2), seed=1)
    ]
    for row in range(5):
        mine, last = truth[row].numpy(), int(starts.last[row])
        assert min(np.abs(fields[last : last + 4] - mine).max() for fields in every) < 1e-5


def test_coefficients_are_projections_of_the_frames(made):
    flows = small_stage(made, "unet", max_steps=2).flows
    starts = flows.draw(3, torch.Generator().manual_seed(0), 2, 1)
    found = flows.coefficients(starts, 1, observed=2)
    truth, valid = flows.truth(starts, 1)
    expected = made.basis.project(truth[:, 0].numpy(), valid.numpy())
    np.testing.assert_allclose(found[:, 1], expected, atol=1e-4)
    assert found.shape == (3, 3, len(made.basis.modes))


def test_the_estimate_is_the_optimal_interpolation(made):
    stage = small_stage(made, "unet", max_steps=2)
    scene = stage.module.scene
    readings = np.random.default_rng(0).normal(size=(2, scene.readings)).astype(np.float32)
    prior = np.diag(made.basis.std**2)
    at_sensors = made.basis.modes[:, made.sparse][:, made.reads].T
    error = scene.strength * np.eye(len(at_sensors))
    gain = prior @ at_sensors.T @ np.linalg.pinv(at_sensors @ prior @ at_sensors.T + error)
    expected = np.einsum("br,rnc->bnc", readings @ gain.T, made.basis.modes)
    np.testing.assert_allclose(scene.estimate(torch.from_numpy(readings)), expected, rtol=2e-2, atol=2e-3)


def test_the_mosaic_is_of_the_nearest_sensor_around_periodic_axes_and_the_globe(tmp_path):
    for data in (travelling_waves(trajectories=8, obstacle=False), on_a_sphere(trajectories=8)):
        made = make_scene(tmp_path, data=data, sensors=5)
        from sparsevq.baselines.networks.scene import Scene

        scene = Scene.of(data, made.basis, made.sparse, made.reads, torch.device("cpu"), strength=0.1)
        numbers = torch.arange(5.0).repeat_interleave(2)[None]
        mosaic = scene.tessellated(numbers)[0, 0].flatten().numpy()
        assert (mosaic[made.sparse] == np.arange(5)).all()
        places = data.physical_coordinates
        if data.name == "sphere":
            lat, lon = np.deg2rad(places).T
            on_ball = np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], -1)
            apart = np.linalg.norm(on_ball[:, None] - on_ball[made.sparse], axis=-1)
        else:
            off = np.abs(places[:, None] - places[made.sparse])
            off[..., 1] = np.minimum(off[..., 1], 1 - off[..., 1])  # x is periodic
            apart = np.linalg.norm(off, axis=-1)
        chosen = np.take_along_axis(apart, mosaic.astype(int)[:, None], axis=1)[:, 0]
        np.testing.assert_allclose(chosen, apart.min(axis=1), atol=1e-9)


def test_a_channel_that_no_sensor_reads_is_zero_in_the_mosaic(tmp_path):
    made = make_scene(tmp_path, sensors=5)
    from sparsevq.baselines.networks.scene import Scene

    reads = np.tile([True, False], (5, 1))
    reads[2] = [False, False]
    scene = Scene.of(made.data, made.basis, made.sparse, reads, torch.device("cpu"))
    mosaic = scene.tessellated(torch.arange(1.0, 5.0)[None])
    assert (mosaic[0, 1] == 0).all()
    assert set(mosaic[0, 0].flatten().tolist()) == {1, 2, 3, 4}
    assert scene.marked.sum() == 5


# ------------------------------------------------------------------------------------------------ networks


@pytest.mark.parametrize("grid", [(12, 15), (8, 12, 10)])
def test_the_spectral_convolution_is_that_of_neuraloperator(grid):
    convolution = pytest.importorskip("neuralop.layers.spectral_convolution", reason=MISSING)
    modes = (4, 6, 4)[: len(grid)]
    theirs = convolution.SpectralConv(3, 5, modes, bias=False)
    x = torch.randn(2, 3, *grid)
    weight = theirs.weight.to_tensor().detach()
    # they store negative wavenumbers first, ours come last; on odd sizes (but the last) theirs shifts back by one less
    ordered = torch.roll(weight, [(size + 1) // 2 for size in weight.shape[2:-1]], list(range(2, weight.ndim - 1)))
    torch.testing.assert_close(spectral(x, ordered), theirs(x).detach(), atol=1e-4, rtol=1e-4)


def test_a_u_net_sees_across_periodic_ends_alone():
    nets = pytest.importorskip("monai.networks.nets", reason=MISSING)
    torch.manual_seed(0)
    net = nets.BasicUNet(2, 1, 1, features=(4, 4, 4, 4, 4, 4), norm=("group", {"num_groups": 4}))
    wrap_around(net, (False, True))
    x = torch.randn(1, 1, 32, 32)
    torch.testing.assert_close(net(x.roll(16, 3)), net(x).roll(16, 3), atol=1e-5, rtol=1e-4)
    assert not torch.allclose(net(x.roll(16, 2))[..., :8, :], net(x).roll(16, 2)[..., :8, :], atol=1e-3)


def test_rollouts_grow_in_the_last_part_of_the_training(made):
    network = small_stage(made, "unet", max_steps=10, rollout_share=0.4, rollout_frames=5).module
    assert [network.leads(done) for done in (0, 0.59, 0.61, 0.99)] == [1, 1, 2, 5]
    assert network.leads(1.0) == 5
    rows = network.draw(small_stage(made, "unet", max_steps=10).flows, torch.Generator(), 0.99, slice(None))
    assert rows[1].shape[:2] == (1, 6) and rows[3] is None


@pytest.mark.parametrize("network", [*SMALL, "voronoi_fno", "voronoi_unet"])
def test_a_trained_network_beats_persistence_and_forecasts_from_its_file(made, tmp_path, network):
    steps = 120 if network.startswith("voronoi") else 60
    stage = small_stage(made, network, max_steps=steps, val_every=20)
    before = stage.validate()["val_relative_l2_anomalies"]
    train(stage, tmp_path / network, tracker=Silent())
    after = stage.validate()["val_relative_l2_anomalies"]
    assert after < 0.75 * persistence_error(stage) and after < 0.8 * before
    path = tmp_path / network / "model.safetensors"
    write_cost(path.with_name("cost.json"), Cost(stage.module.parameters_count(), stage.seconds, stage.steps))

    header = load_model(path, "baseline")
    assert header.extra["network"] == network and header.extra["parameters"] == stage.module.parameters_count()
    loaded, _ = load_network(path, made.data, made.basis, made.sparse, made.reads, torch.device("cpu"))
    torch.testing.assert_close(loaded.forecast(stage.val_readings, 4), stage.module.forecast(stage.val_readings, 4))

    task = task_of(made, {network: path})
    found = baseline(network, task)
    assert found.fields.shape == (4, 5, made.data.num_points, 2)
    assert found.cost.parameters == stage.module.parameters_count() and found.cost.steps == steps
    truth = np.stack([task.cases.truth(made.data, case) for case in range(4)])
    valid = made.data.flat_mask[task.cases.trajectory][:, None]
    mean = made.basis.mean
    ours, none = (
        relative_l2(guess - mean, truth - mean, valid)[:, 1:, -1].mean() for guess in (found.fields, mean + 0 * truth)
    )
    assert ours < 0.8 * none
    assert len(found.ensemble.drawn[0]) == 4
    _blind(made, task, network, found)
    if network in PACKAGES:
        _oracle(task, network, found, truth - mean, valid)


def _blind(made, task, network, found):
    """Nothing of a test trajectory matters but its readings in the observed frame."""
    fields, mask = made.data.fields.copy(), made.data.mask.copy()
    hidden = dataclasses.replace(made.data, fields=fields, mask=mask)
    kept = hidden.flat_fields[task.cases.trajectory, task.cases.start_frame][:, task.sparse].copy()
    fields[made.data.trajectories("test")], mask[made.data.trajectories("test")] = 9.0, True
    for row, (trajectory, start) in enumerate(zip(task.cases.trajectory, task.cases.start_frame, strict=True)):
        hidden.flat_fields[trajectory, start, task.sparse] = kept[row]
    again = baseline(network, dataclasses.replace(task, data=hidden))
    np.testing.assert_array_equal(again.fields, found.fields)


def _oracle(task, network, found, truth, valid):
    """From the dense frame lead 0 is the truth, and the next frames are nearer to it than those from readings."""
    oracle = baseline(f"dense_{network}", task)
    error = [
        relative_l2(forecast.fields - task.basis.mean, truth, valid)[..., -1].mean(axis=0)
        for forecast in (oracle, found)
    ]
    assert error[0][0] < 1e-5
    assert error[0][1] < error[1][1]


def test_a_training_gives_the_same_weights_again(made, tmp_path):
    models = []
    for attempt in ("one", "two"):
        stage = small_stage(made, "unet", max_steps=4, val_every=2, rollout_frames=3)
        train(stage, tmp_path / attempt, tracker=Silent())
        models.append((tmp_path / attempt / "model.safetensors").read_bytes())
    assert models[0] == models[1]


DATA = {"3d": travelling_waves(8, 8, (16, 16, 16)), "globe": on_a_sphere(8, 8, (16, 32))}


@pytest.mark.parametrize("data", DATA.values(), ids=DATA)
@pytest.mark.parametrize("network", ["fno", "voronoi_unet"])
def test_networks_of_three_dimensions_and_of_the_globe(tmp_path, data, network):
    made = make_scene(tmp_path, data=data, modes=10)
    settings = {"widths": (4, 4, 8, 8, 8)} if network.endswith("unet") else {"width": 4, "modes": 4}
    stage = small_stage(made, network, max_steps=2, val_every=1, rollout_frames=2, **settings)
    train(stage, tmp_path / network, tracker=Silent())
    found = stage.module.forecast(stage.val_readings, 4)
    assert found.shape == (len(stage.val_readings), 5, data.num_points, 2) and found.isfinite().all()


# ------------------------------------------------------------------------------------------------ what is refused


def test_scattered_points_and_small_grids_are_refused(tmp_path):
    made = make_scene(tmp_path, data=scattered_waves(trajectories=8))
    for network in (name for name, kind in NETWORKS.items() if issubclass(kind, Rollout)):
        with pytest.raises(SparseVQError, match=r"needs a grid, but the points of scattered are scattered"):
            stage_of(made, network)
    made = make_scene(tmp_path, data=travelling_waves(8, 8, (16, 12)))
    with pytest.raises(SparseVQError, match="unet needs 16 points along each axis, but waves has 16 x 12"):
        stage_of(made, "unet")


def test_a_missing_model_or_cost_is_named(made, tmp_path):
    with pytest.raises(SparseVQError, match="baseline dense_fno: there is no model of fno"):
        baseline("dense_fno", task_of(made, {}))
    with pytest.raises(SparseVQError, match=r"cost\.json does not tell what the training"):
        read_cost(tmp_path / "model.safetensors")
    (tmp_path / "cost.json").write_text(json.dumps({"parameters": 1}))
    with pytest.raises(SparseVQError, match="train it again"):
        read_cost(tmp_path / "model.safetensors")


def test_a_package_that_is_missing_is_named(monkeypatch):
    import sparsevq.baselines.networks.optional as optional

    def missing(module):
        raise ModuleNotFoundError("No module named 'monai'", name="monai")

    monkeypatch.setattr(optional, "import_module", missing)
    with pytest.raises(SparseVQError, match="the baseline unet needs the package monai"):
        optional.needed("monai.networks.nets", "BasicUNet", "unet")


def test_the_configuration_names_what_is_trained():
    config = parse(Config, {"evaluation": {"baselines": ["ridge", "dense_fno", "voronoi_unet", "unet"]}}, "test")
    assert config.evaluation.networks == ("fno", "unet", "voronoi_unet")
    assert config.networks.of("voronoi_unet") is config.networks.unet
    with pytest.raises(SparseVQError, match="widths"):
        parse(Config, {"networks": {"unet": {"widths": [6, 8, 8, 8, 8]}}}, "test")
    with pytest.raises(SparseVQError, match="named more than once"):
        parse(Config, {"evaluation": {"baselines": ["fno", "fno"]}}, "test")


def test_oracles_are_never_the_best(tmp_path):
    import pandas as pd

    from sparsevq.evaluation.intervals import Resampled
    from sparsevq.evaluation.labels import ORACLES, method_style

    errors = pd.DataFrame({0: [0.5, 0.1, 0.9], 1: [0.6, 0.1, 0.9]}, index=["fno", "dense_fno", "ridge"])
    assert Resampled(errors).surely_best() == "dense_fno"
    assert Resampled(errors).surely_best(ORACLES) == "fno"
    assert all(method_style(name).label.startswith("oracle") for name in ORACLES)
