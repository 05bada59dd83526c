"""What people read of an evaluation: notes about labels that no class stands for, and metrics as rows of a table."""

from collections.abc import Mapping

from utils.scoring.evaluation.recordings import Evaluation
from utils.scoring.metrics.bootstrap import Interval
from utils.scoring.metrics.registry import METRICS, value_and_ends_text
from utils.scoring.metrics.units import Unit, unit_word

LISTED_SPECIES = 8  # unknown species in one message


def unknown_notes(evaluation: Evaluation, unit: Unit) -> list[str]:
    """Return a sentence about labels that the model does not know, if there are any."""
    without = evaluation.headline.without_truth
    if unit == "recording":
        return (
            [f"{without} recordings are of species that the model does not know; they do not count"] if without else []
        )
    species = evaluation.unknown_species
    if not species:
        return []
    names = ", ".join(sorted(species, key=lambda name: (-species[name], name))[:LISTED_SPECIES])
    more = f" and {len(species) - LISTED_SPECIES} more" if len(species) > LISTED_SPECIES else ""
    count = sum(species.values())
    labels = f"{count:,} labels in {unit_word(unit)} count" if count > 1 else f"one label in {unit_word(unit)} counts"
    return [
        f"the model does not know {len(species)} annotated species ({names}{more}); their {labels} as missed in the "
        "micro and row-wise metrics, and not in class means"
    ]


def detection_rows(metrics: Mapping[str, Interval], nothing_detected: bool) -> dict[str, str]:
    """Return metrics with their intervals as rows of a table; row-wise F1 says what it is if nothing is detected."""
    texts = {key: value_and_ends_text(one) for key, one in metrics.items()}
    if nothing_detected and "row_f1" in texts:
        texts["row_f1"] += ": nothing is detected, so it is the share of nocall"
    return {METRICS[key].title: text for key, text in texts.items()}
