"""What a person sees while a script runs: lines, progress bars, a summary, and one clear line for what went wrong."""

import codecs
import errno
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, NoReturn

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from config import Log, SettingsError, from_command_line
from utils.files import only_one

_console = Console(highlight=False, soft_wrap=True)
_errors = Console(highlight=False, soft_wrap=True, stderr=True)
_told = {"lines", "progress", "results"}  # what the settings of `log` let through, besides warnings and errors
_files: list[Path] = []  # that every line is appended to: one or none

STOPPED = 130  # the shells' exit status for Ctrl-C
WIDE = 110  # characters in a line, from which on progress has room for a bar, too
INCOMPLETE = 3  # exit status of a stage that is done, but had to leave something out
# nothing more can be written or opened: a stage must stop, not go on to the next recording
OUTPUT_IS_LOST = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG, errno.EIO, errno.EMFILE, errno.ENFILE}


_asked_to_stop = threading.Event()  # set by Ctrl-C


class UserError(Exception):
    """Something that the user can mend; its text is one line that names what is wrong and what to do."""


@dataclass(frozen=True)
class Failure:
    """One thing that a stage had to leave out.

    Attributes
    ----------
    name : the recording or file, as the user knows it
    reason : why, in a few words
    passing : whether it may work when it is tried again, for it was not the file's fault
    """

    name: str
    reason: str
    passing: bool = False


def say(text: str) -> None:
    """Print one line."""
    _print(_console, _plain(text), told="lines" in _told)


def warn(text: str) -> None:
    """Print one line that the user should not overlook."""
    _print(_errors, f"[yellow]warning:[/yellow] {_plain(text)}")


def choose_what_is_told(settings: Log) -> None:
    """Obey the settings of `log`; errors and warnings are told in every mode.

    Raises
    ------
    UserError
        If the file cannot be written.
    """
    told = {"all": _told, "info": {"lines", "results"}, "progress": {"progress"}, "error": set(), "result": {"results"}}
    _told.intersection_update(told[settings.mode])
    if settings.file:
        try:
            settings.file.parent.mkdir(parents=True, exist_ok=True)
            settings.file.open("a", encoding="utf-8").close()
        except OSError as error:
            raise UserError(f"log.file = {settings.file}: {error.strerror}") from None
        _files[:] = [settings.file]


def accept_any_text() -> None:
    """Let standard output take any text: what its encoding lacks, as that of many a log or Windows terminal does, becomes '?'. A closed output is none.

    Python does so for errors already, where it writes escapes. Notebooks and IDLE have streams of their own, which take
    everything.
    """
    if sys.stdout is None:
        sys.stdout = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 — it lives as long as the process
    if sys.stderr is None:
        sys.stderr = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if getattr(stream, "errors", None) in ("strict", "surrogateescape") and hasattr(stream, "reconfigure"):
            with suppress(OSError, ValueError):
                stream.reconfigure(errors="replace")


def _warn_of_names() -> None:
    """Warn where Python reads the names of files in an encoding that lacks most letters: such names cannot be used."""
    if codecs.lookup(sys.getfilesystemencoding()).name != "utf-8":
        warn(
            f"Python reads names of files as {sys.getfilesystemencoding()} here, and those with other letters cannot be used; set PYTHONUTF8=1"
        )


def _print(console: Console, what: str | Table, *, told: bool = True) -> None:
    """Print to a console, if it is to be told, and in any case to the file."""
    accept_any_text()
    if told:
        console.print(what)
    for path in _files:
        with path.open("a", encoding="utf-8") as stream:
            stream.write(f"{datetime.now().astimezone().isoformat(timespec='seconds')} ")
            Console(file=stream, highlight=False, soft_wrap=True, width=WIDE).print(what)


def _plain(text: str) -> str:
    """Make any text printable as one line, without markup."""
    return escape(one_line(text))


def one_line(text: str) -> str:
    """Return a text as one line: what is no Unicode, ends of lines, and what changes how a terminal writes is written out, as names may hold it."""
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
    count : how many there are, where only some are told
    """
    if not failures:
        return
    count = count or len(failures)
    if count == 1:
        what = re.sub(r"^(\w+)s\b", r"\1", what)
    _print(_errors, f"[yellow]{count:,} {_plain(what)} {_plain(done)}:[/yellow]")
    for failure in sorted(failures, key=lambda failure: failure.name):
        _print(_errors, f"  {_plain(failure.name)}: {_plain(failure.reason)}")


def show_table(title: str, rows: Mapping[str, str]) -> None:
    """Print a summary: what each figure is, and the figure."""
    table = Table(title=title, title_justify="left", title_style="bold", show_header=False, box=None, pad_edge=False)
    table.add_column(style="cyan", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in rows.items():
        table.add_row(_plain(name), _plain(value))
    _print(_console, table, told="results" in _told)


def show_grid(title: str, headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table: the first column names, the others are figures."""
    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False)
    for number, heading in enumerate(headings):
        table.add_column(
            _plain(heading),
            style="cyan" if number == 0 else "",
            justify="left" if number == 0 else "right",
            no_wrap=number > 0,
        )
    for row in rows:
        table.add_row(*map(_plain, row))
    _print(_console, table, told="results" in _told)


@contextmanager
def progress(what: str, *, total: int, unit: str, spoken: bool = False) -> Iterator[Callable[..., None]]:
    """Show a progress bar; yields `advance(count=1, note="")`, which also stops the stage where Ctrl-C was pressed.

    Parameters
    ----------
    what : what is being done, a word or two
    total : how many `unit` there are to do
    unit : what is counted, in the plural
    spoken : say `done 7,312 of 10,000` and the note, which knows better how long the rest takes
    """
    accept_any_text()
    wide = _console.width >= WIDE
    said = TextColumn("done {task.completed:,} of {task.total:,}{task.fields[comma]}{task.fields[note]}")
    counted = (
        MofNCompleteColumn(),
        TextColumn(_plain(unit)),
        *([TimeElapsedColumn()] if wide else []),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        *([BarColumn(bar_width=30)] if wide else []),
        *((said,) if spoken else (*counted, TextColumn("{task.fields[note]}"))),
    )
    with Progress(*columns, console=_console, disable="progress" not in _told) as bar:
        task = bar.add_task(_plain(what), total=total, note="", comma="")

        def advance(count: int = 1, note: str = "") -> None:
            bar.update(task, advance=count, note=_plain(note), comma=", " if note else "")
            if _asked_to_stop.is_set():  # the exception itself may get lost, where a library was called back just then
                raise KeyboardInterrupt

        yield advance


@contextmanager
def alone(folder: Path, stage: str) -> Iterator[None]:
    """Let only one process at a time do a stage on a folder.

    Raises
    ------
    UserError
        If another process is doing it.
    """
    with only_one(folder, stage) as ours:
        if not ours:
            raise UserError(f"{shown(folder)}: another {stage} is working here; wait until it has ended")
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


def shown(path: Path) -> str:
    """Write a path as a user would type it: relative where it lies below the current folder."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)


def run(
    main: Callable[..., Any],
    *,
    doc: str,
    flags: type | None = None,
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
        config, call = from_command_line(
            sys.argv[1:] if arguments is None else arguments, doc=doc, script=name, flags=flags
        )
        choose_what_is_told(config.log)
        _warn_of_names()
        result = main(config) if call is None else main(config, call)
    except SettingsError as error:
        return _end(str(error), name=name, status=2)
    except UserError as error:
        return _end(str(error), name=name, status=1)
    except KeyboardInterrupt:
        _leave(
            _end("stopped; nothing is half-written, and the same command goes on from here", name=name, status=STOPPED)
        )
    except BrokenPipeError:  # the reader of a pipe, such as `head`, has seen enough
        _leave(1)
    except OSError as error:
        if isinstance(error, FileExistsError | NotADirectoryError | IsADirectoryError):
            return _end(
                f"{error.filename or 'output'}: {error.strerror}; move it away, for something else belongs there",
                name=name,
                status=1,
            )
        if error.errno == errno.ENAMETOOLONG:
            return _end(f"{str(error.filename)[:80]}…: {error.strerror}", name=name, status=1)
        if error.errno in OUTPUT_IS_LOST or isinstance(error, PermissionError):
            _leave(
                _end(
                    f"{error.filename or 'output'}: {error.strerror}; what was finished is kept, and the same command goes on from there",
                    name=name,
                    status=1,
                )
            )
        raise
    return 0 if complete(result) else INCOMPLETE


@contextmanager
def stop_when_ready() -> Iterator[Callable[[], bool]]:
    """Let Ctrl-C, or a request to end, only ask a stage to stop at the next good moment; asked again, it stops at once. Yields whether it was asked."""
    if threading.current_thread() is not threading.main_thread():  # only there signals arrive
        yield lambda: False
        return
    asked = threading.Event()

    def ask(*_: object) -> None:
        if asked.is_set():
            _interrupt()
        asked.set()
        say("stopping as soon as the step is done and saved; Ctrl-C again stops at once")

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield asked.is_set
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _interrupt(*_: object) -> None:
    _asked_to_stop.set()
    raise KeyboardInterrupt


def _leave(status: int) -> NoReturn:
    """End the process at once: threads that are still computing or saving would crash while Python takes itself apart."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):  # nobody reads it any more, or it is closed
            stream.flush()
    os._exit(status)


def _end(text: str, *, name: str, status: int) -> int:
    _print(_errors, f"[red]{_plain(name)}:[/red] {_plain(text)}")
    return status
