"""What all simulators share: no failure changes the data, and no work is done twice."""

import json
import multiprocessing
import os
import signal
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from pydantic import Field

from sparsevq.config import SimulatedConfig, Symmetries, parse
from sparsevq.data.field_data import Description
from sparsevq.errors import SparseVQError
from sparsevq.simulators import shard_job
from sparsevq.simulators.shard_job import BlownUpError, Simulator, Trajectory, check_range, main, simulate_shard
from sparsevq.simulators.shards import read_shard


class RippleConfig(SimulatedConfig):
    """Ripples instead of a flow."""

    trajectories: int = Field(5, description="trajectories to simulate")
    frames: int = Field(3, description="frames a trajectory")
    shards: int = Field(1, description="parallel jobs")
    speed: float = Field(1.0, description="of the ripples")
    storms: int = Field(0, description="further trajectories, from outside the training range")

    @property
    def total(self):
        return self.trajectories + self.storms


@dataclass
class Ripples:
    """A simulator that fails where a test says; it records its calls."""

    blow_up: tuple[tuple[int, int], ...] = ()
    not_finite: tuple[tuple[int, int], ...] = ()
    killed_at: int | None = None
    asked: list[tuple[int, int]] = field(default_factory=list)

    def simulate(self, settings, number, attempt):
        if number == self.killed_at:
            raise KeyboardInterrupt
        self.asked.append((number, attempt))
        if (number, attempt) in self.blow_up:
            raise BlownUpError("speed 9.9")
        rng = np.random.default_rng([settings.seed, number, attempt])
        strength = rng.uniform(1, 2)
        mask = np.ones((4, 6), dtype=bool)
        mask[number % 4] = False
        phase = settings.speed * np.arange(settings.frames)[:, None, None, None] + np.arange(6)[:, None]
        fields = np.where(mask[..., None], strength * np.cos(phase) + rng.normal(size=(4, 6, 2)), 0)
        if (number, attempt) in self.not_finite:
            fields[1, mask, 0] = np.inf
        fields[:, ~mask] = np.nan  # values where there is no field never matter
        return Trajectory(
            fields.astype(np.float32),
            mask,
            {"strength": np.float32(strength), "shape": f"ripple {number}", "arms": np.int64(12345670 + number)},
        )

    def describe(self, settings):
        return Description(
            axes={"y": np.arange(4.0), "x": np.arange(6.0)},
            axis_units={"y": "m", "x": "m"},
            time=np.arange(settings.frames) * 1.0,
            time_units="s",
            parameter_units={"strength": "m", "arms": "1"},
            channels=("height", "slope"),
            units=("m", "1"),
            periodic=("x",),
            vector={"slope": "x"},
            provenance={"solver": "cosines"},
        )

    def check(self, settings):
        check_range("ripples", "speed", (settings.speed, settings.speed), 0, 10)

    @property
    def simulator(self):
        return Simulator("ripples", RippleConfig, self.check, self.simulate, self.describe)


SETTINGS = RippleConfig()


def run(out, ripples, settings=SETTINGS, shard=0):
    simulate_shard(out, ripples.simulator, settings, shard)
    return read_shard(out)


def test_a_shard_holds_what_the_simulator_gave(tmp_path, capsys):
    ripples = Ripples()
    shard = run(tmp_path / "new" / "1.h5", ripples, RippleConfig(shards=2, storms=2), 1)
    assert shard.trajectory.tolist() == [1, 3, 5]
    assert shard.ood.tolist() == [False, False, True]  # numbers from `trajectories` on are outside the training range
    for index, number in enumerate([1, 3, 5]):
        expected = ripples.simulate(RippleConfig(), number, 0)
        np.testing.assert_array_equal(shard.fields[index], expected.fields)
        np.testing.assert_array_equal(shard.mask[index], expected.mask)
        assert shard.parameters["strength"][index] == expected.parameters["strength"]
    assert shard.parameters["shape"].astype(str).tolist() == ["ripple 1", "ripple 3", "ripple 5"]
    assert shard.parameters["arms"].tolist() == [12345671, 12345673, 12345675]
    assert (shard.channels, shard.periodic, shard.vector) == (("height", "slope"), ("x",), {"slope": "x"})
    assert shard.parameter_units == {"arms": "1", "attempts": "1", "shape": "", "strength": "m"}
    settings = RippleConfig(storms=2).model_dump(exclude={"shards", "channels", "validation", "test", "symmetries"})
    assert shard.provenance == {"simulator": "ripples", "solver": "cosines", "settings": settings}
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == 3  # a line of progress each
    assert printed[1].startswith("ripples, shard 1: trajectory 3 (2/3), 0.0 s: strength 1.")
    assert printed[1].endswith(", shape ripple 3, arms 12345673, attempts 1")


def test_the_number_of_shards_never_changes_the_data(tmp_path):
    ripples = Ripples(blow_up=((2, 0),))
    whole = run(tmp_path / "all.h5", ripples)
    for count in (2, 5):
        for index in range(count):
            part = run(tmp_path / f"{index}.h5", ripples, RippleConfig(shards=count), index)
            assert part.trajectory.tolist() == list(range(index, 5, count))
            np.testing.assert_array_equal(part.fields, whole.fields[index::count])
            np.testing.assert_array_equal(part.mask, whole.mask[index::count])
            np.testing.assert_equal(part.parameters, {name: v[index::count] for name, v in whole.parameters.items()})
            assert part.provenance == whole.provenance


def test_an_interrupted_shard_resumes_where_it_was(tmp_path, capsys):
    run(tmp_path / "whole.h5", Ripples(blow_up=((1, 0),)))
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "0.h5", Ripples(blow_up=((1, 0),), killed_at=3))
    assert not (tmp_path / "0.h5").exists()
    capsys.readouterr()
    second = Ripples(blow_up=((1, 0),))
    run(tmp_path / "0.h5", second)
    assert second.asked == [(3, 0), (4, 0)]
    assert capsys.readouterr().out.count("kept from an earlier run") == 3
    assert (tmp_path / "0.h5").read_bytes() == (tmp_path / "whole.h5").read_bytes()
    assert {path.name for path in tmp_path.iterdir()} == {"0.h5", "whole.h5"}  # nothing kept is left behind


def test_a_process_that_the_system_kills_loses_one_trajectory(tmp_path):
    class Killed(Ripples):
        def simulate(self, settings, number, attempt):
            if number == 2:
                os.kill(os.getpid(), signal.SIGKILL)
            return super().simulate(settings, number, attempt)

    process = multiprocessing.get_context("fork").Process(target=run, args=(tmp_path / "0.h5", Killed()))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert not (tmp_path / "0.h5").exists()
    second = Ripples()
    assert run(tmp_path / "0.h5", second).trajectory.tolist() == [0, 1, 2, 3, 4]
    assert [number for number, _ in second.asked] == [2, 3, 4]


CHANGES = {
    "channels": ("height",),
    "symmetries": Symmetries(reflect=("x",)),
    "validation": 2,
    "test": 2,
    "trajectories": 6,
    "shards": 5,
    "frames": 4,
    "seed": 7,
    "speed": 1.5,
    "storms": 1,
}


@pytest.mark.parametrize("name", sorted(RippleConfig.model_fields))
def test_kept_trajectories_are_used_unless_they_depend_on_what_changed(tmp_path, name):
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "0.h5", Ripples(killed_at=2))
    second = Ripples()
    settings = SETTINGS.model_copy(update={name: CHANGES[name]})
    shard = run(tmp_path / "0.h5", second, settings)
    kept = name in {"channels", "symmetries", "validation", "test", "trajectories", "shards"}
    assert ((0, 0) not in second.asked) == kept
    np.testing.assert_array_equal(shard.fields[0], Ripples().simulate(settings, 0, 0).fields)


@pytest.mark.parametrize(
    ("irrelevant", "change", "kept"),
    [
        ({"trajectories"}, {"storms": 1}, False),
        ({"trajectories", "storms"}, {"storms": 1}, True),
        (set(), {"trajectories": 6}, False),
    ],
)
def test_a_simulator_names_settings_that_its_trajectories_do_not_depend_on(tmp_path, irrelevant, change, kept):
    first, second = Ripples(killed_at=2), Ripples()
    with pytest.raises(KeyboardInterrupt):
        simulate_shard(tmp_path / "0.h5", replace(first.simulator, irrelevant=frozenset(irrelevant)), SETTINGS, 0)
    settings = SETTINGS.model_copy(update=change)
    simulate_shard(tmp_path / "0.h5", replace(second.simulator, irrelevant=frozenset(irrelevant)), settings, 0)
    assert ((0, 0) not in second.asked) == kept


@pytest.mark.parametrize("spoil", ["truncated", "empty", "pickle", "version", "simulator"])
def test_damaged_files_and_those_of_other_code_are_simulated_again(tmp_path, monkeypatch, spoil):
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "0.h5", Ripples(killed_at=2))
    parts = sorted((tmp_path / ".0.h5.parts").iterdir())
    assert [part.name for part in parts] == ["0.npz", "1.npz"]
    second = Ripples()
    simulator = second.simulator
    for part in parts:
        if spoil == "truncated":
            part.write_bytes(part.read_bytes()[:-200])
        elif spoil == "empty":
            part.write_bytes(b"")
        elif spoil == "pickle":
            with np.load(part) as saved:
                np.savez(part, **{**saved, "fields": np.array({"fields": 1}, dtype=object)})
    if spoil == "version":
        monkeypatch.setattr(shard_job, "VERSION", "0.0.1")
    elif spoil == "simulator":
        simulator = replace(simulator, name="waves")
    simulate_shard(tmp_path / "0.h5", simulator, SETTINGS, 0)
    assert [number for number, _ in second.asked] == [0, 1, 2, 3, 4]


def test_a_draw_that_blows_up_is_replaced_by_another(tmp_path, capsys):
    ripples = Ripples(blow_up=((1, 0),), not_finite=((1, 1), (4, 0)))
    shard = run(tmp_path / "0.h5", ripples)
    assert shard.parameters["attempts"].tolist() == [1, 3, 1, 1, 2]
    for number, attempt in ((0, 0), (1, 2), (2, 0), (3, 0), (4, 1)):
        np.testing.assert_array_equal(shard.fields[number], Ripples().simulate(SETTINGS, number, attempt).fields)
    assert all(np.isfinite(fields[:, mask]).all() for fields, mask in zip(shard.fields, shard.mask, strict=True))
    printed = capsys.readouterr().out
    assert "ripples: trajectory 1, attempt 0 blew up (speed 9.9); drawing another\n" in printed
    assert "ripples: trajectory 4, attempt 0 blew up (NaN or infinite values); drawing another\n" in printed
    assert printed.count("blew up") == 3


def test_a_trajectory_that_always_blows_up_is_an_error(tmp_path):
    ripples = Ripples(blow_up=tuple((1, attempt) for attempt in range(100)))
    with pytest.raises(SparseVQError, match=r"ripples: all 10 attempts at trajectory 1 blew up: fix .*ripples"):
        run(tmp_path / "0.h5", ripples)
    assert not (tmp_path / "0.h5").exists()


@pytest.mark.parametrize(
    ("changes", "shard", "message"),
    [
        ({}, 1, "ripples: shard 1 does not exist: choose 0 ... 0."),
        ({}, -1, "ripples: shard -1 does not exist: choose 0 ... 0."),
        ({"speed": 11.0}, 0, r"simulation.ripples.speed=\[11.0, 11.0\] is not a range within 0 ... 10"),
    ],
)
def test_what_cannot_be_simulated_is_an_error_before_it_begins(tmp_path, changes, shard, message):
    ripples = Ripples()
    with pytest.raises(SparseVQError, match=message):
        run(tmp_path / "0.h5", ripples, SETTINGS.model_copy(update=changes), shard)
    assert not ripples.asked
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("values", [(2.0, 1.0), (-1.0, 1.0), (0.0, 11.0), (float("nan"), 1.0)])
def test_a_range_increases_within_its_bounds(values):
    check_range("ripples", "speed", (0.0, 10.0), 0, 10)
    check_range("ripples", "speed", (3.0, 3.0), 0, 10)
    with pytest.raises(SparseVQError, match=r"is not a range within 0 \.\.\. 10: give"):
        check_range("ripples", "speed", values, 0, 10)


def test_more_shards_than_trajectories_is_an_error():
    with pytest.raises(SparseVQError, match="shards=7 exceeds the 6 trajectories"):
        parse(RippleConfig, {"shards": 7, "storms": 1}, "--settings")
    assert parse(RippleConfig, {"shards": 6, "storms": 1}, "--settings").shards == 6


@pytest.mark.parametrize(
    ("settings", "shard", "message"),
    [
        ("{", "0", "--settings is not JSON"),
        ("[1]", "0", "--settings is no JSON object"),
        ('{"frams": 3}', "0", "frams=3 is not a known key"),
        ('{"seed": "often"}', "0", "seed='often' is not allowed"),
        ('{"shards": 8}', "0", "shards=8 exceeds the 5 trajectories"),
        ("{}", "1", "shard 1 does not exist"),
    ],
)
def test_the_command_reports_an_error_in_one_line(tmp_path, capsys, settings, shard, message):
    arguments = ["--out", str(tmp_path / "0.h5"), "--shard", shard, "--settings", settings]
    assert main(Ripples().simulator, arguments) == 1
    printed = capsys.readouterr().err
    assert printed.startswith("sparsevq: ")
    assert message in printed
    assert printed.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_the_command_reports_a_folder_that_cannot_be_written(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert main(Ripples().simulator, ["--out", str(tmp_path / "file" / "0.h5"), "--shard", "0"]) == 1
    assert "cannot write" in capsys.readouterr().err


def test_the_command_writes_a_shard(tmp_path):
    settings = json.dumps({"trajectories": 4, "shards": 2})
    arguments = ["--out", str(tmp_path / "new" / "0.h5"), "--shard", "1", "--settings", settings]
    assert main(Ripples().simulator, arguments) == 0
    assert read_shard(tmp_path / "new" / "0.h5").trajectory.tolist() == [1, 3]


def test_the_command_does_not_need_to_know_what_is_held_out(tmp_path):
    """A rule passes no settings of learning to a job: a small set must not fail because of their defaults."""

    arguments = ["--out", str(tmp_path / "0.h5"), "--shard", "0", "--settings", '{"trajectories": 3}']
    assert main(Ripples().simulator, arguments) == 0
    assert read_shard(tmp_path / "0.h5").trajectory.tolist() == [0, 1, 2]
