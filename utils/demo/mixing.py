"""The folder of mixed soundscapes: written with its tables, or refused if it holds something else."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import polars as pl

from utils.console import Failure, UserError, alone, printable, progress
from utils.demo.mix_settings import MixSettings
from utils.demo.mixed_soundscapes import MixedCall, Sources, UsedSound, find_sources, mix_soundscape
from utils.demo.sound_files import write_flac
from utils.files import remove_leftovers, unrelated_names, write_json
from utils.tables import write_csv

_MARK = "mix.json"
_TABLES = ("annotations.csv", "sources.json")
_OURS = ("mixed_*.flac", *_TABLES, _MARK)
_ANNOTATION_TYPES = {
    **{"file": pl.String, "start": pl.Float64, "end": pl.Float64, "species": pl.String},
    **{"from_recording": pl.String, "snr_db": pl.Float64},
}


@dataclass(frozen=True)
class MixResult:
    """What was mixed, and what could not be used."""

    soundscapes: int
    calls: int
    species: int
    recordings: int
    failures: Sequence[Failure]


def mix(recordings: Path, out: Path, *, noises: Sequence[Path], count: int, settings: MixSettings) -> MixResult:
    """Write soundscapes and their tables to `out`.

    Parameters
    ----------
    recordings : folder of class folders
    noises : folders of recordings without birds
    count : number of soundscapes

    Raises
    ------
    UserError
        If there is nothing to mix, or `out` holds other files, or soundscapes that were mixed otherwise.
    """
    sources = find_sources(recordings, noises)
    _check_not_inside(out, (recordings, *noises))
    made_with = {
        "recordings": str(recordings),
        "noises": [str(folder) for folder in noises],
        "count": count,
        **asdict(settings),
    }
    made_with["snr"] = list(settings.snr)
    _check_empty(out, made_with)
    with alone(out, "mix"):
        remove_leftovers(out)
        for table in _TABLES:  # they belong to the soundscapes beside them, which may change now
            (out / table).unlink(missing_ok=True)
        write_json(out / _MARK, made_with)
        return _write_mixed(sources, out, count=count, settings=settings)


def _check_not_inside(out: Path, folders: Sequence[Path]) -> None:
    for folder in folders:
        if out.resolve().is_relative_to(folder.resolve()):
            raise UserError(f"{printable(out)} is in {printable(folder)}, which is read; choose a folder elsewhere")


def _check_empty(out: Path, made_with: dict[str, object]) -> None:
    """Refuse a folder that holds other files, or soundscapes that were mixed otherwise."""
    if others := unrelated_names(out, _OURS):
        raise UserError(f"{printable(out)} holds other files ({others[0]}); choose an empty folder")
    mixed = unrelated_names(out, (_MARK,))  # a call that failed leaves the mark alone
    mark = out / _MARK
    if mixed and not (mark.is_file() and _made_with(mark) == made_with):
        raise UserError(f"{printable(out)} holds soundscapes that were mixed otherwise; delete it or choose another")


def _made_with(mark: Path) -> object:
    try:
        return json.loads(mark.read_bytes())
    except ValueError:
        return None


def _write_mixed(sources: Sources, out: Path, *, count: int, settings: MixSettings) -> MixResult:
    digits = max(2, len(str(count - 1)))
    calls: list[dict[str, object]] = []
    used: list[dict[str, object]] = []
    with progress("Mixing", total=count, unit="soundscapes") as advance:
        for index in range(count):
            name = f"mixed_{index:0{digits}d}.flac"
            sound, its_calls, its_sources = mix_soundscape(sources, settings, index)
            write_flac(out / name, sound, rate=settings.rate)
            calls += [_annotation_row(name, call) for call in its_calls]
            used += [_source_row(name, one) for one in its_sources]
            advance(note=name)
    table = pl.DataFrame(calls, schema=_ANNOTATION_TYPES)
    write_json(out / "sources.json", {"sources": used})  # no table, which a reader of annotations would have to explain
    write_csv(out / "annotations.csv", table)
    recordings = len({row["recording"] for row in used})
    return MixResult(count, len(table), table["species"].n_unique(), recordings, tuple(sources.failures))


def _annotation_row(name: str, call: MixedCall) -> dict[str, object]:
    start, end = round(call.start, 3), round(call.end, 3)
    return dict(
        zip(_ANNOTATION_TYPES, (name, start, end, call.species, call.recording, round(call.snr, 1)), strict=True)
    )


def _source_row(name: str, one: UsedSound) -> dict[str, object]:
    return {
        "soundscape": name,
        "role": one.role,
        "recording": one.recording,
        "at": round(one.at, 2),
        "seconds": round(one.seconds, 3),
    }
