"""What a definition says, whether it keeps the rules or not, and what follows from it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from feature_store.definition.history import History, Tiling
from feature_store.definition.parts import (
    Categorical,
    Check,
    Cross,
    Dtype,
    Gate,
    Label,
    Lookup,
    Numeric,
    Part,
    Training,
    json_digest,
    plain,
    taken,
)
from feature_store.definition.spine import Rows
from feature_store.definition.stream import Stream


@dataclass(frozen=True, kw_only=True, slots=True)
class Fields:
    """What a definition says, and what follows from it; `Definition` is one that keeps the rules.

    `ds` is the partition day. A feature uses a value only if it was known before the cut-off:
    midnight UTC at the start of `ds`, moved by `cutoff_hours`.
    """

    name: str
    description: str
    spine: Rows
    """What is scored on a day."""
    label: Label
    features: tuple[Categorical | Numeric | Cross, ...]
    histories: tuple[History, ...] = ()
    lookups: tuple[Lookup, ...] = ()
    checks: tuple[Check, ...] = ()
    training: Training = Training()
    gate: Gate = Gate()
    first_day: date
    """The first day that is scored, or learned from."""
    last_day: date | None = None
    cutoff_hours: int = 0
    owner: str = "nightscore"
    deadline_hours: int = 6
    """Hours after the cut-off by which scores must be published."""

    @property
    def stream(self) -> Stream:
        """The stream whose rows are scored."""
        return self.spine.stream

    @property
    def keys(self) -> tuple[str, ...]:
        """The columns that, with `ds`, identify one thing to score."""
        return self.spine.keys

    @property
    def absent_days(self) -> tuple[date, ...]:
        """Days that the source will never have: they are not scored."""
        return self.stream.absent_days

    def cutoff(self, day: date) -> datetime:
        """Return the UTC instant before which a value must be known to be a feature of `day`."""
        midnight = datetime(day.year, day.month, day.day, tzinfo=UTC)
        return midnight + timedelta(hours=self.cutoff_hours)

    def histories_of(self, stream: Stream) -> list[History]:
        """Return the histories that are of a stream."""
        return [h for h in self.histories if self.stream_of(h).name == stream.name]

    def max_window(self, stream: Stream) -> int:
        """The longest history window over a stream, in days; 0 without histories."""
        windows = (w for history in self.histories_of(stream) for w in history.windows)
        return max(windows, default=0)

    def window_days(self, day: date, stream: Stream) -> list[date]:
        """Return the earlier days of a stream whose tiles a feature of `day` may read, in order."""
        days = (day - timedelta(days=back) for back in range(self.max_window(stream), 0, -1))
        return [d for d in days if stream.has(d)]

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
        dtypes: dict[str, Dtype] = {c.name: c.dtype for c in self.stream.columns}
        dtypes |= {f"{lk.name}.{c.name}": c.dtype for lk in self.lookups for c in lk.columns}
        return {name: dtypes[name] for feature in self.features for name in taken(feature)}

    def stream_of(self, history: History) -> Stream:
        """Return the stream that a history is of."""
        return history.stream or self.stream

    def tiling(self, history: History) -> Tiling:
        """Return what the tiles of a history are made of."""
        return Tiling(
            stream=self.stream_of(history),
            keys=history.keys,
            value=history.value,
            known=history.known,
            cutoff_hours=self.cutoff_hours,
        )

    def tilings(self, stream: Stream) -> tuple[Tiling, ...]:
        """Return what tiles of a stream the histories are made of, each once."""
        made = map(self.tiling, self.histories_of(stream))
        return tuple({tiling.digest: tiling for tiling in made}.values())

    @property
    def streams(self) -> tuple[Stream, ...]:
        """Every stream that is read, that of the rows to score first."""
        found = {self.stream.name: self.stream}
        for history in self.histories:
            found.setdefault(self.stream_of(history).name, self.stream_of(history))
        return tuple(found.values())

    def digest(self, part: Part) -> str:
        """Return 16 hex digits over what decides the rows of a table (or the encoding).

        What the rows of the tables that it is made of are is not part of it: those are pinned. So
        a rule of a column that changes no row makes nothing stale that is made of events.
        """
        return json_digest([plain(getattr(self, field)) for field in _PARTS[part]])

    @property
    def reads(self) -> list[Any]:
        """What decides what is read of each stream, given its rows, as JSON-ready data."""
        return [[s.types, s.knowledge, plain(s.first_day)] for s in self.streams]

    @property
    def joins(self) -> list[Any]:
        """What decides how side tables are joined, given their rows, as JSON-ready data."""
        return [
            {**plain(lookup), "source": "", "columns": [[c.name, c.dtype] for c in lookup.columns]}
            for lookup in self.lookups
        ]


_PARTS: dict[Part, tuple[str, ...]] = {
    "features": (
        "reads",
        "name",
        "cutoff_hours",
        "joins",
        "features",
        "histories",
        "first_day",
    ),
    "encoding": ("features", "histories", "feature_dtypes"),
    "scores": ("name",),
}
