"""A real file that nobody here wrote, with the configuration that is suggested for it, to the table."""

import contextlib
import importlib.util
import shutil
from pathlib import Path

import pandas as pd
import pytest

from sparsevq.cli.main import main
from tests.workflow.conftest import logs


def test_what_is_suggested_for_a_real_file_gives_a_table(snakemake, tmp_path, capsys):
    """65 winters of geopotential height, examples of the package eofs."""
    found = importlib.util.find_spec("eofs")
    if found is None or found.origin is None:
        pytest.skip("eofs carries hgt_djf.nc")
    shutil.copy(Path(found.origin).parent / "examples" / "example_data" / "hgt_djf.nc", tmp_path / "hgt.nc")
    capsys.readouterr()
    with contextlib.chdir(tmp_path):
        main(["data", "describe", "hgt.nc"])
    (tmp_path / "mine.yaml").write_text(capsys.readouterr().out.partition("suggested configuration\n")[2])
    ended = snakemake("--configfile", str(tmp_path / "mine.yaml"))
    assert ended.status == 0, ended.output + logs(tmp_path)
    assert "validations not counted" in ended.output or "step 10/100" in ended.output
    scores = pd.read_csv(tmp_path / "results/hgt/tables/forecast.csv")
    error = scores.query("metric == 'relative_l2' and channel == 'all' and lead_time > 0").groupby("method")["value"]
    assert error.mean().max() < 0.05, "of a height of 5500 m"
