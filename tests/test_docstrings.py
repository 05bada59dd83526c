"""The examples in docstrings of the functions that people import first are true."""

import doctest
import importlib

import pytest

MODULES = ("utils.spectra.spectrogram", "utils.spectra.recording_spectrograms", "utils.scoring.metrics.ranking")


@pytest.mark.parametrize("name", MODULES)
def test_examples(name: str) -> None:
    tested = doctest.testmod(importlib.import_module(name))
    assert tested.attempted > 0
    assert tested.failed == 0
