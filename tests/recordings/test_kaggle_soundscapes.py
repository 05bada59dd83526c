"""Rows of labelled soundscapes that contradict each other, or their sounds, cost one line each; the others are used."""

from pathlib import Path

import numpy as np
import soundfile

from config import Dataset
from tests.conftest import RATE, reasons
from utils.recordings.archive import read_archive
from utils.recordings.kaggle import is_kaggle, read_kaggle
from utils.recordings.recording import Event, from_metadata, to_metadata

LABELS_2021 = "train_soundscape_labels.csv"
LABELS_2026 = "train_soundscapes_labels.csv"
CODES = "primary_label,scientific_name,common_name\naltcla,Altus clarus,High Bird\nbasgra,Bassus gravis,Low Bird\n"


def archive_of(folder: Path, rows: list[str], *, seconds: float = 20.0, table: str = LABELS_2021) -> Path:
    """Write two soundscapes of some seconds, their labels, and a table of species."""
    (folder / "train_soundscapes").mkdir(parents=True)
    for name in ("1_COR_20190904", "2_COR_20190905"):
        soundfile.write(folder / "train_soundscapes" / f"{name}.wav", np.zeros(int(seconds * RATE)), RATE)
    head = "row_id,site,audio_id,seconds,birds" if table == LABELS_2021 else "filename,start,end,primary_label"
    (folder / table).write_text("\n".join([head, *rows]) + "\n")
    (folder / "taxonomy.csv").write_text(CODES)
    return folder


def row(audio: int, seconds: int, birds: str) -> str:
    return f"{audio}_COR_{seconds},COR,{audio},{seconds},{birds}"


def test_an_archive_may_hold_labelled_soundscapes_only(tmp_path: Path) -> None:
    rows = [row(1, end, "altcla" if end == 10 else "nocall") for end in (5, 10, 15, 20)]
    archive = read_archive(Dataset(archive=archive_of(tmp_path / "a", rows), root=tmp_path / "root"))
    assert (archive.kind, archive.description) == ("kaggle", f"BirdCLEF archive from Kaggle ({LABELS_2021})")
    (recording,) = archive.recordings
    assert (recording.events, recording.labelled) == ((Event(5.0, 10.0, "Altus clarus"),), ((0.0, 20.0),))
    assert (recording.species, recording.unsure, archive.failures) == ("", False, [])
    assert archive.inventory.unlabelled == 1
    assert from_metadata(to_metadata(recording), name=recording.name, file=recording.file).labelled == ((0.0, 20.0),)


def test_sounds_may_lie_beside_their_table(tmp_path: Path) -> None:
    archive_of(tmp_path, [row(1, 5, "altcla")])
    for sound in (tmp_path / "train_soundscapes").iterdir():
        sound.rename(tmp_path / sound.name)
    (tmp_path / "train_soundscapes").rmdir()
    assert is_kaggle(tmp_path)
    contents = read_kaggle(tmp_path)
    assert [recording.file.parent for recording in contents.recordings] == [tmp_path]
    assert contents.recordings[0].unsure  # from 5 to 20 s, no row says what is there
    assert contents.failures == []


def test_two_truths_for_one_row_are_both_left_out(tmp_path: Path) -> None:
    rows = [row(1, 5, "altcla"), row(1, 5, "altcla"), row(1, 10, "altcla"), row(1, 10, "nocall"), row(1, 15, "basgra")]
    contents = read_kaggle(archive_of(tmp_path, rows))
    assert reasons(contents) == {
        f"{LABELS_2021} line 5": "labels the same seconds as line 4, but differently; both rows are left out"
    }
    (recording,) = contents.recordings
    assert recording.labelled == ((0.0, 5.0), (10.0, 15.0))
    assert [event.species for event in recording.events] == ["altcla", "basgra"]
    assert recording.unsure


def test_rows_after_the_end_of_their_sound(tmp_path: Path) -> None:
    rows = [row(1, 5, "altcla"), row(1, 25, "nocall"), row(1, 30, "altcla"), row(2, 40, "altcla")]
    contents = read_kaggle(archive_of(tmp_path, rows))
    (recording,) = contents.recordings
    assert recording.labelled == ((0.0, 5.0),)
    found = reasons(contents)
    start = f"{LABELS_2021}: 2 of 3 rows lie after its end (20.0 s) and cannot be used"
    assert found["train_soundscapes/1_COR"].startswith(start)
    assert f"{LABELS_2021}: 1 of 1 rows lie after its end (20.0 s)" in found["train_soundscapes/2_COR"]
    assert "train_soundscapes/2_COR_20190905.wav" not in {sound.as_posix() for sound in contents.unlabelled}


def test_windows_that_overlap(tmp_path: Path) -> None:
    rows = ["1_COR_20190904.wav,0,5,altcla", "1_COR_20190904.wav,3,8,basgra", "1_COR_20190904.wav,8,20,nocall"]
    contents = read_kaggle(archive_of(tmp_path, rows, table=LABELS_2026))
    assert reasons(contents) == {
        "train_soundscapes/1_COR_20190904.wav": f"2 of its 3 windows in {LABELS_2026} overlap others; where they do, "
        "the species of both count"
    }
    (recording,) = contents.recordings
    assert (recording.labelled, recording.unsure) == (((0.0, 20.0),), False)


def test_labels_that_are_no_known_code(tmp_path: Path) -> None:
    rows = [row(1, 5, "altcla ignot1"), row(1, 10, "ignot1"), row(1, 15, "Basgra"), row(1, 20, "High"), row(2, 5, "x1")]
    contents = read_kaggle(archive_of(tmp_path, rows))
    assert reasons(contents) == {
        LABELS_2021: "3 labels are in no table of species, and used as written: "
        "ignot1 (2 rows), High (1 row), x1 (1 row)"
    }
    (tmp_path / "aliases.csv").write_text("ignot1,Altus clarus\nHigh,altcla\nx1,basgra\n")
    assert read_kaggle(tmp_path, Dataset(aliases=tmp_path / "aliases.csv")).failures == []
    (tmp_path / "taxonomy.csv").unlink()
    assert read_kaggle(tmp_path).failures == []  # no table says which codes there are


def test_empty_tables_and_times_that_are_no_numbers(tmp_path: Path) -> None:
    assert reasons(read_kaggle(archive_of(tmp_path / "a", []))) == {
        LABELS_2021: "has no rows, so that it labels no soundscape"
    }
    rows = ["1_COR_x,COR,1,x,altcla", row(1, 5, "nocall"), row(7, 5, "altcla")]
    contents = read_kaggle(archive_of(tmp_path / "b", rows))
    assert reasons(contents) == {
        f"{LABELS_2021} line 2": "'x' is not a time",
        "train_soundscapes/7_COR": "is labelled, but no sounds have this name",
    }
    assert [recording.unsure for recording in contents.recordings] == [True]
