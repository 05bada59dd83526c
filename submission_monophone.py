"""Predict the species of each recording in a folder, and write them in a challenge's format.

    python submission_monophone.py experiments/birdclef2018.toml
    python submission_monophone.py experiments/birdclef2018.toml --submission.recordings /data/test
    python submission_monophone.py experiments/birdclef2018.toml --testing.models snapshots/one snapshots/other

Predictions are made and pooled as by test.py: the first clips of a recording (`testing.max_clips`) give its scores. A
recording that is shorter than a clip is padded with silence. A stopped run is resumed by the same command.

`submission.format` chooses one of six formats; `--check FILE` lists what a challenge would refuse in such a file.

Source: submission_monophone.py of the 2018 BirdCLEF baseline.
"""

import sys
from typing import TYPE_CHECKING

from config import Config
from utils import console
from utils.scoring.submissions.flags import SubmissionFlags

if TYPE_CHECKING:
    from utils.scoring.submissions.results import Checked, Submitted


def main(config: Config, flags: SubmissionFlags = SubmissionFlags()) -> "Submitted | Checked":
    """Predict the recordings of `submission.recordings`, and write the submission to `submission.folder`."""
    from utils.scoring.submitting import submit

    return submit(config, "monophone", flags)


if __name__ == "__main__":
    sys.exit(
        console.run(
            main,
            doc=__doc__,
            sections=("testing", "submission", "metadata", "cluster", "log"),
            flags=SubmissionFlags,
            complete=lambda done: done.complete,
        )
    )
