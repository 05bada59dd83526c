"""Places of recordings that are to be predicted, from a table and from the names of their files, and their prior."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from config import Config
from tests.conftest import small_config
from utils.console import UserError
from utils.files import json_text, write_text
from utils.scoring.inference.places import Places, read_places
from utils.scoring.inference.prior_metadata import PlaceAndWeek, metres, week_of
from utils.scoring.submissions.postprocessing import postprocessing_of, recording_names
from utils.scoring.submissions.score_parts import PartScores
from utils.spectra.decode import Length

FILES = ("Elm/20230310_025100.wav", "Elm/20230725_025100.wav", "OAK_20230310_025100.wav", "x.wav")
CLASSES = ("Altus clarus", "Bassus gravis")


def with_places(root: Path, text: str | bytes, *, pattern: str = "") -> Config:
    (root / "places.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
    config = small_config(root)
    submission = dataclasses.replace(config.submission, places=root / "places.csv")
    dataset = dataclasses.replace(config.dataset, site_pattern=pattern)
    return dataclasses.replace(config, submission=submission, dataset=dataset)


def places_of(config: Config, known: dict[str, PlaceAndWeek] | None = None) -> list[tuple[float | None, ...]]:
    names = recording_names(FILES)
    places = read_places(names, FILES, config)
    found = [places.of(name, (known or {}).get(name)) for name in names]
    return [(one.latitude, one.longitude, one.week) for one in found]


@pytest.mark.parametrize("row", ["x", "x.wav", "x.flac", "C:\\sounds\\X.WAV", "/data/x.wav"])
def test_a_row_names_a_recording(tmp_path: Path, row: str) -> None:
    config = with_places(tmp_path, f"recording,latitude,longitude,date\n{row},1.5,-2,2023-12-31\n")
    assert places_of(config)[3] == (1.5, -2.0, 48)


def test_dates_come_from_rows_then_from_names(tmp_path: Path) -> None:
    rows = ("Elm/20230310_025100;1;2;;", "Elm/20230725_025100;1;2;20230101;", "OAK_20230310_025100;;;;7")
    text = "\n".join(["file;lat;lon;date;week", *rows])
    assert places_of(with_places(tmp_path, text)) == [(1, 2, 10), (1, 2, 1), (None, None, 7), (None, None, None)]


def test_the_row_of_a_recording_wins_over_that_of_its_site(tmp_path: Path) -> None:
    text = (
        "recording,site,latitude,longitude,date\n"
        ',elm,"-1,5","36,25",\n'
        ",Oak,52,13,2023-06-15\n"
        "20230725_025100,,5,6,\n"
        "x,Oak,,,\n"
    )
    found = places_of(with_places(tmp_path, text))
    # the date of a name is more exact than that of a site
    assert found == [(-1.5, 36.25, 10), (5, 6, 28), (52, 13, 10), (52, 13, 23)]


def test_days_and_elevations(tmp_path: Path) -> None:
    """The day is that of the date that also gives the week; an elevation that is none counts as missing."""
    rows = [
        "20230725_025100,,1,2,2023-12-31,,",
        ",Elm,3,4,,,350 m",
        "OAK_20230310_025100,,5,6,,7,12 ft",
        "x,,7,8,,,high",
    ]
    text = "\n".join(["recording,site,latitude,longitude,date,week,elevation", *rows])
    names = recording_names(FILES)
    places = read_places(names, FILES, with_places(tmp_path, text))
    found = [places.of(name, PlaceAndWeek(0.0, 0.0, None, elevation=20.0)) for name in names]
    assert [one.day for one in found] == [69, 365, None, None]
    assert [one.day_or_mid_week for one in found] == [69, 365, 49, None]
    assert found[0].elevation == 350.0
    assert found[2].elevation == pytest.approx(3.66, abs=0.01)
    assert found[3].elevation == 20.0


@pytest.mark.parametrize(
    ("text", "expected"),
    [("1200", 1200.0), ("350 m", 350.0), ("100-200", 150.0), ("-3", -3.0), ("1000 ft", 304.8), ("12.5 masl", 12.5)],
)
def test_elevations_as_archives_write_them(text: str, expected: float) -> None:
    assert metres(text) == pytest.approx(expected)


@pytest.mark.parametrize("text", ["", "?", "high", "12000", "nan", "1e3", "1,200", "-9999"])
def test_what_is_no_elevation(text: str) -> None:
    assert metres(text) is None


def test_other_encodings_and_separators(tmp_path: Path) -> None:
    text = "Site\tLatitude\tLongitude\nMüll\t1\t2\n".encode("utf-16")
    config = with_places(tmp_path, text, pattern=r"(?P<site>x)")
    names, files = ["Müll_20230310_025100"], ["Müll_20230310_025100.wav"]
    plain = dataclasses.replace(config, dataset=small_config(tmp_path).dataset)
    assert read_places(names, files, plain).of(names[0], None) == PlaceAndWeek(1.0, 2.0, 10, day=69)


def test_the_metadata_of_the_data_set_fill_what_the_table_lacks(tmp_path: Path) -> None:
    known = {"OAK_20230310_025100": PlaceAndWeek(7.0, 8.0, 40), "x": PlaceAndWeek(7.0, 8.0, 40)}
    config = with_places(tmp_path, "recording,latitude,longitude\nx,1,2\n")
    assert places_of(config, known)[2:] == [(7, 8, 40), (1, 2, 40)]


def test_a_place_in_the_name_counts_if_nothing_else_is_known() -> None:
    files = ["20210617T180000+1000_Rec2_-18.2656+144.5564.flac"]
    places = read_places(["a"], files, Config())
    week = week_of("2021-06-17")
    assert places.of("a", None) == PlaceAndWeek(-18.2656, 144.5564, week, day=168)
    assert places.of("a", PlaceAndWeek(1.0, 2.0, None)) == PlaceAndWeek(1.0, 2.0, week, day=168)
    assert Places().of("a", None) == PlaceAndWeek(None, None, None)


def test_bad_rows_cost_a_line_each(tmp_path: Path) -> None:
    rows = [
        ",,1,2,,",
        "x,,91,2,,",
        "x,,1,,,",
        "x,,1,2,2023-02-30,",
        "x,,1,2,,49",
        "x,,,,,",
        "20230310_025100,,1,2,,,too many",
        "20230310_025100,,1,2,,",
        "20230310_025100,,3,4,,",
        "gone,,1,2,,",
        ",Pond,1,2,,",
    ]
    config = with_places(tmp_path, "\n".join(["recording,site,latitude,longitude,date,week", *rows]))
    assert places_of(config)[:2] == [(1, 2, 10), (None, None, 28)]
    failures = read_places(recording_names(FILES), FILES, config).failures
    assert len(failures) == 7
    for line, text in zip(
        [f"{failure.name}: {failure.reason}" for failure in failures],
        [
            "places.csv line 8: has 7 values, the table 6 columns",
            "places.csv line 2: names neither a recording nor a site",
            "places.csv line 3: its coordinates '91, 2' cannot be used",
            "places.csv line 4: its coordinates '1' cannot be used",
            "places.csv line 5: its date '2023-02-30' cannot be used",
            "places.csv: 3 more rows cannot be used",
            "places.csv: 2 of 4 rows name neither a recording that is predicted nor the site of one, such as 'gone' "
            "(line 11)",
        ],
        strict=True,
    ):
        assert text in line


def test_a_name_of_several_recordings(tmp_path: Path) -> None:
    config = with_places(tmp_path, "file,lat,lon\na.wav,1,2\n")
    places = read_places(["p/a", "q/a"], ["p/a.wav", "q/a.wav"], config)
    assert places.of("p/a", None).latitude is None
    ((name, reason),) = [(failure.name, failure.reason) for failure in places.failures]
    assert name == "places.csv line 2"
    assert "names 'a.wav', but the number of such files is 2" in reason


@pytest.mark.parametrize("row", ["gone,1,2", "x,1,"])
def test_rows_of_no_use_are_handed_to_the_submission(tmp_path: Path, row: str) -> None:
    config = with_prior(with_places(tmp_path, f"recording,latitude,longitude\nx,0,36\n{row}\n"))
    (tmp_path / "metadata").mkdir()
    (failure,) = postprocessing_of(CLASSES, FILES, None, config).unused
    assert failure.name.startswith("places.csv")
    good = with_prior(with_places(tmp_path, "recording,latitude,longitude\nx,0,36\n"))
    assert postprocessing_of(CLASSES, FILES, None, good).unused == ()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"places\.csv: holds no table"),
        ("name,latitude,longitude\n", r"has no column recording or site; there are name, latitude, longitude"),
        ("site,longitude\n", r"has no column latitude; there are site, longitude"),
        ("a,b\n", r"has no column recording or site and no column latitude and no column longitude"),
    ],
)
def test_tables_that_cannot_be_used(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        places_of(with_places(tmp_path, text))


FREQUENCIES = """species,frequency,latitude,longitude,week
Altus clarus,12.5,0,36,10
Bassus gravis,3,0,36,28
Bassus gravis,3,50,10,10
"""


def with_prior(config: Config, text: str = FREQUENCIES) -> Config:
    path = config.dataset.root / "prior.csv"
    path.write_text(text)
    return dataclasses.replace(config, testing=dataclasses.replace(config.testing, prior=path))


def test_the_prior_of_a_submission_goes_by_place_and_week(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The recordings are not in the data set: before, their scores did not change."""
    config = with_prior(with_places(tmp_path, "site,latitude,longitude\nElm,-1.5,36.25\nOak,52,13\n"))
    (tmp_path / "metadata").mkdir()
    postprocessing = postprocessing_of(CLASSES, FILES, None, config)
    pooled = np.array([[0.5, 0.5], [0.25, 0.75]], np.float32)
    part = PartScores(Length(80_000, 8000), pooled)
    written = [postprocessing.scores(part, index=index, scratch_in=tmp_path)[1] for index in range(len(FILES))]
    expected = np.array([[1.5, 0.5], [0.5, 1.5], [0.5, 1.5], [1.0, 1.0]])[:, None] * pooled
    np.testing.assert_allclose(np.stack(written), expected)
    warned = capsys.readouterr().err
    assert "1 of 4 recordings have no coordinates; their scores are not changed; submission.places" in warned
    assert "1 of 4 recordings have no date; species of any week are expected" in warned


def test_a_site_pattern_joins_recordings_to_their_sites(tmp_path: Path) -> None:
    config = with_prior(with_places(tmp_path, "site,lat,lon\nE,0,36\n", pattern=r"(?P<site>^.)[a-z]*/"))
    postprocessing = postprocessing_of(CLASSES, FILES, None, config)
    assert postprocessing.prior
    assert [postprocessing.prior(index).tolist() for index in (0, 1, 3)] == [[1.5, 0.5], [0.5, 1.5], [1.0, 1.0]]


def test_places_in_metadata_hold_without_a_table(tmp_path: Path) -> None:
    content = {"sci-name": "Altus clarus", "latitude": 0, "longitude": 36, "date": "2023-07-25"}
    write_text(tmp_path / "metadata" / "x.json", json_text(content))
    postprocessing = postprocessing_of(CLASSES, FILES, None, with_prior(small_config(tmp_path)))
    assert postprocessing.prior
    assert [postprocessing.prior(index).tolist() for index in (2, 3)] == [[1.0, 1.0], [0.5, 1.5]]


@pytest.mark.parametrize("prior", [None, "file\tAltus clarus\nx\t1\n"])
def test_places_without_use_are_told(tmp_path: Path, prior: str | None, capsys: pytest.CaptureFixture[str]) -> None:
    config = with_places(tmp_path, "broken")
    postprocessing_of(CLASSES, FILES, None, with_prior(config, prior) if prior else config)
    assert "submission.places is not used" in capsys.readouterr().err
