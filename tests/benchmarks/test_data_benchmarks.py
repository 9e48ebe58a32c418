"""The benchmarks of data measure what they claim, and clean up."""

import json
import subprocess
import sys

import pytest
import yaml

from tests.benchmarks.test_benchmarks import MINIATURE, REPOSITORY, run

TINY = ("--grid", "16", "16", "--batches", "2", "--steps", "1", "--rounds", "1", "--config", str(MINIATURE))


@pytest.mark.slow
def test_a_data_set_goes_from_its_source_to_training_within_a_bound(tmp_path):
    folder = tmp_path / "here"
    folder.mkdir()
    found, printed = run(
        "data_scale.py",
        *("--gigabytes", "0.01", "--folder", str(folder), "--threads", "1", "--device", "cpu", *TINY),
        json_to=tmp_path / "scale.json",
    )
    assert found["megabytes"]["large"] == pytest.approx(10, rel=0.1)
    assert set(found["sampling"]) == {"in memory", "mapped, warm", "mapped, cold"}
    for one in found["sampling"].values():
        assert min(one.values()) > 0
    for one in found["phases"].values():
        assert one["seconds"] > 0
    if sys.platform == "linux":
        assert found["enforced"]
        assert 0 < found["peak_own_mb"] < 2000
        assert "2 GB at most (enforced)" in printed
    assert not list(folder.iterdir())


def test_the_system_enforces_the_bound_on_memory(tmp_path):
    """The data set is deleted then too."""
    if sys.platform != "linux":
        pytest.skip("other systems do not enforce it")
    ended = subprocess.run(
        [
            *(sys.executable, str(REPOSITORY / "benchmarks/data_scale.py"), "--gigabytes", "0.3", "--memory", "0.15"),
            *("--folder", str(tmp_path), *TINY, "--grid", "1024", "1024"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 1
    assert "MemoryError" in ended.stderr
    assert not list(tmp_path.iterdir())


def test_too_small_a_disk_is_an_error_before_anything_is_written(tmp_path):
    ended = subprocess.run(
        [
            *(sys.executable, str(REPOSITORY / "benchmarks/data_scale.py")),
            *("--gigabytes", "1e9", "--folder", str(tmp_path)),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 1
    assert "choose another --folder" in ended.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_the_cost_of_a_simulation_is_extrapolated_from_a_few_trajectories(tmp_path):
    config = yaml.safe_load(MINIATURE.read_text())
    config["simulation"]["cylinder"] |= {"trajectories": 50, "channels": ["u"]}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    found, printed = run(
        "simulation_cost.py",
        *("cylinder", "--config", str(tmp_path / "config.yaml"), "--trajectories", "2"),
        json_to=tmp_path / "cost.json",
    )
    cost = found["simulators"]["cylinder"]
    assert (cost["simulated"], cost["whole"]) == (2, 50)
    assert cost["megabytes"] == pytest.approx((8 * 16 * 16 * 4 + 16 * 16) / 1e6)
    assert 0 < 2 * cost["seconds"] <= cost["wall"]
    assert cost["cpu_seconds"] > 0
    assert "extrapolated from 2 of each" in printed


def test_a_missing_solver_is_reported(tmp_path):
    ended = subprocess.run(
        [
            *(sys.executable, str(REPOSITORY / "benchmarks/simulation_cost.py"), "fire"),
            *("--json", str(tmp_path / "cost.json")),
        ],
        capture_output=True,
        text=True,
        env={"PATH": "/nowhere"},
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert "fire: OpenFOAM's" in ended.stdout
    found = json.loads((tmp_path / "cost.json").read_text())
    assert not found["simulators"]
    assert "missing" in found["missing"]["fire"]
