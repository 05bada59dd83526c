"""An epoch sees the clips that the settings ask for, in another order each time."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from config import Training
from utils.learning.sampling import clips_per_epoch, drawn_per_epoch, epoch_order, packed_order, steps_for

PRIMARY = np.repeat([0, 1, 2], [20, 3, 1]).astype(np.int32)


def counts(settings: Training, *, epoch: int = 1) -> np.ndarray:
    order = epoch_order(PRIMARY, settings, epoch=epoch).ravel()[: clips_per_epoch(PRIMARY, settings)]
    return np.bincount(order, minlength=len(PRIMARY))


def test_every_clip_once() -> None:
    primary = np.zeros(10, np.int32)
    order = epoch_order(primary, Training(batch_size=4, seed=1), epoch=2)
    assert order.shape == (3, 4)
    assert sorted(order.ravel()[:10]) == list(range(10))
    assert order.ravel()[10:].tolist() == order.ravel()[:2].tolist()
    assert not np.array_equal(order, epoch_order(primary, Training(batch_size=4, seed=1), epoch=3))
    assert not np.array_equal(order, epoch_order(primary, Training(batch_size=4, seed=2), epoch=2))
    assert epoch_order(primary[:3], Training(batch_size=8), epoch=1).shape == (1, 8)


def test_small_classes_are_seen_several_times() -> None:
    found = counts(Training(min_per_class=7))
    assert found[:20].tolist() == [1] * 20
    assert sorted(found[20:23].tolist()) == [2, 2, 3]
    assert found[23] == 7


def test_large_classes_are_drawn_from_anew() -> None:
    settings = Training(max_per_class=5)
    found = [counts(settings, epoch=epoch) for epoch in range(1, 9)]
    assert all(seen[:20].sum() == 5 and seen[20:].tolist() == [1, 1, 1, 1] for seen in found)
    assert len({tuple(np.flatnonzero(seen[:20])) for seen in found}) > 1


def test_balanced() -> None:
    settings = Training(sampler="balanced", max_per_class=0)
    drawn = sum(counts(settings, epoch=epoch) for epoch in range(1, 301))
    by_class = np.bincount(PRIMARY, weights=drawn)
    assert by_class.sum() == 300 * len(PRIMARY)
    np.testing.assert_allclose(by_class / by_class.sum(), 1 / 3, atol=0.03)


@given(
    sizes=st.lists(st.integers(0, 30), min_size=1, max_size=6).filter(any),
    least=st.integers(0, 20),
    more=st.integers(0, 20),
    batch=st.integers(1, 40),
)
def test_quotas(sizes: list[int], least: int, more: int, batch: int) -> None:
    primary = np.repeat(np.arange(len(sizes)), sizes).astype(np.int32)
    settings = Training(min_per_class=least, max_per_class=least + more, batch_size=batch)
    clips = clips_per_epoch(primary, settings)
    order = epoch_order(primary, settings, epoch=1)
    assert order.shape == (steps_for(clips, settings), batch)
    seen = np.bincount(primary[order.ravel()[:clips]], minlength=len(sizes))
    most = least + more or 10**9
    assert seen.tolist() == [min(max(size, least), most) if size else 0 for size in sizes]


def test_sizes_are_the_same_in_every_epoch() -> None:
    for settings in (Training(), Training(min_per_class=4, max_per_class=8), Training(sampler="balanced")):
        assert len({epoch_order(PRIMARY, settings, epoch=epoch).shape for epoch in range(1, 5)}) == 1


def test_a_config_that_contradicts_itself_is_refused(tmp_path: object) -> None:
    from config import SettingsError
    from utils.command_line import from_command_line

    with pytest.raises(SettingsError, match=r"max_per_class = 5: should be at least training\.min_per_class \(10\)"):
        from_command_line(
            ["--training.min_per_class", "10", "--training.max_per_class", "5"], doc="", script="train.py"
        )


@given(
    files=st.lists(st.integers(1, 9), min_size=1, max_size=8),
    buffer=st.integers(1, 40),
    batch=st.integers(1, 12),
    seed=st.integers(0, 9),
)
def test_a_pack_is_read_file_by_file_within_a_buffer(files: list[int], buffer: int, batch: int, seed: int) -> None:
    of_file = np.repeat(np.arange(len(files)), files)
    settings = Training(batch_size=batch, buffer=buffer, seed=seed)
    order = packed_order(of_file, settings, epoch=1)
    assert order.shape == (steps_for(len(of_file), settings), batch)
    clips = order.ravel()[: len(of_file)]
    assert sorted(clips) == list(range(len(of_file)))
    if buffer == 1:
        assert np.count_nonzero(np.diff(of_file[clips])) == len(files) - 1
    # the files in the order of their first clips in a stream without mixing
    stream = packed_order(of_file, replace(settings, buffer=1, batch_size=1), epoch=1).ravel()
    delay = np.argsort(clips)[stream] - np.arange(len(clips))  # of each clip of the stream
    assert delay.max() <= buffer
    assert delay.min() >= -buffer
    assert np.isin(order.ravel()[len(of_file) :], clips[-batch:]).all()


def test_packs_are_mixed_and_epochs_differ() -> None:
    of_file = np.repeat(np.arange(10), 10)
    settings = Training(batch_size=10, buffer=30)
    first, again, other = (packed_order(of_file, settings, epoch=epoch) for epoch in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert np.mean([len(set(of_file[batch])) for batch in first]) > 2


def test_clips_without_a_class_are_drawn_and_the_first_ones_always() -> None:
    primary = np.array([0] * 8 + [-1] * 10, np.int32)
    settings = Training(batch_size=4)
    for epoch in (1, 2):
        count = clips_per_epoch(primary, settings, drawn_ratio=0.5)
        assert count == 8 + 4
        assert drawn_per_epoch(primary, settings, drawn_ratio=0.5) == 4
        order = epoch_order(primary, settings, epoch=epoch, drawn_ratio=0.5, first=(17, 9))
        seen = order.ravel()[:count]
        assert sorted(seen[seen < 8].tolist()) == list(range(8))
        assert {9, 17} < set(seen[seen >= 8].tolist())
        assert len(set(seen.tolist())) == count
    orders = [epoch_order(primary, settings, epoch=epoch, drawn_ratio=0.5, first=(17, 9)) for epoch in (1, 2, 1)]
    assert np.array_equal(orders[0], orders[2])
    assert set(orders[0][orders[0] >= 8].tolist()) != set(orders[1][orders[1] >= 8].tolist())  # the rest by chance
    assert clips_per_epoch(primary, settings, drawn_ratio=9.0) == len(primary)
