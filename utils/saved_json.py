"""Reading back what a test keeps as JSON: types are checked, and what is wrong is said in one line."""

from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from utils.console import UserError

ADVICE = "test.py writes it anew"


def read_kept(path: Path, form: TypeAdapter) -> Any:
    """Read a JSON file of a known form.

    Raises
    ------
    UserError
        If there is no such file, or it has another form.
    """
    try:
        return form.validate_json(path.read_bytes(), strict=True, extra="forbid")
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); {ADVICE}") from None
    except ValidationError as error:
        first = error.errors()[0]
        raise UserError(f"{path}: {'.'.join(map(str, first['loc'])) or 'the file'}: {first['msg']}; {ADVICE}") from None
