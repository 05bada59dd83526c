"""What Sphinx adds to the Markdown pages: references made from the code, contents of pages, links that fit the site."""

from typing import Any

from sphinx.application import Sphinx

from site_pages.commands_page import commands_reference
from site_pages.links import CONTENTS, contents_of, fit_links, without_outside_pages
from site_pages.settings_page import SettingsReference, link_settings, note_settings

MARKS = {  # comments in pages, which repositories do not show, and what stands there on the site
    CONTENTS: contents_of,
    "<!-- commands -->": lambda _: commands_reference(),
    "<!-- settings -->": lambda _: "```{settings-reference}\n```",
}


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect the extension."""
    app.add_directive("settings-reference", SettingsReference)
    app.add_crossref_type("setting", "setting", objname="setting")
    app.connect("source-read", fill_marks)
    app.connect("doctree-read", fit_links, priority=100)  # before links are copied to the site
    app.connect("doctree-resolved", link_settings)
    app.connect("env-updated", note_settings)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}


def fill_marks(app: Sphinx, page: str, source: list[str]) -> None:
    """Put what is made from the code, and from the page itself, where its marks are."""
    if page.startswith("notebooks/"):
        return
    source[0] = without_outside_pages(source[0])
    for mark, made in MARKS.items():
        if mark in source[0]:
            source[0] = source[0].replace(mark, made(source[0]))
