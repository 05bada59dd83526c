"""A search tries, stops, resumes and leaves what it should; its trials are real trainings where that matters."""

import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import polars as pl
import pytest

import evaluate
import sort_data
import spec
import train
from config import Config, Tuning
from tests.conftest import REPOSITORY, small_config, write_folders
from utils import console
from utils.learning.epochs import TrainingFailed
from utils.learning.tuning import search, trials
from utils.learning.tuning.journal import Journal, Trial, read_journal, write_journal
from utils.learning.tuning.results import write_results
from utils.learning.tuning.search import Tuned, check_tuning_flags, search_folder, search_settings
from utils.learning.tuning.space import read_space
from utils.learning.tuning.study import choose_values
from utils.models.training_log import EpochRow, best_row, read_training_log
from utils.settings import load, to_toml

pytestmark = pytest.mark.usefixtures("undrawn")

pytest.importorskip("optuna")

RATE = "training.learning_rate"
SPACE = {RATE: {"low": 1e-3, "high": 0.05, "log": True}, "training.batch_size": [8, 16]}


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    folder = tmp_path_factory.mktemp("tuned")
    write_folders(folder / "archive", recordings=6)
    config = small_config(folder / "root", folder / "archive")
    config = replace(
        config,
        training=replace(config.training, epochs=2, monitor="loss"),
        tuning=Tuning(space=SPACE, random_trials=1, prune=False),
    )
    sort_data.main(config)
    spec.main(config)
    return config


@pytest.fixture(scope="module")
def tuned(config: Config) -> Tuned:
    result = evaluate.main(config, evaluate.Flags(tune=3))
    assert isinstance(result, Tuned)
    return result


def metrics_of(folder: Path) -> pl.DataFrame:
    """Return trials.csv without what depends on the machine."""
    return pl.read_csv(folder / "trials.csv").drop("seconds", "run")


def test_every_trial_is_a_run_with_its_value(config: Config, tuned: Tuned) -> None:
    table = pl.read_csv(tuned.folder / "trials.csv")
    assert table["state"].to_list() == ["complete"] * 3
    assert table["run"].to_list() == ["small-trial-001", "small-trial-002", "small-trial-003"]
    assert len(set(table[RATE])) == 3
    for row in table.iter_rows(named=True):
        best = best_row(read_training_log(config.snapshots / row["run"] / "log.csv", until=9))
        assert best
        assert (best.validation_loss, best.epoch) == (row["value"], row["epoch"])
        settings = load(config.snapshots / row["run"] / "settings.toml").training
        assert (settings.learning_rate, settings.batch_size) == (row[RATE], row["training.batch_size"])
    assert tuned.best.value == table["value"].min()
    assert tuned.complete
    assert (tuned.folder / "tuning.png").read_bytes().startswith(b"\x89PNG")


def test_the_best_experiment_trains_to_the_same_value(config: Config, tuned: Tuned) -> None:
    best = load(tuned.experiment)
    assert (best.run, best.tuning) == ("small-best", Tuning())
    train.main(best)
    row = best_row(read_training_log(best.run_folder / "log.csv", until=9))
    assert row
    assert row.validation_loss == tuned.best.value


def test_a_search_that_is_killed_in_its_second_trial_ends_the_same(
    config: Config, tuned: Tuned, tmp_path: Path
) -> None:
    config = replace(config, snapshots=tmp_path / "snapshots")
    (tmp_path / "x.toml").write_text(to_toml(config))
    script = [sys.executable, str(REPOSITORY / "evaluate.py"), str(tmp_path / "x.toml"), "--tune", "3"]
    started = subprocess.Popen(script, stdout=subprocess.DEVNULL, cwd=REPOSITORY)
    log = config.snapshots / "small-trial-002" / "log.csv"
    deadline = time.monotonic() + 300
    while not log.is_file() and started.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    started.send_signal(signal.SIGKILL)
    assert started.wait() == -signal.SIGKILL
    journal = read_journal(search_folder(config), read_space(config))
    assert journal
    assert [trial.state for trial in journal.trials] == ["complete", "running"]
    first = os.stat(config.snapshots / "small-trial-001" / "log.csv").st_mtime_ns
    search_settings(config, trials=3, fresh=False)
    assert metrics_of(search_folder(config)).equals(metrics_of(tuned.folder))
    assert os.stat(config.snapshots / "small-trial-001" / "log.csv").st_mtime_ns == first


def test_weights_of_a_blend_are_searched_on_val(config: Config, tuned: Tuned, monkeypatch: pytest.MonkeyPatch) -> None:
    models = tuple(config.snapshots / f"small-trial-00{index}" for index in (1, 2))
    blend = replace(
        config,
        run="blend",
        training=replace(config.training, monitor="mlrap"),
        testing=replace(config.testing, models=models, weights=(1.0, 1.0), engine="jax"),
        tuning=Tuning(space={"testing.weights.1": {"low": 0.1, "high": 5.0}, "testing.pooling": ["mean", "max"]}),
    )
    with pytest.raises(console.UserError, match=r"testing\.held_out = auto: set it to val"):
        search_settings(blend, trials=2, fresh=False)
    on_val = replace(blend, testing=replace(blend.testing, held_out="val"))
    with pytest.raises(console.UserError, match=r"tuning\.folds is set, but .* which need no training"):
        search_settings(replace(on_val, tuning=replace(blend.tuning, folds=True)), trials=2, fresh=False)
    monkeypatch.setattr(trials, "learn", None)
    found = search_settings(on_val, trials=2, fresh=False)
    best = load(found.experiment)
    assert (best.run, best.testing.models, best.testing.held_out) == ("blend", models, "auto")
    assert best.testing.weights == (1.0, found.best.values["testing.weights.1"])
    assert found.best.value is not None
    assert 0 < found.best.value <= 1
    assert not list(config.snapshots.glob("blend-trial*"))


Fake = Callable[[float], Sequence[float]]


def fake_learning(monkeypatch: pytest.MonkeyPatch, course: Fake) -> list[float]:
    """Let trainings have a course that depends on their learning rate alone; return the rates that were trained."""
    rates: list[float] = []

    def learn(_: object, config: Config, *, keep_training: Callable[[Sequence[EpochRow]], bool]) -> list[EpochRow]:
        rates.append(config.training.learning_rate)
        rows: list[EpochRow] = []
        for value in course(config.training.learning_rate):
            if not keep_training(rows):
                break
            monitored = (config.training.monitor, "clip", value)
            rows.append(EpochRow(len(rows) + 1, 0.1, 1.0, 0.5, value, 0.5, 0.5, 1.0, 1.0, None, None, None, *monitored))
        return rows

    monkeypatch.setattr(trials, "learn", learn)
    monkeypatch.setattr("utils.learning.tuning.results.draw_search", lambda *_, **__: None)
    monkeypatch.setattr("utils.learning.tuning.results.settings_importance", lambda *_: {})
    return rates


def with_tuning(config: Config, run: str, space: dict[str, Any], **settings: Any) -> Config:
    return replace(config, run=run, tuning=Tuning(space=space, **settings))


def test_hopeless_trials_are_stopped(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_learning(monkeypatch, lambda rate: [rate * 10] * 4)
    pruning = with_tuning(config, "pruned", {RATE: SPACE[RATE]}, random_trials=3, prune_after=2)
    found = search_settings(pruning, trials=12, fresh=False)
    states = {trial.state: trial for trial in found.journal.trials}
    assert {"complete", "pruned"} == set(states)
    assert len(states["pruned"].course) == 2
    assert all(trial.state == "complete" for trial in found.journal.trials[:3])
    worst = max(trial.value or 0 for trial in found.journal.trials if trial.state == "complete")
    assert found.best.value == min(trial.value or 9 for trial in found.journal.trials) <= worst
    kept = search_settings(
        with_tuning(config, "kept", {RATE: SPACE[RATE]}, random_trials=3, prune=False), trials=12, fresh=False
    )
    assert {trial.state for trial in kept.journal.trials} == {"complete"}


def test_later_trials_learn_from_earlier_ones(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_learning(monkeypatch, lambda rate: [abs(math.log(rate / 0.01))])
    values = {}
    for run, random_trials in (("tpe", 8), ("random", 99)):
        searched = with_tuning(config, run, {RATE: SPACE[RATE]}, random_trials=random_trials, prune=False)
        found = search_settings(searched, trials=24, fresh=False)
        values[run] = [trial.value or 0.0 for trial in found.journal.trials]
    assert values["tpe"][:8] == values["random"][:8]
    assert median(values["tpe"][8:]) < 0.8 * median(values["random"][8:])


def test_a_trial_that_fails_is_counted_and_not_repeated(
    config: Config, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    space = {RATE: [0.01, 0.02], "training.l2": [0.0, 0.1]}

    def course(rate: float) -> list[float]:
        if rate == 0.02:
            raise TrainingFailed("The loss became NaN")
        return [rate]

    rates = fake_learning(monkeypatch, course)
    failing = with_tuning(config, "failing", space, random_trials=9)
    found = search_settings(failing, trials=6, fresh=False)
    assert not found.complete
    assert "failed" in {trial.state for trial in found.journal.trials}
    assert found.best.values[RATE] == 0.01
    assert capsys.readouterr().err.count("The loss became NaN") >= 2  # when it happened, and in the end
    before, table = len(rates), (found.folder / "trials.csv").read_text()
    assert search_settings(failing, trials=6, fresh=False).journal == found.journal
    assert len(rates) == before
    assert (found.folder / "trials.csv").read_text() == table
    repeated = [trial for trial in found.journal.trials if trial.repeats is not None]
    assert repeated
    assert all(found.journal.trials[one.repeats or 0].value == one.value for one in repeated)


def test_if_all_trials_fail_the_first_reason_is_told(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    def course(_: float) -> list[float]:
        raise MemoryError

    fake_learning(monkeypatch, course)
    with pytest.raises(console.UserError, match=r"^all 2 trials failed; the first: memory does not suffice$"):
        search_settings(with_tuning(config, "hopeless", SPACE), trials=2, fresh=False)


def test_a_metric_that_is_not_finite_fails(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_learning(monkeypatch, lambda _: [math.nan])
    with pytest.raises(console.UserError, match=r"the only trial failed; .* training\.monitor = loss is not defined"):
        search_settings(with_tuning(config, "nan", SPACE), trials=1, fresh=False)


def test_another_error_names_the_trial(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    def course(_: float) -> list[float]:
        raise console.UserError("the store is damaged")

    fake_learning(monkeypatch, course)
    with pytest.raises(console.UserError, match=r"^trial 001: the store is damaged; finished trials are kept"):
        search_settings(with_tuning(config, "other", SPACE), trials=2, fresh=False)


def test_more_trials_can_be_added_but_not_other_settings(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    rates = fake_learning(monkeypatch, lambda rate: [rate])
    more = with_tuning(config, "more", SPACE)
    first = search_settings(more, trials=2, fresh=False).journal.trials
    assert search_settings(more, trials=4, fresh=False).journal.trials[:2] == first
    at_once = search_settings(replace(more, run="once"), trials=4, fresh=False)
    assert [trial.values for trial in at_once.journal.trials] == [
        trial.values for trial in search_settings(more, trials=4, fresh=False).journal.trials
    ]
    other = replace(more, tuning=replace(more.tuning, seed=2))
    with pytest.raises(console.UserError, match=r"other settings \(tuning\.seed was 1, is 2\).*--fresh"):
        search_settings(other, trials=4, fresh=False)
    (config.snapshots / "more-trial-001-mine").mkdir()
    search_settings(other, trials=1, fresh=True)
    assert sorted(path.name for path in config.snapshots.glob("more-*")) == [
        *("more-trial-001", "more-trial-001-mine", "more-tuning")
    ]
    assert len(rates) == 2 + 2 + 4 + 1


def test_fresh_removes_nothing_else(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_learning(monkeypatch, lambda rate: [rate])
    mixed = with_tuning(config, "mixed", SPACE)
    search_settings(mixed, trials=1, fresh=False)
    (config.snapshots / "mixed-trial-001" / "thesis.txt").write_text("dear")
    with pytest.raises(console.UserError, match=r"contains thesis\.txt, which does not belong to a trial"):
        search_settings(mixed, trials=1, fresh=True)


def test_folds_are_averaged_and_stopped_early(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    trained: list[str] = []
    folds = [replace(config, run=f"fold{index}") for index in range(3)]

    def plan(_: object, one: Config, *, seeds: Sequence[int]) -> list[Any]:
        assert not seeds
        runs = [replace(one, run=f"{one.run}-fold{index}", testing=one.testing) for index in range(len(folds))]
        return [trials_run(index, run) for index, run in enumerate(runs)]

    def tested(run: Any, *_: object) -> Any:
        value = run.config.training.learning_rate + run.fold / 100
        return type("Tested", (), {"metrics": {"argmax_macro_f1": value}, "training_seconds": 1.0})()

    monkeypatch.setattr(trials, "plan_runs", plan)
    monkeypatch.setattr(trials, "read_folds", lambda _: pl.DataFrame())
    monkeypatch.setattr(trials, "read_fold_examples", lambda _: type("Examples", (), {"fingerprint": "x"})())
    monkeypatch.setattr(trials, "train_fold", lambda run, fresh: trained.append(run.config.run))
    monkeypatch.setattr(trials, "evaluate_fold", tested)
    crossed = replace(
        with_tuning(config, "crossed", {RATE: SPACE[RATE]}, folds=True, random_trials=2, prune_after=1),
        training=replace(config.training, monitor="macro_f1"),
    )
    found = search_settings(crossed, trials=8, fresh=False)
    best = found.best
    assert found.journal.metric == "macro F1 of top predictions"
    assert best.value == pytest.approx(best.values[RATE] + 0.01)
    assert trained[:3] == ["crossed-trial-001-fold0", "crossed-trial-001-fold1", "crossed-trial-001-fold2"]
    assert [len(trial.course) for trial in found.journal.trials if trial.state == "pruned"]
    by_loss = replace(crossed, run="by_loss", training=config.training)
    with pytest.raises(console.UserError, match=r"training\.monitor = loss: a test does not compute it"):
        search_settings(by_loss, trials=1, fresh=False)


def trials_run(fold: int, config: Config) -> Any:
    return type("Run", (), {"fold": fold, "config": config})()


@pytest.mark.parametrize(
    ("section", "changes", "message"),
    [
        ("testing", {"held_out": "test"}, r"testing\.held_out = test: settings must not be chosen by .* test/"),
        ("training", {"all_data": True}, r"training\.all_data leaves no validation recordings"),
        ("training", {"validation_share": 0.0}, r"no validation recordings, .* training\.validation_share"),
        ("distillation", {"teachers": (Path("x"),)}, r"distillation\.teachers is set"),
    ],
)
def test_what_cannot_be_a_target_is_refused(
    config: Config, section: str, changes: dict[str, Any], message: str
) -> None:
    changed = replace(config, run="refused", **{section: replace(getattr(config, section), **changes)})
    with pytest.raises(console.UserError, match=message):
        search_settings(changed, trials=1, fresh=False)
    assert not list(config.snapshots.glob("refused-trial*"))


def test_flags_that_do_not_go_together() -> None:
    with pytest.raises(console.UserError, match=r"^--tune -1: should be"):
        check_tuning_flags(trials=-1, folds=False, compare=False)
    with pytest.raises(console.UserError, match=r"--folds goes without --tune; set tuning\.folds"):
        check_tuning_flags(trials=1, folds=True, compare=False)
    with pytest.raises(console.UserError, match="--compare goes without --tune"):
        evaluate.main(Config(), evaluate.Flags(tune=1, compare=(Path("one"), Path("other"))))
    check_tuning_flags(trials=0, folds=True, compare=True)


def test_trials_that_all_failed_are_drawn(config: Config, tmp_path: Path) -> None:
    failed = Trial(0, dict(TRIAL.values), "failed", reason="memory does not suffice")
    assert (
        write_results(Journal("x", "loss", True, (failed,)), read_space(config), config, tmp_path, testing=False)
        is None
    )
    assert (tmp_path / "tuning.png").read_bytes().startswith(b"\x89PNG")


def test_without_optuna_one_line_tells_how_to_install_it(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("utils.learning.tuning.study.find_spec", lambda _: None)
    with pytest.raises(console.UserError, match=r"^--tune: needs Optuna, .*pip install '\.\[tune\]'"):
        search_settings(config, trials=3, fresh=False)


TRIAL = Trial(0, {RATE: 0.01, "training.batch_size": 8}, "complete", 0.5, (0.5,), 1, "small-trial-001", seconds=2.0)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda text: text[: len(text) // 2], "damaged"),
        (lambda text: text.replace('"version": 1', '"version": 2'), "version 2, but this program reads version 1"),
        (lambda text: text.replace('"version": 1', '"version": "1"'), "line 1: version: should be a valid integer"),
        (lambda text: text.replace('"smaller": true', '"smaller": "no"'), "line 1: smaller: should be a valid boolean"),
        (lambda text: text.replace('"complete"', '"best"'), "line 2: state: should be 'running'"),
        (lambda text: text.replace('"complete"', '"running"'), r"line 2 has state running and value 0\.5"),
        (lambda text: text.replace('"complete"', '"failed"'), r"line 2 has state failed and value 0\.5"),
        (lambda text: text.replace(": 0.01", ": 7.0"), "line 2 is not a trial of this search"),
        (lambda text: text.replace('_size": 8', '_size": 8.0'), "line 2 is not a trial of this search"),
        (lambda text: text.replace('_size": 8', f'_size": {"9" * 400}'), "line 2 is not a trial of this search"),
        (lambda text: text.replace('"index": 0', '"index": 1'), "line 2 is not a trial of this search"),
        (lambda text: text.replace('"index": 0', '"index": 0.0'), "line 2: index: should be a valid integer"),
        (lambda text: text.replace('"index": 0', '"index": false'), "line 2: index: should be a valid integer"),
        (lambda text: text.replace('"value": 0.5', '"value": NaN'), "line 2 has a metric or time that is not finite"),
        (lambda text: text.replace('"value": 0.5', f'"value": {"9" * 400}'), "line 2 has a metric or time that is not"),
        (lambda text: text.replace('"value": 0.5', '"value": null'), "line 2 has state complete and value null"),
        (lambda text: text.replace('"value": 0.5', '"value": true'), "line 2: value: should be a valid number"),
        (lambda text: text.replace("[0.5]", "[NaN]"), "line 2 has a metric or time that is not finite"),
        (lambda text: text.replace("[0.5]", "3"), "line 2: course: should be a valid array"),
        (lambda text: text.replace('"epoch": 1', '"epoch": "x"'), "line 2: epoch: should be a valid integer"),
        (lambda text: text.replace('"epoch": 1', '"epoch": 99999'), "line 2 has no epoch 99999"),
        (lambda text: text.replace('"seconds": 2.0', '"seconds": "x"'), "line 2: seconds: should be a valid number"),
        (lambda text: text.replace('"seconds": 2.0', '"seconds": NaN'), "line 2 has a metric or time that is not"),
        (lambda text: text.replace('"small-trial-001"', "[1]"), "line 2: run: should be a valid string"),
        (
            lambda text: text.replace("small-trial-001", "../../etc"),
            "line 2 has a run that is not the name of a folder",
        ),
        (lambda text: text.replace('"reason": ""', '"reason": [1]'), "line 2: reason: should be a valid string"),
        (lambda text: text.replace('"repeats": null', '"repeats": "a"'), "line 2: repeats: should be a valid integer"),
        (lambda text: text.replace('"repeats": null', '"repeats": 99'), "line 2 does not have the values of the trial"),
        (lambda text: text.replace('"index"', '"place"'), "line 2: index: Field required"),
        (lambda text: f"{text}[]\n", "line 3: should be an object"),
        (lambda _: "[]\n", "line 1: should be an object"),
        (lambda _: "", "line 1: Invalid JSON"),
    ],
)
def test_a_damaged_journal_ends_in_one_line(
    config: Config, tmp_path: Path, damage: Callable[[str], str], message: str
) -> None:
    space = read_space(config)
    write_journal(tmp_path, Journal("x", "loss", True, (TRIAL,)))
    assert read_journal(tmp_path, space) == Journal("x", "loss", True, (TRIAL,))
    path = tmp_path / "journal.jsonl"
    path.write_text(damage(path.read_text()))
    with pytest.raises(console.UserError, match=message) as caught:
        read_journal(tmp_path, space)
    assert "\n" not in str(caught.value)
    assert "--fresh" in str(caught.value)


def test_only_the_last_trial_may_be_running(config: Config, tmp_path: Path) -> None:
    space, values = read_space(config), TRIAL.values
    write_journal(tmp_path, Journal("x", "loss", True, (TRIAL, Trial(1, values))))
    journal = read_journal(tmp_path, space)
    assert journal
    assert journal.trials[1].state == "running"
    write_journal(tmp_path, Journal("x", "loss", True, (Trial(0, values), replace(TRIAL, index=1))))
    with pytest.raises(console.UserError, match="line 2 is a running trial, but it is not the last"):
        read_journal(tmp_path, space)


def test_a_direction_that_was_edited_is_noticed(config: Config, tuned: Tuned, monkeypatch: pytest.MonkeyPatch) -> None:
    target = trials.target_of(config, "training")
    monkeypatch.setattr(search, "target_of", lambda *_: replace(target, smaller=False))
    with pytest.raises(console.UserError, match=r"journal\.jsonl: is damaged \(its metric is not .* --fresh"):
        search_settings(config, trials=3, fresh=False)


def test_clips_that_changed_are_noticed(config: Config, tuned: Tuned, monkeypatch: pytest.MonkeyPatch) -> None:
    target = trials.target_of(config, "training")
    monkeypatch.setattr(search, "target_of", lambda *_: replace(target, data="other"))
    with pytest.raises(console.UserError, match="the clips, models or recordings changed"):
        search_settings(config, trials=3, fresh=False)


def test_values_depend_on_seed_and_trial_alone(config: Config) -> None:
    space, journal = read_space(config), Journal("x", "loss", True, (TRIAL,))
    first = choose_values(journal, space, config.tuning)
    assert first == choose_values(journal, space, config.tuning)
    assert first != choose_values(journal, space, replace(config.tuning, seed=2))
    running = replace(journal, trials=(TRIAL, Trial(1, dict(TRIAL.values))))
    assert choose_values(running, space, config.tuning) == first
    json.dumps(first)  # plain values
