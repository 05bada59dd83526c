"""A submission script as a user runs it: killed in the middle and started again."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import soundfile

import submission_monophone
import submission_soundscape
from config import Config, Submission, to_toml
from tests.conftest import RATE, REPOSITORY, chirp, small_config
from tests.scoring.inference.test_intervals import one_by_one
from tests.scoring.inference.test_recordings import snapshot
from utils import console
from utils.files import write_text
from utils.scoring.submissions.parts import is_whole, keep, read_part
from utils.scoring.submitting import Checked, Submitted
from utils.spectra.decode import Length
from utils.spectra.interval_clips import IntervalClips, IntervalJob, interval_clips

RECORDINGS = 24


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Config:
    """A run with a snapshot, and recordings of which one is broken."""
    root = tmp_path_factory.mktemp("data set")
    (root / "soundscapes").mkdir()
    sound = chirp(1500.0, seconds=40.0, seed=1)
    for number in range(RECORDINGS):
        soundfile.write(
            root / "soundscapes" / f"r{number:02d}.wav", np.roll(sound, 999 * number)[: -100 * number or None], RATE
        )
    (root / "soundscapes" / "r07.wav").write_bytes(b"RIFF")
    config = dataclasses.replace(
        small_config(root), submission=Submission(folder=root / "submissions", page_minutes=0.0)
    )
    snapshot(config, "small", ("A", "B"), seed=1)
    return config


def start(config: Config, script: str) -> subprocess.Popen[str]:
    file = config.dataset.root / f"{config.submission.folder.name}.toml"
    write_text(file, to_toml(config))
    command = [sys.executable, str(REPOSITORY / script), str(file)]
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=config.dataset.root,
        start_new_session=True,
    )


def parts_in(folder: Path) -> list[Path]:
    return [file for file in folder.glob("*.parts/*/*.part") if not file.name.startswith(".")]


def test_a_submission_that_was_killed_goes_on_to_the_same_bytes(
    settings: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed = dataclasses.replace(
        settings, submission=dataclasses.replace(settings.submission, folder=settings.dataset.root / "killed")
    )
    first = start(killed, "submission_soundscape.py")
    folder = killed.submission.folder
    deadline = time.monotonic() + 120
    while len(parts_in(folder)) < 3:
        assert first.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.005)
    os.killpg(first.pid, signal.SIGKILL)
    first.communicate()
    kept = len(parts_in(folder))
    assert 3 <= kept < RECORDINGS - 1
    assert not list(folder.glob("*.csv"))
    second = start(killed, "submission_soundscape.py")
    out, errors = second.communicate(timeout=240)
    assert second.returncode == console.INCOMPLETE, errors
    assert f"{kept} of {RECORDINGS} recordings were answered before" in out
    assert f"done {RECORDINGS} of {RECORDINGS}, " in out
    assert "× real time" in out
    assert "r07.wav: " in errors
    monkeypatch.setattr(listening, "fan_out", one_by_one)
    undisturbed = submission_soundscape.main(settings)
    (again,) = folder.glob("small_soundscape.*")
    assert again.read_bytes() == undisturbed.path.read_bytes()
    assert [path.name for path in folder.iterdir() if not path.name.startswith(".")] == [again.name]


def test_soundscapes_that_somebody_listened_to_are_scored_and_shown(
    settings: Config, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    few = tmp_path / "few"
    few.mkdir()
    for name in ("r00.wav", "r01.wav"):
        (few / name).symlink_to(settings.dataset.root / "soundscapes" / name)
    write_text(
        few / "annotations.csv",
        "file,start,end,species\nr00.wav,3.0,12.0,A\nr01.wav,0.5,1.0,B\nr01.wav,7.0,8.0,Avis ignota\n",
    )
    submission = dataclasses.replace(settings.submission, folder=tmp_path, recordings=few, page_minutes=2.0)
    config = dataclasses.replace(settings, submission=submission)
    monkeypatch.setattr(listening, "fan_out", one_by_one)
    done = submission_soundscape.main(config)
    assert isinstance(done, Submitted)
    assert done.figures is not None
    assert (done.figures.recordings, done.figures.with_birds, done.figures.unknown) == (2, 4, ("Avis ignota",))
    assert 0 <= done.figures.cmap <= 1
    assert json.loads((tmp_path / "small_soundscape.json").read_text())["mlrap"] == done.figures.mlrap
    assert done.page is not None
    assert done.page.read_text(encoding="utf-8").count("data:audio/") == 2
    assert not list(tmp_path.glob("*.parts"))


@pytest.mark.parametrize("script", [submission_soundscape, submission_monophone])
def test_a_file_is_checked_without_answering(script: ModuleType, settings: Config, tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    write_text(
        path, "recording,start,end,species,score\nr00.wav,0.000000,5.000000,A,0.9\nr00.wav,0.000000,5.000000,Z,nan\n"
    )
    checked = script.main(settings, script.Flags(check=path))
    assert isinstance(checked, Checked)
    assert all("line 3" in problem for problem in checked.failures if "line" in problem)
    assert any("line 3" in problem for problem in checked.failures)
    with pytest.raises(console.UserError, match="no such file"):
        script.main(settings, script.Flags(check=tmp_path / "none.csv"))


def submission_of(settings: Config, **changes: object) -> Config:
    return dataclasses.replace(settings, submission=dataclasses.replace(settings.submission, **changes))


SAMPLES = {
    "birds": ("kaggle2021", "row_id,birds\nx_5,nocall\n", ["x_5,nocall"]),
    "scores": ("kaggle2022", "row_id,B,Z,A\nx_5,0.1,0.1,0.1\n", ["x_5,0.500000,0.000000,0.500000"]),
    "targets": ("kaggle2022", "row_id,target\nx_A_5,True\n", ["x_A_5,False"]),
}


@pytest.mark.parametrize("script", [submission_soundscape, submission_monophone])
@pytest.mark.parametrize("form", SAMPLES)
def test_without_sounds_a_sample_is_written_as_not_heard(
    form: str, script: ModuleType, settings: Config, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Kaggle's folder of test sounds is empty until a notebook is scored."""
    name, content, rows = SAMPLES[form]
    (tmp_path / "test").mkdir()
    write_text(tmp_path / "test" / "readme.txt", "Filled later.")
    write_text(tmp_path / "sample.csv", content)
    config = submission_of(
        settings,
        folder=tmp_path / "out",
        recordings=tmp_path / "test",
        format=name,
        sample=tmp_path / "sample.csv",
        page_minutes=5.0,
    )
    done = script.main(config)
    assert isinstance(done, Submitted)
    assert not done.complete  # exit status 3
    told = capsys.readouterr()
    assert done.path.read_text().splitlines()[1:] == rows
    assert done.page is None
    said = [line for line in told.err.splitlines() if "predictions" in line]
    assert len(said) == 1
    assert "holds no recordings" in said[0]
    checked = script.main(config, script.Flags(check=done.path))
    assert isinstance(checked, Checked)
    assert checked.complete


def test_the_way_out_is_named_where_it_is_one(settings: Config, tmp_path: Path) -> None:
    (tmp_path / "test").mkdir()
    write_text(tmp_path / "sample.csv", "row_id,birds\nx_5,nocall\n")
    with pytest.raises(
        console.UserError, match=r"holds no recordings; with submission\.sample = sample_submission\.csv"
    ):
        submission_soundscape.main(submission_of(settings, recordings=tmp_path / "test", format="kaggle2021"))
    with pytest.raises(console.UserError, match=r"holds no recordings$"):  # the other formats have no sample
        submission_soundscape.main(
            submission_of(settings, recordings=tmp_path / "test", sample=tmp_path / "sample.csv")
        )
    with pytest.raises(console.UserError, match=r"no such folder$"):  # a mistake
        submission_soundscape.main(
            submission_of(settings, recordings=tmp_path / "tset", format="kaggle2021", sample=tmp_path / "sample.csv")
        )


@pytest.mark.parametrize("form", SAMPLES)
def test_sounds_that_cannot_be_read_are_rows_that_were_not_heard(
    form: str, settings: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, content, rows = SAMPLES[form]
    (tmp_path / "test").mkdir()
    (tmp_path / "test" / "x.m4a").write_bytes(b"ftyp")
    (tmp_path / "test" / "y.wav").write_bytes(b"")
    write_text(tmp_path / "sample.csv", content)
    monkeypatch.setattr(listening, "fan_out", one_by_one)
    done = submission_soundscape.main(
        submission_of(
            settings, folder=tmp_path, recordings=tmp_path / "test", format=name, sample=tmp_path / "sample.csv"
        )
    )
    assert isinstance(done, Submitted)
    assert [failure.name for failure in done.failures] == ["x.m4a", "y.wav"]
    assert done.path.read_text().splitlines()[1:] == rows
    assert done.files == "0 sounds used, 2 left out"


def listened(
    settings: Config, home: Path, monkeypatch: pytest.MonkeyPatch, tables: dict[str, str], **changes: object
) -> Submitted:
    """Answer two recordings beside which tables lie."""
    home.mkdir()
    for name in ("r00.wav", "r01.wav"):
        (home / name).symlink_to(settings.dataset.root / "soundscapes" / name)
    for name, content in tables.items():
        write_text(home / name, content)
    monkeypatch.setattr(listening, "fan_out", one_by_one)
    done = submission_soundscape.main(
        submission_of(settings, **{"folder": home.parent / "out", "recordings": home, **changes})
    )
    assert isinstance(done, Submitted)
    return done


def test_fewer_annotations_than_lie_there_are_told(
    settings: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = "file,start,end,species\nr00.wav,3,12,A\nr00.wav,9,1,B\nr01.wav,3000,4000,B\n"
    done = listened(settings, tmp_path / "few", monkeypatch, {"annotations.csv": rows}, page_minutes=1.0)
    assert done.figures is not None
    assert (
        done.figures.recordings,
        done.figures.annotated,
        done.figures.annotations_used,
        done.figures.annotations,
    ) == (1, 2, 1, 3)
    assert not done.complete
    assert [failure.name for failure in done.unused] == ["annotations.csv line 3", "r01.wav"]
    told = capsys.readouterr()
    assert "1 of 2 annotated" in told.out
    assert "2 sounds used, 1 table or record read" in " ".join(told.out.split())
    assert "annotations.csv line 3: ends before it has begun" in told.err
    assert "r01.wav: 1 of 1 annotations lie behind its end" in told.err
    assert done.page is not None
    page = done.page.read_text(encoding="utf-8")
    assert "1 of 2 annotated" in page
    assert "1 of 3 used" in page
    assert page.count("nobody listened") >= 1  # to r01.wav, as far as the score knows


def test_annotations_of_which_nothing_can_be_used_are_told(
    settings: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    done = listened(
        settings, tmp_path / "none", monkeypatch, {"annotations.csv": "file,start,end,species\nr00.wav,5000,6000,A\n"}
    )
    assert done.figures is None
    assert not done.complete
    assert "nothing of them can be used" in capsys.readouterr().err


def test_tables_that_are_not_understood_are_told(
    settings: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    done = listened(
        settings,
        tmp_path / "odd",
        monkeypatch,
        {"calls.csv": "Datei,Anfang,Ende,Art\nx.wav,1.0,2.0,A\nx.wav,3.0,4.5,B\n", "LICENSE.txt": "Take it."},
    )
    assert done.figures is None
    assert [failure.name for failure in done.unused] == ["calls.csv"]
    told = capsys.readouterr()
    assert "2 sounds used, 1 not understood, 1 other file (LICENSE.txt)" in " ".join(told.out.split())
    assert "calls.csv: " in told.err


def test_a_wrong_column_is_refused_before_anything_is_heard(
    settings: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hear(*_: object, **__: object) -> None:
        raise AssertionError

    monkeypatch.setattr(listening, "_heard", hear)
    columns = dataclasses.replace(settings.dataset.columns, species="bird")
    config = dataclasses.replace(settings, dataset=dataclasses.replace(settings.dataset, columns=columns))
    with pytest.raises(console.UserError, match="has no column bird"):
        listened(config, tmp_path / "few", monkeypatch, {"annotations.csv": "file,start,end,species\nr00.wav,3,12,A\n"})


@pytest.mark.parametrize("tables", [{}, {"annotations.csv": "file,start,end,species\nr00.wav,3,12,A\n"}])
def test_a_submission_is_not_scored_against_an_earlier_one(
    tables: dict[str, str], settings: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was written to a folder below the recordings is neither read as annotations nor accounted for, however both are named."""
    folder = tmp_path / "few"
    first = listened(settings, folder, monkeypatch, tables, folder=folder / "submissions")
    (tmp_path / "link").symlink_to(folder)
    monkeypatch.chdir(folder)
    ways = [
        (Path("submissions"), Path()),
        (folder / "submissions", Path()),
        (tmp_path / "link" / "submissions", folder),
        (Path("submissions"), folder),
    ]
    for submissions, recordings in ways:
        for script in (submission_soundscape, submission_monophone):
            again = script.main(submission_of(settings, folder=submissions, recordings=recordings))
            assert isinstance(again, Submitted)
            assert (again.files, again.unused) == (first.files, first.unused)
            assert again.complete
            if script is submission_soundscape:
                assert again.figures == first.figures
                assert again.path.read_bytes() == first.path.read_bytes()
    assert (first.figures is not None) == bool(tables)
    with pytest.raises(console.UserError, match=r"submission\.folder = .*is the folder of the recordings"):
        submission_soundscape.main(submission_of(settings, folder=tmp_path / "link", recordings=Path()))


def test_what_comes_next_is_named(
    settings: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    listened(settings, tmp_path / "one", monkeypatch, {}, page_minutes=1.0)
    assert "next: open out/small_soundscape.html, the timelines" in capsys.readouterr().out
    listened(settings, tmp_path / "two", monkeypatch, {})
    assert "next: open out/small_soundscape.csv beside the recordings" in capsys.readouterr().out


def test_the_snapshots_channel_counts_and_that_is_said(
    settings: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sound = chirp(1500.0, seconds=4.0, seed=1)
    (tmp_path / "stereo").mkdir()
    soundfile.write(tmp_path / "stereo" / "x.wav", np.stack([sound, -sound], axis=1), RATE)
    monkeypatch.setattr(listening, "fan_out", one_by_one)
    loudest = dataclasses.replace(settings, spectrogram=dataclasses.replace(settings.spectrogram, channel="loudest"))
    for script in (submission_soundscape, submission_monophone):
        done = script.main(submission_of(loudest, folder=tmp_path / "out", recordings=tmp_path / "stereo"))
        assert isinstance(done, Submitted)
        help_ = "(the model was trained with spectrogram.channel = mean: save one channel as a mono file, or train with another)"
        assert [failure.reason.endswith(help_) for failure in done.failures] == [True]
        assert (
            "warning: spectrogram.channel is ignored: recordings are heard as the model was trained"
            in capsys.readouterr().err
        )
    listened(settings, tmp_path / "few", monkeypatch, {})
    assert "ignored" not in capsys.readouterr().err
    # no experiment was named
    listened(dataclasses.replace(settings, spectrogram=Config().spectrogram), tmp_path / "usual", monkeypatch, {})
    assert "ignored" not in capsys.readouterr().err


def test_warnings_of_sounds_are_kept_and_told(
    settings: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    said = "its header promises 40.0 s, 38.0 s are there and are used"

    def odd(job: IntervalJob) -> IntervalClips:
        found = interval_clips(job)
        return dataclasses.replace(found, length=found.length._replace(warnings=(said,)))

    monkeypatch.setattr(listening, "interval_clips", odd)
    plain = listened(settings, tmp_path / "plain", monkeypatch, {})
    content = plain.path.read_text()
    assert [(failure.name, failure.reason) for failure in plain.odd] == [(f"r0{n}.wav", said) for n in (0, 1)]
    assert not plain.complete
    err = capsys.readouterr().err
    assert "2 recordings read, with a warning:" in err
    assert content.startswith("recording,start,end,species,score\n")
    said = "its header says 38.0 s, but 40.0 s of sound are there; all are used"  # nothing is lost
    whole = listened(settings, tmp_path / "whole", monkeypatch, {})
    assert [failure.reason for failure in whole.odd] == [said, said]
    assert whole.complete


def test_a_part_keeps_warnings_and_an_earlier_one_has_none(tmp_path: Path) -> None:
    rows = np.array([[0.25, 0.5]], np.float32)
    for length in (Length(100, 10), Length(100, 10, ("is odd", "é"))):
        keep(tmp_path / "x.part", length, [rows], shape=(1, 2))
        assert is_whole(tmp_path / "x.part")
        assert read_part(tmp_path / "x.part").length == length
    keep(tmp_path / "x.part", Length(100, 10), [rows], shape=(1, 2))
    assert b"warnings" not in (tmp_path / "x.part").read_bytes()  # as earlier versions wrote them
