"""An archive elsewhere is sorted as one of this machine, and its recordings stay there."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import soundfile

import sort_data
import spec
import test as testing
import train
from config import Config
from tests.conftest import RATE, chirp, small_config, write_folders
from tests.remote import count_all, put_files, s3_on_loopback
from utils.console import UserError
from utils.recordings.duplicates import _scan_file
from utils.recordings.remote_archive import _make_files
from utils.recordings.splits import read_split
from utils.sound import remote
from utils.sound.remote import local_copy, sizes_and_times
from utils.spectra.store import Store
from utils.storage import Entry, open_storage

pytest.importorskip("obstore")


def sorted_both_ways(archive: Path, tmp_path: Path, address: str) -> tuple[Config, Config]:
    """Sort an archive from this machine, and from elsewhere."""
    configs = [
        dataclasses.replace(config, dataset=dataclasses.replace(config.dataset, archive=location))
        for config, location in (
            (small_config(tmp_path / "here"), archive),
            (small_config(tmp_path / "there"), address),
        )
    ]
    for config in configs:
        sort_data.main(config)
    return configs[0], configs[1]


def test_folders_are_sorted_as_here_and_stay_there(tmp_path: Path) -> None:
    archive = tmp_path / "a rchive"
    write_folders(archive, recordings=3, seconds=2.0)
    odd = archive / "Solus unicus" / "#1 50%.wav"
    soundfile.write(odd, chirp(2000, seconds=2.0, seed=7), RATE)
    (archive / "Altus clarus" / "copy.wav").write_bytes((archive / "Altus clarus" / "A0.wav").read_bytes())
    (archive / "Altus clarus" / "empty.wav").write_bytes(b"")
    here, there = sorted_both_ways(archive, tmp_path, f"file://{archive}")
    splits = [read_split(config.dataset) for config in (here, there)]
    assert splits[0].drop("file").equals(splits[1].drop("file"))
    assert sorted(splits[1]["file"]) == sorted(f"file://{file}" for file in archive.rglob("*.*"))
    assert not any((there.dataset.root / name).exists() for name in ("train", "val"))
    logs = [(config.dataset.root / "sorted.log").read_text() for config in (here, there)]
    assert logs[0] == logs[1]
    assert "same sound: Altus clarus/A0 = Altus clarus/copy" in logs[0]
    for config in (here, there):
        spec.main(config)
    stores = [Store(config.dataset.root) for config in (here, there)]
    assert stores[0].clips.equals(stores[1].clips)
    rows = np.arange(len(stores[0].clips))
    np.testing.assert_array_equal(*(store.spectrograms(rows) for store in stores))


def test_a_challenge_of_kaggle(tmp_path: Path) -> None:
    archive = tmp_path / "kaggle"
    for name in ("altcla", "basgra"):
        for index in range(3):
            file = archive / "train_audio" / name / f"X{name}{index}.ogg"
            file.parent.mkdir(parents=True, exist_ok=True)
            pitch = 1000.0 if name == "basgra" else 3000.0
            soundfile.write(file, chirp(pitch, seconds=2.0, seed=index), RATE, format="OGG")
    rows = "".join(
        f"{name},[],{species},{name}/X{name}{index}.ogg,3.5\n"
        for name, species in (("altcla", "Altus clarus"), ("basgra", "Bassus gravis"))
        for index in range(3)
    )
    table = f"primary_label,secondary_labels,scientific_name,filename,rating\n{rows}"
    (archive / "train_metadata.csv").write_text(table)
    here, there = sorted_both_ways(archive, tmp_path, f"file://{archive}")
    splits = [read_split(config.dataset) for config in (here, there)]
    assert splits[0].drop("file").equals(splits[1].drop("file"))
    assert set(splits[1]["class"]) == {"Altus clarus", "Bassus gravis"}
    assert all(file.startswith(f"file://{archive}/train_audio/") for file in splits[1]["file"])


@pytest.mark.parametrize("kind", ["wav", "flac", "mp3"])
def test_only_parts_of_a_large_sound_are_read_to_know_it(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / f"large.{kind}"
    seconds = 8 if kind == "mp3" else 50
    noise = np.random.default_rng(1).normal(0, 0.2, (seconds * 44_100, 2)).astype(np.float32)
    soundfile.write(file, noise, 44_100)
    if kind == "mp3":
        for name in ("SMALL_SOUND", "FIRST_BYTES", "LAST_BYTES"):
            monkeypatch.setattr(remote, name, 2**15)
        monkeypatch.setattr("utils.object_storage.GAP", 0)
    requests = count_all(monkeypatch)
    put_files(f"memory://{kind}", tmp_path)
    assert _scan_file(f"memory://{kind}/large.{kind}") == _scan_file(file)
    assert 0 < sum(one.bytes_read for one in requests) < file.stat().st_size * 0.7


def test_the_first_samples_of_wide_sounds_are_read_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    noise = np.random.default_rng(1).normal(0, 0.2, (400_000, 2)).astype(np.float32)
    soundfile.write(tmp_path / "wide.wav", noise, 44_100, subtype="FLOAT")
    put_files("memory://wide", tmp_path)
    requests = count_all(monkeypatch)
    assert _scan_file("memory://wide/wide.wav") == _scan_file(tmp_path / "wide.wav")
    assert sum(one.calls["get_ranges"] for one in requests) <= 1  # none if the bucket was opened before


def test_files_that_cannot_be_used_are_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = tmp_path / "archive"
    write_folders(archive, recordings=2, seconds=2.0)
    (archive / "large.bin").write_bytes(bytes(2000))
    monkeypatch.setattr("utils.recordings.remote_archive.LARGEST_TABLE", 1000)
    config = small_config(tmp_path / "root")
    config = dataclasses.replace(config, dataset=dataclasses.replace(config.dataset, archive=f"file://{archive}"))
    failures = sort_data.main(config).failures
    assert [(failure.name, failure.reason) for failure in failures] == [
        ("large.bin", "is no sound, and too large (0 MB)")
    ]
    assert "large.bin" in (config.dataset.root / "sorted.log").read_text()


def test_a_full_disk_is_no_bad_name(tmp_path: Path) -> None:
    entries, failures = [Entry("a.csv", 3, 0), Entry("b.csv", 2**62, 0)], []  # more than a file can hold
    with pytest.raises(OSError, match="File too large"):
        _make_files(entries, tmp_path, failures)
    assert [path.name for path in tmp_path.iterdir()] == ["a.csv"]
    (tmp_path / "a.csv").unlink()
    assert _make_files([Entry("a.csv", 3, 0), Entry("a.csv/x", 3, 0)], tmp_path, failures) == ["a.csv"]
    assert [failure.name for failure in failures] == ["a.csv/x"]


def test_a_sound_after_a_long_header_is_read_whole(tmp_path: Path) -> None:
    file = tmp_path / "long.wav"
    soundfile.write(file, chirp(1000, seconds=1.0, seed=1), RATE)
    whole = file.read_bytes()
    start = whole.index(b"data")
    size = 600_000
    file.write_bytes(
        whole[:start] + b"JUNK" + size.to_bytes(4, "little") + bytes(range(250)) * (size // 250) + whole[start:]
    )
    put_files("memory://long", tmp_path)
    assert _scan_file("memory://long/long.wav") == _scan_file(file)


def test_sounds_that_vanish_or_cannot_be_reached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = tmp_path / "archive"
    write_folders(archive, recordings=2, seconds=2.0)
    config = small_config(tmp_path / "root")
    config = dataclasses.replace(config, dataset=dataclasses.replace(config.dataset, archive=f"file://{archive}"))
    sort_data.main(config)
    (archive / "Altus clarus" / "A1.wav").unlink()
    (archive / "Bassus gravis" / "B1.wav").write_bytes((archive / "Bassus gravis" / "B1.wav").read_bytes()[:20])
    failures = {failure.name: failure.reason for failure in spec.main(config).failures}
    assert failures[f"file://{archive}/Altus clarus/A1.wav"] == "no such file"
    assert "cannot be decoded" in failures[f"file://{archive}/Bassus gravis/B1.wav"]
    assert sizes_and_times([f"file://{archive}/Altus clarus/A1.wav", archive / "none"]) == [(-1, -1), (-1, -1)]

    def lost(*_: object) -> None:
        raise UserError("file:///x: cannot be reached (no network)")

    monkeypatch.setattr("utils.object_storage.ObjectStorage.copy_to", lost)
    with pytest.raises(ConnectionError, match="no network"), local_copy(f"file://{archive}/Altus clarus/A0.wav"):
        pass


def test_an_archive_that_is_not_there(tmp_path: Path) -> None:
    config = small_config(tmp_path / "root")
    nothing = f"file://{tmp_path}/nothing"
    config = dataclasses.replace(config, dataset=dataclasses.replace(config.dataset, archive=nothing))
    with pytest.raises(UserError, match=f"^{nothing}: has no files; set dataset.archive to the folder"):
        sort_data.main(config)
    open_storage(nothing).write("a/b.txt", b"text")
    with pytest.raises(UserError, match=f"^{nothing}: no recording found"):
        sort_data.main(config)


def test_addresses_outside_of_the_archive_are_refused(tmp_path: Path) -> None:
    write_folders(tmp_path / "archive", recordings=2, seconds=2.0)
    here, there = sorted_both_ways(tmp_path / "archive", tmp_path, f"file://{tmp_path}/archive")
    table = pl.read_parquet(there.dataset.root / "split.parquet")
    table.with_columns(file=pl.lit("file:///etc/passwd")).write_parquet(there.dataset.root / "split.parquet")
    for dataset in (there.dataset, dataclasses.replace(there.dataset, archive=None)):
        with pytest.raises(UserError, match=r"has recordings outside of dataset.archive, such as file:///etc/passwd"):
            read_split(dataset)
    assert len(read_split(here.dataset)) == len(table)


@pytest.mark.slow
def test_the_whole_chain_on_s3(tmp_path: Path) -> None:
    write_folders(tmp_path / "archive", recordings=4, seconds=2.0)
    with s3_on_loopback("chain") as bucket:
        put_files(f"{bucket}/archive", tmp_path / "archive")
        here, there = sorted_both_ways(tmp_path / "archive", tmp_path, f"{bucket}/archive")
        there = dataclasses.replace(there, dataset=dataclasses.replace(there.dataset, store=f"{bucket}/store"))
        results = []
        for config in (here, there):
            config = dataclasses.replace(config, training=dataclasses.replace(config.training, epochs=1))
            spec.main(config)
            train.main(config)
            testing.main(dataclasses.replace(config, workers=1))
            (metrics,) = config.run_folder.glob("test/metrics.json")
            results.append(json.loads(metrics.read_text())["metrics"])
        assert (there.run_folder / "log.csv").read_text().splitlines()[0]
        assert results[0] == results[1]
        assert not list(there.dataset.root.rglob("*.wav"))
