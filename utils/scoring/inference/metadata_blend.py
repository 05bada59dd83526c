"""The blend of models with the metadata classifier: scores = (models + w × metadata) / (1 + w).

The weight w is `testing.metadata_weight`. Recordings whose place (or date, if it is a feature) is not known keep their
scores, as do species that the classifier does not know. A prior multiplies the blend.

Source: the bronze solution of BirdCLEF 2021 that blended CatBoost on metadata with a weight of 0.14.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from jaxtyping import Float, Float32, Int64

from config import Config, Testing
from utils import console
from utils.scoring.inference.metadata_classifier import (
    MetadataClassifier,
    check_catboost,
    check_has_classifier,
    read_classifier,
    recordings_of_classifier,
)
from utils.scoring.inference.places import Places
from utils.scoring.inference.prior_metadata import read_all_metadata


@dataclass(frozen=True)
class Blend:
    """What the metadata classifier adds to the scores of a recording.

    Attributes
    ----------
    probabilities : of each class; NaN: the class, or the recording, keeps its scores
    weight : of the classifier; that of the models is 1
    """

    probabilities: Float[np.ndarray, " classes"]
    weight: float

    @property
    def applies(self) -> bool:
        """Whether it changes the score of some class; not if the place or date of the recording is not known."""
        return not np.isnan(self.probabilities).all()

    def blended(self, scores: Float[np.ndarray, "*rows classes"]) -> Float32[np.ndarray, "*rows classes"]:
        """Return the mean of the models' scores and those of the classifier, by their weights.

        Scores are rounded before and after, so that a test and a submission from its parts are equal bit for bit.
        """
        models = scores.astype(np.float32)
        mean = (models.astype(np.float64) + self.weight * self.probabilities) / (1 + self.weight)
        return np.where(np.isnan(self.probabilities), models, mean.astype(np.float32))


def is_blended(settings: Testing) -> bool:
    """Tell whether a metadata classifier counts."""
    return settings.metadata is not None and settings.metadata_weight > 0


def blend_facts(settings: Testing) -> dict[str, str | float]:
    """Return the metadata classifier and its weight as metrics.json names them; nothing if none counts."""
    if not settings.metadata or not is_blended(settings):
        return {}
    return {"metadata": settings.metadata.as_posix(), "metadata_weight": settings.metadata_weight}


def blend_text(settings: Testing) -> dict[str, str]:
    """Return the same for people, as a row of a table."""
    if not settings.metadata or not is_blended(settings):
        return {}
    return {"metadata classifier": f"{console.printable(settings.metadata)}, weight {settings.metadata_weight:g}"}


def check_not_learned_by_classifier(recordings: pl.DataFrame, config: Config) -> None:
    """Refuse to test on recordings that the metadata classifier was trained or validated on.

    Raises
    ------
    UserError
        With how many there are; or if the classifier cannot be used.
    """
    classifier = blended_classifier(config)
    if classifier is None:
        return
    check_catboost("testing.metadata")
    known = sorted(recordings_of_classifier(classifier.folder) & set(recordings["recording"]))
    if known:
        more = ", …" if len(known) > 1 else ""
        raise console.UserError(
            f"{classifier.folder}: the metadata classifier learned {len(known)} recordings that are now held out "
            f"({known[0]}{more}), so that metrics would be too good: run train_metadata.py --fresh on this split, or "
            "leave out testing.metadata, as for evaluate.py --folds"
        )


def blended_classifier(config: Config) -> MetadataClassifier | None:
    """Return the metadata classifier of `testing.metadata`; None if none counts.

    Raises
    ------
    UserError
        If it cannot be used, or, even with weight 0, is not there.
    """
    folder = config.testing.metadata
    if folder is None:
        return None
    check_has_classifier(folder)
    return read_classifier(folder, config.metadata) if is_blended(config.testing) else None


def blend_of(
    recordings: pl.DataFrame, classes: Sequence[str], config: Config, *, places: Places | None = None
) -> Callable[[str], Blend] | None:
    """Return a function from a recording's name to what the metadata classifier adds; None if none counts.

    Parameters
    ----------
    classes : of the models
    places : where and when recordings were made that are to be predicted; None: as in `metadata/`

    Raises
    ------
    UserError
        If the classifier or one of its rasters cannot be used.
    """
    classifier = blended_classifier(config)
    if classifier is None:
        return None
    index = {label: column for column, label in enumerate(classifier.classes)}
    columns = np.array([index.get(label, -1) for label in classes], np.int64)
    names = recordings["recording"].to_list()
    known = read_all_metadata(config.dataset, set(names)).places
    found = classifier.probabilities([(places or Places()).of(name, known.get(name)) for name in names])
    _warn_of_unchanged(classifier, found, columns, to_predict=places is not None)
    of_classes = np.where(columns >= 0, found[:, columns], np.nan)
    rows = {name: row for row, name in enumerate(names)}
    return lambda name: Blend(of_classes[rows[name]], config.testing.metadata_weight)


def _warn_of_unchanged(
    classifier: MetadataClassifier,
    found: Float[np.ndarray, "recordings known"],
    columns: Int64[np.ndarray, " classes"],
    *,
    to_predict: bool,
) -> None:
    """Warn of recordings and species that keep their scores."""
    folder = console.printable(classifier.folder)
    if (columns < 0).all():
        raise console.UserError(
            f"{folder}: knows none of the {len(columns)} classes of the models; fix testing.metadata"
        )
    absent, unplaced = int((columns < 0).sum()), int(np.isnan(found).all(axis=1).sum())
    if absent:
        console.warning(f"{folder}: does not know {absent} of {len(columns)} classes, which keep their scores")
    if unplaced:
        how = "submission.places may name a table of them" if to_predict else "sort_data.py reads them from the archive"
        console.warning(
            f"{folder}: {unplaced} of {len(found)} recordings have no place or no date, and keep their scores; {how}"
        )
