"""What is published, read without Spark: for commands that look at a day or two."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import MISSING, fields
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

from feature_store.errors import NightscoreError
from feature_store.schema import DS, LEDGER, RUN_ID, SCORES
from jobs.night.publication import Publication

if TYPE_CHECKING:
    from feature_store.tables.reader import Reader


def publications(reader: Reader, days: Iterable[date] | None = None) -> list[Publication]:
    """Return every publication (of `days`), oldest first per day, as of now."""
    # A ledger of an earlier release has no column of those that have a default.
    names = [field.name for field in fields(Publication) if field.default is MISSING]
    rows = reader.rows(LEDGER, names, days=days)
    found = [Publication(**_utc(row)) for row in rows if row["sequence"] > 0]
    return sorted(found, key=lambda p: (p.ds, p.sequence))


def publication_of(reader: Reader, day: date) -> Publication:
    """Return the publication whose scores are the day's.

    Raises:
        NightscoreError: nothing is published for the day.
    """
    found = publications(reader, [day])
    if not found:
        raise NightscoreError(nothing_published(reader.pipeline, day))
    return found[-1]


def nothing_published(pipeline: str, day: date) -> str:
    """Return what to say of a day without a publication."""
    return (
        f"{pipeline} ds={day}: nothing is published. "
        f"Run: nightscore run --pipeline {pipeline} --ds {day}"
    )


def published_rows(
    reader: Reader,
    of: Publication,
    keys: Sequence[str],
    scores: Sequence[str],
    *,
    limit: int = 0,
    is_top: bool = False,
) -> Iterator[dict[str, Any]]:
    """Yield the scores of a publication, ready for JSON, by key or with the highest score first.

    Args:
        reader: the pipeline's tables.
        of: the publication.
        keys: the pipeline's keys.
        scores: its columns of scores.
        limit: rows at most; 0 for all.
        is_top: whether the highest of the first scores comes first; rows of one score go by key.
    """
    order = [(scores[0], True)] * is_top + [(key, False) for key in keys]
    names = (DS, *keys, *scores, RUN_ID)
    rest = {
        "model_name": of.model_name,
        "model_version": of.model_version,
        "published_at": _plain(of.published_at),
    }
    found = reader.rows(SCORES, names, days=[of.ds], run_id=of.run_id, order_by=order, limit=limit)
    for row in found:
        yield {**{name: _plain(row[name]) for name in names}, **rest}


def _utc(row: dict[str, Any]) -> dict[str, Any]:
    return {n: v.astimezone(UTC) if isinstance(v, datetime) else v for n, v in row.items()}


def _plain(value: Any) -> Any:
    """Return a value as JSON can hold it; times are UTC."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return value.isoformat() if isinstance(value, date) else value
