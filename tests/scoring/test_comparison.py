"""Comparison of tested runs: metrics equal those of each run, and intervals are of paired differences."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import average_precision_score, f1_score, label_ranking_average_precision_score, roc_auc_score

import evaluate
from config import Config
from tests.scoring.browser import visit
from utils.command_line import from_command_line
from utils.console import UserError
from utils.recordings.splits import SPLIT_SCHEMA
from utils.scoring.comparison import Comparison, changed, compare_runs, comparison_page
from utils.scoring.evaluation.false_detections import NOISE_COLUMNS
from utils.scoring.evaluation.recordings import HeldOutMetrics, compute_metrics, evaluate_predictions
from utils.scoring.evaluation.result_files import write_result_files
from utils.scoring.evaluation.saved_scores import SCORES
from utils.scoring.inference.recordings import Predictions
from utils.scoring.inference.unit_rows import ROWS
from utils.scoring.metrics.bootstrap import paired_interval
from utils.scoring.metrics.metric_kinds import DetectionMetric
from utils.scoring.metrics.registry import METRICS
from utils.scoring.metrics.thresholds import find_thresholds, write_thresholds
from utils.scoring.metrics.units import Unit

EVIL = "<script>alert('x')</script>"
CLASSES = ("Altus", "Bassus", EVIL)


def write_test(
    folder: Path,
    *,
    skill: float,
    recordings: int = 60,
    classes: tuple[str, ...] = CLASSES,
    first: int = 0,
    noise: int = 0,
    least: int = 1,
    detections: bool = True,
) -> np.ndarray:
    """Write the files of the test of a run that is `skill` better than chance; return truth and scores.

    Parameters
    ----------
    detections : whether the table says which classes are detected, from a score of 0.5, or is of an earlier version
    """
    generator = np.random.default_rng(0)
    primary = generator.integers(0, len(classes), recordings)
    truth = np.eye(len(classes), dtype=bool)[primary]
    generator = np.random.default_rng((1, noise))
    scores = np.clip(
        generator.normal(0.5, 0.2, truth.shape) + (skill - 0.5 * generator.uniform(0, 1, (recordings, 1))) * truth, 0, 1
    )
    names = [f"r{index:03d}" for index in range(first, first + recordings)]
    rows = [
        (name, label, float(s), bool(t))
        for name, ss, tt in zip(names, scores, truth, strict=True)
        for label, s, t in zip(classes, ss, tt, strict=True)
    ]
    (folder / "test").mkdir(parents=True)
    write_thresholds(
        folder / "test" / "thresholds.json",
        find_thresholds(scores, truth, classes, per_class=False, min_positives=least, made_from="a test"),
    )
    table = pl.DataFrame(rows, schema=SCORES, orient="row")
    if detections:
        table = table.with_columns(detected=pl.Series((scores >= 0.5).ravel()))
    table.write_parquet(folder / "test" / "scores.parquet")
    pl.DataFrame({"recording": names, "class": [classes[n] for n in primary], "clips": 3}).write_csv(
        folder / "test" / "predictions.csv"
    )
    return np.stack([truth, scores])


def test_metrics_are_those_of_each_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    known = [write_test(tmp_path / name, skill=skill) for name, skill in (("weak", 0.1), ("strong", 0.6))]
    found = compare_runs([tmp_path / "weak", tmp_path / "strong"])
    mlrap = [label_ranking_average_precision_score(truth > 0, scores) for truth, scores in known]
    ranks = [(scores >= (scores * truth).max(axis=1, keepdims=True)).sum(axis=1) for truth, scores in known]
    expected = {
        "MLRAP": mlrap,
        "top-1 accuracy": [float((rank == 1).mean()) for rank in ranks],
        "mean reciprocal rank": [float((1 / rank).mean()) for rank in ranks],
        "class-mean AP": [average_precision_score(truth, scores, average="macro") for truth, scores in known],
        "micro AP": [average_precision_score(truth, scores, average="micro") for truth, scores in known],
        "macro AUROC": [roc_auc_score(truth, scores, average="macro") for truth, scores in known],
        **{
            f"{average} F1": [f1_score(truth > 0, scores >= 0.5, average=average) for truth, scores in known]
            for average in ("micro", "macro", "weighted")
        },
        "row-wise F1": [
            f1_score(truth > 0, scores >= 0.5, average="samples", zero_division=0) for truth, scores in known
        ],
    }
    for name, values in expected.items():
        first, other = found.metrics[name]
        assert (first.run, other.run) == ("weak", "strong")
        assert (first.value, other.value) == pytest.approx(values)
        assert other.difference == pytest.approx(values[1] - values[0])
        assert first.difference is None
        assert other.low is not None
        assert other.high is not None
        assert 0 < other.low < other.difference < other.high
        assert other.certain
    shown = capsys.readouterr().out
    assert f"{mlrap[0]:.3f}" in shown
    assert f"+{mlrap[1] - mlrap[0]:.3f}" in shown
    assert found.page == tmp_path / "compare.html"
    assert found.page.is_file()
    assert found.notes == []


def test_a_run_does_not_differ_from_itself(tmp_path: Path) -> None:
    for name in ("one", "same"):
        write_test(tmp_path / name, skill=0.2)
    found = compare_runs([tmp_path / "one", tmp_path / "same"])
    for _, entry in found.metrics.values():
        assert (entry.difference, entry.low, entry.high, entry.certain) == (0.0, 0.0, 0.0, False)


def test_one_recording_has_no_interval(tmp_path: Path) -> None:
    for name in ("one", "same"):
        write_test(tmp_path / name, skill=0.2, recordings=1)
    for _, entry in compare_runs([tmp_path / "one", tmp_path / "same"]).metrics.values():
        assert (entry.difference, entry.low, entry.high) in ((0.0, None, None), (None, None, None))


def test_metrics_are_those_of_the_tests(tmp_path: Path) -> None:
    """Also without primary labels, with background species, and with classes of too few recordings for class means."""
    generator = np.random.default_rng(4)
    primary = generator.choice(["A", "B", "C", "D", "Noise", ""], 60, p=[0.35, 0.35, 0.1, 0.05, 0.1, 0.05]).tolist()
    background = [["D"] if index % 20 == 0 else [] for index in range(60)]
    rows = [
        (f"r{index:02d}", "", label, background[index], [], False, None, "val", None, "", "")
        for index, label in enumerate(primary)
    ]
    recordings, tested = pl.DataFrame(rows, schema=SPLIT_SCHEMA, orient="row"), {}
    settings = replace(Config().testing, min_positives=6)
    for name in ("a", "b"):
        scores = np.round(generator.uniform(0, 1, (60, 4)), 1).astype(np.float32).astype(float)  # with ties
        predictions = Predictions(recordings, ("A", "B", "C", "D"), scores, np.full(60, 4), [None] * 60)
        evaluation = evaluate_predictions(scores, predictions, background=True)
        tested[name] = compute_metrics(predictions, evaluation, settings, made_from="a test")
        write_result_files(tmp_path / name / "test", predictions, evaluation, tested[name], {})
    found = compare_runs([tmp_path / name for name in tested])
    assert found.min_positives == 6
    assert found.notes == []
    argmax = ("argmax_macro_f1", "argmax_weighted_f1", "argmax_micro_f1")
    assert list(found.metrics) == [
        METRICS[key].title
        for key in ("mlrap", "top1_accuracy", "top5_accuracy", "mrr", *argmax, "cmap", "micro_ap", "macro_auroc")
    ] + [metric.title for metric in METRICS.values() if isinstance(metric, DetectionMetric)] + ["row-wise F1"]
    for key, metric in METRICS.items():
        for entry in found.metrics.get(metric.title, []):
            assert entry.value == pytest.approx(tested[entry.run].metrics[key].value), key


def test_of_different_min_positives_the_largest_counts(tmp_path: Path) -> None:
    truth, _ = write_test(tmp_path / "a", skill=0.3)
    least = int(truth.sum(axis=0).min()) + 1
    _, scores = write_test(tmp_path / "b", skill=0.3, least=least, noise=1)
    found = compare_runs([tmp_path / "a", tmp_path / "b"])
    assert [note.split(" (")[0] for note in found.notes] == ["not the same testing.min_positives"]
    enough = truth.sum(axis=0) >= least
    assert found.metrics["class-mean AP"][1].value == pytest.approx(
        average_precision_score(truth[:, enough], scores[:, enough])
    )
    assert f"correct in {least} or more" in comparison_page(found)


def test_pairs_make_the_interval_narrower() -> None:
    generator = np.random.default_rng(1)
    hardness = generator.uniform(0, 1, 200)
    one, other = hardness + 0.05 + generator.normal(0, 0.02, 200), hardness + generator.normal(0, 0.02, 200)
    low, high = paired_interval(one, other)
    spread = (one - other).std() / np.sqrt(200)
    assert (low, high) == pytest.approx(
        ((one - other).mean() - 1.96 * spread, (one - other).mean() + 1.96 * spread), abs=0.2 * spread
    )
    assert high - low < 0.3 * (2 * 1.96 * np.hypot(one.std(), other.std()) / np.sqrt(200))
    assert paired_interval(one[:1], other[:1]) is None


def test_differences_of_the_runs_are_noted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_test(tmp_path / "a", skill=0.3)
    write_test(tmp_path / "b", skill=0.3, first=20, classes=("Altus", "Bassus", "New"))
    found = compare_runs([tmp_path / "a", tmp_path / "b"])
    assert len(found.runs[0].rows) == 40
    assert [note.split(" (")[0] for note in found.notes] == [
        "not the same recordings",
        "not the same classes",
        "not the same ground truth: labels have changed, or testing.background differs",
    ]
    assert "not the same recordings" in capsys.readouterr().err
    assert "compared on the 40 that all have" in comparison_page(found)


def test_runs_that_cannot_be_compared_are_refused(tmp_path: Path) -> None:
    write_test(tmp_path / "a", skill=0.3)
    write_test(tmp_path / "far", skill=0.3, first=1000)
    with pytest.raises(UserError, match="two or more"):
        compare_runs([tmp_path / "a"])
    with pytest.raises(UserError, match=r"nothing/test/scores\.parquet: no such file; run test\.py"):
        compare_runs([tmp_path / "a", tmp_path / "nothing"])
    with pytest.raises(UserError, match="no recording was scored by all"):
        compare_runs([tmp_path / "a", tmp_path / "far"])
    (tmp_path / "a" / "test" / "predictions.csv").unlink()
    with pytest.raises(UserError, match=r"predictions\.csv: cannot be read"):
        compare_runs([tmp_path / "a", tmp_path / "far"])


def damage(folder: Path, column: str, value: object) -> None:
    path = folder / "test" / "scores.parquet"
    table = pl.read_parquet(path)
    values = table[column].to_list()
    table.with_columns(pl.Series(column, [value, *values[1:]], dtype=SCORES[column])).write_parquet(path)


@pytest.mark.parametrize(
    ("column", "value", "fault"),
    [
        ("score", float("nan"), "a score is NaN or infinite"),
        ("score", float("inf"), "a score is NaN or infinite"),
        ("score", None, "has empty fields"),
        ("right", None, "has empty fields"),
        ("class", None, "has empty fields"),
        ("recording", None, "has empty fields"),
        ("class", CLASSES[1], "does not have one score for each recording and class"),
        ("class", "Novus", "does not have one score for each recording and class"),
    ],
)
def test_scores_that_no_test_writes_are_refused(tmp_path: Path, column: str, value: object, fault: str) -> None:
    for name in ("a", "b"):
        write_test(tmp_path / name, skill=0.3)
    damage(tmp_path / "b", column, value)
    with pytest.raises(UserError, match=rf"b/test/scores\.parquet: {fault}; run test\.py for this run again"):
        compare_runs([tmp_path / "a", tmp_path / "b"])


def test_predictions_that_are_cut_off_are_refused(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_test(tmp_path / name, skill=0.3)
    path = tmp_path / "b" / "test" / "predictions.csv"
    content = path.read_bytes()
    lines = content.splitlines(keepends=True)
    for damaged in (content[:100], content[:-1], content[:-4], b"".join(lines[:-1]), b"".join([*lines, lines[-1]])):
        path.write_bytes(damaged)
        with pytest.raises(UserError, match=r"b/test/predictions\.csv: .*; run test\.py for this run again"):
            compare_runs([tmp_path / "a", tmp_path / "b"])


def test_runs_of_the_same_name_get_different_names(tmp_path: Path) -> None:
    for site in ("x", "y"):
        write_test(tmp_path / site / "run", skill=0.3)
    assert [run.name for run in compare_runs([tmp_path / "x" / "run", tmp_path / "y" / "run"]).runs] == [
        str(tmp_path / site / "run") for site in ("x", "y")
    ]


def test_evaluate_compares_and_trains_nothing(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("a", "b", "c")]
    for index, folder in enumerate(folders):
        write_test(folder, skill=0.2 * index)
    config, flags = from_command_line(
        ["--compare", *map(str, folders)], doc="", script="evaluate.py", flags=evaluate.Flags
    )
    found = evaluate.main(config, flags)
    assert isinstance(found, Comparison)
    assert [entry.run for entry in found.metrics["MLRAP"]] == ["a", "b", "c"]
    assert config == Config()


@pytest.mark.browser
def test_the_page_sorts_and_escapes_names(tmp_path: Path) -> None:
    for name, skill in (("a&b", 0.1), ("c", 0.4)):
        write_test(tmp_path / name, skill=skill, noise=len(name))
    found = compare_runs([tmp_path / "a&b", tmp_path / "c"])
    text = found.page.read_text()
    assert EVIL not in text
    assert text.count("<script") == 1
    script = """
    const table = one("per-recording"), heads = all("thead button", table);
    const column = number => [...table.tBodies[0].rows].map(row => row.cells[number].textContent);
    heads[4].click(); const rising = column(4);
    heads[4].click(); const falling = column(4);
    return { rising, falling, title: document.title, classes: one("per-class").tBodies[0].rows.length };
    """
    result, console = visit(text, tmp_path, script)
    assert console == []
    values = [float(value.replace("−", "-")) for value in result["rising"]]
    assert len(values) > 5
    assert values == sorted(values)
    assert values[0] < 0 < values[-1]
    assert [float(value.replace("−", "-")) for value in result["falling"]] == values[::-1]
    assert (result["title"], result["classes"]) == ("a&b and c, compared", 3)


def rows_and_truth(rng: np.random.Generator, *, unit: Unit = "interval") -> tuple[pl.DataFrame, np.ndarray]:
    """Return 40 rows of four recordings, and which of three classes are true; some have the unknown species X."""
    truth = rng.random((40, 3)) < 0.3
    truth[-1] = False
    species = [
        ["ABC"[index] for index in np.flatnonzero(one)] + ["X"] * (row % 9 == 0) for row, one in enumerate(truth)
    ]
    rows = pl.DataFrame(
        {
            "recording": [f"r{index // 10}" for index in range(40)],
            "file": [f"r{index // 10}.wav" for index in range(40)],
            "class": [""] * 40 if unit == "interval" else [(one or ["Y"])[0] for one in species],
            "background": [[]] * 40 if unit == "interval" else [one[1:] for one in species],
            "events": [[{"species": name} for name in one] if unit == "interval" else [] for one in species],
            "start": [5.0 * (index % 10) for index in range(40)],
            "end": [5.0 * (index % 10) + 5 for index in range(40)],
        },
        schema=ROWS,
    )
    return rows, truth


def write_rows(
    folder: Path,
    rows: pl.DataFrame,
    scores: np.ndarray,
    *,
    classes: str = "ABC",
    unit: Unit = "interval",
    **settings: object,
) -> HeldOutMetrics:
    """Write the files of the test of some rows, the second of which could not be used."""
    scores, reasons = scores.astype(np.float32), [None, "is empty", *[None] * (len(rows) - 2)]
    scores[1] = np.nan
    found = Predictions(rows, tuple(classes), scores, np.ones(len(rows), np.int64), reasons, unit=unit)
    evaluation = evaluate_predictions(found.scores, found, background=True)
    metrics = compute_metrics(found, evaluation, replace(Config().testing, **settings), made_from="here")
    write_result_files(folder / "test", found, evaluation, metrics, {})
    return metrics


def test_runs_tested_by_interval_are_compared_by_interval(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Rows are named by recording and time, draws are of recordings; another unit is refused."""
    rng = np.random.default_rng(3)
    rows, truth = rows_and_truth(rng)
    for name, skill in (("one", 0.1), ("other", 0.8)):
        write_rows(tmp_path / name, rows, rng.random((40, 3)) * 0.5 + skill * 0.5 * truth)
    comparison = compare_runs([tmp_path / "one", tmp_path / "other"])
    assert (comparison.unit, len(comparison.runs[0].rows)) == ("interval", 39)
    assert comparison.runs[0].rows[:2] == ["r0, 0.0 to 5.0 s", "r0, 10.0 to 15.0 s"]
    assert comparison.runs[0].data.draws.weights.shape[1] == 4
    assert comparison.metrics["MLRAP"][1].difference > 0.1
    assert "Compared on 39 intervals" in capsys.readouterr().out
    write_test(tmp_path / "third", skill=0.5)
    with pytest.raises(UserError, match=r"were tested by different units"):
        compare_runs([tmp_path / "one", tmp_path / "third"])


DETECTIONS = [key for key, metric in METRICS.items() if isinstance(metric, DetectionMetric)] + ["row_f1"]


@pytest.mark.parametrize("unit", ["interval", "event"])
def test_metrics_of_detections_are_those_of_the_tests(tmp_path: Path, unit: Unit) -> None:
    """Also with a species that no class stands for, against scikit-learn from the saved table; intervals are paired."""
    rng = np.random.default_rng(5)
    rows, truth = rows_and_truth(rng, unit=unit)
    tested = {
        name: write_rows(tmp_path / name, rows, rng.random((40, 3)) * 0.5 + skill * 0.5 * truth, unit=unit)
        for name, skill in (("one", 0.1), ("other", 0.8))
    }
    found = compare_runs([tmp_path / name for name in tested])
    assert found.notes == []
    for key in DETECTIONS:
        entries = found.metrics[METRICS[key].title]
        assert [entry.value for entry in entries] == [
            pytest.approx(tested[one.run].metrics[key].value) for one in entries
        ]
    flags, of_rows = {}, []
    for name in tested:
        table = pl.read_parquet(tmp_path / name / "test" / "scores.parquet")
        right, detected = (
            np.array([[label in labels for label in "ABCXY"] for labels in table.select(column).to_series()])
            for column in ("correct", "detected")
        )
        right |= np.array([[label in labels for label in "ABCXY"] for labels in table["unknown"]])
        assert right[:, 3].sum() > 2
        flags[name] = right, detected
        nothing = [~one.any(axis=1, keepdims=True) for one in (right, detected)]
        pair = [np.hstack(both) for both in zip(flags[name], nothing, strict=True)]
        of_rows.append([f1_score(*(one[[row]] for one in pair), average="samples") for row in range(39)])
    assert [one.value for one in found.metrics["micro F1"]] == [
        pytest.approx(f1_score(*one, average="micro")) for one in flags.values()
    ]
    row_f1 = np.array(of_rows)
    difference = found.metrics["row-wise F1"][1]
    assert difference.difference == pytest.approx(row_f1[1].mean() - row_f1[0].mean())
    recording = np.array([int(name[1:]) for name in table["recording"]])
    assert (difference.low, difference.high) == pytest.approx(paired_interval(*row_f1[::-1], recording=recording))


def test_macro_means_of_detections_are_over_classes_that_all_know(tmp_path: Path) -> None:
    """The species that a run does not know counts as missed in its micro metrics."""
    rng = np.random.default_rng(6)
    rows, truth = rows_and_truth(rng)
    scores = rng.random((40, 3)) * 0.5 + 0.3 * truth
    write_rows(tmp_path / "all", rows, scores)
    write_rows(tmp_path / "less", rows, scores[:, :2], classes="AB")
    found = compare_runs([tmp_path / "all", tmp_path / "less"])
    for run, macro, micro in zip(found.runs, found.metrics["macro F1"], found.metrics["micro F1"], strict=True):
        detected, true = run.data.detected, run.data.truth
        assert macro.value == pytest.approx(f1_score(true[:, :2], detected[:, :2], average="macro"))
        missed = run.data.unknown.sum() + (true & ~detected).sum()
        hits = (true & detected).sum()
        assert micro.value == pytest.approx(2 * hits / (2 * hits + (detected & ~true).sum() + missed))
    assert found.runs[1].data.unknown.sum() - found.runs[0].data.unknown.sum() == found.runs[0].data.truth[:, 2].sum()


def as_earlier_version(folder: Path) -> None:
    path = folder / "test" / "scores.parquet"
    pl.read_parquet(path).drop("detected", "unknown", strict=False).write_parquet(path)


@pytest.mark.parametrize("unit", ["recording", "interval"])
def test_files_of_earlier_versions_lack_metrics_of_detections(
    tmp_path: Path, unit: Unit, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("new", "old", "older"):
        if unit == "recording":
            write_test(tmp_path / name, skill=0.3)
        else:
            write_rows(tmp_path / name, *rows_and_truth(np.random.default_rng(1)))
    before = compare_runs([tmp_path / "new", tmp_path / "old"])
    for name in ("old", "older"):
        as_earlier_version(tmp_path / name)
    found = compare_runs([tmp_path / name for name in ("new", "old", "older")])
    missing = {METRICS[key].title for key in DETECTIONS}
    assert before.metrics.keys() - found.metrics.keys() == missing
    assert list(found.metrics) == [title for title in before.metrics if title not in missing]
    (note,) = found.notes
    assert note == (
        "no metrics of detections (F1, precision, recall): tested by an earlier version, which did not save what they "
        f"need; run test.py again ({tmp_path / 'old'}, {tmp_path / 'older'})"
    )
    assert "thresholds of each run" in comparison_page(before)
    assert "thresholds of each run" not in comparison_page(found)


def test_one_recording_has_no_metrics_of_detections(tmp_path: Path) -> None:
    rows, truth = rows_and_truth(np.random.default_rng(1))
    for name in ("one", "other"):
        write_rows(tmp_path / name, rows[:10], truth[:10].astype(float))
    (note,) = compare_runs([tmp_path / "one", tmp_path / "other"]).notes
    assert "too few recordings for thresholds from others" in note


def test_thresholds_that_were_chosen_for_something_else_are_noted(tmp_path: Path) -> None:
    rows, truth = rows_and_truth(np.random.default_rng(1))
    for name, settings in (
        ("one", {}),
        ("other", {"threshold_metric": "row_f1"}),
        ("third", {"precision": 0.75, "thresholds": "per_class", "min_positives": 1}),
    ):
        write_rows(tmp_path / name, rows, truth.astype(float), **settings)
    notes = compare_runs([tmp_path / name for name in ("one", "other", "third")]).notes
    assert [note for note in notes if note.startswith("not the same choice of thresholds")] == [
        f"not the same choice of thresholds ({tmp_path / 'one'} for micro F1, {tmp_path / 'other'} for row-wise F1, "
        f"{tmp_path / 'third'} for a precision of 0.75 per class): metrics of detections differ by that, too"
    ]


def test_the_page_names_the_species_of_intervals(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    rows, _ = rows_and_truth(rng)
    for name in ("one", "other"):
        write_rows(tmp_path / name, rows, rng.random((40, 3)))
    found = compare_runs([tmp_path / "one", tmp_path / "other"])
    by_row = {
        f"{name}, {start} to {end} s": ", ".join(sorted(one["species"] for one in events))
        for name, start, end, events in rows.select("recording", "start", "end", "events").iter_rows()
    }
    shown = changed(found.runs)
    assert len(shown) > 10
    assert [species for _, species, _, _ in shown] == [by_row[row] for row, *_ in shown]
    assert "X" in by_row["r0, 0.0 to 5.0 s"]
    assert all(f'<td class="words">{species}</td>' in found.page.read_text() for _, species, _, _ in shown)


@pytest.mark.parametrize("column", ["detected", "unknown"])
def test_rows_that_lack_detections_in_part_are_refused(tmp_path: Path, column: str) -> None:
    rows, truth = rows_and_truth(np.random.default_rng(1))
    for name in ("one", "other"):
        write_rows(tmp_path / name, rows, truth.astype(float))
    path = tmp_path / "other" / "test" / "scores.parquet"
    table = pl.read_parquet(path)
    table.with_columns(pl.when(pl.row_index() > 0).then(column).alias(column)).write_parquet(path)
    with pytest.raises(UserError, match=r"scores\.parquet: has empty fields"):
        compare_runs([tmp_path / "one", tmp_path / "other"])


def test_false_detections_in_noise_are_compared(tmp_path: Path) -> None:
    """On the recordings without birds that all runs have, which have as many clips as each run cuts."""
    tables = {
        "one": [("dog", 4, 2), ("rain", 4, 0), ("wind", 2, 2)],
        "other": [("dog", 2, 0), ("wind", 1, 1), ("road", 9, 9)],
    }
    for name, rows in tables.items():
        write_test(tmp_path / name, skill=0.2)
        pl.DataFrame(rows, schema=NOISE_COLUMNS, orient="row").write_parquet(tmp_path / name / "test" / "noise.parquet")
    first, other = compare_runs([tmp_path / "one", tmp_path / "other"]).metrics["false detections in noise"]
    assert (first.value, other.value) == (4 / 6, 1 / 3)
    assert other.difference == pytest.approx(-1 / 3)
    # draws of only wind, and of only the dog
    assert (other.low, other.high) == (pytest.approx(-0.5), pytest.approx(0.0))
    (tmp_path / "other" / "test" / "noise.parquet").unlink()
    found = compare_runs([tmp_path / "one", tmp_path / "other"])
    assert "false detections in noise" not in found.metrics
    assert [note.partition(":")[0] for note in found.notes] == ["no false detections in noise"]


def test_impossible_counts_of_noise_are_refused(tmp_path: Path) -> None:
    for name in ("one", "other"):
        write_test(tmp_path / name, skill=0.2)
    table = pl.DataFrame([("dog", 4, 5)], schema=NOISE_COLUMNS, orient="row")
    table.write_parquet(tmp_path / "one" / "test" / "noise.parquet")
    with pytest.raises(UserError, match=r"noise\.parquet: holds impossible counts; run test\.py for this run again"):
        compare_runs([tmp_path / "one", tmp_path / "other"])


def test_intervals_without_birds_are_saved_for_comparisons(tmp_path: Path) -> None:
    rng = np.random.default_rng(6)
    rows, truth = rows_and_truth(rng)
    quiet = pl.col("recording") == "r2"
    rows = rows.with_columns(events=pl.when(quiet).then(pl.lit([], ROWS["events"])).otherwise("events"))
    tested = {
        name: write_rows(tmp_path / name, rows, rng.random((40, 3)) * 0.5 + skill * 0.5 * truth)
        for name, skill in (("one", 0.1), ("other", 0.4))
    }
    for entry in compare_runs([tmp_path / name for name in tested]).metrics["false detections in noise"]:
        assert entry.value == pytest.approx(tested[entry.run].metrics["noise_detected"].value)
