"""Which settings decide on what a store holds or how a model behaves: as keys on disk hash them, and as people read it.

Keys of stores and fingerprints of models must stay the same when the toolkit gets a new setting or renames one. So a
setting that is added or renamed needs no entry here: keys hash settings under their first name, the settings of the
first version always, all others only if their value differs from the default. (So the default of a setting that is
hashed must never change.)
"""

import hashlib
import json
from collections.abc import Sequence
from typing import Any

from config import Config
from utils.settings import RENAMED, settings_with_defaults

# settings that change neither what a store holds nor how a model behaves
WITHOUT_EFFECT = (
    "clips.table",  # its content is part of the keys of shards
    "spectrogram.images",
    "spectrogram.engine",
    "external.title",
    "external.licence",
    "external.output",
    "external.labels",
    "external.file",  # its hash counts
    "training.clips_on",
    "training.cache",
    "training.cache_gb",
    "training.snapshot_epochs",
    "training.keep_snapshots",
    "distillation.compare_without_teachers",
)

# names and order in which the first version hashed its settings; frozen
FIRST_VERSION = (
    *("clips.choose", "clips.count", "clips.length", "clips.overlap", "clips.min_length", "clips.signal_threshold"),
    *("clips.max_per_class", "clips.noise_share", "clips.seed"),
    *("spectrogram.channel", "spectrogram.rate", "spectrogram.fmin", "spectrogram.fmax", "spectrogram.height"),
    *("spectrogram.width", "spectrogram.kind", "spectrogram.n_fft", "spectrogram.hop", "spectrogram.resize"),
    *("spectrogram.pre_emphasis", "spectrogram.high_pass", "spectrogram.noise_reduction", "spectrogram.normalize"),
    *("model.name", "model.channels", "model.filters", "model.kernel_sizes", "model.groups", "model.nonlinearity"),
    *("model.batch_norm", "model.max_pooling", "model.dropout", "model.dropout_kind", "model.dense_units"),
    *("model.resnet_k", "model.resnet_n", "training.loss"),
    *("testing.side", "testing.snapshot", "testing.models", "testing.weights", "testing.max_recordings"),
    *("testing.max_per_class", "testing.seed", "testing.max_clips", "testing.pooling", "testing.sharpness"),
    *("testing.prior", "testing.prior_unreported", "testing.background", "testing.min_positives", "testing.thresholds"),
    *("testing.precision", "testing.calibration", "testing.batch_size", "testing.engine", "testing.ridge"),
)
ONLY_IF_CHANGED = ("spectrogram.channel",)  # of these, a setting that came soon after: it has a place in the order

FIRST_NAMES = {new: old for old, new in reversed(RENAMED.items())}


def effective_settings(config: Config, *, of: Sequence[str]) -> dict[str, Any]:
    """Return the settings whose names begin with one of `of`, without those that have no effect; None is left out."""
    return {
        name: value
        for name, value, _ in settings_with_defaults(config)
        if name.startswith(tuple(of)) and name not in WITHOUT_EFFECT and value is not None
    }


def changed_settings(before: Config, now: Config, *, of: Sequence[str]) -> list[str]:
    """Say, one line each, which settings whose names begin with one of `of` differ between two configs."""
    left, right = effective_settings(before, of=of), effective_settings(now, of=of)
    names = [name for name in (left | right) if left.get(name) != right.get(name)]
    return [f"{name} was {json.dumps(left.get(name))}, is {json.dumps(right.get(name))}" for name in names]


def settings_for_key(config: Config, *, of: Sequence[str]) -> dict[str, Any]:
    """Return the settings whose names begin with one of `of` as keys and fingerprints on disk hash them.

    Returns
    -------
    Values by first names: those of the first version in their frozen order, then others that differ from their default,
    by name.
    """
    chosen = {
        FIRST_NAMES.get(name, name): (value, default)
        for name, value, default in settings_with_defaults(config)
        if name.startswith(tuple(of)) and name not in WITHOUT_EFFECT
    }
    changed = {name for name, (value, default) in chosen.items() if value != default}
    always = {name for name in FIRST_VERSION if name in chosen and chosen[name][0] is not None}
    always -= {*ONLY_IF_CHANGED} - changed
    names = [name for name in FIRST_VERSION if name in always] + sorted(changed - {*FIRST_VERSION})
    return {name: chosen[name][0] for name in names}


def short_key(content: Any, *, text: str = "") -> str:
    """Return 16 digits that change if a value does, which JSON can hold, or a text after it."""
    return hashlib.sha256((json.dumps(content) + text).encode()).hexdigest()[:16]
