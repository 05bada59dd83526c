"""Synthetic species and their songs and calls.

Species share frequency bands and types of syllables on purpose: a model that only uses the average spectrum confuses
them, a model that uses contour and rhythm can tell them apart.
"""

import re
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Syllable:
    """One syllable of a song."""

    contour: tuple[float, ...]  # frequencies at equal steps of time, Hz; between them it glides
    length: float  # seconds
    rest: float  # silence after it, seconds
    overtones: tuple[float, ...] = (1.0, 0.12)  # amplitudes of the fundamental and its multiples
    vibrato: tuple[float, float] = (0.0, 0.0)  # rate, Hz, and depth, as a fraction of the frequency
    tremolo: tuple[float, float] = (0.0, 0.0)  # rate, Hz, and depth, 0 to 1


@dataclass(frozen=True)
class Strophe:
    """A repeated sequence of syllables."""

    syllables: tuple[Syllable, ...]
    repeats: tuple[int, int] = (1, 1)  # minimum, maximum
    tempo_change: float = 1.0  # factor on the duration, from one repeat to the next
    pitch_change: float = 1.0  # factor on the frequency, from one repeat to the next


@dataclass(frozen=True)
class Species:
    """A synthetic species with its songs and calls."""

    scientific_name: str  # "Genus species"
    common_name: str
    songs: tuple[Strophe, ...]
    call: Strophe
    pause: float = 0.6  # typical pause between two strophes, seconds
    rare: int | None = None  # number of recordings, if there are only one or two

    @property
    def genus(self) -> str:
        """The genus, from the scientific name."""
        return self.scientific_name.split()[0]

    @property
    def family(self) -> str:
        """The family, derived from the genus."""
        return re.sub("(us|es|a)$", "", self.genus) + "idae"

    @property
    def class_id(self) -> str:
        """A code of six letters, as in the archive."""
        return "".join(word[:3] for word in self.scientific_name.lower().split())


_NASAL, _SOFT = (0.5, 0.8, 1.0, 0.8, 0.4), (1.0, 0.3, 0.1)
_DOWN = (6200.0, 4400.0, 3300.0)
_HIGH, _LOW = Syllable((5150.0, 5050.0), 0.17, 0.03), Syllable((3500.0, 3430.0), 0.17, 0.03)
_SINK, _RISE = (
    Syllable((5150.0, 5050.0, 3500.0, 3400.0), 0.36, 0.25),
    Syllable((3400.0, 3500.0, 5050.0, 5150.0), 0.36, 0.25),
)
_RATTLE, _FALL = Syllable(_DOWN, 0.045, 0.018), Syllable(_DOWN, 0.075, 0.05)
_BUZZ = Syllable((4300.0, 4500.0, 4700.0), 0.6, 0.3, vibrato=(34.0, 0.2), tremolo=(34.0, 0.7))
_LAUGH = Syllable((1350.0, 1700.0, 1400.0), 0.11, 0.07, _NASAL)
_CHATTER = (
    Syllable((3400.0, 5200.0, 3800.0), 0.12, 0.03),
    Syllable((5800.0, 4200.0), 0.07, 0.03),
    Syllable((4300.0, 4300.0), 0.14, 0.03, vibrato=(38.0, 0.12)),
    Syllable((3300.0, 5900.0), 0.08, 0.05),
)
_SCOLD = (
    Syllable((5900.0, 3600.0, 5400.0), 0.13, 0.04),
    Syllable((1500.0, 1500.0), 0.1, 0.03, _NASAL),
    Syllable((3500.0, 4600.0, 3600.0, 5200.0), 0.2, 0.04),
)
_WAVER = Syllable((4600.0, 4400.0, 4200.0), 0.85, 0.3, vibrato=(11.0, 0.2))

SPECIES = (
    Species(
        "Sibilator matutinus",
        "Morning Whistler",
        songs=(Strophe((_SINK,), (1, 3)), Strophe((_HIGH, _LOW, replace(_LOW, rest=0.4)), (1, 2))),
        call=Strophe((Syllable((5100.0, 4200.0, 3400.0), 0.2, 0.5),), (1, 2)),
    ),
    Species(
        "Sibilator vespertinus",
        "Evening Whistler",
        songs=(Strophe((_RISE,), (1, 3)), Strophe((_LOW, _HIGH, replace(_HIGH, rest=0.4)), (1, 2))),
        call=Strophe((Syllable((3400.0, 4200.0, 5100.0), 0.2, 0.5),), (1, 2)),
    ),
    Species(
        "Tremulus rapidus",
        "Rattling Triller",
        songs=(Strophe((_RATTLE,), (16, 32)), Strophe((_RATTLE,), (10, 18), pitch_change=0.99)),
        call=Strophe((_RATTLE,), (3, 4)),
    ),
    Species(
        "Tremulus lentus",
        "Sober Triller",
        songs=(Strophe((_FALL,), (8, 16)), Strophe((_FALL,), (6, 10), tempo_change=0.97)),
        call=Strophe((replace(_FALL, rest=0.4),), (1, 3)),
    ),
    Species(
        "Stridulator ruficollis",
        "Rufous-necked Buzzer",
        songs=(Strophe((_BUZZ,), (1, 2)), Strophe((replace(_BUZZ, length=0.22, rest=0.09),), (2, 4))),
        call=Strophe((replace(_BUZZ, contour=(4500.0, 4400.0), length=0.25),), (1, 2)),
    ),
    Species(
        "Cachinnus clamator",
        "Laughing Clamator",
        songs=(
            Strophe((_LAUGH,), (6, 11), tempo_change=0.96, pitch_change=0.985),
            Strophe((replace(_LAUGH, length=0.24, rest=0.12),), (2, 4)),
        ),
        call=Strophe((replace(_LAUGH, rest=0.35),), (1, 3)),
    ),
    Species(
        "Fringilloides varius",
        "Variable Chatterer",
        songs=(Strophe(_CHATTER, (2, 4)), Strophe(_SCOLD, (2, 4))),
        call=Strophe((*_CHATTER[:2], replace(_CHATTER[0], rest=0.4)), (1, 2)),
    ),
    Species(
        "Undulator silvestris",
        "Forest Waverer",
        songs=(
            Strophe((_WAVER,)),
            Strophe((Syllable((3900.0, 4500.0, 4900.0), 0.5, 0.15, vibrato=(15.0, 0.14)),), (1, 2)),
        ),
        call=Strophe((replace(_WAVER, length=0.28),), (1, 2)),
    ),
    Species(
        "Acutula minima",
        "Least Needlebill",
        songs=(Strophe((Syllable((8300.0, 7300.0), 0.18, 0.1, (1.0,)),), (3, 6)),),
        call=Strophe((Syllable((8000.0, 7500.0), 0.12, 0.4, (1.0,)),), (1, 2)),
        rare=2,
    ),
    Species(
        "Bombator nocturnus",
        "Nocturnal Boomer",
        songs=(
            Strophe(
                (
                    Syllable((1950.0, 2100.0, 1950.0), 0.22, 0.12, _SOFT),
                    Syllable((1900.0, 1950.0, 1800.0), 0.45, 0.5, _SOFT),
                )
            ),
        ),
        call=Strophe((Syllable((2050.0, 1800.0), 0.3, 0.4, _SOFT),), (1, 2)),
        rare=1,
    ),
)
