"""One HTML file with all that it needs: data, styles, our scripts and plotly's."""

import json
from importlib import resources
from pathlib import Path

from sparsevq.errors import SparseVQError
from sparsevq.explore.content import Content
from sparsevq.runtime.files import written_whole

SCRIPTS = (
    "packed.js",
    "domain.js",
    "quantities.js",
    "places.js",
    "panels.js",
    "space.js",
    "curves.js",
    "controls.js",
    "page.js",
)
"""Our scripts, in the order in which they run."""


def write_page(path: Path, content: Content) -> Path:
    """Write a page; it appears whole or not at all, and the same content gives the same bytes.

    Raises
    ------
    SparseVQError
        The package plotly is not installed, or the file can't be written.
    """
    import jinja2

    try:
        from plotly.offline import get_plotlyjs
    except ModuleNotFoundError:
        raise SparseVQError("plotly is not installed, whose script pages contain", "pip install plotly") from None
    assets = resources.files("sparsevq.explore") / "template"
    template = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined).from_string(
        (assets / "page.html").read_text(encoding="utf-8")
    )
    text = template.render(
        content=content,
        data=_json(content.script),
        style=(assets / "page.css").read_text(encoding="utf-8"),
        scripts=[(assets / name).read_text(encoding="utf-8") for name in SCRIPTS],
        plotly=get_plotlyjs(),
    )
    with written_whole(path) as part:
        part.write_text(text, encoding="utf-8")
    return path


def _json(found: object) -> str:
    """JSON that ends no script element, whatever channels are called."""
    return json.dumps(found, ensure_ascii=False, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
