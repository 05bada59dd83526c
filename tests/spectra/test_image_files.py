"""Folders of pictures hold what the store holds, under names that never leave them and never meet."""

import dataclasses
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

import sort_data
import spec
from config import Config, to_dict
from tests.conftest import small_config
from utils import console
from utils.spectra import filling
from utils.spectra.image_names import PictureName, folder_of, names_in_files, read, written
from utils.spectra.store import Store

HOSTILE = [
    "../../x",
    "/etc/x",
    "a/b/../../c",
    "..",
    ".hidden",
    "a\\b",
    "c:d",
    "line\nbreak",
    "100%",
    "%2F",
    "ä" * 100,
    "x" * 400,
    "x" * 401,
    "a_012",
    "a_b.png",
]


def table(*rows: tuple[str, str]) -> pl.DataFrame:
    return pl.DataFrame(list(rows), schema={"recording": pl.String(), "class": pl.String()}, orient="row")


@pytest.fixture
def config(tmp_path: Path, archive: Path) -> Config:
    config = small_config(tmp_path / "root", archive)
    sort_data.main(config)
    return dataclasses.replace(config, spectrogram=dataclasses.replace(config.spectrogram, pictures=True))


def pngs(root: Path) -> dict[str, Path]:
    return {path.relative_to(root / "spec").as_posix(): path for path in sorted((root / "spec").rglob("*.png"))}


def test_names_are_the_baselines() -> None:
    assert written(PictureName(0.0123, "LIFECLEF_RN1", 4)) == "0123_LIFECLEF_RN1_004.png"
    assert written(PictureName(1.0, "a", 1234)) == "10000_a_1234.png"
    assert read("0123_a_b_004.png") == PictureName(0.0123, "a_b", 4)
    assert read("0123_a_b_004.PNG") == PictureName(0.0123, "a_b", 4)
    for wrong in (
        "a.png",
        "123_a_004.png",
        "0123_a_04.png",
        "0123__a.png",
        "99999_a_001.png",
        "0123_a_004.jpg",
        "٠١٢٣_a_004.png",
        ".0123_a_004.png.part",
    ):
        assert read(wrong) is None, wrong


def test_classes_are_left_off_where_all_names_begin_with_theirs() -> None:
    assert names_in_files(table(("A/x", "A"), ("B/x", "B"))) == {"A/x": "x", "B/x": "x"}
    assert names_in_files(table(("A/x", "A"), ("x", "A"))) == {"A/x": "A%2Fx", "x": "x"}
    assert names_in_files(table(("A/x", "A"), ("tape", ""))) == {"A/x": "A%2Fx", "tape": "tape"}


@given(
    st.lists(
        st.one_of(st.sampled_from(HOSTILE), st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30)),
        unique=True,
        min_size=1,
    )
)
def test_no_two_names_meet_and_none_leaves_its_folder(names: list[str]) -> None:
    called = names_in_files(table(*((name, "A") for name in names)))
    assert len(set(called.values())) == len(names)
    files = {written(PictureName(0.5, short, number)) for short in called.values() for number in (1, 12)}
    assert len(files) == 2 * len(names)
    for file in files:
        assert len(f".{file}.part".encode()) <= 255
        assert not re.search(r"[/\\:\x00-\x1f]", file)
        assert read(file) is not None
        assert read(file).recording in called.values()


def test_classes_that_cannot_name_a_folder_are_refused() -> None:
    for label in ("../x", ".", "..", "a/b", "x" * 300):
        with pytest.raises(ValueError, match=r"cannot hold|begins with a dot|is longer"):
            folder_of(label)


def test_pictures_are_those_of_the_store(config: Config) -> None:
    spec.main(
        dataclasses.replace(config, clips=dataclasses.replace(config.clips, signal_threshold=0.063, noise_share=1.0))
    )
    root = config.dataset.root
    store = Store(root)
    files = pngs(root)
    assert len(files) == len(store.clips)
    assert {path.split("/")[0] for path in files} == {"pictures", "noise"}
    for number, row in enumerate(store.clips.iter_rows(named=True)):
        name = f"{int(row['score'] * 10000):04d}_{row['recording'].split('/')[1]}_{row['number']:03d}.png"
        path = files[f"{'pictures' if row['accepted'] else 'noise'}/{row['class']}/{name}"]
        np.testing.assert_array_equal(
            cv2.imread(str(path), cv2.IMREAD_UNCHANGED), store.pictures(np.array([number]))[0]
        )


def test_asking_for_pictures_makes_no_other_store(
    config: Config, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    without = dataclasses.replace(config, spectrogram=dataclasses.replace(config.spectrogram, pictures=False))
    spec.main(without)
    assert not (config.dataset.root / "spec" / "pictures").exists()
    monkeypatch.setattr(filling, "fan_out", nothing_to_do)
    spec.main(config)
    assert pngs(config.dataset.root)
    assert "of an earlier call" not in capsys.readouterr().out
    spec.main(without)
    assert pngs(config.dataset.root)
    assert "spec/pictures is of an earlier call and stays as it was" in capsys.readouterr().out
    assert to_dict(config)["spectrogram"]["pictures"] is True


def nothing_to_do(_: object, jobs: list[Any], **more: Any) -> Iterator[Any]:
    assert jobs == []
    yield from jobs


def test_what_is_right_stays_and_what_is_not_is_mended(config: Config, capsys: pytest.CaptureFixture[str]) -> None:
    root = config.dataset.root
    spec.main(config)
    before = {name: path.read_bytes() for name, path in pngs(root).items()}
    files = list(pngs(root).values())
    os.utime(files[0], (1, 1))
    files[1].write_bytes(files[1].read_bytes()[:50])
    files[2].unlink()
    stranger, part, own = (
        files[3].with_name(name) for name in ("0001_other_000.png", ".0001_other_000.png.part", "notes.txt")
    )
    gone = root / "spec" / "pictures" / "Gone species" / "0001_gone_000.png"
    gone.parent.mkdir()
    for file in (stranger, part, own, gone):
        file.write_text("x")
    capsys.readouterr()
    spec.main(config)
    assert {name: path.read_bytes() for name, path in pngs(root).items()} == before
    assert files[0].stat().st_mtime == 1
    assert [file.exists() for file in (stranger, part, own, gone, gone.parent)] == [False, False, True, False, False]
    assert "1 files in the folders of pictures are none of ours and stay" in capsys.readouterr().err


def test_stopped_it_goes_on(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    root = config.dataset.root
    spec.main(config)
    before = {name: path.read_bytes() for name, path in pngs(root).items()}
    for path in pngs(root).values():
        path.unlink()
    original = image_files.whole_file

    def full(path: Path) -> object:
        if len(pngs(root)) >= 5:
            raise KeyboardInterrupt
        return original(path)

    with monkeypatch.context() as patch:
        patch.setattr(picture_files, "whole_file", full)
        with pytest.raises(KeyboardInterrupt):
            spec.main(config)
    assert 0 < len(pngs(root)) < len(before)
    spec.main(config)
    assert {name: path.read_bytes() for name, path in pngs(root).items()} == before


def test_a_store_of_a_class_that_is_no_folder_is_refused(config: Config) -> None:
    spec.main(config)
    store = Store(config.dataset.root)
    store.clips = store.clips.with_columns(pl.lit("../../outside").alias("class"))
    with pytest.raises(console.UserError, match="no folder can have the name of a class"):
        image_files.write_pictures(store, config)
    assert not (config.dataset.root.parent / "outside").exists()


def test_progress_tells_the_speed(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    notes: list[str] = []
    original = console.progress

    @contextmanager
    def noting(*arguments: Any, **more: Any) -> Iterator[Any]:
        with original(*arguments, **more) as advance:
            yield lambda count=1, note="": (notes.append(note), advance(count, note=note))

    monkeypatch.setattr(filling.console, "progress", noting)
    spec.main(config)
    assert any(re.fullmatch(r"[\d,]+ clips/s, [\d,]+ × real time", note) for note in notes)
