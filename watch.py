"""Predict recordings as they arrive in a folder, each once, for days and weeks: into one table a day, and on a page.

    python watch.py /data/station --snapshot snapshots/mine
    python watch.py /data/station --snapshot snapshots/mine --out /data/results --no-browser --port 8765
    python watch.py /data/station --snapshot snapshots/mine --once

A recording is predicted as by predict.py, with the settings of the run, once it no longer grows. Killed at any moment,
the same command resumes: no recording is left out, and none is predicted twice. Ctrl-C, or a request to terminate, ends
it after the recording that is being predicted. --once predicts what is there and ends, for cron.

The page opens in the browser, from this machine for this machine alone: the species of the day, the last detections
with spectrogram and sound, and how many recordings are done, waiting and failed.
"""

import sys
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from config import Config
from utils import console
from utils.scoring.prediction_call import split_call
from utils.watching.call import WatchFlags

if TYPE_CHECKING:
    from utils.watching.watching import Watched


def main(places: list[str], config: Config, flags: WatchFlags) -> "Watched":
    """Watch a folder until somebody stops it, and print what was predicted."""
    from utils.watching.watching import open_watch, report_watch, run_watch

    elapsed = console.stopwatch()
    with open_watch(places, config, flags) as watch:
        tally = run_watch(watch, flags)
        return report_watch(watch, tally, flags, seconds=elapsed())


def command(arguments: Sequence[str]) -> int:
    """Run the command line `FOLDER [EXPERIMENT.toml] [--flag VALUE …]`; return the exit status."""
    places, words = split_call(arguments)
    return console.run(
        partial(main, places),
        doc=__doc__,
        sections=("testing", "submission", "metadata", "log"),
        flags=WatchFlags,
        complete=lambda done: done.complete,
        arguments=words,
        script="watch.py FOLDER",
    )


if __name__ == "__main__":
    sys.exit(command(sys.argv[1:]))
