"""The page `report.html`: how good a net is, on which birds it is not, and what that looks and sounds like. One file, which needs no network."""

import base64
from collections.abc import Mapping
from math import isfinite
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from matplotlib.ticker import MaxNLocator

from utils.files import write_text
from utils.scoring.reports.parts import Chart, Confusion, Excerpt, Report

TEMPLATES = Path(__file__).with_name("templates")
CHART = (340, 190)  # width and height of a chart, in units of the drawing
CELL = 18  # side of a field of the confusion matrix, in units of the drawing
LETTER = 5.8  # mean width of a letter there
LONGEST = 28  # letters of a class's name in the matrix; the rest stands in the field's title


def write_page(path: Path, report: Report) -> None:
    """Write the report as one HTML file."""
    write_text(path, page(report))


def page(report: Report) -> str:
    """Return the report as HTML; no name in it can break out of its place."""
    return render(
        "report.html.j2",
        report=report,
        charts=[chart_lines(chart) for chart in report.charts],
        confusion=confusion_cells(report.confusion),
        galleries=[
            {
                "gallery": gallery,
                "excerpts": [{"excerpt": excerpt, **excerpt_parts(excerpt)} for excerpt in gallery.excerpts],
            }
            for gallery in report.galleries
        ],
        anchors={excerpt.recording: f"r{number}" for number, excerpt in enumerate(_all_excerpts(report), 1)},
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
    environment.filters["figure"] = figure_text
    environment.filters["data"] = lambda content: base64.b64encode(content).decode()
    return environment.get_template(template).render(**values)


def figure_text(value: float | None, places: int = 3) -> str:
    """Write a figure for people; a dash where it is not defined."""
    return "–" if value is None or not isfinite(value) else f"{value:.{places}f}"


def _all_excerpts(report: Report) -> list[Excerpt]:
    return [excerpt for gallery in report.galleries for excerpt in gallery.excerpts]


def chart_lines(chart: Chart) -> dict[str, Any]:
    """Return a chart as what is to be drawn: points of lines, ticks of both axes, and where its mark stands."""
    width, height = CHART
    places = [x for line in chart.lines for x in line.x]
    values = [y for line in chart.lines for y in line.y if y is not None and isfinite(y)]
    left, right = min(places, default=0.0), max(places, default=1.0)
    low, high = chart.ends or (0.0, 1.05 * max(values, default=1.0) or 1.0)
    whole = all(float(x).is_integer() for x in places) and right - left >= 1

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
        "points": {
            "x": [round(x, 6) for x in chart.lines[0].x],
            "at": [across(x) for x in chart.lines[0].x],
            "y": {
                line.name: [None if y is None or not isfinite(y) else round(y, 4) for y in line.y]
                for line in chart.lines
            },
        }
        if chart.slide
        else None,
    }


def _unbroken(xs: tuple[float, ...], ys: tuple[float | None, ...], across: Any, down: Any) -> list[str]:
    """Return the stretches of a line between its gaps, as points of polylines."""
    parts: list[list[str]] = [[]]
    for x, y in zip(xs, ys, strict=True):
        if y is None or not isfinite(y):
            parts.append([])
        else:
            parts[-1].append(f"{across(x)},{down(y)}")
    # of a single point nothing would be drawn
    return [" ".join(part if len(part) > 1 else 2 * part) for part in parts if part]


def _ticks(low: float, high: float, *, whole: bool = False) -> list[float]:
    found = MaxNLocator(nbins=5, integer=whole).tick_values(low, high)
    return [float(tick) for tick in found if low - 1e-9 <= tick <= high + 1e-9]


def confusion_cells(confusion: Confusion) -> Mapping[str, Any]:
    """Return the matrix as what is to be drawn: fields that are not empty, by row and column, with the share of their row."""
    sums = np.maximum(1, confusion.counts.sum(axis=1))
    columns = (*confusion.labels, "other")
    cells = [
        {
            "x": int(column) * CELL,
            "y": int(row) * CELL,
            "share": float(confusion.counts[row, column] / sums[row]),
            "count": int(confusion.counts[row, column]),
            "right": row == column,
            "title": f"{confusion.labels[row]} → {columns[column]}: {confusion.counts[row, column]} of {confusion.counts[row].sum()}",
        }
        for row, column in np.argwhere(confusion.counts)
    ]
    short = [label if len(label) <= LONGEST else label[: LONGEST - 1] + "…" for label in columns]
    names = round(8 + LETTER * max(map(len, short)))
    return {
        "cells": cells,
        "labels": short,
        "rows": len(confusion.labels),
        "cell": CELL,
        "names": names,
        "left_out": confusion.left_out,
    }


def excerpt_parts(excerpt: Excerpt) -> dict[str, Any]:
    """Return an excerpt's strips as fields to draw, and the scores for the script that reads them off."""
    strips = [
        {
            "strip": strip,
            "fields": [
                (round(start, 3), round(end - start, 3), round(float(score), 3))
                for (start, end), score in zip(excerpt.times, strip.scores, strict=True)
                if score >= 0.005
            ],
            "scores": [round(float(score), 3) for score in strip.scores],
        }
        for strip in excerpt.strips
    ]
    first = excerpt.strips[0] if excerpt.strips else None
    return {"strips": strips, "first": first, "ends": [round(end, 3) for _, end in excerpt.times]}
