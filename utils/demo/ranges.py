"""Where and when synthetic species live, so that place and date tell something about the species.

The rule: species `i` of `SPECIES` lives in region `REGIONS[i % 3]` and in season `SEASONS[i // 3 % 3]`. A region is
the north (above 10 degrees south), the east (below that, east of 60 degrees west) or the south (the rest). A season is
all year, October to March or April to September. Outside its region, and outside its season, a species is `STRAY` times
as frequent, outside of both `STRAY` squared. The two whistlers, and the two trillers, live in different regions: there
place tells apart what sounds alike.

The forms `kaggle2021` and `annotations` keep to it; in that of 2018, species are the same everywhere and always.
"""

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

import numpy as np
from jaxtyping import Float

from utils.demo.species import SPECIES
from utils.demo.synthesis import COMMON, SITES, PlannedRecording, plan_recording

REGIONS = ("north", "east", "south")
SEASONS: Mapping[str, frozenset[int]] = MappingProxyType(  # and their months
    {
        "all year": frozenset(range(1, 13)),
        "October to March": frozenset({10, 11, 12, 1, 2, 3}),
        "April to September": frozenset({4, 5, 6, 7, 8, 9}),
    }
)
STRAY = 0.06
_VISITS = 0.3  # share of a place's recordings by the recordist of the next place


def site_code(place: int) -> str:
    """Return three letters for a place, as in the names of soundscapes: QHO for Quebrada Honda."""
    words = SITES[place][0].split()
    return f"{words[0][0]}{words[-1][:2]}".upper()


def region_of(place: int) -> str:
    """Return the region of a place."""
    _, latitude, longitude, *_ = SITES[place]
    return region_at(latitude, longitude)


def region_at(latitude: float, longitude: float) -> str:
    """Return the region at a latitude and longitude, degrees."""
    if latitude > -10.0:
        return "north"
    return "east" if longitude > -60.0 else "south"


def region_of_species(species: int) -> str:
    """Return the region in which a species lives."""
    return REGIONS[species % len(REGIONS)]


def season_of_species(species: int) -> str:
    """Return the season in which a species is there."""
    return list(SEASONS)[species // len(REGIONS) % len(SEASONS)]


def frequency(species: int, *, place: int, month: int) -> float:
    """Return how frequent a species is at a place in a month (1 to 12): 1 where and when it lives, else less."""
    at_home = region_of(place) == region_of_species(species)
    in_season = month in SEASONS[season_of_species(species)]
    return (1.0 if at_home else STRAY) * (1.0 if in_season else STRAY)


def shares_at(place: int, month: int) -> Float[np.ndarray, " common"]:
    """Return the share of each common species in what sings at a place in a month; they add up to 1.

    Strays sing more than they are frequent (the square root), so that a soundscape has more than two species.
    """
    songs = np.sqrt([frequency(species, place=place, month=month) for species in COMMON])
    return songs / songs.sum()


def draw_author(place: int, *, rng: np.random.Generator) -> str:
    """Draw who records at a place: mostly the recordist who lives there, else the one of the next place."""
    return SITES[(place + (rng.random() < _VISITS)) % len(SITES)][4]


def plan_in_range(species: int, *, number: int, rng: np.random.Generator) -> PlannedRecording:
    """Draw a recording of a species at a place and in a month where it is likely, with species that are likely there.

    Parameters
    ----------
    species : index into SPECIES
    number : of the recording, in its file's name
    """
    planned = plan_recording(species, number=number, rng=rng)
    likely = np.array(
        [frequency(species, place=place, month=month) for place in range(len(SITES)) for month in range(1, 13)]
    )
    place, month = divmod(int(rng.choice(len(likely), p=likely / likely.sum())), 12)
    shares = np.where(np.array(COMMON) == species, 0.0, shares_at(place, month + 1))
    others = rng.choice(COMMON, len(planned.background), replace=False, p=shares / shares.sum())
    return replace(
        planned,
        background=tuple(int(other) for other in others),
        site=place,
        date=f"{planned.date[:4]}-{month + 1:02d}-{planned.date[8:]}",
    )


def species_rows() -> list[dict[str, str]]:
    """Return a table of all species: code, scientific name and common name."""
    return [
        {"code": one.class_id, "scientific_name": one.scientific_name, "common_name": one.common_name}
        for one in SPECIES
    ]


def site_rows() -> list[dict[str, str]]:
    """Return a table of all places: site, locality, latitude and longitude (degrees), elevation (metres)."""
    return [
        {
            "site": site_code(place),
            "locality": locality,
            "latitude": f"{latitude:.3f}",
            "longitude": f"{longitude:.3f}",
            "elevation": str(elevation),
        }
        for place, (locality, latitude, longitude, elevation, _) in enumerate(SITES)
    ]
