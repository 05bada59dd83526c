"""Broken files: sounds with a valid XML file, and XML files with a valid sound."""

import io
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np
import soundfile

from utils.demo.singing import SoundArray
from utils.demo.synthesis import COMMON, RATE, plan_recording, recording_xml, synthesize
from utils.files import atomic_file, write_text

BROKEN: Mapping[str, str] = MappingProxyType(
    {
        "LIFECLEF2018_DEMO_wav_RN9001.wav": "empty: 0 bytes",
        "LIFECLEF2018_DEMO_wav_RN9002.wav": "truncated: the header announces more sound than the file contains",
        "LIFECLEF2018_DEMO_wav_RN9003.wav": "text: not a sound file",
        "LIFECLEF2018_DEMO_wav_RN9004.wav": "no samples: a header and nothing else",
        "LIFECLEF2018_DEMO_wav_RN9005.wav": "short: 0.4 seconds, less than a clip",
        "LIFECLEF2018_DEMO_xml_RN9006.xml": "broken XML: truncated",
        "LIFECLEF2018_DEMO_xml_RN9007.xml": "outside: names ../../outside.wav",
        "LIFECLEF2018_DEMO_xml_RN9008.xml": "missing: names a wav that does not exist",
    }
)
"""The files that every reader must report without failing, and their faults."""


def write_broken(root: Path, *, seed: int) -> None:
    """Write the files of BROKEN, each with the other file of its recording."""
    rng = np.random.default_rng((seed, 1003))
    planned = {
        identifier: plan_recording(COMMON[identifier % len(COMMON)], number=identifier, rng=rng)
        for identifier in range(9001, 9009)
    }
    sounds = {
        identifier: synthesize(planned[identifier], seconds=6.0, rate=RATE, seed=seed, rng=rng)
        for identifier in (9002, 9005, 9006)
    }
    contents = {
        9001: b"",
        9002: _wav_bytes(sounds[9002])[: 44 + 2 * 2 * RATE],
        9003: b"This is a letter to a bird, not its song.\n" * 100,
        9004: _wav_bytes(np.zeros(0, np.float32)),
        9005: _wav_bytes(sounds[9005][: int(0.4 * RATE)]),
        9006: _wav_bytes(sounds[9006]),
    }
    for identifier, content in contents.items():
        with atomic_file(root / "wav" / planned[identifier].wav) as stream:
            stream.write(content)
    for identifier, recording in planned.items():
        text = recording_xml(recording, name="../../outside.wav" if identifier == 9007 else None)
        write_text(root / "xml" / recording.xml, text[: len(text) // 2] if identifier == 9006 else text)


def _wav_bytes(sound: SoundArray) -> bytes:
    stream = io.BytesIO()
    soundfile.write(stream, sound, RATE, format="WAV", subtype="PCM_16")
    return stream.getvalue()
