"""Where the plots of a table are, so that they can be found and removed without matplotlib."""

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from utils.console import UserError, printable

PLOT_NAMES = ("activity", "accumulation", "scores", "sites")  # of the files, without .png


def plots_folder(stem: Path) -> Path:
    """Return the folder of the plots of a table, by its path without the ending: `detections_plots` beside it.

    Raises
    ------
    UserError
        If something else has that name.
    """
    folder = stem.with_name(f"{stem.name}_plots")
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{printable(folder)}: is a file, and the plots belong there; move it away")
    return folder


def remove_plots(folder: Path, *, besides: Iterable[Path] = ()) -> None:
    """Remove the plots of an earlier call, and their folder if nothing else is in it."""
    kept = set(besides)
    for path in (folder / f"{name}.png" for name in PLOT_NAMES):
        if path not in kept:
            path.unlink(missing_ok=True)
    if folder.is_dir() and not folder.is_symlink() and not any(folder.iterdir()):
        with suppress(OSError):  # something came into it meanwhile
            folder.rmdir()
