"""Draw every variation of pictures on real clips, to look at: what each does, and how far its amount goes.

    python -m utils.learning.augmentation sheet.png experiments/birdclef2018.toml
    python -m utils.learning.augmentation sheet.png --recording blackbird.wav --augmentation.rotate 5 --draws 3

One row a variation: a clip, and the same clip varied several times. Variations that are off in the experiment are shown
with an amount that is usual. The clips are those of the experiment's store (or `training.pictures`) that stand out most
from their background, or a recording's.
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
from utils.learning.augmentation import augment, mixup, variations
from utils.learning.examples import read_examples
from utils.models.networks import from_pixels
from utils.plotting import new_figure, write_figure
from utils.spectra.clips import clip_samples, cut
from utils.spectra.decode import decode
from utils.spectra.signal_score import signal_score
from utils.spectra.spectrogram import make_picture, to_pixels

OFF = Augmentation(roll_v=0.0, add=False)
USUAL = Augmentation(  # what is shown of the variations that are off
    flip="time", roll=0.15, roll_h=0.5, crop=(0.2, 0.2, 0.2, 0.2), zoom=0.5, rotate=10.0, contrast=(0.5, 3.0), brightness=0.5, lightness=0.5,
    multiply=0.5, mean=True, blur=5, noise=0.05, dropout=0.25, blackout=0.2, time_mask=0.2, frequency_mask=0.2, stripes=2, mixup=1.0,
)  # fmt: skip
RULES = {"count", "probability", "stripes", "mixup", "mixup_share"}  # settings that are no variation of their own
CLIPS = 6  # different clips in a sheet, in turn
MOST_DRAWS = 20
PANEL = (2.0, 1.0)  # width and height of a picture, inches


@dataclasses.dataclass(frozen=True)
class Flags:
    """What this call may ask for."""

    # draw on the clips of this recording instead of the store's; its rejected clips are the noise
    recording: Path | None = None
    draws: int = 5  # how often each clip is varied, 1 to 20
    seed: int = 0  # another seed, other draws of the same clips; 0 or more


class Material(NamedTuple):
    """What the sheet is drawn from: clips, those that stand out most first, and noise."""

    clips: UInt8[np.ndarray, "clips height width"]
    noise: UInt8[np.ndarray, "pictures height width"]


class Row(NamedTuple):
    """A row of the sheet: what is done, the clip, and the clip varied, with a word below each picture."""

    name: str
    clip: Float[np.ndarray, "height width"]
    draws: list[tuple[Float[np.ndarray, "height width"], str]]


def command(arguments: Sequence[str]) -> int:
    """Run the command line `sheet.png [EXPERIMENT.toml] [--flag VALUE …]`; returns the exit status."""
    named = [Path(word) for word in arguments[:1] if not word.startswith("-")]
    main = functools.partial(write_sheet, named[0] if named else None)
    return console.run(
        main,
        doc=__doc__,
        flags=Flags,
        arguments=arguments[len(named) :],
        script="-m utils.learning.augmentation sheet.png",
    )


def write_sheet(path: Path | None, config: Config, flags: Flags) -> None:
    """Draw the sheet as PNG.

    Raises
    ------
    UserError
        If no file is named for it, a flag is out of its range, or there are no clips.
    """
    if path is None or path.suffix.lower() != ".png":
        raise console.UserError(f"{path or 'no file named'}: name the picture to write first, such as sheet.png")
    if not 1 <= flags.draws <= MOST_DRAWS:
        raise console.UserError(f"--draws {flags.draws}: should be 1 to {MOST_DRAWS}")
    if not 0 <= flags.seed < 2**32:
        raise console.UserError(f"--seed {flags.seed}: should be 0 to {2**32 - 1}")
    material = from_recording(flags.recording, config) if flags.recording else from_store(config)
    if not len(material.noise):
        console.warn("no rejected clip was kept as noise, so the sheet is without augmentation.add")
    draw_rows(path, list(rows(material, config.augmentation, flags)))
    console.say(f"{console.shown(path)}: {min(len(material.clips), CLIPS)} clips, varied {flags.draws} times each")


def from_store(config: Config) -> Material:
    """Take the clips with the highest signal scores, one a recording, from what the experiment learns from."""
    examples = read_examples(config)
    table = examples.store.clips.with_row_index("clip")[examples.rows]
    best = (
        table.sort("score", descending=True).unique("recording", keep="first", maintain_order=True)["clip"].head(CLIPS)
    )
    return Material(examples.store.pictures(best.to_numpy().astype(np.int64)), examples.noise)


def from_recording(file: Path, config: Config) -> Material:
    """Cut a recording into clips on the grid, and divide them by their signal scores.

    Raises
    ------
    UserError
        If the recording cannot be read, or is too short or too quiet for a clip.
    """
    length, step, least = clip_samples(config.clips, rate=config.spectrogram.rate)
    blocks = decode(file, rate=config.spectrogram.rate, channel=config.spectrogram.channel)
    pictures = [
        make_picture(samples, config.spectrogram)
        for _, clips in cut(blocks, length=length, step=step, least=least)
        for samples in clips
    ]
    scores = np.array([signal_score(picture) for picture in pictures])
    kept = [number for number in np.argsort(-scores) if scores[number] >= config.clips.signal_threshold]
    if not kept:
        raise console.UserError(
            f"{file}: none of its {len(pictures)} clips has a signal score of clips.signal_threshold or more"
        )
    pixels = np.stack([to_pixels(picture) for picture in pictures])
    return Material(pixels[kept[:CLIPS]], pixels[scores < config.clips.signal_threshold])


def rows(material: Material, settings: Augmentation, flags: Flags) -> Iterator[Row]:
    """Vary the clips: a row for each variation, one for mixup, one for all that the settings ask for."""
    noise = jnp.asarray(material.noise)
    key = jax.random.key(flags.seed)
    names = [field.name for field in dataclasses.fields(Augmentation) if field.name not in RULES]
    for number, name in enumerate(names):
        amount = _own_or_usual(settings, name)
        stripes = settings.stripes if getattr(settings, name) == amount else USUAL.stripes
        one = dataclasses.replace(OFF, stripes=stripes, **{name: amount})
        for variation in variations(one, noise).values():
            copies = from_pixels(jnp.stack([jnp.asarray(material.clips[number % len(material.clips)])] * flags.draws))
            varied = np.asarray(
                jax.jit(variation)(copies, jax.random.split(jax.random.fold_in(key, number), flags.draws))
            )
            seen = varied[:1] if (varied == varied[0]).all() else varied  # what draws nothing looks the same each time
            said = f"{_said(amount)}, {stripes} stripes" if name.endswith("_mask") else _said(amount)
            yield Row(f"{name}\n{said}", np.asarray(copies[0]), [(picture, "") for picture in seen])
    yield _mixed(material, settings, flags)
    copies = from_pixels(jnp.stack([jnp.asarray(material.clips[0])] * flags.draws))
    together = np.asarray(augment(copies, jax.random.fold_in(key, len(names)), settings, noise))
    yield Row(f"as set: {', '.join(variations(settings, noise)) or 'none'}\ncount {settings.count}, probability {settings.probability:g}",
              np.asarray(copies[0]), [(picture, "") for picture in together])  # fmt: skip


def _mixed(material: Material, settings: Augmentation, flags: Flags) -> Row:
    """Mix a clip with each of the others in turn; below stands how much of the target is the clip's own."""
    amount = _own_or_usual(settings, "mixup")
    others = [1 + number % max(1, len(material.clips) - 1) for number in range(flags.draws)]
    pairs = np.stack([material.clips[clip % len(material.clips)] for other in others for clip in (0, other)])
    own = jnp.tile(jnp.eye(2), (flags.draws, 1))
    key = jax.random.key(flags.seed)
    pictures, targets, _ = mixup(from_pixels(jnp.asarray(pairs)), own, jnp.ones(len(pairs)), key, amount=amount)
    draws = [
        (picture, f"{part:.0%} its own")
        for picture, part in zip(np.asarray(pictures[::2]), targets[::2, 0].tolist(), strict=True)
    ]
    return Row(f"mixup\n{_said(amount)}", pairs[0] / np.float32(255), draws)


def _own_or_usual(settings: Augmentation, name: str) -> Any:
    """Return the amount that is set, or of a variation that is off, the usual one."""
    own = getattr(settings, name)
    return getattr(USUAL, name) if own == getattr(OFF, name) else own


def _said(amount: Any) -> str:
    if isinstance(amount, tuple):
        return " ".join(f"{number:g}" for number in amount)
    return "on" if amount is True else str(amount)


def draw_rows(path: Path, table: Sequence[Row]) -> None:
    """Draw rows of pictures, black to white for 0 to 1: not stretched, as the net's are afterwards."""
    columns = 1 + max(len(row.draws) for row in table)
    figure = new_figure(1.6 + PANEL[0] * columns, 0.4 + (PANEL[1] + 0.2) * len(table))
    grid = figure.subplots(len(table), columns, squeeze=False)
    for axes, row in zip(grid, table, strict=True):
        axes[0].set_ylabel(row.name, rotation=0, ha="right", va="center", fontsize=9)
        for panel, (picture, said) in zip(axes, [(row.clip, ""), *row.draws], strict=False):
            panel.imshow(picture, cmap="gray", vmin=0, vmax=1, aspect="auto", interpolation="nearest")
            panel.set_xlabel(said, fontsize=8, labelpad=1)
        for panel in axes:
            panel.set(xticks=[], yticks=[])
        for panel in axes[1 + len(row.draws) :]:
            panel.set_axis_off()
    grid[0][0].set_title("the clip", fontsize=10)
    grid[0][min(1, columns - 1)].set_title("varied", fontsize=10, loc="left")
    write_figure(path, figure, dpi=90)


if __name__ == "__main__":
    sys.exit(command(sys.argv[1:]))
