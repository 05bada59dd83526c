"""Scientific and common names of the classes, and names of models, as tables of other programs want them."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from utils.recordings.class_names import read_class_names
from utils.recordings.labels import Taxonomy, read_taxonomy
from utils.recordings.recording import Taxon, split_common_name
from utils.scoring.submissions.formats.class_ids import ids_of_metadata
from utils.scoring.submissions.formats.layout import SpeciesName, SubmissionLayout


def species_names(layout: SubmissionLayout) -> tuple[SpeciesName, ...]:
    """Return the names of each class.

    Scientific names are those of classes in metadata/classes.csv, else the classes themselves. Common names come from
    there, from `dataset.taxonomy` and from the recordings in metadata/, the first that tells one. They are read once:
    those in the layout are taken as they are.

    Raises
    ------
    UserError
        If a table cannot be read.
    """
    if layout.names is not None:
        return layout.names
    taxonomy = Taxonomy(_named_taxa(layout), labels=(labels := read_class_names(layout.root).labels))
    by_label = {label: species for species, label in labels.items()}
    return tuple(_name_of(by_label.get(label, label), taxonomy) for label in layout.classes)


def _name_of(label: str, taxonomy: Taxonomy) -> SpeciesName:
    scientific, common = split_common_name(label)
    return SpeciesName(scientific, common or taxonomy.common_name(scientific))


def _named_taxa(layout: SubmissionLayout) -> Iterator[Taxon]:
    yield from (taxon for taxon in read_class_names(layout.root).taxa if taxon.common_name)
    yield from (taxon for taxon in (read_taxonomy(layout.taxonomy) if layout.taxonomy else ()) if taxon.common_name)
    for species, name in ids_of_metadata(layout.root / "metadata", layout.classes, key="species").items():
        yield Taxon(species, common_name=name)


def model_names(folders: Iterable[Path]) -> str:
    """Return the names of models, such as mine/epoch_012, by the folders of their snapshots."""
    return " | ".join("/".join(folder.parts[-2:]) for folder in folders)
