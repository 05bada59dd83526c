"""Files as recorders write them, made here from the formats' public descriptions: no recorder made them.

Source: those that the readers name (utils/recordings/recorders/).
"""

import struct
from pathlib import Path

SERIAL = "24F319055FDF2205"
RATE = 8000
GUANO = """GUANO|Version: 1.0
Timestamp: 2021-10-02T19:00:00+02:00
Loc Position: 52.516300 13.377700
Loc Elevation: 34
Make: Wildlife Acoustics, Inc.
Model: Song Meter Mini 2
Serial: SMM04321
Samplerate: 8000
Temperature Int: 11.5
WA|Song Meter|Prefix: ELM
WA|Song Meter|Audio settings: [{"rate":8000,"gain":18}]
"""
SUMMARY = """DATE,TIME,LAT,NS,LON,EW,POWER(V),TEMP(C),#FILES
2021-Oct-02,18:30:00,33.00000,S,70.50000,W,4.2,14.5,0
2021-Oct-02,19:00:00,33.00000,S,70.50000,W,4.1,11.5,1
DATE,TIME,LAT,NS,LON,EW,POWER(V),TEMP(C),#FILES
2021-Oct-03,05:00:00,33.25000,S,70.50000,W,3.9,7.0,1
"""


def chunk(name: bytes, content: bytes) -> bytes:
    return name + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2)


def comment(when: str = "19:00:00 02/10/2021", zone: str = " (UTC)", by: str = f"by AudioMoth {SERIAL}") -> str:
    return (
        f"Recorded at {when}{zone} {by} at medium gain while battery was 4.1V and temperature was 11.5C."
        " Amplitude threshold was 10 with 1s minimum trigger duration."
    )


def audiomoth_list(text: str, artist: str = f"AudioMoth {SERIAL}") -> bytes:
    """Return the list INFO, whose texts an AudioMoth fills up with zeros."""
    icmt, iart = text.encode().ljust(384, b"\0"), artist.encode().ljust(32, b"\0")
    return chunk(b"LIST", b"INFO" + chunk(b"ICMT", icmt) + chunk(b"IART", iart))


def wave(*, before: bytes = b"", after: bytes = b"", seconds: float = 0.5) -> bytes:
    """Return a WAV file with chunks before and after its sound."""
    fmt = struct.pack("<HHIIHH", 1, 1, RATE, 2 * RATE, 2, 16)
    sound = bytes(range(1, 251)) * int(2 * RATE * seconds // 250)
    body = b"WAVE" + chunk(b"fmt ", fmt) + before + chunk(b"data", sound) + after
    return b"RIFF" + struct.pack("<I", len(body)) + body


def audiomoth_wave(text: str | None = None, *, seconds: float = 0.5, artist: str = f"AudioMoth {SERIAL}") -> bytes:
    return wave(before=audiomoth_list(comment() if text is None else text, artist), seconds=seconds)


def guano_wave(text: str | bytes = GUANO, *, seconds: float = 0.5) -> bytes:
    return wave(after=chunk(b"guan", text.encode() if isinstance(text, str) else text), seconds=seconds)


def write(path: Path, content: bytes | str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path
