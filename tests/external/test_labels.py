"""The names of a model's classes: in several kinds of files, which are found beside the model."""

from dataclasses import replace
from pathlib import Path

import pytest

from config import External
from utils.console import UserError
from utils.external.labels import label_names, scientific_name


def names(folder: Path, classes: int = 2, labels: str | None = None) -> tuple[str, ...]:
    external = External(file=folder / "bird.onnx", labels=None if labels is None else folder / labels)
    return label_names(external, classes=classes)


@pytest.mark.parametrize(
    ("label", "name"),
    [
        ("Turdus merula_Eurasian Blackbird", "Turdus merula"),
        ("Turdus merula_solsort", "Turdus merula"),
        ("Turdus merula_Ånd_x", "Turdus merula"),
        ("Turdus merula", "Turdus merula"),
        ("Engine_Engine", "Engine"),
        ("Acoustic_guitar", "Acoustic_guitar"),
        ("blackbird", "blackbird"),
    ],
)
def test_scientific_names(label: str, name: str) -> None:
    assert scientific_name(label) == name


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("Labels.txt", "A a_Common a\nB b_Common b\n"),
        ("Labels.txt", "\ufeffA a_x\r\nB b_y\r\n\r\n"),
        ("labels.csv", "inat2024_fsd50k\nA a\nB b\n"),
        ("labels.csv", "id;sci_name;com_name\n1;A a;x\n2;B b;y\n"),
        ("labels.csv", 'common,Scientific Name\n"x, y",A a\nz,B b\n'),
    ],
)
def test_files_of_labels(tmp_path: Path, file: str, text: str) -> None:
    (tmp_path / file).write_text(text, encoding="utf-8")
    assert names(tmp_path) == names(tmp_path, labels=file) == ("A a", "B b")


def test_the_file_with_as_many_lines_is_found(tmp_path: Path) -> None:
    (tmp_path / "LICENSE.txt").write_text("a\nb\nc\n")
    (tmp_path / "binary.txt").write_bytes(b"\xff\xfe\x80")
    (tmp_path / "labels_de.txt").write_text("A a_Eins\nB b_Zwei\n")
    (tmp_path / "labels_en.txt").write_text("A a_One\nB b_Two\n")
    assert names(tmp_path) == ("A a", "B b")
    (tmp_path / "others.txt").write_text("C c\nD d\n")
    with pytest.raises(UserError, match=r"others.txt beside it name 2 classes each, but others; set external.labels"):
        names(tmp_path)
    assert names(tmp_path, labels="others.txt") == ("C c", "D d")


def test_missing_labels_are_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^[^\n]*bird.onnx: no file beside it has names for its 2 classes; set exte"):
        names(tmp_path)
    with pytest.raises(UserError, match=r"^[^\n]*none.txt: cannot be read as labels \([^\n]*$"):
        names(tmp_path, labels="none.txt")
    (tmp_path / "three.txt").write_text("a\nb\nc\n")
    with pytest.raises(UserError, match=r"three.txt: has 3 names, but the model has 2 classes$"):
        names(tmp_path, labels="three.txt")
    with pytest.raises(UserError, match="name no bird model"):
        label_names(replace(External()), classes=2)
