"""The files of a run that are published: snapshot, settings, classes, thresholds, tables and plots."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import polars as pl

from config import Config
from utils.files import write_json, write_text
from utils.formula_cells import defused
from utils.models.published import LOADED, SETTINGS_FILE, TEST_FOLDER
from utils.models.snapshots import Snapshot
from utils.publishing.data_facts import DataFacts
from utils.publishing.held_out_results import COPIED_TABLES, HeldOutResults
from utils.scoring.inference.ensembles import Member
from utils.scoring.inference.fingerprints import fingerprint_of_scores
from utils.scoring.inference.interval_rules import for_unit
from utils.scoring.metrics.calibration import read_calibration, write_calibration
from utils.scoring.metrics.thresholds import write_thresholds
from utils.settings import to_toml
from utils.tables import write_csv

CALIBRATION, CURVES = "calibration.json", "curves.png"


def epoch_folder(snapshot: Snapshot) -> str:
    """Return the name of the folder of a snapshot in the published one, by which it is found as that of a run."""
    return f"epoch_{snapshot.epoch:03d}"


def write_snapshot_files(snapshot: Snapshot, published: Config, folder: Path) -> None:
    """Copy the files of a snapshot that loading needs, with other settings."""
    target = folder / epoch_folder(snapshot)
    for path in sorted(snapshot.folder.rglob("*")):
        name = path.relative_to(snapshot.folder).as_posix()
        if path.is_file() and name != SETTINGS_FILE and LOADED.fullmatch(f"{target.name}/{name}"):
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target / name)
    write_text(target / SETTINGS_FILE, to_toml(published))


def write_class_list(data: DataFacts, folder: Path) -> None:
    """Write classes.csv, in the order of the model's outputs; a spreadsheet runs nothing in it."""
    names = ("label", "scientific_name", "common_name", "code")
    columns = {name.replace("label", "class"): [defused(getattr(one, name)) for one in data.classes] for name in names}
    counts = {"recordings": [one.learned for one in data.classes], "held_out": [one.held_out for one in data.classes]}
    schema = {**dict.fromkeys(columns, pl.String), **dict.fromkeys(counts, pl.Int64)}
    write_csv(folder / "classes.csv", pl.DataFrame({**columns, **counts}, schema=schema))


def write_test_files(
    results: HeldOutResults | None,
    snapshot: Snapshot,
    published: Snapshot,
    config: Config,
    portable: Config,
    folder: Path,
) -> None:
    """Write thresholds and calibration, tables and plots of the test.

    Thresholds and calibration are marked as those of the published model if they are of this one.
    """
    if results is None:
        return
    target = folder / TEST_FOLDER
    target.mkdir()
    for name in (*results.plots, *COPIED_TABLES):
        if (results.folder / name).is_file() and name != CALIBRATION:
            shutil.copyfile(results.folder / name, target / name)
    write_json(target / "metrics.json", _metrics(results))
    renewed = _renewed(results, snapshot, published, config, portable)
    if results.thresholds:
        write_thresholds(
            target / "thresholds.json",
            replace(results.thresholds, fingerprint=renewed(results.thresholds.fingerprint)),
        )
    if (results.folder / CALIBRATION).is_file():
        calibration = read_calibration(results.folder / CALIBRATION)
        write_calibration(target / CALIBRATION, replace(calibration, fingerprint=renewed(calibration.fingerprint)))


def _metrics(results: HeldOutResults) -> dict[str, object]:
    values = {key: {"value": one.value, "low": one.low, "high": one.high} for key, one in results.metrics.items()}
    return {"unit": results.unit, "ranked": results.rows, "metrics": values, **results.facts}


def _renewed(
    results: HeldOutResults, snapshot: Snapshot, published: Snapshot, config: Config, portable: Config
) -> Callable[[str | None], str | None]:
    """Return a function from the fingerprint of a file to that of the same scores of the published model.

    Fingerprints of other scores stay as they are, so that whoever loads the model is warned as here.
    """
    if config.testing.prior or config.testing.metadata:  # which are not published
        return lambda fingerprint: fingerprint
    before, now = (
        fingerprint_of_scores([Member(one)], for_unit(settings, results.unit))
        for one, settings in ((snapshot, config), (published, portable))
    )
    return lambda fingerprint: now if fingerprint == before else fingerprint


def copy_curves(run: Path, folder: Path) -> bool:
    """Copy the curves of the training, if they are there; return whether they are."""
    if not (run / CURVES).is_file():
        return False
    shutil.copyfile(run / CURVES, folder / CURVES)
    return True
