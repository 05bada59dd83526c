"""dataset.long_recordings says where sort_data.py puts the recordings that only annotations label."""

import dataclasses
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile

import sort_data
from config import Config, Dataset
from tests.conftest import RATE, small_config
from tests.recordings.test_kaggle_soundscapes import CODES, row
from utils.console import UserError
from utils.recordings.labels import Taxonomy
from utils.recordings.recording import NOISE, Event, Recording, from_metadata, read_metadata
from utils.recordings.selection import select_recordings
from utils.recordings.splits import read_split

SHORT = {"altcla": 6, "basgra": 5, "rarus1": 1}


@pytest.fixture
def kaggle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An archive with short recordings of three species and three labelled soundscapes, one without birds."""
    monkeypatch.setattr("utils.recordings.split_plot.plot_split", lambda *_: None)  # takes a second
    archive = tmp_path / "archive"
    rows = ["primary_label,filename"]
    generator = np.random.default_rng(0)
    for code, count in SHORT.items():
        (archive / "train_audio" / code).mkdir(parents=True)
        for number in range(count):
            rows.append(f"{code},{code}/XC{code}{number}.wav")
            file = archive / "train_audio" / code / f"XC{code}{number}.wav"
            soundfile.write(file, 0.1 * generator.standard_normal(RATE), RATE)
    (archive / "train.csv").write_text("\n".join(rows) + "\n")
    (archive / "taxonomy.csv").write_text(CODES + "rarus1,Rarus unus,Rare Bird\n")
    labels = [row(audio, 5, {1: "altcla", 2: "rarus1 basgra", 3: "nocall"}[audio]) for audio in (1, 2, 3)]
    (archive / "train_soundscape_labels.csv").write_text(
        "\n".join(["row_id,site,audio_id,seconds,birds", *labels]) + "\n"
    )
    (archive / "train_soundscapes").mkdir()
    for audio in (1, 2, 3):
        file = archive / "train_soundscapes" / f"{audio}_COR_2019090{audio}.wav"
        soundfile.write(file, 0.1 * generator.standard_normal(5 * RATE), RATE)
    return archive


def with_long(root: Path, archive: Path, where: str, **more: object) -> Config:
    config = small_config(root, archive)
    settings = {"val_share": 0.2, **more, "long_recordings": where}
    dataset = dataclasses.replace(config.dataset, **settings)  # type: ignore[arg-type]
    return dataclasses.replace(config, dataset=dataset)


def sorted_splits(config: Config) -> dict[str, str]:
    """Sort; return the split of each soundscape, '' if it is not there."""
    result = sort_data.main(config)
    assert result.failures == []
    table = read_split(config.dataset)
    found = {name: split for name, split in table.select("recording", "split").iter_rows() if "_COR_" in name}
    assert all((config.dataset.root / file).is_file() for file in table["file"])
    return {str(audio): found.get(f"{audio}_COR_2019090{audio}", "") for audio in (1, 2, 3)}


@pytest.mark.parametrize(
    ("where", "more"),
    [
        ("train", {"split": "grouped", "group_by": "site", "folds": 2}),
        ("train", {"min_recordings": 3}),
        ("val", {"test_share": 0.2, "min_recordings": 3}),
        ("val", {"folds": 2}),
        ("test", {"split": "grouped", "group_by": "day"}),
        ("test", {"folds": 2, "min_recordings": 3}),
        ("leave", {"folds": 2}),
    ],
    ids=str,
)
def test_all_long_recordings_go_there(tmp_path: Path, kaggle: Path, where: str, more: dict[str, object]) -> None:
    config = with_long(tmp_path / "root", kaggle, where, **more)
    if where == "val" and "folds" in more:
        with pytest.raises(UserError, match=r"long_recordings = val: with dataset\.folds, val/ is one of the folds"):
            sort_data.main(config)
        return
    expected = "" if where == "leave" else where
    assert sorted_splits(config) == dict.fromkeys("123", expected)
    table = read_split(config.dataset)
    short = table.filter(~table["recording"].str.contains("_COR_"))
    assert Counter(short["class"])["Altus clarus"] == 6
    assert {"train", "val"} <= set(short["split"])  # the others are divided as always
    if where != "leave":
        annotated = table.filter(recording="2_COR_20190902")["events"].to_list()[0]
        # held out, species that are too rare to be learned stay annotated: they are there, and not absent
        everything = where in ("val", "test") or not more.get("min_recordings")
        assert ("Rarus unus" in {event["species"] for event in annotated}) == everything
        saved = read_metadata(config.dataset.root / "metadata" / "1_COR_20190901.json")
        assert from_metadata(saved, name="x", file=Path("x.wav")).labelled == ((0.0, 5.0),)


def test_another_setting_moves_them(tmp_path: Path, kaggle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = tmp_path / "root"
    for where in ("train", "divide", "test"):
        splits = sorted_splits(with_long(root, kaggle, where))
        assert set(splits.values()) <= ({"train", "val"} if where == "divide" else {where})
    assert len(list((root / "test").rglob("*.wav"))) == 3
    capsys.readouterr()
    assert set(sorted_splits(with_long(root, kaggle, "leave")).values()) == {""}
    shown = capsys.readouterr()
    assert "3 files in train/, val/ and test/ belong to no recording of the split" in " ".join(shown.err.split())
    told = " ".join((shown.out + shown.err).split())
    assert "long recordings, because dataset.long_recordings = leave: 3 recordings" in told


def test_moved_soundscapes_are_found_again(tmp_path: Path, kaggle: Path) -> None:
    root = tmp_path / "root"
    assert set(sorted_splits(with_long(root, kaggle, "val", sort_mode="move")).values()) == {"val"}
    assert not list((kaggle / "train_soundscapes").iterdir())
    assert set(sorted_splits(with_long(root, kaggle, "test", sort_mode="move")).values()) == {"test"}


def test_an_archive_of_long_recordings_only_can_be_tested(
    tmp_path: Path, kaggle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(kaggle / "train_audio")
    (kaggle / "train.csv").unlink()
    config = with_long(tmp_path / "root", kaggle, "test")
    assert set(sorted_splits(config).values()) == {"test"}
    assert not (tmp_path / "root" / "train").exists()
    told = " ".join(capsys.readouterr().err.split())
    assert "nothing is in train/, because dataset.long_recordings = test" in told
    with pytest.raises(UserError, match="no recording is left"):
        sort_data.main(with_long(tmp_path / "other", kaggle, "leave"))


def test_recordings_of_an_annotated_archive_without_birds_are_long_too() -> None:
    recordings = [
        Recording("tape", Path("x"), "", events=(Event(0.0, 1.0, "A a"),)),
        Recording("silent", Path("x"), NOISE),
        Recording("short", Path("x"), "A a"),
    ]
    for kind, left in (("annotations", ["short"]), ("folders", ["silent", "short"])):
        selection = select_recordings(recordings, Dataset(long_recordings="leave"), Taxonomy(), kind=kind)
        assert [recording.name for recording in selection.recordings] == left
