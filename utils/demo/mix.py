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
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from utils.commands import with_commands
from utils.console import (
    INCOMPLETE,
    clock,
    info,
    printable,
    report_failures,
    show_table,
    stopwatch,
)
from utils.demo.mix_settings import MixSettings
from utils.tool_call import run_tool


def _mix_parser() -> argparse.ArgumentParser:
    usual = MixSettings()
    parser = argparse.ArgumentParser(
        prog=with_commands("python -m utils.demo.mix"),
        description=with_commands(__doc__),
        formatter_class=argparse.RawDescriptionHelpFormatter,
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
    return run_tool(partial(_mix, words), again="starts again")


def _mix(words: argparse.Namespace) -> int:
    from utils.demo.mixing import mix  # takes a second, which --help need not wait for

    passed = stopwatch()
    settings = MixSettings(words.seconds, words.events, tuple(words.snr), words.rate, words.seed)
    made = mix(words.recordings, words.out, noises=words.noise, count=words.count, settings=settings)
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
