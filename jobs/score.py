"""Step `score`: features of a day through the compiled model into staged scores.

One predict function, two faces: `score_frame` (`mapInArrow`, the bulk path) and `register_udf`
(a pandas UDF for SQL). Neither result may be filtered or joined on the score in the same plan,
which would run the model twice: write it first.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

from pyspark.sql import functions as F
from pyspark.sql.pandas.functions import pandas_udf
from pyspark.sql.types import FloatType, StructField, StructType

from feature_store.encode import KEYS, VALUES, pack
from feature_store.errors import PartitionNotReady
from feature_store.schema import DS, FEATURES, RUN_ID, SCORE, SCORES
from jobs.expected import run_id, scores_inputs
from jobs.scorer import score_batches, score_series

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, SparkSession

    from feature_store.definition import Definition
    from feature_store.inputs import Inputs
    from feature_store.lineage import DayCommit
    from jobs.context import Context
    from jobs.model_registry import ModelRef

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class ScoringRun:
    """One day scored by one model from pinned features; equal runs have equal ids."""

    ds: date
    run_id: str
    inputs: Inputs
    model: ModelRef


def plan_run(context: Context, day: date, model: ModelRef) -> ScoringRun:
    """Return the run that scores `day` with `model` from the features as they are now.

    Raises:
        PartitionNotReady: there are no features for the day.
    """
    inputs = scores_inputs(context, day, model.digest)
    name = run_id(context.definition.name, day, inputs)
    return ScoringRun(ds=day, run_id=name, inputs=inputs, model=model)


def score_days(
    context: Context, runs: Sequence[ScoringRun], *, force: bool = False
) -> dict[date, DayCommit]:
    """Stage the scores of runs of one model, in one commit; those staged already are left alone.

    Raises:
        PartitionNotReady: a day has no rows to score.
        BundleInvalid: the model was trained on another encoding of the features.
    """
    commits = {run.ds: context.warehouse.commit(SCORES, run.ds, run.run_id) for run in runs}
    staged = {ds: commit for ds, commit in commits.items() if commit is not None and commit.rows}
    to_do = [run for run in runs if force or run.ds not in staged]
    if not to_do:
        log.info("step=score pipeline=%s skipped=%d", context.definition.name, len(runs))
        return staged
    days = [run.ds for run in to_do]
    _require_rows(context, days)
    scored = score_frame(
        context.warehouse.read(FEATURES, days), context.definition, to_do[0].model
    ).withColumn(RUN_ID, _run_of_day(to_do))
    written = context.warehouse.replace_days(
        SCORES,
        scored,
        {run.ds: run.inputs for run in to_do},
        runs={run.ds: run.run_id for run in to_do},
    )
    log.info(
        "step=score pipeline=%s days=%d rows=%d seconds=%.1f",
        context.definition.name,
        len(written),
        sum(commit.rows for commit in written.values()),
        sum(commit.seconds for commit in written.values()),
    )
    return staged | written


def _require_rows(context: Context, days: Sequence[date]) -> None:
    commits = {day: context.warehouse.commit(FEATURES, day) for day in days}
    empty = [day for day, commit in commits.items() if commit is None or commit.rows == 0]
    if empty:
        pipeline = context.definition.name
        step = f"Run: nightscore plan --pipeline {pipeline} --from {empty[0]} --to {empty[-1]}"
        raise PartitionNotReady(FEATURES, empty, step)


def _run_of_day(runs: Sequence[ScoringRun]) -> Column:
    pairs = [F.lit(item) for run in runs for item in (run.ds, run.run_id)]
    return F.create_map(*pairs)[F.col(DS)]


def score_frame(features_df: DataFrame, definition: Definition, model: ModelRef) -> DataFrame:
    """Return ds, the definition's keys and `score` (float32 probability) for each feature row."""
    packed = pack(features_df, definition)
    kept = [field for field in packed.schema.fields if field.name not in (KEYS, VALUES)]
    schema = StructType([*kept, StructField(SCORE, FloatType())])
    return packed.mapInArrow(score_batches(model.path, model.digest), schema)


def register_udf(spark: SparkSession, model: ModelRef, name: str = "nightscore_score") -> None:
    """Register `name(keys array<bigint>, values array<float>) -> float` for SQL.

    `feature_store.encode.pack` makes the two arrays from features.
    """
    make_udf: Any = pandas_udf  # its stubs know no iterator of several series
    spark.udf.register(name, make_udf(score_series(model.path, model.digest), FloatType()))
