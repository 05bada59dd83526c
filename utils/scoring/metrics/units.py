"""What metrics are computed over: recordings, intervals or events (`testing.unit`), and what messages call them."""

from typing import Literal

Unit = Literal["recording", "interval", "event"]

_WORDS: dict[Unit, tuple[str, str]] = {
    "recording": ("recording", "recordings"),
    "interval": ("interval", "intervals"),
    "event": ("call", "calls"),
}


def unit_word(unit: Unit, count: int = 2) -> str:
    """Return the word for one row (`count` = 1) or several."""
    return _WORDS[unit][count != 1]
