"""Noisy students in rounds: no model labels what it learned, and the best round is kept."""

import dataclasses
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import polars as pl
import pytest

import distill
import sort_data
import spec
import train
from config import Augmentation, Config, Distillation, Model, PseudoLabels, SettingsError, Training
from tests.conftest import REPOSITORY, small_config, write_folders
from tests.test_distill import same
from utils.console import UserError
from utils.learning.batch_images import Batch, augmented_images
from utils.learning.noise import Noise
from utils.learning.pseudo_labels import LearnPseudoLabels, parts_of, sharpened
from utils.learning.rounds import (
    FinishedRound,
    best_round,
    is_worse,
    round_config,
    teachers_of_round,
)
from utils.learning.targets import Labels
from utils.models.monitor import Monitored
from utils.models.snapshots import Snapshot, find_snapshot, recordings_learned, recordings_used
from utils.settings import load, to_toml
from utils.settings_checks import check

pytestmark = pytest.mark.usefixtures("undrawn")


@pytest.fixture(scope="module")
def rounds_config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    """Return the settings of two rounds without teachers, on two small data sets."""
    folder = tmp_path_factory.mktemp("rounds")
    write_folders(folder / "archive", recordings=5)
    config = small_config(folder / "root", folder / "archive")
    write_folders(folder / "wild" / "sounds", recordings=4)
    (folder / "wild" / "tapes").mkdir()
    for number, file in enumerate(sorted((folder / "wild" / "sounds").rglob("*.wav"))):
        file.rename(folder / "wild" / "tapes" / f"tape{number}.wav")
    wild = small_config(folder / "wild-root", folder / "wild")
    wild = dataclasses.replace(wild, dataset=dataclasses.replace(wild.dataset, val_share=0.0))
    for one in (config, wild):
        sort_data.main(one)
        spec.main(one)
    return dataclasses.replace(
        config,
        run="noisy",
        model=Model(name="Baseline", filters=(4,)),
        log=dataclasses.replace(config.log, tensorboard=False),
        training=dataclasses.replace(config.training, epochs=2, early_stopping=0),
        distillation=Distillation(unlabelled=(wild.dataset.root,), rounds=2),
    )


@pytest.fixture
def learning_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the tests and the comparison after training."""
    monkeypatch.setattr(distill, "compare_networks", lambda *_: (None, ()))


def changed(config: Config, run: str, **distillation: object) -> Config:
    return dataclasses.replace(
        config,
        run=run,
        distillation=dataclasses.replace(config.distillation, **distillation),  # type: ignore[arg-type]
    )


def pseudo_labelled(config: Config, number: int) -> set[str]:
    table = pl.read_csv(config.snapshots / f"{config.run}-round-{number}" / "pseudo_labels.csv")
    return set(table.filter("learned")["recording"])


def of_part(config: Config, part: int) -> set[str]:
    """Return the unlabelled recordings of a part."""
    names = pl.read_parquet(config.distillation.unlabelled[0] / "spec" / "clips.parquet")["recording"].unique()
    return {name for name, one in parts_of(names.to_list(), parts=2).items() if one == part}


def snapshot_of(config: Config, run: str) -> Snapshot:
    found = find_snapshot(config.snapshots / run, "latest")
    assert found
    return found


def test_each_round_learns_what_its_teachers_did_not(
    rounds_config: Config, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("utils.learning.students.is_worse", lambda _: False)  # so that all rounds are learned
    result = distill.main(rounds_config)
    told = capsys.readouterr().out
    rounds = pl.read_csv(rounds_config.run_folder / "rounds.csv")
    assert rounds["run"].to_list() == ["noisy-round-0", "noisy-round-1", "noisy-round-2"]
    assert rounds["kept"].sum() == 1
    kept = rounds.filter("kept").row(0, named=True)
    assert kept["value"] == rounds["value"].max()
    assert same(rounds_config.run_folder, rounds_config.snapshots / kept["run"])
    assert "student without teachers" in [row.name for row in result.networks]
    assert f"round {len(rounds) - 1}" in told
    assert load(rounds_config.run_folder / "settings.toml").distillation.rounds == 2
    tapes = of_part(rounds_config, 0) | of_part(rounds_config, 1)
    assert len(tapes) > 3
    assert pseudo_labelled(rounds_config, 1) == of_part(rounds_config, 0)
    assert pseudo_labelled(rounds_config, 2) == of_part(rounds_config, 1)
    first, second = (snapshot_of(rounds_config, f"noisy-round-{index}") for index in (1, 2))
    assert not recordings_learned(snapshot_of(rounds_config, "noisy-round-0")) & tapes
    assert recordings_learned(first) & tapes == of_part(rounds_config, 0)
    assert recordings_learned(second) & tapes == of_part(rounds_config, 1)
    assert recordings_used(second) >= tapes  # by its teacher, so nothing tests it on them


@pytest.mark.usefixtures("learning_only")
def test_recordings_that_a_teacher_learned_get_no_pseudo_labels(
    rounds_config: Config, capsys: pytest.CaptureFixture[str]
) -> None:
    """A teacher that learned a tape of the first part, and one that learned all of them."""
    first = sorted(of_part(rounds_config, 0))
    teacher = dataclasses.replace(rounds_config, run="leaky", distillation=Distillation())
    train.main(teacher)
    best = find_snapshot(teacher.run_folder, "best")
    assert best
    learned = best.folder / "learned.txt"
    honest = learned.read_text()
    learned.write_text(f"{honest}{first[0]}\n")
    one = changed(rounds_config, "careful", teachers=(teacher.run_folder,), rounds=1, compare_without_teachers=False)
    distill.main(one)
    assert pseudo_labelled(one, 1) == set(first[1:])
    assert f"1 unlabelled recordings are left out ({first[0]}): a teacher learned from them" in capsys.readouterr().err
    learned.write_text(honest + "".join(f"{name}\n" for name in first))
    with pytest.raises(UserError, match=r"part 0 of distillation\.unlabelled: has no clip to learn \(0 clips"):
        distill.main(dataclasses.replace(one, run="stuck"))


@pytest.mark.usefixtures("learning_only")
def test_rounds_that_were_killed_end_as_undisturbed_ones(rounds_config: Config, tmp_path: Path) -> None:
    config = changed(rounds_config, "killed")
    experiment = tmp_path / "x.toml"
    experiment.write_text(to_toml(config))
    process = subprocess.Popen(
        [sys.executable, str(REPOSITORY / "distill.py"), str(experiment)],
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    deadline = time.monotonic() + 120
    while not any((config.snapshots / "killed-round-1").glob("epoch_*")):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait(timeout=60)
    assert not config.run_folder.exists()
    distill.main(config)
    distill.main(changed(rounds_config, "undisturbed"))
    assert same(config.run_folder, config.snapshots / "undisturbed")
    read = [(config.snapshots / run / "rounds.csv").read_text() for run in ("killed", "undisturbed")]
    assert read[0].replace("killed", "undisturbed") == read[1]
    before = {path: path.stat().st_mtime_ns for path in config.run_folder.glob("epoch_*/snapshot.json")}
    distill.main(config)  # all is done: nothing is copied again
    assert before == {path: path.stat().st_mtime_ns for path in config.run_folder.glob("epoch_*/snapshot.json")}


def finished(number: int, value: float | None, loss: float | None = None) -> FinishedRound:
    snapshot = Snapshot(
        Path("x"), Config(), ("a", "b"), 1, value, "", validation_loss=loss, monitored=Monitored(value=value)
    )
    return FinishedRound(number, snapshot)


def test_a_round_that_is_worse_is_not_kept() -> None:
    better, worse = [finished(0, 0.5), finished(1, 0.6)], [finished(0, 0.5), finished(1, 0.6), finished(2, 0.55)]
    assert not is_worse(better)
    assert is_worse(worse)
    assert best_round(worse).index == 1
    assert best_round([finished(0, 0.5), finished(1, 0.5)]).index == 0
    assert best_round([finished(0, 0.5, 2.0), finished(1, 0.5, 1.0)]).index == 1
    unknown = [finished(0, None), finished(1, None)]
    assert best_round(unknown).index == 1
    assert not is_worse(unknown)
    assert not is_worse([finished(0, 0.5), finished(1, 0.5)])  # as good is not worse


def test_teachers_are_the_models_of_the_rounds_before() -> None:
    def of(parts: int, number: int, teachers: tuple[Path, ...] = ()) -> list[str]:
        labels = PseudoLabels(parts=parts, power=(1.0, 2.0))
        config = Config(run="x", distillation=Distillation(teachers=teachers, rounds=9, pseudo_labels=labels))
        return [path.name for path in teachers_of_round(config, number)]

    assert [of(2, number) for number in (1, 2, 3)] == [["x-round-0"], ["x-round-1"], ["x-round-2"]]
    assert of(3, 2) == ["x-round-0", "x-round-1"]
    assert of(3, 4) == ["x-round-2", "x-round-3"]
    assert of(3, 2, (Path("one"), Path("other"))) == ["one", "other", "x-round-1"]
    assert of(2, 2, (Path("one"),)) == ["x-round-1"]


def test_parts_and_powers_of_rounds() -> None:
    labels = PseudoLabels(parts=2, first_part=1, power=(1.0, 1.5))
    config = Config(distillation=Distillation(rounds=3, pseudo_labels=labels, unlabelled=(Path("x"),)))
    rounds = [round_config(config, number).distillation.pseudo_labels for number in (1, 2, 3)]
    assert [one.first_part for one in rounds] == [1, 0, 1]
    assert [one.power for one in rounds] == [(1.0,), (1.5,), (1.5,)]


@pytest.mark.usefixtures("learning_only")
def test_a_round_without_confident_clips_ends_learning(
    rounds_config: Config, capsys: pytest.CaptureFixture[str]
) -> None:
    """What was learned before is kept."""
    distill.main(changed(rounds_config, "doubtful", pseudo_labels=PseudoLabels(confidence=1.0)))
    assert "round 1: part 0 of distillation.unlabelled: has no clip to learn" in capsys.readouterr().err
    assert same(rounds_config.snapshots / "doubtful", rounds_config.snapshots / "doubtful-round-0")


def test_what_cannot_be_learned_is_refused_before_training(rounds_config: Config) -> None:
    with pytest.raises(UserError, match="is the data set with the labels"):
        distill.main(changed(rounds_config, "own", unlabelled=(rounds_config.dataset.root,)))
    with pytest.raises(UserError, match="missing"):
        distill.main(changed(rounds_config, "none", unlabelled=(rounds_config.dataset.root / "missing",)))
    for run in ("own", "none"):
        assert not (rounds_config.snapshots / f"{run}-round-0").exists()


@pytest.mark.parametrize(
    ("distillation", "training", "reason"),
    [
        ({"unlabelled": ()}, {}, "distillation.unlabelled"),
        ({"true_share": 0.5}, {}, "distillation.true_share"),
        ({"unlabelled_ratio": 0.0}, {}, "distillation.unlabelled_ratio"),
        ({"rounds": 0, "pseudo_labels": PseudoLabels(confidence=0.5)}, {}, "distillation.rounds"),
        ({"pseudo_labels": PseudoLabels(first_part=2)}, {}, "first_part"),
        ({}, {"images": Path("x")}, "training.images"),
        ({}, {"noise_class": True}, "training.noise_class"),
    ],
)
def test_settings_that_do_not_go_with_rounds(
    distillation: dict[str, object], training: dict[str, object], reason: str
) -> None:
    settings = {"rounds": 2, "unlabelled": (Path("u"),), "teachers": (Path("t"),), **distillation}
    config = Config(distillation=Distillation(**settings), training=Training(**training))  # type: ignore[arg-type]
    with pytest.raises(SettingsError, match=reason):
        check(config)


def test_powers_sharpen_predictions() -> None:
    predictions = np.array([[0.5, 0.25, 0.0], [0.0, 0.0, 0.0]], np.float32)
    np.testing.assert_allclose(sharpened(predictions, 2.0, multi_label=True), [[0.25, 0.0625, 0.0], [0.0] * 3])
    np.testing.assert_allclose(sharpened(predictions, 2.0, multi_label=False), [[0.8, 0.2, 0.0], [0.0] * 3])


def labels_of(primary: list[int]) -> Labels:
    clips = len(primary)
    return Labels(jnp.array(primary), jnp.full((clips, 1), -1), jnp.ones(clips))


def test_labels_are_learned_where_there_are_any() -> None:
    objective = LearnPseudoLabels(Training(loss="binary"), 2)
    soft = jnp.array([[0.9, 0.8], [0.7, 0.1]])
    np.testing.assert_allclose(objective.targets(labels_of([1, -1]), soft), [[0.0, 1.0], [0.7, 0.1]])


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_training_mixes_labelled_clips_with_soundscapes(share: float) -> None:
    """A white clip with a label and a black one with pseudo labels: their mixture is grey, and has both species."""
    distillation = Distillation(rounds=1, unlabelled=(Path("u"),), pseudo_labels=PseudoLabels(mix_share=share))
    config = Config(distillation=distillation, augmentation=Augmentation(count=0), training=Training(loss="binary"))
    clips = jnp.stack([jnp.full((4, 6), 255), jnp.zeros((4, 6))]).astype(jnp.uint8)
    batch = Batch(clips, labels_of([1, -1]))
    targets = jnp.array([[0.0, 1.0], [0.7, 0.1]])
    noise = Noise(jnp.zeros((0, 4, 6), jnp.uint8))
    images, found, _ = augmented_images(batch, targets, jnp.ones(2), noise, jax.random.key(0), config)
    np.testing.assert_allclose(images[:, 0, 0], [1 - share / 2, 0.0], atol=1e-6)
    np.testing.assert_allclose(found, [[0.7 * share, 1.0], [0.7, 0.1]], atol=1e-6)
