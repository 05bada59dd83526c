"""Say who sings in long recordings, interval by interval, and write it as challenges and field tools want it.

    python submission_soundscape.py experiments/birdclef2018.toml
    python submission_soundscape.py experiments/birdclef2018.toml --submission.recordings /data/soundscapes
    python submission_soundscape.py experiments/birdclef2018.toml --testing.models snapshots/one snapshots/other

Every recording in the folder is answered for each 5 seconds (`submission.interval`) from its begin to its very end,
however long it is; clips longer than that are centred on it. Nets, pooling, prior and calibration are those of test.py
(`testing`). Stopped or killed, it goes on where it was.

`submission.format` says which of six formats is written; `--check FILE` says what a challenge would refuse in such a
file.

Source: submission_soundscape.py of the 2018 BirdCLEF baseline.
"""

import sys

from config import Config
from utils import console
from utils.scoring.submitting import Checked, Flags, Submitted, answer_missing, check_file, conclude, prepare, write


def main(config: Config, flags: Flags = Flags()) -> Submitted | Checked:
    """Answer the intervals of all recordings in `submission.recordings`, and write them to `submission.folder`."""
    passed = console.stopwatch()
    task = prepare(config, "soundscape")
    if flags.check:
        return check_file(flags.check, task)
    with console.alone(task.folder, task.name):
        heard = answer_missing(task, config)
        submitted = write(task, heard, config)
    return conclude(submitted, heard, task, seconds=passed())


if __name__ == "__main__":
    sys.exit(console.run(main, doc=__doc__, flags=Flags, complete=lambda done: done.complete))
