"""Tables over seeds: arithmetic by hand, and the same bytes for the same inputs."""

import numpy as np
import pandas as pd
import pytest

from sparsevq.errors import SparseVQError
from sparsevq.evaluation.intervals import Resampled
from sparsevq.evaluation.tables import tabulate

METHODS = {"sparsevq": 0.2, "persistence": 0.4, "climatology": 0.5}
CRPS = {"sparsevq": 0.1, "persistence": 0.4, "climatology": 0.2}
TRAJECTORIES = {3: 0.8, 4: 1.0, 5: 1.2}
"""How many times the error of the mean each has, of every method."""


def write_run(folder, seed, factor, num_sensors=20, data_set="waves"):
    """Tables of one run: relative L2 is the method's number times the run's factor times the lead time (1 or 5)."""
    run = {"data_set": data_set, "num_sensors": num_sensors, "seed": seed}
    rows = []
    for method, error in METHODS.items():
        for lead in (1, 5):
            base = {**run, "method": method, "lead_time": lead, "cases": 4}
            rows += [
                {**base, "channel": "all", "metric": "relative_l2", "value": error * factor * lead},
                {**base, "channel": "u", "metric": "relative_l2", "value": 99.0},
                {**base, "channel": "all", "metric": "vrmse", "value": 2 * error * factor},
                {**base, "channel": "all", "metric": "relative_l2_anomalies", "value": 3 * error * factor},
                {**base, "channel": "all", "metric": "crps", "value": CRPS[method] * factor},
                {**base, "channel": "all", "metric": "anomaly_correlation", "value": 1 - error * factor},
            ]
    chain = [
        {
            **run,
            "link": "forecast",
            "channel": "all",
            "lead_time": lead,
            "metric": "relative_l2",
            "value": factor * lead,
        }
        for lead in (0, 1, 5)
    ]
    of_bound = {"rate_distortion_bound": 0.5, "quantized_teacher_reconstruction": 0.6 * factor}
    chain += [{**chain[1], "link": link, "value": value} for link, value in of_bound.items()]
    use = {"encoder": "sparse", "split": "test", "level": 1, "codes": 8, "codes_used": 4 * factor}
    codebook = [{**run, **use, "share_used": 0.5, "perplexity": 3.2, "share_of_top_code": 0.3}]
    calibration = [
        {**run, "method": method, "channel": "all", "lead_time": lead, "quantity": quantity, "rank": np.nan, "value": x}
        for method in METHODS
        for lead, quantity, x in (
            *((lead, "spread_skill_ratio", 0.6 + 0.1 * lead) for lead in (0, 1, 5)),
            *((lead, "coverage_90", np.nan if method == "sparsevq" else 0.8 + 0.02 * lead) for lead in (0, 1, 5)),
            *((lead, "coverage_50", 0.4) for lead in (0, 1, 5)),
        )
    ]
    cases = [
        {**run, "method": method, "case": trajectory, "trajectory": trajectory, "start_frame": 0, "lead_time": lead,
         "relative_l2": share * error * factor * lead, "crps": share * CRPS[method] * factor}
        for method, error in METHODS.items()
        for trajectory, share in TRAJECTORIES.items()
        for lead in (0, 1, 5)
    ]  # fmt: skip
    conditions = {("own", 20, 0.0): 1, ("5 of own", 5, 0.0): 3, ("noise, told", 20, 0.3): 2}
    robustness = [
        {**run, "condition": name, "sensors": sensors, "noise": noise, "method": method, "relative_l2": error * share}
        for (name, sensors, noise), error in conditions.items()
        for method, share in (("encoder", 0.1 * factor), ("linear", 0.2))
    ]
    robustness = [{**row, "ratio": row["relative_l2"] / (0.1 * factor)} for row in robustness]
    tables = {"scores": rows, "cases": cases, "chain": chain, "calibration": calibration, "codebook": codebook}
    paths = []
    for name, table in {**tables, "robustness": robustness}.items():
        paths.append(folder / f"{name}_{data_set}_{num_sensors}_{seed}.csv")
        pd.DataFrame(table).to_csv(paths[-1], index=False)
    return paths


@pytest.fixture
def runs(tmp_path):
    return [write_run(tmp_path, seed=1, factor=1.0), write_run(tmp_path, seed=2, factor=1.5)]


def tables(runs, out):
    tabulate(*(list(paths) for paths in zip(*runs, strict=True)), out, trained=20)
    return out


def test_mean_and_deviation_over_seeds_by_hand(runs, tmp_path):
    summary = pd.read_csv(tables(runs, tmp_path / "out") / "summary.csv").set_index("method")
    assert list(summary.index) == ["sparsevq", "persistence", "climatology"]
    ours = summary.loc["sparsevq"]
    assert ours["seeds"] == 2
    # leads 1 and 5: mean 3 times the error; seeds: factors 1 and 1.5
    assert ours["relative_l2_mean"] == pytest.approx(0.2 * 3 * 1.25)
    assert ours["relative_l2_std"] == pytest.approx(0.2 * 3 * 0.5 / np.sqrt(2))
    assert ours["relative_l2_lead_5_mean"] == pytest.approx(0.2 * 5 * 1.25)
    assert ours["vrmse_mean"] == pytest.approx(0.4 * 1.25)
    assert ours["ratio_to_best_baseline_mean"] == pytest.approx(0.5)
    assert ours["ratio_to_best_baseline_std"] == pytest.approx(0, abs=1e-12)
    assert summary.loc["climatology", "ratio_to_best_baseline_mean"] == pytest.approx(1.25)
    assert "relative_l2_lead_10_mean" not in summary  # no such lead time


def test_correlation_time_of_a_seed_that_never_falls_is_not_averaged(tmp_path):
    runs = [write_run(tmp_path, seed=seed, factor=factor) for seed, factor in ((1, 0.9), (2, 0.9), (3, 1.5))]
    summary = pd.read_csv(tables(runs, tmp_path / "out") / "summary.csv").set_index("method")
    # correlations 0.82, 0.82, 0.7: never, never, at once
    assert summary.loc["sparsevq", "correlation_time_median"] == np.inf
    lines = (tmp_path / "out/summary.md").read_text().splitlines()
    (line,) = [line for line in lines if line.startswith("| sparsevq (ensemble")]
    assert line.endswith("| over 5 |"), "it was looked at for so long"
    assert summary.loc["persistence", "correlation_time_median"] == 1


def test_markdown_and_latex_say_the_same(runs, tmp_path):
    out = tables(runs, tmp_path / "out")
    markdown, latex = (out / "summary.md").read_text(), (out / "summary.tex").read_text()
    assert "### waves, 20 sensors, 2 seeds" in markdown
    ratios = "**0.500 ± 0.000 (0.50 to 0.50)** | **0.500 ± 0.000 (0.50 to 0.50)**"
    # no errors of the anomalies of each case are there: never bold
    assert f"| sparsevq (ensemble mean) | {ratios} | 0.750 ± 0.212 | **0.750 ± 0.212** |" in markdown
    assert "| **0.750 ± 0.212** |" in markdown
    assert r"& \textbf{0.750 $\pm$ 0.212} &" in latex
    assert latex.count(r"\begin{tabular}{l") == latex.count(r"\end{tabular}") == 1
    assert "| persistence | 1.00 ± 0.00 (1.00 to 1.00) | 2.00 ± 0.00 (2.00 to 2.00) |" in markdown
    assert markdown.splitlines()[2] == (
        "| method | error / best baseline | CRPS / best ensemble | error of anomalies | relative L2 error | lead 1 | "
        "lead 5 | CRPS | spread / skill | in 90 % | VRMSE | correlation time (frames) |"
    )


def test_the_chain_is_that_of_the_frames_that_are_forecast(runs, tmp_path):
    out = tables(runs, tmp_path / "out")
    # leads 1 and 5, not the observed frame: mean 3 and 4.5
    chain = (out / "chain.md").read_text()
    assert "| forecast | 3.75 ± 1.06 | 1.25 ± 0.35 | 6.25 ± 1.77 |  |" in chain
    # ratios of 1.2 and 1.8
    assert "| quantized teacher reconstruction | 0.750 ± 0.212 | 0.750 ± 0.212 |  | 1.50 ± 0.42 |" in chain
    assert chain.index("rate-distortion bound | 0.500") < chain.index("quantized teacher") < chain.index("forecast")
    assert len(pd.read_csv(out / "chain.csv")) == 10
    assert "| sparse | test | 1 | 8 | 5.00 ± 1.41 |" in (out / "codebook.md").read_text()


def test_robustness_is_in_the_order_of_the_conditions_beside_the_linear_estimate(runs, tmp_path):
    out = tables([*runs, write_run(tmp_path, seed=1, factor=1.0, num_sensors=5)], tmp_path / "out")
    lines = (out / "robustness.md").read_text().splitlines()
    assert "### waves, 5 sensors" in lines
    assert lines[2].split(" | ")[3:] == ["relative L2 error", "linear estimate", "/ own sensors", "/ linear |"]
    start = lines.index("### waves, 20 sensors") + 4
    assert lines[start : start + 3] == [
        "| own | 20 | 0.0 | 0.125 ± 0.035 | 0.200 ± 0.000 | 1.00 ± 0.00 | 0.625 ± 0.177 |",
        "| 5 of own | 5 | 0.0 | 0.375 ± 0.106 | 0.600 ± 0.000 | 3.00 ± 0.00 | 0.625 ± 0.177 |",
        "| noise, told | 20 | 0.3 | 0.250 ± 0.071 | 0.400 ± 0.000 | 2.00 ± 0.00 | 0.625 ± 0.177 |",
    ]


def test_one_seed_has_no_deviation(tmp_path):
    out = tables([write_run(tmp_path, seed=1, factor=1.0)], tmp_path / "out")
    assert "±" not in (out / "summary.md").read_text()
    assert "1 seed\n" in (out / "summary.md").read_text()


def test_settings_are_kept_apart(runs, tmp_path):
    out = tables([*runs, write_run(tmp_path, seed=1, factor=3.0, num_sensors=5)], tmp_path / "out")
    summary = pd.read_csv(out / "summary.csv").set_index(["num_sensors", "method"])
    assert summary.loc[(5, "sparsevq"), "relative_l2_mean"] == pytest.approx(1.8)
    assert summary.loc[(20, "sparsevq"), "relative_l2_mean"] == pytest.approx(0.75)
    assert (out / "summary.tex").read_text().count(r"\begin{tabular}") == 2


def test_each_number_of_observed_frames_is_a_table_of_its_own(runs, tmp_path):
    more = write_run(tmp_path, seed=4, factor=0.5)
    for path in more:
        table = pd.read_csv(path)
        if "lead_time" in table:
            table.insert(3, "observed_frames", 10)
        table.to_csv(path, index=False)
    out = tables([*runs, more], tmp_path / "out")
    summary = pd.read_csv(out / "summary.csv").set_index(["observed_frames", "method"])
    assert summary.loc[(1, "sparsevq"), "relative_l2_mean"] == pytest.approx(0.75)
    assert summary.loc[(10, "sparsevq"), "relative_l2_mean"] == pytest.approx(0.3)
    text = (out / "summary.md").read_text()
    assert "### waves, 20 sensors, 2 seeds" in text
    assert "### waves, 20 sensors, 10 observed frames, 1 seed" in text


def with_placement(paths, placement, folder):
    """The same run in an experiment with several placements."""
    (folder / placement).mkdir(exist_ok=True)
    moved = [folder / placement / path.name for path in paths]
    for path, to in zip(paths, moved, strict=True):
        table = pd.read_csv(path)
        table.insert(2, "placement", placement)
        table.to_csv(to, index=False)
    return moved


def test_placements_are_compared_where_there_are_several(tmp_path):
    found = []
    for placement, factor in (("random", 1.0), ("variance", 0.5)):
        for seed in (1, 2):
            of_seed = factor * (1 + 0.1 * seed)
            found.append(with_placement(write_run(tmp_path, seed, of_seed), placement, tmp_path))
    out = tables(found, tmp_path / "out")
    summary = pd.read_csv(out / "summary.csv").set_index(["placement", "method"])
    assert summary.loc[("variance", "sparsevq"), "relative_l2_mean"] == pytest.approx(0.2 * 3 * 0.575)
    assert summary.loc[("variance", "sparsevq"), "relative_l2_low"] < 0.2 * 3 * 0.575
    for name in ("summary", "chain", "calibration", "codebook", "robustness"):
        assert "### waves, 20 sensors (random)" in (out / f"{name}.md").read_text(), name
        assert "### waves, 20 sensors (variance)" in (out / f"{name}.md").read_text(), name
    compared = pd.read_csv(out / "placements.csv").set_index("placement")
    assert compared.loc["variance", "ratio_to_random_mean"] == pytest.approx(0.5)
    assert compared.loc["random", "ratio_to_random_mean"] == pytest.approx(1)
    assert compared.loc["variance", "seeds"] == 2
    text = (out / "placements.md").read_text()
    assert text.startswith("### waves, 20 sensors, 2 seeds\n\n| placement |")
    assert "/ random places" in text


def test_without_several_placements_no_table_speaks_of_them(runs, tmp_path):
    out = tables(runs, tmp_path / "out")
    assert not list(out.glob("placements*"))
    assert all("placement" not in path.read_text() for path in out.glob("*.*"))


def test_trajectories_from_outside_training_are_a_table_of_their_own(runs, tmp_path):
    out = tables([*runs, write_run(tmp_path, seed=1, factor=4.0, data_set="waves-ood")], tmp_path / "out")
    summary = pd.read_csv(out / "summary.csv").set_index(["data_set", "method"])
    assert summary.loc[("waves", "sparsevq"), "relative_l2_mean"] == pytest.approx(0.75)
    assert summary.loc[("waves-ood", "sparsevq"), "relative_l2_mean"] == pytest.approx(2.4)
    assert "### waves-ood, 20 sensors, 1 seed" in (out / "summary.md").read_text()


def test_the_same_runs_give_the_same_bytes_in_any_order(runs, tmp_path):
    one, other = tables(runs, tmp_path / "one"), tables(runs[::-1], tmp_path / "other")
    names = sorted(path.name for path in one.iterdir())
    assert names == sorted(
        ["forecast.csv", "chain.csv", "calibration.csv", "calibration.md", "codebook.csv", "summary.csv", "summary.md",
         "summary.tex", "in_out.csv", "in_out.md", "in_out.tex",
         "chain.md", "chain.tex", "codebook.md", "robustness.csv", "robustness.md"]
    )  # fmt: skip
    for name in names:
        assert (one / name).read_bytes() == (other / name).read_bytes(), name


def test_a_missing_table_is_named(tmp_path):
    with pytest.raises(SparseVQError, match=r"gone\.csv can't be read as a table"):
        tabulate([tmp_path / "gone.csv"], [], [], [], [], [], tmp_path, trained=20)


# ------------------------------------------------------------------------------------------------ how sure


def test_intervals_of_the_summary_are_those_of_the_trajectories(runs, tmp_path):
    summary = pd.read_csv(tables(runs, tmp_path / "out") / "summary.csv").set_index("method")
    ours = summary.loc["sparsevq"]
    # three trajectories with 0.8, 1, 1.2 times the mean: 1 in 27 draws has one alone, so the ends are those
    assert ours["relative_l2_low"] == pytest.approx(0.8 * 0.75)
    assert ours["relative_l2_high"] == pytest.approx(1.2 * 0.75)
    assert ours["ratio_to_best_baseline_low"] == pytest.approx(0.5)
    # the best ensemble of a baseline is climatology's, though persistence has the smaller error
    assert ours["crps_ratio_to_best_ensemble_mean"] == pytest.approx(0.5)
    assert summary.loc["persistence", "crps_ratio_to_best_ensemble_mean"] == pytest.approx(2)
    assert "vrmse_low" not in summary, "no such error of each case"


def test_spread_and_coverage_are_means_over_lead_times_from_zero_on(runs, tmp_path):
    out = tables(runs, tmp_path / "out")
    summary = pd.read_csv(out / "summary.csv").set_index("method")
    assert summary.loc["sparsevq", "spread_skill_ratio_mean"] == pytest.approx(0.8)
    assert np.isnan(summary.loc["sparsevq", "coverage_90_mean"])
    assert summary.loc["climatology", "coverage_90_mean"] == pytest.approx(0.84)
    lines = (out / "calibration.md").read_text().splitlines()
    assert lines[2] == "| method | spread / skill | lead 0 | lead 1 | lead 5 | in 50 % | in 90 % |"
    assert lines[4].startswith("| sparsevq (ensemble mean) | 0.800 ± 0.000 | 0.600 ± 0.000 |")
    assert lines[4].endswith("|  |")


def errors_of(**methods):
    return pd.DataFrame(methods, index=range(len(next(iter(methods.values()))))).T


def test_nothing_is_surely_best_whose_difference_may_be_zero():
    rng = np.random.default_rng(0)
    hard = rng.uniform(0.5, 2, 24)  # how hard each trajectory is matters more than the method
    close = Resampled(errors_of(a=hard, b=hard + rng.normal(0.001, 0.2, 24), c=hard + 1))
    assert close.surely_best() is None
    # paired: a small but constant difference is sure, though the intervals of the two overlap
    paired = Resampled(errors_of(a=hard, b=hard + 0.01 + 0.001 * rng.normal(size=24)))
    assert paired.surely_best() == "a"
    assert paired.of("a").high > paired.of("b").low
    assert paired.difference("a", "b").high < 0


def test_the_interval_is_that_of_the_mean_by_the_normal_law():
    values = np.random.default_rng(1).normal(3, 1, 400)
    low, high = Resampled(errors_of(a=values)).of("a")
    half = 1.96 * values.std() / np.sqrt(400)
    assert low == pytest.approx(values.mean() - half, abs=0.15 * half)
    assert high == pytest.approx(values.mean() + half, abs=0.15 * half)


def test_one_trajectory_has_no_interval_and_nothing_is_bold():
    one = Resampled(errors_of(a=[1.0], b=[2.0]))
    assert np.isnan(one.of("a")).all()
    assert one.surely_best() is None
