"""What does not go with `training.noise_folder` is refused before anything is read."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from config import Config, Distillation, Model, SettingsError, Training
from utils.settings_checks import check

NOISE = Path("noise")
SIGMOID = Training(loss="binary", noise_folder=NOISE, hard_negatives=0.5)


def test_what_goes_with_it() -> None:
    check(replace(Config(), training=SIGMOID))
    check(replace(Config(), training=Training(noise_folder=NOISE, noise_class=True)))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"training": Training(hard_negatives=0.5)}, r"hard_negatives = 0\.5: needs training\.noise_folder"),
        ({"training": Training(noise_folder=NOISE)}, r"noise_class = false: should be true .*or set training\.loss"),
        ({"training": replace(SIGMOID, loss="focal")}, r"noise_class = false: should be true .*focal"),
        ({"training": replace(SIGMOID, loss="triplet", noise_class=True)}, r"loss = .triplet.: does not go with"),
        ({"training": replace(SIGMOID, packed=Path("pack"))}, r"packed = .pack.: does not go with .*remove one"),
        ({"training": replace(SIGMOID, images=Path("png"))}, r"images = .png.: does not go with"),
        (
            {"training": SIGMOID, "distillation": Distillation(teachers=(Path("one"),), loss="binary")},
            r"noise_folder = .noise.: does not go with distillation\.teachers",
        ),
        (
            {"training": SIGMOID, "model": Model(name="External", weights="bird.onnx", head="none")},
            r"head = .none.: learns nothing, so remove training\.noise_folder",
        ),
    ],
)
def test_what_does_not(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message) as error:
        check(replace(Config(), **changes))
    assert "\n" not in str(error.value)
