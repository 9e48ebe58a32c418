"""Trajectories from outside the training range have forecasts, scores and rows of their own in the workflow."""

import pytest

from tests.workflow.conftest import snakemake  # noqa: F401 (a fixture)

OOD = ("forecast_ood", "baselines_ood", "evaluate_ood")


@pytest.fixture
def plan(snakemake, tmp_path):  # noqa: F811
    def of(text):
        (tmp_path / "config.yaml").write_text("experiment: plan\n" + text)
        return snakemake("--dry-run", "--configfile", str(tmp_path / "config.yaml"))

    return of


def test_only_data_sets_that_have_such_trajectories_are_forecast_twice(plan):
    ended = plan("data_sets: [cylinder, fire]\nseeds: [1, 2]\n")
    assert ended.status == 0, ended.output
    assert {rule: ended.jobs[rule] for rule in OOD} == dict.fromkeys(OOD, 2), "a room's forecast for each seed"
    assert ended.jobs["evaluate"] == 4
    assert "results/plan/fire/n20/seed2/ood/scores.csv" in ended.output
    assert "cylinder/n20/seed1/ood" not in ended.output


def test_without_rooms_there_is_nothing_outside(plan):
    ended = plan("data_sets: [fire]\nsimulation: {fire: {rooms: 0}}\n")
    assert ended.status == 0, ended.output
    assert not set(OOD) & set(ended.jobs)


def test_a_data_set_may_not_have_the_name_of_another_ones_rows(plan):
    ended = plan("data_sets: [fire, fire-ood]\nfiles: {fire-ood: {path: mine.nc}}\n")
    assert ended.status != 0
    assert "fire-ood is what the tables call a test set outside training" in ended.output
    assert "Traceback" not in ended.output
