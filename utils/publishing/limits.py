"""Limits of a model that follow from its data, as sentences for the model card."""

from collections.abc import Iterator
from itertools import pairwise

from config import Config
from utils.publishing.data_facts import DataFacts
from utils.publishing.held_out_results import HeldOutResults
from utils.recordings.recording import NOISE
from utils.scoring.metrics.units import unit_word

FEW_TO_LEARN = 10  # of a class, to learn from
FEW_ROWS = 100  # of a test
FEW_OF_CLASS = 5  # held-out rows of a class
ONE_REGION = 15.0  # degrees of latitude and longitude
CLASSES_IN_SENTENCE = 10  # classes that a sentence names
MONTHS = 12


def limits_of(data: DataFacts, results: HeldOutResults | None, config: Config) -> list[str]:
    """Return sentences about what the data do not show, each with its numbers; names in them are not escaped."""
    return [
        *_class_limits(data),
        *_place_limits(data),
        *_date_limits(data),
        *_noise_limits(data, config),
        *_test_limits(data, results),
    ]


def listed(names: list[str]) -> str:
    """Return the first names, and how many more there are."""
    more = len(names) - CLASSES_IN_SENTENCE
    return ", ".join(names[:CLASSES_IN_SENTENCE]) + (f" and {more:,} more" if more > 0 else "")


def _class_limits(data: DataFacts) -> Iterator[str]:
    yield (
        f"It knows {len(data.classes):,} classes and nothing else: every other species, and every other sound, gets "
        "the scores of the classes that are most like it."
    )
    few = [one.label for one in data.classes if one.learned is not None and one.learned < FEW_TO_LEARN]
    if few:
        verb = "classes have" if len(few) > 1 else "class has"
        yield (
            f"{len(few):,} of {len(data.classes):,} {verb} fewer than {FEW_TO_LEARN} recordings to learn from "
            f"({listed(few)}); expect more errors there."
        )


def _place_limits(data: DataFacts) -> Iterator[str]:
    places, countries = data.places, [name for name, _ in data.counts("country")]
    without = len(data.learned) - len(places)
    if places:
        south, north = min(lat for lat, _ in places), max(lat for lat, _ in places)
        longitudes = sorted(longitude for _, longitude in places)
        if north - south <= ONE_REGION and _width(longitudes) <= ONE_REGION:
            yield (
                f"The recordings of known place ({len(places):,} of {len(data.learned):,}) are from one region, "
                f"latitude {south:.1f} to {north:.1f}, {_width(longitudes):.1f} degrees of longitude wide; calls and "
                "background sound differ elsewhere."
            )
    elif countries and len(countries) == 1:
        yield f"All recordings of known country are from {countries[0]}; calls and background sound differ elsewhere."
    if data.learned and without:
        yield f"The places of {without:,} of {len(data.learned):,} recordings are not known."


def _width(longitudes: list[float]) -> float:
    """Return the width of the narrowest band of longitudes that holds all of these, also across the date line."""
    around = [*longitudes, longitudes[0] + 360]
    return 360 - max(after - before for before, after in pairwise(around))


def _date_limits(data: DataFacts) -> Iterator[str]:
    months = sorted({day.month for day in data.days})
    if months and len(months) < MONTHS:
        missing = sorted({*range(1, MONTHS + 1)} - {*months})
        yield (
            f"No recording of known date is from the month{'s' if len(missing) > 1 else ''} "
            f"{', '.join(map(str, missing))}: songs and calls of that season may be missing."
        )


def _noise_limits(data: DataFacts, config: Config) -> Iterator[str]:
    if NOISE not in {one.label for one in data.classes} and config.training.noise_folder is None:
        yield (
            "It learned no sound without birds (no class 'Noise', no training.noise_folder): rain, wind, insects, "
            "voices and engines get scores of species, too. Set thresholds on recordings of your own."
        )


def _test_limits(data: DataFacts, results: HeldOutResults | None) -> Iterator[str]:
    shared, named = data.by_known_recordists
    if shared:
        yield (
            f"{shared:,} of {named:,} held-out recordings of known recordist are by recordists of whom it also learned "
            "recordings: with other recordists, microphones and places, expect lower metrics."
        )
    if data.held_out and not named:
        yield "Whether held-out and learned recordings are by the same recordists is not known; take it that many are."
    if results is None:
        yield "It was not tested on held-out recordings: how good it is, is not known."
        return
    if results.rows < FEW_ROWS:
        yield f"The metrics are over {results.rows:,} {unit_word(results.unit)} only; their intervals are wide."
    if len(results.per_class):
        few = results.per_class.filter(results.per_class["rows"] < FEW_OF_CLASS)["class"].to_list()
        if few:
            yield (
                f"{len(few):,} of {len(results.per_class):,} classes have fewer than {FEW_OF_CLASS} held-out "
                f"{unit_word(results.unit)} ({listed(few)}): their metrics are mostly chance."
            )
