"""Reader of the BirdCLEF 2018 archive: `wav/` holds the sound, `xml/` one file a recording that says what it is.

Source: BASELINE, the archive's XML as the 2018 baseline's sort_data.py read it.
"""

from pathlib import Path
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import parse

from utils.console import Failure
from utils.files import check_name, check_plain
from utils.recordings.audio_files import check_readable, sounds_in
from utils.recordings.recording import NOISE, Contents, Recording, check_label, clean_labels, degrees


def is_birdclef2018(archive: Path) -> bool:
    """Tell whether a folder has the form of the 2018 archive."""
    return (archive / "xml").is_dir() and (archive / "wav").is_dir()


def read_birdclef2018(archive: Path) -> Contents:
    """Read every XML of the archive; bad XML, and sound that no XML names, are failures."""
    recordings: dict[str, Recording] = {}
    failures = []
    for xml in sorted(file for file in (archive / "xml").iterdir() if file.suffix.lower() == ".xml" and not file.name.startswith(".")):
        try:
            recording = _read_xml(xml, archive / "wav")
            if recording.name in recordings:
                raise ValueError(f"a second recording named {recording.name}")
            recordings[recording.name] = recording
        except (ParseError, DefusedXmlException, LookupError, ValueError, OSError) as error:  # LookupError: an encoding that nobody knows
            failures.append(Failure(f"xml/{xml.name}", f"{_kind(error)}{error}"))
    named = {recording.file.name for recording in recordings.values()}
    failures += [Failure(f"wav/{file.name}", "no usable XML names it") for file in sounds_in(archive / "wav") if file.name not in named]
    return Contents("BirdCLEF 2018 archive (wav/ + xml/)", sorted(recordings.values(), key=lambda recording: recording.name), failures)


def _read_xml(xml: Path, wav: Path) -> Recording:
    check_plain(xml)
    root = parse(xml).getroot()
    try:
        file = check_name(_text(root, "FileName"))
    except ValueError as error:
        raise ValueError(f"cannot use its FileName: {error}") from None
    check_readable(wav / file)
    species = check_label(f"{_text(root, 'Genus')} {_text(root, 'Species')}")
    if " " not in species and species != NOISE:
        raise ValueError("Genus or Species is missing")
    return Recording(
        name=Path(file).stem,
        file=wav / file,
        species=species,
        background=clean_labels(_text(root, "BackgroundSpecies").split(","), without=species),
        class_id=_text(root, "ClassId"),
        common_name=_text(root, "VernacularNames"),
        author=_text(root, "Author"),
        date=_text(root, "Date"),
        time=_text(root, "Time"),
        locality=_text(root, "Locality"),
        latitude=degrees(_text(root, "Latitude"), limit=90.0),
        longitude=degrees(_text(root, "Longitude"), limit=180.0),
        elevation=_text(root, "Elevation"),
        quality=_text(root, "Quality"),
        comments=_text(root, "Comments"),
    )


def _text(root: Element, tag: str) -> str:
    return (root.findtext(tag) or "").strip()


def _kind(error: Exception) -> str:
    if isinstance(error, ParseError):
        return "broken XML: "
    return "refused XML: " if isinstance(error, DefusedXmlException) else ""
