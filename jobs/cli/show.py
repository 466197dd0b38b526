"""The published scores of a day, for people and for scripts."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from typing import TYPE_CHECKING, Any

from pyspark.sql import functions as F

from feature_store.errors import NightscoreError
from feature_store.schema import DS, RUN_ID, SCORE
from jobs.night.ledger import current, scores_latest

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

    from feature_store.definition import Definition
    from jobs.context import Context
    from jobs.night.ledger import Publication


def publication_of(context: Context, day: date) -> Publication:
    """Return the publication whose scores are the day's.

    Raises:
        NightscoreError: nothing is published for the day.
    """
    found = current(context, [day]).get(day)
    if found is None:
        name = context.definition.name
        raise NightscoreError(
            f"{name} ds={day}: nothing is published. "
            f"Run: nightscore run --pipeline {name} --ds {day}"
        )
    return found


def published_scores(context: Context, day: date) -> DataFrame:
    """Return the published scores of a day: ds, keys, score, run and model, ordered by keys."""
    keys = context.definition.keys
    columns = (DS, *keys, SCORE, RUN_ID, "model_name", "model_version", "published_at")
    return scores_latest(context, [day]).select(*columns).orderBy(*keys)


def score_rows(published: DataFrame, limit: int = 0) -> Iterator[dict[str, Any]]:
    """Yield rows ready for JSON, `limit` of them or with 0 all; days larger than memory stream."""
    rows = published.limit(limit) if limit else published
    plain = rows.select(*[_plain(name, dtype) for name, dtype in rows.dtypes])
    for row in plain.toLocalIterator(prefetchPartitions=True):
        yield row.asDict()


def print_json(rows: Iterable[Mapping[str, Any]]) -> None:
    """Print one JSON object per score."""
    for row in rows:
        print(json.dumps(row, ensure_ascii=False))


def print_table(
    definition: Definition, publication: Publication, rows: Iterable[Mapping[str, Any]]
) -> None:
    """Print scores as a table, with the run and model they came from."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    columns = (*definition.keys, SCORE)
    table = Table(box=box.SIMPLE, show_edge=False, pad_edge=False)
    for name in columns:
        table.add_column(name, justify="right" if name == SCORE else "left")
    count = 0
    for row in rows:
        count += 1
        table.add_row(*(f"{row[n]:.4f}" if n == SCORE else str(row[n]) for n in columns))
    console = Console(highlight=False)
    console.print(table)
    console.print(_origin(publication, count), markup=False, soft_wrap=True)


def _origin(publication: Publication, shown: int) -> str:
    p = publication
    first = f"The first {shown:,} of " if shown < p.rows else ""
    return (
        f"{first}{p.rows:,} scores of {p.ds}: run {p.run_id}, {p.model_name} version "
        f"{p.model_version}, published {p.published_at:%Y-%m-%d %H:%M} UTC by {p.who} ({p.why})"
    )


def _plain(name: str, dtype: str) -> Column:
    """Return a column as JSON can hold it; timestamps are UTC."""
    if dtype == "timestamp":
        return F.date_format(name, "yyyy-MM-dd'T'HH:mm:ss'Z'").alias(name)
    return F.col(name).cast("string").alias(name) if dtype == "date" else F.col(name)
