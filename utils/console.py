"""What a person sees while a script runs: lines, progress bars, a summary, and one clear line for what went wrong."""

import errno
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from config import SettingsError, from_command_line

_console = Console(highlight=False, soft_wrap=True)
_errors = Console(highlight=False, soft_wrap=True, stderr=True)

STOPPED = 130  # the shells' exit status for Ctrl-C
OUTPUT_IS_LOST = {errno.ENOSPC, errno.EDQUOT, errno.EROFS}  # nothing more can be written: a stage must stop, not go on to the next recording


class Trouble(Exception):
    """Something that the user can mend; its text is one line that names what is wrong and what to do."""


@dataclass(frozen=True)
class Failure:
    """One thing that a stage had to leave out.

    Attributes
    ----------
    name : the recording or file, as the user knows it
    reason : why, in a few words
    """

    name: str
    reason: str


def say(text: str) -> None:
    """Print one line."""
    _console.print(escape(text))


def warn(text: str) -> None:
    """Print one line that the user should not overlook."""
    _errors.print(f"[yellow]warning:[/yellow] {escape(text)}")


def report_failures(failures: Sequence[Failure], *, what: str) -> None:
    """List what was left out and why, one line each; `what` names the kind of thing, in the plural."""
    if not failures:
        return
    _errors.print(f"[yellow]{len(failures)} {escape(what)} left out:[/yellow]")
    for failure in sorted(failures, key=lambda failure: failure.name):
        _errors.print(f"  {escape(failure.name)}: {escape(failure.reason)}")


def show_table(title: str, rows: Mapping[str, str]) -> None:
    """Print a summary: what each figure is, and the figure."""
    table = Table(title=title, title_justify="left", title_style="bold", show_header=False, box=None, pad_edge=False)
    table.add_column(style="cyan", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in rows.items():
        table.add_row(escape(name), escape(value))
    _console.print(table)


@contextmanager
def progress(what: str, *, total: int, unit: str) -> Iterator[Callable[..., None]]:
    """Show a progress bar; yields `advance(count=1, note="")`.

    Parameters
    ----------
    what : what is being done, a word or two
    total : how many `unit` there are to do
    unit : what is counted, in the plural
    """
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TextColumn(escape(unit)),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=_console) as bar:
        task = bar.add_task(escape(what), total=total, note="")

        def advance(count: int = 1, note: str = "") -> None:
            bar.update(task, advance=count, note=escape(note))

        yield advance


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


def run(main: Callable[..., Any], *, doc: str, flags: type | None = None) -> int:
    """Run one script: read the command line, call `main`, and turn what goes wrong into one line.

    Parameters
    ----------
    main : called with the config, and with the script's own flags where it has any
    doc : the script's docstring, the head of its `--help`
    flags : dataclass of what a single call may ask for (such as `--fresh`); never saved with the settings

    Returns
    -------
    The exit status: 0, 1 where the stage could not be done, 2 for wrong settings, 130 after Ctrl-C.
    """
    try:
        config, call = from_command_line(sys.argv[1:], doc=doc, script=Path(sys.argv[0]).name, flags=flags)
        main(config) if call is None else main(config, call)
    except SettingsError as error:
        return _end(str(error), status=2)
    except Trouble as error:
        return _end(str(error), status=1)
    except KeyboardInterrupt:
        return _end("stopped; nothing is half-written, and the same command goes on from here", status=STOPPED)
    except OSError as error:
        if error.errno in OUTPUT_IS_LOST or isinstance(error, PermissionError):
            return _end(f"{error.filename or 'output'}: {error.strerror}; what was finished is kept, and the same command goes on from there", status=1)
        raise
    return 0


def _end(text: str, *, status: int) -> int:
    _errors.print(f"[red]{Path(sys.argv[0]).name}:[/red] {escape(text)}")
    return status
