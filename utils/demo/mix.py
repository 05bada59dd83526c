"""Mix soundscapes of your own recordings, with every onset known: to choose thresholds and settings by.

    python -m utils.demo.mix datasets/birds/train mixed --noise datasets/noise/train

RECORDINGS holds a folder for each species; each call is a loud part of one of its recordings. Nobody knows when birds
call in such recordings, so a few "calls" are something else, and other species may sing in them. Where models are
chosen by the result, mix only recordings of train/.
Writes OUT/mixed_00.flac, …, then OUT/annotations.csv (file, start, end, species, from_recording, snr_db) and
OUT/sources.json (what was used). Test models on them:

    python submission_soundscape.py experiments/mine.toml --submission.recordings mixed
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import polars as pl

from utils.console import (
    INCOMPLETE,
    STOPPED,
    Failure,
    UserError,
    accept_any_text,
    alone,
    clock,
    info,
    printable,
    progress,
    report_failures,
    show_table,
    stopwatch,
    warning,
)
from utils.demo.mixed_soundscapes import MixedCall, MixSettings, Sources, UsedSound, find_sources, mix_soundscape
from utils.demo.sound_files import write_flac
from utils.files import remove_leftovers, unrelated_names, write_json
from utils.tables import write_csv

_MARK = "mix.json"
_TABLES = ("annotations.csv", "sources.json")
_OURS = ("mixed_*.flac", *_TABLES, _MARK)
_ANNOTATION_TYPES = {
    **{"file": pl.String, "start": pl.Float64, "end": pl.Float64, "species": pl.String},
    **{"from_recording": pl.String, "snr_db": pl.Float64},
}


@dataclass(frozen=True)
class MixResult:
    """What was mixed, and what could not be used."""

    soundscapes: int
    calls: int
    species: int
    recordings: int
    failures: Sequence[Failure]


def mix(recordings: Path, out: Path, *, noises: Sequence[Path], count: int, settings: MixSettings) -> MixResult:
    """Write soundscapes and their tables to `out`.

    Parameters
    ----------
    recordings : folder of class folders
    noises : folders of recordings without birds
    count : number of soundscapes

    Raises
    ------
    UserError
        If there is nothing to mix, or `out` holds other files, or soundscapes that were mixed otherwise.
    """
    sources = find_sources(recordings, noises)
    _check_not_inside(out, (recordings, *noises))
    made_with = {
        "recordings": str(recordings),
        "noises": [str(folder) for folder in noises],
        "count": count,
        **asdict(settings),
    }
    made_with["snr"] = list(settings.snr)
    _check_empty(out, made_with)
    with alone(out, "mix"):
        remove_leftovers(out)
        for table in _TABLES:  # they belong to the soundscapes beside them, which may change now
            (out / table).unlink(missing_ok=True)
        write_json(out / _MARK, made_with)
        return _write_mixed(sources, out, count=count, settings=settings)


def _check_not_inside(out: Path, folders: Sequence[Path]) -> None:
    for folder in folders:
        if out.resolve().is_relative_to(folder.resolve()):
            raise UserError(f"{printable(out)} is in {printable(folder)}, which is read; choose a folder elsewhere")


def _check_empty(out: Path, made_with: dict[str, object]) -> None:
    """Refuse a folder that holds other files, or soundscapes that were mixed otherwise."""
    if others := unrelated_names(out, _OURS):
        raise UserError(f"{printable(out)} holds other files ({others[0]}); choose an empty folder")
    mixed = unrelated_names(out, (_MARK,))  # a call that failed leaves the mark alone
    mark = out / _MARK
    if mixed and not (mark.is_file() and _made_with(mark) == made_with):
        raise UserError(f"{printable(out)} holds soundscapes that were mixed otherwise; delete it or choose another")


def _made_with(mark: Path) -> object:
    try:
        return json.loads(mark.read_bytes())
    except ValueError:
        return None


def _write_mixed(sources: Sources, out: Path, *, count: int, settings: MixSettings) -> MixResult:
    digits = max(2, len(str(count - 1)))
    calls: list[dict[str, object]] = []
    used: list[dict[str, object]] = []
    with progress("Mixing", total=count, unit="soundscapes") as advance:
        for index in range(count):
            name = f"mixed_{index:0{digits}d}.flac"
            sound, its_calls, its_sources = mix_soundscape(sources, settings, index)
            write_flac(out / name, sound, rate=settings.rate)
            calls += [_annotation_row(name, call) for call in its_calls]
            used += [_source_row(name, one) for one in its_sources]
            advance(note=name)
    table = pl.DataFrame(calls, schema=_ANNOTATION_TYPES)
    write_json(out / "sources.json", {"sources": used})  # no table, which a reader of annotations would have to explain
    write_csv(out / "annotations.csv", table)
    recordings = len({row["recording"] for row in used})
    return MixResult(count, len(table), table["species"].n_unique(), recordings, tuple(sources.failures))


def _annotation_row(name: str, call: MixedCall) -> dict[str, object]:
    start, end = round(call.start, 3), round(call.end, 3)
    return dict(
        zip(_ANNOTATION_TYPES, (name, start, end, call.species, call.recording, round(call.snr, 1)), strict=True)
    )


def _source_row(name: str, one: UsedSound) -> dict[str, object]:
    return {
        "soundscape": name,
        "role": one.role,
        "recording": one.recording,
        "at": round(one.at, 2),
        "seconds": round(one.seconds, 3),
    }


def _mix_parser() -> argparse.ArgumentParser:
    usual = MixSettings()
    parser = argparse.ArgumentParser(
        prog="python -m utils.demo.mix", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("recordings", type=Path, help="folder with a folder of recordings for each species")
    parser.add_argument("out", type=Path, help="folder for the soundscapes; must not hold other files")
    parser.add_argument(
        "--noise", type=Path, nargs="+", required=True, metavar="FOLDER", help="folders of recordings without birds"
    )
    parser.add_argument("--count", type=int, default=8, help="number of soundscapes (default %(default)s)")
    parser.add_argument(
        "--seconds", type=float, default=usual.seconds, help="length of a soundscape (default %(default)g)"
    )
    parser.add_argument("--events", type=float, default=usual.events, help="calls per minute (default %(default)g)")
    parser.add_argument(
        "--snr",
        type=float,
        nargs=2,
        default=usual.snr,
        metavar=("LOW", "HIGH"),
        help="signal-to-noise ratio of calls, drawn between these, dB (default 3 20)",
    )
    parser.add_argument("--rate", type=int, default=usual.rate, help="sample rate, Hz (default %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the random numbers (default 0)")
    return parser


def _check(words: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    """End with a line about the first value that cannot be used."""
    for name, low, high in (
        ("count", 1, 10_000),
        ("seconds", 5, 3600),
        ("events", 0, 600),
        ("rate", 8000, 192_000),
        ("seed", 0, 2**32 - 1),
    ):
        if not low <= getattr(words, name) <= high:
            parser.error(f"--{name} {getattr(words, name):g}: should be {low} to {high}")
    if not -60 <= words.snr[0] <= words.snr[1] <= 60:
        parser.error(f"--snr {words.snr[0]:g} {words.snr[1]:g}: should be two numbers from −60 to 60, the lower first")


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the command line, mix, and print what was done; the exit status is 3 if a recording could not be used."""
    parser = _mix_parser()
    words = parser.parse_args(arguments)
    _check(words, parser)
    accept_any_text()
    passed = stopwatch()
    settings = MixSettings(words.seconds, words.events, tuple(words.snr), words.rate, words.seed)
    try:
        made = mix(words.recordings, words.out, noises=words.noise, count=words.count, settings=settings)
    except (UserError, OSError) as error:
        warning(str(error))
        return 1
    except KeyboardInterrupt:
        warning("stopped; no file is half-written, and the same command starts again here")
        return STOPPED
    report_failures(made.failures, what="recordings")
    rows = {
        "soundscapes": f"{made.soundscapes} of {clock(words.seconds)}",
        "calls": f"{made.calls:,} of {made.species} species, in annotations.csv",
        "recordings": f"{made.recordings:,} used, in sources.json",
    }
    show_table(f"Written to {printable(words.out)} in {clock(passed())}", rows)
    info(f"next: python submission_soundscape.py EXPERIMENT --submission.recordings {printable(words.out)}")
    return INCOMPLETE if made.failures else 0


if __name__ == "__main__":
    sys.exit(main())
