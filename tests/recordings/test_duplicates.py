"""The same sound is found under other names, headers and formats, and no other."""

from pathlib import Path

import numpy as np
import soundfile

from tests.conftest import RATE, chirp
from utils.recordings.duplicates import ScannedFile, find_same_sound, scan_files


def duplicates(files: list[Path]) -> list[list[str]]:
    pairs = [
        (file, sound)
        for file, sound in zip(files, scan_files(files, workers=1), strict=True)
        if isinstance(sound, ScannedFile)
    ]
    readable = [file for file, _ in pairs]
    found = find_same_sound(readable, [sound for _, sound in pairs], workers=1)
    return [[readable[number].name for number in same] for same in found]


def test_the_same_sound_in_many_formats(tmp_path: Path) -> None:
    sound = (chirp(2000.0, seconds=6.0, seed=1) * 32768).astype(np.int16)
    other = sound.copy()
    other[-1] += 1  # long after what is compared first
    late = np.concatenate([sound, sound[:1]])
    files = []
    for name, samples, rate, subtype in (
        ("a.wav", sound, RATE, "PCM_16"),
        ("b.flac", sound, RATE, "PCM_16"),
        ("c.aiff", sound, RATE, "PCM_24"),
        ("d.wav", (sound / 32768).astype(np.float32), 2 * RATE, "FLOAT"),
        ("e.wav", other, RATE, "PCM_16"),
        ("f.wav", late, RATE, "PCM_16"),
        ("g.wav", np.stack([sound, sound], axis=1), RATE, "PCM_16"),
        ("h.wav", np.zeros(RATE, np.int16), RATE, "PCM_16"),
        ("i.ogg", sound, RATE, "VORBIS"),
    ):
        files.append(tmp_path / name)
        soundfile.write(files[-1], samples, rate, subtype=subtype)
    tagged = files[0].read_bytes()
    (tmp_path / "tagged.wav").write_bytes(tagged + b"LIST\x04\x00\x00\x00INFO")
    ogg = tmp_path / "copy.ogg"
    ogg.write_bytes(files[-1].read_bytes())
    (tmp_path / "empty.wav").write_bytes(b"")
    (tmp_path / "text.wav").write_bytes(b"no sound")
    files += [tmp_path / "tagged.wav", ogg, tmp_path / "empty.wav", tmp_path / "text.wav", tmp_path / "not there.wav"]
    assert duplicates(files) == [["a.wav", "b.flac", "c.aiff", "d.wav", "tagged.wav"], ["i.ogg", "copy.ogg"]]
    *_, empty, text, missing = scan_files(files, workers=1)
    assert (empty, missing) == ("is empty (0 bytes)", "no such file")
    assert str(text).startswith("cannot be decoded")


def test_lengths(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros((RATE * 2, 2)), RATE)
    (scan,) = scan_files([tmp_path / "a.wav"], workers=1)
    assert isinstance(scan, ScannedFile)
    assert (scan.seconds, scan.channels, scan.rate) == (2.0, 2, RATE)
    assert scan_files([], workers=1) == []
    assert find_same_sound([], [], workers=1) == []


def test_files_of_unknown_length_are_compared_completely(tmp_path: Path) -> None:
    stereo = np.random.default_rng(1).integers(-9000, 9000, (15 * 44_100, 2)).astype(np.int16)
    for name in ("a.flac", "a.wav"):
        soundfile.write(tmp_path / name, stereo, 44_100, subtype="PCM_16")
    one = (tmp_path / "a.flac").read_bytes()
    files = [tmp_path / f"{name}.flac" for name in ("twice", "again", "once")]
    for file, content in zip(files, (2 * one, 2 * one, one), strict=True):
        file.write_bytes(content)
    soundfile.write(tmp_path / "twice.wav", np.concatenate([stereo, stereo]), 44_100, subtype="PCM_16")
    assert duplicates([*files, tmp_path / "twice.wav", tmp_path / "a.wav"]) == [
        ["twice.flac", "again.flac", "twice.wav"],
        ["once.flac", "a.wav"],
    ]
