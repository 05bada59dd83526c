"""What a person sees, on terminals and in logs of any encoding, and where nobody looks."""

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY
from utils import console

SAYS_MUCH = """
import sys
from config import Config
from utils import console

def main(config: Config) -> None:
    '''Say all kinds of things.'''
    console.say("Mésange à tête noire · 3 × real time → 1–2")
    console.warn("Überall")
    console.show_table("Größe", {"Mésange": "≥ 0.5"})
    console.show_grid("Klassen", ["Art", "Länge"], [["シジュウカラ", "–"]])
    with console.progress("höre", total=2, unit="Stücke", spoken=True) as advance:
        advance(2, note="7 × real time")
    console.report_failures([console.Failure("é.wav", "ist zu groß: 3 × 4")], what="Dateien")

sys.exit(console.run(main, doc="Größer als ≥ 0.5 – 1 ×.", script="much.py"))
"""
C_LOCALE = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}


def much(*words: str, shell: str = "", **environment: str) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-c", f"exec({SAYS_MUCH!a})", *words]
    line = ["bash", "-c", f'"$@" {shell}', "bash", *command] if shell else command
    return subprocess.run(line, cwd=REPOSITORY, capture_output=True, timeout=60, env={**os.environ, **environment})


@pytest.mark.parametrize("encoding", ["ascii", "cp932", "cp437", "latin-1", "utf-8"])
def test_what_an_encoding_lacks_ends_nothing(encoding: str, tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    done = much("--log.file", str(log), PYTHONIOENCODING=encoding)
    assert done.returncode == 0, done.stderr
    assert b"Traceback" not in done.stderr
    out = done.stdout.decode(encoding)
    assert ("tête" in out) == (encoding in ("cp437", "latin-1", "utf-8"))
    assert ("シジュウカラ" in out) == (encoding in ("cp932", "utf-8"))
    assert "real time" in out
    assert "ist zu gro" in done.stderr.decode(encoding)
    # files are UTF-8 in any case
    assert "Mésange à tête noire · 3 × real time → 1–2" in log.read_text(encoding="utf-8")
    assert "シジュウカラ" in log.read_text(encoding="utf-8")


def test_the_plain_c_locale(tmp_path: Path) -> None:
    done = much(**C_LOCALE)
    assert done.returncode == 0, done.stderr
    assert b"M?sange" in done.stdout
    assert b"names of files as ascii here" in done.stderr
    assert b"names of files" not in much().stderr


def test_help_in_any_encoding() -> None:
    for environment in ({"PYTHONIOENCODING": "ascii"}, C_LOCALE):
        done = much("--help", **environment)
        assert done.returncode == 0, done.stderr
        assert b"0.5" in done.stdout


@pytest.mark.parametrize("shell", [">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_outputs_end_nothing(shell: str) -> None:
    done = much(shell=shell)
    assert done.returncode == 0, done.stderr
    assert not done.stderr.startswith(b"Traceback")
    assert (b"real time" in done.stdout) == (">&- " not in f"{shell} ".replace("2>&-", ""))


def test_streams_that_cannot_be_changed_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    class Notebook(io.StringIO):
        errors = "strict"
        encoding = "ascii"

    stream = Notebook()
    monkeypatch.setattr(sys, "stdout", stream)
    console.accept_any_text()
    console.say("é")
    assert stream.getvalue() == "é\n"
    closed = io.TextIOWrapper(io.BytesIO(), "ascii")
    closed.close()
    monkeypatch.setattr(sys, "stdout", closed)
    console.accept_any_text()  # says nothing of it; whoever prints there will


def test_a_missing_output_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    console.warn("é")
    console.say("é")
    assert sys.stdout is not None
    for stream in (sys.stdout, sys.stderr):
        stream.close()


@pytest.mark.parametrize(
    "words",
    [("-m", "utils.models", "Pi"), ("-m", "utils.demo", "--help"), ("-m", "utils.learning.augmentation", "--help")],
)
def test_commands_besides_the_scripts(words: tuple[str, ...]) -> None:
    done = subprocess.run(
        [sys.executable, *words],
        cwd=REPOSITORY,
        capture_output=True,
        timeout=120,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
    )
    assert done.returncode == 0, done.stderr
