"""What a user may write wrongly in a configuration: each message says what, where and what to write, without jargon."""

import argparse
import re
from datetime import date, datetime

import pytest
import yaml
from pydantic import TypeAdapter

from sparsevq.cli.flags import converter
from sparsevq.config import Config, FileConfig, Section, load, parse
from sparsevq.config.wording import bare, example, expected, leaves, options
from sparsevq.errors import SparseVQError

JARGON = re.compile(
    r"Input should|should (be|have|match)|valid (tuple|dict|integer|string|boolean|number|path)|instance of|unable to|"
    r"Field required|Extra inputs|parse string|pydantic|<class|None\b|NoneType|True\b|False\b|datetime\.|Keys should|"
    r"tuple"
)
ODD = (None, True, 7, -1, 0, 1.5, -1.5, 1e30, float("nan"), float("inf"), "", "a b", "text", "1e3", "1,5", "[1, 2", [])
ODD += ([1], [1, 2, 3, 4], ["a", 7], [None], [True], [[1], [2]], [-1], {}, {"a": 1}, {"a": None}, {True: 1}, {7: "a"})
ODD += ({"a": [1]}, date(2006, 4, 16), datetime(2006, 4, 16, 12), b"\xff\xfe")


def places(section=Config, path=()):
    """All keys of the configuration, as paths; of `files` one entry stands for any."""
    for name, field in section.model_fields.items():
        kind = bare(options(field.annotation)[0])[0]
        yield (*path, name), field
        if isinstance(kind, type) and issubclass(kind, Section):
            yield from places(kind, (*path, name))
    if section is Config:
        yield from places(FileConfig, ("files", "sst"))


def at(path, value):
    """A configuration with a value at a place."""
    for part in reversed(path):
        value = {part: value}
    if path[:2] == ("files", "sst") and len(path) > 2:
        value["files"]["sst"].setdefault("path", "a.nc")
    return value


PLACES = list(places())


@pytest.mark.parametrize("odd", ODD, ids=repr)
def test_no_message_speaks_the_language_of_a_library(odd):
    for path, _ in PLACES:
        try:
            parse(Config, at(path, odd), "mine.yaml")
        except SparseVQError as error:
            message = str(error)
            assert not JARGON.search(message), message
            assert path[-1] in message or "not allowed" not in message, message
            assert "\n" not in message


def test_what_messages_tell_to_write_is_allowed():
    """Each type has words for it, and its example is a value of it."""
    for path, field in PLACES:
        kind = field.rebuild_annotation()
        assert "a value" not in expected(kind), path
        shown = example(kind)
        if shown is not None and not any("pattern" in str(note) for note in field.metadata):
            TypeAdapter(kind).validate_python(yaml.safe_load(shown))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"num_sensors": "20, 40"}, "num_sensors='20, 40' is not allowed: write [20, 40]."),
        (
            {"num_sensors": [20, "a"]},
            "num_sensors: 'a' in the list is not allowed: write a whole number of at least 1.",
        ),
        ({"num_sensors": None}, "num_sensors is empty: write a list of whole numbers of at least 1, such as [20], or"),
        ({"stage1": None}, "stage1 is empty: write `key: value` lines below it, indented, or leave stage1 out."),
        ({"stage1": {"max_steps": "2e4"}}, "stage1.max_steps='2e4' is not allowed: write 20000."),
        ({"stage1": {"lr": "1,5"}}, "stage1.lr='1,5' is not allowed: write 1.5."),
        (
            {"stage1": {"max_steps": True}},
            "stage1.max_steps=true is not allowed: write a whole number of at least 0 (YAML",
        ),
        ({"num_sensors": [True]}, "num_sensors=[true] is not allowed: write a list of whole numbers of at least 1"),
        ({"experiment": date(2020, 1, 2)}, "(YAML reads 2020-01-02 without quotes as a date)"),
        ({"resources": {"device": "gpu"}}, "resources.device='gpu' is not allowed: write auto, cpu or cuda."),
        ({"files": {"s": {}}}, "files.s.path is missing: write text or a list of names, such as [a]."),
        ({"files": {"s": "a.nc"}}, "files.s='a.nc' is not allowed: write `key: value` lines below it, indented."),
        ({"files": {"s": {"path": 3}}}, 'files.s.path=3 is not allowed: write "3", in quotes.'),
        ({"files": {"s": {"path": "a", "missing": -999}}}, "files.s.missing=-999 is not allowed: write [-999]."),
        ({"files": {"s": {"path": "a", "channels": {"u": None, "v": None}}}}, "write [u, v]."),
        ({"files": {"s": {"path": "a", "dimensions": "time y x"}}}, "write [time, y, x]."),
        (
            {"files": {"s": {"path": "a", "window": [1]}}},
            "files.s.window=[1] is not allowed: write two numbers or dates",
        ),
        ({"files": {"s": {"path": "a", "resample": [1, 2]}}}, "write three whole numbers of at least 1"),
        (
            {"files": {"s": {"path": "a", "units": {False: "K"}}}},
            "files.s.units: the key false is not allowed: write it in",
        ),
        ({"files": {"1s": {"path": "a"}}}, "files: the key '1s' is not allowed: write a name of letters"),
        (
            {True: 3},
            "the key true is not allowed: write it in quotes (YAML reads on, off, yes and no as true and false).",
        ),
        ({"stage1": {1: 3}}, "stage1: the key 1 is not allowed: write a name, in quotes if it is a number."),
        ({"max_steps": 3}, "max_steps=3 is not a known key here: move it to stage1 or stage2 or stage3."),
        ({"stage2": {"seeds": [1]}}, "stage2.seeds is not a known key here: move it to the top of the file."),
        ({"horizen": 3}, "resources; elsewhere: forecast.horizon."),
        ({"Num-Sensors": [3]}, "Num-Sensors is not a known key: write num_sensors."),
        ({"seeds": [-1]}, "seeds: -1 in the list is not allowed: write a whole number of at least 0."),
    ],
)
def test_what_to_write_is_said(values, message):
    with pytest.raises(SparseVQError) as caught:
        parse(Config, values, "mine.yaml")
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb:\n\t- 1\n", "line 3: a tab where spaces are expected: indent with spaces."),
        (
            "stage1:\n  lr: 1\nseeds: [1]\nstage1:\n  lr: 2\n",
            "line 4: the key stage1 stands on line 1 already: keep one of",
        ),
        ("stage1:\n  lr: 1\n  lr: 2\n", "line 3: the key lr stands on line 2 already"),
        ("seeds: [1, 2\nnum_sensors: [3]\n", "line 1: a list that is not closed: close it by ]."),
        ("stage1: {lr: 1\nseeds: [1]\n", "line 1: a mapping that is not closed: close it by }."),
        ("experiment: 'mine\nseeds: [1]\n", "line 1: a quote that is not closed: close it."),
        ("a: b: c\n", "line 1: a second `:` in a line, or a wrong indentation"),
        ("stage1:\n    lr: 1\n  max_steps: 2\n", "line 3: a wrong indentation: indent keys of one section by the same"),
        ("experiment: mine\nseeds\nresults: r\n", "line 2: a line without `:`"),
        (
            "files:\n  s:\n    path: *.nc\n",
            "line 3: text that begins with * or &, which have a meaning in YAML: put it in quotes.",
        ),
        ("experiment: @mine\n", "line 1: a character that no value may begin with: put the value in quotes."),
        ("experiment: mine\n---\nexperiment: yours\n", "a second document (---)"),
        ("experiment: !!python/object:os.system x\n", "line 1: a tag (!...), which is not allowed: leave it out."),
        (
            "files:\n  s: {path: a, time: 12:30}\n",
            "line 2: YAML reads 12:30 as the number 750: put it in quotes if it is",
        ),
        ("files:\n  s: {path: a, missing: [190:20:30.15]}\n", "YAML reads 190:20:30.15 as the number 685230"),
        ("seeds: [010]\n", "line 1: YAML reads 010 as the number 8: leave out the zero that it begins with."),
        ("[1, 2]: 3\n", "line 1: a key that is a list or a mapping"),
        ("experiment:mine\n", "holds no configuration: write `key: value` lines, with a space after the colon."),
        ("experiment: mi\x07ne\n", "a control character: remove it."),
    ],
)
def test_faults_of_syntax_name_the_line(tmp_path, text, message):
    (tmp_path / "mine.yaml").write_text(text)
    with pytest.raises(SparseVQError) as caught:
        load(tmp_path / "mine.yaml")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_anchors_merges_and_a_byte_order_mark_are_no_faults(tmp_path):
    (tmp_path / "mine.yaml").write_text(
        "\ufeffstage2: &all {lr: 0.5, max_steps: 3}\nstage3:\n  <<: *all\n  lr: 0.25\nstage1: *all\n"
    )
    config = load(tmp_path / "mine.yaml")
    assert (config.stage1.lr, config.stage2.max_steps, config.stage3.lr, config.stage3.max_steps) == (0.5, 3, 0.25, 3)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("stride", "0", "'0' is not allowed: write a whole number of at least 1"),
        ("format", "csv", "'csv' is not allowed: write auto, sparsevq, netcdf"),
        ("missing", "a", "'a' is not allowed: write a list of numbers, such as 0.5"),
        ("window", "1", "'1' is not allowed: write two numbers or dates, such as 1:2"),
        ("resample", "1,2", "'1,2' is not allowed: write three whole numbers of at least 1"),
    ],
)
def test_flags_are_told_in_the_form_of_flags(name, text, message):
    with pytest.raises(argparse.ArgumentTypeError) as caught:
        converter(FileConfig.model_fields[name])(text)
    assert message in str(caught.value)


def test_leaves_of_a_type():
    assert leaves(dict[str, tuple[int, ...] | None] | bool) == {str, int, type(None), bool}
