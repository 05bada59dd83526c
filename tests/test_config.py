"""Settings: defaults, file, flags, and one clear line for what is wrong."""

import ast
import dataclasses
import hashlib
import json
import tomllib
from pathlib import Path

import pytest

from config import Clips, Config, SettingsError, Spectrogram
from utils import settings_keys
from utils.command_line import from_command_line
from utils.settings import RENAMED, load, settings_with_defaults, to_toml
from utils.settings_keys import changed_settings, settings_for_key, short_key


def read(*words: str) -> Config:
    return from_command_line(words, doc="", script="x.py")[0]


def write(folder: Path, text: str) -> str:
    path = folder / "x.toml"
    path.write_text(text)
    return str(path)


def test_flags_go_over_file_and_file_over_defaults(tmp_path: Path) -> None:
    file = write(tmp_path, 'run = "a"\n[training]\nepochs = 7\nbatch_size = 16\n[model]\nfilters = [8, 16]\n')
    config = read(file, "--training.epochs", "5", "--testing.ridge")
    assert (config.run, config.training.epochs, config.training.batch_size, config.model.filters) == (
        "a",
        5,
        16,
        (8, 16),
    )
    assert config.testing.ridge
    assert config.training.schedule == "cosine"


def test_saved_settings_start_the_same_run_again(tmp_path: Path) -> None:
    config = read(
        "--dataset.archive", "some where/é", "--training.signal_interval", "0.1", "0.2", "--model.no-batch_norm"
    )
    assert load(Path(write(tmp_path, to_toml(config)))) == config
    assert read() == load(Path(write(tmp_path, to_toml(read()))))
    several = read(
        "--testing.models",
        "snapshots/a",
        "snapshots/b/epoch_003",
        "--testing.weights",
        "1",
        "0.5",
        "--testing.prior",
        "~/prior.tsv",
    )
    assert several.testing.models == (Path("snapshots/a"), Path("snapshots/b/epoch_003"))
    assert several.testing.prior == Path.home() / "prior.tsv"
    assert load(Path(write(tmp_path, to_toml(several)))) == several


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[spectrogram]\nfmn = 500", r"x\.toml: spectrogram\.fmn: no such setting; did you mean spectrogram\.fmin\?"),
        ("fmin = 500", r"x\.toml: fmin: no such setting; did you mean spectrogram\.fmin\?"),
        ('[training]\nepochs = "five"', r'x\.toml: training\.epochs = "five": should be a valid integer'),
        ("[training]\nepochs = 5.5", r"x\.toml: training\.epochs = 5\.5: should be a valid integer"),
        ("[training]\nepochs = 0", r"x\.toml: training\.epochs = 0: should be greater than or equal to 1"),
        (
            "[training]\nval_share = 1.5",
            r"training\.validation_share = 1\.5: .*; in the file it has its old name, training\.val_share$",
        ),
        ('[model]\nname = "Resnet"', r"""x\.toml: model\.name = "Resnet": should be 'Baseline', .*'Pi'"""),
        ("[model]\nfilters = [8, -8]", r"x\.toml: model\.filters\.1 = -8: should be greater"),
        (
            '[testing]\nmodels = ["a", "b"]\nweights = [1.0]',
            r"x\.toml: testing\.weights = \[1\.0\]: should be one for each of the 2 in testing\.models",
        ),
        (
            '[testing]\nmodels = ["a"]\nweights = [0.0]',
            r"x\.toml: testing\.weights\.0 = 0\.0: should be greater than 0",
        ),
        (
            '[testing]\npooling = "median"',
            r"testing\.pooling = \"median\": should be 'median_filtered', 'mean_exponential', 'mean', 'max' or",
        ),
        (
            "[testing]\nprior_strength = 1.0",
            r"x\.toml: testing\.prior_strength: no such setting; did you mean testing\.prior",
        ),
        ("training = 3", r"x\.toml: training = 3: should be"),
        ("[spectrogram]\nfmin = 15000", r"x\.toml: spectrogram\.fmin = 15000\.0: should be below spectrogram\.fmax"),
        (
            "[spectrogram]\nfmax = 30000",
            r"x\.toml: spectrogram\.fmax = 30000\.0: should be at most half of spectrogram\.rate",
        ),
        (
            "[spectrogram]\nhop = 44101",
            r"x\.toml: spectrogram\.hop = 44101: should be at most the 44100 samples of a clip",
        ),
        (
            "[spectrogram]\nwidth = 4096\n[clips]\nlength = 0.05\nmin_length = 0.05\noverlap = 0.0",
            r"spectrogram\.width = 4096: a clip has only 2205",
        ),
        ("[spectrogram]\nn_fft = 15", r"x\.toml: spectrogram\.n_fft = 15: should be 0 or an even number from 16 on"),
        ("[spectrogram]\nn_fft = 1025", r"x\.toml: spectrogram\.n_fft = 1025: should be 0 or an even"),
        (
            "[spectrogram]\nn_fft = 131072",
            r"x\.toml: spectrogram\.n_fft = 131072: should be less than or equal to 65536",
        ),
        (
            '[spectrogram]\nkind = "linear"\nfmax = 580',
            r"spectrogram\.fmax = 580\.0: should be 86 Hz or more above spectrogram\.fmin",
        ),
        (
            '[spectrogram]\nkind = "linear"\nn_fft = 64\nfmax = 1800',
            r"fmax = 1800\.0: should be 1378 Hz or more above spectrogram\.fmin",
        ),
        (
            "[spectrogram]\nhigh_pass = 0.5",
            r"x\.toml: spectrogram\.high_pass = 0\.5: should be 0 \(off\) or at least 1 Hz",
        ),
        (
            "[spectrogram]\nhigh_pass = 15000",
            r"x\.toml: spectrogram\.high_pass = 15000\.0: should be below spectrogram\.fmax",
        ),
        (
            "[spectrogram]\nnoise_reduction = 1.5",
            r"x\.toml: spectrogram\.noise_reduction = 1\.5: should be less than or equal to 1",
        ),
        (
            '[spectrogram]\nkind = "log"',
            r"""x\.toml: spectrogram\.kind = "log": should be 'mel', 'linear', 'pcen' or 'reassigned'""",
        ),
        ("[clips]\noverlap = 1.0", r"x\.toml: clips\.overlap = 1\.0: should be less than clips\.length"),
        ("[clips]\nmin_length = 2.0", r"x\.toml: clips\.min_length = 2\.0: should be at most clips\.length"),
        (
            '[clips]\nchoose = "loudest"',
            r"""x\.toml: clips\.choose = "loudest": should be 'grid', 'peaks', 'annotations', 'first' or 'table'""",
        ),
        ("[clips]\ncount = -1", r"x\.toml: clips\.count = -1: should be greater than or equal to 0"),
        (
            '[clips]\nchoose = "peaks"\n[spectrogram]\nfmin = 950.0\nfmax = 1000.0',
            r"spectrogram\.fmin = 950\.0: should be at least 100 Hz below spectrogram\.fmax for clips\.choose = peaks",
        ),
        (
            "[model]\nkernel_sizes = [3, 3]",
            r"x\.toml: model\.kernel_sizes = \[3, 3\]: should have an entry for each of the 4",
        ),
        ("[model]\nkernel_sizes = [3, 4, 3, 3]", r"x\.toml: model\.kernel_sizes = \[3, 4, 3, 3\]: should be odd"),
        ("[model]\ngroups = [1, 3, 1, 1]", r"x\.toml: model\.groups = .* 3 does not divide"),
        (
            f"[model]\nfilters = {[4] * 8}\nkernel_sizes = {[3] * 8}\ngroups = {[1] * 8}",
            r"each of them halves a spectrogram of 128 × 256 pixels",
        ),
        (
            '[model]\nname = "Pi"\n[spectrogram]\nheight = 15',
            r"model\.filters = \[16, 32, 64, 128\]: should be at most 3 entries: each of them halves a .* 15 × 256 pix",
        ),
        ("[model]\nchannels = 2", r"x\.toml: model\.channels = 2: should be 1 or 3"),
        ("[model]\ndense_units = 0", r"x\.toml: model\.dense_units = 0: should be greater than or equal to 1"),
        ('run = "../elsewhere"', r'x\.toml: run = "\.\./elsewhere": should be a plain name'),
        (
            "[training]\nlearning_rate_end = 0.1",
            r"x\.toml: training\.learning_rate_end = 0\.1: should be at most training\.learning_rate",
        ),
        ("[training]\nsignal_interval = [0.2, 0.1]", r"should start with the lower end"),
        ("[training]\nsignal_interval = [0.2]", r"x\.toml: training\.signal_interval\.1"),
        ("[training\n", r"x\.toml: Expected"),
        ("[training]\nlearning_rate = inf", r"x\.toml: training\.learning_rate = .*: should be a finite number"),
        ("run = 2018-01-01", r'x\.toml: run = "2018-01-01": should be a text'),
        ('[dataset]\nroot = "a\\u0000b"', r"x\.toml: dataset\.root = .*: should be a path without control characters"),
        (
            '[training]\nimages = "a\\u0000b"',
            r"x\.toml: training\.images = .*: should be a path without control characters",
        ),
        (
            '[training]\nschedule = "step"\nsteps = 9\nepochs = 3',
            r"x\.toml: training\.steps = 9: should be at most training\.epochs \(3\)",
        ),
    ],
)
def test_wrong_files_end_in_one_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message) as caught:
        read(write(tmp_path, text))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--training.image", "x"), r"--training\.image: no such flag; did you mean training\.images\?"),
        (("--spectrogram.fmn", "3"), r"--spectrogram\.fmn: no such flag; did you mean spectrogram\.fmin\?"),
        (("--training.epochs", "many"), r'command line: training\.epochs = "many": should be a valid integer'),
        (("--training.epochs", "0"), r"command line: training\.epochs = 0: should be greater"),
        (("--training.epochs",), r"command line: --training\.epochs: needs a value$"),
        (("--model.name", "Foo"), r"""model\.name = "Foo": should be 'Baseline', .*'MobileNetV4Small'$"""),
        (("--spectrogram.fmax", "30000"), r"command line: spectrogram\.fmax = 30000\.0: should be at most"),
        (("experiments/demoo.toml",), r"experiments/demoo\.toml: no such file"),
        (("--clips.length", "inf"), r"command line: clips\.length = .*: should be a finite number"),
        (
            ("--training.epochs", "3", "experiments/demo.toml"),
            r"experiments/demo\.toml: the experiment's file goes before all flags",
        ),
        (("--training.epochs", "3", "4"), r"^4: is neither a flag nor the value of one; --help lists all flags$"),
        (("--model.no-batchnorm",), r"^--model\.no-batchnorm: no such flag; did you mean model\.batch_norm\?$"),
        (
            ("--workers", "2", "--training.seed=x", "--run", "a"),
            r'^command line: training\.seed = "x": should be a valid int',
        ),
        (("--training.signal_interval", "0.1"), r"^command line: training\.signal_interval\.1 = .*: is missing$"),
        (("--model.filters", "8", "a"), r'^command line: model\.filters\.1 = "a": should be a valid integer'),
        (("--training.val_share", "0.1"), r"^--training\.val_share: is now called --training\.validation_share$"),
        (("--training.val-share=0.1",), r"^--training\.val-share: is now called --training\.validation_share$"),
        (("--distillation.no-untaught",), r"no-untaught: is now called --distillation\.no-compare_without_teachers$"),
    ],
)
def test_wrong_flags_end_in_one_line(words: tuple[str, ...], message: str) -> None:
    with pytest.raises(SettingsError, match=message) as caught:
        read(*words)
    assert "\n" not in str(caught.value)


def comments() -> dict[str, str]:
    """Return the comment of every setting in config.py: behind the field, or in the lines above it."""
    source = (Path(__file__).parents[1] / "config.py").read_text()
    lines = source.splitlines()
    classes = {node.name: node for node in ast.parse(source).body if isinstance(node, ast.ClassDef)}

    def found(name: str, prefix: str = "") -> dict[str, str]:
        result = {}
        for field in classes[name].body:
            if not isinstance(field, ast.AnnAssign) or not isinstance(field.target, ast.Name):
                continue
            if ast.unparse(field.annotation) in classes:
                result |= found(ast.unparse(field.annotation), f"{prefix}{field.target.id}.")
                continue
            first = field.lineno - 1
            while lines[first - 1].startswith("    # "):
                first -= 1
            above = " ".join(line.strip("# ") for line in lines[first : field.lineno - 1])
            result[prefix + field.target.id] = above or lines[field.lineno - 1].partition("  # ")[2]
        return result

    return found("Config")


def test_every_setting_explains_itself(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        read("--help")
    text = " ".join(capsys.readouterr().out.replace("│", " ").split())
    explained = comments()
    assert list(explained) == [name for name, _, _ in settings_with_defaults(Config())]
    for name, comment in explained.items():
        assert len(comment) > 10, name
        assert f"--{name}" in text
        # a terminal breaks lines at hyphens, too
        assert comment.replace(" ", "") in text.replace(" ", ""), name


def test_changed_settings_are_named() -> None:
    one = Config()
    other = dataclasses.replace(one, run="b", clips=dataclasses.replace(one.clips, overlap=0.5))
    assert changed_settings(one, other, of=("clips.", "spectrogram.")) == ["clips.overlap was 0.25, is 0.5"]
    of = ("submission.overlap", "testing.prior")
    other = dataclasses.replace(one, submission=dataclasses.replace(one.submission, overlap=0.5))
    assert changed_settings(one, other, of=of) == ["submission.overlap was null, is 0.5"]
    assert changed_settings(other, one, of=of) == ["submission.overlap was 0.5, is null"]


def test_what_has_no_effect_is_in_no_key() -> None:
    one = Config()
    other = dataclasses.replace(one, spectrogram=dataclasses.replace(one.spectrogram, images=True, engine="cpu"))
    assert changed_settings(one, other, of=("clips.", "spectrogram.")) == []
    assert settings_for_key(one, of=("spectrogram.",)) == settings_for_key(other, of=("spectrogram.",))
    assert "spectrogram.images" in {name for name, _, _ in settings_with_defaults(other)}


def key(config: Config, *of: str) -> str:
    return hashlib.sha256(json.dumps(settings_for_key(config, of=of)).encode()).hexdigest()[:16]


STORE, MODEL = ("clips.", "spectrogram."), ("clips.", "spectrogram.", "model.", "training.loss")
CHANGED = Config(
    clips=Clips(choose="peaks", count=3),
    spectrogram=Spectrogram(channel=2, kind="pcen"),
    testing=dataclasses.replace(Config().testing, pooling="max"),
)


@pytest.mark.parametrize(
    ("config", "of", "expected"),
    [
        (Config(), STORE, "c8895767393e6033"),
        (Config(), MODEL, "eaae2c48f94ae532"),
        (Config(), ("testing.pooling", "testing.sharpness"), "355974651cb78a0f"),
        (Config(), ("testing.",), "9d7d1a5c803e1aec"),
        (CHANGED, STORE, "a648d038ac95345c"),
        (CHANGED, MODEL, "0377cdbdcd0606fd"),
        (CHANGED, ("testing.pooling", "testing.sharpness"), "533a7153e2737669"),
        (CHANGED, ("testing.",), "2ae96d46789e4920"),
    ],
)  # by the version before this test, revision dc9aca7
def test_keys_stay_what_they_were(config: Config, of: tuple[str, ...], expected: str) -> None:
    assert key(config, *of) == expected


@dataclasses.dataclass(frozen=True)
class MoreClips(Clips):
    reverse: bool = False
    again: int | None = None


def test_a_new_setting_leaves_keys_as_they_are_until_it_is_used() -> None:
    new = dataclasses.replace(Config(), clips=MoreClips())
    assert key(new, *STORE) == key(Config(), *STORE)
    used = dataclasses.replace(Config(), clips=MoreClips(reverse=True))
    assert key(used, *STORE) != key(Config(), *STORE)
    assert list(settings_for_key(used, of=STORE))[-1] == "clips.reverse"
    again = dataclasses.replace(Config(), clips=MoreClips(reverse=True, again=1))
    assert list(settings_for_key(again, of=STORE))[-2:] == ["clips.again", "clips.reverse"]


def test_a_renamed_setting_leaves_keys_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    names = {"overlap": "shared"}
    fields = [
        (names.get(one.name, one.name), one.type, dataclasses.field(default=one.default))
        for one in dataclasses.fields(Clips)
    ]
    renamed = dataclasses.make_dataclass("RenamedClips", fields, frozen=True)
    config = dataclasses.replace(Config(), clips=renamed())
    assert key(config, *STORE) != key(Config(), *STORE)
    monkeypatch.setitem(settings_keys.FIRST_NAMES, "clips.shared", "clips.overlap")
    assert key(config, *STORE) == key(Config(), *STORE)


def test_a_changed_value_changes_the_key() -> None:
    seen = {key(Config(), *STORE)}
    for clips in (Clips(overlap=0.5), Clips(seed=1), Clips(choose="first")):
        seen.add(key(Config(clips=clips), *STORE))
    assert len(seen) == 4


OLD = """
[training]
val_share = 0.3
pictures = "a"
[testing]
side = "val"
[spectrogram]
pictures = true
[distillation]
keep_answers = false
untaught = false
"""


def test_files_may_use_the_old_names_of_settings(tmp_path: Path) -> None:
    file, told = write(tmp_path, OLD), []
    config = load(Path(file))
    training, distillation = config.training, config.distillation
    assert (training.validation_share, training.images, config.testing.held_out) == (0.3, Path("a"), "val")
    assert config.spectrogram.images
    assert not distillation.cache_predictions
    assert not distillation.compare_without_teachers
    assert from_command_line([file], doc="", script="x.py", warn=told.append)[0] == config
    assert sorted(told) == sorted(
        f"{file}: {old} is now called {new}; please rename it" for old, new in RENAMED.items()
    )
    assert load(Path(write(tmp_path, to_toml(config))), warn=told.append) == config
    assert len(told) == len(RENAMED)


def test_old_and_new_name_together_are_refused(tmp_path: Path) -> None:
    text = "[training]\nval_share = 0.3\nvalidation_share = 0.3"
    with pytest.raises(
        SettingsError, match=r"x\.toml: training\.val_share: is the old name of training\.validation_sh"
    ):
        read(write(tmp_path, text))


def test_renamed_settings_exist_under_their_new_names() -> None:
    names = {name for name, _, _ in settings_with_defaults(Config())}
    assert {*RENAMED.values()} <= names
    assert not {*RENAMED} & names


def test_experiments_are_valid() -> None:
    for file in (Path(__file__).parents[1] / "experiments").glob("*.toml"):
        assert load(file).run == tomllib.loads(file.read_text())["run"]


def test_home_is_written_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert read(write(tmp_path, '[dataset]\nroot = "~/birds"')).dataset.root == tmp_path / "birds"
    assert read(write(tmp_path, '[training]\nimages = "~/birds"')).training.images == tmp_path / "birds"


def test_short_keys_stay_the_same() -> None:
    """They name folders and files of earlier versions."""
    assert short_key([1, "a", None]) == hashlib.sha256(b'[1, "a", null]').hexdigest()[:16]
    assert short_key({"a": 1}, text="\n") == hashlib.sha256(b'{"a": 1}\n').hexdigest()[:16]
