"""A Darwin Core Archive: one occurrence for each detection, for GBIF and other collections of observations.

A zip of occurrence.txt (values between tabs), meta.xml (what its columns are) and eml.xml (what the data set is). Noise
is no occurrence. What recorders do not tell is left empty.

Source: dwc.tdwg.org/terms, dwc.tdwg.org/text; GBIF's guides to occurrences and to its profile of EML.
"""

import hashlib
import io
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from uuid import NAMESPACE_URL, uuid5
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

from utils.console import warning
from utils.files import atomic_file
from utils.recordings.recorders.clocks import time_after
from utils.recordings.recorders.metadata import RecorderMetadata, iso_text
from utils.recordings.recording import NOISE
from utils.scoring.submissions.formats.darwin_core_rows import TERMS, Extent, Occurrence, occurrence_faults
from utils.scoring.submissions.formats.darwin_core_xml import eml_xml, meta_xml
from utils.scoring.submissions.formats.detections import Detection, RecordingDetections
from utils.scoring.submissions.formats.layout import DIGITS, SpeciesName, SubmissionLayout, tab_cell
from utils.scoring.submissions.formats.species_names import species_names

OCCURRENCES, META, EML = "occurrence.txt", "meta.xml", "eml.xml"
FIRST_DAY = (1980, 1, 1, 0, 0, 0)  # of all files in the zip, so that the same detections are the same bytes
MEMBER_RIGHTS = 0o644 << 16  # rights of the files in the zip
DIGESTED = 2**16  # bytes at each end of a recording that tell it from others of the same name


@dataclass
class _Unknown:
    """How many occurrences lack what, and how many there are."""

    count: int = 0
    lacking: Counter[str] = field(default_factory=Counter)

    def add(self, row: Occurrence) -> None:
        self.count += 1
        self.lacking.update(name for name in ("eventDate", "decimalLatitude", "locality") if not row[name])

    def warn(self, name: str) -> None:
        if self.lacking:
            parts = ", ".join(f"{number:,} no {term}" for term, number in self.lacking.items())
            warning(
                f"{name}: of {self.count:,} occurrences, {parts}, because recorders do not tell; dataset.deployments, "
                "dataset.time_zone and dataset.site_pattern can"
            )


def write_darwin_core(path: Path, recordings: Iterable[RecordingDetections], layout: SubmissionLayout) -> int:
    """Write the archive; return its number of occurrences. One line tells how many lack time, place or site.

    Raises
    ------
    ValueError
        If an occurrence is not valid.
    """
    unknown, extent = _Unknown(), Extent()
    with atomic_file(path) as stream, ZipFile(stream, "w", ZIP_DEFLATED) as archive:
        with archive.open(_member(OCCURRENCES), "w", force_zip64=True) as table:
            text = io.TextIOWrapper(table, "utf-8", errors="backslashreplace", newline="")
            for row in _written(text, recordings, layout):
                unknown.add(row)
                extent.add(row)
            text.detach()  # writes the rest
        archive.writestr(_member(META), meta_xml(OCCURRENCES, EML))
        archive.writestr(_member(EML), eml_xml(layout, extent, occurrences=unknown.count))
    unknown.warn(path.name)
    return unknown.count


def _member(name: str) -> ZipInfo:
    info = ZipInfo(name, FIRST_DAY)
    info.compress_type, info.create_system, info.external_attr = ZIP_DEFLATED, 3, MEMBER_RIGHTS
    return info


def _written(
    text: io.TextIOWrapper, recordings: Iterable[RecordingDetections], layout: SubmissionLayout
) -> Iterator[Occurrence]:
    """Write the occurrences, and yield each."""
    text.write("\t".join(TERMS) + "\n")
    names = species_names(layout)
    for file, detections in recordings:
        told = layout.recorders.get(file, RecorderMetadata())
        sound = _digest_of_ends(layout.recordings / file)
        for one in detections:
            if layout.classes[one.class_index] == NOISE:
                continue
            row = occurrence_of(file, one, names[one.class_index], told, layout, sound=sound)
            if faults := occurrence_faults(row):
                raise ValueError(f"{file}: {faults[0]}")
            text.write("\t".join(row.values()) + "\n")
            yield row


def occurrence_of(
    file: str, one: Detection, name: SpeciesName, told: RecorderMetadata, layout: SubmissionLayout, *, sound: str = ""
) -> Occurrence:
    """Return the values of a detection, by the names of `TERMS`.

    Parameters
    ----------
    sound : what tells the recording from others of the same name; '' if it cannot be read
    """
    digits, placed = layout.time_digits, told.latitude is not None and told.longitude is not None
    span = f"{one.start:.{digits}f} to {one.end:.{digits}f} s"
    origin = (file, sound, told.site, told.serial, iso_text(told.started), span, layout.classes[one.class_index])
    key = "\n".join(origin).encode("utf-8", "backslashreplace").decode()
    found = {
        "occurrenceID": uuid5(NAMESPACE_URL, key).urn,
        "basisOfRecord": "MachineObservation",
        "occurrenceStatus": "present",
        "scientificName": tab_cell(name.scientific),
        "vernacularName": tab_cell(name.common),
        "eventDate": _event_date(one, told, layout),
        "locality": tab_cell(told.site),
        "decimalLatitude": f"{told.latitude:.6f}" if placed else "",
        "decimalLongitude": f"{told.longitude:.6f}" if placed else "",
        "geodeticDatum": "EPSG:4326" if placed else "",
        "samplingProtocol": sampling_protocol(layout),
        "identifiedBy": tab_cell(layout.model),
        "identificationRemarks": f"score {one.score:.{DIGITS}f}",
        "occurrenceRemarks": f"{span} of the recording",
        "associatedMedia": tab_cell(file),
    }
    return {term: found[term] for term in TERMS}


def _digest_of_ends(recording: Path) -> str:
    """Return a digest of a file's size and both ends, which spares reading hours of sound; '' if it cannot be read."""
    try:
        with recording.open("rb") as stream:
            size = os.fstat(stream.fileno()).st_size
            start = stream.read(DIGESTED)
            stream.seek(max(0, size - DIGESTED))
            return hashlib.sha256(b"%d " % size + start + stream.read(DIGESTED)).hexdigest()
    except OSError:
        return ""


def sampling_protocol(layout: SubmissionLayout) -> str:
    """Return how species were found."""
    rows = "whole recordings" if layout.monophone else f"intervals of {layout.settings.interval:g} s"
    if layout.events:
        return "sound recorder; start and end of sounds of a species detected by a model"
    return f"sound recorder; species detected by a model in {rows}"


def _event_date(one: Detection, told: RecorderMetadata, layout: SubmissionLayout) -> str:
    """Return from when to when a detection is, in local time; without a time, the day of the recording."""
    times = [iso_text(time_after(told.started, seconds, layout.zone)) for seconds in (one.start, one.end)]
    return "/".join(times) if all(times) else told.date
