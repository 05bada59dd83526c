"""Priors from both forms of tables; a bad table is reported in one line."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from config import Config
from tests.conftest import small_config
from utils.console import UserError
from utils.recordings.splits import SPLIT_SCHEMA
from utils.scoring.inference.prior import factors_of, prior_of
from utils.scoring.inference.prior_metadata import week_of

CLASSES = ("Altus clarus", "Bassus gravis", "Corvus corax")
RECORDINGS = ["Altus clarus/a.1", "Bassus gravis/b", "Corvus corax/c"]
PLACES = [(-1.0, 36.0, "2020-03-09"), (52.0, 13.0, "2020-07-31"), (None, None, "")]


@pytest.fixture
def recordings(tmp_path: Path) -> pl.DataFrame:
    for name, (latitude, longitude, day) in zip(RECORDINGS, PLACES, strict=True):
        file = tmp_path / "metadata" / f"{name}.json"
        file.parent.mkdir(parents=True)
        species = name.split("/")[0]
        file.write_text(
            json.dumps(
                {
                    "sci-name": species,
                    "classid": species[:3].lower(),
                    "latitude": latitude,
                    "longitude": longitude,
                    "date": day,
                }
            )
        )
    rows = [
        (name, f"val/{name}.wav", name.split("/")[0], [], [], False, None, "val", None, name, "") for name in RECORDINGS
    ]
    return pl.DataFrame(rows, schema=SPLIT_SCHEMA, orient="row")


def with_prior(root: Path, text: str, *, name: str = "prior.tsv") -> Config:
    (root / name).write_text(text)
    config = small_config(root)
    return dataclasses.replace(config, testing=dataclasses.replace(config.testing, prior=root / name))


def all_factors(recordings: pl.DataFrame, config: Config) -> list[list[float]]:
    prior = prior_of(recordings, CLASSES, config)
    assert prior
    return [prior(name).tolist() for name in recordings["recording"]]


def test_factors() -> None:
    assert factors_of(np.array([0.0, 0.7, -0.25, -1.0, np.nan])).tolist() == [1.5, 1.5, 0.75, 0.0, 1.0]


def test_no_prior(recordings: pl.DataFrame, tmp_path: Path) -> None:
    assert prior_of(recordings, CLASSES, small_config(tmp_path)) is None


@pytest.mark.parametrize("labelset", [None, "labelset.txt", "labelset_sci.txt"])
def test_values_of_recordings_as_the_baseline_had_them(
    recordings: pl.DataFrame, tmp_path: Path, labelset: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    """Files are found with or without extension, and species by the labelset beside the table, or as the classes."""
    config = with_prior(tmp_path, "a.1.wav\t0.2\t-0.5\t-1\nb\t-0.1\t0\t3e-1\n")
    order = [0, 1, 2]
    if labelset:
        order = [2, 0, 1]
        names = (
            ("Corvus corax", "Altus clarus", "Bassus gravis")
            if labelset == "labelset_sci.txt"
            else ("cor", "alt", "bas")
        )
        (tmp_path / labelset).write_text("\n".join(names) + "\n")
    rows = np.array([[1.5, 0.5, 0.0], [0.9, 1.5, 1.5]])
    expected = np.concatenate([rows, np.ones((1, 3))])[:, np.argsort(order)]
    np.testing.assert_allclose(all_factors(recordings, config), expected)
    assert "1 of 3 recordings are missing from it" in capsys.readouterr().err


def test_values_with_a_first_row_of_names(
    recordings: pl.DataFrame, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = with_prior(
        tmp_path,
        "file\tCorvus corax\tUnknown\talt\n"
        "Altus clarus/a.1\t-0.5\t0\t1\nval/Bassus gravis/b.wav\t0\t0\t0\nc.wav\t-1\t-1\t-1",
    )
    np.testing.assert_allclose(all_factors(recordings, config), [[1.5, 1.0, 0.5], [1.5, 1.0, 1.5], [0.0, 1.0, 0.0]])
    assert "1 of 3 classes are missing from it" in capsys.readouterr().err


FREQUENCIES = """species,frequency,latitude,longitude,week
Altus clarus,12.5,0,36,10
Bassus gravis,3,0,36,11
bas,0,0,36,10
Altus clarus,0,50,10,28
Bassus gravis,1,50,10,28
"""


def test_frequencies_by_place_and_week(
    recordings: pl.DataFrame, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = with_prior(tmp_path, FREQUENCIES, name="prior.csv")
    np.testing.assert_allclose(all_factors(recordings, config), [[1.5, 0.5, 0.5], [0.5, 1.5, 0.5], [1.0, 1.0, 1.0]])
    warned = capsys.readouterr().err
    assert "1 of 3 classes are missing from it" in warned
    assert "1 of 3 recordings have no coordinates" in warned
    harsh = dataclasses.replace(config, testing=dataclasses.replace(config.testing, prior_unreported=0.0))
    assert all_factors(recordings, harsh)[0] == [1.5, 0.0, 0.0]


def test_a_frequency_list_of_ebird_holds_everywhere(recordings: pl.DataFrame, tmp_path: Path) -> None:
    entries = [
        {"speciesCode": "alt", "frequency": 70.83},
        {"speciesCode": "cor", "frequency": 0},
        {"sciName": "Bassus gravis", "frequency": 2, "week": 10},
    ]
    config = with_prior(tmp_path, json.dumps(entries), name="ebird.json")
    # the second was recorded in another week; the week of the third is unknown
    np.testing.assert_allclose(all_factors(recordings, config), [[1.5, 1.5, 0.5], [1.5, 0.5, 0.5], [1.5, 1.5, 0.5]])


def test_the_nearest_place_may_lie_beyond_the_date_line(recordings: pl.DataFrame, tmp_path: Path) -> None:
    text = "species,frequency,lat,lon\nAltus clarus,5,0,179\nAltus clarus,0,0,-170\nBassus gravis,5,0,-170\n"
    file = tmp_path / "metadata" / f"{RECORDINGS[0]}.json"
    file.write_text(json.dumps({"sci-name": CLASSES[0], "latitude": 0, "longitude": -179}))
    assert all_factors(recordings, with_prior(tmp_path, text, name="p.csv"))[0] == [1.5, 0.5, 0.5]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("p.tsv", "", r"p\.tsv: has no values"),
        ("p.tsv", "a.1\t0\t0\n", r"p\.tsv: has 2 values per recording for 3 classes; name its species"),
        ("p.tsv", "a.1\t0\t0\t0\nb\t0\t0\n", r"p\.tsv line 2: has 2 values for 3 species"),
        ("p.tsv", "a.1\t0\t0\t0\nb\t0\tx\t0\n", r"p\.tsv line 2: a value is not a number"),
        ("p.tsv", "a.1\t0\t0\t-1.5\n", r"p\.tsv line 1: a value is below −1 or not finite"),
        ("p.tsv", "a.1\t0\t0\tnan\n", r"p\.tsv line 1: a value is below −1 or not finite"),
        ("p.tsv", "a.1\t0\t0\t0\na.1\t0\t0\t0\n", r"p\.tsv line 2: a\.1 is in line 1, too"),
        ("p.tsv", "file\tX\tY\na.1\t0\t0\n", r"p\.tsv: names none of the 3 classes"),
        ("p.tsv", "file\tcor\tCorvus corax\na.1\t0\t0\n", r"p\.tsv: has two columns for Corvus corax"),
        (
            "p.csv",
            "species,frequency\nAltus clarus,101\n",
            r"p\.csv line 2: the frequency '101' is not a number from 0 to 100",
        ),
        ("p.csv", "species,frequency\nAltus clarus,\n", r"p\.csv line 2: has no frequency"),
        (
            "p.csv",
            "species,frequency,week\nAltus clarus,5,1.5\n",
            r"p\.csv line 2: the week '1\.5' is not a whole number from 1 to 48",
        ),
        (
            "p.csv",
            "species,frequency,latitude\nAltus clarus,5,1\n",
            r"p\.csv line 2: has only one of latitude and longitude",
        ),
        (
            "p.csv",
            "species,frequency,lat,lon\nAltus clarus,5,1,1\nAltus clarus,5,,\n",
            r"p\.csv: some rows have coordinates and others have none",
        ),
        ("p.csv", "bird,frequency\nAltus clarus,5\n", r"p\.csv: has no column of species"),
        ("p.csv", "species,frequency\nX y,5\n", r"p\.csv: names none of the 3 classes; if it has codes"),
        ("p.json", "{", r"p\.json: cannot be read"),
        ("p.json", "[]", r"p\.json: has no species"),
        ("p.json", '[{"frequency": 3}]', r"p\.json entry 1: has no species"),
        (
            "p.json",
            '[{"speciesCode": "alt", "frequency": true}]',
            r"p\.json entry 1: the frequency 'True' is not a number",
        ),
        ("p.json", '{"a": 1}', r"p\.json: should be a list"),
    ],
)
def test_bad_tables(recordings: pl.DataFrame, tmp_path: Path, name: str, text: str, message: str) -> None:
    with pytest.raises(UserError, match=message) as raised:
        all_factors(recordings, with_prior(tmp_path, text, name=name))
    assert "\n" not in str(raised.value)


def test_no_table(recordings: pl.DataFrame, tmp_path: Path) -> None:
    config = with_prior(tmp_path, "")
    (tmp_path / "prior.tsv").unlink()
    with pytest.raises(UserError, match=r"prior\.tsv: cannot be read \(No such file"):
        prior_of(recordings, CLASSES, config)


def test_weeks() -> None:
    weeks: Callable[[str], int | None] = week_of
    days = [
        "2020-01-01",
        "2020-01-07",
        "2020-01-08",
        "2020-01-31",
        "2020-02-01",
        "2020-12-31",
        "2020-13-01",
        "",
        "2020-02",
    ]
    assert [weeks(day) for day in days] == [1, 1, 2, 4, 5, 48, None, None, None]
