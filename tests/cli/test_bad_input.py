"""What users get wrong: one line that says what, exit status 1, and nothing left behind."""

import os
import resource
import shutil
import signal
import subprocess
import sys

import pytest

from tests.cli.conftest import TINY, TINY_STAGE2
from tests.edited import edited

STAGE2 = f"--training_stage stage2 {TINY} --num_hiddens 16"
STAGE3 = f"--training_stage stage3 {TINY}"


@pytest.fixture
def fails(workplace, capfd):
    """Run a command that must fail; gives back the one line that it says."""

    def run(command: str) -> str:
        before = snapshot(workplace.path)
        capfd.readouterr()
        assert workplace(command) == 1
        lines = [line for line in capfd.readouterr().err.splitlines() if "sparsevq" in line or "Error" in line]
        assert len(lines) == 1, lines
        assert snapshot(workplace.path) == before
        return lines[0]

    return run


def snapshot(folder):
    return sorted(str(path) for path in folder.rglob("*") if path.name != "runs")


@pytest.fixture(scope="session")
def faulty_data(workplace):
    """Name -> a data file that is wrong."""
    folder = workplace.path / "faulty"
    folder.mkdir()
    whole = workplace.data.read_bytes()
    (folder / "truncated.h5").write_bytes(whole[: len(whole) // 2])
    (folder / "text.h5").write_text("these are no fields")
    shutil.copy(workplace.data, folder / "nan.h5")
    with edited(folder / "nan.h5") as file:
        file["fields"][2, 3, 0, 0, 1] = float("nan")
    return folder


@pytest.mark.parametrize(
    ("data", "told"),
    [
        ("faulty/missing.h5", "there is no data set faulty/missing.h5"),
        ("faulty/truncated.h5", "faulty/truncated.h5 is truncated"),
        ("faulty/text.h5", "faulty/text.h5 is not an HDF5 file"),
        ("faulty/nan.h5", "1 NaN or infinite value at valid points, first in trajectory 2, frame 3, channel v"),
        (
            "cylinder",
            "there is no data set 'cylinder': no results/*/cylinder/data.h5 (found results/try/waves/data.h5)",
        ),
    ],
)
def test_faulty_data(data, told, fails, faulty_data):
    assert told in fails(f"train --data {data} {TINY}")


@pytest.mark.parametrize(
    ("command", "told"),
    [
        (f"{TINY}", "--data_name is missing"),
        (f"{TINY} --data waves --num_sensors 577", "577 sensors do not fit: only"),
        (f"{TINY} --data waves --num_cross_attention_heads 3", "must be a multiple of num_cross_attention_heads=3"),
        (f"{TINY} --data waves --placement region", "placement=region needs `region`"),
        (f"{TINY} --data waves --gpu_device 0,0", "give different GPU numbers"),
        (f"{TINY} --data waves --load_model True", "--model_name is missing"),
        (f"{TINY} --data waves --warm_start True", "--semi_model_name is missing"),
        (f"{TINY} --data waves --load_model True --model_name {{sparse}} --num_latents 16", "num_latents=16 was given"),
        (f"{TINY} --data waves --runs readings.csv", "cannot write readings.csv/"),
        (f"{TINY} --data waves --runs readings.csv/runs", "cannot write readings.csv/runs/"),
        (f"{STAGE2} --model_name 19700101-000000", "--model_name 19700101-000000: there is no such run: there are 2"),
        (f"{STAGE2} --model_name {{sparse}}", "--semi_model_name is missing"),
        (f"{STAGE2} --model_name {{sparse}} --load_model False", "stage 2 works on trained encoders"),
        (f"{STAGE2} --model_name {{sparse}} --semi_model_name {{sparse}} --num_latents 256", "has num_latents=64"),
        (f"{STAGE2} --model_name {{sparse}} --semi_model_name {{sparse}} --num_sensors 5", "has num_sensors=20"),
        (f"{STAGE2} --model_name {{sparse}} --semi_model_name {{sparse}} --time_sub 2", "has time_sub=1"),
        (f"{STAGE2} --model_name {{sparse}} --semi_model_name {{sparse}} --reflect y", "has reflect=()"),
        (f"{STAGE2} --model_name {{semi_sparse}} --semi_model_name {{sparse}}", "280 of the 300 sensors of runs/"),
        (f"{STAGE2} --model_name {{sparse}} --semi_model_name {{sparse}} --tokens_per_frame 5", "must be that"),
        (f"{STAGE3} --model_name {{sparse}}", "has no semi_sparse/model.safetensors, which stage 1 makes"),
        (f"{STAGE3} --model_name {{stage2}} --load_stage2 False", "stage 3 works on the indices of stage 2"),
        (f"{STAGE3} --model_name {{stage2}} --num_vq_embeddings 256", "has num_vq_embeddings=16"),
        (
            f"{STAGE3} {TINY_STAGE2} --model_name {{stage2}} --stage2_frames 40",
            "more than the 22 frames of a trajectory",
        ),
        (f"{STAGE3} {TINY_STAGE2} --model_name {{stage2}} --time_transformer_heads 3", "must be a multiple of"),
        ("--test True --training_stage stage3 --model_name {sparse}", "has no gpt/model.safetensors"),
    ],
)
def test_faulty_trainings(command, told, fails, chain, readings):
    assert told in fails("train " + command.format(**chain))


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ("x,y,u,w\n0.1,0.1,1,1", "line 1: unknown column 'w'"),
        ("x,y,u\n0.1,0.1,1", "line 1: column v missing"),
        ("x,y,u,v\n0.1,0.1,1,1\n0.2,0.1,1,1\n0.1,0.1,2,2", "line 4: the place y=0.1, x=0.1 is on line 2 already"),
        ("sensor,u,v\n3,1,1\n3,1,1", "line 3: column sensor: 3 is on line 2 already"),
        ("sensor,u,v\n300,1,1", "there is no sensor 300"),
        ("x,y,u,v\n0.1,1.5,1,1", "line 2: y=1.5 is outside the domain -0.0217391 ... 1.02174"),
        ("x,y,u,v\n0.5,0.5,1,1", "line 2: y=0.5, x=0.5 is inside an obstacle"),
        ("x,y,u,v\n0.1,0.1,nan,1", "no sensor has a value: give at least one reading"),
        ("x,y,u,v", "no line below its header"),
        (None, "cannot read faulty.csv"),
    ],
)
def test_faulty_readings(lines, told, fails, workplace, chain):
    path = workplace.path / "faulty.csv"
    path.unlink(missing_ok=True)
    if lines is not None:
        path.write_text(lines + "\n")
    assert told in fails(f"forecast runs/{chain['stage3']} --readings faulty.csv --out no.nc")


def test_readings_that_cannot_be_true_are_an_error_if_strict(fails, workplace, readings, chain):
    header, first, *others = (workplace.path / readings).read_text().splitlines()
    dead = ",".join([*first.split(",")[: header.split(",").index("u")], "-9999", "-9999"])
    (workplace.path / "dead.csv").write_text("\n".join([header, dead, *others]) + "\n")
    told = fails(f"forecast runs/{chain['stage3']} --readings dead.csv --out no.nc --strict")
    assert "u = -9999, expected" in told


@pytest.mark.parametrize(
    ("command", "told"),
    [
        ("runs/{stage3} --frames 0", "frames=0 is not allowed"),
        ("runs/{stage3} --members 0", "members=0 is not allowed"),
        ("runs/{stage3} --temperature nan", "temperature=nan is not allowed"),
        ("runs/{stage3} --threads 0", "threads=0 is not allowed"),
        ("runs/{stage3} --parameter wind=1", "the data set has no parameter 'wind': known are speed, strength"),
        ("runs/{stage3} --parameter speed=1 --parameter speed=2", "--parameter speed is given more than once"),
        ("runs/{stage3} --out readings.csv/f.nc", "cannot write readings.csv/f.nc"),
        ("runs/{stage3} --out /dev/full", "/dev/full is of no kind that a forecast is written as"),
        ("runs/{stage2}", "has no gpt/model.safetensors, which stage 3 makes"),
        ("runs/none", "there is no folder runs/none"),
        ("runs", "give the folder of one run, such as runs/"),
        ("runs/{stage3} --data faulty/nan.h5", "sensors.h5 was made from another data set"),
    ],
)
def test_faulty_forecasts(command, told, fails, chain, readings, faulty_data):
    assert told in fails(
        f"forecast --readings readings.csv --frames 1 --members 1 --out no.nc {command.format(**chain)}"
    )


def test_a_model_of_another_run_is_refused(fails, workplace, chain, readings):
    odd = workplace.path / "odd"
    shutil.copytree(workplace.path / "runs" / chain["stage3"], odd, dirs_exist_ok=True)
    other = workplace.trained(f"{TINY} --data waves --enc_num_latent_channels 32 --max_steps 1 --seed 5")
    (odd / "semi_sparse/model.safetensors").unlink()  # a link: the run that it was taken from stays as it is
    shutil.copy(workplace.path / "runs" / other / "sparse/model.safetensors", odd / "semi_sparse/model.safetensors")
    said = fails("forecast odd --readings readings.csv --out no.nc")
    assert "odd/semi_sparse/model.safetensors was trained with other sensors than the semi-sparse ones" in said


@pytest.mark.parametrize("blocks", [8, 200])
def test_a_full_disk_leaves_nothing(blocks, workplace, chain, readings):
    """A limit on the size of files stands for a full disk: the write fails where the disk would be full."""

    def limit():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1024 * blocks, 1024 * blocks))

    command = f"forecast runs/{chain['stage3']} --readings {readings} --members 9 --out full/forecast.nc"
    ended = subprocess.run(
        [sys.executable, "-m", "sparsevq.cli.main", *command.split()],
        cwd=workplace.path,
        preexec_fn=limit,
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
    )
    assert ended.returncode == 1
    (line,) = ended.stderr.splitlines()
    assert "cannot write full/forecast.nc" in line
    assert list((workplace.path / "full").iterdir()) == []
