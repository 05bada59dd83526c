"""What training writes down: one row an epoch, and the curves of it."""

import csv
import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from utils.files import whole_file, write_text
from utils.models.snapshots import rank


@dataclass(frozen=True)
class EpochRow:
    """Figures of one epoch; those of validation are None where no recording watches."""

    epoch: int
    learning_rate: float
    loss: float
    accuracy: float
    val_loss: float | None
    val_accuracy: float | None
    val_mlrap: float | None
    seconds: float
    clips_per_second: float


def write_log(path: Path, rows: list[EpochRow]) -> None:
    """Write the log of a run as CSV."""
    text = io.StringIO()
    writer = csv.DictWriter(text, [field.name for field in fields(EpochRow)], lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({name: "" if value is None else value for name, value in asdict(row).items()})
    write_text(path, text.getvalue())


def read_log(path: Path, *, until: int) -> list[EpochRow]:
    """Read the log of a run up to an epoch; later rows belong to epochs that will be done again."""
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as stream:
        rows = [{name: float(value) if value else None for name, value in row.items()} for row in csv.DictReader(stream)]
    return [EpochRow(**{**row, "epoch": int(row["epoch"] or 0)}) for row in rows if (row["epoch"] or 0) <= until]  # type: ignore[arg-type]


@contextmanager
def open_board(folder: Path, *, on: bool, after: int) -> Iterator[Callable[[EpochRow], None]]:
    """Yield a function that notes an epoch's figures for TensorBoard, if it is on.

    Parameters
    ----------
    after : epochs that are noted already; what a stopped run noted of later ones is passed over
    """
    if not on:
        yield lambda _: None
        return
    from tensorboardX import SummaryWriter

    with SummaryWriter(str(folder), purge_step=after + 1) as writer:

        def note(row: EpochRow) -> None:
            for name, value in asdict(row).items():
                if name != "epoch" and value is not None:
                    writer.add_scalar(name, value, row.epoch)
            writer.flush()

        yield note


def gets_no_better(rows: list[EpochRow], *, wait: int) -> bool:
    """Tell whether the last `wait` epochs brought no better validation MLRAP; never where `wait` is 0."""
    best = best_row(rows)
    return bool(wait and best and rows[-1].epoch - best.epoch >= wait)


def best_row(rows: list[EpochRow]) -> EpochRow | None:
    """Return the row of the highest validation MLRAP, of equals that of the lowest loss; None where nothing watches."""
    watched = [row for row in rows if row.val_mlrap is not None]
    return max(watched, key=lambda row: rank(row.val_mlrap, row.val_loss)) if watched else None


def draw_curves(path: Path, rows: list[EpochRow], *, title: str) -> None:
    """Draw losses, validation MLRAP and learning rate over the epochs."""
    figure = Figure(figsize=(11, 3.4), layout="constrained")
    FigureCanvasAgg(figure)
    losses, scores, rates = figure.subplots(1, 3)
    epochs = [row.epoch for row in rows]
    losses.plot(epochs, [row.loss for row in rows], color="tab:blue", label="training")
    losses.plot(epochs, [row.val_loss for row in rows], color="tab:orange", label="validation")
    losses.set(title="loss", yscale="log")
    losses.legend()
    scores.plot(epochs, [row.accuracy for row in rows], color="tab:blue", alpha=0.5, label="clips right, training")
    scores.plot(epochs, [row.val_accuracy for row in rows], color="tab:orange", alpha=0.5, label="clips right, validation")
    scores.plot(epochs, [row.val_mlrap for row in rows], color="tab:green", label="MLRAP, validation")
    best = best_row(rows)
    if best:
        scores.plot(best.epoch, best.val_mlrap, "o", color="tab:green", label=f"best: {best.val_mlrap:.3f} in epoch {best.epoch}")
    scores.set(title="scores", ylim=(0, 1.02))
    scores.legend(loc="lower right", fontsize="small")
    rates.plot(epochs, [row.learning_rate for row in rows], color="tab:gray")
    rates.set(title="learning rate", yscale="log")
    for axes in (losses, scores, rates):
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
    figure.suptitle(title)
    with whole_file(path) as stream:
        figure.savefig(stream, format="png", dpi=110)
