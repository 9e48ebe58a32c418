"""FDS output, real runs: what is read is cell by cell what FDS wrote on each mesh, and nothing is left beside it."""

import dataclasses
import importlib
import importlib.util
import pickle
import shutil
import sys
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
from scipy.interpolate import RegularGridInterpolator

from sparsevq.config import FileConfig
from sparsevq.data.source import Source
from sparsevq.errors import SparseVQError
from sparsevq.readers.fds.meshes import Piece, outside_gas, resampled, stitched
from sparsevq.readers.fds.source import at_times, open_fds, same_times
from sparsevq.readers.files import open_files

fdsreader = pytest.importorskip("fdsreader", reason="reads FDS output")
Mesh = importlib.import_module("fdsreader.fds_classes").Mesh
obstructions = importlib.import_module("fdsreader.bndf.obstruction")
RUNS = {
    "hfg_slice": "hfg_slice",
    "case001": "case001",
    "case002": "case002",
    "stretched": "stretched_mesh_example",
    "visibility": "visibility_adjustment/visibility_adjustment/visibility_adjustment.smv",
}
pytestmark = pytest.mark.filterwarnings("ignore:The .smv file has no .*_MINMAX")


@pytest.fixture(scope="session")
def runs(tmp_path_factory) -> dict[str, Path]:
    """Name -> folder or .smv file of a real run."""
    found = importlib.util.find_spec("pyfdstools")
    if found is None:
        pytest.skip("pyfdstools carries the FDS runs")
    zips = Path(found.submodule_search_locations[0], "examples", "data")
    root = tmp_path_factory.mktemp("fds")
    for path in zips.glob("*.zip"):
        with zipfile.ZipFile(path) as archive:
            wanted = [name for name in archive.namelist() if not name.endswith((".bf", ".be", ".prt5", ".vtp"))]
            archive.extractall(root / path.stem, wanted)
    return {name: root / where for name, where in RUNS.items()}


def open_run(path: Path, *arrays: str, **settings) -> Source:
    return open_fds(path, FileConfig(path="runs/*", arrays=arrays, **settings), "fires")


def read_all(source: Source) -> np.ndarray:
    return source.read(0, 0, len(source.time))


def simulation(path: Path):
    """fdsreader's own view, in which nothing is cached."""
    fdsreader.settings.ENABLE_CACHING = False
    try:
        return fdsreader.Simulation(str(path))
    finally:
        fdsreader.settings.ENABLE_CACHING = True


def parts_of(path: Path, name: str):
    """For each mesh its points along x, y, z, the values (f, x, y, z) and where there is gas, all by fdsreader."""
    kind, quantity = name.split("/")
    run = simulation(path)
    if kind == "slice":
        output = next(one for one in run.slices if one.quantity.name == quantity and one.type == "3D")
        for part in output.subslices:
            gas = part.mesh.get_obstruction_mask_slice(part, mode="placeholders")
            yield list(part.get_coordinates().values()), part.data, gas
    else:
        output = (run.data_3d if kind == "plot3d" else run.smoke_3d).get_by_quantity(quantity)
        for part in output.subplots if kind == "plot3d" else output.subsmokes:
            values = part.data if kind == "plot3d" else part.to_physical()
            gas = part.mesh.get_obstruction_mask(output.times, mode="placeholders")
            yield [part.mesh.coordinates[axis] for axis in "xyz"], values, gas


@pytest.mark.parametrize(
    ("run", "arrays", "shape", "units"),
    [
        pytest.param("hfg_slice", ("smoke3d/TEMPERATURE",), (986, 21, 21, 21), ("C",), marks=pytest.mark.slow),
        ("case001", ("plot3d/TEMPERATURE", "plot3d/W-VELOCITY"), (12, 25, 11, 25), ("C", "m/s")),
        ("case001", ("slice/TEMPERATURE",), (6, 24, 10, 24), ("C",)),  # at the centres of cells
        # with densities beside the codes
        pytest.param("case001", ("smoke3d/SOOT DENSITY",), (1001, 25, 11, 25), ("kg/m3",), marks=pytest.mark.slow),
        ("case002", ("slice/TEMPERATURE", "slice/HRRPUV"), (61, 16, 51, 51), ("C", "kW/m3")),
        ("case002", ("smoke3d/SOOT DENSITY", "smoke3d/HRRPUV"), (101, 16, 51, 51), ("kg/m3", "kW/m3")),
        pytest.param("visibility", ("smoke3d/SOOT DENSITY",), (966, 15, 21, 21), ("kg/m3",), marks=pytest.mark.slow),
    ],
)
def test_each_cell_is_what_fds_wrote_on_its_own_mesh(runs, run, arrays, shape, units):
    source = open_run(runs[run], *arrays)
    read = read_all(source)
    assert read.shape == (*shape, len(arrays))
    assert read.dtype == np.float32
    assert source.units == units
    assert list(source.axes) == ["z", "y", "x"]
    assert set(source.axis_units.values()) == {"m"}
    for channel, name in enumerate(arrays):
        meshes = np.zeros(shape[1:], dtype=int)
        agrees = np.zeros(shape[1:], dtype=int)
        for points, values, gas in parts_of(runs[run], name):
            at = [
                np.abs(source.axes[axis][:, None] - these).argmin(axis=0)
                for axis, these in zip("xyz", points, strict=True)
            ]
            for axis, these, where in zip("xyz", points, at, strict=True):
                np.testing.assert_allclose(source.axes[axis][where], these, atol=1e-5)
            region = np.ix_(*at[::-1])
            ours = read[..., channel][(slice(None), *region)]
            theirs = np.where(gas, values, np.nan).transpose(0, 3, 2, 1)
            meshes[region] += 1
            agrees[region] += np.array_equal(ours, theirs, equal_nan=True) or (
                ((ours == theirs) | (np.isnan(ours) & np.isnan(theirs))).all(axis=0)
            )
        assert (meshes > 0).all()
        assert (agrees > 0).all(), "each point is some mesh's"
        assert (agrees[meshes == 1] == 1).all()


def test_frames_are_read_alone_as_among_all(runs):
    for run, array in (("case001", "SOOT DENSITY"), ("case001", "W-VELOCITY"), ("case002", "slice/HRRPUV")):
        source = open_run(runs[run], array)
        frames = read_all(source)
        for start, stop in ((0, 1), (5, 8), (len(frames) - 1, len(frames))):
            np.testing.assert_array_equal(source.read(0, start, stop), frames[start:stop])


def test_a_few_frames_take_the_memory_of_a_few_frames(runs):
    """fdsreader would hold 986 frames of four meshes: 36 MB."""
    source = open_run(runs["hfg_slice"], "TEMPERATURE")
    source.read(0, 0, 1)
    tracemalloc.start()
    values = source.read(0, 500, 504)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * values.nbytes


def test_quantities_are_found_where_they_share_grid_and_times(runs):
    def chosen(run: str, *arrays: str) -> list[str]:
        return list(open_run(runs[run], *arrays).provenance["outputs"].values())

    # TEMPERATURE is in all three outputs of this run, each with times of its own
    assert chosen("case001", "W-VELOCITY", "temperature") == ["plot3d/W-VELOCITY", "plot3d/TEMPERATURE"]
    assert chosen("case001", "TEMPERATURE", "SOOT DENSITY") == ["smoke3d/TEMPERATURE", "smoke3d/SOOT DENSITY"]
    assert chosen("case001", "TEMPERATURE") == ["smoke3d/TEMPERATURE"], "the most frames"
    assert chosen("hfg_slice") == ["smoke3d/SOOT DENSITY", "smoke3d/HRRPUV", "smoke3d/TEMPERATURE"]
    source = open_run(runs["case001"], "U-VELOCITY", "W-VELOCITY")
    np.testing.assert_allclose(source.time[:4], [10.01, 20.01, 30.02, 40.03])
    assert source.channels == ("u_velocity", "w_velocity")
    assert source.vector == {"u_velocity": "x", "w_velocity": "z"}


def test_channels_may_be_given_names(runs):
    source = open_run(runs["case001"], "plot3d/TEMPERATURE", "W-VELOCITY", channels=("warmth", "w"))
    assert source.channels == ("warmth", "w")
    assert source.vector == {"w": "z"}
    own = open_run(runs["case001"], "plot3d/TEMPERATURE", "W-VELOCITY", channels=("w_velocity", "temperature"))
    assert own.channels == ("temperature", "w_velocity"), "these choose and order, which is not the reader's task"


def test_nothing_is_left_beside_the_data_and_no_pickle_is_opened(runs, tmp_path):
    folder = shutil.copytree(runs["stretched"], tmp_path / "run")
    trace = tmp_path / "executed"
    planted = folder / "stretched_mesh_example.pickle"  # the name that fdsreader gives its cache

    class Trap:
        def __reduce__(self):
            return Path.touch, (trace,)

    planted.write_bytes(pickle.dumps(Trap()))
    before = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in folder.rglob("*")}
    folder.chmod(0o555)
    read_all(open_run(folder, resample=(8, 9, 9)))
    folder.chmod(0o755)
    assert {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in folder.rglob("*")} == before
    assert not trace.exists()
    assert fdsreader.settings.ENABLE_CACHING


# ------------------------------------------------------------------------------------------------ meshes


def test_meshes_of_different_cells_are_interpolated_from_the_finest(runs):
    source = open_run(runs["stretched"], "TEMPERATURE", resample=(23, 41, 37))
    assert [len(at) for at in source.axes.values()] == [23, 41, 37]
    for at in source.axes.values():
        np.testing.assert_allclose(np.diff(at), np.diff(at).mean())
    read = read_all(source)[..., 0]
    expected = np.full(read.shape, np.nan)
    smallest = np.full(read.shape[1:], np.inf)
    points = np.stack(np.meshgrid(*source.axes.values(), indexing="ij"), axis=-1)[..., ::-1]
    run = simulation(runs["stretched"])
    for part in run.slices[0].subslices:
        lines = [part.mesh.coordinates[axis].astype(float) for axis in "xyz"]
        gas = part.mesh.get_obstruction_mask_slice(part, mode="placeholders")
        known = RegularGridInterpolator(lines, np.moveaxis(np.where(gas, part.data, np.nan), 0, -1), bounds_error=False)
        values = np.moveaxis(known(points), -1, 0)
        cell = np.prod([np.ptp(at) / (len(at) - 1) for at in lines])
        inside = np.logical_and.reduce(
            [(points[..., i] >= at[0]) & (points[..., i] <= at[-1]) for i, at in enumerate(lines)]
        )
        finer = inside & (cell < 0.999 * smallest)
        expected[:, finer] = values[:, finer]
        smallest[finer] = cell
    np.testing.assert_allclose(read, expected, rtol=2e-5)


def piece(x: list[float], y: list[float], z: list[float], values=None, cell_centred: bool = False, solid=None) -> Piece:
    """A mesh with these lines; by default its values are linear in x, y and z."""
    lines = {"x": np.array(x, float), "y": np.array(y, float), "z": np.array(z, float)}
    counts = {axis: (0, len(at) - cell_centred) for axis, at in lines.items()}
    shape = tuple(stop for _, stop in counts.values())

    def outside(times, cells):
        return np.zeros((1, *shape), bool) if solid is None else solid[None]

    made = Piece.of(lines, counts, cell_centred, None, outside)
    if values is None:
        px, py, pz = np.meshgrid(*(made.points[axis] for axis in "xyz"), indexing="ij")
        values = 1 + px + 10 * py + 100 * pz
    return Piece.of(
        lines, counts, cell_centred, lambda start, stop: np.tile(np.float32(values), (stop - start, 1, 1, 1)), outside
    )


def filled(grid, pieces: list[Piece]) -> tuple[dict[str, np.ndarray], np.ndarray]:
    axes, fill = grid
    out = np.full((1, *(len(at) for at in axes.values())), np.nan, dtype=np.float32)
    fill(lambda index: pieces[index].read(0, 1, np.zeros(1)), out)
    return axes, out[0]


def linear(axes: dict[str, np.ndarray]) -> np.ndarray:
    z, y, x = np.meshgrid(*(axes[axis] for axis in "zyx"), indexing="ij")
    return 1 + x + 10 * y + 100 * z


@pytest.mark.parametrize("cell_centred", [False, True])
def test_a_linear_field_stays_linear_whatever_the_cells(cell_centred):
    pieces = [
        piece([0, 1, 2, 4], [0, 1, 2], [0, 0.5, 2], cell_centred=cell_centred),
        piece([4, 4.5, 5, 6], [0, 0.25, 0.5, 2], [0, 1, 2], cell_centred=cell_centred),
    ]
    assert stitched(pieces) is None, "their points do not meet"
    axes, out = filled(resampled(pieces, (5, 7, 13)), pieces)
    inside = np.ones(out.shape, dtype=bool)
    if cell_centred:  # constant within half a cell of a mesh's edge
        z, y, x = np.meshgrid(*axes.values(), indexing="ij")
        left = (x <= 3) & (x >= 0.5) & (y >= 0.5) & (y <= 1.5) & (z >= 0.25) & (z <= 1.25)
        right = (x >= 4.25) & (x <= 5.5) & (y >= 0.125) & (y <= 1.25) & (z >= 0.5) & (z <= 1.5)
        inside = left | right
        assert left.any() and right.any()
    np.testing.assert_allclose(out[inside], linear(axes)[inside], rtol=1e-5)
    assert np.isfinite(out).all()


def test_a_grid_on_a_meshs_own_points_changes_nothing_beside_solids_either():
    solid = np.zeros((3, 4, 5), dtype=bool)
    solid[1:, 2:, :2] = True
    pieces = [piece([0, 1, 2], [0, 2, 4, 6], np.arange(5) / 2, solid=solid)]
    kept, taken = filled(stitched(pieces), pieces)[1], filled(resampled(pieces, (5, 4, 3)), pieces)[1]
    assert np.isnan(kept).sum() == solid.sum()
    np.testing.assert_array_equal(taken, kept)


def test_a_stretched_mesh_keeps_its_own_points():
    pieces = [piece([0, 1, 3], [0, 1, 2], [0, 0.5, 2]), piece([3, 4, 5], [0, 1, 2], [0, 0.5, 2])]
    axes, out = filled(stitched(pieces), pieces)
    np.testing.assert_array_equal(axes["x"], [0, 1, 3, 4, 5])
    np.testing.assert_array_equal(axes["z"], [0, 0.5, 2])
    np.testing.assert_allclose(out, linear(axes))


def test_shared_nodes_and_the_rest_of_the_box():
    """Three quarters of a square: the mesh that begins at a node supplies it, else the first that ends there."""
    where = [([0, 1, 2], [0, 1, 2]), ([2, 3, 4], [0, 1, 2]), ([0, 1, 2], [2, 3, 4])]
    pieces = [piece(x, y, [0, 1], np.full((3, 3, 2), number)) for number, (x, y) in enumerate(where)]
    _, out = filled(stitched(pieces), pieces)
    e = np.nan
    expected = [[0, 0, 1, 1, 1], [0, 0, 1, 1, 1], [2, 2, 0, 1, 1], [2, 2, 2, e, e], [2, 2, 2, e, e]]
    np.testing.assert_array_equal(out[0], expected)


def test_a_shared_node_has_the_value_of_the_mesh_in_which_it_is_not_solid():
    solid = np.zeros((3, 3, 2), dtype=bool)
    solid[0] = True  # the second mesh begins with a wall
    pieces = [
        piece([0, 1, 2], [0, 1, 2], [0, 1], np.full((3, 3, 2), 7.0)),
        piece([2, 3, 4], [0, 1, 2], [0, 1], np.full((3, 3, 2), 8.0), solid=solid),
    ]
    _, out = filled(stitched(pieces), pieces)
    np.testing.assert_array_equal(out[0, 0], [7, 7, 7, 8, 8])


def test_obstructions_hide_what_is_inside_while_they_are_there():
    """A block that burns away at 2 s and a door that closes at 2.5 s, whichever frames are asked for."""

    lines = dict.fromkeys("xyz", np.arange(3.0)) | {"x": np.arange(7.0)}
    mesh = Mesh(lines, {axis: (at[0], at[-1]) for axis, at in lines.items()}, "mesh")
    for number, (low, high, hide, show) in enumerate([(0, 1, [], []), (2, 4, [2.0], []), (5, 6, [], [2.5])]):
        part = obstructions.SubObstruction((), (low, high, 0, 2, 0, 2), None, mesh)
        part.hide_times, part.show_times = hide, show
        block = obstructions.Obstruction(str(number), 0, 0, (0.0, 0.0, 0.0))
        block._subobstructions[mesh.id] = [part]
        mesh.obstructions.append(block)
    outside = outside_gas(mesh)
    times = np.arange(4.0)
    cells = outside(times, True)[:, :, 0, 0]
    np.testing.assert_array_equal(cells[0], [1, 0, 1, 1, 0, 0])
    np.testing.assert_array_equal(cells[2], [1, 0, 0, 0, 0, 0])
    np.testing.assert_array_equal(cells[3], [1, 0, 0, 0, 0, 1])
    np.testing.assert_array_equal(outside(times[3:], True)[0, :, 0, 0], cells[3])
    # a node without gas: one with solid cells alone around it
    np.testing.assert_array_equal(outside(times, False)[0, :, 1, 1], [1, 0, 0, 1, 0, 0, 0])


# ------------------------------------------------------------------------------------------------ times


def test_times_agree_when_only_their_rounding_differs():
    times = np.array([10.006, 20.004, 30.015])
    assert same_times(times, np.round(times, 2)), "names of PLOT3D files have hundredths"
    assert not same_times(times, times + 0.05)
    assert not same_times(times, times[:2])
    assert not same_times(times / 2000, times / 2000 + 0.005), "a frame later"


def test_several_runs_are_trajectories_in_a_window_of_time(runs, tmp_path):
    for name in ("a", "b"):
        shutil.copytree(runs["case002"], tmp_path / name)  # a link would be the same run
    settings = FileConfig(
        path=str(tmp_path / "*"),
        format="fds",
        arrays=("slice/TEMPERATURE",),
        time=(1.0, 2.0),
        window=(10, 20),
        stride=2,
    )
    source = open_files(settings, "fires")
    assert source.trajectories == 2
    np.testing.assert_allclose(source.time, [11, 15, 19])
    whole = open_run(runs["case002"], "slice/TEMPERATURE", time=(1.0, 2.0))
    np.testing.assert_array_equal(source.read(1, 0, 3), read_all(whole)[5:10:2])


def test_runs_whose_steps_differ_come_to_the_same_times(runs):
    """Temperatures at given times are those of a linear interpolation of all frames."""
    whole = open_run(runs["case002"], "slice/TEMPERATURE")
    source = open_run(runs["case002"], "slice/TEMPERATURE", time=(2.0, 1.5))
    np.testing.assert_allclose(source.time, 2 + 1.5 * np.arange(39))
    frames = read_all(whole)[:, :3, 20, 20, 0]
    read = read_all(source)[:, :3, 20, 20, 0]
    for level in range(3):
        np.testing.assert_allclose(read[:, level], np.interp(source.time, whole.time, frames[:, level]), rtol=1e-5)
    np.testing.assert_array_equal(source.read(0, 7, 9), read_all(source)[7:9])


def test_frames_far_apart_are_read_one_by_one(runs):
    whole = open_run(runs["hfg_slice"], "TEMPERATURE")
    most = 0

    def read(trajectory: int, start: int, stop: int) -> np.ndarray:
        nonlocal most
        most = max(most, stop - start)
        return whole.read(trajectory, start, stop)

    read_all(at_times(dataclasses.replace(whole, read=read), 5.0, 10.0))
    assert most == 2


# ------------------------------------------------------------------------------------------------ faults


def cut(path: Path, keep: int) -> None:
    path.write_bytes(path.read_bytes()[:keep])


def second_run(folder: Path) -> None:
    shutil.copy(next(folder.glob("*.smv")), folder / "other.smv")


FAULTS = [
    ("case001", lambda f: cut(f / "case001_1_5.sf", 90_000), {"arrays": ("slice/TEMPERATURE",)},
     r"case001_1_5.sf: truncated, it holds 3 whole frames of 4"),
    ("case001", lambda f: cut(f / "case001_1_3.s3d", 500_000), {"arrays": ("TEMPERATURE",)},
     r"case001_1_3.s3d: truncated, it holds \d+ whole frames of 1001: let FDS finish"),
    ("case001", lambda f: cut(f / "case001_1_50p00.q", 1000), {"arrays": ("W-VELOCITY",)},
     r"case001_1_50p00.q: truncated, it holds 1000 bytes of 137552"),
    ("case001", lambda f: (f / "case001_1_5.sf").unlink(), {}, r"case001_1_5.sf: cannot be read \(No such file"),
    ("case001", lambda f: (f / "case001_1_1.s3d.sz").unlink(), {"arrays": ("SOOT DENSITY",)}, r"case001_1_1.s3d.sz"),
    ("case001", lambda f: None, {"arrays": ("PRESSURE",)},
     r"no volume of 'PRESSURE': there are: slice/TEMPERATURE \(6 frames, 0 to 120 s, 5760 points\); plot3d/TEMP"),
    ("case001", lambda f: None, {"arrays": ("slice/TEMPERATURE", "W-VELOCITY")},
     r"slice/TEMPERATURE, W-VELOCITY share no grid and times: choose among those that do: slice/TEMPERATURE \(6"),
    ("case001", lambda f: None, {"arrays": ("HRRPUV", "hrrpuv")}, r"names .*HRRPUV more than once"),
    ("case001", second_run, {}, r"several runs of FDS in one folder \(case001.smv, other.smv\)"),
    ("case001", lambda f: (f / "case001.smv").unlink(), {}, r"no .smv file of FDS"),
    ("case001", lambda f: cut(f / "case001.smv", 5_000), {}, r"case001.smv: not a whole .smv file of FDS"),
    ("case001", lambda f: cut(f / "case001.smv", 0), {}, r"case001.smv: not a whole .smv file of FDS"),
    ("case001", lambda f: None, {"arrays": ("W-VELOCITY",), "time": (50.0, 100.0)}, r"leaves 1 frames between 10.01"),
    ("case001", lambda f: None, {"arrays": ("W-VELOCITY",), "time": (0.0, 10.0)}, r"before the first frame, at 10.01"),
    ("case001", lambda f: None, {"arrays": ("W-VELOCITY",), "time": "t"}, r"FDS gives its times itself"),
    ("stretched", lambda f: None, {}, r"the points of its 14 meshes do not meet .* `resample: \[11, 46, 46\]`"),
]  # fmt: skip


@pytest.mark.parametrize(("run", "spoil", "settings", "message"), FAULTS, ids=[fault[-1][:30] for fault in FAULTS])
def test_each_fault_is_one_line_that_names_it(runs, tmp_path, run, spoil, settings, message):
    folder = shutil.copytree(runs[run], tmp_path / "run", copy_function=shutil.copyfile)
    spoil(folder)
    with pytest.raises(SparseVQError, match=message) as raised:
        read_all(open_fds(folder, FileConfig(path="run", **settings), "fires"))
    assert "\n" not in str(raised.value)


def test_without_fdsreader_it_says_what_to_install(runs, monkeypatch):
    monkeypatch.setitem(sys.modules, "fdsreader", None)
    with pytest.raises(SparseVQError, match=r"needs fdsreader: pip install sparsevq\[readers\]"):
        open_run(runs["hfg_slice"])
