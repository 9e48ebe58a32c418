"""The whole workflow for real, on a miniature: about a minute."""

import contextlib
import re
import signal
import subprocess
import time
from pathlib import Path

import pandas as pd
import psutil
import pytest
import yaml

from sparsevq.data.layout import write_data
from sparsevq.runs.run import Run
from tests.browser import browser, requests
from tests.flows import travelling_waves

from .conftest import MINIATURE, REPOSITORY, command, copied, environment, logs, same_each_time, workflow

pytestmark = pytest.mark.e2e

RUN = "results/miniature/cylinder/n8/seed1"
JOBS_OF_A_RUN = (
    "sensors",
    "semi_sparse",
    "sparse",
    "tokenizer",
    "codes",
    "gpt",
    "calibrate",
    "forecast",
    "baselines",
    "robustness",
    "robustness_forecast",
    "evaluate",
    "example",
    "explore",
    "model",
)
JOBS_OF_A_DATA_SET = ("simulate 0", "simulate 1", "preprocess", "basis", "describe_data")


SCORED = ("evaluate", "example", "explore", "model", "tables", "report")
"""What is made of a forecast and its baselines."""
ROBUST = ("robustness_forecast",)
"""Has forecasts and baselines of its own."""
PARENT = "s1 n8 cylinder"
NUM_RUNS = len(JOBS_OF_A_RUN) + len(JOBS_OF_A_DATA_SET) + len(("tables", "report")) + 3
"""The jobs', and their parents'."""


def client(folder: Path):
    from mlflow import MlflowClient

    return MlflowClient(f"sqlite:///{folder}/results/mlflow.db")


def runs(folder: Path) -> list:
    """All runs of the experiment that are not deleted."""
    experiment = client(folder).get_experiment_by_name("miniature")
    return list(client(folder).search_runs([experiment.experiment_id]))


def named(folder: Path, name: str):
    """The one run of this name."""
    (run,) = [run for run in runs(folder) if run.info.run_name == name]
    return run


def test_the_table_has_a_row_for_each_method_channel_lead_time_and_metric(finished):
    table = pd.read_csv(finished / "results/miniature/tables/forecast.csv")
    keys = ["data_set", "num_sensors", "seed", "observed_frames", "method", "channel", "lead_time", "metric"]
    assert list(table.columns)[: len(keys) + 1] == [*keys, "value"]
    assert not table.duplicated(keys).any()
    assert {"sparsevq", "persistence", "climatology", "pod_dmd", "ridge"} <= set(table["method"])
    assert set(table["channel"]) == {"u", "v", "all"}
    assert sorted(table["lead_time"].unique()) == [0, 1, 2, 3, 4]
    errors = table[table["metric"] == "relative_l2"]["value"]
    assert (errors > 0).all()


def test_every_file_of_the_architecture_is_there(finished):
    text = (REPOSITORY / "docs/architecture.md").read_text()
    for name in (
        "sensors.h5",
        "sensors.csv",
        "codes.h5",
        "calibration.h5",
        "forecast.h5",
        "baselines.h5",
        "robustness.csv",
        "robustness_forecast.csv",
        "readings_example.csv",
        "readings_example.json",
        "scores.csv",
        "chain.csv",
    ):
        assert name in text
        assert (finished / RUN / name).stat().st_size > 0
    assert (finished / RUN / "model/MLmodel").stat().st_size > 0
    for stage in ("semi_sparse", "sparse", "tokenizer", "gpt"):
        assert (finished / RUN / stage / "model.safetensors").stat().st_size > 0
        history = pd.read_csv(finished / RUN / stage / "history.csv")
        assert {"step", "train_loss", "val_loss"} <= set(history.columns)
    named = "summary.csv summary.md summary.tex chain.md chain.tex in_out.md calibration.md codebook.md robustness.md"
    named += " robustness_forecast.csv robustness_forecast.md ../figures/robustness.png"
    for name in named.split():
        assert (finished / "results/miniature/tables" / name).stat().st_size > 0
    for name in ("figures/contact_sheet.png", "split_statistics.csv", "split_statistics.md"):
        assert (finished / "results/miniature/cylinder" / name).stat().st_size > 0


def test_every_job_has_a_log_and_a_benchmark(finished):
    for rule in JOBS_OF_A_RUN:
        assert (finished / RUN / f"logs/{rule}.log").exists()
        benchmark = pd.read_csv(finished / RUN / f"benchmarks/{rule}.tsv", sep="\t")
        assert benchmark["s"][0] > 0


def test_every_job_is_one_run_under_one_parent(finished):
    everything = runs(finished)
    assert {run.info.status for run in everything} == {"FINISHED"}
    jobs = {PARENT: JOBS_OF_A_RUN, "data cylinder": JOBS_OF_A_DATA_SET, "experiment": ("tables", "report")}
    for name, jobs_of_it in jobs.items():
        parent = named(finished, name)
        children = [run for run in everything if run.data.tags.get("mlflow.parentRunId") == parent.info.run_id]
        suffix = {PARENT: f" {PARENT}", "data cylinder": " cylinder", "experiment": ""}[name]
        assert sorted(run.info.run_name for run in children) == sorted(f"{job}{suffix}" for job in jobs_of_it)
    assert len(everything) == NUM_RUNS


def test_the_parent_run_has_the_figures_of_the_table(finished):
    parent = named(finished, PARENT)
    table = pd.read_csv(finished / "results/miniature/tables/forecast.csv")
    table = table.query("channel == 'all' and metric == 'relative_l2'")
    ours = table.query("method == 'sparsevq' and lead_time > 0")["value"].mean()
    assert parent.data.metrics["error/relative_l2"] == pytest.approx(ours, rel=1e-5)  # metrics have six digits
    assert {"error/crps", "error/ratio_to_best_baseline", "calibration/spread_skill_ratio"} <= set(parent.data.metrics)
    assert "reference/relative_l2/ridge" in parent.data.metrics
    curve = client(finished).get_metric_history(parent.info.run_id, "by_lead_time/relative_l2")
    expected = table.query("method == 'sparsevq'").sort_values("lead_time")["value"]
    assert [point.value for point in sorted(curve, key=lambda point: point.step)] == pytest.approx(list(expected))


def test_a_run_is_a_registered_model(finished):
    from mlflow import MlflowClient

    store = f"sqlite:///{finished}/results/mlflow.db"
    version = MlflowClient(store, store).get_model_version_by_alias("miniature-cylinder", "n8-seed1")
    assert version.tags["seed"] == "1"
    assert set(version.aliases) == {"best", "n8-seed1"}


def test_the_parent_run_has_settings_data_sets_pictures_and_a_description(finished):
    parent = named(finished, PARENT)
    params = parent.data.params
    assert (params["stage3.max_steps"], params["stage2.num_vq_embeddings"], params["seed"]) == ("6", "8", "1")
    assert params["jobs.gpt.device"] == "cpu"
    contexts = {each.dataset.name: each.tags[0].value for each in parent.inputs.dataset_inputs}
    assert contexts == {"cylinder train": "train", "cylinder val": "validation", "cylinder test": "test"}
    kept = {Path(item.path).name for item in client(finished).list_artifacts(parent.info.run_id, "result")}
    assert {"summary.json", "strip.png", "lead_time.png", "calibration.png", "animation.gif"} <= kept
    note = parent.data.tags["mlflow.note.content"]
    assert "the error of the best baseline" in note
    assert str(finished / RUN) in note
    assert parent.data.tags["mlflow.source.name"] == str(REPOSITORY / "Snakefile")
    experiment = client(finished).get_experiment_by_name("miniature")
    assert experiment.tags["mlflow.experimentKind"] == "custom_model_development"
    assert "| method |" in experiment.tags["mlflow.note.content"]


def test_training_runs_have_settings_curves_data_and_origin(finished):
    run = named(finished, f"gpt {PARENT}")
    assert run.data.params["stage3.max_steps"] == "6"
    assert run.data.params["device"] == "cpu"
    assert {"train_loss", "val_loss", "system/cpu_utilization_percentage"} <= set(run.data.metrics)
    assert re.fullmatch("[0-9a-f]{40}", run.data.tags["git_commit"])
    assert re.fullmatch("[0-9a-f]{64}", run.data.tags["digest.codes"])
    assert run.data.tags["mlflow.source.name"] == str(REPOSITORY / "workflow/scripts/gpt.py")
    assert {each.dataset.name for each in run.inputs.dataset_inputs} == {"cylinder codes train", "cylinder codes val"}


def test_trajectories_in_files_that_are_too_short_are_refused_before_training(snakemake, tmp_path):
    write_data(tmp_path / "waves.h5", travelling_waves(trajectories=6, frames=12, grid=(8, 8)))
    mine = {"path": str(tmp_path / "waves.h5"), "validation": 1, "test": 1}
    config = {"experiment": "short", "data_sets": ["mine"], "files": {"mine": mine}, "tracking": {"enabled": False}}
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(config))
    ended = snakemake("results/short/mine/data.h5", "--configfile", str(tmp_path / "mine.yaml"))
    assert ended.status != 0
    message = "forecast.horizon=20 needs frame 20, but the trajectories of mine end at frame 11"
    assert message in ended.output + logs(tmp_path)
    assert not (tmp_path / "results/short/mine/data.h5").exists()


def test_nothing_is_left_to_do(finished):
    plan = workflow(finished, "--cores", "2", "--dry-run")
    assert plan.status == 0, plan.output
    assert plan.jobs == {}


VARIANTS = "variants={ahead: {stage3: {prediction: next_token}}, coarse: {stage2: {num_quantizers: 1}}}"


def test_variants_take_from_the_run_what_they_share_and_are_compared_with_it(finished, tmp_path):
    copied(finished, tmp_path / "run")
    # As of somebody who adds them later; without tracking, whose store is not copied.
    asked = ("--cores", "2", "--config", VARIANTS, "tracking={enabled: false}")
    ended = workflow(tmp_path / "run", *asked, "--until", "ablations")
    assert ended.status == 0, ended.output + logs(tmp_path / "run")
    counts = dict.fromkeys(("gpt", "calibrate", "forecast", "baselines", "evaluate"), 2)
    counts |= dict.fromkeys(("tokenizer", "codes", "ablations"), 1)
    assert {rule: count for rule, count in ended.jobs.items() if rule != "total"} == counts
    table = pd.read_csv(tmp_path / "run/results/miniature/tables/ablations.csv").set_index("variant")
    assert list(table.index) == ["base", "ahead", "coarse"]
    assert list(table["bits_mean"]) == [24, 24, 12]
    own = pd.read_csv(finished / RUN / "scores.csv").query("method == 'sparsevq' and channel == 'all'")
    of_metric = own[own["lead_time"] > 0].groupby("metric")["value"].mean()
    assert table.loc["base", "crps_mean"] == pytest.approx(of_metric["crps"], rel=1e-5)
    differences = table["relative_l2_anomalies_mean"] - of_metric["relative_l2_anomalies"]
    assert table["difference_anomalies"].to_numpy()[1:] == pytest.approx(differences.to_numpy()[1:], abs=1e-5)
    folder = tmp_path / "run/results/miniature/cylinder/n8+ahead/seed1"
    assert not (folder / "tokenizer").exists()
    forecast = Run(folder).model("gpt"), Run(folder).model("tokenizer")
    assert [file.path.parent.parent.parent.name for file in forecast] == ["n8+ahead", "n8"]


@pytest.mark.parametrize(
    ("change", "rerun"),
    [
        ("stage3={lr: 0.5}", {"gpt", "calibrate", "forecast", "baselines", *ROBUST, *SCORED}),
        ("forecast={temperature: 0.5}", {"calibrate", "forecast", "baselines", *ROBUST, *SCORED}),
        ("evaluation={pod_ranks: [1]}", {"baselines", *ROBUST, *SCORED}),
        ("stage2={lr: 0.5}", {"tokenizer", "codes", "gpt", "calibrate", "forecast", "baselines", *ROBUST, *SCORED}),
        ("robustness={cases: 1}", {*ROBUST, "tables", "report"}),
        ("sensors={num_semi_sparse: 30}", {*JOBS_OF_A_RUN, "tables", "report"}),
        ("preprocess={split_seed: 1}", {"preprocess", "basis", "describe_data", *JOBS_OF_A_RUN, "tables", "report"}),
        ("resources={threads: 2, mem_mb: 3000}", set()),
        ("tracking={enabled: false}", set()),
    ],
)
def test_a_changed_parameter_reruns_what_depends_on_it_and_nothing_else(finished, change, rerun):
    plan = workflow(finished, "--cores", "2", "--dry-run", "--config", change)
    assert plan.status == 0, plan.output
    assert plan.jobs.keys() - {"all", "total"} == rerun


def test_trained_baselines_are_trained_and_tabulated_and_oracles_are_not_compared(finished, tmp_path):
    pytest.importorskip("monai", reason="optional packages of requirements-networks.lock are missing")
    folder = tmp_path / "with_networks"
    copied(finished, folder)
    sizes = "{max_steps: 4, val_every: 2, widths: [4, 4, 4, 8, 8], batch_frames: 4, rollout_frames: 2}"
    config = ("evaluation={baselines: [ridge, unet, dense_unet], pod_ranks: [1, 2]}", f"networks={{unet: {sizes}}}")
    asked = ("--cores", "2", "--config", *config, "tracking={enabled: false}")
    ended = workflow(folder, *asked, "--until", "tables")
    assert ended.status == 0, ended.output + logs(folder)
    assert ended.jobs["baseline_network"] == 1
    assert {"baselines", "evaluate", "tables"} <= ended.jobs.keys()
    assert not {"preprocess", "basis", "sensors", "gpt", "forecast"} & ended.jobs.keys()
    tables = folder / "results/miniature/tables"
    summary = pd.read_csv(tables / "summary.csv").set_index("method")["ratio_to_best_baseline_mean"]
    assert min(summary["ridge"], summary["unet"]) == pytest.approx(1)
    costs = pd.read_csv(tables / "baselines.csv").set_index("method")
    assert list(costs.index) == ["sparsevq", "ridge", "unet", "dense_unet"]
    assert list(costs["steps"]) == [6 + 6 + 8 + 6, 0, 4, 4]
    assert (costs[["parameters", "seconds"]] > 0).all(axis=None)
    assert workflow(folder, *asked, "--until", "tables", "--dry-run").jobs.get("total", 0) == 0


def test_the_report_begins_with_the_result_and_opens_offline(finished):
    made = workflow(finished, "--cores", "2", "--report", "workflow.html")
    assert made.status == 0, made.output
    assert "(ERROR/" not in made.output
    assert "(WARNING/" not in made.output
    with browser() as chromium:
        for page in (finished / "results/miniature/report.html", finished / "workflow.html"):
            chromium.get(page.as_uri())
            if page.name == "workflow.html":  # Snakemake's own, which shows the other one first
                chromium.switch_to.frame(chromium.find_element("class name", "sparsevq-report"))
            assert re.fullmatch(r"\d+\.\d\d ×", chromium.find_element("css selector", ".headline strong").text)
            text = chromium.find_element("tag name", "body").text
            for caption in ("chain of errors", "Energy spectra", "Use of the codebook", "Kolmogorov-Smirnov"):
                assert caption in text
            assert {address.partition("://")[0] for address in requests(chromium)} <= {"file", "about"}


def test_a_killed_job_is_run_again_and_gives_the_same_table_and_one_run(finished):
    """The same seed on the same machine gives the same bytes, also after the GPT was killed outright."""
    tables = finished / "results/miniature/tables"
    before = same_each_time(tables)
    arguments = ("--directory", str(finished), "--cores", "2", "--configfile", str(MINIATURE))
    started = subprocess.Popen(
        command(*arguments, "--forcerun", "sensors"),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment(),
    )
    _tracked_job(started.pid, "gpt.py").send_signal(signal.SIGKILL)
    output, _ = started.communicate()
    assert started.returncode != 0, output
    since = time.monotonic()
    while "KILLED" not in {run.info.status for run in runs(finished)}:  # told by the job's courier, which lives on
        assert time.monotonic() - since < 60
        time.sleep(0.2)

    again = workflow(finished, "--cores", "2", "--rerun-incomplete")
    assert again.status == 0, again.output
    assert again.jobs["gpt"] == 1
    assert "sensors" not in again.jobs
    after = same_each_time(tables)
    assert before == after
    everything = runs(finished)
    assert {run.info.status for run in everything} == {"FINISHED"}
    assert len(everything) == NUM_RUNS


def _tracked_job(snakemake: int, script: str) -> psutil.Process:
    """The process of a job, once it has a courier."""
    since = time.monotonic()
    while time.monotonic() - since < 120:
        for process in psutil.Process(snakemake).children(recursive=True):
            with contextlib.suppress(psutil.Error):
                line = process.cmdline()  # empty of one that is about to end
                if (
                    line
                    and line[-1].endswith(script)
                    and any("sparsevq.runtime.tracking.courier" in child.cmdline() for child in process.children())
                ):
                    return process
        time.sleep(0.01)
    raise AssertionError(f"{script} did not start")
