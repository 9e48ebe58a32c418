"""The shards of the flow past an obstacle: what they hold, and that no accident changes it."""

import itertools
from pathlib import Path

import numpy as np
import pytest

from sparsevq.config import CylinderConfig
from sparsevq.data.shards import read_shard
from sparsevq.data.simulators import cylinder, wind_tunnel
from sparsevq.data.simulators.obstacles import draw
from sparsevq.errors import SparseVQError

pytest.importorskip("lbmpy")

SMALL = CylinderConfig(trajectories=3, shards=1, frames=3, spin_up=0.2, frame_interval=0.1, grid=32)


class StandInTunnel:
    """Not a flow, but a field that depends on everything that a trajectory gives the solver."""

    broken: tuple[int, ...] = ()  # which flows, counted over all stand-ins, are NaN

    def start(self, solid, viscosity, gust):
        self.steps = 0
        self.field = np.stack([np.sin(gust * 9) + ~solid, gust / 0.3], axis=-1) * (1 + viscosity)
        if next(self.count) in self.broken:
            self.field[100, 100] = np.nan

    def run(self, steps):
        self.steps += steps

    def velocity(self):
        return self.field * np.cos(self.steps / 1000)


@pytest.fixture
def stand_in(monkeypatch):
    monkeypatch.setattr(cylinder, "WindTunnel", StandInTunnel)
    monkeypatch.setattr(StandInTunnel, "count", itertools.count(), raising=False)
    return StandInTunnel


def test_a_shard_holds_what_the_layout_says(tmp_path, stand_in):
    cylinder.simulate_shard(tmp_path / "0.h5", SMALL, 0)
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


def test_shards_never_change_the_data(tmp_path, stand_in):
    cylinder.simulate_shard(tmp_path / "all.h5", SMALL, 0)
    whole = read_shard(tmp_path / "all.h5")
    for index in range(2):
        cylinder.simulate_shard(tmp_path / f"{index}.h5", SMALL.model_copy(update={"shards": 2}), index)
        part = read_shard(tmp_path / f"{index}.h5")
        assert part.trajectory.tolist() == list(range(index, 3, 2))
        np.testing.assert_array_equal(part.fields, whole.fields[index::2])
        np.testing.assert_array_equal(part.mask, whole.mask[index::2])
        np.testing.assert_equal(part.parameters, {name: v[index::2] for name, v in whole.parameters.items()})
        assert part.provenance == whole.provenance


def test_a_killed_shard_goes_on_where_it_was(tmp_path, stand_in, monkeypatch, capsys):
    cylinder.simulate_shard(tmp_path / "whole.h5", SMALL, 0)
    simulate = cylinder.simulate

    def killed(tunnel, settings, number):
        if number == 2:
            raise KeyboardInterrupt
        return simulate(tunnel, settings, number)

    monkeypatch.setattr(cylinder, "simulate", killed)
    with pytest.raises(KeyboardInterrupt):
        cylinder.simulate_shard(tmp_path / "0.h5", SMALL, 0)
    assert not (tmp_path / "0.h5").exists()
    simulated = []

    def counted(tunnel, settings, number):
        simulated.append(number)
        return simulate(tunnel, settings, number)

    monkeypatch.setattr(cylinder, "simulate", counted)
    cylinder.simulate_shard(tmp_path / "0.h5", SMALL, 0)
    assert simulated == [2]
    assert (tmp_path / "0.h5").read_bytes() == (tmp_path / "whole.h5").read_bytes()
    assert {path.name for path in tmp_path.iterdir()} == {"0.h5", "whole.h5"}


@pytest.mark.parametrize("spoil", ["settings", "damage"])
def test_what_an_earlier_run_kept_is_used_only_if_it_is_the_same(tmp_path, stand_in, monkeypatch, spoil):
    monkeypatch.setattr(cylinder, "write_shard", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        cylinder.simulate_shard(tmp_path / "0.h5", SMALL, 0)
    monkeypatch.undo()
    monkeypatch.setattr(cylinder, "WindTunnel", StandInTunnel)
    settings = SMALL.model_copy(update={"seed": 5}) if spoil == "settings" else SMALL
    if spoil == "damage":
        for part in (tmp_path / ".0.h5.parts").iterdir():
            part.write_bytes(part.read_bytes()[:1000])
    monkeypatch.setattr(StandInTunnel, "count", itertools.count(), raising=False)
    cylinder.simulate_shard(tmp_path / "0.h5", settings, 0)
    expected = [draw(settings, number).reynolds for number in range(3)]
    np.testing.assert_array_equal(read_shard(tmp_path / "0.h5").parameters["reynolds"], expected)
    assert next(StandInTunnel.count) == 3  # all were simulated again


def test_a_flow_that_blows_up_is_replaced_by_another_draw(tmp_path, stand_in, monkeypatch, capsys):
    monkeypatch.setattr(stand_in, "broken", (1, 2))  # trajectory 1, attempts 0 and 1
    cylinder.simulate_shard(tmp_path / "0.h5", SMALL, 0)
    shard = read_shard(tmp_path / "0.h5")
    assert shard.parameters["attempts"].tolist() == [1, 3, 1]
    expected = [draw(SMALL, 0).reynolds, draw(SMALL, 1, attempt=2).reynolds, draw(SMALL, 2).reynolds]
    np.testing.assert_array_equal(shard.parameters["reynolds"], expected)
    assert np.isfinite(shard.fields).all()
    assert capsys.readouterr().out.count("blew up (speed nan U in frame 0)") == 2


def test_a_trajectory_that_always_blows_up_is_a_fault(tmp_path, stand_in, monkeypatch):
    monkeypatch.setattr(stand_in, "broken", range(1000))
    with pytest.raises(SparseVQError, match="all 10 attempts at trajectory 0 blew up"):
        cylinder.simulate_shard(tmp_path / "0.h5", SMALL, 0)


def test_draws_keep_to_the_settings_and_to_their_seed():
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
    ("changes", "shard", "message"),
    [
        ({}, 1, "shard 1 does not exist"),
        ({"shards": 4}, 0, "shards=4 exceeds trajectories=3"),
        ({"grid": 60}, 0, "grid=60 does not divide 128"),
        ({"diameter": (20.0, 10.0)}, 0, r"diameter=\[20.0, 10.0\] is not a range"),
        ({"diameter": (10.0, 60.0)}, 0, r"is not a range within 4 \.\.\. 40"),
        ({"reynolds": (-5.0, 10.0)}, 0, "reynolds=.* is not a range"),
        ({"shapes": ()}, 0, "shapes is empty"),
    ],
)
def test_settings_that_do_not_fit(tmp_path, changes, shard, message):
    with pytest.raises(SparseVQError, match=message):
        cylinder.simulate_shard(tmp_path / "0.h5", SMALL.model_copy(update=changes), shard)


def test_a_missing_simulator_or_compiler_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "lbmpy", None)
    with pytest.raises(SparseVQError, match=r'pip install "sparsevq\[simulate\]"'):
        wind_tunnel.WindTunnel()
    monkeypatch.setattr(wind_tunnel.shutil, "which", lambda name: None)
    with pytest.raises(SparseVQError, match=r"neither g\+\+ nor clang\+\+ was found"):
        wind_tunnel.WindTunnel()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("{", "--settings is not JSON"),
        ("[1]", "--settings is no JSON object"),
        ('{"frams": 3}', "frams=3 is not a known key"),
        ('{"frames": 1}', "frames=1 is not allowed"),
    ],
)
def test_the_command_tells_faults_in_one_line(tmp_path, capsys, settings, message):
    assert cylinder.main(["--out", str(tmp_path / "0.h5"), "--shard", "0", "--settings", settings]) == 1
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_the_command_writes_a_shard(tmp_path: Path, stand_in):
    settings = SMALL.model_dump_json()
    assert cylinder.main(["--out", str(tmp_path / "new" / "0.h5"), "--shard", "0", "--settings", settings]) == 0
    assert read_shard(tmp_path / "new" / "0.h5").trajectory.tolist() == [0, 1, 2]
