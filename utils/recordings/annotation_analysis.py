"""Analysis of annotations: how many each species has, at which frequencies, how long they are, and what looks wrong.

Source: the data-set analysis in "Bird sound classification", a classifier for soundscapes of Kenya (annotations:
zenodo.org/records/10943500).
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from jaxtyping import Bool, Float, Int64

from config import Config
from utils import console
from utils.recordings.archive import Archive
from utils.recordings.archive_split import ArchiveSplit
from utils.recordings.lengths import split_at_end
from utils.recordings.recording import NOISE, Event, Recording

TAIL = 0.01  # share left out at each end of a range of frequencies, which so spans 98%
TOP, BOTTOM = 0.99, 0.1  # quantiles over species that stand for very common and very rare ones
FEW = 0.05  # share up to which points among spans, or spans among points, are probably mistakes
SPECIES_IN_LINE = 5  # species in one line
ROUNDED = 0.1  # seconds; an annotation that ends so little after its recording does so by rounding

EVENT_COLUMNS = pl.Schema(
    {
        "recording": pl.String(),
        "group": pl.String(),  # as in split.parquet; a recording that is left out is a group by itself
        "class": pl.String(),
        "start": pl.Float64(),  # seconds
        "end": pl.Float64(),
        "low": pl.Float64(),  # Hz
        "high": pl.Float64(),
        "seconds": pl.Float64(),  # length of the recording; null if not known
        "rate": pl.Float64(),  # of the recording, Hz; null if not known
        "others": pl.Int64(),  # number of other species within a clip around the middle
    }
)


@dataclass(frozen=True)
class AnnotationAnalysis:
    """What the annotations of an archive look like.

    Attributes
    ----------
    events : one row per annotation, with the columns `EVENT_COLUMNS`
    classes : one row per class, the content of events.csv
    anomalies : what looks wrong, one line each
    window : seconds around the middle of an annotation in which other species count as overlapping
    """

    events: pl.DataFrame
    classes: pl.DataFrame
    anomalies: list[str]
    window: float

    @property
    def per_recording(self) -> list[int]:
        """Annotations of each recording that has any, most first."""
        return self.events.group_by("recording").len()["len"].sort(descending=True).to_list()

    @property
    def quantiles(self) -> tuple[float, float, float]:
        """Annotations per species: bottom 10%, median and top 1%."""
        counts = self.classes["annotations"].to_numpy()
        bottom, median, top = np.quantile(counts, (BOTTOM, 0.5, TOP)).tolist()
        return bottom, median, top

    @property
    def centres(self) -> tuple[float, float] | None:
        """Range of the centres (low + high) / 2 of 98% of the annotations, Hz; None if no frequencies are known."""
        centres = self.events.select((pl.col("low") + pl.col("high")) / 2).to_series().drop_nulls()
        if centres.is_empty():
            return None
        low, high = np.quantile(centres.to_numpy(), (TAIL, 1 - TAIL)).tolist()
        return low, high


def analyse_annotations(archive: Archive, archive_split: ArchiveSplit, config: Config) -> AnnotationAnalysis | None:
    """Analyse all annotations of an archive, also those of classes that the settings leave out; None if it has none.

    Annotations after the end of their recording count only as anomalies.
    """
    split = archive_split.recordings
    names = [archive_split.groups.names[index] for index in archive_split.groups.index]
    groups = dict(zip((one.name for one in split), names, strict=True))
    window = config.clips.length
    rows: list[tuple[object, ...]] = []
    outside = 0
    for recording in archive.recordings:
        length = archive_split.lengths.get(recording.name)
        inside, after = (recording.events, ()) if length is None else split_at_end(recording.events, length)
        outside += len(after)
        rate = archive_split.rates.get(recording.name)
        rows += _annotation_rows(recording, inside, groups.get(recording.name, recording.name), length, rate, window)
    if not rows and not outside:
        return None
    events = pl.DataFrame(rows, schema=EVENT_COLUMNS, orient="row")
    used = {label for recording in split for label in recording.labels}
    classes = annotations_by_class(events, used)
    return AnnotationAnalysis(events, classes, anomalies_of(events, classes, outside=outside), window)


def _annotation_rows(
    recording: Recording,
    events: Sequence[Event],
    group: str,
    seconds: float | None,
    rate: int | None,
    window: float,
) -> list[tuple[object, ...]]:
    """Return the events of a recording as rows of `EVENT_COLUMNS`."""
    events = [event for event in events if event.species != NOISE]
    others = other_species(events, window=window).tolist()
    hertz = None if rate is None else float(rate)
    return [
        (recording.name, group, one.species, one.start, one.end, one.low, one.high, seconds, hertz, count)
        for one, count in zip(events, others, strict=True)
    ]


def other_species(events: Sequence[Event], *, window: float) -> Int64[np.ndarray, " events"]:
    """Count, for each event of a recording, the other species that are annotated around it.

    Parameters
    ----------
    window : seconds; a shorter event is in the middle of a window of this length, as in the middle of a clip
    """
    starts, ends = (np.array([getattr(event, name) for event in events], float) for name in ("start", "end"))
    labels = np.array([event.species for event in events], object)
    middles = (starts + ends) / 2
    first, last = np.minimum(starts, middles - window / 2), np.maximum(ends, middles + window / 2)
    others = np.zeros(len(events), np.int64)
    for label in dict.fromkeys(labels.tolist()):
        its = labels == label
        others += ~its & _overlapped(starts[its], ends[its], first, last)
    return others


def _overlapped(
    starts: Float[np.ndarray, " events"],
    ends: Float[np.ndarray, " events"],
    first: Float[np.ndarray, " windows"],
    last: Float[np.ndarray, " windows"],
) -> Bool[np.ndarray, " windows"]:
    """Tell which windows overlap any event, in the sense of `event_overlaps`."""
    points = starts == ends
    started = np.searchsorted(np.sort(starts), last, side="left")
    ended = np.searchsorted(np.sort(ends[~points]), first, side="right")
    passed = np.searchsorted(np.sort(starts[points]), first, side="left")
    return started - ended - passed > 0


def annotations_by_class(events: pl.DataFrame, used: Collection[str]) -> pl.DataFrame:
    """Return one row per class, the most frequent first: the content of events.csv.

    Its columns are `class`, its `annotations`, the `recordings` and `groups` that they are in, `low_p1`, `centre_p1`,
    `centre_p99` and `high_p99` (Hz: quantiles of the lowest frequency, of the centre (low + high) / 2, and of the
    highest frequency; null if not known), `points` and `spans` (annotations without and with a length),
    `median_seconds` (length of its spans), `overlapping` (annotations with another species around them) and `used`.

    Parameters
    ----------
    used : the classes that the settings do not leave out
    """
    low, high = pl.min_horizontal("low", "high"), pl.max_horizontal("low", "high")
    low, high = (
        pl.when(pl.col(name).is_null()).then(None).otherwise(one) for name, one in (("low", low), ("high", high))
    )
    length = pl.col("end") - pl.col("start")
    span = length > 0

    def quantile(value: pl.Expr, share: float) -> pl.Expr:
        return value.quantile(share, "linear").round(1)

    return (
        events.group_by("class")
        .agg(
            pl.len().alias("annotations"),
            pl.col("recording").n_unique().alias("recordings"),
            pl.col("group").n_unique().alias("groups"),
            quantile(low, TAIL).alias("low_p1"),
            quantile((low + high) / 2, TAIL).alias("centre_p1"),
            quantile((low + high) / 2, 1 - TAIL).alias("centre_p99"),
            quantile(high, 1 - TAIL).alias("high_p99"),
            (~span).sum().alias("points"),
            span.sum().alias("spans"),
            length.filter(span).median().round(3).alias("median_seconds"),
            (pl.col("others") > 0).sum().alias("overlapping"),
        )
        .with_columns(pl.col("class").is_in(list(used)).alias("used"))
        .sort("annotations", "class", descending=[True, False])
    )


def anomalies_of(events: pl.DataFrame, classes: pl.DataFrame, *, outside: int = 0) -> list[str]:
    """Return the anomalies of annotations, one line each.

    Parameters
    ----------
    outside : number of annotations that are not used because they lie after the end of their recording
    """
    count, points = len(events), int(classes["points"].sum())
    lines = []
    if 0 < count - points <= FEW * count:
        verb = "has" if count - points == 1 else "have"
        lines.append(f"{count - points:,} of {count:,} annotations {verb} a length, the others are points")
    if 0 < points <= FEW * count:
        verb = "is a point" if points == 1 else "are points"
        lines.append(f"{points:,} of {count:,} annotations {verb}, the others have a length")
    known = pl.col("low").is_not_null() & pl.col("high").is_not_null()
    unknown = count - events.filter(known).height
    if 0 < unknown < count:
        lines.append(f"{unknown:,} of {count:,} annotations have no frequencies, the others have")
    late = pl.col("end") > pl.col("seconds") + ROUNDED
    above = pl.max_horizontal("low", "high") > pl.col("rate") / 2
    for wrong, what in (
        (pl.col("high") < pl.col("low"), "have a highest frequency below the lowest"),
        (above, "reach above half the sample rate of their recording"),
        (late, "end after the end of their recording"),
    ):
        found = events.filter(wrong)
        if len(found):
            where = f"{found['recording'][0]} at {found['start'][0]:.1f} s"
            lines.append(f"{len(found):,} of {count:,} annotations {what}, such as in {where}")
    if outside:
        what = "annotations are" if outside > 1 else "annotation is"
        lines.append(f"{outside:,} {what} not used: after the end of the recording")
    single = classes.filter(pl.col("recordings") == 1)["class"].to_list()
    if single:
        some = ", ".join(single[:SPECIES_IN_LINE]) + (", …" if len(single) > SPECIES_IN_LINE else "")
        lines.append(f"{len(single):,} of {len(classes):,} species are in one recording only: {some}")
    return lines


def show_annotation_analysis(analysis: AnnotationAnalysis | None) -> None:
    """Print the main results of the analysis, and its anomalies; nothing without annotations."""
    if analysis:
        found = {f"anomaly {index}": line for index, line in enumerate(analysis.anomalies, 1)}
        console.show_table("Annotations", {**_annotation_summary(analysis), **found})


def _annotation_summary(analysis: AnnotationAnalysis) -> dict[str, str]:
    events, classes = analysis.events, analysis.classes
    if events.is_empty():
        return {"annotations": "none that can be used"}
    counts, of_recordings = classes["annotations"].to_list(), analysis.per_recording
    bottom, median, top = analysis.quantiles
    overlapping = int(classes["overlapping"].sum())
    lengths = events.select(pl.col("end") - pl.col("start")).to_series().to_numpy()
    spans = lengths[lengths > 0]
    per_recording = f"{of_recordings[-1]:,} to {of_recordings[0]:,} per recording"
    return {
        "all": f"{len(events):,} annotations of {len(classes):,} species in {len(of_recordings):,} "
        f"{'recordings' if len(of_recordings) > 1 else 'recording'}, {per_recording}",
        "per species": f"{min(counts):,} to {max(counts):,}, median {median:,.0f}; "
        f"top 1%: {top:,.0f} or more; bottom 10%: {bottom:,.0f} or fewer",
        **_frequency_row(analysis),
        "lengths": f"{len(events) - len(spans):,} points, {len(spans):,} with a length"
        + (f" (median {np.median(spans):.2f} s)" if len(spans) else ""),
        "overlapping": f"{overlapping:,} have another species within {analysis.window:g} s around their middle "
        f"({overlapping / len(events):.0%})",
    }


def _frequency_row(analysis: AnnotationAnalysis) -> dict[str, str]:
    if analysis.centres is None:
        return {}
    low, high = analysis.centres
    return {"frequencies": f"98% have their centre (low + high) / 2 between {low:,.0f} and {high:,.0f} Hz"}
