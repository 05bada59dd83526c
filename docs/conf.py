"""How Sphinx makes the site of docs/*.md: `make docs`.

The pages stay plain Markdown, as repositories show it; what is made from the code is in `site_pages`.
"""

import os
import sys
from pathlib import Path

HOME = Path(__file__).parents[1]
os.environ["PYTHONPATH"] = str(HOME)  # for notebooks
sys.path[:0] = [str(HOME), str(HOME / "docs")]

project = "birdclef-jax"
author = "the authors of birdclef-jax"
project_copyright = "the authors of birdclef-jax; MIT licence"
extensions = ["sphinx.ext.autodoc", "sphinx.ext.napoleon", "myst_nb", "site_pages"]
exclude_patterns = ["site_pages"]
highlight_language = "text"
smartquotes = False  # '' is a value of settings
nitpicky = False  # docstrings name types in words
show_warning_types = True

myst_heading_anchors = 4  # as repositories make them: guide.md#start-from-public-weights
myst_links_external_new_tab = False
suppress_warnings = [
    "myst.header",  # pages may start with a second level
    "misc.highlighting_failure",  # commands with … or FILE in them are not quite shell
]
nb_execution_mode = "cache"  # what changed is run again; `-D nb_execution_mode=off`: no outputs
nb_execution_timeout = 600  # seconds per cell
nb_execution_raise_on_error = True
nb_merge_streams = True

autodoc_typehints = "signature"
python_use_unqualified_type_names = True
napoleon_google_docstring = False

html_theme = "pydata_sphinx_theme"
html_title = "birdclef-jax"
html_copy_source = False
html_show_sourcelink = False
html_static_path = ["site_pages/static"]
html_css_files = ["site.css"]
html_theme_options = {
    "show_prev_next": True,
    "show_toc_level": 2,
    "navigation_with_keys": False,
    "navbar_align": "left",
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
    "search_bar_text": "Search",
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}
html_sidebars: dict[str, list[str]] = {"index": []}
