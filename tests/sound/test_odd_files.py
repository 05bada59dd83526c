"""Everything that can be decoded of an odd or damaged file is used, with a warning."""

import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.sound import makers
from tests.sound.makers import (
    ID3V1,
    ID3V2,
    NOISE,
    RATE,
    aiff,
    ape_tag,
    chunk,
    encoded,
    flac,
    patched,
    samples,
    variable,
    wav,
    without_xing,
)
from utils.recordings.duplicates import ScannedFile, scan_files
from utils.sound.opening import AudioError, layout_of
from utils.sound.reading import AudioReader
from utils.sound.report import is_partial
from utils.spectra.decode import Length, decode

TEN = samples(10)
FOUR = samples(4)
PCM = (TEN * 32768).astype("<i2").tobytes()
WHOLE = encoded(TEN)
AT = WHOLE.index(b"data")
ALL_USED = "the header declares {} s, but the file holds 10.0 s; all of it is used"
HALF = "the header declares 10.0 s, but only 5.0 s are there and are used"
TWICE = "the header declares 20.0 s, but only 10.0 s are there and are used"


def decoded(file: Path, *, rate: int = RATE, **more: object) -> tuple[np.ndarray, Length]:
    blocks = []
    generator = decode(file, rate=rate, **more)
    while True:
        try:
            blocks.append(next(generator))
        except StopIteration as ended:
            return np.concatenate(blocks), ended.value


def written(folder: Path, name: str, content: bytes) -> Path:
    (folder / name).write_bytes(content)
    return folder / name


LOSSLESS: dict[str, tuple[Callable[[], bytes], str | None]] = {
    "plain.wav": (lambda: WHOLE, None),
    "zero, RIFF 0.wav": (lambda: wav(TEN, data=0, riff=0), ALL_USED.format("0.0")),
    "zero, RIFF 36.wav": (lambda: wav(TEN, data=0, riff=36), ALL_USED.format("0.0")),
    "zero, RIFF right.wav": (lambda: wav(TEN, data=0), ALL_USED.format("0.0")),
    "zero, RIFF largest.wav": (lambda: wav(TEN, data=0, riff=0xFFFFFFFF), ALL_USED.format("0.0")),
    "size of 44.wav": (lambda: wav(TEN, data=44), ALL_USED.format("0.0")),
    "wrapped.wav": (lambda: wav(TEN, data=len(PCM) // 4, riff=len(PCM) // 4 + 36), ALL_USED.format("2.5")),
    "written up to 8 s.wav": (lambda: wav(TEN, data=8 * 2 * RATE), ALL_USED.format("8.0")),
    "44 too many.wav": (lambda: wav(TEN, data=len(PCM) + 44, riff=len(PCM) + 80), None),
    "streamed.wav": (lambda: wav(TEN, data=0xFFFFFFFF), None),
    "streamed, LIST behind.wav": (lambda: wav(TEN, data=0xFFFFFFFF) + chunk(b"LIST"), None),
    "half of largest.wav": (lambda: wav(TEN, data=0x7FFFFFFF), None),
    "twice.wav": (lambda: wav(TEN, data=2 * len(PCM)), TWICE),
    "zero, then LIST.wav": (lambda: wav(TEN, data=0) + chunk(b"LIST"), ALL_USED.format("0.0")),
    "24 bits, zero.wav": (lambda: wav(TEN, data=0, subtype="PCM_24"), ALL_USED.format("0.0")),
    "float, zero.wav": (lambda: wav(TEN, data=0, subtype="FLOAT"), ALL_USED.format("0.0")),
    **{
        f"{name.decode().strip()} behind.wav": (lambda name=name: WHOLE + chunk(name), None)
        for name in (b"guan", b"LIST", b"wamd", b"id3 ", b"bext", b"odd1")
    },
    "zeros behind.wav": (lambda: WHOLE + bytes(100_000), None),
    "tag behind.wav": (lambda: WHOLE + ID3V1, None),
    "JUNK first, zero.wav": (
        lambda: WHOLE[:12] + chunk(b"JUNK", bytes(28)) + wav(TEN, data=0)[12:],
        ALL_USED.format("0.0"),
    ),
    "data before fmt.wav": (lambda: WHOLE[:12] + WHOLE[AT:] + WHOLE[12:36], None),
    "big endian, zero.wav": (
        lambda: (
            b"RIFX"
            + struct.pack(">I", 36)
            + b"WAVEfmt "
            + struct.pack(">IHHIIHHI", 16, 1, 1, RATE, 2 * RATE, 2, 16, 0x64617461)
            + bytes(4)
            + (TEN * 32768).astype(">i2").tobytes()
        ),
        ALL_USED.format("0.0"),
    ),
    "rf64.wav": (lambda: encoded(TEN, "RF64"), None),
    "bw64.wav": (lambda: b"BW64" + encoded(TEN, "RF64")[4:], None),
    "rf64, zero.wav": (lambda: patched(encoded(TEN, "RF64"), 28, "<Q", 0), ALL_USED.format("0.0")),
    "rf64, half.wav": (lambda: patched(encoded(TEN, "RF64"), 28, "<Q", len(PCM) // 2), ALL_USED.format("5.0")),
    "rf64, twice.wav": (lambda: patched(encoded(TEN, "RF64"), 28, "<Q", 2 * len(PCM)), TWICE),
    "zero.w64": (lambda: w64(24), ALL_USED.format("0.0")),
    "half.w64": (lambda: w64(24 + len(PCM) // 2), ALL_USED.format("5.0")),
    "twice.w64": (lambda: w64(24 + 2 * len(PCM)), TWICE),
    "plain.aiff": (lambda: encoded(TEN, "AIFF"), None),
    "zero.aiff": (lambda: aiff(TEN, frames=0, size=0), ALL_USED.format("0.0")),
    "eight.aiff": (lambda: aiff(TEN, frames=0, size=8), ALL_USED.format("0.0")),
    "size zero.aiff": (lambda: aiff(TEN, frames=len(TEN), size=0), None),
    "zero.au": (lambda: patched(encoded(TEN, "AU"), 8, ">I", 0), ALL_USED.format("0.0")),
    "half.au": (lambda: patched(encoded(TEN, "AU"), 8, ">I", len(PCM) // 2), ALL_USED.format("5.0")),
    "zero.caf": (lambda: caf(0), ALL_USED.format("0.0")),
    "to the end.caf": (lambda: caf(-1), None),
    "half.caf": (lambda: caf(4 + len(PCM) // 2), ALL_USED.format("5.0")),
    "plain.flac": (lambda: encoded(TEN, "FLAC"), None),
    "length unknown.flac": (lambda: flac(encoded(TEN, "FLAC"), 0), None),
    "twice too long.flac": (lambda: flac(encoded(TEN, "FLAC"), 2 * len(TEN)), TWICE),
    "half too short.flac": (lambda: flac(encoded(TEN, "FLAC"), len(TEN) // 2), ALL_USED.format("5.0")),
    "id3v1.flac": (lambda: encoded(TEN, "FLAC") + ID3V1, None),
    "ape.flac": (lambda: encoded(TEN, "FLAC") + ape_tag(), None),
    "ape, unknown.flac": (lambda: flac(encoded(TEN, "FLAC"), 0) + ape_tag(), None),
    "id3v2.flac": (lambda: ID3V2 + encoded(TEN, "FLAC"), None),
    "id3v2, half, ape, id3v1.flac": (
        lambda: ID3V2 + flac(encoded(TEN, "FLAC"), len(TEN) // 2) + ape_tag() + ID3V1,
        ALL_USED.format("5.0"),
    ),
    "zeros behind.flac": (lambda: encoded(TEN, "FLAC") + bytes(100_000), None),
    "zeros behind, unknown.flac": (lambda: flac(encoded(TEN, "FLAC"), 0) + bytes(100_000), None),
}


def w64(size: int) -> bytes:
    content = encoded(TEN, "W64")
    return patched(content, content.index(b"data") + 16, "<Q", size)


def caf(size: int) -> bytes:
    content = encoded(TEN, "CAF")
    return patched(content, content.index(b"data") + 4, ">q", size)


@pytest.mark.parametrize("name", LOSSLESS)
def test_all_samples_are_used(tmp_path: Path, name: str) -> None:
    make, warning = LOSSLESS[name]
    file = written(tmp_path, name, make())
    found, length = decoded(file)
    np.testing.assert_allclose(found, TEN, atol=1e-6)
    assert length.frames == len(TEN)
    assert length.warnings == ((warning,) if warning else ())
    with AudioReader(file) as sound:
        assert sound.frames == len(TEN)


def test_the_same_sound_is_found_despite_odd_headers(tmp_path: Path) -> None:
    files = [written(tmp_path, name, make()) for name, (make, _) in LOSSLESS.items()]
    scans = scan_files(files, workers=1)
    assert {(scan.frames, scan.first_digest) for scan in scans if isinstance(scan, ScannedFile)} == {
        (len(TEN), scans[0].first_digest)
    }  # type: ignore[union-attr]
    assert all(isinstance(scan, ScannedFile) for scan in scans)


CUT: dict[str, tuple[Callable[[], bytes], float]] = {  # seconds that are there, at least
    "a.wav": (lambda: WHOLE, 4.99),
    "24 bits.wav": (lambda: encoded(TEN, subtype="PCM_24"), 4.99),
    "adpcm.wav": (lambda: encoded(TEN, subtype="MS_ADPCM"), 4.9),
    "a.rf64": (lambda: encoded(TEN, "RF64"), 4.99),
    "a.w64": (lambda: encoded(TEN, "W64"), 4.99),
    "a.aiff": (lambda: encoded(TEN, "AIFF"), 4.99),
    "a.au": (lambda: encoded(TEN, "AU"), 4.99),
    "a.caf": (lambda: encoded(TEN, "CAF"), 4.9),
    "a.sph": (lambda: encoded(TEN, "NIST"), 4.9),
    "a.voc": (lambda: encoded(TEN, "VOC"), 4.9),
    "a.flac": (lambda: encoded(TEN, "FLAC"), 4.8),
    "unknown.flac": (lambda: flac(encoded(TEN, "FLAC"), 0), 4.8),
    "a.mp3": (lambda: encoded(TEN, "MP3"), 4.8),
    "a.ogg": (lambda: encoded(TEN, "OGG"), 3.5),
    "a.opus": (lambda: encoded(TEN, "OGG", subtype="OPUS"), 3.5),
}


@pytest.mark.parametrize("name", CUT)
def test_the_rest_of_a_truncated_file_is_used(tmp_path: Path, name: str, capfd: pytest.CaptureFixture[str]) -> None:
    make, least = CUT[name]
    content = make()
    found, length = decoded(written(tmp_path, name, content[: len(content) // 2]))
    assert least <= len(found) / RATE <= 5.1
    (warning,) = length.warnings
    assert is_partial(warning)
    assert f"{len(found) / RATE:.1f} " in warning
    assert capfd.readouterr().err == ""


def test_a_missing_sample_or_byte_gives_no_warning(tmp_path: Path) -> None:
    for name, content in (
        ("a.wav", WHOLE),
        ("a.aiff", encoded(TEN, "AIFF")),
        ("b.wav", encoded(TEN, subtype="PCM_24")),
        ("c.wav", wav(TEN, data=len(PCM) + 44)),
    ):
        found, length = decoded(written(tmp_path, name, content[:-1]))
        assert len(TEN) - 1 <= len(found) <= len(TEN)
        assert length.warnings == ()


def test_unknown_bytes_after_the_sound_are_reported(tmp_path: Path) -> None:
    found, length = decoded(written(tmp_path, "a.wav", WHOLE + NOISE.bytes(3000)))
    assert len(found) == len(TEN)
    assert length.warnings == ("3000 bytes after the sound are ignored: they look neither like chunks nor like sound",)


def test_a_missing_padding_byte(tmp_path: Path) -> None:
    sound = np.round(samples(10)[:239_999] * 127) / 128
    content = encoded(sound, subtype="PCM_U8")
    content = content[: content.index(b"data") + 8 + len(sound)]
    for behind in (b"", chunk(b"LIST", b"INFO"), b"\0" + chunk(b"LIST", b"INFO")):
        found, length = decoded(written(tmp_path, "a.wav", content + behind))
        assert (len(found), length.warnings) == (len(sound), ())


def test_beyond_4_gb(tmp_path: Path) -> None:
    """The upper part of the size is lost, and chunks follow; the file is sparse, and is not decoded here."""
    size = (1 << 32) + (1 << 20)
    with (tmp_path / "a.wav").open("wb") as stream:
        stream.write(
            patched(
                patched(WHOLE[:AT] + b"data\0\0\0\0", AT + 4, "<I", size % (1 << 32)), 4, "<I", (size + 36) % (1 << 32)
            )
            + b"\1\1"
        )
        stream.seek(AT + 8 + size - 2)
        stream.write(b"\1\1" + chunk(b"LIST"))
    with AudioReader(tmp_path / "a.wav") as sound:
        assert sound.frames == size // 2
    assert layout_of(tmp_path / "a.wav").segments[0].declared == (1 << 20) // 2


@pytest.mark.parametrize("unknown", [False, True])
def test_the_start_of_a_damaged_flac_is_used(tmp_path: Path, unknown: bool) -> None:
    content = flac(encoded(TEN, "FLAC"), 0 if unknown else len(TEN))
    content = content[:200_000] + NOISE.bytes(2000) + content[202_000:]
    found, length = decoded(written(tmp_path, "a.flac", content))
    np.testing.assert_allclose(found, TEN[: len(found)], atol=1e-6)
    assert 3 < len(found) / RATE < 9
    assert length.warnings == (
        f"is damaged (flac decoder lost sync): {len(found) / RATE:.1f} of 10.0 s are there and are used",
    )


@pytest.mark.parametrize(
    ("form", "more"),
    [("OGG", {}), ("OGG", {"subtype": "OPUS"}), ("MP3", {}), ("FLAC", {})],
    ids=["vorbis", "opus", "mp3", "flac"],
)  # fmt: skip
def test_concatenated_files_are_read_in_order(tmp_path: Path, form: str, more: dict[str, str]) -> None:
    parts = [
        encoded(TEN, form, **more),
        encoded(FOUR, form, **more),
        encoded(samples(20, channels=2, rate=48_000), form, rate=48_000, **more),
    ]
    alone = [decoded(written(tmp_path, f"{index}.{form}", part))[0] for index, part in enumerate(parts)]
    for order in ((0, 1), (0, 2), (0, 0), (0, 1, 2)):
        found, length = decoded(written(tmp_path, f"joined.{form}", b"".join(parts[index] for index in order)))
        np.testing.assert_array_equal(found, np.concatenate([alone[index] for index in order]))
        assert length == Length(len(found), RATE)


def test_concatenated_mp3s_with_tags_and_without_headers(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    mp3, other = encoded(TEN, "MP3"), encoded(samples(10, rate=44_100), "MP3", rate=44_100)
    for content, seconds in (
        (ID3V2 + mp3 + ID3V1 + ID3V2 + mp3 + ID3V1, 20.0),
        (without_xing(mp3) + without_xing(mp3), 20.1),
        (without_xing(mp3) + without_xing(other), 20.1),
        (mp3 + without_xing(mp3), 20.1),
        (without_xing(mp3) + mp3, 20.1),
        (mp3 + bytes(100_000), 10.0),
        (mp3 + NOISE.bytes(100_000), 10.0),
        (mp3 + ape_tag(), 10.0),
        (ID3V2 + bytes(3000) + mp3, 10.0),
        (patched(mp3, mp3.index(b"Xing") + 8, ">I", 100), 10.0),  # a count that is too low
    ):
        found, length = decoded(written(tmp_path, "a.mp3", content))
        assert len(found) / RATE == pytest.approx(seconds, abs=0.1)
        assert length.warnings == ()
        assert "Xing stream size" not in capfd.readouterr().err


def test_a_gap_in_an_mp3_is_reported_and_the_rest_is_used(tmp_path: Path) -> None:
    mp3 = without_xing(encoded(TEN, "MP3"))
    found, length = decoded(written(tmp_path, "a.mp3", mp3[:20_000] + NOISE.bytes(10_000) + mp3[20_000:]))
    assert len(found) / RATE > 9.5
    (warning,) = length.warnings
    assert warning.startswith("is damaged (")
    assert is_partial(warning)


@pytest.mark.parametrize("turned", [False, True])
def test_variable_rates_without_a_header_are_read_to_the_end(tmp_path: Path, turned: bool) -> None:
    loud, quiet = samples(5, rate=44_100), 0.001 * samples(5, rate=44_100)
    file = written(tmp_path, "a.mp3", variable(*((quiet, loud) if turned else (loud, quiet))))
    found, length = decoded(file, rate=44_100)
    assert 10 <= len(found) / 44_100 < 10.1
    assert length.warnings == ()
    with AudioReader(file) as sound:
        assert sound.frames == len(found)


def test_multiplexed_streams_are_not_concatenated_files(tmp_path: Path) -> None:
    one, other = encoded(TEN, "OGG"), encoded(FOUR, "OGG")

    def first_page(content: bytes) -> int:
        return content.index(b"OggS", 4)

    both = one[: first_page(one)] + other[: first_page(other)] + one[first_page(one) :] + other[first_page(other) :]
    assert len(layout_of(written(tmp_path, "a.ogg", both)).segments) == 1


def test_a_concatenated_file_that_cannot_be_read_is_reported(tmp_path: Path) -> None:
    one = encoded(TEN, "OGG")
    broken = bytearray(encoded(FOUR, "OGG"))
    broken[40:200] = bytes(160)
    found, length = decoded(written(tmp_path, "a.ogg", one + bytes(broken)))
    assert len(found) == len(TEN)
    assert [is_partial(warning) for warning in length.warnings] == [True]


@pytest.mark.parametrize("ending", ["au", "snd", "vox", "gsm", "wav", "mp3"])
def test_text_is_not_decoded_as_sound(tmp_path: Path, ending: str) -> None:
    with pytest.raises(AudioError, match=r"^cannot be decoded: "):
        decoded(written(tmp_path, f"a.{ending}", b"hello world " * 1000))


def test_the_decoder_reads_ordinary_files_as_they_are(tmp_path: Path) -> None:
    for ending in ("wav", "flac", "ogg", "mp3", "aiff"):
        soundfile.write(tmp_path / f"a.{ending}", TEN, RATE)
        assert layout_of(tmp_path / f"a.{ending}").as_is
        assert decoded(tmp_path / f"a.{ending}")[1].warnings == ()
    assert makers.RATE == RATE
