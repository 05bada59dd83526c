"""The channel of stereo recordings; channels that cancel each other are not taken for silence."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import soundfile

import sort_data
import spec
from config import Config, Spectrogram
from tests.conftest import RATE, chirp, small_config
from tests.sound.test_odd_files import decoded
from utils.command_line import from_command_line
from utils.settings import load, to_toml
from utils.settings_keys import changed_settings, settings_for_key
from utils.spectra.audio_check import audio_levels
from utils.spectra.decode import AudioError
from utils.spectra.extraction import Job
from utils.spectra.recording_spectrograms import first_spectrograms
from utils.spectra.store_settings import STORE_SETTINGS

SONG = chirp(2000, seconds=3, seed=1)
NOISE = np.random.default_rng(3).normal(0, 0.05, (4, len(SONG))).astype(np.float32)


def write(folder: Path, *channels: np.ndarray) -> Path:
    soundfile.write(folder / "a.wav", np.stack(channels, 1), RATE, subtype="FLOAT")
    return folder / "a.wav"


def test_channels_that_cancel_are_refused_and_each_can_be_used(tmp_path: Path) -> None:
    file = write(tmp_path, SONG, -0.999 * SONG)
    with pytest.raises(
        AudioError,
        match=r"^its channels cancel each other: their mean is 66 dB quieter than channel 1; "
        r"use spectrogram.channel = 'loudest'$",
    ):
        decoded(file, rate=RATE)
    np.testing.assert_array_equal(decoded(file, rate=RATE, channel="loudest")[0], SONG)
    np.testing.assert_array_equal(decoded(file, rate=RATE, channel=2)[0], np.float32(-0.999) * SONG)
    with pytest.raises(AudioError, match=r"^has 2 channels, but spectrogram.channel is 3$"):
        decoded(file, rate=RATE, channel=3)


def test_channels_that_partly_cancel_are_named(tmp_path: Path) -> None:
    found, length = decoded(write(tmp_path, SONG, -0.7 * SONG), rate=RATE)
    np.testing.assert_allclose(found, 0.15 * SONG, atol=1e-6)
    assert length.warnings == (
        "its channels partly cancel each other: their mean is 16 dB quieter than channel 1; "
        "use spectrogram.channel = 'loudest'",
    )


@pytest.mark.parametrize(
    "channels",
    [(SONG, 0 * SONG, 0 * SONG, 0 * SONG), tuple(NOISE), (SONG, SONG), (SONG, NOISE[0]), (0 * SONG, 0 * SONG)],
)
def test_channels_that_do_not_cancel_are_fine(tmp_path: Path, channels: tuple[np.ndarray, ...]) -> None:
    found, length = decoded(write(tmp_path, *channels), rate=RATE)
    np.testing.assert_allclose(found, np.mean(channels, 0), atol=1e-6)
    assert length.warnings == ()


def test_the_loudest_is_that_of_the_whole_recording(tmp_path: Path) -> None:
    late = np.where(np.arange(len(SONG)) > 20_000, 5, 0).astype(np.float32) * NOISE[0]
    file = write(tmp_path, 0.9 * NOISE[1], late, late)
    np.testing.assert_array_equal(decoded(file, rate=RATE, channel="loudest", block=0.1)[0], late)


@pytest.mark.parametrize("channel", ["mean", "loudest", 1, 2, 64])
def test_mono_has_one_channel(tmp_path: Path, channel: str | int) -> None:
    np.testing.assert_array_equal(decoded(write(tmp_path, SONG), rate=RATE, channel=channel)[0], SONG)


def test_a_species_in_opposite_channels(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, pitch in (("Turdus merula", 1500), ("Parus major", 2500)):
        (tmp_path / "in" / name).mkdir(parents=True)
        for index in range(2):
            song = chirp(pitch + 50 * index, seconds=3, seed=index)
            soundfile.write(
                tmp_path / "in" / name / f"{index}.wav",
                np.stack([song, -song], 1) if name == "Parus major" else song,
                RATE,
            )
    config = small_config(tmp_path / "out", tmp_path / "in")
    assert all(
        "cancel each other" in failure.reason
        for failure in sort_data.main(config, sort_data.Flags(check_audio=True)).failures
    )
    sort_data.main(config)
    assert [failure.reason.split(":")[0] for failure in spec.main(config).failures] == 2 * [
        "its channels cancel each other"
    ]
    loudest = replace(config, spectrogram=replace(config.spectrogram, channel="loudest"))
    with pytest.raises(Exception, match=r'spectrogram.channel was "mean", is "loudest"'):
        spec.main(loudest)
    assert spec.main(loudest, spec.Flags(fresh=True)).failures == []
    kept = pl.read_parquet(tmp_path / "out" / "spec" / "clips.parquet").filter("accepted")
    assert set(kept["class"]) == {"Turdus merula", "Parus major"}
    assert audio_levels(tmp_path / "in" / "Parus major" / "0.wav", channel="loudest").peak > 0.1
    capsys.readouterr()


@pytest.mark.parametrize(
    ("words", "channel"),
    [([], "mean"), (["--spectrogram.channel", "2"], 2), (["--spectrogram.channel", "loudest"], "loudest")],
)
def test_the_setting_is_read_and_saved(tmp_path: Path, words: list[str], channel: str | int) -> None:
    config, _ = from_command_line(words, doc="", script="x")
    assert config.spectrogram.channel == channel
    (tmp_path / "a.toml").write_text(to_toml(config))
    assert load(tmp_path / "a.toml") == config


@pytest.mark.parametrize(("word", "value"), [("left", '"left"'), ("0", "0"), ("65", "65"), ("1.5", "1.5")])
def test_a_wrong_channel_is_one_clear_line(tmp_path: Path, word: str, value: str) -> None:
    with pytest.raises(Exception, match=r"spectrogram.channel.*should be.*mean.*loudest") as caught:
        from_command_line(["--spectrogram.channel", word], doc="", script="x")
    assert "\n" not in str(caught.value)
    (tmp_path / "a.toml").write_text(f"[spectrogram]\nchannel = {value}\n")
    with pytest.raises(Exception, match=r"spectrogram.channel = .*: should be 'mean' or 'loudest' or "):
        load(tmp_path / "a.toml")


def test_keys_of_stores_and_models_of_earlier_versions_stay_the_same() -> None:
    assert "spectrogram.channel" not in settings_for_key(Config(), of=("spectrogram.",))
    other = Config(spectrogram=Spectrogram(channel=2))
    assert settings_for_key(other, of=("spectrogram.",))["spectrogram.channel"] == 2
    assert changed_settings(Config(), other, of=("spectrogram.",)) == ['spectrogram.channel was "mean", is 2']
    assert changed_settings(Config(), other, of=("clips.",)) == []


GOLDEN = "c8895767393e6033573427e5675d34f78fdf23f032e00d460326eda9039327a5"  # at revision 199b5d5


def test_the_key_of_a_store_with_default_settings_stays_the_same() -> None:
    """Settings that are added must not change the key, or all stores would have to be filled again."""
    assert hashlib.sha256(json.dumps(settings_for_key(Config(), of=STORE_SETTINGS)).encode()).hexdigest() == GOLDEN


def test_a_constant_offset_is_not_heard(tmp_path: Path) -> None:
    with pytest.raises(AudioError, match=r"^its channels cancel each other: "):
        decoded(write(tmp_path, 0.05 + SONG, 0.05 - SONG), rate=RATE)
    assert decoded(write(tmp_path, 0.3 + SONG, 0.3 + SONG), rate=RATE)[1].warnings == ()
    # silent, but nothing cancels
    assert decoded(write(tmp_path, 0.1 + 0 * SONG, 0 * SONG - 0.1), rate=RATE)[1].warnings == ()
    dead = np.full_like(SONG, 0.3)
    np.testing.assert_array_equal(
        decoded(write(tmp_path, dead, 0.1 * SONG, dead), rate=RATE, channel="loudest")[0], np.float32(0.1) * SONG
    )


def test_the_mean_of_two_is_that_of_numpy(tmp_path: Path) -> None:
    found, _ = decoded(write(tmp_path, NOISE[0], NOISE[1]), rate=RATE)
    np.testing.assert_array_equal(found, NOISE[:2].T.copy().mean(axis=1))


def joined(folder: Path, *parts: tuple[np.ndarray, ...]) -> Path:
    content = b"".join(write(folder, *channels).read_bytes() for channels in parts)
    (folder / "joined.wav").write_bytes(content)
    return folder / "joined.wav"


def test_the_loudest_of_parts_with_different_channels(tmp_path: Path) -> None:
    def loudest(*parts: tuple[np.ndarray, ...]) -> np.ndarray:
        return decoded(joined(tmp_path, *parts), rate=RATE, channel="loudest")[0]

    # mono does not choose
    np.testing.assert_array_equal(loudest((SONG,), (0.01 * NOISE[0], NOISE[1])), np.concatenate([SONG, NOISE[1]]))
    three = (0.1 * NOISE[0], NOISE[1], 9 * NOISE[2])
    # nobody has a third everywhere
    np.testing.assert_array_equal(loudest(three, (NOISE[0], SONG)), np.concatenate([NOISE[1], SONG]))
    np.testing.assert_array_equal(loudest((SONG,), (NOISE[0],)), np.concatenate([SONG, NOISE[0]]))


@pytest.mark.parametrize("max_clips", [0, 1])
def test_the_first_clips_of_channels_that_cancel(
    tmp_path: Path, max_clips: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = small_config(tmp_path, tmp_path)

    def job(*channels: np.ndarray) -> Job:
        file = write(tmp_path, *(np.tile(channel, 3) for channel in channels))
        return Job("a", file, max_clips, config.clips, config.spectrogram, tmp_path / "part")

    (warning,) = first_spectrograms(job(SONG, -0.7 * SONG)).warnings
    assert warning.startswith("its channels partly cancel each other: ")
    assert first_spectrograms(job(SONG, SONG)).warnings == ()
    monkeypatch.setattr("utils.spectra.recording_spectrograms.MAX_PASSED_IN_MEMORY", 1)
    with pytest.raises(AudioError, match=r"^its channels cancel each other: "):
        first_spectrograms(job(SONG, -SONG))
    assert not (tmp_path / "part").exists()
