"""Broken files, each with the other half of its recording beside it."""

import io
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np
import soundfile

from utils.demo.singing import Sound
from utils.demo.takes import COMMON, RATE, perform, plan, xml_of
from utils.files import whole_file, write_text

BROKEN: Mapping[str, str] = MappingProxyType(
    {
        "LIFECLEF2018_DEMO_wav_RN9001.wav": "empty: 0 bytes",
        "LIFECLEF2018_DEMO_wav_RN9002.wav": "truncated: the header promises more sound than is there",
        "LIFECLEF2018_DEMO_wav_RN9003.wav": "text: not a sound file at all",
        "LIFECLEF2018_DEMO_wav_RN9004.wav": "no samples: a header and nothing else",
        "LIFECLEF2018_DEMO_wav_RN9005.wav": "short: 0.4 seconds, less than a clip",
        "LIFECLEF2018_DEMO_xml_RN9006.xml": "broken XML: cut off in the middle",
        "LIFECLEF2018_DEMO_xml_RN9007.xml": "outside: names ../../outside.wav",
        "LIFECLEF2018_DEMO_xml_RN9008.xml": "missing: names a wav that does not exist",
    }
)
"""Every file that a reader must survive and report, and what is wrong with it."""


def write_broken(root: Path, *, seed: int) -> None:
    """Write the files of BROKEN, and beside each the other half of its recording."""
    rng = np.random.default_rng((seed, 1003))
    takes = {number: plan(COMMON[number % len(COMMON)], number=number, rng=rng) for number in range(9001, 9009)}
    sounds = {
        number: perform(takes[number], seconds=6.0, rate=RATE, seed=seed, rng=rng) for number in (9002, 9005, 9006)
    }
    contents = {
        9001: b"",
        9002: _wav_bytes(sounds[9002])[: 44 + 2 * 2 * RATE],
        9003: b"This is a letter to a bird, not its song.\n" * 100,
        9004: _wav_bytes(np.zeros(0, np.float32)),
        9005: _wav_bytes(sounds[9005][: int(0.4 * RATE)]),
        9006: _wav_bytes(sounds[9006]),
    }
    for number, content in contents.items():
        with whole_file(root / "wav" / takes[number].wav) as stream:
            stream.write(content)
    for number, take in takes.items():
        text = xml_of(take, name="../../outside.wav" if number == 9007 else None)
        write_text(root / "xml" / take.xml, text[: len(text) // 2] if number == 9006 else text)


def _wav_bytes(sound: Sound) -> bytes:
    stream = io.BytesIO()
    soundfile.write(stream, sound, RATE, format="WAV", subtype="PCM_16")
    return stream.getvalue()
