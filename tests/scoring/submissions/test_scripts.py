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
from config import Config, IntervalRules, Submission
from tests.conftest import RATE, REPOSITORY, chirp, small_config
from tests.scoring.inference.test_intervals import one_by_one
from tests.scoring.inference.test_recordings import snapshot, with_testing
from utils import console
from utils.files import write_text
from utils.scoring.inference import clip_workers
from utils.scoring.submissions.results import Checked, Submitted
from utils.scoring.submissions.score_parts import is_score_part_complete, read_score_part, write_score_part
from utils.settings import to_toml
from utils.spectra.decode import Length
from utils.spectra.interval_clips import IntervalJob, IntervalSpectrograms, interval_spectrograms

RECORDINGS = 24


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Config:
    """A run with a snapshot, and recordings of which one is broken."""
    root = tmp_path_factory.mktemp("data set")
    (root / "soundscapes").mkdir()
    sound = chirp(1500.0, seconds=40.0, seed=1)
    for index in range(RECORDINGS):
        soundfile.write(
            root / "soundscapes" / f"r{index:02d}.wav", np.roll(sound, 999 * index)[: -100 * index or None], RATE
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


def test_a_submission_that_was_killed_resumes_to_the_same_bytes(
    settings: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    rules = IntervalRules(top_intervals=2, smoothing=0.1)  # of whole recordings, whose parts were written before
    settings = with_testing(settings, postprocessing=rules)
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
    done = len(parts_in(folder))
    assert 3 <= done < RECORDINGS - 1
    assert not list(folder.glob("*.csv"))
    second = start(killed, "submission_soundscape.py")
    out, errors = second.communicate(timeout=240)
    assert second.returncode == console.INCOMPLETE, errors
    assert f"{done} of {RECORDINGS} recordings were predicted before" in out
    assert f"done {RECORDINGS} of {RECORDINGS}, " in out
    assert "× real time" in out
    assert "r07.wav: " in errors
    monkeypatch.setattr(clip_workers, "fan_out", one_by_one)
    undisturbed = submission_soundscape.main(settings)
    (again,) = folder.glob("small_soundscape.*")
    assert again.read_bytes() == undisturbed.path.read_bytes()
    left = {path.name for path in folder.iterdir() if not path.name.startswith(".")}
    assert left == {again.name, "small_soundscape_plots"}


@pytest.mark.parametrize("script", [submission_monophone, submission_soundscape])
def test_a_name_that_is_not_utf8_is_left_out(
    settings: Config, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, script: ModuleType
) -> None:
    few = tmp_path / "few"
    few.mkdir()
    for name in ("r00.wav", "r\udcff.wav"):
        (few / name).symlink_to(settings.dataset.root / "soundscapes" / "r00.wav")
    submission = dataclasses.replace(settings.submission, folder=tmp_path, recordings=few)
    monkeypatch.setattr(clip_workers, "fan_out", one_by_one)
    done = script.main(dataclasses.replace(settings, submission=submission))
    assert isinstance(done, Submitted)
    assert (done.recordings, done.complete) == (1, False)
    assert [failure.reason for failure in done.unused] == ["has a name that is not UTF-8; rename it"]


def test_annotated_soundscapes_get_metrics_and_a_page(
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
    monkeypatch.setattr(clip_workers, "fan_out", one_by_one)
    done = submission_soundscape.main(config)
    assert isinstance(done, Submitted)
    assert done.metrics is not None
    assert (done.metrics.recordings, done.metrics.with_birds) == (2, 4)
    assert "Avis ignota" in done.metrics.notes[0]
    assert 0 <= done.metrics.value("cmap") <= 1
    saved = json.loads((tmp_path / "small_soundscape.json").read_text())
    assert saved["metrics"]["mlrap"]["value"] == done.metrics.value("mlrap")
    assert done.page is not None
    assert done.page.read_text(encoding="utf-8").count("data:audio/") == 2
    assert not list(tmp_path.glob("*.parts"))


@pytest.mark.parametrize("share", [0.0, 0.3])
def test_a_share_of_all_intervals_has_detections(
    settings: Config, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, share: float
) -> None:
    few = tmp_path / "few"
    few.mkdir()
    for name in ("r00.wav", "r01.wav", "r07.wav"):  # the last one is broken
        (few / name).symlink_to(settings.dataset.root / "soundscapes" / name)
    config = submission_of(
        settings, folder=tmp_path, recordings=few, format="kaggle2021", dynamic="share", dynamic_share=share
    )
    monkeypatch.setattr(clip_workers, "fan_out", one_by_one)
    done = submission_soundscape.main(config)
    assert isinstance(done, Submitted)
    rows = done.path.read_text().splitlines()[1:]
    assert len(rows) == done.intervals == 16
    detected = sum(not row.endswith(",nocall") for row in rows)
    assert detected >= 5 if share else detected == 0  # 0.3 × 16 = 4.8; more only if scores are equal


@pytest.mark.parametrize("script", [submission_soundscape, submission_monophone])
def test_a_file_is_checked_without_inference(script: ModuleType, settings: Config, tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    write_text(
        path, "recording,start,end,species,score\nr00.wav,0.000000,5.000000,A,0.9\nr00.wav,0.000000,5.000000,Z,nan\n"
    )
    checked = script.main(settings, script.SubmissionFlags(check=path))
    assert isinstance(checked, Checked)
    assert all("line 3" in problem for problem in checked.failures if "line" in problem)
    assert any("line 3" in problem for problem in checked.failures)
    with pytest.raises(console.UserError, match="no such file"):
        script.main(settings, script.SubmissionFlags(check=tmp_path / "none.csv"))


def submission_of(settings: Config, **changes: object) -> Config:
    return dataclasses.replace(settings, submission=dataclasses.replace(settings.submission, **changes))


SAMPLES = {
    "birds": ("kaggle2021", "row_id,birds\nx_5,nocall\n", ["x_5,nocall"]),
    "scores": ("kaggle2022", "row_id,B,Z,A\nx_5,0.1,0.1,0.1\n", ["x_5,0.500000,0.000000,0.500000"]),
    "targets": ("kaggle2022", "row_id,target\nx_A_5,True\n", ["x_A_5,False"]),
}


@pytest.mark.parametrize("script", [submission_soundscape, submission_monophone])
@pytest.mark.parametrize("form", SAMPLES)
def test_without_sounds_a_sample_is_written_without_predictions(
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
    printed = capsys.readouterr()
    assert done.path.read_text().splitlines()[1:] == rows
    assert done.page is None
    warned = [line for line in printed.err.splitlines() if "predictions" in line]
    assert len(warned) == 1
    assert "has no recordings" in warned[0]
    checked = script.main(config, script.SubmissionFlags(check=done.path))
    assert isinstance(checked, Checked)
    assert checked.complete


def test_a_sample_is_suggested_if_the_format_takes_one(settings: Config, tmp_path: Path) -> None:
    (tmp_path / "test").mkdir()
    write_text(tmp_path / "sample.csv", "row_id,birds\nx_5,nocall\n")
    with pytest.raises(console.UserError, match=r"has no recordings; with submission\.sample = sample_submission\.csv"):
        submission_soundscape.main(submission_of(settings, recordings=tmp_path / "test", format="kaggle2021"))
    with pytest.raises(console.UserError, match=r"has no recordings$"):  # the other formats have no sample
        submission_soundscape.main(
            submission_of(settings, recordings=tmp_path / "test", sample=tmp_path / "sample.csv")
        )
    with pytest.raises(console.UserError, match=r"no such folder$"):  # a mistake
        submission_soundscape.main(
            submission_of(settings, recordings=tmp_path / "tset", format="kaggle2021", sample=tmp_path / "sample.csv")
        )


@pytest.mark.parametrize("form", SAMPLES)
def test_sounds_that_cannot_be_read_are_rows_without_predictions(
    form: str, settings: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, content, rows = SAMPLES[form]
    (tmp_path / "test").mkdir()
    (tmp_path / "test" / "x.m4a").write_bytes(b"ftyp")
    (tmp_path / "test" / "y.wav").write_bytes(b"")
    write_text(tmp_path / "sample.csv", content)
    monkeypatch.setattr(clip_workers, "fan_out", one_by_one)
    done = submission_soundscape.main(
        submission_of(
            settings, folder=tmp_path, recordings=tmp_path / "test", format=name, sample=tmp_path / "sample.csv"
        )
    )
    assert isinstance(done, Submitted)
    assert [failure.name for failure in done.failures] == ["x.m4a", "y.wav"]
    assert done.path.read_text().splitlines()[1:] == rows
    assert done.files == "0 audio files used, 2 left out"


def submitted_with(
    settings: Config, home: Path, monkeypatch: pytest.MonkeyPatch, tables: dict[str, str], **changes: object
) -> Submitted:
    """Submit two recordings with tables beside them."""
    home.mkdir()
    for name in ("r00.wav", "r01.wav"):
        (home / name).symlink_to(settings.dataset.root / "soundscapes" / name)
    for name, content in tables.items():
        write_text(home / name, content)
    monkeypatch.setattr(clip_workers, "fan_out", one_by_one)
    done = submission_soundscape.main(
        submission_of(settings, **{"folder": home.parent / "out", "recordings": home, **changes})
    )
    assert isinstance(done, Submitted)
    return done


def test_annotations_that_cannot_be_used_are_reported(
    settings: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = "file,start,end,species\nr00.wav,3,12,A\nr00.wav,9,1,B\nr01.wav,3000,4000,B\n"
    done = submitted_with(settings, tmp_path / "few", monkeypatch, {"annotations.csv": rows}, page_minutes=1.0)
    assert done.metrics is not None
    assert (
        done.metrics.recordings,
        done.metrics.annotated,
        done.metrics.annotations_used,
        done.metrics.annotations,
    ) == (1, 2, 1, 3)
    assert not done.complete
    assert [failure.name for failure in done.unused] == ["annotations.csv line 3", "r01.wav"]
    printed = capsys.readouterr()
    assert "1 of 2 annotated" in printed.out
    assert "2 audio files used, 1 table or record read" in " ".join(printed.out.split())
    assert "annotations.csv line 3: ends before it starts" in printed.err
    assert "r01.wav: 1 of 1 annotations lie after its end" in printed.err
    assert done.page is not None
    page = done.page.read_text(encoding="utf-8")
    assert "1 of 2 annotated" in page
    assert "1 of 3 used" in page
    assert page.count("not annotated") >= 1  # r01.wav, whose annotations lie after its end


def test_if_no_annotation_can_be_used_that_is_reported(
    settings: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    done = submitted_with(
        settings, tmp_path / "none", monkeypatch, {"annotations.csv": "file,start,end,species\nr00.wav,5000,6000,A\n"}
    )
    assert done.metrics is None
    assert not done.complete
    assert "none of them can be used" in capsys.readouterr().err


def test_tables_that_are_not_understood_are_reported(
    settings: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    done = submitted_with(
        settings,
        tmp_path / "odd",
        monkeypatch,
        {"calls.csv": "Datei,Anfang,Ende,Art\nx.wav,1.0,2.0,A\nx.wav,3.0,4.5,B\n", "LICENSE.txt": "Take it."},
    )
    assert done.metrics is None
    assert [failure.name for failure in done.unused] == ["calls.csv"]
    printed = capsys.readouterr()
    assert "2 audio files used, 1 not understood, 1 other file (LICENSE.txt)" in " ".join(printed.out.split())
    assert "calls.csv: " in printed.err


def test_a_wrong_column_is_rejected_before_inference(
    settings: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def decode_nothing(*_: object, **__: object) -> None:
        raise AssertionError

    monkeypatch.setattr(clip_workers, "_finished", decode_nothing)
    columns = dataclasses.replace(settings.dataset.columns, species="bird")
    config = dataclasses.replace(settings, dataset=dataclasses.replace(settings.dataset, columns=columns))
    with pytest.raises(console.UserError, match="has no column bird"):
        submitted_with(
            config, tmp_path / "few", monkeypatch, {"annotations.csv": "file,start,end,species\nr00.wav,3,12,A\n"}
        )


@pytest.mark.parametrize("tables", [{}, {"annotations.csv": "file,start,end,species\nr00.wav,3,12,A\n"}])
def test_a_submission_is_not_scored_against_an_earlier_one(
    tables: dict[str, str], settings: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder of submissions below the recordings is neither read as annotations nor listed, however it is named."""
    folder = tmp_path / "few"
    first = submitted_with(settings, folder, monkeypatch, tables, folder=folder / "submissions")
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
                assert again.metrics == first.metrics
                assert again.path.read_bytes() == first.path.read_bytes()
    assert (first.metrics is not None) == bool(tables)
    with pytest.raises(console.UserError, match=r"submission\.folder = .*is the folder of the recordings"):
        submission_soundscape.main(submission_of(settings, folder=tmp_path / "link", recordings=Path()))


def test_the_next_step_is_named(
    settings: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    submitted_with(settings, tmp_path / "one", monkeypatch, {}, page_minutes=1.0)
    assert "next: open out/small_soundscape.html, the timelines" in capsys.readouterr().out
    submitted_with(settings, tmp_path / "two", monkeypatch, {})
    assert "next: open out/small_soundscape.csv beside the recordings" in capsys.readouterr().out


def test_the_channel_is_the_snapshots_and_that_is_reported(
    settings: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sound = chirp(1500.0, seconds=4.0, seed=1)
    (tmp_path / "stereo").mkdir()
    soundfile.write(tmp_path / "stereo" / "x.wav", np.stack([sound, -sound], axis=1), RATE)
    monkeypatch.setattr(clip_workers, "fan_out", one_by_one)
    loudest = dataclasses.replace(settings, spectrogram=dataclasses.replace(settings.spectrogram, channel="loudest"))
    for script in (submission_soundscape, submission_monophone):
        done = script.main(submission_of(loudest, folder=tmp_path / "out", recordings=tmp_path / "stereo"))
        assert isinstance(done, Submitted)
        advice = (
            "(the model was trained with spectrogram.channel = mean: "
            "save one channel as a mono file, or train with another)"
        )
        assert [failure.reason.endswith(advice) for failure in done.failures] == [True]
        assert (
            "warning: spectrogram.channel is ignored: spectrograms are made with the settings of the snapshot"
            in capsys.readouterr().err
        )
    submitted_with(settings, tmp_path / "few", monkeypatch, {})
    assert "ignored" not in capsys.readouterr().err
    # without an experiment
    submitted_with(dataclasses.replace(settings, spectrogram=Config().spectrogram), tmp_path / "usual", monkeypatch, {})
    assert "ignored" not in capsys.readouterr().err


def test_warnings_of_sounds_are_saved_and_reported(
    settings: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    reason = "the header declares 40.0 s, but only 38.0 s are there and are used"

    def odd(job: IntervalJob) -> IntervalSpectrograms:
        found = interval_spectrograms(job)
        return dataclasses.replace(found, length=found.length._replace(warnings=(reason,)))

    monkeypatch.setattr(clip_workers, "interval_spectrograms", odd)
    plain = submitted_with(settings, tmp_path / "plain", monkeypatch, {})
    content = plain.path.read_text()
    assert [(failure.name, failure.reason) for failure in plain.odd] == [(f"r0{n}.wav", reason) for n in (0, 1)]
    assert not plain.complete
    err = capsys.readouterr().err
    assert "2 recordings read, with a warning:" in err
    assert content.startswith("recording,start,end,species,score\n")
    reason = "the header declares 38.0 s, but the file holds 40.0 s; all of it is used"  # nothing is lost
    whole = submitted_with(settings, tmp_path / "whole", monkeypatch, {})
    assert [failure.reason for failure in whole.odd] == [reason, reason]
    assert whole.complete


def test_a_part_keeps_warnings_and_an_earlier_one_has_none(tmp_path: Path) -> None:
    rows = np.array([[0.25, 0.5]], np.float32)
    for length in (Length(100, 10), Length(100, 10, ("is odd", "é"))):
        write_score_part(tmp_path / "x.part", length, [rows], shape=(1, 2))
        assert is_score_part_complete(tmp_path / "x.part")
        assert read_score_part(tmp_path / "x.part").length == length
    write_score_part(tmp_path / "x.part", Length(100, 10), [rows], shape=(1, 2))
    assert b"warnings" not in (tmp_path / "x.part").read_bytes()  # as earlier versions wrote them


def test_rows_of_places_that_name_nothing_are_told_and_the_rest_done(
    settings: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_text(tmp_path / "prior.csv", "species,frequency,latitude,longitude\nA,50,1,2\n")
    settings = dataclasses.replace(
        settings, testing=dataclasses.replace(settings.testing, prior=tmp_path / "prior.csv")
    )
    places = tmp_path / "places.csv"
    for number, (rows, unused) in enumerate(
        (
            ("r00,1,2\nr01,1,2\n", []),
            ("r00,1,2\ngone,1,2\nr01,1,200\n", ["places.csv line 4", "places.csv"]),
        )
    ):
        write_text(places, f"recording,latitude,longitude\n{rows}")
        done = submitted_with(settings, tmp_path / f"home{number}", monkeypatch, {}, places=places)
        assert [failure.name for failure in done.unused] == unused
        assert done.complete == (not unused)
        assert done.recordings == 2
    told = capsys.readouterr().err
    assert told.count("1 of 2 rows name neither a recording that is predicted nor the site of one, such as 'gone'") == 1
    assert "2 files or rows of tables left out" in told
