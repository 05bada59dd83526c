"""The clips on the contact sheet of augmentations: of a store or of one recording."""

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from jaxtyping import Float

from config import Config
from utils import console
from utils.augmentation_checks import margin_needed
from utils.learning.augmentation.contact_sheet import ClipSounds, Material, with_sound_examples
from utils.learning.background_sounds import read_background
from utils.learning.examples import read_examples
from utils.spectra.clips import clip_samples, cut_grid, margin_samples
from utils.spectra.decode import decode
from utils.spectra.image_folder import ImageFolder
from utils.spectra.spectrogram import scored_spectrogram, to_pixels
from utils.spectra.stored_sound import to_16_bit

PLOTTED_CLIPS = 6  # different clips in a contact sheet, in turn
BACKGROUND_CLIPS = 32  # rejected clips of a recording that are background sound, at most


def from_store(config: Config) -> Material:
    """Take the clips with the highest signal scores, one per recording, from those that the experiment learns from."""
    examples = read_examples(config)
    table = examples.store.clips.with_row_index("clip")[examples.rows].sort("score", descending=True)
    best = table.unique("recording", keep="first", maintain_order=True)["clip"].head(PLOTTED_CLIPS)
    rows = best.to_numpy().astype(np.int64)
    sounds = None
    if not isinstance(examples.store, ImageFolder) and examples.store.keeps_sound:
        margin = margin_samples(config.clips, rate=config.spectrogram.rate)
        sounds = ClipSounds(
            examples.store.sounds(rows), examples.store.clips["peak"].to_numpy()[rows], examples.noise.sounds, margin
        )
    return Material(examples.store.spectrograms(rows), examples.noise.spectrograms, sounds)


def from_recording(file: Path, config: Config) -> Material:
    """Cut a recording into clips on the grid, and divide them by their signal scores.

    Raises
    ------
    UserError
        If the recording cannot be read, or is too short or too quiet for a clip.
    """
    scored = [scored_spectrogram(samples, config.spectrogram) for samples in _clips_of_file(file, config)]
    spectrograms, scores = [one for one, _ in scored], np.array([score for _, score in scored])
    accepted = [index for index in np.argsort(-scores).tolist() if scores[index] >= config.clips.signal_threshold]
    if not accepted:
        raise console.UserError(
            f"{file}: none of its {len(spectrograms)} clips has a signal score of at least clips.signal_threshold"
        )
    pixels = np.stack([to_pixels(spectrogram) for spectrogram in spectrograms])
    best, rejected = accepted[:PLOTTED_CLIPS], np.flatnonzero(scores < config.clips.signal_threshold)
    return Material(
        pixels[best], pixels[rejected], _sounds_of(file, config, best, rejected[:BACKGROUND_CLIPS].tolist())
    )


def _clips_of_file(file: Path, config: Config, *, margin: int = 0) -> Iterator[Float[np.ndarray, " samples"]]:
    """Yield the clips of a recording, each with `margin` samples before and after it."""
    length, step, min_length = clip_samples(config.clips, rate=config.spectrogram.rate)
    blocks = decode(file, rate=config.spectrogram.rate, channel=config.spectrogram.channel)
    for _, clips in cut_grid(blocks, length=length, step=step, min_length=min_length, margin=margin):
        yield from clips


def _sounds_of(file: Path, config: Config, best: list[int], rejected: list[int]) -> ClipSounds:
    """Decode a recording once more for the sound of some of its clips, with as much margin as the rows need."""
    rate, settings = config.spectrogram.rate, config.waveform
    needed = margin_needed(with_sound_examples(settings), length=config.clips.length)
    margin = math.ceil(max(needed, config.clips.margin) * rate)
    chosen = {*best, *rejected}
    kept = {
        index: to_16_bit(clip)
        for index, clip in enumerate(_clips_of_file(file, config, margin=margin))
        if index in chosen
    }
    length, _, _ = clip_samples(config.clips, rate=rate)
    rows, peaks = zip(*(kept[index] for index in best), strict=True)
    background = np.array([kept[index][0] for index in rejected], np.int16).reshape(-1, length + 2 * margin)
    if settings.background_folder:
        background = read_background(
            settings.background_folder,
            rate=rate,
            samples=length,
            seed=config.training.seed,
            channel=config.spectrogram.channel,
        )
    return ClipSounds(np.stack(rows), np.array(peaks, np.float32), background, margin)
