"""The XML of a Darwin Core Archive: meta.xml tells its columns, eml.xml what the data set is.

Source: rs.tdwg.org/dwc/text/tdwg_dwc_text.xsd; EML 2.2.0 (eml.ecoinformatics.org).
"""

import re
import xml.etree.ElementTree as ET
from uuid import NAMESPACE_URL, uuid5

from utils.scoring.submissions.formats.darwin_core_rows import DWC, TERMS, Extent
from utils.scoring.submissions.formats.layout import SubmissionLayout

TEXT_NAMESPACE = "http://rs.tdwg.org/dwc/text/"
EML_NAMESPACE = "https://eml.ecoinformatics.org/eml-2.2.0"
NOT_STATED = "not stated"  # who made the recordings: the toolkit does not know
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def meta_xml(occurrences: str, eml: str) -> bytes:
    """Return meta.xml.

    Parameters
    ----------
    occurrences, eml : the names of the other two files
    """
    archive = ET.Element("archive", {"xmlns": TEXT_NAMESPACE, "metadata": eml})
    form = {
        "encoding": "UTF-8",
        "fieldsTerminatedBy": "\\t",
        "linesTerminatedBy": "\\n",
        "fieldsEnclosedBy": "",
        "ignoreHeaderLines": "1",
        "rowType": f"{DWC}Occurrence",
    }
    core = ET.SubElement(archive, "core", form)
    ET.SubElement(ET.SubElement(core, "files"), "location").text = occurrences
    ET.SubElement(core, "id", {"index": "0"})
    for index, term in enumerate(TERMS.values()):
        ET.SubElement(core, "field", {"index": str(index), "term": term})
    return _text_of(archive)


def eml_xml(layout: SubmissionLayout, extent: Extent, *, occurrences: int) -> bytes:
    """Return eml.xml. Who made the recordings, and under which licence, is for the user to fill in."""
    title = f"Birds detected in sound recordings by {layout.model or 'a model'}"
    identity = "\n".join([title, str(occurrences), *layout.files]).encode("utf-8", "backslashreplace").decode()
    about = {
        "xmlns:eml": EML_NAMESPACE,
        "packageId": str(uuid5(NAMESPACE_URL, identity)),
        "system": "http://gbif.org",
        "xml:lang": "en",
    }
    root = ET.Element("eml:eml", about)
    dataset = ET.SubElement(root, "dataset")
    _add_text(dataset, "title", title)
    _add_text(dataset, "creator/organizationName", NOT_STATED)
    _add_text(dataset, "language", "en")
    _add_text(dataset, "abstract/para", _abstract(layout, occurrences))
    _add_coverage(dataset, extent)
    _add_text(dataset, "contact/organizationName", NOT_STATED)
    return _text_of(root)


def _abstract(layout: SubmissionLayout, occurrences: int) -> str:
    rows = "recording" if layout.monophone else f"interval of {layout.settings.interval:g} seconds"
    each = "event, in which the score of a species" if layout.events else f"{rows} and species whose score"
    return (
        f"{occurrences} detections in {len(layout.files)} recordings, one for each {each} "
        "reaches its threshold. Nobody has checked them by ear; scores are in identificationRemarks."
    )


def _add_coverage(dataset: ET.Element, extent: Extent) -> None:
    if not (extent.days or extent.latitudes):
        return
    coverage = ET.SubElement(dataset, "coverage")
    if extent.latitudes and extent.longitudes:
        place = ET.SubElement(coverage, "geographicCoverage")
        _add_text(place, "geographicDescription", "all places of recordings with a detection")
        box = ET.SubElement(place, "boundingCoordinates")
        edges = zip(("west", "east", "south", "north"), (*extent.longitudes, *extent.latitudes), strict=True)
        for name, value in edges:
            _add_text(box, f"{name}BoundingCoordinate", f"{value:.6f}")
    if extent.days:
        days = ET.SubElement(ET.SubElement(coverage, "temporalCoverage"), "rangeOfDates")
        for name, day in zip(("beginDate", "endDate"), extent.days, strict=True):
            _add_text(days, f"{name}/calendarDate", day.isoformat())


def _add_text(parent: ET.Element, path: str, text: str) -> None:
    """Add elements within each other, the innermost with a text."""
    for name in path.split("/"):
        parent = ET.SubElement(parent, name)
    parent.text = _NOT_XML.sub(" ", text)


def _text_of(root: ET.Element) -> bytes:
    ET.indent(root)
    return b'<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, "utf-8") + b"\n"
