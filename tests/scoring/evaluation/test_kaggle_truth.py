"""Kaggle's labels of soundscapes are ground truth wherever the table lies; what is not labelled is never absence."""

import shutil
from pathlib import Path

import pytest

from config import Dataset
from tests.recordings.test_kaggle_soundscapes import CODES, LABELS_2021, LABELS_2026, archive_of, row
from utils.recordings.recording import Event
from utils.scoring.evaluation.soundscape_truth import Truth, read_truth

ROWS = [row(1, end, "altcla basgra" if end == 10 else "nocall") for end in (5, 10, 20)]
EVENTS = (Event(5.0, 10.0, "Altus clarus"), Event(5.0, 10.0, "Bassus gravis"))


def truth_in(folder: Path, **settings: object) -> Truth:
    truth = read_truth(folder, Dataset(**settings))  # type: ignore[arg-type]
    assert truth is not None
    return truth


def test_the_table_lies_above_in_the_archive_or_beside(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    archive = archive_of(tmp_path / "archive", ROWS)
    sounds = archive / "train_soundscapes"
    beside = tmp_path / "archive2" / "soundscapes"
    shutil.copytree(sounds, beside)
    shutil.copy(archive / LABELS_2021, beside)
    for folder, prefix, settings in (
        (sounds, "", {}),
        (archive, "train_soundscapes/", {}),
        (beside, "", {"archive": archive}),  # the names are in the archive only
    ):
        truth = truth_in(folder, **settings)
        name = f"{prefix}1_COR_20190904.wav"
        assert truth.events == {name: EVENTS}
        assert truth.labelled == {name: ((0.0, 10.0), (15.0, 20.0))}
        assert (truth.failures, truth.annotations, truth.annotated) == ((), 2, {name})
        error = " ".join(capsys.readouterr().err.split())
        assert "1 of 4 windows of 5 s are not covered by usable rows; they count neither" in error
        assert "1 of 2 recordings beside it have no row, and so no ground truth: 2_COR_20190905.wav" in error
    (archive / "test_soundscapes").mkdir()
    assert read_truth(archive / "test_soundscapes", Dataset()) is None


def test_the_form_of_2026_beside_its_sounds_is_no_table_of_annotations(tmp_path: Path) -> None:
    rows = 2 * ["1_COR_20190904.wav,00:00:05,00:00:10,altcla;basgra", "1_COR_20190904.wav,00:00:00,00:00:05,altcla"]
    archive = archive_of(tmp_path / "archive", rows, table=LABELS_2026)
    for folder in (archive, archive / "train_soundscapes"):
        (events,) = truth_in(folder).events.values()
        assert set(events) == {*EVENTS, Event(0.0, 5.0, "Altus clarus")}
        assert [*truth_in(folder).labelled.values()] == [((0.0, 10.0),)]


def test_names_come_from_the_settings_too_and_codes_may_be_classes(tmp_path: Path) -> None:
    archive = archive_of(tmp_path / "archive", [row(1, 5, "altcla basgra")])
    (archive / "taxonomy.csv").unlink()
    folder = archive / "train_soundscapes"
    assert [event.species for event in truth_in(folder).events["1_COR_20190904.wav"]] == ["altcla", "basgra"]
    (tmp_path / "names.csv").write_text(CODES)
    (tmp_path / "aliases.csv").write_text("Bassus gravis,Bassus novus\n")
    named = truth_in(folder, taxonomy=tmp_path / "names.csv", aliases=tmp_path / "aliases.csv")
    assert [event.species for event in named.events["1_COR_20190904.wav"]] == ["Altus clarus", "Bassus novus"]


def test_annotations_and_labels_together(tmp_path: Path) -> None:
    archive = archive_of(tmp_path / "archive", [row(1, 5, "altcla"), row(2, 5, "altcla")])
    folder = archive / "train_soundscapes"
    (folder / "more.csv").write_text("file,start,end,species\n2_COR_20190905.wav,1,2,Bassus gravis\n")
    truth = truth_in(folder)
    assert truth.events == {
        "1_COR_20190904.wav": (Event(0.0, 5.0, "Altus clarus"),),
        "2_COR_20190905.wav": (Event(1.0, 2.0, "Bassus gravis"),),
    }
    assert truth.labelled == {"1_COR_20190904.wav": ((0.0, 5.0),)}
    assert [failure.name for failure in truth.failures] == ["2_COR_20190905.wav"]


def test_bad_rows_cost_one_line_each(tmp_path: Path) -> None:
    rows = [
        *ROWS,
        row(1, 10, "nocall"),
        row(1, 40, "altcla"),
        row(9, 5, "altcla"),
        row(2, 5, "ignot1"),
        "x_y,,,,altcla",
    ]
    truth = truth_in(archive_of(tmp_path / "archive", rows) / "train_soundscapes")
    assert [failure.name for failure in truth.failures] == [
        f"{LABELS_2021} line 9",  # no time
        f"{LABELS_2021} line 5",  # two truths
        "1_COR",  # a row after the end
        "9_COR",  # no sound
        LABELS_2021,  # an unknown code
    ]
    assert truth.events == {"1_COR_20190904.wav": (), "2_COR_20190905.wav": (Event(0.0, 5.0, "ignot1"),)}
    assert truth.labelled["1_COR_20190904.wav"] == ((0.0, 5.0), (15.0, 20.0))


def test_empty_truth_and_sounds_that_do_not_exist(tmp_path: Path) -> None:
    empty = truth_in(archive_of(tmp_path / "empty", []))
    assert (empty.events, [failure.name for failure in empty.failures]) == ({}, [LABELS_2021])
    rows = ["gone.wav,0,5,altcla"]
    gone = truth_in(archive_of(tmp_path / "gone", rows, table=LABELS_2026))
    assert (gone.events, [failure.name for failure in gone.failures]) == ({}, ["train_soundscapes/gone.wav"])


@pytest.mark.parametrize(
    ("birds", "told"),
    [
        ("altcla", "in every usable row, so that metrics of it say little: Altus clarus"),
        ("nocall", "no species is in any usable row, so that only false detections can be found"),
    ],
)
def test_species_in_every_row_or_in_none(
    tmp_path: Path, birds: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    truth = truth_in(archive_of(tmp_path / "archive", [row(1, end, birds) for end in (5, 10, 15, 20)]))
    assert told in " ".join(capsys.readouterr().err.split())
    assert truth.failures == ()


def test_the_table_in_the_archive_labels_soundscapes_elsewhere(tmp_path: Path) -> None:
    """Of the table, only the rows of recordings that are there count; those of the others are no failures."""
    for table, rows in (
        (LABELS_2021, [*ROWS, row(2, 5, "altcla"), row(9, 5, "altcla")]),
        (LABELS_2026, ["1_COR_20190904.wav,5,10,altcla;basgra", "gone.wav,0,5,altcla"]),
    ):
        archive = archive_of(tmp_path / table / "archive", rows, table=table)
        folder = tmp_path / table / "elsewhere" / "tapes"
        folder.mkdir(parents=True)
        shutil.copy(archive / "train_soundscapes" / "1_COR_20190904.wav", folder)
        assert read_truth(folder, Dataset()) is None
        truth = truth_in(folder, archive=archive)
        assert (truth.events, truth.failures) == ({"1_COR_20190904.wav": EVENTS}, ())
        assert (truth.annotations, truth.annotated) == (2, {"1_COR_20190904.wav"})
        (folder / "1_COR_20190904.wav").rename(folder / "other.wav")
        assert read_truth(folder, Dataset(archive=archive)) is None
