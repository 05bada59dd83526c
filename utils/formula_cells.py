"""Cells of tables that a spreadsheet would run as a formula, and the apostrophe that makes a text of them.

A name from outside may be `=HYPERLINK(…)`. Spreadsheets take an apostrophe in front of a cell for: this is a text.

Source: OWASP, CSV Injection.
"""

import re

# spreadsheets also take the wide signs of East Asian keyboards; apostrophes that were there before are counted, so that
# `restored` is exact
_FORMULA = re.compile(r"'*[=+\-@\t\r\n＝＋－＠]")
_PLAIN_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)


def defused(cell: str) -> str:
    """Return a cell with an apostrophe in front if a spreadsheet would run it; numbers such as -3.5 stay numbers."""
    return f"'{cell}" if _FORMULA.match(cell) and not _PLAIN_NUMBER.fullmatch(cell) else cell


def restored(cell: str) -> str:
    """Return what `defused` was given."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell
