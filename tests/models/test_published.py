"""Published models: sums, names that are fetched, and the hub, whose stand-in runs on this machine."""

import hashlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import jax
import numpy as np
import pytest

from config import Config
from tests.conftest import small_config
from tests.hub import Hub, running_hub
from utils.console import UserError
from utils.files import write_text
from utils.models import published
from utils.models.networks import build_network
from utils.models.published import LOADED, SUMS, check_published, published_at, read_sums
from utils.models.saved_networks import load_network, save_snapshot
from utils.models.snapshots import Snapshot, find_snapshot_at
from utils.settings import to_toml

CLASSES = ("Parus major", "Turdus merula")


def write_sums(folder: Path) -> None:
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    lines = [f"{hashlib.sha256((folder / name).read_bytes()).hexdigest()}  {name}\n" for name in names if name != SUMS]
    (folder / SUMS).write_text("".join(lines))


@pytest.fixture
def folder(model: Path, tmp_path: Path) -> Path:
    return shutil.copytree(model, tmp_path / "published")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A published model as small as can be."""
    home = tmp_path_factory.mktemp("published")
    config = small_config(home)
    snapshot = Snapshot(home / "epoch_007", config, CLASSES, 7, 0.5, "")
    network = build_network(config.model, classes=2, shape=config.spectrogram.shape, seed=1)[1]
    save_snapshot(snapshot, network, None, recordings=["a", "b"])
    (home / "epoch_007" / "net" / "commit_success.txt").unlink()
    write_text(home / "settings.toml", to_toml(config))
    write_text(home / "README.md", "# A model")
    write_sums(home)
    return home


@pytest.fixture
def hub(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    published._fetched.cache_clear()
    with running_hub(tmp_path / "cache", monkeypatch) as running:
        running.holds("anna/birds", folder)
        yield running
    published._fetched.cache_clear()


@pytest.mark.parametrize(
    "name",
    [
        "settings.toml",
        "epoch_012/settings.toml",
        "epoch_012/net/ocdbt.process_0/d/f8612594d5129326d90316c09827d9d4",
        "epoch_012/net/_METADATA",
        "epoch_012/prototypes.safetensors",
        "test/thresholds.json",
    ],
)
def test_what_loading_needs_is_fetched(name: str) -> None:
    assert LOADED.fullmatch(name)


@pytest.mark.parametrize(
    "name",
    [
        "README.md",
        "model.pkl",
        "epoch_012/model.py",
        "epoch_012/network.onnx",
        "epoch_012/net/../../../settings.toml",
        "epoch_012/net/..",
        "epoch_012/net/.hidden",
        "epoch_012/net/a\\b",
        "/epoch_012/net/a",
        "epoch_012/net/commit_success.txt",
        "../settings.toml",
        "test/report.html",
        "epoch_012/net/a/b/c/d/e/f/g",
    ],
)
def test_nothing_else_is(name: str) -> None:
    assert not LOADED.fullmatch(name)


def test_a_published_model_is_loaded_as_a_run(folder: Path) -> None:
    found = find_snapshot_at(folder, "best")
    assert found is not None
    assert found.classes == CLASSES
    assert find_snapshot_at(folder / "epoch_007", "best") == found
    load_network(found)


@pytest.mark.parametrize("name", ["epoch_007/classes.txt", "epoch_007/net/_METADATA", "settings.toml"])
@pytest.mark.parametrize("damage", ["changed", "gone"])
def test_a_damaged_file_is_one_line(folder: Path, name: str, damage: str) -> None:
    check_published(folder)
    path = folder / name
    path.write_bytes(path.read_bytes() + b" ") if damage == "changed" else path.unlink()
    for place in (folder, folder / "epoch_007"):
        with pytest.raises(UserError, match=rf"{name}: is missing or differs from its sum in SHA256SUMS; .*again$"):
            find_snapshot_at(place, "best")


def test_a_snapshot_without_sums_is_refused(folder: Path) -> None:
    """One that somebody put beside the published one would be taken, where its metric is better."""
    shutil.copytree(folder / "epoch_007", folder / "epoch_999")
    with pytest.raises(UserError, match=r"epoch_999/\S+: is not listed in SHA256SUMS"):
        find_snapshot_at(folder, "best")


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "a/../../x"])
def test_a_list_names_nothing_outside(folder: Path, name: str) -> None:
    with (folder / SUMS).open("a") as stream:
        stream.write(f"{'0' * 64}  {name}\n")
    with pytest.raises(UserError, match="is outside"):
        read_sums(folder / SUMS)


def test_other_files_may_change(folder: Path) -> None:
    (folder / "README.md").write_text("edited by hand")
    check_published(folder)


@pytest.mark.parametrize("text", ["", "no sums\n", f"{'0' * 64}  README.md\n", f"{'0' * 63}  settings.toml\n", "\xff"])
def test_a_damaged_list_is_one_line(folder: Path, text: str) -> None:
    (folder / SUMS).write_bytes(text.encode("latin-1"))
    with pytest.raises(UserError, match=r"SHA256SUMS: (is not a list|lists no snapshot)"):
        find_snapshot_at(folder, "best")


def test_the_hub_is_asked_once(hub: Hub, folder: Path) -> None:
    found = find_snapshot_at(Path("hf:anna/birds"), "best")
    assert found is not None
    assert found.classes == CLASSES
    wanted = load_network(find_snapshot_at(folder, "best"))[1]  # type: ignore[arg-type]
    for one, other in zip(*(tree_leaves(network) for network in (wanted, load_network(found)[1])), strict=True):
        np.testing.assert_array_equal(one, other)
    assert not any("README" in path for path in hub.asked)
    fetched = len(hub.asked)
    find_snapshot_at(Path("hf:anna/birds"), "best")
    assert len(hub.asked) == fetched
    published._fetched.cache_clear()  # as in another process
    find_snapshot_at(Path("hf:anna/birds"), "best")
    assert len(hub.asked) == fetched
    hub.repositories["anna/birds"].files["settings.toml"] += b"# newer"
    write_sums_of(hub)
    newer = published_at(Path("hf:anna/birds@main"))
    assert newer != found.folder.parent
    assert (newer / "settings.toml").read_text().endswith("# newer")


def write_sums_of(hub: Hub) -> None:
    files = hub.repositories["anna/birds"].files
    lines = [f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in files.items() if name != SUMS]
    files[SUMS] = "".join(lines).encode()


def tree_leaves(network: object) -> list[np.ndarray]:
    return [np.asarray(leaf) for leaf in jax.tree.leaves(network)]


def test_a_revision_is_fetched(hub: Hub) -> None:
    published_at(Path("hf:anna/birds@v1"))
    assert "HEAD /anna/birds/resolve/v1/SHA256SUMS" in hub.asked
    with pytest.raises(
        UserError, match=r"^hf:anna/birds@other: cannot be downloaded \(Rev.*download all files of anna"
    ):
        published_at(Path("hf:anna/birds@other"))


def test_without_a_connection_the_cache_serves(hub: Hub) -> None:
    folder = published_at(Path("hf:anna/birds"))
    published._fetched.cache_clear()
    hub.failing = "/"
    assert published_at(Path("hf:anna/birds")) == folder
    assert published_at(Path(f"hf:anna/birds@{folder.name}")) == folder
    published._fetched.cache_clear()
    with pytest.raises(
        UserError, match=r"^hf:anna/other: cannot be downloaded \(.*name that folder instead of hf:anna"
    ):
        published_at(Path("hf:anna/other"))


def test_files_that_lead_elsewhere_are_not_fetched(hub: Hub, tmp_path: Path) -> None:
    repository = hub.repositories["anna/birds"]
    planted = hashlib.sha256(b"planted").hexdigest()
    for name in ("../../outside.txt", "epoch_007/evil.py", "epoch_007/net/../../../outside.txt"):
        repository.files[name] = b"planted"
    repository.files[SUMS] += f"{planted}  epoch_007/evil.py\n".encode()
    published_at(Path("hf:anna/birds"))
    published._fetched.cache_clear()
    shutil.rmtree(tmp_path / "cache", ignore_errors=True)
    repository.files[SUMS] += f"{planted}  epoch_007/net/../../../outside.txt\n".encode()
    with pytest.raises(UserError, match="is outside"):
        published_at(Path("hf:anna/birds"))
    assert not any("outside" in path or "evil" in path for path in hub.asked)
    assert not [*tmp_path.rglob("outside.txt"), *tmp_path.rglob("evil.py")]


def test_a_download_that_differs_is_one_line(hub: Hub) -> None:
    hub.repositories["anna/birds"].files["epoch_007/classes.txt"] = b"Corvus corax\n"
    with pytest.raises(UserError, match=r"classes\.txt: is missing or differs from its sum"):
        published_at(Path("hf:anna/birds"))


@pytest.mark.parametrize("name", ["hf:", "hf:anna", "hf:anna/../x", "hf:a/b/c", "hf:a b/c", "hf:a/b@", "hf:a/b@../c"])
def test_a_wrong_name_is_one_line(name: str) -> None:
    with pytest.raises(UserError, match="should be hf:OWNER/NAME"):
        published_at(Path(name))


def test_without_the_extra_a_line_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("utils.models.published.find_spec", lambda _: None)
    with pytest.raises(UserError, match=r"pip install '\.\[hub\]'"):
        published_at(Path("hf:anna/nothing-installed"))


def test_sums_are_those_of_sha256sum(tmp_path: Path) -> None:
    (tmp_path / SUMS).write_text(f"{'a' * 64}  x.txt\n{'b' * 64} *folder/with spaces.txt\n")
    assert read_sums(tmp_path / SUMS) == {"x.txt": "a" * 64, "folder/with spaces.txt": "b" * 64}


def test_other_paths_stay(tmp_path: Path) -> None:
    assert published_at(tmp_path) == tmp_path
    assert find_snapshot_at(Config().run_folder, "best") is None
