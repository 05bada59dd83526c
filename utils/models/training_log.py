"""The log of a training: one row an epoch."""

import csv
import io
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from utils.files import write_text
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
        rows = [
            {name: float(value) if value else None for name, value in row.items()} for row in csv.DictReader(stream)
        ]
    return [EpochRow(**{**row, "epoch": int(row["epoch"] or 0)}) for row in rows if (row["epoch"] or 0) <= until]  # type: ignore[arg-type]


def best_row(rows: list[EpochRow]) -> EpochRow | None:
    """Return the row of the highest validation MLRAP, of equals that of the lowest loss; None where nothing watches."""
    watched = [row for row in rows if row.val_mlrap is not None]
    return max(watched, key=lambda row: rank(row.val_mlrap, row.val_loss)) if watched else None


def gets_no_better(rows: list[EpochRow], *, wait: int) -> bool:
    """Tell whether the last `wait` epochs brought no better validation MLRAP; never where `wait` is 0."""
    best = best_row(rows)
    return bool(wait and best and rows[-1].epoch - best.epoch >= wait)
