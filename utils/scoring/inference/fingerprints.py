"""What changes with the nets and settings on which scores depend: by it is found again what was made with the same ones."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from config import Config, deciding
from utils.console import UserError
from utils.models.snapshots import Snapshot, fingerprint_file
from utils.scoring.inference.ensembles import Model

VERSION = 1  # of what a submission keeps, and of how it is found
POOLED = ("testing.pooling", "testing.sharpness")
PARTS = (*POOLED, "testing.engine")


def fingerprint_of_parts(models: Sequence[Model], config: Config, *, interval: float) -> str:
    """Return what changes with the nets and the settings on which pooled scores depend.

    Parameters
    ----------
    interval : seconds; 0: a recording is one, and its first `testing.max_clips` clips are heard

    Raises
    ------
    UserError
        If a net cannot be read.
    """
    clips = deciding(config, of=("submission.overlap",)) if interval else deciding(config, of=("testing.max_clips",))
    return _digest([VERSION, interval, clips, deciding(config, of=PARTS)], models)


def fingerprint_of_scores(models: Sequence[Model], config: Config) -> str:
    """Return what changes with what thresholds and calibrations are true of: nets, their weights, pooling, and what stands in the prior's table.

    Raises
    ------
    UserError
        If a net or the prior's table cannot be read.
    """
    prior = config.testing.prior
    table = [_content_of(prior), config.testing.prior_unreported] if prior else None
    return _digest([deciding(config, of=POOLED), table], models)


def _digest(settings: list[object], models: Sequence[Model]) -> str:
    key = hashlib.sha256(json.dumps(settings).encode())
    for model in models:
        key.update(json.dumps([_net_of(model.snapshot), list(model.snapshot.classes), model.weight]).encode())
        key.update(
            json.dumps(
                deciding(model.snapshot.config, of=("clips.", "spectrogram.", "model.", "training.loss"))
            ).encode()
        )
    return key.hexdigest()[:16]


def _content_of(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None


def _net_of(snapshot: Snapshot) -> str:
    path = fingerprint_file(snapshot.folder / "net")  # of the arrays: Orbax draws its files' names by chance
    try:
        # earlier versions kept none
        return path.read_text(encoding="utf-8") if path.is_file() else snapshot.folder.as_posix()
    except (OSError, ValueError) as error:
        raise UserError(f"{snapshot.folder}: is no whole snapshot ({error})") from None
