"""The image of an explanation is drawn for spectrograms of any kind, size and importance."""

from pathlib import Path

import numpy as np
import pytest

from config import Spectrogram
from utils.scoring.inference.clip_search import FoundClip
from utils.scoring.inference.occlusion import occlude
from utils.scoring.reports.explanation_plot import ExplainedClip, draw_explanation


@pytest.mark.parametrize("kind", ["mel", "linear"])
def test_an_image_is_drawn(tmp_path: Path, kind: str) -> None:
    settings = Spectrogram(kind=kind, rate=16_000, fmin=500.0, fmax=7000.0, height=17, width=31)
    pixels = np.random.default_rng(1).integers(0, 256, settings.shape).astype(np.uint8)
    clips = []
    for sign in (1.0, 0.0):  # the second score is constant
        found = occlude(pixels, lambda some, sign=sign: sign * some.mean(axis=(1, 2)), cells=(5, 7), batch_size=9)
        clip = FoundClip(-0.3, 1.0, pixels, np.zeros(2))
        clips.append(ExplainedClip("Aa $x_{$ 鸟", "snapshots/mine/epoch_001", clip, found, settings))
    draw_explanation(tmp_path / "x.png", clips, title="a_$b$.wav")
    assert (tmp_path / "x.png").read_bytes().startswith(b"\x89PNG")
