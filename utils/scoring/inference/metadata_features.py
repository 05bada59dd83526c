"""Features of place and date: what the metadata classifier learns from, and predicts by.

Numbers are latitude, longitude, day of the year, elevation, and values of rasters; some rasters are categories. A value
that is not known is missing: NaN, or the category MISSING.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from config import Metadata
from utils.console import UserError, warning
from utils.recordings.rasters import check_raster, raster_values
from utils.scoring.inference.prior_metadata import PlaceAndWeek

OF_RECORDINGS = ("latitude", "longitude", "day", "elevation")  # features that need no raster
MISSING = "missing"  # the category of unknown places, and of categories that were not learned
FIX_RASTERS = "fix metadata.rasters"
FeatureRow = list[float | str]
FeatureColumns = Mapping[str, Float[np.ndarray, " recordings"]]


@dataclass(frozen=True)
class Feature:
    """A column of what the classifier learns from.

    Attributes
    ----------
    name : latitude, longitude, day, elevation, or that of a raster
    raster : its file, and the SHA-256 of that; None and '' for features of the recording itself
    mean, deviation : subtracted from a number, and what it is divided by then
    categories : those that were learned; None: a number
    """

    name: str
    raster: Path | None = None
    sha256: str = ""
    mean: float = 0.0
    deviation: float = 1.0
    categories: tuple[str, ...] | None = None

    def values(self, column: Float[np.ndarray, " recordings"]) -> FeatureRow:
        """Return the values that the classifier gets: scaled numbers, or categories."""
        if self.categories is None:
            return ((column - self.mean) / self.deviation).tolist()
        return [text if text in self.categories else MISSING for text in map(category_of, column.tolist())]


def category_of(value: float) -> str:
    """Return a raster's value as a category: '7' of 7.0; MISSING of NaN."""
    return MISSING if np.isnan(value) else f"{value:.0f}" if value.is_integer() else repr(value)


def is_placed(place: PlaceAndWeek | None, names: Sequence[str]) -> bool:
    """Tell whether place and date are known, as far as the features of these names need them."""
    if place is None or None in (place.latitude, place.longitude):
        return False
    return "day" not in names or place.day_or_mid_week is not None


def wanted_features(settings: Metadata) -> tuple[Feature, ...]:
    """Return the features that the settings name, with the digests of the rasters.

    Raises
    ------
    UserError
        If a raster cannot be read, or two features have the same name.
    """
    _check_feature_names(settings)
    for path in settings.rasters:
        check_raster(path)
    rasters = [Feature(path.stem, path, digest_of_raster(path)) for path in settings.rasters]
    features = (*(Feature(name) for name in settings.features), *rasters)
    return tuple(
        replace(feature, categories=() if feature.name in settings.categorical else None) for feature in features
    )


def _check_feature_names(settings: Metadata) -> None:
    rasters = [path.stem for path in settings.rasters]
    twice = _repeated(settings.features)
    if twice is not None:
        raise UserError(f"metadata.features: names {twice!r} twice; leave one out")
    twice = _repeated([*settings.features, *rasters])
    if twice is not None:
        raise UserError(f"metadata.rasters: two features have the name {twice!r}; rename a file, or leave one out")
    unknown = set(settings.categorical) - set(rasters)
    if unknown:
        raise UserError(
            f"metadata.categorical: {min(unknown)!r} is not the name of a raster; they are "
            f"{', '.join(rasters) or 'none'} (metadata.rasters, without ending)"
        )


def _repeated(names: Sequence[str]) -> str | None:
    return next((name for name in names if names.count(name) > 1), None)


def digest_of_raster(path: Path) -> str:
    """Return the SHA-256 of a raster; one that has not changed is read once, as it may have gigabytes.

    Raises
    ------
    UserError
        As `digest_of`.
    """
    found = path.stat() if path.is_file() else None
    return _digest_of_version(path, found and (found.st_size, found.st_mtime_ns))


@cache
def _digest_of_version(path: Path, size_and_time: tuple[int, int] | None) -> str:
    """Return the SHA-256 of a raster as it is, with this size and time of its last change."""
    return digest_of(path, advice=FIX_RASTERS)


def digest_of(path: Path, *, advice: str) -> str:
    """Return the SHA-256 of a file.

    Parameters
    ----------
    advice : what to do if it cannot be read, for the message

    Raises
    ------
    UserError
        If it cannot be read, or is a pipe or a device.
    """
    if not path.is_file():  # others may never end
        raise UserError(f"{path}: no such file; {advice}")
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); {advice}") from None


def feature_columns(features: Sequence[Feature], places: Sequence[PlaceAndWeek]) -> FeatureColumns:
    """Return the value of each feature for each place, before scaling; NaN where it is not known.

    Raises
    ------
    UserError
        If a raster cannot be read.
    """
    of_places = {
        "latitude": _with_nan([place.latitude for place in places]),
        "longitude": _with_nan([place.longitude for place in places]),
        "day": _with_nan([place.day_or_mid_week for place in places]),
        "elevation": _with_nan([place.elevation for place in places]),
    }
    return {
        feature.name: raster_values(feature.raster, of_places["latitude"], of_places["longitude"])
        if feature.raster
        else of_places[feature.name]
        for feature in features
    }


def _with_nan(values: Sequence[int | float | None]) -> Float[np.ndarray, " recordings"]:
    return np.array([np.nan if value is None else value for value in values], np.float64)


def fitted_features(
    features: Sequence[Feature], columns: FeatureColumns, learned: Bool[np.ndarray, " recordings"], *, standardize: bool
) -> tuple[Feature, ...]:
    """Return the features with means, deviations and categories of the recordings that are learned.

    Features of recordings that are not known for any of them are left out, with a warning.

    Raises
    ------
    UserError
        If a raster has no value for any of them.
    """
    fitted = []
    for feature in features:
        column = columns[feature.name][learned]
        known = column[~np.isnan(column)]
        if not len(known) and feature.raster:
            raise UserError(
                f"{feature.raster}: has no value at any recording to learn from, because it is of another region "
                "or has no data there; leave it out of metadata.rasters"
            )
        if not len(known):
            warning(f"the feature {feature.name} is not known for any recording; it is left out")
        elif feature.categories is not None:
            fitted.append(replace(feature, categories=tuple(sorted({*map(category_of, known.tolist())}))))
        elif standardize:
            fitted.append(replace(feature, mean=float(known.mean()), deviation=float(known.std()) or 1.0))
        else:
            fitted.append(feature)
    return tuple(fitted)


def feature_rows(features: Sequence[Feature], columns: FeatureColumns) -> list[FeatureRow]:
    """Return one row per recording, one value per feature."""
    return [list(row) for row in zip(*(feature.values(columns[feature.name]) for feature in features), strict=True)]


def feature_as_json(feature: Feature) -> dict[str, Any]:
    """Return a feature as features.json holds it."""
    kind = {"mean": feature.mean, "deviation": feature.deviation}
    return {
        "name": feature.name,
        **({"raster": feature.raster.as_posix(), "sha256": feature.sha256} if feature.raster else {}),
        **(kind if feature.categories is None else {"categories": list(feature.categories)}),
    }


def feature_from_json(entry: Any) -> Feature:
    """Return a feature from what features.json holds.

    Raises
    ------
    ValueError, KeyError, TypeError
        If it is not as `feature_as_json` wrote it.
    """
    if not isinstance(entry, dict):
        raise TypeError("a feature is not a JSON object")
    categories = entry.get("categories")
    if "raster" not in entry and (entry["name"] not in OF_RECORDINGS or categories is not None):
        raise ValueError(f"{entry['name']!r} is not a feature, or lacks its raster")
    if not isinstance(categories, list | None):
        raise TypeError(f"the categories of {entry['name']!r} are no list")
    mean, deviation = float(entry.get("mean", 0.0)), float(entry.get("deviation", 1.0))
    if not (np.isfinite([mean, deviation]).all() and deviation > 0):
        raise ValueError(f"the mean or deviation of {entry['name']} is out of range")
    return Feature(
        str(entry["name"]),
        Path(entry["raster"]) if "raster" in entry else None,
        str(entry.get("sha256", "")),
        mean,
        deviation,
        None if categories is None else tuple(map(str, categories)),
    )
