"""What a person sees of a result: experiments of the right kind, parents with settings, data, figures, descriptions."""

import dataclasses
import json
import subprocess
from pathlib import Path

import pytest

from sparsevq.config import TrackingConfig
from sparsevq.runtime.tracking import parents
from sparsevq.runtime.tracking.identity import Job
from sparsevq.runtime.tracking.origin import origin
from sparsevq.runtime.tracking.spool import spools
from sparsevq.runtime.tracking.tracker import tracked
from tests.browser import browser
from tests.servers import mlflow_ui

QUIET = TrackingConfig(system_metrics=False)
SPARSE = Job("flow", "sparse", "cylinder", 20, 1)
GPT = Job("flow", "gpt", "cylinder", 20, 1)
EVALUATE = Job("flow", "evaluate", "cylinder", 20, 1)
RUN_NAMES = ["s1 n20 cylinder", "s2 n20 cylinder", "s3 n20 cylinder"]
DATA = {"name": "cylinder", "digest": "ab" * 8, "context": "train", "source_type": "local", "source": "{}"}
DATA |= {"schema": "{}", "profile": "{}"}


def client(results: Path):
    from mlflow import MlflowClient

    return MlflowClient(f"sqlite:///{results}/mlflow.db")


def runs(results: Path) -> dict:
    """The runs that are not deleted, by name, of which each is there once."""
    store = client(results)
    found = store.search_runs([store.get_experiment_by_name("flow").experiment_id])
    by_name = {run.info.run_name: run for run in found}
    assert len(by_name) == len(found)
    return by_name


def parent(results: Path):
    return runs(results)["s1 n20 cylinder"]


def curve(results: Path, name: str) -> list[tuple[int, float]]:
    history = client(results).get_metric_history(parent(results).info.run_id, name)
    return [(point.step, point.value) for point in history]


def test_names_begin_with_what_differs():
    assert [Job("flow", "gpt", "cylinder", 20, seed).run_name for seed in (1, 2)] == [
        "gpt s1 n20 cylinder",
        "gpt s2 n20 cylinder",
    ]
    shard = Job("flow", "simulate", "cylinder", part="3")
    assert (SPARSE.parent_name, shard.run_name, shard.parent_name) == (
        "s1 n20 cylinder",
        "simulate 3 cylinder",
        "data cylinder",
    )
    tables = Job("flow", "tables")
    assert (tables.run_name, tables.parent_name) == ("tables", "experiment")


@pytest.mark.parametrize(
    ("kind", "then"),
    [
        (None, "custom_model_development"),
        ("no_inferred_type", "custom_model_development"),
        ("genai_development_inferred", "custom_model_development"),
        ("genai_development", "genai_development"),
    ],
)
def test_an_experiment_is_of_the_kind_model_development_unless_a_user_says_otherwise(results, kind, then):
    with tracked(SPARSE, QUIET, results):
        pass
    store = client(results)
    experiment = store.get_experiment_by_name("flow")
    assert experiment.tags["mlflow.experimentKind"] == "custom_model_development"
    assert str(results / "flow") in experiment.tags["mlflow.note.content"]
    if kind is None:
        store.delete_experiment_tag(experiment.experiment_id, "mlflow.experimentKind")
    else:
        store.set_experiment_tag(experiment.experiment_id, "mlflow.experimentKind", kind)
    with tracked(SPARSE, QUIET, results):
        pass
    assert store.get_experiment_by_name("flow").tags["mlflow.experimentKind"] == then


def test_jobs_over_the_whole_experiment_stand_below_those_that_are_compared(results):
    """MLflow lists the runs that started last first, and so do the legends of its charts."""
    for job in (Job("flow", "preprocess", "cylinder"), SPARSE, Job("flow", "tables")):
        with tracked(job, QUIET, results):
            pass
    found = runs(results)
    assert found["tables"].data.tags["mlflow.parentRunId"] == found["experiment"].info.run_id
    assert found["experiment"].info.start_time < found["s1 n20 cylinder"].info.start_time
    assert found["experiment"].info.status == "FINISHED"


def test_a_description_is_kept_up_to_date_until_a_user_writes_another(results):
    for text in ("first", "second"):
        with tracked(Job("flow", "tables"), QUIET, results) as tracker:
            tracker.describe_experiment(text)
    store = client(results)
    experiment = store.get_experiment_by_name("flow")
    note = experiment.tags["mlflow.note.content"]
    assert f"#/experiments/{experiment.experiment_id}/runs?workflowType=machine_learning" in note
    assert "second" in note
    assert "first" not in note
    store.set_experiment_tag(experiment.experiment_id, "mlflow.note.content", "mine")
    with tracked(Job("flow", "tables"), QUIET, results) as tracker:
        tracker.describe_experiment("third")
    assert store.get_experiment_by_name("flow").tags["mlflow.note.content"] == "mine"


def test_the_parent_has_the_settings_of_all_its_jobs_and_their_devices(results):
    for job, stage in ((SPARSE, "stage1"), (GPT, "stage3")):
        with tracked(
            job, QUIET, results, params={stage: {"lr": 0.1}, "split": "test"}, shared={stage: {"lr": 0.1}}
        ) as t:
            t.log_params({"device": "cpu"})
    assert parent(results).data.params == {
        "data_set": "cylinder",
        "num_sensors": "20",
        "seed": "1",
        "stage1.lr": "0.1",
        "jobs.sparse.device": "cpu",
        "stage3.lr": "0.1",
        "jobs.gpt.device": "cpu",
    }


def test_data_sets_are_inputs_of_the_run_and_of_its_parent_once(results):
    for _ in range(2):
        with tracked(SPARSE, QUIET, results) as tracker:
            tracker.log_data_sets([DATA, {**DATA, "name": "other", "context": "test"}])
    for name in ("sparse s1 n20 cylinder", "s1 n20 cylinder"):
        found = runs(results)[name].inputs.dataset_inputs
        assert sorted((each.dataset.name, each.tags[0].value) for each in found) == [
            ("cylinder", "train"),
            ("other", "test"),
        ]


def concluded(results: Path, curve: dict[int, float], **settings) -> None:
    picture, table = results / "strip.png", results / "summary.json"
    picture.write_text("picture")
    table.write_text(json.dumps({"columns": ["method", "error"], "data": [["ours", 0.5]]}))
    with tracked(EVALUATE, QUIET, results, concludes=True, **settings) as tracker:
        tracker.conclude(
            {"error/relative_l2": 0.5},
            {"lead_time/relative_l2": curve},
            headline="half of the best baseline's error",
            files=[picture],
            tables=[table],
            folder="result",
        )
        picture.unlink()


def test_the_parent_has_curves_by_lead_time_pictures_a_table_and_a_headline(results):
    concluded(results, {0: 0.25, 1: 0.5}, files=results / "flow/cylinder/n20/seed1")
    run = parent(results)
    assert run.data.metrics == {"error/relative_l2": 0.5, "lead_time/relative_l2": 0.5}
    assert curve(results, "lead_time/relative_l2") == [(0, 0.25), (1, 0.5)]
    listed = client(results).list_artifacts(run.info.run_id, "result")
    assert [artifact.path for artifact in listed] == ["result/strip.png", "result/summary.json"]
    assert json.loads(run.data.tags["mlflow.loggedArtifacts"]) == [{"path": "result/summary.json", "type": "table"}]
    note = run.data.tags["mlflow.note.content"]
    for part in ("cylinder", "20 sensors", "seed 1", "flow/cylinder/n20/seed1", "half of the best baseline"):
        assert part in note
    assert run.data.tags["mlflow.source.git.commit"] == run.data.tags["git_commit"]


def test_figures_of_a_job_that_fails_do_not_reach_the_parent(results):
    with pytest.raises(ZeroDivisionError), tracked(EVALUATE, QUIET, results, concludes=True) as tracker:
        tracker.conclude({"error/relative_l2": 0.5}, headline="wrong")
        raise ZeroDivisionError
    assert not parent(results).data.metrics
    assert "wrong" not in parent(results).data.tags["mlflow.note.content"]


def test_the_same_figures_again_leave_the_parent_as_it_is(results):
    for _ in range(2):
        concluded(results, {0: 0.25, 1: 0.5})
    assert curve(results, "lead_time/relative_l2") == [(0, 0.25), (1, 0.5)]


def test_other_figures_replace_the_parent_and_keep_the_rest(results):
    """A curve would have both values at a step, and a longer one its old end."""
    with tracked(SPARSE, QUIET, results, shared={"stage1": {"lr": 0.1}}, inputs={"data": "ab"}) as tracker:
        tracker.log_data_sets([DATA])
    concluded(results, {0: 0.25, 1: 0.5, 2: 0.75})
    before = parent(results)
    client(results).set_tag(before.info.run_id, "mine", "best so far")
    concluded(results, {0: 0.25, 1: 0.625})
    after = parent(results)
    assert after.info.run_id != before.info.run_id
    assert curve(results, "lead_time/relative_l2") == [(0, 0.25), (1, 0.625)]
    assert after.data.params == before.data.params
    assert after.data.tags["mine"] == "best so far"
    assert after.info.status == "FINISHED"
    assert [each.dataset.name for each in after.inputs.dataset_inputs] == ["cylinder"]
    children = [run for name, run in runs(results).items() if name != "s1 n20 cylinder"]
    assert {run.data.tags["mlflow.parentRunId"] for run in children} == {after.info.run_id}
    assert len(children) == 2


def test_a_changed_setting_replaces_the_parent_without_what_it_made_false(results):
    for job, stage in ((SPARSE, "stage1"), (GPT, "stage3")):
        with tracked(job, QUIET, results, shared={stage: {"lr": 0.1}}) as tracker:
            tracker.log_params({"device": "cpu"})
    concluded(results, {0: 0.25, 1: 0.5})
    with tracked(GPT, QUIET, results, shared={"stage3": {"lr": 0.2}}) as tracker:
        tracker.log_params({"device": "cuda:0"})
    run = parent(results)
    assert not run.data.metrics, "they are of other settings"
    assert run.data.params["stage1.lr"] == "0.1"
    assert run.data.params["stage3.lr"] == "0.2"
    assert run.data.params["jobs.sparse.device"] == "cpu"
    assert run.data.params["jobs.gpt.device"] == "cuda:0"
    assert not [name for name in run.data.tags if name.startswith("rerun.")]


def test_another_device_alone_is_a_tag(results):
    for device in ("cpu", "cuda:0"):
        with tracked(GPT, QUIET, results, shared={"stage3": {"lr": 0.1}}) as tracker:
            tracker.log_params({"device": device})
    assert parent(results).data.params["jobs.gpt.device"] == "cpu"
    assert parent(results).data.tags["rerun.jobs.gpt.device"] == "cuda:0"


def test_another_data_set_under_the_same_name_replaces_the_parent(results):
    for digest in ("ab", "cd"):
        with tracked(SPARSE, QUIET, results, inputs={"data": digest}) as tracker:
            tracker.log_data_sets([{**DATA, "digest": digest}])
    (found,) = parent(results).inputs.dataset_inputs
    assert found.dataset.digest == "cd"
    assert parent(results).data.tags["digest.data"] == "cd"


def test_a_replacement_that_was_interrupted_is_completed(results, monkeypatch):
    with tracked(SPARSE, QUIET, results, shared={"stage1": {"lr": 0.1}}):
        pass
    with tracked(GPT, QUIET, results, shared={"stage3": {"lr": 0.1}}):
        pass
    hand_over = parents._hand_over
    monkeypatch.setattr(parents, "_hand_over", lambda *_: None)  # its courier is killed before
    with tracked(GPT, QUIET, results, shared={"stage3": {"lr": 0.2}}):
        pass
    monkeypatch.setattr(parents, "_hand_over", hand_over)
    with tracked(EVALUATE, QUIET, results):
        pass
    run = parent(results)
    assert run.data.params["stage1.lr"] == "0.1"
    assert run.data.params["stage3.lr"] == "0.2"
    children = [each for name, each in runs(results).items() if name != "s1 n20 cylinder"]
    assert {each.data.tags["mlflow.parentRunId"] for each in children} == {run.info.run_id}


def test_a_parent_of_an_earlier_version_is_replaced(results):
    with tracked(SPARSE, QUIET, results):
        pass
    before = parent(results).info.run_id
    store = client(results)
    store.delete_tag(before, "sparsevq.note")
    store.update_run(before, name="cylinder num_sensors 20 seed 1")
    store.set_tag(before, "stage1.lr", "0.1")
    with tracked(GPT, QUIET, results, shared={"stage1": {"lr": 0.1}}):
        pass
    run = parent(results)
    assert "stage1.lr" not in run.data.tags
    assert runs(results)["sparse s1 n20 cylinder"].data.tags["mlflow.parentRunId"] == run.info.run_id
    assert len(runs(results)) == 3


def test_a_courier_whose_parent_was_replaced_meanwhile_finds_the_new_one(results):
    """Two jobs run at once; the one that starts later has another setting."""
    with tracked(SPARSE, QUIET, results, params={"lr": 1}, shared={"stage1": {"lr": 0.1}}) as tracker:
        tracker.log_metrics({"loss": 1.0}, 1)
        tracker._courier.deliver_now()
        with tracked(GPT, QUIET, results, shared={"stage1": {"lr": 0.2}}):
            pass
        tracker.log_params({"device": "cpu"})
        tracker.log_metrics({"loss": 0.5}, 2)
    run = parent(results)
    assert run.data.params["stage1.lr"] == "0.2", "the later one counts"
    assert run.data.params["jobs.sparse.device"] == "cpu"
    child = runs(results)["sparse s1 n20 cylinder"]
    history = client(results).get_metric_history(child.info.run_id, "loss")
    assert [(point.step, point.value) for point in history] == [(1, 1.0), (2, 0.5)]
    assert child.data.tags["mlflow.parentRunId"] == run.info.run_id
    assert not spools(results)


@pytest.mark.slow
def test_the_link_in_the_description_leads_to_charts_of_all_seeds(results):
    for seed in (1, 2, 3):
        with tracked(dataclasses.replace(EVALUATE, seed=seed), QUIET, results, concludes=True) as tracker:
            tracker.conclude({"error/relative_l2": 0.5}, {"by_lead_time/relative_l2": {0: 0.25, 1: 0.5 * seed}})
    number = client(results).get_experiment_by_name("flow").experiment_id
    with mlflow_ui.running(results / "mlflow.db") as address, browser() as chromium:
        mlflow_ui.open_charts(chromium, address, number)
        shown = mlflow_ui.wait(lambda: [name for name in RUN_NAMES if chromium.find_elements("link text", name)])
        assert shown == RUN_NAMES
        assert not chromium.find_elements("link text", "evaluate s1 n20 cylinder")


def test_the_origin_is_that_of_the_scripts_checkout_without_passwords(tmp_path):
    def git(*command: str) -> str:
        identity = ("-c", "user.name=me", "-c", "user.email=me@example.org", "-c", "commit.gpgsign=false")
        ended = subprocess.run(("git", "-C", tmp_path, *identity, *command), check=True, capture_output=True, text=True)
        return ended.stdout.strip()

    script = tmp_path / "workflow/scripts/gpt.py"
    script.parent.mkdir(parents=True)
    script.write_text("")
    git("init", "-b", "mine")
    git("add", ".")
    git("commit", "-m", "first")
    git("remote", "add", "origin", "https://me:hush@example.org/flow.git")
    tags = origin(script)
    assert tags["mlflow.source.name"] == str(script)
    assert tags["mlflow.source.git.commit"] == git("rev-parse", "HEAD")
    assert tags["mlflow.source.git.branch"] == "mine"
    assert tags["mlflow.source.git.repoURL"] == "https://example.org/flow.git"
    assert tags["git_clean"] == "true"


def test_a_folder_that_git_ignores_has_not_the_commit_of_the_checkout_around_it(tmp_path):
    subprocess.run(("git", "init", tmp_path), check=True, capture_output=True)
    (tmp_path / ".venv").mkdir()
    script = tmp_path / ".venv/sparsevq"
    script.write_text("")
    assert origin(script)["mlflow.source.git.commit"] == origin()["mlflow.source.git.commit"]
