"""Which values of settings do not go together, although each of them is valid alone."""

import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from config import (
    Clips,
    Config,
    Dataset,
    SettingsError,
    Spectrogram,
    Submission,
    Testing,
    Training,
)
from utils.address_checks import check_addresses
from utils.distillation_checks import check_distillation
from utils.model_checks import check_model
from utils.noise_checks import check_noise
from utils.pack_checks import check_pack
from utils.spectrogram_checks import check_spectrogram, require
from utils.triplet_checks import check_triplets
from utils.waveform_checks import check_waveform

LEAST_BAND = 100.0  # Hz; in a narrower band, comparing mel bands cannot tell peaks from noise


def check(config: Config) -> None:
    """Refuse values that do not go together.

    Raises
    ------
    SettingsError
        That names the setting and what would be valid.
    """
    require(
        re.fullmatch(r"\w[\w .+=@-]{0,99}", config.run) is not None,
        key="run",
        value=config.run,
        reason="should be a plain name of letters, digits, '_', '-', '.', because it names a folder",
    )
    _check_paths(config)
    check_addresses(config)
    _check_dataset(config.dataset)
    if config.model.name != "External" or config.external.sha256:  # else the length of clips is not known yet
        _check_clip_lengths(config.clips, config.spectrogram)
    _check_clips(config.clips, config.spectrogram)
    check_spectrogram(config.spectrogram, samples=int(config.clips.length * config.spectrogram.rate))
    check_waveform(config)
    check_model(config)
    _check_training(config.training)
    check_triplets(config)
    check_pack(config)
    check_noise(config)
    _check_submission(config.submission)
    _check_testing(config.testing)
    check_distillation(config)


def _check_paths(config: Config) -> None:
    for key, path in _paths(config):
        plain = not any(ord(character) < 32 for character in str(path))
        require(plain, key=key, value=str(path), reason="should be a path without control characters")


def _paths(value: Any, name: str = "") -> Iterator[tuple[str, Path]]:
    """Yield every path in the settings with the name of its setting."""
    if isinstance(value, Path):
        yield name, value
    elif isinstance(value, tuple):
        for one in value:
            yield from _paths(one, name)
    elif dataclasses.is_dataclass(value):
        for field in dataclasses.fields(value):
            yield from _paths(getattr(value, field.name), f"{name}.{field.name}".lstrip("."))


def _check_dataset(dataset: Dataset) -> None:
    require(dataset.folds != 1, key="dataset.folds", value=1, reason="should be 0 (none) or at least 2")
    require(
        not dataset.fold or not dataset.folds or dataset.fold < dataset.folds,
        key="dataset.fold",
        value=dataset.fold,
        reason=f"should be below dataset.folds ({dataset.folds})",
    )
    require(
        dataset.folds > 0 or dataset.val_share + dataset.test_share < 1,
        key="dataset.val_share",
        value=dataset.val_share,
        reason=f"leaves no recordings for training; dataset.test_share is {dataset.test_share:g}",
    )
    require(
        not dataset.max_recordings or dataset.max_recordings >= dataset.min_recordings,
        key="dataset.max_recordings",
        value=dataset.max_recordings,
        reason=f"should be at least dataset.min_recordings ({dataset.min_recordings})",
    )
    if dataset.site_pattern:
        from utils.recordings.recorders.file_names import pattern_fault  # imports polars, which takes a while

        fault = pattern_fault(dataset.site_pattern)
        require(not fault, key="dataset.site_pattern", value=dataset.site_pattern, reason=fault)
    if dataset.time_zone:
        from utils.recordings.recorders.clocks import zone_fault

        fault = zone_fault(dataset.time_zone)
        require(not fault, key="dataset.time_zone", value=dataset.time_zone, reason=fault)


def _check_clip_lengths(clips: Clips, spectrogram: Spectrogram) -> None:
    for key, value, fine, what in (
        ("clips.overlap", clips.overlap, clips.overlap < clips.length, "less than"),
        ("clips.min_length", clips.min_length, clips.min_length <= clips.length, "at most"),
    ):
        require(fine, key=key, value=value, reason=f"should be {what} clips.length ({clips.length:g} s)")
    require(
        int((clips.length - clips.overlap) * spectrogram.rate) >= 1,
        key="clips.overlap",
        value=clips.overlap,
        reason="successive clips would start less than one sample apart",
    )


def _check_clips(clips: Clips, spectrogram: Spectrogram) -> None:
    require(
        clips.choose != "table" or clips.table is not None,
        key="clips.table",
        value=None,
        reason="should be a CSV file with the columns recording and seconds for clips.choose = table",
    )
    narrow = spectrogram.fmin < spectrogram.fmax < spectrogram.fmin + LEAST_BAND
    require(
        clips.choose != "peaks" or not narrow,
        key="spectrogram.fmin",
        value=spectrogram.fmin,
        reason=f"should be at least {LEAST_BAND:g} Hz below spectrogram.fmax for clips.choose = peaks",
    )


def _check_training(training: Training) -> None:
    require(
        training.learning_rate_end <= training.learning_rate,
        key="training.learning_rate_end",
        value=training.learning_rate_end,
        reason=f"should be at most training.learning_rate ({training.learning_rate:g})",
    )
    require(
        training.schedule != "step" or training.steps <= training.epochs,
        key="training.steps",
        value=training.steps,
        reason=f"should be at most training.epochs ({training.epochs})",
    )
    require(
        training.schedule != "step" or training.learning_rate_end > 0,
        key="training.learning_rate_end",
        value=0,
        reason="should be above 0 for the schedule step, which divides by a factor",
    )
    low, high = training.signal_interval
    require(
        low <= high,
        key="training.signal_interval",
        value=training.signal_interval,
        reason="should start with the lower end",
    )
    require(
        training.warm_up <= training.epochs,
        key="training.warm_up",
        value=training.warm_up,
        reason=f"should be at most training.epochs ({training.epochs})",
    )
    require(
        not training.max_per_class or training.max_per_class >= training.min_per_class,
        key="training.max_per_class",
        value=training.max_per_class,
        reason=f"should be at least training.min_per_class ({training.min_per_class})",
    )
    require(
        training.absent_target <= training.secondary_target <= training.primary_target,
        key="training.secondary_target",
        value=training.secondary_target,
        reason="should lie between training.absent_target and training.primary_target",
    )


def _check_submission(submission: Submission) -> None:
    key, pattern = "submission.media_pattern", submission.media_pattern
    try:
        groups = re.compile(pattern).groups
    except re.error as error:
        raise SettingsError(f"is not a regular expression ({error})", key=key, value=pattern) from None
    one = not pattern or groups == 1
    require(one, key=key, value=pattern, reason="should have one group, in round brackets, around the id")
    low, high = submission.band
    require(low < high, key="submission.band", value=submission.band, reason="should start with the lower end")


def _check_testing(testing: Testing) -> None:
    require(
        not testing.weights or len(testing.weights) == len(testing.models),
        key="testing.weights",
        value=testing.weights,
        reason=f"should be one for each of the {len(testing.models)} in testing.models",
    )
    require(
        testing.threshold_metric != "row_f1" or testing.thresholds == "common" or testing.precision > 0,
        key="testing.thresholds",
        value=testing.thresholds,
        reason="should be common for testing.threshold_metric = row_f1, which is of rows and not of classes",
    )
    require(
        not testing.novelty or testing.engine != "onnx-int8",
        key="testing.engine",
        value=testing.engine,
        reason="should be auto, onnx or jax for testing.novelty, whose distances need float32",
    )
    require(
        testing.max_false_alarms is None or testing.noise_folder is not None,
        key="testing.max_false_alarms",
        value=testing.max_false_alarms,
        reason="needs testing.noise_folder, a folder of recordings without birds",
    )
    for key, value, used in (
        ("testing.prior", testing.prior, testing.prior is not None),
        ("testing.metadata", testing.metadata, testing.metadata is not None and testing.metadata_weight > 0),
    ):
        require(
            testing.noise_folder is None or not used,
            key=key,
            value=value,
            reason="does not go with testing.noise_folder, whose recordings have no place or date: false alarms would "
            "be counted by other scores than those of a submission",
        )
