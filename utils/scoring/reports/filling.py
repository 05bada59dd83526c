"""The report of a test: its summary, tables and charts from the answers, and the recordings that are worth a look."""

import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import tomli_w

from config import Config, to_toml
from utils import console
from utils.recordings.recording import read_metadata
from utils.scoring.evaluation.measures import Measures
from utils.scoring.evaluation.recordings import Figures, Judged
from utils.scoring.inference.ensembles import Model
from utils.scoring.inference.recordings import Answers, answer
from utils.scoring.reports.distillation_table import HEADINGS, read_table_of, texts
from utils.scoring.reports.excerpts import make_excerpt
from utils.scoring.reports.learning_charts import learning_charts
from utils.scoring.reports.notable_recordings import choose
from utils.scoring.reports.parts import Chart, Excerpt, Gallery, Report
from utils.scoring.reports.report_figures import class_table, confusion_of, summary, threshold_chart
from utils.spectra.decode import AudioError

# the others are paths, which are nobody's business
SHOWN_SETTINGS = ("clips", "spectrogram", "augmentation", "model", "training", "testing")
GALLERIES = {
    "best": ("Best", "The highest LRAP, of different species first; of equals, those whose right answer leads most."),
    "worst": ("Worst", "The lowest LRAP; of equals, those whose right answer is furthest behind the first."),
    "surprising": (
        "Most surprising",
        "Confident and wrong: the first answer is wrong, and its score exceeds that of every right answer most.",
    ),
}


def report_of(
    answers: Answers, judged: Judged, measures: Measures, ridge: Figures | None, models: Sequence[Model], config: Config
) -> Report:
    """Gather everything that the page shows; listens once more to the recordings that are worth a look.

    Parameters
    ----------
    ridge : figures of the yardstick, where there is one
    models : what was tested; of several there are no learning curves, and the first one's settings are shown
    """
    figures = judged.figures
    unknown = (
        f"{figures.without_truth} recordings are of species that the net does not know; they do not count."
        if figures.without_truth
        else ""
    )
    return Report(
        title=config.run,
        facts={
            "recordings": f"{figures.scored:,} of {figures.recordings:,} scored",
            "clips": f"{int(answers.clips.sum()):,}",
            "classes": f"{len(answers.classes):,}",
            "net" if len(models) == 1 else "nets": "; ".join(
                f"{model.snapshot.config.model.name}, {model.snapshot.folder.name}" for model in models
            ),
            "background species": "count as right" if config.testing.background else "do not count",
        },
        figures=summary(measures, ridge),
        charts=(*curves_of(models), *threshold_chart(answers, judged)),
        classes=class_table(measures),
        confusion=confusion_of(answers, judged),
        galleries=galleries(answers, judged, models, config),
        left_out=tuple((failure.name, failure.reason) for failure in answers.failures),
        settings=shown_settings(models[0].snapshot.config),
        warnings=(unknown,) if unknown else (),
        nets=nets_of(config),
    )


def curves_of(models: Sequence[Model]) -> list[Chart]:
    """Return how the net that was tested learned, whichever run it is of; nothing of several."""
    return learning_charts(models[0].snapshot.folder.resolve().parent / "log.csv") if len(models) == 1 else []


def nets_of(config: Config) -> tuple[tuple[str, ...], ...]:
    """Return the table of a distillation, headings first; nothing where the run is of none."""
    rows = read_table_of(config)
    return (HEADINGS, *(tuple(texts(row)) for row in rows)) if rows else ()


def shown_settings(config: Config) -> str:
    """Return the settings that a reader needs to judge the figures, as TOML."""
    tree = tomllib.loads(to_toml(config))
    tree["training"] = {key: value for key, value in tree["training"].items() if key not in ("pictures", "pretrained")}
    return tomli_w.dumps({name: tree[name] for name in SHOWN_SETTINGS})


def galleries(answers: Answers, judged: Judged, models: Sequence[Model], config: Config) -> tuple[Gallery, ...]:
    """Return the excerpts of the best, the worst and the most surprising recordings; each is shown once."""
    chosen = choose(answers.scores, judged.truth, judged.lrap, answers.recordings["class"].to_list())
    numbers = sorted({*chosen.best, *chosen.worst, *chosen.surprising})
    excerpts = dict(_excerpts(numbers, answers, judged, models, config))
    result, shown = [], set[int]()
    for kind, (title, note) in GALLERIES.items():
        own = [number for number in getattr(chosen, kind) if number in excerpts]
        above = tuple(excerpts[number].recording for number in own if number in shown)
        result.append(Gallery(title, note, tuple(excerpts[number] for number in own if number not in shown), above))
        shown.update(own)
    return tuple(result)


def _excerpts(
    numbers: list[int], answers: Answers, judged: Judged, models: Sequence[Model], config: Config
) -> Iterator[tuple[int, Excerpt]]:
    """Yield the excerpts of some recordings, with what the first model, and those that hear the same clips, say of these; unreadable ones are passed over."""
    names = answers.recordings["recording"]
    heard = answer(
        models, answers.recordings[numbers], config, clips_of=names[numbers].to_list(), what="report"
    ).clip_scores
    for number in numbers:
        if names[number] not in heard:
            continue
        file = config.dataset.root / answers.recordings["file"][number]
        try:
            excerpt = make_excerpt(
                file,
                np.nan_to_num(heard[names[number]][0].scores),
                answers.scores[number],
                judged.truth[number],
                name=names[number],
                classes=answers.classes,
                lrap=float(judged.lrap[number]),
                credit=credit_of(config.dataset.root, names[number]),
                settings=models[0].snapshot.config,
            )
        except AudioError as error:
            console.warn(f"{file}: {error}; it is not shown in the report")
        else:
            yield number, excerpt


def credit_of(root: Path, name: str) -> str:
    """Return who recorded a recording, under which licence; '' where its metadata do not say."""
    try:
        about = read_metadata(root / "metadata" / f"{name}.json")
    except (OSError, ValueError):
        return ""
    return ", ".join(str(about[key]) for key in ("author", "licence") if about.get(key))
