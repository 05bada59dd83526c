"""From an archive to the store, for every choice of clips."""

import dataclasses
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import soundfile

import sort_data
import spec
import test
import train
from config import Config
from tests.conftest import RATE, chirp, small_config
from utils.spectra.spectrogram import make_spectrogram, to_pixels
from utils.spectra.store import Store

PITCHES = {"Altus clarus": 3000.0, "Bassus gravis": 1000.0}


def write_tapes(archive: Path, *, tapes: int = 3) -> None:
    """Write recordings of 24 s in which two species call: for 5 s each, then both at 20 s, marked as points."""
    archive.mkdir()
    rows = ["file,start,end,species"]
    for tape in range(tapes):
        sound = np.random.default_rng(tape).normal(0, 0.003, 24 * RATE).astype(np.float32)
        for index, (species, pitch) in enumerate(PITCHES.items()):
            start = 2 + 8 * index + tape / 2
            sound[int(start * RATE) : int((start + 5) * RATE)] += chirp(pitch, seconds=5.0, seed=10 * tape + index)
            sound[19 * RATE : 21 * RATE] += chirp(pitch, seconds=2.0, seed=20 * tape + index)
            rows += [f"tape{tape}.wav,{start},{start + 5},{species}", f"tape{tape}.wav,20,20,{species}"]
        soundfile.write(archive / f"tape{tape}.wav", sound, RATE)
    (archive / "annotations.csv").write_text("\n".join(rows))


def chosen(config: Config, choose: str, **more: object) -> Config:
    return dataclasses.replace(config, clips=dataclasses.replace(config.clips, choose=choose, **more))


def check_spectrograms(config: Config, files: dict[str, Path]) -> None:
    """Check that each spectrogram is that of the sound at its start."""
    store = Store(config.dataset.root)
    for row in store.clips.with_row_index("clip").iter_rows(named=True):
        samples, _ = soundfile.read(
            files[row["recording"]], dtype="float32", start=round(row["start"] * RATE), frames=RATE
        )
        spectrogram = to_pixels(make_spectrogram(np.pad(samples, (0, RATE - len(samples))), config.spectrogram))
        np.testing.assert_array_equal(store.spectrograms(np.array([row["clip"]]))[0], spectrogram)


def test_clips_around_annotations(tmp_path: Path) -> None:
    write_tapes(tmp_path / "archive")
    base = small_config(tmp_path / "root", tmp_path / "archive")
    settings = chosen(base, "annotations", overlap=0.0, signal_threshold=0.0, noise_share=0.5)
    settings = dataclasses.replace(settings, dataset=dataclasses.replace(settings.dataset, val_share=0.3))
    sort_data.main(settings)
    spec.main(settings)
    clips = Store(tmp_path / "root").clips
    for tape in range(3):
        of_tape = clips.filter(pl.col("recording") == f"tape{tape}")
        assert of_tape["index"].is_sorted()
        assert of_tape["index"].n_unique() == len(of_tape)
        kept = [
            (start, label, list(others))
            for start, label, others in of_tape.filter("accepted").select("start", "class", "background").iter_rows()
        ]
        expected = [
            (2 + 8 * index + tape / 2 + second, species, [])
            for index, species in enumerate(PITCHES)
            for second in range(5)
        ]
        assert sorted(kept) == sorted(
            [*expected, (19.5, "Altus clarus", ["Bassus gravis"]), (19.5, "Bassus gravis", ["Altus clarus"])]
        )
        noise = of_tape.filter(~pl.col("accepted"))
        assert set(noise["class"]) == {""}
        assert all(2 + tape / 2 >= start + 1 or 7 + tape / 2 <= start for start in noise["start"])
        assert 0 < len(noise) < 14
    assert clips["strength"].is_null().all()
    recordings = Store(tmp_path / "root").recordings
    # with a threshold of 0, no clip is rejected as empty
    assert recordings["without_event"].to_list() == recordings["rejected"].to_list() != [0, 0, 0]
    assert not (tmp_path / "root" / "spec" / "peaks.csv").exists()
    check_spectrograms(settings, {f"tape{tape}": tmp_path / "archive" / f"tape{tape}.wav" for tape in range(3)})
    trained = train.main(settings)
    assert (trained.folder / "epoch_003" / "classes.txt").read_text().split("\n")[:2] == list(PITCHES)
    tested = test.main(settings)
    assert (tested.unit, tested.headline.recordings) == ("event", 4)
    by_recording = test.main(
        dataclasses.replace(settings, testing=dataclasses.replace(settings.testing, unit="recording"))
    )
    assert by_recording.headline.recordings == 1


def test_recordings_with_a_primary_label_and_with_events(tmp_path: Path, archive: Path) -> None:
    """Recordings without events have the grid; with events, these give the clips' classes."""
    config = chosen(small_config(tmp_path / "root", archive), "annotations", overlap=0.0, noise_share=0.0)
    sort_data.main(config)
    split = pl.read_parquet(tmp_path / "root" / "split.parquet")
    event = {"start": 1.5, "end": 1.5, "species": "Bassus gravis", "low": None, "high": None}
    events = [[event] if name == "Altus clarus/A3" else [] for name in split["recording"]]
    split.with_columns(events=pl.Series(events, dtype=split.schema["events"])).write_parquet(
        tmp_path / "root" / "split.parquet"
    )
    spec.main(config)
    clips = Store(tmp_path / "root").clips
    assert clips.filter(recording="Altus clarus/A3").select("start", "class", "index").rows() == [
        (1.0, "Bassus gravis", 1)
    ]
    assert clips.filter(recording="Altus clarus/A2")["start"].to_list() == [0.0, 1.0, 2.0]


@pytest.mark.parametrize("max_clips", [0, 4])
def test_clips_at_peaks(tmp_path: Path, max_clips: int) -> None:
    archive = tmp_path / "archive"
    sound = np.random.default_rng(0).normal(0, 0.003, 30 * RATE).astype(np.float32)
    for start in (4, 12, 21):
        sound[start * RATE : (start + 1) * RATE] += chirp(2500, seconds=1.0, seed=start)
    for name in ("a", "b"):
        (archive / "Altus clarus").mkdir(parents=True, exist_ok=True)
        soundfile.write(archive / "Altus clarus" / f"{name}.wav", sound if name == "a" else sound[::-1], RATE)
    config = chosen(
        small_config(tmp_path / "root", archive),
        "peaks",
        count=5,
        max_per_class=max_clips,
        noise_share=0.0,
        signal_threshold=0.02,
    )
    sort_data.main(config)
    spec.main(config)
    clips = Store(tmp_path / "root").clips.filter(recording="Altus clarus/a")
    peaks = pl.read_csv(tmp_path / "root" / "spec" / "peaks.csv")
    assert peaks.columns == ["recording", "seconds", "strength", "kept"]
    of_tape = peaks.filter(recording="Altus clarus/a")
    assert len(of_tape) == 5
    assert of_tape["seconds"].is_sorted()
    assert of_tape.filter("kept")["seconds"].to_list() == pytest.approx((clips["start"] + 0.5).to_list(), abs=1e-3)
    assert of_tape.filter("kept")["strength"].to_list() == pytest.approx(clips["strength"].to_list(), abs=0.01)
    assert len(clips) == 3
    for start, found in zip((4, 12, 21), clips["start"], strict=True):
        assert abs(found + 0.5 - (start + 0.5)) < 0.7
    check_spectrograms(config, {f"Altus clarus/{name}": archive / "Altus clarus" / f"{name}.wav" for name in "ab"})


def test_the_first_clips(tmp_path: Path, archive: Path) -> None:
    grid = small_config(tmp_path / "grid", archive)
    first = chosen(small_config(tmp_path / "first", archive), "first", count=2)
    for config in (grid, first):
        sort_data.main(config)
        spec.main(config)
    every, few = (Store(config.dataset.root) for config in (grid, first))
    first_clips = every.clips.with_row_index("clip").filter(pl.col("index") < 2)
    assert few.clips.drop("row").equals(first_clips.drop("row", "clip"))
    np.testing.assert_array_equal(
        few.spectrograms(np.arange(len(few.clips))), every.spectrograms(first_clips["clip"].to_numpy().astype(np.int64))
    )
    assert few.recordings["seconds"].equals(every.recordings["seconds"])
    assert few.clips.group_by("recording").len()["len"].unique().to_list() == [2]
