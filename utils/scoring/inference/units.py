"""Predictions for what `testing.unit` names: whole recordings, their intervals, or the annotated events in them."""

from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from jaxtyping import Float, Float32

from config import Config
from utils import console
from utils.recordings.recording import NOISE, Event, read_metadata
from utils.recordings.spans import Spans, labelled_in, labelled_intervals
from utils.scoring.inference.ensembles import Ensemble, Member, assemble
from utils.scoring.inference.events import EventPrediction, predict_events
from utils.scoring.inference.fingerprints import fingerprint_of_scores
from utils.scoring.inference.interval_rules import for_unit, warn_of_unused_rules
from utils.scoring.inference.intervals import (
    IntervalPrediction,
    predict_intervals_in_memory,
    scores_and_novelty,
)
from utils.scoring.inference.metadata_blend import Blend, blend_of
from utils.scoring.inference.prior import prior_of
from utils.scoring.inference.recording_groups import PredictSome, predict_on_workers
from utils.scoring.inference.recordings import Predictions, predict_recordings
from utils.scoring.inference.unit_rows import ROWS, events_inside, interval_rows, overlapping_species
from utils.scoring.metrics.units import Unit, unit_word
from utils.sound.remote import sounds_at
from utils.spectra.interval_grid import interval_times


def unit_of(recordings: pl.DataFrame, config: Config) -> Unit:
    """Return `testing.unit`; 'auto' depends on whether only annotations label the held-out recordings.

    Raises
    ------
    UserError
        If the unit needs annotations with times, and no recording has any.
    """
    unit = config.testing.unit
    labelled_by_events = recordings.filter(pl.col("events").list.len() > 0)
    if unit == "auto":
        with_birds = recordings.filter(pl.col("class") != NOISE)
        if labelled_by_events.is_empty() or (with_birds["class"] != "").any():
            return "recording"
        return "event" if config.clips.choose == "annotations" else "interval"
    if unit != "recording" and labelled_by_events.is_empty():
        raise console.UserError(
            f"testing.unit = {unit}: no held-out recording has annotations with times; use testing.unit = recording"
        )
    return unit


def predict_units(
    members: Sequence[Member], recordings: pl.DataFrame, config: Config, unit: Unit, *, what: str = "testing"
) -> Predictions:
    """Predict recordings, or each of their intervals or events, and put the predictions into one table.

    Whole recordings count if the unit is not the recording; recordings without annotations are then left out, except
    that intervals of recordings without birds count as empty.

    Parameters
    ----------
    recordings : rows of the split
    what : title of the progress bar

    Raises
    ------
    UserError
        If a network, the metadata classifier or the prior's table is damaged.
    """
    warn_of_unused_rules(config, unit)
    config = for_unit(config, unit)
    if unit == "recording":
        return predict_recordings(members, recordings, config, what=what)
    recordings, elapsed = _with_annotations(recordings, unit), console.stopwatch()
    ensemble = assemble(members)
    table = _RowTable(ensemble.classes, unit, with_novelty=ensemble.measures_novelty)
    blend, prior = blend_of(recordings, ensemble.classes, config), prior_of(recordings, ensemble.classes, config)
    coming = (
        _event_rows(ensemble, recordings, config) if unit == "event" else _interval_rows(ensemble, recordings, config)
    )
    with console.progress(what, total=len(recordings), unit="recordings") as advance, closing(coming):
        for rows in coming:
            name = recordings["recording"][rows.row]
            factors = None if prior is None or rows.reason else prior(name)
            table.add(name, recordings["file"][rows.row], rows, factors, blend(name) if blend else None)
            advance()
    found = table.predictions(recordings, fingerprint_of_scores(members, config))
    return replace(found, times=ensemble.timer.times(clips=int(found.clips.sum()), seconds=elapsed()))


def _with_annotations(recordings: pl.DataFrame, unit: Unit) -> pl.DataFrame:
    """Leave out, and count, recordings of which nobody said when a species is heard."""
    told = pl.col("events").list.len() > 0
    if unit == "interval":
        told = told | pl.col("class").is_in([NOISE, ""])
    usable = recordings.filter(told)
    if len(usable) < len(recordings):
        console.warning(
            f"{len(recordings) - len(usable)} of {len(recordings)} held-out recordings have no annotations with times, "
            f"so that their {unit_word(unit)} are not known; they are left out (testing.unit = {unit})"
        )
    unsure = int(usable["unsure"].fill_null(False).sum()) if "unsure" in usable.columns and unit == "interval" else 0
    if unsure:
        console.warning(
            f"{unsure} of {len(usable)} recordings have annotations that could not be used; "
            "intervals there may have birds that count as absent"
        )
    return usable


@dataclass(frozen=True)
class _Rows:
    """The rows of one recording.

    Attributes
    ----------
    row : index of the recording
    values : of each row, those of ROWS but for recording and file
    reasons : why a row has no scores; None if it has
    reason : why the whole recording could not be used; None if it could
    novelty : of each row; None if it was not asked for
    """

    row: int
    values: list[dict[str, Any]]
    scores: Float[np.ndarray, "rows classes"]
    clips: Sequence[int]
    reasons: Sequence[str | None] = ()
    reason: str | None = None
    warnings: tuple[str, ...] = ()
    novelty: Float32[np.ndarray, " rows"] | None = None


def _interval_rows(ensemble: Ensemble, recordings: pl.DataFrame, config: Config) -> Generator[_Rows]:
    files = sounds_at(config.dataset.root, recordings["file"])
    no_scores = np.empty((0, len(ensemble.classes)))
    spans = _labelled_spans(recordings["recording"].to_list(), config)

    def predict_rows(rows: Sequence[int]) -> PredictSome[IntervalPrediction]:
        some = [files[row] for row in rows]
        return partial(predict_intervals_in_memory, files=some, interval=config.testing.interval)

    with closing(predict_on_workers(predict_rows, files, ensemble, config)) as coming:
        for row, one in coming:
            if isinstance(one, console.Failure):
                yield _Rows(row, [], no_scores, [], reason=one.reason)
                continue
            label = recordings["class"][row]
            events, problem = events_inside(recordings["events"][row].to_list(), one.length)
            if problem and not events:
                yield _Rows(row, [], no_scores, [], reason=f"{problem}; it is left out of the metrics")
                continue
            starts, ends = interval_times(one.length, interval=config.testing.interval)
            labelled = labelled_intervals(spans.get(recordings["recording"][row]), starts, ends)
            if not labelled.any():
                reason = f"no interval of {config.testing.interval:g} s is labelled from its start to its end"
                yield _Rows(row, [], no_scores, [], reason=reason)
                continue
            values = interval_rows(events, starts, ends, labelled, **{"class": label if label == NOISE else ""})
            clips = np.array(one.clips)[labelled].tolist()
            warnings = (*one.length.warnings, *([problem] if problem else []))
            scores, novelty = scores_and_novelty(one, config, classes=len(ensemble.classes))
            novelty = None if novelty is None else novelty[labelled]
            yield _Rows(row, values, scores[labelled], clips, warnings=warnings, novelty=novelty)


def _labelled_spans(names: Sequence[str], config: Config) -> dict[str, Spans | None]:
    """Return which spans of each recording its labels speak of; None, or no entry: all of it."""
    spans: dict[str, Spans | None] = {}
    damaged: list[str] = []
    for name in names:
        file = config.dataset.root / "metadata" / f"{name}.json"
        try:
            spans[name] = labelled_in(read_metadata(file))
        except FileNotFoundError:  # the split has its labels
            continue
        except (OSError, ValueError) as error:
            damaged.append(f"{console.printable(file)}: {error}")
    if damaged:
        console.warning(
            f"{damaged[0]} ({len(damaged)} of {len(names)} such files are damaged); "
            "all intervals of these recordings count as labelled; run sort_data.py again"
        )
    return spans


def _event_rows(ensemble: Ensemble, recordings: pl.DataFrame, config: Config) -> Generator[_Rows]:
    spans = [
        list(dict.fromkeys((one["start"], one["end"], one["species"]) for one in events if one["species"] != NOISE))
        for events in recordings["events"].to_list()
    ]
    length = max(group.clips.length for group in ensemble.groups)
    files = sounds_at(config.dataset.root, recordings["file"])

    def predict_rows(rows: Sequence[int]) -> PredictSome[EventPrediction]:
        some = recordings.select("recording", "file")[list(rows)]
        return partial(predict_events, recordings=some, events=[spans[row] for row in rows])

    with closing(predict_on_workers(predict_rows, files, ensemble, config)) as coming:
        for row, one in coming:
            if isinstance(one, console.Failure):
                no_scores = np.empty((0, len(ensemble.classes)))
                yield _Rows(row, [], no_scores, [], reason=one.reason)
                continue
            events = [Event(*span) for span in spans[row]]
            values = [
                {
                    "class": event.species,
                    "background": background,
                    "start": event.start,
                    "end": event.end,
                }
                for event, background in zip(events, overlapping_species(events, length=length), strict=True)
            ]
            seconds = one.length.frames / one.length.rate
            reasons = [
                None if clips else f"an annotation at {event.start:g} s is after its end ({seconds:.1f} s)"
                for event, clips in zip(events, one.clips.tolist(), strict=True)
            ]
            clips, warnings = one.clips.tolist(), one.length.warnings
            yield _Rows(row, values, one.scores, clips, reasons, warnings=warnings, novelty=one.novelty)


class _Finished(NamedTuple):
    """The rows of one recording, their scores, and those without the metadata classifier (NaN: not blended)."""

    values: list[dict[str, Any]]
    rows: _Rows
    scores: Float32[np.ndarray, "rows classes"]
    without_metadata: Float32[np.ndarray, "rows classes"]


@dataclass
class _RowTable:
    """Collects the rows of recordings, which come in any order, and joins them in the order of the recordings."""

    classes: tuple[str, ...]
    unit: Unit
    with_novelty: bool = False
    _found: dict[int, _Finished] = field(default_factory=dict)

    def add(
        self, name: str, file: str, rows: _Rows, factors: Float[np.ndarray, " classes"] | None, blend: Blend | None
    ) -> None:
        """Take in the rows of a recording; one without scores has one row of NaN."""
        alone = rows.scores.astype(np.float32)
        scores = blend.blended(rows.scores) if blend else alone
        if blend is None or not blend.applies:
            alone = np.full_like(alone, np.nan)
        if factors is not None:
            scores, alone = ((part.astype(np.float64) * factors).astype(np.float32) for part in (scores, alone))
        values = rows.values
        if rows.reason:
            values, scores = [{}], np.full((1, len(self.classes)), np.nan, np.float32)
            alone = scores
        whole = {"recording": name, "file": file, "class": "", "background": [], "events": []}
        self._found[rows.row] = _Finished([{**whole, **one} for one in values], rows, scores, alone)

    def predictions(self, recordings: pl.DataFrame, fingerprint: str) -> Predictions:
        """Return all rows."""
        ordered = [self._found[row] for row in sorted(self._found)]
        names = recordings["recording"]
        reasons = [
            reason
            for values, rows, *_ in ordered
            for reason in ([rows.reason] if rows.reason else rows.reasons or [None] * len(values))
        ]
        alone = self._joined_scores([of_one.without_metadata for of_one in ordered])
        return Predictions(
            pl.DataFrame([one for of_one in ordered for one in of_one.values], schema=ROWS),
            self.classes,
            self._joined_scores([of_one.scores for of_one in ordered]),
            np.array([clips for _, rows, *_ in ordered for clips in ([0] if rows.reason else rows.clips)], np.int64),
            reasons,
            fingerprint=fingerprint,
            warnings={names[rows.row]: rows.warnings for _, rows, *_ in ordered if rows.warnings},
            unit=self.unit,
            novelty=self._novelty(ordered) if self.with_novelty else None,
            without_metadata=alone if np.isfinite(alone).any() else None,
        )

    def _joined_scores(self, parts: list[Float32[np.ndarray, "_ _"]]) -> Float32[np.ndarray, "rows classes"]:
        return np.concatenate(parts or [np.empty((0, len(self.classes)), np.float32)])

    @staticmethod
    def _novelty(ordered: Sequence[_Finished]) -> Float32[np.ndarray, " rows"]:
        parts = [
            np.full(len(values), np.nan, np.float32) if rows.novelty is None else rows.novelty
            for values, rows, *_ in ordered
        ]
        return np.concatenate(parts or [np.empty(0, np.float32)])
