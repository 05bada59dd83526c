"""Hundreds of damaged files are refused, used with a warning, or used if the decoder finds no damage.

Undamaged files beside them give the same spectrograms as without them.
"""

import functools
import re
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import sort_data
import spec
from config import Config
from tests.conftest import RATE, small_config
from tests.untrusted.sounds import DAMAGES, FORMATS, whole_sounds, write_damaged, write_whole
from tests.workers import MEASURED, extract_measured
from utils.recordings.archive import read_archive
from utils.sound.opening import AudioError
from utils.spectra import engines, store_writer
from utils.spectra.audio_check import check_audio
from utils.spectra.decode import decode
from utils.spectra.store import Store
from utils.workers.fanout import fan_out

CLASS = "Altus clarus"
MOST_SECONDS = 10.0  # for any file
MOST_MEMORY = 400.0  # megabytes of a worker; libraries take 200 of them
SEED = 2018
ALL = tuple(FORMATS)
# kinds of damage after which nothing may be read as the recording, and the formats
REFUSED: dict[str, tuple[str, ...]] = {
    "cut_in_header": ("adpcm.wav", "alac.caf", "caf", "flac", "float.wav", "mp3", "ogg", "opus", "rf64", "w64"),
    "long_tag": ALL,
    "nested_chunks": tuple(ending for ending in ALL if ending != "mp3"),
    "many_chunks": ("alac.caf", "au", "caf", "flac", "ogg", "opus", "w64"),
    "nothing_but": ("alac.caf", "flac", "mp3", "ogg", "opus"),
}
COUNT = 3 * len(DAMAGES) * len(FORMATS)  # every damage to every format, three times: 630


def extracted(config: Config, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Sort and extract; return why each recording was refused, by its name."""
    sort_data.main(config)
    monkeypatch.setattr(engines, "extract", extract_measured)
    monkeypatch.setattr(store_writer, "fan_out", functools.partial(fan_out, time_limit=MOST_SECONDS))
    failures = spec.main(config).failures
    assert len({failure.name for failure in failures}) == len(failures)
    return {Path(failure.name).stem: failure.reason for failure in failures}


def spectrograms_by_name(root: Path) -> dict[str, bytes]:
    store = Store(root)
    rows = (
        store.clips.with_row_index("clip")
        .group_by("recording", maintain_order=True)
        .agg("clip", "start", "score", "accepted")
    )
    return {
        Path(name).name: repr((start, score, accepted)).encode()
        + store.spectrograms(np.array(clips, np.int64)).tobytes()
        for name, clips, start, score, accepted in rows.select(
            "recording", "clip", "start", "score", "accepted"
        ).iter_rows()
    }


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.usefixtures("processes")
def test_damaged_sounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    alone = small_config(tmp_path / "alone", tmp_path / "whole")
    whole = write_whole(tmp_path / "whole" / CLASS)
    assert extracted(alone, monkeypatch) == {}

    together = small_config(tmp_path / "together", tmp_path / "archive")
    write_whole(tmp_path / "archive" / CLASS)
    damaged = write_damaged(tmp_path / "archive" / CLASS, count=COUNT, seed=SEED)
    (together.dataset.root / "spec").mkdir(parents=True)
    monkeypatch.setenv(MEASURED, str(tmp_path / "measured"))
    reasons = extracted(together, monkeypatch)

    recordings = pl.read_parquet(together.dataset.root / "spec" / "recordings.parquet")
    done = {Path(name).name for name in recordings.filter(pl.col("reason").is_null())["recording"]}
    warned = {
        Path(name).name: warning
        for name, warning in recordings.filter(pl.col("warning").is_not_null())
        .select("recording", "warning")
        .iter_rows()
    }
    assert done | reasons.keys() == {*whole, *damaged}
    assert done.isdisjoint(reasons)
    assert warned.keys() <= done - set(whole)
    assert len(reasons) > COUNT / 6
    assert len(reasons) + len(warned) > COUNT / 3
    # all are longer
    short = {
        Path(name).name
        for name, seconds in recordings.select("recording", "seconds").iter_rows()
        if seconds and seconds < 1.9
    }
    assert short <= warned.keys()
    assert all(5 < len(reason) < 250 and "\n" not in reason for reason in reasons.values())
    assert not [reason for reason in reasons.values() if "stopped after" in reason]
    expected, found = spectrograms_by_name(alone.dataset.root), spectrograms_by_name(together.dataset.root)
    assert len(expected) == len(FORMATS)
    assert {name: found.get(name) == pixels for name, pixels in expected.items()} == dict.fromkeys(expected, True)
    measured = [line.split(" ", 2) for line in (tmp_path / "measured").read_text().splitlines()]
    assert len(measured) >= len(done)
    assert [(name, seconds) for seconds, _, name in measured if float(seconds) > MOST_SECONDS] == []
    assert [(name, peak) for _, peak, name in measured if float(peak) > MOST_MEMORY] == []


@pytest.mark.chaos
def test_damaged_sounds_are_checked_before_anything_is_changed(tmp_path: Path) -> None:
    config = small_config(tmp_path / "root", tmp_path / "archive")
    whole = write_whole(tmp_path / "archive" / CLASS)
    damaged = write_damaged(tmp_path / "archive" / CLASS, count=COUNT, seed=SEED)
    failures = {
        Path(failure.name).name: failure.reason
        for failure in check_audio(read_archive(config.dataset).recordings, config)
    }
    assert failures.keys() <= set(damaged)
    assert len(failures) > 100
    assert not [name for name in whole if name in failures]
    assert not [reason for reason in failures.values() if re.search("stopped after|died|Error:", reason)]


@pytest.mark.parametrize(
    ("damage", "ending"), [(damage, ending) for damage, endings in REFUSED.items() for ending in endings]
)
def test_what_must_not_be_read_as_sound(tmp_path: Path, damage: str, ending: str) -> None:
    whole = whole_sounds()
    (damaged,) = [function for function in DAMAGES if function.__name__ == damage]
    file = tmp_path / f"a.{ending.split('.')[-1]}"
    for seed in range(5):
        file.write_bytes(damaged(whole[ending], whole, np.random.default_rng((SEED, seed))))
        with pytest.raises(AudioError):
            list(decode(file, rate=RATE))


def test_every_kind_that_must_be_refused_exists() -> None:
    assert REFUSED.keys() <= {damage.__name__ for damage in DAMAGES}
