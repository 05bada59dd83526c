"""A store of sound gives the spectrograms that a store of spectrograms holds, and others, and its clips' own sound."""

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import soundfile

import sort_data
import spec
from config import Clips, Config, External, Spectrogram
from tests.conftest import RATE, chirp, small_config, write_folders
from utils import console
from utils.spectra.image_files import IMAGES_FOLDER
from utils.spectra.spectrogram import make_spectrogram, to_pixels
from utils.spectra.store import Store
from utils.spectra.stored_sound import from_16_bit, row_format, to_16_bit

MARGIN = 0.25  # seconds


def with_sound(config: Config, root: Path, **clips: object) -> Config:
    """Return the settings of the same data set with a store of sound in another folder."""
    kept = dataclasses.replace(config.clips, keep="sound", **{"margin": MARGIN, **clips})
    return dataclasses.replace(config, dataset=dataclasses.replace(config.dataset, root=root), clips=kept)


def with_spectrogram(config: Config, **settings: object) -> Config:
    return dataclasses.replace(config, spectrogram=dataclasses.replace(config.spectrogram, **settings))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Config, Config]:
    """Return the settings of a store of spectrograms, and of one of sound, both made."""
    folder = tmp_path_factory.mktemp("sound")
    write_folders(folder / "archive", recordings=3)
    soundfile.write(folder / "archive" / "Altus clarus" / "soft.wav", 0.001 * chirp(900, seconds=2.2, seed=9), RATE)
    base = small_config(folder / "root", folder / "archive")
    # the second half of the clips is rejected, so that there is noise
    config = dataclasses.replace(base, clips=dataclasses.replace(base.clips, noise_share=1.0, signal_threshold=0.08))
    sort_data.main(config)
    shutil.copytree(config.dataset.root, folder / "sound")
    sound = with_sound(config, folder / "sound")
    spec.main(config)
    spec.main(sound)
    return config, sound


def test_both_stores_hold_the_same_clips(made: tuple[Config, Config]) -> None:
    one, other = (Store(config.dataset.root) for config in made)
    assert one.clips.drop("peak").equals(other.clips.drop("peak"))
    assert one.recordings.equals(other.recordings)
    assert one.clips["peak"].null_count() == len(one.clips)
    assert not one.keeps_sound
    assert other.keeps_sound
    rows = np.arange(len(one.clips))
    levels = one.spectrograms(rows).astype(int) - other.spectrograms(rows)
    assert np.abs(levels).max() <= 1
    assert (levels != 0).mean() < 0.05


def test_it_holds_the_sound_around_each_clip(made: tuple[Config, Config]) -> None:
    config = made[1]
    store, margin = Store(config.dataset.root), int(MARGIN * RATE)
    for recording in ("Altus clarus/soft", "Bassus gravis/B1"):
        rows = store.clips.with_row_index("clip").filter(recording=recording)
        whole, _ = soundfile.read(config.dataset.archive / f"{recording}.wav", dtype="float32")
        padded = np.pad(whole, (margin, RATE + margin))
        at = rows["clip"].to_numpy().astype(np.int64)
        sounds = store.sounds(at)
        assert sounds.dtype == np.int16
        assert np.abs(sounds).max() == 32_767
        for sound, start in zip(from_16_bit(sounds, store.peaks(at)), rows["start"], strict=True):
            first = round(start * RATE)
            expected = padded[first : first + RATE + 2 * margin]
            np.testing.assert_allclose(sound, expected, atol=np.abs(expected).max() / 60_000)


def test_16_bit_samples_keep_soft_sounds() -> None:
    soft = (1e-6 * np.random.default_rng(1).normal(size=1000)).astype(np.float32)
    rows, peak = to_16_bit(soft)
    np.testing.assert_allclose(from_16_bit(rows[None], np.float32([peak]))[0], soft, atol=peak / 60_000)
    silence, none = to_16_bit(np.zeros(4, np.float32))
    assert (silence.tolist(), none) == ([0, 0, 0, 0], 0.0)


def test_sizes_of_rows() -> None:
    assert row_format(Clips(), Spectrogram(), External()).bytes == 128 * 256
    assert row_format(Clips(keep="sound", length=2.0, margin=0.5), Spectrogram(rate=1000), External()).shape == (3000,)


def test_other_kinds_of_spectrogram(made: tuple[Config, Config], capfd: pytest.CaptureFixture[str]) -> None:
    """spec.py leaves the store as it is, and says so; the store gives what is asked for."""
    other = with_spectrogram(made[1], kind="linear", fmin=500.0, fmax=3800.0, height=12, width=40)
    before = (other.dataset.root / "spec" / "settings.toml").read_bytes()
    spec.main(other)
    assert "were accepted by the signal scores of others (spectrogram.height was 16, is 12" in capfd.readouterr().err
    assert (other.dataset.root / "spec" / "settings.toml").read_bytes() == before
    store = Store(other.dataset.root, other.spectrogram)
    found = store.spectrograms(np.array([3, 1]))
    assert found.shape == (2, 12, 40)
    middle = from_16_bit(store.sounds(np.array([1])), store.peaks(np.array([1])))[0, 2000:-2000]
    np.testing.assert_array_equal(found[1], to_pixels(make_spectrogram(middle, other.spectrogram)))


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"spectrogram": {"rate": 4000, "fmax": 2000.0}}, "spectrogram.rate was 8000, is 4000"),
        ({"spectrogram": {"channel": 1}}, 'spectrogram.channel was "mean", is 1'),
        ({"clips": {"margin": 0.5}}, "clips.margin was 0.25, is 0.5"),
        ({"clips": {"margin": 0.0, "keep": "spectrograms"}}, 'clips.keep was "sound", is "spectrograms"'),
    ],
)
def test_other_sound_is_refused(made: tuple[Config, Config], changed: dict[str, dict[str, object]], named: str) -> None:
    config = made[1]
    parts = {name: dataclasses.replace(getattr(config, name), **values) for name, values in changed.items()}
    with pytest.raises(console.UserError, match="was made with other settings") as refused:
        spec.main(dataclasses.replace(config, **parts))
    assert named in str(refused.value)


@pytest.mark.usefixtures("processes")
def test_the_store_is_the_same_after_a_kill_and_for_any_number_of_workers(
    made: tuple[Config, Config], tmp_path: Path
) -> None:
    config = made[1]
    whole = {path.name: path.read_bytes() for path in (config.dataset.root / "spec" / "shards").rglob("sound.npy")}
    shutil.copytree(config.dataset.root, tmp_path / "again")
    again = dataclasses.replace(config, workers=2, dataset=dataclasses.replace(config.dataset, root=tmp_path / "again"))
    shutil.rmtree(tmp_path / "again" / "spec" / "shards" / "Altus clarus-000")
    (tmp_path / "again" / "spec" / "clips.parquet").unlink()
    spec.main(again)
    made_again = {path.name: path.read_bytes() for path in (tmp_path / "again" / "spec").rglob("sound.npy")}
    assert made_again == whole
    assert Store(tmp_path / "again").clips.equals(Store(config.dataset.root).clips)


def test_pages_and_image_files_show_spectrograms(made: tuple[Config, Config]) -> None:
    config = with_spectrogram(made[1], images=True)
    spec.main(config)
    folder = config.dataset.root / "spec"
    accepted = int(pl.read_parquet(folder / "clips.parquet")["accepted"].sum())
    assert len(list((folder / IMAGES_FOLDER).rglob("*.png"))) == accepted
    assert (folder / "overview.html").read_text().count("data:image") > 0


def test_a_damaged_shard_is_named(made: tuple[Config, Config], tmp_path: Path) -> None:
    shutil.copytree(made[1].dataset.root, tmp_path / "root")
    shard = next((tmp_path / "root" / "spec" / "shards").rglob("sound.npy"))
    shard.write_bytes(shard.read_bytes()[:-2])
    with pytest.raises(console.UserError, match=r"sound\.npy: is missing or damaged; remove key\.txt"):
        Store(tmp_path / "root")
