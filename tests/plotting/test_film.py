"""Films have a picture for each step and are what their suffix says."""

import subprocess
import sys

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from sparsevq.errors import SparseVQError
from sparsevq.plotting.film import HELD, filmed, write_film


def blinking(steps=3, size=(1.01, 0.75)):
    """Pictures of a square that gets darker; their size in pixels is odd."""
    figure = Figure(figsize=size, dpi=100)
    (patch,) = figure.add_axes((0, 0, 1, 1)).fill([0, 1, 1, 0], [0, 0, 1, 1])

    def show(step):
        patch.set_facecolor(str(1 - step / steps))
        return [patch]

    return filmed(figure, range(steps), show)


def test_each_step_is_a_picture_of_its_own():
    pictures = [np.asarray(picture)[30, 30, 0] for picture in blinking()]
    assert pictures == [255, 170, 85]


def test_a_gif_runs_for_ever_and_holds_the_last_picture(tmp_path):
    with Image.open(write_film(tmp_path / "film.gif", blinking())) as film:
        assert (film.n_frames, film.info["loop"]) == (3, 0)
        assert film.info["duration"] == 250
        film.seek(2)
        assert film.info["duration"] == HELD * 250


def test_a_video_has_an_even_size_and_as_many_pictures(tmp_path):
    import imageio_ffmpeg

    path = write_film(tmp_path / "film.mp4", blinking())
    frames, _ = imageio_ffmpeg.count_frames_and_secs(str(path))
    assert frames == 3 + HELD - 1
    assert next(imageio_ffmpeg.read_frames(str(path)))["size"] == (100, 74)


@pytest.mark.parametrize("name", ["film.gif", "film.mp4"])
def test_a_film_that_fails_leaves_nothing(tmp_path, name):
    def pictures():
        yield from blinking(2)
        raise SparseVQError("no more", "stop")

    with pytest.raises(SparseVQError, match="no more"):
        write_film(tmp_path / name, pictures())
    assert not list(tmp_path.iterdir())


def test_another_suffix_is_refused(tmp_path):
    with pytest.raises(SparseVQError, match=r"film.avi is called like no film: give it one of the suffixes .gif, .mp4"):
        write_film(tmp_path / "film.avi", blinking())


def test_a_video_without_ffmpeg_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    with pytest.raises(SparseVQError, match="pip install imageio-ffmpeg"):
        write_film(tmp_path / "film.mp4", blinking())
    assert not list(tmp_path.iterdir())


def test_figures_that_do_not_move_need_no_ffmpeg():
    code = "import sys, sparsevq.evaluation.figures.fields; sys.exit('imageio_ffmpeg' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
