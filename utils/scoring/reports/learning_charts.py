"""The learning curves of a run, as charts of a report."""

from pathlib import Path

from utils.models.training_log import best_row, read_log
from utils.scoring.reports.parts import Chart, Line

MANY_EPOCHS = 10**9  # no run has so many


def learning_charts(log: Path) -> list[Chart]:
    """Return the learning curves of a run: losses and scores; none where the run has no log."""
    rows = read_log(log, until=MANY_EPOCHS)
    if not rows:
        return []
    epochs, best = tuple(float(row.epoch) for row in rows), best_row(rows)
    mark = {"mark": float(best.epoch), "mark_text": "best"} if best else {}

    def line(name: str, key: str) -> Line:
        return Line(name, epochs, tuple(getattr(row, key) for row in rows))

    losses = (line("training", "loss"), line("validation", "val_loss"))
    scores = (
        line("clips right, training", "accuracy"),
        line("clips right, validation", "val_accuracy"),
        line("MLRAP, validation", "val_mlrap"),
    )
    return [
        Chart("Loss", "epoch", losses, ends=None, **mark),  # type: ignore[arg-type]
        Chart("Scores while training", "epoch", scores, **mark),  # type: ignore[arg-type]
    ]
