"""The log of a training, log.csv: one row per epoch."""

import csv
import io
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from utils.files import write_text
from utils.models.snapshots import rank


@dataclass(frozen=True)
class EpochRow:
    """Metrics of one epoch; those of validation are None if there are no validation recordings."""

    epoch: int
    learning_rate: float
    loss: float
    accuracy: float
    validation_loss: float | None
    validation_accuracy: float | None
    validation_mlrap: float | None
    seconds: float
    clips_per_second: float


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


def read_training_log(path: Path, *, until: int) -> list[EpochRow]:
    """Read the log of a run up to an epoch; later rows belong to epochs that will run again."""
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as stream:
        rows = [
            {_current_name(name): float(value) if value else None for name, value in row.items()}
            for row in csv.DictReader(stream)
        ]
    rows = [row for row in rows if (row["epoch"] or 0) <= until]
    return [EpochRow(**{**row, "epoch": int(row["epoch"] or 0)}) for row in rows]  # type: ignore[arg-type]


def best_row(rows: list[EpochRow]) -> EpochRow | None:
    """Return the row of the highest validation MLRAP, then the lowest loss; None without validation."""
    validated = [row for row in rows if row.validation_mlrap is not None]
    return max(validated, key=lambda row: rank(row.validation_mlrap, row.validation_loss)) if validated else None


def stopped_improving(rows: list[EpochRow], *, wait: int) -> bool:
    """Tell whether the last `wait` epochs brought no better validation MLRAP; never if `wait` is 0."""
    best = best_row(rows)
    return bool(wait and best and rows[-1].epoch - best.epoch >= wait)
