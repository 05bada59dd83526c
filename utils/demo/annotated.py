"""The demo as long recordings with annotated calls, such as recorders in the field and people at a screen make them.

Half of the recordings have points in time and codes of species (`points.csv`), the other half boxes in time and
frequency and scientific names (`annotations.csv`); `species.csv` maps the codes. `recordings.csv` says who recorded
where and when, `sites.csv` where the sites are. Where and when species sing follows the rule of `utils.demo.ranges`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from utils.console import progress
from utils.demo.archive import DemoSummary, claim
from utils.demo.ranges import draw_author, shares_at, site_code, site_rows, species_rows
from utils.demo.singing import Individual
from utils.demo.sound_files import write_flac
from utils.demo.soundscapes import QUIET_BLOCKS, SungStrophe, check_soundscape_seconds, synthesize_soundscape
from utils.demo.species import SPECIES, Species, Strophe
from utils.demo.synthesis import COMMON, SITES, individual_of, scale_to_peak
from utils.tables import write_csv

_TAPE_RATE = 22_050  # Hz
_PEAK = 0.1  # recorders are set to low gains
_MARGIN = 1.04  # factor by which boxes are higher and lower than the call


@dataclass(frozen=True)
class _Tape:
    """A recording: place (index into SITES), date and time as in its name, and how its calls are annotated."""

    place: int
    date: str
    time: str
    boxes: bool

    @property
    def name(self) -> str:
        return f"{site_code(self.place)}_{self.date}_{self.time}.flac"


_PLACES = (3, 0, 6, 8, 2, 5)  # two of each region
_TAPES = tuple(
    _Tape(place, date, f"{5 + index:02d}{7 * index:02d}00", boxes=(index + later) % 2 == 0)
    for index, place in enumerate(_PLACES)
    for later, date in enumerate(("20230117", "20230615"))
)


def make_annotated(root: Path, *, seed: int = 0, seconds: int = 80) -> DemoSummary:
    """Write recordings/, annotations.csv, points.csv, species.csv, recordings.csv and sites.csv below `root`.

    Parameters
    ----------
    seed : the same seed gives the same bytes
    seconds : length of a recording, a multiple of 10, at least 30

    Raises
    ------
    UserError
        If `root` contains other recordings, or was written with other arguments.
    """
    check_soundscape_seconds(seconds)
    claim(root, {"form": "annotations", "seed": seed, "seconds": seconds})
    boxes: list[dict[str, str]] = []
    points: list[dict[str, str]] = []
    with progress("Synthesizing birds", total=len(_TAPES), unit="files") as advance:
        for index, tape in enumerate(_TAPES):
            strophes = _write_tape(root / "recordings" / tape.name, tape, index, seconds, seed=seed)
            if tape.boxes:
                boxes += _box_rows(tape, strophes, seed=seed)
            else:
                points += _point_rows(tape, strophes)
            advance(note=tape.name)
    authors = np.random.default_rng((seed, 3001))
    write_csv(root / "recordings.csv", pl.DataFrame([_tape_metadata(tape, rng=authors) for tape in _TAPES]))
    write_csv(root / "sites.csv", pl.DataFrame(site_rows()))
    write_csv(root / "species.csv", pl.DataFrame(species_rows()))
    write_csv(root / "points.csv", pl.DataFrame(points))
    write_csv(root / "annotations.csv", pl.DataFrame(boxes))
    more = {
        "annotations": f"{len(boxes)} boxes in annotations.csv, {len(points)} points in points.csv",
        "places": f"{len(SITES)} in sites.csv",
    }
    return DemoSummary(root, len(COMMON), len(_TAPES), float(len(_TAPES) * seconds), more)


def _write_tape(path: Path, tape: _Tape, index: int, seconds: int, *, seed: int) -> list[SungStrophe]:
    sound, strophes = synthesize_soundscape(
        tape.place,
        COMMON,
        seconds=float(seconds),
        rate=_TAPE_RATE,
        seed=seed,
        rng=np.random.default_rng((seed, 3002, index)),
        shares=shares_at(tape.place, int(tape.date[4:6])),
        quiet_blocks=QUIET_BLOCKS,
    )
    write_flac(path, scale_to_peak(sound, _PEAK), rate=_TAPE_RATE)
    return strophes


def _box_rows(tape: _Tape, strophes: Sequence[SungStrophe], *, seed: int) -> list[dict[str, str]]:
    rows = []
    for start, end, index in strophes:
        low, high = song_band(SPECIES[index], individual_of(index, tape.place, seed=seed))
        rows.append(
            {
                "file": tape.name,
                "start": f"{start:.3f}",
                "end": f"{end:.3f}",
                "low": f"{low:.0f}",
                "high": f"{high:.0f}",
                "species": SPECIES[index].scientific_name,
            }
        )
    return rows


def _point_rows(tape: _Tape, strophes: Sequence[SungStrophe]) -> list[dict[str, str]]:
    """Return the middle of each strophe, in the order of time."""
    middles = sorted((round((start + end) / 2, 2), species) for start, end, species in strophes)
    return [
        {"file": tape.name, "time": f"{middle:.2f}", "species_code": SPECIES[index].class_id}
        for middle, index in middles
    ]


def song_band(species: Species, bird: Individual) -> tuple[float, float]:
    """Return the lowest and the highest frequency of an individual's songs, without overtones, Hz."""
    bands = [_strophe_band(strophe) for strophe in species.songs]
    return (
        min(low for low, _ in bands) * bird.pitch / _MARGIN,
        max(high for _, high in bands) * bird.pitch * _MARGIN,
    )


def _strophe_band(strophe: Strophe) -> tuple[float, float]:
    last = strophe.pitch_change ** (strophe.repeats[1] - 1)  # factor on the frequencies of the last repeat
    low = min(min(syllable.contour) * (1.0 - syllable.vibrato[1]) for syllable in strophe.syllables)
    high = max(max(syllable.contour) * (1.0 + syllable.vibrato[1]) for syllable in strophe.syllables)
    return low * min(last, 1.0), high * max(last, 1.0)


def _tape_metadata(tape: _Tape, *, rng: np.random.Generator) -> dict[str, str]:
    """Return the row of a recording in recordings.csv."""
    _, latitude, longitude, elevation, _ = SITES[tape.place]
    return {
        "file": tape.name,
        "site": site_code(tape.place),
        "author": draw_author(tape.place, rng=rng),
        "latitude": f"{latitude:.3f}",
        "longitude": f"{longitude:.3f}",
        "elevation": str(elevation),
        "date": f"{tape.date[:4]}-{tape.date[4:6]}-{tape.date[6:]}",
        "time": f"{tape.time[:2]}:{tape.time[2:4]}",
    }
