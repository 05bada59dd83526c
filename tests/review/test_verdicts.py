"""Verdicts are on disk at once, files of several reviewers are one, and nothing that was said is lost."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from utils.console import UserError
from utils.review.verdicts import Verdict, VerdictFile, Verdicts, check_name, checked_verdict, clean_name, read_verdicts

KEY = ("a.wav", 0.0, 5.0, "Parus major")
OTHER = ("b\n.wav", 5.0, 10.0, "Turdus merula")


def said(folder: Path, reviewer: str, *verdicts: tuple[tuple[str, float, float, str], str]) -> None:
    file = VerdictFile(folder, reviewer)
    for key, kind in verdicts:
        file.append(key, None if kind == "undo" else Verdict(reviewer, kind, score=0.5))  # type: ignore[arg-type]
    file.close()


def test_a_later_verdict_replaces_an_earlier_one_and_undo_withdraws_it(tmp_path: Path) -> None:
    said(tmp_path, "anna", (KEY, "yes"), (OTHER, "no"), (KEY, "no"), (OTHER, "undo"))
    verdicts = read_verdicts(tmp_path)
    assert verdicts.of(KEY) == Verdict("anna", "no", score=0.5)
    assert verdicts.of(OTHER) is None
    said(tmp_path, "anna", (OTHER, "yes"))  # opened again
    assert read_verdicts(tmp_path).of(OTHER) == Verdict("anna", "yes", score=0.5)


def test_most_reviewers_decide_and_contradictions_are_counted(tmp_path: Path) -> None:
    said(tmp_path, "anna", (KEY, "yes"), (OTHER, "unsure"))
    said(tmp_path, "ben", (KEY, "no"), (OTHER, "yes"))
    verdicts = read_verdicts(tmp_path)
    found = verdicts.of(KEY)
    assert found is not None
    assert found.correct is None
    assert verdicts.disagreements() == 1
    assert verdicts.of(OTHER) == Verdict("ben", "yes", score=0.5)
    said(tmp_path, "carla", (KEY, "other"))
    found = read_verdicts(tmp_path).of(KEY)
    assert found is not None
    assert found.correct is False


def test_a_line_that_was_cut_is_dropped_and_the_file_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said(tmp_path, "anna", (KEY, "yes"), (OTHER, "no"))
    path = tmp_path / "anna.jsonl"
    whole = path.read_bytes()
    for cut in range(whole.index(b"\n") + 1, len(whole) - 1):
        path.write_bytes(whole[:cut])
        verdicts = read_verdicts(tmp_path)
        assert (verdicts.of(KEY) is not None, verdicts.of(OTHER)) == (True, None)
    assert "its last line is unfinished" in capsys.readouterr().err
    said(tmp_path, "anna", (OTHER, "yes"))
    assert read_verdicts(tmp_path).of(OTHER) == Verdict("anna", "yes", score=0.5)


def test_a_last_line_without_its_end_counts_if_it_is_whole(tmp_path: Path) -> None:
    said(tmp_path, "anna", (KEY, "yes"), (OTHER, "no"))
    path = tmp_path / "anna.jsonl"
    path.write_bytes(path.read_bytes().removesuffix(b"\n"))  # as some editors leave it
    assert read_verdicts(tmp_path).of(OTHER) is not None
    said(tmp_path, "anna", (KEY, "no"))
    verdicts = read_verdicts(tmp_path)
    assert verdicts.of(OTHER) is not None
    assert verdicts.of(KEY) == Verdict("anna", "no", score=0.5)


def test_a_link_is_not_written_through(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_text("mine")
    (tmp_path / "anna.jsonl").symlink_to("elsewhere")
    with pytest.raises(UserError, match="is a link"):
        VerdictFile(tmp_path, "anna")
    assert (tmp_path / "elsewhere").read_text() == "mine"


@pytest.mark.parametrize("line", ["{", "[]", '{"recording": "a"}', "null", '{"recording": 1, "start": "x"}'])
def test_a_line_that_is_no_verdict_is_named(tmp_path: Path, line: str) -> None:
    said(tmp_path, "anna", (KEY, "yes"))
    with (tmp_path / "anna.jsonl").open("a") as stream:
        stream.write(f"{line}\n")
    with pytest.raises(UserError, match=r"anna\.jsonl line 2: is no verdict"):
        read_verdicts(tmp_path)


@pytest.mark.parametrize("name", ["", "../anna", "a/b", "x" * 61, ".hidden", "a b"])
def test_a_reviewer_has_the_name_of_a_file(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match="--reviewer"):
        VerdictFile(tmp_path / "reviews", name)


@given(st.text(max_size=300))
def test_names_that_reviewers_type_are_one_line(text: str) -> None:
    try:
        kind, other = checked_verdict("other", text)
    except ValueError:
        with pytest.raises(ValueError, match=r".+"):  # nor could a folder of the species have this name
            check_name(clean_name(text))
    else:
        assert kind == "other"
        assert other == " ".join(other.split())
        assert len(other) <= 200


@pytest.mark.parametrize("verdict", ["maybe", None, 1, ["yes"], {}])
def test_other_verdicts_are_refused(verdict: object) -> None:
    with pytest.raises(ValueError, match="should be yes, no, unsure"):
        checked_verdict(verdict, None)


def test_a_file_is_readable_without_the_toolkit(tmp_path: Path) -> None:
    said(tmp_path, "anna", (KEY, "yes"))
    (line,) = (tmp_path / "anna.jsonl").read_text().splitlines()
    found = json.loads(line)
    assert found.pop("time").endswith("+00:00")
    assert found == {
        "recording": "a.wav",
        "start": 0.0,
        "end": 5.0,
        "species": "Parus major",
        "score": 0.5,
        "verdict": "yes",
    }
    assert Verdicts().of(KEY) is None


def test_names_that_reviewers_type_are_those_of_the_table_and_of_files() -> None:
    assert checked_verdict("other", " erithacus  RUBECULA", ["Erithacus rubecula"]) == ("other", "Erithacus rubecula")
    for name in ("Parus majr/..", "..", "a\\b"):
        with pytest.raises(ValueError, match=r"holds|begins with a dot"):
            checked_verdict("other", name)
