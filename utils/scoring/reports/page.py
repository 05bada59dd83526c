"""The page `report.html`: how good a model is, for which species, and what its predictions look and sound like.

It is one file, which needs no network.
"""

import base64
from collections.abc import Callable, Mapping
from math import isfinite
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from matplotlib.ticker import MaxNLocator

from utils.files import write_text
from utils.scoring.reports.report_parts import Chart, Confusion, Excerpt, Report

TEMPLATES = Path(__file__).with_name("templates")
CHART_SIZE = (340, 190)  # width and height of a chart, in units of the drawing
CELL_SIZE = 18  # side of a cell of the confusion matrix, in units of the drawing
LETTER_WIDTH = 5.8  # mean width of a letter there
MAX_LETTERS = 28  # of a class's name there; a cell's title has the whole name
FAINTEST_CLIP_SCORE = 0.005  # lower scores are not drawn


def write_report(path: Path, report: Report) -> None:
    """Write the report as one HTML file."""
    write_text(path, report_page(report))


def report_page(report: Report) -> str:
    """Return the report as HTML; all names in it are escaped."""
    excerpts = [excerpt for gallery in report.galleries for excerpt in gallery.excerpts]
    return render(
        "report.html.j2",
        report=report,
        charts=[drawn_chart(chart) for chart in report.charts],
        confusion=drawn_confusion(report.confusion),
        galleries=[
            {"gallery": gallery, "excerpts": [drawn_excerpt(excerpt) for excerpt in gallery.excerpts]}
            for gallery in report.galleries
        ],
        anchors={excerpt.recording: f"r{position}" for position, excerpt in enumerate(excerpts, 1)},
    )


def render(template: str, **values: Any) -> str:
    """Fill one of this folder's templates; all values are escaped."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["metric"] = metric_text
    environment.filters["data"] = lambda content: base64.b64encode(content).decode()
    return environment.get_template(template).render(**values)


def metric_text(value: float | None, digits: int = 3) -> str:
    """Write a metric for people; a dash if it is not defined."""
    return "–" if value is None or not isfinite(value) else f"{value:.{digits}f}"


def signed(value: float) -> str:
    """Write a difference of metrics for people."""
    return f"{value:+.3f}".replace("-", "−")


def drawn_chart(chart: Chart) -> dict[str, Any]:
    """Return what the template draws of a chart: points of lines, ticks of both axes, and the position of its mark."""
    width, height = CHART_SIZE
    xs = [x for line in chart.lines for x in line.x]
    values = [y for line in chart.lines for y in line.y if y is not None and isfinite(y)]
    left, right = min(xs, default=0.0), max(xs, default=1.0)
    low, high = chart.ends or (0.0, 1.05 * max(values, default=1.0) or 1.0)
    whole = all(float(x).is_integer() for x in xs) and right - left >= 1

    def across(x: float) -> float:
        return round(width * (x - left) / (right - left or 1), 1)

    def down(y: float) -> float:
        return round(height * (high - y) / (high - low), 1)

    return {
        "chart": chart,
        "width": width,
        "height": height,
        "lines": [{"name": line.name, "parts": _unbroken(line.x, line.y, across, down)} for line in chart.lines],
        "x_ticks": [(f"{tick:g}", across(tick)) for tick in _ticks(left, right, whole=whole)],
        "y_ticks": [(f"{tick:g}", down(tick)) for tick in _ticks(low, high)],
        "mark": None if chart.mark is None else across(chart.mark),
        "points": _slider_points(chart, across) if chart.slide else None,
    }


def _slider_points(chart: Chart, across: Callable[[float], float]) -> dict[str, Any]:
    """Return the values that the slider shows, and where its line stands."""
    return {
        "x": [round(x, 6) for x in chart.lines[0].x],
        "at": [across(x) for x in chart.lines[0].x],
        "y": {
            line.name: [None if y is None or not isfinite(y) else round(y, 4) for y in line.y] for line in chart.lines
        },
    }


def _unbroken(
    xs: tuple[float, ...],
    ys: tuple[float | None, ...],
    across: Callable[[float], float],
    down: Callable[[float], float],
) -> list[str]:
    """Return the parts of a line between its gaps, as points of polylines."""
    parts: list[list[str]] = [[]]
    for x, y in zip(xs, ys, strict=True):
        if y is None or not isfinite(y):
            parts.append([])
        else:
            parts[-1].append(f"{across(x)},{down(y)}")
    # browsers draw nothing for a single point
    return [" ".join(part if len(part) > 1 else 2 * part) for part in parts if part]


def _ticks(low: float, high: float, *, whole: bool = False) -> list[float]:
    found = MaxNLocator(nbins=5, integer=whole).tick_values(low, high)
    return [float(tick) for tick in found if low - 1e-9 <= tick <= high + 1e-9]


def drawn_confusion(confusion: Confusion) -> Mapping[str, Any]:
    """Return what the template draws of a confusion matrix: the cells that are not 0, with their shares of the row."""
    sums = confusion.counts.sum(axis=1)
    columns = (*confusion.labels, "other")
    cells = [
        {
            "x": int(column) * CELL_SIZE,
            "y": int(row) * CELL_SIZE,
            "share": float(confusion.counts[row, column] / sums[row]),
            "count": int(confusion.counts[row, column]),
            "correct": row == column,
            "title": f"{confusion.labels[row]} → {columns[column]}: {confusion.counts[row, column]} of {sums[row]}",
        }
        for row, column in np.argwhere(confusion.counts)
    ]
    labels = [label if len(label) <= MAX_LETTERS else label[: MAX_LETTERS - 1] + "…" for label in columns]
    return {
        "cells": cells,
        "labels": labels,
        "rows": len(confusion.labels),
        "cell_size": CELL_SIZE,
        "label_space": round(8 + LETTER_WIDTH * max(map(len, labels))),
        "left_out": confusion.left_out,
    }


def drawn_excerpt(excerpt: Excerpt) -> dict[str, Any]:
    """Return what the template draws of an excerpt: its strips as rectangles, and the scores for the page's script."""
    strips = [
        {
            "strip": strip,
            "fields": [
                (round(start, 3), round(end - start, 3), round(float(score), 3))
                for (start, end), score in zip(excerpt.times, strip.scores, strict=True)
                if score >= FAINTEST_CLIP_SCORE
            ],
            "scores": [round(float(score), 3) for score in strip.scores],
        }
        for strip in excerpt.strips
    ]
    top1 = excerpt.strips[0] if excerpt.strips else None
    return {"excerpt": excerpt, "strips": strips, "top1": top1, "ends": [round(end, 3) for _, end in excerpt.times]}
