"""Sort a folder of recordings into train/ and val/, one folder a species, with a table of the split and a JSON a recording.

    python sort_data.py experiments/birdclef2018.toml
    python sort_data.py --dataset.archive ~/birds --dataset.root ~/birds-sorted --dataset.sort_mode symlink

An archive of the BirdCLEF 2018 form (wav/ + xml/) or of plain folders of species goes in; one that comes divided into train/ and val/ (or test/) keeps
its division. Otherwise a share of each species' recordings is held out in val/: at least one where there are two, none where there is only one.

Source: sort_data.py of the 2018 BirdCLEF baseline.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

from config import Config
from utils import console
from utils.recordings.archive import read_archive
from utils.recordings.sorting import check_places, choose_sides, place_all, summarize, write_metadata
from utils.recordings.splits import split_table, write_split
from utils.timings import note_time


@dataclass(frozen=True)
class Sorted:
    """What sorting left: the table of the split, and the files that could not be used."""

    split: Path
    failures: list[console.Failure]


def main(config: Config) -> Sorted:
    """Sort the archive that `config.dataset` names."""
    passed = console.stopwatch()
    archive = read_archive(config.dataset)
    console.say(f"{config.dataset.archive or config.dataset.root}: {archive.form}, {len(archive.recordings)} recordings")
    with console.alone(config.dataset.root, "sort_data"):
        sides = choose_sides(archive, config.dataset)
        check_places(archive.recordings, config.dataset)
        write_metadata(archive.recordings, config.dataset.root)
        files = place_all(archive.recordings, sides, config.dataset)
        table = split_table(archive.recordings, sides, files)
        path = write_split(config.dataset.root, table)
        note_time(config.dataset.root, "sort_data", passed())
    summarize(table, archive.failures, config, seconds=passed())
    return Sorted(path, archive.failures)


if __name__ == "__main__":
    sys.exit(console.run(main, doc=__doc__))
