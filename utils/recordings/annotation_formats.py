"""Annotation files of other programs that are not read, and how to export them as tables."""

import re

NOT_READ = "not read as annotations"
_SPREADSHEET = "is a spreadsheet; save it as CSV"
_COMPRESSED = re.compile(r".*\.(csv|tsv|tab|txt)\.(gz|bz2|xz|zst|zip|7z)")
# may hold annotations, or anything else
PROGRAM_SUFFIXES = (".json", ".jsonl", ".data", ".xml")
# by the end of the file name
_EXPORTS = {
    **dict.fromkeys((".xlsx", ".xls", ".xlsm", ".xlsb", ".ods", ".numbers"), _SPREADSHEET),
    ".textgrid": "is a Praat TextGrid; save its tiers as a table (Down to Table, then as comma-separated file)",
    ".svl": "is a layer of Sonic Visualiser; export it as CSV (File, Export Annotation Layer)",
    ".sv": "is a session of Sonic Visualiser; export its layers as CSV (File, Export Annotation Layer)",
    ".eaf": "is an ELAN file; export it as tab-delimited text with headings (dataset.columns.species names the tier)",
    ".aup": "is an Audacity project; export its labels (File, Export Other, Export Labels)",
    ".aup3": "is an Audacity project; export its labels (File, Export Other, Export Labels)",
    **dict.fromkeys((".srt", ".vtt", ".sbv"), "has subtitles; export the labels as text, as Audacity does by default"),
    **dict.fromkeys(
        (".lab", ".phn", ".wrd", ".seg", ".tags", ".jams"),
        "has labels in an unknown format; convert them to CSV (file,start,end,species)",
    ),
    ".not.mat": "is a file of evfuncs or SongAnnotationGUI; export it as CSV (crowsetta can)",
    ".rnd": "is a session of Raven; save its selection table",
}
PRAAT_EXPORT = _EXPORTS[".textgrid"]
_LABEL_STUDIO = re.compile(r'"from_name"\s*:')
_WHOMBAT = re.compile(r'"sound_event_annotations"\s*:')
_JSON_NUMBER = r'(_?(time|s|sec|seconds))?"\s*:\s*"?-?\d+(\.\d*)?"?\s*[,}\]]'
_JSON_START = re.compile(rf'"(start|onset|begin){_JSON_NUMBER}', re.IGNORECASE)
_JSON_LABEL_OR_END = re.compile(
    rf'"(end|offset|stop){_JSON_NUMBER}'
    r'|"(labels?|species|annotations?|class|taxon|code|(scientific|common)_?name)"\s*:',
    re.IGNORECASE,
)
_TOOLKIT_METADATA = re.compile(r'"sci-name"\s*:')  # metadata of this toolkit
_AVIANZ = re.compile(r'\s*\[\s*\{[^}]*"(Operator|Reviewer|Duration)"')


def export_hint(name: str) -> str:
    """Return what to do with a file, by its name in lower case; '' if the name is not that of another program."""
    if _COMPRESSED.fullmatch(name):
        return "is a compressed table; decompress it"
    hint = next((hint for ending, hint in _EXPORTS.items() if name.endswith(ending)), "")
    return f"{NOT_READ}: {hint}" if hint else ""


def program_hint(text: str, name: str) -> str:
    """Return what to do with a JSON or XML file that holds annotations; '' if it holds none.

    Parameters
    ----------
    text : the start of the file
    name : of the file, in lower case
    """
    text = text.removeprefix("\ufeff")
    if name.endswith(".xml"):
        return f"{NOT_READ}: {_EXPORTS['.eaf']}" if "<ANNOTATION_DOCUMENT" in text else ""
    if _AVIANZ.match(text):
        return f"{NOT_READ}: is an AviaNZ file; export it to Excel, and save that as CSV"
    if _LABEL_STUDIO.search(text):
        return f"{NOT_READ}: is a Label Studio file; export it as CSV"
    if _WHOMBAT.search(text):
        return f"{NOT_READ}: is a Whombat file; export it as CSV"
    if _JSON_START.search(text) and _JSON_LABEL_OR_END.search(text) and not _TOOLKIT_METADATA.search(text):
        return f"{NOT_READ}: holds times as JSON; convert them to CSV (file,start,end,species)"
    return ""
