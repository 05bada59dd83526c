"""Metrics of annotated soundscapes that can be worked out by hand, and annotations in the formats that people keep."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from sklearn.metrics import average_precision_score, f1_score

from config import Config, Dataset
from tests.conftest import chirp
from tests.scoring.layouts import CLASSES, scores_of, unreadable
from utils.recordings.recording import Event
from utils.scoring.evaluation.soundscape_truth import Truth, read_truth
from utils.scoring.evaluation.soundscapes import (
    SoundscapeEvaluator,
    print_soundscape_metrics,
    write_soundscape_metrics,
    write_soundscape_thresholds,
)
from utils.scoring.metrics.detection_rule import DetectionRule
from utils.scoring.metrics.thresholds import read_thresholds


def test_metrics_by_hand(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    truth = Truth(
        {
            "a.wav": (Event(0.0, 5.0, "Altus clarus"), Event(5.0, 9.0, "Bassus gravis"), Event(1.0, 2.0, "Ignotus")),
            "broken.wav": (),
        },
        doubtful=2,
    )
    results = [
        # correct and one false detection; missed; correctly none
        scores_of("a.wav", [[0.9, 0.6, 0.1], [0.3, 0.2, 0.1], [0.4, 0.4, 0.4]], seconds=15.0),
        scores_of("b.wav", [[1.0, 1.0, 1.0]], seconds=5.0),  # not annotated
        unreadable("broken.wav"),
    ]
    evaluator = SoundscapeEvaluator(truth, CLASSES, DetectionRule(0.5))
    assert [one.file for one in evaluator.through(results)] == ["a.wav", "b.wav", "broken.wav"]
    evaluation = evaluator.finish()
    assert evaluation is not None
    found = evaluation.metrics
    assert (found.recordings, found.intervals, found.with_birds, found.species) == (1, 3, 2, 2)
    # the species that the model does not know is one more miss in the first interval
    assert found.row_f1 == pytest.approx((2 / 4 + 0 + 1) / 3)
    assert found.micro_f1 == pytest.approx(2 * 1 / (2 * 1 + 1 + 2))
    assert found.value("cmap") == pytest.approx((1 + 1 / 3) / 2)
    assert found.value("mlrap") == pytest.approx((1 + 1 / 2) / 2)
    print_soundscape_metrics(found)
    printed = " ".join(capsys.readouterr().err.split())
    assert "not know 1 annotated species (Ignotus); their one label in intervals counts as missed" in printed
    assert found.thresholds == "a threshold of 0.5"
    write_soundscape_metrics(tmp_path / "scores.json", found)
    assert json.loads((tmp_path / "scores.json").read_text())["row_f1"] == pytest.approx(0.5)


def test_metrics_are_scikit_learns() -> None:
    rng = np.random.default_rng(5)
    rows = rng.uniform(0, 1, (60, 3)).round(2)
    truth = rng.uniform(0, 1, rows.shape) < 0.3
    events = tuple(Event(5.0 * row, 5.0 * row + 5.0, CLASSES[index]) for row, index in np.argwhere(truth).tolist())
    evaluator = SoundscapeEvaluator(Truth({"a.wav": events}), CLASSES, DetectionRule(np.array([0.5, 0.7, np.inf])))
    evaluator.add(scores_of("a.wav", rows.tolist(), seconds=300.0))
    evaluation = evaluator.finish()
    assert evaluation is not None
    found = evaluation.metrics
    assert found.value("cmap") == pytest.approx(
        average_precision_score(truth, rows.astype(np.float32), average="macro")
    )
    detected = rows >= np.array([0.5, 0.7, np.inf])
    both = [np.column_stack([part, ~part.any(axis=1)]) for part in (truth, detected)]  # nocall as one more class
    assert found.row_f1 == pytest.approx(f1_score(*both, average="samples"))
    assert found.micro_f1 == pytest.approx(f1_score(truth, detected, average="micro"))
    assert found.thresholds == "thresholds per class"


def test_thresholds_of_soundscapes_are_those_that_a_submission_takes(tmp_path: Path) -> None:
    """Found on intervals; classes that were not annotated get the common one."""
    events = {"a.wav": (Event(0.0, 10.0, "Altus clarus"),), "b.wav": (Event(5.0, 10.0, "Altus clarus"),)}
    evaluator = SoundscapeEvaluator(Truth(events, species=frozenset({"Altus clarus"})), CLASSES, DetectionRule(0.5))
    evaluator.add(scores_of("a.wav", [[0.7, 0.9, 0.1], [0.6, 0.2, 0.1]], seconds=10.0))
    evaluator.add(scores_of("b.wav", [[0.3, 0.9, 0.1], [0.9, 0.2, 0.1]], seconds=10.0))
    evaluation = evaluator.finish(made_from="x")
    assert evaluation is not None
    stem = tmp_path / "x_thresholds"
    write_soundscape_thresholds(stem, evaluation, CLASSES, interval=2.5, fingerprint="f00d", title="x")
    found = read_thresholds(tmp_path / "x_thresholds.json", CLASSES)
    assert found.values == (pytest.approx(0.6),) * 3
    assert (found.fingerprint, found.made_from) == ("f00d", "x, on 4 intervals of soundscapes")
    assert (found.unit, found.interval) == ("interval", 2.5)
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".csv", ".json", ".png"]
    none = replace(evaluation, found=replace(evaluation.found, thresholds=replace(found, common=None)))
    assert write_soundscape_thresholds(stem, none, CLASSES, interval=2.5, fingerprint="f00d", title="x") is None
    # table and plot show why; thresholds of an earlier call would not be those of these metrics
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".csv", ".png"]


def test_without_useful_thresholds_the_row_says_that_nothing_is_detected(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Any threshold detects more false species than true ones, so that row-wise F1 is best without detections."""
    events = {name: (Event(0.0, 5.0, "Altus clarus"),) for name in ("a.wav", "b.wav", "c.wav")}
    testing = replace(Config().testing, threshold_metric="row_f1")
    evaluator = SoundscapeEvaluator(Truth(events), CLASSES, DetectionRule(0.5), testing)
    for file in events:
        evaluator.add(scores_of(file, [[0.1, 0.2, 0.3], *[[0.2, 0.5, 0.8]] * 3], seconds=20.0))
    evaluation = evaluator.finish()
    assert evaluation is not None
    print_soundscape_metrics(evaluation.metrics)
    given = {"interval": 5.0, "fingerprint": "f00d", "title": "x"}
    assert write_soundscape_thresholds(tmp_path / "x", evaluation, CLASSES, **given) is None
    printed = capsys.readouterr()
    assert "(0.750 to 0.750): nothing is detected, so it is the share of nocall" in " ".join(printed.out.split())
    assert "x.png" in printed.err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.csv", "x.png"]


def test_thresholds_are_not_the_scores_of_classes_off_the_whitelist(tmp_path: Path) -> None:
    """These are below 0, and would be the threshold of a class that is in every interval."""
    events = {"a.wav": (Event(0.0, 5.0, "Altus clarus"), Event(0.0, 10.0, "Bassus gravis"))}
    testing = replace(Config().testing, thresholds="per_class")
    evaluator = SoundscapeEvaluator(Truth(events), CLASSES, DetectionRule(0.5), testing)
    evaluator.add(scores_of("a.wav", [[0.7, -1.0, 0.1], [0.6, -1.0, 0.1]], seconds=10.0))
    evaluation = evaluator.finish()
    assert evaluation is not None
    assert evaluation.found.thresholds.values[1] == -1
    write_soundscape_thresholds(tmp_path / "x", evaluation, CLASSES, interval=5.0, fingerprint="f00d", title="x")
    assert read_thresholds(tmp_path / "x.json", CLASSES).values[:2] == (pytest.approx(0.7), 0.0)


def test_only_annotations_by_humans_count(tmp_path: Path) -> None:
    for name in ("a.wav", "b.wav", "c.wav"):
        soundfile.write(tmp_path / name, chirp(1000.0, seconds=1.0, seed=0), 8000)
    assert read_truth(tmp_path, Dataset()) is None
    rows = ["a.wav,0.5,1,Altus clarus,1,2,human", "a.wav,0,1,Solus unicus,,,window", "b.wav,0,1,Solus unicus,,,window"]
    (tmp_path / "annotations.csv").write_text("\n".join(["file,start,end,label,low_khz,high_khz,kind", *rows]) + "\n")
    truth = read_truth(tmp_path, Dataset())
    assert truth is not None
    assert truth.events == {"a.wav": (Event(0.5, 1.0, "Altus clarus", 1000.0, 2000.0),)}
    assert (truth.species, truth.doubtful, truth.annotations) == (None, 2, 3)
    assert truth.annotated == {"a.wav", "b.wav"}
    assert truth.failures[0].reason.startswith("all its annotations are marked as not made by a human")
    # c.wav, which was not annotated, is no failure
    assert [failure.name for failure in truth.failures] == ["b.wav"]
    (tmp_path / "annotations.csv").write_text(
        'file,start,end,label,kind\na.wav,0,1,altcla,"human, target species only"\nb.wav,0,1,nocall,human\n'
    )
    (tmp_path / "species.csv").write_text("species_code,scientific_name\naltcla,Altus clarus\n")
    truth = read_truth(tmp_path, Dataset())
    assert truth is not None
    assert truth.events == {"a.wav": (Event(0.0, 1.0, "Altus clarus"),), "b.wav": ()}
    assert (truth.species, truth.doubtful, truth.failures) == (frozenset({"Altus clarus"}), 0, ())
    evaluator = SoundscapeEvaluator(truth, CLASSES, DetectionRule(0.5))
    evaluator.add(scores_of("a.wav", [[0.2, 0.9, 0.9]], seconds=1.0))  # other species may be present, too
    evaluation = evaluator.finish()
    assert evaluation is not None
    found = evaluation.metrics
    assert (found.only, found.value("mlrap"), found.row_f1) == (True, 1.0, 0.0)


def test_the_real_annotated_sets(birds: Path) -> None:
    truth = read_truth(birds / "soundscapes", Dataset())
    assert truth is not None
    assert (sum(map(len, truth.events.values())), truth.doubtful) == (70, 24)  # 52 + 18 boxes, of its README
    assert truth.species == {"Basileuterus culicivorus", "SP", "CRER"}
    mixed = read_truth(birds / "mixed_soundscapes", Dataset())
    assert mixed is not None
    assert (len(mixed.events), mixed.species, mixed.doubtful, mixed.failures) == (8, None, 0, ())
    assert mixed.annotations == sum(map(len, mixed.events.values()))


def sounds(folder: Path, *names: str, seconds: float = 10.0) -> None:
    for number, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(folder / name, chirp(1000.0 + 100 * number, seconds=seconds, seed=number), 8000)


def truth_in(folder: Path) -> Truth:
    truth = read_truth(folder, Dataset())
    assert truth is not None
    return truth


def evaluated(truth: Truth, *, seconds: float = 10.0) -> SoundscapeEvaluator:
    files = sorted(truth.annotated)
    evaluator = SoundscapeEvaluator(truth, CLASSES, DetectionRule(0.5))
    for file in files:
        evaluator.add(scores_of(file, [[0.9, 0.2, 0.1], [0.3, 0.2, 0.1]], seconds=seconds))
    return evaluator


def test_recordings_of_one_name_at_two_sites_both_count(tmp_path: Path) -> None:
    sounds(tmp_path, "one/r.wav", "two/r.wav")
    (tmp_path / "annotations.csv").write_text(
        "file,start,end,species\none/r.wav,0,5,Altus clarus\ntwo/r.wav,5,10,Bassus gravis\n"
    )
    truth = truth_in(tmp_path)
    species = {file: [event.species for event in events] for file, events in truth.events.items()}
    assert species == {"one/r.wav": ["Altus clarus"], "two/r.wav": ["Bassus gravis"]}
    evaluation = evaluated(truth).finish()
    assert evaluation is not None
    found = evaluation.metrics
    assert (found.recordings, found.annotated, found.annotations_used, found.annotations) == (2, 2, 2, 2)


def test_what_is_doubtful_at_one_site_counts_at_another(tmp_path: Path) -> None:
    sounds(tmp_path, "one/r.wav", "two/r.wav")
    rows = ["one/r.wav,0,5,Altus clarus,human", "two/r.wav,0,5,Altus clarus,window", "two/r.wav,5,9,Altus clarus,human"]
    (tmp_path / "annotations.csv").write_text("\n".join(["file,start,end,species,kind", *rows]) + "\n")
    truth = truth_in(tmp_path)
    assert {file: [event.start for event in events] for file, events in truth.events.items()} == {
        "one/r.wav": [0.0],
        "two/r.wav": [5.0],
    }
    assert truth.doubtful == 1


def test_only_a_human_can_annotate_that_no_species_is_present(tmp_path: Path) -> None:
    sounds(tmp_path, "a.wav", "b.wav", "c.wav")
    rows = ["a.wav,0,10,nocall,window", "b.wav,0,10,nocall,human", "c.wav,0,5,Altus clarus,human"]
    (tmp_path / "annotations.csv").write_text("\n".join(["file,start,end,species,kind", *rows]) + "\n")
    truth = truth_in(tmp_path)
    assert truth.events.keys() == {"b.wav", "c.wav"}
    assert [failure.name for failure in truth.failures] == ["a.wav"]


def test_unusable_annotations_are_reported_and_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sounds(tmp_path, "r0.wav", "r1.wav", "r2.wav", "r3.wav", "r4.wav")
    rows = [
        "r0.wav,0,5,Altus clarus",
        "r0.wav,6,3,Altus clarus",
        "r1.wav,7,2,Altus clarus",
        "r2.wav,12,14,Altus clarus",
        "r3.wav,1,2,Altus clarus",
    ]
    rows += ["r3.wav,10,11,Bassus gravis", "r9.wav,0,1,Altus clarus", "r3.wav,2,3,", "r3.wav,1,2,Ignotus"]
    (tmp_path / "annotations.csv").write_text("\n".join(["file,start,end,species", *rows]) + "\n")
    truth = truth_in(tmp_path)
    named = {failure.name: failure.reason for failure in truth.failures}
    # r9.wav, and the row without a species
    assert set(named) == {"annotations.csv line 3", "annotations.csv line 4", "annotations.csv", "r1.wav"}
    assert truth.annotated == {"r0.wav", "r1.wav", "r2.wav", "r3.wav"}  # r4.wav is not annotated
    evaluator = evaluated(truth)
    evaluation = evaluator.finish()
    assert evaluation is not None
    found = evaluation.metrics
    assert (found.recordings, found.annotated) == (2, 4)
    assert (found.annotations_used, found.annotations) == (2, 9)
    behind = {failure.name: failure.reason for failure in evaluator.failures}
    assert behind["r3.wav"].startswith(
        "1 of 3 annotations lie after its end (10.0 s) and cannot be used: are the times counted through several files"
    )
    assert behind["r2.wav"].endswith("; it is left out of the metrics")
    assert "left out" not in behind["r3.wav"]
    assert evaluator.used.events.keys() == {"r0.wav", "r3.wav"}
    assert [event.start for event in evaluator.used.events["r3.wav"]] == [1.0, 1.0]
    print_soundscape_metrics(found)
    out = " ".join(capsys.readouterr().out.split())
    assert "2 of 4 annotated" in out
    assert "2 of 9 used" in out
    write_soundscape_metrics(tmp_path / "scores.json", found)
    saved = json.loads((tmp_path / "scores.json").read_text())
    assert (saved["recordings"], saved["annotated"], saved["annotations"], saved["annotations_used"]) == (2, 4, 9, 2)


def test_equal_rows_are_one_annotation_used_or_not(tmp_path: Path) -> None:
    sounds(tmp_path, "r0.wav")
    rows = (
        "file,start,end,species\n"
        + 2 * "r0.wav,0,5,Altus clarus\n"
        + 2 * "r9.wav,0,1,Altus clarus\n"
        + "r0.wav,1,2,\nr0.wav,3,4,\n"
    )
    (tmp_path / "annotations.csv").write_text(rows)
    (tmp_path / "again.csv").write_text(rows.replace("r0.wav,1,2,\nr0.wav,3,4,\n", ""))
    truth = truth_in(tmp_path)
    assert truth.annotations == 4  # one is used, one has no sound, two have no species
    evaluation = evaluated(truth).finish()
    assert evaluation is not None
    found = evaluation.metrics
    assert (found.annotations_used, found.annotations) == (1, 4)


def test_a_recording_annotated_without_species_counts(tmp_path: Path) -> None:
    sounds(tmp_path, "a.wav", "b.wav")
    (tmp_path / "a.txt").write_text("0.0\t5.0\tAltus clarus\n")
    (tmp_path / "b.txt").write_text("")
    truth = truth_in(tmp_path)
    assert truth.events["b.wav"] == ()
    evaluation = evaluated(truth).finish()
    assert evaluation is not None
    found = evaluation.metrics
    assert (found.recordings, found.annotated, found.intervals) == (2, 2, 4)
    assert found.value("cmap") == 0.5  # b.wav's first interval has the same score as a.wav's


def test_unusable_annotations_give_no_metrics_but_failures(tmp_path: Path) -> None:
    sounds(tmp_path, "a.wav")
    (tmp_path / "annotations.csv").write_text("file,start,end,species\na.wav,1000,2000,Altus clarus\n")  # milliseconds
    evaluator = evaluated(truth_in(tmp_path))
    assert evaluator.finish() is None
    assert [failure.name for failure in evaluator.failures] == ["a.wav"]


def test_rows_that_cover_no_whole_interval_count_for_nothing(tmp_path: Path) -> None:
    """As of Kaggle's tables that do not start at 0: no interval is labelled from start to end."""
    events = {"a.wav": (Event(2.0, 7.0, "Altus clarus"),), "b.wav": (Event(0.0, 5.0, "Altus clarus"),)}
    truth = Truth(events, labelled={"a.wav": ((2.0, 7.0),), "b.wav": ((0.0, 5.0),)})
    evaluator = SoundscapeEvaluator(truth, CLASSES, DetectionRule(0.5))
    for file in events:
        evaluator.add(scores_of(file, [[0.9, 0.2, 0.1], [0.3, 0.2, 0.1]], seconds=10.0))
    evaluation = evaluator.finish()
    assert evaluation is not None
    found = evaluation.metrics
    assert (found.recordings, found.intervals, found.annotations_used) == (1, 1, 1)
    assert [failure.name for failure in evaluator.failures] == ["a.wav"]
    assert "1 of 1 annotations are in rows that cover no whole interval; it is left out" in evaluator.failures[0].reason
