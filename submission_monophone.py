"""Say who sings in each recording of a folder, and write it as challenges want it.

    python submission_monophone.py experiments/birdclef2018.toml
    python submission_monophone.py experiments/birdclef2018.toml --submission.recordings /data/test
    python submission_monophone.py experiments/birdclef2018.toml --testing.models snapshots/one snapshots/other

Each recording is answered as a whole, exactly as test.py does: by its first clips (`testing.max_clips`), pooled. One
that is shorter than a clip is answered, too, by one clip with silence around it. Stopped or killed, it goes on where it
was.

`submission.format` says which of six formats is written; `--check FILE` says what a challenge would refuse in such a
file.

Source: submission_monophone.py of the 2018 BirdCLEF baseline.
"""

import sys

from config import Config
from utils import console
from utils.scoring.submitting import Checked, Flags, Submitted, answer_missing, check_file, conclude, prepare, write


def main(config: Config, flags: Flags = Flags()) -> Submitted | Checked:
    """Answer all recordings in `submission.recordings`, and write the answers to `submission.folder`."""
    passed = console.stopwatch()
    task = prepare(config, "monophone")
    if flags.check:
        return check_file(flags.check, task)
    with console.alone(task.folder, task.name):
        heard = answer_missing(task, config)
        submitted = write(task, heard, config)
    return conclude(submitted, heard, task, seconds=passed())


if __name__ == "__main__":
    sys.exit(console.run(main, doc=__doc__, flags=Flags, complete=lambda done: done.complete))
