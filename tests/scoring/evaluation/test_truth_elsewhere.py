"""Tables of annotations are ground truth in the folder above the recordings and in the archive, for these alone."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import soundfile

from config import Dataset
from tests.conftest import chirp
from utils.recordings.recording import Event
from utils.scoring.evaluation.soundscape_truth import Truth, read_truth

TABLE = "file,start,end,species\ntape1.wav,0,5,altcla\ntape2.wav,1,2,Bassus gravis\n"
CODES = "species_code,scientific_name\naltcla,Altus clarus\n"
EVENTS = {"tape1.wav": (Event(0.0, 5.0, "Altus clarus"),), "tape2.wav": (Event(1.0, 2.0, "Bassus gravis"),)}


def sounds(folder: Path, *names: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(names):
        soundfile.write(folder / name, chirp(1000.0 + 100 * number, seconds=1.0, seed=number), 8000)
    return folder


def archive_in(folder: Path, *, tables: str = ".") -> Path:
    sounds(folder / "recordings", "tape1.wav", "tape2.wav")
    (folder / tables).mkdir(exist_ok=True)
    (folder / tables / "annotations.csv").write_text(TABLE)
    (folder / "species.csv").write_text(CODES)
    return folder


def truth_of(folder: Path, **settings: object) -> Truth:
    truth = read_truth(folder, Dataset(**settings))  # type: ignore[arg-type]
    assert truth is not None
    return truth


def test_in_the_folder_above(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    archive = archive_in(tmp_path / "archive")
    (archive / "recordings.csv").write_text("file,site,date,time\ntape1.wav,A,2023-01-01,05:00\nlost.wav,A,,\n")
    truth = truth_of(archive / "recordings")
    assert (truth.events, truth.failures, truth.annotations) == (EVENTS, (), 2)
    assert (truth.annotated, truth.seen) == ({*EVENTS}, {archive / "recordings" / name for name in EVENTS})
    assert capsys.readouterr().err == ""


def test_a_relative_path_and_a_link(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive_in(tmp_path / "archive")
    monkeypatch.chdir(tmp_path)
    truth = truth_of(Path("archive/recordings"))
    assert (truth.events, truth.seen) == (EVENTS, {Path("archive/recordings") / name for name in EVENTS})
    (tmp_path / "link").symlink_to(tmp_path / "archive" / "recordings")
    assert truth_of(Path("link"), archive=Path("archive")).events == EVENTS


@pytest.mark.parametrize("tables", [".", "annotations"])
def test_in_the_archive(tmp_path: Path, tables: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Also in a folder beside the recordings, and for copies of some recordings elsewhere."""
    archive = archive_in(tmp_path / "archive", tables=tables)
    assert truth_of(archive / "recordings", archive=archive).events == EVENTS
    (tmp_path / "copies").mkdir()
    shutil.move(archive / "recordings" / "tape2.wav", tmp_path / "copies" / "tape2.wav")
    truth = truth_of(tmp_path / "copies", archive=archive)
    assert (truth.events, truth.failures, truth.annotations) == ({"tape2.wav": EVENTS["tape2.wav"]}, (), 1)
    shutil.rmtree(archive / "recordings")
    capsys.readouterr()
    assert truth_of(tmp_path / "copies", archive=archive).events == {"tape2.wav": EVENTS["tape2.wav"]}
    assert "annotations.csv: names 'tape1.wav', which was not found (1 of 2" in " ".join(
        capsys.readouterr().err.split()
    )


def test_recordings_of_the_same_name_elsewhere_are_others(tmp_path: Path) -> None:
    archive = archive_in(tmp_path / "archive")
    assert read_truth(sounds(tmp_path / "others", "tape1.wav"), Dataset(archive=archive)) is None
    # nor is a table of another folder in the archive
    more = sounds(archive / "more", "tape1.wav")
    shutil.move(archive / "annotations.csv", archive / "recordings" / "annotations.csv")
    assert read_truth(more, Dataset(archive=archive)) is None


def test_tables_beside_the_recordings_come_first(tmp_path: Path) -> None:
    folder = archive_in(tmp_path / "archive") / "recordings"
    (folder / "mine.csv").write_text("file,start,end,species\ntape1.wav,3,4,Bassus gravis\n")
    assert truth_of(folder).events == {"tape1.wav": (Event(3.0, 4.0, "Bassus gravis"),)}


def test_submissions_are_not_their_own_truth(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    archive = archive_in(tmp_path / "archive", tables="submissions")
    settings = Dataset(archive=archive)
    assert read_truth(archive / "recordings", settings, without=archive / "submissions") is None
    shutil.move(archive / "submissions" / "annotations.csv", archive / "annotations.csv")
    assert capsys.readouterr().err == ""
    assert read_truth(archive / "recordings", settings, without=archive) is None
    assert "set submission.folder to another folder" in " ".join(capsys.readouterr().err.split())


def test_what_the_toolkit_wrote_is_no_truth(tmp_path: Path) -> None:
    archive = archive_in(tmp_path / "archive", tables="spec")
    (archive / "split.parquet").touch()
    assert read_truth(archive / "recordings", Dataset(archive=archive)) is None
    assert read_truth(archive / "recordings", Dataset(archive=archive, root=archive)) is None


def test_bad_rows_and_doubtful_ones_of_these_recordings_alone(tmp_path: Path) -> None:
    archive = archive_in(tmp_path / "archive")
    sounds(archive / "more", "tape3.wav")
    rows = ["tape1.wav,0,5,altcla,human", "tape1.wav,x,5,altcla,human", "tape2.wav,0,1,altcla,window"]
    rows += ["tape3.wav,x,5,altcla,human", 'tape3.wav,0,5,altcla,"human, target species only"']
    (archive / "annotations.csv").write_text("\n".join(["file,start,end,species,kind", *rows]) + "\n")
    truth = truth_of(archive / "recordings")
    assert (truth.events, truth.doubtful) == ({"tape1.wav": EVENTS["tape1.wav"]}, 1)
    assert [failure.name for failure in truth.failures] == ["annotations.csv line 3", "tape2.wav"]
    assert (truth.annotations, truth.species) == (3, None)


def test_a_folder_above_that_cannot_be_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = archive_in(tmp_path / "archive")
    listed = Path.iterdir

    def iterdir(folder: Path) -> Iterator[Path]:
        if folder == archive:
            raise PermissionError(13, "Permission denied", str(folder))
        return listed(folder)

    monkeypatch.setattr(Path, "iterdir", iterdir)
    assert read_truth(archive / "recordings", Dataset()) is None
