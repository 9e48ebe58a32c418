"""`sparsevq pack`."""

from sparsevq.cli.main import main


def test_a_run_is_packed_and_forecasts(guessing, tmp_path, capsys):
    assert main(["pack", str(guessing.folder), "-o", str(tmp_path / "packed")]) == 0
    assert f"packed as {tmp_path / 'packed'}: " in capsys.readouterr().out
    assert not (tmp_path / "packed/data.h5").exists()
    assert main(["pack", str(guessing.folder), "-o", str(tmp_path / "packed")]) == 1
    assert "is there already" in capsys.readouterr().err


def test_a_run_is_packed_as_a_model_of_mlflow(guessing, tmp_path, monkeypatch, capsys):
    arguments = ["pack", str(guessing.folder), "-o", str(tmp_path / "model"), "--mlflow"]
    assert main(arguments) == 0
    assert (tmp_path / "model/MLmodel").is_file()
    monkeypatch.setattr("sparsevq.cli.pack.find_spec", lambda name: None)
    assert main(arguments) == 1
    assert "mlflow is not installed: pip install" in capsys.readouterr().err
