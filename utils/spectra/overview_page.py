"""The page `spec/overview.html`: what was kept and rejected, in pictures, so that a threshold is set by eye."""

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
from utils.recordings.recording import LONG, NOISE
from utils.spectra.overview import all_scores, per_class, write_classes
from utils.spectra.score_counts import EDGES, kept_from, nearest_edge
from utils.spectra.store import Store

TEMPLATE = Path(__file__).with_name("overview.html.j2")
PICTURES = 18  # of a class, at most; a third of them rejected ones
ALL_PICTURES = 60 * PICTURES  # on the page: classes share them, but each has two
ALL_SHEETS = 1500  # classes with pictures, at most: those with the fewest clips
SIDES = (192, 96)  # pixels of a picture on the page, at most
BYTES = 3000  # of it, at most
ALL_BYTES = 3_600_000  # of all of them, at most; as text, they are a third longer
QUALITIES = (50, 35, 20)  # of JPEG, until a picture is small enough; then its sides shrink
CURVE = (400, 180)  # size of the curve, in units of the drawing
SHARES = np.array([0.25, 0.75])  # the half of the classes around the middle
FEW = 4  # classes of which a half around the middle says nothing


@dataclass(frozen=True)
class Picture:
    """A clip on the page.

    Attributes
    ----------
    image : JPEG, as text in base 64
    score : its signal score
    recording, start : where it comes from, and from which second
    outside : whether it was rejected although its score would do, for nobody sings in it
    """

    image: str
    score: float
    recording: str
    start: float
    outside: bool


@dataclass(frozen=True)
class Sheet:
    """The pictures of a class: `kept` by rising, `rejected` by falling score, so that those at the threshold come first."""

    kept: list[Picture]
    rejected: list[Picture]


def write_overview(store: Store, config: Config) -> pl.DataFrame:
    """Write `classes.csv` and `overview.html` into the store's folder; returns the classes as `per_class` counts them."""
    classes = per_class(store)
    write_classes(classes, store.folder)
    write_text(store.folder / "overview.html", page(store, classes, config))
    return classes


def page(store: Store, classes: pl.DataFrame, config: Config) -> str:
    """Return the page; it is one file, needs no network, and stays a few megabytes long whatever the number of classes.

    Parameters
    ----------
    classes : as `per_class` counts them
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
    kept, rejected = shares_of(len(classes))
    sheets = dict(
        _sheets(store, classes["class"].to_list()[:ALL_SHEETS], kept=kept, rejected=rejected, threshold=threshold)
    )
    return environment.get_template(TEMPLATE.name).render(
        clips=config.clips,
        spectrogram=config.spectrogram,
        figures=_figures(store),
        edges=EDGES,
        now=EDGES.index(nearest_edge(threshold)) if threshold else 0,
        total=int(counts.sum()),
        counts=counts.tolist(),
        curve=_curve(counts, classes, threshold=threshold),
        classes=[
            {**row, "ruled": row["class"] != NOISE, "sheet": sheets.get(row["class"])}
            for row in classes.sort("class").iter_rows(named=True)
        ],
        kept=kept,
        rejected=rejected,
        without_sheet=len(classes) - min(len(classes), ALL_SHEETS),
    )


def shares_of(classes: int) -> tuple[int, int]:
    """Return how many kept and how many rejected pictures of each class are shown."""
    each = min(PICTURES, max(2, ALL_PICTURES // max(1, classes)))
    rejected = max(1, each // 3)
    return each - rejected, rejected


def spread(clips: pl.DataFrame, count: int, *, falling: bool = False) -> pl.DataFrame:
    """Choose clips evenly from the lowest to the highest score (`falling`: from the highest to the lowest), in that order, both included."""
    ordered = clips.sort("score", "recording", "number", descending=falling)
    if len(ordered) <= count:
        return ordered
    return ordered[np.unique(np.linspace(0, len(ordered) - 1, count).round().astype(np.int64))]


def _sheets(
    store: Store, labels: list[str], *, kept: int, rejected: int, threshold: float
) -> Iterator[tuple[str, Sheet]]:
    wanted = ["" if label == LONG else label for label in labels]
    clips = store.clips.with_row_index("clip").filter(pl.col("class").is_in(wanted))
    most = min(BYTES, ALL_BYTES // max(1, len(labels) * (kept + rejected)))
    with console.progress("overview", total=len(labels), unit="classes") as advance:
        for (label,), rows in clips.group_by("class", maintain_order=True):
            good, bad = (
                spread(rows.filter("accepted"), kept),
                spread(rows.filter(~pl.col("accepted")), rejected, falling=True),
            )
            yield (
                str(label) or LONG,
                Sheet(_pictures(store, good, threshold, most=most), _pictures(store, bad, threshold, most=most)),
            )
            advance()


def _pictures(store: Store, clips: pl.DataFrame, threshold: float, *, most: int) -> list[Picture]:
    if clips.is_empty():
        return []
    pixels = store.pictures(clips["clip"].cast(pl.Int64).to_numpy())
    return [
        Picture(
            image=base64.b64encode(small_jpeg(picture, most=most)).decode(),
            score=row["score"],
            recording=row["recording"],
            start=row["start"],
            outside=not row["accepted"] and row["score"] >= threshold,
        )
        for picture, row in zip(pixels, clips.iter_rows(named=True), strict=True)
    ]


def small_jpeg(picture: UInt8[np.ndarray, "height width"], *, most: int) -> bytes:
    """Return a picture as a JPEG of at most SIDES pixels and `most` bytes, of which it needs about 400."""
    height, width = picture.shape
    scale = min(1.0, SIDES[0] / width, SIDES[1] / height)
    while True:
        size = max(1, round(width * scale)), max(1, round(height * scale))
        small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA) if scale < 1 else picture
        for quality in QUALITIES:
            content = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()
            if len(content) <= most:
                return content
        scale *= 0.8


def _figures(store: Store) -> dict[str, str]:
    read = store.recordings.filter(pl.col("reason").is_null())
    unread = len(store.recordings) - len(read)
    return {
        "recordings": f"{len(read):,}" + (f" ({unread:,} could not be used, see rejected.csv)" if unread else ""),
        "of sound": console.clock(float(read["seconds"].sum())),
        "clips kept": f"{int(read['kept'].sum()):,}",
        "rejected": f"{int(read['rejected'].sum()):,} ({int(read['noise'].sum()):,} of them kept as noise)",
        "recordings without a clip": f"{len(read.filter(kept=0)):,}",
    }


def _curve(counts: Int64[np.ndarray, " bins"], classes: pl.DataFrame, *, threshold: float) -> dict[str, Any]:
    """Return the share that each threshold would keep as lines to draw: of all clips, and the half of the classes around the middle."""
    some = [row for row in classes.filter(~pl.col("class").is_in([NOISE, LONG]))["scores"].to_list() if sum(row)]
    each = np.array(some, np.int64).reshape(-1, len(EDGES))
    low, high = (
        np.quantile(kept_from(each) / each.sum(axis=1, keepdims=True), SHARES, axis=0) if len(each) >= FEW else ([], [])
    )
    line = kept_from(counts) / max(1, counts.sum())
    return {
        "width": CURVE[0],
        "height": CURVE[1],
        "line": _points(line),
        "band": " ".join([_points(high), *reversed(_points(low).split())]),
        "x": [round(_place(edge), 1) for edge in EDGES],
        "now": round(_place(threshold), 1),
        "ticks": [(f"{tick:g}", round(_place(tick), 1)) for tick in (0.0001, 0.001, 0.01, 0.1, 1.0)],
    }


def _place(threshold: float) -> float:
    """Return how far to the right a threshold stands; the axis is logarithmic."""
    return CURVE[0] * (1 + np.log10(max(threshold, EDGES[1])) / 4)


def _points(shares: Any) -> str:
    return " ".join(
        f"{_place(edge):.1f},{CURVE[1] * (1 - share):.1f}" for edge, share in zip(EDGES[1:], shares[1:], strict=False)
    )
