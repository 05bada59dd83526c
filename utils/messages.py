"""The toolkit's logger, and how its messages reach the terminal and the log file.

Whoever imports the toolkit can capture the messages with Python's `logging`:

    logging.getLogger("birdclef").addHandler(handler)

Messages are not passed on to the root logger (`propagate` is False): absl, with which Orbax logs, calls
`logging.basicConfig()`, and every line would then be printed twice.
"""

import io
import logging
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import NoReturn

from rich.console import Console, ConsoleRenderable
from rich.highlighter import NullHighlighter
from rich.logging import RichHandler
from rich.table import Table
from rich.text import Text
from rich.traceback import Traceback

from utils.commands import with_commands

LOGGER = logging.getLogger("birdclef")
PROGRESS = LOGGER.getChild("progress")  # progress bars are shown where it is enabled for INFO
RESULT = 25  # level of tables of results: between INFO and WARNING
WIDE = 110  # characters in a line; from this width on, progress has room for a bar
# lowest level that each `log.mode` prints on standard output
LEVELS: Mapping[str, int] = MappingProxyType(
    {
        "all": logging.INFO,
        "info": logging.INFO,
        "result": RESULT,
        "progress": logging.WARNING,
        "error": logging.WARNING,
    }
)


class TerminalHandler(RichHandler):
    """Prints messages without columns for time, level and file; a record's `prefix` stands in front, in its `style`."""

    def __init__(self, console: Console, level: int) -> None:
        super().__init__(level, console, highlighter=NullHighlighter(), keywords=[])

    def render(
        self,
        *,
        record: logging.LogRecord,
        traceback: Traceback | None,
        message_renderable: ConsoleRenderable,
    ) -> ConsoleRenderable:
        """Return the record as rich prints it."""
        return _rendered(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        """Pass the error on: a script stops if its output is closed or the disk is full."""
        if sys.exception():  # none: there is no output at all, as under pythonw
            raise  # noqa: PLE0704 — called while the error is handled


class LogFileHandler(logging.FileHandler):
    """Appends every message to a UTF-8 file, whatever `log.mode` is."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the time and the message as plain text."""
        time = datetime.fromtimestamp(record.created).astimezone().isoformat(timespec="seconds")
        return f"{time} {plain_text(_rendered(record))}"

    def handleError(self, record: logging.LogRecord) -> NoReturn:  # noqa: N802
        """Pass the error on."""
        raise  # noqa: PLE0704 — called while the error is handled


class WarningCollector(logging.Handler):
    """Collects the texts of warnings."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the text of a record."""
        self.texts.append(record.getMessage())


@contextmanager
def collected_warnings() -> Iterator[list[str]]:
    """Also collect the texts of all warnings of the block, for a process whose output nobody sees."""
    collector = WarningCollector()
    LOGGER.addHandler(collector)
    try:
        yield collector.texts
    finally:
        LOGGER.removeHandler(collector)


def log_table(table: Table) -> None:
    """Log a table of results; those who capture it get its text."""
    LOGGER.log(RESULT, "%s", plain_text(table), extra={"table": table}, stacklevel=3)


def log_line(level: int, text: str, *, prefix: str = "", style: str = "") -> None:
    """Log one line.

    Parameters
    ----------
    text : may name commands as in the repository, such as `python spec.py` (utils/commands.py)
    prefix : printed in front of the text, but no part of the message for those who capture it
    style : rich's style of the prefix, or of the whole line where there is no prefix
    """
    LOGGER.log(level, "%s", with_commands(text), extra={"prefix": with_commands(prefix), "style": style}, stacklevel=3)


def plain_text(renderable: ConsoleRenderable) -> str:
    """Return what rich would print, without colours."""
    text = io.StringIO()
    Console(file=text, highlight=False, soft_wrap=True, width=WIDE).print(renderable)
    return text.getvalue().removesuffix("\n")


def _rendered(record: logging.LogRecord) -> ConsoleRenderable:
    table: Table | None = getattr(record, "table", None)
    if table is not None:
        return table
    prefix, style = getattr(record, "prefix", ""), getattr(record, "style", "")
    if not prefix:
        return Text(record.getMessage(), style=style)
    return Text.assemble((prefix, style), " ", record.getMessage())


def choose_levels(mode: str) -> None:
    """Print what `log.mode` asks for; warnings and errors are printed in every mode."""
    _to_stdout.setLevel(LEVELS[mode])
    PROGRESS.setLevel(logging.INFO if mode in ("all", "progress") else logging.ERROR)


def print_only_errors() -> None:
    """Log nothing but errors from now on, and show no progress."""
    LOGGER.setLevel(logging.ERROR)
    PROGRESS.setLevel(logging.ERROR)


def choose_file(path: Path | None) -> None:
    """Append all messages to this file, and no longer to the file of an earlier call.

    Raises
    ------
    OSError
        If the file cannot be written.
    """
    for handler in [handler for handler in LOGGER.handlers if isinstance(handler, LogFileHandler)]:
        LOGGER.removeHandler(handler)
        handler.close()
    if path:
        path.parent.mkdir(parents=True, exist_ok=True)
        LOGGER.addHandler(LogFileHandler(path, encoding="utf-8"))


STDOUT = Console(highlight=False, soft_wrap=True)
_to_stdout = TerminalHandler(STDOUT, logging.INFO)
_to_stdout.addFilter(lambda record: record.levelno < logging.WARNING)
logging.addLevelName(RESULT, "RESULT")
LOGGER.setLevel(logging.INFO)
LOGGER.propagate = False
LOGGER.addHandler(_to_stdout)
LOGGER.addHandler(TerminalHandler(Console(highlight=False, soft_wrap=True, stderr=True), logging.WARNING))
