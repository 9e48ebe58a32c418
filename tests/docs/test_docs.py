"""The documentation: it is built without a warning, and names every key and every command."""

import subprocess
import sys
from pathlib import Path

import pytest

from sparsevq.config import Config

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    """The built pages. Sphinx runs in a process of its own: it changes the interpreter that it runs in."""
    out = tmp_path_factory.mktemp("html")
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-b", "html"]
    done = subprocess.run([*command, "-d", str(out / "doctrees"), str(DOCS), str(out)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return out


def test_no_page_is_left_out_of_the_contents(built):
    index = (built / "index.html").read_text()
    for page in [*DOCS.glob("*.md"), *DOCS.glob("benchmarks/*.md")]:
        name = page.relative_to(DOCS).with_suffix(".html").as_posix()
        assert name == "index.html" or f'href="{name}"' in index, name


def test_every_key_of_the_configuration_is_explained(built):
    page = (built / "configuration.html").read_text()
    keys = set(_keys(Config.model_json_schema()))
    assert {"num_sensors", "reynolds", "placement", "select", "checkpoint_minutes"} <= keys
    assert not [key for key in keys if f">{key}</span>" not in page]


def _keys(schema):
    """Names of all keys that take a value of their own, in all sections."""
    for section in [schema, *schema["$defs"].values()]:
        for name, field in section.get("properties", {}).items():
            if "$ref" not in str(field):  # else its keys stand in a section of their own
                yield name


def test_every_command_is_explained(built):
    page = (built / "command-line.html").read_text()
    for command in (
        "sparsevq forecast",
        "sparsevq train",
        "sparsevq data describe",
        "sparsevq pack",
        "sparsevq deliver",
    ):
        assert f"usage: {command} " in page, command


def test_what_users_call_from_python_is_explained(built):
    page = (built / "python.html").read_text()
    for name in ("sparsevq.load", "sparsevq.Forecaster.forecast", "sparsevq.Forecaster.update", "SparseVQError"):
        assert name in page, name


def test_pages_ask_the_network_for_nothing(built):
    for page in built.glob("*.html"):
        text = page.read_text()
        for element in ("<script src=", '<link rel="stylesheet" href='):
            for part in text.split(element)[1:]:
                assert not part.lstrip('"').startswith(("http:", "https:", "//")), (page.name, part[:80])
