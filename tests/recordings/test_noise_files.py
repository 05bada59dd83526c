"""Folders of noise: files that several folders have, and those that count once."""

from pathlib import Path

import pytest

from utils.console import UserError
from utils.recordings.noise_files import distinct_files, noise_files, refuse_shared_noise


def written(folder: Path, **contents: bytes) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        (folder / f"{name}.wav").write_bytes(content)
    return folder


def test_files_of_equal_content_count_once(tmp_path: Path) -> None:
    folder = written(tmp_path, a=b"rain", b=b"wind", c=b"rain")
    used, left_out = distinct_files(noise_files(folder, "training.noise_folder")[0])
    assert [file.name for file in used] == ["a.wav", "b.wav"]
    assert [(Path(one.name).name, one.reason.split(",")[0]) for one in left_out] == [
        ("c.wav", "has the same content as a.wav")
    ]


def test_the_message_names_the_setting(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no such folder; set training\.noise_folder to a folder"):
        noise_files(tmp_path / "none", "training.noise_folder")


def test_noise_to_learn_and_noise_to_test_on_share_no_file(tmp_path: Path) -> None:
    learned = written(tmp_path / "learned", a=b"rain", empty=b"")
    tested = written(tmp_path / "tested", b=b"wind", other=b"hail", empty=b"")
    refuse_shared_noise(learned, tested)
    refuse_shared_noise(learned, None)
    refuse_shared_noise(None, tested)
    refuse_shared_noise(learned, tmp_path / "none")
    written(learned / "deep", same=b"hail")
    with pytest.raises(UserError, match=r"share recordings, such as .*other\.wav, .*set testing\.noise_folder"):
        refuse_shared_noise(learned, tested)
    with pytest.raises(UserError, match=r"such as .*same\.wav"):
        refuse_shared_noise(learned, learned / "deep")
    (tmp_path / "links").mkdir()
    (tmp_path / "links" / "link.wav").symlink_to(learned / "a.wav")
    with pytest.raises(UserError, match=r"such as .*link\.wav"):
        refuse_shared_noise(learned, tmp_path / "links")
