"""Warnings about an audio file: how much of it could be read."""

from utils.sound.layout import LENGTH_TOLERANCE
from utils.sound.opening import AudioError, OpenSegment

MAX_GAP = 2048  # bytes of an MP3 outside of frames; an unused header and a cut frame may take as many
TRUNCATED = "Seems to be a truncated file"  # in libsndfile's log (VOC)
# ends every warning that only a part could be read, and no other: exit statuses depend on it, and stores keep it
PART = "are there and are used"


class DecodingReport:
    """What was read of a file, segment by segment, and what its header declares."""

    def __init__(self, notes: tuple[str, ...]) -> None:
        self._notes = list(notes)
        self._declared, self._seconds_read, self._missing = 0.0, 0.0, False
        self._errors: list[str] = []
        self._incomplete, self._length_known = False, True
        self._gap_bytes = 0

    def add(self, opened: OpenSegment, frames: int, error: str) -> None:
        """Add what was read of a segment, and the error with which it ended."""
        declared, rate = opened.declared, opened.rate
        self._seconds_read += frames / rate
        self._declared += (frames if declared is None else declared) / rate
        short = declared is not None and declared - frames >= opened.segment.tolerance * rate
        self._missing |= short
        self._incomplete |= opened.segment.incomplete or TRUNCATED in opened.sound.extra_info
        # mpg123 reports the missing rest of a last frame as an error
        at_end = opened.segment.may_continue and opened.position >= opened.segment.stop - MAX_GAP
        if error and not at_end and (declared is None or short):
            self._errors.append(error)
            self._length_known &= declared is not None

    def add_error(self, error: str) -> None:
        """Add a segment that cannot be opened."""
        self._errors.append(error)
        self._length_known = False

    def add_gap(self, damaged: int) -> None:
        """Add that sound was found after the decoder stopped, and how many damaged bytes lie between."""
        self._gap_bytes += damaged
        self._length_known = False

    def check_any(self) -> None:
        """Refuse a file from which nothing was read.

        Raises
        ------
        AudioError
            With the reason.
        """
        if self._seconds_read == 0:
            raise AudioError(f"is damaged: {self._errors[0]}" if self._errors else "holds no samples")

    def warnings(self) -> tuple[str, ...]:
        """Return what is odd about the file."""
        there, declared = _two_lengths(self._seconds_read, self._declared)
        if self._errors:
            self._notes.append(
                f"is damaged ({self._errors[0]}): {there}{f' of {declared}' if self._length_known else ''} s {PART}"
            )
        elif self._gap_bytes > MAX_GAP:
            self._notes.append(f"is damaged ({self._gap_bytes} bytes in it are not audio): {there} s {PART}")
        elif self._missing:
            self._notes.append(f"the header declares {declared} s, but only {there} s {PART}")
        elif self._incomplete:
            self._notes.append(f"a part of it is missing: {there} s {PART}")
        elif self._seconds_read - self._declared >= LENGTH_TOLERANCE:
            self._notes.append(f"the header declares {declared} s, but the file holds {there} s; all of it is used")
        return tuple(self._notes)


def _two_lengths(one: float, other: float) -> tuple[str, str]:
    """Format two lengths with enough digits to differ, at least one."""
    digits = next((digits for digits in (1, 2, 3) if round(one, digits) != round(other, digits)), 1)
    return f"{one:.{digits}f}", f"{other:.{digits}f}"


def is_partial(warning: str) -> bool:
    """Tell whether a warning says that only a part of a recording could be used."""
    return PART in warning
