"""The steps of review.py: what is reviewed, the page while somebody reviews, and what was found."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from config import Config
from utils import console
from utils.console import UserError, printable
from utils.files import write_text
from utils.local_page.opening import in_browser
from utils.models.snapshots import find_snapshot_at
from utils.review.call import ReviewFlags
from utils.review.csv_tables import csv_text
from utils.review.detections import Detections, read_detections
from utils.review.embedding_files import embeddings_of
from utils.review.embeddings import SoundEmbeddings
from utils.review.labels import check_labels, write_labels
from utils.review.second_reading import agreement_table, agreements, disagreement_table
from utils.review.server import ReviewServer
from utils.review.session import Review, ReviewRules
from utils.review.tables import score_table, species_table, write_precision_tables
from utils.review.verdicts import VerdictFile, Verdicts, check_reviewer, read_verdicts

SPECIES_ON_SCREEN = 30
AGREEMENT_FILES = ("agreement.csv", "disagreements.csv")


@contextmanager
def open_review(places: list[str], config: Config, flags: ReviewFlags) -> Iterator[Review]:
    """Read detections and all verdicts so far; yield the review, whose reviewer nobody else is meanwhile.

    Raises
    ------
    UserError
        If something is missing or does not fit.
    """
    _check_ranges(flags)
    source = table_of(places, config)
    detections = read_detections(source, flags.recordings or config.submission.recordings or source.parent)
    check_reviewer(flags.reviewer)
    folder = folder_of(source, flags)
    folder.mkdir(parents=True, exist_ok=True)
    with console.alone(folder, f"review of {flags.reviewer}"):
        check_labels(folder / "labels")
        file = VerdictFile(folder, flags.reviewer)
        try:
            rules = ReviewRules(flags.order, flags.target, second=flags.second)
            verdicts = read_verdicts(folder)
            _check_second(verdicts, flags)
            yield Review(detections, verdicts, file, rules, _embeddings_of_review(detections, folder, config, flags))
        finally:
            file.close()


def _embeddings_of_review(
    detections: Detections, folder: Path, config: Config, flags: ReviewFlags
) -> SoundEmbeddings | None:
    """Return the embeddings of the detections by `--snapshot`; None without it, or if nothing is to be shown."""
    if flags.snapshot is None or flags.summary:
        return None
    snapshot = find_snapshot_at(flags.snapshot.expanduser(), config.testing.snapshot)
    if snapshot is None:
        raise UserError(f"--snapshot {printable(flags.snapshot)}: neither a snapshot nor the folder of a run with one")
    return embeddings_of(detections, snapshot, config, folder)


def _check_second(verdicts: Verdicts, flags: ReviewFlags) -> None:
    others = {reviewer for given in verdicts.given.values() for reviewer in given} - {flags.reviewer}
    if flags.second and not others:
        raise UserError(
            f"--second {flags.second:g}: nobody but {flags.reviewer} has verified anything in this folder; "
            "name yourself with --reviewer"
        )


def _check_ranges(flags: ReviewFlags) -> None:
    for name, value in (("target", flags.target), ("precision", flags.precision)):
        if not 0 < value <= 1:
            raise UserError(f"--{name} {value:g}: should be more than 0 and at most 1")
    if not 0 <= flags.second <= 1:
        raise UserError(f"--second {flags.second:g}: should be from 0 to 1")
    if not 0 <= flags.port < 2**16:
        raise UserError(f"--port {flags.port}: should be 0 to 65535")


def table_of(places: list[str], config: Config) -> Path:
    """Return the table that is reviewed: the one that is named, or the run's submission for soundscapes."""
    if len(places) > 1:
        raise UserError(f"name one table of detections, not {len(places)}")
    named = Path(places[0]) if places else config.submission.folder / f"{config.run}_soundscape.csv"
    return named.expanduser()


def folder_of(source: Path, flags: ReviewFlags) -> Path:
    """Return the folder of the review."""
    return flags.out.expanduser() if flags.out else source.with_name(f"{source.stem}_review")


def review_in_browser(review: Review, config: Config, flags: ReviewFlags) -> None:
    """Serve the page until somebody presses Ctrl-C.

    Raises
    ------
    UserError
        If the port is taken.
    """
    try:
        server = ReviewServer(review, config, port=flags.port)
    except OSError as error:
        raise UserError(f"--port {flags.port}: cannot be used ({error.strerror}); 0 takes any that is free") from None
    console.info(f"review: {server.url} (open this address in a browser of this machine)")
    more = ", m more like this, c next of its cluster" if review.embeddings else ""
    console.info(f"keys: y yes, n no, o other species, u unsure, z undo, space sound{more}; Ctrl-C here ends it")
    try:
        with in_browser(server.url, wanted=flags.browser):
            server.serve_forever(poll_interval=0.2)
    except KeyboardInterrupt:
        console.info("stopped; every verdict is saved")
    finally:
        server.server_close()


@dataclass(frozen=True)
class Reviewed:
    """What a review found.

    Attributes
    ----------
    species : one row for each species
    labels : number of verified calls in the data set for sort_data.py
    detections : that were reviewed
    """

    species: pl.DataFrame
    labels: int
    detections: Detections

    @property
    def complete(self) -> bool:
        """Whether all recordings of the table are there."""
        return not self.detections.failures


def report_review(review: Review, flags: ReviewFlags) -> Reviewed:
    """Write what was found, print it, and what to do next."""
    folder = folder_of(review.detections.source, flags)
    with console.alone(folder, "summary of reviews"):
        review.use(read_verdicts(folder))  # others may have reviewed meanwhile
        estimates = review.estimates()
        species = species_table(review, estimates, precision=flags.precision)
        paths = write_precision_tables(folder, species=species, scores=score_table(review, estimates))
        labels = write_labels(folder / "labels", review.detections, review.verdicts)
        agreed = _write_agreement(folder, review.verdicts)
    verified = species.filter(pl.col("verified") > 0).sort("detections", descending=True)
    differ = review.verdicts.disagreements()
    headings = ["species", "verified", "precision", "correct", f"over {100 * flags.precision:g}% from"]
    rows = [_row_text(row) for row in verified.head(SPECIES_ON_SCREEN).iter_rows(named=True)]
    if rows:
        console.show_grid("Precision, with 95% intervals", headings, rows)
    _print_agreement(agreed)
    console.show_table(
        "Review",
        {
            "verdicts": f"{int(review.seen.sum()):,} of {len(review.detections):,} detections, in {printable(folder)}",
            **({"disagreements": f"{differ:,} between reviewers, not counted"} if differ else {}),
            **({"agreement": ", ".join(printable(folder / name) for name in AGREEMENT_FILES)} if len(agreed) else {}),
            "precision": ", ".join(map(printable, paths)),
            "labels": f"{labels:,} verified calls, in {printable(folder / 'labels')}",
        },
    )
    train = (
        f"train on the labels (dataset.archive = {printable(folder / 'labels')}, clips.choose = annotations, "
        "training.pretrained = the run that made the detections), or "
    )
    console.info(f"next: {train if labels else ''}continue with the same command")
    console.report_failures(review.detections.failures, what="recordings", done="could not be found")
    return Reviewed(species, labels, review.detections)


def _write_agreement(folder: Path, verdicts: Verdicts) -> pl.DataFrame:
    """Write how well reviewers agree, and on what they do not; without detections that two read, there is no file."""
    found = agreement_table(agreements(verdicts))
    for name, table in zip(AGREEMENT_FILES, (found, disagreement_table(verdicts)), strict=True):
        if len(found):
            write_text(folder / name, csv_text(table))
        else:
            (folder / name).unlink(missing_ok=True)
    return found


def _print_agreement(found: pl.DataFrame) -> None:
    def three(row: dict[str, object], name: str) -> str:
        if row[name] is None:
            return "not defined"
        return f"{row[name]:.2f} ({row[f'{name}_low']:.2f} to {row[f'{name}_high']:.2f})"

    rows = [
        [
            f"{row['reviewer_1']}, {row['reviewer_2']}",
            str(row["species"]) or "all",
            f"{row['detections']:,}",
            three(row, "agreement"),
            three(row, "kappa"),
        ]
        for row in found.head(SPECIES_ON_SCREEN).iter_rows(named=True)
    ]
    if rows:
        headings = ["reviewers", "species", "read by both", "agreement", "Cohen's kappa"]
        console.show_grid("Agreement of reviewers, with 95% intervals", headings, rows)


def _row_text(row: dict[str, object]) -> list[str]:
    def percent(name: str) -> str:
        return f"{100 * float(str(row[name])):.0f}%"

    precision = f"{percent('precision')} ({percent('precision_low')} to {percent('precision_high')})"
    correct = f"{row['correct']:.0f} ({row['correct_low']:.0f} to {row['correct_high']:.0f})"
    threshold = "no score" if row["threshold"] is None else f"{row['threshold']:.3f}"
    return [str(row["species"]), f"{row['verified']:,} of {row['detections']:,}", precision, correct, threshold]
