import ast
import csv
import dataclasses
import hashlib
import itertools
import struct
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import soundfile
from scipy import signal
from sklearn.model_selection import cross_val_score
from sklearn.tree import DecisionTreeClassifier

from config import Config
from tests.conftest import REPOSITORY
from utils.command_line import from_command_line
from utils.console import UserError
from utils.demo.__main__ import EXPERIMENTS, main, next_words
from utils.demo.acoustics import make_noise
from utils.demo.annotated import song_band
from utils.demo.archive import DemoSummary, make_demo
from utils.demo.broken import BROKEN
from utils.demo.kaggle2021 import make_kaggle2021
from utils.demo.ranges import (
    SEASONS,
    draw_author,
    frequency,
    plan_in_range,
    region_of,
    region_of_species,
    season_of_species,
    shares_at,
    site_code,
)
from utils.demo.singing import Individual, draw_song_intervals, sing, sing_syllable
from utils.demo.sound_files import ogg_checksum, with_serial, write_flac, write_ogg
from utils.demo.soundscapes import SOUNDSCAPE_SECONDS, check_soundscape_seconds
from utils.demo.species import SPECIES, Syllable
from utils.demo.synthesis import COMMON, SITES, plan_recording, recording_xml, write_recording
from utils.settings import load


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> DemoSummary:
    return make_demo(tmp_path_factory.mktemp("demo"), per_species=2)


def hashes(root: Path) -> dict[str, str]:
    return {
        path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in root.rglob("*")
        if path.is_file()
    }


def good_recordings(root: Path) -> dict[str, ElementTree.Element]:
    """Return the metadata of each recording that is not broken, by the name of its sound file."""
    paths = [path for path in sorted((root / "xml").iterdir()) if path.name not in BROKEN]
    metadata = [ElementTree.parse(path).getroot() for path in paths]
    return {str(one.findtext("FileName")): one for one in metadata if one.findtext("FileName") not in BROKEN}


def test_same_seed_same_bytes(made: DemoSummary, tmp_path: Path):
    make_demo(tmp_path / "again", per_species=2)
    assert hashes(tmp_path / "again") == hashes(made.root)


def test_other_seed_other_bytes(made: DemoSummary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("utils.demo.soundscapes.SOUNDSCAPE_NUMBERS", ())  # they take longest
    make_demo(tmp_path / "other", seed=1, per_species=2)
    sounds = [path for path in (tmp_path / "other").rglob("*.wav") if path.name not in BROKEN]
    assert len(sounds) > 20
    metadata, before = good_recordings(tmp_path / "other"), good_recordings(made.root)
    assert not [
        name
        for name, one in metadata.items()
        if (one.findtext("Date"), one.findtext("Time"))
        == (before[name].findtext("Date"), before[name].findtext("Time"))
    ]
    assert not {
        path.name
        for path in sounds
        if path.read_bytes() == (made.root / path.relative_to(tmp_path / "other")).read_bytes()
    }


def test_more_recordings_leave_the_first_unchanged(tmp_path: Path):
    for recording in (0, 1):
        write_recording(tmp_path / "alone", 3, recording, seed=5)
    for recording in (1, 0, 2):
        write_recording(tmp_path / "more", 3, recording, seed=5)
    alone, more = hashes(tmp_path / "alone"), hashes(tmp_path / "more")
    assert len(alone) == 4
    assert alone.items() < more.items()


def test_every_recording_has_its_sound_and_its_xml(made: DemoSummary):
    metadata = good_recordings(made.root)
    wavs = {path.name for path in (made.root / "wav").iterdir()}
    orphan = "LIFECLEF2018_DEMO_wav_RN9006.wav"  # its XML is broken, the sound is not
    assert wavs - set(BROKEN) - {orphan} == set(metadata)
    assert len(metadata) == made.recordings == 2 * len(COMMON) + 3
    for name, one in metadata.items():
        assert name.split("_RN")[1] == f"{one.findtext('MediaId')}.wav"
    assert sum(soundfile.info(made.root / "wav" / name).duration for name in metadata) == pytest.approx(made.seconds)


def test_xml_has_the_format_of_the_archive(made: DemoSummary):
    metadata = good_recordings(made.root)
    for one in metadata.values():
        assert one.tag == "Audio"
        assert {f"{one.findtext('Genus')} {one.findtext('Species')}"} <= {
            species.scientific_name for species in SPECIES
        }
        assert len(str(one.findtext("ClassId"))) == 6
        assert one.findtext("Year") == "BirdCLEF2018"
        assert 0 <= int(str(one.findtext("Quality"))) <= 5
    classes = {(one.findtext("Genus"), one.findtext("Species"), one.findtext("ClassId")) for one in metadata.values()}
    assert len({code for _, _, code in classes}) == len(classes) == made.species


def test_one_species_has_one_recording_and_one_has_two():
    assert sorted(species.rare for species in SPECIES if species.rare) == [1, 2]


def test_recordings_of_a_species(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("utils.demo.soundscapes.SOUNDSCAPE_NUMBERS", ())
    monkeypatch.setattr("utils.demo.synthesis.synthesize", lambda planned, **_: np.zeros(100, np.float32))
    make_demo(tmp_path, per_species=5)
    counts = Counter(f"{one.findtext('Genus')} {one.findtext('Species')}" for one in good_recordings(tmp_path).values())
    assert counts == {species.scientific_name: species.rare or 5 for species in SPECIES}


def test_background_species_are_other_species():
    planned = [
        plan_recording(species, number=1, rng=np.random.default_rng((3, species, draw)))
        for species in range(len(SPECIES))
        for draw in range(100)
    ]
    heard = [take for take in planned if take.background]
    assert 0.25 < len(heard) / len(planned) < 0.45
    for take in heard:
        assert take.species not in take.background
        assert len(set(take.background)) == len(take.background)
        named = ElementTree.fromstring(recording_xml(take)).findtext("BackgroundSpecies")
        assert str(named).split(",") == [SPECIES[other].scientific_name for other in take.background]
    assert "BackgroundSpecies" not in recording_xml(next(take for take in planned if not take.background))


def test_formats(made: DemoSummary):
    infos = [soundfile.info(made.root / "wav" / name) for name in good_recordings(made.root)]
    assert {info.samplerate for info in infos} == {22_050, 32_000, 44_100, 48_000, 96_000}
    assert {info.channels for info in infos} == {1, 2}
    assert {info.subtype for info in infos} == {"PCM_16", "PCM_24", "FLOAT"}
    assert Counter((info.samplerate, info.channels, info.subtype) for info in infos).most_common(1)[0][0] == (
        44_100,
        1,
        "PCM_16",
    )
    assert all(3.99 < info.duration < 12.01 for info in infos)


def test_sounds_are_neither_clipped_nor_silent(made: DemoSummary):
    for path in (*(made.root / "noise").iterdir(), *(made.root / "wav" / name for name in good_recordings(made.root))):
        sound, _ = soundfile.read(path)
        assert 0.15 < np.abs(sound).max() < 0.95, path.name


def test_annotations_are_in_the_soundscapes_and_sorted(made: DemoSummary):
    with (made.root / "soundscapes" / "annotations.csv").open(encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert {row["file"] for row in rows} == {path.name for path in (made.root / "soundscapes").glob("*.wav")}
    assert {row["species"] for row in rows} <= {species.scientific_name for species in SPECIES}
    keys = [(row["file"], float(row["start"])) for row in rows]
    assert keys == sorted(keys)
    assert all(0 <= float(row["start"]) < float(row["end"]) <= SOUNDSCAPE_SECONDS for row in rows)
    for _, group in itertools.groupby(rows, key=lambda row: row["file"]):
        assert len({row["species"] for row in group}) > 2


def test_soundscapes_are_louder_during_annotations(made: DemoSummary):
    with (made.root / "soundscapes" / "annotations.csv").open(encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    for path in (made.root / "soundscapes").glob("*.wav"):
        sound, rate = soundfile.read(path)
        assert len(sound) == SOUNDSCAPE_SECONDS * rate
        annotations, echoing = np.zeros(len(sound), bool), np.zeros(len(sound), bool)
        for row in rows:
            if row["file"] == path.name:
                start, end = int(float(row["start"]) * rate), int(float(row["end"]) * rate)
                annotations[start:end] = True
                echoing[start : end + rate // 2] = True
        birds = signal.sosfilt(signal.butter(4, (3000, 6000), "bandpass", fs=rate, output="sos"), sound)
        assert np.mean(birds[annotations] ** 2) > 3 * np.mean(birds[~echoing] ** 2)
        assert np.mean(~echoing) > 0.2


def share_of_energy(sound: np.ndarray, *, rate: int, low: float, high: float) -> float:
    power = np.abs(np.fft.rfft(sound)) ** 2
    hertz = np.fft.rfftfreq(len(sound), 1 / rate)
    return float(power[(hertz >= low) & (hertz <= high)].sum() / power.sum())


@pytest.mark.parametrize("species", SPECIES, ids=lambda species: species.class_id)
@pytest.mark.parametrize(
    ("content", "rate", "pitch"), [("song", 44_100, 0.92), ("call", 44_100, 1.08), ("song", 22_050, 1.08)]
)
def test_songs_are_in_the_band_of_the_spectrogram(species, content, rate, pitch):
    rng = np.random.default_rng(4)
    sound, annotations = sing(
        species,
        Individual(pitch=pitch, timbre=1.5),
        content=content,
        seconds=4.0,
        intervals=[(0.0, 4.0)],
        rate=rate,
        rng=rng,
    )
    assert annotations
    assert share_of_energy(sound, rate=rate, low=500, high=15_000) > 0.999
    assert share_of_energy(sound, rate=rate, low=1500, high=9000) > 0.8


@pytest.mark.parametrize("length", [0.0001, 0.02, 0.5])
def test_syllables_fade_in_and_out(length):
    sound = sing_syllable(Syllable((3000.0, 5000.0), length, 0.1), Individual(), rate=44_100)
    assert len(sound) >= 8
    assert sound[0] == sound[-1] == 0
    if length > 0.01:
        assert max(np.abs(sound[:22]).max(), np.abs(sound[-22:]).max()) < 0.05  # half a millisecond
        assert 0.9 < np.abs(sound).max() < 1.2


@pytest.mark.parametrize(("rate", "overtone"), [(44_100, 1.0), (22_050, 0.0)])
def test_overtones_that_the_rate_cannot_hold_are_left_out(rate, overtone):
    sound = sing_syllable(Syllable((6000.0, 6000.0), 0.5, 0.1, (1.0, 1.0)), Individual(), rate=rate)
    assert share_of_energy(sound, rate=rate, low=5900, high=6100) == pytest.approx(1.0 / (1.0 + overtone), abs=0.01)


def test_silence_outside_the_intervals():
    rate = 22_050
    for species in SPECIES:
        sound, annotations = sing(
            species,
            Individual(),
            content="song",
            seconds=6.0,
            intervals=[(0.5, 2.5), (4.0, 5.5)],
            rate=rate,
            rng=np.random.default_rng(1),
        )
        assert not sound[: rate // 2].any()
        assert not sound[int(2.5 * rate) + 1 : 4 * rate].any()
        assert not sound[int(5.5 * rate) + 1 :].any()
        assert all(0.5 <= start < end <= 2.5 or 4.0 <= start < end <= 5.5 for start, end in annotations)
        assert {start < 3.0 for start, _ in annotations} == {True, False}


def test_intervals_leave_one_to_three_seconds_of_silence():
    drawn = [
        draw_song_intervals(seconds, rng=np.random.default_rng(seed))
        for seed in range(50)
        for seconds in (4.0, 5.0, 12.0)
    ]
    silences = [later[0] - earlier[1] for intervals in drawn for earlier, later in itertools.pairwise(intervals)]
    assert len(silences) > 50
    assert all(1.0 <= silence <= 3.0 for silence in silences)
    assert all(end - start >= 1.75 for intervals in drawn for start, end in intervals)


@pytest.mark.parametrize("kind", ["hiss", "wind", "rain", "hum", "insects"])
@pytest.mark.parametrize("rate", [22_050, 32_000, 48_000])
def test_noise_is_in_its_band(kind, rate):
    low, high = {"hiss": (40, rate), "wind": (10, 700), "rain": (300, rate), "hum": (49, 801), "insects": (6000, 8000)}[
        kind
    ]
    sound = make_noise(kind, 3 * rate + 7, rate=rate, rng=np.random.default_rng(2))
    assert sound.dtype == np.float32
    assert len(sound) == 3 * rate + 7
    assert share_of_energy(sound, rate=rate, low=low, high=high) > 0.95
    if kind == "hiss":
        assert np.mean(sound**2) * share_of_energy(sound, rate=rate, low=2000, high=7000) == pytest.approx(
            1.0, rel=0.05
        )
    else:
        assert np.mean(sound**2) == pytest.approx(1.0, rel=1e-3)


def test_broken_files_are_broken_in_their_way(made: DemoSummary):
    wavs = {kind.split(":")[0]: made.root / "wav" / name for name, kind in BROKEN.items() if name.endswith(".wav")}
    xmls = {kind.split(":")[0]: made.root / "xml" / name for name, kind in BROKEN.items() if name.endswith(".xml")}
    assert wavs["empty"].read_bytes() == b""
    head = wavs["truncated"].read_bytes()
    assert struct.unpack("<I", head[40:44])[0] > len(head) - 44 > 44_100
    with pytest.raises(soundfile.LibsndfileError):
        soundfile.read(wavs["text"])
    assert soundfile.info(wavs["no samples"]).frames == 0
    assert soundfile.info(wavs["short"]).duration == pytest.approx(0.4)
    with pytest.raises(ElementTree.ParseError):
        ElementTree.parse(xmls["broken XML"])
    assert ElementTree.parse(xmls["outside"]).findtext("FileName") == "../../outside.wav"
    assert not (made.root / "wav" / str(ElementTree.parse(xmls["missing"]).findtext("FileName"))).exists()
    assert {path.name.split("_RN")[1][:4] for path in (made.root / "xml").glob("*RN9*.xml")} >= {
        str(number) for number in range(9001, 9009)
    }


def test_nothing_is_written_outside(made: DemoSummary):
    assert {path.name for path in made.root.parent.glob("outside*")} == set()
    assert {path.name for path in made.root.iterdir()} == {"demo.json", "wav", "xml", "noise", "soundscapes"}
    assert len(list((made.root / "noise").glob("*.wav"))) == 12


def test_other_recordings_are_not_mixed_with(tmp_path: Path):
    (tmp_path / "wav").mkdir()
    with pytest.raises(UserError, match="other recordings"):
        make_demo(tmp_path, per_species=2)
    assert [path.name for path in tmp_path.iterdir()] == ["wav"]


def test_another_seed_is_not_mixed_in(made: DemoSummary):
    before = (made.root / "demo.json").read_bytes()
    with pytest.raises(UserError, match="other recordings"):
        make_demo(made.root, seed=1, per_species=2)
    assert (made.root / "demo.json").read_bytes() == before


@pytest.mark.parametrize(
    ("form", "experiment"),
    [
        ("birdclef2018", "demo.toml"),
        ("kaggle2021", "demo-kaggle2021.toml"),
        ("annotations", "demo-annotations.toml"),
    ],
)
def test_command_line(
    form: str, experiment: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    seen = []
    summary = DemoSummary(tmp_path, 10, 131, 1000.0, {"places": "10 in sites.csv"})
    makers = {form: lambda root, *, seed: seen.append((root, seed)) or summary}
    monkeypatch.setattr("utils.demo.__main__._makers", lambda: makers)
    assert main([str(tmp_path), "--seed", "7", *(["--form", form] if form != "birdclef2018" else [])]) == 0
    assert seen == [(tmp_path, 7)]
    told = capsys.readouterr().out
    assert f"python sort_data.py experiments/{experiment}" in told
    assert "10 in sites.csv" in told
    assert (REPOSITORY / "experiments" / experiment).is_file()


def paths_of(config: Config) -> dict[str, Path | None]:
    dataset, submission = config.dataset, config.submission
    paths = {"root": dataset.root, "archive": dataset.archive, "snapshots": config.snapshots}
    return {**paths, "folder": submission.folder, "recordings": submission.recordings}


@pytest.mark.parametrize("form", EXPERIMENTS)
def test_the_next_commands_are_for_the_folder(form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """They name the folders as the experiment does, with the name of the folder in place of the experiment's."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "experiments").symlink_to(REPOSITORY / "experiments")
    experiment = EXPERIMENTS[form]
    assert next_words(Path(experiment), form=form) == [f"experiments/{experiment}.toml"]
    usual = load(REPOSITORY / "experiments" / f"{experiment}.toml")
    for root in (tmp_path / "two words" / "it's", Path("new")):
        found, _ = from_command_line(next_words(root, form=form), doc="", script="sort_data.py")
        assert paths_of(found) == {
            name: path and Path(str(path).replace(experiment, "new" if root == Path("new") else "two words/it's", 1))
            for name, path in paths_of(usual).items()
        }
        assert (found.run, found.training, found.clips) == (usual.run, usual.training, usual.clips)


@pytest.mark.parametrize("form", ["birdclef2018", "kaggle2021", "annotations"])
@pytest.mark.parametrize("folder", ["wav", "train_short_audio", "recordings"])
def test_other_recordings_are_refused_by_every_form(
    form: str, folder: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    (tmp_path / folder).mkdir()
    assert main([str(tmp_path), "--form", form]) == 1
    assert "other recordings" in " ".join(capsys.readouterr().err.split())


def test_summary_is_frozen(made: DemoSummary):
    with pytest.raises(dataclasses.FrozenInstanceError):
        made.seconds = 0.0


def test_every_region_has_places_and_species_of_each_season():
    assert {region_of(place) for place in range(len(SITES))} == {region_of_species(species) for species in COMMON}
    assert {season_of_species(species) for species in COMMON} == set(SEASONS)
    assert len({site_code(place) for place in range(len(SITES))}) == len(SITES)
    assert (site_code(0), site_code(1)) == ("QHO", "SEC")


def test_frequency_falls_outside_of_region_and_season():
    # the fourth species lives in the north (Cerro Niebla, 3) from October to March
    assert frequency(3, place=3, month=12) == 1.0
    assert frequency(3, place=3, month=6) == frequency(3, place=2, month=12) == 0.06
    assert frequency(3, place=2, month=6) == pytest.approx(0.0036)
    shares = shares_at(3, 12)
    assert shares.sum() == pytest.approx(1.0)
    assert set(np.argsort(shares)[-2:]) == {0, 3}  # the first species lives there all year


def test_place_and_date_tell_something_about_the_species():
    planned = [
        plan_in_range(species, number=1, rng=np.random.default_rng((7, species, draw)))
        for species in COMMON
        for draw in range(20)
    ]
    features = [[*SITES[one.site][1:3], int(one.date[5:7])] for one in planned]
    tree = DecisionTreeClassifier(min_samples_leaf=4, random_state=0)
    accuracy = cross_val_score(tree, features, [one.species for one in planned], cv=5).mean()
    assert accuracy > 2.5 / len(COMMON)
    for one in planned:
        assert one.species not in one.background
        assert len(set(one.background)) == len(one.background)
    authors = {(one.site, draw_author(one.site, rng=np.random.default_rng(draw))) for draw, one in enumerate(planned)}
    assert len(authors) > len({site for site, _ in authors})  # some places have two


@pytest.mark.parametrize("seconds", [20, 35, 0])
def test_soundscapes_need_whole_blocks(seconds: int):
    with pytest.raises(ValueError, match="multiple of 10, at least 30"):
        check_soundscape_seconds(seconds)


def test_ogg_files_depend_on_the_sound_only(tmp_path: Path):
    sound = np.random.default_rng(1).normal(0, 0.1, 75 * 8000).astype(np.float32)  # more than a minute
    for name in ("one", "other"):
        write_ogg(tmp_path / f"{name}.ogg", sound, rate=8000)
    ogg = (tmp_path / "one.ogg").read_bytes()
    assert ogg == (tmp_path / "other.ogg").read_bytes()
    assert with_serial(with_serial(ogg, 12_345), 0) == ogg != with_serial(ogg, 12_345)
    decoded, rate = soundfile.read(tmp_path / "one.ogg", dtype="float32")
    assert (len(decoded), rate) == (len(sound), 8000)


def test_checksums_are_those_of_libsndfile(tmp_path: Path):
    soundfile.write(tmp_path / "short.ogg", np.zeros(800, np.float32), 8000)
    ogg = (tmp_path / "short.ogg").read_bytes()
    page = ogg[: ogg.index(b"OggS", 4)]
    assert ogg_checksum(page[:22] + bytes(4) + page[26:]) == int.from_bytes(page[22:26], "little")
    serial = int.from_bytes(page[14:18], "little")
    assert with_serial(ogg, serial) == ogg


def test_flac_files_hold_the_sound(tmp_path: Path):
    sound = np.linspace(-0.5, 0.5, 30_000, dtype=np.float32)
    write_flac(tmp_path / "a.flac", sound, rate=22_050)
    decoded, rate = soundfile.read(tmp_path / "a.flac", dtype="float32")
    assert rate == 22_050
    np.testing.assert_allclose(decoded, sound, atol=2**-15)


def test_boxes_hold_the_songs():
    for species in SPECIES:
        low, high = song_band(species, Individual())
        sound, _ = sing(
            species,
            Individual(timbre=0.0),  # without overtones
            content="song",
            seconds=4.0,
            intervals=[(0.0, 4.0)],
            rate=44_100,
            rng=np.random.default_rng(2),
        )
        assert 500 < low < high < 12_000
        assert share_of_energy(sound, rate=44_100, low=0.97 * low, high=1.03 * high) > 0.99, species.scientific_name


@pytest.fixture(scope="module")
def kaggle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("kaggle")
    make_kaggle2021(root, per_species=2, soundscape_seconds=30)
    return root


def rows_of(file: Path) -> list[dict[str, str]]:
    with file.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def test_tables_of_kaggle2021_are_those_of_the_challenge(kaggle: Path):
    table = rows_of(kaggle / "train_metadata.csv")
    assert list(table[0]) == [
        "primary_label",
        "secondary_labels",
        "type",
        "latitude",
        "longitude",
        "scientific_name",
        "common_name",
        "author",
        "date",
        "filename",
        "license",
        "rating",
        "time",
        "url",
    ]
    sounds = {path.relative_to(kaggle / "train_short_audio").as_posix() for path in kaggle.rglob("XC*.ogg")}
    assert {f"{row['primary_label']}/{row['filename']}" for row in table} == sounds
    codes = {species.class_id for species in SPECIES}
    for row in table:
        assert set(ast.literal_eval(row["secondary_labels"])) <= codes - {row["primary_label"]}
        assert 0.5 <= float(row["rating"]) <= 5.0
        assert (
            3.0 <= soundfile.info(kaggle / "train_short_audio" / row["primary_label"] / row["filename"]).duration <= 6
        )
    test, sample = rows_of(kaggle / "test.csv"), rows_of(kaggle / "sample_submission.csv")
    assert [row["row_id"] for row in test] == [row["row_id"] for row in sample]
    assert {row["birds"] for row in sample} == {"nocall"}


def test_rows_of_soundscapes_cover_them_and_tell_the_birds(kaggle: Path):
    rows = rows_of(kaggle / "train_soundscape_labels.csv")
    sounds = {"_".join(path.stem.split("_")[:2]) for path in (kaggle / "train_soundscapes").glob("*.ogg")}
    assert {f"{row['audio_id']}_{row['site']}_{second}" for row in rows for second in range(5, 31, 5)} == {
        row["row_id"] for row in rows
    }
    assert {f"{row['audio_id']}_{row['site']}" for row in rows} == sounds
    birds = Counter(code for row in rows for code in row["birds"].split())
    assert birds["nocall"] > 5
    assert set(birds) - {"nocall"} <= {species.class_id for species in SPECIES}
    sites = {row["site"] for row in rows_of(kaggle / "sites.csv")}
    assert {row["site"] for row in rows} <= sites
