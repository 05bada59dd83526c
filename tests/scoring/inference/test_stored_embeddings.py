"""Embeddings that the store keeps serve tests with the same scores, bit for bit; what differs is computed anew."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import soundfile

import sort_data
import spec
import test
from config import Clips, Config, External, Model
from tests.bird_models import write_onnx
from tests.conftest import RATE, chirp, small_config, write_folders
from utils.external import embeddings
from utils.external.settings import with_external_model
from utils.models.networks import build_network
from utils.models.saved_networks import save_snapshot
from utils.models.snapshots import Snapshot
from utils.recordings.splits import read_split
from utils.scoring.inference.ensembles import Member, assemble, chosen_members
from utils.scoring.inference.recordings import Predictions, predict_recordings
from utils.scoring.inference.stored_embeddings import stored_embeddings
from utils.spectra import recording_spectrograms

pytestmark = pytest.mark.usefixtures("undrawn")
SPECIES = ("Altus clarus", "Bassus gravis", "Solus unicus")
SILENT, CUT_OFF, CANCELLED = "Solus unicus/silent", "Solus unicus/truncated", "Solus unicus/cancelled"


@pytest.fixture(autouse=True)
def _no_model_stays() -> Iterator[None]:
    yield
    embeddings._embedder.cache_clear()


def write_archive(archive: Path) -> None:
    """Write recordings of two species, and others: silence, a file without its end, and one with opposite channels."""
    write_folders(archive, recordings=3)
    others = archive / "Solus unicus"
    soundfile.write(others / "silent.wav", np.zeros(3 * RATE), RATE)
    soundfile.write(others / "truncated.wav", chirp(2100.0, seconds=4.0, seed=7), RATE)
    whole = (others / "truncated.wav").read_bytes()
    (others / "truncated.wav").write_bytes(whole[: len(whole) * 3 // 4])
    # sound is decoded in blocks of 30 s
    left, later = chirp(1900.0, seconds=30.0, seed=8), chirp(1900.0, seconds=31.0, seed=9)
    stereo = np.concatenate([np.stack([left, -left], axis=1), np.stack([later, later], axis=1)])
    soundfile.write(others / "cancelled.wav", stereo, RATE)


def external_config(folder: Path, **clips: Any) -> Config:
    config = small_config(folder / "root", folder / "archive")
    given = {"max_per_class": 0, "signal_threshold": 0.0, "overlap": 0.5, **clips}
    return with_external_model(
        replace(
            config,
            clips=Clips(**given),
            model=Model(name="External", weights=str(folder / "bird.onnx"), dropout=0.0),
            external=External(rate=RATE),
            # as floats, as they are read from files: they are part of the keys of shards
            spectrogram=replace(config.spectrogram, fmin=500.0, fmax=3800.0),
            testing=replace(config.testing, pooling="mean", max_clips=0, batch_size=7),
        )
    )


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Config:
    """Sort and extract, and save a head that has learned nothing."""
    folder = tmp_path_factory.mktemp("stored")
    write_archive(folder / "archive")
    write_onnx(folder / "bird.onnx")
    config = external_config(folder)
    sort_data.main(config)
    spec.main(config)
    snapshot = Snapshot(config.run_folder / "epoch_001", config, SPECIES, 1, None, "")
    _, network = build_network(config.model, classes=len(SPECIES), shape=config.input_shape, seed=1)
    save_snapshot(snapshot, network, {"count": np.zeros(1)}, recordings=())
    return config


def recordings_of(config: Config) -> pl.DataFrame:
    return read_split(config.dataset)


def predicted(config: Config, **testing: Any) -> Predictions:
    config = replace(config, testing=replace(config.testing, **testing))
    recordings = recordings_of(config)
    return predict_recordings(chosen_members(config), recordings, config, clips_of=recordings["recording"].to_list())


def without_store(config: Config) -> Config:
    return replace(config, dataset=replace(config.dataset, store=config.dataset.root / "no_store"))


def assert_equal(one: Predictions, other: Predictions) -> None:
    assert one.scores.tobytes() == other.scores.tobytes()
    assert (one.clips.tolist(), one.reasons, one.warnings) == (other.clips.tolist(), other.reasons, other.warnings)
    assert one.clip_scores.keys() == other.clip_scores.keys()
    for name, (part,) in one.clip_scores.items():
        assert part.scores.tobytes() == other.clip_scores[name][0].scores.tobytes()
    assert one.fingerprint == other.fingerprint


def names_in_store(config: Config) -> set[str]:
    """Return the recordings whose embeddings a test would take from the store."""
    recordings = recordings_of(config)
    found = stored_embeddings(assemble(chosen_members(config)), recordings, config)
    assert {group for _, group in found} <= {0}
    return {recordings["recording"][row] for row, _ in found}


@pytest.fixture
def copied(made: Config, tmp_path: Path) -> Config:
    """Return a data set of the same recordings, that a test may change, and its own store."""
    config = replace(made, dataset=replace(made.dataset, root=tmp_path / "root", sort_mode="copy"))
    sort_data.main(config)
    spec.main(config)
    return config


@pytest.mark.parametrize("max_clips", [0, 3])
def test_the_store_gives_the_same_predictions(made: Config, monkeypatch: pytest.MonkeyPatch, max_clips: int) -> None:
    expected = predicted(without_store(made), max_clips=max_clips)
    asked: list[str] = []
    embed = recording_spectrograms._seen_by_model

    def counted(samples: Any, job: Any, *, seed: int) -> Any:
        asked.append(job.name)
        return embed(samples, job, seed=seed)

    monkeypatch.setattr(recording_spectrograms, "_seen_by_model", counted)
    found = predicted(made, max_clips=max_clips)
    assert_equal(found, expected)
    assert set(asked) == {SILENT}  # spec.py rejects it
    assert (expected.from_store, found.from_store) == (0, len(found.rows) - 1 - (max_clips == 3))
    # only the end of the file is missing, and only in its first clips do the channels of the other cancel each other
    assert (CUT_OFF in found.warnings) == (max_clips == 0)
    reason = found.reasons[found.rows["recording"].to_list().index(CANCELLED)]
    assert ("cancel each other" in (reason or "")) == (max_clips == 3)


def test_the_scores_come_from_the_store(copied: Config) -> None:
    expected = predicted(copied)
    (shard,) = (copied.dataset.root / "spec" / "shards").glob("Altus*")
    content = np.load(shard / "embeddings.npy")
    np.save(shard / "embeddings.npy", content[::-1].copy())
    changed = (predicted(copied).scores != expected.scores).any(axis=1)
    assert set(expected.rows["class"].to_numpy()[changed]) == {"Altus clarus"}


def test_a_changed_recording_is_predicted_anew(copied: Config) -> None:
    before = predicted(copied)
    file = copied.dataset.root / before.rows.filter(recording="Altus clarus/A1")["file"][0]
    soundfile.write(file, chirp(2500.0, seconds=3.3, seed=77), RATE)
    after = predicted(copied)
    assert_equal(after, predicted(without_store(copied)))
    changed = (after.scores != before.scores).any(axis=1)
    assert before.rows["recording"].to_numpy()[changed].tolist() == ["Altus clarus/A1"]
    # its shard would be made again
    assert not any(name.startswith("Altus") for name in names_in_store(copied))
    spec.main(copied)
    assert {"Altus clarus/A1", "Bassus gravis/B1"} < names_in_store(copied)


@pytest.mark.parametrize("clips", [{"overlap": 0.25}, {"min_length": 0.5}, {"choose": "first", "count": 3}])
def test_a_store_of_other_clips_is_not_used(
    made: Config, tmp_path: Path, capsys: pytest.CaptureFixture[str], clips: dict[str, Any]
) -> None:
    other = replace(made, clips=replace(made.clips, **clips), dataset=replace(made.dataset, store=tmp_path / "other"))
    spec.main(other)
    capsys.readouterr()
    assert names_in_store(other) == set()
    assert capsys.readouterr() == ("", "")


def test_a_store_of_another_model_is_not_used(made: Config) -> None:
    (member,) = chosen_members(made)
    for changes in ({"sha256": "0" * 64}, {"peak": 0.5}):
        external = replace(member.snapshot.config.external, **changes)
        snapshot = replace(member.snapshot, config=replace(member.snapshot.config, external=external))
        assert stored_embeddings(assemble([Member(snapshot)]), recordings_of(made), made) == {}


def test_recordings_of_which_clips_were_left_out_are_not_used(made: Config, tmp_path: Path) -> None:
    kept = {}
    for name, clips in (("few", {"max_per_class": 9}), ("loud", {"signal_threshold": 0.5, "noise_share": 1.0})):
        dataset = replace(made.dataset, store=tmp_path / name)
        config = replace(made, clips=replace(made.clips, **clips), dataset=dataset)
        spec.main(config)
        kept[name] = names_in_store(config)
    assert kept["few"] == set()  # at most four clips of five
    assert "Altus clarus/A1" in kept["loud"]  # all clips were rejected, and are kept as noise


def test_a_store_that_is_not_there_damaged_or_unfinished(copied: Config, capsys: pytest.CaptureFixture[str]) -> None:
    expected = predicted(without_store(copied))
    folder = copied.dataset.root / "spec"
    (shard,) = (folder / "shards").glob("Altus*")
    content = (shard / "embeddings.npy").read_bytes()
    (shard / "embeddings.npy").write_bytes(content[:-1])
    capsys.readouterr()
    assert_equal(predicted(copied), expected)
    told = " ".join(capsys.readouterr().err.split())
    assert told.count("embeddings.npy: is missing or damaged; remove key.txt beside it and run spec.py") == 1
    (shard / "embeddings.npy").write_bytes(content)
    (shard / "key.txt").unlink()
    assert not any(name.startswith("Altus") for name in names_in_store(copied))
    (folder / "clips.parquet").unlink()
    capsys.readouterr()
    assert names_in_store(copied) == set()
    assert capsys.readouterr().err == ""


def test_workers_of_a_cluster_read_no_store(made: Config) -> None:
    assert names_in_store(replace(made, cluster=replace(made.cluster, address="local"))) == set()


def test_the_summary_says_what_came_from_the_store(made: Config, capsys: pytest.CaptureFixture[str]) -> None:
    test.main(made)
    told = " ".join(capsys.readouterr().out.split())
    held_out = set(recordings_of(made).filter(split="val")["recording"])
    stored = len(held_out - {SILENT})
    assert f"embeddings those of {stored} of {len(held_out)} recordings from the store" in told
