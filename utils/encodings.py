"""Text of others in whichever encoding it is: UTF-8 and UTF-16 are known for sure, Windows-1252 is guessed where it can be neither.

Source: encoding.spec.whatwg.org/#windows-1252 (what browsers take pages for that do not say; Excel's "CSV" is written
in it in Western Europe and America).
"""

import codecs
import io
from dataclasses import dataclass

_MARKS = ((codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
_LOOKED_AT = 100  # bytes by which UTF-16 is known that has no mark: in Latin letters, every second byte is 0
# of the marks that stand for bytes; five bytes mean nothing
_WINDOWS_1252 = {
    0xDC00 + byte: letter for byte in range(0x80, 0x100) if (letter := bytes([byte]).decode("cp1252", "ignore"))
}
_TEXT_CONTROLS = frozenset("\t\n\v\f\r")


@dataclass(frozen=True)
class Text:
    """What a file says.

    Attributes
    ----------
    lines : with their ends; bytes that are no text became marks, which `undecoded` finds
    guessed : whether some line was no UTF-8 and was read as Windows-1252
    """

    lines: list[str]
    guessed: bool = False


def decoded(content: bytes, *, guess: bool = True) -> Text:
    r"""Return the lines of a text; they may end in \n, \r\n or, as on old Macs, \r.

    Parameters
    ----------
    guess : read what is no UTF-8 as Windows-1252, byte by byte, for tables are put together from several sources;
        False: it keeps marks
    """
    if encoding := _utf16(content):
        return Text(_lines(content.decode(encoding, "replace").replace("\ufffd", "\udc80").removeprefix("\ufeff")))
    lines = _lines(content.decode("utf-8-sig", "surrogateescape"))
    if not guess or not undecoded("".join(lines)):
        return Text(lines)
    better = [_as_windows_1252(line) if undecoded(line) else line for line in lines]
    return Text(better, guessed=better != lines)


def undecoded(text: str) -> bool:
    """Tell whether a text of `decoded` holds bytes that are no text."""
    return any("\ud800" <= letter <= "\udfff" for letter in set(text))


def _utf16(content: bytes) -> str:
    """Return which UTF-16 it is, by its mark or its zeros; '' where it is none."""
    for mark, encoding in _MARKS:
        if content.startswith(mark):
            return encoding
    even, odd = content[0:_LOOKED_AT:2], content[1:_LOOKED_AT:2]
    if len(odd) < 2:
        return ""
    if not any(odd) and all(even):
        return "utf-16-le"
    return "utf-16-be" if not any(even) and all(odd) else ""


def _as_windows_1252(line: str) -> str:
    """Return a line with what is no UTF-8 in it as Windows-1252; unchanged where it can be no text in that, either."""
    text = line.translate(_WINDOWS_1252)
    return line if undecoded(text) or any(letter < " " and letter not in _TEXT_CONTROLS for letter in text) else text


def _lines(text: str) -> list[str]:
    return list(io.StringIO(text, newline=""))
