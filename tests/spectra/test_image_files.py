"""Folders of images hold what the store holds; names of files are unique and stay in their folder."""

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
from config import Config
from tests.conftest import small_config
from utils import console
from utils.settings import to_dict
from utils.spectra import image_files, store_writer
from utils.spectra.image_names import ImageName, class_folder, image_file_name, names_in_files, parse_image_name
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
    return dataclasses.replace(config, spectrogram=dataclasses.replace(config.spectrogram, images=True))


def pngs(root: Path) -> dict[str, Path]:
    return {path.relative_to(root / "spec").as_posix(): path for path in sorted((root / "spec").rglob("*.png"))}


def test_names_are_the_baselines() -> None:
    assert image_file_name(ImageName(0.0123, "LIFECLEF_RN1", 4)) == "0123_LIFECLEF_RN1_004.png"
    assert image_file_name(ImageName(1.0, "a", 1234)) == "10000_a_1234.png"
    assert parse_image_name("0123_a_b_004.png") == ImageName(0.0123, "a_b", 4)
    assert parse_image_name("0123_a_b_004.PNG") == ImageName(0.0123, "a_b", 4)
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
        assert parse_image_name(wrong) is None, wrong


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
    file_names = names_in_files(table(*((name, "A") for name in names)))
    assert len(set(file_names.values())) == len(names)
    files = {image_file_name(ImageName(0.5, short, index)) for short in file_names.values() for index in (1, 12)}
    assert len(files) == 2 * len(names)
    for file in files:
        assert len(f".{file}.part".encode()) <= 255
        assert not re.search(r"[/\\:\x00-\x1f]", file)
        assert parse_image_name(file) is not None
        assert parse_image_name(file).recording in file_names.values()


def test_classes_that_cannot_name_a_folder_are_refused() -> None:
    for label in ("../x", ".", "..", "a/b", "x" * 300):
        with pytest.raises(ValueError, match=r"cannot hold|begins with a dot|is longer"):
            class_folder(label)


def test_images_are_those_of_the_store(config: Config) -> None:
    spec.main(
        dataclasses.replace(config, clips=dataclasses.replace(config.clips, signal_threshold=0.063, noise_share=1.0))
    )
    root = config.dataset.root
    store = Store(root)
    files = pngs(root)
    assert len(files) == len(store.clips)
    assert {path.split("/")[0] for path in files} == {"images", "noise"}
    for index, row in enumerate(store.clips.iter_rows(named=True)):
        name = f"{int(row['score'] * 10000):04d}_{row['recording'].split('/')[1]}_{row['index']:03d}.png"
        path = files[f"{'images' if row['accepted'] else 'noise'}/{row['class']}/{name}"]
        np.testing.assert_array_equal(
            cv2.imread(str(path), cv2.IMREAD_UNCHANGED), store.spectrograms(np.array([index]))[0]
        )


def test_asking_for_images_makes_no_other_store(
    config: Config, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    without = dataclasses.replace(config, spectrogram=dataclasses.replace(config.spectrogram, images=False))
    spec.main(without)
    assert not (config.dataset.root / "spec" / "images").exists()
    monkeypatch.setattr(store_writer, "fan_out", nothing_to_do)
    spec.main(config)
    assert pngs(config.dataset.root)
    assert "by an earlier run" not in capsys.readouterr().out
    spec.main(without)
    assert pngs(config.dataset.root)
    assert "spec/images was written by an earlier run and may be out of date" in capsys.readouterr().out
    assert to_dict(config)["spectrogram"]["images"] is True


def nothing_to_do(_: object, jobs: list[Any], **more: Any) -> Iterator[Any]:
    assert jobs == []
    yield from jobs


def test_what_is_right_stays_and_what_is_not_is_fixed(config: Config, capsys: pytest.CaptureFixture[str]) -> None:
    root = config.dataset.root
    spec.main(config)
    before = {name: path.read_bytes() for name, path in pngs(root).items()}
    files = list(pngs(root).values())
    os.utime(files[0], (1, 1))
    files[1].write_bytes(files[1].read_bytes()[:50])
    files[2].unlink()
    earlier, part, notes = (
        files[3].with_name(name) for name in ("0001_other_000.png", ".0001_other_000.png.part", "notes.txt")
    )
    gone = root / "spec" / "images" / "Gone species" / "0001_gone_000.png"
    gone.parent.mkdir()
    for file in (earlier, part, notes, gone):
        file.write_text("x")
    capsys.readouterr()
    spec.main(config)
    assert {name: path.read_bytes() for name, path in pngs(root).items()} == before
    assert files[0].stat().st_mtime == 1
    assert [file.exists() for file in (earlier, part, notes, gone, gone.parent)] == [False, False, True, False, False]
    assert "files in the folders of images that spec.py did not write stay there (1): " in capsys.readouterr().err


def test_if_stopped_it_resumes(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    root = config.dataset.root
    spec.main(config)
    before = {name: path.read_bytes() for name, path in pngs(root).items()}
    for path in pngs(root).values():
        path.unlink()
    original = image_files.atomic_file

    def full(path: Path) -> object:
        if len(pngs(root)) >= 5:
            raise KeyboardInterrupt
        return original(path)

    with monkeypatch.context() as patch:
        patch.setattr(image_files, "atomic_file", full)
        with pytest.raises(KeyboardInterrupt):
            spec.main(config)
    assert 0 < len(pngs(root)) < len(before)
    spec.main(config)
    assert {name: path.read_bytes() for name, path in pngs(root).items()} == before


def test_a_store_of_a_class_that_is_no_folder_is_refused(config: Config) -> None:
    spec.main(config)
    store = Store(config.dataset.root)
    store.clips = store.clips.with_columns(pl.lit("../../outside").alias("class"))
    with pytest.raises(console.UserError, match="the name of a class cannot be that of a folder"):
        image_files.write_images(store, config)
    assert not (config.dataset.root.parent / "outside").exists()


def test_progress_tells_the_speed(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    notes: list[str] = []
    original = console.progress

    @contextmanager
    def noting(*arguments: Any, **more: Any) -> Iterator[Any]:
        with original(*arguments, **more) as advance:
            yield lambda count=1, note="": (notes.append(note), advance(count, note=note))

    monkeypatch.setattr(store_writer.console, "progress", noting)
    spec.main(config)
    assert any(re.fullmatch(r"[\d,]+ clips/s, [\d,]+ × real time", note) for note in notes)
