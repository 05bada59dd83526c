"""Every setting of the toolkit, as one tree of frozen dataclasses.

Values come from the defaults below, then from an experiment's TOML file, then from the command line:

    python train.py experiments/birdclef2018.toml --training.epochs 5

The comment behind a setting says what changing it does, its unit and its range; it is also the text of `--help`.
The defaults are those of the 2018 BirdCLEF baseline (Kahl et al., arXiv:1804.07177) where it had the setting.
"""

import contextlib
import dataclasses
import difflib
import io
import json
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, time
from pathlib import Path
from typing import Annotated, Any, Literal

import tomli_w
import tyro
from annotated_types import Ge, Gt, Le, Lt, MinLen
from pydantic import AllowInfNan, TypeAdapter, ValidationError

Count = Annotated[int, Ge(1)]
Width = Annotated[int, Ge(1), Le(16_384)]
CountOrNone = Annotated[int, Ge(0)]
Positive = Annotated[float, Gt(0), AllowInfNan(False)]
NotNegative = Annotated[float, Ge(0), AllowInfNan(False)]
Share = Annotated[float, Ge(0), Le(1)]
PartShare = Annotated[float, Ge(0), Lt(1)]
HalfShare = Annotated[float, Ge(0), Lt(0.5)]
Exponent = Annotated[float, Ge(0.1), Le(10)]
Seed = Annotated[int, Ge(0), Lt(2**32)]
SHORTEST_WINDOW, LONGEST_WINDOW = 16, 65_536  # of Fourier transforms, samples

LEAST_BAND = 100.0  # Hz; in less, peaks cannot be told from noise by comparing mel bands


@dataclass(frozen=True)
class Columns:
    """Names of the columns in tables of annotations, where the usual ones are not used; '': recognised."""

    file: str = ""  # names the recording
    start: str = ""  # begin of an event, seconds or h:mm:ss
    end: str = ""  # its end; tables of points in time have none
    duration: str = ""  # its length, seconds, where there is no end
    species: str = ""  # who sings: scientific name, common name or code
    low: str = ""  # lowest frequency, Hz
    high: str = ""  # highest frequency, Hz


@dataclass(frozen=True)
class Dataset:
    """Where the recordings are, which of them are used, and how they are divided."""

    # folder in which everything made from the recordings is kept: train/, val/, metadata/, spec/
    root: Path = Path("datasets/TrainingSet")
    archive: Path | None = None  # folder of the recordings as downloaded, which is only read; none: the root itself
    # form of the archive; auto: recognised
    kind: Literal["auto", "birdclef2018", "kaggle", "annotations", "xenocanto", "folders"] = "auto"
    columns: Columns = field(default_factory=Columns)
    # CSV of species (scientific name, code, common name) by which labels become scientific names
    taxonomy: Path | None = None
    aliases: Path | None = None  # CSV of renamed species: old name, new name
    # only these species: one name or code a line, or an eBird frequency list (JSON or CSV)
    whitelist: Path | None = None
    # of a frequency list, only species that are at least so frequent, percent
    whitelist_frequency: Annotated[float, Ge(0), Le(100)] = 0.0
    min_recordings: CountOrNone = 0  # a class with fewer recordings (or annotations) is left out
    max_recordings: CountOrNone = 0  # a class keeps at most so many recordings, drawn at random; 0: no limit
    max_classes: CountOrNone = 0  # at most so many classes; 0: no limit
    class_order: Literal["random", "alphabetical"] = "random"  # which classes stay where max_classes leaves some out
    # given: as divided; recordings: by recording; auto: given, or recordings
    split: Literal["auto", "given", "recordings", "grouped", "blocked"] = "auto"
    # share of the recordings that is held out in val/; at least one where a class has two, none where it has one
    val_share: PartShare = 0.1
    # share of the recordings that is held out in test/, for the last look; 0: val/ is tested on
    test_share: PartShare = 0.0
    folds: CountOrNone = 0  # cut what is not test/ into so many folds instead of holding a share out; 0: no folds
    fold: CountOrNone = 0  # which of the folds is val/; 0 to folds − 1
    # split grouped: what stays together; day: of one site
    group_by: Literal["author", "site", "day", "recording"] = "author"
    block_degrees: Annotated[float, Gt(0), Le(90)] = 2.0  # split blocked: side of the grid's cells, degrees
    # split blocked: cells with fewer recordings in a quarter of the year are spread at random
    block_recordings: Count = 20
    # how recordings get into the folders; a copy needs the space again, a move empties
    sort_mode: Literal["copy", "hardlink", "move", "symlink"] = "copy"
    seed: Seed = 2018  # draws classes, recordings and the split; another seed, another val/


@dataclass(frozen=True)
class Clips:
    """Which windows of a recording become clips."""

    # peaks: where most is heard; annotations: around events; first: begin of the grid
    choose: Literal["grid", "peaks", "annotations", "first"] = "grid"
    count: CountOrNone = 10  # choose peaks and first: so many clips of a recording, before the signal rule; 0: all
    length: Positive = 1.0  # length of a clip, seconds
    overlap: NotNegative = 0.25  # how much of a clip is heard again in the next one, seconds; less than the length
    # a shorter rest at a recording's end is dropped, a longer one is filled with silence, seconds
    min_length: Positive = 1.0
    signal_threshold: Share = 0.001  # clips with a lower signal score are rejected as empty; 0 keeps all
    # a recording keeps at most (this // recordings of its class) + 1 clips, drawn at random; 0: no limit
    max_per_class: CountOrNone = 1000
    # share of the rejected clips (choose annotations: also of those between events) that is kept as noise, for
    # augmentation
    noise_share: Share = 0.1
    seed: Seed = 2018  # draws which clips are kept


@dataclass(frozen=True)
class Spectrogram:
    """How the sound of a clip becomes a picture."""

    # of stereo: mean of all; loudest over the recording; or a number, from 1
    channel: Literal["mean", "loudest"] | Annotated[int, Ge(1), Le(64)] = "mean"
    rate: Annotated[int, Ge(100), Le(384_000)] = 44_100  # samples per second; every recording is resampled to it
    fmin: NotNegative = 500.0  # lowest frequency of the picture, Hz; below it lies wind
    fmax: Positive = 15_000.0  # highest frequency of the picture, Hz; at most half the rate
    # mel bands, or bins of a linear picture: the picture's height in pixels
    height: Annotated[int, Ge(8), Le(1024)] = 128
    width: Annotated[int, Ge(8), Le(4096)] = 256  # frames, the picture's width in pixels
    # mel: mel bands in decibels; linear: equal steps of Hz, in decibels; pcen: mel bands, evened out in time
    kind: Literal["mel", "linear", "pcen"] = "mel"
    # Fourier window, samples, even; 0: 8 × height; for linear, so that height bins lie from fmin to fmax
    n_fft: Annotated[int, Ge(0), Le(LONGEST_WINDOW)] = 0
    hop: CountOrNone = 0  # samples from one frame to the next; 0: so that a clip gives exactly width frames
    # where n_fft or hop give another size; fill: with noise (crops stretch short sides)
    resize: Literal["squeeze", "crop", "crop_random", "fill"] = "squeeze"
    # how much of the sample before is taken off each sample; raises high frequencies, 0 to below 1; linear does without
    pre_emphasis: PartShare = 0.95
    high_pass: NotNegative = 0.0  # sound below it is taken out first, by 24 dB an octave, Hz; 0: off
    # how much of what lies below each frequency's noise floor in the clip is taken away, 0 (off) to 1 (all)
    noise_reduction: Share = 0.0
    # make clips equally loud: peak at full scale, or a root mean square of 0.1; matters most to pcen
    normalize: Literal["none", "peak", "rms"] = "none"
    # what draws the pictures; device: JAX, on an accelerator where there is one; auto: device, if so
    engine: Literal["auto", "cpu", "device"] = "auto"
    # also write every clip as a PNG file for the eye: spec/pictures/<class>/ and, of what was rejected,
    # spec/noise/<class>/
    pictures: bool = False

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of a picture, pixels."""
        return self.height, self.width


@dataclass(frozen=True)
class Augmentation:
    """How pictures are varied while training, each anew in every epoch."""

    count: CountOrNone = 2  # at most so many different ones on a picture (mixup does not count); 0: none
    probability: Share = 0.5  # chance of each of them
    # mirror: time plays backwards, frequency stands upside down
    flip: Literal["off", "time", "frequency", "both"] = "off"
    roll: Share = 0.0  # shift in frequency and in time, wrapping, each by up to this share of the side; 0: off
    roll_v: Share = 0.15  # shift in frequency, wrapping, by up to this share of the height; 0: off
    roll_h: Share = 0.0  # shift in time, wrapping, by up to this share of the width; 0: off
    # cut up to these shares off top, left, bottom, right; all 0: off
    crop: tuple[HalfShare, HalfShare, HalfShare, HalfShare] = (0.0, 0.0, 0.0, 0.0)
    zoom: Annotated[float, Ge(0), Le(10)] = 0.0  # enlarge about the middle, to at most 1 + this times the size; 0: off
    # turn by up to so many degrees either way; corners become black; 0: off
    rotate: Annotated[float, Ge(0), Le(180)] = 0.0
    # pixels (0 to 1) to the power of a random number between these, such as 0.5 3.0; 1 1: off
    contrast: tuple[Exponent, Exponent] = (1.0, 1.0)
    # pixels times one number from 1 − this to 1 + this, cut off at 1; stretched for the net, only the cut remains; 0:
    # off
    brightness: Share = 0.0
    # like brightness, but of the lightness L* that people see (hue, which the baseline had besides, greys have none);
    # 0: off
    lightness: Share = 0.0
    multiply: Share = 0.0  # each pixel times a number of its own from 1 − this to 1 + this; 0: off
    mean: bool = False  # subtract the picture's mean, which leaves black where it was below
    blur: Annotated[int, Ge(0), Le(64)] = 0  # mean over boxes of so many pixels each way; 0 and 1: off
    noise: Share = 0.0  # Gaussian noise with a variance of up to this much (pixels are 0 to 1); 0: off
    add: bool = True  # mean with the picture of a rejected clip, each weighted by a random number from 1 to 2
    dropout: Share = 0.0  # blacken single pixels, each with this chance; 0: off
    blackout: Share = 0.0  # blacken one band of columns, this share of the width; 0: off
    time_mask: Share = 0.0  # blacken columns, in each stripe up to this share of the width; 0: off
    frequency_mask: Share = 0.0  # blacken rows, in each stripe up to this share of the height; 0: off
    stripes: Count = 1  # so many stripes in each time_mask and frequency_mask
    # mix pictures and targets in pairs, in parts drawn from Beta(this, this); 1: all parts alike, small: hardly; 0: off
    mixup: NotNegative = 0.0
    mixup_share: Share = 1.0  # chance that a picture is mixed with another, where mixup is on


@dataclass(frozen=True)
class Model:
    """The net."""

    # Baseline: plain convolutions, small, quick; ResNet: wide residual net, better; Pi: dense layers
    name: Literal["Baseline", "ResNet", "Pi"] = "ResNet"
    channels: Literal[1, 3] = 1  # colours of the picture that the net takes; 3: the grey picture three times
    # channels, one entry a group of layers; each group halves height and width
    filters: Annotated[tuple[Width, ...], MinLen(1)] = (16, 32, 64, 128)
    # side of the convolutions' kernels, one odd number a group, pixels
    kernel_sizes: Annotated[tuple[Count, ...], MinLen(1)] = (3, 3, 3, 3)
    # grouped convolution: into so many parts the channels of each group of layers are cut
    groups: Annotated[tuple[Count, ...], MinLen(1)] = (1, 1, 1, 1)
    # lrelu leaks 0.01, vlrelu 0.33 of negative values
    nonlinearity: Literal["relu", "lrelu", "vlrelu", "elu", "identity"] = "relu"
    batch_norm: bool = True  # normalise each channel over the batch; without it training is slower and less sure
    max_pooling: bool = False  # halve pictures by 2×2 maxima instead of convolutions of stride 2; slower
    # share of the activations that is dropped while training; in the Pi only behind its two dense layers
    dropout: PartShare = 0.0
    # dropped together: nothing (Pi: always), all channels of a place, whole channels
    dropout_kind: Literal["random", "location", "channel"] = "random"
    # width of the Pi's two dense layers; the first has a weight for each of them and each value that the groups leave
    dense_units: Count = 512
    resnet_k: Annotated[int, Ge(1), Le(64)] = 2  # width of the ResNet: filters are multiplied by it
    resnet_n: Annotated[int, Ge(1), Le(64)] = 2  # depth of the ResNet: blocks in each group


@dataclass(frozen=True)
class Training:
    """How the net learns."""

    epochs: Count = 60  # times that all clips are seen
    batch_size: Count = 32  # clips per step; more needs more memory
    learning_rate: Positive = 0.001  # step width in the first epoch
    # step width in the last epoch (schedules root and constant do not use it)
    learning_rate_end: NotNegative = 0.000001
    # how the learning rate falls from epoch to epoch
    schedule: Literal["cosine", "linear", "step", "root", "constant"] = "cosine"
    steps: Annotated[int, Ge(2)] = 3  # schedule step: into so many equal parts of constant rate training is cut
    warm_up: NotNegative = 0.0  # epochs, also parts of one, in which the rate rises evenly to what the schedule says
    optimizer: Literal["adam", "adamw", "sgd", "nesterov"] = "adam"  # sgd without, nesterov with a momentum of 0.9
    # optimizer adamw: share of each kernel that a step takes away, times the learning rate
    weight_decay: NotNegative = 0.0001
    # weight of the sum of all kernels' squares in what is minimised; the losses that are shown are without it
    l2: NotNegative = 0.0
    gradient_clip: NotNegative = 0.0  # longest gradient, over all parameters; longer ones are shortened to it; 0: any
    # watch, keep and test a moving average of the parameters that keeps this share of itself per step, 0.999 say; 0:
    # off
    average: PartShare = 0.0
    # of one label per clip (focal: what is hard counts more), or of many: binary
    loss: Literal["cross_entropy", "focal", "binary"] = "cross_entropy"
    focal_gamma: NotNegative = 2.0  # loss focal: how much less what is easy counts; 0 is cross-entropy
    label_smoothing: PartShare = 0.0  # losses of one label: share of the target that is spread evenly over all classes
    primary_target: Share = 1.0  # loss binary: target for a clip's own class
    secondary_target: Share = 1.0  # loss binary: target for what sings besides
    absent_target: Share = 0.0  # loss binary: target for all other classes
    # balanced: the loss of a clip counts inversely to how many clips its class has
    class_weights: Literal["none", "balanced"] = "none"
    # the loss of a clip counts by its recording's quality: 5 or A fully, 1 or E a fifth, unrated three fifths
    quality_weights: bool = False
    # all: an epoch sees each clip once; balanced: as many draws, in which each class is equally likely
    sampler: Literal["all", "balanced"] = "all"
    # clips of a class that has fewer are seen several times an epoch, up to this; 0: once
    min_per_class: CountOrNone = 0
    max_per_class: CountOrNone = 0  # of a class that has more clips, so many are drawn anew for each epoch; 0: no limit
    noise_class: bool = False  # learn the clips that were rejected, and kept as noise, as the class 'Noise'
    # begin with the net of this run's folder (its best) or snapshot; classes are matched by name
    pretrained: Path | None = None
    pretrained_output: bool = True  # begin with its last layer, too, as far as classes are the same
    # share of the recordings in train/ that watch training, of classes with three or more; where there is test/, val/
    # watches
    val_share: PartShare = 0.05
    early_stopping: CountOrNone = 10  # epochs without a better validation MLRAP after which training ends; 0: never
    signal_interval: tuple[Share, Share] = (0.005, 0.25)  # clips are learned from only if their signal score lies in it
    # learn from a folder of PNG files, named as the 2018 baseline did: <class>/0123_recording_004.png; none: from the
    # store
    pictures: Path | None = None
    # arithmetic of the net; auto: bfloat16 on accelerators; weights and losses are float32
    precision: Literal["auto", "bfloat16", "float32"] = "auto"
    # where pictures wait: in the accelerator's memory (auto: if they fit), or read from disk
    clips_on: Literal["auto", "device", "host"] = "auto"
    deterministic: bool = False  # on a GPU, use only operations that give the same bits each time; slower
    snapshot_epochs: Count = 1  # save a snapshot every so many epochs, besides the best
    keep_snapshots: Count = 1  # keep so many of the newest snapshots, besides the best
    seed: Seed = 1  # first weights, order of clips and augmentation; another seed, another net


@dataclass(frozen=True)
class Distillation:
    """What a net learns from others, its teachers, by distill.py; train.py learns from labels alone."""

    # nets whose answers are learned: folders of runs (their `snapshot`) or snapshots; distill.py needs one at least
    teachers: tuple[Path, ...] = ()
    # of a teacher that is a run's folder; best: highest validation MLRAP; latest: its last epoch
    snapshot: Literal["best", "latest"] = "best"
    weights: tuple[Positive, ...] = ()  # how much each of teachers counts, one above 0 for each; none: all count alike
    # what the mean is taken of; logits: of log-probabilities, binary: log-odds
    average: Literal["probabilities", "logits"] = "probabilities"
    # logits are divided by it, also the student's: above 1, what else may sing counts more
    temperature: Annotated[float, Ge(0.1), Le(100)] = 1.0
    # from teachers to student; binary: each class alone, many labels
    loss: Literal["cross_entropy", "kullback_leibler", "binary"] = "cross_entropy"
    # share of the loss by the true labels (training.loss) in the whole; the rest is the teachers'; 0: teachers alone,
    # as in 2018
    true_share: Share = 0.0
    # without augmentation and mixup, teachers answer all clips once, into spec/answers_*.npy; off: anew in each step
    keep_answers: bool = True
    # roots of data sets (sort_data.py, spec.py) whose clips are learned by the teachers' answers alone; not their test/
    unlabelled: tuple[Path, ...] = ()
    # unlabelled clips that an epoch sees for each labelled one, at most, drawn anew each epoch; none comes twice
    unlabelled_ratio: NotNegative = 1.0
    # also train and test the same net without teachers, as the run <run>-untaught, to compare; costs that training
    untaught: bool = True


@dataclass(frozen=True)
class Testing:
    """How a snapshot is judged on recordings that were held out."""

    # which held-out recordings; auto: test/ where the split has one, else val/
    side: Literal["auto", "val", "test"] = "auto"
    # best: highest validation MLRAP while training; latest: the last epoch
    snapshot: Literal["best", "latest"] = "best"
    # nets that answer together: folders of runs (their `snapshot`) or snapshots; none: that of this run
    models: tuple[Path, ...] = ()
    weights: tuple[Positive, ...] = ()  # how much each of models counts, one above 0 for each; none: all count alike
    max_recordings: CountOrNone = 0  # at most so many recordings, drawn at random; 0: all
    # at most so many recordings of a class, drawn at random; long recordings always stay; 0: all
    max_per_class: CountOrNone = 0
    seed: Seed = 2018  # draws these recordings; another seed, other recordings
    max_clips: CountOrNone = 128  # only the first so many clips of a recording are heard; 0: all
    # from clips to recordings
    pooling: Literal["median_filtered", "mean_exponential", "mean", "max", "log_mean_exp"] = "median_filtered"
    # pooling log_mean_exp: towards 0 it is the mean, at 100 nearly the maximum
    sharpness: Annotated[float, Gt(0), Le(100)] = 5.0
    # table of what can be expected where and when, by which scores are multiplied: values a recording (TSV), or eBird
    # frequencies
    prior: Path | None = None
    # prior of eBird frequencies: share of its score that keeps a species not reported at the place and week; reported:
    # 1.5
    prior_unreported: Share = 0.5
    background: bool = True  # species singing in the background count as right answers, too
    # recordings in which a class must be right to count in class means, and to get a threshold of its own
    min_positives: Count = 1
    # from which score on a species is called: one for all, or its own
    thresholds: Literal["common", "per_class"] = "common"
    # thresholds give at least this share of right calls, and as many calls as that allows; 0: the best F1
    precision: Share = 0.0
    # also find the map from scores to probabilities; isotonic wants some hundred right answers
    calibration: Literal["none", "platt", "isotonic"] = "none"
    # clips that the net answers at once, of several recordings; more needs more memory, the scores stay the same
    batch_size: Count = 64
    # what runs the net; onnx: ONNX Runtime, faster on CPUs; auto: onnx on CPUs where it is installed, else jax
    engine: Literal["auto", "jax", "onnx"] = "auto"
    # also report a ridge regression on mean log-mel spectra, which any net should beat; reads all recordings once more
    ridge: bool = False


@dataclass(frozen=True)
class Submission:
    """How snapshots are applied to recordings of which nothing is known; which nets answer, and how, is said in `testing`."""

    folder: Path = Path("submissions")  # folder that submissions are written to
    # folder of what is answered, with the folders below it; none: test recordings or soundscapes of the data set
    recordings: Path | None = None
    # soundscapes are answered for each so many seconds; the last are as many as there are
    interval: Annotated[float, Ge(0.1), Le(86_400)] = 5.0
    # of clips in an interval, seconds; less than a clip's length; none: as in the snapshot
    overlap: NotNegative | None = None
    # only these species are answered, others get 0: one name or code a line, or an eBird frequency list
    whitelist: Path | None = None
    # of a frequency list, only species that are at least so frequent, percent
    whitelist_frequency: Annotated[float, Ge(0), Le(100)] = 0.0
    # from which score on a species is said: a thresholds.json of test.py; none: that of the run, if there is one
    thresholds: Path | None = None
    # kaggle2022: 2022 to 2025; birdclef2018 needs class ids
    format: Literal["birdclef2018", "kaggle2021", "kaggle2022", "raven", "audacity", "csv"] = "csv"
    # regular expression whose one group finds a recording's id in its file's name; '': what the challenge usually
    # takes, else the stem
    media_pattern: str = ""
    # ids of the classes: labelset.txt with labelset_sci.txt beside it, or a table of names and codes; none: from
    # metadata/
    class_ids: Path | None = None
    # sample submission, CSV, whose rows and columns formats kaggle2021 and kaggle2022 take, in their order; none: all
    # rows
    sample: Path | None = None
    # format birdclef2018: so many classes of each recording or interval; the challenge takes 100 at most
    best: Annotated[int, Ge(1), Le(100)] = 100
    # score from which on a class is called where no thresholds are kept, in all formats but birdclef2018 and kaggle2022
    min_score: Share = 0.1
    # format raven: lowest and highest frequency of the selections, Hz
    band: tuple[NotNegative, NotNegative] = (500.0, 15_000.0)
    # minutes of sound, of all recordings together, that the page of timelines shows and plays; 0.7 MB a minute; 0: no
    # page
    page_minutes: NotNegative = 15.0


@dataclass(frozen=True)
class Log:
    """What a script tells, and where it is kept."""

    # all: lines, progress and results; info: no progress; others: that and errors only
    mode: Literal["all", "info", "progress", "error", "result"] = "all"
    file: Path | None = None  # also append every line, with the time, to this file
    tensorboard: bool = True  # keep the figures of every epoch for TensorBoard, too: snapshots/<run>/tensorboard/


@dataclass(frozen=True)
class Config:
    """Settings of a whole experiment."""

    run: str = "birdclef2018"  # name of the training; its snapshots, log and test results are kept under it
    snapshots: Path = Path("snapshots")  # folder of all runs
    workers: CountOrNone = 0  # processes that read recordings; 0: one a core; results do not depend on it
    dataset: Dataset = field(default_factory=Dataset)
    clips: Clips = field(default_factory=Clips)
    spectrogram: Spectrogram = field(default_factory=Spectrogram)
    augmentation: Augmentation = field(default_factory=Augmentation)
    model: Model = field(default_factory=Model)
    training: Training = field(default_factory=Training)
    distillation: Distillation = field(default_factory=Distillation)
    testing: Testing = field(default_factory=Testing)
    submission: Submission = field(default_factory=Submission)
    log: Log = field(default_factory=Log)

    @property
    def run_folder(self) -> Path:
        """Where the run's snapshots, log and test results are kept."""
        return self.snapshots / self.run


class SettingsError(Exception):
    """A setting that cannot be used; its text is one line that names where it stands, its key, its value and what would do.

    Parameters
    ----------
    reason : what is wrong and what would do
    key, value : the setting, where one can be named
    source : the file or flag that holds it
    """

    def __init__(self, reason: str, *, key: str = "", value: object = None, source: str = "") -> None:
        self.reason, self.key, self.value, self.source = reason, key, value, source
        what = f"{key} = {json.dumps(value, default=str)}" if key and value is not None else key
        super().__init__(": ".join(part for part in (source, what, reason) if part))


_TREE: TypeAdapter[Config] = TypeAdapter(Config)
_NOT_DECIDING = (  # settings that change nothing that a store or a net is made of
    "spectrogram.pictures",
    "spectrogram.engine",
    "training.clips_on",
    "training.snapshot_epochs",
    "training.keep_snapshots",
    "distillation.untaught",
)
# settings that came after stores and nets were made, and what was done until then
_LATER = {"spectrogram.channel": "mean"}


def to_dict(config: Config) -> dict[str, Any]:
    """Turn the tree into the plain values that a TOML file holds; settings that are none are left out."""

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: plain(entry) for key, entry in value.items() if entry is not None}
        if isinstance(value, Path):
            return value.as_posix()
        return [plain(entry) for entry in value] if isinstance(value, tuple) else value

    return dict(plain(dataclasses.asdict(config)))


def to_toml(config: Config) -> str:
    """Write all settings as a TOML file that starts the same run again."""
    return tomli_w.dumps(to_dict(config))


def flat(config: Config) -> dict[str, Any]:
    """Return every setting by its full name, such as `spectrogram.fmin`."""
    return dict(_walk(to_dict(config)))


def _walk(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from _walk(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def deciding(config: Config, *, of: Sequence[str]) -> dict[str, Any]:
    """Return the settings whose names begin with one of `of`, without those that change nothing that is made, and later ones that do what was done before."""
    chosen = {
        name: value for name, value in flat(config).items() if name.startswith(tuple(of)) and name not in _NOT_DECIDING
    }
    return {name: value for name, value in chosen.items() if name not in _LATER or value != _LATER[name]}


def differences(one: Config, other: Config, *, of: Sequence[str]) -> list[str]:
    """Say, one line each, how two configs differ in the settings whose names begin with one of `of` and that decide on something."""
    before = {name: value for name, value in _LATER.items() if name.startswith(tuple(of))}
    left, right = ({**before, **deciding(config, of=of)} for config in (one, other))
    names = [name for name in (left | right) if left.get(name) != right.get(name)]
    return [f"{name} was {json.dumps(left.get(name))}, is {json.dumps(right.get(name))}" for name in names]


def load(path: Path) -> Config:
    """Read an experiment's TOML file over the defaults.

    Raises
    ------
    SettingsError
        If the file cannot be read, or holds a key, type or value that no setting takes.
    """
    tree = _read_toml(path)
    try:
        for key, value in _walk(tree):
            if isinstance(value, date | time):
                raise SettingsError("should be a text, a number, true, false or a list", key=key, value=str(value))
        config = _validated(tree)
        _check(config)
    except SettingsError as error:
        raise SettingsError(error.reason, key=error.key, value=error.value, source=str(path)) from None
    return _at_home(config)


def from_command_line(
    arguments: Sequence[str], *, doc: str, script: str, flags: type | None = None
) -> tuple[Config, Any]:
    """Read `[EXPERIMENT.toml] [--section.setting VALUE …]` over the defaults.

    Parameters
    ----------
    arguments : the words after the script's name
    doc, script : head of `--help`, and the name in it
    flags : dataclass of what a single call may ask for, besides the settings

    Returns
    -------
    The config, and the flags (None without `flags`).

    Raises
    ------
    SettingsError
        If anything in the file or on the command line is no setting or cannot be used.
    """
    words = list(arguments)
    path = Path(words.pop(0)) if words and not words[0].startswith("-") else None
    base = load(path) if path else Config()
    config, call = _parse_flags(words, base, doc=doc, script=script, flags=flags)
    try:
        _validated(to_dict(config))
        _check(config)
    except SettingsError as error:
        typed = any(word.split("=")[0] == f"--{error.key}" for word in words)
        source = "command line" if typed or path is None else str(path)
        raise SettingsError(error.reason, key=error.key, value=error.value, source=source) from None
    return _at_home(config), call


def _at_home(value: Any) -> Any:
    """Write out the ~ of all paths in a config, which the shell does only on the command line."""
    if isinstance(value, Path):
        return value.expanduser()
    if isinstance(value, tuple):
        return tuple(_at_home(one) for one in value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.replace(
            value, **{one.name: _at_home(getattr(value, one.name)) for one in dataclasses.fields(value)}
        )
    return value


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        there = sorted(str(file) for file in Path("experiments").glob("*.toml"))
        near = difflib.get_close_matches(str(path), there, n=1, cutoff=0.4) or there[:1]
        raise SettingsError("no such file" + (f"; did you mean {near[0]}?" if near else ""), source=str(path)) from None
    except RecursionError:
        raise SettingsError("is nested too deeply to be read", source=str(path)) from None
    except (OSError, ValueError) as error:  # no TOML, no UTF-8, or a number of thousands of digits
        raise SettingsError(" ".join(str(error).split()), source=str(path)) from None


def _validated(tree: Mapping[str, Any]) -> Config:
    """Check keys, types and ranges of plain values, as JSON: there lists may stand for tuples and text for paths, and nothing else is converted."""
    try:
        text = json.dumps(tree)
    except ValueError as error:  # a hexadecimal number too long to be written in decimals
        raise SettingsError(str(error)) from None
    try:
        return _TREE.validate_json(text, strict=True, extra="forbid")
    except ValidationError as error:
        wrong, *others = error.errors(include_url=False)
    key = ".".join(str(part) for part in wrong["loc"])
    said = [wrong["msg"].replace("Input should", "should")]
    if ".literal[" in key:  # a setting that takes words or a number
        key = key.split(".literal[")[0]
        said += [
            other["msg"].replace("Input should be", "") for other in others if other["loc"][:-1] == wrong["loc"][:-1]
        ]
    if wrong["type"] == "unexpected_keyword_argument":
        raise SettingsError(f"no such setting; {_nearest(key)}", key=key)
    raise SettingsError(" or".join(said), key=key, value=wrong["input"])


def _settings(node: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every setting by its name, also those that are not set."""
    for one in dataclasses.fields(node):
        value = getattr(node, one.name)
        if dataclasses.is_dataclass(value):
            yield from _settings(value, f"{prefix}{one.name}.")
        else:
            yield f"{prefix}{one.name}", value


def _nearest(key: str) -> str:
    names = [name for name, _ in _settings(Config())]
    leaves = {name.rsplit(".", 1)[-1]: name for name in names}
    near = difflib.get_close_matches(key, names, n=1, cutoff=0.6)
    if not near:
        near = [leaves[leaf] for leaf in difflib.get_close_matches(key.rsplit(".", 1)[-1], leaves, n=1, cutoff=0.6)]
    return f"did you mean {near[0]}?" if near else "--help lists them all"


def _parse_flags(words: list[str], base: Config, *, doc: str, script: str, flags: type | None) -> tuple[Config, Any]:
    entries: list[tuple[str, Any, Any]] = [("config", Annotated[Config, tyro.conf.arg(name="")], base)]
    if flags:
        entries.append(("call", Annotated[flags, tyro.conf.arg(name="")], flags()))
    arguments = dataclasses.make_dataclass("Arguments", [(name, kind) for name, kind, _ in entries], frozen=True)
    default = arguments(*(value for _, _, value in entries))
    errors = io.StringIO()
    try:
        with contextlib.redirect_stderr(errors):
            parsed = tyro.cli(
                arguments,
                args=words,
                default=default,
                prog=f"python {script} [EXPERIMENT.toml]",
                description=doc,
                use_underscores=True,
            )
    except SystemExit as ended:
        if not ended.code:
            raise
        raise _flag_error(words, errors.getvalue()) from None
    return parsed.config, getattr(parsed, "call", None)


def _flag_error(words: Sequence[str], box: str) -> SettingsError:
    """Turn tyro's box of text about a wrong flag into one line."""
    rows = [line.strip("│╭╰╮╯─ ") for line in box.splitlines()[1:]]
    text = " ".join(rows[: rows.index("")] if "" in rows else rows)
    unknown = re.match(r"Unrecognized options: (\S+?),?( |$)", text)
    if unknown and unknown.group(1).endswith(".toml"):
        return SettingsError("the experiment's file goes before all flags", source=unknown.group(1))
    if unknown:
        key = unknown.group(1).lstrip("-")
        return SettingsError(
            f"no such flag; {_nearest(key)}", source=f"--{key}" if unknown.group(1).startswith("-") else key
        )
    text = re.sub(
        r"no type matching (\S+)\|INT could be instantiated from \['(.*)'\]\.",
        r"should be one of \1 or an integer, not \2",
        text,
    )
    return SettingsError(text.removeprefix("Error parsing ") or box.strip(), source="command line")


def _check(config: Config) -> None:
    """Refuse values that are possible alone but not together."""
    clips, picture, model, training, testing = (
        config.clips,
        config.spectrogram,
        config.model,
        config.training,
        config.testing,
    )
    if not re.fullmatch(r"\w[\w .+=@-]{0,99}", config.run):
        raise SettingsError(
            "should be a plain name of letters, digits, '_', '-', '.', for it names a folder",
            key="run",
            value=config.run,
        )
    for key, value in _settings(config):
        for path in value if isinstance(value, tuple) else (value,):
            if isinstance(path, Path) and any(ord(character) < 32 for character in str(path)):
                raise SettingsError("should be a path without control characters", key=key, value=str(path))
    _check_division(config.dataset)
    if clips.overlap >= clips.length:
        raise SettingsError(
            f"should be less than clips.length ({clips.length:g} s)", key="clips.overlap", value=clips.overlap
        )
    if clips.min_length > clips.length:
        raise SettingsError(
            f"should be at most clips.length ({clips.length:g} s)", key="clips.min_length", value=clips.min_length
        )
    if int((clips.length - clips.overlap) * picture.rate) < 1:
        raise SettingsError("clips follow each other by less than one sample", key="clips.overlap", value=clips.overlap)
    if clips.choose == "peaks" and picture.fmin < picture.fmax < picture.fmin + LEAST_BAND:
        raise SettingsError(
            f"should be at least {LEAST_BAND:g} Hz below spectrogram.fmax for clips.choose = peaks",
            key="spectrogram.fmin",
            value=picture.fmin,
        )
    if picture.fmin >= picture.fmax:
        raise SettingsError(
            f"should be below spectrogram.fmax ({picture.fmax:g} Hz)", key="spectrogram.fmin", value=picture.fmin
        )
    if picture.fmax > picture.rate / 2:
        nyquist = f"half of spectrogram.rate ({picture.rate / 2:g} Hz)"
        raise SettingsError(
            f"should be at most {nyquist}: no sound is above it", key="spectrogram.fmax", value=picture.fmax
        )
    _check_picture(picture, samples=int(clips.length * picture.rate))
    for key in ("kernel_sizes", "groups"):
        if len(getattr(model, key)) < len(model.filters):
            raise SettingsError(
                f"should have an entry for each of the {len(model.filters)} in model.filters",
                key=f"model.{key}",
                value=getattr(model, key),
            )
    if any(size % 2 == 0 for size in model.kernel_sizes):
        raise SettingsError("should be odd numbers", key="model.kernel_sizes", value=model.kernel_sizes)
    previous = model.filters[0]
    for filters, groups in zip(model.filters, model.groups, strict=False):
        if filters % groups or (previous % groups and groups > 1):
            raise SettingsError(
                f"{groups} does not divide the channels {previous} and {filters}",
                key="model.groups",
                value=model.groups,
            )
        previous = filters
    if min(picture.height, picture.width) < 2 ** len(model.filters):
        often = min(picture.shape).bit_length() - 1
        size = f"a picture of {picture.height} × {picture.width} pixels (spectrogram.height, spectrogram.width)"
        raise SettingsError(
            f"should be at most {often} entries, for they cannot halve {size} more often",
            key="model.filters",
            value=model.filters,
        )
    _check_training(training)
    _check_submission(config.submission)
    if testing.weights and len(testing.weights) != len(testing.models):
        raise SettingsError(
            f"should be one for each of the {len(testing.models)} in testing.models",
            key="testing.weights",
            value=testing.weights,
        )
    _check_distillation(config.distillation, training)


def _check_submission(submission: Submission) -> None:
    try:
        groups = re.compile(submission.media_pattern).groups
    except re.error as error:
        raise SettingsError(
            f"is no regular expression ({error})", key="submission.media_pattern", value=submission.media_pattern
        ) from None
    if submission.media_pattern and groups != 1:
        raise SettingsError(
            "should have one group, in round brackets, around the id",
            key="submission.media_pattern",
            value=submission.media_pattern,
        )
    if submission.band[0] >= submission.band[1]:
        raise SettingsError("should begin with the lower end", key="submission.band", value=submission.band)


def _check_training(training: Training) -> None:
    if training.learning_rate_end > training.learning_rate:
        raise SettingsError(
            f"should be at most training.learning_rate ({training.learning_rate:g})",
            key="training.learning_rate_end",
            value=training.learning_rate_end,
        )
    if training.schedule == "step" and training.steps > training.epochs:
        raise SettingsError(
            f"should be at most training.epochs ({training.epochs})", key="training.steps", value=training.steps
        )
    if training.schedule == "step" and training.learning_rate_end == 0:
        raise SettingsError(
            "should be above 0 for the step schedule, which falls by factors", key="training.learning_rate_end", value=0
        )
    if training.signal_interval[0] > training.signal_interval[1]:
        raise SettingsError(
            "should begin with the lower end", key="training.signal_interval", value=training.signal_interval
        )
    if training.warm_up > training.epochs:
        raise SettingsError(
            f"should be at most training.epochs ({training.epochs})", key="training.warm_up", value=training.warm_up
        )
    if training.max_per_class and training.max_per_class < training.min_per_class:
        raise SettingsError(
            f"should be at least training.min_per_class ({training.min_per_class})",
            key="training.max_per_class",
            value=training.max_per_class,
        )
    if not training.absent_target <= training.secondary_target <= training.primary_target:
        raise SettingsError(
            "should lie between training.absent_target and training.primary_target",
            key="training.secondary_target",
            value=training.secondary_target,
        )


def _check_distillation(distillation: Distillation, training: Training) -> None:
    teachers, weights = distillation.teachers, distillation.weights
    if weights and len(weights) != len(teachers):
        raise SettingsError(
            f"should be one for each of the {len(teachers)} in distillation.teachers",
            key="distillation.weights",
            value=weights,
        )
    if teachers and (distillation.loss == "binary") != (training.loss == "binary"):
        reason = f"does not go with training.loss = {training.loss}: both are binary (many labels, sigmoids), or none is (one label, softmax)"
        raise SettingsError(reason, key="distillation.loss", value=distillation.loss)
    if distillation.unlabelled and not teachers:
        raise SettingsError(
            "is empty, but distillation.unlabelled needs teachers to answer its clips",
            key="distillation.teachers",
            value=(),
        )


def _check_picture(picture: Spectrogram, *, samples: int) -> None:
    """Refuse pictures that clips of so many samples do not give."""
    if not picture.hop and samples < picture.width - 1:
        raise SettingsError(f"a clip has only {samples} samples", key="spectrogram.width", value=picture.width)
    if picture.hop > samples:
        raise SettingsError(f"should be at most a clip's {samples} samples", key="spectrogram.hop", value=picture.hop)
    if picture.n_fft and (picture.n_fft < SHORTEST_WINDOW or picture.n_fft % 2):
        raise SettingsError(
            f"should be 0 or an even number from {SHORTEST_WINDOW} on", key="spectrogram.n_fft", value=picture.n_fft
        )
    if picture.kind == "linear":
        # from one bin of the Fourier transform to the next, Hz
        apart = picture.rate / (picture.n_fft or LONGEST_WINDOW)
        least = apart * (2 if picture.n_fft else picture.height)
        if picture.fmax - picture.fmin < least:
            raise SettingsError(
                f"should be {least:.0f} Hz or more above spectrogram.fmin, for bins",
                key="spectrogram.fmax",
                value=picture.fmax,
            )
    if 0 < picture.high_pass < 1:
        raise SettingsError("should be 0 (off) or at least 1 Hz", key="spectrogram.high_pass", value=picture.high_pass)
    if picture.high_pass >= picture.fmax:
        raise SettingsError(
            f"should be below spectrogram.fmax ({picture.fmax:g} Hz)",
            key="spectrogram.high_pass",
            value=picture.high_pass,
        )


def _check_division(dataset: Dataset) -> None:
    if dataset.folds == 1:
        raise SettingsError("should be 0 (none) or at least 2", key="dataset.folds", value=1)
    if dataset.fold and dataset.fold >= dataset.folds:
        raise SettingsError(f"should be below dataset.folds ({dataset.folds})", key="dataset.fold", value=dataset.fold)
    if dataset.folds == 0 and dataset.val_share + dataset.test_share >= 1:
        raise SettingsError(
            f"leaves nothing to learn from beside dataset.test_share ({dataset.test_share:g})",
            key="dataset.val_share",
            value=dataset.val_share,
        )
    if dataset.max_recordings and dataset.max_recordings < dataset.min_recordings:
        raise SettingsError(
            f"should be at least dataset.min_recordings ({dataset.min_recordings})",
            key="dataset.max_recordings",
            value=dataset.max_recordings,
        )
