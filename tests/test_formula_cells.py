"""Cells that a spreadsheet would run get an apostrophe, numbers do not, and reading takes it away again."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from utils.formula_cells import defused, restored

CELLS = st.text(st.sampled_from("'=+-@＝\t\r\n 1.5ae"), max_size=8) | st.text(max_size=8)


@given(CELLS)
@example("'=1")
@example("''-3")
def test_a_cell_comes_back_and_does_not_run(cell: str) -> None:
    written = defused(cell)
    assert restored(written) == cell
    if written[:1] in tuple("=+-@\t\r\n＝＋－＠"):
        float(written)


@pytest.mark.parametrize(
    ("cell", "written"),
    [
        ("=1+1.wav", "'=1+1.wav"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "'\t=1"),
        ("\r=1", "'\r=1"),
        ("\n=1", "'\n=1"),
        ("-cmd", "'-cmd"),
        ("＝1+1", "'＝1+1"),
        ("＠SUM(A1)", "'＠SUM(A1)"),
        ("+1+1", "'+1+1"),
        ("-3.5", "-3.5"),
        ("+1e-3", "+1e-3"),
        ("Turdus merula", "Turdus merula"),
        ("'quoted'", "'quoted'"),
        ("a=1", "a=1"),
        ("", ""),
    ],
)
def test_what_is_written(cell: str, written: str) -> None:
    assert defused(cell) == written
