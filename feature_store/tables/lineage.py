"""One row per table and day: what was written, from what, at what cost.

The rows are derived: everything in them but the cost is also in the logs of the tables, so those
that a crash kept from being written are mended by reading the logs. A row without a day says only
that a commit was read: of compaction, say, or of somebody else.
"""

from __future__ import annotations

import dataclasses
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from feature_store.tables.commits import DayCommit
from feature_store.tables.inputs import Inputs
from feature_store.tables.table_log import Mark, News, Remembered

SCHEMA = (
    "table string, ds date, run_id string, version bigint, rows bigint, bytes bigint, "
    "seconds double, core_seconds double, inputs string, committed_at timestamp, "
    "table_id string, generation int, foreign string, content string"
)
NAMES = tuple(part.split()[0] for part in SCHEMA.split(", "))


def as_row(news: News) -> tuple[object, ...]:
    """Return what was learned in the order of `SCHEMA`."""
    if isinstance(news, Mark):
        values: dict[str, object] = dataclasses.asdict(news)
    else:
        values = {f.name: getattr(news, f.name) for f in dataclasses.fields(news)}
        values["inputs"] = news.inputs.to_json()
        content = {"rule": news.content_rule, "parts": dict(news.content)}
        values["content"] = json.dumps(content, separators=(",", ":")) if news.content_rule else ""
    return tuple(values.get(name) for name in NAMES)


@dataclass
class Lineage:
    """What earlier processes wrote down, by table and id."""

    _days: dict[tuple[str, str], dict[Any, DayCommit]] = field(
        default_factory=lambda: defaultdict(dict)
    )
    _versions: dict[tuple[str, str], set[int]] = field(default_factory=lambda: defaultdict(set))

    @classmethod
    def of(cls, rows: Iterable[Mapping[str, Any]]) -> Lineage:
        """Return what rows say that `as_row` made; rows of an older format say nothing."""
        found = cls()
        texts: dict[str, Inputs] = {}
        for row in rows:
            table_id = row.get("table_id")
            if not table_id:
                continue
            found._versions[row["table"], table_id].add(row["version"])
            if row["ds"] is not None:
                found._add(_commit(row, texts))
        return found

    def remembered(self, table: str, table_id: str) -> Remembered:
        """Return what was written down of the table with this id."""
        key = (table, table_id)
        if key not in self._versions:
            return Remembered()
        return Remembered(
            days=tuple(self._days[key].values()), versions=frozenset(self._versions[key])
        )

    def _add(self, commit: DayCommit) -> None:
        days = self._days[commit.table, commit.table_id]
        known = days.get(commit.key)
        days[commit.key] = commit if known is None else _better(known, commit)


def _better(one: DayCommit, other: DayCommit) -> DayCommit:
    """Return the newer of two rows of a day; of one commit, all that either says.

    Several processes may write one commit down: only its own knew the cost, and only some looked
    at the content, or later saw that somebody else had changed it.
    """
    if one.version != other.version:
        return max(one, other, key=lambda commit: commit.version)
    costly = max(one, other, key=lambda commit: commit.seconds)
    foreign = one.foreign or other.foreign
    said = next((c for c in (one, other) if c.content_rule), costly)
    return dataclasses.replace(
        costly,
        foreign=foreign,
        content_rule="" if foreign else said.content_rule,
        content={} if foreign else said.content,
    )


def _commit(row: Mapping[str, Any], texts: dict[str, Inputs]) -> DayCommit:
    text = row["inputs"]
    if text not in texts:
        texts[text] = Inputs.from_json(text)
    content: dict[str, Any] = json.loads(row["content"] or '{"rule": "", "parts": {}}')
    own = {name: row[name] for name in NAMES if name not in ("inputs", "content")}
    return DayCommit(
        **own,
        inputs=texts[text],
        content_rule=content["rule"],
        content={part: tuple(sums) for part, sums in content["parts"].items()},
    )
