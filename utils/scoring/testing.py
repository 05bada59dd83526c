"""The steps of test.py: choose, answer, compare, write, and say what came out."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import polars as pl

from config import Config
from utils import console
from utils.models.export import check_can_export, export
from utils.models.snapshots import Snapshot, learned_from
from utils.recordings.splits import draw
from utils.scoring.evaluation.false_detections import noise_called, noise_of
from utils.scoring.evaluation.measures import measure
from utils.scoring.evaluation.recordings import Figures, Judged, judge
from utils.scoring.evaluation.result_files import predictions_table, write_report
from utils.scoring.evaluation.ridge_baseline import ridge_scores
from utils.scoring.inference.ensembles import Model, models_at
from utils.scoring.inference.recordings import Answers
from utils.scoring.reports.filling import report_of
from utils.scoring.reports.page import write_page
from utils.sound.report import is_partial
from utils.tables import write_csv

FEW = 10  # recordings; over fewer the MLRAP is mostly chance
# as of long recordings, and of species that the model does not know
NO_OWN = "none (no recording with a class of its own)"


@dataclass(frozen=True)
class Tested:
    """What a test found.

    Attributes
    ----------
    snapshot : what was tested; of several models the first
    figures : those of the answers
    ridge : those of the ridge regression, where it was asked for
    folder : where the files of the test are
    failures : the recordings that could not be used
    odd : the recordings of which something is odd, such as that their end is missing
    seconds : how long this call took
    """

    snapshot: Snapshot
    figures: Figures
    ridge: Figures | None
    folder: Path
    failures: list[console.Failure]
    odd: list[console.Failure]
    seconds: float

    @property
    def complete(self) -> bool:
        """Whether all recordings were used, and none only in part; of what else is odd about them nothing is lost."""
        return not (self.failures or any(is_partial(warning.reason) for warning in self.odd))


def held_out_recordings(split: pl.DataFrame, config: Config) -> pl.DataFrame:
    """Return the recordings of the side that `testing.side` names: of test/ where there is one, else of val/, unless it names one.

    Of them, at most `testing.max_recordings` are drawn, and at most `testing.max_per_class` of a class; long recordings
    belong to no class alone.

    Raises
    ------
    UserError
        If there is none.
    """
    side = config.testing.side
    if side == "auto":
        side = "test" if "test" in split["side"] else "val"
    recordings = split.filter(side=side)
    if recordings.is_empty():
        raise console.UserError(
            f"no recording is held out in {side}/; sort_data.py needs classes of two or more recordings and a dataset.{side}_share above 0"
        )
    return _drawn(recordings, config)


def _drawn(recordings: pl.DataFrame, config: Config) -> pl.DataFrame:
    """Draw recordings by name, so that which ones are drawn depends on no others of the split."""
    settings = config.testing
    if settings.max_per_class:
        kept = set(recordings.filter(pl.col("class") == "")["recording"])
        for (label,), own in recordings.filter(pl.col("class") != "").group_by("class"):
            kept |= draw(
                own["recording"].to_list(), settings.max_per_class, seed=settings.seed, label=f"tested {label}"
            )
        recordings = recordings.filter(pl.col("recording").is_in(list(kept)))
    if settings.max_recordings:
        kept = draw(recordings["recording"].to_list(), settings.max_recordings, seed=settings.seed, label="tested")
        recordings = recordings.filter(pl.col("recording").is_in(list(kept)))
    return recordings


def check_before_training(split: pl.DataFrame, config: Config) -> None:
    """Refuse what a test of the trained net would refuse hours later.

    Raises
    ------
    UserError
        If there is nothing to test on, the prior or a net that `testing` names is not there, or its engine is not
        installed.
    """
    held_out_recordings(split, config)
    settings = config.testing
    if settings.prior and not settings.prior.is_file():
        raise console.UserError(f"{settings.prior}: no such file; mend testing.prior")
    own = config.run_folder.resolve()  # is yet to be trained
    others = [path for path in settings.models if own not in (path.resolve(), *path.resolve().parents)]
    models_at(others, (), which=settings.snapshot, setting="testing.models")
    if settings.engine == "onnx":
        check_can_export("testing.engine = onnx")


def check_unheard(recordings: pl.DataFrame, models: Sequence[Model]) -> None:
    """Refuse to test models on recordings that one of them learned from, as after another sort.

    Raises
    ------
    UserError
        With how many there are.
    """
    for snapshot in (model.snapshot for model in models):
        known = sorted(learned_from(snapshot) & set(recordings["recording"]))
        if known:
            raise console.UserError(
                f"{snapshot.folder}: learned from {len(known)} recordings that are now held out ({known[0]}{', …' if len(known) > 1 else ''}); "
                "a test on them would flatter it: train anew (--run NAME or --fresh), or sort with the old dataset settings"
            )


def keep_net(models: Sequence[Model], path: Path | None) -> None:
    """Write the net that is tested as an ONNX file, where one is asked for.

    Raises
    ------
    UserError
        If several are tested, or it cannot be written.
    """
    if path is None:
        return
    if len(models) > 1:
        raise console.UserError(f"--export: one net makes a file, testing.models names {len(models)}")
    export(models[0].snapshot, path)
    console.say(f"the net is in {console.shown(path)}; docs/file-formats.md says how it is used")


def conclude(
    answers: Answers, models: Sequence[Model], split: pl.DataFrame, config: Config, *, seconds: float
) -> Tested:
    """Compare the answers with the truth, write the report, and say how good they are.

    Raises
    ------
    UserError
        If no recording could be scored.
    """
    folder = config.run_folder / "test"
    judged = judge(answers.scores, answers, background=config.testing.background)
    if not judged.figures.scored:
        console.report_failures(answers.failures, what="recordings")
        write_csv(folder / "predictions.csv", predictions_table(answers, judged))
        raise console.UserError(
            f"no recording that was held out could be used; {console.shown(folder / 'predictions.csv')} says why"
        )
    ridge = None
    if config.testing.ridge:
        ridge = judge(
            ridge_scores(split.filter(side="train"), answers, config), answers, background=config.testing.background
        ).figures
    measures = measure(
        answers, judged, config.testing, made_from=f"{config.run}, on {len(answers.recordings)} recordings"
    )
    noise = noise_of(answers)
    if len(noise):
        measures = replace(
            measures,
            figures={**measures.figures, "noise_called": noise_called(models, noise, measures.thresholds, config)},
        )
    metrics = {
        **asdict(judged.figures),
        "figures": {
            key: {"value": found.value, "low": found.low, "high": found.high} for key, found in measures.figures.items()
        },
        "background": config.testing.background,
        "clips": int(answers.clips.sum()),
        "snapshot": models[0].snapshot.folder.name,
        "models": [{"snapshot": model.snapshot.folder.as_posix(), "weight": model.weight} for model in models],
        "pooling": config.testing.pooling,
        "prior": config.testing.prior and config.testing.prior.as_posix(),
        "ridge": None if ridge is None else asdict(ridge),
        "seconds": round(seconds, 2),
    }
    write_report(folder, answers, judged, measures, metrics)
    write_page(folder / "report.html", report_of(answers, judged, measures, ridge, models, config))
    tested = Tested(models[0].snapshot, judged.figures, ridge, folder, answers.failures, answers.odd, seconds)
    _say(tested, models, judged, answers)
    return tested


def figure_rows(tested: Tested) -> dict[str, str]:
    """Return the figures of a test as rows of a summary."""
    figures = tested.figures
    rows = {
        "MLRAP": f"{_number(figures.mlrap)}, over {figures.ranked:,} of {figures.recordings:,} recordings",
        "top-1 accuracy": _number(figures.top1_accuracy, otherwise=NO_OWN),
    }
    if tested.ridge:
        rows["ridge on mean spectra"] = (
            f"MLRAP {_number(tested.ridge.mlrap)}, top-1 accuracy {_number(tested.ridge.top1_accuracy, otherwise=NO_OWN)}"
        )
    return rows


def _number(value: float | None, *, otherwise: str = "none") -> str:
    return otherwise if value is None else f"{value:.3f}"


def _say(tested: Tested, models: Sequence[Model], judged: Judged, answers: Answers) -> None:
    figures = judged.figures
    console.show_table(
        "Tested",
        {
            "snapshot" if len(models) == 1 else "snapshots": ", ".join(
                console.shown(model.snapshot.folder) for model in models
            ),
            "recordings": f"{figures.scored} of {figures.recordings} scored, {int(answers.clips.sum())} clips",
            **figure_rows(tested),
            "top-1 confidence": _number(figures.top1_confidence),
            "report": ", ".join(
                console.shown(tested.folder / name)
                for name in ("report.html", "report.png", "predictions.csv", "scores.parquet", "metrics.json")
            ),
            "time": console.clock(tested.seconds),
        },
    )
    if 0 < figures.ranked < FEW:
        over = f"{figures.ranked} {'recording' if figures.ranked == 1 else 'recordings'}"
        console.warn(
            f"the MLRAP is the mean over only {over}, so that chance decides on it; a test of {FEW} or more says more"
        )
    if figures.without_truth:
        console.warn(f"{figures.without_truth} recordings are of species that the net does not know; they do not count")
    console.report_failures(tested.failures, what="recordings")
    console.report_failures(tested.odd, what="recordings", done="read, with a warning")
