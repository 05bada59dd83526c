"""Upload of a published folder to the Hugging Face Hub, in one commit; the token is where the hub's own tools keep it.

Files that the hub has already are not sent again, so that the same command resumes an upload that failed.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from utils import console
from utils.console import UserError
from utils.models.published import EXPORTS, TEST_FOLDER
from utils.publishing.folder import PublishedFile

# what earlier uploads may have left there: removed where the folder does not have it any more
UPLOADED_BEFORE = ("epoch_*/*", f"{TEST_FOLDER}/*", f"{EXPORTS}/*", "curves.png")
LOG_IN = "log in with `hf auth login`, with a token that may write"


def show_files(files: Sequence[PublishedFile], repository: str, *, public: bool) -> None:
    """List what is uploaded, with sizes."""
    rows = [[one.name, size_text(one.size)] for one in files]
    total = sum(one.size for one in files)
    who = "everybody may see it" if public else "private"
    console.show_grid(f"To {repository} on the Hugging Face Hub ({who})", ["file", "size"], rows)
    console.info(f"{len(files):,} files, {size_text(total)}")


def size_text(size: int) -> str:
    """Write a size for people: '812 B', '3.4 kB', '12.0 MB'."""
    for unit, factor in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if size >= factor:
            return f"{size / factor:,.1f} {unit}"
    return f"{size} B"


def upload(folder: Path, files: Sequence[PublishedFile], repository: str, *, public: bool) -> str:
    """Make a repository if there is none, and upload files to it; return its address.

    Parameters
    ----------
    public : whether everybody may see it

    Raises
    ------
    UserError
        If the hub refuses or cannot be reached, or the repository is public already and `public` does not say so.
    """
    with _one_line(repository):
        from huggingface_hub import HfApi

        api = HfApi()
        address = str(api.create_repo(repository, private=not public, exist_ok=True))
        is_private = bool(api.model_info(repository).private)
        if not is_private and not public:
            raise UserError(f"--upload {repository}: is there already and everybody may see it; add --public")
        api.upload_folder(
            repo_id=repository,
            folder_path=folder,
            allow_patterns=[one.name for one in files],
            delete_patterns=list(UPLOADED_BEFORE),
            commit_message="Model card, snapshot and exports by birdclef-jax",
        )
        if is_private and public:
            api.update_repo_settings(repository, private=False)
        return address


@contextmanager
def _one_line(repository: str) -> Iterator[None]:
    """Turn what the hub's library raises into one line."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:  # noqa: BLE001 — of HTTP, of the hub, of the system: no common parent
        first_line = next((line for line in str(error).splitlines() if line.strip()), "")
        status = getattr(getattr(error, "response", None), "status_code", None)
        advice = f"; {LOG_IN}" if status in (401, 403) or "Token" in type(error).__name__ else ""
        raise UserError(
            f"--upload {repository}: failed ({type(error).__name__}: {first_line.strip()}){advice}; the same command "
            "resumes it"
        ) from None
