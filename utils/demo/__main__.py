"""Make up a data set in the form of the BirdCLEF 2018 archive.

    python -m utils.demo demo --seed 0

Invented species sing near and far, in wind, rain, hum and insects, with other species in the background.
Some files are broken on purpose. The same seed gives the same bytes.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from utils.console import STOPPED, UserError, clock, say, show_table, shown, stopwatch, warn
from utils.demo.archive import make_demo
from utils.demo.broken import BROKEN
from utils.demo.soundscapes import NOISES, SCAPE_SECONDS, SCAPES


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the command line, make the data set, and say what to do next."""
    parser = argparse.ArgumentParser(
        prog="python -m utils.demo", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("root", type=Path, help="folder that the data set is written to")
    parser.add_argument("--seed", type=int, default=0, help="another seed, other recordings (default 0)")
    words = parser.parse_args(arguments)
    if words.seed < 0:
        parser.error(f"--seed {words.seed}: should be 0 or more")
    passed = stopwatch()
    try:
        made = make_demo(words.root, seed=words.seed)
    except (UserError, OSError) as error:
        warn(str(error))
        return 1
    except KeyboardInterrupt:
        warn("stopped; no file is half-written, and the same command makes the rest")
        return STOPPED
    rows = {
        "recordings": f"{made.recordings} of {made.species} species, {clock(made.seconds)}",
        "soundscapes": f"{len(SCAPES)} of {clock(SCAPE_SECONDS)}; soundscapes/annotations.csv tells who sings when",
        "noises": f"{len(NOISES)} clips without birds",
        "broken": f"{len(BROKEN)} files that every stage must survive",
    }
    show_table(f"Made up in {shown(made.root)} in {clock(passed())}", rows)
    say("next: python sort_data.py experiments/demo.toml")
    return 0


if __name__ == "__main__":
    sys.exit(main())
