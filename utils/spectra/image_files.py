"""Writing the spectrograms of a store as PNG files, to look at and for the 2018 baseline."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import polars as pl
from jaxtyping import UInt8

from config import Config
from utils import console
from utils.files import atomic_file
from utils.spectra.image_names import ImageName, class_folder, image_file_name, names_in_files, parse_image_name
from utils.spectra.store import Store

IMAGES_FOLDER, NOISE_FOLDER = "images", "noise"  # folders in the store for accepted and for rejected clips
EARLIER_IMAGES_FOLDER = "pictures"  # name of the first in earlier versions
IMAGES_AT_ONCE = 256  # in memory
WRITER_THREADS = 8  # may be more than cores: threads mostly wait for the disk


def write_images(store: Store, config: Config) -> None:
    """Make the folders of images match the store, if `spectrogram.images` is on; files that match already stay.

    Raises
    ------
    UserError
        If the name of a class cannot be that of a folder.
    """
    images, earlier_images = store.folder / IMAGES_FOLDER, store.folder / EARLIER_IMAGES_FOLDER
    if earlier_images.is_dir():
        console.info(f"{console.printable(earlier_images)} was written by an earlier version; you can remove it")
    if not config.spectrogram.images:
        if images.is_dir():
            console.info(
                f"{console.printable(images)} was written by an earlier run and may be out of date; "
                "--spectrogram.images updates it"
            )
        return
    paths = _image_paths(store)
    others = [
        other
        for name in (IMAGES_FOLDER, NOISE_FOLDER)
        for other in _remove_earlier_images(store.folder / name, {path for path in paths if path.parts[0] == name})
    ]
    if others:
        names = ", ".join(map(console.printable, others[:3]))
        console.warning(
            f"files in the folders of images that spec.py did not write stay there ({len(others)}): {names}"
        )
    with (
        console.progress("PNG files", total=len(paths), unit="clips") as advance,
        ThreadPoolExecutor(WRITER_THREADS) as threads,
    ):
        for start in range(0, len(paths), IMAGES_AT_ONCE):
            some = [store.folder / path for path in paths[start : start + IMAGES_AT_ONCE]]
            for _ in threads.map(_write_image, some, store.spectrograms(np.arange(start, start + len(some)))):
                advance()


def _image_paths(store: Store) -> list[Path]:
    """Return the paths of the images of all clips, relative to the folder of the store."""
    names = names_in_files(store.recordings)
    columns = ["accepted", "class", "score", "recording", "index"]
    try:
        return [
            Path(
                IMAGES_FOLDER if accepted else NOISE_FOLDER,
                class_folder(label),
                image_file_name(ImageName(score, names[recording], index)),
            )
            for accepted, label, score, recording, index in store.clips.select(pl.col(columns)).iter_rows()
        ]
    except ValueError as error:
        raise console.UserError(
            f"{store.folder / 'clips.parquet'}: the name of a class cannot be that of a folder: {error}"
        ) from None


def _remove_earlier_images(folder: Path, ours: set[Path]) -> list[Path]:
    """Remove images of an earlier store and incomplete files; return the files that are not such images."""
    others = []
    for child in sorted(folder.iterdir()) if folder.is_dir() else []:
        if not child.is_dir():
            others.append(child)
            continue
        for file in child.iterdir():
            if file.relative_to(folder.parent) in ours:
                continue
            part = file.name.startswith(".") and file.name.endswith(".part")
            if file.is_file() and (part or parse_image_name(file.name)):
                file.unlink()
            else:
                others.append(file)
        if not child.is_symlink() and not any(child.iterdir()):
            child.rmdir()
    return [other for other in others if not other.name.startswith(".")]


def _write_image(path: Path, pixels: UInt8[np.ndarray, "height width"]) -> None:
    content = cv2.imencode(".png", pixels)[1].tobytes()
    if path.is_file() and path.read_bytes() == content:
        return
    with atomic_file(path) as stream:
        stream.write(content)
