"""Stage 1 on POD modes: exact in their span, the same for one set of sensors however it is given, as a file too."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from sparsevq.basis.basis import compute_basis
from sparsevq.config import Stage1Config, Symmetries
from sparsevq.data.device_fields import DeviceFields, Views
from sparsevq.data.layout import write_data
from sparsevq.data.parameters import known_parameters
from sparsevq.errors import SparseVQError
from sparsevq.models.modal import ModalConfig, ModalLatents
from sparsevq.runs.run import Run
from sparsevq.runtime.model_file import load_model, save_model
from sparsevq.sensors.placement import write_sensors
from sparsevq.sensors.readings import Readings
from sparsevq.stage1.encoding import load_encoders, load_stage1
from sparsevq.stage1.fit import encoder_stage
from sparsevq.stage1.modal import ModalModel, by_place, project
from sparsevq.stage1.model import PerceiverModel, decode_at, decode_everywhere, encode_views
from sparsevq.training.fields import reconstruction_metrics, validation_views
from tests.chain import STAGE1, Chain, fabric, write_small_flow
from tests.flows import on_a_sphere, scattered_waves, travelling_waves

CPU = torch.device("cpu")
MODAL = {"modes": 12, "num_latents": 4, "examples": 30}
SINCE = ("modes", "examples", "noise", "complete", "parameters")
"""Settings that models of earlier versions do not have."""


@pytest.fixture(scope="module")
def modal(tmp_path_factory):
    """Both encoders of a small flow with some noise, which a few sensors cannot tell; tests only read them."""
    chain = Chain(tmp_path_factory.mktemp("modal"))
    write_small_flow(chain)
    data, sensors = chain.data, chain.sensors
    noise = np.random.default_rng(0).normal(0, 0.2, data.fields.shape)
    data.fields[...] += np.where(data.mask[:, None, ..., None], noise, 0)
    write_data(chain.data_path, data)
    chain.basis()
    write_sensors(chain.sensors_path, sensors, {"data": chain.data_path})
    for role in ("semi_sparse", "sparse"):
        chain.encoder(role, **MODAL)
    return chain


@pytest.fixture
def sparse(modal):
    return load_stage1(modal.run(), "sparse", CPU)


@pytest.fixture
def teacher(modal):
    return load_stage1(modal.run(), "semi_sparse", CPU)


def projecting(data, modes=6, symmetries=None):
    """A model whose latents are the projection of dense fields, and the fields."""
    basis = compute_basis(data, symmetries, modes)
    config = ModalConfig(
        channels=len(data.channels), modes=len(basis.modes), num_latents=4, readings=0, examples=0, held_out=0
    )
    model = ModalModel(settings=Stage1Config(modes=modes), basis=basis, latents=ModalLatents(config))
    return model, DeviceFields(data, symmetries or Symmetries(), CPU, basis)


def frames(fields, trajectory=0, count=3):
    return fields.views(torch.tensor([trajectory]), torch.arange(count))


def in_span(data, basis, trajectory=0):
    """The data set with a trajectory in the span of the modes; its coefficients (F, r)."""
    wanted = np.random.default_rng(0).normal(size=(data.fields.shape[1], len(basis.modes))) * basis.std
    data.flat_fields[trajectory] = basis.mean + basis.scale * np.einsum("fk,knc->fnc", wanted, basis.modes)
    return torch.tensor(wanted, dtype=torch.float32)


def observed(data, points, trajectory=6, frame=4):
    """What a user writes down: places and values (n, C), and that they are exact."""
    values = data.flat_fields[trajectory, frame, points].astype(float)
    return data.physical_coordinates[points], values, np.zeros_like(values)


# ------------------------------------------------------------------------------------------------ latents and fields


@pytest.mark.parametrize("make", [lambda: travelling_waves(obstacle=False), on_a_sphere, scattered_waves])
def test_a_field_in_the_span_of_the_modes_is_reproduced_at_all_points(make):
    data = make()
    model, fields = projecting(data)
    wanted = in_span(data, model.basis)
    views = frames(fields, count=len(wanted))
    latents = encode_views(model, fields, views)
    scale = model.basis.std[0]
    torch.testing.assert_close(model.latents.to_coefficients(latents), wanted, rtol=0, atol=1e-4 * scale)
    guess = decode_everywhere(model, latents)
    truth, _ = fields.gather(views, torch.arange(fields.points))
    torch.testing.assert_close(guess, truth, rtol=0, atol=1e-3 * scale)
    points = torch.tensor([5, 0, 30])
    torch.testing.assert_close(decode_at(model, latents, points), guess[:, points])


@pytest.mark.parametrize("modes", [1, 3, 4, 5, 12])
def test_coefficients_are_laid_out_as_latents_and_back(modes):
    module = ModalLatents(ModalConfig(2, modes, 4, 0, 0, 0))
    coefficients = torch.randn(3, modes, generator=torch.Generator().manual_seed(0))
    latents = module.to_latents(coefficients)
    assert latents.shape == (3, 4, module.config.latent_channels)
    assert torch.equal(module.to_coefficients(latents), coefficients)
    assert not latents.flatten(1)[:, modes:].any(), "zeros after the last"


def test_distances_of_latents_are_those_of_fields():
    data = travelling_waves(obstacle=False)
    model, fields = projecting(data)
    in_span(data, model.basis)
    latents = encode_views(model, fields, frames(fields, count=2))
    truth, _ = fields.gather(frames(fields, count=2), torch.arange(fields.points))
    between = ((truth[0] - truth[1]).square().sum(-1) * fields.weights).mean()
    torch.testing.assert_close((latents[0] - latents[1]).square().sum(), between, rtol=1e-3, atol=0)


def test_inside_an_obstacle_there_is_no_anomaly():
    data = travelling_waves()
    model, fields = projecting(data)
    before = encode_views(model, fields, frames(fields))
    anomalies = np.where(data.flat_mask[0][:, None], model.basis.normalised(data.flat_fields[0, :3]), 0)
    expected = model.basis.project(anomalies, data.flat_mask[:1])
    np.testing.assert_allclose(before.flatten(1)[:, :6], expected, atol=1e-4)
    data.flat_fields[0, :, ~data.flat_mask[0]] = 1e3
    torch.testing.assert_close(encode_views(model, fields, frames(fields)), before)


def test_a_mirrored_frame_has_the_coefficients_of_a_mirrored_data_set():
    data = travelling_waves()
    model, fields = projecting(data, symmetries=Symmetries(reflect=("y",)))
    mirrored = replace(
        data,
        fields=np.ascontiguousarray(np.flip(data.fields, 2) * np.float32([1, -1])),
        mask=np.ascontiguousarray(np.flip(data.mask, 1)),
    )
    views = frames(fields)
    found = encode_views(model, fields, Views(views.trajectory, views.frame, torch.ones_like(views.symmetry)))
    expected = encode_views(model, DeviceFields(mirrored, Symmetries(), CPU, model.basis), views)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_dense_frames_are_projected_part_by_part(teacher, modal, monkeypatch):
    fields = modal.fields()
    views = frames(fields, count=10)
    whole = project(teacher.modes, fields, views)
    monkeypatch.setattr("sparsevq.stage1.modal.DENSE_VALUES_AT_ONCE", 3 * 192)
    torch.testing.assert_close(project(teacher.modes, fields, views), whole, rtol=1e-4, atol=1e-5)


def test_the_modes_are_not_read_again_for_every_large_frame(teacher, modal, monkeypatch):
    fields, gathered = modal.fields(), []
    gather = fields.gather
    monkeypatch.setattr(fields, "gather", lambda views, points: (gathered.append(len(views)), gather(views, points))[1])
    monkeypatch.setattr("sparsevq.stage1.modal.DENSE_VALUES_AT_ONCE", 1)
    monkeypatch.setattr("sparsevq.stage1.modal.MODES_A_FRAME", 5)
    count = teacher.modes.shape[-1] // 5
    assert count > 1
    project(teacher.modes, fields, frames(fields, count=10))
    assert gathered[0] == count and sum(gathered) == 10


# ------------------------------------------------------------------------------------------------ files


@pytest.mark.parametrize("role", ["sparse", "semi_sparse"])
def test_a_model_that_is_loaded_is_as_good_as_when_it_was_made(modal, role):
    model, fields = load_stage1(modal.run(), role, CPU), modal.fields()
    val = validation_views(modal.data, fields)
    again = reconstruction_metrics(fields, val, decode_everywhere(model, encode_views(model, fields, val)))
    file = load_model(modal.model(role), role)
    assert again == pytest.approx({name: file.extra["validation"][name] for name in again}, rel=1e-5)
    assert file.made_from == modal.run().digests("data", "basis", "sensors")
    assert Stage1Config(**file.settings) == STAGE1.model_copy(update=MODAL)
    assert model.latent_shape == (4, 3)


def test_the_same_data_give_the_same_file_and_the_seed_chooses_examples(modal, tmp_path):
    again, _ = modal.encoder("sparse", tmp_path / "again", **MODAL)
    assert (again / "model.safetensors").read_bytes() == modal.model("sparse").read_bytes()
    other, _ = modal.encoder("sparse", tmp_path / "other", seed=2, **MODAL)
    files = (modal.model("sparse"), other / "model.safetensors")
    examples = [load_model(path, "sparse").weights["examples"] for path in files]
    assert examples[0].shape == (30, 12)
    assert not torch.equal(*examples)


def test_the_estimate_is_no_worse_than_the_linear_one(modal):
    validation = load_model(modal.model("sparse"), "sparse").extra["validation"]
    assert validation["val_relative_l2"] <= validation["val_linear_relative_l2"] * (1 + 1e-4)
    teacher = load_model(modal.model("semi_sparse"), "semi_sparse").extra["validation"]
    assert "val_linear_relative_l2" not in teacher
    assert teacher["val_relative_l2"] < validation["val_relative_l2"]


def test_complete_latents_may_be_estimated_from_the_semi_sparse_sensors(modal, tmp_path):
    modal.encoder("semi_sparse", tmp_path, **MODAL, complete="sensors")
    run = modal.run(semi_sparse=tmp_path / "model.safetensors")
    teacher, fields = load_stage1(run, "semi_sparse", CPU), modal.fields()
    assert set(teacher.sensors.where.tolist()) == set(modal.sensors.semi_sparse)
    assert teacher.latents.config.readings == 18 * 2
    views = frames(fields, trajectory=6)
    estimated, projected = encode_views(teacher, fields, views), project(teacher.modes, fields, views)
    estimated = teacher.latents.to_coefficients(estimated)
    assert 1e-4 < (estimated - projected).norm() / projected.norm() < 0.5


def test_there_may_be_fewer_modes_than_asked_for(modal, tmp_path, capsys):
    modal.encoder("semi_sparse", tmp_path, **MODAL | {"modes": 5000})
    kept = len(modal.run().basis.modes)
    assert kept <= 20
    assert f"the basis has {kept} modes, not 5000" in capsys.readouterr().out
    model = load_stage1(modal.run(semi_sparse=tmp_path / "model.safetensors"), "semi_sparse", CPU)
    assert model.latents.config.modes == kept


def test_without_examples_the_estimate_is_linear(modal, tmp_path):
    modal.encoder("sparse", tmp_path, **MODAL | {"examples": 0})
    model = load_stage1(modal.run(sparse=tmp_path / "model.safetensors"), "sparse", CPU)
    fields = modal.fields()
    views = frames(fields, trajectory=6)
    assert torch.equal(encode_views(model, fields, views), model.encode_linear(fields, views))


def test_a_model_of_an_earlier_version_is_normalised_by_one_mean_a_channel(trained, tmp_path):
    """Its file names no basis, and its run needs none."""
    old = load_model(trained.model("sparse"), "sparse")
    made_from = {name: digest for name, digest in old.made_from.items() if name != "basis"}
    new = load_stage1(trained.run(), "sparse", CPU)
    save_model(
        tmp_path / "model.safetensors",
        new.autoencoder,
        "sparse",
        shape=old.shape,
        settings={name: value for name, value in old.settings.items() if name not in SINCE},
        made_from=made_from,
        extra={"grid": old.extra["grid"], "points": old.extra["points"]},
    )
    run = Run(None, data=trained.data_path, sensors=trained.sensors_path, sparse=tmp_path / "model.safetensors")
    model = load_stage1(run, "sparse", CPU)
    assert isinstance(model, PerceiverModel) and model.basis is None
    fields = DeviceFields(trained.data, Symmetries(), CPU, model.basis)
    expected = encode_views(model, fields, frames(fields, trajectory=6)[2:])
    found = model.encode_readings(trained.data, Readings(*observed(trained.data, trained.sensors.sparse, 6, 2)))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    values, _ = fields.gather(frames(fields, count=1), torch.arange(fields.points))
    data = trained.data
    np.testing.assert_allclose(values[0], (data.flat_fields[0, 0] - data.mean) / data.std, rtol=1e-4, atol=1e-5)


# ------------------------------------------------------------------------------------------------ sensors


def test_readings_at_the_sensors_give_the_latents_of_their_frame(modal, sparse):
    fields, data = modal.fields(), modal.data
    expected = encode_views(sparse, fields, Views(*torch.tensor([[6], [4], [0]])))
    places, values, noise = observed(data, modal.sensors.sparse)
    torch.testing.assert_close(
        sparse.encode_readings(data, Readings(places, values, noise)), expected, rtol=1e-3, atol=1e-4
    )
    assert not sparse.fitted, "the stored estimate is that of these sensors: nothing is solved for"
    order = np.random.default_rng(0).permutation(len(places))
    again = sparse.encode_readings(data, Readings(places[order], values[order], noise[order]))
    assert torch.equal(again, sparse.encode_readings(data, Readings(places, values, noise))), "in any order"


def test_the_order_of_the_sensors_in_their_file_does_not_matter(modal, sparse, tmp_path):
    """Sensors of two runs may be joined to one file (a past bug: readings went to other sensors' columns)."""
    sensors = modal.sensors
    count = len(sensors.sparse)
    order = np.concatenate([np.arange(count)[::-1], np.arange(count, len(sensors.semi_sparse))])
    turned = replace(
        sensors,
        sparse=sensors.sparse[::-1].copy(),
        semi_sparse=sensors.semi_sparse[order],
        coordinates=sensors.coordinates[order],
        channels=sensors.channels[order],
    )
    write_sensors(tmp_path / "sensors.h5", turned, {"data": modal.data_path})
    other = load_stage1(modal.run(sensors=tmp_path / "sensors.h5"), "sparse", CPU)
    fields = modal.fields()
    views = frames(fields, trajectory=6)
    assert torch.equal(encode_views(other, fields, views), encode_views(sparse, fields, views))


def test_a_channel_that_is_not_read_has_no_influence(modal, sparse):
    """In readings its cell is empty; in frames its values do not matter."""
    data = modal.data
    places, values, noise = observed(data, modal.sensors.sparse)
    where, reads = by_place(modal.sensors, "sparse", CPU)
    reads[:, 1] = False
    values[:, 1] = np.nan
    model, view = sparse.seeing(where, reads), Views(*torch.tensor([[6], [4], [0]]))
    expected = encode_views(model, modal.fields(), view)
    found = sparse.encode_readings(data, Readings(places, values, noise))
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)
    assert (found - encode_views(sparse, modal.fields(), view)).abs().max() > 1e-3
    data.flat_fields[..., 1] = 1e3
    torch.testing.assert_close(encode_views(model, DeviceFields(data, Symmetries(), CPU, sparse.basis), view), expected)


def test_other_sensors_need_no_training(modal, sparse):
    """The more there are, the nearer to the projection of the dense field."""
    fields, data = modal.fields(), modal.data
    views = frames(fields, trajectory=6, count=10)
    wanted = project(sparse.modes, fields, views)
    always = np.flatnonzero(data.flat_mask.all(axis=0))
    points = torch.from_numpy(np.random.default_rng(0).permutation(always))
    errors = []
    for count in (2, 8, 40):
        model = sparse.seeing(points[:count], torch.ones(count, 2, dtype=torch.bool))
        latents = encode_views(model, fields, views)
        errors.append(float((model.latents.to_coefficients(latents) - wanted).norm() / wanted.norm()))
    assert errors[0] > errors[1] > errors[2]
    assert errors[2] < 0.2


def test_sensors_between_the_points_of_the_grid(modal, sparse):
    """Of a field that is linear between them, readings there are as good as at the points."""
    data = modal.data
    basis = sparse.basis
    wanted = torch.tensor(basis.std * np.random.default_rng(1).normal(size=len(basis.std)), dtype=torch.float32)
    rng = np.random.default_rng(0)
    places = np.stack([rng.uniform(low, high, 60) for low, high in data.domain.values()], axis=1)
    at = basis.at(data, places)
    values = (at.mean + basis.scale * np.einsum("k,knc->nc", wanted, at.modes)).astype(float)
    estimator = sparse.estimator(at, np.ones(values.shape, bool), np.zeros(values.shape))
    normalised = torch.tensor((values - at.mean) / basis.scale, dtype=torch.float32).flatten()[None]
    assert (estimator.linear(normalised)[0] - wanted).norm() < 0.15 * wanted.norm()
    found = sparse.encode_readings(data, Readings(places, values, np.zeros_like(values)))
    assert found.shape == (1, 4, 3)
    assert (found.flatten() - wanted).norm() < 0.3 * wanted.norm()


def test_noise_of_readings_takes_them_nearer_to_the_mean(modal, sparse):
    places, values, noise = observed(modal.data, modal.sensors.sparse)
    exact, vague = (sparse.encode_readings(modal.data, Readings(places, values, noise + std)) for std in (0, 1e3))
    assert vague.norm() < 0.1 * exact.norm()


def test_noise_in_training_is_in_units_of_the_anomalies(modal, sparse, tmp_path):
    modal.encoder("sparse", tmp_path, **MODAL, noise=0.5)
    noisy = load_stage1(modal.run(sparse=tmp_path / "model.safetensors"), "sparse", CPU)
    where, reads = by_place(modal.sensors, "sparse", CPU)
    torch.testing.assert_close(noisy.sensors.estimator.std, sparse.seeing(where, reads, 0.5).sensors.estimator.std)
    assert (noisy.sensors.estimator.std > sparse.sensors.estimator.std).all()


# ------------------------------------------------------------------------------------------------ known parameters


@pytest.fixture(scope="module")
def knowing(modal, tmp_path_factory):
    """An encoder of the same flow that knows how fast its waves are, and how strong."""
    folder = tmp_path_factory.mktemp("knowing")
    modal.encoder("sparse", folder, **MODAL | {"examples": 100}, parameters=("speed", "strength"))
    return load_stage1(modal.run(sparse=folder / "model.safetensors"), "sparse", CPU)


def test_parameters_are_those_of_the_trajectory_whether_read_from_a_data_set_or_given(modal, knowing):
    data = modal.data
    view = Views(*torch.tensor([[6], [4], [0]]))
    expected = encode_views(knowing, modal.fields(), view)
    known = {name: float(data.parameters[name][6]) for name in knowing.parameters}
    assert list(known) == ["speed", "strength"]
    readings = observed(data, modal.sensors.sparse)
    torch.testing.assert_close(
        knowing.encode_readings(data, Readings(*readings), known), expected, rtol=1e-3, atol=1e-4
    )
    kept = knowing.latents.known
    training = data.parameters["speed"][data.trajectories("train")]
    assert float(kept.mean[0]) == pytest.approx(training.mean()) and float(kept.std[0]) == pytest.approx(training.std())
    other = knowing.encode_readings(data, Readings(*readings), known | {"speed": 2 * known["speed"]})
    assert bool((other - expected).abs().max() > 1e-3) == bool(knowing.sensors.estimator.known_weight.any())


def test_other_sensors_know_the_parameters_too(modal, knowing):
    where, reads = by_place(modal.sensors, "sparse", CPU)
    view = Views(*torch.tensor([[6], [4], [0]]))
    again = knowing.seeing(where, reads, knowing.settings.noise)
    assert again.parameters == ("speed", "strength")
    torch.testing.assert_close(encode_views(again, modal.fields(), view), encode_views(knowing, modal.fields(), view))


def test_the_projection_of_the_dense_field_needs_no_parameter(modal, tmp_path):
    modal.encoder("semi_sparse", tmp_path, **MODAL, parameters=("speed",))
    assert load_stage1(modal.run(semi_sparse=tmp_path / "model.safetensors"), "semi_sparse", CPU).parameters == ()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({}, r"parameter 'spede' is not known: its trajectories have speed, strength"),
        (
            {"spede": np.array(["fast"] * 6)},
            r"parameter 'spede' is not a number: its trajectories have speed, strength",
        ),
        ({"spede": np.full(6, 3.0)}, r"parameter 'spede' is 3 in all training trajectories: leave it out"),
        ({"spede": np.array([1.0] * 5 + [np.nan])}, r"parameter 'spede' of trajectory 5 is nan"),
    ],
)
def test_parameters_that_cannot_be_known_are_named(modal, change, message):
    data = modal.data
    with pytest.raises(SparseVQError, match=message):
        known_parameters(replace(data, parameters=data.parameters | change), ("speed", "spede"))


def test_parameters_need_modes_and_examples():
    for settings in ({"modes": 0}, {"modes": 8, "examples": 0}):
        with pytest.raises(ValueError, match=r"parameters=speed has no use with modes="):
            Stage1Config(**settings, parameters=("speed",))


# ------------------------------------------------------------------------------------------------ faults


def partly_reading(chain, path):
    sensors = chain.sensors
    channels = sensors.channels.copy()
    channels[2, 1] = False
    write_sensors(path, replace(sensors, channels=channels), {"data": chain.data_path})
    return chain.run(sensors=path)


def test_sensors_that_read_other_channels_are_other_sensors(modal, tmp_path):
    run = partly_reading(modal, tmp_path / "sensors.h5")
    with pytest.raises(SparseVQError, match=r"with other sensors than the sparse ones .*, or they read other channels"):
        load_stage1(run, "sparse", CPU)
    assert load_stage1(run, "semi_sparse", CPU).sensors is None, "the projection of the dense field has none"


def test_the_papers_encoder_needs_all_channels(trained, tmp_path):
    run = partly_reading(trained, tmp_path / "sensors.h5")
    with pytest.raises(SparseVQError, match=r"sensor 2 reads u only, .*: set stage1.modes, or") as caught:
        encoder_stage(run, "sparse", STAGE1, seed=1, fabric=fabric())
    assert "\n" not in str(caught.value)


def test_there_are_no_weights_to_start_from(modal, tmp_path):
    with pytest.raises(SparseVQError, match=r"stage1.modes=12 trains no weights .*: leave out the model") as caught:
        modal.encoder("sparse", tmp_path, start_from=modal.model("semi_sparse"), **MODAL)
    assert "\n" not in str(caught.value)
    with pytest.raises(ValueError, match=r"warm_start=true has no use with modes=12"):
        Stage1Config(modes=12, warm_start=True)


def test_encoders_of_different_latents_are_refused(modal, tmp_path):
    modal.encoder("semi_sparse", tmp_path, **MODAL | {"num_latents": 6})
    with pytest.raises(SparseVQError, match=r"latents of shape \(4, 3\).* of shape \(6, 2\)"):
        load_encoders(modal.run(semi_sparse=tmp_path / "model.safetensors"), CPU)
