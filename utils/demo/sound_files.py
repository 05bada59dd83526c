"""FLAC and Ogg Vorbis files whose bytes depend on the sound only."""

import io
import zlib
from pathlib import Path

import soundfile

from utils.demo.singing import SoundArray
from utils.files import atomic_file

_BLOCK_SECONDS = 10  # soundfile 0.14 crashes when more than about a minute of Vorbis is written in one call
_OGG_HEADER = 27  # bytes of a page before its table of segment sizes
_PAGE_SERIAL = slice(14, 18)  # in a page: the stream's serial number, and the checksum of the page
_PAGE_CHECKSUM = slice(22, 26)
_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))  # bytes with their bits in reverse


def write_flac(path: Path, sound: SoundArray, *, rate: int) -> None:
    """Write a FLAC file of 16 bits; it appears whole or not at all."""
    with atomic_file(path) as stream:
        stream.write(_encoded(sound, rate=rate, audio_format="FLAC", subtype="PCM_16"))


def write_ogg(path: Path, sound: SoundArray, *, rate: int) -> None:
    """Write an Ogg Vorbis file; it appears whole or not at all."""
    with atomic_file(path) as stream:
        stream.write(with_serial(_encoded(sound, rate=rate, audio_format="OGG", subtype="VORBIS"), 0))


def _encoded(sound: SoundArray, *, rate: int, audio_format: str, subtype: str) -> bytes:
    content = io.BytesIO()
    with soundfile.SoundFile(content, "w", rate, 1, subtype=subtype, format=audio_format) as file:
        for start in range(0, len(sound), _BLOCK_SECONDS * rate):
            file.write(sound[start : start + _BLOCK_SECONDS * rate])
    return content.getvalue()


def with_serial(ogg: bytes, serial: int) -> bytes:
    """Give the only stream of an Ogg file this serial number; libsndfile draws one from the time of day.

    Parameters
    ----------
    serial : 0 to 2**32 − 1

    Returns
    -------
    The file with new serial numbers and checksums. Source: RFC 3533.
    """
    pages = []
    start = 0
    while start < len(ogg):
        segments = ogg[start + _OGG_HEADER - 1]
        stop = start + _OGG_HEADER + segments + sum(ogg[start + _OGG_HEADER : start + _OGG_HEADER + segments])
        page = bytearray(ogg[start:stop])
        page[_PAGE_SERIAL] = serial.to_bytes(4, "little")
        page[_PAGE_CHECKSUM] = bytes(4)
        page[_PAGE_CHECKSUM] = ogg_checksum(bytes(page)).to_bytes(4, "little")
        pages.append(bytes(page))
        start = stop
    return b"".join(pages)


def ogg_checksum(page: bytes) -> int:
    """Return the checksum of an Ogg page whose checksum field is 0.

    It is zlib's with bits in reverse, and without its inversions at the start and the end.
    """
    reverse = zlib.crc32(page.translate(_REVERSED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int(f"{reverse:032b}"[::-1], 2)
