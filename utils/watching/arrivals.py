"""Which recordings of a folder are new and complete.

The folder is looked at every few seconds. Events of the file system would come sooner, but network mounts give none for
what other machines write, and cards and queues that overflow lose some; a look finds whatever is there.
"""

import os
import stat
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from utils import console
from utils.recordings.audio_files import has_text_name, is_sound

# folders of systems and of programs that copy files; hidden ones are left alone, too
NO_FOLDERS = frozenset({"@eaDir", "#recycle", "$RECYCLE.BIN", "System Volume Information", "lost+found"})
CONFLICT = ".sync-conflict-"  # in the names of Syncthing's second versions of a file
MOST_NAMED = 1000  # problems that are told, each once; of more, only that there are more


class FileStamp(NamedTuple):
    """What changes when a file is written: its size in bytes, and its time of change in nanoseconds."""

    size: int
    mtime_ns: int


class KnownRecording(NamedTuple):
    """What is known of a recording: whether it is done (else it failed), and its stamp at that time."""

    done: bool
    stamp: FileStamp


Known = Callable[[str], Mapping[str, KnownRecording]]  # from a folder, below the watched one, to its recordings by name


@dataclass
class _Seen:
    """A file that is not predicted yet: its stamp, since when it has that one, and before when it is left alone."""

    stamp: FileStamp
    since: float
    not_before: float = 0.0


class Arrivals:
    """The recordings of a folder that are not predicted yet.

    Parameters
    ----------
    folder : the watched one; no link in it is followed
    known : what is done or failed
    without : a folder that is left alone, where results are written
    settle : seconds in which a file must not change

    Attributes
    ----------
    is_there : whether the folder was there at the last look
    changed : recordings that had another size at the last look than when they were predicted
    """

    def __init__(self, folder: Path, known: Known, *, without: Path, settle: float) -> None:
        self._folder, self._known, self._without, self._settle = folder, known, without, settle
        self._seen: dict[str, _Seen] = {}
        self._told, self._standing, self._told_of_more = set[str](), set[str](), False
        self.is_there, self.changed = True, 0

    def __len__(self) -> int:
        """Return how many are not predicted yet."""
        return len(self._seen)

    def look(self, now: float) -> None:
        """Look at all that is in the folder; `now` is a time of the monotonic clock, seconds."""
        if not self._find_folder():
            return
        found = dict[str, _Seen]()
        self._standing, self.changed = set(), 0
        for below, entries in self._folders():
            known = self._known(below)
            for entry in entries:
                path = f"{below}/{entry.name}" if below else entry.name
                if self._is_recording(entry, path) and (stamp := _stamp_of(entry)):
                    self._take(path, stamp, known.get(entry.name), found, now)
        self._seen, self._told = found, self._standing

    def _find_folder(self) -> bool:
        is_there = self._folder.is_dir()
        if is_there != self.is_there:
            text = "is there again" if is_there else "is not there, or cannot be opened; it is looked for again"
            (console.info if is_there else console.warning)(f"{console.printable(self._folder)}: {text}")
        self.is_there = is_there
        return is_there

    def _take(
        self, path: str, stamp: FileStamp, known: KnownRecording | None, found: dict[str, _Seen], now: float
    ) -> None:
        if known and known.done:
            if known.stamp.size != stamp.size:
                self.changed += 1
                self._warn_once(
                    f"{path}: has another size than when it was predicted, and is not predicted again; if it is "
                    "another recording, it needs another name"
                )
        elif known is None or known.stamp != stamp:
            before = self._seen.get(path)
            found[path] = before if before and before.stamp == stamp else _Seen(stamp, now)

    def ready(self, now: float) -> Iterator[tuple[str, FileStamp]]:
        """Yield the recordings that have not changed for long enough, the oldest first, with their stamps."""
        settled = [
            (one.stamp.mtime_ns, path)
            for path, one in self._seen.items()
            if now - one.since >= self._settle and now >= one.not_before
        ]
        for _, path in sorted(settled):
            yield path, self._seen[path].stamp

    def unchanged_for(self, path: str, now: float) -> float:
        """Return for how many seconds a recording is known not to have changed."""
        return now - self._seen[path].since

    def postpone(self, path: str, until: float) -> None:
        """Leave a recording alone until a time, unless it changes."""
        self._seen[path].not_before = until

    def drop(self, path: str) -> None:
        """Forget a recording that is predicted, or has vanished."""
        self._seen.pop(path, None)

    def stamp_now(self, path: str) -> FileStamp | None:
        """Return the stamp of a recording as it is now; None if it has vanished."""
        try:
            found = (self._folder / path).lstat()
        except OSError:
            return None
        return FileStamp(found.st_size, found.st_mtime_ns) if stat.S_ISREG(found.st_mode) else None

    def _folders(self) -> Iterator[tuple[str, list[os.DirEntry[str]]]]:
        """Yield each folder, by its path below the watched one, with its entries; hidden ones are left out."""
        ahead = [""]
        while ahead:
            below = ahead.pop()
            try:
                with os.scandir(self._folder / below) as listed:
                    entries = [entry for entry in listed if not is_left_alone(entry.name)]
            except FileNotFoundError:
                continue
            except OSError as error:
                self._warn_once(f"{below or self._folder}: cannot be opened ({error.strerror})")
                continue
            yield below, entries
            for entry in entries:
                path = f"{below}/{entry.name}" if below else entry.name
                if not entry.is_dir(follow_symlinks=False) or self._folder / path == self._without:
                    continue
                if has_text_name(Path(path)):
                    ahead.append(path)
                else:
                    self._warn_once(f"{path}: has a name that is not text; no recording in it is predicted")

    def _is_recording(self, entry: os.DirEntry[str], path: str) -> bool:
        if entry.is_symlink():
            if is_sound(Path(entry.name)) or entry.is_dir():
                self._warn_once(f"{path}: is a link, and not followed; write the recordings into the folder itself")
            return False
        if not is_sound(Path(entry.name)) or not entry.is_file(follow_symlinks=False):
            return False
        if not has_text_name(Path(path)):
            self._warn_once(f"{path}: has a name that is not text, and cannot be predicted")
            return False
        return True

    def _warn_once(self, text: str) -> None:
        """Tell of a problem that the last look did not find, unless too many are told already."""
        if text not in self._told and len(self._told) >= MOST_NAMED:
            if not self._told_of_more:
                console.warning(
                    f"more than {MOST_NAMED:,} files or folders have such problems; the others are not named"
                )
            self._told_of_more = True
            return
        if text not in self._told:
            console.warning(text)
            self._told.add(text)
        self._standing.add(text)


def is_left_alone(name: str) -> bool:
    """Tell whether a file or folder is hidden, temporary, or of a system."""
    return name.startswith((".", "~")) or name.endswith("~") or name in NO_FOLDERS or CONFLICT in name


def _stamp_of(entry: os.DirEntry[str]) -> FileStamp | None:
    try:
        found = entry.stat(follow_symlinks=False)
    except OSError:  # it has vanished
        return None
    return FileStamp(found.st_size, found.st_mtime_ns)
