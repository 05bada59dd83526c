"""Stores, cached predictions and copies of packs that neither an experiment nor the runs beside it use."""

import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from config import Config, SettingsError
from utils.cleaning.stale import KEY, STORE_NAMES, Stale
from utils.console import UserError, warning
from utils.scratch import abandoned_folders
from utils.settings import load
from utils.settings_keys import changed_settings, short_key
from utils.spectra.noise_store import noise_store_name
from utils.spectra.pack import CONTENTS_FORM, read_contents
from utils.spectra.store import Store
from utils.spectra.store_settings import STORE_SETTINGS, with_judging_spectrogram
from utils.storage import open_storage

COPIES = ("*-of-*.npy", ".*-of-*.npy.reserved", ".*-of-*.npy.lock")  # names of the files of a cache of packs


def settings_of_users(config: Config) -> list[Config] | None:
    """Return the settings of an experiment, and of the runs of its folder.

    None if those of a run cannot be read: then it is not known what it uses.
    """
    found = [config]
    for path in sorted(config.snapshots.glob("*/settings.toml")):
        try:
            found.append(load(path))
        except (SettingsError, UserError, OSError) as error:
            warning(f"{path}: cannot be read, so no store and no copy that it may use is listed ({error})")
            return None
    return found


def unused_store(config: Config, users: Sequence[Config]) -> Iterator[Stale]:
    """Yield the data set's store if it was made with settings that can serve neither the experiment nor a run."""
    folder = Path(config.dataset.store_at)
    made_with = _settings_in(folder)
    if made_with is None:
        return
    others = [
        changed_settings(made_with, with_judging_spectrogram(made_with, user), of=STORE_SETTINGS)
        for user in (config, *users)
    ]
    if all(others):
        changed = others[0]
        yield Stale(folder, f"a store of other settings: {'; '.join(changed)}", STORE_NAMES)


def unused_stores(config: Config, users: Sequence[Config]) -> Iterator[Stale]:
    """Yield stores of noise and of embeddings, beside the data set's, that no user takes."""
    folder = Path(config.dataset.store_at)
    made_with = _settings_in(folder)
    if made_with is None:
        return
    noise = {noise_store_name(folder, user.training.noise_folder, made_with, user) for user in users}
    for further in _folders_named(folder, f"noise_{KEY}"):
        if further.name not in noise:
            yield Stale(
                further, "a store of noise; no experiment or run here has its training.noise_folder", STORE_NAMES
            )
    learned = {(teacher.external.sha256, teacher.clips.length) for user in users for teacher in _teachers(user)}
    for further in _folders_named(folder, f"teacher_{KEY}"):
        teacher = _settings_in(further)
        if teacher and (teacher.external.sha256, teacher.clips.length) not in learned:
            yield Stale(
                further, "a store of embeddings; neither the experiment nor a run here has its teacher", STORE_NAMES
            )


def _folders_named(folder: Path, pattern: str) -> list[Path]:
    return [path for path in sorted(folder.glob(pattern)) if path.is_dir() and not path.is_symlink()]


def _settings_in(folder: Path) -> Config | None:
    """Return the settings that a store was made with; None: there is none, or they cannot be read."""
    try:
        return load(folder / "settings.toml") if (folder / "settings.toml").is_file() else None
    except (SettingsError, UserError, OSError):
        return None


def _teachers(user: Config) -> Iterator[Config]:
    for teacher in user.distillation.teachers:
        for path in (teacher / "settings.toml", teacher.parent / "settings.toml"):
            if path.is_file() and (settings := _settings_in(path.parent)):
                yield settings
                break


def unused_predictions(config: Config, users: Sequence[Config]) -> Iterator[Stale]:
    """Yield cached predictions of teachers that nothing can use: of other clips, or without any teachers."""
    folder = Path(config.dataset.store_at)
    for path in sorted(folder.glob("answers_*.npy")):
        yield Stale(path, "predictions of teachers, cached by an earlier version")
    cached = sorted(folder.glob(f"predictions_{KEY}.npy"))
    if not cached or not (folder / "clips.parquet").is_file():
        return
    clips = len(Store(config.dataset.root, at=config.dataset.store).clips)
    distilled = any(user.distillation.teachers or user.distillation.rounds for user in users)
    for path in cached:
        if not distilled:
            yield Stale(path, "cached predictions of teachers; neither the experiment nor a run here has teachers")
        elif _length(path) != clips:
            yield Stale(path, "cached predictions of teachers for clips that the store no longer has")


def _length(path: Path) -> int:
    """Return the number of rows of an array; -1 if it is damaged."""
    try:
        return len(np.load(path, mmap_mode="r"))
    except (OSError, ValueError, EOFError):
        return -1


def unused_copies(config: Config, users: Sequence[Config]) -> Iterator[Stale]:
    """Yield the copies, in the folder `training.cache`, of packs that neither the experiment nor a run here reads."""
    cache = config.training.cache
    if not cache or not config.training.packed or not users:
        return
    try:
        packs = {user.training.packed for user in users if user.training.packed and user.training.cache}
        contents = [read_contents(open_storage(pack)) for pack in packs]
    except (UserError, OSError):  # which of them are theirs is not known
        return
    keys = {short_key(CONTENTS_FORM.dump_python(one)) for one in contents}
    for folder in _folders_named(Path(cache), KEY):
        if folder.name not in keys:
            yield Stale(folder, "copies of a pack that neither the experiment nor a run here reads", COPIES)


def abandoned_in_temporary_folder() -> Iterator[Stale]:
    """Yield the scratch folders of killed processes of this user."""
    for folder in abandoned_folders(Path(tempfile.gettempdir())):
        yield Stale(folder, "a scratch folder of a process that was killed")


def turn_folders() -> Iterator[Stale]:
    """Yield this user's folders for locks on remote storage, which some process may hold."""
    user = os.getuid() if os.name == "posix" else "user"
    for folder in _folders_named(Path(tempfile.gettempdir()), f"birdclef-lock-{user}-{KEY}"):
        if (folder / ".turn.lock").is_file():
            yield Stale(folder, "a folder for a lock on remote storage", (".turn.lock",))
