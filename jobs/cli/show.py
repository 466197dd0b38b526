"""The published scores of a day, for people and for scripts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

from feature_store.errors import NightscoreError
from feature_store.home import Home
from feature_store.schema import DS, RUN_ID
from feature_store.tables.reader import Reader
from feature_store.text import score_text
from jobs.cli.output import print_line, print_table
from jobs.cli.session import open_context
from jobs.night.published import nothing_published, publication_of, published_rows

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

    from feature_store.definition import Definition
    from jobs.cli.progress import Progress
    from jobs.context import Context
    from jobs.night.publication import Publication


@dataclass(frozen=True, slots=True)
class Published:
    """Scores on their way out, and the publication that they belong to."""

    publication: Publication
    rows: Iterable[Mapping[str, Any]]

    def print(self, keys: Sequence[str], scores: Sequence[str]) -> None:
        """Print the scores as a table, with the run and model they came from.

        A day that was scored before the pipeline had a label has no score of it.
        """
        count = 0

        def cells() -> Iterator[list[object]]:
            nonlocal count
            for row in self.rows:
                count += 1
                told = ("–" if row[name] is None else score_text(row[name]) for name in scores)
                yield [*(row[key] for key in keys), *told]

        print_table((*keys, *scores), cells())
        print_line("")
        print_line(_origin(self.publication, count))


@contextmanager
def published(
    definition: Definition, day: date, limit: int, progress: Progress, *, is_top: bool
) -> Iterator[Published]:
    """Yield the published scores of a day; the progress has ended when they come.

    A local home is read without Spark; an object store with the connector that Spark has for it.

    Raises:
        NightscoreError: nothing is published for the day.
    """
    home = Home.from_env()
    if home.is_local:
        with progress.step("read scores"):
            reader = Reader(home, definition.name)
            publication = publication_of(reader, day)
            found = published_rows(
                reader, publication, definition.keys, definition.score_columns,
                limit=limit, is_top=is_top,
            )  # fmt: skip
            rows = _begun(found)
        progress.close()
        yield Published(publication, rows)
        return
    with open_context(definition, progress, "scores", is_quick=True) as context:
        with progress.step("read scores"):
            publication = _publication_in_spark(context, day)
            rows = _begun(score_rows(_scores_in_spark(context, day, is_top), limit))
        progress.close()
        yield Published(publication, rows)


def score_rows(published_scores: DataFrame, limit: int = 0) -> Iterator[dict[str, Any]]:
    """Yield rows ready for JSON, `limit` of them or with 0 all; days larger than memory stream."""
    rows = published_scores.limit(limit) if limit else published_scores
    plain = rows.select(*[_plain(name, dtype) for name, dtype in rows.dtypes])
    for row in plain.toLocalIterator(prefetchPartitions=True):
        yield row.asDict()


def _begun(rows: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Return the rows, the first of them read: the work is done when it is there."""
    return chain(list(islice(rows, 1)), rows)


def _publication_in_spark(context: Context, day: date) -> Publication:
    from jobs.night.ledger import current

    found = current(context, [day]).get(day)
    if found is None:
        raise NightscoreError(nothing_published(context.definition.name, day))
    return found


def _scores_in_spark(context: Context, day: date, is_top: bool) -> DataFrame:
    """Return the published scores of a day: ds, keys, scores, run and model, in their order."""
    from pyspark.sql import functions as F

    from jobs.night.ledger import scores_latest

    keys, names = context.definition.keys, context.definition.score_columns
    found = scores_latest(context, [day])
    # A day that was scored before the pipeline had a label has no column of its scores.
    scores = [F.col(n) if n in found.columns else F.lit(None).alias(n) for n in names]
    rest = (RUN_ID, "model_name", "model_version", "published_at")
    order = [*([scores[0].desc()] if is_top else []), *(F.col(key) for key in keys)]
    return found.select(DS, *keys, *scores, *rest).orderBy(*order)


def _origin(publication: Publication, shown: int) -> str:
    p = publication
    first = f"{shown:,} of " if shown < p.rows else ""
    return (
        f"{first}{p.rows:,} scores of {p.ds}: run {p.run_id}, {p.model_name} version "
        f"{p.model_version}, published {p.published_at:%Y-%m-%d %H:%M} UTC by {p.who} ({p.why})"
    )


def _plain(name: str, dtype: str) -> Column:
    """Return a column as JSON can hold it; timestamps are UTC."""
    from pyspark.sql import functions as F

    if dtype == "timestamp":
        return F.date_format(name, "yyyy-MM-dd'T'HH:mm:ss'Z'").alias(name)
    return F.col(name).cast("string").alias(name) if dtype == "date" else F.col(name)
