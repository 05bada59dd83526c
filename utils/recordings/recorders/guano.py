"""GUANO metadata, which Song Meters, recorders of Titley and others write into a chunk of their WAV files.

Lines `key: value` in UTF-8, such as `Timestamp: 2021-10-02T19:00:00+02:00` and `Loc Position: 52.5 13.4`.

Source: the GUANO specification 1.0, github.com/riggsd/guano-spec; the fields of Song Meters in their user guides.
"""

import re
from collections.abc import Mapping
from datetime import datetime

from utils.recordings.recorders.metadata import (
    COLDEST,
    HOTTEST,
    MOST_VOLTS,
    ReadMetadata,
    RecorderMetadata,
    believable,
)
from utils.recordings.recording import degrees, in_range

_SITE_KEYS = ("WA|Song Meter|Prefix", "Site", "Site Name")
_SETTINGS_KEY = "WA|Song Meter|Audio settings"  # JSON, which holds the gain: [{"rate":24000,"gain":18}]
_BATTERY_KEYS = ("WA|Song Meter|Battery", "Battery", "Battery Voltage", "Voltage")
_TIMESTAMP = re.compile(r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d(?::\d\d)?)(?:[.,]\d+)? ?(Z|[+-]\d\d(?::?\d\d)?)?", re.ASCII)


def parse_guano(content: bytes) -> ReadMetadata:
    """Return what the chunk `guan` tells; lines that cannot be read cost only themselves."""
    values, problems = _key_values(content)
    read = _Fields(values)
    position = read.position()
    metadata = RecorderMetadata(
        started=read.started(),
        site=_first(values, _SITE_KEYS),
        recorder=" ".join(filter(None, (values.get("Make", "").removesuffix(", Inc."), values.get("Model", "")))),
        serial=values.get("Serial", ""),
        gain=_gain(values),
        temperature=read.number(("Temperature Ext", "Temperature Int"), COLDEST, HOTTEST),
        battery=read.number(_BATTERY_KEYS, 0.0, MOST_VOLTS),
        latitude=position[0],
        longitude=position[1],
        elevation=read.number(("Loc Elevation",), -500.0, 9000.0),
    )
    return ReadMetadata(metadata, (*problems, *read.problems))


def _key_values(content: bytes) -> tuple[dict[str, str], list[str]]:
    texts = [_decoded(line) for line in content.split(b"\n")]
    lines = [plain for line in texts if (plain := line.strip("\0 \t\r\v\f"))]
    bad = [line for line in lines if ":" not in line]
    values: dict[str, str] = {}
    for line in lines:
        key, colon, value = line.partition(":")
        if colon and value.strip():
            values.setdefault("|".join(part.strip() for part in key.split("|")), value.strip())
    return values, [f"{len(bad)} lines of its GUANO metadata have no key, such as {bad[0][:30]!r}"] if bad else []


def _decoded(line: bytes) -> str:
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError:
        return line.decode("latin-1")


class _Fields:
    """Fields as numbers and times; what cannot be used becomes a problem."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = values
        self.problems: list[str] = []

    def started(self) -> datetime | None:
        text = self._values.get("Timestamp", "")
        if not text:
            return None
        moment = parse_timestamp(text)
        if moment is None:
            self._refuse("Timestamp", text)
        return moment

    def number(self, keys: tuple[str, ...], low: float, high: float) -> float | None:
        """Return the first of some fields that is a number from `low` to `high`, with or without a unit."""
        for key in keys:
            if text := self._values.get(key, ""):
                number = in_range(re.sub(r"(?<=[\d.])\s*(?:°?C|m|V)$", "", text), low, high)
                if number is not None:
                    return number
                self._refuse(key, text)
        return None

    def position(self) -> tuple[float | None, float | None]:
        """Return latitude and longitude; zeros are those of a recorder that did not find its position."""
        text = self._values.get("Loc Position", "")
        numbers = text.replace(",", " ").split()
        if not text:
            return None, None
        latitude = degrees(numbers[0], limit=90.0) if len(numbers) == 2 else None
        longitude = degrees(numbers[1], limit=180.0) if len(numbers) == 2 else None
        if latitude is None or longitude is None:
            self._refuse("Loc Position", text)
            return None, None
        return (None, None) if (latitude, longitude) == (0.0, 0.0) else (latitude, longitude)

    def _refuse(self, key: str, text: str) -> None:
        self.problems.append(f"its GUANO field {key} cannot be used: {text[:40]!r}")


def parse_timestamp(text: str) -> datetime | None:
    """Return a time as GUANO writes it (ISO 8601, with or without a time zone); None if it is no time since 2000."""
    found = _TIMESTAMP.fullmatch(text.strip())
    if not found:
        return None
    zone = found[3] or ""
    zone = f"{zone}:00" if len(zone) == 3 else zone
    try:
        moment = datetime.fromisoformat(f"{found[1]}T{found[2]}{zone}")
    except ValueError:
        return None
    return believable(moment)


def _gain(values: Mapping[str, str]) -> str:
    if found := re.search(r'"gain"\s*:\s*"?(-?\d+(?:\.\d+)?)', values.get(_SETTINGS_KEY, ""), re.ASCII):
        return f"{found[1]} dB"
    return next((value for key, value in values.items() if key.rsplit("|", 1)[-1].lower() == "gain"), "")


def _first(values: Mapping[str, str], keys: tuple[str, ...]) -> str:
    return next((values[key] for key in keys if key in values), "")
