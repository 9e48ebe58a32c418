"""Damaged and odd inputs of all kinds: read right, or refused in one line (some of `benchmarks/fuzz_readers.py`)."""

import contextlib
import io
import shutil
import warnings

import pytest
from fuzzing import workers
from fuzzing.attempt import recorded_advice
from fuzzing.damage import good_files

SEED = 12


@pytest.fixture(scope="module")
def pristine(tmp_path_factory):
    return good_files(tmp_path_factory.mktemp("good") / "files")


@pytest.mark.parametrize("first", range(0, 900, 300))
def test_inputs_are_read_right_or_refused_in_one_line(tmp_path, monkeypatch, pristine, first):
    monkeypatch.chdir(tmp_path)
    outcome = workers.Outcome()
    silent = io.StringIO()
    with recorded_advice(), contextlib.redirect_stdout(silent), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for number in range(first, first + 300):
            folder = tmp_path / str(number)
            folder.mkdir()
            workers.judged(workers.attempt_of(SEED, number, folder, pristine), number, folder, outcome)
            shutil.rmtree(folder)
    assert not outcome.faults, "\n".join(f"input {each.number}, {each.kind}: {each.what}" for each in outcome.faults)
    results = {result for _, result in outcome.counts}
    assert results == {"right", "read", "refused"}


def test_an_input_depends_on_its_number_alone(tmp_path, pristine):
    def files(folder, number):
        folder.mkdir()
        kind = workers.attempt_of(SEED, number, folder, pristine).kind
        return kind, {
            path.name: path.read_bytes()
            for path in folder.rglob("*")
            if path.suffix in (".csv", ".npy", ".zarr") and path.is_file()
        }

    assert [files(tmp_path / f"a{n}", n) for n in range(20)] == [files(tmp_path / f"b{n}", n) for n in range(20)]
