"""Lengths by a quick scan: right, or none at all; and broken files must not raise unexpected errors."""

import struct
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.sound.makers import RATE, chunk, encoded, flac, patched, samples, variable, wav, without_xing
from tests.sound.test_odd_files import decoded, written
from utils.recordings.duplicates import ScannedFile, measure_length, scan_files
from utils.sound.chunks import ChunkFormat, find_trailing_chunks
from utils.sound.layout import MAX_OFFSET, Segment, SegmentFile
from utils.sound.opening import AudioError
from utils.sound.reading import AudioReader

FAST = 44_100
LOUD, SHORT = samples(20, rate=FAST, channels=2), samples(5, rate=FAST, channels=2)
QUIET = np.round(LOUD * 300) / 32768  # compresses well
OGG = {"rate": FAST, "compression_level": 0.0}


def quick(file: Path) -> float | None:
    """Return the length by a quick scan, seconds."""
    (found,) = scan_files([file], workers=1)
    assert isinstance(found, ScannedFile)
    return found.seconds


ORDINARY: dict[str, tuple[Callable[[], bytes], float]] = {
    "long.flac": (lambda: encoded(LOUD, "FLAC", rate=FAST), 20.0),
    "loud, then quiet.flac": (lambda: encoded(np.concatenate([LOUD, QUIET]), "FLAC", rate=FAST), 40.0),
    "long.ogg": (lambda: encoded(LOUD, "OGG", **OGG), 20.0),
    "xing.mp3": (lambda: encoded(LOUD, "MP3", rate=FAST), 20.0),
    "long.wav": (lambda: encoded(LOUD, rate=FAST), 20.0),
    "short.flac": (lambda: encoded(samples(2), "FLAC"), 2.0),
    "joined, short.flac": (lambda: encoded(samples(2), "FLAC") + encoded(samples(1), "FLAC"), 3.0),
    "joined.wav": (lambda: wav(samples(2)) + wav(samples(1)), 3.0),
}


@pytest.mark.parametrize("name", ORDINARY)
def test_a_quick_scan_finds_the_length_of_ordinary_files(tmp_path: Path, name: str) -> None:
    make, seconds = ORDINARY[name]
    file = written(tmp_path, name, make())
    assert quick(file) == pytest.approx(seconds, abs=0.06)
    assert measure_length(file) == pytest.approx(seconds, abs=0.06)


JOINED: dict[str, tuple[Callable[[], list[bytes]], float]] = {
    "long and short.flac": (lambda: [encoded(LOUD, "FLAC", rate=FAST), encoded(SHORT, "FLAC", rate=FAST)], 25.0),
    "short and long.flac": (lambda: [encoded(SHORT, "FLAC", rate=FAST), encoded(LOUD, "FLAC", rate=FAST)], 25.0),
    "itself.flac": (lambda: 2 * [encoded(LOUD, "FLAC", rate=FAST)], 40.0),
    "as long, quiet.flac": (lambda: [encoded(LOUD, "FLAC", rate=FAST), encoded(QUIET, "FLAC", rate=FAST)], 40.0),
    "as long, loud.flac": (lambda: [encoded(QUIET, "FLAC", rate=FAST), encoded(LOUD, "FLAC", rate=FAST)], 40.0),
    "as long, silent.flac": (lambda: [encoded(LOUD, "FLAC", rate=FAST), encoded(0 * LOUD, "FLAC", rate=FAST)], 40.0),
    "itself.ogg": (lambda: 2 * [encoded(LOUD, "OGG", **OGG)], 40.0),
    "variable.mp3": (lambda: [variable(samples(2, rate=FAST), 0.001 * samples(12, rate=FAST))], 14.0),
    "no header.mp3": (lambda: [without_xing(encoded(samples(10), "MP3"))], 10.0),
}


@pytest.mark.parametrize("name", JOINED)
def test_a_quick_scan_returns_no_length_if_it_could_only_guess(tmp_path: Path, name: str) -> None:
    make, seconds = JOINED[name]
    file = written(tmp_path, name, b"".join(make()))
    assert quick(file) is None
    assert measure_length(file) == pytest.approx(seconds, abs=0.1)
    with AudioReader(file) as sound:
        assert (sound.frames or 0) / sound.rate == pytest.approx(seconds, abs=0.1)


def test_what_cannot_be_read_has_no_length(tmp_path: Path) -> None:
    assert measure_length(written(tmp_path, "a.wav", b"hello")) is None
    assert measure_length(tmp_path / "none.wav") is None


@pytest.mark.parametrize("form", ["OGG", "FLAC"])
def test_a_part_that_cannot_be_opened_leaves_no_length_and_no_error(tmp_path: Path, form: str) -> None:
    broken = bytearray(encoded(samples(4), form))
    broken[40:200] = bytes(160)
    if form == "FLAC":
        broken = bytearray(broken[:8] + bytes(300))
    file = written(tmp_path, f"a.{form.lower()}", encoded(samples(10), form) + bytes(broken))
    with AudioReader(file) as sound:
        assert sound.frames is None
    assert quick(file) is None


@pytest.mark.parametrize("size", [0, 1, 23, 1 << 62, (1 << 63) - 1, 1 << 63, (1 << 64) - 1])
@pytest.mark.parametrize("name", [b"fmt ", b"data"])
def test_sizes_of_wave64_that_no_file_has(tmp_path: Path, size: int, name: bytes) -> None:
    content = encoded(samples(1), "W64")
    file = written(tmp_path, "a.w64", patched(content, content.index(name) + 16, "<Q", size))
    try:
        assert 0 < len(decoded(file)[0]) <= RATE
    except AudioError as error:
        assert "int" not in str(error)
    with pytest.raises(AudioError) if name == b"fmt " and size != 23 else _fine():
        AudioReader(file).__exit__()


class _fine:  # noqa: N801  # a context like pytest.raises
    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> bool:
        return True


@pytest.mark.parametrize("length", [(1 << 63) - 1, -(1 << 63), 1 << 62])
@pytest.mark.parametrize("name", [b"desc", b"data"])
def test_sizes_of_caf_that_no_file_has(tmp_path: Path, length: int, name: bytes) -> None:
    content = encoded(samples(1), "CAF")
    file = written(tmp_path, "a.caf", patched(content, content.index(name) + 4, ">q", length))
    (found,) = scan_files([file], workers=1)
    assert isinstance(found, ScannedFile) or found.startswith(("cannot be decoded", "holds no"))


def test_any_error_of_a_container_is_an_audio_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = written(tmp_path, "a.wav", encoded(samples(1)))
    for error in (ValueError("x"), OverflowError("x"), struct.error("x")):

        def failing(*_: object, error: Exception = error, **__: object) -> None:
            raise error

        monkeypatch.setattr("utils.sound.opening.wave_layout", failing)
        with pytest.raises(AudioError, match=r"^cannot be decoded: x$"):
            AudioReader(file)


def test_many_empty_chunks_after_the_sound_are_read_once(tmp_path: Path) -> None:
    content = wav(samples(1), data=0)[:44] + 30_000 * chunk(b"LIST", b"") + b"LIST\xff\xff\xff\x0f"
    file = written(tmp_path, "a.wav", content)
    began = time.process_time()
    with file.open("rb") as stream:
        assert find_trailing_chunks(stream, len(content), after=44, chunk_format=ChunkFormat()) == len(content)
    assert time.process_time() - began < 2
    whole = content[:-8]
    with written(tmp_path, "b.wav", whole).open("rb") as stream:
        assert find_trailing_chunks(stream, len(whole), after=44, chunk_format=ChunkFormat()) == 44


@pytest.mark.parametrize("form", ["WAV", "AIFF", "W64", "RF64"])
def test_concatenated_containers_of_chunks_are_read_in_order(tmp_path: Path, form: str) -> None:
    parts = [samples(3), samples(2), samples(1)]
    content = b"".join(encoded(part, form) for part in parts)
    file = written(tmp_path, f"a.{form.lower()}", content)
    found, length = decoded(file)
    np.testing.assert_allclose(found, np.concatenate(parts), atol=1e-6)
    assert length.warnings == ()
    assert quick(file) == 6.0
    cut, length = decoded(written(tmp_path, f"b.{form.lower()}", content[:-RATE]))
    np.testing.assert_allclose(cut, found[: len(cut)], atol=1e-6)
    assert length.warnings == ("the header declares 6.0 s, but only 5.5 s are there and are used",)


def test_concatenated_wavs_with_chunks_between_and_another_rate(tmp_path: Path) -> None:
    one, other = samples(2), samples(2, rate=48_000, channels=2)
    found, length = decoded(
        written(tmp_path, "a.wav", wav(one) + chunk(b"LIST", b"INFO") + encoded(other, rate=48_000))
    )
    np.testing.assert_allclose(found[: len(one)], one, atol=1e-6)
    assert (len(found), length.warnings) == (4 * RATE, ())


def test_a_decoder_cannot_leave_the_file(tmp_path: Path) -> None:
    stream = SegmentFile(written(tmp_path, "a", b"abcdef"), Segment(2, 6))
    for position in (-1, -100):
        assert stream.seek(position) == 0
        assert stream.read(2) == b"cd"
        assert stream.seek(position, 1) <= 1
        assert stream.seek(4 * position, 2) == 0
    assert stream.seek(1 << 70) == MAX_OFFSET
    assert stream.read(1) == b""
    stream.close()


def test_an_unknown_total_of_a_long_flac_is_not_guessed(tmp_path: Path) -> None:
    file = written(tmp_path, "a.flac", flac(encoded(LOUD, "FLAC", rate=FAST), 0))
    assert quick(file) is None
    assert measure_length(file) == 20.0
    assert soundfile.info(file).channels == 2
