"""Plots of the training log: learning curves, and TensorBoard's files."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from matplotlib.ticker import MaxNLocator

from utils.models.monitor import ALWAYS_BY_CLIP
from utils.models.training_log import EpochRow, best_row
from utils.plotting import make_logarithmic, new_figure, write_figure


@contextmanager
def open_tensorboard(folder: Path, *, on: bool, after: int) -> Iterator[Callable[[EpochRow], None]]:
    """Yield a function that records an epoch's metrics for TensorBoard, if it is on.

    Parameters
    ----------
    after : epochs that are already recorded; those that a stopped run recorded after them are discarded
    """
    if not on:
        yield lambda _: None
        return
    from tensorboardX import SummaryWriter

    with SummaryWriter(str(folder), purge_step=after + 1) as writer:

        def record(row: EpochRow) -> None:
            for name, value in asdict(row).items():
                if name != "epoch" and isinstance(value, float):
                    writer.add_scalar(name, value, row.epoch)
            writer.flush()

        yield record


def plot_curves(path: Path, rows: list[EpochRow], *, title: str) -> None:
    """Plot losses, accuracies, the monitored metric (or MLRAP), learning rate, and the best epoch."""
    figure = new_figure(11.0, 3.4)
    losses, scores, rates = figure.subplots(1, 3)
    epochs = [row.epoch for row in rows]
    losses.plot(epochs, [row.loss for row in rows], color="tab:blue", label="training")
    losses.plot(epochs, [row.validation_loss for row in rows], color="tab:orange", label="validation")
    losses.set_title("loss")
    make_logarithmic(losses, "y")
    scores.plot(epochs, [row.accuracy for row in rows], color="tab:blue", alpha=0.5, label="accuracy, training")
    scores.plot(
        epochs,
        [row.validation_accuracy for row in rows],
        color="tab:orange",
        alpha=0.5,
        label="accuracy, validation",
    )
    shown = [row.shown for row in rows]
    if shown:
        scores.plot(
            epochs, [metric.value for metric in shown], color="tab:green", label=f"{shown[-1].title}, validation"
        )
    best = best_row(rows)
    if best:
        (losses if best.monitor == "loss" else scores).plot(
            best.epoch,
            best.chosen_by.value,
            "o",
            color="tab:orange" if best.monitor in ALWAYS_BY_CLIP else "tab:green",
            label=f"best {best.chosen_by.title}: {best.chosen_by.value:.3f} in epoch {best.epoch}",
        )
    losses.legend(fontsize="small")
    scores.set(title="scores", ylim=(0, 1.02))
    scores.legend(loc="lower right", fontsize="small")
    rates.plot(epochs, [row.learning_rate for row in rows], color="tab:gray")
    rates.set_title("learning rate")
    make_logarithmic(rates, "y")
    for axes in (losses, scores, rates):
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
    figure.suptitle(title)
    write_figure(path, figure)
