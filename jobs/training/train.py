"""From days to a champion on one machine: freeze, fit, judge, one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

from jobs.night.prepare import OnProgress
from jobs.night.stopwatch import Stopwatch
from jobs.training.fit import fit_here
from jobs.training.freezing import TrainRequest, freeze_training
from jobs.training.judge import Judge
from models.fit.run import FitOptions

if TYPE_CHECKING:
    from jobs.context import Context
    from jobs.registry.model_registry import ModelRef
    from jobs.training.evaluate import Evaluations
    from jobs.training.gate import GateDecision
    from jobs.training.training_set import TrainingSet


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainResult:
    """How a training ended."""

    model: ModelRef
    evaluations: Evaluations
    """Of each label, on the evaluation days; on the validation days where there are none."""
    champion: Evaluations | None
    """Of the champion on the same rows, where the two could be compared."""
    decision: GateDecision
    promoted: bool
    training_set: TrainingSet
    is_reused: bool
    """Whether the model was made by an earlier call from the same, and not trained again."""
    seconds: dict[str, float]
    """Seconds of each stage that ran."""


def train(
    context: Context,
    first: date,
    last: date,
    eval_to: date | None,
    *,
    model: str | None = None,
    settings: Sequence[str] = (),
    precision: str | None = None,
    force: bool = False,
    promote: bool = True,
    on_progress: OnProgress,
    who: str = "train",
    compiled: bool = True,
) -> TrainResult:
    """Train on `first` to `last`, judge on the days after it to `eval_to`, promote what passes.

    Without evaluation days nothing is promoted: the model becomes challenger. So it does with
    `promote=False`. The same call with the same inputs reads the same frozen rows, and takes the
    version that was made of them before: a retry trains nothing twice and registers nothing twice.

    Args:
        context: the pipeline.
        first: first training day.
        last: last training day; the definition's validation days are the last of the range.
        eval_to: last evaluation day; the first is the day after `last`.
        model: a model's name, or `path.py:NAME`; the definition's by default.
        settings: `name=value` texts, settings of the model.
        precision: `f32` or `bf16`; the definition's by default.
        force: train again although a version was made of the same.
        promote: whether to make it champion if it passes the gate.
        on_progress: called with a line for a person as work is done.
        who: the person or service that asked, for the record.
        compiled: False leaves out the compiled package: quick to make, slow to score.

    Raises:
        UnknownModel: there is no such model.
        ModelInvalid: a model from outside the package cannot be used.
        UsageError: the precision or the days are not there to be had.
        ConfigInvalid: a setting is unknown, breaks its rule, or does not fit the features.
        GateRefused: it was to be promoted and did not pass; the champion is as it was.
        NightscoreError: a step failed; the champion is as it was.
    """
    request = TrainRequest(
        first=first, last=last, eval_to=eval_to, model=model, settings=tuple(settings),
        precision=precision, compiled=compiled,
    )  # fmt: skip
    watch = Stopwatch(lambda step, seconds: on_progress(f"{step}: {seconds:.1f} s"))
    frozen = freeze_training(context, request, on_progress, watch)
    training = frozen.training
    judge = Judge(
        home=context.home, definition=context.definition, promote=promote, who=who,
        on_progress=on_progress, watch=watch,
    )  # fmt: skip
    made = None if force else judge.made_before(training.recipe.key)
    if made is None:
        fit_here(training.recipe, training.folder, FitOptions(force=force), on_progress, watch.step)
        verdict = judge.judge_bundle(training)
    else:
        verdict = judge.judge_made(training, made)
    return TrainResult(
        model=verdict.model,
        evaluations=verdict.evaluations,
        champion=verdict.champion,
        decision=verdict.decision,
        promoted=verdict.promoted,
        training_set=frozen.training_set,
        is_reused=verdict.is_reused,
        seconds=dict(watch.seconds),
    )
