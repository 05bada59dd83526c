"""Metrics of validation are those of scikit-learn; the best epoch follows the monitored one, in resumed runs, too."""

import csv
import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from sklearn.metrics import average_precision_score, f1_score, label_ranking_average_precision_score

import sort_data
import spec
import train
from config import Config
from tests.conftest import RATE, chirp, extracted, small_config
from utils import console
from utils.learning import curves, runs, validation
from utils.learning.devices import device_mesh
from utils.learning.examples import Examples, read_examples
from utils.learning.validation import Validation, make_validation, monitored_unit
from utils.models.monitor import Monitored
from utils.models.networks import build_network
from utils.models.snapshots import Snapshot, find_snapshot, snapshots_of
from utils.models.training_log import EpochRow, best_row, read_training_log, write_training_log
from utils.scoring.inference.onnx_sessions import ClipOutputs
from utils.scoring.inference.pooling import median_filtered
from utils.scoring.metrics.detection_metrics import count_top_classes, macro, weighted

pytestmark = pytest.mark.usefixtures("undrawn")

METRICS = ("mlrap", "macro_f1", "weighted_f1", "cmap", "accuracy", "loss")
NEW_COLUMNS = (
    *("validation_macro_f1", "validation_weighted_f1", "validation_cmap"),
    *("monitor", "monitor_unit", "monitored"),
)
VALUES = ["loss", "validation_loss", "validation_accuracy", "validation_mlrap", *NEW_COLUMNS]


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    return extracted(tmp_path_factory.mktemp("validation"), recordings=8)


@pytest.fixture(scope="module")
def long_config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    """Prepare long recordings, in all of which both species were annotated."""
    folder = tmp_path_factory.mktemp("long")
    (folder / "archive").mkdir()
    table = ["file,start,end,species"]
    for tape in range(6):
        sound = np.random.default_rng(tape).normal(0, 0.003, 14 * RATE).astype(np.float32)
        for index, (species, pitch) in enumerate({"Altus clarus": 3000.0, "Bassus gravis": 1000.0}.items()):
            start = 1 + 6 * index + tape // 2
            sound[start * RATE : (start + 3) * RATE] += chirp(pitch, seconds=3.0, seed=10 * tape + index)
            table.append(f"tape{tape}.wav,{start},{start + 3},{species}")
        soundfile.write(folder / "archive" / f"tape{tape}.wav", sound, RATE)
    (folder / "archive" / "annotations.csv").write_text("\n".join(table))
    config = small_config(folder / "root", folder / "archive")
    sort_data.main(config)
    spec.main(config)
    return config


def with_run(config: Config, run: str, **training: object) -> Config:
    return dataclasses.replace(config, run=run, training=dataclasses.replace(config.training, **training))


def validate_logits(
    logits: list[np.ndarray], examples: Examples, config: Config, monkeypatch: pytest.MonkeyPatch
) -> list[Validation]:
    """Validate a network that predicts these logits of all clips, one after the other."""
    graph, network = build_network(config.model, classes=len(examples.classes), shape=config.spectrogram.shape, seed=1)
    predict_these(logits, monkeypatch)
    unit = monitored_unit(examples, config.training)
    validate = make_validation(graph, examples, config.training, device_mesh(8), unit=unit, resident=False)
    return [validate(network) for _ in logits]


def predict_these(logits: list[np.ndarray], monkeypatch: pytest.MonkeyPatch) -> None:
    coming = iter(logits)

    def predictor(*_: object, **__: object) -> Callable[[object, object], ClipOutputs]:
        return lambda network, pixels: ClipOutputs(next(coming))

    monkeypatch.setattr(validation, "predictor", predictor)


def random_examples(examples: Examples, *, clips: int, classes: int, seed: int) -> Examples:
    """Return examples with made-up validation clips, of recordings with one to five clips each, two without a class."""
    generator = np.random.default_rng(seed)
    recording = np.sort(generator.integers(0, clips // 3, clips))
    recording = np.unique(recording, return_inverse=True)[1].astype(np.int64)
    recordings = int(recording.max()) + 1
    primary_of = generator.integers(0, classes - 1, recordings)  # the last class is present in no clip
    primary, background = primary_of[recording].astype(np.int32), generator.integers(-1, classes - 1, (clips, 2))
    truth = np.zeros((recordings, classes), bool)
    truth[np.arange(recordings), primary_of] = True
    for clip, labels in enumerate(background):
        truth[recording[clip], labels[labels >= 0]] = True
    primary_of[:2] = -1
    return dataclasses.replace(
        examples,
        classes=tuple(f"s{index:02d}" for index in range(classes)),
        validation_rows=np.resize(examples.validation_rows, clips),
        validation_labels=type(examples.labels)(primary, background.astype(np.int32), np.ones(clips, np.float32)),
        validation_recording=recording,
        validation_truth=truth,
        validation_primary=primary_of.astype(np.int64),
    )


@pytest.mark.parametrize("unit", ["recording", "clip"])
@pytest.mark.parametrize("monitor", METRICS)
def test_metrics_are_those_of_scikit_learn(
    config: Config, monitor: str, unit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = with_run(config, "x", monitor=monitor, monitor_unit=unit)
    examples = random_examples(read_examples(config), clips=60, classes=7, seed=3)
    logits = np.random.default_rng(4).normal(0, 2, (60, 7)).astype(np.float32)
    (found,) = validate_logits([logits], examples, settings, monkeypatch)
    scores = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    recordings = [
        np.flatnonzero(examples.validation_recording == index) for index in range(len(examples.validation_truth))
    ]
    pooled = np.stack([median_filtered(scores[clips]) for clips in recordings])
    by_clip = unit == "clip" or monitor in ("accuracy", "loss")
    truth, primary, rows = examples.validation_truth, examples.validation_primary, pooled
    if by_clip:
        primary, rows = examples.validation_labels.primary, scores
        truth = np.zeros((60, 7), bool)
        for clip, labels in enumerate(np.column_stack([primary, examples.validation_labels.background])):
            truth[clip, labels[labels >= 0]] = True
    known, top = primary >= 0, rows.argmax(axis=1)
    expected = {
        "mlrap": label_ranking_average_precision_score(examples.validation_truth, pooled),
        "macro_f1": f1_score(primary[known], top[known], average="macro"),
        "weighted_f1": f1_score(primary[known], top[known], average="weighted"),
        "cmap": average_precision_score(truth[:, truth.any(axis=0)], rows[:, truth.any(axis=0)], average="macro"),
        "accuracy": np.mean(logits.argmax(axis=1) == examples.validation_labels.primary),
        "loss": -np.log(scores[np.arange(60), examples.validation_labels.primary]).mean(),
    }
    for name, value in expected.items():
        assert getattr(found, name) == pytest.approx(value, abs=1e-6), name
    if monitor == "mlrap" and by_clip:
        expected["mlrap"] = label_ranking_average_precision_score(truth, scores)
        assert expected["mlrap"] != pytest.approx(found.mlrap, abs=1e-3)
    assert found.monitored.value == pytest.approx(expected[monitor], abs=1e-6)
    assert (found.monitored.metric, found.monitored.unit) == (monitor, "clip" if by_clip else "recording")


def test_counts_by_hand() -> None:
    counts = count_top_classes(np.array([0, 0, 1, 2, 1]), np.array([0, 1, 1, -1, 0]), classes=4)
    assert counts.hits.tolist() == [1, 1, 0, 0]
    assert counts.false_detections.tolist() == [1, 1, 0, 0]
    assert counts.misses.tolist() == [1, 1, 0, 0]
    assert macro(counts).f1 == weighted(counts).f1 == 0.5
    nothing = count_top_classes(np.array([0]), np.array([-1]), classes=2)
    assert macro(nothing).f1 is weighted(nothing).f1 is None


def test_the_unit(config: Config, capsys: pytest.CaptureFixture[str]) -> None:
    examples = read_examples(config)
    assert (examples.validation_primary >= 0).all()

    def unit(primary: list[int], **training: object) -> str:
        some = dataclasses.replace(
            examples, validation_primary=np.array(primary, np.int64), validation_truth=np.ones((len(primary), 3), bool)
        )
        return monitored_unit(some, dataclasses.replace(config.training, **training))

    assert unit([0, 1, 1]) == unit([0, -1]) == unit([]) == unit([-1], monitor_unit="recording") == "recording"
    assert unit([-1, -1]) == unit([0, -1, -1]) == unit([0], monitor_unit="clip") == unit([0], monitor="loss") == "clip"
    assert unit([0], monitor="accuracy", monitor_unit="recording") == "clip"
    assert unit([0, -1, -1], monitor="macro_f1", monitor_unit="recording") == "recording"
    assert not capsys.readouterr().err
    assert unit([-1, -1], monitor="macro_f1", monitor_unit="recording") == "clip"
    assert "training.monitor = macro_f1 needs recordings with a primary label" in capsys.readouterr().err


def logits_that_differ(primary: np.ndarray) -> list[np.ndarray]:
    """Return logits of two networks: one ranks the first class always first; one puts three of five clips right.

    Where the second is wrong, the correct class is the last of three. So the first has the higher MLRAP (3/4 against
    11/15 if both classes have as many clips), and the second the higher F1 (1/3 against 3/5).
    """
    first = np.tile(np.array([3.0, 2.0, 1.0], np.float32), (len(primary), 1))
    second = np.zeros((len(primary), 3), np.float32)
    for clip, label in enumerate(primary.tolist()):
        wrong = clip % 5 in (1, 3)
        second[clip, [label, 1 - label, 2]] = (1, 3, 2) if wrong else (3, 1, 2)
    return [first, second]


@pytest.mark.parametrize(("monitor", "best"), [("mlrap", 1), ("macro_f1", 2)])
def test_the_best_epoch_is_that_of_the_monitored_metric(
    config: Config, monitor: str, best: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = with_run(
        config, f"by_{monitor}", monitor=monitor, monitor_unit="clip", epochs=9, early_stopping=2, keep_snapshots=1
    )
    primary = read_examples(settings).validation_labels.primary
    assert np.unique(primary).tolist() == [0, 1]
    first, second = logits_that_differ(primary)
    predict_these([first, second, *[np.zeros_like(first)] * 9], monkeypatch)
    assert train.main(settings).epochs == best + 2  # stops early by the same metric
    found = find_snapshot(settings.run_folder, "best")
    assert found
    rows = read_training_log(settings.run_folder / "log.csv", until=99)
    assert best_row(rows) == rows[best - 1]
    assert (found.epoch, found.chosen_by) == (best, rows[best - 1].chosen_by)
    assert [snapshot.epoch for snapshot in snapshots_of(settings.run_folder)] == [best, best + 2]
    told, name = capsys.readouterr().out, {"mlrap": "MLRAP", "macro_f1": "macro F1"}[monitor]
    assert f"the epoch with the best validation {name} (by clip) is kept" in told
    assert f"epoch {best}, validation {name} {found.chosen_by.value:.3f} (by clip)" in told
    assert f"stopped early: no better validation {name} (by clip) for 2 epochs" in told
    state = json.loads((found.folder / "snapshot.json").read_text())
    assert state["mlrap"] == rows[best - 1].validation_mlrap
    assert state["monitored"] == {"metric": monitor, "unit": "clip", "value": found.chosen_by.value}


def test_of_losses_the_lowest_is_best() -> None:
    def row(epoch: int, value: float | None, metric: str) -> EpochRow:
        return EpochRow(
            epoch, 1.0, 1.0, 1.0, 1.0, 1.0, 0.5, 1.0, 1.0, monitor=metric, monitor_unit="clip", monitored=value
        )

    values = [2.0, 1.5, float("nan"), 1.5, 3.0, None]
    for metric, best in {"loss": 2, "accuracy": 5}.items():
        found = best_row([row(epoch, value, metric) for epoch, value in enumerate(values, 1)])
        assert found
        assert found.epoch == best


def forget(folder: Path) -> None:
    """Write the files of a run as an earlier version would have written them."""
    with (folder / "log.csv").open(newline="") as stream:
        rows = [{key: value for key, value in row.items() if key not in NEW_COLUMNS} for row in csv.DictReader(stream)]
    with (folder / "log.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    for snapshot in snapshots_of(folder):
        path = snapshot.folder / "snapshot.json"
        state = json.loads(path.read_text())
        del state["monitored"]
        path.write_text(json.dumps(state))


def values_of(rows: list[EpochRow]) -> list[list[object]]:
    return [[getattr(row, name) for name in VALUES] for row in rows]


def stop_in_epoch(epoch: int, settings: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """Train until the log of this epoch would be written."""
    calls: list[int] = []

    def stop(path: Path, rows: list[EpochRow]) -> None:
        calls.append(1)
        if len(calls) == epoch:
            raise KeyboardInterrupt
        write_training_log(path, rows)

    with monkeypatch.context() as patch:
        patch.setattr(runs, "write_training_log", stop)
        with pytest.raises(KeyboardInterrupt):
            train.main(settings)


@pytest.mark.parametrize("monitor", ["mlrap", "cmap"])
def test_a_stopped_run_has_the_same_metrics_and_best_epoch(
    config: Config, monitor: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, stopped = (
        with_run(config, f"{name}_{monitor}", monitor=monitor, epochs=3, early_stopping=0)
        for name in ("whole", "stopped")
    )
    train.main(whole)
    stop_in_epoch(2, stopped, monkeypatch)
    if monitor == "mlrap":
        forget(stopped.run_folder)
    train.main(stopped)
    logs = [read_training_log(run.run_folder / "log.csv", until=99) for run in (whole, stopped)]
    assert {(row.monitor, row.monitor_unit) for row in logs[0]} == {(monitor, "recording")}
    if monitor == "mlrap":
        highest = max(logs[0], key=lambda row: (row.validation_mlrap or 0.0, -(row.validation_loss or 0.0)))
        assert best_row(logs[0]) == highest
        # what an earlier version did not compute stays empty
        assert [row.validation_cmap is None for row in logs[1]] == [True, False, False]
        assert [row.chosen_by for row in logs[0]] == [row.chosen_by for row in logs[1]]
    else:
        assert values_of(logs[0]) == values_of(logs[1])
    best = [find_snapshot(run.run_folder, "best") for run in (whole, stopped)]
    assert best[0]
    assert best[1]
    assert (best[0].epoch, best[0].chosen_by) == (best[1].epoch, best[1].chosen_by)
    other = "macro_f1" if monitor == "mlrap" else "mlrap"
    message = rf'started with other settings \(training\.monitor was "{monitor}", is "{other}"\); choose another --run'
    with pytest.raises(console.UserError, match=message):
        train.main(with_run(stopped, stopped.run, monitor=other))


def test_long_recordings_are_validated_by_clip(long_config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    examples = read_examples(long_config)
    names = examples.store.clips["recording"]
    learned, used = set(names[examples.rows]), set(names[examples.validation_rows])
    assert len(used) == 1
    assert not learned & used
    assert (examples.validation_primary == -1).all()
    assert set(examples.labels.primary) == set(examples.validation_labels.primary) == {0, 1}
    # MLRAP over recordings is 1 whatever is predicted, because both species are in all of them
    right = 4 * np.eye(2, dtype=np.float32)[examples.validation_labels.primary]
    settings = with_run(long_config, "x", monitor="macro_f1")
    worse, better = validate_logits([-right, right], examples, settings, monkeypatch)
    assert worse.mlrap == better.mlrap == 1
    assert (worse.monitored.value, better.monitored) == (0, Monitored("macro_f1", "clip", 1.0))


def test_a_run_keeps_the_unit_that_it_started_with(long_config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """An earlier version wrote no unit, and its unit was the recording."""
    settings, log = with_run(long_config, "kept", epochs=2), long_config.snapshots / "kept" / "log.csv"
    stop_in_epoch(2, settings, monkeypatch)
    (row,) = read_training_log(log, until=99)
    assert (row.validation_mlrap, row.monitor, row.monitor_unit) == (1, "mlrap", "clip")
    assert row.monitored
    assert row.monitored < 1
    forget(settings.run_folder)
    train.main(settings)
    assert [row.chosen_by for row in read_training_log(log, until=99)] == [Monitored("mlrap", "recording", 1.0)] * 2


def test_curves_show_the_monitored_metric(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    labels: list[tuple[str, str]] = []
    monkeypatch.setattr(
        curves,
        "write_figure",
        lambda _, figure: labels.extend(
            (axes.get_title(), line.get_label()) for axes in figure.axes for line in axes.lines
        ),
    )

    def shown(metric: str, unit: str) -> list[tuple[str, str]]:
        rows = [
            EpochRow(
                *(epoch, 1.0, 1.0, 1.0, 0.5, 0.5, 0.5, 1.0, 1.0),
                monitor=metric,
                monitor_unit=unit,  # type: ignore[arg-type]
                monitored=0.25,
            )
            for epoch in (1, 2)
        ]
        labels.clear()
        curves.plot_curves(tmp_path / "x.png", rows, title="x")
        return [*labels]

    assert ("scores", "MLRAP, validation") in shown("mlrap", "recording")
    assert ("scores", "macro F1 (by clip), validation") in shown("macro_f1", "clip")
    assert ("scores", "best macro F1 (by clip): 0.250 in epoch 1") in labels
    assert ("scores", "MLRAP, validation") not in labels
    assert ("loss", "best loss: 0.250 in epoch 1") in shown("loss", "clip")
    assert ("scores", "MLRAP, validation") in labels
    curves.plot_curves(tmp_path / "x.png", [], title="x")


def test_a_metric_says_what_it_is_a_mean_over() -> None:
    assert Monitored("macro_f1", "clip", 0.6123).text == "macro F1 0.612 (by clip)"
    assert Monitored("cmap", "recording", 0.5).text == "cmAP 0.500 (by recording)"
    assert Monitored("loss", "clip", 0.5).text == "loss 0.500"
    assert Monitored().text == "MLRAP none"
    with pytest.raises(ValueError, match="f2 by clip is not a metric that training monitors"):
        Monitored("f2", "clip")


def test_snapshots_of_earlier_versions_are_ranked_by_mlrap(config: Config, tmp_path: Path) -> None:
    old = Snapshot(tmp_path, config, ("a", "b"), 1, 0.4, "x")
    assert old.chosen_by == Monitored("mlrap", "recording", 0.4)
