"""FDS input files, read back as namelists, describe the scenes."""

import re

import numpy as np
import pytest

from sparsevq.config import FireConfig
from sparsevq.simulators.fds_inputs import fds_input, scene_name, write_fds_inputs
from sparsevq.simulators.fire_scenes import SIZE, Scene, draw
from sparsevq.version import VERSION

SETTINGS = FireConfig(trajectories=8, rooms=6, validation=1, test=1, shards=1, seed=5, grid=24)
SCENES = [draw(SETTINGS, number) for number in range(SETTINGS.total)]

# Groups and parameters of FDS 6 (User's Guide, alphabetical list of input parameters) among which ours must be.
KNOWN = {
    "HEAD": "CHID FYI TITLE",
    "MESH": "BNDF_MESH COLOR CYLINDRICAL ID IJK LEVEL MPI_PROCESS MULT_ID RGB TRNX_ID TRNY_ID TRNZ_ID XB",
    "TIME": "DT LOCK_TIME_STEP T_BEGIN T_END TIME_SHRINK_FACTOR WALL_INCREMENT",
    "DUMP": "DT_BNDF DT_CTRL DT_DEVC DT_HRR DT_ISOF DT_PART DT_PL3D DT_RESTART DT_SL3D DT_SLCF NFRAMES WRITE_XYZ",
    "MISC": "BNDF_DEFAULT GVEC HUMIDITY NOISE P_INF RESTART SIMULATION_MODE TMPA TURBULENCE_MODEL",
    "RADI": "ANGLE_INCREMENT NUMBER_RADIATION_ANGLES PATH_LENGTH RADIATION TIME_STEP_INCREMENT WIDE_BAND_MODEL",
    "REAC": "AUTO_IGNITION_TEMPERATURE CO_YIELD EPUMO2 FUEL FYI HEAT_OF_COMBUSTION ID SOOT_H_FRACTION SOOT_YIELD",
    "WIND": "DIRECTION FORCE_VECTOR L LAPSE_RATE RAMP_SPEED_T RAMP_SPEED_Z SPEED STRATIFICATION U0 V0 W0 Z_0 Z_REF",
    "SURF": "ADIABATIC COLOR DEFAULT HEAT_TRANSFER_COEFFICIENT HRRPUA ID RAMP_Q TAU_Q TMP_FRONT VEL",
    "RAMP": "F ID T",
    "VENT": "COLOR ID MB RADIUS SURF_ID XB XYZ",
    "OBST": "COLOR ID MULT_ID SURF_ID SURF_IDS THICKEN XB",
    "SLCF": "AGL_SLICE CELL_CENTERED DB FYI ID PBX PBY PBZ QUANTITY SPEC_ID VECTOR XB",
    "TAIL": "",
}


def parsed(text: str) -> list[tuple[str, dict]]:
    """The namelist groups of a Fortran file, in order."""
    groups = []
    for group, body in re.findall(r"&(\w+)((?:'[^']*'|[^'/])*)/", text):
        values = {}
        for key, value in re.findall(r"(\w+)=((?:'[^']*'|[^,=']+)(?:,(?!\s*\w+=)[^,=]+)*)", body):
            items = [item.strip() for item in ([value] if value.startswith("'") else value.split(","))]
            read = [_value(item) for item in items]
            values[key] = read[0] if len(read) == 1 else tuple(read)
        groups.append((group, values))
    return groups


def _value(text: str):
    if text.startswith("'"):
        return text.strip("'")
    return {".TRUE.": True, ".FALSE.": False}.get(text) if text.startswith(".") else float(text)


def of(scene: Scene, group: str, **wanted) -> list[dict]:
    groups = [values for name, values in parsed(fds_input(scene, SETTINGS)) if name == group]
    return [values for values in groups if all(values.get(key) == value for key, value in wanted.items())]


def test_each_line_is_a_group_that_fds_knows():
    for scene in SCENES:
        text = fds_input(scene, SETTINGS)
        groups = parsed(text)
        assert len(groups) == len(text.splitlines()) == text.count("&")
        for group, values in groups:
            assert set(values) <= set(KNOWN[group].split()), group
        assert groups[0][0] == "HEAD"
        assert groups[-1] == ("TAIL", {})
        assert text.isascii()
        assert max(map(len, text.splitlines())) < 200


def test_each_surface_and_ramp_that_is_named_is_defined_once():
    for scene in SCENES:
        surfaces = [values["ID"] for values in of(scene, "SURF")]
        assert len(surfaces) == len(set(surfaces))
        used = {values["SURF_ID"] for group in ("VENT", "OBST") for values in of(scene, group)}
        assert used <= {*surfaces, "OPEN"}
        assert {values["RAMP_Q"] for values in of(scene, "SURF") if "RAMP_Q" in values} == {"GROWTH"}


def test_burner_gives_the_power_that_was_drawn():
    for scene in SCENES:
        [burner] = of(scene, "VENT", SURF_ID="BURNER")
        x0, x1, y0, y1, z0, z1 = burner["XB"]
        assert z0 == z1 == 0
        np.testing.assert_allclose([(x0 + x1) / 2, (y0 + y1) / 2], [scene.x, scene.y], rtol=1e-4)
        np.testing.assert_allclose([x1 - x0, y1 - y0], scene.side, rtol=1e-4)
        [surface] = of(scene, "SURF", ID="BURNER")
        assert surface["HRRPUA"] * (x1 - x0) * (y1 - y0) == pytest.approx(scene.power, rel=1e-4)
        times, shares = zip(*((point["T"], point["F"]) for point in of(scene, "RAMP", ID="GROWTH")), strict=True)
        at = np.linspace(0, 10, 50)
        np.testing.assert_allclose(np.interp(at, times, shares) * scene.power, scene.power_at(at), rtol=1e-4)
        assert of(scene, "RADI") == [{"RADIATION": False}], "all power is convective, as drawn"


def test_wind_blows_along_x_and_not_in_rooms():
    assert any(scene.wind > 0 for scene in SCENES)
    for scene in SCENES:
        winds = of(scene, "WIND")
        assert len(winds) == (scene.wind > 0)
        for wind in winds:
            angle = np.deg2rad(wind["DIRECTION"])  # whence it blows, from north: FDS has u = -speed sin(direction)
            u, v = -wind["SPEED"] * np.sin(angle), -wind["SPEED"] * np.cos(angle)
            np.testing.assert_allclose([u, v], [scene.wind, 0], rtol=1e-4, atol=1e-6)


def test_obstacles_stand_where_they_were_drawn():
    assert any(scene.boxes for scene in SCENES)
    for scene in SCENES:
        blocks = [values["XB"] for values in of(scene, "OBST")]
        drawn = [
            (box.floor.x_low, box.floor.x_high, box.floor.y_low, box.floor.y_high, 0, box.height) for box in scene.boxes
        ]
        np.testing.assert_allclose(np.reshape(blocks, (-1, 6)), np.reshape(drawn, (-1, 6)), rtol=1e-4)


def area(plane: tuple[float, ...]) -> float:
    sides = np.diff(np.reshape(plane, (3, 2))).ravel()
    assert (sides == 0).sum() == 1, "a vent is a plane"
    return float(np.prod(sides[sides > 0]))


@pytest.mark.parametrize("room", [False, True])
def test_the_box_is_open_or_a_room_with_a_door(room):
    scenes = [scene for scene in SCENES if scene.is_room == room]
    assert scenes
    for scene in scenes:
        openings = [values["XB"] for values in of(scene, "VENT", SURF_ID="OPEN")]
        walls = [values["XB"] for values in of(scene, "VENT", SURF_ID="WALL")]
        # sides and top, each point of them once; the floor is none of them
        assert sum(map(area, [*openings, *walls])) == pytest.approx(5 * SIZE**2, rel=1e-5)
        assert not any(plane[4] == plane[5] == 0 for plane in [*openings, *walls])
        if not room:
            assert not walls
            continue
        [door] = openings
        np.testing.assert_allclose(
            door, [SIZE, SIZE, scene.door.y_low, scene.door.y_high, 0, scene.door.height], rtol=1e-4
        )


def test_frames_come_when_those_of_openfoam_do():
    settings = SETTINGS.model_copy(update={"spin_up": 2.9, "frame_interval": 0.25, "frames": 9})
    groups = dict(parsed(fds_input(SCENES[0], settings)))
    assert groups["DUMP"] == {"NFRAMES": 20, "DT_SL3D": 0.25}
    assert groups["TIME"]["T_END"] / groups["DUMP"]["NFRAMES"] == pytest.approx(0.25), "SMOKE3D too"
    assert groups["TIME"]["T_END"] == pytest.approx(3.0 + 8 * 0.25), "the last of nine frames that begin at 3 s"
    assert groups["MESH"] == {"IJK": (24, 24, 24), "XB": (0, SIZE) * 3}


def test_volumes_of_all_channels_over_the_whole_box():
    volumes = of(SCENES[0], "SLCF")
    assert [(one["QUANTITY"], one.get("SPEC_ID")) for one in volumes] == [
        ("TEMPERATURE", None), ("DENSITY", "SOOT"), ("W-VELOCITY", None),
    ]  # fmt: skip
    assert all(one["XB"] == (0, SIZE) * 3 for one in volumes)


def test_each_scene_has_a_file_and_a_name_of_its_own(tmp_path):
    names = [scene_name(scene.number, SETTINGS) for scene in SCENES]
    assert write_fds_inputs(tmp_path / "new", SETTINGS) == [tmp_path / "new" / f"{name}.fds" for name in names]
    for scene, name in zip(SCENES, names, strict=True):
        origin, _, text = (tmp_path / "new" / f"{name}.fds").read_text().partition("\n")
        assert text == fds_input(scene, SETTINGS)
        assert re.fullmatch(rf"sparsevq-fds-input, version 1; sparsevq {VERSION}; settings [0-9a-f]{{64}}", origin)
    assert len(set(names)) == len(names)
    assert names[0] == "scene_000"
    assert names[-1] == "room_013"
    assert [dict(parsed(fds_input(scene, SETTINGS)))["HEAD"]["CHID"] for scene in SCENES] == names
