"""Trains stages in several processes: ``python -m tests.together CHAIN OUT`` (tests/devices/test_parallel.py)."""

import sys
from collections.abc import Callable
from pathlib import Path

from sparsevq.runtime.devices.device import Lease, fabric_for, set_threads
from sparsevq.runtime.devices.processes import together

MORE = {"max_steps": 8, "val_every": 2}
ODD = 9
"""Frames of a batch: two processes have five and four."""
CASES: dict[str, Callable] = {
    "stage1": lambda chain, out: chain.encoder("sparse", out, batch_frames=ODD, **MORE),
    "accumulated": lambda chain, out: chain.encoder("sparse", out, batch_frames=ODD, accum_grads=2, **MORE),
    "vq": lambda chain, out: chain.tokenizer(
        out, quantizer="vq", tokenizer="conv", num_vq_embeddings=64, batch_frames=ODD, **MORE
    ),
    "rvq": lambda chain, out: chain.tokenizer(out, quantizer="rvq", batch_frames=ODD, field_weight=0.5, **MORE),
    "fsq": lambda chain, out: chain.tokenizer(out, quantizer="fsq", batch_frames=ODD, **MORE),
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
