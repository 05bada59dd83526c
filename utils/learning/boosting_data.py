"""What the metadata classifier learns from: recordings of train/ whose place and date are known."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import polars as pl
from jaxtyping import Bool, Int64

from config import Config
from utils import console
from utils.recordings.grouping import group_recordings
from utils.recordings.recording import NOISE, Recording
from utils.recordings.splitting import assign_splits
from utils.scoring.inference.metadata_features import (
    Feature,
    FeatureColumns,
    feature_columns,
    fitted_features,
    is_placed,
    wanted_features,
)
from utils.scoring.inference.prior_metadata import PlaceAndWeek, read_all_metadata
from utils.settings_keys import settings_for_key, short_key


@dataclass(frozen=True)
class PlacedRecordings:
    """Recordings with known place and date.

    Attributes
    ----------
    rows : of the split
    places : of each row
    """

    rows: pl.DataFrame
    places: list[PlaceAndWeek]


@dataclass(frozen=True)
class BoostingData:
    """What a metadata classifier is trained on.

    Attributes
    ----------
    recordings : of train/
    classes : their primary labels, sorted
    label : index of each recording's class
    is_validation : which are set apart for validation
    features, columns : scaled by the recordings that are learned; and their values before
    fingerprint : changes with all of this, and with the settings of the training
    """

    recordings: PlacedRecordings
    classes: tuple[str, ...]
    label: Int64[np.ndarray, " recordings"]
    is_validation: Bool[np.ndarray, " recordings"]
    features: tuple[Feature, ...]
    columns: FeatureColumns
    fingerprint: str


def placed_recordings(rows: pl.DataFrame, config: Config) -> PlacedRecordings:
    """Return the recordings with a primary label whose place (and date, if it is a feature) is known."""
    labelled = rows.filter(~pl.col("class").is_in(["", NOISE]))
    known = read_all_metadata(config.dataset, set(labelled["recording"])).places
    found = {name: place for name, place in known.items() if is_placed(place, config.metadata.features)}
    kept = labelled.filter(pl.col("recording").is_in(list(found)))
    return PlacedRecordings(kept, [found[name] for name in kept["recording"]])


def read_boosting_data(split: pl.DataFrame, config: Config) -> BoostingData:
    """Read what the classifier learns from, and set recordings apart for validation.

    Raises
    ------
    UserError
        If there is nothing to learn, or a raster cannot be read.
    """
    settings, train = config.metadata, split.filter(split="train")
    wanted = wanted_features(settings)
    if not wanted:
        raise console.UserError("metadata.features and metadata.rasters: name nothing to learn from; add one")
    recordings = placed_recordings(train, config)
    labels = recordings.rows["class"].to_list()
    classes = tuple(sorted(set(labels)))
    _check_boostable(classes, recordings, train, config)
    label = np.array([classes.index(one) for one in labels], np.int64)
    is_validation = validation_mask(recordings, config)
    columns = feature_columns(wanted, recordings.places)
    features = fitted_features(wanted, columns, ~is_validation, standardize=settings.standardize)
    if not features:
        raise console.UserError(
            f"{config.dataset.root}: no feature of metadata.features and metadata.rasters is known for any recording; "
            "add latitude and longitude, or rasters of the right place"
        )
    if all(len(np.unique(columns[feature.name][~is_validation])) == 1 for feature in features):
        raise console.UserError(
            "metadata.features and metadata.rasters: no feature differs between recordings; name another one"
        )
    fingerprint = _fingerprint(recordings, is_validation, wanted, config)
    return BoostingData(recordings, classes, label, is_validation, features, columns, fingerprint)


def _check_boostable(classes: Sequence[str], recordings: PlacedRecordings, train: pl.DataFrame, config: Config) -> None:
    without = len(train) - len(recordings.rows)
    if without:
        console.warning(
            f"{without:,} of {len(train):,} recordings in train/ have no place, no date or no primary label; they are "
            "left out"
        )
    if len(classes) < 2:
        raise console.UserError(
            f"{config.dataset.root}: place and date are known for recordings of only {len(classes)} classes in train/; "
            "two or more are needed. sort_data.py reads them from metadata.csv or sites.csv in the archive"
        )


def validation_mask(recordings: PlacedRecordings, config: Config) -> Bool[np.ndarray, " recordings"]:
    """Return which recordings are set apart for validation, as `metadata.validation_by` says.

    They are drawn as sort_data.py draws val/; every class keeps recordings to learn from.
    """
    settings = config.metadata
    if not settings.validation_share:
        return np.zeros(len(recordings.rows), bool)
    blocked = settings.validation_by == "blocks"
    dataset = replace(
        config.dataset,
        split="blocked" if blocked else "recordings",
        val_share=settings.validation_share,
        test_share=0.0,
        folds=0,
        fold=0,
        seed=settings.seed,
    )
    as_recordings = [
        Recording(name, Path(), label, date=_date_in_month(place), latitude=place.latitude, longitude=place.longitude)
        for (name, label), place in zip(
            recordings.rows.select("recording", "class").iter_rows(), recordings.places, strict=True
        )
    ]
    groups = group_recordings(as_recordings, dataset, "block" if blocked else "recording")
    assigned = assign_splits(as_recordings, groups, dataset)
    return _with_all_classes(np.array([one.split == "val" for one in assigned]), recordings.rows["class"].to_list())


def _date_in_month(place: PlaceAndWeek) -> str:
    """Return a date in the month of a recording, by which blocks tell quarters of the year; '' if it is not known."""
    return "" if place.week is None else f"2001-{(place.week - 1) // 4 + 1:02d}-01"


def _with_all_classes(
    is_validation: Bool[np.ndarray, " recordings"], labels: Sequence[str]
) -> Bool[np.ndarray, " recordings"]:
    """Return the recordings for validation but for those of classes that would have none to learn from."""
    learned = Counter(label for label, apart in zip(labels, is_validation.tolist(), strict=True) if not apart)
    return is_validation & np.array([learned[label] > 0 for label in labels])


def _fingerprint(
    recordings: PlacedRecordings,
    is_validation: Bool[np.ndarray, " recordings"],
    features: Sequence[Feature],
    config: Config,
) -> str:
    settings = settings_for_key(config, of=("metadata.",))
    settings.pop("metadata.rasters", None)  # files may move; their content counts
    rows = [
        [name, label, place.latitude, place.longitude, place.day_or_mid_week, place.elevation, apart]
        for (name, label), place, apart in zip(
            recordings.rows.select("recording", "class").iter_rows(),
            recordings.places,
            is_validation.tolist(),
            strict=True,
        )
    ]
    content = [settings, [[feature.name, feature.sha256] for feature in features], rows]
    return short_key(content)
