"""The store of `training.noise_folder`: what is in it, what is left out, and that it is computed once."""

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from config import Config
from tests.conftest import RATE, extracted
from utils.console import UserError
from utils.recordings.recording import NOISE
from utils.recordings.splits import read_split
from utils.spectra import further_store, store_writer
from utils.spectra.extraction import Job, extract
from utils.spectra.noise_store import PREFIX, open_noise_store
from utils.spectra.spectrogram import scored_spectrogram, to_pixels
from utils.spectra.store import Store

done: list[str] = []  # jobs of `counted`


def counted(job: Job) -> object:
    """Extract, but be stopped at the fourth recording."""
    if len(done) == 3:
        done.append("stop")
        raise KeyboardInterrupt
    done.append(job.name)
    return extract(job)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Config:
    return extracted(tmp_path_factory.mktemp("noise_store"), recordings=2)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of noise: five recordings of three seconds and a half."""
    for index in range(5):
        file = tmp_path / "noise" / f"site{index % 2}" / f"n{index}.wav"
        file.parent.mkdir(parents=True, exist_ok=True)
        samples = 0.1 * np.random.default_rng(index).normal(size=int(3.5 * RATE))
        soundfile.write(file, samples.astype(np.float32), RATE)
    return tmp_path / "noise"


def opened(folder: Path, config: Config) -> Store:
    store = Store(config.dataset.root, config.spectrogram)
    return open_noise_store(store, folder, config)


def test_its_clips_follow_one_another_and_are_those_of_the_recordings(made: Config, folder: Path) -> None:
    store = opened(folder, made)
    assert store.clips["recording"].unique().sort().to_list() == sorted(
        f"{PREFIX}site{index % 2}/n{index}.wav" for index in range(5)
    )
    assert store.clips["start"].to_list() == [0.0, 1.0, 2.0] * 5  # half a second is no clip
    assert store.clips["accepted"].all()
    assert set(store.clips["class"]) == {NOISE}
    first = store.clips["recording"][3]
    samples, _ = soundfile.read(folder / first.removeprefix(PREFIX), dtype="float32", start=RATE, stop=2 * RATE)
    expected, _ = scored_spectrogram(samples, made.spectrogram, seed=1)
    expected = expected if expected.dtype == np.uint8 else to_pixels(expected)
    np.testing.assert_array_equal(store.spectrograms(np.array([4]))[0], expected)
    assert store.folder.parent == made.dataset.root / "spec"


def test_it_is_computed_once_and_resumes(made: Config, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done.clear()
    monkeypatch.setattr(further_store, "fill_store", lambda *given: store_writer.fill_store(*given, work=counted))
    with pytest.raises(KeyboardInterrupt):
        opened(folder, made)
    store = opened(folder, made)
    assert len(done) == len(set(done)) == 5 + 1
    assert opened(folder, made).clips.equals(store.clips)
    assert len(done) == 5 + 1
    other = dataclasses.replace(made, training=dataclasses.replace(made.training, epochs=9))
    assert opened(folder, other).folder == store.folder  # of other trainings, too
    loud = dataclasses.replace(made, workers=2)
    assert opened(folder, loud).folder == store.folder
    soundfile.write(folder / "more.wav", np.full(RATE * 2, 0.1) * np.sin(np.arange(RATE * 2)), RATE)
    assert len(opened(folder, made).clips) == len(store.clips) + 2


def test_what_cannot_be_learned_is_left_out(made: Config, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    split = read_split(made.dataset)
    held_out, learned = (made.dataset.root / split.filter(split=part)["file"][0] for part in ("val", "train"))
    shutil.copy(held_out, folder / "a.wav")
    shutil.copy(learned, folder / "b.wav")
    shutil.copy(folder / "site0" / "n0.wav", folder / "twin.wav")
    soundfile.write(folder / "silent.wav", np.zeros(3 * RATE), RATE)
    soundfile.write(folder / "short.wav", np.ones(RATE // 2), RATE)
    (folder / "bad.wav").write_bytes(b"RIFF")
    (folder / "link.wav").symlink_to(folder / "nowhere")
    (folder / "notes.txt").write_text("rain")
    store = opened(folder, made)
    assert store.clips["recording"].n_unique() == 5
    printed = " ".join(capsys.readouterr().err.split())
    assert "7 recordings of training.noise_folder left out:" in printed
    for line in (
        "a.wav: is held out, in val/, and is not learned as noise",
        "b.wav: is in train/ as Altus clarus, and is not learned as noise",
        "silent.wav: is silent",
        "short.wav: is 0.50 s long, shorter than a clip",
        "link.wav: is no file",
        "bad.wav: cannot be decoded",
    ):
        assert line in printed, printed
    assert "has the same content as" in printed


def test_folders_of_nothing_are_refused(made: Config, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "only").mkdir()
    soundfile.write(tmp_path / "only" / "silent.wav", np.zeros(3 * RATE), RATE)
    with pytest.raises(UserError, match=r"none of its 1 sound files can be learned as noise; set training\.noise_fol"):
        opened(tmp_path / "only", made)
    shared = dataclasses.replace(made, testing=dataclasses.replace(made.testing, noise_folder=folder / "site0"))
    with pytest.raises(UserError, match=r"training\.noise_folder and testing\.noise_folder share recordings"):
        opened(folder, shared)
