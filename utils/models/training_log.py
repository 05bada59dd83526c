"""The log of a training, log.csv: one row per epoch."""

import csv
import io
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from config import Training
from utils.files import write_text
from utils.models.monitor import ALWAYS_BY_CLIP, Monitored, MonitorUnit


@dataclass(frozen=True)
class EpochRow:
    """Metrics of one epoch; those of validation are None if there are no validation recordings.

    Attributes
    ----------
    validation_mlrap : over recordings, whatever `monitor_unit` is
    validation_macro_f1, validation_weighted_f1, validation_cmap : over recordings or clips, as `monitor_unit` says
    monitor, monitor_unit, monitored : the metric by which the best epoch is chosen, what it is a mean over, its value;
        logs of earlier versions lack them: MLRAP over recordings
    validation_recall_at_1 : of trainings that compare clips: share of clips whose nearest one of another recording has
        the same class
    """

    epoch: int
    learning_rate: float
    loss: float
    accuracy: float
    validation_loss: float | None
    validation_accuracy: float | None
    validation_mlrap: float | None
    seconds: float
    clips_per_second: float
    validation_macro_f1: float | None = None
    validation_weighted_f1: float | None = None
    validation_cmap: float | None = None
    monitor: str = "mlrap"
    monitor_unit: MonitorUnit = "recording"
    monitored: float | None = None
    validation_recall_at_1: float | None = None

    @property
    def chosen_by(self) -> Monitored:
        """The value by which epochs are ranked."""
        is_mlrap = (self.monitor, self.monitor_unit) == ("mlrap", "recording")
        return Monitored(self.monitor, self.monitor_unit, self.validation_mlrap if is_mlrap else self.monitored)

    @property
    def shown(self) -> Monitored:
        """The metric that is shown besides loss and accuracy: the monitored one, or MLRAP if it is one of these."""
        return Monitored(value=self.validation_mlrap) if self.monitor in ALWAYS_BY_CLIP else self.chosen_by


TEXT_COLUMNS = ("monitor", "monitor_unit")


def write_training_log(path: Path, rows: list[EpochRow]) -> None:
    """Write the log of a run as CSV."""
    text = io.StringIO()
    writer = csv.DictWriter(text, [field.name for field in fields(EpochRow)], lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({name: "" if value is None else value for name, value in asdict(row).items()})
    write_text(path, text.getvalue())


def _current_name(column: str) -> str:
    """Return the name of a column; earlier versions wrote val_loss, val_accuracy and val_mlrap."""
    return f"validation_{column.removeprefix('val_')}" if column.startswith("val_") else column


def _value_of(column: str, text: str) -> float | str | None:
    return text if column in TEXT_COLUMNS else float(text) if text else None


def read_training_log(path: Path, *, until: int) -> list[EpochRow]:
    """Read the log of a run up to an epoch; later rows belong to epochs that will run again."""
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as stream:
        rows = [
            {_current_name(name): _value_of(name, text) for name, text in row.items()} for row in csv.DictReader(stream)
        ]
    epochs = [int(row["epoch"] or 0) for row in rows]
    return [
        EpochRow(**{**row, "epoch": epoch})  # type: ignore[arg-type]
        for row, epoch in zip(rows, epochs, strict=True)
        if epoch <= until
    ]


def best_row(rows: list[EpochRow]) -> EpochRow | None:
    """Return the best row by the monitored metric, then by the validation loss; None without validation."""
    validated = [row for row in rows if row.chosen_by.value is not None]
    return max(validated, key=lambda row: row.chosen_by.rank(row.validation_loss)) if validated else None


def stopped_improving(rows: list[EpochRow], *, wait: int) -> bool:
    """Tell whether the last `wait` epochs brought no better monitored value; never if `wait` is 0."""
    best = best_row(rows)
    return bool(wait and best and rows[-1].epoch - best.epoch >= wait)


def is_finished(rows: list[EpochRow], settings: Training) -> bool:
    """Tell whether a training has done all its epochs, or stopped early."""
    return len(rows) >= settings.epochs or stopped_improving(rows, wait=settings.early_stopping)
