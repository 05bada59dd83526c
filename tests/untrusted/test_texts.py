"""Damaged XML, tables, JSON and settings: refused with a reason, or read; never a crash, and whole neighbours are read."""

import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from config import Config, Dataset, SettingsError, load, to_toml
from tests.conftest import names, reasons, small_config
from tests.untrusted.texts import bombs, damaged
from utils.console import UserError
from utils.demo.takes import plan, xml_of
from utils.recordings.archive import read_archive
from utils.recordings.birdclef2018 import read_birdclef2018
from utils.recordings.labels import read_aliases, read_taxonomy

MOST_SECONDS = 10.0
KAGGLE = "primary_label,secondary_labels,filename,latitude,longitude,author,rating\n" + "".join(
    f"amerob,\"['norcar']\",amerob/XC{number}.ogg,1.5,-70.25,Ann Other,4.5\n" for number in range(8)
)
EVENTS = "Selection\tBegin Time (s)\tEnd Time (s)\tLow Freq (Hz)\tHigh Freq (Hz)\tSpecies\n" + "".join(
    f"{row}\t{row}.5\t{row}.9\t1000\t4000\tTurdus merula\n" for row in range(1, 9)
)
PAGE = {
    "numRecordings": "3",
    "recordings": [
        {"id": f"{number}", "gen": "Turdus", "sp": "merula", "file-name": f"XC{number}.mp3", "also": [""]}
        for number in range(3)
    ],
}


def in_time(work: Callable[[], object]) -> None:
    start = time.monotonic()
    work()
    assert time.monotonic() - start < MOST_SECONDS


def test_damaged_xml(tmp_path: Path) -> None:
    (tmp_path / "wav").mkdir()
    (tmp_path / "xml").mkdir()
    take = plan(0, number=1, rng=np.random.default_rng(1))
    whole, bad = [], []
    for number in range(20):
        (tmp_path / "wav" / f"whole{number}.wav").touch()
        (tmp_path / "xml" / f"whole{number}.xml").write_text(xml_of(take, name=f"whole{number}.wav"), encoding="utf-8")
        whole.append(f"whole{number}")
    for number, content in enumerate(
        [*damaged(xml_of(take, name="damaged.wav").encode(), count=80, seed=1), *bombs("/etc/hostname")]
    ):
        (tmp_path / "xml" / f"bad{number}.xml").write_bytes(content)
        bad.append(f"xml/bad{number}.xml")
    found = []
    in_time(lambda: found.append(read_birdclef2018(tmp_path)))
    told = reasons(found[0])
    assert set(whole) <= set(names(found[0]))
    read = len(names(found[0])) - len(whole)
    assert set(told) <= set(bad)
    assert len(told) + read == len(bad)
    assert len(told) > 60
    assert not [reason for reason in told.values() if not reason.strip()]


def kaggle(folder: Path, content: bytes) -> None:
    (folder / "train_audio" / "amerob").mkdir(parents=True)
    for number in range(8):
        (folder / "train_audio" / "amerob" / f"XC{number}.ogg").touch()
    (folder / "train.csv").write_bytes(content)


def selections(folder: Path, content: bytes) -> None:
    folder.mkdir(exist_ok=True)
    (folder / "tape.wav").touch()
    (folder / "whole.wav").touch()
    (folder / "tape.Table.1.selections.txt").write_bytes(content)
    (folder / "whole.Table.1.selections.txt").write_text(EVENTS)


def downloads(folder: Path, content: bytes) -> None:
    folder.mkdir(exist_ok=True)
    for number in (0, 1, 2, 77):
        (folder / f"XC{number}.mp3").touch()
    (folder / "page1.json").write_bytes(content)
    (folder / "page2.json").write_text(json.dumps({**PAGE["recordings"][0], "id": "77", "file-name": "XC77.mp3"}))


def listed(folder: Path, content: bytes) -> None:
    (folder / "Turdus merula").mkdir(parents=True)
    (folder / "Turdus merula" / "whole.wav").touch()
    (folder / "metadata.csv").write_bytes(content)


# how an archive is written around a damaged text, the whole text, and what is read whatever becomes of it
FORMS = {
    "kaggle": (kaggle, KAGGLE.encode(), ""),
    "annotations": (selections, EVENTS.encode(), "whole"),
    "xenocanto": (downloads, json.dumps(PAGE, indent=1).encode(), "XC77"),
    "folders": (listed, b"file,author,date\nTurdus merula/whole.wav,Ann Other,2020-01-01\n", "Turdus merula/whole"),
}


@pytest.mark.parametrize("form", FORMS)
def test_damaged_tables_and_json(tmp_path: Path, form: str) -> None:
    write, text, stays = FORMS[form]
    refused = 0
    for number, content in enumerate(damaged(text, count=20, seed=2)):
        folder = tmp_path / f"{number}"
        folder.mkdir()
        write(folder, content)

        def work(folder: Path = folder) -> None:
            nonlocal refused
            try:
                archive = read_archive(Dataset(root=tmp_path / "root", archive=folder, kind=form))
            except UserError as trouble:
                refused += 1
                assert not stays, trouble
                assert 10 < len(str(trouble)) < 1200
                assert "\n" not in str(trouble)
                return
            refused += bool(archive.failures)
            assert not stays or stays in [recording.name for recording in archive.recordings]
            assert all(
                "\n" not in failure.name + failure.reason and len(failure.reason) < 250 for failure in archive.failures
            )

        in_time(work)
    assert refused > 5


@pytest.mark.parametrize("reader", [read_taxonomy, read_aliases])
def test_damaged_tables_of_names(tmp_path: Path, reader: Callable[[Path], object]) -> None:
    text = b"scientific_name,code\n" + b"".join(b"Genus species%d,code%d\n" % (row, row) for row in range(9))
    outcomes = set()
    for number, content in enumerate(damaged(text, count=20, seed=3)):
        (tmp_path / f"{number}.csv").write_bytes(content)
        try:
            in_time(lambda number=number: reader(tmp_path / f"{number}.csv"))
            outcomes.add("read")
        except UserError as trouble:
            assert f"{number}.csv" in str(trouble)
            outcomes.add("refused")
    assert outcomes == {"read", "refused"}


def test_damaged_settings(tmp_path: Path) -> None:
    refused = 0
    for number, content in enumerate(damaged(to_toml(small_config(tmp_path)).encode(), count=80, seed=4)):
        file = tmp_path / f"{number}.toml"
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
