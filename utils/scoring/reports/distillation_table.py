"""What distilling brought: teachers, their ensemble, the student and the same net without teachers, side by side.

Kept as `<run>/test/distillation.json`, from which the report takes it as long as the settings of `testing` are the
same.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import median

import numpy as np
from jaxtyping import Float
from pydantic import TypeAdapter

from config import Config, Testing, deciding
from utils import console
from utils.files import write_json
from utils.models.layer_table import layers, totals
from utils.models.snapshots import Snapshot, find
from utils.saved_json import read_kept
from utils.scoring.comparison import signed
from utils.scoring.evaluation.recordings import judge
from utils.scoring.inference.ensembles import Model, logits_of
from utils.scoring.inference.recordings import Answers
from utils.scoring.metrics.bootstrap import draw_weights, drawn_means, interval, paired_interval
from utils.scoring.metrics.ranking import mean_of_defined
from utils.scoring.reports.page import figure_text
from utils.scoring.reports.parts import NetRow

TIMED = 5  # batches that are timed, after one that is not
HEADINGS = ("net", "parameters", "MFLOPs a clip", "MB on disk", "clips/s", "MLRAP (95%)", "ahead of the student (95%)")
COSTS = 5  # of these columns say what a net costs, its name included
UNTAUGHT = "-untaught"  # what is added to a run's name for the same net without teachers
STUDENT, STUDENT_UNTAUGHT = "student", "student without teachers"  # rows of the table

_KEPT: TypeAdapter[dict] = TypeAdapter(dict)
_ROWS: TypeAdapter[tuple[NetRow, ...]] = TypeAdapter(tuple[NetRow, ...])


def compared_nets(teachers: Sequence[Model], config: Config) -> dict[str, list[Model]]:
    """Return what stands in the table, by name: each teacher, all together, the student and, where it is wanted, the same net without teachers."""
    nets = {name: [model] for name, model in zip(_names(teachers), teachers, strict=True)}
    if len(teachers) > 1:
        nets[f"these {len(teachers)} together"] = list(teachers)
    learners = {STUDENT: config.run_folder}
    if config.distillation.untaught:
        learners[STUDENT_UNTAUGHT] = config.snapshots / f"{config.run}{UNTAUGHT}"
    found = {name: find(folder, config.testing.snapshot) for name, folder in learners.items()}
    return nets | {name: [Model(snapshot)] for name, snapshot in found.items() if snapshot}


def tabulate(nets: Mapping[str, Sequence[Model]], answers: Mapping[str, Answers], config: Config) -> tuple[NetRow, ...]:
    """Print, keep and return the table of some nets by their answers to the same recordings, judged as `testing` says.

    Speeds are those of what test.py runs, on this machine.

    Raises
    ------
    UserError
        If a net cannot be read.
    """
    lrap = {
        name: judge(found.scores, found, background=config.testing.background).lrap for name, found in answers.items()
    }
    speeds = {
        model.snapshot.folder: clips_per_second(model.snapshot, config.testing)
        for models in nets.values()
        for model in models
    }
    rows = tuple(_row(name, models, speeds, lrap[name], lrap[STUDENT]) for name, models in nets.items())
    write_json(_path(config), {"testing": deciding(config, of=("testing.",)), "nets": [asdict(row) for row in rows]})
    _say(rows, recordings=len(lrap[STUDENT]))
    return rows


def read_table_of(config: Config) -> tuple[NetRow, ...]:
    """Return the rows that are kept of a run, where there are some, made with the same settings of `testing`.

    Raises
    ------
    UserError
        If the file is damaged.
    """
    path = _path(config)
    if not path.is_file():
        return ()
    kept = read_kept(path, _KEPT)
    same = kept.get("testing") == TypeAdapter(dict).dump_python(deciding(config, of=("testing.",)), mode="json")
    return _ROWS.validate_python([NetRow(**row) for row in kept.get("nets", [])]) if same else ()


def texts(row: NetRow) -> list[str]:
    """Write a row for people."""
    mlrap = figure_text(row.mlrap) + (
        f" ({row.low:.3f} to {row.high:.3f})" if row.low is not None and row.high is not None else ""
    )
    ahead = "" if row.ahead is None else signed(row.ahead)
    ahead += (
        f" ({signed(row.ahead_low)} to {signed(row.ahead_high)})"
        if row.ahead_low is not None and row.ahead_high is not None
        else ""
    )
    return [
        row.name,
        f"{row.parameters:,}",
        f"{row.flops / 1e6:,.2f}",
        f"{row.bytes / 1e6:,.2f}",
        f"{row.clips_per_second:,.0f}",
        mlrap,
        ahead,
    ]


def clips_per_second(snapshot: Snapshot, settings: Testing) -> float:
    """Return how many clips a second test.py's way of running a net answers on this machine: the median of some batches of `testing.batch_size`."""
    predict = logits_of(snapshot, settings)
    pixels = np.random.default_rng(0).integers(
        0, 256, (settings.batch_size, *snapshot.config.spectrogram.shape), np.uint8
    )
    predict(pixels)
    seconds = []
    for _ in range(TIMED):
        passed = console.stopwatch()
        predict(pixels)
        seconds.append(passed())
    return settings.batch_size / median(seconds)


def disk_bytes(snapshot: Snapshot) -> int:
    """Return how many bytes a net's weights and statistics take on disk."""
    return sum(file.stat().st_size for file in (snapshot.folder / "net").rglob("*") if file.is_file())


def _row(
    name: str,
    models: Sequence[Model],
    speeds: dict[Path, float],
    lrap: Float[np.ndarray, " n"],
    student: Float[np.ndarray, " n"],
) -> NetRow:
    """Sum up one net, or several that answer together."""
    sizes = [
        totals(
            layers(
                model.snapshot.config.model,
                classes=len(model.snapshot.classes),
                shape=model.snapshot.config.spectrogram.shape,
            )
        )
        for model in models
    ]
    mlrap = mean_of_defined(lrap)
    found = interval(mlrap, drawn_means(lrap, draw_weights(np.arange(len(lrap)), seed=0)))
    both = ~np.isnan(lrap) & ~np.isnan(student)
    compared = name != STUDENT and both.any()
    ends = paired_interval(lrap[both], student[both]) if compared else None
    return NetRow(
        name=name,
        parameters=sum(parameters for parameters, _ in sizes),
        flops=sum(flops for _, flops in sizes),
        bytes=sum(disk_bytes(model.snapshot) for model in models),
        clips_per_second=1 / sum(1 / speeds[model.snapshot.folder] for model in models),
        mlrap=mlrap,
        low=found.low,
        high=found.high,
        ahead=float((lrap[both] - student[both]).mean()) if compared else None,
        ahead_low=ends[0] if ends else None,
        ahead_high=ends[1] if ends else None,
    )


def _names(teachers: Sequence[Model]) -> list[str]:
    """Return what to call teachers: by their runs, or by their snapshots' folders where that would not tell them apart."""
    names = [model.snapshot.folder.resolve().parent.name for model in teachers]
    return (
        names if len({*names, STUDENT}) > len(names) else [console.shown(model.snapshot.folder) for model in teachers]
    )


def _say(rows: Sequence[NetRow], *, recordings: int) -> None:
    """Print the table in two, for a terminal of 80 columns: what the nets cost, and how good they are."""
    cells = [texts(row) for row in rows]
    console.show_grid("Distilled", HEADINGS[:COSTS], [row[:COSTS] for row in cells])
    console.show_grid(
        f"On {recordings:,} recordings", HEADINGS[:1] + HEADINGS[COSTS:], [row[:1] + row[COSTS:] for row in cells]
    )


def _path(config: Config) -> Path:
    return config.run_folder / "test" / "distillation.json"
