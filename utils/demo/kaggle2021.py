"""The demo in the form of BirdCLEF 2021 on Kaggle: short recordings with place and date, and labelled soundscapes.

Where and when species sing follows the rule of `utils.demo.ranges`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from utils.console import clock, progress
from utils.demo.archive import DemoSummary, claim
from utils.demo.ranges import draw_author, plan_in_range, shares_at, site_code, site_rows
from utils.demo.sound_files import write_ogg
from utils.demo.soundscapes import QUIET_BLOCKS, SungStrophe, check_soundscape_seconds, synthesize_soundscape
from utils.demo.species import SPECIES
from utils.demo.surroundings import RASTERS, write_rasters
from utils.demo.synthesis import COMMON, SITES, PlannedRecording, synthesize
from utils.recordings.recording import event_overlaps
from utils.tables import write_csv

_OGG_RATE = 32_000  # Hz, as in the challenge
_ROW_SECONDS = 5  # of a row of labels
_FIRST_NUMBER = 900_000  # of recordings, in the names of their files
_JITTER = 0.1  # degrees; standard deviation of recordings around their place
NO_CALL = "nocall"


@dataclass(frozen=True)
class _Scape:
    """A soundscape: number, place (index into SITES), and date as in its name."""

    number: int
    place: int
    date: str

    @property
    def stem(self) -> str:
        return f"{self.number}_{site_code(self.place)}_{self.date}"


_TRAIN_SCAPES = tuple(
    _Scape(7001 + index, place, date)
    for index, (place, date) in enumerate(
        (
            (3, "20190112"),
            (0, "20190520"),
            (6, "20181203"),
            (8, "20190618"),
            (2, "20191101"),
            (5, "20190709"),
        )
    )
)
_TEST_SCAPES = (_Scape(8001, 7, "20200214"), _Scape(8002, 1, "20200803"))


def make_kaggle2021(root: Path, *, seed: int = 0, per_species: int = 20, soundscape_seconds: int = 60) -> DemoSummary:
    """Write the archive below `root`.

    Parameters
    ----------
    root : train_short_audio/, train_metadata.csv, train_soundscapes/, train_soundscape_labels.csv, test_soundscapes/,
        test.csv, sample_submission.csv, sites.csv (the places of soundscapes) and rasters/ are written there
    seed : the same seed gives the same bytes
    per_species : recordings of each common species, 2 to 99; two rare species have one and two
    soundscape_seconds : length of a soundscape, a multiple of 10, at least 30

    Raises
    ------
    UserError
        If `root` contains other recordings, or was written with other arguments.
    """
    if not 2 <= per_species <= 99:
        raise ValueError(f"per_species = {per_species}: should be 2 to 99")
    check_soundscape_seconds(soundscape_seconds)
    made_with = {"seed": seed, "per_species": per_species, "soundscape_seconds": soundscape_seconds}
    claim(root, {"form": "kaggle2021", **made_with})
    counts = [species.rare or per_species for species in SPECIES]
    scapes = len(_TRAIN_SCAPES) + len(_TEST_SCAPES)
    rows: list[dict[str, str]] = []
    seconds = 0.0
    with progress("Synthesizing birds", total=sum(counts) + scapes, unit="files") as advance:
        for species, count in enumerate(counts):
            for recording in range(count):
                row, length = _write_recording(root / "train_short_audio", species, recording, seed=seed)
                rows.append(row)
                seconds += length
                advance(note=SPECIES[species].scientific_name)
        labels = _write_scapes(root / "train_soundscapes", _TRAIN_SCAPES, soundscape_seconds, seed=seed)
        advance(len(_TRAIN_SCAPES), note="soundscapes")
        hidden = _write_scapes(root / "test_soundscapes", _TEST_SCAPES, soundscape_seconds, seed=seed)
        advance(len(_TEST_SCAPES), note="soundscapes")
    write_csv(root / "train_soundscape_labels.csv", labels)
    write_csv(root / "test.csv", hidden.drop("birds"))
    write_csv(root / "sample_submission.csv", hidden.select("row_id", birds=pl.lit(NO_CALL)))
    write_csv(root / "sites.csv", pl.DataFrame(site_rows()))
    write_csv(root / "train_metadata.csv", pl.DataFrame(rows))
    write_rasters(root / "rasters", seed=seed)
    more = {
        "soundscapes": f"{len(_TRAIN_SCAPES)} of {clock(float(soundscape_seconds))} with labels, "
        f"{len(_TEST_SCAPES)} without",
        "places": f"{len(SITES)} in sites.csv",
        "rasters": f"{', '.join(RASTERS)}, for train_metadata.py",
    }
    return DemoSummary(root, len(SPECIES), sum(counts), seconds, more)


def _write_recording(folder: Path, species: int, recording: int, *, seed: int) -> tuple[dict[str, str], float]:
    """Write one recording; return its row of metadata, and its length in seconds."""
    rng = np.random.default_rng((seed, 2001, species, recording))
    number = _FIRST_NUMBER + (species + 1) * 100 + recording
    planned = plan_in_range(species, number=number, rng=rng)
    row = _metadata_row(planned, rng=rng)
    sound = synthesize(planned, seconds=float(rng.uniform(3.0, 6.0)), rate=_OGG_RATE, seed=seed, rng=rng)
    write_ogg(folder / row["primary_label"] / row["filename"], sound, rate=_OGG_RATE)
    return row, len(sound) / _OGG_RATE


def _metadata_row(planned: PlannedRecording, *, rng: np.random.Generator) -> dict[str, str]:
    """Return the row of a recording in train_metadata.csv."""
    species = SPECIES[planned.species]
    _, latitude, longitude, *_ = SITES[planned.site]
    north, east = rng.normal(0.0, _JITTER, 2)
    return {
        "primary_label": species.class_id,
        "secondary_labels": str([SPECIES[other].class_id for other in planned.background]),
        "type": str([planned.content]),
        "latitude": f"{latitude + north:.4f}",
        "longitude": f"{longitude + east:.4f}",
        "scientific_name": species.scientific_name,
        "common_name": species.common_name,
        "author": draw_author(planned.site, rng=rng),
        "date": planned.date,
        "filename": f"XC{planned.number}.ogg",
        "license": "CC0-1.0",
        "rating": f"{5.0 - 0.5 * int(planned.distance * 9):.1f}",
        "time": planned.time,
        "url": f"https://example.org/{planned.number}",
    }


def _write_scapes(folder: Path, scapes: Sequence[_Scape], seconds: int, *, seed: int) -> pl.DataFrame:
    """Write soundscapes; return a row for every five seconds, with the codes of its species, or nocall."""
    rows = []
    for scape in scapes:
        sound, strophes = synthesize_soundscape(
            scape.place,
            COMMON,
            seconds=float(seconds),
            rate=_OGG_RATE,
            seed=seed,
            rng=np.random.default_rng((seed, 2002, scape.number)),
            shares=shares_at(scape.place, int(scape.date[4:6])),
            quiet_blocks=QUIET_BLOCKS,
        )
        write_ogg(folder / f"{scape.stem}.ogg", sound, rate=_OGG_RATE)
        rows += _rows_of(scape, strophes, seconds)
    return pl.DataFrame(rows)


def _rows_of(scape: _Scape, strophes: Sequence[SungStrophe], seconds: int) -> list[dict[str, str]]:
    site = site_code(scape.place)
    rows = []
    for end in range(_ROW_SECONDS, seconds + 1, _ROW_SECONDS):
        codes = {
            SPECIES[species].class_id
            for start, stop, species in strophes
            if event_overlaps((start, stop), float(end - _ROW_SECONDS), float(end))
        }
        rows.append(
            {
                "row_id": f"{scape.number}_{site}_{end}",
                "site": site,
                "audio_id": str(scape.number),
                "seconds": str(end),
                "birds": " ".join(sorted(codes)) or NO_CALL,
            }
        )
    return rows
