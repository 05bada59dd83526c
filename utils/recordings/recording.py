"""One audio file and what is known of it, and the JSON that keeps it."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from utils.files import check_name

Side = Literal["train", "val"]

# what libsndfile reads, by the names people give such files
AUDIO = frozenset({".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".aifc", ".au", ".snd", ".caf", ".w64", ".rf64"})
OTHER_AUDIO = frozenset({".m4a", ".mp4", ".aac", ".wma", ".webm", ".amr", ".3gp"})  # sound, but of no kind that libsndfile reads


@dataclass(frozen=True)
class Recording:
    """One audio file and what is known of it.

    Attributes
    ----------
    name : what it is called everywhere, once in a data set: the file's name without its ending, after `class/` where classes are folders
    file : where the sound is
    species : scientific name of the bird that is recorded; the class
    background : scientific names of the birds that are heard besides
    side : 'train' or 'val' where the archive came divided
    class_id, common_name, author, date, time, locality, quality : as the archive has them, '' where it does not
    """

    name: str
    file: Path
    species: str
    background: tuple[str, ...] = ()
    side: Side | None = None
    class_id: str = ""
    common_name: str = ""
    author: str = ""
    date: str = ""
    time: str = ""
    locality: str = ""
    quality: str = ""


# names of the JSON files' keys that differ from the attributes', as the 2018 baseline wrote them
_BASELINE_KEYS = {"sci-name": "species", "species": "common_name", "classid": "class_id"}
_SAME_KEYS = ("author", "date", "time", "locality", "quality")


def to_metadata(recording: Recording) -> dict[str, Any]:
    """Return what `metadata/<recording>.json` holds: the baseline's five keys and what else is known."""
    known = {key: getattr(recording, attribute) for key, attribute in _BASELINE_KEYS.items()}
    more = {key: getattr(recording, key) for key in _SAME_KEYS if getattr(recording, key)}
    return {**known, "background": list(recording.background), "filename": recording.file.name, **more}


def from_metadata(metadata: Mapping[str, Any], *, name: str, file: Path, side: Side | None = None) -> Recording:
    """Return the recording that `to_metadata` described.

    Raises
    ------
    ValueError
        If the species is missing or a value is of another type.
    """
    texts = {attribute: metadata.get(key, "") for key, attribute in _BASELINE_KEYS.items()} | {key: metadata.get(key, "") for key in _SAME_KEYS}
    background = metadata.get("background") or []
    if not isinstance(background, list) or not all(isinstance(text, str) for text in (*texts.values(), *background)):
        raise ValueError("a value is neither text nor a list of texts")
    species = check_label(texts.pop("species"))
    return Recording(name=name, file=file, side=side, species=species, background=clean_labels(background, without=species), **texts)


def read_metadata(file: Path) -> Mapping[str, Any]:
    """Read a recording's JSON.

    Raises
    ------
    ValueError
        If it is no JSON object.
    """
    metadata = json.loads(file.read_text(encoding="utf-8"))
    if not isinstance(metadata, dict):
        raise ValueError("is not a JSON object")
    return metadata


def check_label(text: str) -> str:
    """Return a species' name with its spaces tidied.

    Raises
    ------
    ValueError
        If it cannot name a folder: labels come from strangers' files and become folders' names.
    """
    try:
        return check_name(" ".join(text.split()))
    except ValueError as error:
        raise ValueError(f"cannot use the species' name: {error}") from None


def clean_labels(texts: list[str], *, without: str) -> tuple[str, ...]:
    """Tidy a list of background species: no empty ones, each once, and not the recording's own species."""
    labels = (" ".join(text.split()) for text in texts)
    return tuple(dict.fromkeys(label for label in labels if label and label != without))


def label_of_folder(folder: str) -> str:
    """Return the class that a folder's name stands for: 'Turdus_merula' is the species 'Turdus merula', other names stay as they are."""
    binomial = re.fullmatch(r"[A-Z][a-z]+(_[a-z][a-z-]+){1,2}", folder)
    return check_label(folder.replace("_", " ") if binomial else folder)
