"""Clips start where they should, whatever the sizes of blocks."""

import json
from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from config import Clips
from utils.spectra.clips import clip_samples, cut_grid


def test_counts_are_the_baselines(golden: Path) -> None:
    for samples, overlap, min_length, count in json.loads((golden / "split_counts.json").read_text()):
        length, step, least = clip_samples(Clips(overlap=overlap, min_length=min_length), rate=44_100)
        found = [
            len(batch)
            for _, batch in cut_grid([np.zeros(samples, np.float32)], length=length, step=step, min_length=least)
        ]
        assert sum(found) == count, (samples, overlap, min_length)


@given(
    st.integers(0, 200),
    st.integers(1, 40),
    st.integers(1, 60),
    st.integers(0, 40),
    st.lists(st.integers(0, 200), max_size=8),
    st.integers(0, 50),
)
def test_cutting_a_stream_is_cutting_the_whole(
    samples: int, length: int, step: int, least: int, borders: list[int], margin: int
) -> None:
    least = min(least, length)
    sound = np.arange(1, samples + 1, dtype=np.float32)
    blocks = np.split(sound, sorted(border for border in borders if border <= samples))
    found = {
        first + index: clip
        for first, batch in cut_grid(blocks, length=length, step=step, min_length=least, margin=margin)
        for index, clip in enumerate(batch)
    }
    expected = {}
    for start in range(0, samples, step):
        rest = sound[start : start + length]
        if len(rest) >= max(least, 1):
            around = np.pad(sound, (margin, length + margin))
            expected[start // step] = around[start : start + length + 2 * margin]
    assert list(found) == list(expected)
    for index, clip in expected.items():
        np.testing.assert_array_equal(found[index], clip)
