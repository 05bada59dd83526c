"""Write a synthetic data set in the format of the BirdCLEF 2018 archive.

    python -m utils.demo demo --seed 0

Synthetic species sing at various distances, in wind, rain, hum and insects, with other species in the background.
Some files are broken on purpose. The same seed gives the same bytes.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from utils.console import STOPPED, UserError, clock, info, printable, show_table, stopwatch, warning
from utils.demo.archive import make_demo
from utils.demo.broken import BROKEN
from utils.demo.soundscapes import NOISE_KINDS, SOUNDSCAPE_NUMBERS, SOUNDSCAPE_SECONDS


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the command line, write the data set, and print the next command."""
    parser = argparse.ArgumentParser(
        prog="python -m utils.demo", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("root", type=Path, help="folder for the data set")
    parser.add_argument("--seed", type=int, default=0, help="seed of the random numbers (default 0)")
    words = parser.parse_args(arguments)
    if words.seed < 0:
        parser.error(f"--seed {words.seed}: should be 0 or more")
    passed = stopwatch()
    try:
        made = make_demo(words.root, seed=words.seed)
    except (UserError, OSError) as error:
        warning(str(error))
        return 1
    except KeyboardInterrupt:
        warning("stopped; no file is half-written, and the same command resumes here")
        return STOPPED
    rows = {
        "recordings": f"{made.recordings} of {made.species} species, {clock(made.seconds)}",
        "soundscapes": f"{len(SOUNDSCAPE_NUMBERS)} of {clock(SOUNDSCAPE_SECONDS)}, with soundscapes/annotations.csv",
        "noises": f"{len(NOISE_KINDS)} recordings without birds",
        "broken": f"{len(BROKEN)} files, which every stage must report without failing",
    }
    show_table(f"Written to {printable(made.root)} in {clock(passed())}", rows)
    info("next: python sort_data.py experiments/demo.toml")
    return 0


if __name__ == "__main__":
    sys.exit(main())
