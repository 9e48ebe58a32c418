"""Figures: all are there, show what they should, and have the same bytes for the same inputs."""

import dataclasses
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb
from PIL import Image

from sparsevq.errors import SparseVQError
from sparsevq.evaluation.figures import lead_time
from sparsevq.evaluation.figures.draw import CASE_FIGURES, _pictured, draw_case_figures, draw_summary_figures
from sparsevq.evaluation.figures.fields import draw_animation, draw_strip
from sparsevq.evaluation.figures.training import draw_training
from sparsevq.evaluation.labels import METHODS
from tests.evaluation.conftest import HORIZON, make_experiment
from tests.evaluation.test_scores import run


def histories(folder):
    steps = np.arange(0, 100, 10)
    table = pd.DataFrame({"step": steps, "train_loss": np.exp(-steps / 50), "lr": 1e-3})
    table["val_loss"] = table["train_loss"].where(steps % 20 == 0)
    paths = {"sparse": folder / "sparse.csv", "gpt": folder / "gpt.csv"}
    for path in paths.values():
        table.to_csv(path, index=False)
    return paths


def draw(experiment, name="figures", **replaced):
    arguments = {
        "data": experiment.data,
        "sensors": experiment.sensors,
        "forecast_path": experiment.forecast,
        "baselines_path": experiment.folder / "baselines.h5",
        "codes_path": experiment.codes,
        "histories": histories(experiment.folder),
        "scores_dir": experiment.folder / "scores",
        "out_dir": experiment.folder / name,
    }
    return draw_case_figures(**(arguments | replaced))


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory):
    """An experiment with its scores and figures; nobody may change it."""
    experiment = make_experiment(tmp_path_factory.mktemp("evaluated"))
    run(experiment)
    draw(experiment)
    return experiment


def check_figures(paths):
    assert tuple(path.name for path in paths) == CASE_FIGURES
    for path in paths:
        with Image.open(path) as picture:
            assert min(picture.size) > 150
            assert len(picture.convert("RGB").getcolors(1 << 24)) > 10  # not a blank sheet
    with Image.open(paths[-1]) as film:
        assert film.n_frames == HORIZON + 1


def test_the_same_inputs_give_the_same_bytes(evaluated):
    paths = draw(evaluated, "again")
    check_figures(paths)
    for path in paths:
        assert (evaluated.folder / "figures" / path.name).read_bytes() == path.read_bytes(), path.name


def pictured(experiment, **replaced):
    """The case that pictures show, as `draw_case_figures` finds it."""
    with h5py.File(experiment.forecast) as forecast, h5py.File(experiment.folder / "baselines.h5") as baselines:
        table = pd.read_csv(experiment.folder / "scores" / "cases.csv")
        case = _pictured(experiment.data, experiment.sensors, forecast, baselines, table)
    return dataclasses.replace(case, **replaced)


@pytest.mark.parametrize("grid", [(32,), (6, 8, 8)])
def test_pictures_of_a_line_and_of_space(tmp_path, grid):
    experiment = make_experiment(tmp_path, grid=grid, trajectories=8, sensors=5)
    run(experiment)
    case = pictured(experiment)
    with Image.open(draw_strip(case, tmp_path / "strip.png")) as picture:
        assert len(picture.convert("RGB").getcolors(1 << 24)) > 100
    with Image.open(draw_animation(case, tmp_path / "film.gif")) as film:
        assert film.n_frames == HORIZON + 1


def test_the_pictured_case_is_the_one_with_the_median_error(evaluated):
    case = pictured(evaluated)
    table = pd.read_csv(evaluated.folder / "scores" / "cases.csv").query("method == 'sparsevq'")
    errors = table.groupby("case")["relative_l2"].mean()
    assert (errors < errors[case.case]).sum() == 1  # of four cases the second best
    truth = evaluated.truth[case.case].reshape(HORIZON + 1, -1, 2)
    assert np.abs(case.forecast - truth[1:]).std() == pytest.approx(0.15 * np.sqrt(1 - 2 / np.pi), rel=0.1)
    assert np.abs(case.reconstruction - truth[0]).max() < 0.5
    assert case.baseline_name == "pod_dmd"


def test_the_obstacle_is_grey_and_hides_what_is_under_it(evaluated, tmp_path):
    def grey(case):
        with Image.open(draw_strip(case, tmp_path / "strip.png")) as picture:
            return (np.array(picture.convert("RGB")) == round(0.6 * 255)).all(axis=-1).sum()

    free = dataclasses.replace(evaluated.data, mask=np.ones_like(evaluated.data.mask))
    assert grey(pictured(evaluated)) > 20 * grey(pictured(evaluated, data=free))


def test_a_long_forecast_makes_no_long_film(evaluated, tmp_path):
    with Image.open(draw_animation(pictured(evaluated), tmp_path / "film.gif", most_frames=3)) as film:
        assert film.n_frames == 3


def test_every_method_is_drawn_in_its_own_colour(evaluated, monkeypatch):
    drawn = []
    monkeypatch.setattr(lead_time, "save", lambda figure, path: drawn.append(figure) or path)
    lead_time.draw_lead_time_over_seeds(pd.read_csv(evaluated.folder / "scores" / "scores.csv"), Path("unused"))
    axes = drawn[0].axes[0]
    lines = {line.get_label(): line for line in axes.get_lines()}
    for method in ("sparsevq", "sparsevq_member", "persistence", "climatology", "pod_dmd"):
        style = METHODS[method]
        assert to_rgb(lines[style.label].get_color()) == to_rgb(style.colour)
        assert list(lines[style.label].get_xdata()) == list(range(1, HORIZON + 1))
    assert len({style.colour for style in METHODS.values()}) == len(METHODS)


def test_a_missing_history_is_named(tmp_path):
    with pytest.raises(SparseVQError, match=r"gone\.csv can't be read as a training history"):
        draw_training({"gpt": tmp_path / "gone.csv"}, tmp_path / "training.png")


def test_missing_scores_are_named(evaluated, tmp_path):
    with pytest.raises(SparseVQError, match=r"cases\.csv can't be read as a table"):
        draw(evaluated, scores_dir=tmp_path)


def test_figures_of_many_runs(evaluated, tmp_path):
    (path,) = draw_summary_figures(evaluated.folder / "scores" / "scores.csv", tmp_path)
    assert path == tmp_path / "lead_time.png"
    assert path.stat().st_size > 10_000
