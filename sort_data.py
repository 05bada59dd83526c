"""Sort a folder of recordings into train/ and val/, one folder a species, with a table of the split and a JSON a recording.

    python sort_data.py experiments/birdclef2018.toml
    python sort_data.py --dataset.archive ~/birds --dataset.root ~/birds-sorted --dataset.sort_mode symlink --dry-run

Archives of the BirdCLEF 2018 form (wav/ + xml/), of Kaggle's BirdCLEF challenges, of xeno-canto downloads, of long
recordings with tables of annotations, and plain folders of species go in. `dataset.split` says how they are divided and
what is kept together; an audit shows that it was, and which recordists, sites and days are heard on two sides all the
same. The exit status is 3 where something had to be left out, as sorted.log lists.

Source: sort_data.py of the 2018 BirdCLEF baseline.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

from config import Config
from utils import console
from utils.recordings.archive import read_archive
from utils.recordings.selection import select
from utils.recordings.sorting import check_places, divide_archive, name_strangers, place_all, write_log, write_metadata
from utils.recordings.split_plot import draw_split
from utils.recordings.splits import write_split
from utils.recordings.summary import account_of_sort, report, show_audit, summarize, warn_of_labels
from utils.spectra.preflight import check_audio
from utils.tables import write_csv
from utils.timings import note_time


@dataclass(frozen=True)
class Flags:
    """What this call may ask for."""

    dry_run: bool = False  # print the audit of the split, and change nothing
    # decode every recording, list those that are unreadable, silent, clipped or short, and change nothing
    check_audio: bool = False


@dataclass(frozen=True)
class Sorted:
    """What sorting left: the table of the split, and the files that could not be used."""

    split: Path
    failures: list[console.Failure]


def main(config: Config, flags: Flags = Flags()) -> Sorted:
    """Sort the archive that `config.dataset` names."""
    passed = console.stopwatch()
    root = config.dataset.root
    archive = read_archive(config.dataset)
    console.say(f"{config.dataset.archive or root}: {archive.form}, {len(archive.recordings)} recordings")
    selection = select(archive.recordings, config.dataset, archive.taxonomy)
    warn_of_labels(archive, selection.recordings, config.dataset)
    if flags.check_audio:
        report(archive.failures, log=None)
        return Sorted(root / "split.parquet", [*archive.failures, *check_audio(selection.recordings, config)])
    division = divide_archive(archive, selection, config)
    table = division.table(config.dataset)
    failures = [*archive.failures, *division.failures]
    classes = show_audit(division, table, config.dataset, whole=flags.dry_run)
    if flags.dry_run:
        check_places(division.recordings, config.dataset, dry_run=True)
    else:
        with console.alone(root, "sort_data"):
            check_places(division.recordings, config.dataset, dry_run=False)
            write_metadata(division.recordings, archive, config.dataset)
            place_all(division.recordings, division.places, config.dataset)
            name_strangers(table, root)
            write_log(division, selection, failures, root)
            write_csv(root / "audit.csv", classes)
            draw_split(root / "split.png", classes, division.recordings, table)
            write_split(root, table)
            note_time(root, "sort_data", passed())
    summarize(
        table,
        account_of_sort(archive, selection, division),
        selection,
        failures,
        config,
        seconds=passed(),
        dry_run=flags.dry_run,
    )
    return Sorted(root / "split.parquet", failures)


if __name__ == "__main__":
    sys.exit(console.run(main, doc=__doc__, flags=Flags, complete=lambda result: not result.failures))
