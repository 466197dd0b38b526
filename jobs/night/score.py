"""Step `score`: features of a day through the compiled model into staged scores.

One predict function, two faces: `score_frame` (`mapInArrow`, the bulk path) and `register_udf`
(a pandas UDF for SQL). Neither result may be filtered or joined on the score in the same plan,
which would run the model twice: write it first.
"""

from __future__ import annotations

import json
import logging
import re
import threading
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyspark.sql import functions as F
from pyspark.sql.pandas.functions import pandas_udf
from pyspark.sql.types import FloatType, StructField, StructType

from feature_store.definition import label_words, labels_agree, plain, recorded_labels
from feature_store.errors import InputsReplaced, WriteConflict, WriteFailed
from feature_store.features.encode import KEYS, VALUES, pack
from feature_store.schema import DS, FEATURES, RUN_ID, SCORES, TRAINING_SETS, score_columns
from jobs.night.expected import pins, run_id, scores_inputs
from jobs.night.known_late import require_known
from jobs.night.ledger import Past, next_run, pasts
from jobs.night.outdated import retried
from jobs.night.scorer import score_batches, score_series
from jobs.version import revision
from models.errors import BundleInvalid
from models.signature import Signature

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, SparkSession

    from feature_store.definition import Definition
    from feature_store.tables.commits import DayCommit
    from feature_store.tables.inputs import Inputs
    from jobs.context import Context
    from jobs.registry.model_registry import ModelRef

log = logging.getLogger(__name__)

_MODEL_ERROR = re.compile(r"^\s*models\.errors\.\w+: (.+)$", re.MULTILINE)


@dataclass(frozen=True, kw_only=True, slots=True)
class ScoringRun:
    """One day scored by one model from pinned features; equal runs have equal ids."""

    ds: date
    run_id: str
    inputs: Inputs
    model: ModelRef


def load_model_early(context: Context, model: ModelRef) -> None:
    """Load a model in a worker beside whatever else goes on: torch and the model take seconds.

    A worker that fails here fails again, and is told, where it is to score.
    """
    no_rows = context.spark.range(0, 1, 1, 1).where("id < 0")
    names = context.definition.score_columns
    loading = no_rows.mapInArrow(score_batches(model.path, model.digest, names), no_rows.schema)

    def load() -> None:
        try:
            loading.collect()
        except Exception as error:
            log.info("step=score model=%s was not loaded early: %s", model.version, error)

    threading.Thread(target=load, daemon=True).start()


def plan_run(
    context: Context, day: date, model: ModelRef, removed: Collection[str] | None = None
) -> ScoringRun:
    """Return the run that scores `day` with `model` from the features as they are now.

    Args:
        context: the pipeline.
        day: the day.
        model: the model to score it with.
        removed: runs of the day whose scores maintenance took away; read from the ledger if None.

    Raises:
        PartitionNotReady: there are no features for the day.
    """
    inputs = scores_inputs(context, day, model.digest)
    gone = pasts(context, [day]).get(day, Past()).removed if removed is None else removed
    name = next_run(run_id(context.definition.name, day, inputs), gone)
    return ScoringRun(ds=day, run_id=name, inputs=inputs, model=model)


def score_days(
    context: Context, runs: Sequence[ScoringRun], *, force: bool = False
) -> dict[date, DayCommit]:
    """Stage the scores of runs of one model, in one commit; those staged already are left alone.

    Raises:
        NothingKnown: a day has no rows to score.
        InputsReplaced: the features of a day are no longer those that its run pinned.
        BundleInvalid: the model was trained on another encoding of the features, or a worker
            refused its bundle.
    """
    redo = force

    def attempt() -> dict[date, DayCommit]:
        nonlocal redo
        staged = {} if redo else _staged(context, runs)
        to_do = [run for run in runs if run.ds not in staged]
        try:
            return staged | _stage(context, to_do)
        except WriteConflict:
            # Whoever came first scored the same run from the same inputs: look, do not repeat.
            redo = False
            raise

    return retried(attempt)


def _staged(context: Context, runs: Sequence[ScoringRun]) -> dict[date, DayCommit]:
    commits = {run.ds: context.warehouse.commit(SCORES, run.ds, run.run_id) for run in runs}
    return {ds: c for ds, c in commits.items() if c is not None and c.rows and not c.foreign}


def _stage(context: Context, runs: Sequence[ScoringRun]) -> dict[date, DayCommit]:
    if not runs:
        return {}
    days = [run.ds for run in runs]
    _require_encoding(context.definition, runs[0].model)
    with context.warehouse.held():
        # One look: what is compared here is what is read.
        require_known(context, days)
        _require_pinned(context, runs)
        features = context.warehouse.read(FEATURES, days)
    scored = score_frame(features, context.definition, runs[0].model)
    try:
        found = context.warehouse.replace_runs(
            SCORES,
            scored.withColumn(RUN_ID, _run_of_day(runs)),
            {(run.ds, run.run_id): run.inputs for run in runs},
            probabilities=context.definition.score_columns,
        )
    except WriteFailed as error:
        raise _as_the_worker_said(error) from error
    written = {day: commit for (day, _), commit in found.items()}
    log.info(
        "step=score pipeline=%s days=%d rows=%d seconds=%.1f",
        context.definition.name,
        len(written),
        sum(commit.rows for commit in written.values()),
        sum(commit.seconds for commit in written.values()),
    )
    return written


def _require_pinned(context: Context, runs: Sequence[ScoringRun]) -> None:
    """Refuse features that came after those the runs pinned, and their checks looked at."""
    for run in runs:
        planned, now = run.inputs.pins[FEATURES], pins(context, FEATURES, [run.ds])
        if planned != now:
            raise InputsReplaced(
                f"{context.definition.name} ds={run.ds}: another driver replaced the features "
                f"(version {planned[0].version} by {now[0].version}) while run {run.run_id} was at "
                "work. Nothing was scored. Run again"
            )


def _require_encoding(definition: Definition, model: ModelRef) -> None:
    """Refuse a model whose keys and values were made otherwise than this definition makes them."""
    manifest = json.loads(Path(model.path, "manifest.json").read_text())
    found, wanted = manifest["encoding_digest"], definition.digest("encoding")
    if found != wanted:
        raise BundleInvalid(
            f"{definition.name}: {model.title} was trained on other features (encoding "
            f"{found[:12]}) than the definition's now ({wanted[:12]}). Train one for them: "
            f"nightscore train --pipeline {definition.name} --from … --to … --eval-to …; or go "
            "back to the definition that it was trained with"
        )
    code, now = manifest.get("data", {}).get("code"), revision(TRAINING_SETS)
    if code not in (None, now):
        raise BundleInvalid(
            f"{definition.name}: {model.title} was trained on rows that other code encoded "
            f"({code}; now {now}): the same features would mean something else to it. "
            f"Train it again: nightscore train --pipeline {definition.name} --from … --to … "
            "--eval-to …; or go back to the release that it was trained with"
        )
    record = manifest.get("data", {})
    if not labels_agree(definition.labels, record):
        told = _labels_text(recorded_labels(record))
        wanted = _labels_text([plain(label) for label in definition.labels])
        raise BundleInvalid(
            f"{definition.name}: {model.title} predicts {told}, and the definition now asks for "
            f"{wanted}. Train a model for that: nightscore train --pipeline {definition.name} "
            "--from … --to … --eval-to …; or restore what the definition predicted"
        )


def _labels_text(told: Sequence[Mapping[str, Any]]) -> str:
    each = "; ".join(f"{label['name']}: {label_words(label)}" for label in told)
    return f"the label{'s' if len(told) > 1 else ''} {each}"


def _as_the_worker_said(error: WriteFailed) -> Exception:
    """Return what the model raised in a worker, where that is why the write failed."""
    said = _MODEL_ERROR.search(str(error.__cause__))
    return BundleInvalid(said.group(1)) if said else error


def _run_of_day(runs: Sequence[ScoringRun]) -> Column:
    pairs = [F.lit(item) for run in runs for item in (run.ds, run.run_id)]
    return F.create_map(*pairs)[F.col(DS)]


def score_frame(features_df: DataFrame, definition: Definition, model: ModelRef) -> DataFrame:
    """Return ds, the definition's keys and scores (float32 probabilities) of each feature row."""
    packed = pack(features_df, definition)
    kept = [field for field in packed.schema.fields if field.name not in (KEYS, VALUES)]
    names = definition.score_columns
    schema = StructType([*kept, *_floats(names)])
    return packed.mapInArrow(score_batches(model.path, model.digest, names), schema)


def _floats(names: Sequence[str]) -> list[StructField]:
    return [StructField(name, FloatType()) for name in names]


def register_udf(spark: SparkSession, model: ModelRef, name: str = "nightscore_score") -> None:
    """Register `name(keys array<bigint>, values array<float>) -> float` for SQL.

    Of a model of several labels it gives a struct of `score_<label>` floats.
    `feature_store.features.encode.pack` makes the two arrays from features.
    """
    signature = Signature.from_json(Path(model.path, "signature.json").read_text())
    names = score_columns(signature.labels)
    given = FloatType() if len(names) == 1 else StructType(_floats(names))
    make_udf: Any = pandas_udf  # its stubs know no iterator of several series
    spark.udf.register(name, make_udf(score_series(model.path, model.digest, names), given))
