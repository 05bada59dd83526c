"""Clips around the times of a table: our own peaks give the same clips again, and bad rows cost one line each."""

import dataclasses
import pickle
import random
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import soundfile

import spec
from config import Clips, Config, Dataset, SettingsError, Spectrogram
from tests.conftest import RATE, chirp, small_config
from utils.console import Failure, UserError
from utils.recordings.splits import SPLIT_SCHEMA, read_split, write_split
from utils.settings import load, to_toml
from utils.settings_checks import check
from utils.spectra import store_writer
from utils.spectra.clip_table import SHOWN, ClipTable, read_clip_table, unused_times
from utils.spectra.extraction import Job
from utils.spectra.recording_spectrograms import first_spectrograms
from utils.spectra.shards import plan_shards
from utils.spectra.store import Store
from utils.spectra.store_writer import fill_store, finish_store, open_store_folder

FILES = {
    "Altus clarus/A1": "train/Altus clarus/A1.wav",
    "Altus clarus/A2": "val/Altus clarus/A2.ogg",
    "Bassus gravis/B1": "train/Bassus gravis/B1.wav",
    "Bassus gravis/A1": "train/Bassus gravis/A1.wav",
}
SPLIT = pl.DataFrame({"recording": [*FILES], "file": [*FILES.values()]})


def with_table(config: Config, table: Path, **clips: object) -> Config:
    return dataclasses.replace(config, clips=dataclasses.replace(config.clips, choose="table", table=table, **clips))


def read(tmp_path: Path, text: str | bytes) -> ClipTable:
    table = tmp_path / "times.csv"
    table.write_bytes(text.encode() if isinstance(text, str) else text)
    return read_clip_table(SPLIT, with_table(Config(dataset=Dataset(root=Path("root"))), table))


def text_of(capsys: pytest.CaptureFixture[str]) -> str:
    """Return what was printed, without line breaks."""
    printed = capsys.readouterr()
    return " ".join((printed.out + printed.err).split())


def reasons(table: ClipTable) -> list[tuple[str, str]]:
    return [(failure.name, failure.reason) for failure in table.failures]


@pytest.mark.parametrize(
    "name",
    [
        "Altus clarus/A2",
        "val/Altus clarus/A2.ogg",
        "A2.ogg",
        "A2",
        "a2.OGG",
        r"C:\sounds\Altus clarus\A2.wav",
        "/elsewhere/A2.mp3",
        " A2 ",
    ],
)
def test_a_recording_is_named_in_many_ways(tmp_path: Path, name: str) -> None:
    assert read(tmp_path, f"recording,seconds\n{name},1.5\n").times == {"Altus clarus/A2": (1.5,)}


def test_folders_tell_namesakes_apart_and_without_them_none_is_meant(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = read(tmp_path, "recording,seconds\nBassus gravis/A1,1\nB1,2\nA1,3\nA9,4\nA9,5\n")
    assert table.times == {"Bassus gravis/A1": (1.0,), "Bassus gravis/B1": (2.0,)}
    ((name, reason),) = reasons(table)
    assert name == "times.csv"
    assert reason.startswith("3 of 5 rows are not used, because they name 2 recordings that are not in the data set")
    told = text_of(capsys)
    assert "are not used" not in told
    assert "has no time of 2 of 4 recordings, which have no clips, such as 'Altus clarus/A1'" in told


@pytest.mark.parametrize(
    "text",
    [
        "recording,seconds\nB1,1.5\nB1,0.5\n",
        "\ufefffile;strength;start\nB1.wav;3;1,5\nB1.wav;;,5\n",
        "# made by hand\nName\tTime (s)\tkept\nB1\t1.50\ttrue\nB1\t5e-1\n",
        'sep=;\nfilename;second\n"B1.wav";1.5\n\nB1.wav;0.5;;\n',
        "seconds,kept,recording\r\n1.5,true,Bassus gravis/B1\r\n0.5,false,Bassus gravis/B1\r\n",
        "recording,seconds\nB1,1.5\nB1,0.5\n".encode("utf-16"),
    ],
)
def test_tables_of_many_programs(tmp_path: Path, text: str | bytes) -> None:
    table = read(tmp_path, text)
    assert table.times == {"Bassus gravis/B1": (0.5, 1.5)}
    assert table.failures == ()


def test_a_table_with_one_row(tmp_path: Path) -> None:
    assert read(tmp_path, "recording,seconds\nB1,0").times == {"Bassus gravis/B1": (0.0,)}


def test_each_bad_row_costs_one_line(tmp_path: Path) -> None:
    rows = ["B1,1", "B1,-0.5", "B1,soon", "B1,nan", "B1,1e99", "B1,", ",2", "B1,1.0", "B1,2,3", 'B1,"3', "B1,-0"]
    table = read(tmp_path, "\n".join(["recording,seconds", *rows]))
    assert table.times == {"Bassus gravis/B1": (0.0, 1.0)}
    assert sorted(reasons(table)) == [
        ("times.csv line 10", "has 3 values, the table 2 columns"),
        ("times.csv line 11", "broken quoting"),
        ("times.csv line 3", "the time '-0.5' is negative"),
        ("times.csv line 4", "the time 'soon' is not a number of seconds"),
        ("times.csv line 5", "the time 'nan' is not a number of seconds"),
        ("times.csv line 6", "the time '1e99' is not a number of seconds"),
        ("times.csv line 7", "the time '' is not a number of seconds"),
        ("times.csv line 8", "names no recording"),
        ("times.csv line 9", "repeats 1 s of line 2; the time is used once"),
    ]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "holds no table"),
        ("recording,species\nB1,x\n", "has no column of times; the columns are recording, species; name it seconds"),
        ("seconds,species\n1,x\n", "has no column of recordings; the columns are seconds, species; name it recording"),
        ("recording,seconds\n", "holds no time of a recording of root; it has no rows"),
        (
            "recording,seconds\nXC9,1\n",
            "holds no time of a recording of root; names such as 'XC9' are not in the data set; write them as in "
            "split.parquet, such as 'Altus clarus/A1'",
        ),
        (
            "recording,seconds\nB1,x\n",
            "holds no time of a recording of root; times.csv line 2: the time 'x' is not a number of seconds",
        ),
    ],
)
def test_a_table_that_cannot_be_used_is_refused(tmp_path: Path, text: str, reason: str) -> None:
    with pytest.raises(UserError) as error:
        read(tmp_path, text)
    assert str(error.value) == f"{tmp_path / 'times.csv'}: {reason}"


def test_no_table(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none.csv: cannot be read \(No such file"):
        read_clip_table(SPLIT, with_table(Config(), tmp_path / "none.csv"))
    with pytest.raises(SettingsError, match="should be a CSV file with the columns recording and seconds"):
        check(dataclasses.replace(Config(), clips=Clips(choose="table")))
    assert read_clip_table(SPLIT, Config(clips=Clips(table=tmp_path / "none.csv"))) == ClipTable()


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """Return settings of a sorted data set of four recordings of 3 seconds."""
    config = small_config(tmp_path / "root")
    for index, file in enumerate(FILES.values()):
        (config.dataset.root / file).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(config.dataset.root / file, chirp(2000 + 200 * index, seconds=3, seed=index), RATE)
    write_rows(config, [{"recording": name, "file": file} for name, file in FILES.items()])
    return config


def write_rows(config: Config, rows: list[dict[str, object]]) -> None:
    """Write a split; the class of a recording is its folder, unless a row says it."""
    usual = {"background": [], "events": [], "unsure": False, "split": "train"}
    rows = [{**usual, "class": str(row["recording"]).rsplit("/", 1)[0], **row} for row in rows]
    columns = {name: [row.get(name) for row in rows] for name in SPLIT_SCHEMA}
    write_split(config.dataset.root, pl.DataFrame(columns, schema=SPLIT_SCHEMA))


def fill(config: Config, *, fresh: bool = True) -> tuple[list[Failure], list[str]]:
    """Fill the store as spec.py does, in this process, without its overview.

    Returns
    -------
    What could not be used of the table, and the recordings that were done.
    """
    split, done = read_split(config.dataset), list[str]()
    table = read_clip_table(split, config)
    folder = open_store_folder(config, fresh=fresh)
    shards = plan_shards(split, config, folder, times=table.times)

    def fan_out(function: Callable[[Job], object], jobs: Sequence[Job], **_: object) -> Iterator[tuple[Job, object]]:
        for job in jobs:
            done.append(job.name)
            yield job, function(pickle.loads(pickle.dumps(job)))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store_writer, "fan_out", fan_out)
        fill_store(shards, config, folder)
    return unused_times(table, finish_store(shards, split, folder), rate=config.spectrogram.rate), done


def write(table: Path, rows: list[tuple[str, float]]) -> Path:
    table.write_text("\n".join(["recording,seconds", *(f"{name},{time}" for name, time in rows)]))
    return table


def content(root: Path) -> tuple[pl.DataFrame, np.ndarray]:
    store = Store(root)
    return store.clips.drop("strength"), store.spectrograms(np.arange(len(store.clips)))


@pytest.mark.parametrize("distance", [None, 0.25])
def test_our_own_peaks_give_the_same_clips(config: Config, tmp_path: Path, distance: float | None) -> None:
    """Also if the rows are in another order."""
    root = config.dataset.root
    clips = dataclasses.replace(config.clips, choose="peaks", count=5, peak_distance=distance, max_per_class=9)
    peaks = dataclasses.replace(config, clips=clips)
    fill(peaks)
    made, spectrograms = content(root)
    assert len(made) >= 8
    header, *rows = (root / "spec" / "peaks.csv").read_text().splitlines()
    random.Random(1).shuffle(rows)
    (tmp_path / "peaks.csv").write_text("\n".join([header, *rows]))
    unused, _ = fill(with_table(peaks, tmp_path / "peaks.csv"))
    assert unused == []
    again, same = content(root)
    assert again.equals(made)
    np.testing.assert_array_equal(same, spectrograms)
    assert not (root / "spec" / "peaks.csv").exists()


def test_a_table_in_the_store_is_refused_before_it_is_deleted(config: Config) -> None:
    fill(dataclasses.replace(config, clips=dataclasses.replace(config.clips, choose="peaks")))
    own = config.dataset.root / "spec" / "peaks.csv"
    with pytest.raises(UserError, match="copy the table elsewhere"):
        spec.main(with_table(config, own), spec.Flags(fresh=True))
    assert own.is_file()


def test_what_is_after_the_end_or_missing_is_told_and_the_rest_done(
    config: Config, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [("A2", 3.0), ("A2", 3.01), ("A2", 9.0), ("B1", 1.0), ("B1", -1), ("XC1", 1.0)]
    rows += [("Altus clarus/A1", 0.0), ("Bassus gravis/A1", 70.0)]
    extracted = spec.main(with_table(config, write(tmp_path / "times.csv", rows), signal_threshold=0.0))
    unknown, *others = extracted.unused
    assert unknown.name == "times.csv"
    assert [(failure.name, failure.reason) for failure in others] == [
        ("times.csv line 6", "the time '-1' is negative"),
        ("Altus clarus/A2", "2 times are after its end at 3.00 s, such as 3.01 s, and not used"),
        ("Bassus gravis/A1", "1 time is after its end at 3.00 s, such as 70 s, and not used"),
    ]
    assert not extracted.complete
    assert (extracted.failures, extracted.partial) == ([], [])
    told = text_of(capsys)
    assert "1 of 8 rows are not used, because they name 1 recordings that are not in the data set" in told
    assert "4 problems in" in told
    clips = Store(config.dataset.root).clips
    assert list(clips.select("recording", "start").iter_rows()) == [
        ("Altus clarus/A1", 0.0),
        ("Altus clarus/A2", 2.0),
        ("Bassus gravis/B1", 0.5),
    ]


def test_of_many_bad_rows_only_some_are_listed(
    config: Config, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [("B1", 1.0), *(("B1", -float(index)) for index in range(1, 100))]
    unused, _ = fill(with_table(config, write(tmp_path / "times.csv", rows)))
    assert len(unused) == 99
    told = text_of(capsys)
    assert told.count("is negative") == SHOWN
    assert f"(the first {SHOWN} are listed)" in told


def test_editing_the_table_does_only_its_class_again(config: Config, tmp_path: Path) -> None:
    rows = [(name, 1.0) for name in FILES]
    config = with_table(config, write(tmp_path / "times.csv", rows))
    assert sorted(fill(config)[1]) == sorted(FILES)
    made, _ = content(config.dataset.root)
    write(tmp_path / "times.csv", rows[::-1])
    assert fill(config, fresh=False)[1] == []
    write(tmp_path / "times.csv", [*rows, ("B1", 2.0)])
    assert fill(config, fresh=False)[1] == ["Bassus gravis/B1"]  # the clips of the other recording are taken over
    edited, _ = content(config.dataset.root)
    assert len(edited) == len(made) + 1
    fill(config)
    assert content(config.dataset.root)[0].equals(edited)


def test_keys_of_other_stores_do_not_change(config: Config) -> None:
    """The times of a table matter only where it chooses the clips."""
    split, root = read_split(config.dataset), config.dataset.root
    keys = [shard.key for shard in plan_shards(split, config, root)]
    assert keys == [shard.key for shard in plan_shards(split, config, root, times={"Altus clarus/A1": (1.0,)})]


def test_events_label_the_clips_of_long_recordings(config: Config, tmp_path: Path) -> None:
    soundfile.write(config.dataset.root / "train" / "tape.wav", chirp(2500, seconds=20, seed=3), RATE)
    spans = [(2.0, 3.0, "Altus clarus"), (2.5, 6.0, "Bassus gravis"), (12.0, 13.0, "Bassus gravis")]
    events = [{"start": start, "end": end, "species": species} for start, end, species in spans]
    write_rows(config, [{"recording": "tape", "file": "train/tape.wav", "class": "", "events": events}])
    table = write(tmp_path / "times.csv", [("tape", time) for time in (2.6, 5.5, 9.0, 12.5, 30.0)])
    unused, _ = fill(with_table(config, table, noise_share=1.0, signal_threshold=0.0))
    assert [failure.name for failure in unused] == ["tape"]
    clips = Store(config.dataset.root).clips
    assert clips.select("start", "class", "background", "accepted").rows() == [
        (2.1, "Altus clarus", ["Bassus gravis"], True),
        (5.0, "Bassus gravis", [], True),
        (8.5, "", [], False),
        (12.0, "Bassus gravis", [], True),
    ]


def test_inference_needs_no_table(config: Config, tmp_path: Path) -> None:
    """Settings that a snapshot brings name a table that is gone; clips for predictions are those of the grid."""
    gone = with_table(config, tmp_path / "gone.csv")
    (tmp_path / "settings.toml").write_text(to_toml(gone))
    settings = load(tmp_path / "settings.toml")
    assert settings.clips.table == tmp_path / "gone.csv"
    file = next(config.dataset.root.rglob("A1.wav"))
    pixels = [first_spectrograms(Job("A1", file, 0, one.clips, one.spectrogram)).pixels for one in (settings, config)]
    np.testing.assert_array_equal(*pixels)


def test_real_peaks(birds: Path, tmp_path: Path) -> None:
    """At this rate, times from peaks fall between samples."""
    config = small_config(tmp_path / "root")
    clips = dataclasses.replace(
        config.clips, choose="peaks", count=20, peak_distance=0.5, length=3.0, signal_threshold=0.0
    )
    config = dataclasses.replace(config, clips=clips, spectrogram=Spectrogram(height=16, width=32))
    files = [birds / "Acadian Flycatcher.wav", min((birds / "train" / "Acanthis_flammea").iterdir())]
    for file in files:
        (config.dataset.root / "train" / "A").mkdir(parents=True, exist_ok=True)
        shutil.copy(file, config.dataset.root / "train" / "A" / file.name)
    write_rows(config, [{"recording": f"A/{file.stem}", "file": f"train/A/{file.name}"} for file in files])
    fill(config)
    made, spectrograms = content(config.dataset.root)
    of_flycatcher = made.filter(recording=f"A/{files[0].stem}")
    assert len(of_flycatcher) > 10  # of 13.4 seconds
    assert (of_flycatcher["start"].diff().drop_nulls() < 3.0).any()
    shutil.move(config.dataset.root / "spec" / "peaks.csv", tmp_path / "peaks.csv")
    assert fill(with_table(config, tmp_path / "peaks.csv"))[0] == []
    again, same = content(config.dataset.root)
    assert again.equals(made)
    np.testing.assert_array_equal(same, spectrograms)
