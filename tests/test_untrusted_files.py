"""Untrusted names (in XML, tables, JSON, settings, snapshots) and links lead nowhere, run nothing and alter no page.

Two independent checks: every process of a stage records what it changes outside the data set's root
(tests/chaos/inject), and inotify reports the files outside that are opened (tests/file_events.py). A folder that is a
link is followed on purpose: people store large folders on other disks.
"""

import ast
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from xml.sax.saxutils import escape

import polars as pl
import pytest
import soundfile

import sort_data
from config import SettingsError
from tests.chaos.stages import INJECT
from tests.conftest import RATE, REPOSITORY, chirp, small_config, write_folders
from tests.file_events import FileEvents
from utils import console
from utils.recordings.birdclef2018 import read_birdclef2018
from utils.recordings.splits import read_split, write_split
from utils.scoring.comparison import compare_runs
from utils.settings import load, to_toml

SOURCES = [*REPOSITORY.glob("*.py"), *(REPOSITORY / "utils").rglob("*.py"), *(REPOSITORY / "benchmarks").rglob("*.py")]
BAIT = "outside"  # start of all names of bait files
HOME = "~/outside.wav"
EVIL = "<script>alert(1)<b>"  # file names cannot have a slash, so that no element can be closed
EVIL_IN_QUOTES = "\"'><img src=x onerror=alert(1)>"


def bad_names(outside: Path) -> list[str]:
    """Return names that must lead nowhere; `outside` is the folder of bait files."""
    return [
        *(
            "../../outside.wav",
            "../outside.wav",
            "../../../outside.wav",
            "a/../../../outside.wav",
            "./../../outside.wav",
            "..\\..\\outside.wav",
        ),
        *(
            f"{outside}/outside.wav",
            f"/{outside}/outside.wav",
            f"file://{outside}/outside.wav",
            HOME,
            "$HOME/outside.wav",
            "%2e%2e/outside.wav",
        ),
        *(
            "..",
            ".",
            "",
            " ",
            "/",
            "//",
            "/etc/passwd",
            "a\0.wav",
            "a\n.wav",
            ".hidden.wav",
            "x" * 5000 + ".wav",
            "/".join("x" * 999),
        ),
        *(
            "CON.wav",
            "nul.wav",
            "COM1.wav",
            "C:outside.wav",
            "\\\\host\\share\\outside.wav",
            "a:b.wav",
            "\u202egpj.wav",
            "ü" * 150 + ".wav",
        ),
    ]


def of_xml(archive: Path, bad: list[str]) -> None:
    (archive / "wav").mkdir()
    (archive / "xml").mkdir()
    good = [f"good{index}.wav" for index in range(4)]
    for index, name in enumerate(good):
        soundfile.write(archive / "wav" / name, chirp(2000, seconds=2, seed=index), RATE)
    for index, (file, genus) in enumerate(
        [*((name, "Altus") for name in good), *((name, "Altus") for name in bad), *((good[0], name) for name in bad)]
    ):
        text = "".join(
            f"<{tag}>{escape(value)}</{tag}>"
            for tag, value in (("FileName", file), ("Genus", genus), ("Species", "clarus"))
        )
        (archive / "xml" / f"{index}.xml").write_text(
            f"<Audio>{text}</Audio>", encoding="utf-8", errors="surrogateescape"
        )


def of_kaggle(archive: Path, bad: list[str]) -> None:
    (archive / "train_audio" / "altcla").mkdir(parents=True)
    for index in range(4):
        soundfile.write(
            archive / "train_audio" / "altcla" / f"good{index}.wav", chirp(2000, seconds=2, seed=index), RATE
        )
    rows = [("altcla", f"altcla/good{index}.wav", "[]") for index in range(4)]
    rows += [
        (label, name, others)
        for name in bad
        for label, name, others in (("altcla", name, "[]"), (name, "x.wav", "[]"), ("altcla", "x.wav", f"['{name}']"))
    ]
    pl.DataFrame(rows, schema=["primary_label", "filename", "secondary_labels"], orient="row").write_csv(
        archive / "train.csv"
    )


def of_annotations(archive: Path, bad: list[str]) -> None:
    for index in range(4):
        soundfile.write(archive / f"good{index}.wav", chirp(2000, seconds=2, seed=index), RATE)
    rows = [(f"good{index}.wav", 0.1, 1.5, "Altus clarus") for index in range(4)]
    rows += [row for name in bad for row in ((name, 0.1, 1.5, "Altus clarus"), ("good0.wav", 0.1, 1.5, name))]
    pl.DataFrame(rows, schema=["file", "start", "end", "species"], orient="row").write_csv(archive / "annotations.csv")


def of_xenocanto(archive: Path, bad: list[str]) -> None:
    records = [{"id": f"{index}", "gen": "Altus", "sp": "clarus", "file-name": ""} for index in range(4)]
    for index in range(4):
        soundfile.write(archive / f"XC{index}.wav", chirp(2000, seconds=2, seed=index), RATE)
    for index, name in enumerate(bad):
        records += [
            {"id": f"{100 + index}", "gen": "Altus", "sp": "clarus", "file-name": name},
            {"id": name, "gen": "Altus", "sp": "clarus", "file-name": "XC0.wav"},
            {"id": "0", "gen": name, "sp": name, "also": [name]},
        ]
    (archive / "page.json").write_text(json.dumps({"recordings": records}))


def of_folders(archive: Path, bad: list[str]) -> None:
    write_folders(archive, recordings=2)
    pl.DataFrame([(name, name) for name in bad], schema=["file", "author"], orient="row").write_csv(
        archive / "metadata.csv"
    )
    (archive / "metadata").mkdir()
    for index, name in enumerate(bad):
        output = {
            "sci-name": name,
            "species": name,
            "classid": name,
            "background": [name],
            "filename": name,
            "moved_from": name,
            "split": name,
        }
        (archive / "metadata" / f"{index}.json").write_text(json.dumps(output))


FORMS: dict[str, Callable[[Path, list[str]], None]] = {
    "birdclef2018": of_xml,
    "kaggle": of_kaggle,
    "annotations": of_annotations,
    "xenocanto": of_xenocanto,
    "folders": of_folders,
}


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """Make a folder for an archive and a root, in folders that hold bait files at every level."""
    base = tmp_path / "a" / "b" / "c"
    base.mkdir(parents=True)
    for folder in (base, *list(base.parents)[:3]):
        soundfile.write(folder / "outside.wav", chirp(1111, seconds=2, seed=9), RATE)
        (folder / "outside.txt").write_text("dear")
    return base


def run(
    script: str, base: Path, experiment: str = "x.toml"
) -> tuple[subprocess.CompletedProcess[str], list[str], list[str]]:
    """Run a script; return how it ended, what it changed outside the root, and which bait files were opened."""
    scratch = base / "scratch"
    scratch.mkdir(exist_ok=True)
    journal = scratch / "journal"
    for left in scratch.glob("journal.*"):
        left.unlink()
    plan = {"below": str(base / "root"), "journal": str(journal), "record_changes": True}
    homes = {
        "HOME": str(base),
        "TMPDIR": str(scratch),
        "MPLCONFIGDIR": str(scratch),
        "NUMBA_CACHE_DIR": str(scratch),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    environment = {**os.environ, **homes, "PYTHONPATH": str(INJECT), "CHAOS": json.dumps(plan)}
    with FileEvents([base, *list(base.parents)[:3]]) as events:
        done = subprocess.run(
            [sys.executable, str(REPOSITORY / script), experiment],
            cwd=base,
            capture_output=True,
            text=True,
            env=environment,
            timeout=300,
        )
        opened = [name for name in events.names() if name.startswith(BAIT)]
    allowed = tuple(str(folder) for folder in (scratch, "/dev/", os.environ["JAX_COMPILATION_CACHE_DIR"]))
    outside = (scratch / "journal.outside").read_text().splitlines() if (scratch / "journal.outside").exists() else []
    return done, [line for line in outside if not line.split(" ", 1)[1].startswith(allowed)], opened


def test_changes_and_openings_outside_are_seen(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (base / "x.toml").write_text("")
    (base / "writer.py").write_text(
        "import os, soundfile\nsoundfile.info('../outside.wav')\nopen('../outside.txt')\nopen('written', 'w')\n"
        "os.makedirs('root/in')\nos.replace('written', '../moved')\n"
    )
    monkeypatch.setattr("tests.test_untrusted_files.REPOSITORY", base)
    done, outside, opened = run("writer.py", base)
    assert done.returncode == 0, done.stderr
    assert opened == ["outside.wav", "outside.txt"]
    assert [line.split()[0] for line in outside] == ["open", "os.rename", "os.rename"]


@pytest.mark.parametrize("form", FORMS)
def test_names_lead_nowhere(base: Path, form: str) -> None:
    (base / "archive").mkdir()
    FORMS[form](base / "archive", bad_names(base.parent))
    (base / "x.toml").write_text(to_toml(small_config(base / "root", base / "archive")))
    done, outside, opened = run("sort_data.py", base)
    assert done.returncode in (0, 3), done.stderr
    assert "Traceback" not in done.stderr
    assert outside == []
    assert opened == []
    files = [Path(file) for file in pl.read_parquet(base / "root" / "split.parquet")["file"]]
    assert len(files) >= 4
    assert not [file for file in files if file.is_absolute() or ".." in file.parts]
    assert {path.name for path in base.parent.iterdir()} == {"c", "outside.wav", "outside.txt"}


@pytest.mark.parametrize(
    ("column", "value"),
    [
        *(
            ("file", path)
            for path in (
                "../outside.wav",
                "train/../../outside.wav",
                "/etc/passwd",
                "..\\outside.wav",
                "C:/outside.wav",
            )
        ),
        *(("class", name) for name in ("../../../outside", "..", "a/b")),
        ("recording", "../../outside"),
    ],
)
def test_an_untrusted_split_leads_nowhere(tmp_path: Path, archive: Path, column: str, value: str) -> None:
    config = small_config(tmp_path / "root", archive)
    sort_data.main(config)
    table = read_split(config.dataset)
    changed = pl.when(pl.int_range(pl.len()) == 3).then(pl.lit(value)).otherwise(pl.col(column)).alias(column)
    write_split(config.dataset.root, table.with_columns(changed))
    with pytest.raises(
        console.UserError, match=r"split\.parquet: .* leads out of the data set's folder; run sort_data\.py again"
    ):
        read_split(config.dataset)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes")
@pytest.mark.parametrize("name", ["wav/pipe.wav", "xml/pipe.xml"])
def test_pipes_do_not_block(tmp_path: Path, name: str) -> None:
    of_xml(tmp_path, [])
    (tmp_path / "xml" / "pipe.xml").write_text(
        "<Audio><FileName>pipe.wav</FileName><Genus>Altus</Genus><Species>clarus</Species></Audio>"
    )
    (tmp_path / name).unlink(missing_ok=True)
    os.mkfifo(tmp_path / name)
    contents = read_birdclef2018(tmp_path)
    assert len(contents.recordings) == 4
    assert ("xml/pipe.xml", "is not a file, but a pipe, a socket or a device") in [
        (failure.name, failure.reason) for failure in contents.failures
    ]


def test_links_are_replaced_and_not_followed(base: Path) -> None:
    """The root holds links with the names of results, locks and half-written files, as if unpacked from an archive."""
    write_folders(base / "archive")
    (base / "x.toml").write_text(to_toml(small_config(base / "root", base / "archive")))
    assert run("sort_data.py", base)[0].returncode == 0
    made = [
        path.relative_to(base / "root")
        for path in (base / "root").rglob("*")
        if path.is_file() and path.suffix not in (".wav", ".flac")
    ]
    assert len(made) > 10
    for path in made:
        (base / "root" / path).unlink()
        (base / "root" / path).symlink_to(base / "outside.txt")
        (base / "root" / path).with_name(f".{path.name}.part").symlink_to(base / "outside.txt")
    (base / "root" / ".spec.lock").symlink_to(base / "outside.txt")
    for script in ("sort_data.py", "spec.py"):
        done, outside, _ = run(script, base)
        # 3: the links do not lead to metadata, which are written again
        assert done.returncode == (3 if script == "sort_data.py" else 0), done.stderr
        assert outside == []
        assert (base / "outside.txt").read_text() == "dear"
    assert not [path for path in made if (base / "root" / path).is_symlink()]


def test_an_untrusted_snapshot_and_names_in_pages(base: Path) -> None:
    """Species and recordists have malicious names; then the snapshot, too, has malicious folders and names."""
    write_folders(base / "archive")
    for old, new in (("Altus clarus", EVIL), ("Bassus gravis", EVIL_IN_QUOTES)):
        (base / "archive" / old).rename(base / "archive" / new)
    config = small_config(base / "root", base / "archive")
    (base / "x.toml").write_text(to_toml(config))
    for script in ("sort_data.py", "spec.py", "train.py"):
        done, outside, opened = run(script, base)
        assert done.returncode == 0, done.stderr
        assert (outside, opened) == ([], [])

    snapshot = next(config.run_folder.glob("epoch_*"))
    classes = (snapshot / "classes.txt").read_text().splitlines()
    (snapshot / "classes.txt").write_text("".join(f"{name}\n" for name in ["../../outside.wav", *classes[1:]]))
    (snapshot / "learned.txt").write_text(
        "".join(f"{one}\n" for name in bad_names(base.parent) for one in name.splitlines())
    )
    settings = (snapshot / "settings.toml").read_text()
    (snapshot / "settings.toml").write_text(settings.replace(str(base / "root"), str(base.parent / "outside")))
    done, outside, opened = run("test.py", base)
    assert done.returncode == 0, done.stderr
    assert (outside, opened) == ([], [])

    shutil.copytree(config.run_folder, config.snapshots / EVIL)
    compare_runs([config.run_folder, config.snapshots / EVIL])
    pages = sorted((base / "root").rglob("*.html"))
    assert sorted(page.name for page in pages) == ["compare.html", "overview.html", "report.html", "report.html"]
    for page in pages:
        content = page.read_text(encoding="utf-8")
        found = Elements(content)
        assert EVIL not in content
        assert found.injected == []
        assert "alert(1)" in found.text


class Elements(HTMLParser):
    """Reads a page as a browser does: its text, and elements that a name has injected."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.injected: list[str] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if any(name == "onerror" or (name == "src" and value == "x") for name, value in attrs):
            self.injected.append(f"{tag} {attrs}")

    def handle_data(self, data: str) -> None:
        self.text += data


def test_injected_elements_are_seen() -> None:
    assert Elements(f"<p>{escape(EVIL_IN_QUOTES)}</p>").injected == []
    assert Elements(f'<p title="{EVIL_IN_QUOTES}">x</p>').injected == ["img [('src', 'x'), ('onerror', 'alert(1)')]"]


@pytest.mark.parametrize("name", [name for name in bad_names(Path("/tmp")) if name.strip()] + ["", "../x"])
def test_names_of_runs_stay_in_their_folder(tmp_path: Path, name: str) -> None:
    (tmp_path / "x.toml").write_text(f"run = {json.dumps(name)}", encoding="utf-8")
    if re.fullmatch(r"[\w .+=@-]+", name) and name[0] not in ". ":
        pytest.skip("a plain name")
    with pytest.raises(SettingsError, match="run"):
        load(tmp_path / "x.toml")


def test_names_do_not_control_the_terminal() -> None:
    assert console.one_line("a\u202egpj\x9b2J\n.wav") == "a\\u202egpj\\x9b2J\\n.wav"


@pytest.mark.parametrize("setting", ["resnet_n = 2000000", "resnet_k = 2000000", "filters = [2000000, 8, 8, 8]"])
def test_networks_that_are_too_large_are_refused(tmp_path: Path, setting: str) -> None:
    (tmp_path / "x.toml").write_text(f"[model]\n{setting}\n", encoding="utf-8")
    with pytest.raises(SettingsError, match=setting.split()[0]):
        load(tmp_path / "x.toml")


EXECUTING = {
    "pickle",
    "joblib",
    "marshal",
    "yaml",
    "shelve",
    "dill",
    "cloudpickle",
}  # modules that execute what they read


def name_of_call(node: ast.Call) -> str:
    """Return the name of the function, such as 'np.load'."""
    return ast.unparse(node.func)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_untrusted_files_are_not_executed(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import | ast.ImportFrom):
            modules = {alias.name for alias in node.names} if isinstance(node, ast.Import) else {node.module or ""}
            assert not EXECUTING & {module.split(".")[0] for module in modules}, path
        if isinstance(node, ast.Call):
            options = {word.arg: ast.unparse(word.value) for word in node.keywords if word.arg}
            assert name_of_call(node) not in {
                "eval",
                "exec",
                "compile",
                "__import__",
                "os.system",
                "os.popen",
                "torch.load",
                "importlib.import_module",
            }, path
            assert options.get("shell", "False") == "False", path
            assert options.get("allow_pickle", "False") == "False", path
            assert options.get("autoescape", "True") != "False", path
            assert not name_of_call(node).endswith(("extractall", ".unpack_archive")), path
