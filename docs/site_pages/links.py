"""Links that fit both places where the pages are read: the repository and the site."""

import re
from pathlib import Path

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx

CONTENTS = "<!-- contents -->"
PAGE = re.compile(r"\]\((?!https?:|/|\.\./\.\./)([^)#\s]+)\.(?:md|ipynb)(?:#[^)]*)?\)")

# pages of the repository that the site does not have, linked to from pages that it has
OUTSIDE = re.compile(r"\[([^\]]+)\]\((?:\.\./)+(?:README|CONTRIBUTING|CHANGELOG)\.md(?:#[^)]*)?\)")


def without_outside_pages(text: str) -> str:
    """Return a page with the words of links to the repository's own pages, which the site does not have."""
    return OUTSIDE.sub(r"\1", text)


def contents_of(text: str) -> str:
    """Return the pages below this one in the site's menu: those that the list or table before the mark links to."""
    *_, block = text.partition(CONTENTS)[0].rstrip().split("\n\n")
    pages = list(dict.fromkeys(PAGE.findall(block)))
    return "\n".join(["```{toctree}", ":hidden:", *pages, "```"])


def fit_links(app: Sphinx, tree: nodes.document) -> None:
    """Make links to files outside docs/, which the site does not have, plain text."""
    for link in list(tree.findall(addnodes.download_reference)):
        target = Path(app.srcdir, app.env.docname).parent / link["reftarget"]
        if not target.resolve().is_relative_to(app.srcdir):
            link.replace_self(link.children)
