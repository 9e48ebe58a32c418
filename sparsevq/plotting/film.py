"""Figures that move: what stays is drawn once, and the pictures become a GIF or a video."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from itertools import chain
from pathlib import Path
from typing import TypeVar

import numpy as np
from matplotlib.artist import Artist
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from sparsevq.errors import SparseVQError
from sparsevq.runtime.files import written_whole

FORMATS = (".gif", ".mp4")
SECONDS = 0.25
"""Between two pictures."""
HELD = 4
"""How many times longer the last picture is shown."""
_QUALITY = 8
"""Of a video, of 10: text stays sharp."""

Step = TypeVar("Step")


def filmed(figure: Figure, steps: Iterable[Step], show: Callable[[Step], Iterable[Artist]]) -> Iterator[Image.Image]:
    """One picture (RGB) for each step; the same background for all, since drawing it takes most of the time.

    Parameters
    ----------
    figure
        A figure of Agg.
    steps
        What the pictures are of.
    show
        Changes the figure to a step, and gives back all artists that moved.
    """
    canvas = FigureCanvasAgg(figure)
    steps = iter(steps)
    first = next(steps)
    for artist in show(first):
        artist.set_animated(True)
    canvas.draw()
    background = canvas.copy_from_bbox(figure.bbox)
    for step in chain([first], steps):
        moved = list(show(step))
        canvas.restore_region(background)
        for artist in moved:
            artist.set_animated(True)
            figure.draw_artist(artist)
        yield Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")


def write_film(path: str | Path, pictures: Iterable[Image.Image]) -> Path:
    """Write a GIF or an MP4 (H.264), by the suffix; the file appears whole or not at all.

    Raises
    ------
    SparseVQError
        The suffix is another one; MP4 has no ffmpeg; or the file can't be written.
    """
    path = Path(path)
    write = {".gif": _write_gif, ".mp4": _write_mp4}.get(path.suffix.lower())
    if write is None:
        raise SparseVQError(f"{path} is called like no film", f"give it one of the suffixes {', '.join(FORMATS)}")
    with written_whole(path) as part:
        write(part, pictures)
    return path


def _write_gif(path: Path, pictures: Iterable[Image.Image]) -> None:
    # The usual choice of 256 colours, by how common they are, would leave the colour bars of rare values grey.
    first, *others = (picture.quantize(method=Image.Quantize.MAXCOVERAGE) for picture in pictures)
    shown = [round(1000 * SECONDS)] * len(others) + [round(1000 * SECONDS * HELD)]
    first.save(path, save_all=True, append_images=others, duration=shown, loop=0)


def _write_mp4(path: Path, pictures: Iterable[Image.Image]) -> None:
    try:
        import imageio_ffmpeg
    except ImportError:
        raise SparseVQError(
            f"{path.name} needs ffmpeg, which is not installed", "pip install imageio-ffmpeg, or write a GIF"
        ) from None
    pictures = iter(pictures)
    first = next(pictures)
    wide, high = (size // 2 * 2 for size in first.size)  # H.264 halves the resolution of colours
    encoder = imageio_ffmpeg.write_frames(
        str(path),
        (wide, high),
        fps=1 / SECONDS,
        quality=_QUALITY,
        macro_block_size=2,
        output_params=["-movflags", "+faststart"],  # plays before it has been loaded whole
    )
    with closing(encoder):  # after an error too: ffmpeg would go on to write
        encoder.send(None)
        for picture in chain([first], pictures):
            last = picture.crop((0, 0, wide, high)).tobytes()
            encoder.send(last)
        for _ in range(HELD - 1):
            encoder.send(last)
