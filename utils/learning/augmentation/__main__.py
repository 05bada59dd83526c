"""Draw a contact sheet of all augmentations on real clips: what each does, and how strong its amount is.

    python -m utils.learning.augmentation augmentation.png experiments/birdclef2018.toml
    python -m utils.learning.augmentation augmentation.png --recording blackbird.wav --augmentation.rotate 5 --draws 3

One row per augmentation: a clip, and the same clip augmented several times. Augmentations that are off in the
experiment are shown with an example amount. The clips are those with the highest signal scores in the experiment's
store (or `training.images`), or in a recording.
"""

import dataclasses
import functools
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, UInt8

from config import Augmentation, Config
from utils import console
from utils.learning.augmentation import EXAMPLE_AMOUNTS, active_transforms, augment, mixup
from utils.learning.examples import read_examples
from utils.models.input_scaling import from_pixels
from utils.plotting import new_figure, write_figure
from utils.spectra.clips import clip_samples, cut_grid
from utils.spectra.decode import decode
from utils.spectra.spectrogram import scored_spectrogram, to_pixels

OFF = Augmentation(roll_v=0.0, add=False)
RULES = {"count", "probability", "stripes", "mixup", "mixup_share"}  # settings that are no transforms
PLOTTED_CLIPS = 6  # different clips in a contact sheet, in turn
MOST_DRAWS = 20
PANEL = (2.0, 1.0)  # width and height of a clip, inches


@dataclasses.dataclass(frozen=True)
class AugmentationFlags:
    """Flags of a single call."""

    # use the clips of this recording instead of the store's; its rejected clips are the noise
    recording: Path | None = None
    draws: int = 5  # how often each clip is augmented, 1 to 20
    seed: int = 0  # random seed of the draws, 0 or more


class Material(NamedTuple):
    """What the contact sheet is drawn from: clips, those with the highest signal scores first, and noise."""

    clips: UInt8[np.ndarray, "clips height width"]
    noise: UInt8[np.ndarray, "noise height width"]


class TransformRow(NamedTuple):
    """A row of the contact sheet: a title, the clip, and the augmented clips, each with a caption."""

    title: str
    clip: Float[np.ndarray, "height width"]
    draws: list[tuple[Float[np.ndarray, "height width"], str]]


def command(arguments: Sequence[str]) -> int:
    """Run the command line `augmentation.png [EXPERIMENT.toml] [--flag VALUE …]`; return the exit status."""
    paths = [Path(word) for word in arguments[:1] if not word.startswith("-")]
    main = functools.partial(write_contact_sheet, paths[0] if paths else None)
    return console.run(
        main,
        doc=__doc__,
        flags=AugmentationFlags,
        arguments=arguments[len(paths) :],
        script="-m utils.learning.augmentation augmentation.png",
    )


def write_contact_sheet(path: Path | None, config: Config, flags: AugmentationFlags) -> None:
    """Write the contact sheet as PNG.

    Raises
    ------
    UserError
        If no file is named for it, a flag is out of its range, or there are no clips.
    """
    if path is None or path.suffix.lower() != ".png":
        raise console.UserError(
            f"{path or 'no file'}: the first argument must be the image to write, such as augmentation.png"
        )
    if not 1 <= flags.draws <= MOST_DRAWS:
        raise console.UserError(f"--draws {flags.draws}: should be 1 to {MOST_DRAWS}")
    if not 0 <= flags.seed < 2**32:
        raise console.UserError(f"--seed {flags.seed}: should be 0 to {2**32 - 1}")
    material = from_recording(flags.recording, config) if flags.recording else from_store(config)
    if not len(material.noise):
        console.warning("there are no rejected clips, so augmentation.add is not on the contact sheet")
    draw_rows(path, list(rows(material, config.augmentation, flags)))
    clips = min(len(material.clips), PLOTTED_CLIPS)
    console.info(f"{console.printable(path)}: {clips} clips, each augmented {flags.draws} times")


def from_store(config: Config) -> Material:
    """Take the clips with the highest signal scores, one per recording, from those that the experiment learns from."""
    examples = read_examples(config)
    table = examples.store.clips.with_row_index("clip")[examples.rows].sort("score", descending=True)
    best = table.unique("recording", keep="first", maintain_order=True)["clip"].head(PLOTTED_CLIPS)
    return Material(examples.store.spectrograms(best.to_numpy().astype(np.int64)), examples.noise)


def from_recording(file: Path, config: Config) -> Material:
    """Cut a recording into clips on the grid, and divide them by their signal scores.

    Raises
    ------
    UserError
        If the recording cannot be read, or is too short or too quiet for a clip.
    """
    length, step, min_length = clip_samples(config.clips, rate=config.spectrogram.rate)
    blocks = decode(file, rate=config.spectrogram.rate, channel=config.spectrogram.channel)
    scored = [
        scored_spectrogram(samples, config.spectrogram)
        for _, clips in cut_grid(blocks, length=length, step=step, min_length=min_length)
        for samples in clips
    ]
    spectrograms, scores = [one for one, _ in scored], np.array([score for _, score in scored])
    accepted = [index for index in np.argsort(-scores) if scores[index] >= config.clips.signal_threshold]
    if not accepted:
        raise console.UserError(
            f"{file}: none of its {len(spectrograms)} clips has a signal score of at least clips.signal_threshold"
        )
    pixels = np.stack([to_pixels(spectrogram) for spectrogram in spectrograms])
    return Material(pixels[accepted[:PLOTTED_CLIPS]], pixels[scores < config.clips.signal_threshold])


def rows(material: Material, settings: Augmentation, flags: AugmentationFlags) -> Iterator[TransformRow]:
    """Augment the clips: a row for each transform, one for mixup, and one for all settings together."""
    noise, key = jnp.asarray(material.noise), jax.random.key(flags.seed)
    names = [field.name for field in dataclasses.fields(Augmentation) if field.name not in RULES]
    for index, name in enumerate(names):
        amount = _amount_to_show(settings, name)
        stripes = settings.stripes if getattr(settings, name) == amount else EXAMPLE_AMOUNTS.stripes
        only = dataclasses.replace(OFF, stripes=stripes, **{name: amount})
        for transform in active_transforms(only, noise).values():
            copies = _copies(material, index, flags)
            keys = jax.random.split(jax.random.fold_in(key, index), flags.draws)
            images = np.asarray(jax.jit(transform)(copies, keys))
            draws = images[:1] if (images == images[0]).all() else images  # transforms without randomness: one image
            caption = f"{_amount_text(amount)}, {stripes} stripes" if name.endswith("_mask") else _amount_text(amount)
            yield TransformRow(f"{name}\n{caption}", np.asarray(copies[0]), [(image, "") for image in draws])
    yield _mixup_row(material, settings, flags)
    copies = _copies(material, 0, flags)
    images = np.asarray(augment(copies, jax.random.fold_in(key, len(names)), settings, noise))
    active = ", ".join(active_transforms(settings, noise)) or "none"
    title = f"as set: {active}\ncount {settings.count}, probability {settings.probability:g}"
    yield TransformRow(title, np.asarray(copies[0]), [(image, "") for image in images])


def _copies(material: Material, index: int, flags: AugmentationFlags) -> jax.Array:
    """Return a clip as often as it is to be augmented."""
    clip = jnp.asarray(material.clips[index % len(material.clips)])
    return from_pixels(jnp.stack([clip] * flags.draws))


def _mixup_row(material: Material, settings: Augmentation, flags: AugmentationFlags) -> TransformRow:
    """Mix a clip with each of the others in turn; the caption is the part of the clip itself."""
    amount = _amount_to_show(settings, "mixup")
    others = [1 + draw % max(1, len(material.clips) - 1) for draw in range(flags.draws)]
    pairs = np.stack([material.clips[clip % len(material.clips)] for other in others for clip in (0, other)])
    targets = jnp.tile(jnp.eye(2), (flags.draws, 1))
    key = jax.random.key(flags.seed)
    images, mixed, _ = mixup(from_pixels(jnp.asarray(pairs)), targets, jnp.ones(len(pairs)), key, amount=amount)
    draws = [
        (image, f"{part:.0%} of this clip")
        for image, part in zip(np.asarray(images[::2]), mixed[::2, 0].tolist(), strict=True)
    ]
    return TransformRow(f"mixup\n{_amount_text(amount)}", pairs[0] / np.float32(255), draws)


def _amount_to_show(settings: Augmentation, name: str) -> Any:
    """Return the amount that is set, or the example amount if the augmentation is off."""
    amount = getattr(settings, name)
    return getattr(EXAMPLE_AMOUNTS, name) if amount == getattr(OFF, name) else amount


def _amount_text(amount: Any) -> str:
    if isinstance(amount, tuple):
        return " ".join(f"{part:g}" for part in amount)
    return "on" if amount is True else str(amount)


def draw_rows(path: Path, table: Sequence[TransformRow]) -> None:
    """Draw rows of clips, black to white for 0 to 1, before each is rescaled for the network."""
    columns = 1 + max(len(row.draws) for row in table)
    figure = new_figure(1.6 + PANEL[0] * columns, 0.4 + (PANEL[1] + 0.2) * len(table))
    grid = figure.subplots(len(table), columns, squeeze=False)
    for axes, row in zip(grid, table, strict=True):
        axes[0].set_ylabel(row.title, rotation=0, ha="right", va="center", fontsize=9)
        for panel, (image, caption) in zip(axes, [(row.clip, ""), *row.draws], strict=False):
            panel.imshow(image, cmap="gray", vmin=0, vmax=1, aspect="auto", interpolation="nearest")
            panel.set_xlabel(caption, fontsize=8, labelpad=1)
        for panel in axes:
            panel.set(xticks=[], yticks=[])
        for panel in axes[1 + len(row.draws) :]:
            panel.set_axis_off()
    grid[0][0].set_title("clip", fontsize=10)
    grid[0][min(1, columns - 1)].set_title("augmented", fontsize=10, loc="left")
    write_figure(path, figure, dpi=90)


if __name__ == "__main__":
    sys.exit(command(sys.argv[1:]))
