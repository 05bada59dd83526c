"""A submission of a recorder's card as a user runs it: an archive of occurrences, events in Parquet, and a history."""

import csv
import dataclasses
import zipfile
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import soundfile

import submission_soundscape
from config import Submission
from tests.conftest import RATE, small_config
from tests.scoring.submissions.test_event_table import of_energy
from utils.files import write_text
from utils.scoring.submissions.flags import SubmissionFlags
from utils.scoring.submissions.results import Checked, Submitted

FILES = ("Mill/20211002_235958.wav", "Elm/20211003_050000.wav", "tape.wav")


@pytest.mark.usefixtures("undrawn")
def test_outputs_for_other_programs(tmp_path: Path) -> None:
    root = tmp_path / "root"
    sound = np.zeros(7 * RATE, np.float32)
    sound[3 * RATE : 4 * RATE] = np.random.default_rng(1).normal(0, 0.2, RATE)  # 0:00:01 of the second day at the mill
    for file, factor in zip(FILES, (1, 0, 0), strict=True):
        (root / "soundscapes" / file).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(root / "soundscapes" / file, factor * sound, RATE)
    write_text(root / "deployments.csv", "site,latitude,longitude\nMill,50.83,12.92\n")
    plain = small_config(root)
    config = dataclasses.replace(
        plain,
        dataset=dataclasses.replace(plain.dataset, deployments=root / "deployments.csv", time_zone="Europe/Berlin"),
        spectrogram=dataclasses.replace(plain.spectrogram, scale="fixed"),
        model=dataclasses.replace(plain.model, pool="attention", normalize="dataset"),
        training=dataclasses.replace(plain.training, loss="binary"),
        submission=Submission(
            folder=tmp_path / "out",
            interval=1.0,
            min_score=0.5,
            page_minutes=0.0,
            format="darwin-core",
            events="parquet",
            history="day",
        ),
    )
    of_energy(config, "small")
    done = submission_soundscape.main(config)
    assert isinstance(done, Submitted)
    assert done.events is not None
    assert done.history is not None
    with zipfile.ZipFile(done.path) as archive:
        rows = list(csv.DictReader(archive.read("occurrence.txt").decode().splitlines(), delimiter="\t"))
    assert {row["associatedMedia"] for row in rows} == {FILES[0]}
    assert "2021-10-03T00:00:01+02:00/2021-10-03T00:00:02+02:00" in {row["eventDate"] for row in rows}
    assert {(row["scientificName"], row["decimalLatitude"], row["identifiedBy"]) for row in rows} == {
        ("A", "50.830000", "small/epoch_001")
    }
    events = pl.read_parquet(done.events.path.read_bytes())
    assert set(events["site"]) == {"Mill"}
    assert abs(events.filter(pl.col("species") == "A")["start"][0] - 3.0) < 0.3
    assert done.history.path.name == "small_soundscape_history.csv"
    assert done.history.path.read_text().splitlines() == [
        "species,site,2021-10-02,2021-10-03",
        "A,Elm,,0",
        "A,Mill,0,1",
    ]
    assert done.history.effort.read_text().splitlines()[2] == f"Mill,{2 / 3600:.6f},{5 / 3600:.6f}"
    assert done.plots is not None
    assert [*done.plots.files] == ["activity", "accumulation", "scores", "sites"]
    assert all(path.parent == tmp_path / "out" / "small_soundscape_plots" for path in done.plots.files.values())
    without = dataclasses.replace(config, submission=dataclasses.replace(config.submission, plots=False))
    assert submission_soundscape.main(without).plots is None
    assert not (tmp_path / "out" / "small_soundscape_plots").exists()
    checked = submission_soundscape.main(config, SubmissionFlags(check=done.path))
    assert isinstance(checked, Checked)
    assert checked.complete
