"""Checking all recordings before hours of work: which cannot be read, and which are short, silent or clipped."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import Float

from config import Config, Location
from utils import console
from utils.recordings.recording import Recording
from utils.recordings.sorted_folders import sound_file_of
from utils.sound.remote import local_copy
from utils.spectra.decode import Channel, Length, decode
from utils.workers.fanout import fan_out

SILENT = 1e-4  # recordings whose loudest sample is below this (−80 dB) are silent
FULL_SCALE = 0.999  # samples from this amplitude on are probably clipped
MAX_CLIPPED = 0.001  # recordings with a larger fraction of such samples are clipped
MAX_ZERO = 0.9  # recordings with a larger fraction of samples that are exactly 0 are mostly silent


@dataclass(frozen=True)
class Levels:
    """Length and levels of a recording.

    Attributes
    ----------
    seconds : length
    peak : amplitude of the loudest sample; full scale is 1
    clipped, zero : fractions of samples at full scale, and of samples that are exactly 0
    warnings : problems of the file
    """

    seconds: float
    peak: float
    clipped: float
    zero: float
    warnings: tuple[str, ...] = ()

    def problems(self, *, min_length: float) -> list[str]:
        """Return the reasons against training with this recording."""
        found = [*self.warnings]
        if self.seconds < min_length:
            found.append(f"short: {self.seconds:.2f} s, shorter than a clip")
        if self.peak < SILENT:
            found.append(f"silent: its loudest sample is {self.peak:.1g} of full scale")
        elif self.zero > MAX_ZERO:
            found.append(f"mostly silent: {self.zero:.0%} of its samples are 0")
        if self.clipped > MAX_CLIPPED:
            found.append(f"clipped: {self.clipped:.1%} of its samples are at full scale")
        return found


def audio_levels(file: Location, *, channel: Channel = "mean") -> Levels:
    """Decode a whole recording, without resampling, and return its levels.

    Raises
    ------
    AudioError
        If the recording cannot be used.
    """
    samples, peak, clipped, zero = 0, 0.0, 0, 0
    lengths: list[Length] = []

    def decoded(path: Path) -> Iterator[Float[np.ndarray, " _"]]:
        lengths.append((yield from decode(path, rate=None, channel=channel)))

    with local_copy(file) as path:
        for block in decoded(path):
            level = np.abs(block)
            samples += len(level)
            peak = max(peak, float(level.max(initial=0.0)))
            clipped += int(np.count_nonzero(level >= FULL_SCALE))
            zero += int(np.count_nonzero(level == 0))
    return Levels(samples / lengths[0].rate, peak, clipped / samples, zero / samples, lengths[0].warnings)


def check_audio(
    recordings: Sequence[Recording], config: Config, *, location_of: Callable[[Path], Location] = lambda file: file
) -> list[console.Failure]:
    """Decode all recordings, in parallel, and report those that cannot be used and those that may be bad.

    Parameters
    ----------
    location_of : where a file is, if the archive is elsewhere

    Returns
    -------
    The recordings that cannot be used.
    """
    passed = console.stopwatch()
    root = config.dataset.root.resolve()
    names = {location_of(sound_file_of(recording, root)): recording.name for recording in recordings}
    failures, problems, seconds = [], [], 0.0
    with (
        console.progress("decoding", total=len(names), unit="recordings") as advance,
        closing(
            fan_out(
                partial(audio_levels, channel=config.spectrogram.channel),
                [*names],
                workers=config.workers,
                name=lambda file: names[file],
                cluster=config.cluster,
            )
        ) as outcomes,
    ):
        for file, outcome in outcomes:
            if isinstance(outcome, console.Failure):
                failures.append(outcome)
            else:
                seconds += outcome.seconds
                found = outcome.problems(min_length=config.clips.min_length)
                problems += [console.Failure(names[file], problem) for problem in found]
            advance(note=f"{seconds / passed():.0f} × real time")
    readable = len(names) - len(failures)
    console.show_table(
        "Checked (nothing was changed)",
        {
            "recordings": f"{readable} of {len(names)} can be read, {console.clock(seconds)} of sound",
            "with problems": f"{len({failure.name for failure in problems})} recordings",
            "time": console.clock(passed()),
        },
    )
    console.report_failures(problems, what="problems", done="found in recordings that can be read")
    console.report_failures(failures, what="recordings", done="cannot be used")
    return failures
