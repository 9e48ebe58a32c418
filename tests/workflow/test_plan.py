"""What the workflow would run, and for which configuration: dry runs, which take seconds."""

import time
import tomllib
from pathlib import Path

import pytest
import yaml

from sparsevq.config import load
from sparsevq.config.variants import own_files

from .conftest import REPOSITORY

CONFIGURATIONS = sorted([*(REPOSITORY / "config").rglob("*.yaml"), REPOSITORY / "tests/config/miniature.yaml"])
TRAINING = (
    "semi_sparse",
    "sparse",
    "tokenizer",
    "codes",
    "gpt",
    "calibrate",
    "forecast",
    "baselines",
    "robustness",
    "robustness_forecast",
    "evaluate",
    "example",
    "explore",
)
RUN = "results/quickstart/cylinder/n20/seed1"


@pytest.mark.parametrize("path", CONFIGURATIONS, ids=lambda path: path.stem)
def test_each_configuration_can_be_planned_in_seconds(snakemake, path, tmp_path):
    config = load(path)
    for data_set in config.files.values():  # what users bring: here an empty file, or a folder
        brought = tmp_path / str(data_set.path).replace("*", "0")
        (brought.parent if brought.suffix else brought).mkdir(parents=True)
        if brought.suffix:
            brought.touch()
    since = time.monotonic()
    plan = snakemake("--dry-run", "--configfile", str(path))
    assert plan.status == 0, plan.output
    assert time.monotonic() - since < 20
    runs = len(config.data_sets) * len(config.num_sensors) * len(config.seeds)
    variants = {
        rule: sum(rule in own_files(config, config.of_variant(name), "") for name in config.variants)
        for rule in TRAINING
    } | dict.fromkeys(("forecast", "baselines", "evaluate"), len(config.variants))
    assert {rule: plan.jobs[rule] for rule in TRAINING} == {rule: runs * (1 + variants[rule]) for rule in TRAINING}
    assert plan.jobs.get("ablations", 0) == bool(config.variants)
    simulated = [config.data_set(name) for name in config.data_sets if name not in config.files]
    assert plan.jobs.get("simulate", 0) == sum(data_set.shards for data_set in simulated)
    assert plan.jobs["preprocess"] == plan.jobs["basis"] == plan.jobs["describe_data"] == len(config.data_sets)
    assert plan.jobs["tables"] == plan.jobs["report"] == 1


def test_without_a_configuration_file_the_default_experiment_is_run(snakemake):
    plan = snakemake("--dry-run", "--config", "seeds=[7,8]", "num_sensors=[20,50]", "stage3={lr: 0.1}")
    assert plan.status == 0, plan.output
    assert plan.jobs["gpt"] == 4
    assert "results/default/cylinder/n50/seed8/gpt/model.safetensors" in plan.output


def test_several_placements_are_a_sweep_on_one_data_set(snakemake):
    sweep = ("placements=[random,qr,variance]", "seeds=[7,8]", "num_sensors=[20]", "stage1={noise: 0.1}")
    plan = snakemake("--dry-run", "--config", *sweep)
    assert plan.status == 0, plan.output
    assert {rule: plan.jobs[rule] for rule in TRAINING} == dict.fromkeys(TRAINING, 6)
    assert plan.jobs["preprocess"] == plan.jobs["basis"] == plan.jobs["describe_data"] == plan.jobs["tables"] == 1
    for run in ("n20-random/seed7", "n20-qr/seed8", "n20-variance/seed8"):
        assert f"results/default/cylinder/{run}/gpt/model.safetensors" in plan.output
    assert "tables/placements.csv" in plan.output
    for placement, needed in {"random": False, "qr": True, "variance": True}.items():
        reason = plan.output.partition(f"placing 20-{placement} sensors, seed 7")[2].split("\n")[1]
        assert ("basis.h5" in reason) == needed, reason


def test_baselines_that_are_parts_of_sparsevq_wait_for_it(snakemake, tmp_path):
    """The Transformers without codes for the index dump, the first guess for the GPT too; the others for neither."""
    config = yaml.safe_load((REPOSITORY / "config/quickstart.yaml").read_text())
    config["evaluation"] = {"baselines": ["outlook", "continuous", "continuous_frames", "senseiver"]}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    plan = snakemake("--dry-run", "--configfile", str(tmp_path / "config.yaml"))
    assert plan.status == 0, plan.output
    assert (plan.jobs["baseline_continuous"], plan.jobs["baseline_network"]) == (2, 1)

    def inputs(said: str) -> set[str]:
        reason = plan.output.partition(f"seed 1: {said}\n")[2].partition("\n")[0]
        return set(reason.partition("updated by another job: ")[2].split(", "))

    for name in ("continuous", "continuous_frames"):
        assert inputs(f"training the baseline {name}") == {f"{RUN}/codes.h5"}
    assert f"{RUN}/sensors.h5" in inputs("training the baseline senseiver")
    assert f"{RUN}/codes.h5" not in inputs("training the baseline senseiver")
    of_all = inputs("forecasting by the baselines")
    wanted = ("codes.h5", "gpt/model.safetensors", "baselines/continuous/model.safetensors")
    assert {f"{RUN}/{part}" for part in wanted} <= of_all


def test_variants_share_what_their_changes_have_no_part_in(snakemake):
    sweep = ("placements=[random,qr]", "seeds=[7]", "num_sensors=[20]")
    variants = "variants={ahead: {stage3: {prediction: next_token}}, plain: {stage2: {quantizer: vq}}}"
    plan = snakemake("--dry-run", "--config", *sweep, variants)
    assert plan.status == 0, plan.output
    once = ("sensors", "semi_sparse", "sparse", "robustness", "example", "explore")
    assert {rule: plan.jobs[rule] for rule in once} == dict.fromkeys(once, 2)
    assert (plan.jobs["tokenizer"], plan.jobs["codes"], plan.jobs["gpt"]) == (4, 4, 6)
    assert (plan.jobs["forecast"], plan.jobs["evaluate"], plan.jobs["ablations"]) == (6, 6, 1)
    for needed in (
        "n20-qr+ahead/seed7/gpt/model.safetensors",
        "n20-random+plain/seed7/tokenizer/model.safetensors",
        "tables/ablations.csv",
    ):
        assert needed in plan.output
    of_gpt = plan.output.partition("20-qr+ahead sensors, seed 7: stage 3")[2].split("\n")[1]
    assert "cylinder/n20-qr/seed7/codes.h5" in of_gpt, "the base run's"


def test_a_correction_of_the_first_guess_needs_the_data_set_and_its_basis(snakemake):
    """And nothing else does: of a dump alone a GPT can be trained."""
    guess = "stage3={first_guess: regression, refine_steps: 10}"
    grouped = ("stage1={modes: 16}", "stage2={tokenizer: groups, num_quantizers: 2}", "seeds=[7]")
    for more, there in (((), False), ((guess, *grouped), True)):
        plan = snakemake("--dry-run", *(("--config", *more) if more else ()))
        assert plan.status == 0, plan.output
        of_gpt = plan.output.partition("stage 3, GPT")[2].split("\n")[1]
        assert ("cylinder/basis.h5" in of_gpt and "cylinder/data.h5" in of_gpt) == there, of_gpt


def test_without_curves_there_is_no_robustness_of_forecasts(snakemake):
    plan = snakemake("--dry-run", "--config", "robustness={curves: []}", "seeds=[7]")
    assert plan.status == 0, plan.output
    assert "robustness" in plan.jobs, "of reconstructions"
    assert "robustness_forecast" not in plan.output
    assert plan.jobs["tables"] == 1


def test_one_placement_has_the_folders_that_it_always_had(snakemake):
    plan = snakemake("--dry-run", "--config", "sensors={placement: variance}", "seeds=[7]")
    assert plan.status == 0, plan.output
    assert "results/default/cylinder/n20/seed7/sensors.h5" in plan.output
    assert "placements" not in plan.output


def test_a_configuration_file_stands_for_itself(snakemake, tmp_path):
    """What config.yaml says must not leak into a preset: `sparsevq.config.load` would see another experiment."""
    path = tmp_path / "mine.yaml"
    path.write_text("experiment: mine\n")
    plan = snakemake("--dry-run", "--configfile", str(path))
    assert plan.status == 0, plan.output
    assert plan.jobs["gpt"] == 1, "one seed by default"
    assert "seed123" in plan.output


def test_warm_start_makes_the_sparse_encoder_wait_for_the_semi_sparse_one(snakemake):
    def needs(warm_start: str) -> bool:
        stage1 = f"stage1={{modes: 0, warm_start: {warm_start}}}"
        papers = (stage1, "stage2={tokenizer: attention}", "stage3={first_guess: none}")
        plan = snakemake("--dry-run", "--config", *papers, "seeds=[1]", "--until", "sparse")
        assert plan.status == 0, plan.output
        return "semi_sparse" in plan.jobs

    assert needs("true")
    assert not needs("false")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("sedes=1", "sedes=1 is not a known key: write seeds"),
        ("stage3={lr: -1}", "stage3.lr='-1' is not allowed: write a number above 0"),
        ("stage1={num_layer: 3}", "stage1.num_layer='3' is not a known key"),
        ("num_sensors=[]", "num_sensors"),
        ("forecast={horizon: 0}", "forecast.horizon='0' is not allowed"),
    ],
)
def test_a_wrong_configuration_is_named_before_anything_runs(snakemake, tmp_path, change, message):
    plan = snakemake("--config", change)
    assert plan.status != 0
    assert message in plan.output
    assert "Traceback" not in plan.output
    assert not (tmp_path / "results").exists()


def test_a_key_that_stands_twice_is_named(snakemake, tmp_path):
    """Snakemake takes the last of them."""
    path = tmp_path / "mine.yaml"
    path.write_text("experiment: mine\nseeds: [1]\nseeds: [2]\n")
    plan = snakemake("--dry-run", "--configfile", str(path))
    assert plan.status != 0
    assert "mine.yaml, line 3: the key seeds stands on line 2 already: keep one of them." in plan.output
    assert "Traceback" not in plan.output


def test_conda_users_get_the_same_environment():
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    wanted = yaml.safe_load((REPOSITORY / "environment.yml").read_text())["dependencies"]
    (pip,) = [entry["pip"] for entry in wanted if isinstance(entry, dict)]
    assert pip == [line for line in (REPOSITORY / "requirements.lock").read_text().splitlines() if "==" in line]
    assert f"python {project['requires-python']}" in wanted


def test_the_pins_satisfy_what_the_package_asks_for():
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    pins = {}
    locks = ("requirements.lock", "requirements-networks.lock", "requirements-test.lock", "requirements-docs.lock")
    for name in locks:
        for line in (REPOSITORY / name).read_text().splitlines():
            if "==" in line:
                package, version = line.split("==")
                assert "+" not in version, "a local version exists on one index alone"
                pins[canonicalize_name(package)] = version
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    for text in [
        *project["dependencies"],
        *(line for extra in project["optional-dependencies"].values() for line in extra),
    ]:
        requirement = Requirement(text)
        assert pins[canonicalize_name(requirement.name)] in requirement.specifier, text


def test_no_rule_forgets_its_log_benchmark_resources_and_message():
    from snakemake.api import ResourceSettings, SnakemakeApi
    from snakemake.settings.types import ConfigSettings, OutputSettings

    with SnakemakeApi(OutputSettings(verbose=False)) as api:
        workflow = api.workflow(
            resource_settings=ResourceSettings(cores=1),
            config_settings=ConfigSettings(),
            snakefile=REPOSITORY / "Snakefile",
        )._workflow
        rules = [rule for rule in workflow.rules if rule.output]  # others are names for what they ask for
    assert {"simulate", "preprocess", "basis", "describe_data", *TRAINING, "tables"} <= {rule.name for rule in rules}
    for rule in rules:
        assert rule.log, rule.name
        assert rule.benchmark, rule.name
        assert rule.message, rule.name
        assert {"gpu", "mem_mb", "runtime"} <= rule.resources.keys(), rule.name
        assert "version" in rule.params.keys(), rule.name  # noqa: SIM118 (not a dict)


def test_scripts_hold_no_logic_of_their_own():
    for path in (REPOSITORY / "workflow/scripts").glob("*.py"):
        lines = Path(path).read_text().splitlines()
        assert len(lines) < 50, f"{path.name}: move the logic into the package"
