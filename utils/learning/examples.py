"""Which clips are learned from and which watch training: the store joined with the split."""

import hashlib
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl
from jaxtyping import Bool, Int32, Int64, UInt8

from config import Config
from utils.console import UserError, warn
from utils.learning.cached_predictions import KeptAnswers
from utils.learning.targets import Labels
from utils.recordings.labels import truth_of
from utils.recordings.recording import NOISE
from utils.recordings.splits import draw, quotas, read_split
from utils.spectra.image_folder import PictureFolder
from utils.spectra.joined_store import JoinedStore
from utils.spectra.store import Store, check_settings

NOISE_BANK = 512  # pictures of noise that are kept on the device, at most


@dataclass(frozen=True)
class Examples:
    """The clips of one training, as rows of `store.clips`.

    Attributes
    ----------
    classes : in the order of the net's outputs
    rows, labels : the clips that are learned from, and what is known of each
    val_rows, val_labels : the same of the clips that watch training
    val_recording : the number of the recording of each of these
    val_truth : which classes are right for each recording that watches, background species included
    noise : pictures of rejected clips
    taught_by : names of the recordings that teachers learned from, or that watched them
    answers : the teachers' to all clips of the store, where they are kept
    """

    store: Store | PictureFolder | JoinedStore
    classes: tuple[str, ...]
    rows: Int64[np.ndarray, " clips"]
    labels: Labels
    val_rows: Int64[np.ndarray, " val_clips"]
    val_labels: Labels
    val_recording: Int64[np.ndarray, " val_clips"]
    val_truth: Bool[np.ndarray, "val_recordings classes"]
    noise: UInt8[np.ndarray, "pictures height width"]
    taught_by: frozenset[str] = frozenset()
    answers: KeptAnswers | None = None

    @property
    def stores(self) -> tuple[Store | PictureFolder, ...]:
        """What the store is made of: itself, or the stores that are joined in it."""
        return self.store.stores if isinstance(self.store, JoinedStore) else (self.store,)

    @cached_property
    def recordings(self) -> list[str]:
        """The names of the recordings that are learned from, also by teachers, or watch."""
        own = (
            self.store.clips["recording"][np.concatenate([self.rows, self.val_rows])]
            .unique(maintain_order=True)
            .to_list()
        )
        return [*own, *sorted(self.taught_by.difference(own))]

    @cached_property
    def fingerprint(self) -> str:
        """A text that changes when the clips, their labels or their order do."""
        table = self.store.clips[np.concatenate([self.rows, self.val_rows])].select("recording", "number")
        content = hashlib.sha256(table.write_csv().encode() + "\n".join(self.classes).encode())
        for array in (*self.labels, *self.val_labels):
            content.update(array.tobytes())
        return content.hexdigest()[:16]

    @cached_property
    def picture_bytes(self) -> int:
        """How many bytes a picture has."""
        return self.store.pictures(self.rows[:1]).nbytes

    @property
    def bytes(self) -> int:
        """How many bytes all pictures have, and the teachers' answers that are kept."""
        answers = 0 if self.answers is None else 4 * len(self.rows) * len(self.classes)
        return self.picture_bytes * (len(self.rows) + len(self.val_rows)) + answers


def read_examples(config: Config) -> Examples:
    """Open what is learned from, the spectrogram store or the folder `training.pictures`, and choose the examples.

    Raises
    ------
    UserError
        If it is not there, was made with other settings, or holds nothing to learn from.
    """
    if config.training.pictures:
        split = read_split(config.dataset) if (config.dataset.root / "split.parquet").is_file() else None
        pictures = PictureFolder(config.training.pictures, split, config)
        return choose_examples(pictures, pictures.split, config)
    check_settings(config.dataset.root, config)
    return choose_examples(Store(config.dataset.root), read_split(config.dataset), config)


def choose_examples(store: Store | PictureFolder, split: pl.DataFrame, config: Config) -> Examples:
    """Join the store with the split, and divide the training recordings into those that are learned from and those that watch.

    No recording does both.

    Raises
    ------
    UserError
        If there is nothing to learn from, or the store is of an earlier sort.
    """
    train = split.filter(side="train")
    missing = set(train["recording"]) - set(store.recordings["recording"])
    if missing:
        raise UserError(
            f"{store.folder}: {len(missing)} recordings of split.parquet are not in it ({min(missing)}, …); run spec.py with the same experiment first"
        )
    watching = _watching(split, config)
    used = pl.col("recording").is_in([*train["recording"], *watching])
    clips = store.clips.with_row_index("clip").filter(used)
    low, high = config.training.signal_interval
    watches = pl.col("recording").is_in(list(watching))
    loud = pl.col("score").is_between(low, high) | (pl.col("class") == NOISE)
    learned = clips.filter(pl.col("accepted") & loud & ~watches)
    rejected = clips.filter(~pl.col("accepted") & ~watches)
    if config.training.noise_class:
        learned = pl.concat(
            [
                learned,
                rejected.with_columns(pl.lit(NOISE).alias("class"), pl.lit([], pl.List(pl.String)).alias("background")),
            ]
        )
    classes = tuple(sorted(learned["class"].unique()))
    if not classes:
        raise UserError(
            "no clip to learn from: clips.signal_threshold or training.signal_interval leave nothing; spec.py says how many it kept"
        )
    if len(classes) == 1:
        raise UserError(
            f"only one class has clips to learn from ({classes[0]}), and a net tells classes apart; add recordings of others, or training.noise_class"
        )
    lost = sorted(set(train["class"]) - {"", *classes})
    if lost:
        warn(
            f"{len(lost)} classes have no clip to learn from and are left out: {', '.join(lost[:5])}{' …' if len(lost) > 5 else ''}"
        )
    watch = clips.filter(pl.col("accepted") & watches & pl.col("class").is_in(classes))
    recordings = _right_for(watch)
    quality = config.training.quality_weights
    return Examples(
        store=store,
        classes=classes,
        rows=_rows(learned),
        labels=_labels(learned, classes, quality=quality),
        val_rows=_rows(watch),
        val_labels=_labels(watch, classes, quality=False),
        val_recording=_numbers(watch["recording"], recordings["recording"].to_list()).astype(np.int64),
        val_truth=truth_of(recordings, classes, background=True),
        noise=_noise(store, rejected, seed=config.training.seed),
    )


def _watching(split: pl.DataFrame, config: Config) -> set[str]:
    """Return the recordings that watch training: val/ where test/ is there besides, to be tested on; else some of train/, of fewer than three none."""
    if {"val", "test"} <= set(split["side"]):
        return set(split.filter(side="val")["recording"])
    classes = split.filter(side="train").group_by("class", maintain_order=True).agg("recording")
    settings = config.training
    counts = quotas(classes["recording"].list.len().to_list(), share=settings.val_share, least=3, seed=settings.seed)
    drawn = (
        draw(names, count, seed=settings.seed, label=label)
        for (label, names), count in zip(classes.iter_rows(), counts, strict=True)
    )
    return set().union(*drawn)


def _right_for(watch: pl.DataFrame) -> pl.DataFrame:
    """Return one row a recording: the class of its first clip, and as background all labels of its clips, which differ in long recordings."""
    labels = watch.group_by("recording", maintain_order=True).agg(
        pl.col("class").first(),
        pl.col("class").unique().sort().alias("own"),
        pl.col("background").explode().drop_nulls().unique().sort(),
    )
    return labels.with_columns(background=pl.col("own").list.concat("background"))


def _rows(clips: pl.DataFrame) -> Int64[np.ndarray, " clips"]:
    return clips["clip"].cast(pl.Int64).to_numpy()


def _labels(clips: pl.DataFrame, classes: tuple[str, ...], *, quality: bool) -> Labels:
    """Return the labels of clips as numbers; what sings besides and is no class is left out."""
    besides = (
        clips.select("background")
        .with_row_index("row")
        .explode("background")
        .filter(pl.col("background").is_in(classes))
    )
    place = besides.select(pl.int_range(pl.len(), dtype=pl.Int32).over("row")).to_series().to_numpy()
    others = np.full((len(clips), int(place.max(initial=-1)) + 1), -1, np.int32)
    others[besides["row"].to_numpy(), place] = _numbers(besides["background"], classes)
    weight = clips["weight"].to_numpy() if quality else np.ones(len(clips), np.float32)
    return Labels(_numbers(clips["class"], classes), others, weight)


def _numbers(values: pl.Series, names: tuple[str, ...] | list[str]) -> Int32[np.ndarray, " values"]:
    number = {name: index for index, name in enumerate(names)}
    return np.array([number[value] for value in values], np.int32)


def _noise(
    store: Store | PictureFolder, clips: pl.DataFrame, *, seed: int
) -> UInt8[np.ndarray, "pictures height width"]:
    rows = _rows(clips)
    if len(rows) == 0:
        first = store.pictures(np.zeros(1, np.int64))
        return first[:0]
    chosen = np.sort(np.random.default_rng((seed, 1)).permutation(rows)[:NOISE_BANK])
    return store.pictures(chosen)
