"""Runs side by side: the same recordings, figures equal to each run's own, and intervals of the paired difference."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import average_precision_score, label_ranking_average_precision_score, roc_auc_score

import evaluate
from config import Config, from_command_line
from tests.scoring.browser import visit
from utils.console import UserError
from utils.recordings.splits import SCHEMA
from utils.scoring.comparison import Comparison, compare, page
from utils.scoring.evaluation.measures import NOTES, measure
from utils.scoring.evaluation.recordings import judge
from utils.scoring.evaluation.result_files import write_report
from utils.scoring.evaluation.saved_scores import SCORES
from utils.scoring.inference.recordings import Answers
from utils.scoring.metrics.bootstrap import paired_interval
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
    """Write what a test leaves of a run that is `skill` better than chance; returns truth and scores."""
    generator = np.random.default_rng(0)
    own = generator.integers(0, len(classes), recordings)
    truth = np.eye(len(classes), dtype=bool)[own]
    generator = np.random.default_rng((1, noise))
    scores = np.clip(
        generator.normal(0.5, 0.2, truth.shape) + (skill - 0.5 * generator.uniform(0, 1, (recordings, 1))) * truth, 0, 1
    )
    names = [f"r{number:03d}" for number in range(first, first + recordings)]
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
    pl.DataFrame({"recording": names, "class": [classes[n] for n in own], "clips": 3}).write_csv(
        folder / "test" / "predictions.csv"
    )
    return np.stack([truth, scores])


def test_figures_are_those_of_each_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    known = [write_test(tmp_path / name, skill=skill) for name, skill in (("weak", 0.1), ("strong", 0.6))]
    found = compare([tmp_path / "weak", tmp_path / "strong"])
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
        first, other = found.figures[name]
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


def test_a_run_is_no_better_than_itself(tmp_path: Path) -> None:
    for name in ("one", "same"):
        write_test(tmp_path / name, skill=0.2)
    found = compare([tmp_path / "one", tmp_path / "same"])
    for _, entry in found.figures.values():
        assert (entry.difference, entry.low, entry.high, entry.certain) == (0.0, 0.0, 0.0, False)


def test_one_recording_has_no_interval(tmp_path: Path) -> None:
    for name in ("one", "same"):
        write_test(tmp_path / name, skill=0.2, recordings=1)
    for _, entry in compare([tmp_path / "one", tmp_path / "same"]).figures.values():
        assert (entry.difference, entry.low, entry.high) in ((0.0, None, None), (None, None, None))


def test_figures_are_those_of_the_tests_themselves(tmp_path: Path) -> None:
    """Also with recordings of no class, species in the background, and classes of too few recordings for class means."""
    generator = np.random.default_rng(4)
    own = generator.choice(["A", "B", "C", "D", "Noise", ""], 60, p=[0.35, 0.35, 0.1, 0.05, 0.1, 0.05]).tolist()
    background = [["D"] if number % 20 == 0 else [] for number in range(60)]
    rows = [
        (f"r{number:02d}", "", label, background[number], [], False, None, "val", None, "", "")
        for number, label in enumerate(own)
    ]
    recordings, tested = pl.DataFrame(rows, schema=SCHEMA, orient="row"), {}
    settings = replace(Config().testing, min_positives=6)
    for name in ("a", "b"):
        scores = np.round(generator.uniform(0, 1, (60, 4)), 1).astype(np.float32).astype(float)  # with ties
        answers = Answers(recordings, ("A", "B", "C", "D"), scores, np.full(60, 4), [None] * 60)
        judged = judge(scores, answers, background=True)
        tested[name] = measure(answers, judged, settings, made_from="a test")
        write_report(tmp_path / name / "test", answers, judged, tested[name], {})
    found = compare([tmp_path / name for name in tested])
    assert found.min_positives == 6
    assert found.notes == []
    assert list(found.figures) == [
        NOTES[key][0] for key in ("mlrap", "top1_accuracy", "top5_accuracy", "mrr", "cmap", "micro_ap", "macro_auroc")
    ]
    for key, (name, _) in NOTES.items():
        for entry in found.figures.get(name, []):
            assert entry.value == pytest.approx(tested[entry.run].figures[key].value), name


def test_of_different_min_positives_the_largest_counts(tmp_path: Path) -> None:
    truth, _ = write_test(tmp_path / "a", skill=0.3)
    least = int(truth.sum(axis=0).min()) + 1
    _, scores = write_test(tmp_path / "b", skill=0.3, least=least, noise=1)
    found = compare([tmp_path / "a", tmp_path / "b"])
    assert [note.split(" (")[0] for note in found.notes] == ["not the same testing.min_positives"]
    enough = truth.sum(axis=0) >= least
    assert found.figures["class-mean AP"][1].value == pytest.approx(
        average_precision_score(truth[:, enough], scores[:, enough])
    )
    assert f"right in {least} or more" in page(found)


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


def test_what_differs_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_test(tmp_path / "a", skill=0.3)
    write_test(tmp_path / "b", skill=0.3, first=20, classes=("Altus", "Bassus", "New"))
    found = compare([tmp_path / "a", tmp_path / "b"])
    assert len(found.runs[0].recordings) == 40
    assert [note.split(" (")[0] for note in found.notes] == [
        "not the same recordings",
        "not the same classes",
        "not the same right answers: labels have changed, or testing.background differs",
    ]
    assert "not the same recordings" in capsys.readouterr().err
    assert "compared on the 40 that all have" in page(found)


def test_what_cannot_be_compared_is_refused(tmp_path: Path) -> None:
    write_test(tmp_path / "a", skill=0.3)
    write_test(tmp_path / "far", skill=0.3, first=1000)
    with pytest.raises(UserError, match="two or more"):
        compare([tmp_path / "a"])
    with pytest.raises(UserError, match=r"nothing/test/scores\.parquet: no such file; run test\.py"):
        compare([tmp_path / "a", tmp_path / "nothing"])
    with pytest.raises(UserError, match="no recording was answered by all"):
        compare([tmp_path / "a", tmp_path / "far"])
    (tmp_path / "a" / "test" / "predictions.csv").unlink()
    with pytest.raises(UserError, match=r"predictions\.csv: cannot be read"):
        compare([tmp_path / "a", tmp_path / "far"])


def spoilt(folder: Path, column: str, value: object) -> None:
    path = folder / "test" / "scores.parquet"
    table = pl.read_parquet(path)
    values = table[column].to_list()
    table.with_columns(pl.Series(column, [value, *values[1:]], dtype=SCORES[column])).write_parquet(path)


@pytest.mark.parametrize(
    ("column", "value", "fault"),
    [
        ("score", float("nan"), "a score is no number"),
        ("score", float("inf"), "a score is no number"),
        ("score", None, "has empty fields"),
        ("right", None, "has empty fields"),
        ("class", None, "has empty fields"),
        ("recording", None, "has empty fields"),
        ("class", CLASSES[1], "does not hold one score for each recording and class"),
        ("class", "Novus", "does not hold one score for each recording and class"),
    ],
)
def test_scores_that_no_test_writes_are_refused(tmp_path: Path, column: str, value: object, fault: str) -> None:
    for name in ("a", "b"):
        write_test(tmp_path / name, skill=0.3)
    spoilt(tmp_path / "b", column, value)
    with pytest.raises(UserError, match=rf"b/test/scores\.parquet: {fault}; run test\.py for this run again"):
        compare([tmp_path / "a", tmp_path / "b"])


def test_predictions_that_are_cut_off_are_refused(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_test(tmp_path / name, skill=0.3)
    path = tmp_path / "b" / "test" / "predictions.csv"
    content = path.read_bytes()
    lines = content.splitlines(keepends=True)
    for damaged in (content[:100], content[:-1], content[:-4], b"".join(lines[:-1]), b"".join([*lines, lines[-1]])):
        path.write_bytes(damaged)
        with pytest.raises(UserError, match=r"b/test/predictions\.csv: .*; run test\.py for this run again"):
            compare([tmp_path / "a", tmp_path / "b"])


def test_runs_of_one_name_are_told_apart(tmp_path: Path) -> None:
    for place in ("x", "y"):
        write_test(tmp_path / place / "run", skill=0.3)
    assert [run.name for run in compare([tmp_path / "x" / "run", tmp_path / "y" / "run"]).runs] == [
        str(tmp_path / place / "run") for place in ("x", "y")
    ]


def test_evaluate_compares_and_trains_nothing(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("a", "b", "c")]
    for number, folder in enumerate(folders):
        write_test(folder, skill=0.2 * number)
    config, flags = from_command_line(
        ["--compare", *map(str, folders)], doc="", script="evaluate.py", flags=evaluate.Flags
    )
    found = evaluate.main(config, flags)
    assert isinstance(found, Comparison)
    assert [entry.run for entry in found.figures["MLRAP"]] == ["a", "b", "c"]
    assert config == Config()


@pytest.mark.browser
def test_the_page_sorts_and_lets_no_name_out(tmp_path: Path) -> None:
    for name, skill in (("a&b", 0.1), ("c", 0.4)):
        write_test(tmp_path / name, skill=skill, noise=len(name))
    found = compare([tmp_path / "a&b", tmp_path / "c"])
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
