"""The comment in the header of AudioMoth's WAV files.

"Recorded at 19:00:00 02/10/2021 (UTC) by AudioMoth 24F319055FDF2205 at medium gain while battery was 4.1V and
temperature was 11.5C." The wording changed with the firmware; each value is found by itself, so that a damaged one
costs no other. The first firmware does not tell the time zone: it was UTC.

Source: setHeaderComment in main.c of github.com/OpenAcousticDevices/AudioMoth-Firmware-Basic, versions 1.0 to 1.6, and
their differences in github.com/mbsantiago/metamoth. Comments of later versions are read part by part, and not tested.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone

from utils.recordings.recorders.metadata import (
    COLDEST,
    HOTTEST,
    MOST_VOLTS,
    NOTHING,
    ReadMetadata,
    RecorderMetadata,
    believable,
)
from utils.recordings.recording import in_range

_TIME = re.compile(
    r"Recorded at (\d\d:\d\d:\d\d)(?:\.\d+)? (\d\d/\d\d/\d{4})(?: \(UTC(?:([+-])(\d{1,2})(?::(\d\d))?)?\))?", re.ASCII
)
_SERIAL = re.compile(r"AudioMoth ([0-9A-Fa-f]{16})(?![0-9A-Za-z])")
_GAIN = re.compile(r"at (low-medium|medium-high|low|medium|high) gain|at gain setting ([0-4])(?!\d)")
_OLD_GAINS = ("low", "low-medium", "medium", "medium-high", "high")  # by their number
_BATTERY = re.compile(r"battery (?:state )?was (?:less than |greater than |[<>] ?)?(\d\.\d)V", re.ASCII)
_TEMPERATURE = re.compile(r"temperature was (-?\d{1,3}\.\d)C", re.ASCII)


def parse_audiomoth(info: Mapping[str, str]) -> ReadMetadata:
    """Return what an AudioMoth wrote into the list INFO: ICMT, its comment, and IART, its name; nothing of others.

    With a deployment's id in the comment, only IART tells the serial number.
    """
    comment, artist = info.get("ICMT", ""), info.get("IART", "")
    if "AudioMoth" not in comment and not artist.startswith("AudioMoth"):
        return NOTHING
    started = _started(comment)
    serial = _SERIAL.search(artist) or _SERIAL.search(comment)
    gain, battery = _GAIN.search(comment), _BATTERY.search(comment)
    temperature = _TEMPERATURE.search(comment)
    metadata = RecorderMetadata(
        started=started,
        recorder="AudioMoth",
        serial=serial[1].upper() if serial else "",
        gain=(gain[1] or _OLD_GAINS[int(gain[2])]) if gain else "",
        temperature=in_range(temperature[1], COLDEST, HOTTEST) if temperature else None,
        battery=in_range(battery[1], 0.0, MOST_VOLTS) if battery else None,
    )
    problem = f"the time in its AudioMoth comment cannot be used: {comment[:60]!r}"
    return ReadMetadata(metadata, () if started or not comment else (problem,))


def _started(comment: str) -> datetime | None:
    """Return the time of the comment; None if there is none since 2000."""
    found = _TIME.search(comment)
    if not found:
        return None
    clock, day, sign, hours, minutes = found.groups()
    offset = timedelta(hours=int(hours or 0), minutes=int(minutes or 0))
    zone = timezone(-offset if sign == "-" else offset) if timedelta(0) < offset < timedelta(hours=24) else UTC
    try:
        moment = datetime.strptime(f"{clock} {day}", "%H:%M:%S %d/%m/%Y").replace(tzinfo=zone)
    except ValueError:
        return None
    return believable(moment)
