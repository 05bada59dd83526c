"""A disk that the store will not fit on is named before it is full."""

from pathlib import Path
from typing import NamedTuple

import pytest

from config import Clips, Spectrogram
from utils.console import UserError
from utils.spectra import disk_forecast
from utils.spectra.disk_forecast import DiskForecast
from utils.spectra.extraction import Job, JobResult


class Usage(NamedTuple):
    free: int


def jobs(folder: Path, count: int) -> list[Job]:
    files = [folder / f"{index:03d}.wav" for index in range(count)]
    for file in files:
        file.write_bytes(bytes(1000))
    return [Job(file.stem, file, 0, Clips(), Spectrogram()) for file in files]


def test_the_forecast_is_in_proportion(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After 20 of 100 recordings of one size with 5 MB of clips each, 400 MB are needed."""
    todo, free = jobs(tmp_path, 100), [450_000_000]
    monkeypatch.setattr(disk_forecast.shutil, "disk_usage", lambda _: Usage(free[0]))
    forecast = DiskForecast(tmp_path, todo)
    for job in todo[:20]:
        forecast.record(job, JobResult(10.0, 5, 5_000_000))
    free[0] = 350_000_000
    with pytest.raises(UserError, match=r"will take about 0\.4 GB, but 0\.3 GB are free; .* resumes"):
        forecast.record(todo[20], JobResult(10.0, 5, 5_000_000))


def test_few_recordings_are_judged_with_doubt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 4 recordings, the 3 others will take 15 MB; their shard of 4 needs 20 MB more while it is packed."""
    todo = jobs(tmp_path, 4)
    monkeypatch.setattr(disk_forecast.shutil, "disk_usage", lambda _: Usage(9_000_000))
    DiskForecast(tmp_path, todo, largest_shard=64).record(todo[0], JobResult(10.0, 5, 5_000_000))
    monkeypatch.setattr(disk_forecast.shutil, "disk_usage", lambda _: Usage(8_000_000))
    with pytest.raises(UserError, match="will take about"):
        DiskForecast(tmp_path, todo, largest_shard=64).record(todo[0], JobResult(10.0, 5, 5_000_000))


def test_failures_and_missing_files_count_as_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    todo = jobs(tmp_path, 30)
    todo[0].file.unlink()
    monkeypatch.setattr(disk_forecast.shutil, "disk_usage", lambda _: Usage(1))
    forecast = DiskForecast(tmp_path, todo)
    for job in todo[:25]:
        forecast.record(job, None)
    with pytest.raises(UserError, match="will take about"):
        forecast.record(todo[25], JobResult(10.0, 5, 5_000_000))
