"""What tables of events call their columns, program by program.

Source: Raven Pro, the annotations.csv on Zenodo (7050014, 7079380, 7525349), BirdNET-Analyzer and the package birdnet,
Kaleidoscope's cluster.csv and id.csv, crowsetta's generic-seq and simple-seq, opensoundscape's `BoxedAnnotations` and
clip labels, warbleR's selection tables, Praat's tables.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict

from config import Columns
from utils.tables import find_column, plain_heading

# units that headings may end with
_TIMES = ("", "s", "sec", "seconds", "ms", "msec", "milliseconds", "ss_msec", "hh_mm_ss_ms")  # the last two are ELAN's
_FREQUENCIES = ("", "hz", "khz")
# what is nearer to a scientific name goes first; what a program guessed goes last
_NAMES = (
    "scientific_name sci_name species species_name label species_ebird_code species_code ebird_code primary_label code annotation common_name com_name class "
    "manual_id taxon text top1match auto_id"
)
# as `species 1`
_FIRST_OF_SEVERAL = ("scientific_name", "species", "species_name", "label", "species_code", "annotation", "common_name")
# the file's name goes before its path
_FILES = (
    "file filename file_name begin_file in_file recording audio_file audio_filename sound_file sound_files sound audio begin_path filepath file_path path "
    "audio_path notated_path input"
)
_USUAL: Mapping[str, Sequence[str]] = {
    kind: [f"{name}_{unit}" for name in names.split() for unit in units]
    for kind, units, names in (
        ("file", ("",), _FILES),
        ("folder", ("",), "folder"),
        ("top", ("",), "indir"),
        ("start", _TIMES, "start start_time begin_time begin onset tmin"),
        ("end", _TIMES, "end end_time stop stop_time offset tmax"),
        ("duration", _TIMES, "duration delta_time"),
        ("species", ("",), _NAMES),
        ("low", _FREQUENCIES, "low low_freq low_frequency low_f min_freq min_frequency freq_min fmin bottom_freq"),
        ("high", _FREQUENCIES, "high high_freq high_frequency high_f max_freq max_frequency freq_max fmax top_freq"),
        ("offset", _TIMES, "file_offset"),
        ("selection", ("",), "selection"),
        ("view", ("",), "view"),
        ("end_file", ("",), "end_file"),
        ("present", ("",), "present presence is_present detected is_detected"),
        ("absent", ("",), "absent absence is_absent"),
        ("verified", ("",), "verified is_verified validated is_validated confirmed is_confirmed correct is_correct"),
    )
}
# beside one of these, a `time` is a time of day
OF_RECORDINGS = (
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
_IN_KHZ = ("bottomfreq", "topfreq")  # as R's bioacoustic packages measure them, without saying so
# headings of columns that may hold nothing but 0 and 1 and are no classes
_NOT_WHO = (
    "id index idx no nr number count channel channels selection view site week hour minute day month year night split fold train test val validation "
    "confidence score probability quality rating gain rain wind overlap overlapping multiple flag flagged verified validated reviewed checked correct "
    "iscorrect certain uncertain present presence absent absence detected detection positive negative target call song calling annotated annotator "
    "sex age unnamed0 lat lon latitude longitude sensitivity level value n used keep exclude include"
)
_NO_CLASSES = frozenset({"", *_NOT_WHO.split()})
_TRUE, _FALSE = frozenset({"1", "1.0", "true"}), frozenset({"0", "0.0", "false"})
_MOST = 0.9  # of the values of a class; one that is neither 0 nor 1 costs its row, not the column
UNSAID = frozenset({"", "nan", "na"})
YES, NO = _TRUE | {"yes", "y"}, _FALSE | {"no", "n"}  # of a column that says whether a row counts


def places_of(names: Sequence[str], columns: Columns) -> dict[str, int]:
    """Return in which column each kind of value stands; columns that `columns` does not name are recognised."""
    given = {kind: find_column(names, [name]) for kind, name in asdict(columns).items() if name}
    found = {kind: given.get(kind) or find_column(names, usual) for kind, usual in _USUAL.items()}
    # Kaleidoscope's offset is where a call begins
    if not found["start"] and found["duration"] and find_column(names, ["offset"]):
        found |= {"start": find_column(names, ["offset"]), "end": None}
    if not found["start"] and not find_column(names, OF_RECORDINGS):
        found["start"] = find_column(names, ("time", "time_s"))
    if not found["species"]:
        found["species"] = find_column(names, [f"{name}_1" for name in _FIRST_OF_SEVERAL])
    return {kind: names.index(column) for kind, column in found.items() if column}


def further_species(names: Sequence[str], places: Mapping[str, int]) -> tuple[int, ...]:
    """Return the columns that hold species besides the one of species: they are called as it is, or so with a number (`species 2`)."""
    if "species" not in places:
        return ()
    keys = [plain_heading(name) for name in names]
    stem = re.escape(re.sub(r"1$", "", keys[places["species"]]))
    return tuple(
        place
        for place, key in enumerate(keys)
        if place not in places.values() and stem and re.fullmatch(rf"{stem}\d{{0,2}}", key)
    )


def unit_of(heading: str, kind: str) -> float:
    """Return how many seconds or Hz one unit of a column is, as its heading says."""
    if kind in ("low", "high"):
        return 1000.0 if "khz" in heading.lower() or plain_heading(heading) in _IN_KHZ else 1.0
    milliseconds = re.search(r"(?<![a-z.])(ms|msec|milliseconds?)\W*$", heading.lower().replace("_", " ")) is not None
    return 0.001 if milliseconds else 1.0


def classes_of(names: Sequence[str], places: Mapping[str, int], rows: Sequence[Sequence[str]]) -> dict[int, str]:
    """Return the columns that stand for a class each, as in opensoundscape's clip labels: their values are 0 or 1, True or False.

    Parameters
    ----------
    rows : values of the table, as many as are known
    """
    if "species" in places or "start" not in places or not {"end", "duration"} & places.keys():
        return {}
    others = {
        place: name
        for place, name in enumerate(names)
        if place not in places.values() and plain_heading(name) not in _NO_CLASSES
    }
    found = {}
    for place, name in others.items():
        said = [value for row in rows if place < len(row) and (value := row[place].lower()) not in UNSAID]
        if said and sum(value in _TRUE | _FALSE for value in said) >= _MOST * len(said):
            found[place] = name
    return found


def says_yes(value: str) -> bool | None:
    """Return what a value of such a column says; None where nothing.

    Raises
    ------
    ValueError
        If it is neither 0 nor 1.
    """
    if value.lower() in UNSAID:
        return None
    if value.lower() not in _TRUE | _FALSE:
        raise ValueError(f"{value!r} is neither 0 nor 1")
    return value.lower() in _TRUE
