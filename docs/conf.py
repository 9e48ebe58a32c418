"""Settings of Sphinx: `make docs` builds docs/_build/html."""

import sys
from pathlib import Path

from sparsevq.version import VERSION

sys.path.insert(0, str(Path(__file__).parent))
import generated_pages

project = "sparsevq"
author = copyright = "the sparsevq developers"
version = release = VERSION

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
]
# Documents that are read on a forge link to files outside of the documentation: as such links they stay what they are.
suppress_warnings = ["myst.xref_missing"]
myst_heading_anchors = 3
exclude_patterns = ["_build", "benchmarks/*/*"]  # tables of runs

autodoc_typehints = "none"  # the signature has them
autodoc_member_order = "bysource"
napoleon_google_docstring = False
napoleon_use_rtype = False
napoleon_attr_annotations = False

html_theme = "pydata_sphinx_theme"
html_title = f"sparsevq {VERSION}"
html_theme_options = {
    "navbar_center": [],  # the contents are at the side of every page
    "navigation_with_keys": False,
    "secondary_sidebar_items": ["page-toc"],
    "show_toc_level": 2,
}
html_sidebars = {"**": ["globaltoc.html"], "index": []}
html_static_path = ["static"]
html_css_files = ["sidebar.css"]
html_show_sourcelink = False
html_copy_source = False

generated_pages.write(Path(__file__).parent)
