"""The folder of a variant's run lacks what it shares with the base run."""

import shutil

import pytest

from sparsevq.errors import SparseVQError
from sparsevq.runs.run import Run


@pytest.fixture
def runs(tmp_path):
    """Folders of a base run, which has every file, and of a variant with a tokenizer and what follows."""
    base, variant = tmp_path / "waves/n20-qr/seed1", tmp_path / "waves/n20-qr+wide/seed1"
    for folder, names in ((base, "sensors.h5 sparse/model.safetensors"), (variant, "calibration.h5")):
        for name in (*names.split(), "tokenizer/model.safetensors", "codes.h5"):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(folder.parent.name)
    (base / "calibration.h5").write_text("")
    (base.parent.parent / "data.h5").write_text("")
    return Run(base), Run(variant)


def test_shared_files_are_the_base_runs(runs, tmp_path):
    base, variant = runs
    assert variant.file("sensors") == base.file("sensors")
    assert variant.file("sparse") == base.file("sparse")
    assert variant.has("sparse")
    for name in ("tokenizer", "codes", "calibration"):
        assert variant.file(name).is_relative_to(variant.path), name
    assert variant.file("data") == base.file("data") == tmp_path / "waves/data.h5"
    assert not variant.has("forecast"), "forecasts are its own"


def test_a_variant_that_is_not_finished_has_none_of_the_base_runs_models(runs):
    """Its GPT may be to come: that of the base run is another model."""
    _, variant = runs
    (variant.path / "calibration.h5").unlink()
    assert not variant.has("sparse")
    with pytest.raises(SparseVQError, match=r"n20-qr\+wide/seed1 has no sparse/model\.safetensors"):
        variant.needs("sparse")


def test_other_folders_have_their_own_files_alone(runs, tmp_path):
    shutil.copytree(runs[1].path.parent, tmp_path / "waves/mine+wide")
    assert not Run(tmp_path / "waves/mine+wide/seed1").has("sparse")
