"""Step `score`: features of a day through the compiled model into staged scores.

One predict function, two faces: `score_frame` (`mapInArrow`, the bulk path) and `register_udf`
(a pandas UDF for SQL). Neither result may be filtered or joined on the score in the same plan,
which would run the model twice: write it first.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

from pyspark.sql import functions as F
from pyspark.sql.pandas.functions import pandas_udf
from pyspark.sql.types import FloatType, StructField, StructType

from feature_store.encode import KEYS, VALUES, pack
from feature_store.errors import PartitionNotReady
from feature_store.schema import FEATURES, RUN_ID, SCORE, SCORES
from jobs.expected import run_id, scores_inputs
from jobs.scorer import score_batches, score_series

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

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


def score_day(context: Context, run: ScoringRun, *, force: bool = False) -> DayCommit:
    """Stage the scores of a run, unless they are staged already.

    Raises:
        PartitionNotReady: the day has no rows to score.
        BundleInvalid: the model was trained on another encoding of the features.
    """
    staged = context.warehouse.commit(SCORES, run.ds, run.run_id)
    if staged is not None and not force:
        log.info("step=score run_id=%s skipped=1 rows=%d", run.run_id, staged.rows)
        return staged
    features = context.warehouse.commit(FEATURES, run.ds)
    if features is None or features.rows == 0:
        pipeline = context.definition.name
        step = f"Run: nightscore plan --pipeline {pipeline} --from {run.ds} --to {run.ds}"
        raise PartitionNotReady(FEATURES, [run.ds], step)
    rows_df = context.warehouse.read(FEATURES, [run.ds])
    scored = score_frame(rows_df, context.definition, run.model).withColumn(
        RUN_ID, F.lit(run.run_id)
    )
    written = context.warehouse.replace_days(
        SCORES,
        scored,
        {run.ds: run.inputs},
        run_id=run.run_id,
        partitions={RUN_ID: run.run_id},
    )[run.ds]
    log.info("step=score run_id=%s rows=%d seconds=%.1f", run.run_id, written.rows, written.seconds)
    return written


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
    function: Any = score_series(model.path, model.digest)
    spark.udf.register(name, pandas_udf(function, FloatType()))
