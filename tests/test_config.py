"""The configuration: what ships is valid, and a fault names the key, the value and what is allowed."""

from pathlib import Path

import pytest
import yaml

from sparsevq.config import (
    Config,
    Section,
    Stage1Config,
    Stage3Config,
    load,
    number_and_placement,
    parse,
    variant_of,
)
from sparsevq.config.variants import own_files
from sparsevq.errors import SparseVQError

REPOSITORY = Path(__file__).parents[1]
SHIPPED = sorted(
    path.relative_to(REPOSITORY).as_posix()
    for folder in ("config", "config/presets", "tests/config")
    for path in (REPOSITORY / folder).glob("*.yaml")
)


@pytest.mark.parametrize("name", SHIPPED)
def test_what_ships_is_valid(name):
    config = load(REPOSITORY / name)
    assert config.experiment != "default" or name == "config/config.yaml"


def test_all_that_ships_is_looked_at():
    assert {"config/config.yaml", "config/presets/paper.yaml", "tests/config/miniature.yaml"} < set(SHIPPED)


def test_the_papers_preset_has_the_papers_shapes():
    paper = load(REPOSITORY / "config/presets/paper.yaml")
    assert (paper.stage1.num_latents, paper.stage1.enc_num_latent_channels, paper.stage1.num_layers) == (256, 48, 6)
    assert (paper.stage2.tokenizer, paper.stage2.quantizer, paper.stage2.tokens_per_frame) == ("conv", "vq", 16)
    assert (paper.stage2.num_vq_embeddings, paper.stage2.vq_embedding_dim) == (256, 512)
    assert (paper.stage3.prediction, paper.stage3.time_transformer_layers) == ("next_token", 12)
    assert paper.stage3.stage2_frames == 21


def sections(section=Config, prefix=""):
    for name, field in section.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section):
            yield from sections(field.annotation, f"{prefix}{name}.")
        else:
            yield prefix + name, field


def test_every_parameter_says_what_it_means():
    nameless = [name for name, field in sections() if not field.description]
    assert nameless == ["stage1.symmetries"] or nameless == []


def test_what_is_left_out_has_its_default_and_what_is_written_comes_back(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("experiment: mine\nstage1: {lr: 0.5}\n")
    config = load(path)
    assert (config.experiment, config.stage1.lr) == ("mine", 0.5)
    assert config.stage1.num_latents == Stage1Config().num_latents
    path.write_text(yaml.safe_dump(config.model_dump(mode="json")))
    assert load(path) == config


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"stagee1": {}}, "stagee1={} is not a known key: write stage1"),
        ({"stage1": {"lrr": 3}}, "stage1.lrr=3 is not a known key: write lr"),
        ({"stage1": {"symmetries": {"rolls": 1}}}, "stage1.symmetries.rolls=1 is not a known key: write roll"),
        ({"simulation": {"cylinder": {"frame": 2}}}, "simulation.cylinder.frame=2 is not a known key: write frames"),
        ({"simulation": {"channel": {}}}, "simulation.channel={} is not a known key; known here: cylinder"),
        ({"stage1": {"lr": -1}}, "stage1.lr=-1 is not allowed: write a number above 0"),
        ({"stage1": {"lr": float("inf")}}, "stage1.lr=inf is not allowed: write a number above 0"),
        ({"stage1": {"lr": "fast"}}, "stage1.lr='fast' is not allowed: write a number"),
        ({"stage1": {"max_steps": -1}}, "stage1.max_steps=-1 is not allowed: write a whole number of at least 0"),
        ({"stage1": {"max_steps": 1.5}}, "stage1.max_steps=1.5 is not allowed: write a whole number"),
        ({"stage1": {"symmetries": {"roll": {"x": -2}}}}, "stage1.symmetries.roll.x=-2 is not allowed"),
        ({"stage2": {"quantizer": "kmeans"}}, "stage2.quantizer='kmeans' is not allowed: write vq, rvq or fsq"),
        ({"stage3": {"dropout": 1.0}}, "stage3.dropout=1.0 is not allowed: write a number of at least 0 and below 1"),
        ({"stage1": 7}, "stage1=7 is not allowed"),
        (
            {"resources": {"jobs_per_gpu": 3, "gpu": 2}},
            "resources: jobs_per_gpu=3 is for jobs of one GPU, but gpu=2 and nodes=1: lower one of them to 1",
        ),
        ({"num_sensors": 20}, r"num_sensors=20 is not allowed: write \[20\]"),
        ({"seeds": []}, r"seeds=\[\] is not allowed: write a list of whole numbers of at least 0"),
        ({"seeds": [1, 2, 1]}, "seeds: 1 is named more than once"),
        ({"num_sensors": [8, 8]}, "num_sensors: 8 is named more than once"),
        ({"forecast": {"starts": [4, 4]}}, "forecast.starts: 4 is named more than once"),
        ({"forecast": {"starts": []}}, r"forecast.starts=\[\] is not allowed"),
        ({"experiment": "a/b"}, "experiment='a/b' is not allowed: write a name of letters"),
        ({"data_sets": ["cylinder", "channel"]}, "data_sets: channel is not known; known: cylinder"),
        (
            {"stage1": {"enc_num_latent_channels": 9}},
            "stage1: enc_num_latent_channels=9 must be a multiple of num_cross_attention_heads=2",
        ),
        (
            {"stage1": {"dec_num_latent_channels": 50, "num_cross_attention_heads": 4}},
            "stage1: dec_num_latent_channels=50 must be a multiple of num_cross_attention_heads=4",
        ),
        (
            {"stage1": {"num_latents": 50}, "stage2": {"tokenizer": "conv"}},
            "stage2.tokenizer=conv sees the latents as a square picture: stage1.num_latents=50 must be the square",
        ),
        (
            {"stage1": {"num_latents": 36}, "stage2": {"tokenizer": "conv"}},
            "stage1.num_latents=36 must be the square of a multiple of 4",
        ),
        (
            {"stage1": {"num_latents": 64}, "stage2": {"tokenizer": "conv", "tokens_per_frame": 16}},
            "stage2.tokenizer=conv makes num_latents / 16 = 4 tokens: stage2.tokens_per_frame=16 must be that",
        ),
        ({"stage2": {"tokenizer": "groups"}}, "stage2.tokenizer=groups codes POD coefficients: stage1.modes=0 must be"),
        (
            {"stage1": {"modes": 8}, "stage2": {"tokenizer": "groups", "tokens_per_frame": 16}},
            "stage2.tokenizer=groups: stage1.modes=8 cannot be cut into stage2.tokens_per_frame=16 groups",
        ),
        (
            {"stage2": {"tokenizer": "groups", "quantizer": "fsq"}},
            "stage2: quantizer=fsq does not go with tokenizer=groups: use rvq, or vq for one level",
        ),
        ({"stage2": {"num_hiddens": 30}}, "stage2: num_hiddens=30 must be a multiple of 4"),
        (
            {"stage2": {"continuous_steps": 50, "max_steps": 50}},
            "stage2: continuous_steps=50 must be less than max_steps=50, or the codebook is never initialised",
        ),
        (
            {"stage3": {"time_transformer_dim": 100}},
            "stage3: time_transformer_dim=100 must be a multiple of twice time_transformer_heads=8",
        ),
        (
            {"stage3": {"time_transformer_dim": 18, "time_transformer_heads": 2}},
            "stage3: time_transformer_dim=18 must be a multiple of twice time_transformer_heads=2",
        ),
        (
            {"stage3": {"batch_frames": 20}},
            "stage3: batch_frames=20 must be at least stage2_frames=21",
        ),
        (
            {"forecast": {"observed_frames": [1, 3], "starts": [4, 1]}},
            "forecast: observed_frames=3 needs 3 frames up to each start, but starts=1 has 2: start at 2 or later",
        ),
        ({"sensors": {"placement": "region"}}, "sensors: placement=region needs `region`"),
        ({"sensors": {"placement": "csv"}}, "sensors: placement=csv needs `csv`"),
        (
            {"placements": ["qr", "csv"]},
            "placements: placement=csv needs `csv`: a file of sensor coordinates",
        ),
        ({"placements": ["qr", "qr"]}, "placements: 'qr' is named more than once"),
        ({"placements": ["qr", "best"]}, "placements"),
        ({"sensors": {"min_distance": -1}}, "sensors.min_distance"),
        (
            {"variants": {"one": {"stage2": {"num_quantizer": 1}}}},
            "variants.one: stage2.num_quantizer=1 is not a known key: write num_quantizers",
        ),
        ({"variants": {"one": {"stage2": {"beam": 0}}}}, "variants.one: stage2.beam=0 is not allowed: write a whole"),
        (
            {"variants": {"one": {"stage3": {"batch_frames": 3}}}},
            "variants.one: stage3: batch_frames=3 must be at least stage2_frames=21",
        ),
        (
            {"variants": {"one": {"stage3": {"first_guess": "regression"}}}},
            "variants.one: stage3.first_guess=regression is of the coefficients that stage2.tokenizer=groups codes",
        ),
        ({"variants": {"one": {"stge2": {"beam": 1}}}}, "variants.one.stge2 is no section .* change: write stage2"),
        (
            {"variants": {"one": {"evaluation": {"members": 3}}}},
            "variants.one.evaluation is no section that a variant may change: a variant changes keys of sensors,",
        ),
        ({"variants": {"one": {"stage2": {"beam": 4}}}}, "variants.one changes nothing: its values are those of the"),
        ({"variants": {"one": {"stage2": {}}}}, "variants.one changes nothing: write a section and the keys in it"),
        ({"variants": {"base": {"stage2": {"beam": 1}}}}, "variants.base is what tables call the run without changes"),
        ({"variants": {"one": 3}}, "variants.one=3 is not allowed: write a name, and below it `key: value` lines"),
        ({"variants": {"1": {"stage2": {"beam": 1}}}}, "variants: the key '1' is not allowed: write a name of letters"),
        (
            {"variants": {"one": {"stage1": {"symmetries": {}}}}},
            "variants.one.stage1.symmetries is of the data set's basis, which all variants share",
        ),
        (
            {"placements": ["qr"], "variants": {"one": {"sensors": {"placement": "random"}}}},
            "variants.one.sensors.placement has no use with `placements`",
        ),
    ],
)
def test_a_fault_names_key_value_and_what_is_allowed(values, message):
    with pytest.raises(SparseVQError, match=message) as caught:
        parse(Config, values, "mine.yaml")
    assert str(caught.value).startswith("mine.yaml: ")
    assert "\n" not in str(caught.value)


MODAL = {"stage1": {"modes": 32}, "stage2": {"tokenizer": "groups"}, "stage3": {"first_guess": "regression"}}
AFTER_CODES = {"gpt", "calibrate"}
AFTER_LATENTS = {"tokenizer", "codes", *AFTER_CODES}


@pytest.mark.parametrize(
    ("changes", "own"),
    [
        ({"forecast": {"members": 3}}, {"calibrate"}),
        ({"stage3": {"first_guess": "none"}}, AFTER_CODES),
        ({"stage2": {"num_quantizers": 1}}, AFTER_LATENTS),
        ({"stage1": {"complete": "sensors"}}, {"semi_sparse", *AFTER_LATENTS}),
        (
            {"sensors": {"num_semi_sparse": 40}, "stage1": {"complete": "sensors"}},
            {"sensors", "semi_sparse", *AFTER_LATENTS},
        ),
        ({"stage1": {"modes": 64}}, {"semi_sparse", "sparse", *AFTER_LATENTS}),
        ({"sensors": {"placement": "qr"}}, {"places", "sensors", "semi_sparse", "sparse", *AFTER_LATENTS}),
    ],
    ids=str,
)
def test_a_variant_has_files_of_its_own_from_the_first_that_its_changes_have_a_part_in(changes, own):
    config = parse(Config, {**MODAL, "variants": {"one": changes}}, "mine.yaml")
    assert own_files(config, config.of_variant("one"), "") == own


def test_an_encoder_that_starts_from_the_teacher_is_not_shared_where_that_is_another():
    warm = {"stage1": {"warm_start": True}, "variants": {"one": {"sensors": {"num_semi_sparse": 40}}}}
    config = parse(Config, warm, "mine.yaml")
    assert "sparse" in own_files(config, config.of_variant("one"), "")


def test_a_variant_is_the_configuration_with_its_keys_changed_and_without_variants():
    config = parse(Config, {**MODAL, "variants": {"one": {"stage2": {"beam": 1}}}}, "mine.yaml")
    found = config.of_variant("one")
    assert found.stage2 == config.stage2.model_copy(update={"beam": 1})
    assert (found.stage1, found.stage3, found.variants) == (config.stage1, config.stage3, {})
    assert found.evaluation.baselines == (), "it is compared with the base run"
    assert config.of_variant("") is config
    with pytest.raises(SparseVQError, match="there is no two: name one of those that there are: one"):
        config.of_variant("two")


def test_a_runs_folder_says_number_placement_and_variant():
    assert (number_and_placement("20-qr+a-b"), variant_of("20-qr+a-b")) == ((20, "qr"), "a-b")
    assert (number_and_placement("20+a-b"), variant_of("20+a-b")) == ((20, ""), "a-b")
    assert (number_and_placement("20-qr"), variant_of("20-qr")) == ((20, "qr"), "")


def test_all_faults_are_named_at_once():
    with pytest.raises(SparseVQError, match=r"stage1.lr=-1 .*; stage3.patience=0 .*; colour='red'"):
        parse(Config, {"stage1": {"lr": -1}, "stage3": {"patience": 0}, "colour": "red"}, "mine.yaml")


def test_a_section_alone_is_checked_the_same_way():
    with pytest.raises(SparseVQError, match="--heads: time_transformer_heads=0 is not allowed"):
        parse(Stage3Config, {"time_transformer_heads": 0}, "--heads")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("stage1: [1, 2", "is not YAML"),
        ("", "holds no configuration"),
        ("- 1\n- 2\n", "holds no configuration"),
        ("just words", "holds no configuration"),
    ],
)
def test_a_file_that_is_no_configuration_is_one_line(tmp_path, text, message):
    (tmp_path / "mine.yaml").write_text(text)
    with pytest.raises(SparseVQError, match=message) as caught:
        load(tmp_path / "mine.yaml")
    assert "mine.yaml" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there_is_one_line(tmp_path):
    with pytest.raises(
        SparseVQError, match=r"cannot read the configuration .*mine\.yaml \(No such file or directory\)"
    ):
        load(tmp_path / "mine.yaml")


def test_a_file_that_is_not_text_is_one_line(tmp_path):
    (tmp_path / "mine.yaml").write_bytes(b"\x89HDF\r\n\xff\xfe\x00")
    with pytest.raises(SparseVQError, match="is not YAML"):
        load(tmp_path / "mine.yaml")


def test_a_configuration_is_never_changed_by_accident():
    with pytest.raises(ValueError, match="frozen"):
        Config().experiment = "other"


def test_files_of_ones_own_are_data_sets_too():
    config = parse(Config, {"data_sets": ["sst"], "files": {"sst": {"path": "a.nc", "test": 2}}}, "x")
    assert config.data_set("sst").test == 2
    assert config.symmetries_of("sst") == config.stage1.symmetries
    with pytest.raises(SparseVQError, match=r"data_sets: sst is not known; known: cylinder, .*, fire"):
        parse(Config, {"data_sets": ["sst"]}, "x")
    with pytest.raises(SparseVQError, match=r"files.sst.pth='a.nc' is not a known key: write path"):
        parse(Config, {"files": {"sst": {"path": "a.nc", "pth": "a.nc"}}}, "x")
    with pytest.raises(SparseVQError, match="cylinder is the name of a simulated data set"):
        parse(Config, {"files": {"cylinder": {"path": "a.nc"}}}, "x")
    with pytest.raises(SparseVQError, match="split=time needs `block`"):
        parse(Config, {"files": {"sst": {"path": "a.nc", "split": "time"}}}, "x")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"forecast": {"horizon": 40}},
            "forecast.starts=0 with forecast.horizon=40 needs frame 40, but the trajectories of cylinder end",
        ),
        (
            {"forecast": {"starts": [0, 25]}},
            "forecast.starts=25 with forecast.horizon=20 needs frame 45, but the trajectories of cylinder end",
        ),
        (
            {"forecast": {"observed_frames": [1, 25], "starts": [24]}, "stage3": {"observed_frames": 25}},
            "forecast.starts=24 with forecast.horizon=20 needs frame 44, but the trajectories of cylinder end",
        ),
        (
            {"preprocess": {"time_sub": 3}},
            "forecast.starts=0 with forecast.horizon=20 needs frame 20, but the trajectories of cylinder end",
        ),
        (
            {"stage3": {"stage2_frames": 41}},
            "stage3.stage2_frames=41 is more than the 40 frames of a trajectory of cylinder: lower it",
        ),
        (
            {"stage3": {"freeze_start_on_0": 20}},
            "stage3.stage2_frames=21 from stage3.freeze_start_on_0=20 on is more than the 40 frames of a trajectory of",
        ),
        (
            {"stage3": {"observed_frames": 21}},
            "stage3.observed_frames=21 with stage3.stage2_frames=21 needs 41 frames, but a trajectory of cylinder has",
        ),
    ],
)
def test_what_simulated_trajectories_cannot_give_is_a_fault_of_the_configuration(values, message):
    with pytest.raises(SparseVQError, match=message):
        parse(Config, values, "x")
    sea = {"data_sets": ["sst"], "files": {"sst": {"path": "a.nc"}}}  # of files the frames are not known yet
    config = parse(Config, {**values, **sea}, "x")
    frames = 14 if "preprocess" in values else 40
    with pytest.raises(SparseVQError, match=message.replace("cylinder", "sst")):
        config.require_frames("sst", frames)
    config.require_frames("sst", 100)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"forecast": {"observed_frames": [1, 5], "starts": [4]}},
            "forecast.observed_frames=5 is more than stage3.observed_frames=1, which the GPT is trained for",
        ),
        (
            {
                "robustness": {"start": 1},
                "forecast": {"observed_frames": [3], "starts": [4]},
                "stage3": {"observed_frames": 3},
            },
            "robustness.start=1 has 2 frames up to it, but forecast.observed_frames=3: start later",
        ),
        ({"stage3": {"first_guess": "regression"}}, "stage3.first_guess=regression is of the coefficients that"),
    ],
)
def test_what_stage_3_cannot_do_is_a_fault_of_the_configuration(values, message):
    with pytest.raises(SparseVQError, match=message):
        parse(Config, values, "x")


def test_the_last_frame_may_be_forecast():
    parse(Config, {"forecast": {"horizon": 39}, "stage3": {"stage2_frames": 40, "batch_frames": 80}}, "x")


def test_a_data_set_may_have_symmetries_of_its_own():
    config = parse(
        Config,
        {"simulation": {"shallow": {"symmetries": {"roll": {"lon": 3}}}}, "stage1": {"symmetries": {"reflect": ["y"]}}},
        "x",
    )
    assert config.symmetries_of("shallow").roll == {"lon": 3}
    assert config.symmetries_of("cylinder").reflect == ("y",)


def test_holding_out_every_trajectory_is_an_error_of_the_configuration():
    with pytest.raises(SparseVQError, match=r"simulation.cylinder: validation=4 and test=6 leave none of 10"):
        parse(Config, {"simulation": {"cylinder": {"trajectories": 10, "validation": 4}}}, "x")
