"""Occlusion: which parts of a spectrogram the score of a class depends on.

A patch of the spectrogram is replaced by its background, and the patch matters as much as the score falls. It tells
what the model uses, not where the bird is: other parts may be as good, and then none of them matters alone.

Source: Zeiler and Fergus 2014, Visualizing and Understanding Convolutional Networks,
doi.org/10.1007/978-3-319-10590-1_53.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float64, Int64, UInt8

PATCH_CELLS = 2  # cells of a patch, in height and in width; neighbouring patches are one cell apart

ScoreClips = Callable[[UInt8[np.ndarray, "clips height width"]], Float[np.ndarray, " clips"]]


@dataclass(frozen=True)
class OcclusionMap:
    """How much each cell of a spectrogram matters for a score.

    Attributes
    ----------
    importance : mean loss of score of the patches that cover a cell; negative: the score rises without it. The first
        row is the uppermost
    row_edges, column_edges : pixels at which cells begin, and the end of the last one
    score : of the whole spectrogram
    lowest : the lowest score without one patch
    background : the score of the background alone, of which patches are made
    """

    importance: Float64[np.ndarray, "rows columns"]
    row_edges: Int64[np.ndarray, " row_edges"]
    column_edges: Int64[np.ndarray, " column_edges"]
    score: float
    lowest: float
    background: float


@dataclass(frozen=True)
class OcclusionGrid:
    """How a spectrogram is divided into cells, and the patches that are replaced.

    Attributes
    ----------
    shape : rows and columns of cells; not more than there are pixels
    """

    shape: tuple[int, int]
    row_edges: Int64[np.ndarray, " row_edges"]
    column_edges: Int64[np.ndarray, " column_edges"]

    @property
    def patches(self) -> Sequence[tuple[slice, slice]]:
        """The cells of each patch, rows and columns; those at the edges are cut, so that all cells are in as many."""
        rows, columns = (
            [slice(max(first, 0), min(first + PATCH_CELLS, count)) for first in range(1 - PATCH_CELLS, count)]
            for count in self.shape
        )
        return [(row, column) for row in rows for column in columns]


def occlusion_grid(height: int, width: int, *, cells: tuple[int, int]) -> OcclusionGrid:
    """Return a grid of so many rows and columns of cells, as equal as pixels allow."""
    shape = min(cells[0], height), min(cells[1], width)
    edges = (np.linspace(0, size, count + 1) for size, count in zip((height, width), shape, strict=True))
    return OcclusionGrid(shape, *(one.round().astype(np.int64) for one in edges))


def background_of(pixels: UInt8[np.ndarray, "height width"]) -> UInt8[np.ndarray, "height width"]:
    """Return a spectrogram in which each band has its median over time."""
    medians = np.median(pixels, axis=1, keepdims=True).round().astype(np.uint8)
    return np.broadcast_to(medians, pixels.shape)


def occlude(
    pixels: UInt8[np.ndarray, "height width"],
    score_clips: ScoreClips,
    *,
    cells: tuple[int, int],
    batch_size: int,
    advance: Callable[[int], object] = lambda _: None,
) -> OcclusionMap:
    """Return how much the score falls where patches of a spectrogram are replaced by its background.

    Parameters
    ----------
    score_clips : the score of a class, for each of some spectrograms
    cells : rows and columns of the map; the cost grows with their product
    batch_size : spectrograms that are scored at once
    advance : is told how many spectrograms were scored
    """
    grid = occlusion_grid(*pixels.shape, cells=cells)
    whole = _scores([pixels, background_of(pixels)], score_clips, advance)
    losses = [
        whole[0] - score
        for first in range(0, len(grid.patches), batch_size)
        for score in _scores(
            list(_occluded(pixels, grid, grid.patches[first : first + batch_size])), score_clips, advance
        )
    ]
    total, count = np.zeros(grid.shape), np.zeros(grid.shape)
    for (rows, columns), loss in zip(grid.patches, losses, strict=True):
        total[rows, columns] += loss
        count[rows, columns] += 1
    lowest = whole[0] - max(losses)
    return OcclusionMap(total / count, grid.row_edges, grid.column_edges, whole[0], lowest, whole[1])


def _scores(
    clips: Sequence[UInt8[np.ndarray, "height width"]], score_clips: ScoreClips, advance: Callable[[int], object]
) -> list[float]:
    scores = score_clips(np.stack(clips)).astype(np.float64).tolist()
    advance(len(clips))
    return scores


def _occluded(
    pixels: UInt8[np.ndarray, "height width"], grid: OcclusionGrid, patches: Sequence[tuple[slice, slice]]
) -> Iterator[UInt8[np.ndarray, "height width"]]:
    background = background_of(pixels)
    for rows, columns in patches:
        area = (
            slice(grid.row_edges[rows.start], grid.row_edges[rows.stop]),
            slice(grid.column_edges[columns.start], grid.column_edges[columns.stop]),
        )
        without = pixels.copy()
        without[area] = background[area]
        yield without


def count_clips(height: int, width: int, *, cells: tuple[int, int]) -> int:
    """Return how many spectrograms `occlude` scores."""
    return len(occlusion_grid(height, width, cells=cells).patches) + 2
