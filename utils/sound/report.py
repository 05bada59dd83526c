"""How much of a file was read, and of how much: the warnings."""

from utils.sound.links import SHORT
from utils.sound.opening import AudioError, Opened

HOLE = 2048  # bytes of an MP3 that are no frame; a header that nobody needs and a cut frame may have so many
TRUNCATED = "Seems to be a truncated file"  # in libsndfile's log (VOC)
# ends what is said where only a part could be read, and nothing else: exit statuses depend on it
PART = "are there and are used"


class Report:
    """How much of a file was read, and of how much."""

    def __init__(self, notes: tuple[str, ...]) -> None:
        self._notes = list(notes)
        self._promised, self._found, self._missing = 0.0, 0.0, False
        self._errors: list[str] = []
        self._incomplete, self._known = False, True
        self._hole = 0

    def add(self, opened: Opened, frames: int, error: str) -> None:
        """Take in what was read of a link, and with which error that ended."""
        promised, rate = opened.promised, opened.rate
        self._found += frames / rate
        self._promised += (frames if promised is None else promised) / rate
        short = promised is not None and promised - frames >= opened.link.tolerance * rate
        self._missing |= short
        self._incomplete |= opened.link.incomplete or TRUNCATED in opened.sound.extra_info
        # where mpg123 misses the rest of a frame
        at_end = opened.link.open_end and opened.place >= opened.link.stop - HOLE
        if error and not at_end and (promised is None or short):
            self._errors.append(error)
            self._known &= promised is not None

    def add_error(self, error: str) -> None:
        """Take in a link that cannot be opened."""
        self._errors.append(error)
        self._known = False

    def add_gap(self, damaged: int) -> None:
        """Take in that sound was found behind what seemed to be the end, and how many bytes between should be sound, too."""
        self._hole += damaged
        self._known = False

    def check_any(self) -> None:
        """Refuse a file of which nothing was read.

        Raises
        ------
        AudioError
            That says why.
        """
        if self._found == 0:
            raise AudioError(f"is damaged: {self._errors[0]}" if self._errors else "holds no samples")

    def warnings(self) -> tuple[str, ...]:
        """Say what is odd."""
        there, said = _apart(self._found, self._promised)
        if self._errors:
            self._notes.append(
                f"is damaged ({self._errors[0]}): {there}{f' of {said}' if self._known else ''} s {PART}"
            )
        elif self._hole > HOLE:
            self._notes.append(f"is damaged ({self._hole} bytes in it are no sound): {there} s {PART}")
        elif self._missing:
            self._notes.append(f"its header promises {said} s, {there} s {PART}")
        elif self._incomplete:
            self._notes.append(f"a part of it is missing: {there} s {PART}")
        elif self._found - self._promised >= SHORT:
            self._notes.append(f"its header says {said} s, but {there} s of sound are there; all are used")
        return tuple(self._notes)


def _apart(one: float, other: float) -> tuple[str, str]:
    """Write two lengths with as many digits as tell them apart, one at least."""
    digits = next((digits for digits in (1, 2, 3) if round(one, digits) != round(other, digits)), 1)
    return f"{one:.{digits}f}", f"{other:.{digits}f}"


def is_partial(warning: str) -> bool:
    """Tell whether a warning says that only a part of a recording could be used."""
    return PART in warning
