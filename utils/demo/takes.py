"""One recording: who sings where and when, how that sounds, and the two files that keep it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from xml.etree import ElementTree

import numpy as np
import soundfile
from scipy.io import wavfile

from utils.demo.places import Site, carry, microphone, visit, weather
from utils.demo.singing import Bird, Content, Sound, draw_openings, meet, sing
from utils.demo.species import SPECIES
from utils.files import whole_file, write_text

RATE = 44_100  # samples per second of all but a few recordings
COMMON = tuple(index for index, species in enumerate(SPECIES) if species.rare is None)
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


def plan(species: int, *, number: int, rng: np.random.Generator) -> Take:
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


def site_of(index: int, *, seed: int) -> Site:
    """Return a place; all recordings made there share its sound."""
    return visit(np.random.default_rng((seed, 1001, index)))


def bird_of(species: int, site: int, *, seed: int) -> Bird:
    """Return the individual of a species that lives at a place."""
    return meet(np.random.default_rng((seed, 1002, species, site)))


def perform(take: Take, *, seconds: float, rate: int, seed: int, rng: np.random.Generator) -> Sound:
    """Make a recording's sound: its bird, those behind it, and all that disturbs them."""
    site = site_of(take.site, seed=seed)
    openings = draw_openings(seconds, rng=rng)
    song = np.zeros(round(seconds * rate), np.float32)
    for species in (take.species, *take.background):
        bird = bird_of(species, take.site, seed=seed)
        near = species == take.species
        voices, _ = sing(
            SPECIES[species],
            bird,
            content=take.content if near else "song",
            seconds=seconds,
            openings=openings,
            rate=rate,
            rng=rng,
        )
        distance = take.distance if near else float(rng.uniform(0.6, 1.0))
        song += np.float32(1.0 if near else 10 ** (rng.uniform(-20.0, -12.0) / 20)) * carry(
            voices, distance=distance, echo=site.echo, rate=rate, rng=rng
        )
    loudness = np.sqrt(np.mean(song[np.abs(song) > 0.02] ** 2))
    signal_to_noise = 33.0 - 20.0 * take.distance + rng.normal(0.0, 3.0)  # dB, among the birds' frequencies
    hiss = weather("hiss", len(song), rate=rate, rng=rng, slope=site.slope)
    song += np.float32(loudness * 10 ** (-signal_to_noise / 20)) * hiss
    for noise in site.noises:
        level = rng.uniform(-10.0, 6.0) if noise in ("wind", "hum") else rng.uniform(-30.0, -10.0)
        if rng.random() < 0.7:
            song += np.float32(loudness * 10 ** (level / 20)) * weather(
                noise, len(song), rate=rate, rng=rng, insect=site.insect
            )
    return at_peak(microphone(song, site.colour, rate=rate), rng.uniform(0.25, 0.9))


def at_peak(sound: Sound, peak: float) -> Sound:
    """Make a sound as loud as its largest sample should be."""
    return sound * np.float32(peak / np.abs(sound).max())


def write_take(root: Path, species: int, recording: int, *, seed: int) -> float:
    """Write one recording; return its length in seconds."""
    rng = np.random.default_rng((seed, species, recording))
    take = plan(species, number=(species + 1) * 100 + recording, rng=rng)
    special = {1: species, 9: species + 4}.get(recording) if species in COMMON else None
    form = USUAL if special is None else UNUSUAL[special % len(UNUSUAL)]
    sound = perform(take, seconds=float(rng.uniform(4.0, 12.0)), rate=form.rate, seed=seed, rng=rng)
    write_wav(root / "wav" / take.wav, sound, form)
    write_text(root / "xml" / take.xml, xml_of(take))
    return len(sound) / form.rate


def write_wav(path: Path, sound: Sound, form: Format = USUAL) -> None:
    """Write a WAV whose bytes depend on nothing but the sound."""
    channels = np.stack([sound, np.float32(0.7) * sound][: form.channels], axis=-1)
    with whole_file(path) as stream:
        if form.subtype == "FLOAT":  # libsndfile writes the time of day into a float WAV (its PEAK chunk)
            wavfile.write(stream, form.rate, channels.astype(np.float32))
        else:
            soundfile.write(stream, channels, form.rate, format="WAV", subtype=form.subtype)


def xml_of(take: Take, *, name: str | None = None) -> str:
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
        "Comments": "Made up.",
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
    return (
        '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'
        + ElementTree.tostring(audio, encoding="unicode")
        + "\n"
    )
