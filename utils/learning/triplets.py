"""Triplets: which clips each clip is compared with, drawn recording by recording.

For each anchor recording, recordings of its class are drawn at random (other ones, where there are any) until they have
at least as many clips; these, in order, are the positives of its clips. Its negatives are drawn in the same way from
recordings with which it shares no species: neither's class is the other's class or among its background species. Of a
recording whose clips have several classes, the clips of each class count as a recording of their own.

What was drawn depends on seed and epoch alone. `snapshots/<run>/triplets.parquet` shows it as the seed document's table
of positives and negatives: one row per anchor recording.

Source: the repository birdclef-2021 (docs/systems.md).
"""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl
from jaxtyping import Int64

from config import Training
from utils.learning.examples import Examples
from utils.tables import write_table

STREAM = 3  # of random numbers, besides those that order the clips of an epoch
COLUMNS: dict[str, pl.DataType | type[pl.DataType]] = {
    "epoch": pl.Int64,
    "anchor": pl.String,
    "class": pl.String,
    "positives": pl.List(pl.String),
    "negatives": pl.List(pl.String),
}
ClipIndices = Int64[np.ndarray, " clips"]


class AnchorRecording(NamedTuple):
    """The clips of one class in a recording, as indices of `Examples.rows`, and all species that are heard in them."""

    name: str
    label: int
    species: frozenset[int]
    clips: ClipIndices


@dataclass(frozen=True)
class DrawnTriplets:
    """The triplets of an epoch.

    Attributes
    ----------
    epoch : in which they were drawn
    positives, negatives : of each clip that is learned from, as indices of `Examples.rows`
    recordings : each anchor recording, and those that its positives and its negatives are from
    """

    epoch: int
    positives: ClipIndices
    negatives: ClipIndices
    recordings: list[tuple[AnchorRecording, list[AnchorRecording], list[AnchorRecording]]]

    def beside(self, order: Int64[np.ndarray, "steps batch"]) -> Int64[np.ndarray, "steps three_batches"]:
        """Return the clips of each step with their positives and negatives: anchors, positives, negatives."""
        return np.concatenate([order, self.positives[order], self.negatives[order]], axis=1)


def anchor_recordings(examples: Examples) -> list[AnchorRecording]:
    """Return the recordings that are learned from, by class."""
    labels = examples.labels
    names = examples.store.clips["recording"].gather(examples.rows).to_numpy().astype(str)
    _, recording = np.unique(names, return_inverse=True)
    order = np.lexsort((recording, labels.primary))  # stable: clips of a recording stay in their order
    keys = np.stack([labels.primary, recording])[:, order]
    starts = np.flatnonzero(np.diff(keys, axis=1).any(axis=0)) + 1
    return [
        AnchorRecording(
            str(names[clips[0]]),
            int(labels.primary[clips[0]]),
            frozenset({int(labels.primary[clips[0]]), *labels.background[clips].ravel().tolist()} - {-1}),
            clips,
        )
        for clips in np.split(order, starts)
    ]


def draw_triplets(examples: Examples, settings: Training, *, epoch: int) -> DrawnTriplets:
    """Draw the positives and negatives of all clips for an epoch; with `triplets.redraw` off, those of the first.

    The positives of a recording that is the only one of its class are its own clips, each the next one of another. If
    all others share species with a recording, it has no negatives: its own clips stand in their place, and
    `triplet_losses` leaves such triplets out.
    """
    epoch = epoch if settings.triplets.redraw else 1
    generator, recordings = np.random.default_rng((settings.seed, epoch, STREAM)), anchor_recordings(examples)
    shuffled = [recordings[index] for index in generator.permutation(len(recordings))]
    of_class: dict[int, list[AnchorRecording]] = defaultdict(list)
    for recording in shuffled:
        of_class[recording.label].append(recording)
    positives, negatives = (np.empty(len(examples.rows), np.int64) for _ in range(2))
    drawn = []
    for anchor, positions in zip(recordings, generator.random((len(recordings), 2)).tolist(), strict=True):
        same = _as_long_as(anchor, of_class[anchor.label], positions[0], lambda one, other: one is not other)
        others = _as_long_as(anchor, shuffled, positions[1], _share_no_species)
        positives[anchor.clips] = _clips_of(same, anchor) if same else np.roll(anchor.clips, -1)
        negatives[anchor.clips] = _clips_of(others, anchor) if others else anchor.clips
        drawn.append((anchor, same, others))
    return DrawnTriplets(epoch, positives, negatives, drawn)


def _as_long_as(
    anchor: AnchorRecording,
    shuffled: list[AnchorRecording],
    position: float,
    fit: Callable[[AnchorRecording, AnchorRecording], bool],
) -> list[AnchorRecording]:
    """Return recordings that fit an anchor, from a position (0 to 1) of a random order on, until as long."""
    chosen, clips, first = [], 0, int(position * len(shuffled))
    for step in range(len(shuffled)):
        other = shuffled[(first + step) % len(shuffled)]
        if clips >= len(anchor.clips):
            break
        if fit(anchor, other):
            chosen.append(other)
            clips += len(other.clips)
    return chosen


def _share_no_species(anchor: AnchorRecording, other: AnchorRecording) -> bool:
    return anchor.label not in other.species and other.label not in anchor.species


def _clips_of(chosen: list[AnchorRecording], anchor: AnchorRecording) -> ClipIndices:
    """Return as many clips as the anchor has; of shorter recordings, again from their first on."""
    return np.resize(np.concatenate([recording.clips for recording in chosen]), len(anchor.clips))


def write_triplets(path: Path, triplets: DrawnTriplets, classes: tuple[str, ...]) -> None:
    """Write the table of anchors, positives and negatives, as names of recordings."""
    rows = [
        (triplets.epoch, anchor.name, classes[anchor.label], *([one.name for one in drawn] for drawn in both))
        for anchor, *both in triplets.recordings
    ]
    write_table(path, pl.DataFrame(rows, schema=COLUMNS, orient="row"))
