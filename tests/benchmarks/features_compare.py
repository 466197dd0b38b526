"""Whether nightscore and the SQL made the same rows: counts, features, the training set."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from feature_store.schema import (
    DS,
    EVENTS,
    FEATURES,
    KEY_PREFIX,
    QUARANTINE,
    SPLIT,
    TRAINING_SETS,
    VALUE_PREFIX,
    stream_table,
)

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from jobs.context import Context

FEATURES_WITHIN = 1e-9
"""Largest relative difference of two features, which are doubles."""
VALUES_WITHIN = 1e-6
"""The same of two values for a model, which are floats: a few units of the last place."""
_SHOWN = 3


def compare(context: Context, training_set: str, theirs: Path) -> list[str]:
    """Return every way in which a home and one of its sets differ from what the SQL left."""
    return [
        *_counts(context, json.loads((theirs / "result.json").read_text())["counts"]),
        *_features(context, theirs / "features.parquet"),
        *_training_set(context, training_set, theirs / "training_set"),
    ]


def differences(
    what: str,
    ours: pd.DataFrame,
    theirs: pd.DataFrame,
    order: Sequence[str],
    close: Sequence[str],
    within: float,
) -> list[str]:
    """Return how two sets of rows differ; an empty list says that they do not.

    Args:
        what: what they are, for a person.
        ours: rows.
        theirs: rows that should be the same, in any order.
        order: columns that put the rows of both in one order.
        close: columns of numbers, which may differ; all others are equal.
        within: how far, relative to the larger; two missing numbers are equal.
    """
    if sorted(ours.columns) != sorted(theirs.columns):
        odd = sorted({*ours.columns} ^ {*theirs.columns})
        return [f"{what}: only one of the two has the columns {', '.join(odd)}"]
    if len(ours) != len(theirs):
        return [f"{what}: {len(ours):,} rows here and {len(theirs):,} there"]
    mine, other = (
        rows[list(ours.columns)].sort_values(list(order), ignore_index=True)
        for rows in (ours, theirs)
    )
    found = []
    for name in ours.columns:
        if name in close:
            differs = ~np.isclose(
                mine[name].astype(float), other[name].astype(float), within, 0.0, equal_nan=True
            )
        else:
            is_null = mine[name].isna() & other[name].isna()
            differs = ((mine[name] != other[name]) & ~is_null).to_numpy()
        if differs.any():
            shown = [
                f"{mine.loc[i, list(order[:2])].tolist()}: {mine.loc[i, name]!r} and "
                f"{other.loc[i, name]!r}"
                for i in np.flatnonzero(differs)[:_SHOWN]
            ]
            found.append(f"{what}: {name} differs in {differs.sum():,} rows: {'; '.join(shown)}")
    return found


def _counts(context: Context, theirs: dict[str, int]) -> list[str]:
    found: dict[str, int] = {}
    outcomes = [outcome.stream for outcome in context.definition.outcomes]
    # The SQL counts none of what is only looked up.
    for stream in (*context.definition.counted_streams, *outcomes):
        for table in (EVENTS, QUARANTINE):
            commits = context.warehouse.commits(stream_table(stream.name, table)).values()
            found[f"{table} of {stream.name}"] = sum(commit.rows for commit in commits)
    return [
        f"{what}: {found.get(what)} rows here and {theirs.get(what)} there"
        for what in sorted({*found, *theirs})
        if found.get(what) != theirs.get(what)
    ]


def _features(context: Context, path: Path) -> list[str]:
    ours, theirs = (
        _as_text(rows).toPandas()
        for rows in (context.warehouse.read(FEATURES), context.spark.read.parquet(str(path)))
    )
    order = [DS, *context.definition.keys]
    return differences(
        "features", ours, theirs, order, context.definition.numeric_names(), FEATURES_WITHIN
    )


def _as_text(rows: DataFrame) -> DataFrame:
    """Return rows in which what is a list is a text, so that two of them can be compared."""
    lists = [name for name, dtype in rows.dtypes if dtype.startswith("array")]
    return rows.withColumns({name: rows[name].cast("string") for name in lists})


def _training_set(context: Context, name: str, folder: Path) -> list[str]:
    """Compare the two sets by what all their columns hold: they have no keys.

    The SQL left the categories as they are, and they get our keys here.
    """
    from feature_store.features.encode import category_key

    ours = context.warehouse.read(f"{TRAINING_SETS}/{name}", version=0).toPandas()
    read = context.spark.read.parquet(str(folder))
    keys = [name for name in read.columns if name.startswith(KEY_PREFIX)]
    theirs = read.withColumns({name: category_key(name) for name in keys}).toPandas()
    values = [name for name in ours.columns if name.startswith(VALUE_PREFIX)]
    order = [SPLIT, DS, *(n for n in ours.columns if n not in (SPLIT, DS, *values)), *values]
    return differences("training set", ours, theirs, order, values, VALUES_WITHIN)
