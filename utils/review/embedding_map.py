"""A map of sounds: embeddings in two dimensions, in which like sounds are near each other, and clusters of them.

At most 3,000 rows are placed by t-SNE on their 50 first principal components, drawn such that rare species are there as
well. All others lie between the five of these that are nearest to them. Clusters are those of k-means on the same
components. It is computed once, and kept beside the embeddings:

    <review>/embeddings/<key>.map.safetensors   positions (spans, 2), clusters (spans), distances from their centres

Source: van der Maaten and Hinton, Visualizing Data using t-SNE, 2008; new points as in openTSNE's partial embeddings.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Float32, Int64
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from utils import console
from utils.console import UserError, printable
from utils.files import atomic_file
from utils.review.embeddings import SoundEmbeddings

MAP_FORM = "1"  # version of the file
PROJECTED_ROWS = 8192  # rows that are projected together
PLACED_BY_TSNE = 3000
COMPONENTS = 50
NEAREST_ANCHORS = 5
PERPLEXITY = 30.0
FEWEST = 10  # rows for t-SNE
MOST_CLUSTERS = 100
MAP_SEED = 1
LEAST_DISTANCE = 1e-9


@dataclass(frozen=True, eq=False)
class EmbeddingMap:
    """Where the rows of embeddings lie.

    Attributes
    ----------
    positions : 0 to 1; NaN where there is no embedding
    clusters : −1 where there is no embedding
    distances : from the centre of the cluster
    """

    positions: Float32[np.ndarray, "spans 2"]
    clusters: Int64[np.ndarray, " spans"]
    distances: Float32[np.ndarray, " spans"]


def map_of(embeddings: SoundEmbeddings, species: Int64[np.ndarray, " detections"]) -> EmbeddingMap:
    """Return the map of embeddings from its file; it is made now if there is none.

    Parameters
    ----------
    species : of each detection

    Raises
    ------
    UserError
        If the file is damaged, or another call makes it.
    """
    path = embeddings.path.with_suffix(".map.safetensors")
    if not path.is_file():
        with console.alone(path.parent, "computation of the map"):
            elapsed = console.stopwatch()
            write_map(path, make_map(embeddings, species))
            console.info(f"map of {len(embeddings.rows):,} sounds in {console.clock(elapsed())}, in {printable(path)}")
    return read_map(path, rows=len(embeddings.rows))


def make_map(embeddings: SoundEmbeddings, species: Int64[np.ndarray, " detections"]) -> EmbeddingMap:
    """Compute the map of embeddings; the same embeddings give the same map.

    Parameters
    ----------
    species : of each detection
    """
    from threadpoolctl import threadpool_limits

    known = np.flatnonzero(embeddings.known)
    first = np.zeros(len(embeddings.rows), np.int64)
    first[embeddings.span_of] = species
    chosen = chosen_evenly(first[known], PLACED_BY_TSNE, seed=MAP_SEED)
    positions = np.full((len(embeddings.rows), 2), np.nan, np.float32)
    clusters, distances = np.full(len(positions), -1), np.zeros(len(positions), np.float32)
    with threadpool_limits(1):  # threads of OpenMP that wait for each other take minutes where cores are busy
        components = principal_components(embeddings, known, known[chosen])
        positions[known] = placed(components, chosen)
        clusters[known], distances[known] = clustered(components)
    return EmbeddingMap(positions, clusters, distances)


def chosen_evenly(kinds: Int64[np.ndarray, " rows"], count: int, *, seed: int) -> Int64[np.ndarray, " chosen"]:
    """Return the indices of at most `count` rows, as many of each kind as there are, up to the same number of each."""
    order = np.random.default_rng(seed).permutation(len(kinds))
    by_kind = order[np.argsort(kinds[order], kind="stable")]
    sizes = np.bincount(kinds)
    rank = np.arange(len(kinds)) - np.repeat(sizes.cumsum() - sizes, sizes)
    return np.sort(by_kind[np.argsort(rank, kind="stable")[:count]])


def principal_components(
    embeddings: SoundEmbeddings, known: Int64[np.ndarray, " known"], chosen: Int64[np.ndarray, " chosen"]
) -> Float32[np.ndarray, "known components"]:
    """Return the principal components of the known rows, learned from the chosen ones."""
    from sklearn.decomposition import PCA

    some = embeddings.rows[chosen].astype(np.float32)
    if len(some) < 2:
        return np.zeros((len(known), 1), np.float32)
    pca = PCA(min(COMPONENTS, *some.shape), svd_solver="randomized", random_state=MAP_SEED).fit(some)
    blocks = (known[start : start + PROJECTED_ROWS] for start in range(0, len(known), PROJECTED_ROWS))
    parts = [pca.transform(embeddings.rows[rows].astype(np.float32)) for rows in blocks]
    return np.concatenate(parts).astype(np.float32)


def placed(
    components: Float32[np.ndarray, "rows components"], chosen: Int64[np.ndarray, " chosen"]
) -> Float32[np.ndarray, "rows 2"]:
    """Return the positions of all rows, 0 to 1: of the chosen ones by t-SNE, of the others between their neighbours."""
    anchors = components[chosen]
    places = tsne(anchors) if len(anchors) >= FEWEST else _two_columns(anchors)
    positions = np.zeros((len(components), 2), np.float32)
    others = np.ones(len(components), bool)
    others[chosen] = False
    positions[chosen] = places
    if others.any():
        positions[others] = between_neighbours(components[others], anchors, places)
    low, high = positions.min(axis=0), positions.max(axis=0)
    return ((positions - low) / np.maximum(high - low, LEAST_DISTANCE)).astype(np.float32)


def tsne(rows: Float32[np.ndarray, "rows components"]) -> Float32[np.ndarray, "rows 2"]:
    """Return the positions of rows by t-SNE, started from their first two principal components."""
    from sklearn.manifold import TSNE

    found = TSNE(2, perplexity=min(PERPLEXITY, (len(rows) - 1) / 3), init="pca", random_state=MAP_SEED).fit_transform(
        rows
    )
    return np.asarray(found, np.float32)


def _two_columns(rows: Float32[np.ndarray, "rows components"]) -> Float32[np.ndarray, "rows 2"]:
    return np.pad(rows, ((0, 0), (0, 2)))[:, :2]


def between_neighbours(
    rows: Float32[np.ndarray, "rows components"],
    anchors: Float32[np.ndarray, "anchors components"],
    places: Float32[np.ndarray, "anchors 2"],
) -> Float32[np.ndarray, "rows 2"]:
    """Return the mean place of each row's nearest anchors, the nearer the more."""
    from sklearn.neighbors import NearestNeighbors

    distances, nearest = NearestNeighbors(n_neighbors=min(NEAREST_ANCHORS, len(anchors))).fit(anchors).kneighbors(rows)
    weights: Float[np.ndarray, "rows neighbours"] = 1 / np.maximum(distances, LEAST_DISTANCE)
    means = (places[nearest] * weights[..., None]).sum(axis=1) / weights.sum(axis=1, keepdims=True)
    return np.asarray(means, np.float32)


def clustered(
    components: Float32[np.ndarray, "rows components"],
) -> tuple[Int64[np.ndarray, " rows"], Float32[np.ndarray, " rows"]]:
    """Return the cluster of each row by k-means, and its distance from the centre; about √rows / 2 clusters."""
    from sklearn.cluster import MiniBatchKMeans

    count = int(np.clip(round(len(components) ** 0.5 / 2), 1, MOST_CLUSTERS))
    kmeans = MiniBatchKMeans(count, batch_size=4096, n_init=3, random_state=MAP_SEED).fit(components)
    clusters = kmeans.labels_.astype(np.int64)
    distances = np.linalg.norm(components - kmeans.cluster_centers_[clusters], axis=1)
    return clusters, distances.astype(np.float32)


def write_map(path: Path, found: EmbeddingMap) -> None:
    """Write a map; the file appears whole or not at all."""
    arrays = {"positions": found.positions, "clusters": found.clusters, "distances": found.distances}
    with atomic_file(path) as stream:
        stream.write(save(arrays, metadata={"form": MAP_FORM}))


def read_map(path: Path, *, rows: int) -> EmbeddingMap:
    """Read what `write_map` wrote.

    Raises
    ------
    UserError
        If the file is damaged, or of another table.
    """
    try:
        with safe_open(path, framework="numpy") as file:
            found = EmbeddingMap(*(file.get_tensor(name) for name in ("positions", "clusters", "distances")))
            if (file.metadata() or {}).get("form") != MAP_FORM or len(found.positions) != rows:
                raise ValueError("is of another version, or another table")
    except (OSError, ValueError, TypeError, SafetensorError) as error:
        raise UserError(f"{printable(path)}: cannot be used ({error}); remove it, and it is made again") from None
    return found


def in_cluster(
    found: EmbeddingMap, embeddings: SoundEmbeddings, detection: int, allowed: Bool[np.ndarray, " detections"]
) -> list[int]:
    """Return the allowed detections of a detection's cluster, one of each span, those nearest to its centre first."""
    cluster = found.clusters[embeddings.span_of[detection]]
    spans = np.flatnonzero(found.clusters == cluster) if cluster >= 0 else np.zeros(0, np.int64)
    ranked = spans[np.argsort(found.distances[spans], kind="stable")]
    firsts = (embeddings.detections_of(int(span)) for span in ranked)
    return [int(some[allowed[some]][0]) for some in firsts if allowed[some].any()]
