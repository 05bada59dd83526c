"""The steps of card.py: find the model and what is known of it, write the folder, upload it, and report."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path

from config import Config
from utils import console
from utils.console import UserError, printable
from utils.files import check_plain, write_text
from utils.models.published import REPOSITORY_NAME, SETTINGS_FILE
from utils.models.snapshots import Snapshot, find_snapshot_at
from utils.portable_settings import SUMS, PortableSettings, portable
from utils.publishing.call import CardFlags
from utils.publishing.data_facts import DataFacts, data_facts
from utils.publishing.exports import Exported, check_formats, export_all
from utils.publishing.folder import (
    PublishedFile,
    checked_out,
    new_folder,
    published_files,
    restore_interrupted,
    with_new_card,
)
from utils.publishing.held_out_results import HeldOutResults, held_out_results
from utils.publishing.leaks import check_no_leaks, private_paths
from utils.publishing.model_card import CardFacts, GivenTexts, card_text, parameter_count
from utils.publishing.origins import check_may_be_published, licence_conflicts, origins_of
from utils.publishing.snapshot_files import (
    copy_curves,
    write_class_list,
    write_snapshot_files,
    write_test_files,
)
from utils.publishing.upload import show_files, size_text, upload
from utils.settings import to_toml

CARD = "README.md"
LICENCE = re.compile(r"[a-z0-9][a-z0-9.+-]{1,60}")
LONGEST_DESCRIPTION = 100_000  # bytes


@dataclass(frozen=True)
class CardTask:
    """What is published.

    Attributes
    ----------
    snapshot : the model; None: the folder `out` is published already, and is only uploaded
    run : the folder of its run
    config : the settings of the run
    given : what only the author knows
    """

    out: Path
    config: Config
    given: GivenTexts
    snapshot: Snapshot | None = None
    run: Path = Path()


@dataclass(frozen=True)
class PublishedModel:
    """What was published.

    Attributes
    ----------
    files : of the folder `out`
    missing : what is to be filled in, and the flag for it
    facts : what the card tells; None: the folder was there already
    address : of the repository; '': nothing was uploaded
    """

    out: Path
    files: Sequence[PublishedFile]
    missing: dict[str, str]
    facts: CardFacts | None = None
    address: str = ""


@contextmanager
def prepare_card(places: Sequence[str], config: Config, flags: CardFlags) -> Iterator[CardTask]:
    """Find the model and check all that the call asks for; nobody else writes the same folder meanwhile.

    Raises
    ------
    UserError
        If something is missing, or may not be published.
    """
    if len(places) > 1:
        raise UserError(f"one run or snapshot can be published at a time, not {len(places)}")
    _check_call(flags)
    place = Path(places[0]).expanduser() if places else config.run_folder
    if place.name:
        restore_interrupted(place)
    given = GivenTexts(
        flags.license.lower(), flags.author.strip(), _description_text(flags.description), flags.datasets, flags.upload
    )
    if (place / SUMS).is_file():
        task = _published_already(place, config, flags, given)
    else:
        task = _new_task(place, config, flags, given)
    with console.alone(task.out.parent, f"card.py for {task.out.name}"):
        if task.snapshot is not None:
            checked_out(task.out, flags)
        yield task


def _check_call(flags: CardFlags) -> None:
    if not find_spec("huggingface_hub"):
        raise UserError("card.py: needs huggingface_hub, which is not installed (pip install '.[hub]')")
    check_formats(flags.formats)
    for flag, names in (("--upload", [flags.upload] if flags.upload else []), ("--datasets", flags.datasets)):
        for name in names:
            if not re.fullmatch(REPOSITORY_NAME, name):
                raise UserError(f"{flag} {name}: should be OWNER/NAME, as on the Hugging Face Hub")
    if (flags.public or flags.dry_run) and not flags.upload:
        raise UserError("--public and --dry-run are of --upload OWNER/NAME, which is missing")
    if flags.license and not LICENCE.fullmatch(flags.license.lower()):
        raise UserError(f"--license {flags.license}: should be the hub's identifier, such as cc-by-4.0")


def _description_text(path: Path | None) -> str:
    if path is None:
        return ""
    try:
        check_plain(path)
        text = path.read_text(encoding="utf-8")
        if len(text) > LONGEST_DESCRIPTION:
            raise ValueError(f"is longer than {LONGEST_DESCRIPTION:,} characters")
    except (OSError, ValueError) as error:
        raise UserError(f"--description {path}: cannot be read ({error})") from None
    if not text.strip():
        raise UserError(f"--description {path}: is empty")
    return text


def _published_already(place: Path, config: Config, flags: CardFlags, given: GivenTexts) -> CardTask:
    of_card = (flags.out, flags.license, flags.author, flags.description, flags.datasets, flags.overwrite)
    if not flags.upload or any(of_card) or flags.formats != CardFlags().formats:
        raise UserError(
            f"{printable(place)}: is published already; to upload it as it is, add --upload OWNER/NAME and no flags "
            "of the card; to write it again, name its run"
        )
    return CardTask(place, config, given)


def _new_task(place: Path, config: Config, flags: CardFlags, given: GivenTexts) -> CardTask:
    snapshot = find_snapshot_at(place, config.testing.snapshot)
    if snapshot is None:
        raise UserError(f"{printable(place)}: neither a snapshot nor the folder of a run with one")
    check_may_be_published(snapshot.config)
    run = (place.parent if snapshot.folder == place else place).absolute()
    out = (flags.out.expanduser() if flags.out else run.with_name(f"{run.name}-published")).absolute()
    if out == run or out in run.parents:
        raise UserError(f"--out {printable(out)}: is the folder of the run, or holds it; choose another name")
    return CardTask(out, config, given, snapshot, run)


def write_card(task: CardTask, flags: CardFlags) -> PublishedModel:
    """Write the folder, whole or not at all; of one that is published already, only the sum of its card.

    Raises
    ------
    UserError
        If the files of the run are damaged, an export differs too much, or a file would tell a path of this machine.
    """
    if task.snapshot is None:
        with_new_card(task.out, CARD)
        return PublishedModel(task.out, published_files(task.out), {})
    snapshot, settings = task.snapshot, portable(task.config)
    of_snapshot = portable(snapshot.config)
    published = replace(snapshot, config=of_snapshot.config)
    data, results = data_facts(snapshot, task.config), held_out_results(task.run, snapshot)
    _warn_of_licences(task, data)
    private = private_paths(task.config, snapshot.config, task.out, task.run)
    with new_folder(task.out, lambda folder: check_no_leaks(folder, private)) as folder:
        write_snapshot_files(snapshot, of_snapshot.config, folder)
        write_text(folder / SETTINGS_FILE, to_toml(settings.config))
        write_class_list(data, folder)
        write_test_files(results, snapshot, published, task.config, settings.config, folder)
        exports = export_all(snapshot, published, task.config.dataset, flags.formats, folder)
        facts = _card_facts(task, published, of_snapshot, data, results, exports, curves=copy_curves(task.run, folder))
        write_text(folder / CARD, card_text(facts))
    return PublishedModel(task.out, published_files(task.out), _missing(facts), facts)


def _card_facts(
    task: CardTask,
    published: Snapshot,
    settings: PortableSettings,
    data: DataFacts,
    results: HeldOutResults | None,
    exports: Sequence[Exported],
    *,
    curves: bool,
) -> CardFacts:
    original = task.snapshot or published
    origins = origins_of(original.config)
    return CardFacts(
        published, settings.left_out, parameter_count(published), data, results, origins, exports, task.given, curves
    )


def _missing(facts: CardFacts) -> dict[str, str]:
    """Return what is to be filled in, and by what."""
    metrics = {} if facts.results else {"the metrics": "test.py, then card.py again"}
    counts = {} if facts.data.known else {"the recordings of each class": "--dataset.root FOLDER"}
    return {**facts.given.missing, **metrics, **counts}


def _warn_of_licences(task: CardTask, data: DataFacts) -> None:
    if task.snapshot:
        for line in licence_conflicts(task.given.licence, origins_of(task.snapshot.config), data.counts("licence")):
            console.warning(line)


def upload_card(published: PublishedModel, flags: CardFlags) -> PublishedModel:
    """List and upload the files, if the call asks for it.

    Raises
    ------
    UserError
        If the upload fails.
    """
    if not flags.upload:
        return published
    show_files(published.files, flags.upload, public=flags.public)
    if flags.dry_run:
        console.info("nothing was uploaded (--dry-run)")
        return published
    address = upload(published.out, published.files, flags.upload, public=flags.public)
    return replace(published, address=address)


def report_card(published: PublishedModel, flags: CardFlags, *, seconds: float) -> PublishedModel:
    """Print a summary, what is to be filled in, and what to do next."""
    facts, out = published.facts, printable(published.out)
    rows: dict[str, str] = {}
    if facts:
        rows |= {
            "snapshot": printable(facts.snapshot.folder),
            "classes": f"{len(facts.data.classes):,}",
            "recordings": f"{len(facts.data.learned):,} learned, {len(facts.data.held_out):,} held out",
        }
        rows |= {one.file: f"scores differ by {one.difference:.2g} at most, on {one.clips}" for one in facts.exports}
    size = size_text(sum(one.size for one in published.files))
    where = (
        {"repository": f"{published.address} ({'public' if flags.public else 'private'})"} if published.address else {}
    )
    folder = {"folder": f"{out}: {len(published.files):,} files, {size}"}
    console.show_table("Published", rows | folder | where | {"time": console.clock(seconds)})
    for what, flag in published.missing.items():
        console.warning(f"to be filled in: {what} ({flag})")
    if not published.address:
        console.info(f"next: read {out}/{CARD}, then: card.py {out} --upload OWNER/NAME")
    return published
