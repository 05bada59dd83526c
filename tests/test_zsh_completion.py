"""What zsh makes of the completion: a real one, at a terminal of its own."""

import os
import re
import select
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from birdclef.__main__ import OTHER_COMMANDS
from birdclef.shell_completion import completion_script

pty = pytest.importorskip("pty")
TYPED = {  # and what the Tab key makes of it
    "dist": "distill ",
    "train experiments/few": "train experiments/few-recordings.toml ",
    "train --training.all": "train --training.all_data ",
    "train --training.no-all": "train --training.no-all_data ",
    "evaluate experiments/demo.toml --models": "evaluate experiments/demo.toml --models_per_fold ",
    "download birds --max": "download birds --max_length ",
    "train experiments/few-recordings.toml mi": "train experiments/few-recordings.toml mine.toml ",
    "nosuch --fl": "nosuch --fl",
}


def typed_in_zsh(lines: Sequence[str], folder: Path, *, start: str) -> list[str]:
    """Return what each line becomes in an interactive zsh by the Tab key.

    Parameters
    ----------
    folder : of its settings, and the working folder
    start : command that reads the completion
    """
    (folder / ".zshrc").write_text(
        f"PS1=; fpath=($ZDOTDIR $fpath); autoload -Uz compinit; compinit -u -D; {start}\n"
        'show() { print -r -- "<$BUFFER>"; BUFFER= }; zle -N show; bindkey "^X" show; print ready\n'
    )
    environment = {"PATH": os.environ["PATH"], "ZDOTDIR": str(folder), "HOME": str(folder), "TERM": "dumb"}
    ours, theirs = pty.openpty()
    shell = subprocess.Popen(
        ["zsh", "-d", "-i"], stdin=theirs, stdout=theirs, stderr=theirs, cwd=folder, env=environment
    )
    try:
        os.close(theirs)
        _read_until(ours, rb"ready")
        found = []
        for line in lines:
            os.write(ours, f"{line}\t\x18".encode())
            found.append(_read_until(ours, rb"<([^\r\n]*)>"))
        return found
    finally:
        shell.kill()
        shell.wait()
        os.close(ours)


def _read_until(terminal: int, pattern: bytes) -> str:
    text = b""
    while not (found := re.search(pattern, text)):
        ready, _, _ = select.select([terminal], [], [], 30)
        assert ready, text
        text += os.read(terminal, 1 << 16)
    return found[found.lastindex or 0].decode()


@pytest.mark.skipif(not shutil.which("zsh"), reason="zsh is not installed")
@pytest.mark.parametrize("start", ["source ./_birdclef", ""], ids=["source", "fpath"])
def test_zsh_completes(start: str, tmp_path: Path) -> None:
    (tmp_path / "_birdclef").write_text(completion_script("zsh", [*OTHER_COMMANDS]))
    (tmp_path / "mine.toml").touch()
    lines = typed_in_zsh([f"birdclef {words}" for words in TYPED], tmp_path, start=start)
    assert lines == [f"birdclef {words}" for words in TYPED.values()]
