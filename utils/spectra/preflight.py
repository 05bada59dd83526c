"""A look at every recording before hours of work: which cannot be read, and which hold little or nothing to learn from."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import Float

from config import Config
from utils import console
from utils.fanout import fan_out
from utils.recordings.recording import Recording
from utils.recordings.view import sound_of
from utils.sound.reading import Reading
from utils.spectra.decode import Channel, decode

SILENT = 1e-4  # a recording whose loudest sample is below this (−80 dB) is silent
FULL_SCALE = 0.999  # samples from here on were probably cut off
CLIPPED = 0.001  # a recording of which more than this share was cut off is clipped
MOSTLY = 0.9  # a recording of which more than this share is exactly 0 has gaps


@dataclass(frozen=True)
class Levels:
    """What one recording holds.

    Attributes
    ----------
    seconds : its length
    peak : its loudest sample, 1 is full scale
    clipped, zero : share of its samples at full scale, and of those that are exactly 0
    warnings : what is odd about its file
    """

    seconds: float
    peak: float
    clipped: float
    zero: float
    warnings: tuple[str, ...] = ()

    def doubts(self, *, min_length: float) -> list[str]:
        """Return what speaks against learning from it, in words."""
        found = [*self.warnings]
        if self.seconds < min_length:
            found.append(f"short: {self.seconds:.2f} s, less than a clip")
        if self.peak < SILENT:
            found.append(f"silent: its loudest sample is {self.peak:.1g} of full scale")
        elif self.zero > MOSTLY:
            found.append(f"silent for the most part: {self.zero:.0%} of its samples are 0")
        if self.clipped > CLIPPED:
            found.append(f"clipped: {self.clipped:.1%} of its samples are at full scale")
        return found


def levels_of(file: Path, *, channel: Channel = "mean") -> Levels:
    """Decode a whole recording, once.

    Raises
    ------
    AudioError
        If it cannot be used.
    """
    samples, peak, clipped, zero = 0, 0.0, 0, 0
    with Reading(file, quick=True) as sound:
        rate = sound.rate  # so that nothing is resampled
    warnings: list[str] = []

    def decoded() -> Iterator[Float[np.ndarray, " _"]]:
        length = yield from decode(file, rate=rate, channel=channel)
        warnings.extend(length.warnings)

    for block in decoded():
        level = np.abs(block)
        samples += len(level)
        peak = max(peak, float(level.max(initial=0.0)))
        clipped += int(np.count_nonzero(level >= FULL_SCALE))
        zero += int(np.count_nonzero(level == 0))
    return Levels(samples / rate, peak, clipped / samples, zero / samples, tuple(warnings))


def check_audio(recordings: Sequence[Recording], config: Config) -> list[console.Failure]:
    """Decode every recording, in parallel, and list those that cannot be used and those that one should listen to.

    Returns
    -------
    Those that cannot be used.
    """
    passed = console.stopwatch()
    root = config.dataset.root.resolve()
    names = {sound_of(recording, root): recording.name for recording in recordings}
    failures, doubtful, seconds = [], [], 0.0
    with (
        console.progress("decoding", total=len(names), unit="recordings") as advance,
        closing(
            fan_out(
                partial(levels_of, channel=config.spectrogram.channel),
                [*names],
                workers=config.workers,
                name=lambda file: names[file],
            )
        ) as outcomes,
    ):
        for file, outcome in outcomes:
            if isinstance(outcome, console.Failure):
                failures.append(outcome)
            else:
                seconds += outcome.seconds
                doubtful += [
                    console.Failure(names[file], doubt) for doubt in outcome.doubts(min_length=config.clips.min_length)
                ]
            advance(note=f"{seconds / passed():.0f} × real time")
    console.show_table(
        "Checked (nothing was changed)",
        {
            "recordings": f"{len(names) - len(failures)} of {len(names)} can be read, {console.clock(seconds)} of sound",
            "doubtful": f"{len({failure.name for failure in doubtful})} recordings",
            "time": console.clock(passed()),
        },
    )
    console.report_failures(doubtful, what="doubts", done="about recordings that can be read")
    console.report_failures(failures, what="recordings", done="cannot be used")
    return failures
