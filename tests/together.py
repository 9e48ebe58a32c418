"""Trains stages in several processes (test_parallel.py): ``python -m tests.together CHAIN OUT``."""

import sys
from collections.abc import Callable
from pathlib import Path
from unittest import mock

from sparsevq.runtime.devices.device import Lease, fabric_for, set_threads
from sparsevq.runtime.devices.processes import together

MORE = {"max_steps": 8, "val_every": 2}
ODD = 9
"""Frames of a batch: two processes have five and four."""
FEW = 32
"""Frames whose tokens k-means starts from: it gives most codes fewer than three tokens, so that codes soon die."""


def tokenizer(chain, out: Path, **settings) -> None:
    """Stage 2. The seeds below are of trainings in which no token is nearly as close to another code."""
    with mock.patch("sparsevq.stage2.train.KMEANS_FRAMES", FEW):
        chain.tokenizer(out, batch_frames=ODD, **settings, **MORE)


CASES: dict[str, Callable] = {
    "stage1": lambda chain, out: chain.encoder("sparse", out, batch_frames=ODD, **MORE),
    "accumulated": lambda chain, out: chain.encoder("sparse", out, batch_frames=ODD, accum_grads=2, **MORE),
    "vq": lambda chain, out: tokenizer(chain, out, seed=16, quantizer="vq", tokenizer="conv"),
    "rvq": lambda chain, out: tokenizer(chain, out, seed=40, quantizer="rvq", field_weight=0.5),
    "fsq": lambda chain, out: tokenizer(chain, out, seed=7, quantizer="fsq"),
    "stage3": lambda chain, out: chain.gpt(out, batch_frames=25, token_noise=0.3, dropout=0.0, **MORE),
}
"""What is trained in one process and in several; `chain` is a `tests.chain.Chain`."""


def main() -> None:
    set_threads(2)  # one for each of two processes
    with together():
        fabric = fabric_for(Lease("cpu", (), "cpu", processes=2), "32-true")
        from tests import chain

        chain.fabric = lambda precision: fabric
        given, out = map(Path, sys.argv[1:])
        for name, train in CASES.items():
            train(chain.Chain(given), out / name)


if __name__ == "__main__":
    main()
