"""Downloading one sound: whole and readable, or not at all."""

import os
from pathlib import Path
from typing import Any

from utils.files import atomic_file, remove_path, write_text
from utils.recordings.download.candidates import SOUNDS, Candidate, record_text
from utils.recordings.download.client import Client, RequestError
from utils.sound.opening import AudioError
from utils.sound.reading import AudioReader

INCOMING = ".incoming"  # folder for sounds that are not checked yet
BODY_BLOCK = 1 << 16  # bytes
MAX_SOUND = 2 << 30  # bytes
TRIED_SECONDS, TRIED_VALUES = 1.0, 1 << 20  # of a sound that are decoded
_TEXTS = ("text/", "application/json", "application/xhtml", "application/xml")


def download_sound(candidate: Candidate, client: Client, out: Path) -> None:
    """Download the sound of a recording to where it belongs.

    It arrives in a hidden folder, and is moved when it is whole and its start can be decoded.

    Raises
    ------
    RequestError
        If there is none to be had.
    AudioError
        If it cannot be decoded.
    """
    target = candidate.recording.file
    incoming = out / INCOMING / target.name
    try:
        client.fetch(candidate.address, lambda response: _write_body(response, incoming))
        with AudioReader(incoming, quick=True) as reader:
            if next(reader.blocks(seconds=TRIED_SECONDS, values=TRIED_VALUES), None) is None:
                raise AudioError("has no samples")
        target.parent.mkdir(parents=True, exist_ok=True)
        os.replace(incoming, target)
    finally:
        remove_path(incoming)


def keep_record(candidate: Candidate) -> None:
    """Write the API's record beside a sound, unless it is there."""
    file, text = candidate.recording.file.with_suffix(".json"), record_text(candidate.record)
    if not file.is_file() or file.read_bytes() != text.encode():
        write_text(file, text)


def remove_unfinished(out: Path) -> None:
    """Remove what a killed download left."""
    remove_path(out / INCOMING)
    (out / SOUNDS).mkdir(parents=True, exist_ok=True)


def _write_body(response: Any, file: Path) -> None:
    """Write a response to a file.

    Raises
    ------
    RequestError
        If it is a page for people, too large, or shorter than it should be.
    """
    kind = (response.headers.get("Content-Type") or "").strip().lower()
    if kind.startswith(_TEXTS):
        raise RequestError(f"the server sends a page ({kind[:40]}) instead of a sound")
    size = 0
    with atomic_file(file) as stream:
        while block := response.read(BODY_BLOCK):
            if not size and block.lstrip()[:1] == b"<":
                raise RequestError("the server sends a page instead of a sound")
            size += len(block)
            if size > MAX_SOUND:
                raise RequestError(f"is larger than {MAX_SOUND >> 30} GB")
            stream.write(block)
        expected = response.headers.get("Content-Length") or ""
        if not size or (expected.isdigit() and size != int(expected[:18])):
            raise RequestError(f"only {size:,} of {expected or 'some'} bytes arrive", transient=True)
