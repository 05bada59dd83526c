"""The report's learning curves are what the log says."""

from pathlib import Path

from utils.models.training_log import EpochRow, write_log
from utils.scoring.reports.learning_charts import learning_charts


def test_curves_are_what_the_log_says(tmp_path: Path) -> None:
    rows = [
        EpochRow(n, 0.1, 2.0 / n, 0.1 * n, 3.0 / n, 0.2, mlrap, 1.0, 1.0) for n, mlrap in ((1, 0.4), (2, 0.6), (3, 0.5))
    ]
    write_log(tmp_path / "log.csv", rows)
    loss, scores = learning_charts(tmp_path / "log.csv")
    assert [line.y for line in loss.lines] == [(2.0, 1.0, 2.0 / 3), (3.0, 1.5, 1.0)]
    assert scores.lines[2].y == (0.4, 0.6, 0.5)
    assert (loss.mark, scores.mark) == (2.0, 2.0)


def test_no_log_and_nobody_watching(tmp_path: Path) -> None:
    assert learning_charts(tmp_path / "log.csv") == []
    write_log(tmp_path / "log.csv", [EpochRow(1, 0.1, 2.0, 0.1, None, None, None, 1.0, 1.0)])
    loss, scores = learning_charts(tmp_path / "log.csv")
    assert (loss.lines[1].y, loss.mark, scores.mark) == ((None,), None, None)
