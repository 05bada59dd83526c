"""Which headings annotation tables use, program by program.

Source: Raven Pro, the annotations.csv on Zenodo (7050014, 7079380, 7525349), BirdNET-Analyzer and the package birdnet,
Kaleidoscope's cluster.csv and id.csv, crowsetta's generic-seq and simple-seq, opensoundscape's `BoxedAnnotations` and
clip labels, warbleR's selection tables, Praat's tables.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict

from config import Columns
from utils.tables import find_column, plain_heading

# units at the end of headings
_TIME_UNITS = (
    "",
    "s",
    "sec",
    "seconds",
    "ms",
    "msec",
    "milliseconds",
    "ss_msec",
    "hh_mm_ss_ms",
)  # the last two are ELAN's
_FREQUENCY_UNITS = ("", "hz", "khz")
# in order of preference: scientific names first, a program's own guesses last
_SPECIES_HEADINGS = (
    "scientific_name sci_name species species_name label species_ebird_code species_code ebird_code primary_label code "
    "annotation common_name com_name class manual_id taxon text top1match auto_id"
)
# also with a number, as in `species 1`
_NUMBERED_HEADINGS = (
    "scientific_name",
    "species",
    "species_name",
    "label",
    "species_code",
    "annotation",
    "common_name",
)
# in order of preference: the file's name before its path
_FILE_HEADINGS = (
    "file filename file_name begin_file in_file recording audio_file audio_filename sound_file sound_files sound audio "
    "begin_path filepath file_path path audio_path notated_path input"
)
_USUAL_HEADINGS: Mapping[str, Sequence[str]] = {
    kind: [f"{name}_{unit}" for name in names.split() for unit in units]
    for kind, units, names in (
        ("file", ("",), _FILE_HEADINGS),
        ("folder", ("",), "folder"),
        ("top", ("",), "indir"),
        ("start", _TIME_UNITS, "start start_time begin_time begin onset tmin"),
        ("end", _TIME_UNITS, "end end_time stop stop_time offset tmax"),
        ("duration", _TIME_UNITS, "duration delta_time"),
        ("species", ("",), _SPECIES_HEADINGS),
        ("low", _FREQUENCY_UNITS, "low low_freq low_frequency low_f min_freq min_frequency freq_min fmin bottom_freq"),
        (
            "high",
            _FREQUENCY_UNITS,
            "high high_freq high_frequency high_f max_freq max_frequency freq_max fmax top_freq",
        ),
        ("offset", _TIME_UNITS, "file_offset"),
        ("selection", ("",), "selection"),
        ("view", ("",), "view"),
        ("end_file", ("",), "end_file"),
        ("present", ("",), "present presence is_present detected is_detected"),
        ("absent", ("",), "absent absence is_absent"),
        ("verified", ("",), "verified is_verified validated is_validated confirmed is_confirmed correct is_correct"),
    )
}
# if a table has one of these, `time` is a time of day
RECORDING_HEADINGS = (
    "date",
    "latitude",
    "lat",
    "author",
    "recordist",
    "licence",
    "license",
    "site",
    "locality",
    "location",
    "place",
    "quality",
)
_IN_KHZ = ("bottomfreq", "topfreq")  # R's bioacoustic packages write kHz without a unit
# columns that may hold only 0 and 1, but are not classes
_NO_CLASS_HEADINGS = (
    "id index idx no nr number count channel channels selection view site week hour minute day month year night split "
    "fold train test val validation confidence score probability quality rating gain rain wind overlap overlapping "
    "multiple flag flagged verified validated reviewed checked correct iscorrect certain uncertain present presence "
    "absent absence detected detection positive negative target call song calling annotated annotator sex age unnamed0 "
    "lat lon latitude longitude sensitivity level value n used keep exclude include"
)
_NO_CLASSES = frozenset({"", *_NO_CLASS_HEADINGS.split()})
_TRUE, _FALSE = frozenset({"1", "1.0", "true"}), frozenset({"0", "0.0", "false"})
_MIN_BINARY_SHARE = 0.9  # of the values of a class column; other values cost only their rows
MISSING_VALUES = frozenset({"", "nan", "na"})
YES_VALUES, NO_VALUES = _TRUE | {"yes", "y"}, _FALSE | {"no", "n"}  # in columns that say whether a row counts


def column_positions(names: Sequence[str], columns: Columns) -> dict[str, int]:
    """Return the index of the column of each kind of value; columns that `columns` does not name are recognised."""
    given = {kind: find_column(names, [name]) for kind, name in asdict(columns).items() if name}
    found = {kind: given.get(kind) or find_column(names, usual) for kind, usual in _USUAL_HEADINGS.items()}
    # Kaleidoscope's offset is the start of a call
    if not found["start"] and found["duration"] and find_column(names, ["offset"]):
        found |= {"start": find_column(names, ["offset"]), "end": None}
    if not found["start"] and not find_column(names, RECORDING_HEADINGS):
        found["start"] = find_column(names, ("time", "time_s"))
    if not found["species"]:
        found["species"] = find_column(names, [f"{name}_1" for name in _NUMBERED_HEADINGS])
    return {kind: names.index(column) for kind, column in found.items() if column}


def more_species_columns(names: Sequence[str], positions: Mapping[str, int]) -> tuple[int, ...]:
    """Return the further species columns: those with the same heading, or with a number (`species 2`)."""
    if "species" not in positions:
        return ()
    keys = [plain_heading(name) for name in names]
    stem = re.escape(re.sub(r"1$", "", keys[positions["species"]]))
    return tuple(
        position
        for position, key in enumerate(keys)
        if position not in positions.values() and stem and re.fullmatch(rf"{stem}\d{{0,2}}", key)
    )


def heading_unit(heading: str, kind: str) -> float:
    """Return the factor to seconds or Hz of a column, by the unit in its heading."""
    if kind in ("low", "high"):
        return 1000.0 if "khz" in heading.lower() or plain_heading(heading) in _IN_KHZ else 1.0
    milliseconds = re.search(r"(?<![a-z.])(ms|msec|milliseconds?)\W*$", heading.lower().replace("_", " ")) is not None
    return 0.001 if milliseconds else 1.0


def class_columns(names: Sequence[str], positions: Mapping[str, int], rows: Sequence[Sequence[str]]) -> dict[int, str]:
    """Return the columns of single classes, as in opensoundscape's clip labels: their values are 0 or 1, True or False.

    Parameters
    ----------
    rows : values of the table, as far as they are known
    """
    if "species" in positions or "start" not in positions or not {"end", "duration"} & positions.keys():
        return {}
    others = {
        position: name
        for position, name in enumerate(names)
        if position not in positions.values() and plain_heading(name) not in _NO_CLASSES
    }
    found = {}
    for position, name in others.items():
        values = [
            value for row in rows if position < len(row) and (value := row[position].lower()) not in MISSING_VALUES
        ]
        if values and sum(value in _TRUE | _FALSE for value in values) >= _MIN_BINARY_SHARE * len(values):
            found[position] = name
    return found


def parse_yes_no(value: str) -> bool | None:
    """Return whether a value of a class column means yes; None if it is missing.

    Raises
    ------
    ValueError
        If it is neither 0 nor 1.
    """
    if value.lower() in MISSING_VALUES:
        return None
    if value.lower() not in _TRUE | _FALSE:
        raise ValueError(f"{value!r} is neither 0 nor 1")
    return value.lower() in _TRUE
