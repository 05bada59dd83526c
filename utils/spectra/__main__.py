"""Look at one recording, without any data set: a contact sheet of its sound, spectrograms and clips.

    python -m utils.spectra robin.wav robin.png
    python -m utils.spectra robin.wav robin.png experiments/mine.toml --at 12.5 --clips.choose peaks

From top to bottom: the waveform, the signal-to-noise curve with the peaks at which clips.choose = peaks cuts clips, and
the signal scores of all clips; every kind of spectrogram of some seconds around --at; and the clips that the settings
choose, in colours where the signal rule accepts them and in grey where it rejects them.
"""

import dataclasses
import functools
import sys
from collections.abc import Sequence
from pathlib import Path

from config import Config
from utils import console


@dataclasses.dataclass(frozen=True)
class LookFlags:
    """Flags of a single call."""

    # middle of the part whose spectrograms are shown, seconds from the start of the recording; none: that of the clip
    # with the highest signal score
    at: float | None = None
    seconds: float = 10.0  # length of that part, seconds, 0.1 to 60


def command(arguments: Sequence[str]) -> int:
    """Run the command line `RECORDING OUT.png [EXPERIMENT.toml] [--flag VALUE …]`; return the exit status."""
    paths = []
    for word in arguments[:2]:
        if word.startswith("-"):
            break
        paths.append(Path(word))
    return console.run(
        functools.partial(look, paths),
        doc=__doc__,
        sections=("clips", "spectrogram", "log"),
        flags=LookFlags,
        arguments=arguments[len(paths) :],
        script="-m utils.spectra RECORDING OUT.png",
    )


def look(paths: Sequence[Path], config: Config, flags: LookFlags) -> None:
    """Write the contact sheet, and print a summary."""
    from utils.spectra.recording_look import ShownPart, look_at

    look_at(paths, config, ShownPart(flags.at, flags.seconds))


if __name__ == "__main__":
    sys.exit(command(sys.argv[1:]))
