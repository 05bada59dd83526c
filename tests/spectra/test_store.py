"""The store does not depend on who filled it, when, or how often it was stopped."""

import dataclasses
import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

import sort_data
import spec
from config import Clips, Config
from tests.conftest import RATE, chirp, small_config
from utils import console
from utils.spectra import store_writer
from utils.spectra.clip_parts import (
    Clip,
    ClipReservoir,
    Part,
    RecordingSummary,
    copy_rows,
    is_complete_part,
    read_clip_part,
)
from utils.spectra.extraction import Job, extract
from utils.spectra.spectrogram import make_spectrogram, to_pixels
from utils.spectra.store import Store
from utils.workers.fanout import fan_out


@pytest.fixture
def config(tmp_path: Path, archive: Path) -> Config:
    soundfile.write(archive / "Altus clarus" / "short.wav", chirp(3000, seconds=0.5, seed=5), RATE)
    (archive / "Bassus gravis" / "text.wav").write_text("no sound")
    config = small_config(tmp_path / "root", archive)
    sort_data.main(config)
    return config


def content(root: Path) -> dict[str, bytes]:
    return {
        file.relative_to(root).as_posix(): file.read_bytes()
        for file in sorted((root / "spec").rglob("*"))
        if file.is_file()
    }


def test_rows_and_spectrograms(config: Config) -> None:
    extracted = spec.main(config)
    assert sorted((Path(failure.name).name, failure.reason.split(" (")[0]) for failure in extracted.failures) == [
        ("short.wav", "is 0.50 s long, shorter than a clip"),
        ("text.wav", "cannot be decoded: Format not recognised."),
    ]
    store = Store(config.dataset.root)
    assert len(store.recordings) == 11
    assert store.recordings["reason"].is_not_null().sum() == 2
    rejected = pl.read_csv(config.dataset.root / "spec" / "rejected.csv")
    assert sorted(rejected.columns) == ["file", "reason", "recording"]
    assert len(rejected) == 2
    row = store.clips.filter(recording="Altus clarus/A3", index=2).row(0, named=True)
    assert (row["class"], row["start"], row["length"], row["accepted"]) == ("Altus clarus", 1.5, 1.0, True)
    assert row["weight"] == pytest.approx(0.6)  # unrated
    samples, _ = soundfile.read(
        config.dataset.archive / "Altus clarus" / "A3.wav", dtype="float32", start=12_000, frames=8000
    )
    at = (
        store.clips.with_row_index("clip")
        .filter(recording="Altus clarus/A3", index=2)["clip"]
        .to_numpy()
        .astype(np.int64)
    )
    np.testing.assert_array_equal(store.spectrograms(at)[0], to_pixels(make_spectrogram(samples, config.spectrogram)))


@pytest.mark.usefixtures("processes")
def test_the_store_is_the_same_whatever_the_number_of_workers(config: Config, tmp_path: Path) -> None:
    spec.main(config)
    other = tmp_path / "other"
    shutil.copytree(config.dataset.root, other, ignore=shutil.ignore_patterns("spec"))
    spec.main(dataclasses.replace(config, workers=2, dataset=dataclasses.replace(config.dataset, root=other)))
    one, two = content(config.dataset.root), content(other)
    assert one.keys() == two.keys()
    assert {name for name in one if one[name] != two[name]} == {"spec/settings.toml"}


@pytest.mark.parametrize("stop_at", ["extract", "pack"])
def test_a_stopped_extraction_resumes_without_doing_recordings_again(
    config: Config, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, stop_at: str
) -> None:
    root = config.dataset.root
    spec.main(config)
    whole = content(root)
    shutil.rmtree(root / "spec")
    with monkeypatch.context() as patch:
        if stop_at == "extract":
            patch.setattr(store_writer, "fan_out", stopping_after(4))
        else:
            patch.setattr(store_writer, "recording_table", stop)
        with pytest.raises(KeyboardInterrupt):
            spec.main(config)
    assert not (root / "spec" / "clips.parquet").exists()
    parts = list((root / "spec" / "parts").glob("*.zip"))
    assert parts
    again: list[str] = []
    monkeypatch.setattr(store_writer, "fan_out", noting(again))
    spec.main(config)
    assert len(again) <= 11 - len(parts)
    assert content(root) == whole
    again.clear()
    spec.main(config)
    assert again == []
    assert content(root) == whole


@pytest.mark.parametrize("left", [bytes(50_000), None])
def test_a_part_that_a_power_cut_left_without_its_bytes_is_made_again(
    config: Config, monkeypatch: pytest.MonkeyPatch, left: bytes | None
) -> None:
    root = config.dataset.root
    with monkeypatch.context() as patch:
        patch.setattr(store_writer, "recording_table", stop)
        with pytest.raises(KeyboardInterrupt):
            spec.main(config)
    torn, *others = sorted((root / "spec" / "parts").glob("*.zip"), key=lambda part: part.stat().st_size, reverse=True)
    whole = torn.read_bytes()
    torn.write_bytes(
        whole[: len(whole) // 4] + bytes(len(whole) // 2) + whole[-(len(whole) // 4) :] if left is None else left
    )
    assert [is_complete_part(part) for part in (torn, *others)] == [False, *[True] * len(others)]
    spec.main(config)
    made = content(root)
    shutil.rmtree(root / "spec")
    spec.main(config)
    assert content(root) == made


def stop(*_: object) -> None:
    raise KeyboardInterrupt


def stopping_after(count: int):
    original = store_writer.fan_out

    def fan_out(*arguments, **more):
        for index, result in enumerate(original(*arguments, **more)):
            if index == count:
                raise KeyboardInterrupt
            yield result

    return fan_out


def noting(names: list[str]):
    original = store_writer.fan_out

    def fan_out(function, jobs, **more):
        names.extend(job.name for job in jobs)
        yield from original(function, jobs, **more)

    return fan_out


def test_other_settings_are_refused_by_name_unless_fresh(config: Config) -> None:
    spec.main(config)
    before = content(config.dataset.root)
    other = dataclasses.replace(config, clips=dataclasses.replace(config.clips, overlap=0.5), run="other")
    with pytest.raises(
        console.UserError, match=r"clips\.overlap was 0\.25, is 0\.5\); change them back, or run spec\.py --fresh"
    ):
        spec.main(other)
    assert content(config.dataset.root) == before
    spec.main(other, spec.Flags(fresh=True))
    assert len(Store(config.dataset.root).clips) > 0
    assert content(config.dataset.root) != before


def test_new_and_removed_recordings_touch_only_their_class(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    spec.main(config)
    before = content(config.dataset.root)
    soundfile.write(config.dataset.archive / "Altus clarus" / "new.wav", chirp(3000, seconds=3, seed=6), RATE)
    (config.dataset.archive / "Solus unicus" / "S0.flac").unlink()
    sort_data.main(config)
    names: list[str] = []
    monkeypatch.setattr(store_writer, "fan_out", noting(names))
    spec.main(config)
    # the others of its class are taken over; one that cannot be used is tried again
    assert names == ["Altus clarus/new", "Altus clarus/short"]
    store = Store(config.dataset.root)
    assert "Altus clarus/new" in store.clips["recording"].to_list()
    assert not any("Solus" in name for name in content(config.dataset.root))
    assert [name for name in before if "Bassus" in name and before[name] != content(config.dataset.root)[name]] == []


@pytest.mark.parametrize("keep", ["spectrograms", "sound"])
@pytest.mark.parametrize("choose", ["grid", "peaks"])
def test_a_store_that_grew_is_that_of_a_first_extraction(
    config: Config, keep: str, choose: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # 2 clips of each recording of a class of 4, then 1: most are capped, before and after
    config = dataclasses.replace(
        config, clips=dataclasses.replace(config.clips, max_per_class=5, noise_share=0.5, keep=keep, choose=choose)
    )
    spec.main(config)
    for index in range(2):
        sound = chirp(3000, seconds=3, seed=60 + index)
        soundfile.write(config.dataset.archive / "Altus clarus" / f"A1 {index}.wav", sound, RATE)
    sort_data.main(config)
    names: list[str] = []
    monkeypatch.setattr(store_writer, "fan_out", noting(names))
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(store_writer, "fan_out", stopping_after(1))
        spec.main(config)
    spec.main(config)
    assert set(names) == {"Altus clarus/A1 0", "Altus clarus/A1 1", "Altus clarus/short"}
    grown = content(config.dataset.root)
    spec.main(config, spec.Flags(fresh=True))
    first = content(config.dataset.root)
    assert grown.keys() == first.keys()
    assert [name for name in first if grown[name] != first[name]] == []


def test_clips_of_which_too_few_were_kept_are_computed_again(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    config = dataclasses.replace(config, clips=dataclasses.replace(config.clips, max_per_class=5))
    spec.main(config)
    for name in ("A0", "A1", "A2"):  # 3 clips of each recording now, which were 2
        (config.dataset.archive / "Altus clarus" / f"{name}.wav").unlink()
    sort_data.main(config)
    shard = config.dataset.root / "spec" / "shards" / "Bassus gravis-000"
    (shard / "key.txt").write_text("another")
    (shard / "sources.jsonl").write_text("no JSON")  # a damaged one is not used
    names: list[str] = []
    monkeypatch.setattr(store_writer, "fan_out", noting(names))
    spec.main(config)
    assert {"Altus clarus/A3", "Bassus gravis/B0"} <= set(names)


def test_a_missing_or_damaged_store_is_explained(config: Config) -> None:
    with pytest.raises(console.UserError, match=r"run spec\.py"):
        Store(config.dataset.root)
    spec.main(config)
    shard = next((config.dataset.root / "spec" / "shards").rglob("spectrograms.npy"))
    whole = shard.read_bytes()
    shard.write_bytes(whole[:200])
    with pytest.raises(console.UserError, match=r"spectrograms\.npy: is missing or damaged; remove key\.txt beside it"):
        Store(config.dataset.root)
    (shard.parent / "key.txt").unlink()
    spec.main(config)
    assert shard.read_bytes() == whole


@pytest.mark.parametrize(
    "changed",
    [
        pl.lit(-5000, pl.Int32).alias("row"),
        pl.lit(None, pl.String).alias("shard"),
        pl.lit("../../outside").alias("shard"),
    ],
)
def test_a_store_whose_table_names_what_cannot_be_is_refused(config: Config, changed: pl.Expr) -> None:
    spec.main(config)
    table = config.dataset.root / "spec" / "clips.parquet"
    pl.read_parquet(table).with_columns(changed).write_parquet(table)
    with pytest.raises(console.UserError, match=r"clips\.parquet: is missing or damaged; run spec\.py --fresh"):
        Store(config.dataset.root)


def test_a_shard_whose_header_never_ends_is_refused(config: Config) -> None:
    spec.main(config)
    shard = next((config.dataset.root / "spec" / "shards").rglob("spectrograms.npy"))
    header = b"(" * 9999 + b"\n"
    shard.write_bytes(b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header)
    with pytest.raises(console.UserError, match=r"spectrograms\.npy: is missing or damaged"):
        Store(config.dataset.root)


def extracted(file: Path, clips: Clips, max_clips: int) -> tuple[Part, np.ndarray]:
    spectrogram = small_config(file.parent).spectrogram
    part = file.with_suffix(".zip")
    work = extract(Job("x", file, max_clips, clips, spectrogram, part))
    found = read_clip_part(part)
    assert (work.seconds, work.clips) == (found.seconds, found.histogram.sum())
    return found, pixels_of(part).reshape(-1, spectrogram.height, spectrogram.width)


def pixels_of(part: Path) -> np.ndarray:
    with tempfile.TemporaryFile() as stream:
        copy_rows(part, stream)
        stream.seek(0)
        return np.frombuffer(stream.read(), np.uint8)


def test_caps_and_noise(tmp_path: Path) -> None:
    file = tmp_path / "a.wav"
    soundfile.write(
        file,
        np.concatenate([chirp(2000, seconds=10, seed=1), np.random.default_rng(1).normal(0, 0.1, 80_000)]).astype(
            np.float32
        ),
        RATE,
    )
    every, spectrograms = extracted(file, Clips(overlap=0, signal_threshold=0.01, noise_share=1.0), 0)
    assert every.index.tolist() == every.start.tolist() == list(range(20))
    assert int(every.rejected) == int((~every.accepted).sum()) > 3
    assert (every.accepted == (every.score >= 0.01)).all()
    assert float(every.seconds) == 20.0
    assert (set(every.event), np.isnan(every.strength).all(), len(every.peaks)) == ({-1}, True, 0)
    few, fewer_spectrograms = extracted(file, Clips(overlap=0, signal_threshold=0.01, noise_share=0.0), 3)
    assert (len(few.index), few.accepted.all(), few.rejected) == (3, True, every.rejected)
    np.testing.assert_array_equal(fewer_spectrograms, spectrograms[few.index])
    other, _ = extracted(file, Clips(overlap=0, signal_threshold=0.01, noise_share=0.0, seed=1), 3)
    assert other.index.tolist() != few.index.tolist()


@given(st.integers(0, 6), st.lists(st.tuples(st.integers(0, 30), st.booleans()), max_size=30))
def test_the_lowest_ranks_stay_with_their_spectrograms(max_clips: int, ranks: list[tuple[int, bool]]) -> None:
    offered = [
        (rank + index / 100, Clip(index, index / 4, -1, 1.5, 0.25, accepted))
        for index, (rank, accepted) in enumerate(ranks)
    ]
    with tempfile.TemporaryDirectory() as folder, tempfile.SpooledTemporaryFile(8) as scratch:
        reservoir = ClipReservoir(max_clips, scratch)
        for rank, clip in offered:
            reservoir.add(clip, np.full((2, 3), clip.clip_index, np.uint8), rank=rank)
        with (Path(folder) / "part").open("wb") as stream:
            reservoir.write(stream, RecordingSummary([], 3.0, 0, np.zeros(41, np.int64)))
        found, pixels = read_clip_part(Path(folder) / "part"), pixels_of(Path(folder) / "part")
    expected = [
        clip.clip_index
        for kind in (True, False)
        for _, clip in sorted(entry for entry in offered if entry[1].accepted == kind)[: max_clips or None]
    ]
    assert found.index.tolist() == sorted(expected)
    assert found.accepted.tolist() == [ranks[index][1] for index in sorted(expected)]
    assert pixels.tolist() == np.repeat(sorted(expected), 6).tolist()


def test_what_failed_by_no_fault_of_its_own_is_tried_again_by_the_next_call(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec.main(config)
    whole = content(config.dataset.root)
    shutil.rmtree(config.dataset.root / "spec")
    original = store_writer.fan_out

    def killing(function, jobs, **more):
        for job, outcome in original(function, jobs, **more):
            if job.name == "Altus clarus/A2":
                job.part.unlink()
                outcome = console.Failure(job.name, "the worker process died (exit status -9)", transient=True)
            yield job, outcome

    with monkeypatch.context() as patch:
        patch.setattr(store_writer, "fan_out", killing)
        assert "Altus clarus/A2" in {
            Path(failure.name).with_suffix("").as_posix().split("/", 1)[1] for failure in spec.main(config).failures
        }
    assert content(config.dataset.root) != whole
    names: list[str] = []
    monkeypatch.setattr(store_writer, "fan_out", noting(names))
    spec.main(config)
    assert "Altus clarus/A2" in names
    assert "Altus clarus/A3" not in names
    assert content(config.dataset.root) == whole


def test_a_recording_replaced_by_another_of_its_size_is_noticed(config: Config) -> None:
    spec.main(config)
    before = content(config.dataset.root)
    file = config.dataset.archive / "Altus clarus" / "A1.wav"
    samples, rate = soundfile.read(file, dtype="int16")
    soundfile.write(file, samples[::-1], rate)
    next(config.dataset.root.rglob("A1.wav")).unlink()  # an old copy is never overwritten
    sort_data.main(config)
    spec.main(config)
    assert (
        content(config.dataset.root)["spec/shards/Altus clarus-000/spectrograms.npy"]
        != before["spec/shards/Altus clarus-000/spectrograms.npy"]
    )


def test_spectrograms_made_with_lost_settings_are_not_taken_for_others(config: Config) -> None:
    spec.main(config)
    before = content(config.dataset.root)
    (config.dataset.root / "spec" / "settings.toml").unlink()
    spec.main(dataclasses.replace(config, spectrogram=dataclasses.replace(config.spectrogram, fmin=1000.0)))
    assert (
        content(config.dataset.root)["spec/shards/Altus clarus-000/spectrograms.npy"]
        != before["spec/shards/Altus clarus-000/spectrograms.npy"]
    )


def test_spectrograms_in_any_order(config: Config) -> None:
    spec.main(config)
    opened = Store(config.dataset.root)
    by_hand = np.stack(
        [
            np.load(opened.folder / "shards" / shard / "spectrograms.npy")[row]
            for shard, row in opened.clips.select("shard", "row").iter_rows()
        ]
    )
    assert opened.clips["shard"].n_unique() == 3
    order = np.random.default_rng(1).integers(0, len(by_hand), 3 * len(by_hand))  # some clips several times
    np.testing.assert_array_equal(opened.spectrograms(order), by_hand[order])
    every = np.arange(len(by_hand))
    np.testing.assert_array_equal(opened.spectrograms(every), by_hand)
    with ThreadPoolExecutor(4) as threads:
        for found in threads.map(opened.spectrograms, [every[::-1]] * 8):
            np.testing.assert_array_equal(found, by_hand[::-1])


def test_a_shard_that_is_cut_off_while_it_is_read(config: Config) -> None:
    spec.main(config)
    opened = Store(config.dataset.root)
    shard = opened.folder / "shards" / "Bassus gravis-000" / "spectrograms.npy"
    shard.write_bytes(shard.read_bytes()[:-1])
    last = opened.clips.with_row_index("clip").filter(shard="Bassus gravis-000")["clip"].to_numpy().astype(np.int64)
    assert len(opened.spectrograms(last[:-1])) == len(last) - 1
    with pytest.raises(
        console.UserError,
        match=r"Bassus gravis-000/spectrograms\.npy: is missing or damaged; remove key\.txt beside it",
    ):
        opened.spectrograms(last)
    with pytest.raises(console.UserError, match="is missing or damaged"):
        Store(config.dataset.root)
    shard.write_bytes(b"")
    with pytest.raises(console.UserError, match="is missing or damaged"):
        Store(config.dataset.root)


def test_warnings_are_kept_and_stores_of_earlier_versions_have_none(config: Config) -> None:
    file = next(config.dataset.root.rglob("A0.wav"))
    file.write_bytes(file.read_bytes()[:-8000])
    first = spec.main(config)
    recordings = Store(config.dataset.root).recordings
    warning = "the header declares 3.0 s, but only 2.5 s are there and are used"
    assert recordings.filter(pl.col("warning").is_not_null()).select("recording", "warning").rows() == [
        ("Altus clarus/A0", warning)
    ]
    assert [failure.reason for failure in first.partial] == [warning]
    assert [failure.reason for failure in spec.main(config).partial] == [warning]  # also where all is done already
    for table in (config.dataset.root / "spec").rglob("recordings.parquet"):
        pl.read_parquet(table).drop("warning").write_parquet(table)
    assert Store(config.dataset.root).recordings["warning"].is_null().all()
    assert spec.main(config).partial == []


@pytest.mark.parametrize(
    ("reason", "again"),
    [
        ("is cut off: 0.02 of the 0.04 MB that its header promises are there", True),
        ("is cut off: its last page is missing", True),
        ("is damaged or cut off: flac decoder lost sync", True),
        ("cannot be decoded: Format not recognised.", False),
        (None, False),
    ],
)
def test_what_an_earlier_version_refused_as_cut_off_is_tried_again(
    config: Config, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], reason: str | None, again: bool
) -> None:
    spec.main(config)
    shards = config.dataset.root / "spec" / "shards"
    table = pl.read_parquet(shards / "Altus clarus-000" / "recordings.parquet")
    refused = pl.col("recording") == "Altus clarus/A3"
    whole = table.filter(refused)["kept"].item()
    old = table.with_columns(
        pl.when(refused).then(pl.lit(reason)).otherwise("reason").alias("reason"),
    ).drop("warning")
    old.write_parquet(shards / "Altus clarus-000" / "recordings.parquet")
    done: list[str] = []
    monkeypatch.setattr(
        store_writer,
        "fan_out",
        lambda work, todo, **more: fan_out(work, [done.append(job.name) or job for job in todo], **more),
    )
    capsys.readouterr()
    spec.main(config)
    assert (done != []) == again
    assert all(name.startswith("Altus clarus/") for name in done)
    printed = capsys.readouterr().out
    assert ("rejected as truncated" in printed) == again
    if again:
        kept = pl.read_parquet(config.dataset.root / "spec" / "recordings.parquet").filter(refused)
        assert (kept["reason"].item(), kept["kept"].item()) == (None, whole)
        done.clear()
        spec.main(config)
        assert done == []
