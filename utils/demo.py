"""A made-up data set in the form of the BirdCLEF 2018 archive: good enough to learn from and hard enough to fail at.

    python -m utils.demo demo --seed 0

Invented species sing (utils/birdsong.py) near and far, in wind, rain, hum and insects, with other species in the background.
Some files are broken on purpose (BROKEN). The same seed gives the same bytes.
"""

import argparse
import io
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Literal
from xml.etree import ElementTree

import numpy as np
import soundfile
from scipy.io import wavfile

from utils.birdsong import SPECIES, Bird, Content, Noise, Site, Sound, carry, draw_openings, meet, microphone, sing, visit, weather
from utils.console import STOPPED, Trouble, clock, progress, say, show_table, shown, stopwatch, warn
from utils.files import whole_file, write_text

RATE = 44_100  # samples per second of all but a few recordings
COMMON = tuple(index for index, species in enumerate(SPECIES) if species.rare is None)
NOISE_SECONDS = 5.0
SCAPES = (90001, 90002)  # numbers of the soundscapes
SCAPE_SECONDS, SCAPE_BLOCK = 120.0, 10.0  # a soundscape is made of blocks; in some of them nobody sings
NOISES: tuple[Noise, ...] = ("wind", "rain", "hum", "hiss", "insects", "wind", "rain", "hum", "hiss", "insects", "wind", "rain")
SITES = (  # locality, degrees north, degrees east, metres, who records there
    ("Quebrada Honda", -4.312, -78.941, 1240, "A. Lindqvist"),
    ("Serra do Eco", -22.871, -46.023, 870, "B. Okafor"),
    ("Laguna Quieta", -33.415, -61.208, 95, "C. Moreau"),
    ("Cerro Niebla", 5.623, -73.517, 2380, "D. Tanaka"),
    ("Rio Manso", -12.048, -69.334, 260, "E. Vargas"),
    ("Bosque Viejo", -40.107, -71.652, 640, "F. Novak"),
    ("Campo Largo", -27.542, -55.119, 150, "G. Haddad"),
    ("Isla Verde", 9.284, -79.908, 20, "H. Sørensen"),
    ("Vale das Antas", -28.904, -51.377, 530, "I. Petrova"),
    ("Punta Brava", -2.196, -80.871, 10, "J. Castillo"),
)
BROKEN: Mapping[str, str] = MappingProxyType(
    {
        "LIFECLEF2018_DEMO_wav_RN9001.wav": "empty: 0 bytes",
        "LIFECLEF2018_DEMO_wav_RN9002.wav": "truncated: the header promises more sound than is there",
        "LIFECLEF2018_DEMO_wav_RN9003.wav": "text: not a sound file at all",
        "LIFECLEF2018_DEMO_wav_RN9004.wav": "no samples: a header and nothing else",
        "LIFECLEF2018_DEMO_wav_RN9005.wav": "short: 0.4 seconds, less than a clip",
        "LIFECLEF2018_DEMO_xml_RN9006.xml": "broken XML: cut off in the middle",
        "LIFECLEF2018_DEMO_xml_RN9007.xml": "outside: names ../../outside.wav",
        "LIFECLEF2018_DEMO_xml_RN9008.xml": "missing: names a wav that does not exist",
    }
)
"""Every file that a reader must survive and report, and what is wrong with it."""


@dataclass(frozen=True)
class DemoSummary:
    """What a demo data set holds.

    Attributes
    ----------
    root : its folder
    species, recordings : how many there are, without the broken ones
    seconds : length of these recordings together
    """

    root: Path
    species: int
    recordings: int
    seconds: float


@dataclass(frozen=True)
class Format:
    """How a recording is written."""

    rate: int = RATE
    channels: int = 1
    subtype: Literal["PCM_16", "PCM_24", "FLOAT"] = "PCM_16"


USUAL = Format()
UNUSUAL = (  # the second and the tenth recording of each common species come in one of these
    Format(rate=22_050),
    Format(rate=32_000),
    Format(rate=48_000),
    Format(rate=96_000),
    Format(channels=2),
    Format(rate=48_000, channels=2, subtype="PCM_24"),
    Format(subtype="PCM_24"),
    Format(subtype="FLOAT"),
    Format(rate=22_050, channels=2),
)


@dataclass(frozen=True)
class Take:
    """One recording: what is known of it."""

    number: int  # the digits after _RN
    species: int  # this and the next two are indices into SPECIES, SPECIES and SITES
    background: tuple[int, ...]
    site: int
    content: Content
    distance: float  # 0 (near) to 1 (far)
    date: str
    time: str

    @property
    def wav(self) -> str:
        """Name of its sound file."""
        return f"LIFECLEF2018_DEMO_wav_RN{self.number}.wav"

    @property
    def xml(self) -> str:
        """Name of the file that tells what is known of it."""
        return f"LIFECLEF2018_DEMO_xml_RN{self.number}.xml"


def make_demo(root: Path, *, seed: int = 0, per_species: int = 16) -> DemoSummary:
    """Write the whole data set below `root`.

    Parameters
    ----------
    root : gets wav/, xml/, soundscapes/ and noise/
    seed : another seed, other recordings; the same seed, the same bytes
    per_species : recordings of each common species, 2 to 99; two rare ones have one and two

    Raises
    ------
    Trouble
        If `root` holds recordings that another call, or somebody else, put there.
    """
    if not 2 <= per_species <= 99:
        raise ValueError(f"per_species = {per_species}: should be 2 to 99")
    _claim(root, {"seed": seed, "per_species": per_species})
    counts = [species.rare or per_species for species in SPECIES]
    seconds = 0.0
    with progress("Inventing birds", total=sum(counts) + len(BROKEN) + len(NOISES) + len(SCAPES), unit="files") as advance:
        for index, count in enumerate(counts):
            for recording in range(count):
                seconds += _write_take(root, index, recording, seed=seed)
                advance(note=SPECIES[index].latin)
        _write_broken(root, seed=seed)
        advance(len(BROKEN), note="broken files")
        _write_noises(root / "noise", seed=seed)
        advance(len(NOISES), note="noises")
        _write_soundscapes(root / "soundscapes", seed=seed)
        advance(len(SCAPES), note="soundscapes")
    return DemoSummary(root, len(SPECIES), sum(counts), seconds)


def _claim(root: Path, made_with: dict[str, int]) -> None:
    """Mark `root` as ours, unless recordings of another kind are there: mixed with them the demo would teach nonsense."""
    mark = root / "demo.json"
    text = json.dumps(made_with) + "\n"
    ours = mark.is_file() and mark.read_text(encoding="utf-8") == text
    if not ours and any((root / folder).exists() for folder in ("wav", "xml")):
        raise Trouble(f"{shown(root)} already holds other recordings; delete it or name another folder")
    write_text(mark, text)


def _plan(species: int, *, number: int, rng: np.random.Generator) -> Take:
    """Draw who is recorded, where and when."""
    others = [index for index in COMMON if index != species]
    heard = int(rng.choice([0, 1, 2], p=[0.66, 0.26, 0.08]))
    return Take(
        number=number,
        species=species,
        background=tuple(int(other) for other in rng.choice(others, heard, replace=False)),
        site=int(rng.integers(len(SITES))),
        content="call" if rng.random() < 0.15 else "song",
        distance=float(rng.beta(1.2, 1.7)),
        date=f"{rng.integers(2008, 2018)}-{rng.integers(1, 13):02d}-{rng.integers(1, 29):02d}",
        time=f"{rng.integers(5, 19):02d}:{rng.integers(60):02d}",
    )


def _site(index: int, *, seed: int) -> Site:
    return visit(np.random.default_rng((seed, 1001, index)))  # all recordings made at a place share its sound


def _bird(species: int, site: int, *, seed: int) -> Bird:
    return meet(np.random.default_rng((seed, 1002, species, site)))  # one of each species lives there


def _perform(take: Take, *, seconds: float, rate: int, seed: int, rng: np.random.Generator) -> Sound:
    """Make a recording's sound: its bird, those behind it, and all that disturbs them."""
    site = _site(take.site, seed=seed)
    openings = draw_openings(seconds, rng=rng)
    song = np.zeros(round(seconds * rate), np.float32)
    for species in (take.species, *take.background):
        bird = _bird(species, take.site, seed=seed)
        near = species == take.species
        voices, _ = sing(SPECIES[species], bird, content=take.content if near else "song", seconds=seconds, openings=openings, rate=rate, rng=rng)
        distance = take.distance if near else float(rng.uniform(0.6, 1.0))
        song += np.float32(1.0 if near else 10 ** (rng.uniform(-20.0, -12.0) / 20)) * carry(voices, distance=distance, echo=site.echo, rate=rate, rng=rng)
    loudness = np.sqrt(np.mean(song[np.abs(song) > 0.02] ** 2))
    signal_to_noise = 33.0 - 20.0 * take.distance + rng.normal(0.0, 3.0)  # dB, among the birds' frequencies
    hiss = weather("hiss", len(song), rate=rate, rng=rng, slope=site.slope)
    song += np.float32(loudness * 10 ** (-signal_to_noise / 20)) * hiss
    for noise in site.noises:
        level = rng.uniform(-10.0, 6.0) if noise in ("wind", "hum") else rng.uniform(-30.0, -10.0)
        if rng.random() < 0.7:
            song += np.float32(loudness * 10 ** (level / 20)) * weather(noise, len(song), rate=rate, rng=rng, insect=site.insect)
    return _at_peak(microphone(song, site.colour, rate=rate), rng.uniform(0.25, 0.9))


def _at_peak(sound: Sound, peak: float) -> Sound:
    return sound * np.float32(peak / np.abs(sound).max())


def _write_take(root: Path, species: int, recording: int, *, seed: int) -> float:
    """Write one recording; return its length in seconds."""
    rng = np.random.default_rng((seed, species, recording))
    take = _plan(species, number=(species + 1) * 100 + recording, rng=rng)
    special = {1: species, 9: species + 4}.get(recording) if species in COMMON else None
    form = USUAL if special is None else UNUSUAL[special % len(UNUSUAL)]
    sound = _perform(take, seconds=float(rng.uniform(4.0, 12.0)), rate=form.rate, seed=seed, rng=rng)
    _write_wav(root / "wav" / take.wav, sound, form)
    write_text(root / "xml" / take.xml, _xml(take))
    return len(sound) / form.rate


def _write_wav(path: Path, sound: Sound, form: Format = USUAL) -> None:
    """Write a WAV whose bytes depend on nothing but the sound."""
    channels = np.stack([sound, np.float32(0.7) * sound][: form.channels], axis=-1)
    with whole_file(path) as stream:
        if form.subtype == "FLOAT":  # libsndfile writes the time of day into a float WAV (its PEAK chunk)
            wavfile.write(stream, form.rate, channels.astype(np.float32))
        else:
            soundfile.write(stream, channels, form.rate, format="WAV", subtype=form.subtype)


def _xml(take: Take, *, name: str | None = None) -> str:
    """Tell what is known of a recording, in the archive's form; `name` overrides the name of its sound file."""
    species = SPECIES[take.species]
    locality, north, east, metres, author = SITES[take.site]
    fields = {
        "MediaId": str(take.number),
        "FileName": name or take.wav,
        "ClassId": species.class_id,
        "Author": author,
        "Date": take.date,
        "Time": take.time,
        "Locality": locality,
        "Latitude": f"{north:.3f}",
        "Longitude": f"{east:.3f}",
        "Elevation": str(metres),
        "Quality": str(5 - min(int(take.distance * 5), 4)),
        "Content": take.content,
        "Comments": "Made up by utils/demo.py.",
        "Order": "Passeriformes",
        "Family": species.family,
        "Genus": species.genus,
        "Species": species.latin.split()[1],
        "Sub-species": "",
        "VernacularNames": species.english,
        "BackgroundSpecies": ",".join(SPECIES[other].latin for other in take.background),
        "Year": "BirdCLEF2018",
    }
    audio = ElementTree.Element("Audio")
    for field, text in fields.items():
        if text or field != "BackgroundSpecies":
            ElementTree.SubElement(audio, field).text = text
    ElementTree.indent(audio)
    return '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n' + ElementTree.tostring(audio, encoding="unicode") + "\n"


def _wav_bytes(sound: Sound) -> bytes:
    stream = io.BytesIO()
    soundfile.write(stream, sound, RATE, format="WAV", subtype="PCM_16")
    return stream.getvalue()


def _write_broken(root: Path, *, seed: int) -> None:
    """Write the files of BROKEN, and beside each the other half of its recording."""
    rng = np.random.default_rng((seed, 1003))
    takes = {number: _plan(COMMON[number % len(COMMON)], number=number, rng=rng) for number in range(9001, 9009)}
    sounds = {number: _perform(takes[number], seconds=6.0, rate=RATE, seed=seed, rng=rng) for number in (9002, 9005, 9006)}
    contents = {
        9001: b"",
        9002: _wav_bytes(sounds[9002])[: 44 + 2 * 2 * RATE],
        9003: b"This is a letter to a bird, not its song.\n" * 100,
        9004: _wav_bytes(np.zeros(0, np.float32)),
        9005: _wav_bytes(sounds[9005][: int(0.4 * RATE)]),
        9006: _wav_bytes(sounds[9006]),
    }
    for number, content in contents.items():
        with whole_file(root / "wav" / takes[number].wav) as stream:
            stream.write(content)
    for number, take in takes.items():
        text = _xml(take, name="../../outside.wav" if number == 9007 else None)
        write_text(root / "xml" / take.xml, text[: len(text) // 2] if number == 9006 else text)


def _write_noises(folder: Path, *, seed: int) -> None:
    """Write clips in which no bird sings."""
    for index, kind in enumerate(NOISES):
        rng = np.random.default_rng((seed, 1005, index))
        site = _site(int(rng.integers(len(SITES))), seed=seed)
        count = int(NOISE_SECONDS * RATE)
        sound = weather(kind, count, rate=RATE, rng=rng, insect=site.insect)
        if kind != "hiss":
            sound += np.float32(0.3) * weather("hiss", count, rate=RATE, rng=rng, slope=site.slope)
        sound = _at_peak(microphone(sound, site.colour, rate=RATE), rng.uniform(0.2, 0.8))
        _write_wav(folder / f"{kind}_{index + 1:02d}.wav", sound)


def _write_soundscapes(folder: Path, *, seed: int) -> None:
    """Write two long recordings in which several species sing, and the table of who sings when."""
    rows = ["file,start,end,species"]
    for number in SCAPES:
        sound, sung = _soundscape(seed=seed, rng=np.random.default_rng((seed, 1006, number)))
        name = f"LIFECLEF2018_DEMO_SCAPE_wav_RN{number}.wav"
        _write_wav(folder / name, sound)
        rows += [f"{name},{start:.3f},{end:.3f},{SPECIES[species].latin}" for start, end, species in sorted(sung)]
    write_text(folder / "annotations.csv", "\n".join(rows) + "\n")


def _soundscape(*, seed: int, rng: np.random.Generator) -> tuple[Sound, list[tuple[float, float, int]]]:
    """Let one or two of six species sing in most blocks of time; return the sound and who sings from when to when (seconds)."""
    place = int(rng.integers(len(SITES)))
    site = _site(place, seed=seed)
    cast = rng.choice(COMMON, 6, replace=False)
    sound = np.zeros(int(SCAPE_SECONDS * RATE), np.float32)
    sung: list[tuple[float, float, int]] = []
    blocks = int(SCAPE_SECONDS / SCAPE_BLOCK)
    quiet = rng.choice(blocks, 3, replace=False)
    for block in range(blocks):
        for species in rng.choice(cast, int(rng.integers(1, 3)), replace=False) if block not in quiet else ():
            opening = (float(rng.uniform(0.0, 2.5)), SCAPE_BLOCK - float(rng.uniform(0.5, 3.0)))
            bird = _bird(int(species), place, seed=seed)
            voices, times = sing(SPECIES[species], bird, content="song", seconds=SCAPE_BLOCK, openings=[opening], rate=RATE, rng=rng)
            first = int(block * SCAPE_BLOCK * RATE)
            sound[first : first + len(voices)] += carry(voices, distance=float(rng.uniform(0.1, 0.8)), echo=site.echo, rate=RATE, rng=rng)
            sung += [(block * SCAPE_BLOCK + start, block * SCAPE_BLOCK + end, int(species)) for start, end in times]
    sound += np.float32(0.04) * weather("hiss", len(sound), rate=RATE, rng=rng, slope=site.slope)
    sound += np.float32(0.08) * weather("wind", len(sound), rate=RATE, rng=rng)
    return _at_peak(microphone(sound, site.colour, rate=RATE), 0.7), sung


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the command line, make the data set, and say what to do next."""
    parser = argparse.ArgumentParser(prog="python -m utils.demo", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", type=Path, help="folder that the data set is written to")
    parser.add_argument("--seed", type=int, default=0, help="another seed, other recordings (default 0)")
    words = parser.parse_args(arguments)
    if words.seed < 0:
        parser.error(f"--seed {words.seed}: should be 0 or more")
    passed = stopwatch()
    try:
        made = make_demo(words.root, seed=words.seed)
    except (Trouble, OSError) as error:
        warn(str(error))
        return 1
    except KeyboardInterrupt:
        warn("stopped; no file is half-written, and the same command makes the rest")
        return STOPPED
    rows = {
        "recordings": f"{made.recordings} of {made.species} species, {clock(made.seconds)}",
        "soundscapes": f"{len(SCAPES)} of {clock(SCAPE_SECONDS)}; soundscapes/annotations.csv tells who sings when",
        "noises": f"{len(NOISES)} clips without birds",
        "broken": f"{len(BROKEN)} files that every stage must survive",
    }
    show_table(f"Made up in {shown(made.root)} in {clock(passed())}", rows)
    say("next: python sort_data.py experiments/demo.toml")
    return 0


if __name__ == "__main__":
    sys.exit(main())
