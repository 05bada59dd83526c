"""The reference of all commands, as Markdown: what each does, and the flags that are its own."""

import dataclasses
import os
import re
import subprocess
import sys
from importlib import import_module
from types import ModuleType

from birdclef.__main__ import OTHER_COMMANDS
from birdclef.shell_completion import WITHOUT_SETTINGS
from site_pages.field_comments import comments_of
from utils.commands import COMMANDS, HOME, module_of

COLUMNS = "100"  # width of pages of help


def commands_reference() -> str:
    """Return a section for each command."""
    return "\n\n".join([*map(_section, COMMANDS), *map(_other, OTHER_COMMANDS)])


def _section(name: str) -> str:
    module = import_module(module_of(name))
    call = f"python {COMMANDS[name]}.py" if "." not in COMMANDS[name] else f"python -m {COMMANDS[name]}"
    head = f"## `birdclef {name}`\n\nIn the repository: `{call}`.\n\n{as_markdown(module.__doc__ or '')}"
    return f"{head}\n\n{_help_page(name) if name in WITHOUT_SETTINGS else _flags(module)}"


def as_markdown(text: str) -> str:
    """Return a text of the code with what Markdown would take for tags, emphasis and cells as it is; code stays."""
    paragraphs = (part if part.startswith("    ") else _escaped(part) for part in text.split("\n\n"))
    return "\n\n".join(paragraphs)


def _escaped(paragraph: str) -> str:
    parts = paragraph.split("`")  # every second one is code
    return "`".join(part if index % 2 else re.sub(r"[<*|]", r"\\\g<0>", part) for index, part in enumerate(parts))


def _flags(module: ModuleType) -> str:
    kinds = [kind for label, kind in vars(module).items() if label.endswith("Flags") and isinstance(kind, type)]
    fields = {field.name: (field, comments_of(kind)) for kind in kinds for field in dataclasses.fields(kind)}
    rows = [
        f"| `--{name}` | {_default(field)} | {as_markdown(comments[name])} |"
        for name, (field, comments) in fields.items()
    ]
    table = ["Its own flags, besides all [settings](settings.md):", "", "| flag | default | |", "|---|---|---|", *rows]
    return "\n".join(table) if rows else "It has no flags of its own besides all [settings](settings.md)."


def _default(field: "dataclasses.Field[object]") -> str:
    if field.default in (None, (), ""):
        return "none"
    return {True: "on", False: "off"}.get(field.default, f"`{field.default}`")  # type: ignore[call-overload]


def _help_page(name: str) -> str:
    words = [sys.executable, "-m", "birdclef", name, "--help"]
    environment = {**os.environ, "COLUMNS": COLUMNS}
    page = subprocess.check_output(words, cwd=HOME, env=environment, text=True)  # noqa: S603
    flags = page[page.index("positional arguments") :]
    return f"It takes no settings. Its words:\n\n```text\n{flags}```"


def _other(name: str) -> str:
    return f"## `birdclef {name}`\n\n{OTHER_COMMANDS[name].__doc__}"
