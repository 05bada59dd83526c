"""Sort a folder of recordings into train/ and val/ (and test/), one folder per species, with the table of the split.

    python sort_data.py experiments/birdclef2018.toml
    python sort_data.py --dataset.archive ~/birds --dataset.root ~/birds-sorted --dataset.sort_mode symlink --dry-run

It reads BirdCLEF 2018 archives (wav/ + xml/), Kaggle's BirdCLEF challenges, xeno-canto downloads, long recordings with
tables of annotations, and plain folders of species. `dataset.split` chooses how recordings are split and what stays
together; an audit lists recordists, sites and days that are in more than one split. The metadata of each recording
become a JSON file; what recorders wrote about theirs is in recorders.csv, too. The recordings of an archive elsewhere
(`dataset.archive = "s3://…"`) stay there. The exit status is 3 if something had to be left out; sorted.log lists it.

Source: sort_data.py of the 2018 BirdCLEF baseline.
"""

import sys
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from config import Config
from utils import console

if TYPE_CHECKING:
    from utils.recordings.remote_archive import RemoteArchive


@dataclass(frozen=True)
class Flags:
    """Flags of a single call, which are never saved with the settings."""

    dry_run: bool = False  # print the audit of the split without changing anything
    # decode every recording and list the unreadable, silent, clipped and short ones, without changing anything
    check_audio: bool = False
    # forget how the recordings were divided before, and divide all of them anew; without it they stay in their split
    # when the archive grows, as long as the settings of the split are the same
    fresh: bool = False


@dataclass(frozen=True)
class Sorted:
    """The result of sorting: the table of the split, and the files that could not be used."""

    split: Path
    failures: list[console.Failure]


def main(config: Config, flags: Flags = Flags()) -> Sorted:
    """Sort the archive that `config.dataset` names."""
    from utils.recordings.remote_archive import archive_elsewhere

    with archive_elsewhere(config.dataset) as remote:
        return _sort(config, flags, remote)


def _sort(config: Config, flags: Flags, remote: "RemoteArchive | None") -> Sorted:
    from utils.recordings.annotation_analysis import analyse_annotations, show_annotation_analysis
    from utils.recordings.annotation_plot import write_annotation_analysis
    from utils.recordings.archive import read_archive
    from utils.recordings.archive_split import split_archive
    from utils.recordings.assigned import write_assigned
    from utils.recordings.class_names import write_class_names
    from utils.recordings.growth import show_growth
    from utils.recordings.recorders.archive_recordings import write_recorder_table
    from utils.recordings.selection import select_recordings
    from utils.recordings.sorting import (
        alone_in_root,
        check_targets,
        sort_into_folders,
        warn_of_unused_files,
        write_metadata,
        write_sort_log,
    )
    from utils.recordings.split_plot import plot_split
    from utils.recordings.splits import write_split
    from utils.recordings.summary import (
        inventory_of_sort,
        report_left_out,
        show_audit,
        show_sort_summary,
        warn_of_labels,
    )
    from utils.spectra.audio_check import check_audio
    from utils.tables import write_csv
    from utils.timings import record_time

    elapsed = console.stopwatch()
    if remote:  # nothing is moved
        config = replace(config, dataset=replace(config.dataset, sort_mode="copy"))
    root = config.dataset.root
    archive = read_archive(config.dataset, remote)
    console.info(f"{config.dataset.archive or root}: {archive.description}, {len(archive.recordings)} recordings")
    selection = select_recordings(archive.recordings, config.dataset, archive.taxonomy, kind=archive.kind)
    warn_of_labels(archive, selection.recordings, config.dataset)
    if flags.check_audio:
        report_left_out(archive.failures, log=None)
        unusable = check_audio(selection.recordings, config, location_of=archive.location_of_sound)
        return Sorted(root / "split.parquet", [*archive.failures, *unusable])
    # a split is decided by what the last call assigned, so that no other call may be between
    with nullcontext() if flags.dry_run else alone_in_root(root):
        archive_split = split_archive(archive, selection, config, fresh=flags.fresh)
        table = archive_split.table(config.dataset)
        failures = [*archive.failures, *archive_split.failures]
        show_growth(archive_split.growth)
        classes = show_audit(archive_split, table, config.dataset, whole=flags.dry_run)
        annotations = analyse_annotations(archive, archive_split, config)
        show_annotation_analysis(annotations)
        to_sort = [] if remote else archive_split.recordings
        if flags.dry_run:
            check_targets(to_sort, config.dataset, dry_run=True)
        else:
            check_targets(to_sort, config.dataset, dry_run=False)
            write_metadata(archive_split.recordings, archive, config.dataset)
            write_assigned(root, archive_split.assigned)
            sort_into_folders(to_sort, [] if remote else archive_split.assignments, config.dataset)
            warn_of_unused_files(table, root)
            write_sort_log(archive_split, selection, failures, root)
            write_csv(root / "audit.csv", classes)
            write_recorder_table(root / "recorders.csv", archive_split.recordings, config.dataset)
            plot_split(root / "split.png", classes, archive_split.recordings, table)
            write_annotation_analysis(root, annotations)
            write_class_names(root, table, archive.taxonomy, config.dataset)
            write_split(root, table)
            record_time(root, "sort_data", elapsed())
        show_sort_summary(
            table,
            inventory_of_sort(archive, selection, archive_split),
            selection,
            failures,
            config,
            seconds=elapsed(),
            dry_run=flags.dry_run,
        )
    return Sorted(root / "split.parquet", failures)


if __name__ == "__main__":
    sys.exit(
        console.run(
            main,
            doc=__doc__,
            sections=("dataset", "cluster", "log"),
            flags=Flags,
            complete=lambda result: not result.failures,
        )
    )
