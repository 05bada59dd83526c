"""The embeddings of detections, and what is like what: a network's, before its head, at unit length.

Detections of several species in the same seconds share an embedding, which is that of a span. Similarity is the cosine,
from −1 to 1. Rows are float16 in a file that is mapped into memory: they are read where they are needed, in blocks, and
one search reads all of them once.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import polars as pl
from jaxtyping import Bool, Float16, Float32, Int64

from utils.review.detections import Detections, index_in

SPAN = ("recording", "start", "end")
COMPARED_ROWS = 1024  # rows that are read together; as float32 they stay in the processor's cache


def spans_of(detections: Detections) -> pl.DataFrame:
    """Return the spans of all detections, each once, by recording and time."""
    return detections.table.select(SPAN).unique().sort(SPAN)


@dataclass(frozen=True, eq=False)
class SoundEmbeddings:
    """The embeddings of all detections of a table.

    Attributes
    ----------
    rows : at unit length; zeros where a recording could not be read
    span_of : row of each detection
    path : the file of the rows
    """

    rows: Float16[np.ndarray, "spans features"]
    span_of: Int64[np.ndarray, " detections"]
    path: Path = Path()

    @cached_property
    def known(self) -> Bool[np.ndarray, " spans"]:
        """Which rows are embeddings."""
        firsts = range(0, len(self.rows), COMPARED_ROWS)
        blocks = (
            np.asarray(self.rows[first : first + COMPARED_ROWS]).view(np.uint16) for first in firsts
        )  # faster than floats
        return np.concatenate([block.any(axis=1) for block in blocks])

    @cached_property
    def _by_span(self) -> tuple[Int64[np.ndarray, " detections"], Int64[np.ndarray, " spans"]]:
        """Detections by their rows, and where those of each row end."""
        return np.argsort(self.span_of, kind="stable"), np.bincount(self.span_of, minlength=len(self.rows)).cumsum()

    def detections_of(self, span: int) -> Int64[np.ndarray, " some"]:
        """Return the detections of a row."""
        order, ends = self._by_span
        return order[ends[span - 1] if span else 0 : ends[span]]

    def of(self, detections: Sequence[int] | Int64[np.ndarray, " some"]) -> Float32[np.ndarray, "some features"]:
        """Return the embeddings of some detections."""
        return self.rows[self.span_of[np.asarray(detections, np.int64)]].astype(np.float32)

    def similarities(self, wanted: Float32[np.ndarray, " features"]) -> Float32[np.ndarray, " spans"]:
        """Return how like an embedding each row is: one product of matrices, in blocks."""
        found, block = np.empty(len(self.rows), np.float32), np.empty((COMPARED_ROWS, self.rows.shape[1]), np.float32)
        for first in range(0, len(self.rows), COMPARED_ROWS):
            some = self.rows[first : first + COMPARED_ROWS]
            block[: len(some)] = some
            found[first : first + COMPARED_ROWS] = block[: len(some)] @ wanted
        return found

    def most_similar(
        self,
        detection: int,
        *,
        count: int,
        allowed: Bool[np.ndarray, " detections"],
        species: Int64[np.ndarray, " detections"],
        scores: np.ndarray,
    ) -> list[tuple[int, float]]:
        """Return the allowed detections most like one, and their similarities; of each span, one.

        Of several in a span it is that of the same species, or else the one with the highest score.

        Parameters
        ----------
        species, scores : of all detections
        """
        shown = int(self.span_of[detection])
        if not self.known[shown]:
            return []
        similarities = self.similarities(self.rows[shown].astype(np.float32))
        usable = self.known & (np.bincount(self.span_of, weights=allowed, minlength=len(self.rows)) > 0)
        usable[shown] = False
        ranked = _most_alike(np.where(usable, similarities, -np.inf), min(count, int(usable.sum())))
        found = []
        for span in ranked.tolist():
            some = self.detections_of(span)
            some = some[allowed[some]]
            best = int(some[np.lexsort((-scores[some], species[some] != species[detection]))[0]])
            found.append((best, float(similarities[span])))
        return found


def _most_alike(values: Float32[np.ndarray, " n"], count: int) -> Int64[np.ndarray, " count"]:
    """Return the indices of the largest values, largest first."""
    if not count:
        return np.zeros(0, np.int64)
    some = np.argpartition(-values, count - 1)[:count]
    return some[np.argsort(-values[some], kind="stable")]


def span_index(detections: Detections, spans: pl.DataFrame) -> Int64[np.ndarray, " detections"]:
    """Return the row of each detection's span in `spans_of`."""
    known = spans["recording"].unique().to_list()

    def numbered(table: pl.DataFrame) -> pl.DataFrame:
        return table.select(pl.Series("recording", index_in(table["recording"], known)), "start", "end")

    joined = numbered(detections.table).join(
        numbered(spans).with_row_index("row"), on=SPAN, how="left", maintain_order="left"
    )
    return joined["row"].cast(pl.Int64).to_numpy()
