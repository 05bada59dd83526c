"""The model card: README.md of a published model, with the hub's YAML head. Needs the extra `hub`.

Source: https://huggingface.co/docs/hub/model-cards
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import polars as pl

from config import Config
from utils.models.published import TEST_FOLDER
from utils.models.snapshots import SNAPSHOT_VERSION, Snapshot
from utils.publishing.data_facts import DataFacts
from utils.publishing.exports import Exported
from utils.publishing.held_out_results import HeldOutResults
from utils.publishing.limits import limits_of
from utils.publishing.markdown import Markdown, as_code, escaped
from utils.publishing.origins import Origin
from utils.scoring.metrics.registry import METRICS, note_for, value_and_ends_text
from utils.scoring.metrics.units import unit_word
from utils.settings import settings_with_defaults

CARD_TEMPLATE = "card.md.j2"
TASK = "audio-classification"
TAGS = ("birds", "bioacoustics", "bird-sound-classification", "birdclef", "jax", "flax")
LIBRARY = "birdclef-jax"
UNKNOWN_LICENCE = "unknown"  # as the hub calls it
EXTREMES = 5  # classes in each of the tables of the weakest and the strongest
LISTED_RECORDISTS = 10
SETTINGS_TOLD = ("dataset.", "clips.", "spectrogram.", "waveform.", "augmentation.", "model.", "training.")


@dataclass(frozen=True)
class GivenTexts:
    """What only the author knows; '' if it was not given.

    Attributes
    ----------
    licence : the hub's identifier
    description : Markdown
    datasets : the hub's names
    repository : where the folder goes
    """

    licence: str = ""
    author: str = ""
    description: str = ""
    datasets: tuple[str, ...] = ()
    repository: str = ""

    @property
    def missing(self) -> dict[str, str]:
        """What is to be filled in, and the flag for it."""
        wanted = {
            "the licence of the model": (self.licence, "--license"),
            "who made it": (self.author, "--author"),
            "what it is for": (self.description, "--description"),
            "the data sets by their names on the hub": (self.datasets, "--datasets"),
        }
        return {what: flag for what, (value, flag) in wanted.items() if not value}


@dataclass(frozen=True)
class CardFacts:
    """All that the card tells.

    Attributes
    ----------
    snapshot : with the settings that are published
    left_out : names of the settings that are not
    parameters : of the network
    results : None if it was not tested
    curves : whether the plot of the training is there
    """

    snapshot: Snapshot
    left_out: tuple[str, ...]
    parameters: int
    data: DataFacts
    results: HeldOutResults | None
    origins: Sequence[Origin]
    exports: Sequence[Exported]
    given: GivenTexts
    curves: bool = False

    @property
    def config(self) -> Config:
        """The settings that are published."""
        return self.snapshot.config


def card_text(facts: CardFacts) -> str:
    """Return the model card, after the hub's library has read it back.

    Raises
    ------
    ValueError
        If the library finds other metrics in it.
    """
    from huggingface_hub import ModelCard

    head = _head(facts)
    text = f"---\n{head.to_yaml()}\n---\n\n{_body(facts)}"
    read = ModelCard(text).data
    if read.to_dict() != head.to_dict():
        raise ValueError("the head of the model card is not read as it was written")
    return text


def _head(facts: CardFacts) -> Any:
    """Return the metadata that the hub reads, as its library checks them."""
    from huggingface_hub import ModelCardData

    given, results = facts.given, _eval_results(facts)
    bases = [one.repository for one in facts.origins if one.repository]
    return ModelCardData(
        license=given.licence or UNKNOWN_LICENCE,
        library_name=LIBRARY,
        pipeline_tag=TASK,
        tags=[*TAGS, *sorted({one.format.partition("-")[0] for one in facts.exports})],
        datasets=list(given.datasets) or None,
        base_model=bases or None,
        model_name=facts.config.run if results else None,
        eval_results=results or None,
    )


def _eval_results(facts: CardFacts) -> list[Any]:
    from huggingface_hub import EvalResult

    if facts.results is None:
        return []
    tested_on = f"held-out {unit_word(facts.results.unit)} of {facts.config.run}"
    return [
        EvalResult(
            task_type=TASK,
            dataset_type=facts.given.datasets[0] if facts.given.datasets else "held-out-recordings",
            dataset_name=tested_on,
            dataset_split=facts.data.held_out_in or None,
            metric_type=key,
            metric_name=METRICS[key].title,
            metric_value=round(one.value, 4),
        )
        for key, one in facts.results.metrics.items()
        if one.value is not None
    ]


def _body(facts: CardFacts) -> str:
    environment = jinja2.Environment(  # noqa: S701 — it makes Markdown: `finalize` escapes
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        undefined=jinja2.StrictUndefined,
        finalize=escaped,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"code": as_code, "raw": Markdown, "thousands": lambda count: f"{count:,}"}
    return environment.get_template(CARD_TEMPLATE).render(
        facts=facts,
        given=facts.given,
        data=facts.data,
        config=facts.config,
        snapshot_version=SNAPSHOT_VERSION,
        changed=changed_settings_of(facts.config),
        limits=limits_of(facts.data, facts.results, facts.config),
        recordists=facts.data.counts("recordist"),
        listed_recordists=LISTED_RECORDISTS,
        where=f"hf:{facts.given.repository}" if facts.given.repository else "FOLDER",
        test_folder=TEST_FOLDER,
        **_test_values(facts.results),
    )


def changed_settings_of(config: Config) -> list[str]:
    """Return the settings of data, model and training that differ from the defaults, as TOML has them."""
    return [
        f"{name} = {value if not isinstance(value, str) else repr(value)}"
        for name, value, default in settings_with_defaults(config)
        if value != default and value is not None and name.startswith(SETTINGS_TOLD)
    ]


def _test_values(results: HeldOutResults | None) -> Mapping[str, Any]:
    if results is None:
        return {"metrics": [], "weakest": [], "strongest": [], "unit": "recording", "units": "recordings"}
    metrics = [
        (METRICS[key].title, value_and_ends_text(one), note_for(METRICS[key], results.unit))
        for key, one in results.metrics.items()
    ]
    table = results.per_class
    ranked = table.filter(pl.col("ap").is_not_null()).sort("ap", "class") if len(table) else table
    count = min(EXTREMES, (len(ranked) + 1) // 2)
    return {
        "metrics": metrics,
        "weakest": ranked.head(count).rows(named=True),
        "strongest": ranked.tail(min(count, len(ranked) - count)).reverse().rows(named=True),
        "unit": unit_word(results.unit, 1),
        "units": unit_word(results.unit),
    }


def parameter_count(snapshot: Snapshot) -> int:
    """Return the number of parameters of a network, without reading them."""
    import jax

    from utils.models.networks import abstract_network

    _, network = abstract_network(
        snapshot.config.model, classes=len(snapshot.classes), shape=snapshot.config.input_shape
    )
    return sum(leaf.size for leaf in jax.tree.leaves(network.params))
