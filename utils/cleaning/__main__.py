"""List what earlier calls left on disk and nothing needs any more, and remove it with --remove.

    python -m utils.cleaning experiments/mine.toml
    python -m utils.cleaning experiments/mine.toml --remove

Listed are unfinished files of processes that were killed, a store, stores of noise and embeddings, cached predictions
and copies of packs that neither the experiment nor a run in `snapshots` uses, and scratch folders; with --stopped, also
what stopped submissions have predicted. Never listed are recordings, splits, snapshots, submissions, what the toolkit
did not write, the folders in which one of its stages runs, and stores that a process reads or that are links.
"""

import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from config import Config
from utils import console


@dataclass(frozen=True)
class CleaningFlags:
    """Flags of a single call."""

    remove: bool = False  # remove what is listed
    # also what stopped submissions have predicted, which the same command of a submission would use
    stopped: bool = False


def command(arguments: Sequence[str]) -> int:
    """Run the command line `[EXPERIMENT.toml] [--remove] [--flag VALUE …]`; return the exit status."""
    words = shlex.join(["python", "-m", "utils.cleaning", *(word for word in arguments if word != "--remove")])

    def main(config: Config, flags: CleaningFlags) -> None:
        from utils.cleaning.cleaning import clean

        clean(config, remove=flags.remove, words=words, stopped=flags.stopped)

    return console.run(
        main,
        doc=__doc__,
        sections=("dataset", "submission", "log"),
        flags=CleaningFlags,
        arguments=arguments,
        script="-m utils.cleaning",
    )


if __name__ == "__main__":
    sys.exit(command(sys.argv[1:]))
