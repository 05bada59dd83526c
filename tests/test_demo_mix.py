"""Soundscapes mixed from a user's own recordings: every onset is known, and the same words give the same bytes."""

import hashlib
import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import soundfile

from config import Dataset
from tests.conftest import RATE, chirp, write_folders
from utils.console import INCOMPLETE, UserError
from utils.demo.call_excerpts import LOWEST_FREQUENCY, cut_call, load_source
from utils.demo.mix import main
from utils.demo.mix_settings import MixSettings
from utils.demo.mixed_soundscapes import find_sources, mix_soundscape
from utils.demo.mixing import mix
from utils.demo.sound_files import write_flac
from utils.scoring.evaluation.soundscape_truth import read_truth
from utils.sound.opening import AudioError

SETTINGS = MixSettings(seconds=20.0, events=18.0, snr=(0.0, 20.0), rate=RATE)


@pytest.fixture
def material(tmp_path: Path) -> tuple[Path, Path]:
    """Write recordings of three species, and two noises."""
    write_folders(tmp_path / "birds")
    (tmp_path / "noise" / "rain").mkdir(parents=True)
    for index, level in enumerate((0.01, 0.2)):
        noise = np.random.default_rng(index).normal(0, level, 3 * RATE).astype(np.float32)
        soundfile.write(tmp_path / "noise" / "rain" / f"{index}.wav", noise, RATE)
    return tmp_path / "birds", tmp_path / "noise"


def mix_into(out: Path, material: tuple[Path, Path], *, count: int = 2, settings: MixSettings = SETTINGS):
    return mix(material[0], out, noises=[material[1]], count=count, settings=settings)


def hashes(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.glob("[!.]*")}


def test_all_calls_are_found_by_the_reader_of_annotations(material: tuple[Path, Path], tmp_path: Path) -> None:
    made = mix_into(tmp_path / "out", material)
    table = pl.read_csv(tmp_path / "out" / "annotations.csv")
    assert table.columns == ["file", "start", "end", "species", "from_recording", "snr_db"]
    assert made.calls == len(table) == 2 * 6
    assert not made.failures
    truth = read_truth(tmp_path / "out", Dataset())
    assert truth
    assert not truth.failures
    assert {
        (name, event.start, event.end, event.species) for name, events in truth.events.items() for event in events
    } == {(row["file"], row["start"], row["end"], row["species"]) for row in table.to_dicts()}
    assert all(
        0.0 <= row["start"] < row["end"] <= 20.0
        and 0.0 <= row["snr_db"] <= 20.0
        and row["from_recording"].split("/")[0] == row["species"]
        for row in table.to_dicts()
    )
    used = pl.DataFrame(json.loads((tmp_path / "out" / "sources.json").read_text())["sources"])
    assert set(used["role"]) == {"call", "noise"}
    assert set(table["from_recording"]) == set(used.filter(role="call")["recording"])


def test_soundscapes_are_as_asked_and_not_clipped(material: tuple[Path, Path], tmp_path: Path) -> None:
    mix_into(tmp_path / "out", material, settings=MixSettings(20.0, 60.0, (30.0, 40.0), 11_025))
    for name in ("mixed_00.flac", "mixed_01.flac"):
        sound, rate = soundfile.read(tmp_path / "out" / name)
        assert (len(sound), rate) == (20 * 11_025, 11_025)
        assert 0.1 < np.abs(sound).max() < 0.96


def test_the_same_seed_gives_the_same_bytes_whatever_the_count(material: tuple[Path, Path], tmp_path: Path) -> None:
    for name, count, seed in (("one", 2, 0), ("more", 3, 0), ("other", 2, 1)):
        settings = MixSettings(SETTINGS.seconds, SETTINGS.events, SETTINGS.snr, RATE, seed)
        mix_into(tmp_path / name, material, count=count, settings=settings)
    one, more, other = (hashes(tmp_path / name) for name in ("one", "more", "other"))
    assert one["mixed_01.flac"] == more["mixed_01.flac"] != other["mixed_01.flac"]
    assert one["annotations.csv"] != other["annotations.csv"]
    mix_into(tmp_path / "one", material)  # the same again
    assert hashes(tmp_path / "one") == one


def test_calls_have_their_signal_to_noise_ratio(material: tuple[Path, Path]) -> None:
    sources = find_sources(material[0], [material[1]])
    settings = MixSettings(30.0, 2.0, (12.0, 12.0), RATE)
    sound, (call,), _ = mix_soundscape(sources, settings, 3)
    noise, none, _ = mix_soundscape(sources, MixSettings(30.0, 0.0, (12.0, 12.0), RATE), 3)
    assert not none
    span = slice(round(call.start * RATE), round(call.end * RATE))
    added = sound.astype(np.float64) - noise
    assert not added[: span.start].any()
    assert not added[span.stop :].any()
    ratio = 10 * np.log10(np.mean(added[span] ** 2) / np.mean(noise[span].astype(np.float64) ** 2))
    assert ratio == pytest.approx(12.0, abs=0.05)


def test_the_noise_has_the_same_level_everywhere(material: tuple[Path, Path]) -> None:
    sources = find_sources(material[0], [material[1]])
    noise, _, used = mix_soundscape(sources, MixSettings(30.0, 0.0, (0.0, 0.0), RATE), 0)
    levels = np.sqrt(np.mean(noise.reshape(-1, RATE // 2) ** 2, axis=1))
    assert len({one.recording for one in used}) == 2  # one is 26 dB louder
    assert levels.max() / levels.min() < 1.3
    assert sum(one.seconds for one in used) >= 30.0


@pytest.mark.parametrize("seed", range(5))
def test_calls_are_cut_where_the_energy_is(seed: int) -> None:
    sound = np.random.default_rng(seed).normal(0, 0.0005, 20 * RATE).astype(np.float32)
    sound[12 * RATE : 15 * RATE] += chirp(2000.0, seconds=3.0, seed=seed)
    at, call = cut_call(sound, seconds=4.0, rate=RATE, rng=np.random.default_rng(seed))
    assert 11.9 <= at < at + len(call) / RATE <= 15.1
    assert call[0] == 0.0
    assert abs(call[-1]) < 1e-4
    assert np.array_equal(
        call[RATE // 10 : -RATE // 10], sound[round(at * RATE) :][: len(call)][RATE // 10 : -RATE // 10]
    )


@pytest.mark.parametrize("samples", [RATE // 10, RATE // 3, 5 * RATE])
def test_short_and_steady_recordings_give_a_call(samples: int) -> None:
    sound = np.full(samples, 0.1, np.float32)
    at, call = cut_call(sound, seconds=2.5, rate=RATE, rng=np.random.default_rng(0))
    assert at >= 0
    assert 0 < len(call) <= min(samples, 2.5 * RATE)
    assert np.isfinite(call).all()


def test_low_frequencies_are_no_calls(tmp_path: Path) -> None:
    time = np.arange(2 * RATE) / RATE
    for name, hertz in (("rumble", LOWEST_FREQUENCY / 5), ("song", LOWEST_FREQUENCY * 5)):
        soundfile.write(tmp_path / f"{name}.wav", 0.3 * np.sin(2 * np.pi * hertz * time), RATE)
    rumble, song = (load_source(tmp_path / f"{name}.wav", rate=RATE) for name in ("rumble", "song"))
    assert np.abs(rumble[RATE:]).max() < 0.003
    assert np.abs(song[RATE:]).max() == pytest.approx(0.3, rel=0.02)
    soundfile.write(tmp_path / "silence.wav", np.zeros(RATE), RATE)
    with pytest.raises(AudioError, match="silent"):
        load_source(tmp_path / "silence.wav", rate=RATE)


def test_unreadable_recordings_cost_a_line_each(
    material: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for species in ("Altus clarus", "Bassus gravis"):
        (material[0] / species / "letter.wav").write_text("Dear bird")
    (material[1] / "silence.flac").write_bytes(b"")
    words = [
        str(material[0]),
        str(tmp_path / "out"),
        "--noise",
        str(material[1]),
        "--seconds",
        "30",
        "--rate",
        "8000",
        "--count",
        "2",
    ]
    assert main([*words, "--events", "60"]) == INCOMPLETE
    told = capsys.readouterr()
    for name in ("Altus clarus/letter.wav", "Bassus gravis/letter.wav", "silence.flac"):
        assert (told.out + told.err).count(name) == 1
    assert len(pl.read_csv(tmp_path / "out" / "annotations.csv")) == 2 * 30
    assert "letter" not in (tmp_path / "out" / "sources.json").read_text()


def test_nothing_readable_ends_with_a_reason(material: tuple[Path, Path], tmp_path: Path) -> None:
    for file in material[1].rglob("*.wav"):
        file.write_text("Dear rain")
    with pytest.raises(UserError, match=r"none of the recordings can be read, for example .*\.wav: "):
        mix_into(tmp_path / "out", material)
    assert not (tmp_path / "out" / "annotations.csv").exists()


def test_other_files_are_not_mixed_with(material: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "letter.txt").write_text("Dear bird")
    with pytest.raises(UserError, match=r"other files \(letter.txt\)"):
        mix_into(tmp_path / "out", material)
    (tmp_path / "out" / "letter.txt").rename(tmp_path / "out" / "mixed_00.flac")
    with pytest.raises(UserError, match="mixed otherwise"):
        mix_into(tmp_path / "out", material)
    mix_into(tmp_path / "new", material, count=1)
    with pytest.raises(UserError, match="mixed otherwise"):
        mix_into(tmp_path / "new", material, count=2)
    with pytest.raises(UserError, match="which is read"):
        mix_into(material[0] / "out", material)


def test_tables_of_an_earlier_mix_do_not_stay_beside_other_soundscapes(
    material: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mix_into(tmp_path / "out", material)

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("utils.demo.mixing.mix_soundscape", stop)
    with pytest.raises(KeyboardInterrupt):
        mix_into(tmp_path / "out", material)
    assert {path.name for path in (tmp_path / "out").glob("[!.]*")} == {"mixed_00.flac", "mixed_01.flac", "mix.json"}
    monkeypatch.undo()
    mix_into(tmp_path / "out", material)
    assert (tmp_path / "out" / "annotations.csv").is_file()
    assert json.loads((tmp_path / "out" / "mix.json").read_text())["count"] == 2


def test_a_mix_that_was_killed_is_made_anew(
    material: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until it is done there are no tables, which would speak of other soundscapes; the bytes are the same."""
    mix_into(tmp_path / "undisturbed", material, count=3)

    def killed(path: Path, *words: object, **more: object) -> None:
        if path.name == "mixed_02.flac":
            (path.parent / ".mixed_02.flac.part").write_bytes(b"half")
            raise KeyboardInterrupt
        write_flac(path, *words, **more)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr("utils.demo.mixing.write_flac", killed)
        with pytest.raises(KeyboardInterrupt):
            mix_into(tmp_path / "out", material, count=3)
    left = {file.name for file in (tmp_path / "out").iterdir()} - {".mix.lock"}
    assert left == {"mix.json", "mixed_00.flac", "mixed_01.flac", ".mixed_02.flac.part"}
    mix_into(tmp_path / "out", material, count=3)
    assert hashes(tmp_path / "out") == hashes(tmp_path / "undisturbed")
    assert not (tmp_path / "out" / ".mixed_02.flac.part").exists()


def test_split_recordings_are_refused(material: tuple[Path, Path], tmp_path: Path) -> None:
    for split in ("train", "val"):
        write_folders(tmp_path / "sorted" / split, recordings=1)
    with pytest.raises(UserError, match="holds train, val; choose one of them"):
        find_sources(tmp_path / "sorted", [material[1]])
    with pytest.raises(UserError, match="no such folder"):
        find_sources(tmp_path / "nowhere", [material[1]])
    (tmp_path / "nothing").mkdir()
    with pytest.raises(UserError, match="no sound files"):
        find_sources(material[0], [tmp_path / "nothing"])


@pytest.mark.parametrize(
    "words", [("--count", "0"), ("--snr", "10", "0"), ("--seconds", "1"), ("--events", "-1"), ("--rate", "100")]
)
def test_impossible_values_end_at_once(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["birds", "out", "--noise", "noise", *words])
    assert words[0] in capsys.readouterr().err.splitlines()[-1]
