"""Plots of the training log: learning curves, and TensorBoard's files."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from matplotlib.ticker import MaxNLocator

from utils.models.training_log import EpochRow, best_row
from utils.plotting import new_figure, write_figure


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
                if name != "epoch" and value is not None:
                    writer.add_scalar(name, value, row.epoch)
            writer.flush()

        yield record


def plot_curves(path: Path, rows: list[EpochRow], *, title: str) -> None:
    """Plot losses, accuracies, validation MLRAP and learning rate over the epochs."""
    figure = new_figure(11.0, 3.4)
    losses, scores, rates = figure.subplots(1, 3)
    epochs = [row.epoch for row in rows]
    losses.plot(epochs, [row.loss for row in rows], color="tab:blue", label="training")
    losses.plot(epochs, [row.validation_loss for row in rows], color="tab:orange", label="validation")
    losses.set(title="loss", yscale="log")
    losses.legend()
    scores.plot(epochs, [row.accuracy for row in rows], color="tab:blue", alpha=0.5, label="accuracy, training")
    scores.plot(
        epochs,
        [row.validation_accuracy for row in rows],
        color="tab:orange",
        alpha=0.5,
        label="accuracy, validation",
    )
    scores.plot(epochs, [row.validation_mlrap for row in rows], color="tab:green", label="MLRAP, validation")
    best = best_row(rows)
    if best:
        scores.plot(
            best.epoch,
            best.validation_mlrap,
            "o",
            color="tab:green",
            label=f"best: {best.validation_mlrap:.3f} in epoch {best.epoch}",
        )
    scores.set(title="scores", ylim=(0, 1.02))
    scores.legend(loc="lower right", fontsize="small")
    rates.plot(epochs, [row.learning_rate for row in rows], color="tab:gray")
    rates.set(title="learning rate", yscale="log")
    for axes in (losses, scores, rates):
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
    figure.suptitle(title)
    write_figure(path, figure)
