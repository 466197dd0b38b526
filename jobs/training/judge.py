"""The last step of a training: a bundle evaluated, registered, judged and perhaps promoted.

It reads the frozen files and the registry, and needs no Spark.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from feature_store.definition import labels_agree
from feature_store.errors import GateRefused, NightscoreError, NoChampion
from jobs.night.prepare import OnProgress
from jobs.night.stopwatch import Stopwatch
from jobs.registry import model_registry
from jobs.registry.model_registry import CHAMPION, ModelRef
from jobs.registry.trainings import VERDICT, Training, write_json
from jobs.training.comparison import Comparison, compare
from jobs.training.evaluate import Evaluations, evaluate_bundle
from jobs.training.gate import GateDecision, decide, refuse
from jobs.training.held_out import held_out_rows
from jobs.training.recipe import signature_of
from jobs.version import code_version
from models.errors import BundleInvalid
from models.fit.recipe import EVAL, TRAIN, FitRecipe
from models.fit.run import BUNDLE, REGISTERED, read_epochs, require_of

if TYPE_CHECKING:
    from feature_store.definition import Definition
    from feature_store.home import Home
    from models.scoring.bundle import Bundle

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """What became of a model."""

    model: ModelRef
    evaluations: Evaluations
    """Of each label, on the evaluation days; on the validation days where there are none."""
    champion: Evaluations | None
    """Of the champion on the same rows, where the two could be compared."""
    decision: GateDecision
    promoted: bool
    is_reused: bool
    """Whether the version was registered by an earlier call."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Made:
    """A model that is registered already, verified and loaded."""

    ref: ModelRef
    bundle: Bundle


@dataclass(frozen=True, kw_only=True, slots=True)
class Judge:
    """Who judges, for whom, and what may follow."""

    home: Home
    definition: Definition
    promote: bool = True
    who: str = "train"
    on_progress: OnProgress = print
    watch: Stopwatch = field(default_factory=lambda: Stopwatch(lambda *_: None))

    def made_before(self, key: str) -> Made | None:
        """Return the newest version that was made by a recipe, if its bundle is still good."""
        from models.scoring import bundle

        for ref in model_registry.list_models(self.home, self.definition.name):
            if ref.recipe != key or ref.removed_at:
                continue
            try:
                made = Made(ref=ref, bundle=bundle.load(ref.path, ref.digest))
            except BundleInvalid as error:
                self.on_progress(
                    f"{ref.title} was trained from the same but cannot be used: {error}"
                )
                continue
            self.on_progress(
                f"{ref.title} was trained from the same: it is used as it is; --force trains again"
            )
            return made
        return None

    def judge(self, training: Training) -> Verdict:
        """Judge what was fitted: the bundle in the training's folder, else the registered one.

        Raises:
            NightscoreError: nothing was fitted yet, or the definition changed since.
            GateRefused: it was to be promoted and did not pass; the champion is as it was.
        """
        require_same(self.definition, training.recipe)
        if (training.folder / BUNDLE).is_dir():
            return self.judge_bundle(training)
        return self.judge_made(training, self._require_made(training))

    def look(self, training: Training) -> tuple[Evaluations, GateDecision]:
        """Return what was measured of a fitted model, and what the gate says; register nothing.

        Raises:
            NightscoreError: nothing was fitted yet, or the definition changed since.
        """
        require_same(self.definition, training.recipe)
        if (training.folder / BUNDLE).is_dir():
            loaded = self._load(training)
        else:
            loaded = self._require_made(training).bundle
        evaluations, compared = self._evaluate(training, loaded)
        return evaluations, decided(self.definition, evaluations, compared)

    def judge_bundle(self, training: Training) -> Verdict:
        """Judge and register the bundle in the training's folder."""
        evaluations, compared = self._evaluate(training, self._load(training))
        ref = self._register(training, training.folder / BUNDLE, evaluations)
        write_json(
            training.folder / REGISTERED,
            {"bundle": ref.path, "digest": ref.digest, "version": ref.version},
        )
        return self._settle(training, ref, evaluations, compared, is_reused=False)

    def judge_made(self, training: Training, made: Made) -> Verdict:
        """Judge a version that is registered already."""
        evaluations, compared = self._evaluate(training, made.bundle)
        return self._settle(training, made.ref, evaluations, compared, is_reused=True)

    def _load(self, training: Training) -> Bundle:
        """Return the bundle in the training's folder, which must be whole, and the recipe's."""
        from models.scoring import bundle

        place = training.folder / BUNDLE
        manifest, digest = bundle.verify(place)
        require_of(training.recipe, manifest, place)
        return bundle.load(place, digest)

    def _require_made(self, training: Training) -> Made:
        made = self.made_before(training.recipe.key)
        if made is None:
            raise NightscoreError(
                f"{self.definition.name}: training {training.recipe.key} has no bundle in "
                f"{training.folder} that can be used. Run: nightscore fit --pipeline "
                f"{self.definition.name} --training {training.recipe.key}"
            )
        return made

    def _evaluate(
        self, training: Training, loaded: Bundle
    ) -> tuple[Evaluations, Comparison | None]:
        recipe, split = training.recipe, training.recipe.held_out
        segments = self.definition.gate.segments if split == EVAL else ()
        held_out = held_out_rows(recipe, split, segments)
        with self.watch.step("evaluate"):
            evaluations = evaluate_bundle(loaded, held_out, self.definition.gate)
            if split != EVAL:
                return evaluations, None
            first_day = recipe.data["days"][EVAL][0][0]
            return evaluations, compare(self.home, self.definition, held_out, first_day)

    def _register(self, training: Training, place: Path, evaluations: Evaluations) -> ModelRef:
        recipe = training.recipe
        metrics = metrics_of(evaluations, recipe)
        with self.watch.step("register"):
            return model_registry.register(
                self.home, self.definition.name, place, metrics, params_of(recipe),
                tags_of(recipe, self.who), read_epochs(training.folder),
            )  # fmt: skip

    def _settle(
        self,
        training: Training,
        ref: ModelRef,
        evaluations: Evaluations,
        compared: Comparison | None,
        *,
        is_reused: bool,
    ) -> Verdict:
        """Give the model its alias, and write down what was found."""
        decision = decided(self.definition, evaluations, compared)
        with self.watch.step("promote"):
            ref, decision = self._give_alias(ref, decision, compared)
        verdict = Verdict(
            model=ref,
            evaluations=evaluations,
            champion=compared.evaluations if compared else None,
            decision=decision,
            promoted=self.promote and decision.passed,
            is_reused=is_reused,
        )
        write_json(training.folder / VERDICT, _told(verdict, self.who))
        log.info(
            "step=judge pipeline=%s model=%s version=%d digest=%s passed=%d seconds=%.1f",
            self.definition.name, ref.model, ref.version, ref.digest[:12], decision.passed,
            sum(self.watch.seconds.values()),
        )  # fmt: skip
        if self.promote and compared is not None and not decision.passed:
            raise GateRefused(refusal(ref, decision, compared))
        return verdict

    def _give_alias(
        self, ref: ModelRef, decision: GateDecision, compared: Comparison | None
    ) -> tuple[ModelRef, GateDecision]:
        """Return the model with its alias, and the decision as it then stands."""
        pipeline = self.definition.name
        if CHAMPION in ref.aliases:
            return ref, decision
        if self.promote and decision.passed and compared is not None:
            before, now = compared.champion, self._champion_version()
            if now == (before.version if before else None):
                why = "passed the gate: " + " ".join(decision.notes)
                promoted = model_registry.promote(self.home, pipeline, ref.version, self.who, why)
                return promoted, decision
            decision = refuse(f"Version {now} became champion meanwhile. Run the training again.")
        return model_registry.challenge(self.home, pipeline, ref.version), decision

    def _champion_version(self) -> int | None:
        try:
            return model_registry.champion(self.home, self.definition.name).version
        except NoChampion:
            return None


def require_same(definition: Definition, recipe: FitRecipe) -> None:
    """Do nothing if a recipe was frozen by the definition as it is now.

    Raises:
        NightscoreError: it encodes otherwise, takes other columns, or means other labels.
    """
    what = ""
    if recipe.pipeline != definition.name:
        what = f"is of pipeline {recipe.pipeline}"
    elif recipe.encoding != definition.digest("encoding"):
        what = "encodes its features otherwise than the definition does now"
    elif recipe.signature != signature_of(definition):
        what = "takes other features or labels than the definition has now"
    elif not labels_agree(definition.labels, dict(recipe.data)):
        what = "means another label than the definition does now"
    if what:
        raise NightscoreError(
            f"{definition.name}: training {recipe.key} {what}; nothing was judged. Freeze and fit "
            "again, or take back the change of the definition"
        )


def decided(
    definition: Definition, evaluations: Evaluations, compared: Comparison | None
) -> GateDecision:
    """Return what the gate says, and why there is no comparison where there is none."""
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


def refusal(ref: ModelRef, decision: GateDecision, compared: Comparison) -> str:
    """Return what a refused model means to whoever asked for it."""
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


def metrics_of(evaluations: Evaluations, recipe: FitRecipe) -> dict[str, float]:
    """Return the numbers to register: `eval_auc` of one label, `<label>/eval_auc` of several."""
    is_only = len(evaluations) == 1
    found = {
        f"{'' if is_only else f'{name}/'}{recipe.held_out}_{key}": value
        for name, evaluation in evaluations.items()
        for key, value in evaluation.metrics().items()
    }
    return {**found, "train_rows": float(recipe.splits[TRAIN].rows)}


def params_of(recipe: FitRecipe) -> dict[str, Any]:
    """Return how the model was made as flat parameters, for MLflow."""
    config = {f"config.{name}": _plain(value) for name, value in recipe.config.items()}
    return {
        "model": recipe.model,
        **recipe.train,
        **config,
        "precision": recipe.precision,
        "training_set": recipe.data["training_set"],
        **{name: recipe.data[name] for name in ("negative_downsampling",) if name in recipe.data},
    }


def tags_of(recipe: FitRecipe, who: str) -> dict[str, str]:
    """Return what else is remembered of the version."""
    days = {
        f"{split}_days": f"{runs[0][0]} to {runs[-1][1]}"
        for split, runs in recipe.data["days"].items()
    }
    return {
        **days,
        model_registry.TRAINING_SET: recipe.data["training_set"],
        model_registry.RECIPE: recipe.key,
        "encoding": recipe.encoding,
        "code": code_version(),
        "trained_by": who,
    }


def _plain(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _told(verdict: Verdict, who: str) -> Mapping[str, Any]:
    return {
        "version": verdict.model.version,
        "digest": verdict.model.digest,
        "aliases": list(verdict.model.aliases),
        "passed": verdict.decision.passed,
        "promoted": verdict.promoted,
        "reasons": list(verdict.decision.reasons),
        "notes": list(verdict.decision.notes),
        "judged_by": who,
    }
