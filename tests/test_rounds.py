"""Noisy students in rounds: no model labels what it learned, and the best round is kept."""

import dataclasses
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pytest

import distill
import sort_data
import spec
import train
from config import Config, Distillation, Model, PseudoLabels
from tests.conftest import REPOSITORY, small_config, write_folders
from tests.test_distill import same
from utils.console import UserError
from utils.learning.pseudo_labels import part_of
from utils.learning.rounds import (
    FinishedRound,
    best_round,
    is_worse,
    round_config,
    teachers_of_round,
)
from utils.models.monitor import Monitored
from utils.models.snapshots import Snapshot, find_snapshot, recordings_learned, recordings_used
from utils.settings import to_toml

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


def snapshot_of(config: Config, run: str) -> Snapshot:
    found = find_snapshot(config.snapshots / run, "latest")
    assert found
    return found


def test_each_round_learns_what_its_teachers_did_not(rounds_config: Config, capsys: pytest.CaptureFixture[str]) -> None:
    result = distill.main(rounds_config)
    told = capsys.readouterr().out
    rounds = pl.read_csv(rounds_config.run_folder / "rounds.csv")
    assert rounds["run"].to_list()[:2] == ["noisy-round-0", "noisy-round-1"]
    assert rounds["kept"].sum() == 1
    kept = rounds.filter("kept").row(0, named=True)
    assert kept["value"] == rounds["value"].max()
    assert same(rounds_config.run_folder, rounds_config.snapshots / kept["run"])
    assert "student without teachers" in [row.name for row in result.networks]
    assert f"round {len(rounds) - 1}" in told
    tapes = {f"tapes/tape{number}" for number in range(8)}
    assert pseudo_labelled(rounds_config, 1) == {name for name in tapes if part_of(name, parts=2) == 0}
    assert not recordings_learned(snapshot_of(rounds_config, "noisy-round-0")) & tapes
    assert recordings_learned(snapshot_of(rounds_config, "noisy-round-1")) & tapes == pseudo_labelled(rounds_config, 1)
    if len(rounds) > 2:
        second = snapshot_of(rounds_config, "noisy-round-2")
        assert recordings_learned(second) & tapes == tapes - pseudo_labelled(rounds_config, 1)
        assert recordings_used(second) >= tapes  # by its teacher, so nothing tests it on them


@pytest.mark.usefixtures("learning_only")
def test_recordings_that_a_teacher_learned_get_no_pseudo_labels(
    rounds_config: Config, capsys: pytest.CaptureFixture[str]
) -> None:
    """A teacher that learned a tape of the first part, and one that learned all of them."""
    first = sorted(name for name in (f"tapes/tape{number}" for number in range(8)) if part_of(name, parts=2) == 0)
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
    assert best_round(worse).number == 1
    assert best_round([finished(0, 0.5), finished(1, 0.5)]).number == 0
    assert best_round([finished(0, 0.5, 2.0), finished(1, 0.5, 1.0)]).number == 1
    unknown = [finished(0, None), finished(1, None)]
    assert best_round(unknown).number == 1
    assert not is_worse(unknown)


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
