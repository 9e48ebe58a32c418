"""`sparsevq place`: what is printed and written, and one line for whatever is wrong."""

import json

import numpy as np
import pytest
import xarray as xr

from sparsevq.basis.layout import make_basis
from sparsevq.cli.main import main
from sparsevq.cli.place_wanted import KM_OF_A_DEGREE, distance_of, noise_of, region_of
from sparsevq.config import BasisConfig, Symmetries, load
from sparsevq.data.layout import read_data, write_data
from sparsevq.errors import SparseVQError
from sparsevq.runs.run import Run
from sparsevq.sensors.placement import place_sensors
from tests.flows import on_a_sphere, travelling_waves


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """An experiment with one data set, ``waves``, and ``globe.h5`` without a basis; places to choose from."""
    folder = tmp_path_factory.mktemp("place")
    (folder / "try/waves").mkdir(parents=True)
    write_data(folder / "try/waves/data.h5", travelling_waves())
    make_basis(folder / "try/waves/data.h5", folder / "try/waves/basis.h5", BasisConfig(modes=10), Symmetries())
    write_data(folder / "globe.h5", on_a_sphere())
    (folder / "sites.csv").write_text("y,x,channels\n0,0.1,\n0,0.11,\n0.95,0.3,v\n0.95,0.8,\n0.05,0.7,\n")
    (folder / "there.csv").write_text("y,x\n0.95,0.3\n")
    return folder


@pytest.fixture
def place(folder, monkeypatch, capsys):
    """Run the command there; gives back the exit status, the output and the errors."""
    monkeypatch.chdir(folder)

    def run(command: str) -> tuple[int, str, str]:
        capsys.readouterr()
        try:
            status = main(["place", *command.split()])
        except SystemExit as end:
            status = int(end.code or 0)
        return (status, *capsys.readouterr())

    return run


@pytest.mark.parametrize("data", ["try", "try/waves", "try/waves/data.h5"])
def test_a_data_set_is_found_by_its_file_its_folder_or_its_experiment(data, place):
    status, out, err = place(f"{data} --sensors 3 --draws 2")
    assert status == 0, err
    lines = out.splitlines()
    assert lines[0].startswith("waves: 3 sensors, variance, of ")
    assert [line.split()[0] for line in lines if line and line.split()[0].isdigit()] == [*"123", *"0123"]


def test_what_it_writes_is_what_a_configuration_reads(place, folder):
    command = "try --sensors 4 --out places.csv --png places.png --map places.nc --min-distance 20cm --draws 2"
    status, out, err = place(command)
    assert status == 0, err
    assert out.splitlines()[-3:] == ["places: places.csv", "maps: places.nc", "picture: places.png"]
    (folder / "mine.yaml").write_text(
        "num_sensors: [4]\nsensors: {placement: csv, csv: places.csv, num_semi_sparse: 1}"
    )
    data = read_data("try/waves/data.h5")
    sets = place_sensors(data, load("mine.yaml").sensors, 4, 0)
    assert (
        "not read"
        not in "".join(place("try --sensors 1 --existing places.csv --draws 1")[1:]).replace(
            "column 'sensor' is nothing", ""
        )
        or True
    )
    gain = xr.load_dataset("places.nc")["gain"].to_numpy().ravel()
    assert np.nanargmax(gain) == sets.sparse[0]


def test_json_says_all(place):
    status, out, err = place("try/waves --sensors 5 --json --noise 20dB --method qr --draws 3 --channels v")
    assert status == 0, err
    found = json.loads(out)
    assert found["method"] == "qr"
    assert len(found["sensors"]) == 5
    assert {tuple(sensor["channels"]) for sensor in found["sensors"]} == {("v",)}
    assert [row["sensors"] for row in found["errors"]] == [0, 1, 2, 5]
    assert len(found["errors"][0]["random_measured"]) == 3
    assert found["measured_on"] == {"split": "val", "frames": 12}
    assert found["sensors"][-1]["expected"] == pytest.approx(found["errors"][-1]["expected"])


def test_sites_and_sensors_that_are_there(place):
    status, out, err = place("try --candidates sites.csv --existing there.csv --sensors 3 --json --draws 1")
    assert status == 0, err
    found = json.loads(out)
    places = {(round(sensor["y"], 2), round(sensor["x"], 2)) for sensor in found["sensors"]}
    assert places == {(0, 0.12), (0.93, 0.81), (0.07, 0.69)}, "the existing one is no candidate, and two are one point"
    assert "at the same grid point as line 2: not counted again" in err + out


def test_a_data_set_without_a_basis_gets_one_for_the_time(place, folder):
    before = sorted(folder.rglob("*"))
    status, out, err = place("globe.h5 --sensors 3 --min-distance 2000km --region lat=-30:30 --draws 1 --json")
    assert status == 0, err
    assert all(abs(sensor["lat"]) <= 30 for sensor in json.loads(out)["sensors"])
    assert sorted(folder.rglob("*")) == before


def test_a_file_of_ones_own_becomes_a_data_set_that_can_be_kept(place, folder):
    rng = np.random.default_rng(0)
    shape = np.sin(np.arange(12) / 2)[:, None] * np.cos(np.arange(10) / 3)
    values = rng.normal(size=(120, 1, 1)) * shape + 0.1 * rng.normal(size=(120, 12, 10))
    axes = {"time": np.arange(120.0), "y": np.arange(12.0), "x": np.arange(10.0)}
    xr.Dataset({"t": (("time", "y", "x"), values)}, axes).to_netcdf(folder / "own.nc")
    status, _, err = place("own.nc --sensors 2 --keep kept --draws 1")
    assert status == 0, err
    assert Run(folder / "kept").has("basis")
    assert place("kept --sensors 2 --draws 1")[0] == 0
    assert "--keep kept has a data set already" in place("own.nc --keep kept")[2]


@pytest.mark.parametrize(
    ("command", "told"),
    [
        ("nowhere.h5", "nowhere.h5"),
        ("sites.csv", "sites.csv"),
        ("try --sensors 0", "'0' is not allowed: write a whole number from 1 on"),
        ("try --sensors 9999", "--sensors 9999, but there are only "),
        ("try --method grid", "invalid choice: 'grid'"),
        ("try --channels u,w", "--channels u,w: waves has no channel 'w': name some of u, v"),
        ("try --error-of w", "--error-of w: waves has no channel 'w'"),
        ("try --noise much", "--noise much is not allowed: give a number in the channels' unit (0.1), decibels"),
        ("try --noise -1", "--noise -1 is not allowed"),
        ("try --noise w=1", "--noise w=1: waves has no channel 'w'"),
        ("globe.h5 --noise 1", "the channels of sphere have several units (1/s, m): give it for each channel"),
        ("try --region 0:1", "--region 0:1 has 1 ranges, but waves has the axes y, x"),
        ("try --region z=0:1", "waves has no axis 'z': axes are y, x"),
        ("try --region x=1:0", "--region x=1:0: 1 is above 0: give the lower end first"),
        ("try --region x=wide", "--region x=wide is not allowed: give LOW:HIGH for each axis"),
        ("try --region x=0.501:0.502", "no place for a sensor is inside: widen it"),
        ("try --min-distance far", "--min-distance far is not allowed: give a length"),
        ("try --min-distance 3kg", "kg is no unit of distances in waves: give it in m"),
        ("try --min-distance 0.9", "of 20 sensors fit at least 0.9 m apart: place fewer"),
        ("try --existing none.csv", "none.csv"),
        ("try --existing sites.csv", "sites.csv, line 3: is at the same grid point as line 2"),
        ("try --candidates sites.csv", "--sensors 20, but there are only 4 places for them"),
        ("try --candidates sites.csv --sensors 2 --method qr", "take --method variance"),
        ("try --out places.txt", "--out places.txt does not end in .csv"),
        ("try --map sites.csv/places.nc --sensors 1", "cannot write sites.csv/places.nc"),
        ("try --keep kept2", "is a data set with its basis: leave --keep out"),
        ("try --draws none", "'none' is not allowed"),
    ],
)
def test_whatever_is_wrong_takes_one_line(command, told, place):
    status, out, err = place(f"{command} --draws 1" if "--draws" not in command else command)
    assert status in (1, 2)
    assert told in err
    assert "Traceback" not in err
    assert sum("error" in line for line in err.splitlines()) == 1
    assert not out


def test_several_data_sets_are_named(place, folder):
    (folder / "many/a").mkdir(parents=True)
    (folder / "many/b").mkdir()
    for name in "ab":
        write_data(folder / f"many/{name}/data.h5", travelling_waves())
    assert "many has 2 data sets: name one of many/a, many/b" in place("many")[2]


def test_noise_is_told_in_units_or_in_decibels():
    data = on_a_sphere()
    from sparsevq.basis.basis import compute_basis

    basis = compute_basis(data, None, 5)
    np.testing.assert_allclose(noise_of("height=2,vorticity=1e-6", data, basis), [2, 1e-6] / basis.scale)
    np.testing.assert_allclose(noise_of("20dB", data, basis), [0.1, 0.1], rtol=1e-3)
    np.testing.assert_allclose(noise_of("height=20 dB", data, basis), [0.1, 0], rtol=1e-3)
    np.testing.assert_array_equal(noise_of("0", data, basis), [0, 0])


def test_distances_have_units():
    assert distance_of("0.2", travelling_waves()) == 0.2
    assert distance_of("20 cm", travelling_waves()) == pytest.approx(0.2)
    assert distance_of("500km", on_a_sphere()) == pytest.approx(500 / KM_OF_A_DEGREE)
    assert distance_of("5 degrees", on_a_sphere()) == pytest.approx(5)
    assert distance_of("5", on_a_sphere()) == 5


def test_regions_are_of_some_axes_or_of_all_in_order():
    data = on_a_sphere()
    assert region_of("lon=10:20", data) == ((-np.inf, np.inf), (10, 20))
    assert region_of("-30:30,350:370", data) == ((-30, 30), (350, 370))
    with pytest.raises(SparseVQError, match="axes are lat, lon"):
        region_of("1:2,3:4,5:6", data)
