"""Things that the toolkit wrote and nothing needs any more; each finder knows one kind, and returns nothing else."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from utils.files import LOCK_FILES
from utils.recordings.audio_files import is_sound
from utils.recordings.recording import SPLITS
from utils.recordings.sorted_folders import TOOLKIT_FILES
from utils.spectra.store_writer import STORE_FILES

# what else the toolkit writes to a folder of runs, and to one of submissions
RUN_NAMES = (
    *("settings.toml", "log.csv", "curves.png", "epoch_*", "soup_*", "paused", "diverged.csv", "teachers.json"),
    *("rounds.csv", "pseudo_labels.csv", "triplets.parquet", "hard_negatives.csv", "test", "prototypes.safetensors"),
    *("folds.csv", "ensemble.toml", "journal.jsonl", "trials.csv", "tuning.png", "best.toml", "model.cbm"),
    *("classes.txt", "learned.txt", "features.json", "losses.csv", "importance.*", "metrics.json", "classifier.json"),
    *("per_class.csv", "thresholds.*", "calibration.json", "reliability.png", "noise.parquet", "scores.parquet"),
    *("predictions.csv", "report.*", "distillation.json", "compare.html"),
)
SUBMISSION_NAMES = ("*_monophone*", "*_soundscape*")


# names of all files of a shard, and of a store with the stores in it; others in its folders are not the toolkit's
SHARD_NAMES = (
    *("clips.parquet", "recordings.parquet", "peaks.parquet", "pixel_sums*.parquet", "key.txt", "sources.jsonl"),
    *("spectrograms.npy", "sound.npy", "embeddings.npy", "pictures.npy"),
)
_ONE_STORE = (
    *("clips.parquet", "settings.toml", "recordings.parquet", "rejected.csv", "peaks.csv", "classes.csv"),
    *("overview.html", "predictions_*.npy", "parts/*.zip", *(f"shards/*/{name}" for name in SHARD_NAMES)),
    *(f"{folder}/*/[0-9][0-9][0-9][0-9]*_*_[0-9][0-9][0-9]*.png" for folder in ("images", "noise", "pictures")),
)
KEY = "[0-9a-f]" * 16
STORE_NAMES = (*_ONE_STORE, *(f"{kind}_{KEY}/{name}" for kind in ("noise", "teacher") for name in _ONE_STORE))
PART_NAME = re.compile(r"\.(?P<name>.+)\.(part|link)")  # what atomic writers fill, under the name that it gets


@dataclass(frozen=True)
class Stale:
    """Something that can be removed.

    Attributes
    ----------
    path : of the file or folder
    reason : why nothing needs it
    names : of the files that are removed, each with the folders between (`parts/*.zip`); none: all of them
    """

    path: Path
    reason: str
    names: tuple[str, ...] = ()

    def files(self) -> list[Path]:
        """Return the files that are removed, the table of a store first; links are not followed."""
        found = [file for file in _files_below(self.path) if file == self.path or self._is_ours(file)]
        return sorted(found, key=lambda file: (file.name != "clips.parquet", file))

    def _is_ours(self, file: Path) -> bool:
        parts = file.relative_to(self.path).parts
        patterns = [pattern.split("/") for pattern in self.names]
        return not patterns or any(
            len(parts) == len(pattern) and all(map(fnmatch, parts, pattern)) for pattern in patterns
        )

    def can_be_removed(self) -> bool:
        """Tell whether something would be removed: a folder with files of others alone stays."""
        return bool(self.files()) or not any(_files_below(self.path))

    def size(self) -> int:
        """Return the bytes of its files."""
        return sum(file.stat(follow_symlinks=False).st_size for file in self.files())

    def changed(self) -> float:
        """Return when a file of it was changed last, seconds since 1970."""
        return max(path.stat(follow_symlinks=False).st_mtime for path in (self.path, *self.files()))

    def remove(self) -> None:
        """Remove its files, and the folders that are empty then."""
        for file in self.files():
            file.unlink(missing_ok=True)
        if self.path.is_dir() and not self.path.is_symlink():
            for folder in sorted(_folders_of(self.path), reverse=True):
                if not any(folder.iterdir()):
                    folder.rmdir()


def _files_below(path: Path) -> Iterator[Path]:
    if path.is_symlink() or path.is_file():
        yield path
    elif path.is_dir():
        for child in sorted(path.iterdir()):
            yield from _files_below(child)


def _folders_of(path: Path) -> Iterator[Path]:
    yield path
    for child in sorted(path.iterdir()):
        if child.is_dir() and not child.is_symlink():
            yield from _folders_of(child)


def unfinished_in(folder: Path, names: Sequence[str], *, what: str) -> Iterator[Stale]:
    """Yield the hidden files and folders directly in a folder that a killed process left of one of these names."""
    for child in sorted(folder.iterdir()) if folder.is_dir() else ():
        found = PART_NAME.fullmatch(child.name)
        if found and any(fnmatch(found["name"], pattern) for pattern in names):
            yield Stale(child, f"unfinished: {what} was killed while it wrote {found['name']}")


def unfinished_in_root(root: Path) -> Iterator[Stale]:
    """Yield what killed processes left unfinished in a data set's root, its metadata and its sorted recordings."""
    yield from unfinished_in(root, (*TOOLKIT_FILES, ".hardlink", "hardlink"), what="sort_data.py")
    for folder in _folders_below(root / "metadata"):
        yield from unfinished_in(folder, ("*.json", "classes.csv"), what="sort_data.py")
    for split in SPLITS:
        for folder in _folders_below(root / split):
            for one in unfinished_in(folder, ("*",), what="sort_data.py"):
                if is_sound(Path(PART_NAME.sub(r"\g<name>", one.path.name))):
                    yield one


def _folders_below(folder: Path) -> Iterator[Path]:
    """Yield a folder and those below it; links are not followed, nor hidden ones."""
    if folder.is_dir() and not folder.is_symlink():
        yield folder
        for child in sorted(folder.iterdir()):
            if not child.name.startswith("."):
                yield from _folders_below(child)


def unfinished_in_store(folder: Path) -> Iterator[Stale]:
    """Yield what killed processes left unfinished in a store, and its shards that have no table."""
    yield from unfinished_in(folder, STORE_FILES, what="spec.py or training")
    shards = folder / "shards"
    yield from unfinished_in(shards, ("*-[0-9][0-9][0-9]*",), what="spec.py")
    yield from unfinished_in(folder / "parts", ("*.zip",), what="spec.py")
    for shard in sorted(shards.glob("[!.]*-[0-9][0-9][0-9]*")) if shards.is_dir() else ():
        known = {"spectrograms.npy", "sound.npy", "embeddings.npy", "pictures.npy"}
        if shard.is_dir() and not (shard / "clips.parquet").is_file() and known & {one.name for one in shard.iterdir()}:
            yield Stale(shard, "a shard without a table of its clips", SHARD_NAMES)


def parts_of_store(folder: Path) -> Iterator[Stale]:
    """Yield the finished recordings of a store that is finished itself, in which nothing is to be done again."""
    keys = [key.read_text(errors="replace") for key in folder.glob("shards/[!.]*/key.txt")]
    is_done = (folder / "clips.parquet").is_file() and "to be done again" not in keys
    if is_done and (folder / "parts").is_dir():
        yield Stale(folder / "parts", "recordings of shards that are finished", ("*.zip",))


def unfinished_in_runs(snapshots: Path) -> Iterator[Stale]:
    """Yield what killed processes left unfinished in the folders of runs; snapshots themselves stay."""
    for run in sorted(snapshots.iterdir()) if snapshots.is_dir() else ():
        if run.is_dir() and not run.is_symlink() and (run / "settings.toml").is_file():
            for folder in (run, *sorted(run.glob("epoch_*")), run / "test"):
                yield from unfinished_in(folder, RUN_NAMES, what="a training or a test")


def unfinished_submissions(folder: Path) -> Iterator[Stale]:
    """Yield what submissions that were killed left unfinished."""
    yield from unfinished_in(folder, SUBMISSION_NAMES, what="a submission")


def parts_of_submissions(folder: Path) -> Iterator[Stale]:
    """Yield the finished recordings of submissions that were stopped."""
    for parts in sorted(folder.glob("*.parts")) if folder.is_dir() else ():
        if parts.is_dir() and not parts.is_symlink() and parts.stem.endswith(("_monophone", "_soundscape")):
            reason = "finished recordings of a submission that was stopped; the same command would use them"
            yield Stale(parts, reason, ("*/*.part",))


def locks_in(folder: Path) -> Iterator[Path]:
    """Yield the locks in a folder, and in the folders in it and in those; whether they are held is seen by trying."""
    for pattern in (".*.lock", "*/.*.lock", "*/test/.*.lock"):
        for lock in sorted(folder.glob(pattern)):
            if LOCK_FILES.fullmatch(lock.name) and lock.is_file() and not lock.is_symlink():
                yield lock
