"""Every setting of the toolkit, as one tree of frozen dataclasses.

Values come from the defaults below, then from an experiment's TOML file, then from the command line:

    python train.py experiments/birdclef2018.toml --training.epochs 5

The comment of a setting says what it does, its unit and its range. It is also the text of `--help`.
The defaults are those of the 2018 BirdCLEF baseline (Kahl et al., arXiv:1804.07177) where it had the setting.
utils/settings.py reads the files, utils/command_line.py the command line.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, TypeGuard

from annotated_types import Ge, Gt, Le, Lt, MinLen
from pydantic import AllowInfNan

Count = Annotated[int, Ge(1)]
Width = Annotated[int, Ge(1), Le(16_384)]
CountOrNone = Annotated[int, Ge(0)]
Positive = Annotated[float, Gt(0), AllowInfNan(False)]
NotNegative = Annotated[float, Ge(0), AllowInfNan(False)]
Share = Annotated[float, Ge(0), Le(1)]
Level = Annotated[float, Ge(-200), Le(100)]
PartShare = Annotated[float, Ge(0), Lt(1)]
HalfShare = Annotated[float, Ge(0), Lt(0.5)]
SignalToNoise = Annotated[float, Ge(-60), Le(100)]  # decibels
Exponent = Annotated[float, Ge(0.1), Le(10)]
Seed = Annotated[int, Ge(0), Lt(2**32)]
LONGEST_WINDOW = 65_536  # of Fourier transforms, samples
SCHEMES = ("gs", "s3", "az", "file")  # of addresses of remote folders: s3://bucket/folder
ADDRESS_MARK = "://"  # in every address, and in no path that is meant as one
Location = str | Path  # of a folder: an address, which a path would fold to s3:/bucket/folder, or a path


class SettingsError(Exception):
    """A setting that cannot be used; the text is one line that names file, setting, value and what would be valid.

    Parameters
    ----------
    reason : what is wrong and what would be valid
    key, value : the setting, if one can be named
    source : the file or flag that holds it
    """

    def __init__(self, reason: str, *, key: str = "", value: object = None, source: str = "") -> None:
        self.reason, self.key, self.value, self.source = reason, key, value, source
        what = f"{key} = {json.dumps(value, default=str)}" if key and value is not None else key
        super().__init__(": ".join(part for part in (source, what, reason) if part))


MODELS_WITHOUT_WEIGHTS = ("Baseline", "ResNet", "Pi", "Dilated")  # values of model.name without public weights
FILE_HEADS = ("file", "none")  # values of model.head with the layer of the file
# number of stages of the other models, by the start of their names
STAGES = {"EfficientNetV2": 6, "EfficientNet": 7, "ConvNeXt": 4, "ResNeSt": 4, "MobileNet": 5}
MULTI_LABEL_LOSSES = ("binary", "asymmetric", "soft_auc")  # values of training.loss that score each class by itself
MODELS_WITHOUT_POOL = ("Pi", "External")  # values of model.name that do not end in a mean of feature maps
COMPARING_LOSSES = ("triplet",)  # values of training.loss that compare clips with positives and negatives


def location(value: Location | None) -> Location | None:
    """Return a path, unless it is an address."""
    return Path(value) if isinstance(value, str) and not is_address(value) else value


def is_address(value: object) -> TypeGuard[str]:
    """Tell whether a value is an address of a remote folder or file, not a path."""
    return isinstance(value, str) and ADDRESS_MARK in value


@dataclass(frozen=True)
class Columns:
    """Names of the columns in annotation tables, if they differ from the usual ones; '': found by itself."""

    file: str = ""  # name or path of the recording
    start: str = ""  # start of an event, seconds or h:mm:ss
    end: str = ""  # end of an event; tables of points in time have none
    duration: str = ""  # duration of an event, seconds, for tables without a column of ends
    species: str = ""  # species: scientific name, common name or code
    low: str = ""  # lowest frequency of an event, Hz
    high: str = ""  # highest frequency of an event, Hz


@dataclass(frozen=True)
class Dataset:
    """Where the recordings are, which of them are used, and how they are split."""

    # folder of the sorted data set and all that is made from it: train/, val/, test/, metadata/, spec/
    root: Path = Path("datasets/TrainingSet")
    # folder of the downloaded recordings, which is only read: a path, or an address gs://, s3://, az:// or file://, the
    # recordings of which stay there (sort_mode has no effect); none: the root itself
    archive: Location | None = None
    # folder of the clips that spec.py extracts: a path, or an address gs://, s3://, az:// or file://; none: spec/ in
    # the root
    store: Location | None = None
    # layout of the archive; auto: detected
    kind: Literal["auto", "birdclef2018", "kaggle", "annotations", "xenocanto", "folders"] = "auto"
    # names of the columns in annotation tables, if they differ from the usual ones; '': the column is found by itself
    columns: Columns = field(default_factory=Columns)
    # CSV of species (scientific name, code, common name) that maps labels to scientific names
    taxonomy: Path | None = None
    aliases: Path | None = None  # CSV of renamed species: old name, new name
    # what classes, and the folders of train/, are named by: scientific name, code (such as eBird's) or common name; a
    # species without one, or whose name another species has, too, keeps its scientific name. sort_data.py decides it
    label: Literal["species", "code", "common_name"] = "species"
    # use only these species: a file with one name or code per line, or an eBird frequency list (JSON or CSV)
    whitelist: Path | None = None
    # if whitelist is a frequency list: use only species that are at least this frequent, percent
    whitelist_frequency: Annotated[float, Ge(0), Le(100)] = 0.0
    min_recordings: CountOrNone = 0  # leave out classes with fewer recordings (or annotations) than this
    max_recordings: CountOrNone = 0  # use at most this many recordings per class, drawn at random; 0: no limit
    max_classes: CountOrNone = 0  # use at most this many classes; 0: no limit
    class_order: Literal["random", "alphabetical"] = "random"  # order in which max_classes picks classes
    # given: as the archive is split; recordings: random per class; grouped: by group_by; blocked: by cells of a map
    # grid; auto: given if the archive is split, else recordings
    split: Literal["auto", "given", "recordings", "grouped", "blocked"] = "auto"
    # fraction of the recordings held out in val/; at least one per class, none for a class with a single recording
    val_share: PartShare = 0.1
    test_share: PartShare = 0.0  # fraction of the recordings held out in test/ for the final test; 0: no test/
    folds: CountOrNone = 0  # split all but test/ into this many folds for cross-validation; 0: no folds, at least 2
    fold: CountOrNone = 0  # the fold that is val/, from 0 to folds − 1
    # split = grouped: recordings with the same value stay together; day: same site and day
    group_by: Literal["author", "site", "day", "recording"] = "author"
    block_degrees: Annotated[float, Gt(0), Le(90)] = 2.0  # split = blocked: width and height of a grid cell, degrees
    # split = blocked: cells with fewer recordings per quarter of the year are split at random
    block_recordings: Count = 20
    # recordings that only annotations label (soundscapes, hours with annotated calls): divide: among train/, val/ and
    # test/ like the others; train, val (not with folds), test: all of them there (in val/ and test/ whatever
    # min_recordings, max_classes and whitelist say); leave: use none
    long_recordings: Literal["divide", "train", "val", "test", "leave"] = "divide"
    # regular expression with a group `site`, and optionally `date` (YYYYMMDD or YYYY-MM-DD) and `time` (HHMMSS), that
    # finds them in the names of sound files, else in their paths, without look-around; '': the usual names of
    # recorders, such as SITE_20230615_025100
    site_pattern: str = ""
    # CSV of recorders' deployments: site or serial (or both), latitude, longitude (degrees), and optionally from, to
    # (dates, with or without time) and elevation; it gives places where headers, names and tables have none
    deployments: Path | None = None
    # time zone of the recorders' clocks, where neither header nor name of a file tells it, and of the place, in which
    # local times are given: UTC, +02:00, Europe/Berlin; '': not known, and local times are those of the clocks
    time_zone: str = ""
    # how recordings get into train/, val/ and test/; copy needs the disk space twice, move empties the archive
    sort_mode: Literal["copy", "hardlink", "move", "symlink"] = "copy"
    seed: Seed = 2018  # random seed for the choice of classes and recordings and for the split

    def __post_init__(self) -> None:
        """Turn texts that are no addresses into paths."""
        object.__setattr__(self, "archive", location(self.archive))
        object.__setattr__(self, "store", location(self.store))

    @property
    def archive_folder(self) -> Path | None:
        """The archive, if it is a folder of this machine."""
        return self.archive if isinstance(self.archive, Path) else None

    @property
    def store_at(self) -> Location:
        """The folder of the clips."""
        return self.store or self.root / "spec"


@dataclass(frozen=True)
class Clips:
    """Which windows of a recording become clips."""

    # grid: all windows in regular steps; first: the first count of them; peaks: around the strongest signals;
    # annotations: around annotated events; table: centred on the times in the CSV file `table`
    choose: Literal["grid", "peaks", "annotations", "first", "table"] = "grid"
    # choose = table: CSV with the columns recording and seconds, such as the spec/peaks.csv of another run
    table: Path | None = None
    # choose = peaks or first: number of different clips per recording, before rejection by signal_threshold; 0: all
    count: CountOrNone = 10
    # choose = peaks: least distance between two peaks, seconds; none: the length of a clip
    peak_distance: NotNegative | None = None
    length: Positive = 1.0  # length of a clip, seconds
    overlap: NotNegative = 0.25  # overlap of successive clips, seconds; less than length
    # the end of a recording is dropped if shorter than this, else padded with silence to a full clip, seconds
    min_length: Positive = 1.0
    signal_threshold: Share = 0.001  # reject clips with a lower signal score, 0 to 1, as empty; 0: keep all
    # keep at most (max_per_class // recordings of the class) + 1 clips per recording, drawn at random; 0: no limit
    max_per_class: CountOrNone = 1000
    # fraction of the rejected clips (choose = annotations: also of clips between events) that is saved as noise for
    # augmentation
    noise_share: Share = 0.1
    # what the store keeps of each clip; sound: its samples, so that training can augment them (`waveform`) before it
    # computes spectrograms, of any kind; takes more disk space; embeddings: what a bird model from a file makes of it,
    # as model.name = External needs, which sets this by itself
    keep: Literal["spectrograms", "sound", "embeddings"] = "spectrograms"
    # keep = sound: seconds of the recording that are kept before and after each clip, for waveform.shift and speed
    margin: Annotated[float, Ge(0), Le(60)] = 0.0
    seed: Seed = 2018  # random seed for the choice of clips that are kept


@dataclass(frozen=True)
class Spectrogram:
    """How the sound of a clip becomes a spectrogram."""

    # channel of stereo recordings: mean of all, the loudest over the whole recording, or a number from 1
    channel: Literal["mean", "loudest"] | Annotated[int, Ge(1), Le(64)] = "mean"
    rate: Annotated[int, Ge(100), Le(384_000)] = 44_100  # sample rate, Hz; every recording is resampled to it
    fmin: NotNegative = 500.0  # lowest frequency of the spectrogram, Hz; below it is mostly wind
    fmax: Positive = 15_000.0  # highest frequency of the spectrogram, Hz; at most half the sample rate
    height: Annotated[int, Ge(8), Le(1024)] = 128  # height, pixels: number of mel bands (kind = linear: of bins)
    width: Annotated[int, Ge(8), Le(4096)] = 256  # width, pixels: number of frames
    # mel: mel bands, decibels; linear: equal steps in Hz, decibels; pcen: mel bands with per-channel energy
    # normalization; reassigned: mel bands, decibels, the energy of each cell moved to where it is in time and frequency
    kind: Literal["mel", "linear", "pcen", "reassigned"] = "mel"
    # length of the Fourier window, samples, even; 0: 8 × height (kind = linear: as long as needed for height bins
    # between fmin and fmax)
    n_fft: Annotated[int, Ge(0), Le(LONGEST_WINDOW)] = 0
    hop: CountOrNone = 0  # step from frame to frame, samples; 0: such that a clip has exactly width frames
    # clip: each clip's loudest point is white, and its quietest, at most 80 dB below, is black; fixed: range_db, so
    # that quiet clips stay dark and a mean over clips (model.normalize) has a meaning; not for kind = pcen
    scale: Literal["clip", "fixed"] = "clip"
    # scale = fixed: levels that become black and white, decibels relative to a sine at full scale (in the band or bin
    # that shows it best)
    range_db: tuple[Level, Level] = (-110.0, -20.0)
    # how a spectrogram of another size (due to n_fft or hop) gets height × width; fill: pad with noise; the crops
    # stretch sides that are too short
    resize: Literal["squeeze", "crop", "crop_random", "fill"] = "squeeze"
    # coefficient of the pre-emphasis filter, which raises high frequencies; 0: off, below 1; kind = linear ignores it
    pre_emphasis: PartShare = 0.95
    high_pass: NotNegative = 0.0  # cutoff of a high-pass filter (24 dB per octave), Hz; 0: off
    # how much of what lies below the noise floor of each frequency is removed from a clip; 0: off, 1: all of it
    noise_reduction: Share = 0.0
    # scale all clips to the same loudness: peak at full scale, or root mean square of 0.1; matters most for kind pcen
    normalize: Literal["none", "peak", "rms"] = "none"
    # what computes spectrograms: cpu: all cores; device: JAX; auto: device if there is an accelerator, else cpu
    engine: Literal["auto", "cpu", "device"] = "auto"
    # also write every clip as a PNG file: spec/images/<class>/, rejected clips spec/noise/<class>/
    images: bool = False

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of a spectrogram, pixels."""
        return self.height, self.width


@dataclass(frozen=True)
class External:
    """What a bird model from a file takes and gives (model.name = External, model.weights = FILE).

    Scripts fill in what is 0 or empty, from the file where they know it; docs/external-models.md lists what they know.
    """

    title: str = ""  # its name in reports
    licence: str = ""  # its licence in reports; models that are trained or distilled with it may be bound by it
    rate: Annotated[int, Ge(0), Le(384_000)] = 0  # sample rate that it takes, Hz
    window: NotNegative = 0.0  # length of sound that it takes at a time, seconds
    # step from window to window within a clip that is longer than one, seconds; 0: the length of a window
    hop: NotNegative = 0.0
    # scale each window, less its mean, to this peak, as Perch needs; 0: samples from -1 to 1 as they are
    peak: NotNegative = 0.0
    embedding: str = ""  # name of the tensor that is the embedding
    width: CountOrNone = 0  # number of its values
    output: str = ""  # name of the output with a value for each of its classes
    # file with the names of its classes, in their order: one line each (Scientific name_Common name), or CSV; none: the
    # one beside the model
    labels: Path | None = None
    # filled in: model.weights; where the same file is now, if a snapshot or a teacher does not find it any more
    file: Path | None = None
    sha256: str = ""  # filled in: hash of the file


def windows_in(clips: Clips, external: External) -> int:
    """Return the number of windows of a bird model in a clip."""
    return 1 + round((clips.length - external.window) / (external.hop or external.window or 1.0))


@dataclass(frozen=True)
class Waveform:
    """How the sound of clips is augmented in training, before spectrograms are computed; needs clips.keep = sound."""

    count: CountOrNone = 2  # apply at most this many different ones of these to a clip, besides mixup; 0: none
    probability: Share = 0.5  # probability of each of them
    # start up to this fraction of the clip's length earlier or later; needs clips.margin, at least this fraction of
    # clips.length; 0: off
    shift: Share = 0.0
    # play faster or slower by up to this fraction, which also raises or lowers the pitch; needs clips.margin, at least
    # half this fraction of clips.length, besides that for shift; 0: off
    speed: HalfShare = 0.0
    # raise or lower the pitch by up to this many semitones, without a change in time; 0: off
    pitch: Annotated[float, Ge(0), Le(12)] = 0.0
    # attenuate high frequencies as air does over up to this many metres (at 8 kHz 77 dB per kilometre); 0: off
    distance: Annotated[float, Ge(0), Le(2000)] = 0.0
    # louder or softer by up to this many decibels; changes nothing where each clip is scaled by itself
    # (spectrogram.scale = clip, spectrogram.normalize) but how much of it is in a mixture (mixup); 0: off
    gain: Annotated[float, Ge(0), Le(60)] = 0.0
    # add noise at a signal-to-noise ratio between these two, decibels, such as 5 20; the same power at all frequencies;
    # none: off
    white: tuple[SignalToNoise, SignalToNoise] | None = None
    pink: tuple[SignalToNoise, SignalToNoise] | None = None  # the same with 3 dB less per octave, from 20 Hz
    # the same with 6 dB less per octave, from 20 Hz: most of it is below usual values of spectrogram.fmin
    brown: tuple[SignalToNoise, SignalToNoise] | None = None
    # add real background sound at a signal-to-noise ratio between these two, decibels; none: off
    background: tuple[SignalToNoise, SignalToNoise] | None = None
    # folder of sound files for `background`, searched with its subfolders; none: rejected clips of the store
    background_folder: Path | None = None
    # mix sound and targets in pairs, weights from Beta(mixup, mixup); 1: all weights equally likely, near 0: hardly any
    # mixing; 0: off
    mixup: NotNegative = 0.0
    mixup_share: Share = 1.0  # probability that a clip is mixed with another, if mixup is on


@dataclass(frozen=True)
class Chances:
    """Probabilities of single augmentations, whatever `count` is; none: `probability`, among up to `count`."""

    flip: Share | None = None  # probability of flip, 0 to 1
    roll: Share | None = None  # probability of roll
    roll_v: Share | None = None  # probability of roll_v
    roll_h: Share | None = None  # probability of roll_h
    crop: Share | None = None  # probability of crop
    zoom: Share | None = None  # probability of zoom
    rotate: Share | None = None  # probability of rotate
    contrast: Share | None = None  # probability of contrast
    brightness: Share | None = None  # probability of brightness
    lightness: Share | None = None  # probability of lightness
    multiply: Share | None = None  # probability of multiply
    mean: Share | None = None  # probability of mean
    blur: Share | None = None  # probability of blur
    noise: Share | None = None  # probability of noise
    add: Share | None = None  # probability of add
    dropout: Share | None = None  # probability of dropout
    blackout: Share | None = None  # probability of blackout
    time_mask: Share | None = None  # probability of time_mask
    frequency_mask: Share | None = None  # probability of frequency_mask


@dataclass(frozen=True)
class Augmentation:
    """How spectrograms are augmented in training, at random in every epoch."""

    # apply at most this many different augmentations to a spectrogram, besides mixup and those in `chances`; 0: none
    count: CountOrNone = 2
    probability: Share = 0.5  # probability of each of them
    chances: Chances = field(default_factory=Chances)  # probabilities of single augmentations
    flip: Literal["off", "time", "frequency", "both"] = "off"  # mirror in time, in frequency, or in both
    roll: Share = 0.0  # shift in time and frequency, wrapping around, by up to this fraction of each side; 0: off
    roll_v: Share = 0.15  # shift in frequency, wrapping around, by up to this fraction of the height; 0: off
    roll_h: Share = 0.0  # shift in time, wrapping around, by up to this fraction of the width; 0: off
    # crop up to these fractions from top, left, bottom, right, then resize; all 0: off
    crop: tuple[HalfShare, HalfShare, HalfShare, HalfShare] = (0.0, 0.0, 0.0, 0.0)
    zoom: Annotated[float, Ge(0), Le(10)] = 0.0  # zoom into the centre by a factor of up to 1 + zoom; 0: off
    # rotate by up to this many degrees in either direction; corners become black; 0: off
    rotate: Annotated[float, Ge(0), Le(180)] = 0.0
    # gamma: raise pixels (0 to 1) to a random power between these two, such as 0.5 3.0; 1 1: off
    contrast: tuple[Exponent, Exponent] = (1.0, 1.0)
    # multiply pixels by a factor from 1 − brightness to 1 + brightness and clip at 1. With
    # model.normalize = spectrogram only the clipping has an effect; 0: off
    brightness: Share = 0.0
    # as brightness, on the perceptual lightness L* (the baseline also changed the hue, which grey images do not have);
    # 0: off
    lightness: Share = 0.0
    multiply: Share = 0.0  # multiply each pixel by its own factor from 1 − multiply to 1 + multiply; 0: off
    mean: bool = False  # subtract the mean of the spectrogram; what was below it becomes black
    blur: Annotated[int, Ge(0), Le(64)] = 0  # box blur, side of the box in pixels; 0 and 1: off
    noise: Share = 0.0  # add Gaussian noise with a variance of up to this (pixels are 0 to 1); 0: off
    add: bool = True  # mix with a rejected clip (noise): weighted mean with random weights from 1 to 2
    dropout: Share = 0.0  # set single pixels to black, each with this probability; 0: off
    blackout: Share = 0.0  # set one band of columns to black, this fraction of the width; 0: off
    # SpecAugment time masking: set stripes of columns to black, each up to this fraction of the width; 0: off
    time_mask: Share = 0.0
    # SpecAugment frequency masking: set stripes of rows to black, each up to this fraction of the height; 0: off
    frequency_mask: Share = 0.0
    stripes: Count = 1  # number of stripes in time_mask and in frequency_mask
    # mixup: mix spectrograms and targets in pairs, weights from Beta(mixup, mixup); 1: all weights equally likely,
    # near 0: hardly any mixing; 0: off
    mixup: NotNegative = 0.0
    mixup_share: Share = 1.0  # probability that a spectrogram is mixed with another, if mixup is on


@dataclass(frozen=True)
class Model:
    """Architecture of the model."""

    # Baseline: plain convolutions, small and fast; ResNet: wide residual network, more accurate; Pi: dense layers;
    # Dilated: residual blocks of convolutions dilated along time; External: a bird model from the file `weights`, on
    # whose embeddings a small head learns; the others are backbones that can start from public `weights`
    name: Literal[
        "Baseline",
        "ResNet",
        "Pi",
        "Dilated",
        "External",
        "EfficientNetLite0",
        "EfficientNetLite1",
        "EfficientNetLite2",
        "EfficientNetB0",
        "EfficientNetB1",
        "EfficientNetB2",
        "EfficientNetB3",
        "EfficientNetV2S",
        "ConvNeXtAtto",
        "ConvNeXtPico",
        "ConvNeXtNano",
        "ConvNeXtTiny",
        "ResNeSt50",
        "MobileNetV4Small",
    ] = "ResNet"
    # public weights to start from, of a backbone: a .safetensors file in timm's names, or hf:timm/NAME, which is
    # downloaded (needs the extra `hub`); External: the file of the bird model, .onnx or .tflite (needs the extra
    # `litert`)
    weights: str | None = None
    # External: what learns on the embeddings; linear: one dense layer; hidden: another one of `dense_units` before it;
    # attention: a linear layer on their weighted mean over the windows of a clip, with weights that are learned; file:
    # the layer of the file's classes, which learns on from there; none: the same, but nothing learns
    head: Literal["linear", "hidden", "attention", "file", "none"] = "linear"
    # what spectrograms are scaled by before the model sees them; spectrogram: each from −1 to 1 by its own minimum and
    # maximum; dataset: mean and deviation of all training clips; bands: those of each row; weights: what `weights`
    # were trained with
    normalize: Literal["spectrogram", "dataset", "bands", "weights"] = "spectrogram"
    # EfficientNet and MobileNet: how convolutions pad; symmetric: the same number of zeros on both sides; same: as
    # TensorFlow; auto: same if `weights` are named tf_…, else symmetric
    padding: Literal["auto", "symmetric", "same"] = "auto"
    channels: Literal[1, 3] = 1  # input channels; 3: the grey spectrogram three times
    # channels of each group of layers; each group halves height and width
    filters: Annotated[tuple[Width, ...], MinLen(1)] = (16, 32, 64, 128)
    # kernel size of each group of layers, pixels, odd
    kernel_sizes: Annotated[tuple[Count, ...], MinLen(1)] = (3, 3, 3, 3)
    # grouped convolution: number of channel groups in each group of layers
    groups: Annotated[tuple[Count, ...], MinLen(1)] = (1, 1, 1, 1)
    # activation function; lrelu: leaky ReLU with slope 0.01, vlrelu: with slope 0.33
    nonlinearity: Literal["relu", "lrelu", "vlrelu", "elu", "identity"] = "relu"
    batch_norm: bool = True  # batch normalization; without it, training is slower and less stable
    max_pooling: bool = False  # downsample by 2×2 max pooling instead of convolutions with stride 2; slower
    # dropout rate in training; Pi: after its two dense layers only; backbones: before the last layer only
    dropout: PartShare = 0.0
    # backbones: probability in training that a clip skips the last block (stochastic depth); earlier ones: less; 0: off
    drop_path: PartShare = 0.0
    # backbones that start from `weights` or training.pretrained: all layers up to the end of this stage stay as they
    # are; a step takes less time (EfficientNet with 2 of its 7 stages: half); 0: all layers learn
    frozen_stages: Annotated[int, Ge(0), Le(7)] = 0
    # EfficientNet: only so many of its first stages, for a small model (EfficientNetLite0 with 5 of 7: a quarter of its
    # parameters); with `weights` the last convolution is new; training.pretrained needs as many stages; 0: all
    stages: Annotated[int, Ge(0), Le(7)] = 0
    # EfficientNet: channels of the last convolution, which are the width of the embedding; 0: as designed, 1280 or more
    features: Annotated[int, Ge(0), Le(16_384)] = 0
    # what is dropped together: random: single activations (Pi: always), location: all channels of a pixel, channel:
    # whole channels
    dropout_kind: Literal["random", "location", "channel"] = "random"
    # Pi: units of each of the two dense layers; the first has a weight for each unit and each of its inputs. External
    # with head = hidden: units of the hidden layer
    dense_units: Count = 512
    resnet_k: Annotated[int, Ge(1), Le(64)] = 2  # ResNet: width factor, multiplies filters
    resnet_n: Annotated[int, Ge(1), Le(64)] = 2  # ResNet: depth, number of blocks per group
    # Dilated: a stack has one block for each of these; frames between what neighbouring weights of a kernel see
    dilations: Annotated[tuple[Annotated[int, Ge(1), Le(1024)], ...], MinLen(1)] = (1, 2, 4, 8)
    stacks: Annotated[int, Ge(1), Le(64)] = 1  # Dilated: depth, number of stacks per group of layers
    # width of a dense layer between the features and the output layer, which makes the embedding; 0: none, the features
    # are the embedding
    embedding: Annotated[int, Ge(0), Le(16_384)] = 0
    # how embeddings are compared; cosine: they are scaled to length 1, also before the output layer
    distance: Literal["euclidean", "cosine"] = "euclidean"
    # how feature maps become the features of a clip; mean: over frequency and time; gem: generalised mean, between mean
    # and maximum, as it learns; attention: the output layer predicts each frame, and the clip has their mean with
    # weights that are learned. A frame is 32 columns of the spectrogram (Baseline, ResNet, Dilated: 2 to the power of
    # the number of `filters`): a larger spectrogram.width makes frames shorter. Not for Pi and External
    pool: Literal["mean", "attention", "gem"] = "mean"

    @property
    def differs_from_design(self) -> bool:
        """Whether it is an EfficientNet with `stages` or `features` of its own."""
        return self.name.startswith("EfficientNet") and bool(self.stages or self.features)


@dataclass(frozen=True)
class Triplets:
    """How a model learns from triplets: an anchor should be nearer to its positive than to its negative."""

    # how much nearer, in units of `model.distance`; beyond that, a triplet has a loss of 0. cosine: below 2; euclidean:
    # any, because embeddings may become as long as the margin needs
    margin: Positive = 0.2
    # which clips are compared with an anchor; drawn: those that were drawn for it; semi_hard: of the batch, the nearest
    # negative that is farther than the drawn positive (else the farthest one); hard: of the batch, the farthest
    # positive and the nearest negative
    choose: Literal["drawn", "semi_hard", "hard"] = "drawn"
    # weight of the cross-entropy of the anchors in the loss, below 1; 0: the output layer is not learned, but filled
    # with class prototypes after each epoch
    cross_entropy: PartShare = 0.0
    redraw: bool = True  # draw positives and negatives anew in each epoch; off: once


@dataclass(frozen=True)
class Training:
    """How the model is trained."""

    epochs: Count = 60  # number of passes over all clips
    # clips per training step; larger batches need more memory; loss = triplet: anchors, so three times as many clips
    batch_size: Count = 32
    learning_rate: Positive = 0.001  # learning rate in the first epoch
    learning_rate_end: NotNegative = 0.000001  # learning rate in the last epoch; schedules root and constant ignore it
    # how the learning rate falls from epoch to epoch
    schedule: Literal["cosine", "linear", "step", "root", "constant"] = "cosine"
    steps: Annotated[int, Ge(2)] = 3  # schedule = step: number of equal parts with a constant learning rate
    # epochs (may be a fraction) in which the learning rate rises linearly to that of the schedule, at the start and
    # again after `freeze_epochs`; 0: off
    warm_up: NotNegative = 0.0
    # sgd: without momentum; nesterov: SGD with Nesterov momentum of 0.9
    optimizer: Literal["adam", "adamw", "sgd", "nesterov"] = "adam"
    # optimizer = adamw: weight decay of kernels; a step takes off this fraction times the learning rate
    weight_decay: NotNegative = 0.0001
    l2: NotNegative = 0.0  # L2 regularization: weight of the sum of all squared kernels; not in the losses shown
    gradient_clip: NotNegative = 0.0  # clip the global norm of the gradient to this; 0: off
    # use an exponential moving average of the parameters for validation, snapshots and tests: its decay per step, such
    # as 0.999; 0: off
    average: PartShare = 0.0
    # cross_entropy: one label per clip; focal: the same, with more weight on hard clips; binary: several labels per
    # clip (sigmoid); asymmetric: the same, with less weight on classes that are absent and easy; soft_auc: the same
    # labels, by pairs of a clip with a class and one without it in a batch: how clips rank, not how high scores are, so
    # that thresholds per class are needed; triplet: the embedding, by comparing clips of the same class and of others
    # (`triplets`)
    loss: Literal["cross_entropy", "focal", "binary", "asymmetric", "soft_auc", "triplet"] = "cross_entropy"
    triplets: Triplets = field(default_factory=Triplets)  # loss = triplet: what is compared, and how
    focal_gamma: NotNegative = 2.0  # loss = focal: how much less easy clips count; 0: cross-entropy
    label_smoothing: PartShare = 0.0  # losses with one label: fraction of the target spread evenly over all classes
    primary_target: Share = 1.0  # losses with several labels: target of the primary label
    secondary_target: Share = 1.0  # losses with several labels: target of background labels
    absent_target: Share = 0.0  # losses with several labels: target of all other classes
    # model.pool = attention: share of the loss that is computed from the highest logit of each class in any frame, so
    # that single frames learn what they have; the rest is that of the clip
    frame_loss: Share = 0.5
    # balanced: weight the loss of a clip inversely to the number of clips of its class
    class_weights: Literal["none", "balanced"] = "none"
    # weight the loss of a clip by the quality rating of its recording: A or 5: 1, E or 1: 0.2, unrated: 0.6
    quality_weights: bool = False
    # all: every clip once per epoch; balanced: the same number of clips, drawn so that all classes are equally likely
    sampler: Literal["all", "balanced"] = "all"
    min_per_class: CountOrNone = 0  # repeat clips of smaller classes up to this number of clips per epoch; 0: off
    max_per_class: CountOrNone = 0  # draw this many clips of larger classes, anew in each epoch; 0: no limit
    noise_class: bool = False  # also learn the rejected clips that are saved as noise, as the class 'Noise'
    # folder of recordings without birds, searched with its subfolders: their clips are learned with no species (if
    # 'Noise' is a class: as that), which makes false alarms rarer; losses with one label need noise_class. Not those of
    # testing.noise_folder; none: off
    noise_folder: Path | None = None
    # clips of noise_folder per other clip in an epoch, at most, drawn anew each time; more: fewer false alarms, but
    # birds may be missed
    noise_ratio: Positive = 0.25
    # share of an epoch's clips of noise_folder that are its hardest: those to which the model at the start of the epoch
    # gives the highest scores of any species; the rest is drawn at random. Costs a pass of the model over all clips of
    # the folder per epoch; 0: off
    hard_negatives: Share = 0.0
    # start from the model of another run (its folder: the best snapshot) or snapshot; classes are matched by name
    pretrained: Path | None = None
    pretrained_output: bool = True  # pretrained: also take over the output layer, for classes that are the same
    # learn only the output layer in the first so many epochs; all others are as in inference meanwhile
    freeze_epochs: CountOrNone = 0
    # learning rate of all layers but the output layer (and that of model.embedding), as a factor of `learning_rate`
    backbone_rate: Share = 1.0
    # fraction of the recordings in train/ set apart for validation, from classes with 3 recordings or more (of long
    # recordings: about this fraction of their events); if test/ exists, val/ is used instead, unless it is tested on
    validation_share: PartShare = 0.05
    # metric on the validation recordings by which the best epoch is chosen; macro_f1 and weighted_f1: of the class with
    # the highest score (argmax)
    monitor: Literal["mlrap", "macro_f1", "weighted_f1", "cmap", "accuracy", "loss"] = "mlrap"
    # what `monitor` is a mean over: recordings, or single clips; auto: clips if most validation recordings are labelled
    # by annotations alone, else recordings. Accuracy and loss are always over clips; F1 by recording leaves out
    # recordings without a primary label
    monitor_unit: Literal["auto", "recording", "clip"] = "auto"
    early_stopping: CountOrNone = 10  # stop after this many epochs without a better value of `monitor`; 0: off
    # final training: learn from all recordings, also those of val/ and test/, and validate on none; all `epochs` are
    # trained, and the last one counts as the best. Nothing is left to test on: validate the settings without it first
    all_data: bool = False
    signal_interval: tuple[Share, Share] = (0.005, 0.25)  # train only on clips with a signal score in this interval
    # train on a folder of PNG files in the naming of the 2018 baseline (<class>/0123_recording_004.png); none: on the
    # store
    images: Path | None = None
    # train on the pack that `spec.py --pack` wrote here, a path or an address gs://, s3://, az:// or file://, which is
    # read file by file in an order drawn for each epoch; none: on the store
    packed: Location | None = None
    # packed: number of clips, from successive files, among which a batch is drawn; memory holds so many and a few files
    buffer: Count = 8192
    # packed: folder of this machine (such as a fast disk) to which each file of the pack is copied once, and from which
    # it is read afterwards; none: files are read where they are, in every epoch
    cache: Path | None = None
    cache_gb: NotNegative = 0.0  # cache: its largest size, GB; the oldest files leave; 0: no limit
    # share of each class's recordings that is learned from, at least one, drawn by name; not of those for validation
    data_share: Annotated[float, Gt(0), Le(1)] = 1.0
    # arithmetic; auto: bfloat16 on accelerators, else float32; parameters and losses are always float32
    precision: Literal["auto", "bfloat16", "float32"] = "auto"
    # device: keep all spectrograms in the accelerator's memory; host: read them from disk; auto: device if they fit
    clips_on: Literal["auto", "device", "host"] = "auto"
    deterministic: bool = False  # use only deterministic operations on GPUs; slower
    snapshot_epochs: Count = 1  # save a snapshot every so many epochs, besides the best
    keep_snapshots: Count = 1  # number of latest snapshots that are kept, besides the best
    seed: Seed = 1  # random seed for initial weights, order of clips and augmentation

    def __post_init__(self) -> None:
        """Turn a text that is no address into a path."""
        object.__setattr__(self, "packed", location(self.packed))

    @property
    def multi_label(self) -> bool:
        """Whether a clip can have several labels: a sigmoid for each class, instead of one softmax."""
        return self.loss in MULTI_LABEL_LOSSES

    @property
    def compares_clips(self) -> bool:
        """Whether each step has positives and negatives besides the clips that it learns from."""
        return self.loss in COMPARING_LOSSES

    @property
    def clips_per_step(self) -> int:
        """Clips that a step sees: a batch, with its positives and negatives."""
        return 3 * self.batch_size if self.compares_clips else self.batch_size

    @property
    def fills_output(self) -> bool:
        """Whether class prototypes fill the output layer after each epoch, because no loss reaches it."""
        return self.compares_clips and not self.triplets.cross_entropy


@dataclass(frozen=True)
class PseudoLabels:
    """What noisy students learn from unlabelled recordings: predictions of models that did not learn from them."""

    # unlabelled recordings fall into so many parts, by their names; each round learns one part, labelled by the models
    # of the parts − 1 rounds before it, none of which learned from it
    parts: Annotated[int, Ge(2), Le(16)] = 2
    first_part: CountOrNone = 0  # the part that the first round learns, counted from 0; the next round learns the next
    # power of the predictions in each round, the last value for all further ones; above 1, unlikely species count less
    power: Annotated[tuple[Positive, ...], MinLen(1)] = (1.0,)
    confidence: Share = 0.0  # only clips whose highest prediction, before `power`, is at least this are learned
    # probability that a labelled clip is mixed, half and half, with an unlabelled clip of its batch; it then has the
    # species of both if clips have several labels, else half of each
    mix_share: Share = 0.5


@dataclass(frozen=True)
class Distillation:
    """How distill.py trains a student on the predictions of teachers; train.py trains on labels alone."""

    # models whose predictions are learned: snapshots, or folders of runs (`snapshot` says which of theirs); distill.py
    # needs at least 1
    teachers: tuple[Path, ...] = ()
    # snapshot of a teacher that is given as the folder of a run; best: the best epoch by training.monitor; latest: last
    snapshot: Literal["best", "latest"] = "best"
    weights: tuple[Positive, ...] = ()  # weight of each teacher, above 0; none: equal weights
    # what is averaged over teachers; logits: log-probabilities (loss = binary: log-odds)
    average: Literal["probabilities", "logits"] = "probabilities"
    # divide the logits of teachers and student by this; above 1, less likely classes count more
    temperature: Annotated[float, Ge(0.1), Le(100)] = 1.0
    # loss between teachers and student; binary: one sigmoid per class, several labels
    loss: Literal["cross_entropy", "kullback_leibler", "binary"] = "cross_entropy"
    # weight of the loss on true labels (training.loss), 0 to 1; the rest is the loss on the teachers' predictions; 0:
    # teachers only, as in 2018
    true_share: Share = 0.0
    # weight of the cosine distance between the embeddings of student and teacher, 0 to 1; the rest is the loss on
    # predictions and labels. Needs one teacher with model.name = External, whose embedding is as wide as the student's
    # (model.features or model.embedding); 1: embeddings alone, to start from: its predictions mean nothing, so name its
    # latest snapshot, not its best, in training.pretrained
    embedding_share: Share = 0.0
    # without augmentation and mixup, compute the teachers' predictions once and cache them in spec/predictions_*.npy;
    # off: compute them in every step. Those of teachers with model.name = External are always cached, and are of clips
    # without augmentation but mixup
    cache_predictions: bool = True
    # roots of data sets (sorted, with a store) whose clips are learned from the teachers' predictions alone, without
    # their test/
    unlabelled: tuple[Path, ...] = ()
    unlabelled_ratio: NotNegative = 1.0  # unlabelled clips per labelled clip in an epoch, at most, drawn anew each time
    # noisy students: train so many, one after the other, each on the labels and on pseudo labels of `unlabelled` by
    # those before it; the first are by `teachers`, or without any by the same model trained on the labels. Learning
    # ends when validation falls, and the best is kept as the run; 0: one student of `teachers`. The loss is
    # training.loss, also of pseudo labels
    rounds: CountOrNone = 0
    pseudo_labels: PseudoLabels = field(default_factory=PseudoLabels)  # what the rounds learn without labels
    # also train and test the same model without teachers, as the run <run>-without-teachers, for comparison; costs
    # another training
    compare_without_teachers: bool = True

    @property
    def starts_alone(self) -> bool:
        """Whether rounds start with a model that learns labels alone."""
        return self.rounds > 0 and not self.teachers

    @property
    def mix_share(self) -> float:
        """Probability that a labelled clip is mixed with an unlabelled one: that of the rounds, which alone mix."""
        return self.pseudo_labels.mix_share if self.rounds else 0.0

    @property
    def learns_from_models(self) -> bool:
        """Whether distill.py is to be used, and not train.py."""
        return bool(self.teachers) or self.rounds > 0

    @property
    def multi_label(self) -> bool:
        """Whether teachers' predictions are probabilities of each class by itself, instead of one distribution."""
        return self.loss == "binary"


@dataclass(frozen=True)
class Metadata:
    """The metadata classifier: which species to expect by place and date, learned by train_metadata.py."""

    # GeoTIFFs, such as climate or land cover: their value at the place of a recording is a feature, named by the file's
    # name without its ending; needs the extra `places`, as all of this
    rasters: tuple[Path, ...] = ()
    categorical: tuple[str, ...] = ()  # names of the rasters whose values are categories, such as types of forest
    # features of the recording itself: degrees, metres (elevation), day of the year (1 to 366); with day, recordings
    # without a date have no prediction
    features: tuple[Literal["latitude", "longitude", "day", "elevation"], ...] = (
        "latitude",
        "longitude",
        "day",
        "elevation",
    )
    standardize: bool = True  # scale numeric features to mean 0 and standard deviation 1 (z-score)
    iterations: Annotated[int, Ge(1), Le(100_000)] = 2000  # number of trees, at most
    depth: Annotated[int, Ge(1), Le(16)] = 6  # depth of a tree; deeper trees tell more apart, and overfit sooner
    learning_rate: Annotated[float, Ge(0), Le(1)] = 0.0  # how much each tree counts; 0: chosen by CatBoost
    # stop after this many trees without a lower loss on the validation recordings, and keep the best number of trees;
    # 0: learn all, and keep the best number
    early_stopping: CountOrNone = 50
    # fraction of the recordings in train/ set apart for validation; 0: none, and all trees are kept
    validation_share: Annotated[float, Ge(0), Le(0.5)] = 0.2
    # how they are set apart; recordings: at random per class; blocks: by cells of a map grid and quarters of the year
    # (dataset.block_degrees, block_recordings), so that they are from other places, as those to be predicted will be
    validation_by: Literal["recordings", "blocks"] = "recordings"
    seed: Seed = 1  # random seed for the validation recordings and the trees
    device: Literal["cpu", "gpu"] = "cpu"  # what trains; the same run gives the same result on cpu only


@dataclass(frozen=True)
class IntervalRules:
    """Post-processing: how the scores of a recording's intervals change each other; recordings and events have none.

    Both factors are of the scores before smoothing. Metadata, prior and calibration come afterwards.
    """

    # multiply the scores of a class by the mean of its so many highest scores in the recording, so that a species that
    # is nowhere surely present falls; 0: off
    top_intervals: CountOrNone = 0
    # multiply the scores of a class by its highest score in the recording to this power, such as 0.5; 0: off
    maximum_power: Annotated[float, Ge(0), Le(10)] = 0.0
    # share of each of the two neighbours in the score of an interval, such as 0.1; at the ends of the recording, the
    # interval itself has the share of the neighbour that is missing; 0: off
    smoothing: HalfShare = 0.0


@dataclass(frozen=True)
class Testing:
    """How models are evaluated on held-out recordings."""

    # which held-out recordings to test on; auto: test/ if the split has it, else val/
    held_out: Literal["auto", "val", "test"] = "auto"
    # what predictions are made for and compared with the truth; recording: whole recordings; interval: rows of
    # `interval` seconds with the species annotated in them; event: annotated calls; auto: event (clips.choose =
    # annotations) or interval if only annotations label the held-out recordings, else recording
    unit: Literal["auto", "recording", "interval", "event"] = "auto"
    interval: Annotated[float, Ge(0.1), Le(86_400)] = 5.0  # unit = interval: length of a row, seconds
    # snapshot of a run; best: the best epoch by training.monitor; latest: last epoch
    snapshot: Literal["best", "latest"] = "best"
    # ensemble: snapshots, or folders of runs (`snapshot` says which of theirs); none: the model of this run
    models: tuple[Path, ...] = ()
    weights: tuple[Positive, ...] = ()  # weight of each of models, above 0; none: equal weights
    # average the parameters of `models` to one network (model soup) instead of their scores; they must have the same
    # architecture and classes, and should be of one training. Without models: all snapshots that this run kept
    soup: bool = False
    max_recordings: CountOrNone = 0  # test at most this many recordings, drawn at random; 0: all
    # test at most this many recordings per class, drawn at random, and all recordings without a class; 0: all
    max_per_class: CountOrNone = 0
    seed: Seed = 2018  # random seed for the choice of these recordings
    # unit = recording: use only the first clips of a recording, at most this many; 0: all
    max_clips: CountOrNone = 128
    # how the scores of clips become those of a recording
    pooling: Literal["median_filtered", "mean_exponential", "mean", "max", "log_mean_exp"] = "median_filtered"
    # pooling = log_mean_exp: near 0 it is the mean, at 100 almost the maximum
    sharpness: Annotated[float, Gt(0), Le(100)] = 5.0
    # intervals: also predict so many clips before and so many after each clip, at equal distances within half a step,
    # which may reach into the neighbouring intervals (test-time augmentation), and pool all; 1 takes 3 times as long,
    # 2 takes 5 times; 0: off
    shifts: Annotated[int, Ge(0), Le(8)] = 0
    # intervals: how the scores of a recording's intervals change each other
    postprocessing: IntervalRules = field(default_factory=IntervalRules)
    # table of which species to expect where and when, multiplied with the scores: values per recording (TSV) or eBird
    # frequencies
    prior: Path | None = None
    # prior of eBird frequencies: factor for species not reported at that place and week; reported species: 1.5
    prior_unreported: Share = 0.5
    # folder of a metadata classifier (train_metadata.py), which is blended with the models; recordings without a place
    # or date, and species that it does not know, keep their scores
    metadata: Path | None = None
    # weight w of the metadata classifier relative to the models: (models + w × metadata) / (1 + w); 0: not used
    metadata_weight: Annotated[float, Ge(0), Le(100)] = 0.14
    background: bool = True  # background species count as correct, too
    # classes with fewer positive recordings are left out of class means and get no threshold of their own
    min_positives: Count = 1
    # score from which a species counts as detected: one threshold for all classes, or one per class
    thresholds: Literal["common", "per_class"] = "common"
    # what a common threshold is chosen for: the highest F1 over all pairs of a row and a class, or the highest mean F1
    # of rows with nocall where nothing is detected, as in BirdCLEF 2021
    threshold_metric: Literal["micro_f1", "row_f1"] = "micro_f1"
    # choose thresholds for at least this precision and the highest recall instead; 0: off
    precision: Share = 0.0
    # also fit a mapping from scores to probabilities; isotonic needs several hundred positives
    calibration: Literal["none", "platt", "isotonic"] = "none"
    # clips per inference batch; larger batches need more memory; scores do not depend on it
    batch_size: Count = 64
    # what runs the model; onnx: ONNX Runtime, faster on CPUs; onnx-int8: the same in 8-bit integers, faster still for
    # most models, with other scores; needs the store of the training clips; auto: onnx on CPUs if installed, else jax
    engine: Literal["auto", "jax", "onnx", "onnx-int8"] = "auto"
    # also report a ridge regression on mean log-mel spectra, as a simple reference; reads all recordings once more
    ridge: bool = False
    # how unlike the training clips each recording, interval or call is, 0 to 1, to find species that the model was
    # never trained on; 0.95: 95% of the validation recordings (intervals and calls: of their clips) are nearer to what
    # was learned. Needs the store the first time, to run the model once on its training clips
    novelty: bool = False
    # folder of recordings without birds, searched with its subfolders: every interval there (unit = recording or event:
    # of the length of a clip) in which a species reaches its threshold is a false alarm, and counted; none: off
    noise_folder: Path | None = None
    # raise the thresholds until there are at most so many false alarms per hour of noise_folder, which costs recall;
    # 0: none at all; none: thresholds stay as they are
    max_false_alarms: NotNegative | None = None


@dataclass(frozen=True)
class Submission:
    """How models are applied to unlabelled recordings; `testing` says which models, and how scores are pooled."""

    folder: Path = Path("submissions")  # folder that submissions are written to
    # folder of the recordings, searched with its subfolders; none: the test recordings or soundscapes of the data set
    recordings: Path | None = None
    # soundscapes: length of the intervals that get predictions, seconds; the last one may be shorter
    interval: Annotated[float, Ge(0.1), Le(86_400)] = 5.0
    # overlap of the clips in an interval, seconds; less than the length of a clip; none: as the model was trained
    overlap: NotNegative | None = None
    # predict only these species, score 0 for all others: one name or code per line, or an eBird frequency list
    whitelist: Path | None = None
    # if whitelist is a frequency list: predict only species that are at least this frequent, percent
    whitelist_frequency: Annotated[float, Ge(0), Le(100)] = 0.0
    # scores from which species count as detected: thresholds.json of test.py, or <run>_soundscape_thresholds.json of
    # submission_soundscape.py; none: thresholds.json of the run, if it has one
    thresholds: Path | None = None
    # CSV with the places of recordings or sites: recording or site, latitude, longitude (degrees), and optionally date
    # or week; none: from metadata/. Sites and dates come from the names of files, too
    places: Path | None = None
    # detections by lower thresholds; recording: a species that reaches its threshold anywhere in a recording is
    # detected in all of it from `dynamic_factor` × threshold; share: one threshold for all species, such that
    # `dynamic_share` of all intervals have a detection
    dynamic: Literal["off", "recording", "share"] = "off"
    dynamic_factor: Share = 0.5  # dynamic = recording: the lower threshold, as a factor of the species' threshold
    dynamic_share: Share = 0.5  # dynamic = share: fraction of the intervals of all recordings with a detection
    # file format; kaggle2022: challenges of 2022 to 2025; birdclef2018 needs class_ids; birdnet, kaleidoscope: the
    # tables of BirdNET-Analyzer; darwin-core: an archive of occurrences for GBIF
    format: Literal[
        "birdclef2018",
        "kaggle2021",
        "kaggle2022",
        "raven",
        "audacity",
        "csv",
        "birdnet",
        "kaleidoscope",
        "parquet",
        "darwin-core",
    ] = "csv"
    # regular expression with one group that matches the id of a recording in its file name; '': the usual pattern of
    # the challenge, else the whole name without its ending
    media_pattern: str = ""
    # class ids: labelset.txt beside labelset_sci.txt, or a table of names and codes; none: from metadata/
    class_ids: Path | None = None
    # sample submission (CSV) for kaggle2021 and kaggle2022: take its rows and columns in their order; none: all rows
    sample: Path | None = None
    # format = birdclef2018: classes per recording or interval; the challenge allows 100
    best: Annotated[int, Ge(1), Le(100)] = 100
    # threshold for detections if there is no thresholds.json; formats birdclef2018 and kaggle2022 ignore it, and
    # dynamic = share does
    min_score: Share = 0.1
    # format = raven: lowest and highest frequency of the selections, Hz
    band: tuple[NotNegative, NotNegative] = (500.0, 15_000.0)
    # soundscapes: also write when each species calls, from start to end to a tenth of a second, in this file format;
    # needs models with model.pool = attention; none: do not
    events: Literal["none", "raven", "audacity", "csv", "birdnet", "kaleidoscope", "parquet", "darwin-core"] = "none"
    # events: an event lasts while its score is at least this share of the highest score of the species within 3 seconds
    # around, besides its threshold; 0: by thresholds alone, which starts early and ends late
    event_level: Share = 0.5
    # day: also write for each species, site and date whether it was detected, and the hours of recording, for models
    # of occupancy; needs recorders that tell sites and times; none: do not
    history: Literal["none", "day"] = "none"
    # in tables that spreadsheets and people read, write an apostrophe before cells that a spreadsheet would run as a
    # formula, such as a file named =1+1.wav; off: cells stay as they are
    defuse: bool = True
    # soundscapes: also plot when and where species were detected, how many, and their scores, as PNG files and on the
    # page
    plots: bool = True
    # minutes of sound, over all recordings, on the page with timelines and players; 0.7 MB per minute; 0: no page
    page_minutes: NotNegative = 15.0


@dataclass(frozen=True)
class Tuning:
    """How `evaluate.py --tune` searches settings; the target is the best value of `training.monitor`."""

    # settings to search, by name: from low to high (log = true: on a logarithmic scale; step: in steps of so much), or
    # a list of values; {"training.learning_rate" = {low = 1e-4, high = 3e-3, log = true}, "model.dropout" = [0.0, 0.3]}
    space: dict[str, Any] = field(default_factory=dict, hash=False)
    # a trial trains and tests every fold of the data set; its value is the mean over folds. Off: it trains once; its
    # value is that of its best epoch on the validation recordings
    folds: bool = False
    # number of first trials with random values, before values are chosen by the results so far; also, number of
    # completed trials before any is pruned
    random_trials: Count = 10
    # stop trials early whose value is worse than the median of the others after as many epochs (with folds: folds)
    prune: bool = True
    prune_after: Count = 5  # prune: earliest epoch (with folds: fold) after which a trial is stopped
    seed: Seed = 1  # random seed for the choice of values


@dataclass(frozen=True)
class Cluster:
    """Where the work on many recordings runs; results do not depend on it. docs/cluster.md says how to start one."""

    # '': worker processes of this machine; auto: the Ray cluster to which this machine belongs; ray://HOST:10001:
    # another Ray cluster; local: Ray on this machine alone, to try it out. All but '' need the extra `cluster`, auto
    # and ray:// also a disk that all machines have at the same path
    address: str = ""
    # processor cores that the cluster reserves for each recording in work; for inference, for each group of them
    cpus: Positive = 1.0
    memory: CountOrNone = 0  # memory that it reserves for each, MB; 0: none, as many at a time as there are cores
    retries: CountOrNone = 1  # how often a recording is tried again whose worker or machine was lost


@dataclass(frozen=True)
class Log:
    """What scripts print and record."""

    # all: messages, progress bars and results; info: no progress bars; progress, result: only these; error: only
    # errors and warnings
    mode: Literal["all", "info", "progress", "error", "result"] = "all"
    file: Path | None = None  # also append every message, with its time, to this file
    tensorboard: bool = True  # also write the metrics of every epoch for TensorBoard: snapshots/<run>/tensorboard/


@dataclass(frozen=True)
class Config:
    """All settings of an experiment."""

    run: str = "birdclef2018"  # name of the run, under which snapshots, log and test results are kept
    snapshots: Path = Path("snapshots")  # folder of all runs
    workers: CountOrNone = 0  # processes that read recordings; 0: one per core; results do not depend on it
    dataset: Dataset = field(default_factory=Dataset)
    clips: Clips = field(default_factory=Clips)
    spectrogram: Spectrogram = field(default_factory=Spectrogram)
    external: External = field(default_factory=External)
    waveform: Waveform = field(default_factory=Waveform)
    augmentation: Augmentation = field(default_factory=Augmentation)
    model: Model = field(default_factory=Model)
    training: Training = field(default_factory=Training)
    distillation: Distillation = field(default_factory=Distillation)
    metadata: Metadata = field(default_factory=Metadata)
    testing: Testing = field(default_factory=Testing)
    submission: Submission = field(default_factory=Submission)
    tuning: Tuning = field(default_factory=Tuning)
    cluster: Cluster = field(default_factory=Cluster)
    log: Log = field(default_factory=Log)

    @property
    def input_shape(self) -> tuple[int, int]:
        """Shape of what the model takes: height and width of a spectrogram, or windows and values of embeddings."""
        if self.clips.keep != "embeddings":
            return self.spectrogram.shape
        return windows_in(self.clips, self.external), self.external.width

    @property
    def input_dtype(self) -> Literal["uint8", "float16"]:
        """Type of what the model takes: grey levels, or values of embeddings."""
        return "float16" if self.clips.keep == "embeddings" else "uint8"

    @property
    def has_frames(self) -> bool:
        """Whether the model also predicts each frame of a clip."""
        return self.model.pool == "attention"

    @property
    def trains_on_sound(self) -> bool:
        """Whether training computes spectrograms from the sound of clips, instead of reading them."""
        return self.clips.keep == "sound" and self.training.images is None

    @property
    def run_folder(self) -> Path:
        """Where the run's snapshots, log and test results are kept."""
        return self.snapshots / self.run
