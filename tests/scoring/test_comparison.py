"""Comparison of tested runs: metrics equal those of each run, and intervals are of paired differences."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import average_precision_score, label_ranking_average_precision_score, roc_auc_score

import evaluate
from config import Config
from tests.scoring.browser import visit
from utils.command_line import from_command_line
from utils.console import UserError
from utils.recordings.splits import SPLIT_SCHEMA
from utils.scoring.comparison import Comparison, compare_runs, comparison_page
from utils.scoring.evaluation.recordings import compute_metrics, evaluate_predictions
from utils.scoring.evaluation.result_files import write_result_files
from utils.scoring.evaluation.saved_scores import SCORES
from utils.scoring.inference.recordings import Predictions
from utils.scoring.inference.unit_rows import ROWS
from utils.scoring.metrics.bootstrap import paired_interval
from utils.scoring.metrics.registry import METRICS
from utils.scoring.metrics.thresholds import find_thresholds, write_thresholds

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
) -> np.ndarray:
    """Write the files of the test of a run that is `skill` better than chance; return truth and scores."""
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
    pl.DataFrame(rows, schema=SCORES, orient="row").write_parquet(folder / "test" / "scores.parquet")
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
    ]
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


def test_runs_tested_by_interval_are_compared_by_interval(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Rows are named by recording and time, draws are of recordings; another unit is refused."""
    rng = np.random.default_rng(3)
    truth = rng.random((40, 3)) < 0.3
    rows = pl.DataFrame(
        {
            "recording": [f"r{index // 10}" for index in range(40)],
            "file": [f"r{index // 10}.wav" for index in range(40)],
            "class": [""] * 39 + ["Noise"],
            "background": [[]] * 40,
            "events": [[{"species": "ABC"[index]} for index in np.flatnonzero(one)] for one in truth],
            "start": [5.0 * (index % 10) for index in range(40)],
            "end": [5.0 * (index % 10) + 5 for index in range(40)],
        },
        schema=ROWS,
    )
    for name, skill in (("one", 0.1), ("other", 0.8)):
        scores = (rng.random((40, 3)) * 0.5 + skill * 0.5 * truth).astype(np.float32)
        found = Predictions(rows, ("A", "B", "C"), scores, np.ones(40, np.int64), [None] * 40, unit="interval")
        evaluation = evaluate_predictions(found.scores, found, background=True)
        metrics = compute_metrics(found, evaluation, Config().testing, made_from="here")
        write_result_files(tmp_path / name / "test", found, evaluation, metrics, {})
    comparison = compare_runs([tmp_path / "one", tmp_path / "other"])
    assert (comparison.unit, len(comparison.runs[0].rows)) == ("interval", 40)
    assert comparison.runs[0].rows[:2] == ["r0, 0.0 to 5.0 s", "r0, 10.0 to 15.0 s"]
    assert comparison.runs[0].data.draws.weights.shape[1] == 4
    assert comparison.metrics["MLRAP"][1].difference > 0.1
    assert "Compared on 40 intervals" in capsys.readouterr().out
    write_test(tmp_path / "third", skill=0.5)
    with pytest.raises(UserError, match=r"were tested by different units"):
        compare_runs([tmp_path / "one", tmp_path / "third"])
