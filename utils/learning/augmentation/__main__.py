"""Draw a contact sheet of all augmentations on real clips: what each does, and how strong its amount is.

    python -m utils.learning.augmentation augmentation.png experiments/birdclef2018.toml
    python -m utils.learning.augmentation augmentation.png --recording blackbird.wav --augmentation.rotate 5 --draws 3
    python -m utils.learning.augmentation batch.png experiments/birdclef2018.toml --batch

One row per augmentation: a clip, and the same clip augmented several times. Augmentations that are off in the
experiment are shown with an example amount. The clips are those with the highest signal scores in the experiment's
store (or `training.images`), or in a recording. Augmentations of sound (`waveform`) are shown of a recording, or of a
store of sound. `--batch` shows a batch instead, as the model sees it in training, with its targets.
"""

import dataclasses
import functools
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from annotated_types import Ge, Lt

from config import Config
from utils import console

MOST_DRAWS = 20


@dataclasses.dataclass(frozen=True)
class AugmentationFlags:
    """Flags of a single call."""

    # use the clips of this recording instead of the store's; its rejected clips are the noise
    recording: Path | None = None
    batch: bool = False  # draw the first batch of an epoch, augmented as in training, with labels and targets
    epoch: Annotated[int, Ge(1), Lt(2**31)] = 1  # with --batch: the epoch
    draws: int = 5  # how often each clip is augmented, 1 to 20
    seed: int = 0  # random seed of the draws, 0 or more


def command(arguments: Sequence[str]) -> int:
    """Run the command line `augmentation.png [EXPERIMENT.toml] [--flag VALUE …]`; return the exit status."""
    paths = [Path(word) for word in arguments[:1] if not word.startswith("-")]
    main = functools.partial(write_contact_sheet, paths[0] if paths else None)
    return console.run(
        main,
        doc=__doc__,
        sections=("clips", "spectrogram", "waveform", "augmentation", "log"),
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
    from utils.learning.augmentation.contact_sheet import all_rows, draw_rows
    from utils.learning.augmentation.contact_sheet_clips import PLOTTED_CLIPS, from_recording, from_store

    if path is None or path.suffix.lower() != ".png":
        raise console.UserError(
            f"{path or 'no file'}: the first argument must be the image to write, such as augmentation.png"
        )
    if not 1 <= flags.draws <= MOST_DRAWS:
        raise console.UserError(f"--draws {flags.draws}: should be 1 to {MOST_DRAWS}")
    if not 0 <= flags.seed < 2**32:
        raise console.UserError(f"--seed {flags.seed}: should be 0 to {2**32 - 1}")
    if config.model.name == "External":
        raise console.UserError("model.name = External: its embeddings are not augmented as images or sound, nor drawn")
    if flags.batch:
        write_batch(path, config, flags)
        return
    material = from_recording(flags.recording, config) if flags.recording else from_store(config)
    if not len(material.noise):
        console.warning("there are no rejected clips, so augmentation.add is not on the contact sheet")
    if material.sounds is not None and not len(material.sounds.background):
        console.warning(
            "there are no rejected clips, so waveform.background is not on the contact sheet; set "
            "waveform.background_folder to show it"
        )
    draw_rows(path, list(all_rows(material, config, draws=flags.draws, seed=flags.seed)))
    clips = min(len(material.clips), PLOTTED_CLIPS)
    console.info(f"{console.printable(path)}: {clips} clips, each augmented {flags.draws} times")


def write_batch(path: Path, config: Config, flags: AugmentationFlags) -> None:
    """Draw the first batch of an epoch as the model sees it; without hard negatives, which a training finds.

    Raises
    ------
    UserError
        If a recording is named as well, or there is nothing to learn from.
    """
    from utils.learning.augmentation.batch_plot import plot_batch
    from utils.learning.examples import read_examples
    from utils.learning.noise_clips import with_noise_folder

    if flags.recording:
        raise console.UserError("--batch takes the clips of the experiment's store: leave out --recording")
    examples = with_noise_folder(read_examples(config), config)
    shown = plot_batch(path, examples, config, epoch=flags.epoch)
    console.info(f"{console.printable(path)}: {shown} clips of the first batch of epoch {flags.epoch}")


if __name__ == "__main__":
    sys.exit(command(sys.argv[1:]))
