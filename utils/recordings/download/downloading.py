"""The steps of a download: search, choose, fetch what is missing, write who may use it how."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from utils.console import Failure, UserError, alone, progress
from utils.files import write_text
from utils.recordings.download.candidates import Candidate, Candidates, Wanted
from utils.recordings.download.client import Client, RequestError
from utils.recordings.download.licences import write_licences
from utils.recordings.download.pages import Pages
from utils.recordings.download.search import check_query, search, species_in
from utils.recordings.download.sounds import download_sound, keep_record, remove_unfinished
from utils.recordings.recording import Recording
from utils.sound.opening import AudioError

PAGES = ".pages"  # hidden, because most of its recordings have no sound here
LOG = "download.log"
MAX_IN_A_ROW = 10  # failed downloads, after which the server is left alone


@dataclass(frozen=True)
class Downloaded:
    """The result of a download.

    Attributes
    ----------
    candidates : what was found and chosen
    pages : how many pages of results were asked for
    fetched, present : how many sounds were downloaded, and how many were there before
    failures : recordings and species that are left out
    recordings : all that are in the folder, also from earlier calls
    """

    candidates: Candidates
    pages: Pages
    fetched: int
    present: int
    failures: list[Failure]
    recordings: list[Recording]


def download(
    out: Path,
    client: Client,
    wanted: Wanted,
    *,
    species: Sequence[str] = (),
    query: str = "",
    refresh: bool = False,
    dry_run: bool = False,
) -> Downloaded:
    """Download recordings with their metadata.

    Parameters
    ----------
    out : folder for sounds/, licences.csv and download.log
    species : scientific names, or files with one in each line
    query : tags of xeno-canto's search; with species, for each of them
    refresh : ask again for pages of results that are cached from earlier calls
    dry_run : ask for the pages only

    Raises
    ------
    UserError
        If nothing is found, or the server cannot or must not be asked.
    """
    check_query(query)
    names = species_in(species)
    if not names and not query:
        raise UserError("what to download? --query 'gen:turdus sp:merula', or --species 'Turdus merula'")
    with alone(out, "download"):
        candidates = Candidates(out, client.server, wanted)
        pages = Pages(out / PAGES, client, refresh=refresh)
        search(names, query, pages, candidates)
        if dry_run:
            return Downloaded(candidates, pages, 0, 0, candidates.failures, [])
        remove_unfinished(out)
        chosen = candidates.chosen()
        missing = [candidate for candidate in chosen if not candidate.recording.file.is_file()]
        try:
            failures = candidates.failures + _fetch(chosen, client, out)
        finally:
            remove_unfinished(out)
            recordings = write_licences(out)
        write_text(out / LOG, "".join(f"{failure.name}: {failure.reason}\n" for failure in failures))
    fetched = sum(candidate.recording.file.is_file() for candidate in missing)
    return Downloaded(candidates, pages, fetched, len(chosen) - len(missing), failures, recordings)


def _fetch(chosen: Sequence[Candidate], client: Client, out: Path) -> list[Failure]:
    """Download the sounds that are missing; return those that cannot be had.

    Raises
    ------
    UserError
        If there is no network, or many fail in a row.
    """
    failures: list[Failure] = []
    in_a_row = 0
    with progress("Downloading", total=len(chosen), unit="recordings") as advance:
        for candidate in chosen:
            name = candidate.recording.name
            try:
                if not candidate.recording.file.is_file():
                    download_sound(candidate, client, out)
                    in_a_row = 0
                keep_record(candidate)
            except RequestError as error:
                failures.append(Failure(name, error.reason, transient=error.transient))
                in_a_row += 1
                _stop_if_hopeless(error, in_a_row, client)
            except AudioError as error:
                failures.append(Failure(name, str(error)))
            advance(note=candidate.recording.species)
    return failures


def _stop_if_hopeless(error: RequestError, in_a_row: int, client: Client) -> None:
    host = client.server.host
    if error.unreachable:
        raise UserError(f"{host} {error.reason}; what is downloaded stays, and the same command resumes") from None
    if in_a_row >= MAX_IN_A_ROW:
        raise UserError(
            f"{host}: {in_a_row} downloads in a row failed, the last one because {error.reason}; "
            "what is downloaded stays, and the same command resumes later"
        ) from None
