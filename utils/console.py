"""How a script runs, and what it prints: messages, tables, progress bars, and one line for what went wrong."""

import codecs
import errno
import logging
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from config import Log, SettingsError, is_address
from utils.command_line import from_command_line
from utils.commands import with_commands
from utils.files import try_lock
from utils.messages import PROGRESS, STDOUT, WIDE, choose_file, choose_levels, log_line, log_table

STOPPED = 130  # the shells' exit status for Ctrl-C
INCOMPLETE = 3  # exit status of a stage that is done, but had to leave something out
# nothing more can be written or opened: a stage must stop instead of trying the next recording
OUTPUT_IS_LOST = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG, errno.EIO, errno.EMFILE, errno.ENFILE}

_interrupted = threading.Event()  # set by Ctrl-C


class UserError(Exception):
    """Something that the user can fix; its text is one line that names what is wrong and what to do."""


@dataclass(frozen=True)
class Failure:
    """One thing that a stage had to leave out.

    Attributes
    ----------
    name : the recording or file, as the user knows it
    reason : why, in a few words
    transient : whether a second try may succeed, because the file itself need not be at fault
    """

    name: str
    reason: str
    transient: bool = False


def info(text: str) -> None:
    """Print one line."""
    log_line(logging.INFO, one_line(text))


def warning(text: str) -> None:
    """Print one line that the user should not overlook."""
    log_line(logging.WARNING, one_line(text), prefix="warning:", style="yellow")


def obey_log_settings(settings: Log) -> None:
    """Choose what is printed, and the log file.

    Raises
    ------
    UserError
        If the file cannot be written.
    """
    choose_levels(settings.mode)
    try:
        choose_file(settings.file)
    except OSError as error:
        raise UserError(f"log.file = {settings.file}: {error.strerror}") from None


def accept_any_text() -> None:
    """Let standard output take any text: characters that its encoding lacks become '?'; a closed output takes all.

    Many logs and Windows terminals have such an encoding. For standard error Python does so already, with escapes.
    Notebooks and IDLE have streams of their own, which take everything.
    """
    if sys.stdout is None:
        sys.stdout = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 — it lives as long as the process
    if sys.stderr is None:
        sys.stderr = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if getattr(stream, "errors", None) in ("strict", "surrogateescape") and hasattr(stream, "reconfigure"):
            with suppress(OSError, ValueError):
                stream.reconfigure(errors="replace")


def _warn_of_file_names() -> None:
    encoding = sys.getfilesystemencoding()
    if codecs.lookup(encoding).name != "utf-8":
        warning(f"Python reads file names as {encoding}; files with other letters cannot be used; set PYTHONUTF8=1")


def _escaped(text: str) -> str:
    """Make any text printable as one line, without markup."""
    return escape(one_line(with_commands(text)))


def one_line(text: str) -> str:
    """Return a text as one line: line ends, control characters and invalid Unicode become escapes."""
    return re.sub(
        r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]",
        lambda found: repr(found.group())[1:-1],
        text.encode("utf-8", "backslashreplace").decode(),
    )


def report_failures(
    failures: Sequence[Failure], *, what: str, done: str = "left out", count: int | None = None
) -> None:
    """List what was left out and why, one line each.

    Parameters
    ----------
    what, done : the kind of thing, in the plural, and what became of it
    count : how many there are, if only some are listed
    """
    if not failures:
        return
    count = count or len(failures)
    if count == 1:
        what = re.sub(r"^(\w+)s\b", r"\1", what)
    log_line(logging.WARNING, one_line(f"{count:,} {what} {done}:"), style="yellow")
    for failure in sorted(failures, key=lambda failure: failure.name):
        log_line(logging.WARNING, one_line(f"  {failure.name}: {failure.reason}"))


def show_table(title: str, rows: Mapping[str, str]) -> None:
    """Print a summary: the name of each value, and the value."""
    table = Table(
        title=_escaped(title), title_justify="left", title_style="bold", show_header=False, box=None, pad_edge=False
    )
    table.add_column(style="cyan", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in rows.items():
        table.add_row(_escaped(name), _escaped(value))
    log_table(table)


def show_grid(title: str, headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table: names in the first column, values in the others."""
    table = Table(title=_escaped(title), title_justify="left", title_style="bold", box=None, pad_edge=False)
    for index, heading in enumerate(headings):
        table.add_column(
            _escaped(heading),
            style="cyan" if index == 0 else "",
            justify="left" if index == 0 else "right",
            no_wrap=index > 0,
        )
    for row in rows:
        table.add_row(*map(_escaped, row))
    log_table(table)


@contextmanager
def progress(what: str, *, total: int, unit: str, in_words: bool = False) -> Iterator[Callable[..., None]]:
    """Show a progress bar; yields `advance(count=1, note="")`, which also stops the stage after Ctrl-C.

    Parameters
    ----------
    what : what is being done, a word or two
    total : how many `unit` there are to do
    unit : what is counted, in the plural
    in_words : print `done 7,312 of 10,000` and the note, instead of rich's estimate of the time left
    """
    with Progress(
        *_columns(unit, in_words=in_words), console=STDOUT, disable=not PROGRESS.isEnabledFor(logging.INFO)
    ) as bar:
        task = bar.add_task(_escaped(what), total=total, note="", comma="")

        def advance(count: int = 1, note: str = "") -> None:
            bar.update(task, advance=count, note=_escaped(note), comma=", " if note else "")
            if _interrupted.is_set():  # a library that was just calling back may have swallowed the exception
                raise KeyboardInterrupt

        yield advance


def _columns(unit: str, *, in_words: bool) -> list[ProgressColumn]:
    wide = STDOUT.width >= WIDE
    first = [SpinnerColumn(), TextColumn("{task.description}"), *([BarColumn(bar_width=30)] if wide else [])]
    if in_words:
        words = "done {task.completed:,} of {task.total:,}{task.fields[comma]}{task.fields[note]}"
        return [*first, TextColumn(words)]
    elapsed = [TimeElapsedColumn()] if wide else []
    left = [TextColumn("left"), TimeRemainingColumn(), TextColumn("{task.fields[note]}")]
    return [*first, MofNCompleteColumn(), TextColumn(_escaped(unit)), *elapsed, *left]


@contextmanager
def alone(folder: Path, stage: str) -> Iterator[None]:
    """Let only one process at a time do a stage on a folder.

    Raises
    ------
    UserError
        If another process is doing it.
    """
    with try_lock(folder, stage) as ours:
        if not ours:
            raise UserError(f"{printable(folder)}: another {stage} is running here; wait until it has ended")
        yield


def clock(seconds: float) -> str:
    """Write a duration for people: '0.8 s', '42 s', '3 min 05 s', '2 h 07 min'."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    if seconds < 59.5:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def stopwatch() -> Callable[[], float]:
    """Return a function that tells how many seconds have passed since this call."""
    start = time.perf_counter()
    return lambda: time.perf_counter() - start


def printable(path: Path | str) -> str:
    """Write a path as a user would type it: relative where it lies below the current folder; addresses as they are."""
    if is_address(path):
        return path
    path, here = Path(path), Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)


def run(
    main: Callable[..., Any],
    *,
    doc: str,
    flags: type | None = None,
    sections: Sequence[str] | None = None,
    complete: Callable[[Any], bool] = lambda _: True,
    script: str = "",
    arguments: Sequence[str] | None = None,
) -> int:
    """Run one script: read the command line, call `main`, and turn what goes wrong into one line.

    Parameters
    ----------
    main : called with the config, and with the script's own flags where it has any
    doc : the script's docstring, the head of its `--help`
    flags : dataclass of what a single call may ask for (such as `--fresh`); never saved with the settings
    sections : of the settings that `--help` shows: those that the script reads; none: all
    complete : tells by what `main` returned whether nothing was left out
    script : how the script is called, such as "-m utils.models"; '': by its file's name
    arguments : the words of the command line after that; none: as they are

    Returns
    -------
    The exit status: 0, 1 where the stage could not be done, 2 for wrong settings, 3 where it was done but something was
    left out, 130 after Ctrl-C.
    """
    name = script or Path(sys.argv[0]).name
    signal.signal(signal.SIGINT, _interrupt)
    accept_any_text()
    try:
        words, renamed, taken = sys.argv[1:] if arguments is None else arguments, list[str](), list[str]()
        config, call = from_command_line(
            words, doc=doc, script=name, flags=flags, sections=sections, warn=renamed.append, tell=taken.append
        )
        obey_log_settings(config.log)
        for line in taken:
            info(line)
        for line in renamed:
            warning(line)
        _warn_of_file_names()
        result = main(config) if call is None else main(config, call)
    except SettingsError as error:
        return _end(str(error), name=name, status=2)
    except UserError as error:
        return _end(str(error), name=name, status=1)
    except KeyboardInterrupt:
        _leave(_end("stopped; no file is half-written, and the same command resumes here", name=name, status=STOPPED))
    except BrokenPipeError:  # the reader of a pipe, such as `head`, has closed it
        _leave(1)
    except OSError as error:
        advice = _advice(error)
        if not advice:
            raise
        status = _end(advice, name=name, status=1)
        if _is_output_lost(error):
            _leave(status)
        return status
    return 0 if complete(result) else INCOMPLETE


def _is_output_lost(error: OSError) -> bool:
    return error.errno in OUTPUT_IS_LOST or isinstance(error, PermissionError)


def _advice(error: OSError) -> str:
    """Return what went wrong with a file or folder, and what to do; '' if it is not the user's to fix."""
    if isinstance(error, FileExistsError | NotADirectoryError | IsADirectoryError):
        return f"{error.filename or 'output'}: {error.strerror}; move it away, because the output belongs there"
    if error.errno == errno.ENAMETOOLONG:
        return f"{str(error.filename)[:80]}…: {error.strerror}"
    if _is_output_lost(error):
        where = error.filename or "output"
        return f"{where}: {error.strerror}; finished work is kept, and the same command resumes there"
    return ""


@contextmanager
def stop_when_ready() -> Iterator[Callable[[], bool]]:
    """Let Ctrl-C, or a request to terminate, stop a stage at the next good moment; the second one stops it at once.

    Yields
    ------
    A function that tells whether the stage was asked to stop.
    """
    if threading.current_thread() is not threading.main_thread():  # only there signals arrive
        yield lambda: False
        return
    asked = threading.Event()

    def ask(*_: object) -> None:
        if asked.is_set():
            _interrupt()
        asked.set()
        info("stopping after this step is saved; press Ctrl-C again to stop at once")

    before = {caught: signal.signal(caught, ask) for caught in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield asked.is_set
    finally:
        for caught, handler in before.items():
            signal.signal(caught, handler)


def _interrupt(*_: object) -> None:
    _interrupted.set()
    raise KeyboardInterrupt


def _leave(status: int) -> NoReturn:
    """End the process at once: threads that are still computing or saving would crash while Python shuts down."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):  # its reader has gone, or it is closed
            stream.flush()
    os._exit(status)


def _end(text: str, *, name: str, status: int) -> int:
    with suppress(OSError):  # the log file, too, may be on the full disk
        log_line(logging.ERROR, one_line(text), prefix=f"{one_line(with_commands(name))}:", style="red")
    return status
