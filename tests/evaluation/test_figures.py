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
from sparsevq.evaluation.codebook import codebook_use
from sparsevq.evaluation.figures import curves, fields, spectra, training
from sparsevq.evaluation.figures.draw import _pictured, draw_case_figures, draw_summary_figures
from sparsevq.evaluation.figures.fields import draw_animation, draw_strip
from sparsevq.evaluation.figures.training import draw_training
from sparsevq.evaluation.labels import METHODS
from sparsevq.evaluation.spectrum import spectrum_of
from tests.evaluation.conftest import HORIZON, make_experiment
from tests.evaluation.test_scores import run
from tests.flows import on_a_sphere, scattered_waves, travelling_waves

CASE_FIGURES = (
    "strip.png",
    "lead_time.png",
    "spectra.png",
    "codebook.png",
    "training.png",
    "calibration.png",
    "chain.png",
    "animation.gif",
)
"""The workflow's outputs."""


def histories(folder):
    steps = np.arange(0, 100, 10)
    table = pd.DataFrame({"step": steps, "train_loss": np.exp(-steps / 50), "lr": 1e-3})
    table["val_loss"] = table["train_loss"].where(steps % 20 == 0)
    paths = {"sparse": folder / "sparse.csv", "gpt": folder / "gpt.csv"}
    for path in paths.values():
        table.to_csv(path, index=False)
    return paths


def draw(experiment, name="figures", **replaced):
    run = experiment.run()
    run.data = replaced.pop("data", run.data)
    arguments = {
        "run": run,
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


def many_channels():
    """Velocities in m/s and a temperature rise, a pressure in Pa, and a mass fraction: nine orders of magnitude."""
    data = travelling_waves(trajectories=8, frames=12, grid=(8, 16))
    u, v = data.fields[..., :1], data.fields[..., 1:]
    fields = np.concatenate([u, v, 1e5 + 50 * u, 1e-4 * np.abs(v)], axis=-1) * data.mask[:, None, ..., None]
    return dataclasses.replace(
        data,
        fields=fields.astype(np.float32),
        channels=("u", "v", "p", "smoke"),
        units=("m/s", "m/s", "Pa", "1"),
        mean=fields[data.mask[:, None].repeat(12, axis=1)].mean(axis=0),
        std=fields[data.mask[:, None].repeat(12, axis=1)].std(axis=0),
    )


DOMAINS = {
    "line": lambda: travelling_waves(trajectories=8, grid=(32,)),
    "space": lambda: travelling_waves(trajectories=8, grid=(6, 8, 8)),
    "long": lambda: travelling_waves(trajectories=8, grid=(8, 32)),
    "sphere": lambda: on_a_sphere(trajectories=8),
    "dots on a line": lambda: scattered_waves(trajectories=8, points=30, dimensions=1),
    "dots": lambda: scattered_waves(trajectories=8, points=60),
    "dots in space": lambda: scattered_waves(trajectories=8, points=200, dimensions=3),
    "many channels": many_channels,
}


@pytest.mark.slow
@pytest.mark.parametrize("domain", DOMAINS)
def test_all_figures_of_every_domain(tmp_path, domain, recwarn):
    experiment = make_experiment(tmp_path, data=DOMAINS[domain](), sensors=5)
    run(experiment)
    recwarn.clear()
    check_figures(draw(experiment))
    assert [str(warning.message) for warning in recwarn] == []


def test_the_codebook_is_compared_between_training_and_the_split_that_is_scored(evaluated, monkeypatch):
    drawn = []
    monkeypatch.setattr(curves, "save", lambda figure, path: drawn.append(figure) or path)
    use = codebook_use(evaluated.codes, "val")
    curves.draw_codebook(evaluated.codes, use, "val", "waves, 8 sensors, seed 1; channels u, v", Path("unused"))
    assert drawn[0].get_suptitle() == "waves, 8 sensors, seed 1: use of the codebook"
    left, right = drawn[0].axes
    assert [text.get_text() for text in drawn[0].legends[0].get_texts()][1] == "sparse, validation"
    assert len(right.containers) == 4
    dashed = [line for line in left.get_lines() if line.get_linestyle() == "--"]
    with h5py.File(evaluated.codes) as file:
        indices = file["sparse"][0][evaluated.data.split == "val"]
    for level, line in enumerate(dashed):
        assert line.get_ydata()[0] == np.bincount(indices[..., level].ravel()).max() / indices[..., level].size


def test_where_there_is_no_spectrum_the_figure_says_why(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(spectra, "save", lambda figure, path: drawn.append(figure) or path)
    kind = spectrum_of(scattered_waves(points=20))
    nothing = pd.DataFrame(columns=["observed_frames", "method", "lead_time", "wavenumber", "energy"])
    spectra.draw_spectra(nothing, kind, "", "scattered", tmp_path)
    assert [text.get_text() for text in drawn[0].texts] == [
        "scattered has no energy spectrum: the points are scattered"
    ]


@pytest.mark.parametrize("domain", ["line", "space", "sphere", "dots"])
def test_pictures_of_every_kind_of_domain(tmp_path, domain):
    experiment = make_experiment(tmp_path, data=DOMAINS[domain](), sensors=5)
    run(experiment)
    case = pictured(experiment)
    with Image.open(draw_strip(case, tmp_path / "strip.png")) as picture:
        assert len(picture.convert("RGB").getcolors(1 << 24)) > 100
    with Image.open(draw_animation(case, tmp_path / "film.gif")) as film:
        assert film.n_frames == HORIZON + 1


def test_axes_are_labelled_at_the_rim_and_sensors_are_marked(evaluated, monkeypatch):
    drawn = []
    monkeypatch.setattr(fields, "save", lambda figure, path: drawn.append(figure) or path)
    draw_strip(pictured(evaluated), Path("unused"))
    axes_of = [axes for axes in drawn[0].axes if axes.get_position().height > 0.05]
    panels, second = axes_of[:20], axes_of[20:]
    assert [axes.get_title() for axes in panels[:4]] == [
        "observed frame",
        "lead 1 (0.5 s)",
        "lead 3 (1.5 s)",
        "lead 5 (2.5 s)",
    ]
    assert [axes.get_ylabel() for axes in panels].count("y (m)") == 5
    assert [axes.get_xlabel() for axes in panels].count("x (m)") == 4
    bars = {axes.get_xlabel() for axes in drawn[0].axes if axes not in axes_of}
    assert bars == {"u (m/s)", "error of u (m/s)", "v (m/s)", "error of v (m/s)"}
    assert not [axes for axes in second if axes.get_ylabel()]
    for one, other in zip(panels, second, strict=True):  # aligned, whatever is labelled
        np.testing.assert_allclose(one.get_position().bounds[1:], other.get_position().bounds[1:])
    assert drawn[0].get_suptitle().startswith("waves, 8 sensors, seed 3: trajectory")
    places = evaluated.data.physical_coordinates[evaluated.sensors.sparse][:, ::-1]
    np.testing.assert_allclose(panels[0].collections[1].get_offsets(), places)


def test_the_pictured_case_is_the_one_with_the_median_error(evaluated):
    case = pictured(evaluated)
    table = pd.read_csv(evaluated.folder / "scores" / "cases.csv").query("method == 'sparsevq'")
    errors = table.groupby("case")["relative_l2"].mean()
    assert (errors < errors[case.case]).sum() == 1  # of four cases the second best
    truth = evaluated.truth[case.case].reshape(HORIZON + 1, -1, 2)
    assert np.abs(case.forecast - truth).std() == pytest.approx(0.15 * np.sqrt(1 - 2 / np.pi), rel=0.1)
    assert case.baseline_name in ("pod_dmd", "ridge")
    assert case.baseline.shape == truth.shape


def test_a_case_from_outside_the_training_range_is_called_so(evaluated):
    case = pictured(evaluated)
    assert case.title.startswith("waves, 8 sensors, seed 3: trajectory")
    outside = np.where(evaluated.data.split == "test", "ood", evaluated.data.split)
    case = dataclasses.replace(case, data=dataclasses.replace(evaluated.data, split=outside))
    assert case.title.startswith("waves, 8 sensors, seed 3, outside the training range: trajectory")


def test_the_obstacle_is_grey_and_hides_what_is_under_it(evaluated, tmp_path):
    def grey(case):
        with Image.open(draw_strip(case, tmp_path / "strip.png")) as picture:
            return (np.array(picture.convert("RGB")) == round(0.6 * 255)).all(axis=-1).sum()

    free = dataclasses.replace(evaluated.data, mask=np.ones_like(evaluated.data.mask))
    assert grey(pictured(evaluated)) > 20 * grey(pictured(evaluated, data=free))


def test_a_forecast_of_an_earlier_version_shows_the_reconstruction_at_lead_zero(tmp_path):
    experiment = make_experiment(tmp_path, first_lead=1)
    run(experiment)
    check_figures(draw(experiment))
    case = pictured(experiment)
    with h5py.File(experiment.forecast) as file:
        stored = file["reconstruction/sparse"][case.case, 0].reshape(-1, 2)
    np.testing.assert_array_equal(case.forecast[0], stored)


def test_each_number_of_observed_frames_is_a_row(evaluated, monkeypatch, tmp_path):
    drawn = []
    monkeypatch.setattr(curves, "save", lambda figure, path: drawn.append(figure) or path)
    table = pd.read_csv(evaluated.folder / "scores" / "cases.csv")
    table["observed_frames"] = np.where(table["start_frame"] > 0, 3, 1)
    curves.draw_lead_time(table, pictured(evaluated).cases, "waves", tmp_path)
    titles = [axes.get_title(loc="left") for axes in drawn[0].axes]
    assert "waves, 8 sensors" in titles
    assert "waves, 8 sensors, 3 observed frames" in titles
    above = [bool(axes.child_axes) for axes in drawn[0].axes]
    assert above == [True] * 3 + [False] * 3, "the lead time in its unit, over the first row"


def test_a_long_forecast_makes_no_long_film(evaluated, tmp_path):
    with Image.open(draw_animation(pictured(evaluated), tmp_path / "film.gif", most_frames=3)) as film:
        assert film.n_frames == 3


def test_every_method_has_a_colour_and_line_of_its_own(evaluated, monkeypatch):
    drawn = []
    monkeypatch.setattr(curves, "save", lambda figure, path: drawn.append(figure) or path)
    curves.draw_lead_time_over_seeds(pd.read_csv(evaluated.folder / "scores" / "scores.csv"), Path("unused"))
    axes = drawn[0].axes[0]
    lines = {line.get_label(): line for line in axes.get_lines()}
    for method in ("sparsevq", "sparsevq_member", "persistence", "climatology", "pod_dmd", "ridge"):
        style = METHODS[method]
        assert to_rgb(lines[style.label].get_color()) == to_rgb(style.colour)
        assert list(lines[style.label].get_xdata()) == list(range(HORIZON + 1))
    # variants of a method share its colour
    assert len({(style.colour, style.line) for style in METHODS.values()}) == len(METHODS)


def test_a_missing_history_is_named(tmp_path):
    with pytest.raises(SparseVQError, match=r"gone\.csv can't be read as a training history"):
        draw_training({"gpt": tmp_path / "gone.csv"}, "waves", tmp_path / "training.png")


def test_stages_that_are_solved_for_are_told_in_a_line(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(training, "save", lambda figure, path: drawn.append(figure) or path)
    paths = histories(tmp_path)
    paths["sparse"].write_text("step,val_loss,val_relative_l2\n0,0.0535,0.0632\n")
    draw_training(paths, "waves, 8 sensors, seed 1; channel u", tmp_path)
    told, curved = drawn[0].subfigs
    (line,) = [text.get_text() for text in told.texts]
    assert " ".join(line.split()) == (
        "sparse, solved for without steps: loss (validation) 0.0535, relative L2 error (validation) 0.0632"
    )
    assert sum(bool(axes.get_lines()) for axes in curved.axes) == 2


def test_links_are_told_apart_and_those_of_further_observed_frames_do_not_count(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(curves, "save", lambda figure, path: drawn.append(figure) or path)
    errors = {"linear_estimate": 0.00206, "teacher_reconstruction": 0.00162, "forecast": 0.00356}
    rows = [
        (observed, link, "all", lead, "relative_l2", error * observed)
        for observed in (1, 5)
        for link, error in errors.items()
        for lead in (1, 2)
    ]
    columns = ["observed_frames", "link", "channel", "lead_time", "metric", "value"]
    curves.draw_chain(pd.DataFrame(rows, columns=columns), "waves", tmp_path)
    assert [text.get_text() for text in drawn[0].axes[0].texts] == ["0.00206", "0.00162", "0.00356"]


@pytest.mark.parametrize(("of_norm", "label"), [(0.005, "error of anomalies"), (0.3, "relative L2 error")])
def test_errors_are_those_of_the_anomalies_where_the_mean_dominates(evaluated, monkeypatch, of_norm, label):
    drawn = []
    monkeypatch.setattr(curves, "save", lambda figure, path: drawn.append(figure) or path)
    table = pd.read_csv(evaluated.folder / "scores" / "cases.csv")
    table["relative_l2"] = of_norm * table["relative_l2_anomalies"]
    curves.draw_lead_time(table, pictured(evaluated).cases, "waves", Path("unused"))
    assert drawn[0].axes[0].get_ylabel() == label


def test_missing_scores_are_named(evaluated, tmp_path):
    with pytest.raises(SparseVQError, match=r"cases\.csv can't be read as a table"):
        draw(evaluated, scores_dir=tmp_path)


def test_figures_of_many_runs(evaluated, tmp_path):
    (path,) = draw_summary_figures(evaluated.folder / "scores" / "scores.csv", tmp_path)
    assert path == tmp_path / "lead_time.png"
    assert path.stat().st_size > 10_000
