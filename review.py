"""Verify detections by ear and eye: how precise they are, from which score on, and labels for the next training.

    python predict.py /data/card1 --snapshot snapshots/mine --threshold 0.1 --out detections.csv
    python review.py detections.csv --recordings /data/card1 --reviewer anna
    python review.py detections.csv --recordings /data/card1 --reviewer anna --snapshot snapshots/mine
    python review.py detections.csv --recordings /data/card1 --reviewer ben --second 0.2
    python review.py detections.csv --recordings /data/card1 --summary

A page opens in the browser, from this machine for this machine alone. It shows one detection after the other, those
first that say most; one key gives the verdict: yes, no, other species, unsure. Every verdict is on disk before the next
detection is shown. Several reviewers may share a folder. The end, or --summary, gives the precision of each species
with its interval, the score from which on a wanted share is correct, and a data set for sort_data.py.

With --snapshot, the page also finds more like a detection, and shows a map of all sounds. With --second, another
reviewer reads a share again without the first verdicts, and the summary says how well both agree.
"""

import sys
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from config import Config
from utils import console
from utils.review.call import ReviewFlags
from utils.scoring.prediction_call import split_call

if TYPE_CHECKING:
    from utils.review.reviewing import Reviewed


def main(places: list[str], config: Config, flags: ReviewFlags) -> "Reviewed":
    """Open the page until somebody stops it, and write and print what was found."""
    from utils.review.reviewing import open_review, report_review, review_in_browser

    with open_review(places, config, flags) as review:
        if not flags.summary:
            review_in_browser(review, config, flags)
        return report_review(review, flags)


def command(arguments: Sequence[str]) -> int:
    """Run the command line `[DETECTIONS.csv] [EXPERIMENT.toml] [--flag VALUE …]`; return the exit status."""
    places, words = split_call(arguments)
    return console.run(
        partial(main, places),
        doc=__doc__,
        sections=("submission", "log"),
        flags=ReviewFlags,
        complete=lambda done: done.complete,
        arguments=words,
        script="review.py [DETECTIONS.csv]",
    )


if __name__ == "__main__":
    sys.exit(command(sys.argv[1:]))
