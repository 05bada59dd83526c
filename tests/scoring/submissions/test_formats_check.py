"""The checker reports line and reason of all that a parser would reject, and nothing else."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.scoring.layouts import layout_of, scores_of, write_labelset
from utils.console import UserError
from utils.scoring.submissions.formats.layout import SubmissionLayout
from utils.scoring.submissions.formats.registry import check_submission, write_rows

RESULTS = [
    scores_of("a.wav", [[0.9, 0.1, 0.2], [0.3, 0.8, 0.1], [0.0, 0.0, 1.0]], seconds=12.5),
    scores_of("b.wav", [[0.6, 0.7, 0.2], [0.3, 0.0, 0.0]], seconds=10.0),
]
FILES = ("a.wav", "b.wav")
Change = Callable[[list[str]], list[str]]


def put(line: int, old: str, new: str) -> Change:
    """Change something in one line."""

    def changed(lines: list[str]) -> list[str]:
        assert old in lines[line - 1]
        return [*lines[: line - 1], lines[line - 1].replace(old, new, 1), *lines[line:]]

    return changed


def without(line: int) -> Change:
    return lambda lines: [*lines[: line - 1], *lines[line:]]


def twice(line: int) -> Change:
    return lambda lines: [*lines[:line], *lines[line - 1 :]]


def swapped(line: int) -> Change:
    return lambda lines: [*lines[: line - 1], lines[line], lines[line - 1], *lines[line + 1 :]]


def layout_for(folder: Path, form: str) -> SubmissionLayout:
    ids = write_labelset(folder, ["aaa", "bbb", "ccc"])
    sample = folder / "sample.csv"
    rows = ["b_5", "b_10", "a_5", "a_10", "a_13"]
    if form == "kaggle2022 sample":
        sample.write_text("row_id,ccc,aaa\n" + "".join(f"{row},0,0\n" for row in rows))
    else:
        sample.write_text("row_id,birds\n" + "".join(f"{row},nocall\n" for row in rows))
    name = form.split()[0]
    return layout_of(
        folder,
        FILES,
        format=name,
        class_ids=ids,
        sample=sample if "sample" in form else None,
        monophone="monophone" in form,
        min_score=0.5,
        best=3,
    )


def checked(folder: Path, form: str, change: Change, *, end: str = "\n", head: bytes = b"") -> list[str]:
    """Write a valid submission, damage it, and check it."""
    layout = layout_for(folder, form)
    results = RESULTS
    if layout.monophone:
        results = [
            replace(
                one, starts=one.starts[:1], ends=one.ends[-1:], scores=one.scores[:1], uncalibrated=one.uncalibrated[:1]
            )
            for one in RESULTS
        ]
    path = folder / "out"
    write_rows(path, results, layout)
    assert check_submission(path, layout) == []
    file = next(path.glob("a*")) if path.is_dir() else path
    lines = change(file.read_text().splitlines())
    file.write_bytes(head + "".join(line + end for line in lines).encode())
    return check_submission(path, layout)


# form, what is damaged, and all that the checker reports
CASES: list[tuple[str, Change, list[str]]] = [
    ("birdclef2018 monophone", put(2, ";2", ";3"), ["line 2: the rank is '3', it should be 2"]),
    (
        "birdclef2018 monophone",
        lambda lines: ["c" + line[1:] if line[0] == "b" else line for line in lines],
        [f"line {n}: no recording has the MediaId 'c'" for n in (4, 5, 6)],
    ),
    (
        "birdclef2018 monophone",
        put(1, "0.9", "0,9"),
        ["line 1: the score '0,900000' is not a number (decimal comma)"],
    ),
    ("birdclef2018 monophone", put(1, "0.9", "1.9"), ["line 1: the score '1.900000' is not from 0 to 1"]),
    ("birdclef2018 monophone", put(1, "0.900000", "nan"), ["line 1: the score 'nan' is not a number"]),
    ("birdclef2018 monophone", put(2, ";ccc", ";xyz"), ["line 2: no class has the id 'xyz'"]),
    ("birdclef2018 monophone", put(2, ";ccc", ";aaa"), ["line 2: the class 'aaa' is listed twice"]),
    (
        "birdclef2018 monophone",
        put(3, "0.1", "0.3"),
        ["line 3: the score is higher than that of the row above; the best should come first"],
    ),
    (
        "birdclef2018 monophone",
        lambda lines: ["MediaId;ClassId;Score;Rank", *lines],
        ["line 1: this is a header, which the format does not have"],
    ),
    (
        "birdclef2018 monophone",
        put(1, "a;", "a,"),
        [
            "line 1: has 3 values, not 4",
            "line 2: the rank is '2', it should be 1",
            "line 3: the rank is '3', it should be 2",
        ],
    ),
    ("birdclef2018 monophone", lambda lines: [*lines, ""], ["line 7: is empty"]),
    ("birdclef2018", put(1, "00:00:05", "00:05"), ["line 1: '00:00:00-00:05' is not an interval hh:mm:ss-hh:mm:ss"]),
    (
        "birdclef2018",
        lambda lines: lines[:3] + lines[6:],
        ["line 4: the interval starts at 10 s; one that starts at 5 s is missing"],
    ),
    (
        "birdclef2018",
        lambda lines: lines[6:9] + lines[9:] + lines[:6],
        [
            "line 1: the interval starts at 10 s; one that starts at 0 s is missing",
            "line 10: 'a' has rows further up; rows of a recording should be together",
        ],
    ),
    (
        "birdclef2018",
        lambda lines: [line.replace("10-00:00:13", "09-00:00:13") for line in lines],
        ["line 7: the interval starts at 9 s, within or before the one that ends at 10 s"],
    ),
    (
        "birdclef2018",
        lambda lines: [line.replace("10-00:00:13", "10-00:00:23") for line in lines],
        ["line 7: the interval is 13 s long, not 5"],
    ),
    ("kaggle2021", put(1, "birds", "bird"), ["line 1: the header should be row_id, birds; column 2 is 'bird'"]),
    (
        "kaggle2021",
        put(3, "bbb", "bbb  aaa"),
        ["line 3: birds are missing, or separated by more than one space; an interval without birds is nocall"],
    ),
    ("kaggle2021", put(3, "bbb", "bbb nocall"), ["line 3: nocall is together with birds"]),
    ("kaggle2021", put(3, "bbb", "robin"), ["line 3: no class is named 'robin'"]),
    (
        "kaggle2021",
        put(3, "a_10", "x_10"),
        ["line 3: no recording has the id 'x'", "line 4: the interval is 8 s long, not 5; or one is missing"],
    ),
    ("kaggle2021", without(3), ["line 3: the interval is 8 s long, not 5; or one is missing"]),
    ("kaggle2021", twice(2), ["line 3: the interval ends before it starts, or is listed twice"]),
    ("kaggle2021 sample", without(3), ["1 of the sample's 5 rows are missing: 'b_10'"]),
    ("kaggle2021 sample", twice(3), ["line 4: the row 'b_10' is listed twice"]),
    ("kaggle2021 sample", swapped(2), ["line 3: the row 'b_5' comes before 'b_10' in the sample"]),
    (
        "kaggle2021 sample",
        put(4, "a_5", "a_6"),
        ["line 4: the sample has no row 'a_6'", "1 of the sample's 5 rows are missing: 'a_5'"],
    ),
    (
        "kaggle2022 sample",
        put(2, ",0.6", ";0.6"),
        ["line 2: has 2 values, not 3", "1 of the sample's 5 rows are missing: 'b_5'"],
    ),
    (
        "kaggle2022 sample",
        put(1, "ccc,aaa", "aaa,ccc"),
        ["line 1: the header should be row_id, ccc, aaa; column 2 is 'aaa'"],
    ),
    ("kaggle2022", put(2, "0.9", "-0.9"), ["line 2: the score '-0.900000' is not from 0 to 1"]),
    ("kaggle2022", put(2, ",0.1", ',"0.1'), ["line 2: cannot be read as CSV (unexpected end of data)"]),
    ("raven", put(2, "1\tSpec", "7\tSpec"), ["a.Table.1.selections.txt line 2: the selection is '7', it should be 1"]),
    (
        "raven",
        put(3, "5.000000\t10", "6.000000\t10"),
        ["a.Table.1.selections.txt line 3: from 6 to 10 s is not an interval of 5 s"],
    ),
    (
        "raven",
        put(2, "500.0", "99999.0"),
        ["a.Table.1.selections.txt line 2: the lowest frequency should be below the highest"],
    ),
    (
        "raven",
        put(1, "Species", "species"),
        ["a.Table.1.selections.txt line 1: the header is not that of Raven's and the other tables"],
    ),
    (
        "audacity",
        put(2, "5.0", "5,0"),
        ["a_labels.txt line 2: the times '5,000000' and '10.000000' should be seconds, with a decimal point"],
    ),
    ("audacity", put(2, "gravis", "gravior"), ["a_labels.txt line 2: no class is named 'Bassus gravior'"]),
    ("csv", put(2, "a.wav", "c.wav"), ["line 2: no recording has the path 'c.wav'"]),
    (
        "csv",
        put(2, "0.000000,5", "5.000000,5"),
        ["line 2: the event from 5 to 5 s is empty, or starts before the recording"],
    ),
    (
        "csv",
        lambda lines: [line.replace(",", "\t") for line in lines[:2]],
        [f"line {line}: has 1 values, not 5; they should be separated by ',', not '\\t'" for line in (1, 2)],
    ),
    (
        "birdnet",
        put(1, "Start (s)", "Start"),
        ["line 1: the header should be Start (s), End (s), Scientific name, Common name, Confidence, File"],
    ),
    (
        "birdnet",
        put(2, "clarus,Altus", "clarus,Bassus"),
        ["line 2: 'Bassus clarus' is not the common name of 'Altus clarus'"],
    ),
    ("birdnet", put(3, "gravis,", "gravior,"), ["line 3: no class is named 'Bassus gravior'"]),
    ("birdnet", put(3, "0.8", "1.8"), ["line 3: the score '1.800000' is not from 0 to 1"]),
    (
        "kaleidoscope",
        put(1, "IN FILE", "FILE"),
        ["line 1: the header is not that of BirdNET-Analyzer's tables for Kaleidoscope"],
    ),
    (
        "kaleidoscope",
        put(2, ",5.000000", ",50.000000"),
        ["line 2: from 0 to 50 s is not an interval of 5 s"],
    ),
    (
        "kaleidoscope",
        put(3, ",5.000000", ",later"),
        ["line 3: the times 'later' and '5.000000' should be seconds, with a decimal point"],
    ),
    (
        "kaleidoscope",
        put(2, "0.900000,,,", "0.900000,91,-1.5,49"),
        [
            "line 2: lat is '91', it should be degrees from -90 to 90",
            "line 2: week is '49', it should be from 1 to 48",
        ],
    ),
]


@pytest.mark.parametrize(("form", "change", "problems"), CASES)
def test_each_fault_is_named_with_its_line(form: str, change: Change, problems: list[str], tmp_path: Path) -> None:
    assert checked(tmp_path, form, change) == problems


@pytest.mark.parametrize("form", ["birdclef2018", "birdclef2018 monophone", "kaggle2021 sample", "kaggle2022", "csv"])
def test_windows_ends_of_lines_are_fine_and_byte_order_marks_are_not(form: str, tmp_path: Path) -> None:
    assert checked(tmp_path, form, list, end="\r\n") == []
    assert checked(tmp_path, form, list, head=b"\xef\xbb\xbf") == [
        "line 1: starts with a byte order mark (BOM), which becomes part of the first value"
    ]
    assert "line 1: is UTF-16, it should be UTF-8" in checked(tmp_path, form, list, head=b"\xff\xfe")
    assert "line 1: is not UTF-8" in checked(tmp_path, form, list, head=b"\xfc")


def test_a_thousand_problems_are_twenty_and_a_count(tmp_path: Path) -> None:
    found = checked(tmp_path, "csv", lambda lines: lines + [lines[1].replace("Altus", "Nullus")] * 1020)
    assert len(found) == 21
    assert found[-1] == "… and 1,000 more"
    assert all(len(line) < 150 for line in found)


def test_more_than_a_hundred_rows_of_a_recording(tmp_path: Path) -> None:
    layout = layout_of(
        tmp_path,
        ("a.wav",),
        monophone=True,
        classes=tuple(f"s{n}" for n in range(101)),
        class_ids=_codes(tmp_path, 101),
    )
    path = tmp_path / "out.txt"
    path.write_text("".join(f"a;c{n};0.5;{n + 1}\n" for n in range(101)))
    assert check_submission(path, layout) == ["line 101: more than 100 rows of 'a'"]
    with pytest.raises(UserError, match="no such file"):
        check_submission(tmp_path / "none.txt", layout)


def _codes(folder: Path, count: int) -> Path:
    path = folder / "codes.csv"
    path.write_text("scientific_name,code\n" + "".join(f"s{n},c{n}\n" for n in range(count)))
    return path


def test_intervals_that_end_before_the_recording_does(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros(8000 * 17 + 1, np.float32), 8000)
    layout = layout_of(tmp_path, ("a.wav",), format="kaggle2021", min_score=0.5)
    write_rows(tmp_path / "out.csv", RESULTS[:1], layout)
    assert check_submission(tmp_path / "out.csv", layout) == [
        "line 4: the intervals of 'a' end at 13 s, the recording at 18"
    ]
