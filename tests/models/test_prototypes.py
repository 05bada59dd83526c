"""Distances from class prototypes are those of the formula, and become shares of what they are compared with."""

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save
from scipy.spatial.distance import mahalanobis

from utils.console import UserError
from utils.models import prototypes as module
from utils.models.prototypes import (
    Prototypes,
    PrototypeSums,
    nearest_distances,
    read_prototypes,
    share_below,
    write_prototypes,
)

NETWORK = "digest"


def clips(seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Return the embeddings of 40 clips around three points, and their classes."""
    rng = np.random.default_rng(seed)
    classes = rng.integers(0, 3, 40)
    return (3 * np.eye(3, 5)[classes] + rng.normal(size=(40, 5))).astype(np.float32), classes


def fitted(embeddings: np.ndarray, classes: np.ndarray, *, size: int = 40, count: int = 3) -> tuple[np.ndarray, ...]:
    sums = PrototypeSums(count, embeddings.shape[1])
    for start in range(0, len(embeddings), size):
        sums.add(embeddings[start : start + size], classes[start : start + size])
    return sums.prototypes()


def test_distances_are_those_of_the_formula() -> None:
    embeddings, classes = clips()
    others, _ = clips(seed=2)
    units = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    means, center = np.stack([units[classes == label].mean(axis=0) for label in range(3)]), units.mean(axis=0)
    within = np.cov((units - means[classes]).T, bias=True)
    inverse = np.linalg.inv(within / 2 + np.trace(within) / 5 * np.eye(5) / 2)
    wanted = [
        min(mahalanobis(clip, mean, inverse) ** 2 for mean in means) - mahalanobis(clip, center, inverse) ** 2
        for clip in others / np.linalg.norm(others, axis=1, keepdims=True)
    ]
    np.testing.assert_allclose(nearest_distances(others, *fitted(embeddings, classes)), wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("size", [1, 7])
def test_prototypes_do_not_depend_on_batches(size: int) -> None:
    embeddings, classes = clips()
    for one, other in zip(fitted(embeddings, classes), fitted(embeddings, classes, size=size), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)


def test_a_clip_between_classes_or_elsewhere_is_farther_than_one_of_a_class() -> None:
    embeddings, classes = clips()
    at = np.array([[3, 0, 0, 0, 0], [3, 3, 0, 0, 0], [0, 0, 0, 0, 3]], np.float32)
    inside, between, elsewhere = nearest_distances(at, *fitted(embeddings, classes)).tolist()
    assert inside < min(between, elsewhere)


def test_length_does_not_matter_and_odd_embeddings_stay_finite() -> None:
    embeddings, classes = clips()
    found = fitted(embeddings, classes)
    np.testing.assert_allclose(
        nearest_distances(embeddings, *found), nearest_distances(50 * embeddings, *found), rtol=1e-4, atol=1e-4
    )
    assert np.isfinite(nearest_distances(np.zeros((2, 5), np.float32), *found)).all()
    # one clip, or the same in all clips: no variance
    same = fitted(np.ones((4, 5), np.float32), np.array([0, 0, 1, 1]))
    assert np.isfinite(nearest_distances(embeddings, *same)).all()
    # a class without clips has no prototype
    assert [len(array.T) for array in found] == [3, 3]
    assert [len(array.T) for array in fitted(embeddings[classes != 1], classes[classes != 1])] == [2, 2]


def test_shares_are_those_of_the_reference_and_grow_beyond_its_ends() -> None:
    reference = np.array([1.0, 2.0, 3.0, 5.0], np.float32)
    np.testing.assert_allclose(share_below(reference, np.array([1.0, 2.0, 3.0, 4.0, 5.0])), [0.2, 0.4, 0.6, 0.7, 0.8])
    values = np.linspace(-3, 9, 50)
    shares = share_below(reference, values)
    assert (np.diff(shares) > 0).all()
    assert 0 < shares[0] < 0.2 * np.exp(-0.9)
    assert 0.8 < shares[-1] < 1
    assert np.isnan(share_below(reference, np.array([np.nan])))[0]
    np.testing.assert_allclose(share_below(reference[:1], np.array([0.5, 1.0, 1.5])), [0, 0.5, 1], atol=1e-6)


def test_novelty_of_known_recordings_is_their_share() -> None:
    known = np.sort(np.random.default_rng(3).normal(size=199)).astype(np.float32)
    made = Prototypes(np.ones((2, 1), np.float32), np.zeros(1, np.float32), known, known[:1])
    others = np.random.default_rng(4).normal(size=20_000)
    for share in (0.5, 0.95):
        assert (made.novelty(others, whole=True) <= share).mean() == pytest.approx(share, abs=0.05)
    assert set(np.round(made.novelty(others, whole=False))) == {0, 1}


def test_files_are_read_as_written_and_damaged_ones_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    embeddings, classes = clips()
    directions, offsets = fitted(embeddings, classes)
    distances = np.sort(nearest_distances(embeddings, directions, offsets))
    made = Prototypes(directions, offsets, distances[:7], distances)
    path = tmp_path / "prototypes.safetensors"
    write_prototypes(path, made, network=NETWORK)
    read = read_prototypes(path, network=NETWORK)
    assert read.fingerprint == made.fingerprint
    np.testing.assert_array_equal(read.distances(embeddings), made.distances(embeddings))
    whole = path.read_bytes()
    arrays = {"directions": directions, "offsets": offsets, "recordings": distances[:7], "clips": distances}
    about = {"form": module.FORM, "network": NETWORK}
    for content in (
        whole[:-5],
        b"",
        b"\xff" * 100,
        save(arrays, metadata={**about, "network": "other"}),
        save(arrays, metadata={**about, "form": "2"}),
        save(arrays),
        save({**arrays, "offsets": np.full(3, np.nan, np.float32)}, metadata=about),
        save({**arrays, "offsets": offsets[:2].copy()}, metadata=about),
        save({**arrays, "clips": distances[::-1].copy()}, metadata=about),
        save({**arrays, "recordings": distances[:0].copy()}, metadata=about),
        save({name: array for name, array in arrays.items() if name != "clips"}, metadata=about),
        save({**arrays, "directions": directions.astype(np.float64)}, metadata=about),
    ):
        path.write_bytes(content)
        with pytest.raises(UserError, match=r"prototypes\.safetensors: cannot be used \(.*\); remove it, and test\.py"):
            read_prototypes(path, network=NETWORK)


def test_a_distance_does_not_depend_on_the_other_clips() -> None:
    rng = np.random.default_rng(5)
    embeddings = rng.normal(size=(33, 256)).astype(np.float32)
    directions, offsets = rng.normal(size=(256, 37)).astype(np.float32), rng.normal(size=37).astype(np.float32)
    together = nearest_distances(embeddings, directions, offsets)
    for size in (1, 7, 32):
        parts = [nearest_distances(embeddings[at : at + size], directions, offsets) for at in range(0, 33, size)]
        assert np.concatenate(parts).tobytes() == together.tobytes()
