"""The published commands keep working, whatever flags are added; all parameters have a flag and an explanation."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from sparsevq.cli.flags import PUBLISHED
from sparsevq.cli.main import main, make_parser
from sparsevq.cli.options import SECTIONS, SYMMETRIES, settings_of, stage_defaults
from sparsevq.config import SensorsConfig
from tests.cli.conftest import PUBLISHED_COMMANDS

PRESETS = Path(__file__).parents[2] / "config/presets"


def train_parser():
    return make_parser().parse_args(["train"]).parser


@pytest.mark.parametrize("name", PUBLISHED_COMMANDS)
def test_published_commands_mean_what_they_say(name):
    words = PUBLISHED_COMMANDS[name].format(data="cylinder", sparse="a", semi_sparse="b", stage2="c").split()
    args = vars(make_parser().parse_args(["train", *words]))
    assert args["gpu_device"] == "0,1"
    assert args["data_name"] == "cylinder"
    assert (args["enc_preproc_ch"], args["batch_pixels"], args["consecutive_train"]) == (48, 2048, False)
    assert args["num_sensors"] == (300 if name == "semi_sparse" else 20)
    assert args["lr"] == (0.0005 if name == "stage2" else 0.0001)
    assert args["training_stage"] == (name if name.startswith("stage") else "stage1")
    assert (args["max_X"], args["freeze_start_on_0"], args["test"]) == (0, 0, False)
    if name == "stage2":
        assert (args["model_name"], args["semi_model_name"]) == ("a", "b")
        assert args["load_stage2"] is args["semi_sparse"] is args["load_model"] is True


def test_prefixes_that_were_unambiguous_still_are():
    parser = train_parser()
    for flag in PUBLISHED:
        for length in range(1, len(flag)):
            prefix = flag[:length]
            meant = [other for other in PUBLISHED if other.startswith(prefix)]
            if len(meant) == 1 and f"--{prefix}" not in parser._option_string_actions:
                (match,) = parser._get_option_tuples(f"--{prefix}")
                assert match[0].dest == flag


def test_every_parameter_has_a_flag_that_is_explained(capsys):
    with pytest.raises(SystemExit) as end:
        main(["train", "--help"])
    assert end.value.code == 0
    told = " ".join(capsys.readouterr().out.split())
    sections = {**SECTIONS, "sensors": SensorsConfig}
    names = {name for section in sections.values() for name in section.model_fields} - {"symmetries"}
    flags = train_parser()._option_string_actions
    for name in names | set(SYMMETRIES) | PUBLISHED:
        assert f"--{name} " in told
        assert len(flags[f"--{name}"].help) > 5


def test_defaults_are_the_papers():
    paper = yaml.safe_load((PRESETS / "paper.yaml").read_text())
    for stage in SECTIONS:
        # Starting all sequences at frame 0 is a choice of the published commands, which give the flag.
        asked = {key: value for key, value in paper[stage].items() if key != "freeze_start_on_0"}
        assert {key: stage_defaults(stage)[key] for key in asked} == asked


def test_flags_override_the_settings_of_a_resumed_run():
    recorded = settings_of("stage1", {}, {"lr": 1e-3, "reflect": ("y",), "roll": {"x": 4}}).model_dump(mode="json")
    settings = settings_of("stage1", recorded, {"max_steps": 7, "roll": {"x": 2}, "quantizer": "vq"})
    assert (settings.lr, settings.max_steps) == (1e-3, 7)
    assert (settings.symmetries.reflect, settings.symmetries.roll) == (("y",), {"x": 2})


def test_lists_are_separated_by_commas():
    words = "train --reflect x,y --roll x=32 --region=-1:1,0:0.5 --training_frames none --csv places.csv"
    args = make_parser().parse_args(words.split())
    assert (args.reflect, args.roll, args.training_frames) == (("x", "y"), {"x": 32}, None)
    assert args.region == ((-1, 1), (0, 0.5))
    assert args.csv == Path("places.csv")


@pytest.mark.parametrize(
    ("command", "told"),
    [
        ("train --num_latent 64x", "argument --num_latents"),
        ("train --lr -1", "write a number above 0"),
        ("train --num_sensors 0", "'0' is not allowed: write a whole number of at least 1"),
        ("train --load_model yes", "'yes' is neither True nor False"),
        ("train --quantizer vqvae", "write vq, rvq or fsq"),
        ("train --roll x:3", "not of the form a=b"),
        ("train --training_stage stage4", "'stage4' is not allowed: write stage1, stage2 or stage3"),
        ("train --nm_sensors 20", "--nm_sensors is not a known flag; did you mean --num_sensors?"),
        ("train --num_l 3", "ambiguous option"),
        ("forecast", "required: RUN, --readings"),
        ("forecast a --readings b --out c --frames many", "invalid int value: 'many'"),
        ("forecast a --readings b --out c --parameter speed", "'speed' is not of the form NAME=VALUE"),
        ("forecast a --readings b --out c --parameter speed=high", "speed='high' is no number"),
        ("forecast a --readings b --out c --png", "argument --png: expected one argument"),
        ("", "required: COMMAND"),
        ("train stage1", "stage1 is not a known flag"),
    ],
)
def test_wrong_usage_is_one_line_and_status_2(command, told, capsys):
    with pytest.raises(SystemExit) as end:
        main(command.split())
    assert end.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert told in line
    assert "--help" in line


@pytest.mark.parametrize("write", ["print('line', flush=True)", "print('line')", "sys.stdout.write('line')"])
def test_a_reader_that_has_enough_is_no_traceback(write):
    """As of `sparsevq info RUN | head -1`: whether the line is written at once or when the command ends."""
    program = f"""
import sys
from argparse import Namespace
from sparsevq.cli import main

class Parser:
    def parse_known_args(self, given):
        return Namespace(run=lambda args, given: {write}), []

main.make_parser = Parser
raise SystemExit(main.main([]))
"""
    read, end = os.pipe()
    os.close(read)
    ended = subprocess.run([sys.executable, "-c", program], stdout=end, stderr=subprocess.PIPE, text=True, check=False)
    os.close(end)
    assert (ended.returncode, ended.stderr) == (141, "")
