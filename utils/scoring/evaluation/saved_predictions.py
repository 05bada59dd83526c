"""Predictions saved to be used again: a table with one row for each prediction, and beside it what they depend on."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import polars as pl
from annotated_types import Ge
from pydantic import TypeAdapter

from utils.console import UserError
from utils.files import write_json
from utils.scoring.inference.recordings import Predictions
from utils.scoring.metrics.units import Unit
from utils.tables import read_json, write_table

NOT_USABLE = "remove it"  # never shown: a part that cannot be used is made again


@dataclass(frozen=True)
class PartDescription:
    """What a saved table of predictions is of.

    Attributes
    ----------
    key : of the networks, settings and recordings that the predictions depend on
    classes, unit, fingerprint, warnings : those of `Predictions`
    metrics : of a test of these predictions, by key
    seconds : how long predicting and testing took
    """

    key: str
    classes: tuple[str, ...]
    unit: Unit
    fingerprint: str | None
    warnings: dict[str, tuple[str, ...]]
    metrics: dict[str, float | None]
    seconds: Annotated[float, Ge(0)]


_FORM: TypeAdapter[PartDescription] = TypeAdapter(PartDescription)


def write_predictions(
    path: Path, predictions: Predictions, *, key: str, metrics: dict[str, float | None], seconds: float
) -> PartDescription:
    """Write predictions to `<path>.parquet` and, last, their description, which is returned, to `<path>.json`."""
    described = path.with_name(f"{path.name}.json")
    described.unlink(missing_ok=True)  # it must not describe another table if this call is killed
    table = pl.DataFrame(
        {
            "row": predictions.rows.to_struct("row"),
            "scores": pl.Series(predictions.scores.astype(np.float32)),
            "clips": predictions.clips,
            "failure": pl.Series(predictions.reasons, dtype=pl.String()),
            **({} if predictions.novelty is None else {"novelty": predictions.novelty}),
        }
    )
    write_table(path.with_name(f"{path.name}.parquet"), table)
    description = PartDescription(
        key, predictions.classes, predictions.unit, predictions.fingerprint, predictions.warnings, metrics, seconds
    )
    write_json(described, _FORM.dump_python(description, mode="json"))
    return description


def read_predictions(path: Path, *, key: str) -> tuple[Predictions, PartDescription] | None:
    """Read what `write_predictions` wrote; None if it is not there, is damaged, or has another key."""
    try:
        description: PartDescription = read_json(path.with_name(f"{path.name}.json"), _FORM, advice=NOT_USABLE)
        if description.key != key:
            return None
        with path.with_name(f"{path.name}.parquet").open("rb") as stream:
            table = pl.read_parquet(stream)
        predictions = Predictions(
            table["row"].struct.unnest(),
            description.classes,
            table["scores"].to_numpy().reshape(len(table), len(description.classes)),
            table["clips"].to_numpy(),
            table["failure"].to_list(),
            fingerprint=description.fingerprint,
            warnings=description.warnings,
            unit=description.unit,
            novelty=table["novelty"].to_numpy() if "novelty" in table.columns else None,
        )
    except (UserError, OSError, ValueError, pl.exceptions.PolarsError):
        return None
    return predictions, description
