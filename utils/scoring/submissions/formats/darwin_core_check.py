"""The check of a Darwin Core Archive: what GBIF's validator, or a reader of its files, would refuse."""

import re
import zipfile
from collections.abc import Iterator
from io import TextIOWrapper
from pathlib import Path
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from utils.scoring.submissions.formats.darwin_core import EML, META, OCCURRENCES
from utils.scoring.submissions.formats.darwin_core_rows import TERMS, occurrence_faults
from utils.scoring.submissions.formats.darwin_core_xml import EML_NAMESPACE, TEXT_NAMESPACE, meta_xml
from utils.scoring.submissions.formats.layout import DIGITS, SubmissionLayout, tab_cell
from utils.scoring.submissions.formats.problems import Problems, check_event, check_score, quoted
from utils.scoring.submissions.formats.species_names import species_names

MOST_XML = 2**20  # bytes of meta.xml and eml.xml
_SCORE = re.compile(rf"score (\d\.\d{{{DIGITS}}})", re.ASCII)
_SPAN = re.compile(r"([\d.]+) to ([\d.]+) s of the recording", re.ASCII)


def check_darwin_core(path: Path, layout: SubmissionLayout) -> Problems:
    """Check an archive."""
    problems = Problems()
    try:
        with zipfile.ZipFile(path) as archive:
            missing = {OCCURRENCES, META, EML} - set(archive.namelist())
            for name in sorted(missing):
                problems.add(f"has no {name}")
            if not missing:
                _check_xml(archive, problems)
                problems.join(_check_occurrences(archive, layout))
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError) as error:
        problems.add(f"is not a zip that can be read ({error})")
    return problems


def _check_xml(archive: zipfile.ZipFile, problems: Problems) -> None:
    """Check whether meta.xml tells the columns as they are, and eml.xml has what EML needs."""
    roots = {}
    for name in (META, EML):
        with archive.open(name) as stream:
            content = stream.read(MOST_XML)
        try:
            roots[name] = fromstring(content)
        except (ParseError, DefusedXmlException) as error:
            problems.add(f"{name} is not XML ({error})")
    meta, eml = roots.get(META), roots.get(EML)
    wanted = fromstring(meta_xml(OCCURRENCES, EML))
    if meta is not None and _without_spaces(meta) != _without_spaces(wanted):
        problems.add(f"{META} does not tell the columns {', '.join(TERMS)} of {OCCURRENCES} ({TEXT_NAMESPACE})")
    if eml is not None and eml.tag != f"{{{EML_NAMESPACE}}}eml":
        problems.add(f"{EML} is not EML 2.2.0 ({EML_NAMESPACE})")
    for name in ("title", "creator", "contact") if eml is not None else ():
        found = eml.find(f"dataset/{name}") if eml is not None else None
        if found is None or not "".join(found.itertext()).strip():
            problems.add(f"{EML} has no {name}")


def _without_spaces(element: Element) -> tuple[object, ...]:
    """Return an element without the spaces between its parts."""
    text = (element.text or "").strip()
    return (element.tag, sorted(element.items()), text, [_without_spaces(child) for child in element])


def _check_occurrences(archive: zipfile.ZipFile, layout: SubmissionLayout) -> Problems:
    problems, seen = Problems(OCCURRENCES), set[str]()
    species = {tab_cell(name.scientific) for name in species_names(layout)}
    files = {tab_cell(file).encode("utf-8", "backslashreplace").decode() for file in layout.files}
    for line, values in _occurrence_lines(archive, problems):
        if line == 1:
            if values != list(TERMS):
                problems.add("the header should be the terms of meta.xml", line)
            continue
        if len(values) != len(TERMS):
            problems.add(f"has {len(values)} values, not {len(TERMS)}", line)
            continue
        row = dict(zip(TERMS, values, strict=True))
        for fault in occurrence_faults(row):
            problems.add(fault, line)
        if row["occurrenceID"] in seen:
            problems.add(f"the occurrenceID {row['occurrenceID']} is listed twice", line)
        seen.add(row["occurrenceID"])
        if row["associatedMedia"] not in files:
            problems.add(f"no recording has the path {quoted(row['associatedMedia'])}", line)
        _check_remarks(row, species, layout, problems, line)
    return problems


def _occurrence_lines(archive: zipfile.ZipFile, problems: Problems) -> Iterator[tuple[int, list[str]]]:
    line = 0
    with archive.open(OCCURRENCES) as stream:
        try:
            for line, text in enumerate(TextIOWrapper(stream, "utf-8", newline="\n"), 1):
                yield line, text.removesuffix("\n").split("\t")
        except UnicodeDecodeError:
            problems.add("is not UTF-8", line + 1)
    if line == 0:
        problems.add("is empty")


def _check_remarks(
    row: dict[str, str], species: set[str], layout: SubmissionLayout, problems: Problems, line: int
) -> None:
    score, span = _SCORE.fullmatch(row["identificationRemarks"]), _SPAN.fullmatch(row["occurrenceRemarks"])
    if score:
        check_score(score[1], problems, line)
    else:
        problems.add(f"identificationRemarks should be a score, not {quoted(row['identificationRemarks'])}", line)
    if span:
        check_event(span[1], span[2], row["scientificName"], species, layout, problems, line)
    else:
        problems.add(f"occurrenceRemarks should be a span, not {quoted(row['occurrenceRemarks'])}", line)
