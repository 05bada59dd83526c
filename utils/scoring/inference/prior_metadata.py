"""Where and when recordings were made, and the names of species, from `metadata/`."""

import re
from dataclasses import dataclass
from datetime import date

from config import Dataset
from utils.recordings.class_names import read_class_names
from utils.recordings.labels import Taxonomy, read_aliases, read_taxonomy
from utils.recordings.recording import Taxon, degrees, read_metadata

WEEKS = 48  # of eBird's year
LOWEST, HIGHEST = -500.0, 9000.0  # elevation of land, metres
METRES_PER_FOOT = 0.3048
_NUMBER = r"-?\d+(?:\.\d+)?"
_ELEVATION = re.compile(rf"({_NUMBER})(?:\s*[-–]\s*({_NUMBER}))?\s*(m|metres|meters|masl|m\.?a\.?s\.?l\.?|ft|feet)?")


@dataclass(frozen=True)
class PlaceAndWeek:
    """Where and when a recording was made; None if unknown.

    Attributes
    ----------
    latitude, longitude : degrees
    week : 1 to 48, four per month, as in eBird's bar charts
    day : of the year, 1 to 366; None, too, if only the week is known
    elevation : metres
    """

    latitude: float | None
    longitude: float | None
    week: int | None
    day: int | None = None
    elevation: float | None = None

    @property
    def day_or_mid_week(self) -> int | None:
        """The day of the year; if only the week is known, a day in the middle of it."""
        if self.day is not None or self.week is None:
            return self.day
        month, quarter = divmod(self.week - 1, 4)
        return day_of_year(f"2001-{month + 1:02d}-{7 * quarter + 4:02d}")


@dataclass(frozen=True)
class MetadataFolder:
    """What the files of `metadata/` say.

    Attributes
    ----------
    places : by name of the recording
    taxonomy : the names of species in the data set and in its settings
    """

    places: dict[str, PlaceAndWeek]
    taxonomy: Taxonomy


def read_all_metadata(settings: Dataset, names: set[str]) -> MetadataFolder:
    """Read `metadata/` of a data set; files that cannot be read are ignored.

    Parameters
    ----------
    names : the recordings whose places are wanted
    """
    taxa = read_taxonomy(settings.taxonomy) if settings.taxonomy else []
    found: set[Taxon] = set()
    places = {}
    folder = settings.root / "metadata"
    for file in sorted(folder.rglob("*.json")):
        try:
            known = read_metadata(file)
        except (OSError, ValueError):
            continue
        texts = [known.get(key, "") for key in ("sci-name", "classid", "species")]
        if all(isinstance(text, str) for text in texts):
            found.add(Taxon(*texts))
        name = file.relative_to(folder).as_posix().removesuffix(".json")
        if name in names:
            latitude, longitude = (
                degrees(known.get("latitude"), limit=90.0),
                degrees(known.get("longitude"), limit=180.0),
            )
            when, elevation = str(known.get("date", "")), metres(str(known.get("elevation", "")))
            places[name] = PlaceAndWeek(latitude, longitude, week_of(when), day_of_year(when), elevation)
    by_name = sorted(found, key=lambda taxon: (taxon.species, taxon.code, taxon.common_name))
    classes = read_class_names(settings.root)
    aliases = read_aliases(settings.aliases) if settings.aliases else {}
    return MetadataFolder(places, Taxonomy([*taxa, *by_name, *classes.taxa], aliases, classes.labels))


def week_of(text: str) -> int | None:
    """Return eBird's week, 1 to 48, of a date as YYYY-MM-DD; None if it is not a date.

    There are four weeks per month, the last of which lasts to the month's end.
    """
    try:
        day = date.fromisoformat(text)
    except ValueError:
        return None
    return 4 * (day.month - 1) + min((day.day - 1) // 7, 3) + 1


def day_of_year(text: str) -> int | None:
    """Return the day of the year, 1 to 366, of a date as YYYY-MM-DD; None if it is not a date."""
    try:
        return date.fromisoformat(text).timetuple().tm_yday
    except ValueError:
        return None


def metres(text: str) -> float | None:
    """Return an elevation as archives write it, such as '1200', '350 m', '100-200' (the middle) or '300 ft', in metres.

    None if it is not one.
    """
    found = _ELEVATION.fullmatch(text.strip().lower())
    if not found:
        return None
    low, high, unit = found.groups()
    middle = (float(low) + float(high or low)) / 2 * (METRES_PER_FOOT if unit in ("ft", "feet") else 1.0)
    return middle if LOWEST <= middle <= HIGHEST else None
