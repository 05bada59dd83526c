"""The program `birdclef`: its commands are the scripts, and asking for help is quick."""

import dataclasses
import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from birdclef.__main__ import OTHER_COMMANDS, main
from birdclef.demo_chain import STAGES, run_demo
from birdclef.shell_completion import call_flags, completion_script
from config import Config
from tests.conftest import REPOSITORY
from utils import console
from utils.command_line import from_command_line
from utils.commands import COMMANDS, find_experiment, first_sentence, source_of, with_commands

HELP_OF_ALL = """
import contextlib, io, json, sys
from birdclef.__main__ import main
found, texts = {}, {}
for words in [["--help"], *([name, "--help"] for name in json.loads(sys.argv[1]))]:
    with contextlib.redirect_stdout(io.StringIO()) as text:
        status = main(words)
    assert status == 0, words
    texts[words[0]] = text.getvalue()
    found[words[0]] = sorted({name.partition(".")[0] for name in sys.modules})
print(json.dumps([found, texts]))
"""
QUICK = {"tyro", "pydantic", "rich", "numpy"}  # not needed to list the commands
HEAVY = {"jax", "flax", "optax", "orbax", "polars", "scipy", "librosa", "matplotlib", "sklearn", "cv2", "onnxruntime"}


def test_help_shows_what_a_script_reads_and_help_all_the_rest(capsys: pytest.CaptureFixture[str]) -> None:
    def shown(word: str) -> str:
        with pytest.raises(SystemExit):
            from_command_line([word], doc="Does.", script="x.py", sections=("log",))
        return " ".join(capsys.readouterr().out.split())

    for word in ("-h", "--help"):
        assert "--log.mode" in shown(word)
        assert "processes that read recordings" in shown(word)  # the comments of settings without a section
        assert "--training.epochs" not in shown(word)
        assert "--help_all shows the settings of dataset, clips, spectrogram" in shown(word)
    assert "--training.epochs" in shown("--help_all")
    assert "--training.epochs" in shown("--help-all")
    config, _ = from_command_line(["--training.epochs", "7"], doc="", script="x.py", sections=("log",))
    assert config.training.epochs == 7


def test_scripts_show_sections_that_exist() -> None:
    sections = {one.name for one in dataclasses.fields(Config)}
    sources = [source_of(name).read_text() for name in COMMANDS]
    named = re.findall(r"sections=\(([^)]*)\)", "\n".join(sources))
    assert len(named) > 9
    assert {word.strip('" \n') for words in named for word in words.split(",")} - {""} <= sections


def test_every_script_is_a_command() -> None:
    assert {module for module in COMMANDS.values() if "." not in module} == {
        path.stem for path in REPOSITORY.glob("*.py") if path.stem != "config"
    }
    tools = {f"utils.{path.parent.relative_to(REPOSITORY / 'utils').as_posix()}".replace("/", ".")
             for path in (REPOSITORY / "utils").rglob("__main__.py")}  # fmt: skip
    assert tools <= set(COMMANDS.values())
    assert not set(COMMANDS) & set(OTHER_COMMANDS)
    assert all(source_of(name).is_file() for name in COMMANDS)


def test_help_imports_nothing_that_takes_long() -> None:
    done = subprocess.run(
        [sys.executable, "-c", HELP_OF_ALL, json.dumps([*COMMANDS])], cwd=REPOSITORY, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    found, texts = json.loads(done.stdout)
    assert not QUICK & set(found["--help"])
    for name in COMMANDS:
        assert not HEAVY & set(found[name]), name
        assert "".join(first_sentence(source_of(name)).split()) in "".join(texts[name].split())
        assert first_sentence(source_of(name)) in texts["--help"]
    assert all(name in texts["--help"] for name in OTHER_COMMANDS)


@pytest.mark.parametrize(
    ("text", "installed"),
    [
        ("next: python train.py, with the same experiment", "next: birdclef train, with the same experiment"),
        ("train.py", "birdclef train"),
        ("sort_data.py made it; see spec.py.", "birdclef sort-data made it; see birdclef spec."),
        ("python -m utils.demo.mix --help", "birdclef mix --help"),
        ("python -m utils.demo demo", "birdclef demo-data demo"),
        ("-m utils.models", "birdclef models"),
        ("needs Optuna (pip install '.[tune]')", "needs Optuna (pip install 'birdclef-jax[tune]')"),
        ("pip install -e '.[litert]'", "pip install 'birdclef-jax[litert]'"),
        ("/home/me/train.py and my-train.py, mytrain.py", None),
        ("python train_other.py, train.pyx, utils.demo.other", None),
        ("python -m utils.demonstration", None),
    ],
)
def test_texts_name_commands_as_they_are_called(text: str, installed: str | None) -> None:
    assert with_commands(text, package="") == text
    assert with_commands(text, package="birdclef") == (installed or text)


def test_sources_and_paths_stay_as_they_are() -> None:
    for text in ("train.py: no such file", "spec.py/", "Source: test.py of the 2018 BirdCLEF baseline."):
        assert with_commands(text, package="birdclef") == text
    text = "Do as test.py does.\n\nSource: test.py of\nthe baseline."
    assert with_commands(text, package="birdclef") == "Do as birdclef test does.\n\nSource: test.py of\nthe baseline."


def test_experiments_are_found_beside_the_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = Path("experiments/fine-tune.toml")
    assert find_experiment(path) == REPOSITORY / path
    for other in ("fine-tune.toml", "experiments/none.toml", "experiments/../config.py", "other/fine-tune.toml"):
        assert find_experiment(Path(other)) == Path(other)
    path.parent.mkdir()
    path.touch()
    assert find_experiment(path) == path


def test_the_user_is_told_which_experiment_was_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    runs: list[str] = []

    def note(config: Config) -> None:
        runs.append(config.run)

    def call(name: str) -> int:
        return console.run(note, doc="", script="x.py", arguments=[f"experiments/{name}.toml", "--workers", "1"])

    assert call("demo") == 0
    own = REPOSITORY / "experiments" / "demo.toml"
    assert f"experiments/demo.toml: not in this folder, so the toolkit's own is taken: {own}" in capsys.readouterr().out
    Path("experiments").mkdir()
    Path("experiments/demo.toml").write_text('run = "mine"\n')
    assert call("demo") == 0
    assert "taken" not in capsys.readouterr().out
    assert runs == ["demo", "mine"]
    assert call("fine-tunee") == 2
    assert (
        "experiments/fine-tunee.toml: no such file; did you mean experiments/fine-tune.toml?" in capsys.readouterr().err
    )


def test_a_terminal_may_lack_letters() -> None:
    words = [sys.executable, "-m", "birdclef", "experiments"]
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(words, cwd=REPOSITORY, capture_output=True, env=environment)
    assert done.returncode == 0, done.stderr
    assert b"32 ? 64" in done.stdout


def test_experiments_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["experiments"]) == 0
    listed = capsys.readouterr().out
    for file in (REPOSITORY / "experiments").glob("*.toml"):
        sentence = first_sentence(file)
        assert file.read_text().startswith(f"# {sentence[:60]}")
        assert re.search(rf"^ +{file.stem} +{re.escape(sentence)}$", listed, re.MULTILINE)


@pytest.mark.parametrize(
    ("words", "status", "says"),
    [
        (["trian"], 2, "no such command; did you mean train?"),
        (["\x1b[2J"], 2, r"'\x1b[2J': no such command; birdclef --help lists all"),
        (["completion", "tcsh"], 2, "usage: birdclef completion bash|zsh"),
        (["demo", "folder"], 2, "usage: birdclef demo"),
        (["experiments", "demo"], 2, "usage: birdclef experiments"),
        (["demo", "--help"], 0, "synthetic birdsong"),
        (["completion", "--help"], 0, "experiments for bash or zsh"),
        ([], 0, "Commands, each with a --help of its own"),
    ],
)
def test_calls_of_the_program(
    words: list[str], status: int, says: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["birdclef"])
    assert main(words) == status
    out, err = capsys.readouterr()
    assert says in (err if status else out)


def test_a_command_ends_with_the_status_of_its_script(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "birdclef", "sort-data", str(tmp_path / "none.toml")]
    done = subprocess.run(words, cwd=REPOSITORY, capture_output=True)
    assert done.returncode == 2
    assert b"none.toml: no such file" in done.stderr


@pytest.mark.parametrize(
    ("statuses", "status", "count"), [((0, 3, 0, 0, 0, 3), 0, 6), ((0, 3, 1), 1, 3), ((130,), 130, 1)]
)
def test_the_demo_ends_where_a_stage_fails(statuses: Sequence[int], status: int, count: int) -> None:
    calls: list[str] = []

    def run(name: str, words: Sequence[str]) -> int:
        calls.append(" ".join([name, *words]))
        return statuses[len(calls) - 1]

    assert run_demo(run) == status
    assert calls == [" ".join(stage) for stage in STAGES[:count]]


def test_the_demo_is_that_of_make() -> None:
    recipe = (REPOSITORY / "Makefile").read_text().partition("\ndemo: ")[2].partition("\n\n")[0]
    lines = re.findall(r"\$\(PY\) (.*?)(?: \|\|.*)?$", recipe, re.MULTILINE)
    called = [with_commands(f"python {line}", package="birdclef") for line in lines]
    assert called == [" ".join(("birdclef", *stage)) for stage in STAGES]


@pytest.mark.parametrize(
    ("name", "flags"),
    [
        ("train", {"--fresh", "--coordinator", "--processes", "--process"}),
        ("distill", {"--fresh"}),
        ("submission-monophone", {"--check"}),
        ("spectra", {"--at", "--seconds"}),
        ("mix", set()),
        (
            "download",
            {
                "--query",
                "--species",
                "--limit",
                "--min_quality",
                "--max_length",
                "--pause",
                "--refresh",
                "--dry_run",
                "--server",
            },
        ),
    ],
)
def test_flags_of_commands_are_known(name: str, flags: set[str]) -> None:
    assert set(call_flags(name)) == flags


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["dist"], ["distill"]),
        (["train", "experiments/few"], ["experiments/few-recordings.toml"]),
        (["train", "--training.all"], ["--training.all_data"]),
        (["train", "--training.no-all"], ["--training.no-all_data"]),
        (["evaluate", "experiments/demo.toml", "--models"], ["--models_per_fold"]),
        (["download", "birds", "--max"], ["--max_length"]),
        (["train", "mine.toml", "mi"], []),  # the shell completes names of files
    ],
)
def test_bash_completes(words: list[str], expected: list[str]) -> None:
    line = (
        f"COMP_WORDS=(birdclef {' '.join(words)}); COMP_CWORD={len(words)}; _birdclef; "
        'printf "%s\\n" "${COMPREPLY[@]}"'
    )
    script = f"{completion_script('bash', [*OTHER_COMMANDS])}\n{line}"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, env={"PATH": os.environ["PATH"]})
    assert done.stderr == ""
    assert done.stdout.split() == expected
