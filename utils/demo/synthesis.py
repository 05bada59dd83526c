"""One recording: its metadata are drawn, its sound is synthesized, and a WAV and an XML file are written."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from xml.etree import ElementTree

import numpy as np
import soundfile
from scipy.io import wavfile

from utils.demo.acoustics import Site, apply_microphone, draw_site, make_noise, propagate
from utils.demo.singing import Individual, SoundArray, Vocalisation, draw_individual, draw_song_intervals, sing
from utils.demo.species import SPECIES
from utils.files import atomic_file, write_text

RATE = 44_100  # Hz; sample rate of all but a few recordings
COMMON = tuple(index for index, species in enumerate(SPECIES) if species.rare is None)
SITES = (  # locality, latitude, longitude, elevation in metres, recordist
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
class AudioFormat:
    """The format of an audio file."""

    rate: int = RATE
    channels: int = 1
    subtype: Literal["PCM_16", "PCM_24", "FLOAT"] = "PCM_16"


USUAL_FORMAT = AudioFormat()
UNUSUAL_FORMATS = (  # of the second and the tenth recording of each common species
    AudioFormat(rate=22_050),
    AudioFormat(rate=32_000),
    AudioFormat(rate=48_000),
    AudioFormat(rate=96_000),
    AudioFormat(channels=2),
    AudioFormat(rate=48_000, channels=2, subtype="PCM_24"),
    AudioFormat(subtype="PCM_24"),
    AudioFormat(subtype="FLOAT"),
    AudioFormat(rate=22_050, channels=2),
)


@dataclass(frozen=True)
class PlannedRecording:
    """A recording before its sound is synthesized."""

    number: int  # in file names, after _RN
    species: int  # index into SPECIES, like those of `background`; `site` is one into SITES
    background: tuple[int, ...]
    site: int
    content: Vocalisation
    distance: float  # 0 (near) to 1 (far)
    date: str
    time: str

    @property
    def wav(self) -> str:
        """Name of the sound file."""
        return f"LIFECLEF2018_DEMO_wav_RN{self.number}.wav"

    @property
    def xml(self) -> str:
        """Name of the metadata file."""
        return f"LIFECLEF2018_DEMO_xml_RN{self.number}.xml"


def plan_recording(species: int, *, number: int, rng: np.random.Generator) -> PlannedRecording:
    """Draw the species, place and time of a recording."""
    others = [index for index in COMMON if index != species]
    background_count = int(rng.choice([0, 1, 2], p=[0.66, 0.26, 0.08]))
    return PlannedRecording(
        number=number,
        species=species,
        background=tuple(int(other) for other in rng.choice(others, background_count, replace=False)),
        site=int(rng.integers(len(SITES))),
        content="call" if rng.random() < 0.15 else "song",
        distance=float(rng.beta(1.2, 1.7)),
        date=f"{rng.integers(2008, 2018)}-{rng.integers(1, 13):02d}-{rng.integers(1, 29):02d}",
        time=f"{rng.integers(5, 19):02d}:{rng.integers(60):02d}",
    )


def site_of(index: int, *, seed: int) -> Site:
    """Return the acoustics of a place, which all recordings made there have in common."""
    return draw_site(np.random.default_rng((seed, 1001, index)))


def individual_of(species: int, site: int, *, seed: int) -> Individual:
    """Return the individual of a species at a place."""
    return draw_individual(np.random.default_rng((seed, 1002, species, site)))


def synthesize(
    planned: PlannedRecording, *, seconds: float, rate: int, seed: int, rng: np.random.Generator
) -> SoundArray:
    """Synthesize a recording: the primary species, background species, and noise."""
    site = site_of(planned.site, seed=seed)
    intervals = draw_song_intervals(seconds, rng=rng)
    song = np.zeros(round(seconds * rate), np.float32)
    for species in (planned.species, *planned.background):
        bird = individual_of(species, planned.site, seed=seed)
        near = species == planned.species
        voices, _ = sing(
            SPECIES[species],
            bird,
            content=planned.content if near else "song",
            seconds=seconds,
            intervals=intervals,
            rate=rate,
            rng=rng,
        )
        distance = planned.distance if near else float(rng.uniform(0.6, 1.0))
        song += np.float32(1.0 if near else 10 ** (rng.uniform(-20.0, -12.0) / 20)) * propagate(
            voices, distance=distance, echo=site.echo, rate=rate, rng=rng
        )
    loudness = np.sqrt(np.mean(song[np.abs(song) > 0.02] ** 2))
    signal_to_noise = 33.0 - 20.0 * planned.distance + rng.normal(0.0, 3.0)  # dB, among the birds' frequencies
    hiss = make_noise("hiss", len(song), rate=rate, rng=rng, slope=site.slope)
    song += np.float32(loudness * 10 ** (-signal_to_noise / 20)) * hiss
    for noise in site.noises:
        level = rng.uniform(-10.0, 6.0) if noise in ("wind", "hum") else rng.uniform(-30.0, -10.0)
        if rng.random() < 0.7:
            song += np.float32(loudness * 10 ** (level / 20)) * make_noise(
                noise, len(song), rate=rate, rng=rng, insect=site.insect
            )
    return scale_to_peak(apply_microphone(song, site.colour, rate=rate), rng.uniform(0.25, 0.9))


def scale_to_peak(sound: SoundArray, peak: float) -> SoundArray:
    """Scale a sound so that its largest absolute sample is `peak`."""
    return sound * np.float32(peak / np.abs(sound).max())


def write_recording(root: Path, species: int, recording: int, *, seed: int) -> float:
    """Write one recording and its metadata; return its length in seconds."""
    rng = np.random.default_rng((seed, species, recording))
    planned = plan_recording(species, number=(species + 1) * 100 + recording, rng=rng)
    special = {1: species, 9: species + 4}.get(recording) if species in COMMON else None
    audio_format = USUAL_FORMAT if special is None else UNUSUAL_FORMATS[special % len(UNUSUAL_FORMATS)]
    sound = synthesize(planned, seconds=float(rng.uniform(4.0, 12.0)), rate=audio_format.rate, seed=seed, rng=rng)
    write_wav(root / "wav" / planned.wav, sound, audio_format)
    write_text(root / "xml" / planned.xml, recording_xml(planned))
    return len(sound) / audio_format.rate


def write_wav(path: Path, sound: SoundArray, audio_format: AudioFormat = USUAL_FORMAT) -> None:
    """Write a WAV file whose bytes depend on the sound only."""
    channels = np.stack([sound, np.float32(0.7) * sound][: audio_format.channels], axis=-1)
    with atomic_file(path) as stream:
        if audio_format.subtype == "FLOAT":  # libsndfile writes the time of day into a float WAV (its PEAK chunk)
            wavfile.write(stream, audio_format.rate, channels.astype(np.float32))
        else:
            soundfile.write(stream, channels, audio_format.rate, format="WAV", subtype=audio_format.subtype)


def recording_xml(planned: PlannedRecording, *, name: str | None = None) -> str:
    """Return a recording's metadata in the XML format of the archive; `name` overrides the name of its sound file."""
    species = SPECIES[planned.species]
    locality, north, east, metres, author = SITES[planned.site]
    fields = {
        "MediaId": str(planned.number),
        "FileName": name or planned.wav,
        "ClassId": species.class_id,
        "Author": author,
        "Date": planned.date,
        "Time": planned.time,
        "Locality": locality,
        "Latitude": f"{north:.3f}",
        "Longitude": f"{east:.3f}",
        "Elevation": str(metres),
        "Quality": str(5 - min(int(planned.distance * 5), 4)),
        "Content": planned.content,
        "Comments": "Made up.",
        "Order": "Passeriformes",
        "Family": species.family,
        "Genus": species.genus,
        "Species": species.scientific_name.split()[1],
        "Sub-species": "",
        "VernacularNames": species.common_name,
        "BackgroundSpecies": ",".join(SPECIES[other].scientific_name for other in planned.background),
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
