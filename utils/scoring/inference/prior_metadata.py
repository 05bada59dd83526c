"""Where and when recordings were made, and the names of species, from `metadata/`."""

from dataclasses import dataclass
from datetime import date

from config import Dataset
from utils.recordings.labels import Taxonomy, read_aliases, read_taxonomy
from utils.recordings.recording import Taxon, degrees, read_metadata

WEEKS = 48  # of eBird's year


@dataclass(frozen=True)
class PlaceAndWeek:
    """Where and when a recording was made; None if unknown.

    Attributes
    ----------
    latitude, longitude : degrees
    week : 1 to 48, four per month, as in eBird's bar charts
    """

    latitude: float | None
    longitude: float | None
    week: int | None


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
            places[name] = PlaceAndWeek(latitude, longitude, week_of(str(known.get("date", ""))))
    by_name = sorted(found, key=lambda taxon: (taxon.species, taxon.code, taxon.common_name))
    return MetadataFolder(
        places, Taxonomy([*taxa, *by_name], read_aliases(settings.aliases) if settings.aliases else {})
    )


def week_of(text: str) -> int | None:
    """Return eBird's week, 1 to 48, of a date as YYYY-MM-DD; None if it is not a date.

    There are four weeks per month, the last of which lasts to the month's end.
    """
    try:
        day = date.fromisoformat(text)
    except ValueError:
        return None
    return 4 * (day.month - 1) + min((day.day - 1) // 7, 3) + 1
