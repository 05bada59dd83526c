"""Reader of the BirdCLEF 2018 archive: sounds in `wav/`, and one XML file of metadata for each in `xml/`.

Source: docs/baseline.md, Dataset.
"""

from pathlib import Path
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import parse

from utils.console import Failure
from utils.files import check_name, check_plain
from utils.recordings.audio_files import check_readable, files_below, path_below, sounds_below
from utils.recordings.names import plain_name
from utils.recordings.recording import NOISE, Contents, Recording, check_label, clean_labels, degrees


def is_birdclef2018(archive: Path) -> bool:
    """Tell whether a folder has the structure of the 2018 archive."""
    return (archive / "xml").is_dir() and (archive / "wav").is_dir()


def read_birdclef2018(archive: Path) -> Contents:
    """Read every XML file of the archive; unusable XML files, and sounds that no XML file names, are failures."""
    recordings: dict[Path, Recording] = {}
    failures = []
    xmls = [file for file in files_below(archive / "xml") if file.suffix.lower() == ".xml"]
    for xml in xmls:
        try:
            recording = _read_xml(xml, archive / "wav")
            if recording.file in recordings:
                raise ValueError(f"an earlier XML file names the same sound, {recording.file.name}")
            recordings[recording.file] = recording
        # LookupError: unknown encoding
        except (ParseError, DefusedXmlException, LookupError, ValueError, OSError) as error:
            failures.append(Failure(xml.relative_to(archive).as_posix(), f"{_error_kind(error)}{error}"))
    sounds = list(sounds_below(archive / "wav"))
    failures += [
        Failure(file.relative_to(archive).as_posix(), "no usable XML file names it")
        for file in sounds
        if file not in recordings
    ]
    ordered = sorted(recordings.values(), key=lambda recording: recording.name)
    seen, folders = frozenset([*xmls, *sounds]), (archive / "wav", archive / "xml")
    return Contents("BirdCLEF 2018 archive (wav/ + xml/)", ordered, failures, seen=seen, folders=folders)


def _read_xml(xml: Path, wav: Path) -> Recording:
    check_plain(xml)
    root = parse(xml).getroot()
    try:
        name = _element_text(root, "FileName")
        check_name(name.replace(":", "-"))
        file = path_below(wav, name)
    except ValueError as error:
        raise ValueError(f"cannot use its FileName: {error}") from None
    check_readable(file)
    species = check_label(f"{_element_text(root, 'Genus')} {_element_text(root, 'Species')}")
    if " " not in species and species != NOISE:
        raise ValueError("Genus or Species is missing")
    return Recording(
        name=plain_name(file.stem),
        file=file,
        species=species,
        background=clean_labels(_element_text(root, "BackgroundSpecies").split(","), without=species),
        class_id=_element_text(root, "ClassId"),
        common_name=_element_text(root, "VernacularNames"),
        author=_element_text(root, "Author"),
        date=_element_text(root, "Date"),
        time=_element_text(root, "Time"),
        locality=_element_text(root, "Locality"),
        latitude=degrees(_element_text(root, "Latitude"), limit=90.0),
        longitude=degrees(_element_text(root, "Longitude"), limit=180.0),
        elevation=_element_text(root, "Elevation"),
        quality=_element_text(root, "Quality"),
        comments=_element_text(root, "Comments"),
    )


def _element_text(root: Element, tag: str) -> str:
    return (root.findtext(tag) or "").strip()


def _error_kind(error: Exception) -> str:
    if isinstance(error, ParseError):
        return "broken XML: "
    return "refused XML: " if isinstance(error, DefusedXmlException) else ""
