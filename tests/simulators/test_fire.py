"""Fires: the draws, the cases written for OpenFOAM, the fields read back, and failures."""

import os
import re
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from sparsevq.config import FireConfig
from sparsevq.errors import SparseVQError
from sparsevq.simulators import fire, openfoam
from sparsevq.simulators.fire_case import (
    GAS,
    HEAT_CAPACITY,
    burner_speed,
    burner_temperature,
    covered,
    valid_cells,
    write_case,
)
from sparsevq.simulators.fire_scenes import AMBIENT, SIZE, Box, Door, Rectangle, Scene, draw
from sparsevq.simulators.shard_job import BlownUpError, simulate_shard
from sparsevq.simulators.shards import read_shard

SETTINGS = FireConfig(trajectories=60, rooms=20)
SCENES = [draw(SETTINGS, number) for number in range(SETTINGS.total)]
OPEN, ROOMS = SCENES[:60], SCENES[60:]
BLOCK = Box(Rectangle(2.6, 3.2, 0.5, 1.6), 1.3)
SCENE = Scene(0, 0, 0.37, 1.5, 2.2, 1.2, 120.0, 900.0, 4.0, (BLOCK,))
ROOM = Scene(0, 0, 0.0, 1.5, 2.2, 1.2, 120.0, 900.0, 4.0, (BLOCK,), Door(2.0, 3.0, 2.1))
TINY = FireConfig(trajectories=3, rooms=1, validation=1, test=1, shards=1, grid=8, frames=3, spin_up=0.3)


# ------------------------------------------------------------------------------------------------ draws


@pytest.mark.parametrize(("name", "low", "high"), [("wind", 0, 0.8), ("side", 0.9, 1.7), ("power", 55, 170)])
def test_draws_fill_the_ranges_of_the_settings(name, low, high):
    values = np.array([getattr(scene, name) for scene in OPEN])
    assert ((low <= values) & (values <= high)).all()
    counts, _ = np.histogram(values, bins=4, range=(low, high))
    assert (counts >= 5).all()


def test_burners_stand_anywhere_that_the_plume_stays_in_the_domain():
    places = np.array([(scene.x, scene.y) for scene in OPEN])
    assert np.ptp(places, axis=0).min() > 1.2
    for scene in SCENES:
        floor = scene.burner
        assert min(floor.x_low, floor.y_low) > 0.2
        assert max(floor.x_high, floor.y_high) < SIZE - 0.2


def test_the_last_scenes_are_rooms_without_wind():
    assert not any(scene.is_room for scene in OPEN)
    assert all(scene.is_room and scene.wind == 0 for scene in ROOMS)
    assert all(0 < scene.door.y_low < scene.door.y_high < SIZE and scene.door.height < 2.5 for scene in ROOMS)


@pytest.mark.parametrize("share", [0.0, 0.4, 0.5, 1.0])
@pytest.mark.parametrize("trajectories", [24, 32])
def test_the_share_of_scenes_with_obstacles_is_kept(share, trajectories):
    settings = FireConfig(trajectories=trajectories, obstacles=share)
    with_boxes = sum(bool(draw(settings, number).boxes) for number in range(trajectories))
    assert abs(with_boxes - share * trajectories) <= 1
    if settings.obstacles == FireConfig().obstacles:
        assert with_boxes >= trajectories / 3


@pytest.mark.parametrize("grid", [8, 16, 32])
def test_obstacles_stand_on_free_floor(grid):
    settings = SETTINGS.model_copy(update={"obstacles": 1.0})
    for number in range(settings.total):
        scene = draw(settings, number)
        assert 1 <= len(scene.boxes) <= 3
        burner = covered(scene.burner, grid)
        floors = [covered(box.floor, grid) for box in scene.boxes]
        assert not any((floor & burner).any() for floor in floors)
        assert not any((one & other).any() for one, other in combinations(floors, 2))
        assert valid_cells(scene, grid)[0][burner].all()
        if scene.door is not None:
            doorway = Rectangle(SIZE - 1, SIZE, scene.door.y_low, scene.door.y_high)
            assert not any(box.floor.overlaps(doorway) for box in scene.boxes)


def test_a_draw_depends_on_its_number_the_attempt_and_the_seed_alone():
    scene = draw(SETTINGS, 5)
    assert draw(SETTINGS.model_copy(update={"shards": 3, "frames": 7, "grid": 16, "rooms": 0}), 5) == scene
    others = [draw(SETTINGS, 6), draw(SETTINGS, 5, attempt=1), draw(SETTINGS.model_copy(update={"seed": 1}), 5)]
    assert len({scene.power for scene in [scene, *others]}) == 4


# ------------------------------------------------------------------------------------------------ cases


@pytest.mark.parametrize("grid", [8, 16, 32, 50])
def test_the_burner_gives_its_power_on_any_grid(grid):
    area = covered(SCENE.burner, grid).sum() * (SIZE / grid) ** 2
    heat = GAS / SCENE.temperature * HEAT_CAPACITY * (SCENE.temperature - AMBIENT)
    assert burner_speed(SCENE, grid) * heat * area == pytest.approx(120e3)


def test_the_power_grows_linearly():
    time = np.array([0, 1, 2, 4, 50.0])
    gas = burner_temperature(SCENE, time)
    heat = GAS / gas * HEAT_CAPACITY * (gas - AMBIENT) * burner_speed(SCENE, 32) * covered(SCENE.burner, 32).sum() / 64
    np.testing.assert_allclose(heat, [0, 30e3, 60e3, 120e3, 120e3], atol=1e-6)
    np.testing.assert_allclose(SCENE.power_at(time), [0, 30, 60, 120, 120])


def test_cells_inside_obstacles_are_not_valid():
    valid = valid_cells(SCENE, 32)
    z, y, x = (np.argwhere(~valid) + 0.5).T / 8
    assert x.min() > 2.6
    assert x.max() < 3.2
    assert y.min() > 0.5
    assert y.max() < 1.6
    assert z.max() < 1.3
    assert (~valid).sum() / 8**3 == pytest.approx(0.6 * 1.1 * 1.3, rel=0.15)


def test_a_case_holds_the_scene(tmp_path):
    settings = FireConfig(grid=24, frames=10, frame_interval=0.2, spin_up=1.1)
    write_case(tmp_path, SCENE, settings)
    text = {path.name: path.read_text() for path in tmp_path.rglob("*") if path.is_file()}
    assert "(24 24 24)" in text["blockMeshDict"]
    assert "(0.9 1.6" in text["topoSetDict"]  # the burner's corner, beside that of the block
    assert "(2.6 0.5 0) (3.2 1.6 1.3)" in text["topoSetDict"]
    assert text["fvOptions"].count("explicitPorositySource;") == 1
    assert "internalField uniform (0.37 0 0)" in text["U"]
    assert f"(0 0 {burner_speed(SCENE, 24)})" in text["U"]
    assert "(4 900)" in text["T"]
    assert "endTime 3;" in text["controlDict"]  # 1.1 s rounds to 1.2 s; 9 intervals more
    assert "door" not in "".join(text.values())
    stagnation = re.search(r"phi < 0 \? ([\d.]+)", text["p_rgh"])
    assert float(stagnation.group(1)) - 101325 == pytest.approx(1.177 * 0.37**2 / 2, rel=0.01)


def test_a_room_is_open_at_its_door_alone(tmp_path):
    write_case(tmp_path, ROOM, FireConfig(grid=16))
    fields = {path.name: path.read_text() for path in (tmp_path / "0").iterdir()}
    assert "(3.975 2.0 0) (4.025 3.0 2.1)" in (tmp_path / "system/topoSetDict").read_text()
    assert '"(top|upwind|downwind|sides)" { type noSlip; }' in fields["U"]
    assert "door { type pressureInletOutletVelocity" in fields["U"]
    assert fields["p_rgh"].count("exprFixedValue") == 1
    assert "externalWallHeatFluxTemperature" in fields["T"]


def test_frames_begin_after_the_spin_up(fake_programs):
    fake_programs()
    settings = FireConfig(frames=4, frame_interval=0.2, spin_up=1.1)
    np.testing.assert_allclose(fire.describe(settings).time, [1.2, 1.4, 1.6, 1.8])


# ------------------------------------------------------------------------------------------------ fields


def field_file(path: Path, values: np.ndarray, binary: bool) -> None:
    """A field as OpenFOAM writes it, with the boundary after it."""
    kind = "Vector" if values.ndim == 2 else "Scalar"
    head = f"FoamFile\n{{\n version 2.0;\n format {'binary' if binary else 'ascii'};\n class vol{kind}Field;\n"
    head += ' location "0.1";\n object X;\n}\ndimensions [0 0 0 0 0 0 0];\n\n'
    head += f"internalField nonuniform List<{kind.lower()}> "
    if binary:
        content = f"{len(values)}(".encode() + values.astype("<f8").tobytes() + b")"
    else:
        rows = [f"({' '.join(map(repr, map(float, row)))})" if values.ndim == 2 else repr(float(row)) for row in values]
        content = f"\n{len(values)}\n(\n".encode() + "\n".join(rows).encode() + b"\n)\n"
    path.write_bytes(head.encode() + content + b";\nboundaryField { a { type fixedValue; value uniform 5; } }\n")


@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize("shape", [(27,), (27, 3)])
def test_a_field_reads_as_it_was_written(tmp_path, binary, shape):
    values = np.random.default_rng(0).normal(size=shape) * 10.0 ** np.arange(-13, 14).reshape(
        27, *[1] * (len(shape) - 1)
    )
    field_file(tmp_path / "X", values, binary)
    np.testing.assert_array_equal(openfoam.read_field(tmp_path / "X", 27), values)


def test_binary_values_may_hold_any_bytes(tmp_path):
    """Such as those of a semicolon or a bracket."""
    values = np.frombuffer(b";)(};\n)(" * 27, "<f8")
    field_file(tmp_path / "X", values, binary=True)
    np.testing.assert_array_equal(openfoam.read_field(tmp_path / "X", 27), values)


@pytest.mark.parametrize(("kind", "value", "expected"), [("Scalar", "300", 300.0), ("Vector", "(1 -2 3)", [1, -2, 3])])
def test_a_uniform_field_fills_the_cells(tmp_path, kind, value, expected):
    (tmp_path / "X").write_text(
        f"FoamFile {{ format binary; class vol{kind}Field; }} internalField uniform {value}; boundaryField {{ }}"
    )
    values = openfoam.read_field(tmp_path / "X", 8)
    assert values.shape == ((8,) if kind == "Scalar" else (8, 3))
    assert (values == expected).all()


@pytest.mark.parametrize("fault", ["missing", "empty", "cut short", "of another size", "no field"])
def test_what_is_no_field_is_an_error_of_one_line(tmp_path, fault):
    field_file(tmp_path / "X", np.arange(30.0), binary=True)
    content = (tmp_path / "X").read_bytes()
    spoilt = {"empty": b"", "cut short": content[:300], "no field": b"FoamFile { format ascii; class dictionary; }"}
    if fault == "missing":
        (tmp_path / "X").unlink()
    elif fault in spoilt:
        (tmp_path / "X").write_bytes(spoilt[fault])
    with pytest.raises(SparseVQError, match=str(tmp_path / "X")):
        openfoam.read_field(tmp_path / "X", 31 if fault == "of another size" else 30)


def test_a_frame_is_ordered_z_y_x_with_the_upward_velocity(tmp_path):
    z, y, x = np.meshgrid(*[np.arange(4.0)] * 3, indexing="ij")
    field_file(tmp_path / "T", (300 + 100 * z + 10 * y + x).ravel(), binary=True)
    field_file(tmp_path / "s", (x / 4).ravel(), binary=True)
    field_file(tmp_path / "U", np.stack([0 * x - 9, 0 * x + 9, z], axis=-1).reshape(-1, 3), binary=True)
    valid = np.ones((4, 4, 4), dtype=bool)
    valid[0, 1, 2] = False
    frame = fire._frame(tmp_path, valid)
    assert frame[3, 2, 1].tolist() == [321, 0.25, 3]
    assert frame[0, 1, 2].tolist() == [0, 0, 0]


# ------------------------------------------------------------------------------------------------ runs


@pytest.fixture
def fake_programs(tmp_path, monkeypatch):
    """Programs of OpenFOAM's names; the solver writes three frames of a uniform field, then does what the test says."""
    programs, temporary = tmp_path / "bin", tmp_path / "tmp"
    programs.mkdir()
    temporary.mkdir()
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    monkeypatch.setenv("WM_PROJECT_DIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    monkeypatch.setattr(openfoam, "POLL", 0.01)
    fire._version.cache_clear()

    def solver(ends: str = "exit 0", begins: str = "", interval: str = "0.15 0.3 0.45 0.6") -> Path:
        scripts = dict.fromkeys(("blockMesh", "topoSet", "createPatch"), "exit 0")
        scripts["buoyantPimpleFoam"] = f"""
if [ "$1" = -help ]; then echo "Using: OpenFOAM- (1912)"; exit; fi
{begins}
for time in {interval}; do
  mkdir $time
  for field in T:Scalar:310 s:Scalar:0.5 U:Vector:"(0 0 $time)"; do
    IFS=: read name kind value <<< "$field"
    echo "FoamFile {{ format ascii; class vol${{kind}}Field; }} internalField uniform $value;" > $time/$name
  done
  echo "deltaT = 0.01"; echo "Time = $time"
done
{ends}"""
        for name, script in scripts.items():
            (programs / name).write_text(f"#!/bin/bash\n{script}\n")
            (programs / name).chmod(0o755)
        return temporary

    yield solver
    fire._version.cache_clear()


def test_a_shard_holds_what_the_layout_says(tmp_path, fake_programs, capsys):
    temporary = fake_programs()
    simulate_shard(tmp_path / "0.h5", fire.FIRE, TINY, 0)
    shard = read_shard(tmp_path / "0.h5")
    assert shard.fields.shape == (4, 3, 8, 8, 8, 3)
    assert list(shard.axes) == ["z", "y", "x"]
    np.testing.assert_allclose(shard.axes["z"], np.arange(8) / 2 + 0.25)
    np.testing.assert_allclose(shard.time, [0.3, 0.45, 0.6])
    assert shard.ood.tolist() == [False, False, False, True]
    assert shard.channels == ("temperature", "smoke", "w")
    # The frame before the first is not kept; temperature is a rise; obstacles are masked.
    expected = np.stack([np.full(3, 10.0), np.full(3, 0.5), [0.3, 0.45, 0.6]], axis=-1)
    for fields, mask, number in zip(shard.fields, shard.mask, range(4), strict=True):
        np.testing.assert_array_equal(mask, valid_cells(draw(TINY, number), 8))
        np.testing.assert_allclose(fields[:, mask], np.repeat(expected[:, None], mask.sum(), axis=1), rtol=1e-6)
        assert (fields[:, ~mask] == 0).all()
    assert shard.parameters["place"].tolist() == ["open", "open", "open", "room"]
    assert shard.parameters["power"][2] == draw(TINY, 2).power
    assert "OpenFOAM 1912" in shard.provenance["solver"]
    assert "seed" in shard.provenance["settings"]
    assert not list(temporary.iterdir())
    assert capsys.readouterr().out.count("begins: 0.6 s of") == 4


def test_a_failing_solver_is_a_blow_up_with_the_last_line_of_its_log_and_leaves_nothing(fake_programs):
    temporary = fake_programs(ends='echo; echo "FOAM exiting: Maximum number of iterations exceeded"; exit 1')
    with pytest.raises(BlownUpError, match=r"^FOAM exiting: Maximum number of iterations exceeded$"):
        fire.simulate(TINY, 0, 0)
    assert not list(temporary.iterdir())


def test_a_blown_up_scene_is_replaced_by_another_draw(tmp_path, fake_programs, capsys):
    fails_once = f'if [ ! -e "{tmp_path}/once" ]; then touch "{tmp_path}/once"; echo "sigFpe"; exit 136; fi'
    fake_programs(ends=fails_once)
    simulate_shard(tmp_path / "0.h5", fire.FIRE, TINY, 0)
    shard = read_shard(tmp_path / "0.h5")
    assert shard.parameters["attempts"].tolist() == [2, 1, 1, 1]
    assert shard.parameters["power"][0] == draw(TINY, 0, attempt=1).power
    assert "trajectory 0, attempt 0 blew up (sigFpe); drawing another" in capsys.readouterr().out


def test_a_collapsing_time_step_is_a_blow_up_and_ends_the_solver(tmp_path, fake_programs):
    temporary = fake_programs(ends=f'echo $$ > {tmp_path}/pid; echo "deltaT = 1e-09"; exec sleep 60')
    with pytest.raises(BlownUpError, match="time step fell to 1e-09 s"):
        fire.simulate(TINY, 0, 0)
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)
    assert not list(temporary.iterdir())


def test_what_is_no_fire_is_a_blow_up(fake_programs):
    fake_programs(interval="0.15 0.3 45 60")
    with pytest.raises(BlownUpError, match=r"upward velocity 45 m/s at 45 s"):
        fire.simulate(TINY, 0, 0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"begins": 'echo "Unknown function type writeObjects"; exit 1'}, "does not begin .Unknown function type"),
        ({"interval": "0.3 0.45"}, "wrote 2 of 3 frames"),
    ],
)
def test_another_openfoam_is_a_fault_and_not_a_blow_up(fake_programs, options, message):
    temporary = fake_programs(**options)
    with pytest.raises(SparseVQError, match=message):
        fire.simulate(TINY, 0, 0)
    assert not list(temporary.iterdir())


def test_a_running_scene_reports_progress(fake_programs, monkeypatch, capsys):
    monkeypatch.setattr(openfoam, "PROGRESS", 0.0)
    fake_programs(ends="sleep 0.2")
    fire.simulate(TINY, 0, 0)
    assert re.search(r"scene 0: 0\.6 of 0\.6 s, [\d.]+ s simulated a second, 0 s left", capsys.readouterr().out)


def test_a_missing_openfoam_says_how_to_install_it(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert fire.main(fire.FIRE, ["--out", str(tmp_path / "0.h5"), "--shard", "0"]) == 1
    error = capsys.readouterr().err
    assert "blockMesh, topoSet, createPatch, buoyantPimpleFoam is missing" in error
    assert "apt-get install --no-install-recommends openfoam" in error
    assert error.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_an_openfoam_without_its_environment_says_so(fake_programs, monkeypatch, tmp_path):
    fake_programs()
    monkeypatch.delenv("WM_PROJECT_DIR")
    monkeypatch.setattr(openfoam, "DEBIAN", tmp_path / "nowhere")
    with pytest.raises(SparseVQError, match="WM_PROJECT_DIR is not set: source"):
        openfoam.environment(("blockMesh",))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"wind": (0.5, 0.1)}, r"wind=\[0.5, 0.1\] is not a range"),
        ({"wind": (-1.0, 0.1)}, "wind=.* is not a range within 0 "),
        ({"burner": (0.9, 3.5)}, "burner=.* is not a range within 0.5 ... 2.5"),
        ({"power": (0.0, 100.0)}, "power=.* is not a range"),
    ],
)
def test_settings_that_do_not_fit(fake_programs, changes, message):
    fake_programs()
    with pytest.raises(SparseVQError, match=message):
        fire.check(TINY.model_copy(update=changes))
