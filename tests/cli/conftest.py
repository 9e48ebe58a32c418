"""The published commands on a small flow, once for all tests: four trainings of a few steps."""

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from sparsevq.cli.main import main
from sparsevq.data.layout import write_data
from sparsevq.runtime.devices.device import claim_devices
from tests.flows import travelling_waves

COMMON = (
    "--gpu 0,1 --data {data} --num_sensors 20  --cons False --seed 123 --enc_preproc 48 --dec_num_latent_channels 48 "
    "--enc_num_latent_channels 48 --num_latents 256 --dec_preproc_ch 48 --test False --patience 300 --batch_pixel 2048 "
    "--lr 0.0001 --time_transformer_layers 12 --batch_size 1 --freeze_start_on_0 0 --max_X 0 --num_layers 6 "
    "--training_stage stage1 --time_sub 1 --batch_frames 64"
)
PUBLISHED_COMMANDS = {
    "sparse": COMMON,
    "semi_sparse": COMMON + " --num_sensors 300",
    "stage2": COMMON + " --training_stage stage2 --lr 0.0005 --patience 3000 --load_model True --stage2_frames 21 "
    "--num_vq_embeddings 256 --vq_embedding_dim 512 --batch_frames 128 --model_name {sparse} --num_hiddens 2048 "
    "--semi_sparse True --semi_model_name {semi_sparse} --load_stage2 True",
    "stage3": COMMON + " --training_stage stage3 --lr 0.0001 --patience 3000 --load_model True --load_stage2 True "
    "--stage2_frames 21 --num_vq_embeddings 256 --vq_embedding_dim 512 --batch_frames 128 --model_name {stage2} "
    "--num_hiddens 4096",
}
"""The seed's four commands, after ``train``; in braces what each user has other names for."""

TINY = (
    "--num_latents 64 --enc_preproc_ch 16 --dec_preproc_ch 16 --enc_num_latent_channels 16 "
    "--dec_num_latent_channels 16 "
    "--num_layers 2 --batch_pixels 64 --batch_frames 42 --max_steps 2 --val_every 2 --tracking False"
)
TINY_STAGE2 = " --num_vq_embeddings 16 --vq_embedding_dim 16"
SMALLER = {
    "sparse": "",
    "semi_sparse": "",
    "stage2": f"{TINY_STAGE2} --num_hiddens 16",
    "stage3": f"{TINY_STAGE2} --time_transformer_layers 1 --time_transformer_dim 16 --time_transformer_heads 2",
}
"""Laid over the published commands: the last of two equal flags counts."""


@dataclass(frozen=True)
class Workplace:
    """A folder to work in, with a data set ``waves`` below ``results`` and runs below ``runs``."""

    path: Path

    @property
    def data(self) -> Path:
        return self.path / "results/try/waves/data.h5"

    @property
    def runs(self) -> list[str]:
        return sorted(path.name for path in self.path.glob("runs/*"))

    def __call__(self, command: str) -> int:
        """Run `sparsevq` here as its own process would; gives back the exit status."""
        with as_own_process(self.path):
            try:
                return main(command.split())
            except SystemExit as end:
                return int(end.code or 0)

    def trained(self, command: str) -> str:
        """Train; gives back the time stamp."""
        before = set(self.runs)
        assert self(f"train {command}") == 0
        (new,) = set(self.runs) - before
        return new


@contextlib.contextmanager
def as_own_process(folder: Path) -> Iterator[None]:
    """Undo what a program does to its process: environment, threads, folder, leased devices."""
    environment, threads = dict(os.environ), torch.get_num_threads()
    os.environ |= {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
    try:
        with contextlib.chdir(folder):
            yield
    finally:
        claim_devices("cpu").release()
        torch.set_num_threads(threads)
        os.environ.clear()
        os.environ.update(environment)


@pytest.fixture(scope="session")
def workplace(tmp_path_factory) -> Workplace:
    place = Workplace(tmp_path_factory.mktemp("cli"))
    place.data.parent.mkdir(parents=True)
    write_data(place.data, travelling_waves(trajectories=5, frames=22, grid=(24, 24)))
    return place


@pytest.fixture(scope="session")
def chain(workplace) -> dict[str, str]:
    """The time stamps of the four published commands' runs."""
    names: dict[str, str] = {"data": "waves"}
    for name, command in PUBLISHED_COMMANDS.items():
        names[name] = workplace.trained(f"{command.format(**names)} {TINY}{SMALLER[name]}")
    return names


@pytest.fixture(scope="session")
def readings(workplace) -> str:
    """A CSV file of 20 readings inside the flow."""
    path = workplace.path / "readings.csv"
    places = np.random.default_rng(0).uniform(0.02, 0.25, (20, 2))
    path.write_text("x,y,u,v\n" + "".join(f"{x},{y},{1 + y},{x - y}\n" for x, y in places.tolist()))
    return str(path)
