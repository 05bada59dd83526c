"""The clips of the store as folders of PNG files, for the eye and for the 2018 baseline."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import polars as pl
from jaxtyping import UInt8

from config import Config
from utils import console
from utils.files import whole_file
from utils.spectra.image_names import PictureName, folder_of, names_in_files, read, written
from utils.spectra.store import Store

KEPT, NOISE = "pictures", "noise"  # folders of the store: kept clips, and rejected ones
AT_ONCE = 256  # pictures in memory
THREADS = 8  # more than cores: each waits for the disk most of the time


def write_pictures(store: Store, config: Config) -> None:
    """Bring the folders of pictures to what the store holds, where `spectrogram.pictures` asks for them; files that are right already stay.

    Raises
    ------
    UserError
        If a class cannot name a folder.
    """
    if not config.spectrogram.pictures:
        if (store.folder / KEPT).is_dir():
            console.say(
                f"{console.shown(store.folder / KEPT)} is of an earlier call and stays as it was; --spectrogram.pictures brings it up to date"
            )
        return
    paths = _paths(store)
    others = [
        other
        for name in (KEPT, NOISE)
        for other in _tidy(store.folder / name, {path for path in paths if path.parts[0] == name})
    ]
    if others:
        console.warn(
            f"{len(others)} files in the folders of pictures are none of ours and stay: {', '.join(map(console.shown, others[:3]))}"
        )
    with (
        console.progress("PNG files", total=len(paths), unit="clips") as advance,
        ThreadPoolExecutor(THREADS) as threads,
    ):
        for start in range(0, len(paths), AT_ONCE):
            some = [store.folder / path for path in paths[start : start + AT_ONCE]]
            for _ in threads.map(_write, some, store.pictures(np.arange(start, start + len(some)))):
                advance()


def _paths(store: Store) -> list[Path]:
    """Return where the picture of every clip belongs, below the store's folder."""
    called = names_in_files(store.recordings)
    columns = ["accepted", "class", "score", "recording", "number"]
    try:
        return [
            Path(KEPT if accepted else NOISE, folder_of(label), written(PictureName(score, called[recording], number)))
            for accepted, label, score, recording, number in store.clips.select(pl.col(columns)).iter_rows()
        ]
    except ValueError as error:
        raise console.UserError(
            f"{store.folder / 'clips.parquet'}: no folder can have the name of a class: {error}"
        ) from None


def _tidy(folder: Path, ours: set[Path]) -> list[Path]:
    """Remove pictures of an earlier store, and what a killed process left; returns the files that are nobody's pictures."""
    others = []
    for child in sorted(folder.iterdir()) if folder.is_dir() else []:
        if not child.is_dir():
            others.append(child)
            continue
        for file in child.iterdir():
            if file.relative_to(folder.parent) in ours:
                continue
            part = file.name.startswith(".") and file.name.endswith(".part")
            if file.is_file() and (part or read(file.name)):
                file.unlink()
            else:
                others.append(file)
        if not child.is_symlink() and not any(child.iterdir()):
            child.rmdir()
    return [other for other in others if not other.name.startswith(".")]


def _write(path: Path, pixels: UInt8[np.ndarray, "height width"]) -> None:
    content = cv2.imencode(".png", pixels)[1].tobytes()
    if path.is_file() and path.read_bytes() == content:
        return
    with whole_file(path) as stream:
        stream.write(content)
