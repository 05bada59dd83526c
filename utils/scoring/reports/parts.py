"""What the report shows, as plain values: the page is drawn from these alone, whoever filled them."""

from dataclasses import dataclass, field

import numpy as np
import polars as pl
from jaxtyping import Float, Int64


@dataclass(frozen=True)
class Figure:
    """One figure of the summary.

    Attributes
    ----------
    value : None where it is not defined
    low, high : ends of its 95% interval; None where there is none
    note : what it is the mean or share of
    """

    name: str
    value: float | None
    low: float | None = None
    high: float | None = None
    note: str = ""


@dataclass(frozen=True)
class Line:
    """One line of a chart; a `y` of None or NaN leaves a gap."""

    name: str
    x: tuple[float, ...]
    y: tuple[float | None, ...]


@dataclass(frozen=True)
class Chart:
    """Some lines over one axis.

    Attributes
    ----------
    ends : lowest and highest y; None: from 0 to the highest
    mark, mark_text : an x to point out, and what is there
    note : what the reader should know
    slide : whether the reader can move along it and read off the values; all lines must then have the same x
    """

    title: str
    x_label: str
    lines: tuple[Line, ...]
    ends: tuple[float, float] | None = (0.0, 1.0)
    mark: float | None = None
    mark_text: str = ""
    note: str = ""
    slide: bool = False


@dataclass(frozen=True)
class Confusion:
    """How many recordings of each class in a row were first answered as each class in a column; the last column is all other classes.

    What is not on the diagonal is wrong: first answers that are right in the background are not counted.

    Attributes
    ----------
    left_out : how many classes of the test are not shown
    """

    labels: tuple[str, ...]
    counts: Int64[np.ndarray, "rows columns"]
    left_out: int = 0


@dataclass(frozen=True)
class Strip:
    """The scores of one class along an excerpt.

    Attributes
    ----------
    right : whether the class is a right answer
    pooled : its score for the whole recording
    scores : of the excerpt's clips, 0 to 1
    """

    label: str
    right: bool
    pooled: float
    scores: Float[np.ndarray, " clips"]


@dataclass(frozen=True)
class Excerpt:
    """Some seconds of a recording, to be seen and heard.

    Attributes
    ----------
    recording : its name
    right : the right answers
    lrap : of the whole recording
    start, seconds : where in the recording the excerpt begins, and how long it is
    whole : length of what was heard of the recording, seconds
    picture : its spectrogram as JPEG, low frequencies at the bottom
    ticks : frequencies, and how high they stand in the picture, from 0 (bottom) to 1 (top)
    sound : MP3; b'' where there is none
    times : where in the excerpt each clip's score counts, from and to, seconds
    strips : the classes with the highest scores, and the right ones
    credit : who recorded it, under which licence; '' where that is not known
    """

    recording: str
    right: tuple[str, ...]
    lrap: float
    start: float
    seconds: float
    whole: float
    picture: bytes
    ticks: tuple[tuple[str, float], ...]
    sound: bytes
    times: tuple[tuple[float, float], ...]
    strips: tuple[Strip, ...]
    credit: str = ""


@dataclass(frozen=True)
class Gallery:
    """Excerpts of one kind.

    Attributes
    ----------
    shown_above : recordings that belong here, too, but are shown in an earlier gallery
    """

    title: str
    note: str
    excerpts: tuple[Excerpt, ...]
    shown_above: tuple[str, ...] = ()


@dataclass(frozen=True)
class NetRow:
    """One net of the table of a distillation, or several that answer together.

    Attributes
    ----------
    flops : per clip
    bytes : of weights and statistics on disk
    clips_per_second : on the machine of the test
    mlrap, low, high : on the recordings of the test, and the ends of its 95% interval
    ahead, ahead_low, ahead_high : how much higher its MLRAP is than the student's, and the ends of the paired interval;
        None for the student
    """

    name: str
    parameters: int
    flops: int
    bytes: int
    clips_per_second: float
    mlrap: float | None
    low: float | None
    high: float | None
    ahead: float | None
    ahead_low: float | None
    ahead_high: float | None


@dataclass(frozen=True)
class Report:
    """Everything on the page.

    Attributes
    ----------
    facts : short texts about the test, by what they are
    classes : one row a class: `class`, `recordings`, `ap`, `auroc`, `f1`, `threshold` and `confused_with`; null where
        not defined
    left_out : recordings that could not be used, and why
    settings : of the run, as TOML
    nets : of a distillation: headings, and one row a net
    """

    title: str
    facts: dict[str, str]
    figures: tuple[Figure, ...]
    charts: tuple[Chart, ...]
    classes: pl.DataFrame
    confusion: Confusion
    galleries: tuple[Gallery, ...] = ()
    left_out: tuple[tuple[str, str], ...] = ()
    settings: str = ""
    warnings: tuple[str, ...] = field(default=())
    nets: tuple[tuple[str, ...], ...] = ()
