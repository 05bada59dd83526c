"""A student learns from teachers by the same code as any training: tested, tabled, resumed, and refused where that would not be true."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import pytest

import distill
import sort_data
import spec
import test
import train
from config import Config, Distillation, Model, to_toml
from tests.conftest import REPOSITORY, small_config, write_folders
from utils.console import UserError
from utils.learning.examples import read_examples
from utils.learning.unlabelled import with_unlabelled
from utils.models.layer_table import layers, totals
from utils.models.snapshots import find, learned_from, load_network

TEACHERS = {
    "one": Model(name="Baseline", filters=(6, 8)),
    "other": Model(name="Baseline", filters=(4, 8), nonlinearity="elu"),
}


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory) -> Config:
    """Train two teachers, and return the settings of a student of theirs."""
    folder = tmp_path_factory.mktemp("distill")
    write_folders(folder / "archive", recordings=6)
    config = small_config(folder / "root", folder / "archive")
    config = dataclasses.replace(config, log=dataclasses.replace(config.log, tensorboard=False))
    sort_data.main(config)
    spec.main(config)
    for name, model in TEACHERS.items():
        train.main(dataclasses.replace(config, run=name, model=model))
    teachers = tuple(config.snapshots / name for name in TEACHERS)
    return dataclasses.replace(
        config, run="student", model=Model(name="Baseline", filters=(4,)), distillation=Distillation(teachers=teachers)
    )


def with_run(config: Config, run: str, **distillation: object) -> Config:
    settings = {"untaught": False, **distillation}
    return dataclasses.replace(config, run=run, distillation=dataclasses.replace(config.distillation, **settings))  # type: ignore[arg-type]


def weights(run: Path) -> list[np.ndarray]:
    latest = find(run, "latest")
    assert latest
    return [np.asarray(leaf) for leaf in jax.tree.leaves(load_network(latest)[1])]


def same(one: Path, other: Path) -> bool:
    return all(np.array_equal(left, right) for left, right in zip(weights(one), weights(other), strict=True))


@pytest.fixture
def learning_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the tests and the table behind the training, which one test looks at and which take the longest."""
    monkeypatch.setattr(distill, "compare", lambda *_: (None, ()))


def test_the_table_at_the_end(taught: Config, capsys: pytest.CaptureFixture[str]) -> None:
    result = distill.main(taught)
    told = capsys.readouterr().out
    assert [row.name for row in result.nets][2:] == ["these 2 together", "student", "student without teachers"]
    one, other, both, student, untaught = result.nets
    for row, name in ((one, "one"), (other, "other")):
        assert row.name == name
        snapshot = find(taught.snapshots / name, "best")
        assert snapshot
        assert (row.parameters, row.flops) == totals(
            layers(TEACHERS[name], classes=len(snapshot.classes), shape=(16, 32))
        )
        assert row.bytes == sum(file.stat().st_size for file in (snapshot.folder / "net").rglob("*") if file.is_file())
    assert one.mlrap == pytest.approx(test.main(dataclasses.replace(taught, run="one")).figures.mlrap, abs=1e-9)
    assert (both.parameters, both.flops, both.bytes) == tuple(
        getattr(one, what) + getattr(other, what) for what in ("parameters", "flops", "bytes")
    )
    assert both.clips_per_second < min(one.clips_per_second, other.clips_per_second)
    assert student.mlrap == pytest.approx(result.tested.figures.mlrap, abs=1e-9)
    assert student.ahead is None
    assert student.mlrap is not None
    assert untaught.mlrap is not None
    assert untaught.ahead == pytest.approx(untaught.mlrap - student.mlrap, abs=1e-9)
    assert untaught.parameters == student.parameters < both.parameters
    assert not same(taught.run_folder, taught.snapshots / "student-untaught")
    kept = json.loads((taught.run_folder / "test" / "distillation.json").read_text())
    assert [row["mlrap"] for row in kept["nets"]] == [row.mlrap for row in result.nets]
    page = (taught.run_folder / "test" / "report.html").read_text()
    assert "Teachers and student" in page
    for text in ("these 2 together", "student without teachers", f"{both.parameters:,}", f"{student.mlrap:.3f} ("):
        assert text in page
        assert text in told
    test.main(dataclasses.replace(taught, testing=dataclasses.replace(taught.testing, pooling="mean")))
    assert "Teachers and student" not in (taught.run_folder / "test" / "report.html").read_text()


@pytest.mark.usefixtures("learning_only")
def test_what_teachers_learned_from_is_no_test(taught: Config) -> None:
    distill.main(with_run(taught, "heir"))
    snapshots = [find(taught.snapshots / name, "latest") for name in ("heir", *TEACHERS)]
    heard = [learned_from(snapshot) for snapshot in snapshots if snapshot]
    assert heard[0] >= heard[1] | heard[2]
    other = dataclasses.replace(taught, dataset=dataclasses.replace(taught.dataset, seed=5))
    sort_data.main(other)
    try:
        with pytest.raises(UserError, match="recordings that are now held out"):
            distill.main(with_run(other, "cheat"))
    finally:
        sort_data.main(taught)
        spec.main(taught)


@pytest.mark.parametrize("augmented", [True, False])
@pytest.mark.usefixtures("learning_only")
def test_a_killed_student_ends_as_an_undisturbed_one(taught: Config, tmp_path: Path, augmented: bool) -> None:
    """Also where the teachers' answers are kept; the settings go by file, as users give them."""
    count = 2 if augmented else 0
    config = dataclasses.replace(
        with_run(taught, f"killed-{count}"),
        augmentation=dataclasses.replace(taught.augmentation, count=count),
        training=dataclasses.replace(taught.training, epochs=8, early_stopping=0),
    )
    experiment = tmp_path / "x.toml"
    experiment.write_text(to_toml(config))
    command = [sys.executable, str(REPOSITORY / "distill.py"), str(experiment)]
    process = subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    deadline = time.monotonic() + 120
    while not any(config.run_folder.glob("epoch_*")):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait(timeout=60)
    assert not (config.run_folder / "epoch_008").exists()
    distill.main(config)
    undisturbed = dataclasses.replace(config, run=f"undisturbed-{count}")
    distill.main(undisturbed)
    assert same(config.run_folder, undisturbed.run_folder)
    assert len(list((config.dataset.root / "spec").glob("answers_*.npy"))) == (0 if augmented else 1)


@pytest.mark.usefixtures("learning_only")
def test_another_teacher_is_refused(taught: Config) -> None:
    config = with_run(taught, "loyal")
    distill.main(config)
    before = dataclasses.replace(taught, run="one", model=TEACHERS["one"], distillation=Distillation())
    train.main(
        dataclasses.replace(before, training=dataclasses.replace(taught.training, seed=9)), train.Flags(fresh=True)
    )
    try:
        with pytest.raises(UserError, match=r"snapshots/one/epoch_\d+: is another net than when .*loyal was begun"):
            distill.main(config)
        with pytest.raises(UserError, match=r"distillation\.temperature was 1\.0, is 3\.0"):
            distill.main(with_run(taught, "loyal", temperature=3.0))
        distill.main(config, train.Flags(fresh=True))
    finally:
        train.main(before, train.Flags(fresh=True))


@pytest.mark.usefixtures("learning_only")
def test_clips_without_labels_take_part(taught: Config, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A store of its own, whose labels nobody looks at; what is held out here stays unheard there, too."""
    write_folders(tmp_path / "archive" / "sounds", recordings=3)
    (tmp_path / "archive" / "tapes").mkdir()
    for number, file in enumerate(sorted((tmp_path / "archive" / "sounds").rglob("*.wav"))):
        file.rename(tmp_path / "archive" / "tapes" / f"tape{number}.wav")
    wild = dataclasses.replace(small_config(tmp_path / "root", tmp_path / "archive"), workers=1)
    wild = dataclasses.replace(wild, dataset=dataclasses.replace(wild.dataset, val_share=0.0))
    sort_data.main(wild)
    spec.main(wild)
    capsys.readouterr()
    result = distill.main(with_run(taught, "wild", unlabelled=(wild.dataset.root,), true_share=0.5))
    assert "clips without labels" in capsys.readouterr().out
    latest = find(result.trained.folder, "latest")
    assert latest
    assert {"tapes/tape0", "tapes/tape5"} <= learned_from(latest)
    assert "tapes" not in latest.classes
    lower = dataclasses.replace(taught, spectrogram=dataclasses.replace(taught.spectrogram, fmin=600.0))
    with pytest.raises(
        UserError, match=r"was made with other settings \(spectrogram\.fmin .*cannot be learned beside these"
    ):
        with_unlabelled(read_examples(taught), with_run(lower, "x", unlabelled=(wild.dataset.root,)))


def test_training_alone_asks_no_teachers(taught: Config) -> None:
    with pytest.raises(
        UserError, match=r"distillation\.teachers is set, and train\.py asks no teachers; run distill\.py"
    ):
        train.main(taught)
    with pytest.raises(UserError, match=r"testing\.models is set, but distill\.py tests its student"):
        distill.main(
            dataclasses.replace(taught, testing=dataclasses.replace(taught.testing, models=(taught.snapshots / "one",)))
        )
