"""Digests of large files are computed once, and never reused for a file that has changed."""

import hashlib
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sparsevq.runtime import files
from sparsevq.runtime.files import DIGEST, digest, folder_beside

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="extended attributes are Linux's")

AN_HOUR_AGO = time.time() - 3600


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that counts as large and has not changed for an hour."""
    monkeypatch.setattr(files, "LARGE", 4)
    path = tmp_path / "data.h5"
    path.write_bytes(b"fields")
    try:
        os.setxattr(path, "user.test", b"1")
    except OSError:
        pytest.skip("this file system has no extended attributes")
    os.utime(path, (AN_HOUR_AGO, AN_HOUR_AGO))
    return path


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was digested so far."""
    done: list[str] = []
    compute = hashlib.file_digest
    monkeypatch.setattr(hashlib, "file_digest", lambda file, name: done.append(file.name) or compute(file, name))
    return done


def test_a_large_file_is_digested_once(path, computed):
    assert digest(path) == digest(path) == hashlib.sha256(b"fields").hexdigest()
    assert len(computed) == 1
    moved = path.rename(path.with_name("moved.h5"))
    assert digest(moved) == hashlib.sha256(b"fields").hexdigest()
    assert len(computed) == 1
    assert moved.stat().st_mtime == pytest.approx(AN_HOUR_AGO)  # nothing reruns because of it


def test_a_changed_file_has_a_new_digest(path):
    digest(path)
    path.write_bytes(b"fieldz")  # as long as before
    assert digest(path) == hashlib.sha256(b"fieldz").hexdigest()


def test_a_file_put_in_its_place_has_a_new_digest(path):
    """Even if it has the time and the attributes of the first, as backups are restored."""
    digest(path)
    other = path.with_name("other.h5")
    shutil.copy2(path, other)
    assert DIGEST in os.listxattr(other)
    other.write_bytes(b"fieldz")
    os.utime(other, ns=(path.stat().st_mtime_ns,) * 2)
    other.replace(path)
    assert digest(path) == hashlib.sha256(b"fieldz").hexdigest()


@pytest.mark.parametrize(("fraction", "limit"), [(500_000_000, "SETTLED"), (0, "SETTLED_COARSE")])
def test_a_file_that_may_still_be_changing_is_digested_again(path, computed, monkeypatch, fraction, limit):
    """Where times are whole seconds, for longer: a later change may have the same."""
    monkeypatch.setattr(files, "SETTLED", 60.0)
    monkeypatch.setattr(files, "SETTLED_COARSE", 60.0)
    os.utime(path, ns=(int(AN_HOUR_AGO) * 10**9 + fraction,) * 2)
    monkeypatch.setattr(files, limit, 7200.0)
    digest(path)
    digest(path)
    assert len(computed) == 2
    monkeypatch.setattr(files, limit, 60.0)
    digest(path)
    digest(path)
    assert len(computed) == 3


def test_a_folder_is_what_its_files_are_and_are_called(path):
    """Zarr stores are folders."""
    folder = path.parent
    (folder / "a").mkdir()
    first = digest(folder)
    assert digest(folder) == first  # empty folders are nothing
    (folder / "a/b").write_bytes(b"1")
    second = digest(folder)
    (folder / "a/b").rename(folder / "a/c")
    third = digest(folder)
    (folder / "a/c").write_bytes(b"2")
    assert len({first, second, third, digest(folder)}) == 4


def test_damaged_notes_and_small_files(path, computed, monkeypatch):
    for note in (b"", b"\xff", b"0" * 64, b"short " + f"{path.stat().st_ino} 6 {path.stat().st_mtime_ns}".encode()):
        os.setxattr(path, DIGEST, note)
        assert digest(path) == hashlib.sha256(b"fields").hexdigest()
        os.removexattr(path, DIGEST)
    monkeypatch.setattr(files, "LARGE", 7)
    digest(path)
    assert DIGEST not in os.listxattr(path)


def test_folders_that_killed_writers_left_are_removed(tmp_path):
    """Of models, which are large: a job that is killed cannot remove its own."""
    program = f"""
import os, signal
from sparsevq.runtime.files import folder_beside

with folder_beside({str(tmp_path / "model")!r}) as folder:
    (folder / "weights").write_text("large")
    os.kill(os.getpid(), signal.SIGKILL)
"""
    subprocess.run([sys.executable, "-c", program], check=False)
    (left,) = tmp_path.iterdir()
    assert (left / "weights").exists()
    with folder_beside(tmp_path / "model") as folder:
        assert list(tmp_path.iterdir()) == [folder]
    assert not list(tmp_path.iterdir())
