"""The texts in the header of a WAV file: chunks are sought one by one, the sound is never read."""

from dataclasses import dataclass, field
from itertools import islice
from typing import BinaryIO

from utils.sound.chunks import ChunkFormat, FileChunk, iter_chunks
from utils.sound.layout import MAX_OFFSET, SIZE_UNKNOWN
from utils.sound.wave import RIFF_BYTE_ORDERS

CHUNKS_SOUGHT = 64  # looked at in one file; damaged sizes could lead to many
LONGEST_CHUNK_TEXT = 1 << 16  # bytes


@dataclass(frozen=True)
class WaveTexts:
    """Texts of a WAV file.

    Attributes
    ----------
    guano : the content of the chunk `guan`; None if there is none
    info : the texts of the list INFO by their names, such as ICMT, without zeros at their ends
    cut_off : whether the file ends within one of them
    """

    guano: bytes | None = None
    info: dict[str, str] = field(default_factory=dict)
    cut_off: bool = False


def read_wave_texts(stream: BinaryIO) -> WaveTexts:
    """Read the texts of a file; none if it is no WAV file. RIFF, RIFX, RF64 and BW64 are read.

    Raises
    ------
    OSError
        If the file cannot be read.
    """
    stream.seek(0)
    first = stream.read(12)
    if first[:4] not in RIFF_BYTE_ORDERS or first[8:] != b"WAVE":
        return WaveTexts()
    chunk_format = ChunkFormat(RIFF_BYTE_ORDERS[first[:4]])
    guano, info, cut_off, position, long_size = None, dict[str, str](), False, 12, 0
    for _ in range(CHUNKS_SOUGHT):
        chunk = chunk_format.read(stream, position)
        if chunk is None or chunk.next_start <= position:
            break
        position = chunk.next_start
        if chunk.name == b"ds64":
            long_size = min(int.from_bytes(_content_of(stream, chunk)[8:16], "little"), MAX_OFFSET)
        elif chunk.name == b"data" and chunk.size == SIZE_UNKNOWN and long_size:
            position = chunk.start + long_size + long_size % 2
        elif chunk.name == b"guan" and guano is None:
            guano = _content_of(stream, chunk)
            cut_off = cut_off or len(guano) < min(chunk.size, LONGEST_CHUNK_TEXT)
        elif chunk.name == b"LIST":
            found, whole = _info(stream, chunk, chunk_format)
            info = {**found, **info}
            cut_off = cut_off or not whole
    return WaveTexts(guano, info, cut_off)


def _content_of(stream: BinaryIO, chunk: FileChunk) -> bytes:
    stream.seek(chunk.start)
    return stream.read(min(chunk.size, LONGEST_CHUNK_TEXT))


def _info(stream: BinaryIO, chunk: FileChunk, chunk_format: ChunkFormat) -> tuple[dict[str, str], bool]:
    """Return the texts of a list, and whether the list is whole; nothing of lists other than INFO."""
    stream.seek(chunk.start)
    if chunk.size < 4 or stream.read(4) != b"INFO":
        return {}, True
    texts, end = dict[str, str](), chunk.start + chunk.size
    for one in islice(iter_chunks(stream, chunk.start + 4, chunk_format), CHUNKS_SOUGHT):
        if one.start >= end:
            break
        content = _content_of(stream, one)
        texts.setdefault(one.name.decode("latin-1"), _text(content))
        if len(content) < min(one.size, LONGEST_CHUNK_TEXT):
            return texts, False
    return texts, True


def _text(content: bytes) -> str:
    return content.split(b"\0", 1)[0].decode("utf-8", "replace").strip()
