"""What distillation gained: teachers, their ensemble, the student, and the same network without teachers, in a table.

The table is saved as `<run>/test/distillation.json`. The report shows it as long as the settings of `testing` are the
same.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import numpy as np
from jaxtyping import Float, Int64
from pydantic import AliasChoices, Field, TypeAdapter

from config import Config, Testing
from utils import console
from utils.external.description import described
from utils.files import write_json
from utils.models.layer_table import layers, totals
from utils.models.snapshots import Snapshot, find_snapshot
from utils.scoring.evaluation.recordings import evaluate_predictions
from utils.scoring.inference.ensembles import Member, outputs_of
from utils.scoring.inference.recordings import Predictions
from utils.scoring.metrics.bootstrap import draw_recordings, drawn_means, interval, paired_interval
from utils.scoring.metrics.ranking import mean_of_defined
from utils.scoring.metrics.units import unit_word
from utils.scoring.reports.page import metric_text, signed
from utils.settings_keys import settings_for_key
from utils.tables import read_json

TIMED_BATCHES = 5  # after one that is not timed
HEADINGS = (
    "model",
    "parameters",
    "MFLOPs per clip",
    "MB on disk",
    "clips/s",
    "MLRAP (95%)",
    "difference to student (95%)",
)
COST_COLUMNS = 5  # the first columns: the name, and what a network costs
STUDENT, STUDENT_WITHOUT_TEACHERS = "student", "student without teachers"  # rows of the table


@dataclass(frozen=True)
class NetworkRow:
    """One network of the table, or an ensemble.

    Attributes
    ----------
    flops : per clip
    bytes : of weights and statistics on disk
    clips_per_second : on the machine of the test
    mlrap, low, high : on the recordings of the test, and the ends of its 95% interval
    difference, difference_low, difference_high : its MLRAP minus that of the student, and the ends of the paired
        interval; None for the student
    """

    name: str
    parameters: int
    flops: int
    bytes: int
    clips_per_second: float
    mlrap: float | None
    low: float | None
    high: float | None
    # earlier versions saved these as "ahead", "ahead_low" and "ahead_high"
    difference: Annotated[float | None, Field(validation_alias=AliasChoices("difference", "ahead"))]
    difference_low: Annotated[float | None, Field(validation_alias=AliasChoices("difference_low", "ahead_low"))]
    difference_high: Annotated[float | None, Field(validation_alias=AliasChoices("difference_high", "ahead_high"))]


@dataclass(frozen=True)
class _SavedTable:
    """Rows of the table, and the settings of `testing` with which they were made."""

    testing: dict[str, Any]
    # earlier versions saved them as "nets"
    networks: Annotated[tuple[NetworkRow, ...], Field(validation_alias=AliasChoices("networks", "nets"))]
    external: tuple[dict[str, str], ...] = ()  # bird models of the teachers; earlier versions had none


_TABLE_FILE: TypeAdapter[_SavedTable] = TypeAdapter(_SavedTable)
_AS_JSON: TypeAdapter[dict[str, Any]] = TypeAdapter(dict[str, Any])


def compared_networks(teachers: Sequence[Member], config: Config, *, without_teachers: str) -> dict[str, list[Member]]:
    """Return the networks of the table by name.

    They are each teacher, their ensemble, the student, and if it is wanted, the same network without teachers.

    Parameters
    ----------
    without_teachers : the run of that network
    """
    networks = {name: [member] for name, member in zip(_teacher_names(teachers), teachers, strict=True)}
    if len(teachers) > 1:
        networks[f"ensemble of {len(teachers)} teachers"] = list(teachers)
    runs = {STUDENT: config.run_folder}
    if config.distillation.compare_without_teachers:
        runs[STUDENT_WITHOUT_TEACHERS] = config.snapshots / without_teachers
    found = {name: find_snapshot(folder, config.testing.snapshot) for name, folder in runs.items()}
    return networks | {name: [Member(snapshot)] for name, snapshot in found.items() if snapshot}


def tabulate(
    networks: Mapping[str, Sequence[Member]], predictions: Mapping[str, Predictions], config: Config
) -> tuple[NetworkRow, ...]:
    """Print, save and return the table of some networks, from their predictions for the same recordings.

    Speeds are measured on this machine, with the engine that test.py uses.

    Raises
    ------
    UserError
        If a network cannot be read.
    """
    lrap = {
        name: evaluate_predictions(found.scores, found, background=config.testing.background).lrap
        for name, found in predictions.items()
    }
    speeds = {
        member.snapshot.folder: clips_per_second(member.snapshot, config.testing)
        for members in networks.values()
        for member in members
    }
    recording, unit = predictions[STUDENT].recording_of_row, predictions[STUDENT].unit
    rows = tuple(
        _network_row(name, members, speeds, lrap[name], lrap[STUDENT], recording) for name, members in networks.items()
    )
    bird_models = described(member.snapshot.config.external for members in networks.values() for member in members)
    table = {"testing": _testing_settings(config), "networks": [asdict(row) for row in rows], "external": bird_models}
    write_json(_table_path(config), table)
    _print_networks(rows, tested=f"{len(lrap[STUDENT]):,} {unit_word(unit)}")
    for one in bird_models:
        console.info(
            f"{one['title']} is a teacher of the student (licence: {one['licence'] or 'not known'}; docs/licences.md). "
            "Parameters, FLOPs and speed of that teacher are of its head alone; the bird model takes most of the time"
        )
    return rows


def read_table_of(config: Config) -> tuple[NetworkRow, ...]:
    """Return the saved rows of a run; none if there are none, or they were made with other settings of `testing`.

    Raises
    ------
    UserError
        If the file is damaged.
    """
    path = _table_path(config)
    if not path.is_file():
        return ()
    saved: _SavedTable = read_json(path, _TABLE_FILE, advice="run distill.py again")
    return saved.networks if saved.testing == _AS_JSON.dump_python(_testing_settings(config), mode="json") else ()


def row_texts(row: NetworkRow) -> list[str]:
    """Write a row for people."""
    mlrap = metric_text(row.mlrap)
    if row.low is not None and row.high is not None:
        mlrap += f" ({row.low:.3f} to {row.high:.3f})"
    difference = "" if row.difference is None else signed(row.difference)
    if row.difference_low is not None and row.difference_high is not None:
        difference += f" ({signed(row.difference_low)} to {signed(row.difference_high)})"
    return [
        row.name,
        f"{row.parameters:,}",
        f"{row.flops / 1e6:,.2f}",
        f"{row.bytes / 1e6:,.2f}",
        f"{row.clips_per_second:,.0f}",
        mlrap,
        difference,
    ]


def clips_per_second(snapshot: Snapshot, settings: Testing) -> float:
    """Return the speed of a network with the engine that test.py uses: the median of some batches."""
    predict = outputs_of(snapshot, settings)
    shape = (settings.batch_size, *snapshot.config.input_shape)
    spectrograms = np.random.default_rng(0).integers(0, 256, shape).astype(snapshot.config.input_dtype)
    predict(spectrograms)
    seconds = []
    for _ in range(TIMED_BATCHES):
        elapsed = console.stopwatch()
        predict(spectrograms)
        seconds.append(elapsed())
    return settings.batch_size / median(seconds)


def disk_bytes(snapshot: Snapshot) -> int:
    """Return the bytes that a network takes on disk: weights and statistics, and the file of its bird model."""
    file = snapshot.config.external.file
    external = file.stat().st_size if file and snapshot.config.external.sha256 else 0
    return external + sum(file.stat().st_size for file in (snapshot.folder / "net").rglob("*") if file.is_file())


def _network_row(
    name: str,
    members: Sequence[Member],
    speeds: Mapping[Path, float],
    lrap: Float[np.ndarray, " rows"],
    student: Float[np.ndarray, " rows"],
    recording: Int64[np.ndarray, " rows"],
) -> NetworkRow:
    """Return the row of a network or an ensemble, by the LRAP of each recording, interval or call."""
    sizes = [_parameters_and_flops(member.snapshot) for member in members]
    mlrap = mean_of_defined(lrap)
    found = interval(mlrap, drawn_means(lrap, draw_recordings(recording, seed=0)))
    both = ~np.isnan(lrap) & ~np.isnan(student)
    compared = name != STUDENT and both.any()
    ends = paired_interval(lrap[both], student[both], recording=recording[both]) if compared else None
    low, high = ends or (None, None)
    return NetworkRow(
        name=name,
        parameters=sum(parameters for parameters, _ in sizes),
        flops=sum(flops for _, flops in sizes),
        bytes=sum(disk_bytes(member.snapshot) for member in members),
        clips_per_second=1 / sum(1 / speeds[member.snapshot.folder] for member in members),
        mlrap=mlrap,
        low=found.low,
        high=found.high,
        difference=float((lrap[both] - student[both]).mean()) if compared else None,
        difference_low=low,
        difference_high=high,
    )


def _parameters_and_flops(snapshot: Snapshot) -> tuple[int, int]:
    config = snapshot.config
    return totals(layers(config.model, classes=len(snapshot.classes), shape=config.input_shape))


def _teacher_names(teachers: Sequence[Member]) -> list[str]:
    """Return the names of the teachers' runs, or the paths of their snapshots if two runs have the same name."""
    names = [member.snapshot.folder.resolve().parent.name for member in teachers]
    if len({*names, STUDENT}) > len(names):
        return names
    return [console.printable(member.snapshot.folder) for member in teachers]


def _print_networks(rows: Sequence[NetworkRow], *, tested: str) -> None:
    """Print the table in two parts, for a terminal of 80 columns: what the networks cost, and how good they are."""
    cells = [row_texts(row) for row in rows]
    console.show_grid("Distilled", HEADINGS[:COST_COLUMNS], [row[:COST_COLUMNS] for row in cells])
    console.show_grid(
        f"On {tested}",
        HEADINGS[:1] + HEADINGS[COST_COLUMNS:],
        [row[:1] + row[COST_COLUMNS:] for row in cells],
    )


def _testing_settings(config: Config) -> dict[str, Any]:
    return settings_for_key(config, of=("testing.",))


def _table_path(config: Config) -> Path:
    return config.run_folder / "test" / "distillation.json"
