"""What models answer to recordings: listening in worker processes, the nets here, pooled scores out."""

from collections.abc import Collection, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace

import numpy as np
import polars as pl
from jaxtyping import Float, Float32, Int64

from config import Config
from utils import console
from utils.scoring.inference.batching import Hearing, answered, gathered
from utils.scoring.inference.clip_workers import Heard, listen
from utils.scoring.inference.ensembles import Ensemble, Listener, Model, assemble
from utils.scoring.inference.fingerprints import fingerprint_of_scores
from utils.scoring.inference.pooling import Pool, Pooling, pool_groups, pooling_of
from utils.scoring.inference.prior import prior_of
from utils.spectra.clips import clip_samples
from utils.spectra.extraction import FirstClips

SAME_STEP = 0.001  # steps; clips of other rates are apart by less, for theirs are whole samples


@dataclass(frozen=True)
class ClipScores:
    """The scores of a recording's clips, of models that hear the same ones.

    Attributes
    ----------
    starts : of the clips, seconds
    length : of a clip, seconds
    scores : a column a class of the ensemble, 0 to 1, without any prior; NaN where these models do not know it
    """

    starts: Float[np.ndarray, " clips"]
    length: float
    scores: Float32[np.ndarray, "clips classes"]


@dataclass(frozen=True)
class Answer:
    """What an ensemble answers to one recording.

    Attributes
    ----------
    row : of the recording in its table
    scores : pooled over the recording, a column a class of the ensemble; NaN if it could not be used
    clips : how many clips were heard, by those models that hear most
    reason : why it could not be used; None where it could
    clip_scores : where they were asked for: those of each group of models that hear the same clips
    warnings : what is odd about its file, and how much of it was read
    alone : there, too, (clips, classes): what would be answered if each clip were a recording of its own. Where models
        hear other clips, these are those of the longest step, and of the others all that begin within one are pooled
        together
    """

    row: int
    scores: Float[np.ndarray, " classes"]
    clips: int
    reason: str | None = None
    warnings: tuple[str, ...] = ()
    clip_scores: tuple[ClipScores, ...] = ()
    alone: Float[np.ndarray, "_ _"] = field(default_factory=lambda: np.empty((0, 0)))


@dataclass(frozen=True)
class Answers:
    """Answers to some recordings.

    Attributes
    ----------
    recordings : rows of the split's table, in its order
    classes : what the columns of `scores` are
    scores : pooled over each recording, 0 to 1 (with a prior, to 1.5); NaN for recordings that could not be used
    clips : how many clips were heard of each
    reasons : why a recording could not be used; None where it could
    clip_scores : by recording, of those whose clips were asked for
    fingerprint : of the nets and settings that answered, of `fingerprint_of_scores`
    warnings : by recording, of those whose files are odd: what was found
    """

    recordings: pl.DataFrame
    classes: tuple[str, ...]
    scores: Float[np.ndarray, "recordings classes"]
    clips: Int64[np.ndarray, " recordings"]
    reasons: list[str | None]
    clip_scores: dict[str, tuple[ClipScores, ...]] = field(default_factory=dict)
    fingerprint: str | None = None
    warnings: dict[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def failures(self) -> list[console.Failure]:
        """The recordings that could not be used."""
        pairs = zip(self.recordings["file"], self.reasons, strict=True)
        return [console.Failure(file, reason) for file, reason in pairs if reason is not None]

    @property
    def odd(self) -> list[console.Failure]:
        """The recordings of which something is odd, such as that their end is missing."""
        pairs = self.recordings.select("recording", "file").iter_rows()
        return [console.Failure(file, "; ".join(self.warnings[name])) for name, file in pairs if name in self.warnings]


def answer(
    models: Sequence[Model],
    recordings: pl.DataFrame,
    config: Config,
    *,
    clips_of: Collection[str] = (),
    what: str = "testing",
) -> Answers:
    """Let models answer recordings, and put the answers into one table.

    Parameters and errors as of `answers`; `what` names the progress bar.
    """
    ensemble, fingerprint = assemble(models), fingerprint_of_scores(models, config)
    scores = np.full((len(recordings), len(ensemble.classes)), np.nan, np.float32)
    clips = np.zeros(len(recordings), np.int64)
    reasons: list[str | None] = [None] * len(recordings)
    clip_scores, warnings = {}, {}
    with (
        console.progress(what, total=len(recordings), unit="recordings") as advance,
        closing(answers(ensemble, recordings, config, clips_of)) as coming,
    ):
        for one in coming:
            scores[one.row], clips[one.row], reasons[one.row] = one.scores, one.clips, one.reason
            if one.clip_scores:
                clip_scores[recordings["recording"][one.row]] = one.clip_scores
            if one.warnings:
                warnings[recordings["recording"][one.row]] = one.warnings
            advance()
    return Answers(recordings, ensemble.classes, scores, clips, reasons, clip_scores, fingerprint, warnings)


def answers(
    ensemble: Ensemble, recordings: pl.DataFrame, config: Config, clips_of: Collection[str] = ()
) -> Generator[Answer]:
    """Yield the answer to each recording as it is finished: its first clips, without rejection, pooled as `testing.pooling` says, times the prior.

    Pictures are made with the snapshots' settings, whatever the config's are. Noise is no answer: of what was trained
    as 'Noise' nothing is said. Memory does not grow with the number of recordings or their length. Scores depend on
    neither batch size nor the number of workers.

    Parameters
    ----------
    ensemble : of `assemble`
    recordings : with the columns `recording` and `file`, the latter below `dataset.root`
    clips_of : recordings whose clips' scores are kept, too

    Raises
    ------
    UserError
        If a net or the prior's table is damaged.
    """
    prior = prior_of(recordings, ensemble.classes, config)
    names, kept = recordings["recording"], frozenset(clips_of)

    pooling = pooling_of(config.testing)

    def begin(heard: Heard) -> _Hearing:
        return _begin(heard, ensemble, pooling, keep=names[heard.row] in kept)

    for parts in gathered(ensemble, answered(ensemble, listen(ensemble, recordings, config), config.testing, begin)):
        done = _joined(ensemble, parts[0].row, parts, pooling)
        yield done if prior is None else _expected(done, prior(names[done.row]))


class _Hearing(Hearing):
    """What is known so far of a recording as one listener hears it."""

    def __init__(
        self, row: int, listener: int, *, pool: Pool, clips: int = 0, keep: bool = False, reason: str | None = None
    ) -> None:
        self.row, self.listener, self.pool, self.clips, self.reason = row, listener, pool, clips, reason
        self.warnings: tuple[str, ...] = ()
        self.kept: list[Float32[np.ndarray, "_ classes"]] | None = [] if keep else None

    def add(self, scores: Float32[np.ndarray, "clips classes"]) -> bool:
        """Take in the scores of the next clips; tell whether they were the last."""
        self.pool.add(scores)
        if self.kept is not None:
            self.kept.append(scores.copy())  # a view would keep the whole batch
        return int(self.pool.clips[0]) == self.clips


def _begin(heard: Heard, ensemble: Ensemble, pooling: Pooling, *, keep: bool) -> _Hearing:
    pool = Pool(pooling, classes=len(ensemble.listeners[heard.listener].classes))
    if isinstance(heard.outcome, console.Failure):
        return _Hearing(heard.row, heard.listener, pool=pool, reason=heard.outcome.reason)
    hearing = _Hearing(heard.row, heard.listener, pool=pool, clips=heard.outcome.count, keep=keep)
    hearing.warnings = (
        heard.outcome.warnings if isinstance(heard.outcome, FirstClips) else heard.outcome.length.warnings
    )
    return hearing


def _joined(ensemble: Ensemble, row: int, hearings: Sequence[_Hearing], pooling: Pooling) -> Answer:
    """Join what the listeners heard; a recording that one of them cannot use is not answered by the others alone."""
    for hearing in hearings:
        if hearing.reason is not None:
            return Answer(row, np.full(len(ensemble.classes), np.nan), 0, hearing.reason)
    pairs = list(zip(ensemble.listeners, hearings, strict=True))
    (scores,) = ensemble.join([hearing.pool.finish() for hearing in hearings])
    warnings = tuple(dict.fromkeys(said for hearing in hearings for said in hearing.warnings))
    answer = Answer(row, scores, max(hearing.clips for hearing in hearings), warnings=warnings)
    kept = [(listener, np.concatenate(hearing.kept)) for listener, hearing in pairs if hearing.kept]
    if not kept:
        return answer
    parts = tuple(
        ClipScores(np.arange(len(own)) * _step(listener), listener.clips.length, ensemble.spread(own, listener))
        for listener, own in kept
    )
    return replace(answer, clip_scores=parts, alone=_alone(ensemble, [own for _, own in kept], pooling))


def _step(listener: Listener) -> float:
    """Return the seconds from one clip's begin to the next one's."""
    _, step, _ = clip_samples(listener.clips, rate=listener.spectrogram.rate)
    return step / listener.spectrogram.rate


def _alone(
    ensemble: Ensemble, kept: Sequence[Float32[np.ndarray, "_ _"]], pooling: Pooling
) -> Float[np.ndarray, "steps all_classes"]:
    steps = [_step(listener) for listener in ensemble.listeners]
    places = [
        np.floor(np.arange(len(own)) * step / max(steps) + SAME_STEP).astype(np.int64)
        for own, step in zip(kept, steps, strict=True)
    ]
    count = min(int(own[-1]) + 1 for own in places)  # clips that all models hear
    groups = [np.where(own < count, own, -1) for own in places]
    return ensemble.join(
        [pool_groups(own, group, pooling, count=count) for own, group in zip(kept, groups, strict=True)]
    )


def _expected(done: Answer, factors: Float[np.ndarray, " classes"]) -> Answer:
    """Multiply by the prior what is rounded before, as submissions keep it, so that these answer the same to the last bit."""
    alone = done.alone.astype(np.float32) * factors if len(done.alone) else done.alone
    return replace(done, scores=done.scores.astype(np.float32) * factors, alone=alone)
