"""What MLflow is told of data sets."""

import json

import numpy as np

from sparsevq.data.layout import read_domain, write_data
from sparsevq.runs.data_sets import data_sets
from tests.flows import travelling_waves


def test_each_split_says_what_is_in_it(tmp_path):
    path = tmp_path / "data.h5"
    write_data(path, travelling_waves(trajectories=6, frames=12, grid=(8, 4)))
    data = read_domain(path)
    found = {entry["context"]: entry for entry in data_sets(data, path, "train", "val", "test", "ood")}
    assert set(found) == {{"val": "validation"}.get(split, split) for split in np.unique(data.split)}
    train = found["train"]
    assert train["name"] == f"{data.name} train"
    assert data.digest.startswith(train["digest"])
    assert json.loads(train["source"]) == {"uri": str(path)}
    profile = json.loads(train["profile"])
    assert profile["trajectories"] == len(data.trajectories("train"))
    assert (profile["frames_each"], profile["grid"], profile["sha256"]) == (12, "8 x 4", data.digest)
    assert [column["name"] for column in json.loads(train["schema"])["mlflow_colspec"]] == list(data.channels)
