"""Learning rates are the 2018 baseline's where they mean the same."""

import json
from pathlib import Path

import numpy as np
import pytest

from config import Training
from utils.learning.schedules import rates as step_rates
from utils.learning.schedules import schedule


def rates(name: str, *, epochs: int = 60, **more: float) -> np.ndarray:
    rate_of = schedule(Training(schedule=name, epochs=epochs, **more))  # type: ignore[arg-type]
    return np.array([float(rate_of(finished)) for finished in range(epochs)])


@pytest.mark.parametrize("name", ["linear", "root", "constant"])
def test_golden(golden: Path, name: str) -> None:
    expected = json.loads((golden / "learning_rate.json").read_text())[name]
    np.testing.assert_allclose(rates(name), expected, rtol=1e-4, atol=1e-9)


@pytest.mark.parametrize("name", ["linear", "cosine", "step"])
@pytest.mark.parametrize("epochs", [3, 7, 60])
def test_both_ends_are_kept(name: str, epochs: int) -> None:
    found = rates(name, epochs=epochs)
    assert found[0] == pytest.approx(0.001)
    assert found[-1] == pytest.approx(0.000001, rel=1e-3)
    assert (np.diff(found) <= 1e-12).all()


def test_cosine_is_half_a_cosine(golden: Path) -> None:
    found = rates("cosine", learning_rate_end=0.0)
    np.testing.assert_allclose(found, 0.0005 * (1 + np.cos(np.pi * np.arange(60) / 59)), atol=1e-9)
    # the original's ends at 0 one epoch after the last
    original = json.loads((golden / "learning_rate.json").read_text())["cosine"]
    np.testing.assert_allclose(rates("cosine", epochs=61, learning_rate_end=0.0)[:60], original, atol=1e-9)


def test_steps_are_equal_parts_and_factors() -> None:
    found = rates("step", epochs=9, steps=3)
    np.testing.assert_allclose(found, np.repeat([1e-3, 10**-4.5, 1e-6], 3), rtol=1e-4)


def test_one_epoch() -> None:
    for name in ("linear", "cosine", "root", "constant"):
        assert rates(name, epochs=1)[0] == pytest.approx(0.001)


def test_warm_up_rises_evenly_to_the_schedule() -> None:
    settings = Training(schedule="constant", epochs=3, warm_up=1.5)
    found = np.concatenate([step_rates(settings, epoch=epoch, steps=4) for epoch in (1, 2, 3)])
    np.testing.assert_allclose(found, 0.001 * np.minimum(np.arange(1, 13) / 6, 1), rtol=1e-6)
    np.testing.assert_array_equal(
        step_rates(Training(schedule="constant"), epoch=1, steps=3), np.full(3, 0.001, np.float32)
    )


def test_all_steps_of_an_epoch_have_its_rate() -> None:
    settings = Training(epochs=60)
    for epoch in (1, 30, 60):
        np.testing.assert_allclose(
            step_rates(settings, epoch=epoch, steps=2), float(schedule(settings)(epoch - 1)), rtol=1e-6
        )
