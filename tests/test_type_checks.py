"""While tests run, functions and dataclasses of utils refuse values of other types and arrays of other shapes."""

from pathlib import Path

import numpy as np
import pytest
from beartype.roar import BeartypeCallHintViolation
from jaxtyping import Float, TypeCheckError

from tests.type_checks import names_shapes
from utils.console import Failure
from utils.files import json_text, write_text
from utils.scoring.metrics.ranking import check_scores, mean_of_defined


def test_shapes_are_checked_also_against_each_other() -> None:
    scores, truth = np.zeros((2, 3)), np.zeros((2, 3), bool)
    check_scores(scores, truth)
    with pytest.raises(TypeCheckError, match="rows classes"):
        check_scores(scores, truth[:1])
    with pytest.raises(TypeCheckError, match="rows"):
        mean_of_defined(scores)


def test_types_are_checked_where_no_shapes_are(tmp_path: Path) -> None:
    with pytest.raises(BeartypeCallHintViolation, match="parameter text=3"):
        write_text(tmp_path / "x", 3)  # type: ignore[arg-type]
    with pytest.raises(BeartypeCallHintViolation, match="parameter reason=3"):
        Failure("x", 3)  # type: ignore[arg-type]
    assert not (tmp_path / "x").exists()


def test_functions_whose_types_name_shapes_are_known() -> None:
    def in_an_option(_: list[Float[np.ndarray, " n"] | None]) -> None: ...
    def in_a_result() -> "Float[np.ndarray, ' n']": ...  # type: ignore[empty-body]

    assert names_shapes(check_scores)
    assert names_shapes(in_an_option)
    assert names_shapes(in_a_result)
    assert not names_shapes(json_text)
