"""Novelty: calibrated on validation recordings, the same for any batches, in all results; missing parts are named."""

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import soundfile

import sort_data
import spec
import submission_soundscape
import test
import train
from config import Config, SettingsError, Submission
from tests.conftest import RATE, chirp, small_config, write_folders
from tests.scoring.inference.test_intervals import one_by_one
from utils.console import UserError
from utils.files import try_lock
from utils.models.prototypes import Prototypes
from utils.models.snapshots import Snapshot, validation_recordings_of
from utils.scoring.evaluation.saved_predictions import read_predictions, write_predictions
from utils.scoring.inference import clip_workers, novelty_prototypes
from utils.scoring.inference.ensembles import Member, assemble, chosen_members
from utils.scoring.inference.fingerprints import fingerprint_of_parts, fingerprint_of_scores
from utils.scoring.inference.novelty import ColumnPool, novelty_of
from utils.scoring.inference.novelty_prototypes import prototypes_of
from utils.scoring.inference.pooling import MAX
from utils.scoring.inference.recordings import predict_recordings
from utils.scoring.inference.units import predict_units
from utils.scoring.submissions.formats.registry import check_submission
from utils.scoring.submissions.results import Submitted
from utils.scoring.submissions.task import prepare_submission
from utils.scoring.testing import check_before_training, headline_rows
from utils.settings_checks import check

NEW = "Ignotus novus"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Config:
    """Settings of a run that knows two species; in val/ there is a third one."""
    root = tmp_path_factory.mktemp("root")
    archive = root / "archive"
    write_folders(archive / "train", recordings=5)
    shutil.rmtree(archive / "train" / "Solus unicus")
    for species, pitch in (("Altus clarus", 3000.0), (NEW, 1900.0)):
        for index in range(2):
            file = archive / "val" / species / f"{species[0]}v{index}.wav"
            file.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(file, chirp(pitch, seconds=3.0, seed=50 + index), RATE)
    config = small_config(root / "sorted", archive)
    config = dataclasses.replace(config, testing=dataclasses.replace(config.testing, novelty=True, engine="jax"))
    sort_data.main(config)
    spec.main(config)
    train.main(config)
    return config


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clip_workers, "fan_out", one_by_one)


def with_testing(config: Config, **changes: object) -> Config:
    return dataclasses.replace(config, testing=dataclasses.replace(config.testing, **changes))  # type: ignore[arg-type]


def copied(snapshot: Snapshot, folder: Path) -> Snapshot:
    """Copy a snapshot, without its prototypes."""
    shutil.copytree(snapshot.folder, folder, ignore=shutil.ignore_patterns("prototypes*"))
    return dataclasses.replace(snapshot, folder=folder)


def reference(*distances: float) -> Prototypes:
    """Return prototypes with which distances are compared: of recordings; clips are nearer by 10."""
    known = np.array(distances, np.float32)
    return Prototypes(np.ones((2, 1), np.float32), np.zeros(1, np.float32), known, known - 10)


def test_a_test_shows_novelty_everywhere(trained: Config) -> None:
    tested = test.main(trained)
    folder = tested.folder
    table = pl.read_csv(folder / "predictions.csv")
    assert table["novelty"].is_between(0, 1).all()
    scores = pl.read_parquet(folder / "scores.parquet")
    by_recording = dict(scores.select("recording", "novelty").unique().iter_rows())
    assert by_recording == pytest.approx(dict(table.select("recording", "novelty").iter_rows()), abs=1e-6)
    found = json.loads((folder / "metrics.json").read_text())["metrics"]["novelty_auroc"]
    novel = table.filter(pl.col("class") == NEW)["novelty"].to_list()
    known = table.filter(pl.col("class") != NEW)["novelty"].to_list()
    pairs = [(one > other) + (one == other) / 2 for one in novel for other in known]
    assert found["value"] == pytest.approx(np.mean(pairs))
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "Most novel recordings" in page
    assert page.count("(not known to the model)") == 2
    off = test.main(with_testing(trained, novelty=False))
    assert "novelty" not in pl.read_csv(off.folder / "predictions.csv").columns
    assert "novelty" not in pl.read_parquet(off.folder / "scores.parquet").columns
    assert "novelty_auroc" not in off.metrics
    assert "Most novel" not in (folder / "report.html").read_text(encoding="utf-8")
    assert off.headline == tested.headline
    assert "novelty AUROC" in headline_rows(tested)
    assert "novelty AUROC" not in headline_rows(off)


def test_novelty_compares_with_validation_recordings_and_does_not_depend_on_batches(trained: Config) -> None:
    (member,) = chosen_members(trained)
    made = member.prototypes
    assert made is not None
    assert len(made.recordings) == len(validation_recordings_of(member.snapshot)) > 0
    for changes in ({"batch_size": 3}, {"engine": "auto"}):
        other = novelty_prototypes.make_prototypes(member.snapshot, with_testing(trained, **changes).testing)
        np.testing.assert_allclose(other.recordings, made.recordings, rtol=1e-3, atol=1e-3)
        np.testing.assert_allclose(other.clips, made.clips, rtol=1e-3, atol=1e-3)
    split = pl.read_parquet(trained.dataset.root / "split.parquet").filter(split="val")
    whole = predict_recordings([member], split, trained)
    again = predict_recordings([member], split, with_testing(trained, batch_size=5))
    assert whole.novelty is not None
    assert again.novelty is not None
    np.testing.assert_allclose(again.novelty, whole.novelty, atol=1e-3)
    rows = predict_units([member], split.with_columns(pl.lit("").alias("class")), trained, "interval")
    assert rows.novelty is not None
    assert len(rows.novelty) == len(rows.rows)
    assert np.isfinite(rows.novelty[rows.scored]).all()


def test_prototypes_are_made_once_and_whole(trained: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (member,) = chosen_members(with_testing(trained, novelty=False))
    snapshot = copied(member.snapshot, tmp_path / "epoch_001")

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("utils.models.prototypes.save", killed)
        prototypes_of(snapshot, trained.testing)
    assert not list(snapshot.folder.glob("*prototypes.s*"))
    with try_lock(snapshot.folder, "computation of prototypes"), pytest.raises(UserError, match="another computation"):
        prototypes_of(snapshot, trained.testing)
    first = prototypes_of(snapshot, trained.testing)
    monkeypatch.setattr(novelty_prototypes, "make_prototypes", killed)
    assert prototypes_of(snapshot, trained.testing).fingerprint == first.fingerprint
    # of another network
    (snapshot.folder / "net.sha256").write_text("0" * 64 + "\n")
    with pytest.raises(UserError, match="is of another network"):
        prototypes_of(snapshot, trained.testing)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ("store", r"epoch_001: has no prototypes yet, .*from the store .*run spec\.py"),
        ("earlier", r"epoch_001: .* saved by an earlier version, .*set testing\.novelty = false"),
        ("validation", r"epoch_001: .* no clips of validation recordings, .*training\.validation_share"),
        ("learned", r"epoch_001: .* no clips that it was trained on: run spec\.py"),
    ],
)
def test_what_is_missing_is_said_in_one_line(trained: Config, tmp_path: Path, damage: str, message: str) -> None:
    (member,) = chosen_members(with_testing(trained, novelty=False))
    snapshot = copied(member.snapshot, tmp_path / "epoch_001")
    if damage == "store":
        elsewhere = dataclasses.replace(trained.dataset, root=tmp_path / "elsewhere")
        snapshot = dataclasses.replace(snapshot, config=dataclasses.replace(trained, dataset=elsewhere))
    elif damage == "earlier":
        (snapshot.folder / "validation.txt").unlink()
    else:
        kept = (snapshot.folder / "validation.txt").read_text() if damage == "learned" else ""
        (snapshot.folder / ("learned.txt" if damage == "learned" else "validation.txt")).write_text(kept)
    with pytest.raises(UserError, match=message) as found:
        prototypes_of(snapshot, trained.testing)
    assert "\n" not in str(found.value)


def test_classes_without_clips_have_no_prototype(
    trained: Config, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (member,) = chosen_members(with_testing(trained, novelty=False))
    snapshot = copied(member.snapshot, tmp_path / "epoch_001")
    learned = (snapshot.folder / "learned.txt").read_text().splitlines()
    held_back = validation_recordings_of(snapshot)
    kept = [name for name in learned if "Bassus" not in name or name in held_back]
    (snapshot.folder / "learned.txt").write_text("".join(f"{name}\n" for name in kept))
    assert prototypes_of(snapshot, trained.testing).directions.shape[1] == 1
    assert "1 of 2 classes have no clip in the store (Bassus gravis), and no prototype" in capsys.readouterr().err


def test_members_that_know_the_same_are_averaged_and_of_others_the_least_novel_counts(trained: Config) -> None:
    (member,) = chosen_members(with_testing(trained, novelty=False))
    other = dataclasses.replace(member.snapshot, classes=("X", "Y"))
    members = [
        Member(member.snapshot, 1.0, reference(1.0, 2.0, 3.0)),
        Member(member.snapshot, 3.0, reference(2.0, 3.0, 4.0)),
        Member(other, 5.0, reference(1.5, 2.5, 3.5)),
    ]
    ensemble = assemble(members)
    (group,) = ensemble.groups
    assert group.columns == len(group.classes) + 3
    pool = ColumnPool(group, MAX)
    scores = np.full((2, len(group.classes)), 0.5, np.float32)
    scores[1] = 0.7
    pool.add(np.column_stack([scores, [[2, 2, 1.5], [4, 4, 3.5]]]))
    pooled = pool.finish()
    np.testing.assert_allclose(pooled[0], [*[0.7] * len(group.classes), 3, 3, 2.5])
    np.testing.assert_allclose(novelty_of(ensemble, [pooled], whole=True), [0.5])
    np.testing.assert_allclose(novelty_of(assemble(members[:2]), [pooled[:, [0, 1, 4, 5]]], whole=True), [0.5625])
    assert novelty_of(ensemble, [pooled], whole=False)[0] > 0.75  # type: ignore[index]
    assert novelty_of(assemble([Member(member.snapshot)]), [pooled], whole=True) is None
    assert fingerprint_of_scores(members, trained) == fingerprint_of_scores(
        [dataclasses.replace(one, prototypes=None) for one in members], trained
    )


def test_a_submission_has_the_novelty_of_each_interval(trained: Config, tmp_path: Path) -> None:
    recordings = trained.dataset.root / "val"
    submission = Submission(
        folder=tmp_path, recordings=recordings, interval=1.0, page_minutes=1.0, dynamic="share", dynamic_share=0.5
    )
    config = dataclasses.replace(trained, submission=submission)
    done = submission_soundscape.main(config)
    assert isinstance(done, Submitted)
    table = pl.read_csv(done.path)
    assert table.columns[-1] == "novelty"
    assert table["novelty"].is_between(0, 1).all()
    assert done.novelty is not None
    every = pl.read_csv(done.novelty)
    assert len(every) == done.intervals >= table.select("recording", "start").n_unique() > 0
    assert len(table.join(every, on=["recording", "start", "end", "novelty"])) == len(table)
    assert check_submission(done.path, prepare_submission(config, "soundscape").layout) == []
    assert done.page is not None
    page = done.page.read_text(encoding="utf-8")
    assert page.count("most novel at 0:0") == done.recordings
    assert "<th>novelty</th>" in page
    plain, without = with_testing(config, novelty=False), done.novelty
    assert pl.read_csv(submission_soundscape.main(plain).path).equals(table.drop("novelty"))  # type: ignore[union-attr]
    assert not without.exists()
    parts = {fingerprint_of_parts(chosen_members(one), one, interval=1.0) for one in (config, plain)}
    assert len(parts) == 2


def test_saved_predictions_keep_novelty(trained: Config, tmp_path: Path) -> None:
    split = pl.read_parquet(trained.dataset.root / "split.parquet").filter(split="val")
    for novelty in (True, False):
        config = with_testing(trained, novelty=novelty)
        predictions = predict_recordings(chosen_members(config), split, config)
        write_predictions(tmp_path / "part", predictions, key="k", metrics={}, seconds=1.0)
        read = read_predictions(tmp_path / "part", key="k")
        assert read is not None
        np.testing.assert_array_equal(read[0].novelty, predictions.novelty)


def test_a_training_without_what_novelty_needs_is_refused_before(trained: Config) -> None:
    split = pl.read_parquet(trained.dataset.root / "split.parquet")
    check_before_training(split, trained)
    for changes, message in (
        ({"validation_share": 0.0}, r"novelty: needs validation recordings, .*training\.validation_share is 0"),
        ({"images": Path("images")}, r"novelty: needs a store, but training\.images is set"),
    ):
        training = dataclasses.replace(trained.training, **changes)  # type: ignore[arg-type]
        config = dataclasses.replace(trained, training=training)
        with pytest.raises(UserError, match=message):
            check_before_training(split, config)
        check_before_training(split, with_testing(config, novelty=False))


def test_int8_and_novelty_do_not_go_together(trained: Config) -> None:
    with pytest.raises(SettingsError, match=r"testing\.engine.*auto, onnx or jax for testing\.novelty"):
        check(with_testing(trained, engine="onnx-int8"))
