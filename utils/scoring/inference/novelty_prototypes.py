"""Prototypes of a snapshot: made from the store that its network was trained on when they are first asked for.

    <run>/epoch_012/prototypes.safetensors

They stay in the snapshot's folder, so that it has what inference needs wherever it is copied.
"""

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import polars as pl
from jaxtyping import Float, Int64

from config import Config, Testing
from utils import console
from utils.models.prototypes import (
    Prototypes,
    PrototypeSums,
    nearest_distances,
    read_prototypes,
    write_prototypes,
)
from utils.models.snapshots import Snapshot, network_digest, recordings_used, validation_recordings_of
from utils.scoring.inference.onnx_sessions import ClipOutputs, Pixels
from utils.scoring.inference.snapshot_predictors import snapshot_predictor
from utils.spectra.store import Store
from utils.spectra.store_settings import check_settings

CLIPS_READ = 1024  # clips that are read into memory together
CLASSES_NAMED = 3  # classes that a warning lists
FEW_VALIDATION_RECORDINGS = 50  # over fewer, novelty is coarse


def prototypes_of(snapshot: Snapshot, settings: Testing) -> Prototypes:
    """Return the prototypes of a snapshot; the first time they are computed, by one pass over its training clips.

    Raises
    ------
    UserError
        If they cannot be made or read; the text says what to do.
    """
    path, network = snapshot.folder / "prototypes.safetensors", network_digest(snapshot)
    if not path.is_file():
        with console.alone(snapshot.folder, "computation of prototypes"):
            write_prototypes(path, make_prototypes(snapshot, settings), network=network)
    return read_prototypes(path, network=network)


def check_can_calibrate(split: pl.DataFrame, config: Config) -> None:
    """Refuse novelty for a model that is to be trained without what it is calibrated with.

    Raises
    ------
    UserError
        That names the setting.
    """
    training = config.training
    if not config.testing.novelty or config.testing.models:
        return
    if training.images is not None:
        raise console.UserError("testing.novelty: needs a store, but training.images is set; remove one of them")
    if not training.validation_share and "test" not in split["split"]:
        raise console.UserError(
            "testing.novelty: needs validation recordings, by which it is calibrated, but training.validation_share is "
            "0; raise it, or set testing.novelty = false"
        )


def make_prototypes(snapshot: Snapshot, settings: Testing) -> Prototypes:
    """Compute the prototypes of a snapshot from its training clips, and the distances of its validation recordings.

    The result depends on neither batch size nor engine, but for rounding.

    Raises
    ------
    UserError
        If there is no store, or it lacks training or validation clips.
    """
    elapsed, (store, clips) = console.stopwatch(), _clips_of_training(snapshot)
    embed = partial(_embeddings, store, snapshot_predictor(snapshot, settings, further=("embeddings",)))
    training, validation = clips.filter(~pl.col("validation")), clips.filter(pl.col("validation"))
    sums: PrototypeSums | None = None
    for part, embeddings in embed(training):
        sums = sums or PrototypeSums(len(snapshot.classes), embeddings.shape[1])
        sums.add(embeddings, part["label"].to_numpy())
    assert sums is not None  # noqa: S101 — there is at least one training clip
    _warn_of_missing(snapshot, sums.clips)
    directions, offsets = sums.prototypes()
    found = np.concatenate([nearest_distances(embeddings, directions, offsets) for _, embeddings in embed(validation)])
    _, recording = np.unique(validation["recording"].to_numpy().astype(str), return_inverse=True)
    means = np.bincount(recording, found.astype(np.float64)) / np.bincount(recording)
    console.info(
        f"{console.printable(snapshot.folder)}: prototypes of {directions.shape[1]} classes from {len(training):,} "
        f"clips, compared with {len(means)} validation recordings, in {console.clock(elapsed())}"
    )
    if len(means) < FEW_VALIDATION_RECORDINGS:
        console.warning(
            f"{console.printable(snapshot.folder)}: novelty is compared with only {len(means)} validation recordings, "
            "so it is coarse; increase training.validation_share"
        )
    return Prototypes(directions, offsets, np.sort(means).astype(np.float32), np.sort(found))


def _clips_of_training(snapshot: Snapshot) -> tuple[Store, pl.DataFrame]:
    """Return the store, and its accepted clips of recordings that were used in training: row, label, validation."""
    root = snapshot.config.dataset.root
    why = f"{console.printable(snapshot.folder)}: has no prototypes yet, which testing.novelty needs"
    if not (snapshot.folder / "validation.txt").is_file():
        raise console.UserError(
            f"{why}, and was saved by an earlier version, without its validation recordings; train again "
            "(train.py --fresh), or set testing.novelty = false"
        )
    try:
        check_settings(snapshot.config)
        store = Store(root, snapshot.config.spectrogram, at=snapshot.config.dataset.store)
    except console.UserError as error:
        raise console.UserError(f"{why}; they are made from the store that it was trained on, but {error}") from None
    held_back = list(validation_recordings_of(snapshot))
    labels = {label: index for index, label in enumerate(snapshot.classes)}
    clips = store.clips.select(
        "recording",
        clip=pl.int_range(pl.len(), dtype=pl.Int64),
        label=pl.col("class").replace_strict(labels, default=None, return_dtype=pl.Int64),
        validation=pl.col("recording").is_in(held_back),
        used=pl.col("accepted") & pl.col("recording").is_in(list(recordings_used(snapshot))),
    ).filter(pl.col("used") & pl.col("label").is_not_null())
    if not clips["validation"].any():
        raise console.UserError(
            f"{why}; {store.address} has no clips of validation recordings, by which novelty is calibrated: train with "
            "training.validation_share above 0, or set testing.novelty = false"
        )
    if clips["validation"].all():
        raise console.UserError(f"{why}; {store.address} has no clips that it was trained on: run spec.py")
    return store, clips


def _embeddings(
    store: Store, predict: Callable[[Pixels], ClipOutputs], clips: pl.DataFrame
) -> Iterator[tuple[pl.DataFrame, Float[np.ndarray, "clips features"]]]:
    """Yield some clips after the other, and their embeddings."""
    for part in clips.iter_slices(CLIPS_READ):
        rows: Int64[np.ndarray, " clips"] = part["clip"].to_numpy()
        embeddings = predict(store.spectrograms(rows)).embeddings
        assert embeddings is not None  # noqa: S101 — they were asked for
        yield part, embeddings


def _warn_of_missing(snapshot: Snapshot, clips: Float[np.ndarray, " classes"]) -> None:
    missing = [label for label, count in zip(snapshot.classes, clips.tolist(), strict=True) if not count]
    if missing:
        names = f"{', '.join(missing[:CLASSES_NAMED])}{', …' if len(missing) > CLASSES_NAMED else ''}"
        console.warning(
            f"{len(missing)} of {len(snapshot.classes)} classes have no clip in the store ({names}), and no prototype; "
            "their recordings will look novel"
        )
