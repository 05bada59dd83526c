"""The reference of all settings, made from config.py: comment, type, range, default, old name, and who uses them."""

import dataclasses
import re
from collections.abc import Iterator
from types import MappingProxyType
from typing import Any, NamedTuple, get_type_hints

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util.docutils import SphinxDirective
from sphinx.util.nodes import make_refnode

from config import Config
from site_pages.field_comments import comments_of
from site_pages.kinds import described
from utils.settings import RENAMED

PAGE = "settings"  # the page of the reference
LEARN = ("train.py", "evaluate.py", "distill.py")
PREDICT = ("test.py", "evaluate.py", "distill.py", "predict.py", "submission_monophone.py", "submission_soundscape.py")
# the scripts that use the settings of a section; '': those that stand before all sections
USED_BY = MappingProxyType(
    {
        "": ("every script",),
        "dataset": ("sort_data.py; its folders by every script that works on a data set",),
        "clips": ("spec.py", *LEARN, "test.py"),
        "spectrogram": ("spec.py", *LEARN, "test.py; a snapshot brings its own for every prediction"),
        "external": ("spec.py", *LEARN, "where model.name is External"),
        "waveform": LEARN,
        "augmentation": LEARN,
        "model": LEARN,
        "training": LEARN,
        "distillation": ("distill.py",),
        "metadata": ("train_metadata.py; a blend by testing.metadata brings its own",),
        "testing": PREDICT,
        "submission": ("submission_monophone.py", "submission_soundscape.py", "predict.py", "review.py"),
        "tuning": ("evaluate.py --tune",),
        "cluster": ("spec.py", "test.py", "submission_monophone.py", "submission_soundscape.py"),
        "log": ("every script",),
    }
)


class Setting(NamedTuple):
    """A setting for people."""

    key: str
    comment: str
    kind: str
    default: str
    old_names: tuple[str, ...]


def settings_of(kind: type, prefix: str = "") -> Iterator[Setting]:
    """Yield the settings that a section itself holds."""
    hints = get_type_hints(kind, include_extras=True)
    comments = comments_of(kind)
    for field in dataclasses.fields(kind):
        if dataclasses.is_dataclass(hints[field.name]):
            continue
        key = f"{prefix}{field.name}"
        old_names = tuple(old for old, new in RENAMED.items() if new == key)
        yield Setting(key, comments[field.name], described(hints[field.name]), default_of(field), old_names)


def sections_of(kind: type, prefix: str = "") -> Iterator[tuple[str, str, type]]:
    """Yield name, purpose and class of each section below another one, outer ones first."""
    hints = get_type_hints(kind)
    for field in dataclasses.fields(kind):
        inner = hints[field.name]
        if dataclasses.is_dataclass(inner) and isinstance(inner, type):
            name = f"{prefix}{field.name}"
            yield name, " ".join((inner.__doc__ or "").split()), inner
            yield from sections_of(inner, f"{name}.")


def default_of(field: "dataclasses.Field[Any]") -> str:
    """Return a default as a TOML file has it; none where the file has nothing."""
    factory = field.default_factory
    value = field.default if factory is dataclasses.MISSING else factory()
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return str(list(value))
    return repr(value) if isinstance(value, int | float | dict) else f'"{value}"'


KEYS = {
    setting.key
    for name, _, kind in (("", "", Config), *sections_of(Config))
    for setting in settings_of(kind, f"{name}." if name else "")
}


class SettingsReference(SphinxDirective):
    """All settings, section by section."""

    def run(self) -> list[nodes.Node]:
        """Return a section of the page for each section of the settings."""
        first = self._section("Before all sections", "", Config, "of-all")
        return [first, *(self._section(f"[{name}]", text, kind, name) for name, text, kind in sections_of(Config))]

    def _section(self, title: str, purpose: str, kind: type, name: str) -> nodes.section:
        used_by = USED_BY["" if name == "of-all" else name.partition(".")[0]]
        section = nodes.section("", nodes.title("", title), ids=[name], names=[name])
        section += nodes.paragraph("", purpose or "They stand at the top of a file.")
        section += nodes.paragraph("", "", nodes.emphasis("", "Used by: "), nodes.Text(", ".join(used_by) + "."))
        prefix = "" if name == "of-all" else f"{name}."
        section += [self._entry(setting) for setting in settings_of(kind, prefix)]
        return section

    def _entry(self, setting: Setting) -> addnodes.desc:
        signature = addnodes.desc_signature("", "", addnodes.desc_name("", setting.key), ids=[setting.key])
        facts = [("type", setting.kind), ("default", f"`{setting.default}`")]
        facts += [("old name, still read from files", f"`{name}`") for name in setting.old_names]
        content = addnodes.desc_content("", nodes.paragraph("", "", *with_literals(sentence(setting.comment))))
        content += nodes.paragraph("", "", *_facts(facts), classes=["setting-facts"])
        return addnodes.desc("", signature, content, domain="std", objtype="setting", desctype="setting")


def _facts(facts: list[tuple[str, str]]) -> Iterator[nodes.Node]:
    for index, (name, text) in enumerate(facts):
        yield nodes.inline("", f"{' · ' if index else ''}{name}: ", classes=["fact"])
        yield from with_literals(text)


def sentence(comment: str) -> str:
    """Return a comment that starts with a capital letter and ends with a full stop, unless it starts with code."""
    starts_with_value = re.match(r"[\w.]+ = |\w+: |''|`", comment)
    text = comment if starts_with_value else comment[:1].upper() + comment[1:]
    return text if text.endswith(".") else f"{text}."


def with_literals(text: str) -> list[nodes.Node]:
    """Return a text as nodes, with code where it stands in backticks."""
    parts = text.split("`")
    return [nodes.literal("", part) if index % 2 else nodes.Text(part) for index, part in enumerate(parts) if part]


def note_settings(app: Sphinx, env: BuildEnvironment) -> list[str]:
    """Let the search find settings by their names."""
    for key in sorted(KEYS):
        env.domains.standard_domain.objects["setting", key] = PAGE, key
    return []


def link_settings(app: Sphinx, tree: nodes.document, page: str) -> None:
    """Link each `section.setting` in code on any page to its entry."""
    for literal in list(tree.findall(nodes.literal)):
        key = re.sub(r" = .*", "", literal.astext().removeprefix("--"))
        linked = isinstance(literal.parent, nodes.reference | nodes.title)
        if "." in key and key in KEYS and not linked:
            literal.replace_self(make_refnode(app.builder, page, PAGE, key, literal.deepcopy()))
