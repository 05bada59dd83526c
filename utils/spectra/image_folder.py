"""A folder of PNG files, named as by the 2018 baseline, in place of a spectrogram store.

<folder>/<class>/0123_recording_004.png            accepted clips
<folder>/../noise/, <folder>/../noise/<class>/     rejected clips, if there are any
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
from utils.recordings.splits import EVENT_DTYPE, SPLIT_SCHEMA, labels_in
from utils.spectra import image_names
from utils.spectra.image_files import EARLIER_IMAGES_FOLDER, IMAGES_FOLDER, NOISE_FOLDER
from utils.spectra.image_names import NO_CLASS, ImageName, class_is_in_names, names_in_files
from utils.spectra.store import CLIP_COLUMNS, RECORDING_COLUMNS, UNRATED_WEIGHT
from utils.spectra.store_settings import check_made_with

READER_THREADS = 8  # read and decode files in parallel
FILES_AT_ONCE = 1024  # checked between two updates of the progress bar
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


class ImageSizeError(ValueError):
    """An image has another size than the settings say."""


@dataclass(frozen=True)
class ImageFile:
    """A PNG file.

    Attributes
    ----------
    label : class of its folder, '' for clips without a class; None if it is in no folder of a class
    accepted : whether its clip was accepted
    name : the parts of its name
    """

    path: Path
    label: str | None
    accepted: bool
    name: ImageName


class ImageFolder:
    """Images of clips in one folder per class, opened for reading, with the interface of `Store`.

    Images of recordings in the split belong to train, val or test as the split says, and all others are left out. If
    the split has none of the recordings, all images are for training.

    Attributes
    ----------
    folder, address : path of the folder, and as users write it
    clips, recordings : tables as those of a store; starts of clips are unknown
    split : split of the recordings

    Parameters
    ----------
    split : split of the data set; None: it has none

    Raises
    ------
    UserError
        If the folder has no images, or if they have another size or were made with other settings.
    """

    keeps_sound = False

    def __init__(self, folder: Path, split: pl.DataFrame | None, config: Config) -> None:
        self.folder, self.address = folder, str(folder)
        self._settings = config.spectrogram
        if folder.name in (IMAGES_FOLDER, EARLIER_IMAGES_FOLDER) and (folder.parent / "shards").is_dir():
            check_made_with(folder.parent / "settings.toml", config)
        files, failures = _find_images(folder, labels_in(split) if split is not None else set())
        files, broken = _readable(files, config.spectrogram)
        console.report_failures(failures + broken, what="images")
        if not any(image.accepted for image in files):
            raise console.UserError(
                f"{folder}: holds no images named like <class>/0123_recording_004.png; "
                "spec.py --spectrogram.images writes them"
            )
        recordings = _RecordingsByFileName(split) if split is not None else None
        if recordings is None or not any(recordings.of(image) for image in files if image.accepted):
            console.info(
                f"{console.printable(folder)}: no split has these recordings, so all images are used for training"
            )
            recordings = _RecordingsByFileName(standalone_split(files, folder), stripped=True)
        self.split = recordings.split
        self.clips = _clip_table(files, recordings)
        counts = self.split.select("recording", "class").join(_clip_counts(self.clips), on="recording", how="left")
        self.recordings = _with_columns_of(counts, RECORDING_COLUMNS)
        self._paths = [files[index].path for index in self.clips["row"]]
        self.clips = self.clips.with_columns(row=pl.int_range(pl.len(), dtype=pl.Int32))

    def spectrograms(self, clips: Int64[np.ndarray, " n"]) -> UInt8[np.ndarray, "n height width"]:
        """Read the images of the given rows of `clips`, at least one.

        Raises
        ------
        UserError
            If an image can no longer be read.
        """
        images = []
        for clip in clips:
            try:
                images.append(read_png(self._paths[clip], self._settings))
            except (ValueError, FileNotFoundError) as error:
                raise console.UserError(
                    f"{self._paths[clip]}: {error}, but it could be read when training started"
                ) from None
        return np.stack(images)


def read_png(path: Path, settings: Spectrogram) -> UInt8[np.ndarray, "height width"]:
    """Read a PNG file as a greyscale image; colours are converted by their luminance.

    Raises
    ------
    ImageSizeError
        If it has another size than the settings say.
    ValueError
        If it is not a PNG file, or damaged; the text says so, without the name of the file.
    """
    content = path.read_bytes()
    _check_png(content)
    width, height = struct.unpack_from(">II", content, 16)
    if (width, height) != (settings.width, settings.height):
        raise ImageSizeError(
            f"has {width} × {height} pixels, but the settings say {settings.width} × {settings.height} "
            "(spectrogram.width, spectrogram.height)"
        )
    image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_GRAYSCALE)
    if image is None:
        raise ValueError("is a damaged PNG file")
    return image


def _check_png(content: bytes) -> None:
    """Check that a PNG file is complete, by the checksums of its chunks; OpenCV would only print a message."""
    if not content.startswith(PNG_SIGNATURE) or content[12:16] != b"IHDR":
        raise ValueError("is not a PNG file")
    offset, kind = len(PNG_SIGNATURE), b""
    while kind != b"IEND":
        if len(content) < offset + 12:
            raise ValueError("is truncated")
        length, kind = struct.unpack_from(">I4s", content, offset)
        end = offset + 8 + length
        if len(content) < end + 4:
            raise ValueError("is truncated")
        if zlib.crc32(content[offset + 4 : end]) != struct.unpack_from(">I", content, end)[0]:
            raise ValueError("is a damaged PNG file")
        offset = end + 4


def _find_images(folder: Path, known: set[str]) -> tuple[list[ImageFile], list[console.Failure]]:
    """List the images of a folder and of the folder of noise beside it, and the PNG files that cannot be used."""
    files, failures = [], []
    for searched, accepted in ((folder, True), (folder.parent / NOISE_FOLDER, False)):
        if searched == folder and not accepted:
            continue
        for path in _png_files(searched):
            loose = path.parent == searched
            name = image_names.parse_image_name(path.name)
            try:
                label = None if loose else _class_of_folder(path.parent.name, known)
            except ValueError as error:
                failures.append(console.Failure(console.printable(path), str(error)))
                continue
            if name is None or (loose and accepted):
                failures.append(
                    console.Failure(
                        console.printable(path),
                        "is not named like <class>/0123_recording_004.png (score · 10000, recording, index)",
                    )
                )
            else:
                files.append(ImageFile(path, label, accepted, name))
    return files, failures


def _png_files(folder: Path) -> Iterator[Path]:
    """Yield the PNG files in a folder and its direct subfolders, ordered by path."""
    children = sorted(child for child in folder.iterdir() if not child.name.startswith(".")) if folder.is_dir() else []
    for child in children:
        files = sorted(child.iterdir()) if child.is_dir() else [child]
        yield from (file for file in files if file.suffix.lower() == ".png" and not file.name.startswith("."))


def _class_of_folder(name: str, known: set[str]) -> str:
    """Return the class of a folder; '' for rejected clips without a class."""
    if name in known:
        return name
    return "" if name == NO_CLASS else label_of_folder(name)


def _readable(files: list[ImageFile], settings: Spectrogram) -> tuple[list[ImageFile], list[console.Failure]]:
    """Read every image once; return the usable ones, and the reasons against the others."""

    def reason_against(image: ImageFile) -> str:
        try:
            read_png(image.path, settings)
        except ImageSizeError as error:
            raise console.UserError(f"{image.path}: {error}") from None
        except (ValueError, OSError) as error:
            return str(getattr(error, "strerror", None) or error)
        return ""

    reasons: list[str] = []
    with (
        console.progress("checking images", total=len(files), unit="PNG files") as advance,
        ThreadPoolExecutor(READER_THREADS) as threads,
    ):
        for start in range(0, len(files), FILES_AT_ONCE):
            some = files[start : start + FILES_AT_ONCE]
            reasons += threads.map(reason_against, some)
            advance(len(some))
    usable = [image for image, reason in zip(files, reasons, strict=True) if not reason]
    return usable, [
        console.Failure(console.printable(image.path), reason)
        for image, reason in zip(files, reasons, strict=True)
        if reason
    ]


class _RecordingsByFileName:
    """The recordings of a split by their names in file names of images.

    Parameters
    ----------
    stripped : whether names of recordings begin with their class and names of images leave it out; None: find out
    """

    def __init__(self, split: pl.DataFrame, *, stripped: bool | None = None) -> None:
        self.split = split
        self._stripped = class_is_in_names(split) if stripped is None else stripped
        file_names = (
            names_in_files(split)
            if stripped is None
            else {name: name.removeprefix(f"{label}/") for name, label in _names_and_classes(split)}
        )
        self._rows: dict[str, list[tuple[str, str]]] = {}
        for name, label in _names_and_classes(split):
            self._rows.setdefault(file_names[name], []).append((name, label))

    def of(self, image: ImageFile) -> tuple[str, str] | None:
        """Return the recording of an image and its class; None if the split has no such recording, or several."""
        rows = self._rows.get(image.name.recording, [])
        if self._stripped and image.label is not None:
            rows = [row for row in rows if row[1] == image.label]
        return rows[0] if len(rows) == 1 else None


def _names_and_classes(split: pl.DataFrame) -> Iterator[tuple[str, str]]:
    return split.select("recording", "class").iter_rows()


def standalone_split(files: list[ImageFile], folder: Path) -> pl.DataFrame:
    """Return a split with all recordings of the images, named `class/name`, in train."""
    with_class = {(image.label, image.name.recording) for image in files if image.label}
    names_with_class = {name for _, name in with_class}
    others = {image.name.recording for image in files if not image.label} - names_with_class
    rows = sorted(
        (f"{label}/{name}" if label else name, label or "")
        for label, name in with_class | {("", name) for name in others}
    )
    names, labels = [name for name, _ in rows], [label for _, label in rows]
    table = pl.DataFrame({"recording": names, "class": labels}, schema={"recording": pl.String(), "class": pl.String()})
    return table.select(
        "recording",
        pl.lit(str(folder)).alias("file"),
        "class",
        pl.lit([], dtype=pl.List(pl.String())).alias("background"),
        pl.lit([], dtype=pl.List(EVENT_DTYPE)).alias("events"),
        pl.lit(False).alias("unsure"),
        pl.lit(None, dtype=pl.Float32()).alias("quality"),
        pl.lit("train").alias("split"),
        pl.lit(None, dtype=pl.Int32()).alias("fold"),
        pl.col("recording").alias("group"),
        pl.lit("folder of images without a split").alias("reason"),
    ).match_to_schema(SPLIT_SCHEMA)


def _clip_table(files: list[ImageFile], recordings: _RecordingsByFileName) -> pl.DataFrame:
    """Return the table of clips, in the order of a store, without images of unknown recordings.

    Its column `row` is the index of the image in `files`.
    """
    known = [(index, image, owner) for index, image in enumerate(files) if (owner := recordings.of(image))]
    if len(known) < len(files):
        unknown = sorted(console.printable(image.path) for image in files if not recordings.of(image))
        console.warning(
            f"{len(unknown)} images are left out because the split does not have their recordings "
            f"({unknown[0]}{', …' if len(unknown) > 1 else ''})"
        )
    rows = [
        (recording, image.label or label, label, image.name.clip_index, image.name.score, image.accepted, "", index)
        for index, image, (recording, label) in known
    ]
    names = ("recording", "class", "owner", "index", "score", "accepted", "shard", "row")
    table = pl.DataFrame(rows, schema={name: CLIP_COLUMNS.get(name, pl.String()) for name in names}, orient="row")
    background = pl.col("background").list.set_difference(pl.concat_list("class")).alias("background")
    weight = pl.col("quality").fill_null(UNRATED_WEIGHT).alias("weight")
    table = table.join(recordings.split.select("recording", "background", weight), on="recording", how="left")
    return _with_columns_of(table.with_columns(background).sort("owner", "recording", "index", "row"), CLIP_COLUMNS)


def _clip_counts(clips: pl.DataFrame) -> pl.DataFrame:
    kept = pl.col("accepted").sum().cast(pl.Int32()).alias("kept")
    noise = (~pl.col("accepted")).sum().cast(pl.Int32()).alias("noise")
    return clips.group_by("recording").agg(kept, noise)


def _with_columns_of(table: pl.DataFrame, schema: Mapping[str, Any]) -> pl.DataFrame:
    """Return a table with the columns of a schema; those that it lacks are null."""
    return table.select(
        *(
            pl.col(name) if name in table.columns else pl.lit(None, dtype=dtype).alias(name)
            for name, dtype in schema.items()
        )
    )
