"""The page `spec/overview.html`: kept and rejected clips as spectrograms, to choose the signal threshold by eye."""

import base64
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import jinja2
import numpy as np
import polars as pl
from jaxtyping import Int64, UInt8

from config import Config
from utils import console
from utils.files import write_text
from utils.recordings.recording import LONG_RECORDINGS, NOISE
from utils.spectra.overview import all_scores, clips_per_class, rejected_text, write_classes
from utils.spectra.score_counts import EDGES, clips_kept_from, nearest_edge
from utils.spectra.store import Store

TEMPLATE = Path(__file__).with_name("overview.html.j2")
MAX_IMAGES_PER_CLASS = 18  # a third of them of rejected clips
MAX_IMAGES = 60 * MAX_IMAGES_PER_CLASS  # on the page, shared by the classes; but each class has at least two
MAX_CLASSES_WITH_IMAGES = 1500  # those with the fewest clips
MAX_IMAGE_SIZE = (192, 96)  # width and height, pixels
MAX_IMAGE_BYTES = 3000
MAX_TOTAL_BYTES = 3_600_000  # of all images; in base64 they are a third longer
JPEG_QUALITIES = (50, 35, 20)  # tried in this order until an image is small enough, before it gets fewer pixels
CURVE_SIZE = (400, 180)  # width and height, SVG units
QUARTILES = np.array([0.25, 0.75])
MIN_CLASSES_FOR_BAND = 4  # of fewer classes, quartiles say nothing


@dataclass(frozen=True)
class ClipImage:
    """A clip on the page.

    Attributes
    ----------
    jpeg : its spectrogram as JPEG, base64
    score : signal score
    recording, start : its recording, and its start in seconds
    without_event : whether it was rejected despite its score, because it has no event
    """

    jpeg: str
    score: float
    recording: str
    start: float
    without_event: bool


@dataclass(frozen=True)
class ClassImages:
    """The images of a class, those next to the threshold first: kept clips by rising, rejected by falling score."""

    kept: list[ClipImage]
    rejected: list[ClipImage]


def write_overview(store: Store, config: Config) -> pl.DataFrame:
    """Write `classes.csv` and `overview.html` into the store's folder; return the table of `clips_per_class`."""
    classes = clips_per_class(store)
    write_classes(classes, store.folder)
    write_text(store.folder / "overview.html", overview_html(store, classes, config))
    return classes


def overview_html(store: Store, classes: pl.DataFrame, config: Config) -> str:
    """Return the page: one file without network access, a few megabytes at most whatever the number of classes.

    Parameters
    ----------
    classes : the table of `clips_per_class`
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATE.parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    counts = all_scores(store)
    threshold = config.clips.signal_threshold
    kept, rejected = images_per_class(len(classes))
    with_images = [] if store.keeps_embeddings else classes["class"].to_list()[:MAX_CLASSES_WITH_IMAGES]
    images = dict(_images_of_classes(store, with_images, kept=kept, rejected=rejected, threshold=threshold))
    return environment.get_template(TEMPLATE.name).render(
        clips=config.clips,
        spectrogram=config.spectrogram,
        totals=_totals(store),
        edges=EDGES,
        now=EDGES.index(nearest_edge(threshold)) if threshold else 0,
        total=int(counts.sum()),
        counts=counts.tolist(),
        curve=_curve(counts, classes, threshold=threshold),
        classes=[
            {**row, "by_rule": row["class"] != NOISE, "images": images.get(row["class"])}
            for row in classes.sort("class").iter_rows(named=True)
        ],
        kept=kept,
        rejected=rejected,
        without_images=len(classes) - len(with_images),
    )


def images_per_class(classes: int) -> tuple[int, int]:
    """Return how many kept and how many rejected clips of each class are shown."""
    each = min(MAX_IMAGES_PER_CLASS, max(2, MAX_IMAGES // max(1, classes)))
    rejected = max(1, each // 3)
    return each - rejected, rejected


def spread(clips: pl.DataFrame, count: int, *, falling: bool = False) -> pl.DataFrame:
    """Choose `count` clips evenly from the lowest to the highest score, both included, ordered by score.

    Parameters
    ----------
    falling : order from the highest score to the lowest
    """
    ordered = clips.sort("score", "recording", "index", descending=falling)
    if len(ordered) <= count:
        return ordered
    return ordered[np.unique(np.linspace(0, len(ordered) - 1, count).round().astype(np.int64))]


def _images_of_classes(
    store: Store, labels: list[str], *, kept: int, rejected: int, threshold: float
) -> Iterator[tuple[str, ClassImages]]:
    if not labels:
        return
    wanted = ["" if label == LONG_RECORDINGS else label for label in labels]
    clips = store.clips.with_row_index("clip").filter(pl.col("class").is_in(wanted))
    most = min(MAX_IMAGE_BYTES, MAX_TOTAL_BYTES // max(1, len(labels) * (kept + rejected)))
    with console.progress("overview", total=len(labels), unit="classes") as advance:
        for (label,), rows in clips.group_by("class", maintain_order=True):
            good = spread(rows.filter("accepted"), kept)
            bad = spread(rows.filter(~pl.col("accepted")), rejected, falling=True)
            images = (_clip_images(store, some, threshold, most=most) for some in (good, bad))
            yield str(label) or LONG_RECORDINGS, ClassImages(*images)
            advance()


def _clip_images(store: Store, clips: pl.DataFrame, threshold: float, *, most: int) -> list[ClipImage]:
    if clips.is_empty():
        return []
    spectrograms = store.spectrograms(clips["clip"].cast(pl.Int64).to_numpy())
    return [
        ClipImage(
            jpeg=base64.b64encode(small_jpeg(spectrogram, most=most)).decode(),
            score=row["score"],
            recording=row["recording"],
            start=row["start"],
            without_event=not row["accepted"] and row["score"] >= threshold,
        )
        for spectrogram, row in zip(spectrograms, clips.iter_rows(named=True), strict=True)
    ]


def small_jpeg(image: UInt8[np.ndarray, "height width"], *, most: int) -> bytes:
    """Return an image as a JPEG of at most MAX_IMAGE_SIZE and `most` bytes; `most` must be at least about 400."""
    height, width = image.shape
    scale = min(1.0, MAX_IMAGE_SIZE[0] / width, MAX_IMAGE_SIZE[1] / height)
    while True:
        size = max(1, round(width * scale)), max(1, round(height * scale))
        small = cv2.resize(image, size, interpolation=cv2.INTER_AREA) if scale < 1 else image
        for quality in JPEG_QUALITIES:
            content = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()
            if len(content) <= most:
                return content
        scale *= 0.8


def _totals(store: Store) -> dict[str, str]:
    read = store.recordings.filter(pl.col("reason").is_null())
    unread = len(store.recordings) - len(read)
    return {
        "recordings": f"{len(read):,}" + (f" ({unread:,} could not be used, see rejected.csv)" if unread else ""),
        "of sound": console.clock(float(read["seconds"].sum())),
        "clips kept": f"{int(read['kept'].sum()):,}",
        "rejected": rejected_text(read),
        "recordings without a clip": f"{len(read.filter(kept=0)):,}",
    }


def _curve(counts: Int64[np.ndarray, " bins"], classes: pl.DataFrame, *, threshold: float) -> dict[str, Any]:
    """Return the fractions of clips that thresholds would keep, as SVG points: of all clips, and class quartiles."""
    some = classes.filter(~pl.col("class").is_in([NOISE, LONG_RECORDINGS]))["scores"].to_list()
    each = np.array([row for row in some if sum(row)], np.int64).reshape(-1, len(EDGES))
    fractions = clips_kept_from(each) / each.sum(axis=1, keepdims=True)
    low, high = np.quantile(fractions, QUARTILES, axis=0) if len(each) >= MIN_CLASSES_FOR_BAND else ([], [])
    line = clips_kept_from(counts) / max(1, counts.sum())
    return {
        "width": CURVE_SIZE[0],
        "height": CURVE_SIZE[1],
        "line": _points(line),
        "band": " ".join([_points(high), *reversed(_points(low).split())]),
        "x": [round(_x_of(edge), 1) for edge in EDGES],
        "now": round(_x_of(threshold), 1),
        "ticks": [(f"{tick:g}", round(_x_of(tick), 1)) for tick in (0.0001, 0.001, 0.01, 0.1, 1.0)],
    }


def _x_of(threshold: float) -> float:
    """Return the x coordinate of a threshold on the logarithmic axis."""
    return CURVE_SIZE[0] * (1 + np.log10(max(threshold, EDGES[1])) / 4)


def _points(fractions: Any) -> str:
    return " ".join(
        f"{_x_of(edge):.1f},{CURVE_SIZE[1] * (1 - fraction):.1f}"
        for edge, fraction in zip(EDGES[1:], fractions[1:], strict=False)
    )
