"""The tables that a review leaves: precision by species, and by species and score."""

from collections.abc import Iterator
from pathlib import Path

import polars as pl

from utils.files import write_text
from utils.review.csv_tables import csv_text
from utils.review.estimates import SCORE_BINS, Estimates, ShareWithInterval
from utils.review.session import Review

TABLE_DIGITS = 4


def species_table(review: Review, estimates: Estimates, *, precision: float) -> pl.DataFrame:
    """Return one row for each species: how many detections are correct, and from which score on the wanted share is.

    What nobody verified is empty.

    Parameters
    ----------
    precision : the wanted share of correct detections
    """
    return pl.DataFrame(
        [_species_row(review, estimates, index, precision) for index in range(len(review.detections.species))],
        infer_schema_length=None,
    )


def _species_row(review: Review, estimates: Estimates, index: int, precision: float) -> dict[str, object]:
    first = estimates.first_bin_with(precision, species=index)
    above = None if first is None else estimates.precision(index, from_bin=first)
    known = bool(estimates.verified[index].any())
    return {
        "species": review.detections.species[index],
        "detections": int(estimates.size[index].sum()),
        "verified": int(estimates.verified[index].sum()),
        "verified_correct": int(estimates.correct[index].sum()),
        **_three("precision", estimates.precision(index) if known else None),
        **_three("correct", estimates.count_correct(index) if known else None),
        "threshold": None if first is None else round(float(review.bins.lowest[index, first]), TABLE_DIGITS),
        **_three("precision_above", above),
    }


def score_table(review: Review, estimates: Estimates) -> pl.DataFrame:
    """Return one row for each bin of scores of each species that has detections."""
    return pl.DataFrame(list(_score_rows(review, estimates)), infer_schema_length=None)


def _score_rows(review: Review, estimates: Estimates) -> Iterator[dict[str, object]]:
    for index, species in enumerate(review.detections.species):
        for which in range(SCORE_BINS):
            found = estimates.precision(index, from_bin=which, to_bin=which + 1)
            if found:
                yield {
                    "species": species,
                    "from_score": round(float(review.bins.lowest[index, which]), TABLE_DIGITS),
                    "detections": int(estimates.size[index, which]),
                    "verified": int(estimates.verified[index, which]),
                    "verified_correct": int(estimates.correct[index, which]),
                    **_three("precision", found if estimates.verified[index, which] else None),
                }


def _three(name: str, found: ShareWithInterval | None) -> dict[str, float | None]:
    values = (found.value, found.low, found.high) if found else (None, None, None)
    names = (name, f"{name}_low", f"{name}_high")
    return {key: None if one is None else round(one, TABLE_DIGITS) for key, one in zip(names, values, strict=True)}


def write_precision_tables(folder: Path, *, species: pl.DataFrame, scores: pl.DataFrame) -> tuple[Path, Path]:
    """Write both tables as CSV; return their paths."""
    paths = folder / "precision.csv", folder / "precision_by_score.csv"
    for path, table in zip(paths, (species, scores), strict=True):
        write_text(path, csv_text(table))
    return paths
