"""Classes named by codes or common names: which species get one, and that every name of a species still finds it."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

import sort_data
from config import Config, Dataset, Submission
from tests.conftest import RATE, chirp, small_config
from tests.scoring.layouts import layout_of
from utils.console import UserError
from utils.recordings.class_names import ClassNames, name_classes, read_class_names
from utils.recordings.labels import Taxonomy
from utils.recordings.recording import Event, Recording, Taxon, from_metadata, to_metadata
from utils.recordings.selection import read_whitelist
from utils.recordings.splits import read_split
from utils.scoring.evaluation.common_rows import on_common_rows
from utils.scoring.evaluation.saved_scores import SavedScores
from utils.scoring.evaluation.soundscape_truth import read_truth
from utils.scoring.inference.prior import prior_of
from utils.scoring.inference.prior_metadata import read_all_metadata
from utils.scoring.submissions.formats.class_ids import class_ids
from utils.scoring.submissions.formats.kaggle2021 import IDS_2021

NAMES = [
    Taxon("Turdus merula", "eurbla", "Common Blackbird"),
    Taxon("Parus major", "gretit1", "Great Tit"),
    Taxon("Sitta europaea"),
]
TABLE = "scientific_name,code,common_name\n" + "".join(f"{t.species},{t.code},{t.common_name}\n" for t in NAMES)


def test_species_get_their_code_or_keep_their_name() -> None:
    found = name_classes(NAMES, Taxonomy(NAMES), by="code")
    assert found.labels == {"Turdus merula": "eurbla", "Parus major": "gretit1"}
    assert (found.shared, found.unusable) == (frozenset(), frozenset())
    assert name_classes(NAMES, Taxonomy(NAMES), by="common_name").labels["Parus major"] == "Great Tit"


@pytest.mark.parametrize(
    ("names", "shared", "unusable"),
    [
        (["Bird", "bird"], {"A a", "B b"}, set()),  # one folder on some systems
        (["Caf\u00e9", "Cafe\u0301"], {"A a", "B b"}, set()),  # the same accent, composed or not
        (["Bird\u200b", "Bird"], {"A a", "B b"}, set()),  # with a space of no width
        (["Bird. ", "Bird"], {"A a", "B b"}, set()),  # one folder on Windows
        (["B b.", "Bee"], {"A a"}, set()),
        (["\u200b", "Bee"], set(), set()),  # nothing to see
        (["B b", "Bee"], {"A a"}, set()),  # the name of another species
        (["A/a", "Bee"], set(), {"A a"}),
        (["nocall", "Bee"], set(), {"A a"}),  # means that there is no bird
        ([".a", "Bee"], set(), {"A a"}),
        (["Aa aa_Bird", "Bee"], set(), {"A a"}),  # BirdNET's form of two names
    ],
)
def test_names_that_cannot_be_used(names: list[str], shared: set[str], unusable: set[str]) -> None:
    taxa = [Taxon(species, "", name) for species, name in zip(("A a", "B b"), names, strict=True)]
    found = name_classes(taxa, Taxonomy(taxa), by="common_name")
    assert (found.shared, found.unusable) == (shared, unusable)
    assert found.labels == {"B b": names[1]} if "B b" not in shared else not found.labels


@pytest.mark.parametrize(
    ("given", "label"),
    [
        ("Bird.", "Bird"),
        ("Cafe\u0301\u00ad", "Caf\u00e9"),
        ("\ufeffBird\u200b  of. ", "Bird of"),
        ("A. bird", "A. bird"),
    ],
)
def test_class_names_have_one_spelling(given: str, label: str) -> None:
    taxa = [Taxon("A a", "", given)]
    names = name_classes(taxa, Taxonomy(taxa), by="common_name")
    assert names.labels == {"A a": label}
    taxonomy = Taxonomy(taxa, labels=names.labels)
    assert taxonomy.label(given) == taxonomy.label(label) == label


def test_all_names_lead_to_the_class_also_those_of_renamed_species() -> None:
    aliases = {"Turdus ater": "Turdus merula", "Parus major": "Parus minor"}
    labels = name_classes(NAMES, Taxonomy(NAMES, aliases), by="code").labels
    taxonomy = Taxonomy(NAMES, aliases, labels)
    for name in ("Turdus merula", "turdus  ater", "EURBLA", "common blackbird", taxonomy.label("eurbla")):
        assert (taxonomy.label(name), taxonomy.species(name)) == ("eurbla", "Turdus merula")
    assert taxonomy.label("Parus major") == taxonomy.label("Parus minor") == "gretit1"
    assert taxonomy.label("Sitta europaea") == "Sitta europaea"
    assert taxonomy.label("who knows") == "who knows"
    without_table = Taxonomy([], None, labels)
    assert (without_table.species("eurbla"), without_table.label("Turdus merula")) == ("Turdus merula", "eurbla")


def test_recordings_keep_their_scientific_names() -> None:
    taxonomy = Taxonomy(NAMES, None, name_classes(NAMES, Taxonomy(NAMES), by="code").labels)
    events = (Event(0.0, 1.0, "Great Tit"), Event(1.0, 2.0, "nocall"))
    read = Recording("Turdus merula/x", Path("x.wav"), "Turdus merula", ("Great Tit", "Sitta europaea"), events)
    found = taxonomy.translate(read)
    assert (found.name, found.species, found.scientific_name) == ("eurbla/x", "eurbla", "Turdus merula")
    assert (found.class_id, found.common_name) == ("eurbla", "Common Blackbird")
    assert found.background == ("gretit1", "Sitta europaea")
    assert [event.species for event in found.events] == ["gretit1", "Noise"]
    metadata = to_metadata(found)
    assert (metadata["sci-name"], metadata["class"]) == ("Turdus merula", "eurbla")
    assert from_metadata(metadata, name=found.name, file=found.file) == found
    assert "class" not in to_metadata(Taxonomy(NAMES).translate(read))
    # sorted again by scientific names
    assert Taxonomy(NAMES).translate(found).species == "Turdus merula"
    assert Taxonomy().translate(found).species == "Turdus merula"


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """Return settings for an archive of two species with codes, one without, and soundscapes."""
    archive = tmp_path / "archive"
    for seed, folder in enumerate(("Turdus merula", "Parus major", "Sitta europaea")):
        for index in range(2):
            (archive / folder).mkdir(parents=True, exist_ok=True)
            sound = chirp(1000.0 * (seed + 1), seconds=1.5, seed=10 * seed + index)
            soundfile.write(archive / folder / f"{folder[0]}{index}.wav", sound, RATE)
    (tmp_path / "names.csv").write_text(TABLE)
    settings = Dataset(
        root=tmp_path / "sorted", archive=archive, taxonomy=tmp_path / "names.csv", label="code", val_share=0.5
    )
    return replace(small_config(tmp_path / "sorted"), dataset=settings)


def classes_of(config: Config) -> list[str]:
    return sorted(set(read_split(config.dataset)["class"]))


def test_every_later_stage_finds_the_classes(config: Config, capsys: pytest.CaptureFixture[str]) -> None:
    root = config.dataset.root
    sort_data.main(config)
    warning = " ".join(capsys.readouterr().err.split())
    assert (
        "dataset.label = code: 1 of 3 species keep their names: they have no code; dataset.taxonomy may name a table "
        "that has (Sitta europaea)"
    ) in warning
    assert classes_of(config) == ["Sitta europaea", "eurbla", "gretit1"]
    assert sorted(path.name for path in (root / "train").iterdir()) == ["Sitta europaea", "eurbla", "gretit1"]
    later = replace(config.dataset, taxonomy=None, label="species")  # the table in metadata/ is enough
    taxonomy = read_all_metadata(later, set()).taxonomy
    (root / "list.txt").write_text("Turdus merula\nGreat Tit\n")
    assert read_whitelist(root / "list.txt", taxonomy, frequency=0.0) == {"eurbla", "gretit1"}
    layout = layout_of(root, ["a.wav"], classes=("Sitta europaea", "eurbla", "gretit1"), format="kaggle2021")
    assert class_ids(layout, IDS_2021) == ("Sitta europaea", "eurbla", "gretit1")
    (root / "ids.csv").write_text("scientific_name,code\nTurdus merula,id1\nParus major,id2\nSitta europaea,id3\n")
    with_table = replace(layout, settings=Submission(format="kaggle2021", class_ids=root / "ids.csv"))
    assert class_ids(with_table, IDS_2021) == ("id3", "id1", "id2")
    (root / "seen.csv").write_text("species,frequency\nTurdus merula,10\nGreat Tit,0\nSitta europaea,5\n")
    prior = prior_of(
        read_split(config.dataset),
        layout.classes,
        replace(config, dataset=later, testing=replace(config.testing, prior=root / "seen.csv")),
    )
    assert prior
    assert prior("eurbla/T0").tolist() == [1.5, 1.5, 0.5]


def test_soundscapes_are_compared_with_the_classes(config: Config, tmp_path: Path) -> None:
    sort_data.main(config)
    folder = tmp_path / "soundscapes"
    folder.mkdir()
    soundfile.write(folder / "s.wav", chirp(1000.0, seconds=3.0, seed=9), RATE)
    (folder / "s_labels.txt").write_text("0.5\t1.0\tTurdus merula\n1.0\t1.5\tSitta europaea\n")
    truth = read_truth(folder, replace(config.dataset, taxonomy=None))
    assert truth
    assert [event.species for event in truth.events["s.wav"]] == ["eurbla", "Sitta europaea"]


@pytest.mark.parametrize("mode", ["copy", "move"])
def test_another_label_moves_the_recordings(config: Config, mode: str) -> None:
    dataset = replace(config.dataset, sort_mode=mode)  # type: ignore[arg-type]
    for label, classes in (
        ("species", ["Parus major", "Sitta europaea", "Turdus merula"]),
        ("common_name", ["Common Blackbird", "Great Tit", "Sitta europaea"]),
        ("species", ["Parus major", "Sitta europaea", "Turdus merula"]),
    ):
        changed = replace(config, dataset=replace(dataset, label=label))  # type: ignore[arg-type]
        sort_data.main(changed)
        table = read_split(changed.dataset)
        assert sorted(set(table["class"])) == classes
        assert len(table) == 6
        assert all((dataset.root / file).is_file() for file in table["file"])
        assert {Path(file).parts[1] for file in table["file"]} == set(classes)
        for name, label_of in table.select("recording", "class").iter_rows():
            metadata = json.loads((dataset.root / "metadata" / f"{name}.json").read_text())
            assert metadata.get("class", metadata["sci-name"]) == label_of
        assert (dataset.root / "metadata" / "classes.csv").is_file() == (label != "species")


def test_a_table_of_somebody_else_stays_and_a_damaged_one_is_named(config: Config) -> None:
    path = config.dataset.root / "metadata" / "classes.csv"
    path.parent.mkdir(parents=True)
    path.write_text("mine\n")
    with pytest.raises(UserError, match=r"classes\.csv: has no column class; there are mine"):
        read_class_names(config.dataset.root)
    sort_data.main(replace(config, dataset=replace(config.dataset, label="species")))
    assert path.read_text() == "mine\n"
    path.write_text('class,scientific_name,code,common_name\n"a,b\n')
    with pytest.raises(UserError, match=r"classes\.csv line 2: broken quoting"):
        read_class_names(config.dataset.root)
    path.unlink()
    assert read_class_names(config.dataset.root) == ClassNames()


def test_runs_of_data_sets_with_other_labels_are_not_compared() -> None:
    def saved(*classes: str) -> SavedScores:
        scores = np.full((1, len(classes)), 0.5, np.float32)
        return SavedScores("recording", ["r"], ["r"], [classes[0]], list(classes), scores, scores > 0, 1)

    with pytest.raises(
        UserError, match=r"no class in common \(one: Parus major; other: eurbla\); if their data sets were"
    ):
        on_common_rows([saved("Turdus merula", "Parus major"), saved("eurbla", "gretit1")], ["one", "other"])
    on_common_rows([saved("eurbla", "Sitta europaea"), saved("Turdus merula", "Sitta europaea")], ["one", "other"])
