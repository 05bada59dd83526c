"""Which settings `tuning.space` may have: those that change the model or its scores, but not what it is compared by."""

from collections.abc import Sequence

from config import Config
from utils.models.used_settings import reason_of_no_effect

# sections that can be searched, whatever the store keeps
SECTIONS = ("waveform.", "augmentation.", "model.", "training.")
# settings of testing that change scores
OF_SCORES = (
    *("testing.models", "testing.weights", "testing.snapshot", "testing.pooling", "testing.sharpness"),
    *("testing.shifts", "testing.postprocessing"),
    *("testing.max_clips", "testing.prior", "testing.prior_unreported", "testing.metadata", "testing.metadata_weight"),
)
NEEDS_SOUND = (
    'changes what the store holds; make a store of sound first (clips.keep = "sound", spec.py), which serves all kinds '
    "of spectrograms"
)
# by start of the name: why it cannot be searched
REFUSED = {
    "clips.": "decides what the store holds; choose it first, and run spec.py",
    "dataset.": "decides which recordings there are; choose it first, and run sort_data.py",
    "external.": "decides what the store holds; choose it first, and run spec.py",
    "model.head": "decides how a head is trained; compare runs with evaluate.py --compare",
    "spectrogram.rate": "changes the sound in the store; choose it first, and run spec.py",
    "spectrogram.channel": "changes the sound in the store; choose it first, and run spec.py",
    "spectrogram.engine": "does not change the model; remove it",
    "spectrogram.images": "does not change the model; remove it",
    "training.validation_share": "decides what trials are compared on; it has to be the same for all of them",
    "training.monitor": "decides what trials are compared by; it has to be the same for all of them",
    "training.seed": "decides what trials are compared on (the validation recordings); remove it",
    "training.all_data": "leaves no validation recordings; remove it",
    "training.images": "decides what trials are compared on; it has to be the same for all of them",
    "training.packed": "decides what trials are compared on; it has to be the same for all of them",
    "training.cache": "does not change the model; remove it",
    "training.clips_on": "does not change the model; remove it",
    "training.snapshot_epochs": "does not change the model; remove it",
    "training.keep_snapshots": "does not change the model; remove it",
    "testing.": f"does not change scores, or what they are compared with; of testing, {', '.join(OF_SCORES)} can be "
    "searched",
    "": "neither changes a training nor a test; remove it",
}


def only_testing(names: Sequence[str]) -> bool:
    """Tell whether all settings are of the test, so that no trial has to train."""
    return all(name.startswith("testing.") for name in names)


def reason_against(name: str, config: Config, *, searched: Sequence[str], models: Sequence[str]) -> str:
    """Return why a setting cannot be searched, and what to do; '' if it can.

    Parameters
    ----------
    searched : names of all settings in the space
    models : values of `model.name` in the space
    """
    section, setting, *_ = f"{name}.".split(".")
    no_effect = reason_of_no_effect(setting, models) if section == "model" else ""
    if no_effect:
        return f"{no_effect}; remove it"
    if name.startswith(OF_SCORES):
        if config.tuning.folds or only_testing(searched):
            return ""
        return (
            "has no effect on the validation while training; search the settings of testing by themselves, or set "
            "tuning.folds, where every fold is tested"
        )
    for start, reason in REFUSED.items():
        if start and name.startswith(start):
            return reason
    if name.startswith("spectrogram."):
        return "" if config.trains_on_sound else NEEDS_SOUND
    return "" if name.startswith(SECTIONS) else REFUSED[""]
