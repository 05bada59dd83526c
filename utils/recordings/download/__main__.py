"""Download recordings from xeno-canto, with their metadata and licences, balanced by species.

    export XENO_CANTO_KEY=…          # from xeno-canto.org/account
    python -m utils.recordings.download birds --species 'Turdus merula' 'Parus major' --limit 50 --min-quality B
    python -m utils.recordings.download birds --query 'cnt:kenya grp:birds type:song' --max-length 120 --dry-run

Writes OUT/sounds/XC<number>.<suffix>, the API's JSON of each recording beside it, OUT/licences.csv (who recorded what,
under which licence) and OUT/download.log (what was left out). One request at a time, with pauses; what is there is not
downloaded again. xeno-canto asks people not to mass-download: take what you need, and ask them for large amounts. The
exit status is 3 if something had to be left out.

Source: xeno-canto.org/explore/api, version 3.
"""

import argparse
import os
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

from utils.commands import with_commands
from utils.console import (
    INCOMPLETE,
    UserError,
    clock,
    info,
    printable,
    report_failures,
    show_grid,
    show_table,
    stopwatch,
    warning,
)
from utils.recordings.download.servers import SITE
from utils.tool_call import run_tool

if TYPE_CHECKING:
    from utils.recordings.download.downloading import Downloaded

API_KEY = "XENO_CANTO_KEY"
MIN_PAUSE = 1.0  # seconds; xeno-canto's limit is a request per second
MAX_LISTED = 20  # failures on the terminal; download.log has all


@dataclass(frozen=True)
class DownloadFlags:
    """Flags of a call; the parser has their defaults."""

    query: str
    species: Sequence[str]
    limit: int
    min_quality: str | None
    max_length: float | None
    pause: float
    refresh: bool
    dry_run: bool
    server: str


def _download_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=with_commands("python -m utils.recordings.download"),
        description=with_commands(__doc__),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("out", type=Path, help="folder for the recordings; may hold those of earlier calls")
    add("--query", default="", help="tags of xeno-canto's search; with --species, for each of them")
    add("--species", nargs="+", default=(), metavar="NAME", help="scientific names, or files with one in each line")
    add("--limit", type=int, default=100, help="most recordings of a species, the best first (default 100); 0: all")
    add("--min-quality", "--min_quality", choices=[*"ABCDE"], help="lowest rating (default: any)")
    add("--max-length", "--max_length", type=float, metavar="SECONDS", help="longest recording (default: any)")
    add("--pause", type=float, default=MIN_PAUSE, metavar="SECONDS", help="between requests (default 1, the least)")
    add("--refresh", action="store_true", help="search anew; else the results of earlier calls are read, of any age")
    add("--dry-run", "--dry_run", action="store_true", help="search and show what there is; download no sound")
    add("--server", default=SITE, help="another site with the same API (default %(default)s)")
    return parser


def _check_flags(flags: DownloadFlags, parser: argparse.ArgumentParser, *, least: float) -> None:
    """End with a line about the first value that cannot be used."""
    if not 0 <= flags.limit <= 1_000_000:
        parser.error(f"--limit {flags.limit}: should be 1 to 1000000, or 0 for all")
    if flags.max_length is not None and not 0 < flags.max_length <= 1e6:
        parser.error(f"--max-length {flags.max_length:g}: should be more than 0 seconds")
    if not least <= flags.pause <= 3600:
        parser.error(f"--pause {flags.pause:g}: should be {least:g} to 3600 seconds")


def _key_of_api() -> str:
    """Return the key of the API, which no file and no message repeats.

    Raises
    ------
    UserError
        If there is none, or it cannot be one.
    """
    key = os.environ.get(API_KEY, "").strip()
    if not key:
        raise UserError(f"{API_KEY} is not set: put your key of the API there (it is shown at {SITE}/account)")
    if not re.fullmatch(r"[A-Za-z0-9._~-]{1,200}", key):
        raise UserError(
            f"{API_KEY} holds other characters than letters, digits and . _ ~ -; copy it from {SITE}/account"
        )
    return key


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the command line, download, and print what was done; the exit status is 3 if something was left out."""
    parser = _download_parser()
    words = parser.parse_args(arguments)
    flags = DownloadFlags(**{field.name: getattr(words, field.name) for field in fields(DownloadFlags)})

    def work() -> int:
        passed = stopwatch()
        done = _download(words.out, flags, parser)
        _show(done, words.out, flags, seconds=passed())
        return INCOMPLETE if done.failures else 0

    return run_tool(work)


def _download(out: Path, flags: DownloadFlags, parser: argparse.ArgumentParser) -> "Downloaded":
    from utils.recordings.download.candidates import Wanted
    from utils.recordings.download.client import FIRST_WAIT, Client
    from utils.recordings.download.downloading import download
    from utils.recordings.download.servers import server_of

    server = server_of(flags.server)
    _check_flags(flags, parser, least=0.0 if server.local else MIN_PAUSE)
    # a server on this machine needs no patience
    client = Client(server, key=_key_of_api(), pause=flags.pause, first_wait=min(FIRST_WAIT, flags.pause * FIRST_WAIT))
    return download(
        out,
        client,
        Wanted(flags.limit or None, flags.min_quality, flags.max_length),
        species=flags.species,
        query=flags.query,
        refresh=flags.refresh,
        dry_run=flags.dry_run,
    )


def _show(done: "Downloaded", out: Path, flags: DownloadFlags, *, seconds: float) -> None:
    """Print what was found, what is there now, what was left out, and what to do next."""
    candidates = done.candidates
    chosen = candidates.chosen()
    if flags.dry_run:
        show_grid("Found", ("species", "recordings", "chosen", "quality"), candidates.rows())
    length = sum(candidate.seconds or 0.0 for candidate in chosen)
    rows = {
        "found": f"{candidates.found:,} recordings, {len(chosen):,} chosen ({clock(length)}), "
        f"{len({candidate.recording.species for candidate in chosen}):,} species",
        "pages of results": f"{done.pages.asked:,} asked for"
        + (f", {done.pages.cached:,} cached from earlier calls (--refresh asks again)" if done.pages.cached else ""),
        **{f"not wanted: {reason}": f"{count:,}" for reason, count in sorted(candidates.passed_over.items())},
    }
    if not flags.dry_run:
        rows["downloaded"] = f"{done.fetched:,}; {done.present:,} were there"
    show_table(f"{'Would be written' if flags.dry_run else 'Written'} to {printable(out)} ({clock(seconds)})", rows)
    _show_licences(done, flags)
    report_failures(done.failures[:MAX_LISTED], what="recordings or species", count=len(done.failures))
    if len(done.failures) > MAX_LISTED and not flags.dry_run:
        info(f"{printable(out / 'download.log')} lists all of them")
    if not flags.dry_run and done.recordings:
        where = printable(out)
        info(f"next: python sort_data.py --dataset.archive {where} --dataset.root {where}-sorted "
             "--dataset.sort_mode symlink")  # fmt: skip


def _show_licences(done: "Downloaded", flags: DownloadFlags) -> None:
    from utils.recordings.download.licences import forbids_derivatives, licence_counts

    chosen = done.candidates.chosen()
    ours = [candidate.recording for candidate in chosen] if flags.dry_run else done.recordings
    if ours:
        info(f"licences: {licence_counts(ours)}")
    restricted = sum("restricted" in failure.reason for failure in done.failures)
    if restricted:
        warning(f"{restricted:,} recordings are restricted: xeno-canto gives no sound of endangered species")
    without = sum(map(forbids_derivatives, ours))
    if without:
        warning(f"{without:,} recordings have a licence without derivatives (ND): share no clips or mixes of them")


if __name__ == "__main__":
    sys.exit(main())
