"""The batches of a training, drawn while the step before is taken where data are slow to come.

The batch of a step depends on (seed, step) alone, so it does not matter who draws it, or when.
"""

import contextlib
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from sparsevq.training.stage import Stage


class Batches:
    """The batches of a stage, one after the other.

    Where the stage says so (`Stage.draws_ahead`), a thread draws the next batch while the training uses one: it reads
    the file, gathers, and on a GPU copies and normalises on a stream of its own. On a GPU both streams wait for each
    other: the training for the batch, and the next draw, which is given memory that was freed before, for all work
    that was asked for until then. A batch is held until the next is taken, so that its memory is not freed earlier.

    Parameters
    ----------
    parts
        Batches of a step (`accum_grads`).
    steps
        Steps of the training.
    """

    def __init__(self, stage: "Stage", parts: int, steps: int):
        self._stage, self._parts, self._steps = stage, parts, steps
        self._device = stage.fabric.device
        self._thread: ThreadPoolExecutor | None = None
        self._next: tuple[int, int] | None = None
        self._drawn: Future[tuple[tuple[Any, ...], Any]] | None = None
        self._held: tuple[Any, ...] = ()
        self._stream: torch.cuda.Stream | None = None

    def take(self, step: int, part: int) -> tuple[Any, ...]:
        """The batch of a part of a step.

        Raises
        ------
        SparseVQError
            Its data are faulty.
        """
        if self._drawn is not None and self._next == (step, part):
            self._held, done = self._drawn.result()
            if done is not None:
                torch.cuda.current_stream(self._device).wait_event(done)
        else:
            self._held = self._stage.draw(seeded(self._stage.seed, step, part), step)
        self._drawn = None
        self._next = following = (step, part + 1) if part + 1 < self._parts else (step + 1, 0)
        if following[0] <= self._steps and self._stage.draws_ahead(following[0]):
            self._drawn = self._ahead(*following)
        return self._held

    def close(self) -> None:
        """End the thread; a batch that nobody takes is dropped, with what is wrong with it."""
        if self._thread is not None:
            self._thread.shutdown(cancel_futures=True)
        self._thread, self._drawn, self._held = None, None, ()

    def _ahead(self, step: int, part: int) -> "Future[tuple[tuple[Any, ...], Any]]":
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, "batches")
            self._stream = torch.cuda.Stream(self._device) if self._device.type == "cuda" else None
        asked = torch.cuda.current_stream(self._device).record_event() if self._stream is not None else None
        return self._thread.submit(self._draw, step, part, asked)

    def _draw(self, step: int, part: int, asked: Any) -> tuple[tuple[Any, ...], Any]:
        """The batch, and the event after which it is there; in the thread."""
        generator = seeded(self._stage.seed, step, part)
        if self._stream is None:
            return self._stage.draw(generator, step), None
        with torch.cuda.stream(self._stream):
            self._stream.wait_event(asked)
            return self._stage.draw(generator, step), self._stream.record_event()


@contextlib.contextmanager
def batches(stage: "Stage", parts: int, steps: int) -> Iterator[Batches]:
    """`Batches` whose thread ends with the block."""
    found = Batches(stage, parts, steps)
    try:
        yield found
    finally:
        found.close()


def seeded(seed: int, step: int, part: int) -> torch.Generator:
    """The generator of a batch, on the host whatever the device: the same on all devices, which share the batch."""
    return torch.Generator().manual_seed(mixed(seed, step, part))


def mixed(seed: int, step: int, part: int) -> int:
    """Distinct generator seeds for neighbouring (seed, step, part)."""
    return (seed * 1_000_003 + step) * 1009 + part
