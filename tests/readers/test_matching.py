"""Which files a name, a pattern or a folder stands for, in which order, and each once."""

import os
from pathlib import Path

import numpy as np
import pytest

from sparsevq.config import FileConfig
from sparsevq.errors import SparseVQError
from sparsevq.readers.finding.matching import copies, matched, matching_files
from sparsevq.readers.finding.natural import in_order, name_of_all
from tests.user_files import all_of, opened, values

ORDERS = [
    ["frame_1", "frame_2", "frame_9", "frame_10", "frame_12", "frame_100"],
    ["0", "0.05", "0.1", "0.15", "1", "2.5", "10"],  # folders of OpenFOAM
    ["t=0.25", "t=0.5", "t=0.75"],
    ["u.2001.1", "u.2001.2", "u.2001.9", "u.2001.10", "u.2001.12", "u.2002.1"],
    ["1e-06", "5e-06", "1e-05", "0.0001", "2.5e-03"],
    ["lag_-10", "lag_-5", "lag_0", "lag_5", "lag_10"],
    ["run-1", "run-2", "run-10"],
    ["2001-01-09", "2001-01-10", "2001-02-01", "2001-11-01"],
    ["wrfout_d01_2005-08-28_00:00:00", "wrfout_d01_2005-08-28_06:00:00", "wrfout_d01_2005-08-29_00:00:00"],
    ["2001.01.09", "2001.1.10", "2001.01.11"],
    ["run_1/u_2", "run_1/u_10", "run_2/u_1", "run_10/u_1"],
    ["20010110000000123", "20010110000000124"],
    ["step0p05", "step0p1", "step0p25"],
    ["jan_2001", "feb_2001", "mar_2001", "dec_2001"],
    ["2001_January", "2001_february", "2001_Sept", "2001_october"],
    ["Frame_2", "frame_3", "Frame_10"],
    ["a", "b_2", "b_10", "c"],
    ["v1.10_t0.05", "v1.10_t0.1", "v1.10_t1"],
]


@pytest.mark.parametrize("names", ORDERS, ids=[names[0] for names in ORDERS])
def test_the_order_is_that_of_the_numbers(names):
    paths = [Path("data") / f"{name}.nc" for name in names]
    for seed in range(5):
        shuffled = [paths[index] for index in np.random.default_rng(seed).permutation(len(paths))]
        assert in_order(shuffled) == paths


@pytest.mark.parametrize(
    ("stems", "name"),
    [
        (["frame_1", "frame_2", "frame_10"], "frame"),
        (["u_0001", "u_0002"], "u"),
        (["1", "2"], "value"),
        (["frame_1_u", "frame_2_u"], "frame_u"),
        (["Re1000_u_1", "Re1000_u_2"], "Re1000_u"),
        (["u", "u"], "u"),
        (["u_2001-01-10T00", "u_2001-01-10T06"], "u"),
        (["t=-0.5", "t=0"], "t"),
        (["u_jan", "u_feb"], "u"),
        (["u", "v"], None),
        (["u_1", "v_1"], None),
    ],
)
def test_numbered_names_have_one_name(stems, name):
    assert name_of_all(stems) == name


def made(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path.with_suffix(".npy"), values(3, seed=len(str(path))))
        path.with_suffix(".npy").rename(path)


def found(folder, pattern, **settings):
    return [
        str(path.relative_to(folder)) if path.is_relative_to(folder) else str(path)
        for path in matching_files(FileConfig(path=pattern, **settings))
    ]


def test_two_stars_reach_all_folders(tmp_path):
    made(tmp_path, "b/1.npy", "a/10.npy", "a/2.npy", "a/deep/er/3.npy", ".hidden/4.npy", "0.npy")
    expected = ["0.npy", "a/2.npy", "a/10.npy", "a/deep/er/3.npy", "b/1.npy"]
    assert sorted(found(tmp_path, f"{tmp_path}/**/*.npy")) == sorted(expected)
    assert sorted(found(tmp_path, f"{tmp_path}/**")) == sorted(expected)


def test_home_and_variables(tmp_path, monkeypatch):
    made(tmp_path, "x.npy")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SPARSEVQ_TEST_DATA", str(tmp_path))
    for pattern in ("~/x.npy", "~/*.npy", "$SPARSEVQ_TEST_DATA/x.npy", "${SPARSEVQ_TEST_DATA}/*.npy"):
        assert found(tmp_path, pattern) == ["x.npy"]
    monkeypatch.delenv("SPARSEVQ_TEST_DATA")
    with pytest.raises(SparseVQError, match=r"the environment variable SPARSEVQ_TEST_DATA is not set: export"):
        found(tmp_path, "${SPARSEVQ_TEST_DATA}/x.npy")
    with pytest.raises(SparseVQError, match=r"there is no home folder ~nobody_here"):
        found(tmp_path, "~nobody_here/x.npy")


def test_a_name_that_exists_is_a_name(tmp_path, monkeypatch):
    names = ["run[1].npy", "run1.npy", "$x.npy", "~y.npy", "a*.npy", "ab.npy", "in[0]/z.npy", "in0/w.npy"]
    made(tmp_path, *names)
    monkeypatch.chdir(tmp_path)
    for name in names:
        assert found(tmp_path, name) == [name]
    assert found(tmp_path, "in[0]/*.npy") == ["in[0]/z.npy"]
    assert found(tmp_path, "run[0-9].npy") == ["run1.npy"]


def test_brackets_that_match_nothing_are_part_of_the_names(tmp_path):
    made(tmp_path, "run[1]_10.npy", "run[1]_2.npy")
    paths, notes = matched(FileConfig(path=f"{tmp_path}/run[1]_*.npy"))
    assert [path.name for path in paths] == ["run[1]_2.npy", "run[1]_10.npy"]
    assert len(notes) == 1 and "its brackets are taken as part of the names" in notes[0]


@pytest.mark.parametrize("link", ["same", "dot", "soft", "hard", "folder"])
def test_one_file_by_two_names_is_one_file(tmp_path, monkeypatch, capsys, link):
    monkeypatch.chdir(tmp_path)
    fields = values(4, 5)
    for number, frame in enumerate(fields):
        np.save(f"u_{number}.npy", np.stack([frame, frame + 1]))
    paths = ["u_*.npy", {"same": "u_1.npy", "dot": "./u_1.npy", "soft": "u_s.npy", "hard": "u_h.npy"}.get(link, ".")]
    if link == "soft":
        os.symlink("u_1.npy", "u_s.npy")
        paths = ["u_0.npy", "u_1.npy", "u_2.npy", "u_3.npy", "u_s.npy"]
    if link == "hard":
        os.link("u_1.npy", "u_h.npy")
        paths = ["u_0.npy", "u_1.npy", "u_2.npy", "u_3.npy", "u_h.npy"]
    source = opened(paths, dimensions=("time", "x"))
    assert source.trajectories == 4 and source.channels == ("u",)
    np.testing.assert_array_equal(all_of(source)[:, 0, :, 0], fields)
    printed = capsys.readouterr().out
    assert printed.count("it is read once") == (4 if link == "folder" else 1)
    assert "u_1.npy" in printed


def test_a_copy_of_a_trajectory_is_refused(tmp_path):
    for number in range(3):
        np.save(tmp_path / f"u_{number}.npy", values(4, 5, seed=number))
    (tmp_path / "u_7.npy").write_bytes((tmp_path / "u_1.npy").read_bytes())
    assert copies(sorted(tmp_path.iterdir())) == [(tmp_path / "u_1.npy", tmp_path / "u_7.npy")]
    with pytest.raises(SparseVQError, match=r"u_7.npy is a copy of .*u_1.npy: the same trajectory would be .*held"):
        opened(tmp_path / "*.npy", dimensions=("time", "x"))


def test_frames_that_are_the_same_are_said(tmp_path, capsys):
    for number in range(4):
        np.save(tmp_path / f"u_{number}.npy", values(5, seed=number // 2))
    source = opened(tmp_path / "*.npy", dimensions=("x",), join="time")
    assert len(source.time) == 4
    assert "u_1.npy is the same, byte for byte, as " in capsys.readouterr().out


BESIDE = [".DS_Store", "._u_1.npy", ".u_9.npy", "u_9.npy.tmp", "u_9.npy.part", "u_9.npy~", "u_1.npy.aux.xml",
          "u_9.npy.crdownload", "SHA256SUMS.sha256", "u_1.npy.md5", "Thumbs.db", "u_1.npy.bak"]  # fmt: skip


@pytest.mark.parametrize("pattern", ["", "/*", "/**", "/*.*"])
def test_files_beside_data_are_left_out(tmp_path, pattern):
    made(tmp_path, *BESIDE, "u_10.npy", "u_2.npy")
    assert found(tmp_path, f"{tmp_path}{pattern}") == ["u_2.npy", "u_10.npy"]


def test_a_folder_of_files_without_endings(tmp_path):
    made(tmp_path, "u_10", "u_2", "u_1")
    (tmp_path / "readme").write_text("of the run")
    assert found(tmp_path, str(tmp_path)) == ["u_1", "u_2", "u_10"]
    made(tmp_path, "u_3.npy")
    paths, notes = matched(FileConfig(path=str(tmp_path)))
    assert [path.name for path in paths] == ["u_3.npy"]
    assert notes == [f"path: {tmp_path}: u_1, u_2, u_10 not read: name them, or a pattern"]


def test_a_folder_of_stores_without_endings(tmp_path):
    for store in ("run_10", "run_2"):
        (tmp_path / store / "u").mkdir(parents=True)
        (tmp_path / store / "zarr.json").write_text("{}")
    assert found(tmp_path, str(tmp_path)) == found(tmp_path, f"{tmp_path}/*") == ["run_2", "run_10"]


def test_the_chunks_of_a_store_are_no_files(tmp_path):
    for store in ("a.zarr", "b.zarr"):
        (tmp_path / store / "u").mkdir(parents=True)
        (tmp_path / store / ".zgroup").write_text("{}")
        (tmp_path / store / "u" / "0.0").write_bytes(b"12")
    assert found(tmp_path, f"{tmp_path}/**") == ["a.zarr", "b.zarr"]


def refused(pattern, message):
    with pytest.raises(SparseVQError, match=message) as raised:
        matching_files(FileConfig(path=str(pattern)))
    assert "\n" not in str(raised.value)


def test_what_matches_nothing_says_what_is_there(tmp_path):
    made(tmp_path, "data/u_10.npy", "data/u_2.npy", "data/u_1.npy", "data/u_3.npy")
    refused(f"{tmp_path}/data/v_*.npy", "matches no file: check the path: .*data holds u_1.npy, u_2.npy, u_3.npy and 1")
    refused(f"{tmp_path}/date/u_*.npy", "matches no file: there is no folder .*date; paths are relative to")
    refused(f"{tmp_path}/data/u_{{1,2}}.npy", "braces are not expanded: give a list")
    refused(f"{tmp_path}/data/v[1-3].npy", "stands for one of the characters between the brackets")
    (tmp_path / "grib").mkdir()
    (tmp_path / "grib" / "a.grib").write_bytes(b"GRIB" + bytes(30))
    refused(tmp_path / "grib", r"holds no file of a known format \(.*a.grib is GRIB\)")
    refused("https://example.org/u.nc", "is an address: download it")
    refused(tmp_path, f"holds no file of a known format: .*in its folders: write {tmp_path}/\\*\\*/\\*.npy")
    assert found(tmp_path, f"{tmp_path}/**/*.npy")[0] == "data/u_1.npy"


def test_what_cannot_be_opened(tmp_path, monkeypatch):
    os.symlink("nowhere.nc", tmp_path / "a.nc")
    refused(tmp_path / "a.nc", "a.nc is a link to nowhere.nc, which is not there: mend the link")
    refused(f"{tmp_path}/*.nc", "a.nc is a link to nowhere.nc, which is not there: mend the link")
    os.mkfifo(tmp_path / "b.nc")
    refused(tmp_path / "b.nc", "b.nc is neither a file nor a folder")

    def denied(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", denied)
    refused(tmp_path, r"the folder .* cannot be listed \(Permission denied\): check that you may read it")
    refused(f"{tmp_path}/*.h5", "the folder .* cannot be listed: check that you may read it")


def test_a_list_keeps_its_order(tmp_path):
    made(tmp_path, "b.npy", "a_2.npy", "a_10.npy")
    paths = (f"{tmp_path}/b.npy", f"{tmp_path}/a_*.npy")
    assert [path.name for path in matching_files(FileConfig(path=paths))] == ["b.npy", "a_2.npy", "a_10.npy"]


def test_an_empty_list_of_files_is_said():
    with pytest.raises(SparseVQError, match="the list is empty: name at least one file"):
        matched(FileConfig(path=()))
