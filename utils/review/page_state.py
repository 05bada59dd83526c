"""What the page of a review shows: the state, a detection, a row of detections, and the map."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from config import Config
from utils.review.embedding_map import MAP_SEED, chosen_evenly
from utils.review.session import Review
from utils.scoring.reports.clip_media import shown_span
from utils.scoring.reports.excerpts import frequency_ticks

ROW_LENGTH = 24  # detections that a search shows
MAP_POINTS = 100_000  # that the page draws
MAP_SCALE = 4095  # positions on the map are 0 to this
WHY_NOT = "--snapshot RUN, the run that made the detections, adds a search for more like this, and a map of all sounds"


def state_of(review: Review, config: Config, shown: int | None) -> dict[str, Any]:
    """Return what the page shows.

    Parameters
    ----------
    shown : index of the detection to be verified; None: all are
    """
    estimates, detections = review.estimates(), review.detections
    sizes, verified = estimates.size.sum(axis=1), estimates.verified.sum(axis=1)
    shares = [found.value if (found := estimates.precision(one)) else 0.0 for one in range(len(sizes))]
    known = [half <= review.rules.target for half in estimates.half_widths.tolist()]
    return {
        "detection": None if shown is None else shown_detection(review, shown, config),
        "seen": int(review.seen.sum()),
        "all": len(detections),
        "again": review.again if review.rules.second else None,
        "known": sum(known),
        "target": review.rules.target,
        "searchable": review.embeddings is not None,
        "why_not": "" if review.embeddings else WHY_NOT,
        "species": [
            {
                "name": name,
                "detections": int(sizes[index]),
                "verified": int(verified[index]),
                "precision": shares[index],
                "half": float(estimates.half_widths[index]),
                "known": known[index],
            }
            for index, name in enumerate(detections.species)
        ],
    }


def shown_detection(review: Review, index: int, config: Config) -> dict[str, Any]:
    """Return what the page shows of a detection; never what others found of it."""
    recording, start, end, species = review.detections.key(index)
    span = shown_span(review.detections.file(index), start, end)
    return {
        "index": index,
        "recording": recording,
        "start": start,
        "end": end,
        "from": span.start,
        "to": span.end,
        "species": species,
        "score": float(review.detections.scores[index]),
        "ticks": frequency_ticks(config.spectrogram),
    }


def similar_row(review: Review, index: int) -> dict[str, Any]:
    """Return the detections without a verdict that are most like one."""
    found = review.similar(index, count=ROW_LENGTH)
    items = _row_items(review, [one for one, _ in found])
    values = [{"similarity": value} for _, value in found]
    return {"shown": "similar", "items": [{**item, **more} for item, more in zip(items, values, strict=True)]}


def cluster_row(review: Review, index: int) -> dict[str, Any]:
    """Return the first detections without a verdict of a detection's cluster, and how many there are."""
    found = review.cluster(index)
    return {"shown": "cluster", "items": _row_items(review, found[:ROW_LENGTH]), "left": len(found)}


def _row_items(review: Review, indices: Sequence[int]) -> list[dict[str, Any]]:
    keys = review.detections.keys(indices)
    return [
        {"index": index, "recording": recording, "start": start, "species": species, "score": score}
        for index, (recording, start, _, species), score in zip(
            indices, keys, review.detections.scores[list(indices)].tolist(), strict=True
        )
    ]


def map_points(review: Review) -> dict[str, Any]:
    """Return the map as columns: one detection of each sound, at most so many, of every species about as many."""
    found, embeddings = review.map, review.embeddings
    assert embeddings is not None  # noqa: S101 — a map is of embeddings
    detection = np.full(len(embeddings.rows), -1)
    by_score = np.argsort(review.detections.scores, kind="stable")
    detection[embeddings.span_of[by_score]] = by_score  # of each sound, the one with the highest score
    spans = np.flatnonzero(embeddings.known)
    kinds = review.detections.species_index[detection[spans]]
    chosen = spans[chosen_evenly(kinds, MAP_POINTS, seed=MAP_SEED)]
    x, y = (MAP_SCALE * found.positions[chosen]).round().astype(int).T
    return {
        "scale": MAP_SCALE,
        "sounds": len(spans),
        "x": x.tolist(),
        "y": y.tolist(),
        "detection": detection[chosen].tolist(),
        "species": review.detections.species_index[detection[chosen]].tolist(),
        "cluster": found.clusters[chosen].tolist(),
        "verdict": review.by_me[detection[chosen]].tolist(),
        "names": list(review.detections.species),
    }
