"""Calls cut out of recordings that tell their species, but not when it calls: windows with much energy."""

from pathlib import Path

import numpy as np
from jaxtyping import Float, Float32
from scipy import signal

from utils.demo.singing import SoundArray
from utils.sound.opening import AudioError
from utils.spectra.decode import decode

LONGEST_SOURCE = 120.0  # seconds; more of a recording is not read
LOWEST_FREQUENCY = 150.0  # Hz; what is below is mostly wind, whose energy is not that of calls
_FRAME = 0.02  # seconds
_LOUD_SHARE = 0.5  # windows with at least this share of the energy of the loudest one are used
_QUIET = 10 ** (-2.5)  # power relative to the loudest frame, −25 dB; quieter ends are cut off
_SHORTEST = 1.0  # seconds that are left of a window
_FADE = 0.05  # seconds


def load_source(file: Path, *, rate: int) -> SoundArray:
    """Return the first minutes of a recording (`LONGEST_SOURCE`), without low frequencies.

    Raises
    ------
    AudioError
        If it cannot be decoded, is shorter than a tenth of a second, or silent.
    """
    wanted = int(LONGEST_SOURCE * rate)
    blocks: list[SoundArray] = []
    length = 0
    for block in decode(file, rate=rate):
        blocks.append(np.array(block, np.float32))  # a copy: the decoder may use its memory again
        length += len(block)
        if length >= wanted:
            break
    sound = _high_passed(np.concatenate(blocks)[:wanted] if blocks else np.zeros(0, np.float32), rate=rate)
    if len(sound) < 0.1 * rate:
        raise AudioError("is shorter than 0.1 s")
    if np.abs(sound).max() < 1e-5:
        raise AudioError(f"is silent above {LOWEST_FREQUENCY:.0f} Hz")
    return sound


def _high_passed(sound: SoundArray, *, rate: int) -> SoundArray:
    """Return a sound without frequencies below `LOWEST_FREQUENCY` (24 dB per octave)."""
    filters = signal.butter(4, LOWEST_FREQUENCY, "highpass", fs=rate, output="sos")
    filtered: SoundArray = signal.sosfilt(filters, sound).astype(np.float32)
    return filtered


def cut_call(
    sound: SoundArray, *, seconds: float, rate: int, rng: np.random.Generator
) -> tuple[float, Float32[np.ndarray, " call"]]:
    """Cut out one of the loudest windows, without quiet ends, faded in and out.

    Parameters
    ----------
    seconds : length of the window; the result is shorter if its ends are quiet, or the sound is short

    Returns
    -------
    Where it starts in the sound, seconds; and float32 (samples,).
    """
    frame = int(_FRAME * rate)
    energies = _frame_energies(sound, frame)
    width = min(round(seconds / _FRAME), len(energies))
    sums = np.cumsum(np.concatenate([[0.0], energies]))
    windows = sums[width:] - sums[:-width]
    first = int(rng.choice(np.flatnonzero(windows >= _LOUD_SHARE * windows.max())))
    loud, quiet = _without_quiet_ends(energies[first : first + width])
    start, stop = (first + loud) * frame, (first + quiet) * frame
    return start / rate, _faded(sound[start:stop], rate=rate)


def _frame_energies(sound: SoundArray, frame: int) -> Float[np.ndarray, " frames"]:
    frames = sound[: len(sound) // frame * frame].reshape(-1, frame)
    energies: Float[np.ndarray, " frames"] = np.einsum("ij,ij->i", frames, frames, dtype=np.float64)
    return energies


def _without_quiet_ends(energies: Float[np.ndarray, " frames"]) -> tuple[int, int]:
    """Return the first frame that is not quiet, and the one behind the last; at least `_SHORTEST` apart."""
    loud = np.flatnonzero(energies >= _QUIET * energies.max())
    least = min(round(_SHORTEST / _FRAME), len(energies))
    first = min(int(loud[0]), len(energies) - least)
    return first, max(int(loud[-1]) + 1, first + least)


def _faded(sound: Float32[np.ndarray, " samples"], *, rate: int) -> Float32[np.ndarray, " samples"]:
    """Return a sound that is faded in and out as a squared sine, over `_FADE` seconds or half of it."""
    edge = max(1, min(int(_FADE * rate), len(sound) // 2))
    rise = np.sin(0.5 * np.pi * np.arange(edge, dtype=np.float32) / edge) ** 2
    result = sound.copy()
    result[:edge] *= rise
    result[len(result) - edge :] *= rise[::-1]
    return result
