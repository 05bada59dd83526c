"""Predict the species in each interval of long recordings, and write them for challenges and annotation programs.

    python submission_soundscape.py experiments/birdclef2018.toml
    python submission_soundscape.py experiments/birdclef2018.toml --submission.recordings /data/soundscapes
    python submission_soundscape.py experiments/birdclef2018.toml --testing.models snapshots/one snapshots/other

Each interval of `submission.interval` seconds is predicted, from the start of a recording to its very end, however long
it is; clips that are longer than an interval are centred on it. Models, pooling, prior and calibration are those of
test.py (`testing`). A stopped run is resumed by the same command.

`submission.events` also writes when each species calls, to a tenth of a second, if the models predict frames.

`submission.format` chooses one of six formats; `--check FILE` lists what a challenge would refuse in such a file.

Source: submission_soundscape.py of the 2018 BirdCLEF baseline.
"""

import sys
from typing import TYPE_CHECKING

from config import Config
from utils import console
from utils.scoring.submissions.flags import SubmissionFlags

if TYPE_CHECKING:
    from utils.scoring.submissions.results import Checked, Submitted


def main(config: Config, flags: SubmissionFlags = SubmissionFlags()) -> "Submitted | Checked":
    """Predict the intervals of `submission.recordings`, and write the submission to `submission.folder`."""
    from utils.scoring.submitting import submit

    return submit(config, "soundscape", flags)


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
