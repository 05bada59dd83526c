"""The metric that training monitors: its value on the validation recordings decides which epoch is the best."""

import math
from dataclasses import dataclass
from typing import Literal

TITLES = {
    "mlrap": "MLRAP",
    "macro_f1": "macro F1",
    "weighted_f1": "weighted F1",
    "cmap": "cmAP",
    "accuracy": "accuracy",
    "loss": "loss",
}
ALWAYS_BY_CLIP = ("accuracy", "loss")
F1_METRICS = ("macro_f1", "weighted_f1")
MonitorUnit = Literal["recording", "clip"]
UNITS: dict[str, MonitorUnit] = {"recording": "recording", "clip": "clip"}


@dataclass(frozen=True)
class Monitored:
    """The value of the monitored metric after an epoch.

    Attributes
    ----------
    metric : name, as in `training.monitor`
    unit : what it is a mean over: recording or clip
    value : None without validation recordings

    Raises
    ------
    ValueError
        If metric or unit is not known.
    """

    metric: str = "mlrap"
    unit: MonitorUnit = "recording"
    value: float | None = None

    def __post_init__(self) -> None:
        if self.metric not in TITLES or self.unit not in UNITS:
            raise ValueError(f"{self.metric} by {self.unit} is not a metric that training monitors")

    @property
    def title(self) -> str:
        """The name for people, with the unit where it is not the usual one: 'MLRAP', 'macro F1 (by clip)'."""
        return f"{TITLES[self.metric]}{self._unit_text}"

    @property
    def text(self) -> str:
        """Name and value for people: 'macro F1 0.612 (by clip)'."""
        value = "none" if self.value is None else f"{self.value:.3f}"
        return f"{TITLES[self.metric]} {value}{self._unit_text}"

    @property
    def _unit_text(self) -> str:
        usual = self.metric in ALWAYS_BY_CLIP or (self.metric, self.unit) == ("mlrap", "recording")
        return "" if usual else f" (by {self.unit})"

    def rank(self, validation_loss: float | None) -> tuple[float, float]:
        """Return what the best epoch maximises; with few recordings many have the same value, so the loss decides."""
        value = -math.inf if self.value is None or math.isnan(self.value) else self.value
        if self.metric == "loss" and value > -math.inf:
            value = -value
        return value, 0.0 if validation_loss is None else -validation_loss
