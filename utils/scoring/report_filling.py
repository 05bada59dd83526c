"""The report of a test: its summary, tables and charts from the answers, and the recordings that are worth a look."""

import tomllib
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
import polars as pl
import tomli_w
from jaxtyping import Float

from config import Config, to_toml
from utils import console
from utils.fanout import fan_out
from utils.models.snapshots import Snapshot, load_net
from utils.recordings.recording import read_metadata
from utils.scoring.answers import Answers, listening_jobs
from utils.scoring.excerpts import make_excerpt
from utils.scoring.figures import Figures, Judged
from utils.scoring.predict import predictor, scores_of
from utils.scoring.report_figures import class_table, confusion_of, summary, threshold_chart
from utils.scoring.report_parts import Chart, Excerpt, Gallery, Report
from utils.scoring.striking import choose
from utils.spectra.decode import AudioError
from utils.spectra.extraction import first_clips

SHOWN_SETTINGS = ("clips", "spectrogram", "augmentation", "model", "training", "testing")  # the others are paths, which are nobody's business
GALLERIES = {
    "best": ("Best", "The highest LRAP, of different species first; of equals, those whose right answer leads most."),
    "worst": ("Worst", "The lowest LRAP; of equals, those whose right answer is furthest behind the first."),
    "surprising": ("Most surprising", "Confident and wrong: the first answer is wrong, and its score exceeds that of every right answer most."),
}


def report_of(answers: Answers, judged: Judged, ridge: Figures | None, snapshot: Snapshot, config: Config, *, curves: Sequence[Chart] = ()) -> Report:
    """Gather everything that the page shows; listens once more to the recordings that are worth a look.

    Parameters
    ----------
    ridge : figures of the yardstick, where there is one
    curves : charts of the training
    """
    figures, classes = judged.figures, class_table(answers, judged)
    unknown = f"{figures.without_truth} recordings are of species that the net does not know; they do not count." if figures.without_truth else ""
    return Report(
        title=config.run,
        facts={
            "recordings": f"{figures.scored:,} of {figures.recordings:,} scored",
            "clips": f"{int(answers.clips.sum()):,}",
            "classes": f"{len(answers.classes):,}",
            "net": f"{snapshot.config.model.name}, {snapshot.folder.name}",
            "background species": "count as right" if config.testing.background else "do not count",
        },
        figures=summary(answers, judged, classes, ridge),
        charts=(*curves, *threshold_chart(answers, judged)),
        classes=classes,
        confusion=confusion_of(answers, judged),
        galleries=galleries(answers, judged, snapshot, config),
        left_out=tuple((failure.name, failure.reason) for failure in answers.failures),
        settings=shown_settings(snapshot.config),
        warnings=(unknown,) if unknown else (),
    )


def shown_settings(config: Config) -> str:
    """Return the settings that a reader needs to judge the figures, as TOML."""
    tree = tomllib.loads(to_toml(config))
    tree["training"] = {key: value for key, value in tree["training"].items() if key not in ("pictures", "pretrained")}
    return tomli_w.dumps({name: tree[name] for name in SHOWN_SETTINGS})


def galleries(answers: Answers, judged: Judged, snapshot: Snapshot, config: Config) -> tuple[Gallery, ...]:
    """Return the excerpts of the best, the worst and the most surprising recordings; each is shown once."""
    chosen = choose(answers.scores, judged.truth, judged.lrap, answers.recordings["class"].to_list())
    numbers = sorted({*chosen.best, *chosen.worst, *chosen.surprising})
    excerpts = dict(_excerpts(numbers, answers, judged, snapshot, config))
    result, shown = [], set[int]()
    for kind, (title, note) in GALLERIES.items():
        own = [number for number in getattr(chosen, kind) if number in excerpts]
        above = tuple(excerpts[number].recording for number in own if number in shown)
        result.append(Gallery(title, note, tuple(excerpts[number] for number in own if number not in shown), above))
        shown.update(own)
    return tuple(result)


def _excerpts(numbers: list[int], answers: Answers, judged: Judged, snapshot: Snapshot, config: Config) -> Iterator[tuple[int, Excerpt]]:
    """Yield the excerpts of some recordings; one that cannot be read any more is passed over."""
    recordings = answers.recordings[numbers]
    by_name = dict(zip(recordings["recording"], numbers, strict=True))
    with console.progress("report", total=len(numbers), unit="recordings") as advance:
        for name, clips in clip_scores(snapshot, recordings, answers.classes, config):
            number = by_name[name]
            file = config.dataset.root / answers.recordings["file"][number]
            try:
                excerpt = make_excerpt(
                    file,
                    clips,
                    answers.scores[number],
                    judged.truth[number],
                    name=name,
                    classes=answers.classes,
                    lrap=float(judged.lrap[number]),
                    credit=credit_of(config.dataset.root, name),
                    settings=snapshot.config,
                )
            except AudioError as error:
                console.warn(f"{file}: {error}; it is not shown in the report")
            else:
                yield number, excerpt
            advance()


def clip_scores(
    snapshot: Snapshot, recordings: pl.DataFrame, classes: tuple[str, ...], config: Config
) -> Iterator[tuple[str, Float[np.ndarray, "clips classes"]]]:
    """Yield the scores of each recording's clips, of the classes asked for, as they were pooled in the test; recordings that cannot be used are passed over."""
    graph, net = load_net(snapshot)
    predict = predictor(graph, batch_size=config.testing.batch_size)
    columns = [snapshot.classes.index(label) for label in classes]
    jobs = listening_jobs(recordings, config.dataset.root, snapshot.config, cap=config.testing.max_clips)
    with closing(fan_out(first_clips, jobs, workers=config.workers, name=lambda job: job.name)) as outcomes:
        for job, outcome in outcomes:
            if not isinstance(outcome, console.Failure):
                yield job.name, scores_of(predict(net, outcome), snapshot.config.training.loss)[:, columns]


def credit_of(root: Path, name: str) -> str:
    """Return who recorded a recording, under which licence; '' where its metadata do not say."""
    try:
        about = read_metadata(root / "metadata" / f"{name}.json")
    except (OSError, ValueError):
        return ""
    return ", ".join(str(about[key]) for key in ("author", "licence") if about.get(key))
