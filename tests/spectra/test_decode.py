"""Any sound comes out mono at one rate, the same whatever the blocks; what cannot be used is refused with a reason."""

import os
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from utils.sound.report import is_partial
from utils.spectra.decode import AudioError, decode

NOISE = np.random.default_rng(0).uniform(-0.5, 0.5, (20_000, 2)).astype(np.float32)


def samples_of(file: Path, *, rate: int, block: float = 30.0) -> np.ndarray:
    return np.concatenate(list(decode(file, rate=rate, block=block)))


@pytest.mark.parametrize("block", [0.01, 0.3, 30.0])
def test_channels_are_averaged_and_blocks_do_not_show(tmp_path: Path, block: float) -> None:
    file = tmp_path / "a.wav"
    soundfile.write(file, NOISE, 8000, subtype="FLOAT")
    np.testing.assert_allclose(samples_of(file, rate=8000, block=block), NOISE.mean(axis=1), atol=1e-7)


@pytest.mark.parametrize("ending", ["wav", "flac", "ogg", "mp3"])
def test_compressed_sound_is_the_same_in_blocks_to_the_last_bit(tmp_path: Path, ending: str) -> None:
    file = tmp_path / f"a.{ending}"
    soundfile.write(file, np.tile(NOISE[:, 0], 10), 44_100)
    np.testing.assert_array_equal(samples_of(file, rate=44_100, block=0.7), soundfile.read(file, dtype="float32")[0])
    np.testing.assert_array_equal(samples_of(file, rate=48_000, block=0.7), samples_of(file, rate=48_000))


@pytest.mark.parametrize("block", [0.05, 30.0])
@pytest.mark.parametrize("rate", [22_050, 48_000, 96_000])
def test_resampling_is_soxr_at_once(tmp_path: Path, rate: int, block: float) -> None:
    file = tmp_path / "a.flac"
    soundfile.write(file, NOISE[:, 0], rate)
    there, _ = soundfile.read(file, dtype="float32")
    expected = soxr.resample(there, rate, 44_100, quality="HQ")
    found = samples_of(file, rate=44_100, block=block)
    assert abs(len(found) - len(expected)) <= 1
    count = min(len(found), len(expected))
    np.testing.assert_allclose(found[:count], expected[:count], atol=1e-4)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("a.wav", {"subtype": "PCM_U8"}),
        ("a.wav", {"subtype": "PCM_24"}),
        ("a.WAV", {"subtype": "DOUBLE"}),
        ("a.aiff", {}),
        ("a.flac", {}),
        ("a.ogg", {}),
        ("a.mp3", {}),
        ("ä 'q\".opus", {"format": "OGG", "subtype": "OPUS"}),
    ],
)
def test_forms(tmp_path: Path, name: str, options: dict[str, str]) -> None:
    rate = 48_000
    soundfile.write(tmp_path / name, np.tile(NOISE, (1, 1)), rate, **options)
    found = samples_of(tmp_path / name, rate=rate)
    assert len(found) == pytest.approx(20_000, abs=3000)  # MP3 pads
    assert 0.05 < np.abs(found).mean() < 0.4


def test_unusable_files(tmp_path: Path) -> None:
    def refused(name: str, content: bytes | None) -> str:
        file = tmp_path / name
        if content is not None:
            file.write_bytes(content)
        with pytest.raises(AudioError) as caught:
            list(decode(file, rate=8000))
        return str(caught.value)

    assert refused("empty.wav", b"") == "is empty (0 bytes)"
    assert refused("text.wav", b"hello\n" * 1000).startswith("cannot be decoded: ")
    assert refused("gone.wav", None) == "no such file"
    soundfile.write(tmp_path / "none.wav", np.zeros(0, np.float32), 8000)
    assert refused("none.wav", None) == "holds no samples"
    for bad in (np.nan, np.inf):
        soundfile.write(tmp_path / "nan.wav", np.array([0, bad, 0], np.float32), 8000, subtype="FLOAT")
        assert refused("nan.wav", None) == "holds samples that are not finite (NaN or infinite)"
    for loud in (3e38, -2e10):
        soundfile.write(tmp_path / "loud.wav", np.array([0, loud, 0], np.float32), 8000, subtype="FLOAT")
        assert refused("loud.wav", None) == f"holds samples of {abs(loud):.0e}, but full scale is 1"
    soundfile.write(tmp_path / "slow.wav", NOISE[:1000], 1)
    assert refused("slow.wav", None) == "has a sample rate of 1 Hz, which is below 100 Hz"
    (tmp_path / "folder.wav").mkdir()
    assert refused("folder.wav", None)


def test_what_may_not_be_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    soundfile.write(tmp_path / "a.wav", NOISE, 8000)
    original = Path.stat

    def stat(path: Path, **more: bool) -> os.stat_result:
        if path.suffix == ".wav":
            raise PermissionError(13, "Permission denied")
        return original(path, **more)

    monkeypatch.setattr(Path, "stat", stat)
    with pytest.raises(AudioError, match=r"^cannot be opened: Permission denied$"):
        list(decode(tmp_path / "a.wav", rate=8000))


@pytest.mark.parametrize(
    ("samples", "rate", "subtype"),
    [
        (NOISE[:1, 0], 8000, "PCM_16"),
        (np.zeros(8000), 8000, "PCM_16"),
        (np.full(8000, 0.25), 8000, "PCM_16"),
        (np.sign(NOISE), 8000, "FLOAT"),
        (1e9 * NOISE, 8000, "FLOAT"),
        (NOISE, 100, "PCM_16"),
        (NOISE, 192_000, "PCM_16"),
        (np.tile(NOISE, (1, 4)), 8000, "DOUBLE"),
        (np.tile(NOISE, (1, 16)), 8000, "PCM_U8"),
    ],
)
@pytest.mark.parametrize("name", ["a.wav", "a.mp3", "a.txt"])
def test_odd_sound_is_decoded(tmp_path: Path, samples: np.ndarray, rate: int, subtype: str, name: str) -> None:
    """The content says what it is, not the name."""
    soundfile.write(tmp_path / name, samples, rate, subtype=subtype, format="WAV")
    found = samples_of(tmp_path / name, rate=8000)
    assert len(found) == pytest.approx(len(samples) * 8000 / rate, abs=1)
    assert np.isfinite(found).all()


def test_many_channels_take_no_more_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    soundfile.write(tmp_path / "a.wav", np.tile(NOISE, (1, 4)), 8000)
    whole = samples_of(tmp_path / "a.wav", rate=8000)
    monkeypatch.setattr("utils.spectra.decode.MAX_DECODED_VALUES", 800)
    blocks = list(decode(tmp_path / "a.wav", rate=8000))
    assert {len(block) for block in blocks} == {100}
    np.testing.assert_array_equal(np.concatenate(blocks), whole)


@pytest.mark.parametrize(
    ("ending", "options"),
    [
        ("wav", {}),
        ("wav", {"subtype": "PCM_24"}),
        ("aiff", {}),
        ("flac", {}),
        ("ogg", {}),
        ("opus", {"format": "OGG", "subtype": "OPUS"}),
    ],
)
@pytest.mark.parametrize("tenths", range(1, 10))
def test_what_was_cut_off_is_used_with_a_warning_or_refused(
    tmp_path: Path, ending: str, options: dict[str, str], tenths: int
) -> None:
    file = tmp_path / f"a.{ending}"
    soundfile.write(file, NOISE[:, 0], 48_000, **options)
    whole = len(samples_of(file, rate=48_000))
    content = file.read_bytes()
    file.write_bytes(content[: len(content) * tenths // 10])
    blocks = decode(file, rate=48_000)
    found = 0
    try:
        while True:
            found += len(next(blocks))
    except AudioError as refused:
        assert found == 0
        assert str(refused)
    except StopIteration as ended:
        assert 0 < found <= whole * (tenths + 2) / 10
        (warning,) = ended.value.warnings
        assert is_partial(warning)


def test_a_streamed_wav_is_whole(tmp_path: Path) -> None:
    """Programs that write into a pipe cannot know the length; they write the largest number."""
    file = tmp_path / "a.wav"
    soundfile.write(file, NOISE[:, 0], 8000)
    content = bytearray(file.read_bytes())
    at = content.index(b"data") + 4
    content[at : at + 4] = b"\xff\xff\xff\xff"
    file.write_bytes(bytes(content))
    assert len(samples_of(file, rate=8000)) == len(NOISE)
