"""Which audio file a table means if many have the same name, and that thousands of them are fast."""

import itertools
import time
from pathlib import Path, PurePath

import pytest

from utils.recordings.sound_finder import SoundFinder

MANY = 5000


@pytest.mark.parametrize(
    ("text", "table", "found"),
    [
        ("audio.wav", "/a/r1/t.csv", "/a/r1/audio.wav"),
        ("r2/audio.wav", "/a/r1/t.csv", "/a/r2/audio.wav"),
        ("D:\\x\\R2\\Audio.WAV", "/a/r1/t.csv", "/a/r2/audio.wav"),
        ("audio", "/a/r1/deep/er/t.csv", "/a/r1/audio.wav"),
        ("old/audio.wav", "/a/r2/t.csv", "/a/r2/audio.wav"),
        ("s/r2/audio.wav", "/a/t.csv", "/a/r2/audio.wav"),
        ("audio.wav", "/a/t.csv", None),
        ("old/audio.wav", "/a/t.csv", None),
        ("other.wav", "/a/t.csv", None),
    ],
)
def test_which_of_several_is_meant(text: str, table: str, found: str | None) -> None:
    sounds = SoundFinder(map(Path, ("/a/r1/audio.wav", "/a/r2/audio.wav", "/a/r3/s/audio.wav")))
    if found:
        assert sounds.find(text, Path(table)) == Path(found)
    else:
        with pytest.raises(ValueError, match=r"but the number of such files is 2|was not found"):
            sounds.find(text, Path(table))


def test_the_nearest_file_by_the_definition() -> None:
    """The shortest way through the folders: up to the last common one, and down."""
    folders = ["/a", "/a/b", "/a/b/c", "/a/d", "/a/d/e/f", "/g"]

    def way(one: str, other: str) -> int:
        pairs = list(zip(PurePath(one).parts, PurePath(other).parts, strict=False))
        common = len(list(itertools.takewhile(lambda pair: pair[0] == pair[1], pairs)))
        return len(PurePath(one).parts) + len(PurePath(other).parts) - 2 * common

    for chosen in itertools.combinations(folders, 3):
        sounds = SoundFinder(Path(folder) / "x.wav" for folder in chosen)
        for table in (*folders, "/a/b/x", "/"):
            ways = [way(folder, table) for folder in chosen]
            nearest = [folder for folder, length in zip(chosen, ways, strict=True) if length == min(ways)]
            if len(nearest) == 1:
                assert (
                    sounds.find("x.wav", Path(table) / "t.csv")
                    == sounds.find_for_table(Path(table) / "x.txt")
                    == Path(nearest[0]) / "x.wav"
                )
            else:
                with pytest.raises(ValueError, match=f"but the number of such files is {len(nearest)}"):
                    sounds.find("x.wav", Path(table) / "t.csv")


@pytest.mark.parametrize(
    ("folder", "said"),
    [("rec_{}", "rec_{}/audio.wav"), ("rec_{}/Data", r"C:\x\rec_{}\Data\audio.wav"), ("rec_{}", "old_{}/audio.wav")],
)
def test_thousands_with_the_same_name_are_fast(folder: str, said: str) -> None:
    begun = time.process_time()
    sounds = SoundFinder(Path("/a") / folder.format(number) / "audio.wav" for number in range(MANY))
    for number in range(MANY):
        assert (
            sounds.find_for_table(Path("/a") / folder.format(number) / "annotations" / "audio.txt")
            == Path("/a") / folder.format(number) / "audio.wav"
        )
        try:
            assert (
                sounds.find(said.format(number), Path("/a/t.csv")) == Path("/a") / folder.format(number) / "audio.wav"
            )
        except ValueError:
            assert said.startswith("old")
    assert time.process_time() - begun < 10  # minutes, where each is compared with all
