"""The clips of `training.noise_folder`: in a store of their own beside that of the data set, computed once.

It is `<root>/spec/noise_<key>/`, made with the settings of the data set's store. Its clips follow one another without
overlap, and none is rejected.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import polars as pl

from config import Clips, Config
from utils import console
from utils.recordings.audio_files import has_text_name
from utils.recordings.noise_files import (
    advice_for,
    distinct_files,
    known_recordings,
    noise_files,
    refuse_shared_noise,
)
from utils.recordings.recording import NOISE
from utils.recordings.splits import SPLIT_SCHEMA, read_split
from utils.settings import load_text
from utils.settings_keys import settings_for_key, short_key
from utils.spectra.further_store import fill_further_store
from utils.spectra.store import Store
from utils.spectra.store_settings import STORE_SETTINGS, with_judging_spectrogram

LEARNED = "training.noise_folder"
PREFIX = "noise_folder/"  # of the names of its recordings, before their paths in the folder


def open_noise_store(store: Store, folder: Path, config: Config) -> Store:
    """Return the store of the clips of a folder without birds; they are computed now where they are missing.

    Left out, with one line each, are files that cannot be read, are silent or shorter than `clips.min_length`, and
    those whose content another file of the folder or a recording of the data set has.

    Parameters
    ----------
    store : of the data set
    folder : `training.noise_folder`

    Raises
    ------
    UserError
        If the folder has no recording that can be used, or shares some with `testing.noise_folder`.
    """
    files, unread = noise_files(folder, LEARNED)
    refuse_shared_noise(folder, config.testing.noise_folder)
    used, known = _unknown_files(files, config)
    named = [console.Failure(Path(one.name).relative_to(folder).as_posix(), one.reason) for one in known]
    made, rejected = _filled_store(store, folder, used, config) if used else (None, [])
    console.report_failures([*unread, *named, *rejected], what=f"recordings of {LEARNED}")
    if made is None or made.clips.is_empty():
        raise console.UserError(
            f"{console.printable(folder)}: none of its {len(files)} sound files can be learned as noise; "
            f"{advice_for(LEARNED)}"
        )
    return made


def _unknown_files(files: Sequence[Path], config: Config) -> tuple[list[Path], list[console.Failure]]:
    """Leave out files with the content of others, and recordings of the data set, which has labels for them."""
    nameless = [file for file in files if not has_text_name(file.resolve())]
    distinct, left_out = distinct_files([file for file in files if file not in nameless])
    left_out += [console.Failure(str(file), "has a name that is not text in UTF-8; rename it") for file in nameless]
    known = known_recordings(distinct, read_split(config.dataset), config)
    for file, (part, label) in known.items():
        reason = f"is held out, in {part}/" if part != "train" else f"is in train/ as {label or 'annotated birds'}"
        left_out.append(console.Failure(str(file), f"{reason}, and is not learned as noise"))
    return [file for file in distinct if file not in known], left_out


def _filled_store(
    store: Store, folder: Path, files: Sequence[Path], config: Config
) -> tuple[Store, list[console.Failure]]:
    """Compute what is missing of the store and open it; also return which files could not be used."""
    made_with = with_judging_spectrogram(load_text(store.settings_text, source=store.address), config)
    settings = _settings(store.folder, folder, made_with, config)
    split = pl.DataFrame([_row_of(file, folder) for file in files], schema=SPLIT_SCHEMA)
    at, recordings = fill_further_store(split, settings, what=f"noise of {console.printable(folder)}")
    rejected = recordings.filter(pl.col("reason").is_not_null())
    failures = [
        console.Failure(name.removeprefix(PREFIX), reason)
        for name, reason in rejected.select("recording", "reason").iter_rows()
    ]
    return Store(config.dataset.root, config.spectrogram, at=at), failures


def noise_store_name(at: Path, folder: Path | None, made_with: Config, config: Config) -> str:
    """Return the name of the store of a folder's noise beside the data set's store; '' without such a folder.

    Parameters
    ----------
    at : folder of the data set's store
    made_with : its settings
    """
    if not folder:
        return ""
    settings = _settings(at, folder, with_judging_spectrogram(made_with, config), config)
    return Path(settings.dataset.store_at).name


def _settings(at: Path, folder: Path, made_with: Config, config: Config) -> Config:
    """Return the settings of the store of noise: those of the data set's, but all clips in turn."""
    clips = Clips(
        choose="grid",
        length=config.clips.length,
        overlap=0.0,
        min_length=config.clips.min_length,
        signal_threshold=0.0,
        max_per_class=0,
        noise_share=0.0,
        keep=config.clips.keep,
        margin=config.clips.margin,
    )
    settings = replace(made_with, clips=clips, spectrogram=replace(made_with.spectrogram, images=False))
    key = short_key([str(folder.resolve()), settings_for_key(settings, of=STORE_SETTINGS)])
    return replace(settings, dataset=replace(config.dataset, store=at / f"noise_{key}"))


def _row_of(file: Path, folder: Path) -> dict[str, object]:
    return {
        "recording": f"{PREFIX}{file.relative_to(folder).as_posix()}",
        "file": str(file.resolve()),
        "class": NOISE,
        "background": [],
        "events": [],
        "unsure": False,
        "quality": None,
        "split": "train",
        "fold": None,
        "group": None,
        "reason": LEARNED,
    }
