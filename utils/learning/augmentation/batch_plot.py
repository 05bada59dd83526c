"""A batch as the model sees it in training, drawn with its labels and targets."""

import math
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from config import Config
from utils.learning.batch_images import Batch, augmented_images
from utils.learning.examples import Examples
from utils.learning.sampling import epoch_order
from utils.learning.steps import epoch_key
from utils.learning.targets import Labels, targets_of
from utils.plotting import new_figure, write_figure

PLOTTED_CLIPS = 32  # of a batch, at most
COLUMNS = 4
PANEL = (3.0, 1.5)  # width and height of a clip, inches
NAMED_TARGETS = 2  # classes that are named above a clip, at most
LEAST_TARGET = 0.01  # smaller targets are not named


def plot_batch(path: Path, examples: Examples, config: Config, *, epoch: int) -> int:
    """Draw the clips of the first batch of an epoch as PNG; return how many.

    Above each are the recording and the start of its clip, and the classes with the largest targets. A mixture shows
    the clip itself and the next one of the batch.
    """
    settings = config.training
    order = epoch_order(examples.sampled_classes, settings, epoch=epoch, drawn_ratio=examples.drawn_ratio)[0]
    rows = examples.rows[order]
    labels = Labels(*(leaf[order] for leaf in examples.labels))
    batch = jax.tree.map(jnp.asarray, Batch(examples.clips(rows), labels, None, examples.peaks(rows)))
    step_key = jax.random.fold_in(epoch_key(seed=settings.seed, epoch=epoch), 0)
    images, targets, _ = jax.jit(augmented_images, static_argnames="config")(
        batch,
        targets_of(batch.labels, len(examples.classes), settings),
        batch.labels.weight,
        jax.device_put(examples.noise),
        step_key,
        config=config,
    )
    clips = examples.store.clips[rows].select("recording", "start").rows()
    titles = [
        f"{recording}, {start:g} s\n{_target_text(target, examples.classes)}"
        for (recording, start), target in zip(clips, np.asarray(targets), strict=True)
    ]
    shown = min(len(rows), PLOTTED_CLIPS)
    _plot(path, np.asarray(images)[:shown], titles[:shown])
    return shown


def _target_text(target: Float[np.ndarray, " classes"], classes: tuple[str, ...]) -> str:
    """Name the classes with the largest targets."""
    largest = np.argsort(-target, kind="stable")[:NAMED_TARGETS].tolist()
    named = [f"{classes[index]} {target[index]:.2f}" for index in largest if target[index] >= LEAST_TARGET]
    return " + ".join(named) or "no class"


def _plot(path: Path, images: Float[np.ndarray, "clips height width"], titles: list[str]) -> None:
    rows = math.ceil(len(images) / COLUMNS)
    figure = new_figure(PANEL[0] * COLUMNS, (PANEL[1] + 0.4) * rows)
    grid = figure.subplots(rows, COLUMNS, squeeze=False).ravel()
    for axes in grid:
        axes.set_axis_off()
    for axes, image, title in zip(grid, images, titles, strict=False):
        axes.imshow(image, cmap="gray", vmin=0, vmax=1, aspect="auto", interpolation="nearest")
        axes.set_title(title, fontsize=7)
    write_figure(path, figure)
