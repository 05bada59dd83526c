"""card.py as a user calls it: a trained run becomes a folder, which is uploaded, fetched and loaded again."""

import dataclasses
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from markdown_it import MarkdownIt

import birdclef
import card
import predict
import test as test_script
import train
from config import Config
from tests.conftest import extracted
from tests.hub import TOKEN, Hub, running_hub
from utils.models import published
from utils.models.published import read_sums
from utils.models.snapshots import find_snapshot_at
from utils.portable_settings import SUMS
from utils.settings import load

pytest.importorskip("huggingface_hub", reason="the extra `hub` is not installed")
pytest.importorskip("onnxruntime", reason="the extra `export` is not installed")
from huggingface_hub import ModelCard

EVIL = "Anna | <script>alert(1)</script> [x](https://evil.example)"
DESCRIPTION = "Two *invented* species."


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory, undrawn: None) -> Config:
    """A run that was trained and tested, whose recordings are of two recordists and have licences and places."""
    made = extracted(tmp_path_factory.mktemp("home") / "anna secret")
    made = dataclasses.replace(made, training=dataclasses.replace(made.training, epochs=1))
    for index, path in enumerate(sorted((made.dataset.root / "metadata").rglob("*.json"))):
        known = json.loads(path.read_text())
        if "filename" not in known:
            continue
        known |= {
            "author": EVIL if index % 2 else "Bert",
            "locality": "Karen, Nairobi, Kenya",
            "url": "https://xeno-canto.org/1",
            "date": f"2021-05-{index + 1:02d}",
        }
        known |= {"latitude": -1.0 - index / 10, "longitude": 36.0}
        known |= {"licence": "//creativecommons.org/licenses/by-nc-sa/4.0/"} if index % 3 else {}
        path.write_text(json.dumps(known))
    train.main(made)
    test_script.main(made)
    return made


def publish(config: Config, out: Path, *words: str) -> int:
    return card.command([str(config.run_folder), "--out", str(out), *words])


@pytest.fixture(scope="module")
def folder(config: Config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("out")
    (home / "about.md").write_text(DESCRIPTION)
    words = ["--license", "CC-BY-NC-SA-4.0", "--author", EVIL, "--description", str(home / "about.md")]
    assert publish(config, home / "small", *words, "--datasets", "anna/birds") == 0
    return home / "small"


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    published._fetched.cache_clear()
    with running_hub(tmp_path / "cache", monkeypatch) as running:
        yield running
    published._fetched.cache_clear()


def test_the_head_is_that_of_the_hub(folder: Path, config: Config) -> None:
    data = ModelCard.load(folder / "README.md").data
    assert (data.license, data.library_name, data.pipeline_tag) == (
        "cc-by-nc-sa-4.0",
        "birdclef-jax",
        "audio-classification",
    )
    assert data.datasets == ["anna/birds"]
    saved = json.loads((config.run_folder / "test" / "metrics.json").read_text())["metrics"]
    wanted = {key: round(one["value"], 4) for key, one in saved.items() if one["value"] is not None}
    assert {one.metric_type: one.metric_value for one in data.eval_results} == wanted
    assert {(one.task_type, one.dataset_type, one.dataset_split) for one in data.eval_results} == {
        ("audio-classification", "anna/birds", "val")
    }


def test_the_card_says_what_is_known(folder: Path, config: Config) -> None:
    text = (folder / "README.md").read_text()
    split = pl.read_parquet(config.dataset.root / "split.parquet")
    learned = len((config.run_folder / "epoch_001" / "learned.txt").read_text().splitlines())
    assert DESCRIPTION in text
    assert "To be filled in" not in text
    assert f"It learned or was validated on {learned} recordings; {len(split.filter(split='val'))} others" in text
    counts = split.filter(split="train")["class"].value_counts().rows()
    assert all(f"| {label} | {label} |  | {count} |" in text for label, count in counts)
    assert "Kenya (" in text
    assert "CC BY-NC-SA 4.0 (" in text
    assert re.search(r"no licence given \([1-9]", text)
    assert "`training.learning_rate = 0.01`" in text
    assert "latitude -2" in text
    assert "recordists of whom it also learned" in text
    assert "![mean LRAP by class" in text


def test_nothing_from_outside_is_markup(folder: Path) -> None:
    text = (folder / "README.md").read_text().split("\n---\n", 1)[1]
    assert "evil.example" in text
    page = MarkdownIt("commonmark").enable("table").render(text)
    assert "<script" not in page
    assert re.findall(r'href="([^"]*)"', page) == ["https://arxiv.org/abs/1804.07177"]
    assert set(re.findall(r'src="([^"]*)"', page)) <= {"test/report.png", "test/thresholds.png", "curves.png"}


def test_no_path_of_the_machine_is_in_it(folder: Path, config: Config) -> None:
    for path in folder.rglob("*"):
        if path.is_file():
            assert b"anna secret" not in path.read_bytes(), path
    assert load(folder / "settings.toml").spectrogram == config.spectrogram


def test_the_sums_are_right(folder: Path) -> None:
    done = subprocess.run(["sha256sum", "-c", "--quiet", SUMS], cwd=folder, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")
    assert {"README.md", "classes.csv", "test/thresholds.json", "exports/network.onnx"} < set(read_sums(folder / SUMS))


def test_predictions_are_those_of_the_run(folder: Path, config: Config) -> None:
    recording = next((config.dataset.archive_folder or Path()).rglob("A0.wav"))
    found, wanted = (birdclef.predict(recording, snapshot=place) for place in (folder, config.run_folder))
    assert found.equals(wanted)
    assert len(wanted)


def test_thresholds_belong_to_the_published_model(
    folder: Path, config: Config, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recording = next((config.dataset.archive_folder or Path()).rglob("A0.wav"))
    assert predict.command([str(recording), "--snapshot", str(folder), "--out", str(tmp_path / "found.csv")]) == 0
    assert "made by a test with other networks" not in capsys.readouterr().err


def test_it_is_tested_and_trained_from_like_a_run(folder: Path, config: Config) -> None:
    testing = dataclasses.replace(config.testing, models=(folder,))
    tested = test_script.main(dataclasses.replace(config, run="again", testing=testing))
    saved = json.loads((config.run_folder / "test" / "metrics.json").read_text())
    assert tested.headline.mlrap == saved["mlrap"]
    training = dataclasses.replace(config.training, pretrained=folder)
    train.main(dataclasses.replace(config, run="tuned", training=training))
    assert (config.snapshots / "tuned" / "epoch_001").is_dir()


def test_writing_again_gives_the_same(folder: Path, config: Config) -> None:
    before = read_sums(folder / SUMS)
    again = ["--license", "cc-by-nc-sa-4.0", "--author", EVIL, "--description", str(folder.parent / "about.md")]
    assert publish(config, folder, *again, "--datasets", "anna/birds") == 0
    assert read_sums(folder / SUMS) == before


def test_what_nobody_knows_is_marked(config: Config, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    moved = shutil.copytree(config.run_folder / "epoch_001", tmp_path / "run" / "epoch_001")
    assert card.command([str(moved), "--formats", "--dataset.root", str(tmp_path / "nowhere")]) == 0
    printed = " ".join(capsys.readouterr().err.split())
    text = (tmp_path / "run-published" / "README.md").read_text()
    assert text.count("**To be filled in") == 6
    assert "license: unknown" in text
    for what in ("the licence of the model (--license)", "the metrics (test.py", "who made it (--author)"):
        assert f"to be filled in: {what}" in printed
    assert "this model was not tested" in printed
    assert not (tmp_path / "run-published" / "exports").exists()
    assert find_snapshot_at(tmp_path / "run-published", "best") is not None


def test_too_free_a_licence_is_told(config: Config, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert publish(config, tmp_path / "out", "--license", "cc-by-4.0", "--formats") == 0
    assert "--license cc-by-4.0 has no NC-SA, but" in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--license", "no licence!"], "should be the hub's identifier"),
        (["--upload", "anna"], "should be OWNER/NAME"),
        (["--upload", "../x/y"], "should be OWNER/NAME"),
        (["--public"], "--upload OWNER/NAME, which is missing"),
        (["--description", "nowhere.md"], "cannot be read"),
        (["--out", "."], "has other files"),
    ],
)
def test_wrong_calls_are_one_line(
    config: Config, words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert card.command([str(config.run_folder), *words]) == 1
    assert message in " ".join(capsys.readouterr().err.split())


def test_a_planted_path_ends_the_work(config: Config, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "about.md").write_text(f"see {config.dataset.root}/readme")
    assert publish(config, tmp_path / "out", "--description", str(tmp_path / "about.md"), "--formats") == 1
    assert "README.md: would tell a path of this machine" in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "out").exists()


def test_an_upload_is_private_and_resumed(
    folder: Path, hub: Hub, config: Config, capsys: pytest.CaptureFixture[str]
) -> None:
    call = [str(folder), "--upload", "anna/small"]
    assert card.command([*call, "--dry-run"]) == 0
    assert hub.asked == []
    hub.failing = "/commit/"
    assert card.command(call) == 1
    failed = capsys.readouterr()
    assert "README.md" in failed.out
    assert "the same command resumes it" in " ".join(failed.err.split())
    assert hub.repositories["anna/small"].files == {}
    hub.failing = ""
    assert card.command(call) == 0
    assert hub.repositories["anna/small"].private
    assert hub.repositories["anna/small"].files == {
        name: (folder / name).read_bytes() for name in (*read_sums(folder / SUMS), SUMS)
    }
    printed = capsys.readouterr()
    assert TOKEN not in failed.out + failed.err + printed.out + printed.err
    recording = next((config.dataset.archive_folder or Path()).rglob("A0.wav"))
    found = birdclef.predict(recording, snapshot="hf:anna/small")
    np.testing.assert_array_equal(found.to_numpy(), birdclef.predict(recording, snapshot=folder).to_numpy())


def test_a_model_that_cannot_be_fetched_is_one_line(
    config: Config, hub: Hub, capsys: pytest.CaptureFixture[str]
) -> None:
    recording = next((config.dataset.archive_folder or Path()).rglob("A0.wav"))
    assert predict.command([str(recording), "--snapshot", "hf:anna/none"]) == 1
    printed = capsys.readouterr().err
    assert "hf:anna/none: cannot be downloaded" in " ".join(printed.split())
    assert "Traceback" not in printed
    assert len(hub.asked) == 1


def test_a_public_repository_needs_the_flag(folder: Path, hub: Hub, capsys: pytest.CaptureFixture[str]) -> None:
    hub.holds("anna/open", folder).files["epoch_099/classes.txt"] = b"of an earlier upload"
    assert card.command([str(folder), "--upload", "anna/open"]) == 1
    assert "everybody may see it; add --public" in " ".join(capsys.readouterr().err.split())
    assert card.command([str(folder), "--upload", "anna/open", "--public"]) == 0
    assert "epoch_099/classes.txt" not in hub.repositories["anna/open"].files
    assert card.command([str(folder), "--upload", "anna/new", "--public"]) == 0
    assert not hub.repositories["anna/new"].private


def test_a_published_folder_is_not_published_again(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert card.command([str(folder)]) == 1
    assert "is published already; to upload it as it is, add --upload" in " ".join(capsys.readouterr().err.split())


def test_other_formats_give_the_same_scores(config: Config, tmp_path: Path) -> None:
    pytest.importorskip("utils.publishing.openvino_files")._openvino()
    assert publish(config, tmp_path / "out", "--formats", "onnx-int8", "openvino") == 0
    text = (tmp_path / "out" / "README.md").read_text()
    (row,) = re.findall(r"\| `exports/network\.xml` \| (\S+) \|", text)
    assert float(row) < 1e-3
    (row,) = re.findall(r"\| `exports/network-int8\.onnx` \| (\S+) \|", text)
    assert 1e-5 < float(row) < 0.3  # it computed in int8
    described = (tmp_path / "out" / "exports" / "network.xml").read_text()
    assert "Altus clarus" in described
    assert (tmp_path / "out" / "exports" / "network.bin").is_file()
    assert not (tmp_path / "out" / "exports" / "for-openvino.onnx").exists()


def test_an_export_that_differs_is_not_published(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("utils.publishing.exports.TOLERANCES", {"onnx": 0.0, "onnx-int8": 0.0, "openvino": 0.0})
    assert publish(config, tmp_path / "out", "--formats", "onnx-int8") == 1
    assert "its scores differ by up to" in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "out").exists()


def test_no_link_is_published(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    linked = shutil.copytree(folder, tmp_path / "linked")
    secret = tmp_path / "secret.txt"
    secret.write_text("mine")
    (linked / "README.md").unlink()
    (linked / "README.md").symlink_to(secret)
    assert card.command([str(linked), "--upload", "anna/birds", "--dry-run"]) == 1
    assert "README.md: is a link" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words", [["--license", "mit"], ["--author", "Bert"], ["--overwrite"], ["--formats", "openvino"]]
)
def test_flags_of_the_card_are_refused_for_what_is_published(
    folder: Path, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert card.command([str(folder), "--upload", "anna/birds", "--dry-run", *words]) == 1
    assert "is published already; to upload it as it is" in capsys.readouterr().err
