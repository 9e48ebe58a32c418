"""A file that was damaged, edited, or made from others than those beside it is named in one line, and never used."""

import ast
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pytest
from safetensors import safe_open

import sparsevq
from sparsevq.baselines.registry import run_baselines
from sparsevq.cli.main import main
from sparsevq.cli.options import Options
from sparsevq.cli.prepare import prepare_run
from sparsevq.config import DataSetConfig, EvaluationConfig, PreprocessConfig, SensorsConfig
from sparsevq.data.layout import read_data, write_data
from sparsevq.data.preprocess import preprocess
from sparsevq.errors import SparseVQError
from sparsevq.evaluation.scores import score
from sparsevq.evaluation.table_files import identity_of
from sparsevq.readers.data_set import open_data_set
from sparsevq.readers.shards import open_shards
from sparsevq.runs.codes import read_codes
from sparsevq.runs.folder import read_record, write_record
from sparsevq.runs.run import Run
from sparsevq.runtime import files, integrity
from sparsevq.runtime.files import digest, written_whole
from sparsevq.runtime.integrity import SEAL_BYTES, require_made_from
from sparsevq.sensors.placement import place_sensors, write_sensors
from sparsevq.simulators.shards import read_shard
from tests.chain import Chain, make_chain
from tests.edited import edited
from tests.shards import shards_of

PACKAGE = Path(sparsevq.__file__).parent
MODELS = ("semi_sparse", "sparse", "tokenizer", "gpt")
OWN = ("data.h5", "basis.h5", "sensors.h5", "codes.h5", "calibration.h5", "forecast.h5", "baselines.h5")
FILES = (*OWN, *(f"{model}/model.safetensors" for model in MODELS))


class Finished(Chain):
    """A run with its forecast, baselines and tables, and what reads each of its files."""

    def finish(self) -> "Finished":
        self.calibrate()
        self.forecast(self.folder / "forecast.h5")
        self.baselines()
        return self

    def baselines(self) -> None:
        settings = EvaluationConfig(baselines=["persistence", "climatology"])
        run_baselines(self.run(), self.folder / "baselines.h5", settings)

    def evaluate(self) -> None:
        score(self.run(), self.folder, identity_of("waves", 6, "", 1))

    def consume(self, consumer: str) -> None:
        """Do again what a rule of the workflow (or a command) does."""
        {
            "sensors": lambda: read_data(self.data_path),
            "semi_sparse": lambda: self.encoder("semi_sparse"),
            "sparse": lambda: self.encoder("sparse"),
            "tokenizer": self.tokenizer,
            "codes": self.codes,
            "gpt": self.gpt,
            "calibrate": self.calibrate,
            "forecast": lambda: self.forecast(self.folder / "forecast.h5"),
            "baselines": self.baselines,
            "evaluate": self.evaluate,
            "sparsevq forecast": lambda: sparsevq.Forecaster(self.folder, data=self.data_path, device="cpu"),
        }[consumer]()


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """The folder of a run that is finished; tests work on copies."""
    return Finished(make_chain(tmp_path_factory.mktemp("finished") / "run").folder).finish().folder


@pytest.fixture
def run(finished, tmp_path) -> Finished:
    shutil.copytree(finished, tmp_path / "run")
    return Finished(tmp_path / "run")


@pytest.fixture(scope="module")
def other(tmp_path_factory, finished) -> Path:
    """The same run with another data set: each of its files differs from the first one's."""
    chain = Finished(tmp_path_factory.mktemp("other") / "run")
    shutil.copytree(finished, chain.folder)
    with edited(chain.data_path) as file:
        file["fields"][...] *= 1.25
    sets = place_sensors(chain.data, SensorsConfig(num_semi_sparse=12), 6, seed=2)
    write_sensors(chain.sensors_path, sets, {"data": chain.data_path})
    chain.basis()
    for make in (lambda: chain.encoder("semi_sparse"), lambda: chain.encoder("sparse"), chain.tokenizer, chain.codes):
        make()
    chain.gpt()
    (chain.folder / "calibration.h5").unlink()
    return chain.finish().folder


# ------------------------------------------------------------------ what every file carries


def test_every_file_tells_its_layout_its_code_and_what_it_was_made_from(finished):
    made_from = {}
    for name in FILES:
        if name.endswith(".h5"):
            with h5py.File(finished / name) as file:
                about = dict(file.attrs)
                about["made_from"] = json.loads(about["made_from"])
        else:
            with safe_open(finished / name, "pt") as file:
                about = json.loads(file.metadata()["sparsevq"])
        assert about["schema"].startswith("sparsevq-"), name
        assert about["schema_version"] >= 1
        assert about["sparsevq_version"] == sparsevq.__version__
        made_from[name.split("/")[0].removesuffix(".h5")] = set(about["made_from"])
    inputs = {"data", "sensors"}
    assert made_from == {
        "data": set(),
        "basis": {"data"},
        "sensors": {"data"},
        "semi_sparse": inputs | {"basis"},
        "sparse": inputs | {"basis"},
        "tokenizer": inputs | {"sparse", "semi_sparse"},
        "codes": inputs | {"sparse", "semi_sparse", "tokenizer"},
        "gpt": {"codes", "tokenizer"},
        "calibration": inputs | {"tokenizer", "gpt", "codes"},
        "forecast": inputs | {"basis", "sparse", "semi_sparse", "tokenizer", "gpt", "codes", "calibration"},
        "baselines": inputs | {"basis", "forecast"},
    }


# ------------------------------------------------------------------ files of another run

READ_BY = [
    ("data.h5", "semi_sparse", "sensors.h5 was made from another data set .*--forcerun sensors"),
    ("data.h5", "tokenizer", "sensors.h5 was made from another data set"),
    ("data.h5", "sparsevq forecast", "sensors.h5 was made from another data set"),
    ("data.h5", "evaluate", "sensors.h5 was made from another data set"),
    ("sensors.h5", "sparse", "sensors.h5 was made from another data set"),
    ("semi_sparse", "tokenizer", "semi_sparse/model.safetensors was made from another data .*--forcerun semi_sparse"),
    ("sparse", "tokenizer", "sparse/model.safetensors was made from another data .*--forcerun sparse"),
    ("sparse", "codes", "sparse/model.safetensors was made from another data set"),
    ("tokenizer", "codes", "tokenizer/model.safetensors was made from another semi-sparse model .*forcerun tokenizer"),
    ("tokenizer", "forecast", "tokenizer/model.safetensors was made from another semi-sparse model"),
    ("tokenizer", "sparsevq forecast", "tokenizer/model.safetensors was made from another semi-sparse model"),
    ("codes.h5", "forecast", "gpt/model.safetensors was made from another codes.h5 .*--forcerun gpt"),
    ("gpt", "forecast", "gpt/model.safetensors was made from another tokenizer .*--forcerun gpt"),
    ("gpt", "sparsevq forecast", "gpt/model.safetensors was made from another tokenizer"),
    ("calibration.h5", "forecast", "calibration.h5 was made from another data set .*--forcerun calibrate"),
    ("calibration.h5", "sparsevq forecast", "calibration.h5 was made from another data set"),
    ("calibration.h5", "evaluate", "forecast.h5 was made from another calibration"),
    ("forecast.h5", "baselines", "forecast.h5 was made from another data set .*--forcerun forecast"),
    ("forecast.h5", "evaluate", "forecast.h5 was made from another data set"),
    ("codes.h5", "evaluate", "forecast.h5 was made from another codes.h5"),
    ("basis.h5", "baselines", "basis.h5 was made from another data set .*--forcerun basis"),
    ("baselines.h5", "evaluate", "baselines.h5 was made from another data set .*--forcerun baselines"),
]


@pytest.mark.parametrize(("name", "consumer", "message"), READ_BY)
def test_a_file_of_another_run_is_named(run, other, name, consumer, message):
    name = name if name.endswith(".h5") else f"{name}/model.safetensors"
    shutil.copy(other / name, run.folder / name)
    before = {path: path.read_bytes() for path in run.folder.rglob("*") if path.is_file()}
    with pytest.raises(SparseVQError, match=message.replace(".h5", r"\.h5")) as caught:
        run.consume(consumer)
    assert "\n" not in str(caught.value)
    assert before == {path: path.read_bytes() for path in run.folder.rglob("*") if path.is_file()}, "nothing is written"


def test_stage_3_of_the_command_line_refuses_codes_by_other_models(run, other, tmp_path):
    options = Options(training_stage="stage3", model_name=str(run.folder))
    assert prepare_run(options, {}, Run(tmp_path / "new"))["num_sensors"] == 6
    shutil.copy(other / "codes.h5", run.codes_path)
    with pytest.raises(SparseVQError, match=r"codes\.h5 was made from another data set .*--forcerun codes"):
        prepare_run(options, {}, Run(tmp_path / "newer"))


def test_a_run_of_the_command_line_tells_its_layout(tmp_path):
    folder = Run(tmp_path)
    write_record(folder, {"seed": 1})
    about = read_record(folder)
    assert (about["schema"], about["schema_version"], about["seed"]) == ("sparsevq-run", 1, 1)
    assert about["sparsevq_version"] == sparsevq.__version__
    write_record(folder, {"schema_version": 7})
    with pytest.raises(SparseVQError, match=r"config\.yaml has version 7 of sparsevq-run; .* reads version 1"):
        read_record(folder)


def test_files_of_one_run_are_accepted_wherever_they_are(run):
    for consumer in ("sparsevq forecast", "codes", "gpt", "calibrate", "forecast", "baselines", "evaluate"):
        run.consume(consumer)


def test_sensors_of_another_file_are_accepted_if_they_are_the_same_points(run):
    """`sparsevq train` puts the sensors of two runs together: the file differs, and the order."""
    with edited(run.sensors_path) as file:
        order = np.r_[0:6, np.arange(17, 5, -1)]
        file["semi_sparse"][...] = file["semi_sparse"][()][order]
        file["coordinates"][...] = file["coordinates"][()][order]
    run.consume("tokenizer")


def test_sensors_at_other_points_are_named(run):
    with edited(run.sensors_path) as file:
        semi_sparse, points = file["semi_sparse"][()], np.arange(96)
        file["semi_sparse"][-1] = np.setdiff1d(points, semi_sparse)[0]
    with pytest.raises(SparseVQError, match=r"semi_sparse/model\.safetensors was trained with other sensors"):
        run.consume("tokenizer")


def test_what_a_file_does_not_tell_is_not_checked():
    require_made_from("mine.h5", {}, {"data": "1" * 64}, "sensors")
    require_made_from("mine.h5", {"data": "2" * 64}, {"data": ""}, "sensors")
    with pytest.raises(SparseVQError, match=r"mine.h5 was made from .* \(SHA-256 222222222222\.\.\.\).*\(111111111111"):
        require_made_from("mine.h5", {"data": "2" * 64}, {"data": "1" * 64}, "sensors")


# ------------------------------------------------------------------ damage

USES = {
    "data.h5": "sensors",
    "basis.h5": "baselines",
    "sensors.h5": "sparse",
    "semi_sparse": "tokenizer",
    "sparse": "codes",
    "tokenizer": "codes",
    "codes.h5": "gpt",
    "gpt": "sparsevq forecast",
    "calibration.h5": "forecast",
    "forecast.h5": "baselines",
    "baselines.h5": "evaluate",
}


@pytest.mark.parametrize("name", USES)
@pytest.mark.parametrize("place", [0.005, 0.1, 0.31, 0.5, 0.72, 0.93, "last"])
def test_a_flipped_bit_is_named(run, name, place):
    path = run.folder / (name if name.endswith(".h5") else f"{name}/model.safetensors")
    whole = bytearray(path.read_bytes())
    at = len(whole) - 1 if place == "last" else SEAL_BYTES + int(place * (len(whole) - SEAL_BYTES))
    whole[at] ^= 0b100
    path.write_bytes(whole)
    with pytest.raises(
        SparseVQError, match=f"{re.escape(str(path))} is not (as sparsevq wrote it|a readable)"
    ) as caught:
        run.consume(USES[name])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", [name for name in USES if name.endswith(".h5")])
def test_a_flipped_bit_of_the_seal_is_named_or_changes_nothing(run, name):
    path = run.folder / name
    whole = path.read_bytes()
    for at in (3, 17, 40, 100, 400):
        damaged = bytearray(whole)
        damaged[at] ^= 1
        path.write_bytes(damaged)
        if at == 3:  # then the file has no seal; the rest is what it was
            with h5py.File(path) as file:
                assert file.attrs["schema"]
        else:
            with pytest.raises(SparseVQError, match="is not as sparsevq wrote it"):
                digest(path)


@pytest.mark.parametrize("name", USES)
@pytest.mark.parametrize("kept", [0.3, 0.9, -1])
def test_a_truncated_file_is_named(run, name, kept):
    path = run.folder / (name if name.endswith(".h5") else f"{name}/model.safetensors")
    whole = path.read_bytes()
    path.write_bytes(whole[: kept if kept < 0 else int(kept * len(whole))])
    with pytest.raises(SparseVQError, match=f"{re.escape(str(path))} is (truncated|not a readable)"):
        run.consume(USES[name])


def test_a_shard_that_is_damaged_is_named_before_it_is_read(tmp_path):
    path = shards_of(tmp_path, 2)[1]
    whole = bytearray(path.read_bytes())
    whole[len(whole) // 2] ^= 1
    path.write_bytes(whole)
    for read in (lambda: read_shard(path), lambda: open_shards(sorted(tmp_path.glob("*.h5")), "waves")):
        with pytest.raises(SparseVQError, match="is not as sparsevq wrote it"):
            read()


def test_who_edits_a_file_on_purpose_says_so(run, capsys):
    with h5py.File(run.data_path, "r+") as file:
        file.attrs["name"] = "mine"
    with pytest.raises(SparseVQError, match=rf"if you edited it on purpose, .* sparsevq data seal {run.data_path}"):
        read_data(run.data_path)
    assert main(["data", "seal", str(run.data_path)]) in (0, None)
    assert f"{run.data_path}: sealed (SHA-256 {digest(run.data_path)})" in capsys.readouterr().out
    assert read_data(run.data_path).name == "mine"
    with pytest.raises(SparseVQError, match="was made from another data set"):  # what came from it before is another's
        run.consume("tokenizer")


def test_only_files_with_room_for_a_seal_are_sealed(tmp_path):
    path = tmp_path / "mine.h5"
    with h5py.File(path, "w") as file:
        file["u"] = np.zeros(100)
    before = path.read_bytes()
    with pytest.raises(SparseVQError, match="has no room for a seal"):
        integrity.seal(path)
    assert path.read_bytes() == before


def test_a_file_of_ones_own_needs_no_seal(run):
    """Any HDF5 library may write a data set."""
    with h5py.File(run.data_path) as sealed, h5py.File(run.folder / "mine.h5", "w") as plain:
        for name in sealed:
            sealed.copy(name, plain)
        plain.attrs.update(sealed.attrs)
    assert np.array_equal(read_data(run.folder / "mine.h5").fields, run.data.fields)


@pytest.mark.parametrize("block", [2**27, 4 * 96 * 2 * 3], ids=["a trajectory at once", "three frames at once"])
@pytest.mark.parametrize("gaps", [False, True])
def test_fields_are_digested_as_they_are_written(run, tmp_path, monkeypatch, block, gaps):
    """A data set larger than memory is not read once more to be sealed; a mask that is known late counts too."""
    data = run.data
    if gaps:
        data.mask[::2, 3:5] = False
        data.fields[::2, :, 3:5] = 0
        data.fields[1, 7, 2, 2] = 9
    write_data(tmp_path / "in.h5", data)
    monkeypatch.setattr("sparsevq.data.preprocess.BLOCK", block)
    preprocess(open_data_set(tmp_path / "in.h5"), tmp_path / "out.h5", "w", DataSetConfig(), PreprocessConfig())
    assert b"\npart " in (tmp_path / "out.h5").read_bytes()[:SEAL_BYTES]
    np.testing.assert_array_equal(read_data(tmp_path / "out.h5", in_memory=0).fields, data.fields)
    whole = bytearray((tmp_path / "out.h5").read_bytes())
    at = whole.find(np.ascontiguousarray(data.fields[3]).tobytes())
    assert at > 0
    whole[at + 1] ^= 1
    (tmp_path / "out.h5").write_bytes(whole)
    with pytest.raises(SparseVQError, match="is not as sparsevq wrote it"):
        read_data(tmp_path / "out.h5", in_memory=0)


def test_a_digest_is_that_of_the_whole_file(run):
    """As `sha256sum` prints it, seal and all."""
    assert digest(run.data_path) == hashlib.sha256(run.data_path.read_bytes()).hexdigest()


def test_a_job_digests_a_file_once(run, monkeypatch):
    done = []
    compute = integrity.checked_digest
    monkeypatch.setattr(files, "checked_digest", lambda file: done.append(file.name) or compute(file))
    for path in run.folder.rglob("*.*"):
        os.utime(path, (time.time() - 60,) * 2)
    run.forecast(run.folder / "again.h5")
    names = [str(Path(name).relative_to(run.folder)) for name in done]
    assert sorted(names) == sorted(set(FILES) - {"forecast.h5", "baselines.h5"})


# ------------------------------------------------------------------ versions


def test_another_version_of_the_code_is_noted_once_and_no_fault(run, capsys):
    with edited(run.codes_path) as file:
        file.attrs["sparsevq_version"] = "0.0.1"
    for _ in range(2):
        read_codes(run.codes_path)
    said = capsys.readouterr().err
    assert said == f"note: {run.codes_path} was written by sparsevq 0.0.1; this is {sparsevq.__version__}\n"


# ------------------------------------------------------------------ writing


def test_a_file_is_on_the_disk_before_it_has_its_name(tmp_path, monkeypatch):
    order = []
    real_sync, real_replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda fd: (order.append(os.readlink(f"/proc/self/fd/{fd}")), real_sync(fd)))
    monkeypatch.setattr(os, "replace", lambda a, b: (order.append("replace"), real_replace(a, b)))
    with written_whole(tmp_path / "a.csv") as part:
        part.write_text("1")
    assert order == [str(part), "replace", str(tmp_path)]


KILLED = """
import os, signal, sys
from sparsevq.runtime.files import written_whole
with written_whole(sys.argv[1]) as part:
    part.write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_writer_left_is_removed_by_the_next(tmp_path):
    target, neighbour = tmp_path / "model.safetensors", tmp_path / "model.2.safetensors"
    for path in (target, neighbour):
        assert subprocess.run([sys.executable, "-c", KILLED, path], check=False).returncode == -9
    assert len(list(tmp_path.iterdir())) == 2
    with written_whole(target) as part:
        part.write_text("whole")
    left = sorted(path.name for path in tmp_path.iterdir())
    assert left[1:] == ["model.safetensors"]
    assert left[0].startswith(".model.2."), "another file's may be in use"


def test_a_living_writers_file_is_left_alone(tmp_path):
    with written_whole(tmp_path / "a.csv") as first:
        first.write_text("first")
        with written_whole(tmp_path / "a.csv") as second:
            second.write_text("second")
        assert first.exists()
    assert (tmp_path / "a.csv").read_text() == "first", "who comes last counts, and is whole"
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(("age", "left"), [(60, 1), (3 * 86400, 0)])
def test_a_writer_on_another_machine_is_dead_after_a_day(tmp_path, age, left):
    odd = tmp_path / ".a.0123abcd-1.k3j_x8a1.csv"
    odd.touch()
    os.utime(odd, (time.time() - age,) * 2)
    with written_whole(tmp_path / "a.csv") as part:
        part.touch()
    assert odd.exists() == bool(left)


# ------------------------------------------------------------------ nothing is unpickled

MODULES = {"pickle", "_pickle", "cPickle", "joblib", "cloudpickle", "dill", "shelve", "marshal", "jsonpickle"}
CALLS = {"eval", "exec", "torch.load", "torch.jit.load", "torch.package", "pd.read_pickle", "yaml.load", "fabric.load"}
READS_PICKLES_AS_DATA = "sparsevq/readers/safe_pickle.py"
"""It goes through a pickle's instructions without carrying out any that names code (its own tests say so)."""


def loads_code(tree: ast.AST) -> list[str]:
    """What in a module may run code that a file holds."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names if alias.name.split(".")[0] in MODULES]
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in MODULES:
            found.append(str(node.module))
        elif isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            pickles = [ast.unparse(key.value) for key in node.keywords if key.arg == "allow_pickle"]
            if name in CALLS or any(value != "False" for value in pickles):
                found.append(ast.unparse(node))
    return found


def test_the_search_finds_what_runs_code():
    for line in (
        "import pickle",
        "from joblib import load",
        "torch.load(path, weights_only=False)",
        "np.load(path, allow_pickle=True)",
        "yaml.load(text)",
        "eval(text)",
    ):
        assert loads_code(ast.parse(line)), line
    assert not loads_code(
        ast.parse("np.load(path)\nyaml.safe_load(text)\nmodel.eval()\nnp.load(p, allow_pickle=False)")
    )


def test_nothing_is_unpickled():
    root = PACKAGE.parent
    places = [*PACKAGE.rglob("*.py"), *(root / "workflow").rglob("*.py")]
    found = {str(path.relative_to(root)): loads_code(ast.parse(path.read_text())) for path in places}
    assert {name: lines for name, lines in found.items() if lines} == {READS_PICKLES_AS_DATA: ["pickle"]}
