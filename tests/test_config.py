"""Settings: defaults, file, flags, and one clear line for what is wrong."""

import dataclasses
import tomllib
from pathlib import Path

import pytest

from config import Config, SettingsError, deciding, differences, flat, from_command_line, load, to_toml


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
        ('[model]\nname = "Resnet"', r"""x\.toml: model\.name = "Resnet": should be 'Baseline', 'ResNet' or 'Pi'"""),
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
            r"x\.toml: testing\.pooling = \"median\": should be 'median_filtered', 'mean_exponential', 'mean', 'max' or",
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
        ("[spectrogram]\nhop = 44101", r"x\.toml: spectrogram\.hop = 44101: should be at most a clip's 44100 samples"),
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
        ('[spectrogram]\nkind = "log"', r"""x\.toml: spectrogram\.kind = "log": should be 'mel', 'linear' or 'pcen'"""),
        ("[clips]\noverlap = 1.0", r"x\.toml: clips\.overlap = 1\.0: should be less than clips\.length"),
        ("[clips]\nmin_length = 2.0", r"x\.toml: clips\.min_length = 2\.0: should be at most clips\.length"),
        (
            '[clips]\nchoose = "loudest"',
            r"""x\.toml: clips\.choose = "loudest": should be 'grid', 'peaks', 'annotations' or 'first'""",
        ),
        ("[clips]\ncount = -1", r"x\.toml: clips\.count = -1: should be greater than or equal to 0"),
        (
            '[clips]\nchoose = "peaks"\n[spectrogram]\nfmin = 950.0\nfmax = 1000.0',
            r"x\.toml: spectrogram\.fmin = 950\.0: should be at least 100 Hz below spectrogram\.fmax for clips\.choose = peaks",
        ),
        (
            "[model]\nkernel_sizes = [3, 3]",
            r"x\.toml: model\.kernel_sizes = \[3, 3\]: should have an entry for each of the 4",
        ),
        ("[model]\nkernel_sizes = [3, 4, 3, 3]", r"x\.toml: model\.kernel_sizes = \[3, 4, 3, 3\]: should be odd"),
        ("[model]\ngroups = [1, 3, 1, 1]", r"x\.toml: model\.groups = .* 3 does not divide"),
        (
            "[model]\nfilters = [4, 4, 4, 4, 4, 4, 4, 4]\nkernel_sizes = [3, 3, 3, 3, 3, 3, 3, 3]\ngroups = [1, 1, 1, 1, 1, 1, 1, 1]",
            r"halve a picture",
        ),
        (
            '[model]\nname = "Pi"\n[spectrogram]\nheight = 15',
            r"model\.filters = \[16, 32, 64, 128\]: should be at most 3 entries, for they cannot halve a picture of 15 × 256 pixels",
        ),
        ("[model]\nchannels = 2", r"x\.toml: model\.channels = 2: should be 1 or 3"),
        ("[model]\ndense_units = 0", r"x\.toml: model\.dense_units = 0: should be greater than or equal to 1"),
        ('run = "../elsewhere"', r'x\.toml: run = "\.\./elsewhere": should be a plain name'),
        (
            "[training]\nlearning_rate_end = 0.1",
            r"x\.toml: training\.learning_rate_end = 0\.1: should be at most training\.learning_rate",
        ),
        ("[training]\nsignal_interval = [0.2, 0.1]", r"should begin with the lower end"),
        ("[training]\nsignal_interval = [0.2]", r"x\.toml: training\.signal_interval\.1"),
        ("[training\n", r"x\.toml: Expected"),
        ("[training]\nlearning_rate = inf", r"x\.toml: training\.learning_rate = .*: should be a finite number"),
        ("run = 2018-01-01", r'x\.toml: run = "2018-01-01": should be a text'),
        ('[dataset]\nroot = "a\\u0000b"', r"x\.toml: dataset\.root = .*: should be a path without control characters"),
        (
            '[training]\npictures = "a\\u0000b"',
            r"x\.toml: training\.pictures = .*: should be a path without control characters",
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
        (("--training.picture", "x"), r"--training\.picture: no such flag; did you mean training\.pictures\?"),
        (("--spectrogram.fmn", "3"), r"--spectrogram\.fmn: no such flag; did you mean spectrogram\.fmin\?"),
        (("--training.epochs", "many"), r"command line: --training\.epochs: invalid"),
        (("--training.epochs", "0"), r"command line: training\.epochs = 0: should be greater"),
        (("--training.epochs",), r"command line: Missing value for argument '--training\.epochs'"),
        (("--model.name", "Foo"), r"command line: invalid choice 'Foo'"),
        (("--spectrogram.fmax", "30000"), r"command line: spectrogram\.fmax = 30000\.0: should be at most"),
        (("experiments/demoo.toml",), r"experiments/demoo\.toml: no such file"),
        (("--clips.length", "inf"), r"command line: clips\.length = .*: should be a finite number"),
        (
            ("--training.epochs", "3", "experiments/demo.toml"),
            r"experiments/demo\.toml: the experiment's file goes before all flags",
        ),
        (("--training.epochs", "3", "4"), r"4: no such flag"),
    ],
)
def test_wrong_flags_end_in_one_line(words: tuple[str, ...], message: str) -> None:
    with pytest.raises(SettingsError, match=message) as caught:
        read(*words)
    assert "\n" not in str(caught.value)


def test_every_setting_explains_itself(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        read("--help")
    text = " ".join(capsys.readouterr().out.replace("│", " ").split())
    source = (Path(__file__).parents[1] / "config.py").read_text()
    for name in flat(read("--dataset.archive", "x", "--training.pictures", "x")):
        assert f"--{name}" in text
        lines = [
            line
            for line in source.splitlines()
            if line.startswith(f"    {name.rsplit('.', 1)[-1]}: ") and " = " in line
        ]
        assert lines, name
        assert all(len(line.partition("  # ")[2]) > 10 for line in lines), lines


def test_differences_name_the_settings() -> None:
    one = Config()
    other = dataclasses.replace(one, run="b", clips=dataclasses.replace(one.clips, overlap=0.5))
    assert differences(one, other, of=("clips.", "spectrogram.")) == ["clips.overlap was 0.25, is 0.5"]


def test_what_is_only_for_the_eye_decides_on_nothing() -> None:
    one = Config()
    other = dataclasses.replace(one, spectrogram=dataclasses.replace(one.spectrogram, pictures=True))
    assert differences(one, other, of=("clips.", "spectrogram.")) == []
    assert deciding(one, of=("spectrogram.",)) == deciding(other, of=("spectrogram.",))
    assert "spectrogram.pictures" in flat(other)


def test_experiments_are_valid() -> None:
    for file in (Path(__file__).parents[1] / "experiments").glob("*.toml"):
        assert load(file).run == tomllib.loads(file.read_text())["run"]


def test_home_is_written_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert read(write(tmp_path, '[dataset]\nroot = "~/birds"')).dataset.root == tmp_path / "birds"
    assert read(write(tmp_path, '[training]\npictures = "~/birds"')).training.pictures == tmp_path / "birds"
