"""Each format to the letter, on scores small enough to check by hand."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.scoring.layouts import CLASSES, layout_of, scores_of, unreadable, write_labelset
from utils.console import UserError
from utils.scoring.inference.intervals import IntervalScores
from utils.scoring.submissions.formats.birdclef2018 import IDS_2018
from utils.scoring.submissions.formats.kaggle2021 import IDS_2021
from utils.scoring.submissions.formats.registry import FORMATS, check_layout, check_submission, write_rows
from utils.scoring.submissions.formats.tables import table_names

SCAPE = "a/LIFECLEF2018_SCAPE_wav_RN90.wav"
RESULTS = [scores_of(SCAPE, [[0.1, 0.7, 0.2], [0.5, 0.0, 0.5], [1.0, 0.05, 0.0625]], seconds=10.2), unreadable("b.wav")]
FILES = (SCAPE, "b.wav")


def test_birdclef2018_soundscape(tmp_path: Path) -> None:
    layout = layout_of(tmp_path, FILES, class_ids=write_labelset(tmp_path, ["aaaaaa", "", "cccccc"]))
    assert write_rows(tmp_path / "out.txt", RESULTS, layout) == 6
    assert (tmp_path / "out.txt").read_text() == (
        "90;00:00:00-00:00:05;cccccc;0.200000\n90;00:00:00-00:00:05;aaaaaa;0.100000\n"
        "90;00:00:05-00:00:10;aaaaaa;0.500000\n90;00:00:05-00:00:10;cccccc;0.500000\n"
        "90;00:00:10-00:00:11;aaaaaa;1.000000\n90;00:00:10-00:00:11;cccccc;0.062500\n"
    )


def test_birdclef2018_monophone_ranks_have_no_gaps(tmp_path: Path) -> None:
    layout = layout_of(
        tmp_path,
        ("x_RN7.wav",),
        monophone=True,
        best=2,
        class_ids=write_labelset(tmp_path, ["aaaaaa", "bbbbbb", "cccccc"]),
    )
    one = scores_of("x_RN7.wav", [[0.25, 0.5, 0.75]], seconds=3.21)
    assert write_rows(tmp_path / "out.txt", [one], layout) == 2
    assert (tmp_path / "out.txt").read_text() == "7;cccccc;0.750000;1\n7;bbbbbb;0.500000;2\n"


def test_scores_that_a_prior_lifts_above_one_are_told_apart(tmp_path: Path) -> None:
    """All are written as 1, yet ranks and detections are those of a test."""
    lifted = scores_of("x_RN7.wav", [[1.2, 0.3, 1.4]], seconds=3.0)
    one = replace(lifted, scores=lifted.scores.clip(0, 1))
    ids = write_labelset(tmp_path, ["aaaaaa", "bbbbbb", "cccccc"])
    write_rows(tmp_path / "out.txt", [one], layout_of(tmp_path, ("x_RN7.wav",), monophone=True, best=2, class_ids=ids))
    assert (tmp_path / "out.txt").read_text() == "7;cccccc;1.000000;1\n7;aaaaaa;1.000000;2\n"
    write_rows(
        tmp_path / "out.csv", [one], layout_of(tmp_path, ("x_RN7.wav",), format="csv", thresholds=[1.3, 1.3, 1.3])
    )
    assert (tmp_path / "out.csv").read_text().splitlines()[1:] == ["x_RN7.wav,0.000000,3.000000,Solus unicus,1.000000"]


def test_an_hour_has_hours(tmp_path: Path) -> None:
    layout = layout_of(tmp_path, ("x.wav",), best=1, class_ids=write_labelset(tmp_path, ["a", "b", "c"]))
    late = replace(
        scores_of("x.wav", [[0.0, 0.0, 0.5]], seconds=5.0), starts=np.array([359_995.0]), ends=np.array([360_000.0])
    )
    write_rows(tmp_path / "out.txt", [late], layout)
    assert (tmp_path / "out.txt").read_text() == "x;99:59:55-100:00:00;c;0.500000\n"


def test_kaggle2021(tmp_path: Path) -> None:
    layout = layout_of(
        tmp_path, ("2782_SSW_20170701.ogg", "other 1.ogg"), format="kaggle2021", thresholds=[0.5, 0.5, np.nan]
    )
    results = [
        scores_of("2782_SSW_20170701.ogg", [[0.5, 0.9, 1.0], [0.4, 0.4, 1.0]], seconds=9.5),
        scores_of("other 1.ogg", [[0.5, 0.0, 0.0]], seconds=5.0),
    ]
    assert write_rows(tmp_path / "out.csv", results, layout) == 3
    assert (
        tmp_path / "out.csv"
    ).read_text() == "row_id,birds\n2782_SSW_5,Altus_clarus Bassus_gravis\n2782_SSW_10,nocall\nother 1_5,Altus_clarus\n"


def test_kaggle2022(tmp_path: Path) -> None:
    (tmp_path / "metadata").mkdir()
    (tmp_path / "metadata" / "x.json").write_text(json.dumps({"sci-name": "Bassus gravis", "classid": "basgra1"}))
    layout = layout_of(tmp_path, FILES, format="kaggle2022")
    assert write_rows(tmp_path / "out.csv", RESULTS, layout) == 3
    stem = Path(SCAPE).stem
    assert (tmp_path / "out.csv").read_text().splitlines() == [
        "row_id,Altus clarus,basgra1,Solus unicus",
        f"{stem}_5,0.100000,0.700000,0.200000",
        f"{stem}_10,0.500000,0.000000,0.500000",
        f"{stem}_11,1.000000,0.050000,0.062500",
    ]


def test_samples_are_kept_to_row_by_row(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Rows of unreadable recordings are neutral, those not in the sample are left out; the order is its own."""
    sample = tmp_path / "sample.csv"
    sample.write_text("row_id,birds\nb_5,nocall\nx_10,nocall\nb_10,nocall\nx_5,nocall\n")
    results = [unreadable("b.wav"), scores_of("x.wav", [[0.6, 0, 0], [0, 0.7, 0], [0, 0, 0.8]], seconds=15.0)]
    layout = layout_of(tmp_path, ("b.wav", "x.wav"), format="kaggle2021", sample=sample, min_score=0.5)
    assert write_rows(tmp_path / "out.csv", results, layout) == 4
    assert (
        tmp_path / "out.csv"
    ).read_text() == "row_id,birds\nb_5,nocall\nx_10,Bassus_gravis\nb_10,nocall\nx_5,Altus_clarus\n"
    assert check_submission(tmp_path / "out.csv", layout) == []
    sample.write_text("row_id,Solus unicus,unknown1,Altus clarus\nb_5,0,0,0\nx_10,0,0,0\nx_5,0,0,0\n")
    with pytest.raises(UserError, match="this format has row_id, birds"):
        check_layout(layout)
    layout = layout_of(tmp_path, ("b.wav", "x.wav"), format="kaggle2022", sample=sample)
    check_layout(layout)
    warned = capsys.readouterr().err
    assert "1 columns of" in warned
    assert "1 classes of the model have no column" in warned
    assert write_rows(tmp_path / "out.csv", results, layout) == 3
    assert (tmp_path / "out.csv").read_text().splitlines() == [
        "row_id,Solus unicus,unknown1,Altus clarus",
        "b_5,0.266667,0.000000,0.200000",  # the mean of each column over all intervals with predictions
        "x_10,0.000000,0.000000,0.000000",
        "x_5,0.000000,0.000000,0.600000",
    ]
    assert check_submission(tmp_path / "out.csv", layout) == []


def test_the_form_of_2022_itself(tmp_path: Path) -> None:
    sample = tmp_path / "sample.csv"
    sample.write_text("row_id,target\nsoundscape_1_bbb_5,False\nsoundscape_1_aaa_5,False\nsoundscape_2_aaa_5,False\n")
    layout = layout_of(
        tmp_path,
        ("soundscape_1.ogg",),
        format="kaggle2022",
        sample=sample,
        class_ids=write_labelset(tmp_path, ["aaa", "bbb", "ccc"]),
    )
    assert (
        write_rows(tmp_path / "out.csv", [scores_of("soundscape_1.ogg", [[0.9, 0.01, 0.9]], seconds=5.0)], layout) == 3
    )
    assert (
        tmp_path / "out.csv"
    ).read_text() == "row_id,target\nsoundscape_1_bbb_5,False\nsoundscape_1_aaa_5,True\nsoundscape_2_aaa_5,False\n"
    assert check_submission(tmp_path / "out.csv", layout) == []


def test_field_formats(tmp_path: Path) -> None:
    layout = layout_of(tmp_path, FILES, format="raven", min_score=0.5, band=(250.0, 8000.0))
    assert write_rows(tmp_path / "out", RESULTS, layout) == 4
    assert sorted(path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.txt")) == [
        "a/LIFECLEF2018_SCAPE_wav_RN90.Table.1.selections.txt"
    ]
    lines = (tmp_path / "out/a/LIFECLEF2018_SCAPE_wav_RN90.Table.1.selections.txt").read_text().splitlines()
    assert lines[1].split("\t") == [
        *("1", "Spectrogram 1", "1", "0.000000", "5.000000", "250.0", "8000.0"),
        *("LIFECLEF2018_SCAPE_wav_RN90.wav", "0.000000", "Bassus gravis", "0.700000"),
    ]
    layout = layout_of(tmp_path, FILES, format="audacity", min_score=0.5)
    assert write_rows(tmp_path / "labels", RESULTS, layout) == 4
    text = (tmp_path / "labels/a/LIFECLEF2018_SCAPE_wav_RN90_labels.txt").read_text()
    assert text.splitlines()[-1] == "10.000000\t10.200000\tAltus clarus"
    layout = layout_of(tmp_path, FILES, format="csv", min_score=0.5)
    assert write_rows(tmp_path / "out.csv", RESULTS, layout) == 4
    assert (tmp_path / "out.csv").read_text().splitlines()[:2] == [
        "recording,start,end,species,score",
        f"{SCAPE},0.000000,5.000000,Bassus gravis,0.700000",
    ]


def test_every_recording_has_a_table_of_its_own(tmp_path: Path) -> None:
    files = ("a.wav", "A.flac", "sub/a.wav", "a.wav.ogg", "sub/" + "ü" * 124 + ".wav")
    names = table_names(files, ending="_labels.txt")
    assert [names[file] for file in files[:4]] == [
        "a.wav_labels.txt",
        "A.flac_labels.txt",
        "sub/a_labels.txt",
        "a.wav.2_labels.txt",
    ]
    results = [scores_of(file, [[1.0, 0, 0]], seconds=5.0) for file in files]
    layout = layout_of(tmp_path, files, format="audacity")
    assert write_rows(tmp_path / "out", results, layout) == 5
    assert len(list((tmp_path / "out").rglob("*.txt"))) == 5
    assert check_submission(tmp_path / "out", layout) == []


def test_a_folder_is_replaced_as_a_whole_and_unrelated_files_are_safe(tmp_path: Path) -> None:
    layout = layout_of(tmp_path, FILES, format="audacity", min_score=0.5)
    write_rows(tmp_path / "out", [scores_of("b.wav", [[1.0, 0, 0]], seconds=5.0)], layout)
    write_rows(tmp_path / "out", RESULTS, layout)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a"]
    with pytest.raises(ValueError, match="not from 0 to 1"):
        write_rows(tmp_path / "out", [RESULTS[0], scores_of("b.wav", [[float("nan"), 0, 0]], seconds=5.0)], layout)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a"]
    (tmp_path / "out" / "mine.doc").write_text("dear")
    with pytest.raises(UserError, match=r"mine\.doc: is not a file of this format"):
        write_rows(tmp_path / "out", RESULTS, layout)
    assert (tmp_path / "out" / "mine.doc").read_text() == "dear"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out"]


@pytest.mark.parametrize("kind", FORMATS)
def test_a_submission_appears_whole_or_not_at_all(kind: str, tmp_path: Path) -> None:
    layout = layout_of(tmp_path, FILES, format=kind, class_ids=write_labelset(tmp_path, ["a", "b", "c"]))
    path = tmp_path / "out"

    def stopped():  # type: ignore[no-untyped-def]
        yield RESULTS[0]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_rows(path, stopped(), layout)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["labelset.txt", "labelset_sci.txt"]


@pytest.mark.parametrize(
    ("results", "text"),
    [
        ([scores_of("a.wav", [[0.1, 1.1, 0.0]], seconds=5.0)], "not from 0 to 1"),
        ([scores_of("a.wav", [[0.1, 0.1]], seconds=5.0)], "3 classes"),
        ([replace(scores_of("a.wav", np.zeros((2, 3)).tolist(), seconds=9.0), starts=np.array([0.0, 4.0]))], "overlap"),
    ],
)
def test_scores_that_no_submission_holds(results: list[IntervalScores], text: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=text):
        write_rows(tmp_path / "out.csv", results, layout_of(tmp_path, ("a.wav",), format="csv"))


def test_intervals_within_a_second_are_refused_where_ids_are_seconds(tmp_path: Path) -> None:
    one = scores_of("a.wav", [[0.1, 0.1, 0.1]] * 4, seconds=2.0, interval=0.5)
    with pytest.raises(UserError, match="whole seconds"):
        write_rows(tmp_path / "out.csv", [one], layout_of(tmp_path, ("a.wav",), format="kaggle2021"))
    assert write_rows(tmp_path / "out.csv", [one], layout_of(tmp_path, ("a.wav",), format="csv")) == 12


def test_two_recordings_of_one_id_are_refused_before_inference(tmp_path: Path) -> None:
    ids = write_labelset(tmp_path, ["a", "b", "c"])
    with pytest.raises(UserError, match=r"1/x\.wav and 2/x\.wav would both have the id x"):
        check_layout(layout_of(tmp_path, ("1/x.wav", "2/x.wav"), class_ids=ids))
    check_layout(layout_of(tmp_path, ("1/x.wav", "2/x.wav"), format="csv"))
    with pytest.raises(UserError, match=r"interval = 2\.5: should be whole seconds"):
        check_layout(layout_of(tmp_path, ("a.wav",), class_ids=ids, interval=2.5))
    with pytest.raises(UserError, match=r"does not match b\.wav"):
        check_layout(layout_of(tmp_path, ("a_1.wav", "b.wav"), class_ids=ids, media_pattern=r"_(\d+)"))


def test_class_ids_come_from_labelsets_tables_and_metadata(tmp_path: Path) -> None:
    from utils.scoring.submissions.formats.class_ids import class_ids

    write_labelset(tmp_path, ["a1", "", "c1"], ["solus  Unicus", "Altus clarus", "Bassus gravis"])
    (tmp_path / "labelset_codes.txt").write_text("solun1\naltcla1\n\n", encoding="utf-8-sig")
    assert class_ids(layout_of(tmp_path, (), class_ids=tmp_path / "labelset.txt"), IDS_2018) == (None, "c1", "a1")
    with pytest.raises(UserError, match=r"labelset_codes\.txt: has 2 lines, but labelset_sci\.txt beside it 3"):
        class_ids(layout_of(tmp_path, (), class_ids=tmp_path / "labelset_codes.txt"), IDS_2018)
    (tmp_path / "codes.csv").write_text("primary_label,scientific_name\nx1,Altus clarus\nx1,Bassus gravis\n")
    with pytest.raises(UserError, match="Altus clarus and Bassus gravis have the same class id x1"):
        class_ids(layout_of(tmp_path, (), class_ids=tmp_path / "codes.csv"), IDS_2018)
    with pytest.raises(UserError, match=r"has no class ids; submission\.class_ids should name"):
        class_ids(layout_of(tmp_path, ()), IDS_2018)
    folder = tmp_path / "metadata" / "of" / "folders"
    folder.mkdir(parents=True)
    for index, code in enumerate(["b2", "b1", "b1", ""]):
        (folder / f"{index}.json").write_text(json.dumps({"sci-name": "Bassus gravis", "classid": code}))
    (folder / "broken.json").write_text("{")
    assert class_ids(layout_of(tmp_path, ()), IDS_2018) == (None, "b1", None)
    assert class_ids(layout_of(tmp_path, (), format="kaggle2021"), IDS_2021) == (CLASSES[0], "b1", CLASSES[2])
