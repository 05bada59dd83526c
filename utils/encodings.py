"""Decoding of text files that other programs wrote: UTF-8, UTF-16, or else Windows-1252.

Source: encoding.spec.whatwg.org/#windows-1252 (browsers' default for pages that declare no encoding; Excel writes "CSV"
in it in Western Europe and America).
"""

import codecs
import io
from dataclasses import dataclass

_MARKS = ((codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
_PROBED = 100  # bytes in which UTF-16 without a mark is recognised: in Latin letters, every second byte is 0
# from the marks (surrogates) of undecoded bytes to letters; five bytes are undefined
_WINDOWS_1252 = {
    0xDC00 + byte: letter for byte in range(0x80, 0x100) if (letter := bytes([byte]).decode("cp1252", "ignore"))
}
_TEXT_CONTROLS = frozenset("\t\n\v\f\r")


@dataclass(frozen=True)
class Text:
    """The text of a file.

    Attributes
    ----------
    lines : with their ends; bytes that could not be decoded are marks, which `undecoded` finds
    guessed : whether some line was not UTF-8 and was read as Windows-1252
    """

    lines: list[str]
    guessed: bool = False


def decoded(content: bytes, *, guess: bool = True) -> Text:
    r"""Return the lines of a text; they may end in \n, \r\n or, as on old Macs, \r.

    Parameters
    ----------
    guess : read bytes that are not UTF-8 as Windows-1252, one by one, because tables are merged from several sources;
        False: they stay marks
    """
    if encoding := _utf16(content):
        return Text(_lines(content.decode(encoding, "replace").replace("\ufffd", "\udc80").removeprefix("\ufeff")))
    lines = _lines(content.decode("utf-8-sig", "surrogateescape"))
    if not guess or not undecoded("".join(lines)):
        return Text(lines)
    better = [_as_windows_1252(line) if undecoded(line) else line for line in lines]
    return Text(better, guessed=better != lines)


def undecoded(text: str) -> bool:
    """Tell whether a text of `decoded` holds bytes that could not be decoded."""
    return any("\ud800" <= letter <= "\udfff" for letter in set(text))


def _utf16(content: bytes) -> str:
    """Return which UTF-16 it is, by its byte-order mark or its zeros; '' if it is not UTF-16."""
    for mark, encoding in _MARKS:
        if content.startswith(mark):
            return encoding
    even, odd = content[0:_PROBED:2], content[1:_PROBED:2]
    if len(odd) < 2:
        return ""
    if not any(odd) and all(even):
        return "utf-16-le"
    return "utf-16-be" if not any(even) and all(odd) else ""


def _as_windows_1252(line: str) -> str:
    """Return a line with its undecoded bytes read as Windows-1252; unchanged if that gives no text, either."""
    text = line.translate(_WINDOWS_1252)
    return line if undecoded(text) or any(letter < " " and letter not in _TEXT_CONTROLS for letter in text) else text


def _lines(text: str) -> list[str]:
    return list(io.StringIO(text, newline=""))
