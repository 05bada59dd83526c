"""Finding and removing what nothing needs: under the locks of the stages, so that nothing in use is touched."""

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

from config import Config, is_address
from utils import console
from utils.cleaning.open_files import is_open_below
from utils.cleaning.stale import (
    Stale,
    locks_in,
    parts_of_store,
    parts_of_submissions,
    unfinished_in_root,
    unfinished_in_runs,
    unfinished_in_store,
    unfinished_submissions,
)
from utils.cleaning.unused import (
    abandoned_in_temporary_folder,
    settings_of_users,
    turn_folders,
    unused_copies,
    unused_predictions,
    unused_store,
    unused_stores,
)
from utils.external.settings import with_external_model
from utils.files import try_lock

DAY = 24 * 3600.0  # seconds


def clean(config: Config, *, remove: bool, words: str, stopped: bool = False) -> list[Stale]:
    """List what nothing needs any more, and remove it if asked.

    Nothing is listed of folders in which a stage runs. While their locks are held here, no stage can start that ran
    there before; one that never did, such as a new run, has no lock yet, and could.

    Parameters
    ----------
    words : the command line, for the next command
    stopped : whether what stopped submissions have predicted counts, too

    Returns
    -------
    What was found.

    Raises
    ------
    UserError
        If there is no data set at `dataset.root`.
    """
    if not (config.dataset.root / "split.parquet").is_file():
        raise console.UserError(
            f"{console.printable(config.dataset.root)}: is no data set (it has no split.parquet); set dataset.root, or "
            "name the experiment"
        )
    config = with_external_model(config)
    with ExitStack() as stack:
        found = [one for one in _not_needed(config, stack, stopped=stopped) if one.can_be_removed()]
        sizes = [one.size() for one in found]
        rows = _rows_of_table(found, sizes)
        if remove:
            for one in found:
                one.remove()
    if not found:
        console.info(f"nothing to remove for {console.printable(config.dataset.root)}")
        return found
    console.show_table("Size, age, and why it is not needed any more", rows)
    items = f"{len(found)} item{'' if len(found) == 1 else 's'}, {_in_megabytes(sum(sizes))}"
    again = any(one.path == config.dataset.store_at for one in found)
    after = "python spec.py, with the same experiment" if again else "the stages, as before"
    console.show_table(
        "Removed" if remove else "Nothing was removed",
        {"total": items, "next": after if remove else f"{words} --remove"},
    )
    return found


def _rows_of_table(found: Sequence[Stale], sizes: Sequence[int]) -> dict[str, str]:
    now = time.time()
    ages = [_age(now - one.changed()) for one in found]
    return {
        f"{index:3}  {_in_megabytes(size):>8}  {age:>8}": f"{console.printable(one.path)}, {one.reason}"
        for index, (one, size, age) in enumerate(zip(found, sizes, ages, strict=True), 1)
    }


def _not_needed(config: Config, stack: ExitStack, *, stopped: bool) -> Iterator[Stale]:
    """Yield what nothing needs, from the folders in which no stage runs; their locks are held until `stack` ends."""
    root, snapshots, submissions = config.dataset.root, config.snapshots, config.submission.folder
    everyone = settings_of_users(config) or []
    users = [user for user in everyone if user.dataset.root.resolve() == root.resolve()]
    store = None if is_address(config.dataset.store_at) else Path(config.dataset.store_at)
    held: set[Path] = set()
    if store and (store.is_symlink() or is_open_below(store)):
        why = "is a link" if store.is_symlink() else "is read by a process"
        console.warning(f"{console.printable(store)}: {why}, so nothing of it is looked at")
        store = None
    root_is_quiet = _hold_locks(root, stack, held) and (store is None or _hold_locks(store, stack, held))
    runs_are_quiet = _hold_locks(snapshots, stack, held)
    if root_is_quiet and runs_are_quiet:  # trainings read the store
        yield from unfinished_in_root(root)
        if store:
            yield from unfinished_in_store(store)
            other = list(unused_store(config, users)) if users else []
            yield from other or parts_of_store(store)
            if users and not other:
                yield from unused_stores(config, users)
                yield from unused_predictions(config, users)
        yield from (one for one in unused_copies(config, everyone) if _hold_locks(one.path, stack, held))
    if runs_are_quiet:
        yield from unfinished_in_runs(snapshots)
    if _hold_locks(submissions, stack, held):
        yield from unfinished_submissions(submissions)
        yield from parts_of_submissions(submissions) if stopped else ()
    yield from abandoned_in_temporary_folder()
    yield from (one for one in turn_folders() if _hold_locks(one.path, stack, held))


def _hold_locks(folder: Path, stack: ExitStack, held: set[Path]) -> bool:
    """Take all locks in a folder, and in those of runs in it; if a process holds one, say so and return False.

    Parameters
    ----------
    held : the locks that are held here, to which these are added
    """
    stages = {"sort_data", "spec"} if (folder / "split.parquet").is_file() else set()
    locks = {folder / f".{stage}.lock" for stage in stages} | set(locks_in(folder))
    for lock in sorted(locks):
        if lock.resolve() in held:
            continue
        stage = lock.name.removeprefix(".").removesuffix(".lock")
        if not stack.enter_context(try_lock(lock.parent, stage)):
            console.warning(f"{console.printable(folder)}: {stage} is running here, so nothing of it is looked at")
            return False
        held.add(lock.resolve())
    return True


def _in_megabytes(count: int) -> str:
    return f"{count / 1e9:,.1f} GB" if count >= 1e9 else f"{count / 1e6:,.1f} MB" if count >= 1e5 else f"{count:,} B"


def _age(seconds: float) -> str:
    days = int(max(seconds, 0.0) // DAY)
    return "today" if days == 0 else "1 day" if days == 1 else f"{days} days"
