"""What each method took: counted in the models, read from the jobs' notes, tabulated by setting."""

import numpy as np
import pandas as pd
import pytest
from torch import nn

from sparsevq.baselines.cost import Cost
from sparsevq.errors import SparseVQError
from sparsevq.evaluation.costs import cost_of_parts, costs_markdown, write_costs
from sparsevq.evaluation.table_files import identity_of
from sparsevq.runtime.model_file import save_model


def part(run, name, inputs, **extra):
    path = run / name / "model.safetensors"
    path.parent.mkdir(parents=True)
    save_model(path, nn.Linear(inputs, 2), name, shape={}, settings={}, made_from={}, extra=extra)
    return path


def test_sparsevq_takes_what_its_parts_take(tmp_path):
    models = [part(tmp_path, "sparse", 3, steps=0, device="cpu"), part(tmp_path, "gpt", 4, steps=7, device="cpu")]
    (tmp_path / "benchmarks").mkdir()
    for name, seconds in (("sparse", 1.5), ("gpt", 2.0)):
        (tmp_path / f"benchmarks/{name}.tsv").write_text(f"s\th:m:s\n{seconds}\t0:00:01\n")
    assert cost_of_parts(models) == Cost(2 * 3 + 2 + 2 * 4 + 2, 3.5, 7, "cpu")
    (tmp_path / "benchmarks/gpt.tsv").unlink()
    assert np.isnan(cost_of_parts(models).seconds)
    models[0].write_bytes(b"no model")
    with pytest.raises(SparseVQError, match="is not a readable model file"):
        cost_of_parts(models)


def test_the_table_has_a_row_for_each_method_in_the_usual_order(tmp_path):
    costs = {"sparsevq": Cost(20_000, float("nan"), 0, ""), "fno": Cost(1000, 50, 4, "cuda:0"), "ridge": Cost(30, 0.25)}
    for seed in (1, 2):
        write_costs(tmp_path / f"{seed}.csv", identity_of("waves", 8, "", seed), costs)
    table = pd.concat([pd.read_csv(tmp_path / f"{seed}.csv") for seed in (2, 1)])
    text = costs_markdown(table)
    assert text.startswith("### waves, 8 sensors\n")
    assert text.splitlines()[4:] == [
        "| sparsevq (ensemble mean) | 20,000 |  |  |  |",
        "| ridge regression | 30 | 0.25 |  | cpu |",
        "| FNO rollout | 1,000 | 50 | 4 | cuda:0 |",
    ]
