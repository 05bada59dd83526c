"""Texts from outside in Markdown: every character that would be markup is escaped."""

import re

from utils.console import one_line

_MARKUP = re.compile(r"[\\`*_{}\[\]<>#|~&$!@^]")
_LINKS = re.compile(r"(?<=\w)(?=://)|(?i:(?<=www)(?=\.))")  # that renderers make of plain addresses
_BLOCKS = re.compile(r"^(?=[-+=:])|(?<=\d)(?=[.)]\s)")  # that the first characters of a line can open
_TICKS = re.compile(r"`+")


class Markdown(str):
    """A text that is Markdown already."""

    __slots__ = ()


def escaped(value: object) -> str:
    """Return any text as one line of Markdown that shows it as it is; Markdown and numbers stay as they are."""
    if isinstance(value, Markdown | int | float):
        return str(value)
    text = _MARKUP.sub(lambda found: f"\\{found.group()}", one_line(str(value)))
    return _BLOCKS.sub(r"\\", _LINKS.sub(r"\\", text)) if text else text


def as_code(value: object) -> Markdown:
    """Return any text as code within a line of Markdown."""
    text = one_line(str(value))
    ticks = "`" * (max((len(run) for run in _TICKS.findall(text)), default=0) + 1)
    space = " " if text[:1] == "`" or text[-1:] == "`" else ""
    return Markdown(f"{ticks}{space}{text}{space}{ticks}")
