"""`sparsevq data`: what it says of files, and that it never fails without a word."""

import contextlib
import dataclasses
import json
import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
import yaml
from PIL import Image

from sparsevq.cli.main import main
from sparsevq.cli.opened import open_source
from sparsevq.cli.suggestion import name_for
from sparsevq.cli.survey import survey
from sparsevq.config import Config, FileConfig, PreprocessConfig, parse
from sparsevq.data import validation
from sparsevq.data.layout import read_data, write_data
from sparsevq.data.preprocess import preprocess
from sparsevq.readers.data_set import as_source
from sparsevq.simulators.shards import Shard, write_shard
from tests.edited import edited
from tests.flows import on_a_sphere, scattered_waves, travelling_waves


@pytest.fixture
def data(tmp_path, capsys):
    """Run `sparsevq data` in a folder of the test's own: status, standard output, standard error."""

    def run(command: str) -> tuple[int, str, str]:
        capsys.readouterr()
        with contextlib.chdir(tmp_path):
            try:
                status = main(["data", *command.split()])
            except SystemExit as end:
                status = int(end.code or 0)
        told = capsys.readouterr()
        return status, told.out, told.err

    return run


def write_array(path: Path, flow, **attributes) -> None:
    """A file of bare arrays, as a user's own script leaves it."""
    with h5py.File(path, "w") as file:
        for channel, name in enumerate(flow.channels):
            file[f"flow/{name}"] = flow.fields[..., channel]
            file[f"flow/{name}"].attrs.update({"units": "m/s"} | attributes)
        file["clock"] = flow.time
        file["notes"] = np.arange(3)


def suggestion(printed: str) -> dict:
    return yaml.safe_load(printed.partition("suggested configuration\n")[2])


def line_of(printed: str, start: str) -> str:
    (line,) = [line for line in printed.splitlines() if line.split() and line.split()[0] == start]
    return " ".join(line.split())


# ------------------------------------------------------------------------------------------------ describe


def share_of_time_mean(flow):
    """Variance of the mean of each point over that of all values, by area and by how often a point is valid."""
    times = flow.flat_mask.sum(axis=0)  # trajectories in which a point is valid
    mean = flow.flat_fields.sum(axis=(0, 1), dtype=float) / np.maximum(times, 1)[:, None] / len(flow.time)
    values = np.concatenate([flow.flat_fields[t][:, flow.flat_mask[t]] for t in range(len(flow.split))], axis=1)
    means = np.concatenate([mean[flow.flat_mask[t]] for t in range(len(flow.split))])
    return means.var(axis=0) / values.var(axis=(0, 1), dtype=float)


def test_a_data_set_is_described(tmp_path, data):
    flow = travelling_waves(trajectories=6, grid=(8, 16))
    write_data(tmp_path / "waves.h5", flow)
    status, printed, told = data("describe waves.h5")
    assert (status, told) == (0, "")
    assert line_of(printed, "format") == "format sparsevq-data, version 2"
    assert line_of(printed, "trajectories") == "trajectories 6 (4 train, 1 val, 1 test)"
    assert line_of(printed, "grid") == "grid 8 x 16 points (y, x)"
    assert line_of(printed, "time") == "time 0 to 5.5 s, step 0.5"
    assert line_of(printed, "x") == "x 16 0 0.9375 0.0625 m periodic"
    assert line_of(printed, "mask").startswith(f"mask {1 - flow.mask.mean():.2%} of the points never have a value")
    valid = flow.fields[np.broadcast_to(flow.mask[:, None, ..., None], flow.fields.shape)].reshape(-1, 2)
    u = line_of(printed, "u").split()
    assert u[1] == "m/s"
    assert float(u[2]) == pytest.approx(valid[:, 0].min(), rel=1e-4)
    assert float(u[4]) == pytest.approx(valid[:, 0].max(), rel=1e-4)
    assert float(u[6].rstrip("%")) == pytest.approx(100 * share_of_time_mean(flow)[0], abs=0.01)
    assert u[-3:] == ["points", "along", "x"]
    assert "tests.flows.travelling_waves" in printed
    assert line_of(printed, "strength").startswith(f"strength m/s {flow.parameters['strength'].min():.5g} to")


def kinds():
    one = travelling_waves(trajectories=3, frames=120)
    return {
        "data set": travelling_waves(trajectories=6),
        "sphere": on_a_sphere(),
        "points": scattered_waves(points=60),
        "many": travelling_waves(trajectories=20, frames=30, grid=(48,)),
        "three long": one,
    }


@pytest.mark.parametrize("kind", kinds())
def test_the_suggestion_is_a_configuration_and_makes_a_data_set(kind, tmp_path, data):
    flow = kinds()[kind]
    own_split = kind in ("data set", "points", "sphere")
    if own_split:
        write_data(tmp_path / "mine.h5", flow)
    else:
        write_array(tmp_path / "mine.h5", flow)
    flags = "" if own_split else " --dimensions trajectory,time,y,x" if flow.fields.ndim == 5 else ""
    if kind == "many":
        flags = " --dimensions trajectory,time,x"
    status, printed, _ = data(f"describe mine.h5{flags}")
    assert status == 0
    config = parse(Config, suggestion(printed), "suggestion")
    settings = config.files["mine"]
    with contextlib.chdir(tmp_path):
        preprocess(open_source(settings, "mine"), "out.h5", "mine", settings, PreprocessConfig())
    made = read_data(tmp_path / "out.h5")
    assert {"train", "val", "test"} <= set(made.split)
    assert config.num_sensors[0] + config.sensors.num_semi_sparse <= made.num_points
    assert config.stage3.stage2_frames <= len(made.time)
    assert config.forecast.horizon < len(made.time)
    assert (settings.split == "time") == (kind == "three long")
    assert settings.gap == (settings.block // 2 if settings.block else 0)
    if kind == "many":
        assert (settings.validation, settings.test) == (2, 2)


def test_channels_that_cannot_be_learned_are_left_out_of_the_suggestion(tmp_path, data):
    flow = travelling_waves(trajectories=12)
    constant, empty = np.full_like(flow.fields[..., :1], 3), np.full_like(flow.fields[..., :1], np.nan)
    fields = np.concatenate([flow.fields, constant, empty], axis=-1)
    write_array(tmp_path / "mine.h5", dataclasses.replace(flow, fields=fields, channels=("u", "v", "flat", "none")))
    status, printed, _ = data("describe mine.h5 --dimensions trajectory,time,y,x")
    assert status == 0
    assert set(suggestion(printed)["files"]["mine"]["channels"]) == {"u", "v"}
    assert "# channel flat is left out: it is constant" in printed
    assert "# channel none is left out: it has no value" in printed


def test_a_value_that_stands_apart_is_named_and_in_the_suggestion(tmp_path, data):
    """All else that is said is of the data without it; once it is configured, nothing is said of it."""
    flow = travelling_waves(trajectories=6, obstacle=False)
    fields = flow.fields.copy()
    fields[:, :, 2:4, 2:4] = -9999
    write_array(tmp_path / "mine.h5", dataclasses.replace(flow, fields=fields))
    known = "mine.h5 --dimensions trajectory,time,y,x"
    status, printed, _ = data(f"describe {known}")
    assert status == 0
    assert "# channel u: the value -9999 stands at 4 points in every frame, far from the others (" in printed
    assert suggestion(printed)["files"]["mine"]["missing"] == [-9999]
    assert float(line_of(printed, "u").split()[2]) > -100
    status, printed, _ = data(f"validate {known}")
    assert status == 1 and "write `missing: [-9999]`, or `not_missing: [-9999]` if that" in printed
    assert data(f"validate {known} --missing -9999")[0] == data(f"validate {known} --not_missing -9999")[0] == 0


def test_a_file_that_says_too_little_is_listed_with_lines_that_help(tmp_path, data):
    write_array(tmp_path / "mine.h5", travelling_waves(trajectories=12))
    status, printed, _ = data("describe mine.h5")
    assert status == 0
    assert line_of(printed, "flow/u") == "flow/u 12 x 12 x 16 x 16 float32 m/s"
    assert "clock" in printed
    assert "It is read by a guess, since" in printed
    assert "the dimensions of its arrays have no names" in printed
    assert "# check this" in printed
    assert "flow/u has the dimensions trajectory (12), time (12), y (16), x (16)" in printed
    entry = parse(Config, suggestion(printed), "suggestion").files["mine"]
    assert entry.arrays == ("flow/u", "flow/v")
    assert entry.dimensions == ("trajectory", "time", "y", "x")
    (tmp_path / "mine.yaml").write_text(printed.partition("suggested configuration\n")[2])
    status, printed, _ = data("describe --config mine.yaml")
    assert status == 0
    assert line_of(printed, "trajectories") == "trajectories 12"


def test_flags_say_what_the_file_does_not(tmp_path, data):
    write_array(tmp_path / "mine.h5", travelling_waves(trajectories=4))
    flags = "--arrays flow/u --dimensions trajectory,time,y,x --coordinates x=0:3,y=-1:0 --time 0:0.25 --periodic x"
    status, printed, _ = data(f"describe mine.h5 {flags} --units u=km/h,time=h,x=km")
    assert status == 0
    assert line_of(printed, "x") == "x 16 0 3 0.2 km periodic"
    assert line_of(printed, "y") == "y 16 -1 0 0.0666667"
    assert line_of(printed, "time") == "time 0 to 2.75 h, step 0.25"
    assert line_of(printed, "u").startswith("u km/h")
    entry = suggestion(printed)["files"]["mine"]
    assert entry["coordinates"] == {"x": [0, 3], "y": [-1, 0]}
    assert parse(FileConfig, entry, "entry").units == {"u": "km/h", "time": "h", "x": "km"}


def test_an_entry_of_a_configuration_is_taken_and_flags_win(tmp_path, data):
    write_array(tmp_path / "mine.h5", travelling_waves(trajectories=4))
    entry = {"path": "mine.h5", "dimensions": ["trajectory", "time", "y", "x"], "stride": 3}
    (tmp_path / "c.yaml").write_text(json.dumps({"files": {"one": entry, "two": entry}}))
    assert line_of(data("describe --config c.yaml --name one")[1], "frames") == "frames 4 of each trajectory"
    assert line_of(data("describe --config c.yaml --name one --stride 2")[1], "frames").startswith("frames 6")
    status, _, told = data("describe --config c.yaml")
    assert (status, told.count("\n")) == (1, 1)
    assert "c.yaml: no --name was given: `files` has one, two." in told
    assert "there is no entry 'three'" in data("describe --config c.yaml --name three")[2]


def test_one_shard_of_many_is_described(tmp_path, data):
    flow = travelling_waves(trajectories=6)
    shared = {key.name for key in dataclasses.fields(Shard)} & {key.name for key in dataclasses.fields(flow)}
    values = {name: getattr(flow, name) for name in shared}
    write_shard(tmp_path / "1.h5", Shard(trajectory=np.arange(1, 12, 2), **values))
    status, printed, _ = data("describe 1.h5")
    assert status == 0
    assert line_of(printed, "format") == "format sparsevq-shard, version 2"
    assert "1 to 11" in line_of(printed, "number")


def test_a_sample_looks_at_fewer_frames(tmp_path):
    flow = travelling_waves(trajectories=6, frames=12)
    reads = []
    source = as_source(flow, "waves")
    counted = dataclasses.replace(source, read=lambda *part: reads.append(part) or source.read(*part))
    assert survey(counted, 7).frames == 7
    assert len(reads) == 7
    assert len({trajectory for trajectory, *_ in reads}) == 6
    assert survey(counted).frames == 72


def test_blocks_and_gaps_do_not_change_what_is_found(monkeypatch):
    flow = on_a_sphere(grid=(8, 16))
    flow.fields[..., 0] += 20 * flow.time[:, None, None]  # means differ between frames
    flow.fields[2, 3] = np.nan
    flow.fields[1, :, 2, 3] = np.nan
    flow.fields[0, 1:4, 0, 0, 1] = np.nan
    source = as_source(flow, "sphere")
    whole = survey(source)
    monkeypatch.setattr("sparsevq.cli.survey.BLOCK", 1)
    by_frame = survey(source)
    for name in (
        "minimum",
        "maximum",
        "mean",
        "std",
        "time_mean_share",
        "missing",
        "masked",
        "gaps",
        "empty_frames",
        "blank",
    ):
        np.testing.assert_allclose(getattr(by_frame, name), getattr(whole, name), rtol=1e-6, err_msg=name)
    weights = np.broadcast_to(source.weights.reshape(8, 16, 1), flow.fields.shape)
    there = np.isfinite(flow.fields)
    for channel in (0, 1):
        values, share = flow.fields[..., channel][there[..., channel]], weights[..., channel][there[..., channel]]
        mean = np.average(values, weights=share)
        assert whole.mean[channel] == pytest.approx(mean, rel=1e-5)
        assert whole.std[channel] == pytest.approx(np.sqrt(np.average((values - mean) ** 2, weights=share)), rel=1e-5)
    assert whole.masked.tolist() == [0, 1 / 128, 0, 0, 0, 0]
    assert whole.gaps.tolist() == pytest.approx([1 / 128, 0, 0, 0, 0, 0]), "an empty frame is no gap"
    assert whole.empty_frames.tolist() == [0, 0, 1, 0, 0, 0]


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("runs/sst.nc", "sst"),
        ("results/quick/shallow/data.h5", "my_shallow"),
        ("2020-01.nc", "data_2020-01"),
        ("runs/*.nc", "mine"),
        ("my file.tar.gz", "my_file"),
    ],
)
def test_names_that_the_configuration_takes(path, name):
    assert name_for(path) == name
    parse(Config, {"files": {name: {"path": path}}, "data_sets": [name]}, "configuration")


# ------------------------------------------------------------------------------------------------ validate


def damage(path, change):
    with edited(path) as file:
        change(file)


def remove(*names):
    def change(file):
        for name in names:
            del file[name]

    return change


def put(name, place, value):
    def change(file):
        file[name][place] = value

    return change


def attribute(name, value, item="/"):
    def change(file):
        file[item].attrs[name] = value

    return change


FAULTS = {
    "nothing is there": (
        [remove("time", "mask", "normalisation/std")],
        ["/time is missing", "/mask is missing", "/normalisation/std is missing"],
    ),
    "shapes": (
        [
            lambda file: (file.pop("split"), file.create_dataset("split", data=["train"] * 5)),
            lambda file: (file.pop("time"), file.create_dataset("time", data=np.arange(3.0))),
        ],
        ["split has shape (5,), not (6)", "time has shape (3,), not (12)"],
    ),
    "attributes": (
        [attribute("vector", "{"), lambda file: file["fields"].attrs.pop("units")],
        ["attribute `vector` of / is not JSON", "/fields has no attribute `units`"],
    ),
    "rules": (
        [
            put("time", 3, 0.0),
            put("coordinates/y", 0, 5.0),
            put("split", slice(None), "test"),
            attribute("periodic", ["w"]),
            attribute("vector", '{"w": "x"}'),
        ],
        [
            "time is not finite and increasing",
            "coordinates/y are not increasing",
            "no trajectory is for training",
            "periodic names w, which is no axis",
            "vector names w, which is no channel",
        ],
    ),
    "statistics": (
        [put("normalisation/mean", 0, 9.0), put("normalisation/std", 1, 0.1)],
        [
            "normalisation/mean of channel u is 9, that of the training",
            "normalisation/std of channel v is 0.1, that of",
        ],
    ),
    "values": (
        [put("fields", (2, 3, 0, 0, 1), np.inf), put("fields", (3, 3, 0, 0, 1), np.nan), put("split", 0, "trian")],
        ["2 NaN or infinite values at valid points, first in trajectory 2, frame 3, channel v", "split holds 'trian'"],
    ),
}


@pytest.mark.parametrize("kind", FAULTS)
def test_every_fault_of_a_data_set_is_named_in_one_go(kind, tmp_path, data):
    changes, expected = FAULTS[kind]
    write_data(tmp_path / "waves.h5", travelling_waves(trajectories=6))
    for change in changes:
        damage(tmp_path / "waves.h5", change)
    status, printed, told = data("validate waves.h5")
    assert status == 1
    for fault in expected:
        assert sum(fault in line for line in printed.splitlines()) == 1, printed
    assert all(line.startswith("waves.h5: ") and line.endswith(".") for line in printed.splitlines())
    assert len(told.splitlines()) == 1
    assert f"waves.h5: {len(printed.splitlines())} fault" in told


@pytest.mark.parametrize("flow", [travelling_waves, on_a_sphere, scattered_waves])
def test_a_sound_data_set_has_no_fault(flow, tmp_path, data):
    made = flow(trajectories=6)
    if flow is on_a_sphere:  # statistics by area, as preprocess makes them
        train = made.fields[:4].reshape(-1, made.num_points, 2).astype(np.float64)
        mean = np.average(train.mean(axis=0), axis=0, weights=made.weights)
        std = np.sqrt(np.average(((train - mean) ** 2).mean(axis=0), axis=0, weights=made.weights))
        made = dataclasses.replace(made, mean=mean, std=std)
    write_data(tmp_path / "data.h5", made)
    status, printed, told = data("validate data.h5")
    assert (status, told) == (0, "")
    assert printed == "data.h5: no fault (sparsevq-data, version 2)\n"


def test_statistics_that_ignore_area_are_found(tmp_path, data):
    flow = on_a_sphere(trajectories=6)
    flow.fields[..., 0] += 1000 * np.cos(np.deg2rad(flow.axes["lat"]))[:, None]
    train = flow.fields[:4].reshape(-1, 2).astype(np.float64)
    write_data(tmp_path / "data.h5", dataclasses.replace(flow, mean=train.mean(axis=0), std=train.std(axis=0)))
    status, printed, _ = data("validate data.h5")
    assert status == 1
    assert "normalisation/mean of channel height" in printed


def test_mapped_fields_are_checked_under_the_mask_too(tmp_path):
    path = tmp_path / "waves.h5"
    flow = travelling_waves(trajectories=6)
    write_data(path, flow)
    assert validation.file_faults(path, in_memory=0) == []
    hidden = tuple(np.argwhere(~flow.mask[5])[0])
    damage(path, put("fields", (5, 2, *hidden, 0), 7.0))
    assert validation.file_faults(path) == [], "read whole, it is set to 0"
    (line,) = validation.file_faults(path, in_memory=0)
    assert "1 values are not 0 where the mask is False" in line


def test_faults_of_a_users_file_are_collected(tmp_path, data):
    flow = travelling_waves(trajectories=6, obstacle=False)
    fields = np.concatenate([flow.fields, np.ones_like(flow.fields[..., :1])], axis=-1)
    fields[3, :, ..., 0] = np.nan
    fields[4, 2, 5, 5, 1] = np.inf
    fields[5, 2:4] = np.nan
    write_array(tmp_path / "mine.h5", dataclasses.replace(flow, fields=fields, channels=("u", "v", "flat")))
    status, printed, _ = data("validate mine.h5 --dimensions trajectory,time,y,x")
    assert status == 1
    for fault in (
        "channel u of trajectory 3 has no value",
        "channel v has 1 infinite values",
        "channel flat is constant (1)",
        "2 of 12 frames of trajectory 5 have no value",
    ):
        assert sum(fault in line for line in printed.splitlines()) == 1, printed


def test_a_sound_users_file_has_no_fault(tmp_path, data):
    write_array(tmp_path / "mine.h5", travelling_waves(trajectories=6))
    status, printed, _ = data("validate mine.h5 --dimensions trajectory,time,y,x")
    assert status == 0
    assert printed == "mine.h5: no fault (hdf5: trajectories 6, frames 72, channels 2)\n"


# ------------------------------------------------------------------------------------------------ preview


def test_a_preview_is_a_picture_written_whole(tmp_path, data):
    write_data(tmp_path / "waves.h5", travelling_waves(trajectories=4, frames=3))
    status, printed, _ = data("preview waves.h5 -o waves.png --channels v")
    assert (status, printed) == (0, "contact sheet: waves.png\n")
    with Image.open(tmp_path / "waves.png") as picture:
        assert picture.format == "PNG"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["waves.h5", "waves.png"]


# ------------------------------------------------------------------------------------------------ what is wrong


@pytest.fixture
def folder(tmp_path):
    write_data(tmp_path / "waves.h5", travelling_waves(trajectories=4, frames=3))
    whole = (tmp_path / "waves.h5").read_bytes()
    (tmp_path / "cut.h5").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "text.h5").write_text("these are no fields")
    (tmp_path / "notes.txt").write_text("these neither")
    (tmp_path / "empty").mkdir()
    with h5py.File(tmp_path / "sensors.h5", "w") as file:
        file.attrs["schema"] = "sparsevq-sensors"
    shutil.copy(tmp_path / "waves.h5", tmp_path / "nan.h5")
    damage(tmp_path / "nan.h5", put("fields", (2, 1, 0, 0, 1), np.nan))
    return tmp_path


@pytest.mark.parametrize("part", ["describe", "validate", "preview"])
@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("gone.nc", "gone.nc matches no file"),
        ("cut.h5", "cut.h5 is truncated"),
        ("text.h5", "text.h5 "),
        ("notes.txt", "notes.txt is a text file (it begins with 'these neither')"),
        ("empty", "the folder empty holds no file of a known format"),
        ("sensors.h5", "sensors.h5 is a sparsevq-sensors file: give a sparsevq-data or sparsevq-shard file"),
        ("nan.h5", "1 NaN or infinite value at valid points, first in trajectory 2, frame 1, channel v"),
        ("waves.h5 --stride 0", "argument --stride: '0' is not allowed"),
        ("waves.h5 --release sea --format numpy", "format=release and `release` (the loader's name) go together"),
        ("--config gone.yaml --name x", "cannot read the configuration gone.yaml"),
        ("", "name a FILE, or --config and --name"),
    ],
)
def test_faults_are_one_line_and_nothing_is_left(part, file, message, folder, data):
    before = sorted(folder.rglob("*"))
    status, printed, told = data(f"{part} {file}" + (" -o sheet.png" if part == "preview" else ""))
    assert status == (2 if "argument" in message or not file else 1), printed + told
    assert len(told.splitlines()) == 1, told
    assert told.startswith(f"sparsevq data {part}: error: ")
    assert message in " ".join((printed + told).split())
    assert sorted(folder.rglob("*")) == before


@pytest.mark.parametrize("part", ["describe", "preview"])
def test_a_channel_that_is_not_there_is_named(part, folder, data):
    status, _, told = data(f"{part} waves.h5 --channels w" + (" -o sheet.png" if part == "preview" else ""))
    assert (status, len(told.splitlines())) == (1, 1)
    assert "'w' is not in waves.h5: known are u, v" in told


def test_a_picture_that_cannot_be_written_is_one_line(folder, data):
    status, _, told = data("preview waves.h5 -o waves.h5/x.png")
    assert (status, len(told.splitlines())) == (1, 1)
    assert "cannot write waves.h5/x.png" in told
    assert "is no PNG" in data("preview waves.h5 -o x.gif")[2]


@pytest.mark.parametrize("part", ["", "describe ", "validate ", "preview "])
def test_help_has_examples(part, data):
    status, printed, _ = data(f"{part}--help")
    assert status == 0
    assert f"sparsevq data {part or 'describe '}" in printed.partition("examples:")[2]


def test_the_command_starts_without_torch():
    code = (
        "import sys; from sparsevq.cli.main import main\ntry: main(['data', 'describe', '--help'])\nexcept SystemExit: "
    )
    code += "\n assert 'torch' not in sys.modules and 'matplotlib' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
