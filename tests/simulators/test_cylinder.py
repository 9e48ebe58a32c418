"""The flow past an obstacle: contents of its shards, its draws, and errors in its settings."""

import functools
import itertools
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from sparsevq.config import CylinderConfig
from sparsevq.errors import SparseVQError
from sparsevq.simulators import cylinder, shard_job, wind_tunnel
from sparsevq.simulators.cylinder import CYLINDER, simulate
from sparsevq.simulators.obstacles import draw
from sparsevq.simulators.shard_job import BlownUpError, simulate_shard
from sparsevq.simulators.shards import read_shard

pytest.importorskip("lbmpy")

SMALL = CylinderConfig(trajectories=3, shards=1, frames=3, spin_up=0.2, frame_interval=0.1, grid=32)


class FakeTunnel:
    """Instead of a flow, a field that depends on all inputs of the solver."""

    broken: tuple[int, ...] = ()  # which flows, counted over all instances, are NaN
    fastest: float | None = None  # a speed that stands in one place
    built = 0

    def __init__(self):
        type(self).built += 1

    def start(self, solid, viscosity, gust):
        self.steps = 0
        self.field = np.stack([np.sin(gust * 9) + ~solid, gust / 0.3], axis=-1) * (1 + viscosity)
        if next(self.count) in self.broken:
            self.field[100, 100] = np.nan
        if self.fastest is not None:
            self.field[:] = 0
            self.field[30, 10, 0] = self.fastest

    def run(self, steps):
        self.steps += steps

    def velocity(self):
        return self.field * (np.cos(self.steps / 1000) if self.fastest is None else 1)


@pytest.fixture
def fake_tunnel(monkeypatch):
    monkeypatch.setattr(cylinder, "_tunnel", functools.cache(FakeTunnel))
    monkeypatch.setattr(FakeTunnel, "count", itertools.count(), raising=False)
    monkeypatch.setattr(FakeTunnel, "built", 0)
    return FakeTunnel


def test_a_shard_holds_what_the_layout_says(tmp_path, fake_tunnel):
    simulate_shard(tmp_path / "0.h5", CYLINDER, SMALL, 0)
    shard = read_shard(tmp_path / "0.h5")
    assert shard.fields.shape == (3, 3, 32, 32, 3)
    assert shard.channels == ("u", "v", "vorticity")
    assert (shard.fields[~np.broadcast_to(shard.mask[:, None], shard.fields.shape[:-1])] == 0).all()
    np.testing.assert_allclose(shard.axes["y"][[0, -1]], [0.125, 7.875])  # 128 cells of L / 16, in blocks of 4
    np.testing.assert_allclose(np.diff(shard.axes["x"]), 0.25)
    assert shard.axes["x"][0] == 24 / 16 + 0.125
    np.testing.assert_allclose(np.diff(shard.time), 27 * 0.06 / 16)  # 0.1 L/U is 26.7 steps: 27
    # The mask is where the parameters say that the obstacle is.
    for index in range(3):
        rows, columns = np.nonzero(~shard.mask[index])
        centre = [shard.axes["x"][columns].mean(), shard.axes["y"][rows].mean()]
        expected = [shard.parameters["x"][index], shard.parameters["y"][index]]
        np.testing.assert_allclose(centre, expected, atol=0.1)


def test_a_trajectory_is_that_of_its_number_and_attempt(tmp_path, fake_tunnel):
    expected = simulate(SMALL, 2, 0)
    assert expected.parameters["reynolds"] == draw(SMALL, 2).reynolds
    np.testing.assert_array_equal(expected.fields, simulate(SMALL.model_copy(update={"shards": 3}), 2, 0).fields)
    assert simulate(SMALL, 2, 1).parameters["reynolds"] == draw(SMALL, 2, attempt=1).reynolds
    simulate_shard(tmp_path / "2.h5", CYLINDER, SMALL.model_copy(update={"shards": 3}), 2)
    np.testing.assert_array_equal(read_shard(tmp_path / "2.h5").fields[0], expected.fields)


def test_one_tunnel_serves_all_trajectories(tmp_path, fake_tunnel):
    simulate_shard(tmp_path / "0.h5", CYLINDER, SMALL, 0)
    assert fake_tunnel.built == 1  # generating its code takes seconds


def test_no_tunnel_is_built_where_all_trajectories_are_kept(tmp_path, fake_tunnel, monkeypatch):
    monkeypatch.setattr(shard_job, "write_shard", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        simulate_shard(tmp_path / "0.h5", CYLINDER, SMALL, 0)
    monkeypatch.undo()
    monkeypatch.setattr(cylinder, "_tunnel", lambda: pytest.fail("built"))
    simulate_shard(tmp_path / "0.h5", CYLINDER, SMALL, 0)
    expected = [draw(SMALL, number).reynolds for number in range(3)]
    np.testing.assert_array_equal(read_shard(tmp_path / "0.h5").parameters["reynolds"], expected)


def test_a_flow_that_blows_up_is_replaced_by_another_draw(tmp_path, fake_tunnel, monkeypatch, capsys):
    monkeypatch.setattr(fake_tunnel, "broken", (1, 2))  # trajectory 1, attempts 0 and 1
    simulate_shard(tmp_path / "0.h5", CYLINDER, SMALL, 0)
    shard = read_shard(tmp_path / "0.h5")
    assert shard.parameters["attempts"].tolist() == [1, 3, 1]
    expected = [draw(SMALL, 0).reynolds, draw(SMALL, 1, attempt=2).reynolds, draw(SMALL, 2).reynolds]
    np.testing.assert_array_equal(shard.parameters["reynolds"], expected)
    assert np.isfinite(shard.fields).all()
    lost = draw(SMALL, 1)
    printed = capsys.readouterr().out
    assert printed.count("blew up") == 2
    which = f"{lost.shape}, Re {lost.reynolds:.0f}, diameter {lost.diameter:.1f} cells"
    assert f"trajectory 1, attempt 0 blew up ({which}: speed nan U in frame 0); drawing another\n" in printed


def test_a_speed_that_no_flow_reaches_has_blown_up(fake_tunnel, monkeypatch):
    monkeypatch.setattr(fake_tunnel, "fastest", 4.1)
    with pytest.raises(BlownUpError, match=r"speed 4\.1 U in frame 0"):
        simulate(SMALL, 0, 0)
    monkeypatch.setattr(fake_tunnel, "fastest", 3.9)
    assert simulate(SMALL, 0, 0).fields.max() <= 3.9


def test_draws_depend_on_the_settings_and_the_seed_alone():
    settings = CylinderConfig(reynolds=(100, 400), diameter=(10, 20))
    flows = [draw(settings, number) for number in range(300)]
    assert {flow.shape for flow in flows} == {"circle", "ellipse", "square"}
    assert all(100 <= flow.reynolds <= 400 and 10 <= flow.diameter <= 20 for flow in flows)
    assert all(48 <= flow.x <= 80 and 48 <= flow.y <= 80 and 0.1 <= abs(flow.kick) <= 0.3 for flow in flows)
    # Log-uniform: as many below the geometric mean as above it.
    assert 0.4 < np.mean([flow.reynolds < 200 for flow in flows]) < 0.6
    assert draw(settings, 7) == draw(settings.model_copy(update={"trajectories": 9, "shards": 3}), 7)
    others = [draw(settings, 8), draw(settings, 7, attempt=1), draw(settings.model_copy(update={"seed": 1}), 7)]
    assert len({flow.reynolds for flow in [draw(settings, 7), *others]}) == 4


@pytest.mark.parametrize("shape", ["circle", "ellipse", "square"])
def test_obstacles_of_one_diameter_have_one_area(shape):
    settings = CylinderConfig(shapes=(shape,), diameter=(16, 16))
    x, y = np.meshgrid(np.arange(0, 128, 0.1), np.arange(0, 128, 0.1), indexing="ij")
    for number in range(3):
        inside = draw(settings, number).inside(x, y)
        assert inside.sum() * 0.01 == pytest.approx(np.pi * 8**2, rel=0.01)


def test_vorticity_of_a_rigid_rotation_is_twice_its_rate():
    x, y = np.meshgrid(np.arange(256.0), np.arange(128.0), indexing="ij")
    rotation = np.stack([-0.01 * y, 0.01 * x], axis=-1)
    np.testing.assert_allclose(cylinder._vorticity(rotation)[:, 1:-1], 16 * 2 * 0.01)


def test_pooling_averages_the_window_as_rows_of_y():
    x, y = np.meshgrid(np.arange(256.0), np.arange(128.0), indexing="ij")
    pooled = cylinder._pooled(x + 1000 * y, 64)
    assert pooled[0, 0] == 24.5 + 500
    assert pooled[3, 10] == 24.5 + 20 + 6500


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"grid": 60}, "grid=60 does not divide 128"),
        ({"diameter": (20.0, 10.0)}, r"diameter=\[20.0, 10.0\] is not a range"),
        ({"diameter": (10.0, 60.0)}, r"is not a range within 4 \.\.\. 40"),
        ({"reynolds": (-5.0, 10.0)}, "reynolds=.* is not a range"),
        ({"shapes": ()}, "shapes is empty"),
    ],
)
def test_settings_that_do_not_fit(tmp_path, changes, message):
    with pytest.raises(SparseVQError, match=message):
        simulate_shard(tmp_path / "0.h5", CYLINDER, SMALL.model_copy(update=changes), 0)


def test_a_missing_simulator_or_compiler_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "lbmpy", None)
    with pytest.raises(SparseVQError, match=r'pip install "sparsevq\[simulate\]"'):
        wind_tunnel.WindTunnel()
    monkeypatch.setattr(wind_tunnel.shutil, "which", lambda name: None)
    with pytest.raises(SparseVQError, match=r"neither g\+\+ nor clang\+\+ was found"):
        wind_tunnel.WindTunnel()


def test_the_command_writes_a_shard(tmp_path: Path, fake_tunnel):
    settings = SMALL.model_dump_json(exclude={"channels", "validation", "test"})  # as the rule gives them
    arguments = ["--out", str(tmp_path / "new" / "0.h5"), "--shard", "0", "--settings", settings]
    assert shard_job.main(CYLINDER, arguments) == 0
    assert read_shard(tmp_path / "new" / "0.h5").trajectory.tolist() == [0, 1, 2]


def test_the_module_is_a_command(tmp_path):
    command = [sys.executable, "-m", "sparsevq.simulators.cylinder", "--out", str(tmp_path / "0.h5")]
    ended = subprocess.run([*command, "--shard", "9"], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (1, "sparsevq: cylinder: shard 9 does not exist: choose 0 ... 7.\n")
