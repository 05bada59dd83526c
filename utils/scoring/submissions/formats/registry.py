"""The registry of submission formats.

A new format is a file with its writer and checker, an entry in `FORMATS`, and its name in `Submission.format` of
config.py.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from utils.console import UserError
from utils.scoring.inference.intervals import IntervalScores
from utils.scoring.submissions.formats import (
    audacity,
    birdclef2018,
    birdnet,
    darwin_core,
    darwin_core_check,
    kaggle2021,
    kaggle2022,
    kaleidoscope,
    parquet,
    plain_csv,
    raven,
)
from utils.scoring.submissions.formats.class_ids import warn_of_classes_without_id
from utils.scoring.submissions.formats.detections import RecordingDetections, detections_of_intervals
from utils.scoring.submissions.formats.layout import IdRules, SubmissionLayout, media_ids
from utils.scoring.submissions.formats.problems import Problems
from utils.scoring.submissions.formats.species_names import species_names

WriteDetections = Callable[[Path, Iterable[RecordingDetections], SubmissionLayout], int]


@dataclass(frozen=True)
class SubmissionFormat:
    """A format of submissions.

    Attributes
    ----------
    write : writes a file or folder whole or not at all, and returns its number of rows
    check : finds what a parser would reject
    suffix : what the name of a submission ends with; formats with one file per recording have a folder for them
    ids : how a challenge names recordings and classes; its times are whole seconds. None: not of a challenge
    check_sample : checks `submission.sample` before inference. None: the format takes no sample
    write_detections : writes detections, whatever they are, in the same way; None: the format has other rows
    spreadsheet : whether spreadsheets and people read it: cells that would run as formulas are made texts, unless
        `submission.defuse` is off. Not so where a program takes names as they are
    recorders : whether its rows tell what recorders wrote: sites, times, places
    names : whether its rows have scientific and common names
    """

    write: Callable[[Path, Iterable[IntervalScores], SubmissionLayout], int]
    check: Callable[[Path, SubmissionLayout], Problems]
    suffix: str
    ids: IdRules | None = None
    check_sample: Callable[[SubmissionLayout], object] | None = None
    write_detections: WriteDetections | None = None
    spreadsheet: bool = False
    recorders: bool = False
    names: bool = False


def _of_detections(
    write: WriteDetections,
    check: Callable[[Path, SubmissionLayout], Problems],
    suffix: str,
    *,
    spreadsheet: bool = False,
    recorders: bool = False,
    names: bool = False,
) -> SubmissionFormat:
    """Return a format whose rows are detections."""

    def with_cells(layout: SubmissionLayout) -> SubmissionLayout:
        return replace(layout, defuse=spreadsheet and layout.settings.defuse)

    def write_detections(path: Path, recordings: Iterable[RecordingDetections], layout: SubmissionLayout) -> int:
        return write(path, recordings, with_cells(layout))

    def write_intervals(path: Path, results: Iterable[IntervalScores], layout: SubmissionLayout) -> int:
        return write_detections(path, detections_of_intervals(results, layout), layout)

    return SubmissionFormat(
        write_intervals,
        lambda path, layout: check(path, with_cells(layout)),
        suffix,
        write_detections=write_detections,
        spreadsheet=spreadsheet,
        recorders=recorders,
        names=names,
    )


FORMATS = {
    "birdclef2018": SubmissionFormat(
        birdclef2018.write_birdclef2018, birdclef2018.check_birdclef2018, ".txt", ids=birdclef2018.IDS_2018
    ),
    "kaggle2021": SubmissionFormat(
        kaggle2021.write_kaggle2021,
        kaggle2021.check_kaggle2021,
        "_kaggle2021.csv",
        ids=kaggle2021.IDS_2021,
        check_sample=kaggle2021.sample_2021,
    ),
    "kaggle2022": SubmissionFormat(
        kaggle2022.write_kaggle2022,
        kaggle2022.check_kaggle2022,
        "_kaggle2022.csv",
        ids=kaggle2022.IDS_2022,
        check_sample=kaggle2022.check_sample_2022,
    ),
    "raven": _of_detections(raven.write_raven, raven.check_raven, "_raven"),
    "audacity": _of_detections(audacity.write_audacity, audacity.check_audacity, "_audacity"),
    "csv": _of_detections(
        plain_csv.write_csv_detections, plain_csv.check_csv_detections, ".csv", spreadsheet=True, recorders=True
    ),
    "birdnet": _of_detections(
        birdnet.write_birdnet, birdnet.check_birdnet, "_birdnet.csv", spreadsheet=True, names=True
    ),
    "kaleidoscope": _of_detections(
        kaleidoscope.write_kaleidoscope,
        kaleidoscope.check_kaleidoscope,
        "_kaleidoscope.csv",
        recorders=True,
        names=True,
    ),
    "parquet": _of_detections(parquet.write_parquet, parquet.check_parquet, ".parquet", recorders=True),
    "darwin-core": _of_detections(
        darwin_core.write_darwin_core,
        darwin_core_check.check_darwin_core,
        "_dwca.zip",
        recorders=True,
        names=True,
    ),
}


def write_rows(path: Path, results: Iterable[IntervalScores], layout: SubmissionLayout) -> int:
    """Write a submission in the format of `layout.settings`; it appears whole or not at all.

    Recordings are written as they come, and none is stored in memory. Those that cannot be used have no row, except in
    formats whose sample demands some.

    Parameters
    ----------
    path : file or folder, whose name ends with the format's suffix
    results : of all recordings, in the order of their files

    Returns
    -------
    Number of rows.

    Raises
    ------
    UserError
        If ids, a pattern or a sample do not fit.
    ValueError
        If scores are not from 0 to 1, or intervals overlap.
    """
    return FORMATS[layout.settings.format].write(path, results, layout)


def check_layout(layout: SubmissionLayout) -> SubmissionLayout:
    """Check before inference whether ids, pattern, intervals and sample fit, and warn of what will be left out.

    Returns
    -------
    The layout, with the names of the classes if rows have them.

    Raises
    ------
    UserError
        If they do not.
    """
    chosen = FORMATS[layout.settings.format]
    events = layout.settings.events
    if chosen.names or (events != "none" and FORMATS[events].names):
        layout = replace(layout, names=species_names(layout))
    if chosen.ids is None:
        return layout
    if not layout.monophone and not float(layout.settings.interval).is_integer():
        raise UserError(
            f"submission.interval = {layout.settings.interval:g}: should be whole seconds; "
            f"{layout.settings.format} cannot express others"
        )
    media_ids(layout, chosen.ids)
    warn_of_classes_without_id(layout, chosen.ids)
    if chosen.check_sample:
        chosen.check_sample(layout)
    return layout


def check_submission(path: Path, layout: SubmissionLayout) -> list[str]:
    """Return what a parser would reject in a file or folder of the format of `layout.settings`, one line each.

    Returns
    -------
    The first problems, with their line numbers, and how many more there are; empty if there is none.

    Raises
    ------
    UserError
        If there is no such file, or ids, a pattern or a sample do not fit.
    """
    if not path.exists():
        raise UserError(f"{path}: no such file")
    try:
        return FORMATS[layout.settings.format].check(path, layout).listed()
    except IsADirectoryError:
        raise UserError(f"{path}: is a folder; in this format a submission is one file") from None
