"""Runs side by side: the same recordings, figures equal to each run's own, and intervals of the paired difference."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import label_ranking_average_precision_score

import evaluate
from config import Config, from_command_line
from tests.scoring.browser import visit
from utils.console import Trouble
from utils.scoring.comparison import SCORES, Comparison, compare, page, paired_interval

EVIL = "<script>alert('x')</script>"
CLASSES = ("Altus", "Bassus", EVIL)


def write_test(folder: Path, *, skill: float, recordings: int = 60, classes: tuple[str, ...] = CLASSES, first: int = 0, noise: int = 0) -> np.ndarray:
    """Write what a test leaves of a run that is `skill` better than chance; returns truth and scores."""
    generator = np.random.default_rng(0)
    own = generator.integers(0, len(classes), recordings)
    truth = np.eye(len(classes), dtype=bool)[own]
    generator = np.random.default_rng((1, noise))
    scores = np.clip(generator.normal(0.5, 0.2, truth.shape) + (skill - 0.5 * generator.uniform(0, 1, (recordings, 1))) * truth, 0, 1)
    names = [f"r{number:03d}" for number in range(first, first + recordings)]
    rows = [(name, label, float(s), bool(t)) for name, ss, tt in zip(names, scores, truth, strict=True) for label, s, t in zip(classes, ss, tt, strict=True)]
    (folder / "test").mkdir(parents=True)
    pl.DataFrame(rows, schema=SCORES, orient="row").write_parquet(folder / "test" / "scores.parquet")
    pl.DataFrame({"recording": names, "class": [classes[n] for n in own], "clips": 3}).write_csv(folder / "test" / "predictions.csv")
    return np.stack([truth, scores])


def test_figures_are_those_of_each_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    known = [write_test(tmp_path / name, skill=skill) for name, skill in (("weak", 0.1), ("strong", 0.6))]
    found = compare([tmp_path / "weak", tmp_path / "strong"])
    mlrap = [label_ranking_average_precision_score(truth > 0, scores) for truth, scores in known]
    top1 = [float((truth.argmax(axis=1) == scores.argmax(axis=1)).mean()) for truth, scores in known]
    for name, values in (("MLRAP", mlrap), ("top-1 accuracy", top1)):
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
    entry = compare([tmp_path / "one", tmp_path / "same"]).figures["MLRAP"][1]
    assert (entry.difference, entry.low, entry.high, entry.certain) == (0.0, 0.0, 0.0, False)


def test_pairs_make_the_interval_narrower() -> None:
    generator = np.random.default_rng(1)
    hardness = generator.uniform(0, 1, 200)
    one, other = hardness + 0.05 + generator.normal(0, 0.02, 200), hardness + generator.normal(0, 0.02, 200)
    low, high = paired_interval(one, other)
    spread = (one - other).std() / np.sqrt(200)
    assert (low, high) == pytest.approx(((one - other).mean() - 1.96 * spread, (one - other).mean() + 1.96 * spread), abs=0.2 * spread)
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
    with pytest.raises(Trouble, match="two or more"):
        compare([tmp_path / "a"])
    with pytest.raises(Trouble, match=r"nothing/test/scores\.parquet: no such file; run test\.py"):
        compare([tmp_path / "a", tmp_path / "nothing"])
    with pytest.raises(Trouble, match="no recording was answered by all"):
        compare([tmp_path / "a", tmp_path / "far"])
    (tmp_path / "a" / "test" / "predictions.csv").unlink()
    with pytest.raises(Trouble, match=r"predictions\.csv: cannot be read"):
        compare([tmp_path / "a", tmp_path / "far"])


def test_runs_of_one_name_are_told_apart(tmp_path: Path) -> None:
    for place in ("x", "y"):
        write_test(tmp_path / place / "run", skill=0.3)
    assert [run.name for run in compare([tmp_path / "x" / "run", tmp_path / "y" / "run"]).runs] == [str(tmp_path / place / "run") for place in ("x", "y")]


def test_evaluate_compares_and_trains_nothing(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("a", "b", "c")]
    for number, folder in enumerate(folders):
        write_test(folder, skill=0.2 * number)
    config, flags = from_command_line(["--compare", *map(str, folders)], doc="", script="evaluate.py", flags=evaluate.Flags)
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
