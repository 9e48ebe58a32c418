"""Scores of a whole run: known errors come out, masked points never matter, failures are named."""

import dataclasses

import h5py
import numpy as np
import pandas as pd
import pytest

from sparsevq.baselines.registry import run_baselines
from sparsevq.config import EvaluationConfig
from sparsevq.errors import SparseVQError
from sparsevq.evaluation.codebook import codebook_use, perplexity
from sparsevq.evaluation.scores import BOUND, CHAIN, score
from sparsevq.evaluation.table_files import identity_of
from sparsevq.forecasting.cases import read_cases
from tests.evaluation.conftest import HORIZON, MEMBERS, make_experiment
from tests.flows import on_a_sphere, scattered_waves

METHODS = {"sparsevq", "sparsevq_member", "persistence", "climatology", "pod_dmd", "ridge"}


def run(experiment, name="scores", **arguments):
    baselines = experiment.folder / "baselines.h5"
    if not baselines.exists():
        settings = EvaluationConfig(pod_ranks=(2, 4))
        run_baselines(experiment.run(), baselines, settings)
    out = experiment.folder / name
    found = experiment.run()
    found.data = arguments.pop("data", experiment.data)
    score(found, out, identity_of("waves", 8, "", 3), **arguments)
    return {path.stem: pd.read_csv(path) for path in out.glob("*.csv")}


def value(table, **where):
    for column, wanted in where.items():
        table = table[table[column] == wanted]
    assert len(table) == 1, table
    return table["value"].item()


def flat(experiment, name):
    with h5py.File(experiment.forecast) as file:
        stored = file[name][:]
    return stored.reshape(*stored.shape[:-3], 256, 2)


def test_scores_are_the_means_over_cases_of_a_direct_computation(experiment):
    tables = run(experiment)
    scores = tables["scores"]
    assert set(scores["method"]) == METHODS
    assert (scores[["data_set", "num_sensors", "seed"]].drop_duplicates() == ["waves", 8, 3]).all(axis=None)
    lead = 3
    ensemble = flat(experiment, "ensemble")[:, :, lead]
    errors, joint, outside, crps = [], [], [], []
    for members, truth, (trajectory, _) in zip(ensemble, experiment.truth[:, lead], experiment.cases, strict=True):
        valid = experiment.data.flat_mask[trajectory]
        out = valid.copy()
        out[experiment.sensors.sparse] = False
        truth = truth.reshape(256, 2)
        mean = members.mean(axis=0)
        errors.append(np.linalg.norm((mean - truth)[valid, 1]) / np.linalg.norm(truth[valid, 1]))
        joint.append(np.linalg.norm((mean - truth)[valid]) / np.linalg.norm(truth[valid]))
        outside.append(np.linalg.norm((mean - truth)[out]) / np.linalg.norm(truth[out]))
        pairs = np.abs(members[:, None] - members[None])[:, :, valid].sum(axis=(0, 1)) / (2 * MEMBERS * (MEMBERS - 1))
        crps.append((np.abs(members - truth)[:, valid].mean(axis=0) - pairs).mean())
    at = {"method": "sparsevq", "lead_time": lead}
    for metric, channel, expected in (
        ("relative_l2", "v", errors),
        ("relative_l2", "all", joint),
        ("relative_l2_out_sensors", "all", outside),
        ("crps", "all", crps),
    ):
        assert value(scores, metric=metric, channel=channel, **at) == pytest.approx(np.mean(expected), rel=1e-5)
    by_case = tables["cases"].query("method == 'sparsevq' and lead_time == @lead")
    np.testing.assert_allclose(by_case["relative_l2"], joint, rtol=1e-5)
    np.testing.assert_array_equal(by_case[["trajectory", "start_frame"]], experiment.cases)


def test_every_metric_is_there_for_every_method_channel_and_lead(experiment):
    scores = run(experiment)["scores"]
    count = scores.groupby(["method", "metric"]).size().unstack()
    everyone = {
        "relative_l2", "relative_l2_anomalies", "vrmse", "mse", "rmse", "anomaly_correlation", "crps",
        "relative_l2_in_sensors", "relative_l2_out_sensors",
        "spectral_error_low", "spectral_error_mid", "spectral_error_high",
    }  # fmt: skip
    of_ensembles = ["spread", "skill", "coverage_50", "coverage_90"]
    assert set(count.columns) == {*everyone, *of_ensembles}
    leads = 3 * (HORIZON + 1)
    assert (count[sorted(everyone)] == leads).all(axis=None)
    ensembles = count.drop("sparsevq_member")
    assert (ensembles[of_ensembles[:3]] == leads).all(axis=None)
    assert set(ensembles.index[ensembles["coverage_90"].isna()]) == {"sparsevq"}, "four members"
    assert count.loc["sparsevq_member", of_ensembles].isna().all()
    climatology = scores[(scores["method"] == "climatology") & (scores["metric"] == "anomaly_correlation")]
    assert (climatology["value"] == 0).all()


def test_the_chain_has_the_noise_that_each_link_was_given(experiment):
    chain = run(experiment)["chain"]
    assert set(chain["link"]) == {*CHAIN, BOUND}
    bound = chain[chain["link"] == BOUND]
    assert set(zip(bound["channel"], bound["metric"], bound["value"], strict=True)) == {("all", "relative_l2", 0.125)}
    assert list(bound["lead_time"]) == list(range(HORIZON + 1))
    mean = chain.query("metric == 'relative_l2' and channel == 'all'").groupby("link")["value"].mean()
    # conftest: standard deviations of the noise; the forecast is a mean of 4 members
    noise = {"sparse_reconstruction": 0.046, "quantized_reconstruction": 0.062, "forecast": 0.15}
    for link, deviation in noise.items():
        assert mean[link] / mean["forecast_teacher_prompt"] == pytest.approx(deviation / 0.1, rel=0.05)
    leads = chain.groupby("link")["lead_time"].agg(["min", "max"])
    assert (leads.loc["sparse_reconstruction"] == [0, HORIZON]).all()
    assert (leads.loc["forecast"] == [0, HORIZON]).all()


def test_a_forecast_of_an_earlier_version_has_a_shorter_chain(experiment):
    with h5py.File(experiment.forecast, "a") as file:
        for name in ("reconstruction/linear", "reconstruction/quantized_complete", "rate_distortion_bound"):
            del file[name]
    links = set(run(experiment)["chain"]["link"])
    assert {*CHAIN} - links == {"linear_estimate", "quantized_teacher_reconstruction"}
    assert BOUND not in links


def test_calibration_of_an_ensemble_that_has_the_truth_as_its_mean(experiment):
    calibration = run(experiment)["calibration"].query("method == 'sparsevq'")
    spread = calibration.query("quantity == 'spread' and channel == 'u'")["value"]
    np.testing.assert_allclose(spread, 0.3, rtol=0.05)
    # skill is noise / sqrt(M), so the ratio is sqrt((M + 1) / M) * sqrt(M)
    ratio = calibration.query("quantity == 'spread_skill_ratio' and channel == 'all'")["value"]
    np.testing.assert_allclose(ratio, np.sqrt(MEMBERS + 1), rtol=0.1)
    ranks = calibration.query("quantity == 'rank_frequency' and channel == 'all' and lead_time == 2")
    np.testing.assert_array_equal(ranks["rank"], range(MEMBERS + 1))
    # the truth is the members' median: binomial(4, 1/2)
    np.testing.assert_allclose(ranks["value"], np.array([1, 4, 6, 4, 1]) / 16, atol=0.03)


def test_climatologys_ensemble_scores_better_than_its_mean(experiment):
    tables = run(experiment)
    crps = tables["scores"].query("metric == 'crps' and channel == 'all'").set_index(["method", "lead_time"])["value"]
    with h5py.File(experiment.folder / "baselines.h5") as file:
        mean = file["methods/climatology"][0].reshape(HORIZON + 1, 256, 2)
    errors = []
    for truth, (trajectory, _) in zip(experiment.truth[:, 2], experiment.cases, strict=True):
        errors.append(np.abs(truth.reshape(256, 2) - mean[2])[experiment.data.flat_mask[trajectory]].mean())
    assert crps["climatology", 2] < 0.9 * np.mean(errors)


def test_one_error_relative_to_the_variability_is_that_of_climatology(experiment):
    scores = run(experiment)["scores"].query("metric == 'relative_l2_anomalies'")
    np.testing.assert_allclose(scores.query("method == 'climatology'")["value"], 1, rtol=1e-6)


def test_spread_and_skill_are_pooled_over_cases_before_the_root(experiment):
    with h5py.File(experiment.forecast, "a") as file:
        members = file["ensemble"][0]
        file["ensemble"][0] = members.mean(axis=0) + 5 * (members - members.mean(axis=0))  # one case is less sure
    tables = run(experiment)
    where = {"channel": "all", "lead_time": 2}
    spread = np.sqrt((25 + 1 + 1 + 1) / 4) * 0.3
    assert value(tables["scores"], method="sparsevq", metric="spread", **where) == pytest.approx(spread, rel=0.05)
    assert value(tables["calibration"], method="sparsevq", quantity="spread", **where) == pytest.approx(
        spread, rel=0.05
    )


def test_what_is_inside_an_obstacle_never_matters(experiment, unchecked_origins):
    before = run(experiment)
    with h5py.File(experiment.forecast, "a") as file:
        for case, (trajectory, _) in enumerate(experiment.cases):
            hidden = ~experiment.data.mask[trajectory]
            for name in ("ensemble", "teacher_prompt", "reconstruction/quantized"):
                values = file[name][case]
                values[..., hidden, :] = np.nan
                file[name][case] = values
    after = run(experiment, "again")
    for name, table in before.items():
        pd.testing.assert_frame_equal(after[name], table)


def test_units_come_back_when_channels_have_different_ones(experiment):
    same = run(experiment)["scores"]
    mixed = run(experiment, "mixed", data=dataclasses.replace(experiment.data, units=("m/s", "Pa")))["scores"]
    keys = ["method", "channel", "lead_time", "metric"]
    both = same.merge(mixed, on=keys)
    # Where the truth is that of all members but for rounding (v at a wall), rounding decides on which side it is.
    each = both[(both["channel"] != "all") & ~both["metric"].str.startswith("coverage")]
    np.testing.assert_allclose(each["value_x"], each["value_y"], rtol=1e-4, atol=1e-6)
    joint = both.query("channel == 'all' and metric in ('rmse', 'relative_l2', 'crps')")
    assert (np.abs(joint["value_x"] / joint["value_y"] - 1) > 1e-3).mean() > 0.9
    normalised = both.query("channel == 'all' and metric == 'mse'")
    np.testing.assert_allclose(normalised["value_x"], normalised["value_y"], rtol=1e-4)


# ------------------------------------------------------------------------------------------------ area


def on_the_globe(folder, **arguments):
    return make_experiment(folder, data=on_a_sphere(trajectories=8, frames=12), sensors=6, **arguments)


def error_in_row(experiment, row):
    """An ensemble without spread, right but for one row of latitudes, where the height is 10 m off; its scores."""
    with h5py.File(experiment.forecast, "a") as file:
        members = np.repeat(experiment.truth[:, None], MEMBERS, axis=1)
        members[:, :, :, row, :, 0] += 10
        file["ensemble"][...] = members
        file["teacher_prompt"][...] = members[:, 0]
    return run(experiment, f"row{row}")


def test_an_error_at_the_pole_counts_by_its_area(tmp_path, unchecked_origins):
    experiment = on_the_globe(tmp_path)
    latitude = np.deg2rad(np.linspace(-90, 90, 13))
    share = np.diff(np.sin(latitude)) / 2  # of the sphere's area in each of the 12 rows
    pole, equator = error_in_row(experiment, 0), error_in_row(experiment, 6)
    where = {"channel": "height", "lead_time": 2}
    ours = {"method": "sparsevq", **where}
    for tables, row in ((pole, 0), (equator, 6)):
        assert value(tables["scores"], metric="rmse", **ours) == pytest.approx(10 * share[row] ** 0.5, rel=1e-5)
        assert value(tables["scores"], metric="crps", **ours) == pytest.approx(10 * share[row], rel=1e-5)
        assert value(tables["scores"], metric="skill", **ours) == pytest.approx(10 * share[row] ** 0.5, rel=1e-5)
        # the truth is among members that are all right, but below those that are 10 m too high
        below = value(tables["calibration"], method="sparsevq", quantity="rank_frequency", rank=0, **where)
        assert below == pytest.approx(share[row] + (1 - share[row]) / (MEMBERS + 1), rel=1e-5)
    for metric in ("relative_l2", "vrmse"):
        for table, column in (("scores", {"method": "sparsevq"}), ("chain", {"link": "forecast"})):
            found = [value(tables[table], metric=metric, **column, **where) for tables in (pole, equator)]
            assert found[0] / found[1] == pytest.approx((share[0] / share[6]) ** 0.5, rel=1e-4), (metric, table)


def test_uniform_weights_are_those_of_a_plain_mean(experiment):
    """Every point of an even grid stands for the same area; weights of one's own take the place of the axes'."""
    plain = dataclasses.replace(experiment.data, point_weights=np.ones((16, 16)))
    for name, table in run(experiment).items():
        pd.testing.assert_frame_equal(run(experiment, "plain", data=plain)[name], table)
    left = np.ones((16, 16))
    left[:, 8:] = 1e-9
    half = run(experiment, "half", data=dataclasses.replace(experiment.data, point_weights=left))["scores"]
    rows = experiment.truth[:, 3, :, :8]
    valid = experiment.data.mask[[trajectory for trajectory, _ in experiment.cases], :, :8]
    with h5py.File(experiment.forecast) as file:
        error = file["ensemble"][:, :, 3, :, :8].mean(axis=1) - rows
    expected = [np.linalg.norm(e[m]) / np.linalg.norm(r[m]) for e, r, m in zip(error, rows, valid, strict=True)]
    where = {"method": "sparsevq", "metric": "relative_l2", "channel": "all", "lead_time": 3}
    assert value(half, **where) == pytest.approx(np.mean(expected), rel=1e-5)


# ------------------------------------------------------------------------------------------------ domains


@pytest.mark.parametrize("grid", [(32,), (6, 8, 8), (8, 24)])
def test_other_dimensions(tmp_path, grid):
    tables = run(make_experiment(tmp_path, grid=grid, trajectories=8, sensors=5))
    metrics = set(tables["scores"]["metric"])
    assert {"relative_l2", "spectral_error_low"} <= metrics
    assert tables["spectra"]["wavenumber"].nunique() == min(grid) // 2


def test_the_spectrum_on_a_sphere_counts_waves_around_the_globe(tmp_path):
    tables = run(on_the_globe(tmp_path))
    spectra = tables["spectra"].query("method == 'truth' and lead_time == 1").set_index("wavenumber")["energy"]
    assert list(spectra.index) == list(range(1, 13))
    assert set(spectra.nlargest(2).index) == {2, 3}, "the waves of height and of vorticity"
    assert {"spectral_error_low", "spectral_error_high"} <= set(tables["scores"]["metric"])


@pytest.mark.parametrize("dimensions", [1, 2, 3])
def test_scattered_points_have_scores_but_no_spectrum(tmp_path, dimensions):
    data = scattered_waves(trajectories=8, points=60, dimensions=dimensions)
    data.mask[1::2, 20:30] = False  # masks that differ by trajectory
    tables = run(make_experiment(tmp_path, data=data, sensors=5))
    assert set(tables["scores"]["method"]) == METHODS
    assert not any(metric.startswith("spectral_error") for metric in tables["scores"]["metric"])
    assert list(tables["spectra"].columns)[4:] == ["method", "lead_time", "wavenumber", "energy"]
    assert not len(tables["spectra"])


def test_one_member_has_no_spread(experiment):
    with h5py.File(experiment.forecast, "a") as file:
        one = file["ensemble"][:, :1]
        del file["ensemble"]
        file["ensemble"] = one
    tables = run(experiment)
    assert not {"spread", "skill"} & set(tables["scores"].query("method == 'sparsevq'")["metric"])
    assert set(tables["calibration"].query("method == 'sparsevq'")["quantity"]) == {"rank_frequency"}


def test_the_same_inputs_give_the_same_bytes(experiment):
    run(experiment)
    run(experiment, "again")
    for path in (experiment.folder / "scores").iterdir():
        assert (experiment.folder / "again" / path.name).read_bytes() == path.read_bytes()


# ------------------------------------------------------------------------------------------------ observed frames


def test_forecasts_from_more_observed_frames_have_rows_of_their_own(experiment):
    whole = run(experiment)
    (experiment.folder / "baselines.h5").unlink()
    with h5py.File(experiment.forecast, "a") as file:
        file.pop("observed_frames", None)
        file["observed_frames"] = [1, 3, 1, 3]  # starts 0 and 6 of two trajectories
    apart = run(experiment, "apart")
    columns = ["data_set", "num_sensors", "seed", "observed_frames"]
    for name in ("scores", "cases", "chain", "calibration", "spectra"):
        assert list(apart[name].columns[:4]) == columns, name
        assert set(apart[name]["observed_frames"]) == {1, 3}, name
    keys = ["method", "case", "trajectory", "start_frame", "lead_time"]
    both = whole["cases"].merge(apart["cases"], on=keys)
    assert len(both) == len(whole["cases"])
    both = both[both["method"] != "ridge"]  # which uses all of them
    np.testing.assert_array_equal(both["relative_l2_x"], both["relative_l2_y"])
    assert (both["observed_frames_y"] == np.where(both["start_frame"] == 6, 3, 1)).all()
    where = {"method": "sparsevq", "metric": "relative_l2", "channel": "all", "lead_time": 2}
    cases = apart["cases"].query("method == 'sparsevq' and lead_time == 2 and observed_frames == 3")
    found = value(apart["scores"], observed_frames=3, **where)
    assert found == pytest.approx(cases["relative_l2"].mean(), rel=1e-6)


def test_a_file_of_an_earlier_version_observes_one_frame_and_begins_at_lead_one(tmp_path):
    experiment = make_experiment(tmp_path, first_lead=1)
    tables = run(experiment)
    assert set(tables["scores"].query("method == 'sparsevq'")["lead_time"]) == set(range(1, HORIZON + 1))
    assert set(tables["scores"].query("method == 'ridge'")["lead_time"]) == set(range(HORIZON + 1))
    for name in ("cases", "calibration", "spectra"):
        assert tables[name].query("method == 'sparsevq'")["lead_time"].min() == 1, name
    with h5py.File(experiment.forecast) as file:
        cases = read_cases(file, experiment.data)
    assert (cases.observed_frames == 1).all()
    assert cases.first_lead == 1


def test_more_observed_frames_than_there_are_is_a_fault(experiment):
    with h5py.File(experiment.forecast, "a") as file:
        file.pop("observed_frames", None)
        file["observed_frames"] = [1, 7, 2, 7]
    with (
        h5py.File(experiment.forecast) as file,
        pytest.raises(SparseVQError, match="case 2 has 2 observed frames up to frame 0"),
    ):
        read_cases(file, experiment.data)


# ------------------------------------------------------------------------------------------------ failures


def test_a_diverged_member_stops_the_scores(experiment):
    with h5py.File(experiment.forecast, "a") as file:
        file["ensemble"][2, 1, 3, 0, 0, 0] = np.inf
    baselines = experiment.folder / "baselines.h5"
    settings = EvaluationConfig(baselines=("climatology",))
    run_baselines(experiment.run(), baselines, settings)
    with pytest.raises(
        SparseVQError, match=r"forecast \(trajectory 11, frame 0\): case 2 is NaN or infinite from lead 3"
    ):
        run(experiment)
    assert not (experiment.folder / "scores").exists()


def test_a_run_without_baselines_is_scored_alone(experiment):
    run_baselines(experiment.run(), experiment.folder / "baselines.h5", EvaluationConfig(baselines=()))
    assert set(run(experiment)["scores"]["method"]) == {"sparsevq", "sparsevq_member"}


def test_the_variant_of_a_run_is_a_column():
    assert list(identity_of("waves", 8, "qr", 3, "wide")) == ["data_set", "num_sensors", "placement", "variant", "seed"]
    assert list(identity_of("waves", 8, "", 3)) == ["data_set", "num_sensors", "seed"]


def test_baselines_of_another_forecast_are_refused(experiment, unchecked_origins):
    run(experiment)
    with h5py.File(experiment.forecast, "a") as file:
        file["start_frame"][0] = 1
    with pytest.raises(SparseVQError, match="holds other cases"):
        run(experiment)


# ------------------------------------------------------------------------------------------------ codebook


def test_codebook_use(experiment):
    with h5py.File(experiment.codes, "a") as file:
        indices = np.zeros(file["sparse"].shape, dtype=np.int16)
        indices[..., 0] = np.arange(4)  # level 1: four of the eight codes, alike; level 2: one code
        indices[1] = 7  # a symmetry variant, which does not count
        indices[0, :, -1] = -1  # a frame without codes
        file["sparse"][...] = indices
    outside = codebook_use(experiment.codes, "val").set_index(["encoder", "split", "level"])
    assert outside.loc["sparse", "val", 1]["codes_used"] == 4
    table = codebook_use(experiment.codes).set_index(["encoder", "split", "level"])
    assert len(table) == 8
    first, second = table.loc["sparse", "train", 1], table.loc["sparse", "test", 2]
    assert (first["codes_used"], first["share_used"]) == (4, 0.5)
    assert first["perplexity"] == pytest.approx(4)
    assert second["perplexity"] == pytest.approx(1)
    assert second["share_of_top_code"] == 1


def test_perplexity_of_a_known_distribution():
    # entropy of (1/2, 1/4, 1/4) is 1.5 bits
    assert perplexity(np.array([2, 0, 1, 1])) == pytest.approx(2**1.5)
