"""What a definition says, whether it keeps the rules or not, and what follows from it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from feature_store.definition.expressions import columns_of
from feature_store.definition.parts import (
    Categorical,
    Check,
    Column,
    Cross,
    Dtype,
    Gate,
    History,
    Known,
    Label,
    Lookup,
    Numeric,
    Part,
    Source,
    Training,
    plain,
    taken,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Fields:
    """What a definition says, and what follows from it; `Definition` is one that keeps the rules.

    `ds` is the partition day. A feature uses a value only if it was known before the cut-off:
    midnight UTC at the start of `ds`, moved by `cutoff_hours`.
    """

    name: str
    description: str
    source: Source
    keys: tuple[str, ...]
    """Columns that, with `ds`, identify one thing to score."""
    event_time: str
    knowns: tuple[Known, ...]
    columns: tuple[Column, ...]
    label: Label
    features: tuple[Categorical | Numeric | Cross, ...]
    histories: tuple[History, ...] = ()
    lookups: tuple[Lookup, ...] = ()
    checks: tuple[Check, ...] = ()
    training: Training = Training()
    gate: Gate = Gate()
    first_day: date
    last_day: date | None = None
    absent_days: tuple[date, ...] = ()
    """Days that the source will never have: their events are empty, and they are not scored."""
    cutoff_hours: int = 0
    max_bad_share: float = 0.01
    event_days: tuple[int, int] = (0, 0)
    """The first and last day, counted from `ds`, on which an event of `ds` may lie (UTC)."""
    max_known_days: int = 366
    """Days after `ds` within which each of its columns becomes known, at the latest."""
    owner: str = "nightscore"
    deadline_hours: int = 6
    """Hours after the cut-off by which scores must be published."""

    def cutoff(self, day: date) -> datetime:
        """Return the UTC instant before which a value must be known to be a feature of `day`."""
        midnight = datetime(day.year, day.month, day.day, tzinfo=UTC)
        return midnight + timedelta(hours=self.cutoff_hours)

    @property
    def max_window(self) -> int:
        """The longest history window, in days; 0 without histories."""
        return max((w for history in self.histories for w in history.windows), default=0)

    def window_days(self, day: date) -> list[date]:
        """Return the earlier days whose tiles a feature of `day` may read, oldest first."""
        days = (day - timedelta(days=back) for back in range(self.max_window, 0, -1))
        return [d for d in days if d >= self.first_day]

    def known(self, name: str) -> Known:
        """Return the known-at group of that name."""
        return next(group for group in self.knowns if group.name == name)

    def column(self, name: str) -> Column:
        """Return the source column of that name."""
        return next(column for column in self.columns if column.name == name)

    def taken_by(self, expression: str) -> frozenset[str]:
        """Return the source columns that one of the definition's expressions takes."""
        return columns_of(expression, {column.name for column in self.columns})

    def categorical_names(self) -> tuple[str, ...]:
        """Names of the categorical features, in the order of a model's `keys`."""
        return tuple(f.name for f in self.features if isinstance(f, Categorical | Cross))

    def numeric_names(self) -> tuple[str, ...]:
        """Names of the numeric features, in the order of a model's `values`."""
        plain = [f.name for f in self.features if isinstance(f, Numeric)]
        return (*plain, *(name for h in self.histories for name, _, _ in h.columns()))

    @property
    def feature_dtypes(self) -> dict[str, Dtype]:
        """The type of each source and lookup column that a feature takes, by the column's name.

        A category's key is a hash of its text, and 1 as a double has another text than as an int.
        """
        dtypes = {column.name: column.dtype for column in self.columns}
        dtypes |= {f"{lk.name}.{c.name}": c.dtype for lk in self.lookups for c in lk.columns}
        return {name: dtypes[name] for feature in self.features for name in taken(feature)}

    @property
    def types(self) -> dict[str, str]:
        """The declared type of each source column."""
        return {column.name: column.dtype for column in self.columns}

    @property
    def knowledge(self) -> list[Any]:
        """What decides which values of a row were known in time, as JSON-ready data."""
        known = {column.name: column.known for column in self.columns}
        return [plain(self.knowns), known, list(self.keys)]

    def columns_of_history(self, history: History) -> frozenset[str]:
        """The columns that a history's keys and values are made of."""
        return frozenset({*history.keys, *self.taken_by(history.value)})

    def history_digest(self, history: History) -> str:
        """Return 16 hex digits over what decides the tiles of a history, given the events."""
        read = self.columns_of_history(history)
        columns = [[c.name, c.dtype, c.known] for c in self.columns if c.name in read]
        # Windows and aggregates are taken of the tiles: they change no tile.
        made_of = [list(history.keys), history.value, history.known]
        return _digest([made_of, columns, plain(self.knowns), self.cutoff_hours])

    def digest(self, part: Part) -> str:
        """Return 16 hex digits over what decides the rows of a table (or the encoding).

        What the rows of the tables that it is made of are is not part of it: those are pinned. So
        a rule of a column that changes no row makes nothing stale that is made of events.
        """
        if part == "tiles":
            return _digest({h.name: self.history_digest(h) for h in self.histories})
        return _digest([plain(getattr(self, field)) for field in _PARTS[part]])

    @property
    def joins(self) -> list[Any]:
        """What decides how side tables are joined, given their rows, as JSON-ready data."""
        return [
            {**plain(lookup), "source": "", "columns": [[c.name, c.dtype] for c in lookup.columns]}
            for lookup in self.lookups
        ]


def _digest(data: Any) -> str:
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()[:16]


_EVENTS = (
    "name", "source", "keys", "event_time", "event_days", "knowns", "max_known_days", "columns",
    "cutoff_hours",
)  # fmt: skip
_PARTS: dict[str, tuple[str, ...]] = {
    "events": _EVENTS,
    "features": (
        "name",
        "types",
        "knowledge",
        "cutoff_hours",
        "joins",
        "features",
        "histories",
        "first_day",
    ),
    "encoding": ("features", "histories", "feature_dtypes"),
    "scores": ("name",),
}
