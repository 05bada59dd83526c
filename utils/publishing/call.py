"""How card.py is called: a run or snapshot, settings, and flags."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from utils.scoring.prediction_call import NOT_OF_A_SNAPSHOT, settings_of

ExportFormat = Literal["onnx", "onnx-int8", "openvino"]


@dataclass(frozen=True)
class CardFlags:
    """Flags of a single call."""

    # folder to write, or to write again; none: beside the run, as <run>-published
    out: Path | None = None
    # networks beside the snapshot, for other programs; onnx-int8 needs the store of the training clips, openvino the
    # extra `openvino`; each is compared with the network itself
    formats: tuple[ExportFormat, ...] = ("onnx",)
    license: str = ""  # the hub's identifier of the model's licence, such as cc-by-4.0
    author: str = ""  # who made the model, as it is to be cited
    description: Path | None = None  # file with a few sentences, in Markdown: what the model is for, who it is for
    datasets: tuple[str, ...] = ()  # the hub's names of the data sets that it was trained on, OWNER/NAME
    # OWNER/NAME on the Hugging Face Hub to which the folder is uploaded (extra `hub`); '': do not
    upload: str = ""
    public: bool = False  # of --upload: everybody may see it; off: only its owner
    dry_run: bool = False  # of --upload: write the folder and list its files, but upload nothing
    overwrite: bool = False  # replace files in --out that somebody changed by hand


def split_card_call(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the words before the first flag, which name the run, and those for the settings: those of the run first.

    A word that ends in `.toml` is an experiment, whose settings are taken instead.
    """
    count = next((index for index, word in enumerate(arguments) if word.startswith("-")), len(arguments))
    leading, flags = list(arguments[:count]), list(arguments[count:])
    experiments = [word for word in leading if word.endswith(".toml") and not Path(word).is_dir()]
    places = [word for word in leading if word not in experiments]
    found = None if experiments else settings_of([Path(place) for place in places])
    return places, [*(experiments or ([str(found), *NOT_OF_A_SNAPSHOT] if found else [])), *flags]
