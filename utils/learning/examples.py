"""The clips of a training: those learned from and those for validation, chosen from the store by the split."""

import hashlib
from collections.abc import Collection
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
import polars as pl
from jaxtyping import Bool, Float32, Int32, Int64, Shaped

from config import Config, is_address
from utils.console import UserError, warning
from utils.learning.data_share import draw_data_share
from utils.learning.noise import Noise, choose_noise, read_noise
from utils.learning.targets import Labels
from utils.learning.validation_recordings import choose_validation_recordings
from utils.recordings.labels import ground_truth
from utils.recordings.recording import NOISE
from utils.recordings.splits import has_split, read_split
from utils.spectra.image_folder import ImageFolder
from utils.spectra.joined_store import JoinedStore
from utils.spectra.pack import Pack, open_pack
from utils.spectra.store import Store
from utils.spectra.store_settings import check_settings

LISTED_CLASSES = 5


@runtime_checkable  # for the shape checks of tests
class SoftTargets(Protocol):
    """Targets of clips that were computed before training."""

    @property
    def columns(self) -> int:
        """Values per clip."""

    def of(self, rows: Int64[np.ndarray, "*batch"]) -> Float32[np.ndarray, "*batch columns"]:
        """Return the targets of some rows of the store."""


@dataclass(frozen=True)
class Examples:
    """The clips of one training, as rows of `store.clips`.

    Attributes
    ----------
    classes : in the order of the network's outputs
    rows, labels : the clips that are learned from
    validation_rows, validation_labels : the clips for validation
    validation_recording : index of the recording of each of these
    validation_truth : classes in each validation recording, background labels included
    validation_primary : index of the class of each validation recording; −1: it has none, only events label it
    noise : clips without birds
    indirect_recordings : names of recordings that the network learns from through other networks
    soft_targets : of all clips of the store, if they were computed before
    drawn_ratio : unlabelled clips and noise clips per other clip in an epoch, at most
    noise_clips : how many of `rows`, the last ones, are clips of `training.noise_folder`
    noise_rows : rows of the store of `noise.spectrograms`
    """

    store: Store | ImageFolder | JoinedStore
    classes: tuple[str, ...]
    rows: Int64[np.ndarray, " clips"]
    labels: Labels
    validation_rows: Int64[np.ndarray, " validation_clips"]
    validation_labels: Labels
    validation_recording: Int64[np.ndarray, " validation_clips"]
    validation_truth: Bool[np.ndarray, "validation_recordings classes"]
    validation_primary: Int64[np.ndarray, " validation_recordings"]
    noise: Noise
    indirect_recordings: frozenset[str] = frozenset()
    soft_targets: SoftTargets | None = None
    drawn_ratio: float = 0.0
    noise_clips: int = 0
    noise_rows: Int64[np.ndarray, " noise"] = field(default_factory=lambda: np.zeros(0, np.int64))

    @property
    def stores(self) -> tuple[Store | ImageFolder, ...]:
        """The store itself, or the stores that are joined in it."""
        return self.store.stores if isinstance(self.store, JoinedStore) else (self.store,)

    @property
    def rows_of_data_set(self) -> Int64[np.ndarray, " some_clips"]:
        """The clips that are learned from, without those of `training.noise_folder`."""
        return self.rows[: len(self.rows) - self.noise_clips]

    @cached_property
    def sampled_classes(self) -> Int32[np.ndarray, " clips"]:
        """The class of each clip; −1 for those that `drawn_ratio` limits: unlabelled ones and noise clips."""
        first = len(self.rows_of_data_set)
        return np.concatenate([self.labels.primary[:first], np.full(self.noise_clips, -1, np.int32)])

    @cached_property
    def recordings(self) -> list[str]:
        """Names of all recordings that are learned from, also indirectly, or used for validation."""
        return [*self._direct_recordings, *self.only_indirect_recordings]

    @cached_property
    def only_indirect_recordings(self) -> list[str]:
        """Names of the recordings that are learned from through other networks alone."""
        return sorted(self.indirect_recordings.difference(self._direct_recordings))

    @cached_property
    def _direct_recordings(self) -> list[str]:
        rows = np.concatenate([self.rows, self.validation_rows])
        return self.store.clips["recording"][rows].unique(maintain_order=True).to_list()

    @cached_property
    def validation_recordings(self) -> list[str]:
        """Names of the recordings for validation."""
        return self.store.clips["recording"][self.validation_rows].unique(maintain_order=True).to_list()

    @cached_property
    def fingerprint(self) -> str:
        """A text that changes if the clips, their labels or their order do."""
        table = self.store.clips[np.concatenate([self.rows, self.validation_rows])].select(
            "recording",
            pl.col("index").alias("number"),  # as the first version named it: runs on disk keep the fingerprint
        )
        content = hashlib.sha256(table.write_csv().encode() + "\n".join(self.classes).encode())
        # without background sound as earlier versions, whose runs on disk keep their fingerprint
        for array in (*self.labels, *self.validation_labels, self.noise.sounds):
            content.update(array.tobytes())
        return content.hexdigest()[:16]

    def clips(self, rows: Int64[np.ndarray, " n"]) -> Shaped[np.ndarray, "n ..."]:
        """Read what the store keeps of some of its rows: spectrograms (uint8), or samples with margins (int16)."""
        if isinstance(self.store, ImageFolder) or not self.store.keeps_sound:
            return self.store.spectrograms(rows)
        return self.store.sounds(rows)

    def peaks(self, rows: Int64[np.ndarray, "*batch"]) -> Float32[np.ndarray, "*batch"] | None:
        """Return the largest samples of some rows; None if the store keeps spectrograms."""
        return self.store.clips["peak"].to_numpy()[rows] if self.store.keeps_sound else None

    @cached_property
    def clip_bytes(self) -> int:
        """Bytes of one clip to learn from."""
        return self.clips(self.rows[:1]).nbytes

    @property
    def bytes(self) -> int:
        """Bytes of all clips to learn from, their soft targets, background sounds, and spectrograms for validation."""
        soft_targets = 0 if self.soft_targets is None else 4 * len(self.rows) * self.soft_targets.columns
        spectrogram = self.store.spectrograms(self.rows[:1]).nbytes
        for_validation = spectrogram * len(self.validation_rows)
        return self.clip_bytes * len(self.rows) + for_validation + soft_targets + self.noise.sounds.nbytes


def read_examples(config: Config) -> Examples:
    """Open the store, the folder `training.images` or the pack `training.packed`, and choose the examples.

    Raises
    ------
    UserError
        If it does not exist, was made with other settings, or has nothing to learn from.
    """
    if config.training.images:
        split = read_split(config.dataset) if has_split(config.dataset) else None
        images = ImageFolder(config.training.images, split, config)
        return choose_examples(images, images.split, config)
    if config.training.packed:
        pack = open_pack(config, config.training.packed)
        return choose_examples(pack, pack.split, config)
    check_settings(config)
    store = Store(config.dataset.root, config.spectrogram, at=config.dataset.store)
    return choose_examples(store, read_split(config.dataset), config)


def choose_examples(store: Store | ImageFolder, split: pl.DataFrame, config: Config) -> Examples:
    """Choose the clips to learn from and those for validation; no recording gives both.

    With `training.all_data`, val/ and test/ are learned, too, but for classes that train/ does not have.

    Raises
    ------
    UserError
        If there is nothing to learn from, or the store is older than the split.
    """
    as_sorted = split
    if config.training.all_data:
        split = split.with_columns(split=pl.lit("train"))
    train = split.filter(split="train")
    _check_in_store(train, store)
    validation_names = _validation_names(store, split, config)
    used = pl.col("recording").is_in([*train["recording"], *validation_names])
    clips = store.clips.with_row_index("clip").filter(used)
    for_validation = pl.col("recording").is_in(list(validation_names))
    rejected = clips.filter(~pl.col("accepted") & ~for_validation)
    learned = _clips_to_learn(clips.filter(pl.col("accepted") & ~for_validation), rejected, config)
    if config.training.all_data:
        learned = _of_classes_in(as_sorted.filter(split="train")["recording"].to_list(), learned)
    learned = draw_data_share(learned, split, config.training)
    classes = tuple(sorted({*learned["class"], *_class_of_noise_folder(config)}))
    _check_classes(classes, train)
    validation = clips.filter(pl.col("accepted") & for_validation & pl.col("class").is_in(classes))
    recordings = _labels_per_recording(validation)
    return Examples(
        store=store,
        classes=classes,
        rows=_row_numbers(learned),
        labels=_clip_labels(learned, classes, quality=config.training.quality_weights),
        validation_rows=_row_numbers(validation),
        validation_labels=_clip_labels(validation, classes, quality=False),
        validation_recording=_indices(validation["recording"], recordings["recording"].to_list()).astype(np.int64),
        validation_truth=ground_truth(recordings, classes, background=True),
        validation_primary=_primary_labels(recordings, split, classes),
        noise=read_noise(
            store, _row_numbers(rejected), config, held_out=_files_not_learned(split, validation_names, config)
        ),
        noise_rows=choose_noise(_row_numbers(rejected), seed=config.training.seed),
    )


def _validation_names(store: Store | ImageFolder, split: pl.DataFrame, config: Config) -> set[str]:
    """Return the recordings for validation; a pack has chosen them."""
    if isinstance(store, Pack):
        return store.validation_recordings
    names = split.filter(split="train")["recording"].to_list()
    learnable = pl.col("accepted") & pl.col("recording").is_in(names) & _in_signal_interval(config)
    return choose_validation_recordings(split, store.clips.filter(learnable).select("recording", "class"), config)


def _check_in_store(train: pl.DataFrame, store: Store | ImageFolder) -> None:
    missing = set(train["recording"]) - set(store.recordings["recording"])
    if missing:
        raise UserError(
            f"{store.address}: {len(missing)} recordings of split.parquet are not in the store ({min(missing)}, …); "
            "run spec.py with the same experiment first"
        )


def _clips_to_learn(accepted: pl.DataFrame, rejected: pl.DataFrame, config: Config) -> pl.DataFrame:
    """Return the accepted clips within `training.signal_interval`, and with `noise_class` the rejected ones."""
    learned = accepted.filter(_in_signal_interval(config))
    if not config.training.noise_class:
        return learned
    noise = rejected.with_columns(pl.lit(NOISE).alias("class"), pl.lit([], pl.List(pl.String)).alias("background"))
    return pl.concat([learned, noise])


def _class_of_noise_folder(config: Config) -> tuple[str, ...]:
    """Return the class that `training.noise_folder` adds, even if no clip of the store has it."""
    return (NOISE,) if config.training.noise_folder and config.training.noise_class else ()


def _of_classes_in(train: Collection[str], learned: pl.DataFrame) -> pl.DataFrame:
    """Leave out the clips of val/ and test/ (`training.all_data`) whose class has no clip in train/.

    So the classes are those of a model that was validated, and dataset.min_recordings and whitelist keep their meaning.
    """
    known = learned.filter(pl.col("recording").is_in(list(train)))["class"].unique()
    lost = sorted(set(learned["class"]) - set(known))
    if lost:
        what = "classes have" if len(lost) > 1 else "class has"
        warning(
            f"{len(lost)} {what} clips in val/ or test/, but none in train/: left out: "
            f"{', '.join(lost[:LISTED_CLASSES])}{' …' if len(lost) > LISTED_CLASSES else ''}"
        )
    return learned.filter(pl.col("class").is_in(known.implode()))


def _in_signal_interval(config: Config) -> pl.Expr:
    """Tell which clips are within `training.signal_interval`; all clips of noise are."""
    return pl.col("score").is_between(*config.training.signal_interval) | (pl.col("class") == NOISE)


def _check_classes(classes: tuple[str, ...], train: pl.DataFrame) -> None:
    """Refuse fewer than two classes; warn of classes in train/ that have no clip."""
    if not classes:
        raise UserError(
            "no clips to learn from: clips.signal_threshold or training.signal_interval excludes all of them; spec.py "
            "prints how many clips it kept"
        )
    if len(classes) == 1:
        raise UserError(
            f"only one class has clips to learn from ({classes[0]}), but a classifier needs at least two; add "
            "recordings of other species, or set "
            "training.noise_class"
        )
    lost = sorted(set(train["class"]) - {"", *classes})
    if lost:
        warning(
            f"{len(lost)} classes have no clip to learn from and are left out: "
            f"{', '.join(lost[:LISTED_CLASSES])}{' …' if len(lost) > LISTED_CLASSES else ''}"
        )


def _files_not_learned(split: pl.DataFrame, validation: Collection[str], config: Config) -> list[Path]:
    """Return the sound files of recordings that are held out, or used for validation."""
    others = split.filter((pl.col("split") != "train") | pl.col("recording").is_in(list(validation)))
    return [config.dataset.root / file for file in others["file"].drop_nulls() if not is_address(file)]


def _labels_per_recording(clips: pl.DataFrame) -> pl.DataFrame:
    """Return one row per recording: the class of its first clip, and as background all labels of its clips.

    Clips of long recordings can have different labels.
    """
    labels = clips.group_by("recording", maintain_order=True).agg(
        pl.col("class").first(),
        pl.col("class").unique().sort().alias("primary"),
        pl.col("background").explode().drop_nulls().unique().sort(),
    )
    return labels.with_columns(background=pl.col("primary").list.concat("background"))


def _primary_labels(
    recordings: pl.DataFrame, split: pl.DataFrame, classes: tuple[str, ...]
) -> Int64[np.ndarray, " recordings"]:
    """Return the index of each recording's class in the split; −1 if it is none of the classes."""
    index = {label: column for column, label in enumerate(classes)}
    label_of = dict(split.select("recording", "class").iter_rows())
    return np.array([index.get(label_of[name], -1) for name in recordings["recording"]], np.int64)


def _row_numbers(clips: pl.DataFrame) -> Int64[np.ndarray, " clips"]:
    return clips["clip"].cast(pl.Int64).to_numpy()


def _clip_labels(clips: pl.DataFrame, classes: tuple[str, ...], *, quality: bool) -> Labels:
    """Return the labels of clips as indices of classes; background labels that are no class are left out."""
    known = (
        clips.select("background")
        .with_row_index("row")
        .explode("background")
        .filter(pl.col("background").is_in(classes))
    )
    column = known.select(pl.int_range(pl.len(), dtype=pl.Int32).over("row")).to_series().to_numpy()
    background = np.full((len(clips), int(column.max(initial=-1)) + 1), -1, np.int32)
    background[known["row"].to_numpy(), column] = _indices(known["background"], classes)
    weight = clips["weight"].to_numpy() if quality else np.ones(len(clips), np.float32)
    return Labels(_indices(clips["class"], classes), background, weight)


def _indices(values: pl.Series, names: tuple[str, ...] | list[str]) -> Int32[np.ndarray, " values"]:
    """Return the index of each value in `names`."""
    index = {name: index for index, name in enumerate(names)}
    return np.array([index[value] for value in values], np.int32)
