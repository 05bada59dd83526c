r"""What verdicts teach: a reviewer who knows the truth verifies detections, and a second model learns from them.

    python predict.py /data/pool --snapshot snapshots/first --threshold 0.1 --out detections.csv
    python benchmarks/relearning.py --detections detections.csv --recordings /data/pool --run snapshots/first \
        --held-out /data/soundscapes --verdicts 300 --orders none random diverse --train

Orders: `diverse` is what review.py --snapshot --order uncertain shows: uncertain, and unlike each other by the first
model's embeddings; `uncertain` is the same without embeddings, `precision` the usual order.

The recordings of the table and those of --held-out have annotations beside them, in any form that sort_data.py reads.
For each order, the reviewer gives so many verdicts on the page's detections in that order: yes if an annotated call of
the species overlaps the detection, else the species that does call, else no. They become labels as those of review.py,
to which the clips are added that the first model learned (--no-first leaves them out). The second model starts from the
first. In the order `none` it learns these clips alone: what it gains comes from further training, not from labels.

Without --train the commands are printed; with it they are run, and resume where they were stopped (other verdicts need
another --out). Then all models predict the held-out soundscapes, and the tables compare each with the first model, and
with the first of the orders, by paired 95% intervals over recordings. The last line is the ratio of the class-mean
average precision of the last order to that of the first one. --quick: ten verdicts, one epoch.
"""

import shlex
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
import polars as pl
import tyro
from file_to_predictions import show_machine

from config import Columns, Config, Dataset, Distillation
from utils import console
from utils.console import UserError
from utils.files import write_json, write_text
from utils.models.snapshots import find_snapshot_at
from utils.recordings.audio_files import sounds_below
from utils.recordings.recording import NOISE, Event, event_overlaps
from utils.recordings.spans import labelled_intervals
from utils.recordings.splits import read_split
from utils.review.detections import DETECTION_COLUMNS, Detections, read_detections
from utils.review.embedding_files import embeddings_of
from utils.review.embeddings import SoundEmbeddings
from utils.review.labels import ANNOTATIONS, HEADER, write_labels
from utils.review.session import Review, ReviewRules
from utils.review.verdicts import VERDICT_KINDS, VerdictFile, VerdictKind, Verdicts
from utils.scoring.comparison import Comparison, compare_scores
from utils.scoring.evaluation.recordings import evaluate_predictions
from utils.scoring.evaluation.saved_scores import SavedScores
from utils.scoring.evaluation.soundscape_truth import Truth, read_truth
from utils.scoring.inference.recordings import Predictions
from utils.scoring.inference.unit_rows import ROWS, interval_rows
from utils.scoring.metrics.registry import METRICS
from utils.scoring.prediction_call import settings_of
from utils.scoring.score_tables import predicted_scores
from utils.settings import load, to_toml
from utils.spectra.store import Store

Order = Literal["none", "random", "uncertain", "diverse", "precision"]
FIRST = "first"
ROOT = Path(__file__).parents[1]
RESULTS = Path(__file__).with_name("results")
REVIEWER = "knowing"
SLOWER = 0.1  # learning rate of the second model, as a share of the first one's


@dataclass(frozen=True)
class Options:
    """What is verified and learned."""

    detections: Path  # table of predict.py or submission_soundscape.py, made by the run
    recordings: Path  # folder of its recordings with their annotations
    run: Path  # folder of the first model's run, or one of its snapshots
    held_out: Path | None = None  # folder of other annotated soundscapes, on which models are compared
    out: Path = Path("relearning")  # folder for everything
    verdicts: int = 300  # in each order
    orders: tuple[Order, ...] = ("none", "random", "diverse")
    first: bool = True  # learn the clips that the first model learned, too
    train: bool = False  # run the commands
    epochs: int = 10  # of the second models
    learning_rate: float = 0.0  # of the second models in their first epoch; 0: a tenth of the first model's
    seed: int = 1  # of the random order and of the training
    interval: float = 5.0  # of the comparison, seconds
    quick: bool = False  # ten verdicts, one epoch


def first_settings(options: Options) -> Config:
    """Return the settings of the first model's run.

    Raises
    ------
    UserError
        If there is no such run.
    """
    if find_snapshot_at(options.run, "best") is None:
        raise UserError(f"--run {options.run}: neither a snapshot nor the folder of a run with one")
    found = settings_of([options.run])
    return load(found) if found else Config()


def truth_of(folder: Path, config: Config) -> Truth:
    """Return the annotations of a folder of recordings, with species named as the first model's data set does.

    Raises
    ------
    UserError
        If there are none.
    """
    truth = read_truth(folder, replace(config.dataset, archive=None, columns=Columns()))
    if truth is None or not truth.events:
        raise UserError(f"{folder}: has no recordings with annotations")
    return truth


class Reviewer:
    """Gives verdicts by the truth."""

    def __init__(self, truth: Truth) -> None:
        self._truth = truth

    def verdict(self, recording: str, start: float, end: float, species: str) -> tuple[VerdictKind, str]:
        """Return the verdict on a detection, and the name of another species."""
        labelled = labelled_intervals(self._truth.labelled.get(recording), np.array([start]), np.array([end]))
        if not labelled.all() or (self._truth.species is not None and species not in self._truth.species):
            return "unsure", ""
        calling = [
            event.species
            for event in self._truth.events[recording]
            if event_overlaps((event.start, event.end), start, end) and event.species != NOISE
        ]
        if species in calling:
            return "yes", ""
        return ("other", calling[0]) if calling else ("no", "")


def verified_detections(options: Options, truth: Truth) -> Detections:
    """Return the detections in annotated recordings."""
    detections = read_detections(options.detections, options.recordings)
    table = detections.table.filter(pl.col("recording").is_in(list(truth.events)))
    if not len(table):
        raise UserError(f"{options.detections}: names no annotated recording of {options.recordings}")
    return replace(detections, table=table, species=tuple(sorted(table["species"].unique())))


def give_verdicts(
    detections: Detections, reviewer: Reviewer, order: Order, options: Options, embeddings: SoundEmbeddings | None
) -> Verdicts:
    """Let the reviewer verify detections in an order; the verdicts are in the folder of that order."""
    folder = options.out / order
    (folder / f"{REVIEWER}.jsonl").unlink(missing_ok=True)  # of an earlier call
    file = VerdictFile(folder, REVIEWER)
    rules = ReviewRules("uncertain" if order in ("uncertain", "diverse") else "precision", seed=options.seed)
    review = Review(detections, Verdicts(), file, rules, embeddings if order == "diverse" else None)
    drawn = iter(np.random.default_rng(options.seed).permutation(len(detections)).tolist())
    for _ in range(0 if order == "none" else min(options.verdicts, len(detections))):
        index = next(drawn) if order == "random" else review.next()
        assert index is not None  # noqa: S101 — there are no more verdicts than detections
        review.add_verdict(index, *reviewer.verdict(*detections.key(index)))
    file.close()
    return review.verdicts


LabelRow = tuple[str, float, float, str, str, str]


def first_clips(config: Config) -> Iterator[tuple[Path, LabelRow]]:
    """Yield the recording and the row of each clip that the first model could learn.

    Raises
    ------
    UserError
        If its data set is gone.
    """
    dataset = config.dataset
    split = read_split(dataset).filter(split="train").select("recording", "file")
    clips = Store(dataset.root, at=dataset.store).clips.filter(pl.col("accepted") & (pl.col("class") != NOISE))
    joined = clips.join(split, on="recording").select("file", "start", "length", "class")
    for file, start, length, label in joined.iter_rows():
        yield dataset.root / file, (f"{FIRST}/{file}", start, start + length, label, "yes", "yes")


def write_archive(folder: Path, detections: Detections, verdicts: Verdicts, config: Config, *, first: bool) -> int:
    """Write the labels, and beside them an archive for sort_data.py of these and of the first model's clips.

    Returns
    -------
    The number of verified calls.
    """
    labels = write_labels(folder / "labels", detections, verdicts)
    table = pl.read_csv(folder / "labels" / ANNOTATIONS, schema_overrides=HEADER)
    links = {f"pool/{name}": detections.recordings / name for name in table["file"].unique()}
    rows: list[LabelRow] = [(f"pool/{name}", *rest) for name, *rest in table.iter_rows()]
    for file, row in first_clips(config) if first else ():
        links[row[0]] = file
        rows.append(row)
    for name, file in links.items():
        link = folder / "archive" / name
        link.parent.mkdir(parents=True, exist_ok=True)
        link.unlink(missing_ok=True)
        link.symlink_to(file.resolve())
    write_text(folder / "archive" / ANNOTATIONS, pl.DataFrame(rows, schema=HEADER, orient="row").write_csv())
    return labels


def second_settings(config: Config, order: Order, options: Options) -> Config:
    """Return the settings of the second model: those of the first, but for its data, where it starts, and how long."""
    home, training = options.out.resolve() / order, config.training
    dataset = Dataset(
        root=home / "sorted", archive=home / "archive", kind="annotations", sort_mode="symlink", val_share=0.0
    )
    return replace(
        config,
        run=order,
        snapshots=options.out.resolve() / "snapshots",
        dataset=dataset,
        clips=replace(config.clips, choose="annotations", table=None),
        distillation=Distillation(),
        training=replace(
            training,
            pretrained=options.run.resolve(),
            epochs=options.epochs,
            learning_rate=options.learning_rate or SLOWER * training.learning_rate,
            learning_rate_end=min(training.learning_rate_end, SLOWER * training.learning_rate),
            packed=None,
            images=None,
            seed=options.seed,
        ),
    )


def commands_of(experiment: Path) -> list[list[str]]:
    """Return the commands that train the second model."""
    return [[sys.executable, str(ROOT / script), str(experiment)] for script in ("sort_data.py", "spec.py", "train.py")]


def run_commands(commands: Sequence[Sequence[str]]) -> None:
    """Run commands one after the other; status 3 means that something was left out, and the rest is done.

    Raises
    ------
    UserError
        If one fails.
    """
    for command in commands:
        status = subprocess.run(command, check=False).returncode  # noqa: S603
        if status not in (0, console.INCOMPLETE):
            raise UserError(f"{' '.join(command)}: ended with status {status}")


def scores_of_run(run: Path, options: Options, truth: Truth) -> SavedScores:
    """Return what a model makes of the held-out soundscapes, interval by interval, with what is true."""
    assert options.held_out  # noqa: S101
    table = predicted_scores([str(options.held_out)], [run], interval=options.interval)
    table = table.filter(pl.col("recording").is_in(list(truth.events)))
    classes = tuple(table.columns[3:])
    rows, kept = [], []
    for (name,), part in table.group_by(["recording"], maintain_order=True):
        starts, ends = (part[column].to_numpy() for column in ("start", "end"))
        known = labelled_intervals(truth.labelled.get(str(name)), starts, ends)
        inside: Sequence[Event] = [event for event in truth.events[str(name)] if event.start < ends[-1]]
        rows += interval_rows(inside, starts, ends, known, recording=str(name), file=str(name))
        kept.append(part.filter(pl.Series(known)))
    scored = pl.concat(kept)
    scores = scored.select(classes).to_numpy().astype(np.float32)
    ones, reasons = np.ones(len(rows), np.int64), list[str | None]([None] * len(rows))
    predictions = Predictions(pl.DataFrame(rows, schema=ROWS), classes, scores, ones, reasons, unit="interval")
    found = evaluate_predictions(scores, predictions, background=True)
    labels = [sorted({event["species"] for event in row["events"]} - set(classes)) for row in rows]
    return SavedScores(
        "interval",
        [f"{name}, {start} to {end} s" for name, start, end in scored.select(DETECTION_COLUMNS[:3]).iter_rows()],
        scored["recording"].to_list(),
        [""] * len(rows),
        list(classes),
        scores.astype(np.float64),
        found.truth,
        min_positives=1,
        without_detections="no thresholds were chosen for them",
        unknown=labels,
    )


def compare(runs: dict[str, Path], options: Options, config: Config) -> dict[str, Comparison]:
    """Compare all models with the first, and the second models with the first of these; print and write both."""
    assert options.held_out  # noqa: S101
    truth = truth_of(options.held_out, config)
    saved = {name: scores_of_run(run, options, truth) for name, run in runs.items()}
    found = {FIRST: compare_scores(list(saved.values()), list(saved), page=options.out / "compare.html")}
    second = {name: one for name, one in saved.items() if name != FIRST}
    if len(second) > 1:
        page = options.out / "compare_orders.html"
        found["orders"] = compare_scores(list(second.values()), list(second), page=page)
    return found


def check_apart(options: Options) -> None:
    """Refuse to verify what is held out.

    Raises
    ------
    UserError
        That names a recording of both folders.
    """
    folders = [options.recordings, *([options.held_out] if options.held_out else [])]
    pool, *held_out = ({file.resolve() for file in sounds_below(folder)} for folder in folders)
    if both := sorted(pool & set().union(*held_out)):
        raise UserError(f"{both[0]}: is in --recordings and in --held-out; what is verified cannot be held out")


def prepare(order: Order, detections: Detections, truth: Truth, config: Config, options: Options) -> list[list[str]]:
    """Verify in an order, write labels, archive and experiment, and return the commands of the second model."""
    snapshot = find_snapshot_at(options.run, "best")
    embeddings = embeddings_of(detections, snapshot, config, options.out) if snapshot and order == "diverse" else None
    verdicts = give_verdicts(detections, Reviewer(truth), order, options, embeddings)
    folder = options.out / order
    labels = write_archive(folder, detections, verdicts, config, first=options.first)
    write_text(folder / "relearn.toml", to_toml(second_settings(config, order, options)))
    given = [verdict.kind for by in verdicts.given.values() for verdict in by.values()]
    counts = ", ".join(f"{given.count(kind):,} {kind}" for kind in VERDICT_KINDS)
    console.info(f"{order}: {len(given):,} verdicts ({counts}); {labels:,} verified calls, in {folder / 'archive'}")
    return commands_of(folder / "relearn.toml")


def relearn(options: Options) -> None:
    """Verify, write the labels, print the commands or run them, and compare."""
    check_apart(options)
    versions = show_machine("numpy", "polars")
    config = first_settings(options)
    truth = truth_of(options.recordings, config)
    detections = verified_detections(options, truth)
    for order in options.orders:
        commands = prepare(order, detections, truth, config, options)
        for command in commands:
            console.info(shlex.join(command))
        if options.train:
            run_commands(commands)
    runs: dict[str, Path] = {order: options.out / "snapshots" / order for order in options.orders}
    trained = {order: run for order, run in runs.items() if find_snapshot_at(run, "best")}
    if not options.held_out or not trained:
        console.info("next: run the commands (or --train), then this script with --held-out")
        return
    found = compare({FIRST: options.run, **trained}, options, config)
    metrics = {
        name: {title: [asdict(value) for value in values] for title, values in one.metrics.items()}
        for name, one in found.items()
    }
    given = {name: str(value) for name, value in asdict(options).items()}
    write_json(RESULTS / "relearning-cpu.json", {"options": given, "metrics": metrics, "versions": versions})
    print(f"ratio {ratio_of(found):.2f}")


def ratio_of(found: dict[str, Comparison]) -> float:
    """Return the class-mean average precision of the last model, as a share of that of the first one compared."""
    compared = found.get("orders", found[FIRST]).metrics[METRICS["cmap"].title]
    first, last = compared[0].value, compared[-1].value
    return last / first if first and last is not None else float("nan")


def main() -> None:
    """Run the command line."""
    options = tyro.cli(Options, description=__doc__)
    if options.quick:
        options = replace(options, verdicts=10, epochs=1)
    try:
        relearn(options)
    except UserError as error:
        sys.exit(f"relearning.py: {error}")


if __name__ == "__main__":
    main()
