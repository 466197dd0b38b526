"""From days to a champion: prepare, freeze, train, bundle, evaluate, register, gate, promote."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from feature_store.errors import GateRefused, NoChampion, UsageError
from jobs import model_registry
from jobs.config import check_day, days_between, setting
from jobs.doctor import check_compiler
from jobs.evaluate import EvalRows, Evaluation, evaluate_bundle, read_eval_rows, training_files
from jobs.gate import GateDecision, decide, refuse
from jobs.model_registry import CHAMPION, ModelRef
from jobs.night import Stopwatch
from jobs.prepare import OnProgress, prepare
from jobs.training_set import EVAL, TRAIN, VALID, TrainingSet, freeze, split_days
from models.errors import BundleInvalid
from models.spec import Signature

if TYPE_CHECKING:
    from feature_store.definition import Definition
    from jobs.context import Context
    from models.bundle import Bundle
    from models.trainer import EpochReport, TrainConfig, TrainedModel

log = logging.getLogger(__name__)

GOLDEN_ROWS = 64


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainResult:
    """How a training ended."""

    model: ModelRef
    evaluation: Evaluation
    """On the evaluation days; on the validation days where there are none."""
    champion: Evaluation | None
    """Of the champion on the same rows, where the two could be compared."""
    decision: GateDecision
    promoted: bool
    training_set: TrainingSet
    seconds: dict[str, float]
    """Seconds of each stage."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Comparison:
    """What the challenger is compared with."""

    champion: ModelRef | None
    evaluation: Evaluation | None
    sentence: str = "There is no champion to compare with."
    """Why there is no evaluation."""
    is_broken: bool = False
    """Whether the champion's bundle could not be loaded."""
    notes: tuple[str, ...] = ()


def train(
    context: Context,
    first: date,
    last: date,
    eval_to: date | None,
    *,
    model: str | None = None,
    promote: bool = True,
    on_progress: OnProgress,
    who: str = "train",
    compiled: bool = True,
) -> TrainResult:
    """Train on `first` to `last`, judge on the days after it to `eval_to`, promote what passes.

    Without evaluation days nothing is promoted: the model becomes challenger. So it does with
    `promote=False`. The same call with the same inputs reads the same frozen rows.

    Args:
        context: the pipeline.
        first: first training day.
        last: last training day; the definition's validation days are the last of the range.
        eval_to: last evaluation day; the first is the day after `last`.
        model: a name in the zoo; the definition's by default.
        promote: whether to make it champion if it passes the gate.
        on_progress: called with a line for a person as work is done.
        who: the person or service that asked, for the record.
        compiled: False leaves out the compiled package: quick to make, slow to score.

    Raises:
        UsageError: the model or the days are not there to be had.
        GateRefused: it was to be promoted and did not pass; the champion is as it was.
        NightscoreError: a step failed; the champion is as it was.
    """
    definition = context.definition
    name = check_model(model or definition.training.model)
    train_days, eval_days = _days(definition, first, last, eval_to)
    split_days(definition, train_days, eval_days)  # refuse before hours of work, not after
    _warn_without_compiler(on_progress, compiled)
    watch = Stopwatch(lambda step, seconds: on_progress(f"{step}: {seconds:.1f} s"))
    with watch.step("prepare"):
        prepare(context, [*train_days, *eval_days], on_progress)
    with watch.step("freeze"):
        frozen = freeze(context, train_days, eval_days)
    on_progress(_describe(frozen))
    log.info(
        "step=train pipeline=%s model=%s training_set=%s pins=%s",
        definition.name, name, frozen.id, frozen.manifest["pins"],
    )  # fmt: skip
    with watch.step("train"):
        trained = _fit(definition, frozen, name, on_progress)
    return _judge(context, frozen, trained, watch, promote=promote, who=who, compiled=compiled)


def check_model(name: str) -> str:
    """Return the name of a model in the zoo.

    Raises:
        UsageError: there is none of that name.
    """
    from models.registry import MODELS

    if name not in MODELS:
        raise UsageError(f"model={name!r} is unknown; there are: {', '.join(sorted(MODELS))}")
    return name


def signature_of(definition: Definition) -> Signature:
    """Return which columns a model of the pipeline takes."""
    return Signature(
        categorical=definition.categorical_names(),
        numeric=definition.numeric_names(),
        labels=(definition.label.name,),
    )


def train_config(definition: Definition, model: str) -> TrainConfig:
    """Return the definition's training settings for the trainer.

    The weight on embeddings was chosen for the definition's own model: another takes its own.
    """
    from models.trainer import TrainConfig

    wanted = definition.training
    return TrainConfig(
        epochs=wanted.epochs,
        batch_size=wanted.batch_size,
        learning_rate=wanted.learning_rate,
        patience=wanted.patience,
        seed=wanted.seed,
        min_count=wanted.min_count,
        embedding_l2=wanted.embedding_l2 if model == wanted.model else None,
    )


def _days(
    definition: Definition, first: date, last: date, eval_to: date | None
) -> tuple[list[date], list[date]]:
    check_day(definition, first, "--from")
    check_day(definition, last, "--to")
    if last < first:
        raise UsageError(f"--from={first} --to={last}: --from must not be after --to")
    if eval_to is None:
        return days_between(first, last), []
    check_day(definition, eval_to, "--eval-to")
    if eval_to <= last:
        raise UsageError(f"--to={last} --eval-to={eval_to}: --eval-to must be after --to")
    return days_between(first, last), days_between(last + timedelta(days=1), eval_to)


def _warn_without_compiler(on_progress: OnProgress, compiled: bool) -> None:
    found = check_compiler()
    if compiled and found.status != "ok":
        on_progress(f"{found.name}: {found.found}; {found.remedy}. Scoring will be slower without")


def _describe(frozen: TrainingSet) -> str:
    parts = (f"{name} {s.rows:,} rows ({s.base_rate:.1%})" for name, s in frozen.splits.items())
    state = "found" if frozen.is_reused else "written"
    return f"training set {frozen.id} {state}: {', '.join(parts)}"


def _fit(
    definition: Definition, frozen: TrainingSet, name: str, on_progress: OnProgress
) -> TrainedModel:
    from models import trainer

    def on_epoch(report: EpochReport) -> None:
        best = ", best so far" if report.is_best else ""
        on_progress(
            f"epoch {report.epoch}: train loss {report.train_loss:.4f}, validation AUC "
            f"{report.auc:.4f}, logloss {report.logloss:.4f}, {report.seconds:.1f} s{best}"
        )

    files = [training_files(frozen.splits[split]) for split in (TRAIN, VALID)]
    config = train_config(definition, name)
    with _torch_threads():
        return trainer.train(
            name, None, signature_of(definition), files[0], files[1], config, on_epoch
        )


@contextmanager
def _torch_threads() -> Iterator[None]:
    """Give torch every core for the block.

    A predictor leaves it one for the whole process; and another number of threads would add in
    another order, and so train another model.
    """
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(setting("NIGHTSCORE_CORES", os.cpu_count() or 1, 1, 1024))
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _judge(
    context: Context,
    frozen: TrainingSet,
    trained: TrainedModel,
    watch: Stopwatch,
    *,
    promote: bool,
    who: str,
    compiled: bool,
) -> TrainResult:
    definition, home = context.definition, context.home
    split = EVAL if EVAL in frozen.splits else VALID
    segments = definition.gate.segments if split == EVAL else ()
    held_out = read_eval_rows(frozen, split, trained.signature, segments)
    with _new_bundle(context) as place:
        with watch.step("bundle"):
            bundle = _save(context, frozen, trained, held_out, place, compiled)
        with watch.step("evaluate"):
            evaluation = evaluate_bundle(bundle, held_out, definition.gate.min_segment_rows)
            compared = _compare(context, frozen, held_out) if split == EVAL else None
        with watch.step("register"):
            ref = model_registry.register(
                home, definition.name, place,
                _metrics(evaluation, split, frozen), _params(definition, frozen, trained),
                _tags(frozen, who),
            )  # fmt: skip
    decision = _decide(definition, evaluation, compared)
    with watch.step("promote"):
        ref, decision = _settle(context, ref, decision, compared, promote=promote, who=who)
    log.info(
        "step=train pipeline=%s model=%s version=%d digest=%s passed=%d rows=%d seconds=%.1f",
        definition.name, ref.model, ref.version, ref.digest[:12], decision.passed, frozen.rows,
        sum(watch.seconds.values()),
    )  # fmt: skip
    if promote and compared is not None and not decision.passed:
        raise GateRefused(_refusal(ref, decision, compared))
    return TrainResult(
        model=ref,
        evaluation=evaluation,
        champion=compared.evaluation if compared else None,
        decision=decision,
        promoted=promote and decision.passed,
        training_set=frozen,
        seconds=dict(watch.seconds),
    )


@contextmanager
def _new_bundle(context: Context) -> Iterator[Path]:
    """Yield where to save a bundle; what `register` did not take from there is removed."""
    place = model_registry.new_bundle_path(context.home, context.definition.name)
    try:
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _save(
    context: Context,
    frozen: TrainingSet,
    trained: TrainedModel,
    held_out: EvalRows,
    place: Path,
    compiled: bool,
) -> Bundle:
    """Write the bundle and load it again, so that what is judged is what will score."""
    from models import bundle

    saved = bundle.save(
        place,
        trained,
        signature=trained.signature,
        metrics=trained.metrics,
        data={"training_set": frozen.id, **frozen.manifest},
        encoding_digest=context.definition.digest("encoding"),
        golden_keys=held_out.rows.keys[:GOLDEN_ROWS],
        golden_values=held_out.rows.values[:GOLDEN_ROWS],
        compiled=compiled,
    )
    return bundle.load(saved.path, saved.digest)


def _compare(context: Context, frozen: TrainingSet, held_out: EvalRows) -> _Comparison:
    """Return the champion's evaluation on the same rows, or why there is none."""
    from models import bundle

    definition = context.definition
    try:
        champion = model_registry.champion(context.home, definition.name)
        loaded = bundle.load(champion.path, champion.digest)
    except NoChampion:
        return _Comparison(champion=None, evaluation=None)
    except BundleInvalid as error:
        sentence = f"The champion cannot be loaded to compare with: {error}."
        return _Comparison(champion=None, evaluation=None, sentence=sentence, is_broken=True)
    title = f"The champion ({champion.title})"
    if (
        loaded.encoding_digest != definition.digest("encoding")
        or loaded.signature != signature_of(definition)
        or not definition.label.agrees_with(loaded.data.get("label"))
    ):
        sentence = f"{title} takes other features or another label: it was not compared."
        return _Comparison(champion=champion, evaluation=None, sentence=sentence)
    evaluation = evaluate_bundle(loaded, held_out, definition.gate.min_segment_rows)
    has_seen = _trained_until(loaded) >= frozen.manifest["days"][EVAL][0][0]
    note = f"{title} was trained on evaluation days, which favours it in the comparison."
    return _Comparison(champion=champion, evaluation=evaluation, notes=(note,) if has_seen else ())


def _trained_until(loaded: Bundle) -> str:
    """Return the last day a bundle was trained on, as text; empty where it does not say."""
    days = loaded.data.get("days", {}).get(VALID, [])
    return str(days[-1][1]) if days else ""


def _decide(
    definition: Definition, evaluation: Evaluation, compared: _Comparison | None
) -> GateDecision:
    if compared is None:
        return refuse("There are no evaluation days (--eval-to): nothing was held out to judge by.")
    if compared.is_broken:
        return refuse(compared.sentence)
    decision = decide(
        definition.gate, evaluation, compared.evaluation, no_comparison=compared.sentence
    )
    return GateDecision(
        passed=decision.passed,
        reasons=decision.reasons,
        notes=(*decision.notes, *compared.notes),
    )


def _settle(
    context: Context,
    ref: ModelRef,
    decision: GateDecision,
    compared: _Comparison | None,
    *,
    promote: bool,
    who: str,
) -> tuple[ModelRef, GateDecision]:
    """Give the model its alias; return it with the decision as it then stands."""
    home, pipeline = context.home, context.definition.name
    if promote and decision.passed and compared is not None:
        before, now = compared.champion, _champion_version(context)
        if now == (before.version if before else None):
            why = "passed the gate: " + " ".join(decision.notes)
            return model_registry.promote(home, pipeline, ref.version, who, why), decision
        decision = refuse(f"Version {now} became champion meanwhile. Run the training again.")
    if CHAMPION in ref.aliases:
        return ref, decision
    return model_registry.challenge(home, pipeline, ref.version), decision


def _champion_version(context: Context) -> int | None:
    try:
        return model_registry.champion(context.home, context.definition.name).version
    except NoChampion:
        return None


def _refusal(ref: ModelRef, decision: GateDecision, compared: _Comparison) -> str:
    stays = f"{compared.champion.title} stays champion" if compared.champion else "none is promoted"
    if compared.is_broken:
        stays = "the champion is as it was"
    return (
        f"{ref.pipeline}: {ref.title} was refused by the gate; {stays}. "
        f"{' '.join(decision.reasons)} It is registered as challenger; to promote it all the same: "
        f"nightscore models promote {ref.version} --pipeline {ref.pipeline} --why '…'"
    )


def _metrics(evaluation: Evaluation, split: str, frozen: TrainingSet) -> dict[str, float]:
    found = {f"{split}_{key}": value for key, value in evaluation.metrics().items()}
    return {**found, "train_rows": float(frozen.splits[TRAIN].rows)}


def _params(definition: Definition, frozen: TrainingSet, trained: TrainedModel) -> dict[str, Any]:
    from dataclasses import asdict

    config = asdict(train_config(definition, trained.spec_name))
    return {"model": trained.spec_name, **config, "training_set": frozen.id}


def _tags(frozen: TrainingSet, who: str) -> dict[str, str]:
    days = {
        f"{split}_days": f"{runs[0][0]} to {runs[-1][1]}"
        for split, runs in frozen.manifest["days"].items()
    }
    return {
        **days,
        "training_set": frozen.id,
        "encoding": frozen.manifest["encoding"],
        "code": frozen.manifest["code"],
        "trained_by": who,
    }
