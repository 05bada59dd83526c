"""Odd audio files as recorders and programs leave them, made from valid ones byte by byte."""

import io
import struct

import numpy as np
import soundfile

RATE = 24_000
NOISE = np.random.default_rng(0)


def samples(seconds: float, *, channels: int = 1, rate: int = RATE) -> np.ndarray:
    """Return 16-bit noise."""
    shape = (int(seconds * rate), channels) if channels > 1 else int(seconds * rate)
    return np.round(NOISE.uniform(-9000, 9000, shape)).astype(np.float32) / 32768


def encoded(sound: np.ndarray, form: str = "WAV", *, rate: int = RATE, **more: object) -> bytes:
    stream = io.BytesIO()
    soundfile.write(stream, sound, rate, format=form, **more)
    return stream.getvalue()


def patched(content: bytes, place: int, form: str, value: int) -> bytes:
    return content[:place] + struct.pack(form, value) + content[place + struct.calcsize(form) :]


def wav(sound: np.ndarray, *, data: int | None = None, riff: int | None = None, **more: object) -> bytes:
    """Return a WAV that declares these sizes."""
    content = encoded(sound, **more)  # type: ignore[arg-type]
    content = content if riff is None else patched(content, 4, "<I", riff)
    return content if data is None else patched(content, content.index(b"data") + 4, "<I", data)


def chunk(name: bytes, content: bytes = bytes(3000)) -> bytes:
    return name + struct.pack("<I", len(content)) + content


def aiff(sound: np.ndarray, *, frames: int, size: int) -> bytes:
    content = encoded(sound, "AIFF")
    content = patched(patched(content, 4, ">I", 0), content.index(b"COMM") + 10, ">I", frames)
    return patched(content, content.index(b"SSND") + 4, ">I", size)


def flac(content: bytes, total: int) -> bytes:
    """Return a FLAC whose header declares a total number of frames."""
    number = int.from_bytes(content[18:26], "big") & ~((1 << 36) - 1) | total
    return content[:18] + number.to_bytes(8, "big") + content[26:]


def ape_tag() -> bytes:
    def ends(flags: int) -> bytes:
        return b"APETAGEX" + struct.pack("<IIII", 2000, 32, 1, flags) + bytes(8)

    return ends(0xA0000000) + bytes(1968) + ends(0x80000000)


ID3V1 = b"TAG" + bytes(125)
ID3V2 = b"ID3\x03\0\0\0\0\x10\0" + bytes(2048)


def without_xing(mp3: bytes) -> bytes:
    """Return an MP3 (layer III) without its first frame, which declares the length."""
    first = mp3[1] >> 3 & 3 == 3
    kbits = (
        (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
        if first
        else (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
    )
    rate = (44_100, 48_000, 32_000)[mp3[2] >> 2 & 3] // (1 if first else 2)
    return mp3[(144_000 if first else 72_000) * kbits[mp3[2] >> 4] // rate + (mp3[2] >> 1 & 1) :]


def variable(*parts: np.ndarray) -> bytes:
    """Return an MP3 of variable bit rate without a header that declares it."""
    return without_xing(
        encoded(np.concatenate(parts), "MP3", rate=44_100, bitrate_mode="VARIABLE", compression_level=0.2)
    )
