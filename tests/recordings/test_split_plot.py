"""The plot of a split: its panels with and without places and folds, and the counts that it draws."""

from collections import Counter
from pathlib import Path

import polars as pl
import pytest
from matplotlib.axes import Axes

from utils.recordings import split_plot
from utils.recordings.audit import class_counts
from utils.recordings.recording import Recording
from utils.recordings.split_plot import plot_split, quarter_counts
from utils.recordings.splits import Assignment, split_table

MONTHS = ("2023-01-05", "2023-02-05", "2023-05-01", "")


def recordings(count: int, *, place: bool = True) -> list[Recording]:
    return [
        Recording(
            f"r{index}",
            Path(f"r{index}.wav"),
            "A",
            date=MONTHS[index % len(MONTHS)],
            latitude=1.0 * index if place else None,
            longitude=2.0 * index if place else None,
        )
        for index in range(count)
    ]


def table(found: list[Recording], folds: int) -> pl.DataFrame:
    """Return a split of which the last recording is in test, the one before in no fold, and the others in folds."""
    split = [Assignment("train", index % folds if folds else None, "") for index in range(len(found) - 2)]
    split += [Assignment("train", None, ""), Assignment("test", None, "")]
    return split_table(found, split, [one.name for one in found], [one.name for one in found])


def test_recordings_are_counted_by_quarter_and_part() -> None:
    parts = [(one, f"fold {index % 2}") for index, one in enumerate(recordings(8))]
    assert quarter_counts(parts) == {
        0: Counter({"fold 1": 2}),
        1: Counter({"fold 0": 2, "fold 1": 2}),
        2: Counter({"fold 0": 2}),
    }


@pytest.mark.parametrize(("place", "folds", "panels"), [(True, 0, 4), (False, 0, 1), (True, 3, 5), (False, 12, 2)])
def test_panels(place: bool, folds: int, panels: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    figures = []
    monkeypatch.setattr(split_plot, "write_figure", lambda _path, figure: figures.append(figure))
    found = recordings(16, place=place)
    split = table(found, folds)
    plot_split(tmp_path / "split.png", class_counts(split, [None] * len(split)), found, split)
    (figure,) = figures
    assert len(figure.axes) == panels
    if folds:
        shares: Axes = figure.axes[-1]
        labels = [text.get_text() for text in shares.get_legend().get_texts()]
        assert labels == [*(f"fold {fold}" for fold in range(folds)), "no fold", "test"]
        ends = [bar.get_x() + bar.get_width() for bar in shares.containers[-1]]
        assert ends == pytest.approx([1.0] * 4)  # all, no month, two quarters
    if place and folds:
        # every place is within the map, however its point is moved
        north, south = figure.axes[1].get_ylim()[1], figure.axes[1].get_ylim()[0]
        assert south < 0.0
        assert north > 15.0
