"""Site, date, time and place in the names of recorders' files, and in the folders that hold them.

Without `dataset.site_pattern`, the usual names are recognised: a date and a time of day, after the name of the site if
there is one. If there is none, as in the names of AudioMoth, the nearest folder that is neither a date nor a word such
as `Data` is the site.

| recorder | name |
|---|---|
| Song Meter, Swift, AudioMoth with a prefix | `SITE_20230615_025100`; SM3 `SITE_0+1_20230615$025100` |
| AudioMoth | `SITE/20230615_025100`, `SITE/20230615_025100T`; until 2018 `SITE/5B07FAC0`, seconds since 1970 |
| BAR-LT, files renamed by EMU | `SITE_20230615T025100+1000_REC [-27.3866+152.8761]`, `20230615T025100Z` |
| Anabat | `SITE/2023-06-15 02-51-00` |
| Kaggle's soundscapes | `7019_COR_20190904`, `BC2026_Train_0039_S22_20211231_201500` |

Dates and times are those of the recorder's clock. If a name tells the time zone, it follows the time: 02:51+10:00.

Source: Song Meter Mini 2 and SM3BAT user guides of Wildlife Acoustics; the AudioMoth operation manual;
github.com/QutEcoacoustics/emu; kaggle.com/competitions/birdclef-2021/data and birdclef-2026/data.
"""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from pathlib import PurePosixPath

import polars as pl

from utils.console import warning
from utils.recordings.audio_files import date_and_time_in
from utils.recordings.recorders.metadata import believable
from utils.recordings.recording import Recording, degrees

_DATE = r"(?P<year>(?:19|20)\d\d)(?P<dash>-?)(?P<month>0[1-9]|1[0-2])(?P=dash)(?P<day>0[1-9]|[12]\d|3[01])"
_CLOCK = r"(?P<hour>[01]\d|2[0-3])(?P<colon>[-:.]?)(?P<minute>[0-5]\d)(?P=colon)(?P<second>[0-5]\d)"
_OFFSET = r"[+-](?:0\d|1[0-4]):?(?:00|15|30|45)"
_STAMP = re.compile(
    rf"(?<!\d){_DATE}(?P<between>[T_$ -]?){_CLOCK}(?P<zone>(?<!-)Z(?![A-Za-z])|[ _-]?UTC(?![A-Za-z])|{_OFFSET})?(?!\d)"
)
_PLACE = re.compile(r"(?<![\d.])(?P<latitude>[+-]\d{1,2}\.\d{3,}) ?(?P<longitude>[+-]\d{1,3}\.\d{3,})(?![\d.])")
# before the name of a recorder's file: BirdNET-Analyzer's confidence and number of a segment; BirdCLEF 2026's number
_NUMBERED = re.compile(r"[01]\.\d{3}_\d+_|BC20\d\d_[A-Za-z]+_\d+_")
_CHANNELS = re.compile(r"_(?:0|1|0\+1)$")  # of an SM3
_KAGGLE_2021 = re.compile(r"\d+_(?P<site>[A-Z]{3})_\d{8}")
_SECONDS = re.compile(r"[0-9A-F]{8}")  # since 1970, as a hexadecimal number
_FIRST_SECONDS, _LAST_SECONDS = 0x5685C180, 0x5FEE65FF  # 2016 to 2020; other numbers may be anything
_DAY_FOLDER = re.compile(rf".*(?<!\d){_DATE}(?!\d).*|(?:19|20)\d\d(?:[-_.]?\d\d){{0,2}}", re.DOTALL)
# folders that recorders and people make for all their sounds, and prefixes that do not tell a site
_NO_SITE_WORDS = (
    "data data_ac data_fs data_zc dcim sd card audio audios audiomoth wav wavs flac mp3 ogg sound sounds rec recording "
    "recordings record soundscape soundscapes file files raw train training val validation valid test testing"
)
_NO_SITES = frozenset(_NO_SITE_WORDS.split())


@dataclass(frozen=True)
class RecorderName:
    """What the name of a recorder's file tells; '' and None if it does not.

    Attributes
    ----------
    site : where the recorder stood
    date, time : YYYY-MM-DD, and HH:MM with the time zone if the name tells it, of the recorder's clock
    latitude, longitude : degrees
    """

    site: str = ""
    date: str = ""
    time: str = ""
    latitude: float | None = None
    longitude: float | None = None


def read_recorder_names(
    paths: Sequence[str], pattern: str = "", *, no_sites: Collection[str] = ()
) -> list[RecorderName]:
    """Return what the names of sound files tell, with one warning if a pattern does not fit them all.

    Parameters
    ----------
    paths : of the sounds, below the folder that holds them all, with /
    pattern : `dataset.site_pattern`, searched in the name without its ending, and if it is not there, in the path; ''
        for the usual names
    no_sites : names that are not those of sites, such as species
    """
    others = _NO_SITES | {_plain_site(name) for name in no_sites}
    usual = [_usual_name(PurePosixPath(path), others) for path in paths]
    return _by_pattern(paths, usual, pattern) if pattern and paths else usual


def with_recorder_name(recording: Recording, found: RecorderName) -> Recording:
    """Return a recording with what the name of its file tells, where nothing else tells it."""
    same_day = recording.date in ("", found.date)
    placed = found.latitude is not None and None in (recording.latitude, recording.longitude)
    return replace(
        recording,
        locality=recording.locality or found.site,
        date=recording.date or found.date,
        time=recording.time or (found.time if same_day else ""),
        latitude=found.latitude if placed else recording.latitude,
        longitude=found.longitude if placed else recording.longitude,
    )


def start_of(name: RecorderName, stem: str) -> datetime | None:
    """Return when a recording started by what its name, or a table, tells; None if the time of day is not known.

    Parameters
    ----------
    stem : of the file's name, which tells the seconds if it has the same time
    """
    found = re.fullmatch(r"(\d\d:\d\d)(?::(\d\d))?(Z|[+-]\d\d:\d\d)?", name.time.strip(), re.ASCII)
    if not found:
        return None
    stamp = _STAMP.search(stem)
    same = stamp is not None and f"{stamp['hour']}:{stamp['minute']}" == found[1]
    seconds = found[2] or (stamp["second"] if stamp and same else "00")
    try:
        return believable(datetime.fromisoformat(f"{name.date}T{found[1]}:{seconds}{found[3] or ''}"))
    except ValueError:
        return None


def pattern_fault(pattern: str) -> str:
    """Return why a text cannot be `dataset.site_pattern`; '' if it can."""
    try:
        groups = _groups(["a"], pattern).columns
    except UnicodeEncodeError:
        return "is not Unicode"
    except pl.exceptions.PolarsError as error:
        reason = " ".join(str(error).splitlines()[-1].split())
        reason = reason.removeprefix("regex ").removeprefix("error: ").rstrip(".")
        return f"is not a regular expression ({reason})"
    return "" if "site" in groups else "should have a group (?P<site>…) around the name of the site"


def _groups(texts: Sequence[str], pattern: str) -> pl.DataFrame:
    """Return the groups of a pattern in each text; null where it does not match.

    The regular expressions of polars take linear time, whatever the pattern.
    """
    clean = [text.encode("utf-8", "replace").decode() for text in texts]  # names need not be Unicode
    found = pl.DataFrame({"text": clean}).select(pl.col("text").str.extract_groups(pattern)).to_series()
    return found.struct.unnest() if found.dtype != pl.Struct([]) else pl.DataFrame()


def _by_pattern(paths: Sequence[str], usual: Sequence[RecorderName], pattern: str) -> list[RecorderName]:
    in_names = _groups([PurePosixPath(path).stem for path in paths], pattern).to_dicts()
    in_paths = _groups([PurePosixPath(path).with_suffix("").as_posix() for path in paths], pattern).to_dicts()
    rows = [one if one["site"] else other for one, other in zip(in_names, in_paths, strict=True)]
    names = [_with_groups(name, row) for name, row in zip(usual, rows, strict=True)]
    missed = [path for path, name in zip(paths, names, strict=True) if not name.site]
    bad = [text for row in rows if (text := row.get("date")) and not _date(text)]
    if missed:
        what = "none" if len(missed) == len(paths) else f"{len(paths) - len(missed)}"
        warning(
            f"dataset.site_pattern: matches {what} of {len(paths)} names of sounds, not {missed[0]!r}, for example; "
            "the sites of the others are not known"
        )
    if bad:
        warning(f"dataset.site_pattern: finds dates that are not YYYYMMDD ({len(bad)}), such as {bad[0]!r}")
    return names


def _with_groups(usual: RecorderName, row: dict[str, str | None]) -> RecorderName:
    """Return a name with the groups of a pattern; its date and time are those of the usual names where it has none."""
    day, clock = _date(row.get("date") or ""), _time(row.get("time") or "")
    day = day or usual.date
    clock = clock or (usual.time if day == usual.date else "")
    return replace(usual, site=" ".join((row["site"] or "").split()), date=day, time=clock)


def _date(text: str) -> str:
    """Return YYYYMMDD or YYYY-MM-DD as YYYY-MM-DD; '' if it is no date."""
    try:
        return date.fromisoformat(text).isoformat() if re.fullmatch(r"\d{8}|\d{4}-\d\d-\d\d", text, re.ASCII) else ""
    except ValueError:
        return ""


def _time(text: str) -> str:
    """Return HHMMSS, HHMM or HH:MM:SS as HH:MM; '' if it is no time."""
    found = re.match(r"([01]\d|2[0-3])[-:.]?([0-5]\d)", text)
    return f"{found[1]}:{found[2]}" if found else ""


def _usual_name(path: PurePosixPath, no_sites: Collection[str]) -> RecorderName:
    stem = path.stem
    if kaggle := _KAGGLE_2021.fullmatch(stem):
        return RecorderName(kaggle["site"], *date_and_time_in(stem))
    if started := _start_in_seconds(stem):
        return RecorderName(_site_of_folders(path, no_sites), started.date().isoformat(), f"{started:%H:%M}Z")
    if not (stamp := _STAMP.search(stem)):
        return RecorderName("", *date_and_time_in(stem))
    day, clock = "{year}-{month}-{day}".format(**stamp.groupdict()), f"{stamp['hour']}:{stamp['minute']}"
    first = date_and_time_in(stem)
    if first[0] and (first[0] != day or first[1] not in ("", clock)):  # the name holds two dates
        day, clock = first
    else:
        clock += _zone_of(stamp)
    site = _prefix_of(stem[: stamp.start()], gps=stamp["between"] == "$")
    site = _site_of_folders(path, no_sites) if _plain_site(site) in {"", *no_sites} else site
    return RecorderName(site, day, clock, *_place_in(stem[stamp.end("minute") :]))


def _prefix_of(text: str, *, gps: bool) -> str:
    """Return the site before date and time; of the names of an SM3 with `gps`, or with both channels, without these."""
    prefix = _NUMBERED.sub("", text, count=1) if _NUMBERED.match(text) else text
    prefix = prefix.rstrip("_- .")
    return _CHANNELS.sub("", prefix) if gps or prefix.endswith("_0+1") else prefix


def _site_of_folders(path: PurePosixPath, no_sites: Collection[str]) -> str:
    """Return the nearest folder that may be a site; '' if there is none."""
    folders = reversed(path.parts[:-1])
    return next(
        (folder for folder in folders if _plain_site(folder) not in no_sites and not _DAY_FOLDER.fullmatch(folder)), ""
    )


def _plain_site(name: str) -> str:
    plain = " ".join(name.split()).casefold()
    return plain if plain in _NO_SITES else plain.replace("_", " ")


def _zone_of(stamp: re.Match[str]) -> str:
    """Return the time zone as 'Z' or '+10:00'; '' if there is none: a number after another form may be a counter."""
    zone = (stamp["zone"] or "").strip(" _-") if "UTC" in (stamp["zone"] or "") else stamp["zone"] or ""
    if zone in ("Z", "UTC"):
        return "Z"
    return f"{zone[:3]}:{zone[-2:]}" if zone and stamp["between"] == "T" else ""


def _place_in(text: str) -> tuple[float | None, float | None]:
    """Return latitude and longitude as BAR-LT writes them; without a position it writes zeros."""
    found = _PLACE.search(text)
    if not found:
        return None, None
    latitude, longitude = degrees(found["latitude"], limit=90.0), degrees(found["longitude"], limit=180.0)
    known = latitude is not None and longitude is not None and (latitude, longitude) != (0.0, 0.0)
    return (latitude, longitude) if known else (None, None)


def _start_in_seconds(stem: str) -> datetime | None:
    """Return the start of a recording whose name is a hexadecimal number of seconds; None for other names."""
    seconds = int(stem, 16) if _SECONDS.fullmatch(stem) and not stem.isdigit() else 0
    return datetime.fromtimestamp(seconds, UTC) if _FIRST_SECONDS <= seconds <= _LAST_SECONDS else None
