"""`sparsevq pack`."""

from sparsevq.cli.main import main


def test_a_run_is_packed_and_forecasts(guessing, tmp_path, capsys):
    assert main(["pack", str(guessing.folder), "-o", str(tmp_path / "packed")]) == 0
    assert f"packed as {tmp_path / 'packed'}: " in capsys.readouterr().out
    assert not (tmp_path / "packed/data.h5").exists()
    assert main(["pack", str(guessing.folder), "-o", str(tmp_path / "packed")]) == 1
    assert "is there already" in capsys.readouterr().err
