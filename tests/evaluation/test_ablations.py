"""Variants beside the base run: arithmetic by hand."""

import json

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import save_file

from sparsevq.errors import SparseVQError
from sparsevq.evaluation.ablations import EvaluatedRun, ablations, tabulate_ablations
from sparsevq.evaluation.labels import method_style

SHARES = {3: 0.8, 4: 1.0, 5: 1.2}
"""Trajectory -> how many times the error of the mean it has."""
SHAPE = {"tokens_per_frame": 8, "quantizer": "rvq", "num_quantizers": 4, "num_vq_embeddings": 256}


def model(path, numbers, seconds, shape=None):
    """A model file that keeps so many numbers, and the benchmark of the job that made it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(
        {"weight": np.zeros(numbers, np.float32)}, path, {"sparsevq": json.dumps({"shape": shape or {}, "extra": {}})}
    )
    benchmark = path.parent.parent / f"benchmarks/{path.parent.name}.tsv"
    benchmark.parent.mkdir(exist_ok=True)
    benchmark.write_text(f"s\th:m:s\n{seconds}\t0:00:00\n")
    return path


def run(folder, factor, variant="", seed=1, shape=SHAPE, shared=None, starts=(0,), controls=()):
    """A run whose errors are `factor` times those of the base run; `shared`: models of another run."""
    folder = folder / f"{variant or 'base'}{seed}"
    who = {"data_set": "waves", "num_sensors": 20, **({"variant": variant} if variant else {}), "seed": seed}
    who["observed_frames"] = 1
    methods = {"sparsevq": factor, "sparsevq_member": 2 * factor, "ridge": 1.5, **dict(controls)}
    metrics = {"relative_l2": 0.1, "relative_l2_anomalies": 0.3, "vrmse": 0.2, "crps": 0.01}
    cases = [
        {**who, "method": method, "case": case, "trajectory": trajectory, "start_frame": start, "lead_time": lead,
         **{name: share * lead * error * value for name, value in metrics.items()}}
        for method, error in methods.items()
        for case, (trajectory, share) in enumerate(SHARES.items())
        for start in starts
        for lead in (0, 1, 3)
    ]  # fmt: skip
    scores = [
        {**who, "method": method, "channel": "all", "lead_time": lead, "metric": name, "value": lead * error * value}
        for method, error in methods.items()
        for name, value in metrics.items()
        for lead in (0, 1, 3)
    ]
    chain = [
        {**who, "link": link, "channel": "all", "lead_time": 1, "metric": "relative_l2", "value": value * factor}
        for link, value in {"sparse_reconstruction": 0.07, "quantized_reconstruction": 0.08}.items()
    ]
    calibration = [
        {**who, "method": "sparsevq", "channel": "all", "lead_time": 1, "quantity": "spread_skill_ratio", "rank": 0,
         "value": 0.9}
    ]  # fmt: skip
    tables = {}
    for name, rows in {"scores": scores, "cases": cases, "chain": chain, "calibration": calibration}.items():
        tables[name] = folder / f"{name}.csv"
        tables[name].parent.mkdir(parents=True, exist_ok=True)
        pd.DataFrame(rows).to_csv(tables[name], index=False)
    models = dict(shared or {})
    for part, numbers in {"semi_sparse": 10, "sparse": 20, "tokenizer": 30, "gpt": 40}.items():
        if part not in models:
            models[part] = model(folder / part / "model.safetensors", numbers, numbers / 10, shape)
    return EvaluatedRun(tables, models)


def test_a_variant_has_its_errors_its_costs_and_its_difference_to_the_base_run(tmp_path):
    base = run(tmp_path, 1.0)
    shared = {part: base.models[part] for part in ("semi_sparse", "sparse", "tokenizer")}
    table, differences = ablations([base, run(tmp_path, 1.2, "greedy", shared=shared)])
    table = table.set_index("variant")
    assert list(table.index) == ["base", "greedy"]
    # leads 1 and 3: mean 2
    assert table.loc["base", "relative_l2_anomalies"] == pytest.approx(0.6)
    assert table.loc["greedy", "relative_l2_anomalies"] == pytest.approx(0.72)
    assert table.loc["greedy", "crps"] == pytest.approx(0.024)
    assert table.loc["greedy", "spread_skill_ratio"] == pytest.approx(0.9)
    assert table.loc["greedy", "quantized_reconstruction"] == pytest.approx(0.096)
    assert list(table["bits"]) == [256, 256]
    assert list(table["parameters"]) == [100, 100]
    assert list(table["training_seconds"]) == [10, 10], "shared models were trained for it, too"
    (difference,) = differences.to_dict("records")
    assert difference["difference_anomalies"] == pytest.approx(0.12)
    # each trajectory's own difference: 0.8, 1 or 1.2 times the mean
    assert difference["difference_anomalies_low"] == pytest.approx(0.8 * 0.12)
    assert difference["difference_anomalies_high"] == pytest.approx(1.2 * 0.12)


def test_other_tokenizers_have_other_bits(tmp_path):
    plain = SHAPE | {"quantizer": "vq", "tokens_per_frame": 16}
    fine = SHAPE | {"quantizer": "fsq", "num_vq_embeddings": 1024}
    runs = [run(tmp_path, 1.0), run(tmp_path, 1.0, "plain", shape=plain), run(tmp_path, 1.0, "fine", shape=fine)]
    assert list(ablations(runs)[0]["bits"]) == [256, 128, 80], "levels count for residual codes alone"


def test_errors_are_compared_on_the_cases_that_both_have(tmp_path):
    """With other starts the errors of a variant differ, those that the base run has, too, do not."""
    other = run(tmp_path, 1.0, "later", starts=(0, 5))
    path = other.tables["cases"]
    cases = pd.read_csv(path)
    cases.loc[cases["start_frame"] == 5, "relative_l2_anomalies"] *= 7
    cases.to_csv(path, index=False)
    _, differences = ablations([run(tmp_path, 1.0), other])
    assert differences["difference_anomalies"].to_numpy() == pytest.approx([0.0])


def test_controls_of_the_base_run_stand_beside_its_variants(tmp_path):
    table, differences = ablations([run(tmp_path, 1.0, controls={"continuous": 1.1}), run(tmp_path, 1.2, "greedy")])
    label = method_style("continuous").label
    assert list(table["variant"]) == ["base", "greedy", label]
    assert table["relative_l2_anomalies"].iloc[2] == pytest.approx(0.66)
    assert np.isnan(table["bits"].iloc[2])
    found = differences.set_index("variant")["difference_crps"]
    assert found[label] == pytest.approx(0.002)


def test_what_people_read_marks_differences_that_are_sure(tmp_path):
    runs = [run(tmp_path, 1.0 + seed / 10, seed=seed) for seed in (0, 2)]
    runs += [run(tmp_path, factor * (1 + seed / 10), name, seed)
             for name, factor in (("worse", 1.2), ("same", 1.0)) for seed in (0, 2)]  # fmt: skip
    tabulate_ablations(runs, tmp_path / "out")
    lines = (tmp_path / "out/ablations.md").read_text().splitlines()
    assert lines[0] == "### waves, 20 sensors, 2 seeds"
    assert lines[2].startswith("| variant | bits a frame | error of anomalies | anomalies, to base | CRPS | CRPS, to")
    assert lines[4].startswith("| base | 256 | 0.660 ± 0.085 |  | 0.0220 ± 0.0028 |  | 0.900 ± 0.000 |")
    assert lines[5].startswith("| worse | 256 | 0.792 ± 0.102 | **+0.132 (+0.106 to +0.158)** |")
    assert lines[6].startswith("| same | 256 | 0.660 ± 0.085 | +0.00 (+0.00 to +0.00) |"), "0 is not sure to differ"
    latex = (tmp_path / "out/ablations.tex").read_text()
    assert r"\textbf{+0.132 (+0.106 to +0.158)}" in latex
    table = pd.read_csv(tmp_path / "out/ablations.csv").set_index("variant")
    assert table.loc["worse", "seeds"] == 2
    assert table.loc["worse", "difference_anomalies"] == pytest.approx(0.132)
    assert table.loc["base", "parameters_mean"] == 100


def test_what_is_missing_is_named(tmp_path):
    base, other = run(tmp_path, 1.0), run(tmp_path, 1.2, "greedy")
    with pytest.raises(SparseVQError, match="there is no base run to compare variants with"):
        ablations([other])
    other.models["gpt"].write_bytes(b"nothing")
    with pytest.raises(SparseVQError, match=r"gpt/model\.safetensors is not a readable model file"):
        ablations([base, other])
    other.models["tokenizer"].unlink()
    with pytest.raises(SparseVQError, match=r"tokenizer/model\.safetensors is not a readable model file"):
        ablations([base, other])
    (base.models["tokenizer"].parent.parent / "benchmarks/gpt.tsv").unlink()
    assert np.isnan(ablations([base])[0]["training_seconds"].iloc[0])
