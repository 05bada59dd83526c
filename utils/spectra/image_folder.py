"""A folder of PNG files, in the 2018 baseline's naming, in the place of the spectrogram store.

<folder>/<class>/0123_recording_004.png            kept clips
<folder>/../noise/, <folder>/../noise/<class>/     rejected ones, where there are any
"""

import struct
import zlib
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import polars as pl
from jaxtyping import Int64, UInt8

from config import Config, Spectrogram
from utils import console
from utils.recordings.recording import label_of_folder
from utils.recordings.splits import EVENT, SCHEMA, labels_in
from utils.spectra import image_names
from utils.spectra.image_files import KEPT, NOISE
from utils.spectra.image_names import NO_CLASS, PictureName, class_is_in_names, names_in_files
from utils.spectra.store import CLIPS, RECORDINGS, UNRATED, check_made_with

THREADS = 8  # read and decode files at once
AT_ONCE = 1024  # files that are checked between two steps of progress
SIGNATURE = b"\x89PNG\r\n\x1a\n"


class OtherSize(ValueError):
    """A picture of another size than the settings make."""


@dataclass(frozen=True)
class Found:
    """A PNG file: its class (None where its folder is of no class), whether it is a kept clip's, and what its name says."""

    path: Path
    label: str | None
    accepted: bool
    name: PictureName


class PictureFolder:
    """Pictures of clips in folders of classes, opened for reading; it can be used like a `Store`.

    Where the split knows the recordings, they stand on its sides, and what it does not know is left out. A folder that
    stands alone is all for training.

    Attributes
    ----------
    folder : where it is
    clips, recordings : as those of a store; when a clip begins is not known
    split : the split of its recordings

    Parameters
    ----------
    split : the data set's; None where there is none

    Raises
    ------
    UserError
        If the folder holds no pictures, or pictures of another size or made with other settings than the config's.
    """

    def __init__(self, folder: Path, split: pl.DataFrame | None, config: Config) -> None:
        self.folder = folder
        self._picture = config.spectrogram
        if folder.name == KEPT and (folder.parent / "shards").is_dir():
            check_made_with(folder.parent / "settings.toml", config)
        found, failures = _find(folder, labels_in(split) if split is not None else set())
        found, broken = _readable(found, config.spectrogram)
        console.report_failures(failures + broken, what="pictures")
        if not any(picture.accepted for picture in found):
            raise console.UserError(
                f"{folder}: holds no pictures named like <class>/0123_recording_004.png; spec.py --spectrogram.pictures writes them"
            )
        owners = _Owners(split) if split is not None else None
        if owners is None or not any(owners.of(picture) for picture in found if picture.accepted):
            console.say(
                f"{console.shown(folder)} stands alone: the split, where there is one, knows none of its recordings, and all are learned from"
            )
            owners = _Owners(standalone_split(found, folder), stripped=True)
        self.split = owners.split
        self.clips = _clips(found, owners)
        self.recordings = _in_form(
            self.split.select("recording", "class").join(_counts(self.clips), on="recording", how="left"), RECORDINGS
        )
        self._paths = [found[number].path for number in self.clips["row"]]
        self.clips = self.clips.with_columns(row=pl.int_range(pl.len(), dtype=pl.Int32))

    def pictures(self, clips: Int64[np.ndarray, " n"]) -> UInt8[np.ndarray, "n height width"]:
        """Read the pictures of the given rows of `clips`; there must be at least one.

        Raises
        ------
        UserError
            If one cannot be read any more.
        """
        pictures = []
        for clip in clips:
            try:
                pictures.append(read_png(self._paths[clip], self._picture))
            except (ValueError, FileNotFoundError) as error:
                raise console.UserError(
                    f"{self._paths[clip]}: {error}, though it could be read when training began"
                ) from None
        return np.stack(pictures)


def read_png(path: Path, settings: Spectrogram) -> UInt8[np.ndarray, "height width"]:
    """Read a PNG file as a grey picture; colours become grey by how bright they look.

    Raises
    ------
    OtherSize
        If it is of another size than the settings make.
    ValueError
        If it is no PNG, or damaged; the text says so, without naming the file.
    """
    content = path.read_bytes()
    _check_whole(content)
    width, height = struct.unpack_from(">II", content, 16)
    if (width, height) != (settings.width, settings.height):
        raise OtherSize(
            f"is {width} × {height} pixels, but the settings make {settings.width} × {settings.height} (spectrogram.width, spectrogram.height)"
        )
    picture = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_GRAYSCALE)
    if picture is None:
        raise ValueError("is a damaged PNG file")
    return picture


def _check_whole(content: bytes) -> None:
    """Refuse a file that is not all of a PNG, by its chunks' sums; OpenCV would only print that, in words of its own."""
    if not content.startswith(SIGNATURE) or content[12:16] != b"IHDR":
        raise ValueError("is no PNG file")
    at, kind = len(SIGNATURE), b""
    while kind != b"IEND":
        if len(content) < at + 12:
            raise ValueError("is cut off")
        length, kind = struct.unpack_from(">I4s", content, at)
        end = at + 8 + length
        if len(content) < end + 4:
            raise ValueError("is cut off")
        if zlib.crc32(content[at + 4 : end]) != struct.unpack_from(">I", content, end)[0]:
            raise ValueError("is a damaged PNG file")
        at = end + 4


def _find(folder: Path, known: set[str]) -> tuple[list[Found], list[console.Failure]]:
    """List the pictures of a folder and of the folder of noise beside it, and the PNG files that cannot be used."""
    found, failures = [], []
    for place, accepted in ((folder, True), (folder.parent / NOISE, False)):
        if place == folder and not accepted:
            continue
        for path in _png_files(place):
            loose = path.parent == place
            name = image_names.read(path.name)
            try:
                label = None if loose else _label(path.parent.name, known)
            except ValueError as error:
                failures.append(console.Failure(console.shown(path), str(error)))
                continue
            if name is None or (loose and accepted):
                failures.append(
                    console.Failure(
                        console.shown(path),
                        "is not called like <class>/0123_recording_004.png (score · 10000, recording, number)",
                    )
                )
            else:
                found.append(Found(path, label, accepted, name))
    return found, failures


def _png_files(folder: Path) -> Iterator[Path]:
    """Yield the PNG files in a folder and in those directly below it, in the order of their paths."""
    children = sorted(child for child in folder.iterdir() if not child.name.startswith(".")) if folder.is_dir() else []
    for child in children:
        files = sorted(child.iterdir()) if child.is_dir() else [child]
        yield from (file for file in files if file.suffix.lower() == ".png" and not file.name.startswith("."))


def _label(name: str, known: set[str]) -> str:
    """Return the class of a folder; '' for rejected clips of no class."""
    if name in known:
        return name
    return "" if name == NO_CLASS else label_of_folder(name)


def _readable(found: list[Found], settings: Spectrogram) -> tuple[list[Found], list[console.Failure]]:
    """Read every picture once; returns those that can be used, and why the others cannot."""

    def why_not(picture: Found) -> str:
        try:
            read_png(picture.path, settings)
        except OtherSize as error:
            raise console.UserError(f"{picture.path}: {error}") from None
        except (ValueError, OSError) as error:
            return str(getattr(error, "strerror", None) or error)
        return ""

    reasons: list[str] = []
    with (
        console.progress("checking pictures", total=len(found), unit="PNG files") as advance,
        ThreadPoolExecutor(THREADS) as threads,
    ):
        for start in range(0, len(found), AT_ONCE):
            some = found[start : start + AT_ONCE]
            reasons += threads.map(why_not, some)
            advance(len(some))
    usable = [picture for picture, reason in zip(found, reasons, strict=True) if not reason]
    return usable, [
        console.Failure(console.shown(picture.path), reason)
        for picture, reason in zip(found, reasons, strict=True)
        if reason
    ]


class _Owners:
    """The recordings of a split, by what they are called in the names of pictures.

    Parameters
    ----------
    stripped : whether names of recordings begin with their class, which is left off in those of pictures
    """

    def __init__(self, split: pl.DataFrame, *, stripped: bool | None = None) -> None:
        self.split = split
        self._stripped = class_is_in_names(split) if stripped is None else stripped
        called = (
            names_in_files(split)
            if stripped is None
            else {name: name.removeprefix(f"{label}/") for name, label in _names(split)}
        )
        self._rows: dict[str, list[tuple[str, str]]] = {}
        for name, label in _names(split):
            self._rows.setdefault(called[name], []).append((name, label))

    def of(self, picture: Found) -> tuple[str, str] | None:
        """Return the recording of a picture and that recording's class; None where the split does not know it, or knows several."""
        found = self._rows.get(picture.name.recording, [])
        if self._stripped and picture.label is not None:
            found = [row for row in found if row[1] == picture.label]
        return found[0] if len(found) == 1 else None


def _names(split: pl.DataFrame) -> Iterator[tuple[str, str]]:
    return split.select("recording", "class").iter_rows()


def standalone_split(found: list[Found], folder: Path) -> pl.DataFrame:
    """Return a split of which all recordings are learned from: those that the pictures name, called `class/name`."""
    classed = {(picture.label, picture.name.recording) for picture in found if picture.label}
    named = {name for _, name in classed}
    loose = {
        ("", picture.name.recording) for picture in found if not picture.label and picture.name.recording not in named
    }
    rows = sorted((f"{label}/{name}" if label else name, label or "") for label, name in classed | loose)
    names, labels = [name for name, _ in rows], [label for _, label in rows]
    table = pl.DataFrame({"recording": names, "class": labels}, schema={"recording": pl.String(), "class": pl.String()})
    return table.select(
        "recording",
        pl.lit(str(folder)).alias("file"),
        "class",
        pl.lit([], dtype=pl.List(pl.String())).alias("background"),
        pl.lit([], dtype=pl.List(EVENT)).alias("events"),
        pl.lit(False).alias("unsure"),
        pl.lit(None, dtype=pl.Float32()).alias("quality"),
        pl.lit("train").alias("side"),
        pl.lit(None, dtype=pl.Int32()).alias("fold"),
        pl.col("recording").alias("group"),
        pl.lit("its pictures stand alone").alias("reason"),
    ).match_to_schema(SCHEMA)


def _clips(found: list[Found], owners: _Owners) -> pl.DataFrame:
    """Return the table of clips, in a store's order; `row` is the number of its picture in `found`. Pictures of unknown recordings are left out."""
    owned = [(number, picture, owner) for number, picture in enumerate(found) if (owner := owners.of(picture))]
    if len(owned) < len(found):
        unknown = sorted(console.shown(picture.path) for picture in found if not owners.of(picture))
        console.warn(
            f"{len(unknown)} pictures are left out, for the split does not know their recordings ({unknown[0]}{', …' if len(unknown) > 1 else ''})"
        )
    rows = [
        (
            recording,
            picture.label or label,
            label,
            picture.name.number,
            picture.name.score,
            picture.accepted,
            "",
            number,
        )
        for number, picture, (recording, label) in owned
    ]
    names = ("recording", "class", "owner", "number", "score", "accepted", "shard", "row")
    table = pl.DataFrame(rows, schema={name: CLIPS.get(name, pl.String()) for name in names}, orient="row")
    heard = pl.col("background").list.set_difference(pl.concat_list("class")).alias("background")
    known = owners.split.select("recording", "background", pl.col("quality").fill_null(UNRATED).alias("weight"))
    table = table.join(known, on="recording", how="left").with_columns(heard)
    return _in_form(table.sort("owner", "recording", "number", "row"), CLIPS)


def _counts(clips: pl.DataFrame) -> pl.DataFrame:
    kept = pl.col("accepted").sum().cast(pl.Int32()).alias("kept")
    noise = (~pl.col("accepted")).sum().cast(pl.Int32()).alias("noise")
    return clips.group_by("recording").agg(kept, noise)


def _in_form(table: pl.DataFrame, schema: Mapping[str, Any]) -> pl.DataFrame:
    """Return a table with the columns of a store's; what pictures do not tell is null."""
    return table.select(
        *(
            pl.col(name) if name in table.columns else pl.lit(None, dtype=kind).alias(name)
            for name, kind in schema.items()
        )
    )
