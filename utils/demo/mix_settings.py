"""How soundscapes are mixed."""

from dataclasses import dataclass


@dataclass(frozen=True)
class MixSettings:
    """How soundscapes are mixed.

    Attributes
    ----------
    seconds, rate : length and sample rate (Hz) of a soundscape
    events : calls per minute
    snr : lowest and highest signal-to-noise ratio of a call, decibels
    seed : the same seed and recordings give the same bytes
    """

    seconds: float = 60.0
    events: float = 11.0
    snr: tuple[float, float] = (3.0, 20.0)
    rate: int = 32_000
    seed: int = 0
