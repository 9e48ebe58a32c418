"""Metrics against cases worked by hand, closed forms and an independent library."""

import numpy as np
import pytest

from sparsevq.errors import SparseVQError
from sparsevq.evaluation import metrics
from sparsevq.forecasting.cases import require_finite


@pytest.fixture
def fields():
    """Prediction and truth, (frames 3, points 40, channels 2), and weights with holes in them."""
    rng = np.random.default_rng(0)
    truth = rng.normal(1.0, 2.0, (3, 40, 2)).astype(np.float32)
    prediction = truth + rng.normal(0, 0.5, truth.shape).astype(np.float32)
    weights = rng.uniform(0.5, 2, 40) * (rng.random(40) > 0.3)
    return prediction, truth, weights


def errors(prediction, truth, weights):
    climatology = np.full(truth.shape[-2:], 0.5)
    return {
        "relative_l2": metrics.relative_l2(prediction, truth, weights),
        "vrmse": metrics.vrmse(prediction, truth, weights),
        "mse": metrics.mse(prediction, truth, np.array([1.0, 2.0]), weights),
        "rmse": metrics.rmse(prediction, truth, weights),
        "anomaly_correlation": metrics.anomaly_correlation(prediction, truth, climatology, weights),
        "crps": metrics.fair_crps(metrics.rank(np.stack([prediction, prediction + 1])), truth, weights),
        "spread": metrics.ensemble_spread(np.stack([prediction, prediction + 1]), weights),
        "rank": metrics.rank_histogram(metrics.rank(np.stack([prediction, prediction + 1])), truth, weights),
    }


# ------------------------------------------------------------------------------------------------ by hand


def test_errors_worked_by_hand():
    truth = np.array([[3.0, 0.0], [4.0, 2.0]])  # two points, two channels
    prediction = np.array([[3.0, 1.0], [1.0, 2.0]])  # errors: (0, -3) in the first channel, (1, 0) in the second
    # each channel, and last both in one norm: its mean squares are the means of theirs
    np.testing.assert_allclose(metrics.relative_l2(prediction, truth), [3 / 5, 1 / 2, np.sqrt(10 / 29)])
    np.testing.assert_allclose(metrics.mse(prediction, truth), [9 / 2, 1 / 2, 5 / 2])
    np.testing.assert_allclose(metrics.mse(prediction, truth, std=np.array([3.0, 0.5])), [1 / 2, 2.0, 5 / 4])
    np.testing.assert_allclose(metrics.rmse(prediction, truth), np.sqrt([4.5, 0.5, 2.5]))
    # the truth's standard deviations over its points are 1/2 and 1
    np.testing.assert_allclose(metrics.vrmse(prediction, truth), [np.sqrt(4.5) / 0.5, np.sqrt(0.5), np.sqrt(4)])


def test_a_weight_counts_a_point_that_often():
    truth = np.array([[3.0], [4.0]])
    prediction = np.array([[2.0], [2.0]])
    weighted = metrics.relative_l2(prediction, truth, np.array([2.0, 1.0]))
    repeated = metrics.relative_l2(prediction[[0, 0, 1]], truth[[0, 0, 1]])
    np.testing.assert_allclose(weighted, repeated)
    np.testing.assert_allclose(weighted, np.sqrt((1 + 1 + 4) / (9 + 9 + 16)))


def test_vrmse_of_the_frames_own_mean_is_one(fields):
    _, truth, weights = fields
    mean = np.average(truth.astype(np.float64), axis=1, weights=weights)[:, None].repeat(40, axis=1)
    np.testing.assert_allclose(metrics.vrmse(mean, truth, weights), 1, rtol=1e-6)


def test_anomaly_correlation_worked_by_hand():
    climatology = np.array([[1.0], [1.0]])
    truth = np.array([[2.0], [1.0]])  # anomaly (1, 0)
    for prediction, expected in (([[3.0], [1.0]], 1.0), ([[1.0], [9.0]], 0.0), ([[2.0], [2.0]], np.sqrt(0.5))):
        np.testing.assert_allclose(metrics.anomaly_correlation(np.array(prediction), truth, climatology), expected)
    np.testing.assert_array_equal(metrics.anomaly_correlation(climatology, truth, climatology), 0)
    assert np.isnan(metrics.anomaly_correlation(truth, climatology, climatology)).all()


def test_correlation_time_is_the_first_crossing_even_if_it_recovers():
    correlation = np.array([[0.9, 0.79, 0.95], [0.8, 0.8, 0.8], [0.1, 0.1, 0.1]])
    np.testing.assert_array_equal(metrics.correlation_time(correlation, np.array([1, 2, 3])), [2, np.inf, 1])


def test_rank_histogram_worked_by_hand():
    ensemble = np.array([1.0, 2.0, 3.0])[:, None, None]
    for value, expected in ((0.0, [1, 0, 0, 0]), (1.5, [0, 1, 0, 0]), (9.0, [0, 0, 0, 1]), (2.0, [0, 0.5, 0.5, 0])):
        histogram = metrics.rank_histogram(metrics.rank(ensemble), np.array([[value]]))
        np.testing.assert_allclose(histogram[:, 0], expected)


def test_truth_without_norm_gives_nan_and_not_infinity():
    zero = np.zeros((5, 1))
    assert np.isnan(metrics.relative_l2(zero + 1, zero)).all()
    assert np.isnan(metrics.vrmse(zero, zero + 3)).all()


# ------------------------------------------------------------------------------------------------ invariances


def test_a_point_of_weight_zero_never_matters(fields):
    prediction, truth, weights = fields
    expected = errors(prediction, truth, weights)
    prediction, truth = prediction.copy(), truth.copy()
    prediction[:, weights == 0] = np.nan
    truth[:, weights == 0] = 1e9
    found = errors(prediction, truth, weights)
    for name in expected:
        np.testing.assert_array_equal(found[name], expected[name], err_msg=name)


def test_only_the_ratio_of_weights_matters(fields):
    prediction, truth, weights = fields
    for name, value in errors(prediction, truth, weights).items():
        np.testing.assert_allclose(errors(prediction, truth, 7 * weights)[name], value, rtol=1e-12, err_msg=name)


def test_frames_are_scored_each_on_its_own(fields):
    prediction, truth, weights = fields
    together = errors(prediction, truth, weights)
    alone = [errors(p, u, weights) for p, u in zip(prediction, truth, strict=True)]
    for name, value in together.items():
        axis = 1 if name == "rank" else 0
        expected = np.stack([one[name] for one in alone], axis=axis)
        np.testing.assert_allclose(value, expected, rtol=1e-6, err_msg=name)


def test_the_joint_value_is_that_of_the_means_of_the_channels_mean_squares(fields):
    found = errors(*fields)
    for name in ("mse", "crps", "rank"):
        np.testing.assert_allclose(found[name][..., -1], found[name][..., :-1].mean(axis=-1), err_msg=name)
    for name in ("rmse", "spread"):
        squares = np.square(found[name])
        np.testing.assert_allclose(squares[..., -1], squares[..., :-1].mean(axis=-1), err_msg=name)
    prediction, truth, weights = fields
    stacked = errors(*(values.reshape(3, 80, 1) for values in (prediction, truth)), np.repeat(weights, 2))
    for name in ("relative_l2", "rmse", "anomaly_correlation"):
        np.testing.assert_allclose(found[name][..., -1], stacked[name][..., 0], rtol=1e-6, err_msg=name)


def test_a_large_mean_does_not_cancel_the_variance():
    rng = np.random.default_rng(0)
    wiggle = rng.normal(0, 1e-2, (100_000, 2))
    truth = (1 + wiggle).astype(np.float32)
    expected = 1 / truth.astype(np.float64).std(axis=0)
    np.testing.assert_allclose(metrics.vrmse(truth + 1, truth)[:2], expected, rtol=1e-5)


# ------------------------------------------------------------------------------------------------ ensembles


@pytest.mark.parametrize("members", [1, 2, 3, 5, 8, 19, 20, 33])
def test_members_are_ranked_as_sorting_would(members):
    rng = np.random.default_rng(members)
    ensemble = rng.integers(0, 9, (members, 3, metrics.AT_ONCE // 5, 2)).astype(np.float32)  # several blocks, and ties
    ranked = metrics.rank(ensemble[:, ::-1])
    np.testing.assert_array_equal(ranked.values, np.sort(ensemble[:, ::-1], axis=0))
    assert ranked.values.dtype == np.float32


def test_a_rank_that_never_occurs_has_frequency_zero_whatever_ties():
    rng = np.random.default_rng(8)
    ensemble, truth = rng.integers(0, 4, (6, 2, 50, 2)).astype(float), rng.integers(1, 3, (2, 50, 2)).astype(float)
    ensemble[5] = 9.0  # no truth is above
    weights = rng.uniform(0.5, 2, 50)
    found = metrics.rank_histogram(metrics.rank(ensemble), truth, weights)
    np.testing.assert_array_equal(found[6], 0)
    np.testing.assert_allclose(found.sum(axis=0), 1)
    below, tied = (ensemble < truth).sum(axis=0), (ensemble == truth).sum(axis=0)
    for rank in range(7):
        share = np.where((below <= rank) & (rank <= below + tied), 1 / (tied + 1), 0)
        expected = np.average(share, axis=-2, weights=weights)
        np.testing.assert_allclose(found[rank, :, :2], expected, atol=1e-12)


def test_crps_agrees_with_an_independent_library():
    scoringrules = pytest.importorskip("scoringrules")
    rng = np.random.default_rng(1)
    ensemble, truth = rng.normal(size=(7, 4, 30, 2)), rng.normal(size=(4, 30, 2))
    expected = scoringrules.crps_ensemble(truth, ensemble, m_axis=0, estimator="fair").mean(axis=-2)
    np.testing.assert_allclose(metrics.fair_crps(metrics.rank(ensemble), truth)[:, :2], expected, rtol=1e-10)


def test_fair_crps_tends_to_that_of_the_distribution_for_any_number_of_members():
    # CRPS of N(0, 1) at 0: 2 phi(0) - 1 / sqrt(pi) = (sqrt(2) - 1) / sqrt(pi); Gneiting & Raftery 2007.
    rng = np.random.default_rng(2)
    for members in (2, 8):
        ensemble = rng.normal(size=(members, 400_000, 1))
        score = metrics.fair_crps(metrics.rank(ensemble), np.zeros((400_000, 1)))
        np.testing.assert_allclose(score, (np.sqrt(2) - 1) / np.sqrt(np.pi), rtol=0.01)


def test_crps_of_one_member_is_its_absolute_error(fields):
    prediction, truth, _ = fields
    np.testing.assert_allclose(
        metrics.fair_crps(metrics.rank(prediction[None]), truth)[:, :2],
        np.abs(prediction - truth).mean(axis=1),
        rtol=1e-6,
    )


def test_a_reliable_ensemble_has_ratio_one_and_a_flat_histogram():
    rng = np.random.default_rng(3)
    members, points = 4, 200_000
    ensemble, truth = rng.normal(size=(members, points, 1)), rng.normal(size=(points, 1))
    spread, skill = metrics.ensemble_spread(ensemble), metrics.rmse(ensemble.mean(axis=0), truth)
    np.testing.assert_allclose(spread, 1, rtol=0.01)
    np.testing.assert_allclose(skill, np.sqrt(1 + 1 / members), rtol=0.01)
    np.testing.assert_allclose(metrics.spread_skill_ratio(spread, skill, members), 1, rtol=0.01)
    np.testing.assert_allclose(
        metrics.rank_histogram(metrics.rank(ensemble), truth)[:, 0], 1 / (members + 1), rtol=0.02
    )


@pytest.mark.parametrize(("members", "share"), [(3, 0.5), (8, 0.5), (20, 0.5), (19, 0.9), (20, 0.9), (33, 0.9)])
def test_a_reliable_ensemble_covers_its_share_whatever_the_number_of_members(members, share):
    # Of M uniform members, those at positions p (M + 1) and (1 - p)(M + 1) have the quantiles p and 1 - p as means.
    rng = np.random.default_rng(6)
    ensemble, truth = rng.uniform(size=(members, 100_000, 1)), rng.uniform(size=(100_000, 1))
    np.testing.assert_allclose(metrics.interval_coverage(metrics.rank(ensemble), truth, share), share, atol=0.006)


def test_too_few_members_have_no_interval():
    ensemble, truth = np.random.default_rng(7).normal(size=(18, 4, 50, 2)), np.zeros((4, 50, 2))
    assert metrics.interval_coverage(metrics.rank(ensemble), truth, 0.9).shape == (4, 3)
    assert np.isnan(metrics.interval_coverage(metrics.rank(ensemble), truth, 0.9)).all()
    assert np.isnan(metrics.interval_coverage(metrics.rank(ensemble[:2]), truth, 0.5)).all()
    assert np.isfinite(metrics.interval_coverage(metrics.rank(ensemble), truth, 0.5)).all()


def test_the_interval_ends_at_members_where_its_position_is_one():
    ensemble = np.arange(1.0, 20)[:, None, None] * np.ones((19, 4, 1))  # 1 ... 19: of 90 % from the first to the last
    truth = np.array([0.99, 1, 19, 19.01])[:, None]
    np.testing.assert_allclose(metrics.interval_coverage(metrics.rank(ensemble), truth, 0.9), 0.5)
    # 20 members: from 1.05 to 19.95
    ensemble = np.arange(1.0, 21)[:, None, None] * np.ones((20, 4, 1))
    truth = np.array([1.04, 1.06, 19.94, 19.96])[:, None]
    np.testing.assert_allclose(metrics.interval_coverage(metrics.rank(ensemble), truth, 0.9), 0.5)


def test_where_all_members_are_the_truth_the_share_counts():
    assert metrics.interval_coverage(metrics.rank(np.ones((20, 5, 1))), np.ones((5, 1)), 0.9) == pytest.approx(0.9)


def test_the_error_relative_to_the_variability_is_one_for_climatology(fields):
    prediction, truth, weights = fields
    climatology = truth.mean(axis=0)
    error = metrics.relative_l2_anomalies(np.broadcast_to(climatology, truth.shape), truth, climatology, weights)
    np.testing.assert_allclose(error, 1, rtol=1e-6)
    np.testing.assert_allclose(
        metrics.relative_l2_anomalies(prediction + 288, truth + 288, 288, weights),
        metrics.relative_l2(prediction, truth, weights),
        rtol=1e-4,
    )


def test_an_ensemble_of_one_has_no_spread():
    assert np.isnan(metrics.ensemble_spread(np.ones((1, 3, 5, 2)))).all()


# ------------------------------------------------------------------------------------------------ spectra


@pytest.mark.parametrize("grid", [(32,), (16, 32), (8, 16, 8)])
def test_energy_of_one_wave_is_in_its_shell(grid):
    length = 3.0
    spacing = [length / size for size in grid]
    axes = np.meshgrid(*[np.arange(size) * step for size, step in zip(grid, spacing, strict=True)], indexing="ij")
    wave = 5.0 + 2.0 * np.sin(2 * np.pi * 3 * axes[-1] / length)
    wavenumber, energy = metrics.energy_spectrum(np.stack([wave, 0 * wave], axis=-1), spacing)
    np.testing.assert_allclose(wavenumber[2], 2 * np.pi * 3 / length)
    assert energy.shape == (min(grid) // 2, 2)
    expected = np.zeros(len(wavenumber))
    expected[2] = 0.5 * 2.0**2 / 2  # half the mean square; the mean itself has no wavenumber
    np.testing.assert_allclose(energy[:, 0], expected, atol=1e-12)
    np.testing.assert_array_equal(energy[:, 1], 0)


@pytest.mark.parametrize(("rows", "columns"), [(9, 12), (12, 9), (12, 12)])  # with and without Nyquist modes
def test_spectrum_of_noise_agrees_with_a_direct_sum(rows, columns):
    field = np.random.default_rng(4).normal(size=(2, rows, columns, 1))
    _, energy = metrics.energy_spectrum(field, (1 / rows, 1 / columns))
    for frame in range(2):
        modes = np.abs(np.fft.fft2(field[frame, :, :, 0]) / (rows * columns)) ** 2 / 2
        ky, kx = np.meshgrid(np.fft.fftfreq(rows, 1 / rows), np.fft.fftfreq(columns, 1 / columns), indexing="ij")
        shell = np.rint(np.hypot(ky, kx))
        expected = [modes[shell == k].sum() for k in range(1, min(rows, columns) // 2 + 1)]
        np.testing.assert_allclose(energy[frame, :, 0], expected)


def test_a_window_keeps_a_ramp_out_of_the_high_wavenumbers():
    ramp = np.linspace(0, 1, 64)[:, None]
    _, periodic = metrics.energy_spectrum(ramp, (1.0,))
    _, windowed = metrics.energy_spectrum(ramp, (1.0,), periodic=(False,))
    assert windowed[16:].sum() < 1e-3 * periodic[16:].sum()
    noise = np.random.default_rng(5).normal(size=(500, 64, 1))
    _, periodic = metrics.energy_spectrum(noise, (1.0,))
    _, windowed = metrics.energy_spectrum(noise, (1.0,), periodic=(False,))
    np.testing.assert_allclose(windowed.mean(axis=0)[1:], periodic.mean(axis=0)[1:], rtol=0.25)


def test_spectral_error_by_band():
    wavenumber = np.arange(1, 33, dtype=float)
    bands = metrics.wavenumber_bands(wavenumber)
    # edges at 32^(1/3) = 3.17 and 32^(2/3) = 10.08
    np.testing.assert_array_equal([np.sum(bands == band) for band in range(3)], [3, 7, 22])
    true = np.ones((4, 32, 2))
    predicted = true.copy()
    predicted[:, bands == 1, 0] = 0.0  # nothing in the middle
    predicted[:, bands == 2, 1] = 3.0  # three times too much at the top
    error = metrics.spectral_error(predicted, true, wavenumber)
    assert error.shape == (3, 4, 3)
    np.testing.assert_allclose(error[:, 0], [[0, 0, 0], [1, 0, 0.5], [0, 2, 1]])


# ------------------------------------------------------------------------------------------------ failures


def test_a_diverged_prediction_is_refused_by_name():
    prediction = np.ones((5, 10, 2))
    prediction[2, 3, 1] = np.nan
    prediction[4, 3, 1] = np.inf
    with pytest.raises(SparseVQError, match="pod_dmd: case 7 is NaN or infinite from lead 3 on"):
        require_finite(prediction, "pod_dmd", 7)
    with pytest.raises(SparseVQError, match="lead 3"):
        require_finite(np.stack([np.ones_like(prediction), prediction]), "sparsevq", 7, lead_axis=1)
    weights = np.ones(10)
    weights[3] = 0
    require_finite(prediction, "pod_dmd", 7, weights)
