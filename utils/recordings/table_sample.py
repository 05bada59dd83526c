"""What the first rows of an unrecognised table look like: whether it may hold annotations."""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path

from utils.recordings.event_columns import RECORDING_HEADINGS
from utils.recordings.event_layout import SEPARATORS, TableLayout, is_number
from utils.recordings.sound_finder import SoundFinder
from utils.tables import find_column, first_line, plain_heading

SAMPLE_ROWS = 20  # enough to tell whether a text is a table
LONGEST_HEADING = 60  # characters; longer ones are sentences
# kinds of columns that do not make a table one of annotations
_OTHER_COLUMNS = frozenset({"selection", "view", "folder", "top", "end_file", "present", "absent", "verified"})
_CHECKSUM = re.compile(r"[0-9a-f]{32,128}[\s,;]+\*?\S.*|\S.*[\s,;][0-9a-f]{32,128}", re.IGNORECASE)
# headings of columns without species
_OTHER_HEADINGS = (
    "author recordist rec licence license url link comments comment remarks notes note date time day month year site "
    "locality location place country state habitat quality rating device recorder model format type status version doi "
    "id uuid md5 sha1 sha256 checksum hash timezone filename file path folder indir outdir"
)
# headings of columns whose numbers are not times
_NUMBER_HEADINGS = (
    "id index no nr lat latitude lon lng long longitude elevation altitude height size bytes filesize samplerate rate "
    "channels channel bits gain power powerv temperature temp tempc humidity wind rain pressure battery files count "
    "number n year month day hour minute week duration length quality rating confidence score x y easting northing"
)
_NO_SPECIES_HEADINGS, _NO_TIME_HEADINGS = frozenset(_OTHER_HEADINGS.split()), frozenset(_NUMBER_HEADINGS.split())
_DATE = re.compile(
    r"\d{4}[-/.:](\d\d?|[A-Z][a-z]{2})[-/.:]\d\d?([T ].*)?"
    r"|\d\d?[-/.]\d\d?[-/.]\d{2,4}( .*)?"
    r"|\d\d?:\d\d(:\d\d)?(\.\d*)?( ?[AaPp][Mm])?"
)
_TIME_OF_DAY = re.compile(r"\d\d?:")
_NO_WORD = re.compile(r"[0-9a-fA-F]{16,}|[0-9a-fA-F-]{36}|\w+://.*|\W*")
_BINOMIAL = re.compile(r"[A-Z][a-z]+ [a-z]{3,}")


@dataclass(frozen=True)
class TableSample:
    """The first rows of a table, and what its unrecognised columns look like.

    Attributes
    ----------
    layout : of the table
    rows : values, without spaces around them
    sounds : audio files that the table may name
    """

    layout: TableLayout
    rows: Sequence[Sequence[str]]
    sounds: SoundFinder

    @cached_property
    def _unrecognised(self) -> dict[int, list[str]]:
        """The values of the unrecognised columns, without empty ones."""
        width = max([len(self.layout.headings), *map(len, self.rows)])
        recognised = set(self.layout.positions.values()) if self.layout.headings else set[int]()
        return {
            position: [row[position] for row in self.rows if position < len(row) and row[position]]
            for position in range(width)
            if position not in recognised
        }

    def _heading(self, position: int) -> str | None:
        return self.layout.headings[position] if position < len(self.layout.headings) else None

    def _is_headed(self, position: int, headings: Collection[str]) -> bool:
        heading = self._heading(position)
        return heading is not None and plain_heading(heading) in headings

    @cached_property
    def file_column(self) -> str:
        """The heading of an unrecognised column in which at least half of the values name audio files; '' if none."""
        for position, values in self._unrecognised.items():
            names = sum(not is_number(value) and self.sounds.knows(value) for value in values)
            heading = self._heading(position)
            if heading is not None and values and 2 * names >= len(values):
                return heading
        return ""

    @cached_property
    def has_words(self) -> bool:
        """Whether some column may hold species."""
        return any(self._may_be_species(position, values) for position, values in self._unrecognised.items() if values)

    def _may_be_species(self, position: int, values: Sequence[str]) -> bool:
        heading = self._heading(position)
        if self._is_headed(position, _NO_SPECIES_HEADINGS) or (heading is not None and heading == self.file_column):
            return False
        if heading is not None and _BINOMIAL.fullmatch(heading) and set(values) <= {"0", "1"}:
            return True
        return 2 * sum(map(_is_word, values)) >= len(values)

    @cached_property
    def starts_on_days(self) -> bool:
        """Whether the start times are dates, as those of recordings are."""
        position = self.layout.positions["start"]
        starts = [row[position] for row in self.rows if position < len(row) and row[position]]
        return bool(starts) and all(_DATE.fullmatch(start) and not _TIME_OF_DAY.match(start) for start in starts)

    @cached_property
    def has_times(self) -> bool:
        """Whether two columns of numbers look like start and end times.

        In each row, the second is greater; from row to row, the first mostly increases.
        """
        numbers = {
            position: [float(value.replace(",", ".")) for value in values]
            for position, values in self._unrecognised.items()
            if len(values) == len(self.rows)
            and not self._is_headed(position, _NO_TIME_HEADINGS)
            and all(map(is_number, values))
        }
        return any(
            _are_times(start, end)
            for position, start in numbers.items()
            for later, end in numbers.items()
            if later > position
        )

    def may_be_annotations(self, table: Path) -> bool:
        """Tell whether the table may hold species, times or audio files, so that a user may expect it to be read."""
        layout = self.layout
        names_files = layout.names_files or bool(self.file_column)
        if "start" in layout.positions and not self.starts_on_days:
            is_raven = layout.format == "Raven selection tables"
            return names_files or self.has_words or "species" in layout.positions or is_raven
        if "species" in layout.positions:
            return names_files or self.has_times or self.sounds.has_sound_for(table)
        if self.file_column:
            return self.has_words or self.has_times
        if find_column(layout.headings, RECORDING_HEADINGS):
            return False
        several_times = self.has_times and (names_files or len(self.rows) > 1)
        return self.has_words and (several_times or (names_files and self._has_classes))

    @property
    def _has_classes(self) -> bool:
        """Whether headings are species, each with 0 or 1 for every audio file."""
        return any(map(_BINOMIAL.fullmatch, self.layout.headings)) and not self.layout.classes


def _is_word(value: str) -> bool:
    return not is_number(value) and not _DATE.fullmatch(value) and not _NO_WORD.fullmatch(value)


def _are_times(starts: Sequence[float], ends: Sequence[float]) -> bool:
    increases = sum(later > start for start, later in pairwise(starts))
    return (
        bool(starts)
        and all(0 <= start < end for start, end in zip(starts, ends, strict=True))
        and 2 * increases >= len(starts) - 1
    )


def lacks_headings(first: Sequence[str], sounds: SoundFinder) -> bool:
    """Tell whether the first row holds values: half are numbers, or one is a date or names an audio file."""
    if any(_DATE.fullmatch(cell) or (Path(cell).suffix and sounds.knows(cell)) for cell in first):
        return True
    return sum(not cell or is_number(cell) for cell in first) * 2 >= len(first)


def is_list(rows: Sequence[Sequence[str]], lines: Sequence[str], separator: str) -> bool:
    """Tell whether a text is a list of names, of numbered names, or of checksums."""
    if all(len(row) < 2 for row in rows) or not first_line(lines).strip(f"{SEPARATORS} \r\n"):
        return True
    if all(_CHECKSUM.fullmatch(line.strip()) for line in lines[:SAMPLE_ROWS] if line.strip()):
        return True
    numbers = [row[0].strip() for row in rows]
    return max(map(len, rows)) == 2 and (
        numbers in ([str(index) for index in range(first, first + len(rows))] for first in (0, 1))
    )


def looks_like_table(rows: Sequence[Sequence[str]], layout: TableLayout, separator: str) -> bool:
    """Tell whether a text is a table and not prose.

    Its lines have the same number of values, and it has known headings or numbers.
    """
    same = sum(len(row) == len(rows[0]) for row in rows) >= max(2, 0.8 * len(rows))
    short = all(len(cell.strip()) <= LONGEST_HEADING for cell in rows[0])
    known = len(layout.positions.keys() - _OTHER_COLUMNS) >= (1 if separator == "\t" else 2)
    numbers = any(is_number(cell.strip()) for row in rows for cell in row)
    if layout.holds_events or ("start" in layout.positions and known):
        return short
    return same and short and (known or numbers)
