"""What test.py found out about the model that is published: metrics, thresholds, and its tables and plots."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl
from polars.exceptions import PolarsError

from utils import console
from utils.console import UserError, printable
from utils.models.published import TEST_FOLDER
from utils.models.snapshots import Snapshot
from utils.recordings.recording import NOISE
from utils.scoring.metrics.bootstrap import Interval
from utils.scoring.metrics.registry import METRICS
from utils.scoring.metrics.thresholds import Thresholds, read_thresholds
from utils.scoring.metrics.units import Unit, unit_word

PLOTS: Mapping[str, str] = {
    "report.png": "mean LRAP by class, and the confusion matrix of top predictions",
    "reliability.png": "how often predictions of a score are correct (calibration)",
    "thresholds.png": "F1, precision and recall by threshold",
}
COPIED_TABLES = ("per_class.csv", "calibration.json")  # that are copied as they are, if they are there
KNOWN_UNITS: Mapping[str, Unit] = {"recording": "recording", "interval": "interval", "event": "event"}


@dataclass(frozen=True)
class HeldOutResults:
    """What a test found out.

    Attributes
    ----------
    folder : where its files are
    metrics : by key of `registry.METRICS`
    unit : what a row is
    rows : number of rows with a rank
    per_class : the table per_class.csv; empty if it is not there
    thresholds : None if there are none
    facts : engine and pooling, as metrics.json has them
    """

    __test__ = False  # is no class of tests

    folder: Path
    metrics: Mapping[str, Interval]
    unit: Unit
    rows: int
    per_class: pl.DataFrame = field(default_factory=pl.DataFrame)
    thresholds: Thresholds | None = None
    facts: Mapping[str, str] = field(default_factory=dict)

    @property
    def plots(self) -> dict[str, str]:
        """The plots that are there, and what they show."""
        return {name: text for name, text in PLOTS.items() if (self.folder / name).is_file()}


def held_out_results(run: Path, snapshot: Snapshot) -> HeldOutResults | None:
    """Return what test.py found for a snapshot; None, with a warning, if it was not tested, or another one was.

    Raises
    ------
    UserError
        If the files of the test are damaged.
    """
    folder = run / TEST_FOLDER
    reason = _reason_against(folder / "metrics.json", snapshot)
    if reason:
        console.warning(f"{printable(folder)}: {reason}, so the card has no metrics; run test.py first")
        return None
    try:
        saved = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
        unit = KNOWN_UNITS[saved["unit"]]
        metrics = {
            key: Interval(one["value"], one["low"], one["high"], 0)
            for key in METRICS
            if (one := saved["metrics"].get(key)) is not None
        }
        facts = {name: str(saved[name]) for name in ("engine", "pooling") if name in saved}
        rows = int(saved["ranked"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(f"{folder / 'metrics.json'}: cannot be read ({error}); run test.py again") from None
    thresholds = folder / "thresholds.json"
    return HeldOutResults(
        folder,
        metrics,
        unit,
        rows,
        _per_class(folder / "per_class.csv", unit),
        read_thresholds(thresholds, [one for one in snapshot.classes if one != NOISE])
        if thresholds.is_file()
        else None,
        facts,
    )


def _reason_against(path: Path, snapshot: Snapshot) -> str:
    """Return why the metrics in a file are not those of a snapshot; '' if they are."""
    try:
        saved: Any = json.loads(path.read_text(encoding="utf-8"))
        models = [Path(one["snapshot"]).name for one in saved["models"]]
    except FileNotFoundError:
        return "this model was not tested"
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise UserError(f"{path}: cannot be read ({error}); run test.py again") from None
    if models != [snapshot.folder.name]:
        return f"the last test was of {', '.join(models)}, not of {snapshot.folder.name}"
    if path.stat().st_mtime_ns < (snapshot.folder / "snapshot.json").stat().st_mtime_ns:
        return f"the last test is older than {snapshot.folder.name}"
    return ""


def _per_class(path: Path, unit: Unit) -> pl.DataFrame:
    """Return the table of classes with the column `rows`, or an empty one."""
    if not path.is_file():
        return pl.DataFrame()
    try:
        table = pl.read_csv(path, schema_overrides={"class": pl.String, "confused_with": pl.String})
        return table.rename({unit_word(unit): "rows"}).select("class", "rows", "ap", "f1", "confused_with", "confused")
    except (PolarsError, OSError) as error:
        reason = str(error).partition("\n")[0]
        raise UserError(f"{path}: cannot be read ({reason}); run test.py again") from None
