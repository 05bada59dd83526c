"""Messages on terminals and in logs of any encoding, on closed outputs, and captured with `logging`."""

import io
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY
from utils import console

PRINTS_ALL = """
import sys
from config import Config
from utils import console

def main(config: Config) -> None:
    '''Print all kinds of things.'''
    console.info("Mésange à tête noire · 3 × real time → 1–2")
    console.warning("Überall")
    console.show_table("Größe", {"Mésange": "≥ 0.5"})
    console.show_grid("Klassen", ["Art", "Länge"], [["シジュウカラ", "–"]])
    with console.progress("höre", total=2, unit="Stücke", in_words=True) as advance:
        advance(2, note="7 × real time")
    console.report_failures([console.Failure("é.wav", "ist zu groß: 3 × 4")], what="Dateien")

sys.exit(console.run(main, doc="Größer als ≥ 0.5 – 1 ×.", script="much.py"))
"""
C_LOCALE = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}


def much(*words: str, shell: str = "", **environment: str) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-c", f"exec({PRINTS_ALL!a})", *words]
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
    assert b"Python reads file names as ascii" in done.stderr
    assert b"file names" not in much().stderr


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
    console.info("é")
    assert stream.getvalue() == "é\n"
    closed = io.TextIOWrapper(io.BytesIO(), "ascii")
    closed.close()
    monkeypatch.setattr(sys, "stdout", closed)
    console.accept_any_text()  # raises nothing; printing there will


def test_a_missing_output_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    console.warning("é")
    console.info("é")
    console.accept_any_text()
    console.warning("é")
    console.info("é")
    assert sys.stdout is not None
    for stream in (sys.stdout, sys.stderr):
        stream.close()


def test_messages_are_captured_with_logging(
    caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    logger = logging.getLogger("birdclef")
    logger.addHandler(caplog.handler)
    try:
        console.info("2 of 3 [recordings]\n:bird: %s")
        console.warning("1 is silent")
        console.report_failures([console.Failure("a.wav", "is empty")], what="recordings")
        console.show_table("Tested", {"MLRAP": "0.5"})
    finally:
        logger.removeHandler(caplog.handler)
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("INFO", r"2 of 3 [recordings]\n:bird: %s"),
        ("WARNING", "1 is silent"),
        ("WARNING", "1 recording left out:"),
        ("WARNING", "  a.wav: is empty"),
        ("RESULT", "Tested\nMLRAP  0.5"),
    ]
    out, err = capsys.readouterr()
    assert out.splitlines() == [r"2 of 3 [recordings]\n:bird: %s", "Tested", "MLRAP  0.5"]
    assert err.splitlines() == ["warning: 1 is silent", "1 recording left out:", "  a.wav: is empty"]


def test_messages_are_printed_once_though_absl_configures_the_root_logger() -> None:
    program = "import logging; logging.basicConfig(); from utils import console; console.warning('once')"
    done = subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, timeout=60)
    assert done.stderr == b"warning: once\n"


def test_a_full_disk_under_the_log_ends_the_script_in_one_line() -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full")
    done = much("--log.file", "/dev/full")
    assert done.returncode == 1
    assert b"No space left on device; finished work is kept" in done.stderr
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize(
    "words",
    [
        ("-m", "utils.models", "Pi"),
        ("-m", "utils.demo", "--help"),
        ("-m", "utils.learning.augmentation", "--help"),
        ("-m", "utils.spectra", "--help"),
    ],
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
