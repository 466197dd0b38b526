"""From days to a champion: prepare, freeze, train, bundle, evaluate, register, gate, promote."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from feature_store.definition import labels_agree
from feature_store.errors import GateRefused, NoChampion, UsageError
from jobs.config import check_day, days_between, setting
from jobs.maintenance.models import mark_wanted
from jobs.night.ingest import ingest_events
from jobs.night.night import Stopwatch
from jobs.night.prepare import OnProgress, prepare
from jobs.registry import model_registry
from jobs.registry.model_registry import CHAMPION, ModelRef
from jobs.training.evaluate import Evaluations, evaluate_bundle
from jobs.training.gate import GateDecision, decide, refuse
from jobs.training.held_out import HeldOutRows, held_out_rows, training_files
from jobs.training.labels import require_labels
from jobs.training.outcomes import bring_outcomes
from jobs.training.recipe import Recipe, recipe_of, signature_of
from jobs.training.training_set import (
    EVAL,
    TRAIN,
    VALID,
    SplitFiles,
    TrainingSet,
    freeze,
    split_days,
)
from jobs.version import code_version
from models.errors import BundleInvalid
from models.scoring.compiler import COST_WITHOUT, find_compiler

if TYPE_CHECKING:
    from feature_store.definition import Definition
    from jobs.context import Context
    from models.scoring.bundle import Bundle
    from models.training.config import EpochReport
    from models.training.trainer import TrainedModel

log = logging.getLogger(__name__)

GOLDEN_ROWS = 64


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


@dataclass(frozen=True, kw_only=True, slots=True)
class _Job:
    """One training: what was asked for, and the rows it got."""

    context: Context
    recipe: Recipe
    frozen: TrainingSet
    promote: bool
    who: str
    watch: Stopwatch
    on_progress: OnProgress

    @property
    def key(self) -> str:
        """What two trainings share that would give the same model."""
        return self.recipe.key(self.frozen.id)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Made:
    """A model that an earlier call made from the same, verified and loaded."""

    ref: ModelRef
    bundle: Bundle


@dataclass(frozen=True, kw_only=True, slots=True)
class _Comparison:
    """What the challenger is compared with."""

    champion: ModelRef | None
    evaluations: Evaluations | None
    sentence: str = "There is no champion to compare with."
    """Why there are no evaluations."""
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
    definition = context.definition
    # What can be refused is refused before hours of work, not after.
    recipe = recipe_of(
        definition, model=model, settings=settings, precision=precision, compiled=compiled
    )
    train_days, eval_days = _days(definition, first, last, eval_to)
    days = split_days(definition, train_days, eval_days)
    _warn_of_slow_scoring(recipe, on_progress, compiled)
    watch = Stopwatch(lambda step, seconds: on_progress(f"{step}: {seconds:.1f} s"))
    with watch.step("prepare"):
        every = sorted(day for listed in days.values() for day in listed)
        bring_outcomes(context, every, on_progress)
        _require_held_out(context, days)
        prepared = prepare(
            context, every, on_progress,
            before_features=lambda: require_labels(context, days, list(days)),
        )  # fmt: skip
    for note in prepared.notes:
        on_progress(note)
    with watch.step("freeze"):
        frozen = freeze(context, train_days, eval_days)
    mark_wanted(context, frozen.id)
    on_progress(_describe(frozen))
    log.info(
        "step=train pipeline=%s model=%s training_set=%s pins=%s",
        definition.name, recipe.model, frozen.id, frozen.manifest["pins"],
    )  # fmt: skip
    job = _Job(
        context=context, recipe=recipe, frozen=frozen, promote=promote, who=who, watch=watch,
        on_progress=on_progress,
    )  # fmt: skip
    made = None if force else _made_before(job)
    return _judge(job, made or _fit(job))


def _require_held_out(context: Context, days: Mapping[str, Sequence[date]]) -> None:
    """Refuse days whose labels are known too late to hold out, having taken in only those days."""
    stream, events = context.definition.stream, context.events
    if stream is None:
        return
    ingest_events(context, stream, days[VALID])
    commits = context.warehouse.commits(events)
    # What could not be taken in is told of where everything is.
    if all((events, day, "") in commits for day in days[VALID]):
        require_labels(context, days, [VALID])


def _days(
    definition: Definition, first: date, last: date, eval_to: date | None
) -> tuple[list[date], list[date]]:
    check_day(definition, first, "--from")
    check_day(definition, last, "--to")
    if last < first:
        raise UsageError(f"--from={first} --to={last}: --from must not be after --to")
    if eval_to is None:
        return _scored_days(definition, first, last), []
    check_day(definition, eval_to, "--eval-to")
    if eval_to <= last:
        raise UsageError(f"--to={last} --eval-to={eval_to}: --eval-to must be after --to")
    later = _scored_days(definition, last + timedelta(days=1), eval_to)
    return _scored_days(definition, first, last), later


def _scored_days(definition: Definition, first: date, last: date) -> list[date]:
    """Return the days of a range; of those that the source will never have nothing is learnt."""
    return [day for day in days_between(first, last) if day not in definition.absent_days]


def _warn_of_slow_scoring(recipe: Recipe, on_progress: OnProgress, compiled: bool) -> None:
    from models.scoring.compile import missing_for_bf16

    if compiled and not recipe.is_compiled:
        found = find_compiler()
        on_progress(
            f"c++ compiler: {found.why}: the portable export will be scored, {COST_WITHOUT}. "
            f"To compile: {found.remedy}"
        )
    if recipe.precision == "bf16" and (missing := missing_for_bf16()):
        on_progress(
            f"precision bf16: this CPU lacks {', '.join(missing)}; where they are missing the "
            f"portable export is scored, in f32, {COST_WITHOUT}"
        )


def _describe(frozen: TrainingSet) -> str:
    parts = (f"{name} {s.rows:,} rows ({_rates(s)})" for name, s in frozen.splits.items())
    state = "found" if frozen.is_reused else "written"
    return f"training set {frozen.id} {state}: {', '.join(parts)}"


def _rates(split: SplitFiles) -> str:
    """Return the base rate of the only label; of each of several, with the rows that have it."""
    if len(split.labels) == 1:
        return ", ".join(f"{counts.base_rate:.1%}" for counts in split.labels.values())
    return ", ".join(
        f"{name} {counts.base_rate:.1%} of {counts.rows:,}" for name, counts in split.labels.items()
    )


def _made_before(job: _Job) -> _Made | None:
    """Return the newest version that was made of the same, if its bundle is still good."""
    from models.scoring import bundle

    home, pipeline = job.context.home, job.context.definition.name
    key = job.key
    for ref in model_registry.list_models(home, pipeline):
        if ref.recipe != key or ref.removed_at:
            continue
        try:
            made = _Made(ref=ref, bundle=bundle.load(ref.path, ref.digest))
        except BundleInvalid as error:
            job.on_progress(f"{ref.title} was trained from the same but cannot be used: {error}")
            continue
        job.on_progress(
            f"{ref.title} was trained from the same: it is used as it is; --force trains again"
        )
        return made
    return None


def _fit(job: _Job) -> TrainedModel:
    from models.training import trainer

    recipe = job.recipe

    def on_epoch(report: EpochReport) -> None:
        best = ", best so far" if report.is_best else ""
        job.on_progress(
            f"epoch {report.epoch}: train loss {report.train_loss:.4f}, validation AUC "
            f"{report.auc:.4f}, logloss {report.logloss:.4f}, {report.seconds:.1f} s{best}"
        )

    files = [training_files(job.frozen.splits[split]) for split in (TRAIN, VALID)]
    with job.watch.step("train"), _torch_threads():
        return trainer.train(
            recipe.model, recipe.config, recipe.signature, files[0], files[1], recipe.train,
            on_epoch,
        )  # fmt: skip


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


def _judge(job: _Job, model: TrainedModel | _Made) -> TrainResult:
    """Register a model unless it was made before, and see what it may become."""
    made = model if isinstance(model, _Made) else None
    definition, frozen, watch = job.context.definition, job.frozen, job.watch
    split = EVAL if EVAL in frozen.splits else VALID
    segments = definition.gate.segments if split == EVAL else ()
    held_out = held_out_rows(frozen, split, job.recipe.signature, segments)
    with _new_bundle(job.context) as place:
        bundle = model.bundle if isinstance(model, _Made) else _save(job, model, held_out, place)
        with watch.step("evaluate"):
            evaluations = evaluate_bundle(bundle, held_out, definition.gate)
            compared = _compare(job.context, frozen, held_out) if split == EVAL else None
        ref = made.ref if made else _register(job, place, _metrics(evaluations, split, frozen))
    decision = _decide(definition, evaluations, compared)
    with watch.step("promote"):
        ref, decision = _settle(job, ref, decision, compared)
    log.info(
        "step=train pipeline=%s model=%s version=%d digest=%s passed=%d rows=%d seconds=%.1f",
        definition.name, ref.model, ref.version, ref.digest[:12], decision.passed, frozen.rows,
        sum(watch.seconds.values()),
    )  # fmt: skip
    if job.promote and compared is not None and not decision.passed:
        raise GateRefused(_refusal(ref, decision, compared))
    return TrainResult(
        model=ref,
        evaluations=evaluations,
        champion=compared.evaluations if compared else None,
        decision=decision,
        promoted=job.promote and decision.passed,
        training_set=frozen,
        is_reused=made is not None,
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


def _save(job: _Job, trained: TrainedModel, held_out: HeldOutRows, place: Path) -> Bundle:
    """Write the bundle and load it again, so that what is judged is what will score."""
    from models.scoring import bundle

    frozen, recipe = job.frozen, job.recipe
    with job.watch.step("bundle"):
        golden = held_out.first(GOLDEN_ROWS)
        saved = bundle.save(
            place,
            trained,
            signature=trained.signature,
            metrics=trained.metrics,
            data={"training_set": frozen.id, **frozen.manifest, "recipe": recipe.to_json()},
            encoding_digest=job.context.definition.digest("encoding"),
            golden_keys=golden.keys,
            golden_values=golden.values,
            compiled=recipe.is_compiled,
            precision=recipe.precision,
            held_out=held_out.parts if recipe.precision != "f32" else None,
        )
        return bundle.load(saved.path, saved.digest)


def _register(job: _Job, place: Path, metrics: dict[str, float]) -> ModelRef:
    context, frozen = job.context, job.frozen
    params = {**job.recipe.params(), "training_set": frozen.id}
    with job.watch.step("register"):
        return model_registry.register(
            context.home, context.definition.name, place, metrics, params, _tags(job)
        )


def _compare(context: Context, frozen: TrainingSet, held_out: HeldOutRows) -> _Comparison:
    """Return the champion's evaluation on the same rows, or why there is none."""
    from models.scoring import bundle

    definition = context.definition
    try:
        champion = model_registry.champion(context.home, definition.name)
        loaded = bundle.load(champion.path, champion.digest)
    except NoChampion:
        return _Comparison(champion=None, evaluations=None)
    except BundleInvalid as error:
        sentence = f"The champion cannot be loaded to compare with: {error}."
        return _Comparison(champion=None, evaluations=None, sentence=sentence, is_broken=True)
    title = f"The champion ({champion.title})"
    if (
        loaded.encoding_digest != definition.digest("encoding")
        or loaded.signature != signature_of(definition)
        or not labels_agree(definition.labels, loaded.data)
    ):
        sentence = f"{title} takes other features or another label: it was not compared."
        return _Comparison(champion=champion, evaluations=None, sentence=sentence)
    evaluations = evaluate_bundle(loaded, held_out, definition.gate)
    has_seen = _trained_until(loaded) >= frozen.manifest["days"][EVAL][0][0]
    note = f"{title} was trained on evaluation days, which favours it in the comparison."
    notes = (note,) if has_seen else ()
    return _Comparison(champion=champion, evaluations=evaluations, notes=notes)


def _trained_until(loaded: Bundle) -> str:
    """Return the last day a bundle was trained on, as text; empty where it does not say."""
    days = loaded.data.get("days", {}).get(VALID, [])
    return str(days[-1][1]) if days else ""


def _decide(
    definition: Definition, evaluations: Evaluations, compared: _Comparison | None
) -> GateDecision:
    if compared is None:
        return refuse("There are no evaluation days (--eval-to): nothing was held out to judge by.")
    if compared.is_broken:
        return refuse(compared.sentence)
    decision = decide(
        definition.gate, evaluations, compared.evaluations, no_comparison=compared.sentence
    )
    return GateDecision(
        passed=decision.passed,
        reasons=decision.reasons,
        notes=(*decision.notes, *compared.notes),
    )


def _settle(
    job: _Job, ref: ModelRef, decision: GateDecision, compared: _Comparison | None
) -> tuple[ModelRef, GateDecision]:
    """Give the model its alias; return it with the decision as it then stands."""
    home, pipeline = job.context.home, job.context.definition.name
    if CHAMPION in ref.aliases:
        return ref, decision
    if job.promote and decision.passed and compared is not None:
        before, now = compared.champion, _champion_version(job.context)
        if now == (before.version if before else None):
            why = "passed the gate: " + " ".join(decision.notes)
            return model_registry.promote(home, pipeline, ref.version, job.who, why), decision
        decision = refuse(f"Version {now} became champion meanwhile. Run the training again.")
    return model_registry.challenge(home, pipeline, ref.version), decision


def _champion_version(context: Context) -> int | None:
    try:
        return model_registry.champion(context.home, context.definition.name).version
    except NoChampion:
        return None


def _refusal(ref: ModelRef, decision: GateDecision, compared: _Comparison) -> str:
    if CHAMPION in ref.aliases:
        return (
            f"{ref.pipeline}: {ref.title} is champion, and stays it, but does not pass the gate "
            f"now. {' '.join(decision.reasons)} Train on other days, or change gate in the "
            "definition"
        )
    stays = f"{compared.champion.title} stays champion" if compared.champion else "none is promoted"
    if compared.is_broken:
        stays = "the champion is as it was"
    return (
        f"{ref.pipeline}: {ref.title} was refused by the gate; {stays}. "
        f"{' '.join(decision.reasons)} It is registered as challenger; to promote it all the same: "
        f"nightscore models promote {ref.version} --pipeline {ref.pipeline} --why '…'"
    )


def _metrics(evaluations: Evaluations, split: str, frozen: TrainingSet) -> dict[str, float]:
    """Return the numbers to register: `eval_auc` of one label, `<label>/eval_auc` of several."""
    is_only = len(evaluations) == 1
    found = {
        f"{'' if is_only else f'{name}/'}{split}_{key}": value
        for name, evaluation in evaluations.items()
        for key, value in evaluation.metrics().items()
    }
    return {**found, "train_rows": float(frozen.splits[TRAIN].rows)}


def _tags(job: _Job) -> dict[str, str]:
    manifest = job.frozen.manifest
    days = {
        f"{split}_days": f"{runs[0][0]} to {runs[-1][1]}"
        for split, runs in manifest["days"].items()
    }
    return {
        **days,
        model_registry.TRAINING_SET: job.frozen.id,
        model_registry.RECIPE: job.key,
        "encoding": manifest["encoding"],
        "code": code_version(),
        "trained_by": job.who,
    }
