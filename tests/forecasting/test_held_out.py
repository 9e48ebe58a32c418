"""Forecasts of the held-out trajectories: what the file holds, and what a forecast may depend on."""

import json
import shutil
from dataclasses import replace

import h5py
import numpy as np
import pytest
import torch

from sparsevq.config import ForecastConfig
from sparsevq.data.layout import write_data
from sparsevq.errors import SparseVQError
from sparsevq.forecasting.held_out import cases
from sparsevq.forecasting.model import Asked, ForecastModel, Seen, load_forecast_model
from sparsevq.models.gpt import GPT, GPTConfig
from sparsevq.models.tokenizer import LatentTokenizer, TokenizerConfig
from sparsevq.runs.codes import read_codes
from sparsevq.runtime.files import digest
from sparsevq.runtime.model_file import load_model, save_model
from sparsevq.stage1.encoding import load_stage1
from sparsevq.stage1.model import decode_everywhere, encode_views
from tests.chain import FORECAST, REGRESSION, Chain, make_modal_chain
from tests.edited import edited

CPU = torch.device("cpu")
LINKS = ("linear", "semi_sparse", "sparse", "quantized_complete", "quantized")
CASES, MEMBERS, LEADS, GRID, CHANNELS, TOKENS, LEVELS = 4, 3, 5, (8, 12), 2, 4, 2
FRAMES = LEADS + 1
"""From the last observed one on."""


def read(path):
    """Every dataset of a file by its name."""
    found = {}

    def take(name, item):
        if isinstance(item, h5py.Dataset):
            found[name] = item[()]

    with h5py.File(path) as file:
        file.visititems(take)
    return found


@pytest.fixture(scope="module")
def trained(trained, tmp_path_factory):
    """The run with weights far from where training starts, so that each code and each reading counts."""
    torch.manual_seed(0)
    run = Chain(tmp_path_factory.mktemp("held_out") / "run")
    shutil.copytree(trained.folder, run.folder)
    teacher = load_stage1(run.run(), "semi_sparse", CPU)
    fields = run.fields()
    latents = encode_views(teacher, fields, fields.views(torch.arange(4), torch.arange(10)))

    file = load_model(run.model("tokenizer"), "tokenizer")
    tokenizer = LatentTokenizer(TokenizerConfig(**file.shape))
    tokenizer.standardise_by(latents)
    shake(tokenizer)
    tokenizer.train()(latents)  # k-means
    made_from = {name: digest(run.model(name)) for name in ("sparse", "semi_sparse")}
    rest = {"shape": file.shape, "settings": file.settings, "made_from": made_from}
    save_model(run.model("tokenizer"), tokenizer, "tokenizer", **rest)
    run.codes()

    file = load_model(run.model("gpt"), "gpt")
    gpt = GPT(GPTConfig(**file.shape), read_codes(run.codes_path).codebook)
    shake(gpt)
    made_from = {"codes": digest(run.codes_path), "tokenizer": digest(run.model("tokenizer"))}
    rest = {"shape": file.shape, "settings": file.settings, "made_from": made_from}
    save_model(run.model("gpt"), gpt, "gpt", **rest)
    return run


def shake(network):
    """Large matrices and no biases: what comes out depends on what goes in."""
    with torch.no_grad():
        for name, weight in network.named_parameters():
            if weight.ndim > 1 and name != "bias":
                weight += 0.7 * torch.randn(weight.shape)


@pytest.fixture(scope="module")
def forecast(trained, tmp_path_factory):
    return trained.forecast(tmp_path_factory.mktemp("forecast") / "forecast.h5")


@pytest.fixture(scope="module")
def model(trained):
    return load_forecast_model(trained.run(), CPU)


def test_members_that_end_alike_are_told(trained, tmp_path, capsys, monkeypatch):
    generate = ForecastModel.generate

    def collapsed(self, *args):
        drawn = generate(self, *args)
        drawn.codes[:, :, -1] = drawn.codes[:, :1, -1]
        return drawn

    trained.forecast(tmp_path / "usual.h5")
    assert "WARNING" not in capsys.readouterr().out
    monkeypatch.setattr(ForecastModel, "generate", collapsed)
    trained.forecast(tmp_path / "collapsed.h5")
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "WARNING" in line]
    assert f"in {CASES} of {CASES} forecasts all {MEMBERS} members have the same codes at the last lead time" in line


# ------------------------------------------------------------------ the file


def test_the_file_is_as_documented(trained, forecast):
    field = (*GRID, CHANNELS)
    expected = {
        "trajectory": (CASES,),
        "start_frame": (CASES,),
        "observed_frames": (CASES,),
        "lead_time": (LEADS,),
        "ensemble": (CASES, MEMBERS, FRAMES, *field),
        "mean": (CASES, FRAMES, *field),
        "teacher_prompt": (CASES, FRAMES, *field),
        **{f"reconstruction/{link}": (CASES, FRAMES, *field) for link in LINKS},
        "rate_distortion_bound": (),
        "temperature": (),
        "tokens": (CASES, MEMBERS, FRAMES, TOKENS, LEVELS),
    }
    found = read(forecast)
    assert {name: values.shape for name, values in found.items()} == expected
    integers = dict.fromkeys(("trajectory", "start_frame", "observed_frames"), np.int64)
    integers |= {"lead_time": np.float64, "tokens": np.int32, "rate_distortion_bound": np.float64}
    integers |= {"temperature": np.float64}
    for name, values in found.items():
        assert values.dtype == integers.get(name, np.float32), name
        assert np.isfinite(values).all(), name
    with h5py.File(forecast) as file:
        assert (file.attrs["schema"], file.attrs["schema_version"]) == ("sparsevq-forecast", 1)
        assert file.attrs["first_lead"] == 0, "of the ensemble and the teacher's prompt"
        assert file["lead_time"].attrs["units"] == "s"
        assert json.loads(file.attrs["settings"]) == {**FORECAST.model_dump(mode="json"), "seed": 1, "split": "test"}
        models = {name: digest(trained.model(name)) for name in ("sparse", "semi_sparse", "tokenizer", "gpt")}
        assert file["rate_distortion_bound"].attrs["bits"] == TOKENS * LEVELS * 4  # of 16 codes
        inputs = {name: digest(trained.folder / f"{name}.h5") for name in ("data", "basis", "sensors", "codes")}
        assert json.loads(file.attrs["made_from"]) == models | inputs


def test_every_test_trajectory_is_forecast_from_every_start(forecast):
    found = read(forecast)
    assert list(zip(found["trajectory"], found["start_frame"], strict=True)) == [(5, 0), (5, 4), (6, 0), (6, 4)]
    np.testing.assert_allclose(found["lead_time"], [0.5, 1, 1.5, 2, 2.5])


def decoded(model, indices):
    """Fields of code indices (n, P, Q), each link of the chain by itself: (n, *grid, C)."""
    latents = model.tokenizer.detokenize(torch.as_tensor(indices).long())
    normalised = model.teacher.autoencoder.decoder(latents, model.teacher.features)
    basis = model.teacher.basis
    return (normalised.numpy() * basis.scale + basis.mean).reshape(-1, *GRID, CHANNELS)


def test_the_ensemble_is_its_tokens_decoded_by_the_teacher_in_physical_units(trained, forecast, model):
    found = read(forecast)
    expected = decoded(model, found["tokens"].reshape(-1, TOKENS, LEVELS))
    np.testing.assert_allclose(found["ensemble"].reshape(expected.shape), expected, rtol=1e-4, atol=1e-5)
    assert expected.std(axis=0).mean() > 1e-3, "tokens matter"


def test_reconstructions_are_of_the_observed_frame_and_those_to_forecast(trained, forecast, model):
    found, fields = read(forecast), trained.fields()
    codes = read_codes(trained.codes_path)
    for case, (trajectory, start) in enumerate(((5, 0), (5, 4), (6, 0), (6, 4))):
        views = fields.views(torch.tensor([trajectory]), torch.arange(start, start + 6))
        for name, by in (("sparse", model.sparse), ("semi_sparse", model.teacher)):
            expected = fields.physical(decode_everywhere(by, encode_views(by, fields, views)))
            mine = found[f"reconstruction/{name}"][case].reshape(6, 96, 2)
            np.testing.assert_allclose(mine, expected, rtol=1e-4, atol=1e-5)
        expected = decoded(model, codes.sparse[0, trajectory, start : start + 6])
        np.testing.assert_allclose(found["reconstruction/quantized"][case], expected, rtol=1e-4, atol=1e-5)
        expected = decoded(model, codes.semi_sparse[0, trajectory, start : start + 6])
        np.testing.assert_allclose(found["reconstruction/quantized_complete"][case], expected, rtol=1e-4, atol=1e-5)


def test_the_prompt_is_the_sparse_encoders_codes_of_the_observed_frame(trained, model, tmp_path):
    """Without chance, the forecast is what the GPT makes of them; `teacher_prompt` of the teacher's codes."""
    found = read(trained.forecast(tmp_path / "forecast.h5", temperature=0.0))
    codes = read_codes(trained.codes_path)
    assert len({members[0].tobytes() for members in found["tokens"]}) == CASES, "prompts matter"
    for case, (trajectory, start) in enumerate(((5, 0), (5, 4), (6, 0), (6, 4))):
        made = model.gpt.generate(codes.sparse[0, [trajectory], start : start + 1], LEADS, temperature=0).codes[0]
        for member in range(MEMBERS):
            np.testing.assert_array_equal(found["tokens"][case, member], made)
        made = model.gpt.generate(codes.semi_sparse[0, [trajectory], start : start + 1], LEADS, temperature=0)
        expected = decoded(model, made.codes[0])
        np.testing.assert_allclose(found["teacher_prompt"][case], expected, rtol=1e-4, atol=1e-5)


def test_the_teachers_prompt_gives_the_mean_of_its_own_ensemble(trained, forecast, model):
    codes, found = read_codes(trained.codes_path), read(forecast)
    seen = Seen(codes.semi_sparse[0, [5, 5, 6, 6], [0, 4, 0, 4]][:, None], torch.zeros(1, dtype=torch.long))
    drawn = model.generate(seen, Asked(LEADS, MEMBERS, temperature=1.0, top_k=0, seed=1))
    expected = decoded(model, drawn.codes.flatten(0, 2)).reshape(CASES, MEMBERS, FRAMES, *GRID, CHANNELS)
    np.testing.assert_allclose(found["teacher_prompt"], expected.mean(1), rtol=1e-4, atol=1e-5)


def test_without_a_first_guess_the_mean_is_that_of_the_members(forecast):
    found = read(forecast)
    np.testing.assert_allclose(found["mean"], found["ensemble"].mean(1), rtol=1e-4, atol=1e-5)


# ------------------------------------------------------------------ several observed frames, a first guess


@pytest.fixture(scope="module")
def modal(tmp_path_factory):
    """On modes, forecast from one frame and from three."""
    chain = make_modal_chain(tmp_path_factory.mktemp("modal_held_out") / "run")
    chain.forecast(chain.folder / "forecast.h5", starts=(2, 4), observed_frames=(1, 3))
    return chain


def test_more_observed_frames_forecast_better_and_are_cases_of_their_own(modal):
    found, truth = read(modal.folder / "forecast.h5"), modal.data.fields
    errors = {1: [], 3: []}
    cases = zip(found["trajectory"], found["start_frame"], found["observed_frames"], found["mean"], strict=True)
    for trajectory, start, observed, mean in cases:
        apart = np.abs(mean - truth[trajectory, start : start + FRAMES])
        errors[observed].append(apart[:, modal.data.mask[trajectory]].mean())
    assert {count: len(these) for count, these in errors.items()} == {1: 4, 3: 4}
    assert np.mean(errors[3]) < 0.9 * np.mean(errors[1]), "speed is in three frames, not in one"


def test_an_ensemble_is_about_its_mean(modal):
    found = read(modal.folder / "forecast.h5")
    spread = found["ensemble"].std(axis=1, ddof=1)
    apart = np.abs(found["ensemble"].mean(1) - found["mean"])
    assert 0 < apart.mean() < spread.mean(), "three members: the mean's error is 0.58 of the spread"


def test_a_case_is_as_it_would_be_without_the_others(modal, tmp_path):
    """Frames before those that are observed do not count, and neither do other numbers of them."""
    together = read(modal.folder / "forecast.h5")
    for count in (1, 3):
        alone = read(modal.forecast(tmp_path / f"{count}.h5", starts=(2, 4), observed_frames=(count,)))
        rows = together["observed_frames"] == count
        for name in ("ensemble", "mean", "tokens"):
            np.testing.assert_array_equal(alone[name], together[name][rows])


def test_the_teachers_prompt_is_of_perfect_sensors(modal):
    """Its analysis is what the modes can do, whatever the sensors see."""
    found, truth = read(modal.folder / "forecast.h5"), modal.data.fields
    for trajectory, start, prompted in zip(
        found["trajectory"], found["start_frame"], found["teacher_prompt"], strict=True
    ):
        valid = modal.data.mask[trajectory]
        apart = np.linalg.norm((prompted[0] - truth[trajectory, start])[valid])
        assert apart < 0.2 * np.linalg.norm(truth[trajectory, start][valid])


def test_a_calibrated_run_draws_by_its_temperature_and_moves_members(modal, tmp_path):
    plain = read(modal.folder / "forecast.h5")
    calibration = tmp_path / "calibration.h5"
    asked = {"starts": (2, 4), "observed_frames": (1, 3)}
    modal.calibrate(calibration, **asked)
    with edited(calibration) as file:
        file["temperature"][...], file["network"][...], file["factors"][...] = 1.0, 1.0, 2.0
    files = {"calibration": calibration}
    wide = read(modal.forecast(tmp_path / "wide.h5", files=files, **asked))
    means = plain["ensemble"].mean(1, keepdims=True)
    np.testing.assert_allclose(wide["ensemble"], means + 2 * (plain["ensemble"] - means), rtol=1e-3, atol=1e-4)
    for name in ("mean", "tokens", "teacher_prompt"):
        np.testing.assert_array_equal(wide[name], plain[name])

    with edited(calibration) as file:
        file["temperature"][...] = 0.5
    cold = read(modal.forecast(tmp_path / "cold.h5", files=files, **asked))
    given = read(modal.forecast(tmp_path / "given.h5", temperature=0.5, **asked))
    assert cold["temperature"] == given["temperature"] == 0.5
    np.testing.assert_array_equal(cold["tokens"], given["tokens"])
    with h5py.File(tmp_path / "cold.h5") as file:
        assert json.loads(file.attrs["made_from"])["calibration"] == digest(calibration)


def test_a_calibration_of_another_gpt_is_refused(modal, tmp_path):
    calibration = modal.calibrate(tmp_path / "calibration.h5")
    gpt, _ = modal.gpt(tmp_path / "gpt", seed=9, **REGRESSION)
    files = {"calibration": calibration, "gpt": gpt / "model.safetensors"}
    with pytest.raises(SparseVQError, match=r"calibration\.h5 was made from another gpt .*--forcerun calibrate"):
        modal.forecast(tmp_path / "f.h5", files=files)


def test_a_run_is_calibrated_anew_whatever_its_calibration_was(modal, tmp_path):
    again = Chain(tmp_path / "run")
    shutil.copytree(modal.folder, again.folder)
    expected = again.calibrate().read_bytes()
    (again.folder / "calibration.h5").write_bytes(expected[:-100])  # damaged, or as well of another GPT
    assert again.calibrate().read_bytes() == expected


def test_a_gpt_of_an_earlier_version_is_one_line(trained, tmp_path):
    old = load_model(trained.model("gpt"), "gpt")
    shape = {name: size for name, size in old.shape.items() if name != "observed_frames"}
    gpt = GPT(GPTConfig(**old.shape), read_codes(trained.codes_path).codebook)
    made_from = {name: digest(path) for name, path in trained.run().paths("codes", "tokenizer").items()}
    save_model(tmp_path / "gpt.safetensors", gpt, "gpt", shape=shape, settings=old.settings, made_from=made_from)
    with pytest.raises(SparseVQError, match=r"trained by an earlier version, .*: train stage 3 again") as caught:
        trained.forecast(tmp_path / "f.h5", files={"gpt": tmp_path / "gpt.safetensors"})
    assert "\n" not in str(caught.value)


# ------------------------------------------------------------------ chance


def test_the_same_seed_gives_the_same_file_and_another_seed_other_draws_alone(trained, forecast, tmp_path):
    assert trained.forecast(tmp_path / "again.h5").read_bytes() == forecast.read_bytes()
    first, other = read(forecast), read(trained.forecast(tmp_path / "other.h5", seed=2))
    for name in first:
        drawn = name in ("ensemble", "mean", "tokens", "teacher_prompt")
        assert np.array_equal(first[name], other[name]) != drawn, name


def test_members_differ(forecast):
    tokens = read(forecast)["tokens"]
    for case in tokens:
        assert len({member.tobytes() for member in case}) == MEMBERS


# ------------------------------------------------------------------ what a forecast may depend on


def test_a_forecast_sees_the_sensors_of_the_observed_frame_and_nothing_else(trained, tmp_path, unchecked_origins):
    """All else of the test trajectories is replaced: later and earlier frames, and the points without a sensor."""
    data = trained.data
    hidden = data.flat_fields.copy()
    kept = hidden[5:, 4][:, trained.sensors.sparse].copy()
    hidden[5:] = np.random.default_rng(0).normal(size=hidden[5:].shape)
    hidden[5:, 4, trained.sensors.sparse] = kept
    changed = np.where(data.mask[:, None, ..., None], hidden.reshape(data.fields.shape), 0).astype(np.float32)
    write_data(tmp_path / "data.h5", replace(data, fields=changed))
    codes = trained.codes(tmp_path / "codes.h5", data=tmp_path / "data.h5")
    files = {"data": tmp_path / "data.h5", "codes": codes}
    before, after = (
        read(trained.forecast(tmp_path / f"{name}.h5", files=given, starts=(4,)))
        for name, given in (("before", {}), ("after", files))
    )
    np.testing.assert_array_equal(after["tokens"], before["tokens"])
    np.testing.assert_array_equal(after["ensemble"], before["ensemble"])
    assert not np.array_equal(after["reconstruction/sparse"][:, 1:], before["reconstruction/sparse"][:, 1:])

    hidden[5:, 4, trained.sensors.sparse] += 3
    changed = np.where(data.mask[:, None, ..., None], hidden.reshape(data.fields.shape), 0).astype(np.float32)
    write_data(tmp_path / "data.h5", replace(data, fields=changed))
    trained.codes(codes, data=tmp_path / "data.h5")
    moved = read(trained.forecast(tmp_path / "moved.h5", files=files, starts=(4,)))
    assert not np.array_equal(moved["tokens"], before["tokens"]), "the readings do count"


# ------------------------------------------------------------------ faults


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"horizon": 10, "starts": (0,)},
            "forecast.starts=0 with forecast.horizon=10 needs frame 10, .* end at frame 9",
        ),
        ({"horizon": 5, "starts": (0, 4, 5)}, "forecast.starts=5 with forecast.horizon=5 needs frame 10"),
    ],
)
def test_a_forecast_beyond_the_last_frame_is_one_line(trained, tmp_path, settings, message):
    with pytest.raises(SparseVQError, match=message) as caught:
        trained.forecast(tmp_path / "forecast.h5", **settings)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_trajectories_from_outside_training_are_forecast_on_their_own(trained, tmp_path):
    data = trained.data
    data.split[:] = ["train", "train", "ood", "train", "val", "test", "ood"]
    settings = ForecastConfig(horizon=5, starts=(0, 4))
    for split, wanted in (("test", [(5, 0, 1), (5, 4, 1)]), ("ood", [(2, 0, 1), (2, 4, 1), (6, 0, 1), (6, 4, 1)])):
        assert list(zip(*cases(data, settings, split), strict=True)) == wanted
    with pytest.raises(SparseVQError, match="trajectories of waves end at frame 9"):
        cases(data, ForecastConfig(horizon=10), "ood")
    data.split[[2, 6]] = "val"
    with pytest.raises(SparseVQError, match="waves has no trajectory of the split ood"):
        cases(data, settings, "ood")


def test_every_number_of_observed_frames_is_a_case(trained):
    settings = ForecastConfig(horizon=5, starts=(2, 4), observed_frames=(1, 3))
    found = list(zip(*cases(trained.data, settings), strict=True))
    assert found[:4] == [(5, 2, 1), (5, 2, 3), (5, 4, 1), (5, 4, 3)]


def test_the_last_frame_can_be_reached(trained, tmp_path):
    assert read(trained.forecast(tmp_path / "f.h5", horizon=9, starts=(0,)))["ensemble"].shape[2] == 10


def test_data_without_a_test_split_is_one_line(trained, tmp_path, unchecked_origins):
    data = trained.data
    data.split[5:] = "val"
    write_data(tmp_path / "data.h5", data)
    with pytest.raises(SparseVQError, match="waves has no trajectory of the split test"):
        trained.forecast(tmp_path / "forecast.h5", files={"data": tmp_path / "data.h5"})


def test_stages_that_do_not_belong_together_are_refused(trained, tmp_path):
    other, _ = trained.encoder("semi_sparse", tmp_path / "semi_sparse", seed=9)
    with pytest.raises(SparseVQError, match=r"tokenizer/model\.safetensors was made from another semi-sparse model"):
        trained.forecast(tmp_path / "f.h5", files={"semi_sparse": other / "model.safetensors"})

    tokenizer, _ = trained.tokenizer(tmp_path / "tokenizer", seed=9)
    files = {"tokenizer": tokenizer / "model.safetensors"}
    with pytest.raises(SparseVQError, match=r"gpt/model\.safetensors was made from another tokenizer .*forcerun gpt"):
        trained.forecast(tmp_path / "f.h5", files=files)

    codes = trained.codes(tmp_path / "codes.h5", **files)
    with pytest.raises(SparseVQError, match=r"gpt/model\.safetensors was made from another codes\.h5 .*forcerun gpt"):
        trained.forecast(tmp_path / "f.h5", files={"codes": codes})

    smaller, _ = trained.tokenizer(tmp_path / "smaller", num_vq_embeddings=8)
    with pytest.raises(SparseVQError, match=r"gpt/model\.safetensors was made from another tokenizer"):
        trained.forecast(tmp_path / "f.h5", files={"tokenizer": smaller / "model.safetensors"})
    assert not (tmp_path / "f.h5").exists()


# ------------------------------------------------------------------ the other designs


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
@pytest.mark.parametrize(
    ("stage2", "stage3"),
    [
        ({"quantizer": "fsq"}, {"prediction": "next_token"}),
        ({"quantizer": "vq", "tokenizer": "conv", "tokens_per_frame": 1}, {}),
        ({}, {}),
    ],
)
def test_every_design_forecasts_in_every_precision(trained, tmp_path, precision, stage2, stage3):
    """A past bug: in mixed precision, fsq's codebook was dumped rounded and then taken for another one."""
    tokenizer, _ = trained.tokenizer(tmp_path / "tokenizer", precision=precision, **stage2)
    files = {"tokenizer": tokenizer / "model.safetensors"}
    files["codes"] = trained.codes(tmp_path / "codes.h5", precision=precision, **files)
    gpt, _ = trained.gpt(tmp_path / "gpt", codes=files["codes"], precision=precision, **stage3)
    files["gpt"] = gpt / "model.safetensors"
    found = read(trained.forecast(tmp_path / "f.h5", files=files, precision=precision))
    assert found["ensemble"].shape == (CASES, MEMBERS, FRAMES, *GRID, CHANNELS)
    assert all(np.isfinite(values).all() for values in found.values())
