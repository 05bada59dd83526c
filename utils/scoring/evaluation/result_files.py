"""The files of a test: all scores, one row a recording, the figures, and a picture of them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from matplotlib.axes import Axes

from utils.files import write_json
from utils.plotting import new_figure, write_figure
from utils.recordings.recording import LONG
from utils.scoring.evaluation.measures import Measures
from utils.scoring.evaluation.plots import draw_reliability, draw_thresholds
from utils.scoring.evaluation.recordings import Judged, taken_for
from utils.scoring.inference.recordings import Answers
from utils.scoring.metrics.calibration import write_calibration
from utils.scoring.metrics.thresholds import write_thresholds
from utils.tables import write_csv, write_table

OPTIONAL = ("thresholds.png", "calibration.json", "reliability.png")  # files that not every test has
TOP = 5  # answers per recording in predictions.csv
SHOWN = 60  # classes in the picture at most: the worst ones


def write_report(
    folder: Path, answers: Answers, judged: Judged, measures: Measures, metrics: Mapping[str, Any]
) -> None:
    """Write the tables and pictures of a test into a folder and, last, metrics.json; of an earlier test nothing stays that this one does not have."""
    write_table(folder / "scores.parquet", scores_table(answers, judged))
    write_csv(folder / "predictions.csv", predictions_table(answers, judged))
    write_csv(folder / "per_class.csv", measures.per_class)
    write_thresholds(folder / "thresholds.json", replace(measures.thresholds, fingerprint=answers.fingerprint))
    title = folder.parent.name
    for name in OPTIONAL:
        (folder / name).unlink(missing_ok=True)
    if len(measures.curve.thresholds):
        draw_thresholds(folder / "thresholds.png", measures.curve, measures.thresholds, title=title)
    if measures.calibration and measures.reliability:
        write_calibration(folder / "calibration.json", replace(measures.calibration, fingerprint=answers.fingerprint))
        draw_reliability(folder / "reliability.png", measures.reliability, title=title)
    draw_report(folder / "report.png", answers, judged, title=title)
    write_json(folder / "metrics.json", dict(metrics))


def scores_table(answers: Answers, judged: Judged) -> pl.DataFrame:
    """Return one row for each scored recording and class: the score, and whether the class is right."""
    scored = [number for number, reason in enumerate(answers.reasons) if reason is None]
    names, classes = answers.recordings["recording"][scored], pl.Series(answers.classes, dtype=pl.String)
    return pl.DataFrame(
        {
            "recording": names.gather(np.repeat(np.arange(len(scored)), len(classes))),
            "class": classes.gather(np.tile(np.arange(len(classes)), len(scored))),
            "score": answers.scores[scored].ravel().astype(np.float32),
            "right": judged.truth[scored].ravel(),
        }
    )


def predictions_table(answers: Answers, judged: Judged) -> pl.DataFrame:
    """Return one row a recording: what is right, the five first answers with their scores, and why there is none where there is none."""
    rows: list[dict[str, Any]] = []
    for number, (name, own, events, background) in enumerate(
        answers.recordings.select("recording", "class", "events", "background").iter_rows()
    ):
        heard = own or ", ".join(dict.fromkeys(event["species"] for event in events))
        row = {
            "recording": name,
            "class": heard,
            "background": ", ".join(background),
            "clips": int(answers.clips[number]),
        }
        scored = answers.reasons[number] is None
        row["lrap"] = None if np.isnan(judged.lrap[number]) else float(judged.lrap[number])
        best: list[int] = np.argsort(-answers.scores[number], kind="stable")[:TOP].tolist() if scored else []
        for place in range(TOP):
            there = place < len(best)
            row[f"answer_{place + 1}"] = answers.classes[best[place]] if there else None
            row[f"score_{place + 1}"] = float(answers.scores[number, best[place]]) if there else None
        rows.append(
            {**row, "reason": answers.reasons[number], "warning": "; ".join(answers.warnings.get(name, ())) or None}
        )
    places = range(1, TOP + 1)
    answered = {
        f"{what}_{place}": kind for place in places for what, kind in (("answer", pl.String), ("score", pl.Float64))
    }
    schema = {
        "recording": pl.String,
        "class": pl.String,
        "background": pl.String,
        "clips": pl.Int64,
        "lrap": pl.Float64,
        **answered,
    }
    schema |= {"reason": pl.String, "warning": pl.String}
    return pl.DataFrame(rows, schema=schema)


def draw_report(path: Path, answers: Answers, judged: Judged, *, title: str) -> None:
    """Draw the mean LRAP of each class, and which class was answered first for which."""
    own = answers.recordings["class"].replace("", LONG).to_numpy()
    scored = ~np.isnan(judged.lrap)
    means = {
        label: float(judged.lrap[scored & (own == label)].mean())
        for label in (*answers.classes, LONG)
        if (scored & (own == label)).any()
    }
    labels = sorted(means, key=lambda label: means[label])[:SHOWN]
    height = 0.22 * len(labels) + 3.0
    figure = new_figure(height + 6, height)
    bars, confusion = figure.subplots(1, 2, width_ratios=(1, 1.4))
    _draw_bars(bars, means, labels)
    _draw_confusion(confusion, taken_for(answers, judged), labels)
    mlrap = "none" if judged.figures.mlrap is None else f"{judged.figures.mlrap:.3f}"
    worst = f", the {SHOWN} hardest of {len(means)} classes" if len(means) > SHOWN else ""
    figure.suptitle(
        f"{title}: MLRAP {mlrap} over {judged.figures.ranked} of {judged.figures.recordings} recordings{worst}"
    )
    write_figure(path, figure)


def _draw_bars(axes: Axes, means: Mapping[str, float], labels: list[str]) -> None:
    values = [means[label] for label in labels]
    axes.barh(range(len(labels)), values, color="tab:green")
    axes.set_yticks(range(len(labels)), labels, fontsize="small")
    axes.set(title="mean LRAP by class", xlim=(0, 1), ylim=(len(labels) - 0.5, -0.5))
    axes.grid(axis="x", alpha=0.3)


def _draw_confusion(axes: Axes, pairs: Sequence[tuple[str, str]], labels: list[str]) -> None:
    """Draw, for each class in a row, the share of its recordings whose first answer is each class in a column."""
    number = {label: index for index, label in enumerate(labels)}
    counts = np.zeros((len(labels), len(labels) + 1))
    for right, first in pairs:
        if right in number:
            counts[number[right], number.get(first, len(labels))] += 1
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    image = axes.imshow(shares, cmap="viridis", vmin=0, vmax=1, aspect="auto")
    axes.set_xticks(range(len(labels) + 1), [*labels, "other"], rotation=90, fontsize="small")
    axes.set_yticks(range(len(labels)), labels, fontsize="small")
    axes.set(title="first answer: share of recordings", xlabel="first answer", ylabel="right answer")
    axes.figure.colorbar(image, ax=axes, shrink=0.7)
