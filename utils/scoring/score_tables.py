"""Tables of scores for programs and notebooks: a row for each interval of a recording, a column for each class."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
from jaxtyping import Bool, Float64

from config import Config
from utils.console import UserError
from utils.scoring.inference.intervals import IntervalScores
from utils.scoring.metrics.bootstrap import Interval, draw_recordings
from utils.scoring.metrics.metric_kinds import ScoredRows
from utils.scoring.metrics.registry import metrics_of
from utils.scoring.predicting import prepare_prediction
from utils.scoring.prediction_call import PredictFlags, settings_of
from utils.scoring.submissions.part_inference import interval_scores, predict_missing
from utils.settings import load, to_dict, validated

ROW_COLUMNS = ("recording", "start", "end")  # they name a row
TIME_DIGITS = 3  # decimals of seconds by which rows are found
DRAW_SEED = 1  # of the draws of recordings


def predicted_scores(places: Sequence[str], snapshots: Sequence[Path], *, interval: float | None) -> pl.DataFrame:
    """Return the scores of all classes in each interval of the recordings at some places.

    Parameters
    ----------
    places : files, folders, or patterns of names
    snapshots : folders of runs, or snapshots
    interval : seconds; None: that of the run

    Raises
    ------
    SettingsError, UserError
        If there are no recordings or no such snapshot, or a setting is wrong.
    """
    if not snapshots:
        raise UserError("name a snapshot, or the folder of a run")
    found = settings_of(snapshots)
    config = load(found) if found else Config()
    if interval is not None:
        config = replace(config, submission=replace(config.submission, interval=float(interval)))
    validated(to_dict(config))
    flags = PredictFlags(snapshot=tuple(snapshots), threshold=0.0)
    with prepare_prediction(places, config, flags) as prediction:
        task = prediction.task
        result = predict_missing(task, config)
        scored = [one for one in interval_scores(task, result.failures) if one.reason is None]
        table = _score_table(scored, task.layout.classes)
    for failure in (*prediction.given.failures, *result.failures.values()):
        warnings.warn(f"{failure.name}: {failure.reason}", stacklevel=3)
    for one in scored:
        for line in one.warnings:
            warnings.warn(f"{one.file}: {line}", stacklevel=3)
    return table


def _score_table(scored: Sequence[IntervalScores], classes: Sequence[str]) -> pl.DataFrame:
    taken = [label for label in classes if label in ROW_COLUMNS]
    if taken:
        raise UserError(f"a class is called {taken[0]}, as a column of the table is; its scores cannot be told apart")
    scores = np.concatenate([np.zeros((0, len(classes)), np.float32), *(one.scores for one in scored)])
    rows = {
        "recording": pl.Series([one.file for one in scored for _ in one.starts], dtype=pl.String),
        "start": np.concatenate([np.zeros(0), *(one.starts for one in scored)]),
        "end": np.concatenate([np.zeros(0), *(one.ends for one in scored)]),
    }
    return pl.DataFrame(rows | {label: scores[:, index] for index, label in enumerate(classes)})


def metrics_of_tables(predictions: pl.DataFrame, truth: pl.DataFrame, *, min_positives: int) -> Mapping[str, Interval]:
    """Return the metrics of a table of scores by one of species that are present; `birdclef.evaluate` says more.

    Raises
    ------
    ValueError
        If a row of `truth` has no prediction, rows are there twice, a column is missing, or a value cannot be.
    """
    scored, labelled = _checked_table(predictions, "predictions"), _checked_table(truth, "truth")
    classes, labels = (table.columns[len(ROW_COLUMNS) :] for table in (scored, labelled))
    missing = labelled.join(scored, on=ROW_COLUMNS, how="anti")
    if len(missing):
        recording, start, end = missing.row(0)[: len(ROW_COLUMNS)]
        raise ValueError(
            f"{len(missing)} rows of truth have no predictions, such as {recording}, {start:g} to {end:g} s"
        )
    joined = labelled.select(ROW_COLUMNS).join(scored, on=ROW_COLUMNS, how="left", maintain_order="left")
    present = {label: labelled[label].to_numpy() > 0 for label in labels}
    if not all(((values := labelled[label].to_numpy()) == (values > 0)).all() for label in labels):
        raise ValueError("truth should be 1 where a species is present, and 0 elsewhere")
    none = np.zeros(len(truth), bool)
    correct = np.stack([present.get(label, none) for label in classes], axis=1)
    _, recordings = np.unique(labelled["recording"].to_numpy().astype(str), return_inverse=True)
    return metrics_of(
        ScoredRows(
            joined.select(classes).to_numpy(),
            correct,
            primary=np.where(correct.sum(axis=1) == 1, correct.argmax(axis=1), -1),
            draws=draw_recordings(recordings.astype(np.int64), seed=DRAW_SEED),
            min_positives=min_positives,
            unknown=_present_count([present[label] for label in labels if label not in classes], rows=len(truth)),
        )
    )


def _present_count(columns: Sequence[Bool[np.ndarray, " rows"]], *, rows: int) -> np.ndarray:
    return np.asarray(sum(columns, np.zeros(rows, np.int64)))


def _checked_table(table: pl.DataFrame, name: str) -> pl.DataFrame:
    """Return a table with the columns that name rows first, and numbers from 0 to 1 in all others."""
    missing = [key for key in ROW_COLUMNS if key not in table.columns]
    if missing:
        raise ValueError(f"{name} has no column {missing[0]}")
    classes = [column for column in table.columns if column not in ROW_COLUMNS]
    if not classes or not len(table):
        raise ValueError(f"{name} has no {'rows' if classes else 'column of a class'}")
    try:
        found = table.select(
            pl.col("recording").cast(pl.String),
            pl.col("start", "end").cast(pl.Float64).round(TIME_DIGITS),
            pl.col(classes).cast(pl.Float64),
        )
    except pl.exceptions.PolarsError as error:
        raise ValueError(f"{name}: {str(error).splitlines()[0]}") from None
    names = found.select(ROW_COLUMNS)
    if names.null_count().sum_horizontal().item() or names.is_duplicated().any():
        raise ValueError(f"{name}: rows should have a recording, a start and an end, and be there once")
    values: Float64[np.ndarray, "rows classes"] = found.select(classes).to_numpy()
    wrong = ~((values >= 0) & (values <= 1))  # not a number, too
    if wrong.any():
        raise ValueError(f"{name}: {classes[int(wrong.any(axis=0).argmax())]} has values that are not from 0 to 1")
    return found
