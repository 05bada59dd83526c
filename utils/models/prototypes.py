"""Class prototypes: where the clips of each class lie in a network's embedding, and how far from all of them a clip is.

    z = embedding / its length;  μₖ = mean z of the training clips of class k;  μ = mean z of all of them
    S = half the covariance of z around the μₖ + half its mean variance in every direction (shrinkage)
    distance = minimum over k of (z − μₖ)ᵀ S⁻¹ (z − μₖ) − (z − μ)ᵀ S⁻¹ (z − μ)

This is the relative Mahalanobis distance, here with one covariance for the classes and for all clips, so that the
squares of z cancel: of each class a direction and an offset are left. A distance means nothing by itself; it is
compared with those of the validation recordings, which were not learned.

Source: Ren et al., A Simple Fix to Mahalanobis Distance for Improving Near-OOD Detection, 2021; Lee et al., A Simple
Unified Framework for Detecting Out-of-Distribution Samples, 2018.
"""

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from jaxtyping import Float, Float32, Integer
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from utils.console import UserError
from utils.files import atomic_file

FORM = "1"  # version of the file
SHRINKAGE = 0.5  # from the covariance as it is (0) to the same variance in every direction (1)
SHORTEST = 1e-12  # length of an embedding that can still be scaled to length 1
AGAIN = "remove it, and test.py with testing.novelty = true makes it again"


@dataclass(frozen=True, eq=False)
class Prototypes:
    """Distances from class prototypes, and the distances of validation recordings with which they are compared.

    Attributes
    ----------
    directions, offsets : of each class, from `PrototypeSums.prototypes`
    recordings, clips : distances of the validation recordings (means over their clips) and of their clips, ascending
    """

    directions: Float32[np.ndarray, "features classes"]
    offsets: Float32[np.ndarray, " classes"]
    recordings: Float32[np.ndarray, " recordings"]
    clips: Float32[np.ndarray, " clips"]

    def distances(self, embeddings: Float[np.ndarray, "clips features"]) -> Float32[np.ndarray, " clips"]:
        """Return the distance of each clip from the nearest prototype; the larger, the less it is like any class."""
        return nearest_distances(embeddings, self.directions, self.offsets)

    def novelty(self, distances: Float[np.ndarray, " rows"], *, whole: bool) -> Float[np.ndarray, " rows"]:
        """Return which share of the validation recordings, or of their clips, is nearer than each row, 0 to 1.

        Shares are interpolated, and beyond the farthest recording they approach 1, so that a larger distance is a
        larger novelty. NaN stays NaN.

        Parameters
        ----------
        distances : means over the clips of each row
        whole : whether rows are whole recordings; False: they are compared with single clips
        """
        return share_below(self.recordings if whole else self.clips, distances)

    @cached_property
    def fingerprint(self) -> str:
        """A text that changes if the arrays do."""
        content = hashlib.sha256()
        for array in _arrays(self).values():
            content.update(array.tobytes())
        return content.hexdigest()[:16]


class PrototypeSums:
    """Sums over the training clips from which prototypes are computed, so that no embedding has to be stored."""

    def __init__(self, classes: int, features: int) -> None:
        self.clips = np.zeros(classes)
        self._sums = np.zeros((classes, features))
        self._products = np.zeros((features, features))

    def add(self, embeddings: Float[np.ndarray, "clips features"], classes: Integer[np.ndarray, " clips"]) -> None:
        """Add clips; `classes` are the indices of their classes."""
        units = unit_length(embeddings).astype(np.float64)
        np.add.at(self.clips, classes, 1)
        np.add.at(self._sums, classes, units)
        self._products += units.T @ units

    def prototypes(self) -> tuple[Float32[np.ndarray, "features known"], Float32[np.ndarray, " known"]]:
        """Return the direction and the offset of each class that has clips."""
        known, total = self.clips > 0, self.clips.sum()
        means, center = self._sums[known] / self.clips[known, None], self._sums.sum(axis=0) / total
        covariance = self._products / total - (means * self.clips[known, None] / total).T @ means
        variance = max(float(np.trace(covariance)) / len(covariance), SHORTEST)
        shrunk = (1 - SHRINKAGE) * covariance + SHRINKAGE * variance * np.eye(len(covariance))
        # (z − μₖ)ᵀ S⁻¹ (z − μₖ) − (z − μ)ᵀ S⁻¹ (z − μ) = −2 zᵀ S⁻¹ (μₖ − μ) + μₖᵀ S⁻¹ μₖ − μᵀ S⁻¹ μ
        solved = np.linalg.solve(shrunk, np.vstack([means, center]).T)
        directions = -2 * (solved[:, :-1] - solved[:, -1:])
        offsets = (means * solved[:, :-1].T).sum(axis=1) - center @ solved[:, -1]
        return directions.astype(np.float32), offsets.astype(np.float32)


def unit_length(embeddings: Float[np.ndarray, "clips features"]) -> Float[np.ndarray, "clips features"]:
    """Return embeddings scaled to length 1."""
    return embeddings / np.maximum(np.linalg.norm(embeddings, axis=1, keepdims=True), SHORTEST)


def nearest_distances(
    embeddings: Float[np.ndarray, "clips features"],
    directions: Float32[np.ndarray, "features classes"],
    offsets: Float32[np.ndarray, " classes"],
) -> Float32[np.ndarray, " clips"]:
    """Return the least distance of each clip over the classes; it does not depend on the other clips."""
    # products of float32 matrices are rounded otherwise if they have other rows, or fewer
    wide = unit_length(embeddings.astype(np.float64)) @ directions.astype(np.float64)
    return (wide + offsets).min(axis=1).astype(np.float32)


def share_below(
    reference: Float32[np.ndarray, " references"], values: Float[np.ndarray, " rows"]
) -> Float[np.ndarray, " rows"]:
    """Return the share of the reference that is below each value, increasing with the value also beyond its ends.

    The i-th of n references has the share i / (n + 1); between them it is linear. Beyond the ends it approaches 0 and
    1 exponentially, by the range of the reference.

    Parameters
    ----------
    reference : ascending, at least one
    """
    count, values = len(reference), values.astype(np.float64)
    shares = np.arange(1, count + 1) / (count + 1)
    least, most = float(reference[0]), float(reference[-1])
    spread = max(most - least, SHORTEST)
    tail = np.exp(-np.maximum(np.maximum(values - most, least - values), 0) / spread) / (count + 1)
    inside = np.interp(values, reference.astype(np.float64), shares)
    return np.where(values > most, 1 - tail, np.where(values < least, tail, inside))


def write_prototypes(path: Path, prototypes: Prototypes, *, network: str) -> None:
    """Write prototypes as safetensors; the file appears whole or not at all.

    Parameters
    ----------
    network : digest of the network that they belong to
    """
    with atomic_file(path) as stream:
        stream.write(save(_arrays(prototypes), metadata={"form": FORM, "network": network}))


def read_prototypes(path: Path, *, network: str) -> Prototypes:
    """Read what `write_prototypes` wrote.

    Raises
    ------
    UserError
        If the file is damaged, or of another network or version.
    """
    try:
        with safe_open(path, framework="numpy") as file:
            about = file.metadata() or {}
            arrays = {name: file.get_tensor(name) for name in ("directions", "offsets", "recordings", "clips")}
        if about.get("form") != FORM or about.get("network") != network:
            raise ValueError("is of another network or version")
        _check_arrays(arrays)
        return Prototypes(**arrays)
    except (OSError, ValueError, SafetensorError) as error:
        raise UserError(f"{path}: cannot be used ({error}); {AGAIN}") from None


def _check_arrays(arrays: dict[str, np.ndarray]) -> None:
    directions = arrays["directions"]
    if any(array.dtype != np.float32 or not np.isfinite(array).all() for array in arrays.values()):
        raise ValueError("holds something other than finite float32")
    if directions.ndim != 2 or 0 in directions.shape or arrays["offsets"].shape != directions.shape[1:]:
        raise ValueError("its arrays have other shapes")
    for name in ("recordings", "clips"):
        array = arrays[name]
        if array.ndim != 1 or not len(array) or (np.diff(array) < 0).any():
            raise ValueError(f"its distances of {name} are not ascending")


def _arrays(prototypes: Prototypes) -> dict[str, np.ndarray]:
    return {
        "directions": np.ascontiguousarray(prototypes.directions),
        "offsets": prototypes.offsets,
        "recordings": prototypes.recordings,
        "clips": prototypes.clips,
    }
