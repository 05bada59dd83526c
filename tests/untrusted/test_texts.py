"""Damaged XML, tables, JSON and settings are refused with a reason, or read, without effect on other files."""

import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from config import Config, Dataset, SettingsError
from tests.conftest import names, reasons, small_config
from tests.untrusted.texts import bombs, damaged
from utils.console import UserError
from utils.demo.synthesis import plan_recording, recording_xml
from utils.recordings.archive import read_archive
from utils.recordings.birdclef2018 import read_birdclef2018
from utils.recordings.labels import read_aliases, read_taxonomy
from utils.settings import load, to_toml

MOST_SECONDS = 10.0
KAGGLE = "primary_label,secondary_labels,filename,latitude,longitude,author,rating\n" + "".join(
    f"amerob,\"['norcar']\",amerob/XC{index}.ogg,1.5,-70.25,Ann Other,4.5\n" for index in range(8)
)
EVENTS = "Selection\tBegin Time (s)\tEnd Time (s)\tLow Freq (Hz)\tHigh Freq (Hz)\tSpecies\n" + "".join(
    f"{row}\t{row}.5\t{row}.9\t1000\t4000\tTurdus merula\n" for row in range(1, 9)
)
PAGE = {
    "numRecordings": "3",
    "recordings": [
        {"id": f"{index}", "gen": "Turdus", "sp": "merula", "file-name": f"XC{index}.mp3", "also": [""]}
        for index in range(3)
    ],
}


def in_time(work: Callable[[], object]) -> None:
    start = time.monotonic()
    work()
    assert time.monotonic() - start < MOST_SECONDS


def test_damaged_xml(tmp_path: Path) -> None:
    (tmp_path / "wav").mkdir()
    (tmp_path / "xml").mkdir()
    take = plan_recording(0, number=1, rng=np.random.default_rng(1))
    whole, bad = [], []
    for index in range(20):
        (tmp_path / "wav" / f"whole{index}.wav").touch()
        (tmp_path / "xml" / f"whole{index}.xml").write_text(
            recording_xml(take, name=f"whole{index}.wav"), encoding="utf-8"
        )
        whole.append(f"whole{index}")
    for index, content in enumerate(
        [*damaged(recording_xml(take, name="damaged.wav").encode(), count=80, seed=1), *bombs("/etc/hostname")]
    ):
        (tmp_path / "xml" / f"bad{index}.xml").write_bytes(content)
        bad.append(f"xml/bad{index}.xml")
    found = []
    in_time(lambda: found.append(read_birdclef2018(tmp_path)))
    output = reasons(found[0])
    assert set(whole) <= set(names(found[0]))
    read = len(names(found[0])) - len(whole)
    assert set(output) <= set(bad)
    assert len(output) + read == len(bad)
    assert len(output) > 60
    assert not [reason for reason in output.values() if not reason.strip()]


def kaggle(folder: Path, content: bytes) -> None:
    (folder / "train_audio" / "amerob").mkdir(parents=True)
    for index in range(8):
        (folder / "train_audio" / "amerob" / f"XC{index}.ogg").touch()
    (folder / "train.csv").write_bytes(content)


def selections(folder: Path, content: bytes) -> None:
    folder.mkdir(exist_ok=True)
    (folder / "tape.wav").touch()
    (folder / "whole.wav").touch()
    (folder / "tape.Table.1.selections.txt").write_bytes(content)
    (folder / "whole.Table.1.selections.txt").write_text(EVENTS)


def downloads(folder: Path, content: bytes) -> None:
    folder.mkdir(exist_ok=True)
    for index in (0, 1, 2, 77):
        (folder / f"XC{index}.mp3").touch()
    (folder / "page1.json").write_bytes(content)
    (folder / "page2.json").write_text(json.dumps({**PAGE["recordings"][0], "id": "77", "file-name": "XC77.mp3"}))


def listed(folder: Path, content: bytes) -> None:
    (folder / "Turdus merula").mkdir(parents=True)
    (folder / "Turdus merula" / "whole.wav").touch()
    (folder / "metadata.csv").write_bytes(content)


# how to write an archive with the damaged text, the undamaged text, and what must be read in any case
FORMS = {
    "kaggle": (kaggle, KAGGLE.encode(), ""),
    "annotations": (selections, EVENTS.encode(), "whole"),
    "xenocanto": (downloads, json.dumps(PAGE, indent=1).encode(), "XC77"),
    "folders": (listed, b"file,author,date\nTurdus merula/whole.wav,Ann Other,2020-01-01\n", "Turdus merula/whole"),
}


@pytest.mark.parametrize("form", FORMS)
def test_damaged_tables_and_json(tmp_path: Path, form: str) -> None:
    write, text, stays_in_place = FORMS[form]
    refused = 0
    for index, content in enumerate(damaged(text, count=20, seed=2)):
        folder = tmp_path / f"{index}"
        folder.mkdir()
        write(folder, content)

        def work(folder: Path = folder) -> None:
            nonlocal refused
            try:
                archive = read_archive(Dataset(root=tmp_path / "root", archive=folder, kind=form))
            except UserError as error:
                refused += 1
                assert not stays_in_place, error
                assert 10 < len(str(error)) < 1200
                assert "\n" not in str(error)
                return
            refused += bool(archive.failures)
            assert not stays_in_place or stays_in_place in [recording.name for recording in archive.recordings]
            assert all(
                "\n" not in failure.name + failure.reason and len(failure.reason) < 250 for failure in archive.failures
            )

        in_time(work)
    assert refused > 5


@pytest.mark.parametrize("reader", [read_taxonomy, read_aliases])
def test_damaged_tables_of_names(tmp_path: Path, reader: Callable[[Path], object]) -> None:
    text = b"scientific_name,code\n" + b"".join(b"Genus species%d,code%d\n" % (row, row) for row in range(9))
    outcomes = set()
    for index, content in enumerate(damaged(text, count=20, seed=3)):
        (tmp_path / f"{index}.csv").write_bytes(content)
        try:
            in_time(lambda index=index: reader(tmp_path / f"{index}.csv"))
            outcomes.add("read")
        except UserError as error:
            assert f"{index}.csv" in str(error)
            outcomes.add("refused")
    assert outcomes == {"read", "refused"}


def test_damaged_settings(tmp_path: Path) -> None:
    refused = 0
    for index, content in enumerate(damaged(to_toml(small_config(tmp_path)).encode(), count=80, seed=4)):
        file = tmp_path / f"{index}.toml"
        file.write_bytes(content)
        try:
            in_time(lambda file=file: load(file))
        except SettingsError as error:
            refused += 1
            assert str(file) in str(error)
            assert "\n" not in str(error)
    assert refused > 60


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=300))
@example(b"run = '\x00'")
@example(b"run = '../x'")
@example(b"workers = 0x" + b"f" * 10_000)
@example(b"workers = " + b"[" * 10_000)
@example(b"workers = " + b"9" * 10_000)
@example(b"[dataset]\nfold = 9999999999999999999999")
def test_any_bytes_are_settings_or_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "any.toml").write_bytes(content)
    try:
        assert isinstance(load(tmp_path / "any.toml"), Config)
    except SettingsError as error:
        assert "any.toml" in str(error)
