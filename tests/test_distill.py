"""A student of teachers is trained, tested, compared and resumed, and refused if its teachers changed."""

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
from config import Config, Distillation, Model
from tests.conftest import REPOSITORY, small_config, write_folders
from utils.console import UserError
from utils.learning.examples import read_examples
from utils.learning.unlabelled import with_unlabelled
from utils.models.layer_table import layers, totals
from utils.models.saved_networks import load_network
from utils.models.snapshots import find_snapshot, recordings_used
from utils.settings import to_toml

pytestmark = pytest.mark.usefixtures("undrawn")

TEACHERS = {
    "one": Model(name="Baseline", filters=(6, 8)),
    "other": Model(name="Baseline", filters=(4, 8), nonlinearity="elu"),
}


@pytest.fixture(scope="module")
def student_config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    """Train two teachers, and return the settings of a student."""
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
    settings = {"compare_without_teachers": False, **distillation}
    changed = dataclasses.replace(config.distillation, **settings)  # type: ignore[arg-type]
    return dataclasses.replace(config, run=run, distillation=changed)


def weights(run: Path) -> list[np.ndarray]:
    latest = find_snapshot(run, "latest")
    assert latest
    return [np.asarray(leaf) for leaf in jax.tree.leaves(load_network(latest)[1])]


def same(one: Path, other: Path) -> bool:
    return all(np.array_equal(left, right) for left, right in zip(weights(one), weights(other), strict=True))


@pytest.fixture
def learning_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the tests and the comparison after training, which one test checks and which take the longest."""
    monkeypatch.setattr(distill, "compare_networks", lambda *_: (None, ()))


def test_the_table_at_the_end(student_config: Config, capsys: pytest.CaptureFixture[str]) -> None:
    result = distill.main(student_config)
    told = capsys.readouterr().out
    assert [row.name for row in result.networks][2:] == [
        "ensemble of 2 teachers",
        "student",
        "student without teachers",
    ]
    one, other, both, student, without_teachers = result.networks
    for row, name in ((one, "one"), (other, "other")):
        assert row.name == name
        snapshot = find_snapshot(student_config.snapshots / name, "best")
        assert snapshot
        assert (row.parameters, row.flops) == totals(
            layers(TEACHERS[name], classes=len(snapshot.classes), shape=(16, 32))
        )
        assert row.bytes == sum(file.stat().st_size for file in (snapshot.folder / "net").rglob("*") if file.is_file())
    assert one.mlrap == pytest.approx(
        test.main(dataclasses.replace(student_config, run="one")).headline.mlrap, abs=1e-9
    )
    assert (both.parameters, both.flops, both.bytes) == tuple(
        getattr(one, what) + getattr(other, what) for what in ("parameters", "flops", "bytes")
    )
    assert both.clips_per_second < min(one.clips_per_second, other.clips_per_second)
    assert student.mlrap == pytest.approx(result.tested.headline.mlrap, abs=1e-9)
    assert student.difference is None
    assert student.mlrap is not None
    assert without_teachers.mlrap is not None
    assert without_teachers.difference == pytest.approx(without_teachers.mlrap - student.mlrap, abs=1e-9)
    assert without_teachers.parameters == student.parameters < both.parameters
    assert not same(student_config.run_folder, student_config.snapshots / "student-without-teachers")
    kept = json.loads((student_config.run_folder / "test" / "distillation.json").read_text())
    assert [row["mlrap"] for row in kept["networks"]] == [row.mlrap for row in result.networks]
    page = (student_config.run_folder / "test" / "report.html").read_text()
    assert "Teachers and student" in page
    for text in (
        "ensemble of 2 teachers",
        "student without teachers",
        f"{both.parameters:,}",
        f"{student.mlrap:.3f} (",
    ):
        assert text in page
        assert text in told
    test.main(dataclasses.replace(student_config, testing=dataclasses.replace(student_config.testing, pooling="mean")))
    assert "Teachers and student" not in (student_config.run_folder / "test" / "report.html").read_text()


@pytest.mark.usefixtures("learning_only")
def test_recordings_of_teachers_are_not_tested_on(student_config: Config) -> None:
    distill.main(with_run(student_config, "heir"))
    snapshots = [find_snapshot(student_config.snapshots / name, "latest") for name in ("heir", *TEACHERS)]
    used = [recordings_used(snapshot) for snapshot in snapshots if snapshot]
    assert used[0] >= used[1] | used[2]
    other = dataclasses.replace(student_config, dataset=dataclasses.replace(student_config.dataset, seed=5))
    sort_data.main(other)
    try:
        with pytest.raises(UserError, match="recordings that are now held out"):
            distill.main(with_run(other, "cheat"))
    finally:
        sort_data.main(student_config)
        spec.main(student_config)


@pytest.mark.parametrize("augmented", [True, False])
@pytest.mark.usefixtures("learning_only")
def test_a_killed_student_ends_as_an_undisturbed_one(student_config: Config, tmp_path: Path, augmented: bool) -> None:
    """Also if the teachers' predictions are cached; the settings come from a file, as users write them."""
    count = 2 if augmented else 0
    config = dataclasses.replace(
        with_run(student_config, f"killed-{count}"),
        augmentation=dataclasses.replace(student_config.augmentation, count=count),
        training=dataclasses.replace(student_config.training, epochs=8, early_stopping=0),
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
    assert len(list((config.dataset.root / "spec").glob("predictions_*.npy"))) == (0 if augmented else 1)


@pytest.mark.usefixtures("learning_only")
def test_another_teacher_is_refused(student_config: Config) -> None:
    config = with_run(student_config, "loyal")
    distill.main(config)
    before = dataclasses.replace(student_config, run="one", model=TEACHERS["one"], distillation=Distillation())
    train.main(
        dataclasses.replace(before, training=dataclasses.replace(student_config.training, seed=9)),
        train.Flags(fresh=True),
    )
    try:
        with pytest.raises(UserError, match=r"snapshots/one/epoch_\d+: has changed since .*loyal was started"):
            distill.main(config)
        with pytest.raises(UserError, match=r"distillation\.temperature was 1\.0, is 3\.0"):
            distill.main(with_run(student_config, "loyal", temperature=3.0))
        distill.main(config, train.Flags(fresh=True))
    finally:
        train.main(before, train.Flags(fresh=True))


@pytest.mark.usefixtures("learning_only")
def test_unlabelled_clips_are_learned_from(
    student_config: Config, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Another store, whose labels are ignored; recordings held out here are held out there too."""
    write_folders(tmp_path / "archive" / "sounds", recordings=3)
    (tmp_path / "archive" / "tapes").mkdir()
    for number, file in enumerate(sorted((tmp_path / "archive" / "sounds").rglob("*.wav"))):
        file.rename(tmp_path / "archive" / "tapes" / f"tape{number}.wav")
    wild = dataclasses.replace(small_config(tmp_path / "root", tmp_path / "archive"), workers=1)
    wild = dataclasses.replace(wild, dataset=dataclasses.replace(wild.dataset, val_share=0.0))
    sort_data.main(wild)
    spec.main(wild)
    capsys.readouterr()
    result = distill.main(with_run(student_config, "wild", unlabelled=(wild.dataset.root,), true_share=0.5))
    assert "unlabelled clips" in capsys.readouterr().out
    latest = find_snapshot(result.trained.folder, "latest")
    assert latest
    assert {"tapes/tape0", "tapes/tape5"} <= recordings_used(latest)
    assert "tapes" not in latest.classes
    lower = dataclasses.replace(student_config, spectrogram=dataclasses.replace(student_config.spectrogram, fmin=600.0))
    with pytest.raises(
        UserError, match=r"was made with other settings \(spectrogram\.fmin .*cannot be used for this training"
    ):
        with_unlabelled(read_examples(student_config), with_run(lower, "x", unlabelled=(wild.dataset.root,)))


def test_train_refuses_teachers(student_config: Config) -> None:
    with pytest.raises(
        UserError, match=r"distillation\.teachers is set, but train\.py does not use teachers; run distill\.py"
    ):
        train.main(student_config)
    with pytest.raises(UserError, match=r"testing\.models is set, but distill\.py tests the student"):
        distill.main(
            dataclasses.replace(
                student_config,
                testing=dataclasses.replace(student_config.testing, models=(student_config.snapshots / "one",)),
            )
        )
