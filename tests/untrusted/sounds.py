"""Damaged sound files, made from undamaged ones with a seed: the same bytes wherever the encoders are the same."""

import io
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import soundfile

from tests.conftest import RATE, chirp

FORMATS: Mapping[str, tuple[str, str | None]] = {  # ending: libsndfile's container and encoding
    "wav": ("WAV", "PCM_16"),
    "float.wav": ("WAV", "FLOAT"),
    "eight.wav": ("WAV", "PCM_U8"),
    "adpcm.wav": ("WAV", "IMA_ADPCM"),
    "w64": ("W64", "PCM_16"),
    "rf64": ("RF64", "PCM_24"),
    "aiff": ("AIFF", "PCM_16"),
    "au": ("AU", "PCM_16"),
    "caf": ("CAF", "PCM_16"),
    "alac.caf": ("CAF", "ALAC_16"),
    "flac": ("FLAC", "PCM_16"),
    "ogg": ("OGG", "VORBIS"),
    "opus": ("OGG", "OPUS"),
    "mp3": ("MP3", "MPEG_LAYER_III"),
}
HEADER = 64  # bytes; the first chunks of every container lie in them
HUGE = (b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f", b"\x7f\xff\xff\xff", b"\x00\x00\x00\x80", b"\x00\x00\x00\x00")
Generator = np.random.Generator


def whole_sounds() -> dict[str, bytes]:
    """Return an undamaged file of each format, by its ending; their samples differ, so that none are duplicates."""
    sounds = {}
    for index, (ending, (container, encoding)) in enumerate(FORMATS.items()):
        stream = io.BytesIO()
        soundfile.write(
            stream,
            chirp(1500 + 100 * index, seconds=2.0 + 0.1 * index, seed=index),
            RATE,
            format=container,
            subtype=encoding,
        )
        sounds[ending] = stream.getvalue()
    return sounds


def flip_anywhere(content: bytes, _: Mapping[str, bytes], rng: Generator) -> bytes:
    return _flipped(content, rng, most=len(content), bits=int(rng.integers(1, 200)))


def flip_header(content: bytes, _: Mapping[str, bytes], rng: Generator) -> bytes:
    return _flipped(content, rng, most=HEADER, bits=int(rng.integers(1, 20)))


def _flipped(content: bytes, rng: Generator, *, most: int, bits: int) -> bytes:
    array = np.frombuffer(content, np.uint8).copy()
    for position in rng.integers(0, min(most, len(array)), bits):
        array[position] ^= 1 << int(rng.integers(0, 8))
    return array.tobytes()


def cut_off(content: bytes, _: Mapping[str, bytes], rng: Generator) -> bytes:
    return content[: int(rng.integers(0, len(content)))]


def cut_in_header(content: bytes, _: Mapping[str, bytes], rng: Generator) -> bytes:
    return content[: int(rng.integers(1, HEADER))]


def cut_out(content: bytes, _: Mapping[str, bytes], rng: Generator) -> bytes:
    start, end = sorted(rng.integers(0, len(content), 2))
    return content[:start] + content[end:]


def put_between(content: bytes, _: Mapping[str, bytes], rng: Generator) -> bytes:
    start = int(rng.integers(0, len(content)))
    return content[:start] + rng.bytes(int(rng.integers(1, 5000))) + content[start:]


def other_header(content: bytes, others: Mapping[str, bytes], rng: Generator) -> bytes:
    """Start like another format."""
    size = int(rng.integers(4, HEADER))
    return others[str(rng.choice(list(others)))][:size] + content[size:]


def huge_size(content: bytes, _: Mapping[str, bytes], rng: Generator) -> bytes:
    """Set a field of four bytes in the header to a huge size, or to 0."""
    position = 4 * int(rng.integers(0, HEADER // 4))
    return content[:position] + HUGE[int(rng.integers(len(HUGE)))] + content[position + 4 :]


def wide_header(content: bytes, _: Mapping[str, bytes], rng: Generator) -> bytes:
    """Set several fields of two bytes, such as channels and rates, to random values."""
    array = bytearray(content)
    for position in 2 * rng.integers(0, HEADER // 2, int(rng.integers(1, 5))):
        array[position : position + 2] = rng.bytes(2)
    return bytes(array)


def nested_chunks(content: bytes, _: Mapping[str, bytes], rng: Generator) -> bytes:
    """Insert up to a thousand nested chunks after the header, with the container's kind of sizes."""
    kind = b"LIST" if content[:4] in (b"RIFF", b"RF64") else content[:4]
    depth = int(rng.integers(10, 1000))
    nest = b"".join(kind + (12 * level + 4).to_bytes(4, "little") + content[8:12] for level in range(depth, 0, -1))
    return content[:12] + nest + content[12:]


def itself_inside(content: bytes, _: Mapping[str, bytes], rng: Generator) -> bytes:
    """Insert the file into its own middle, a few times."""
    for _time in range(int(rng.integers(1, 4))):
        middle = int(rng.integers(0, len(content)))
        content = content[:middle] + content[:20_000] + content[middle:]
    return content


def many_chunks(content: bytes, _: Mapping[str, bytes], rng: Generator) -> bytes:
    return content[:12] + b"junk\x00\x00\x00\x00" * int(rng.integers(1000, 20_000)) + content[12:]


def long_tag(content: bytes, _: Mapping[str, bytes], rng: Generator) -> bytes:
    """Announce an ID3 tag of up to 256 MB before it."""
    return b"ID3\x04\x00\x00" + bytes(rng.integers(0, 128, 4).tolist()) + content


def nothing_but(content: bytes, _: Mapping[str, bytes], rng: Generator) -> bytes:
    """Replace everything after the header by one repeated byte, or by noise."""
    rest = max(0, len(content) - HEADER)
    kinds = (b"\0" * rest, b"\xff" * rest, rng.bytes(rest), rng.bytes(1) * rest)
    return content[:HEADER] + kinds[int(rng.integers(len(kinds)))]


def other_ending(_: bytes, others: Mapping[str, bytes], rng: Generator) -> bytes:
    """Replace the file by one of another format."""
    return others[str(rng.choice(list(others)))] + rng.bytes(3)  # so that no two are the same


DAMAGES: tuple[Callable[[bytes, Mapping[str, bytes], Generator], bytes], ...] = (
    *(flip_anywhere, flip_header, cut_off, cut_in_header, cut_out, put_between, other_header),
    *(huge_size, wide_header, nested_chunks, itself_inside, many_chunks, long_tag, nothing_but, other_ending),
)


def write_damaged(folder: Path, *, count: int, seed: int) -> list[str]:
    """Write `count` damaged files, with each damage and format in turn; return their names without endings."""
    whole = whole_sounds()
    folder.mkdir(parents=True, exist_ok=True)
    names = []
    for index in range(count):
        rng = np.random.default_rng((seed, index))
        damage = DAMAGES[index % len(DAMAGES)]
        ending = list(whole)[index // len(DAMAGES) % len(whole)]
        name = f"{index:04d} {damage.__name__}"
        (folder / f"{name}.{ending.split('.')[-1]}").write_bytes(damage(whole[ending], whole, rng))
        names.append(name)
    return names


def write_whole(folder: Path) -> list[str]:
    """Write the undamaged files; return their names without endings."""
    folder.mkdir(parents=True, exist_ok=True)
    for ending, content in whole_sounds().items():
        (folder / f"whole {ending.replace('.', ' ')}.{ending.split('.')[-1]}").write_bytes(content)
    return [f"whole {ending.replace('.', ' ')}" for ending in FORMATS]
