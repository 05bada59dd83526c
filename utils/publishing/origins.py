"""The weights of others that a model started from or learned from, and their licences."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from config import FILE_HEADS, Config
from utils.console import UserError
from utils.portable_settings import HUB_PREFIX

NOT_FREE = re.compile(r"\b(?:nc|nd|sa)\b", re.IGNORECASE)  # terms of Creative Commons that bind what is derived


@dataclass(frozen=True)
class Origin:
    """Weights of others.

    Attributes
    ----------
    text : what was taken from them, for the card
    repository : their name on the hub; '' if they are not there
    licence : as the settings give it; '' if not known
    """

    text: str
    repository: str = ""
    licence: str = ""


def origins_of(config: Config) -> list[Origin]:
    """Return whose weights a model contains, needs, or learned from.

    Parameters
    ----------
    config : the settings of the snapshot, with paths
    """
    return [*_public_weights(config), *_bird_model(config), *_other_runs(config)]


def _public_weights(config: Config) -> Iterator[Origin]:
    weights = config.model.weights
    if weights and config.model.name != "External":
        repository = weights.removeprefix(HUB_PREFIX) if weights.startswith(HUB_PREFIX) else ""
        file = repository or weights.replace("\\", "/").rpartition("/")[2]
        yield Origin(
            f"It started from the public weights {file}, which it contains, changed, and whose terms it inherits.",
            repository,
        )


def _bird_model(config: Config) -> Iterator[Origin]:
    external = config.external
    if config.model.name != "External":
        return
    name = external.file.name if external.file else "its file"
    licence = external.licence or "licence not known"
    yield Origin(
        f"It is a head on the embeddings of {external.title or 'a bird model'} ({licence}), whose file {name} "
        f"(SHA-256 {external.sha256}) is needed and not part of this folder: get it from its authors, and set "
        "external.file to its path. Take it that its terms bind this head, too.",
        licence=external.licence,
    )


def _other_runs(config: Config) -> Iterator[Origin]:
    if config.training.pretrained:
        yield Origin(
            "It started from another model of the same toolkit (training.pretrained), whose terms it inherits."
        )
    if config.distillation.teachers:
        count = len(config.distillation.teachers)
        yield Origin(
            f"It learned from the predictions of {count} other model{'s' if count > 1 else ''} "
            "(distillation.teachers). Take their terms as those of this model."
        )


def check_may_be_published(config: Config) -> None:
    """Refuse a head that is a copy of a part of somebody's file.

    Raises
    ------
    UserError
        That says why.
    """
    if config.model.name == "External" and config.model.head in FILE_HEADS:
        external = config.external
        raise UserError(
            f"model.head = {config.model.head}: the head is the last layer of {external.title or 'the bird model'} "
            f"({external.licence or 'licence not known'}), which is not ours to publish; train with model.head = "
            "linear (docs/licences.md)"
        )


def licence_conflicts(licence: str, origins: list[Origin], recordings: list[tuple[str, int]]) -> list[str]:
    """Return why a licence may be too free for what a model was made of, as lines for the user.

    Parameters
    ----------
    licence : the hub's identifier; '' if none was chosen
    recordings : the licences of the recordings, and how many have each
    """
    if not licence:
        return []
    ours = {term.lower() for term in NOT_FREE.findall(licence)}
    bound = [(one.licence, "the bird model") for one in origins] + [
        (name, f"{count:,} recordings") for name, count in recordings
    ]
    return [
        f"--license {licence} has no {'-'.join(sorted(missing)).upper()}, but {what} are under {theirs}; "
        "docs/licences.md says what that means"
        for theirs, what in bound
        if (missing := {term.lower() for term in NOT_FREE.findall(theirs)} - ours)
    ]
