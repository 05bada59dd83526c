"""Tables of scores for programs and notebooks: a row for each interval of a recording, a column for each class."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl

from config import Config
from utils.scoring.metrics.bootstrap import Interval, draw_recordings
from utils.scoring.metrics.metric_kinds import ScoredRows
from utils.scoring.metrics.registry import metrics_of
from utils.scoring.predicting import prepare_prediction
from utils.scoring.prediction_call import PredictFlags, settings_of
from utils.scoring.submissions.part_inference import interval_scores, predict_missing
from utils.settings import load, to_dict, validated

ROW_COLUMNS = ("recording", "start", "end")  # columns that name a row
DRAW_SEED = 1  # of the draws of recordings


def predicted_scores(places: Sequence[str], snapshots: Sequence[Path], *, interval: float) -> pl.DataFrame:
    """Return the scores of all classes in each interval of the recordings at some places.

    Parameters
    ----------
    places : files, folders, or patterns of names
    snapshots : folders of runs, or snapshots
    interval : seconds

    Raises
    ------
    SettingsError, UserError
        If there are no recordings or no such snapshot, or a setting is wrong.
    """
    found = settings_of(snapshots)
    config = load(found) if found else Config()
    config = replace(config, submission=replace(config.submission, interval=float(interval)))
    validated(to_dict(config))
    flags = PredictFlags(snapshot=tuple(snapshots), threshold=0.0)
    with prepare_prediction(places, config, flags) as prediction:
        task = prediction.task
        result = predict_missing(task, config)
        failures = [*prediction.given.failures, *result.failures.values()]
        tables = [
            pl.DataFrame({"recording": [one.file] * len(one.starts), "start": one.starts, "end": one.ends}).hstack(
                pl.DataFrame(np.asarray(one.scores), schema=list(task.layout.classes), orient="row")
            )
            for one in interval_scores(task, result.failures)
            if one.reason is None
        ]
    for failure in failures:
        warnings.warn(f"{failure.name}: {failure.reason}", stacklevel=3)
    return pl.concat(tables) if tables else pl.DataFrame(schema=dict.fromkeys(ROW_COLUMNS, pl.String))


def metrics_of_tables(predictions: pl.DataFrame, truth: pl.DataFrame, *, min_positives: int) -> Mapping[str, Interval]:
    """Return the metrics of a table of scores by one of species that are present; `birdclef.evaluate` says more.

    Raises
    ------
    ValueError
        If a row of `truth` has no prediction, a column is missing, or a value is not from 0 to 1.
    """
    classes = _classes_of(predictions, "predictions")
    labels = _classes_of(truth, "truth")
    joined = truth.select(ROW_COLUMNS).join(
        predictions, on=ROW_COLUMNS, how="left", maintain_order="left", validate="1:1"
    )
    missing = joined.filter(pl.any_horizontal(pl.col(classes).is_null()))
    if len(missing):
        recording, start, end = missing.row(0)[: len(ROW_COLUMNS)]
        raise ValueError(
            f"{len(missing)} rows of truth have no predictions, such as {recording}, {start:g} to {end:g} s"
        )
    scores = _from_0_to_1(joined, classes, "predictions")
    present = {label: _from_0_to_1(truth, [label], "truth")[:, 0] > 0 for label in labels}
    none = np.zeros(len(truth), bool)
    correct = np.stack([present.get(label, none) for label in classes], axis=1)
    unknown = sum((present[label].astype(np.int64) for label in labels if label not in classes), none.astype(np.int64))
    single = correct.sum(axis=1) == 1
    _, recording_of_row = np.unique(truth["recording"].to_numpy().astype(str), return_inverse=True)
    return metrics_of(
        ScoredRows(
            scores,
            correct,
            primary=np.where(single, correct.argmax(axis=1), -1),
            draws=draw_recordings(recording_of_row.astype(np.int64), seed=DRAW_SEED),
            min_positives=min_positives,
            unknown=unknown,
        )
    )


def _classes_of(table: pl.DataFrame, name: str) -> list[str]:
    missing = [key for key in ROW_COLUMNS if key not in table.columns]
    if missing:
        raise ValueError(f"{name} has no column {missing[0]}")
    return [column for column in table.columns if column not in ROW_COLUMNS]


def _from_0_to_1(table: pl.DataFrame, columns: Sequence[str], name: str) -> np.ndarray:
    values = table.select(pl.col(columns).cast(pl.Float64)).to_numpy()
    wrong = ~((values >= 0) & (values <= 1))
    if wrong.any():
        raise ValueError(f"{name}: {columns[int(wrong.any(axis=0).argmax())]} has values that are not from 0 to 1")
    return values
