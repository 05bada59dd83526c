"""The metadata classifier as train_metadata.py leaves it: gradient boosting (CatBoost) on place and date.

    snapshots/<run>-metadata/settings.toml  classes.txt  learned.txt  features.json
    snapshots/<run>-metadata/model.cbm         CatBoost's own file: trees, without times and paths
    snapshots/<run>-metadata/classifier.json   written last: what it was trained on, and digests of the files above

Predicting needs the package catboost, of the extra `places`.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.special import softmax

from config import Metadata
from utils import console
from utils.files import check_plain
from utils.scoring.inference.metadata_features import (
    Feature,
    FeatureRow,
    digest_of,
    digest_of_raster,
    feature_columns,
    feature_from_json,
    feature_rows,
    is_placed,
)
from utils.scoring.inference.prior_metadata import PlaceAndWeek

CLASSIFIER_VERSION = 2
TREES, DESCRIPTION = "model.cbm", "classifier.json"
CLASSES, LEARNED, FEATURES = "classes.txt", "learned.txt", "features.json"
AGAIN = "run train_metadata.py with --fresh"


@dataclass(frozen=True)
class MetadataClassifier:
    """A trained classifier.

    Attributes
    ----------
    folder : where it is
    classes : in the order of its predictions
    features : in the order of its columns
    fingerprint : of what it was trained on
    sha256 : of its trees
    trees : their number
    recordings : number of those that it was trained and validated on
    """

    folder: Path
    classes: tuple[str, ...]
    features: tuple[Feature, ...]
    fingerprint: str
    sha256: str
    trees: int
    recordings: int

    def probabilities(self, places: Sequence[PlaceAndWeek | None]) -> Float[np.ndarray, "recordings classes"]:
        """Return the probability of each class at each place and date; NaN where these are not known.

        Raises
        ------
        UserError
            If the trees or a raster cannot be read, or are not those that it was trained with.
        """
        names = [feature.name for feature in self.features]
        found = np.full((len(places), len(self.classes)), np.nan)
        known = {row: place for row, place in enumerate(places) if place is not None and is_placed(place, names)}
        if known:
            columns = feature_columns(self.features, list(known.values()))
            found[list(known)] = _probabilities_at(self, feature_rows(self.features, columns))
        return found


def check_catboost(setting: str) -> None:
    """Refuse to train or predict without CatBoost.

    Raises
    ------
    UserError
        That names the extra to install.
    """
    if not find_spec("catboost"):
        raise console.UserError(f"{setting}: needs catboost, which is not installed (pip install '.[places]')")


def read_classifier(folder: Path, settings: Metadata, *, setting: str = "testing.metadata") -> MetadataClassifier:
    """Read the description of a classifier, without its trees.

    Parameters
    ----------
    settings : of these, a raster of the same name is used instead of one that is not where it was in training
    setting : the name of the setting that holds the folder, for messages

    Raises
    ------
    UserError
        If there is none, it is damaged, or a raster is missing or has changed.
    """
    check_has_classifier(folder, setting=setting)
    try:
        state = _read_json(folder / DESCRIPTION)
        if state["version"] != CLASSIFIER_VERSION:
            raise console.UserError(
                f"{folder}: has version {state['version']!r:.40}, but this program reads version {CLASSIFIER_VERSION}; "
                f"{AGAIN}"
            )
        for name in (CLASSES, LEARNED, FEATURES):
            _check_digest(folder / name, str(state["sha256"][name]))
        classes = tuple((folder / CLASSES).read_text(encoding="utf-8").split("\n")[:-1])
        features = tuple(feature_from_json(entry) for entry in _read_json(folder / FEATURES)["features"])
        counts = int(state["classes"]), int(state["features"])
        if (len(classes), len(features)) != counts:
            raise ValueError(
                f"classes.txt and features.json hold {len(classes)} and {len(features)}, not "
                f"{counts[0]} and {counts[1]}"
            )
        fingerprint, sha256, trees = str(state["fingerprint"]), str(state["sha256"][TREES]), int(state["trees"])
        recordings = int(state["recordings"])
    except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise console.UserError(
            f"{folder}: is a damaged metadata classifier ({type(error).__name__}: {error}); {AGAIN}"
        ) from None
    located = tuple(_located(feature, settings) for feature in features)
    return MetadataClassifier(folder, classes, located, fingerprint, sha256, trees, recordings)


def check_has_classifier(folder: Path, *, setting: str = "testing.metadata") -> None:
    """Refuse a folder without a trained metadata classifier.

    Raises
    ------
    UserError
        That names the setting.
    """
    if not (folder / DESCRIPTION).is_file():
        raise console.UserError(f"{folder}: no metadata classifier there; run train_metadata.py, or fix {setting}")


def _read_json(path: Path) -> Mapping[str, Any]:
    check_plain(path)
    found = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(found, dict):
        raise TypeError(f"{path.name} is not a JSON object")
    return found


def _located(feature: Feature, settings: Metadata) -> Feature:
    """Return a feature with a raster that exists: that of training, or one of the same name in the settings."""
    if feature.raster is None:
        return feature
    candidates = [feature.raster, *(path for path in settings.rasters if path.stem == feature.name)]
    path = next((path for path in candidates if path.is_file()), None)
    if path is None:
        raise console.UserError(
            f"{feature.raster}: no such file, but the metadata classifier needs this raster; "
            "put it there, or name it in metadata.rasters"
        )
    if digest_of_raster(path) != feature.sha256:
        raise console.UserError(f"{path}: is not the raster that the metadata classifier was trained with; {AGAIN}")
    return replace(feature, raster=path)


def recordings_of_classifier(folder: Path) -> set[str]:
    """Return the names of the recordings that a classifier was trained or validated on; no test may use them.

    Raises
    ------
    UserError
        If they are not known.
    """
    try:
        return set((folder / LEARNED).read_text(encoding="utf-8").split("\n")[:-1])
    except (OSError, ValueError) as error:
        raise console.UserError(f"{folder}: is a damaged metadata classifier ({error}); {AGAIN}") from None


def load_trees(classifier: MetadataClassifier) -> Any:
    """Load the trees (a `catboost.CatBoost`).

    Raises
    ------
    UserError
        If CatBoost is not installed, or the file is damaged.
    """
    check_catboost("testing.metadata")
    path = check_trees(classifier)
    from catboost import CatBoost, CatBoostError

    try:
        trees = CatBoost().load_model(str(path))
    except CatBoostError:
        raise console.UserError(f"{path}: is damaged; {AGAIN}") from None
    return trees


def check_trees(classifier: MetadataClassifier) -> Path:
    """Return the file of the trees, if it is the one that was written.

    Raises
    ------
    UserError
        If it is not.
    """
    path = classifier.folder / TREES
    _check_digest(path, classifier.sha256)
    return path


def _check_digest(path: Path, sha256: str) -> None:
    if not path.is_file() or digest_of(path, advice=AGAIN) != sha256:
        raise console.UserError(f"{path}: is damaged; {AGAIN}")


def _probabilities_at(
    classifier: MetadataClassifier, rows: Sequence[FeatureRow]
) -> Float[np.ndarray, "recordings classes"]:
    """Return the probability of each class for each row of features."""
    trees = load_trees(classifier)
    from catboost import CatBoostError

    try:
        raw = trees.predict(pool_of(rows, classifier.features), prediction_type="RawFormulaVal")
    except CatBoostError as error:
        reason = " ".join(str(error).split())[:200]
        raise console.UserError(
            f"{classifier.folder}: the trees do not fit to {FEATURES} ({reason}); {AGAIN}"
        ) from None
    return softmax(np.asarray(raw, np.float64), axis=1)


def pool_of(rows: Sequence[FeatureRow], features: Sequence[Feature], labels: Sequence[int] | None = None) -> Any:
    """Return rows of features, and of training their labels, as CatBoost takes them."""
    from catboost import Pool

    categorical = [index for index, feature in enumerate(features) if feature.categories is not None]
    return Pool(
        list(rows), label=labels, cat_features=categorical, feature_names=[feature.name for feature in features]
    )
