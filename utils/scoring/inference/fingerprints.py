"""Fingerprints of the networks and settings on which scores depend: results with equal fingerprints can be reused."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from config import Config
from utils.console import UserError
from utils.files import digest_file
from utils.models.snapshots import Snapshot
from utils.scoring.inference.ensembles import Member
from utils.scoring.inference.interval_rules import ONLY_INTERVALS
from utils.scoring.inference.metadata_blend import blended_classifier
from utils.settings_keys import settings_for_key

PARTS_VERSION = 1  # of a submission's parts, and of how they are found
FOR_POOLING = ("testing.pooling", "testing.sharpness")
FOR_NETWORKS = ("clips.", "spectrogram.", "external.", "model.", "training.loss")
FOR_PARTS = (*FOR_POOLING, "testing.engine")
FOR_CLIPS_OF_INTERVALS = ("submission.overlap", "testing.shifts")


def fingerprint_of_parts(members: Sequence[Member], config: Config, *, interval: float) -> str:
    """Return the fingerprint of the networks and settings on which the pooled scores of a submission depend.

    Parameters
    ----------
    interval : seconds; 0: each recording is one interval, of which the first `testing.max_clips` clips are scored;
        it has no scores of frames, whatever `submission.events` says

    Raises
    ------
    UserError
        If a network cannot be read.
    """
    clips = (
        settings_for_key(config, of=FOR_CLIPS_OF_INTERVALS)
        if interval
        else settings_for_key(config, of=("testing.max_clips",))
    )
    prototypes = [member.prototypes.fingerprint for member in members if member.prototypes]
    settings: list[object] = [PARTS_VERSION, interval, clips, settings_for_key(config, of=FOR_PARTS)]
    settings += [prototypes] if prototypes else []
    settings += ["frames"] if interval and config.submission.events != "none" else []
    return _fingerprint_of(settings, members)


def fingerprint_of_scores(members: Sequence[Member], config: Config) -> str:
    """Return the fingerprint of all that thresholds and calibrations depend on.

    These are the networks, their weights, pooling, post-processing, the content of the prior's table, and the metadata
    classifier.

    Parameters
    ----------
    config : of a unit without intervals, from `for_unit`: its scores have no post-processing

    Raises
    ------
    UserError
        If a network, the prior's table or the metadata classifier cannot be read.
    """
    classifier = blended_classifier(config)
    prior = config.testing.prior
    table = [_content_of_table(prior), config.testing.prior_unreported] if prior else None
    content: list[object] = [settings_for_key(config, of=(*FOR_POOLING, *ONLY_INTERVALS)), table]
    if classifier:
        content.append([classifier.fingerprint, classifier.sha256, config.testing.metadata_weight])
    return _fingerprint_of(content, members)


def _fingerprint_of(settings: list[object], members: Sequence[Member]) -> str:
    key = hashlib.sha256(json.dumps(settings).encode())
    for member in members:
        key.update(
            json.dumps([_content_of_network(member.snapshot), list(member.snapshot.classes), member.weight]).encode()
        )
        key.update(json.dumps(settings_for_key(member.snapshot.config, of=FOR_NETWORKS)).encode())
    return key.hexdigest()[:16]


def _content_of_table(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None


def _content_of_network(snapshot: Snapshot) -> str:
    path = digest_file(snapshot.folder / "net")  # of the arrays; Orbax gives its files random names
    try:
        # snapshots of earlier versions have none
        return path.read_text(encoding="utf-8") if path.is_file() else snapshot.folder.as_posix()
    except (OSError, ValueError) as error:
        raise UserError(f"{snapshot.folder}: the snapshot is incomplete or damaged ({error})") from None
