"""Messages while a recording is predicted: each of the predicting thread once, those of others always."""

import threading

import pytest

from utils import console
from utils.watching.prediction import _EachLineOnce


def test_messages_of_other_threads_are_not_held_back(capsys: pytest.CaptureFixture[str]) -> None:
    once = _EachLineOnce()
    for _ in range(2):
        with once.within():
            console.warning("of the settings")
            other = threading.Thread(target=console.warning, args=("webhook: status 500",))
            other.start()
            other.join()
    printed = capsys.readouterr().err
    assert (printed.count("of the settings"), printed.count("webhook: status 500")) == (1, 2)
