"""The tables of a review as CSV, for people and spreadsheets."""

import polars as pl

from utils.formula_cells import defused


def csv_text(table: pl.DataFrame) -> str:
    """Return a table as CSV, in which no spreadsheet finds a formula: names come from outside."""
    return table.with_columns(pl.col(pl.String).map_elements(defused, return_dtype=pl.String)).write_csv()
