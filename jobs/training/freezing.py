"""The first step of a training: features brought up to date, rows frozen, a recipe for the fit."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from jobs.maintenance.models import mark_wanted
from jobs.night.ingest import ingest_events
from jobs.night.prepare import OnProgress, prepare
from jobs.registry.trainings import Training, training_folder
from jobs.training.days import training_days
from jobs.training.labels import require_labels
from jobs.training.outcomes import bring_outcomes
from jobs.training.recipe import Recipe, recipe_of
from jobs.training.training_set import (
    VALID,
    LabelCounts,
    SplitFiles,
    TrainingSet,
    freeze,
    local_path,
    set_table,
    split_days,
)
from models.errors import RecipeInvalid
from models.fit.frozen import pinned_file
from models.fit.recipe import RECIPE, FitRecipe, FrozenSplit, read_recipe
from models.scoring.compiler import COST_WITHOUT, find_compiler

if TYPE_CHECKING:
    from feature_store.definition import Definition
    from jobs.context import Context
    from jobs.night.stopwatch import Stopwatch

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainRequest:
    """What was asked for."""

    first: date
    """First training day."""
    last: date
    """Last training day; the definition's validation days are the last of the range."""
    eval_to: date | None
    """Last evaluation day; the first is the day after `last`."""
    model: str | None = None
    """A model's name, or `path.py:NAME`; the definition's by default."""
    settings: tuple[str, ...] = ()
    """`name=value` texts, settings of the model."""
    precision: str | None = None
    """`f32` or `bf16`; the definition's by default."""
    compiled: bool = True
    """False leaves out the compiled package: quick to make, slow to score."""

    def recipe(self, definition: Definition) -> Recipe:
        """Return how the model is made.

        Raises:
            UnknownModel: there is no such model.
            ModelInvalid: a model from outside the package cannot be used.
            UsageError: the precision cannot be had here.
            ConfigInvalid: a setting is unknown, breaks its rule, or does not fit the features.
        """
        return recipe_of(
            definition,
            model=self.model,
            settings=self.settings,
            precision=self.precision,
            compiled=self.compiled,
        )

    def days(self, definition: Definition) -> dict[str, list[date]]:
        """Return the days of each split.

        Raises:
            UsageError: the days are not there to be had.
        """
        learnt, judged = training_days(definition, self.first, self.last, self.eval_to)
        return split_days(definition, learnt, judged)


@dataclass(frozen=True, kw_only=True, slots=True)
class Frozen:
    """A training that can be fitted, and its rows."""

    training: Training
    training_set: TrainingSet


def freeze_training(
    context: Context, request: TrainRequest, on_progress: OnProgress, watch: Stopwatch
) -> Frozen:
    """Have the rows of a training frozen, and its recipe beside where the fit will leave its model.

    The same call with the same inputs finds the same rows and the same recipe.

    Raises:
        UsageError: the days, or the precision, are not there to be had.
        ModelError: the model or a setting cannot be used.
        NightscoreError: a step failed.
    """
    definition = context.definition
    # What can be refused is refused before hours of work, not after.
    recipe, days = request.recipe(definition), request.days(definition)
    _warn_of_slow_scoring(recipe, on_progress, request.compiled)
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
        learnt, judged = training_days(definition, request.first, request.last, request.eval_to)
        frozen = freeze(context, learnt, judged)
        training = _write_recipe(context, recipe, frozen)
    mark_wanted(context, frozen.id)
    on_progress(describe(frozen))
    log.info(
        "step=freeze pipeline=%s model=%s training_set=%s training=%s pins=%s",
        definition.name, recipe.model, frozen.id, training.recipe.key, frozen.manifest["pins"],
    )  # fmt: skip
    return Frozen(training=training, training_set=frozen)


def describe(frozen: TrainingSet) -> str:
    """Return what is in a frozen set, in one line."""
    parts = (f"{name} {s.rows:,} rows ({_rates(s)})" for name, s in frozen.splits.items())
    state = "found" if frozen.is_reused else "written"
    return f"training set {frozen.id} {state}: {', '.join(parts)}"


def fit_recipe(
    definition: Definition, recipe: Recipe, frozen: TrainingSet, location: str
) -> FitRecipe:
    """Return the recipe of a fit on a frozen set; its files are read, to pin them.

    Args:
        definition: the pipeline.
        recipe: how the model is made.
        frozen: the set.
        location: the set's folder or URL, which its files lie below.
    """
    splits = {name: _pinned(split, location) for name, split in frozen.splits.items()}
    return _fit_recipe(definition, recipe, frozen, location, splits)


def _fit_recipe(
    definition: Definition,
    recipe: Recipe,
    frozen: TrainingSet,
    location: str,
    splits: Mapping[str, FrozenSplit],
) -> FitRecipe:
    import torch

    told = recipe.to_json()
    return FitRecipe(
        key=recipe.key(frozen.id),
        pipeline=definition.name,
        reference=recipe.reference,
        model=recipe.model,
        module=recipe.module,
        code=told["code"],
        torch=torch.__version__,
        config=told["config"],
        train=asdict(recipe.train),
        precision=recipe.precision,
        compiled=recipe.is_compiled,
        signature=recipe.signature,
        encoding=definition.digest("encoding"),
        location=location,
        splits=splits,
        data={"training_set": frozen.id, **frozen.manifest, "recipe": told},
    )


def _write_recipe(context: Context, recipe: Recipe, frozen: TrainingSet) -> Training:
    """Write the recipe, or find it: files that were pinned before stay pinned as they were."""
    definition, key = context.definition, recipe.key(frozen.id)
    location = local_path(context.warehouse.location(set_table(frozen.id)))
    folder = training_folder(context.home, definition.name, key)
    before = _written_before(folder)
    if before is None:
        made = fit_recipe(definition, recipe, frozen, location)
    else:
        made = _fit_recipe(definition, recipe, frozen, location, before.splits)
    made.write(folder)
    return Training(recipe=made, folder=folder)


def _written_before(folder: Path) -> FitRecipe | None:
    try:
        return read_recipe(folder / RECIPE)
    except RecipeInvalid:
        return None


def _pinned(split: SplitFiles, location: str) -> FrozenSplit:
    return FrozenSplit(
        files=tuple(pinned_file(location, file) for file in split.files),
        labels={name: (counts.whole, counts.positives) for name, counts in split.labels.items()},
    )


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


def _rates(split: SplitFiles) -> str:
    """Return the base rate of the only label; of each of several, with the rows that have it.

    Where negatives were left out it is of the rows that those there stand for.
    """
    is_only = len(split.labels) == 1
    return ", ".join(_rate("" if is_only else name, of) for name, of in split.labels.items())


def _rate(name: str, counts: LabelCounts) -> str:
    rate = f"{name} {counts.base_rate:.1%}".strip()
    if counts.whole != counts.rows:
        return f"{rate} of {counts.whole:,.0f} weighted"
    return f"{rate} of {counts.rows:,}" if name else rate
