"""What a definition says, whether it keeps the rules or not, and what follows from it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from feature_store.definition.history import History, TileKind, Tiling
from feature_store.definition.label import Label, Outcome
from feature_store.definition.lookup import Lookup
from feature_store.definition.parts import (
    Categorical,
    Check,
    Column,
    Cross,
    Derived,
    Dtype,
    Feature,
    Gate,
    MultiValued,
    Numeric,
    Part,
    Training,
    json_digest,
    plain,
    taken,
)
from feature_store.definition.row_type import RowType
from feature_store.definition.sequence import Sequence
from feature_store.definition.spine import Active, Rows, Spine, Top
from feature_store.definition.stream import Stream
from feature_store.schema import DS, score_columns


@dataclass(frozen=True, kw_only=True, slots=True)
class Fields:
    """What a definition says, and what follows from it; `Definition` is one that keeps the rules.

    `ds` is the partition day. A feature uses a value only if it was known before the cut-off:
    midnight UTC at the start of `ds`, moved by `cutoff_hours`.
    """

    name: str
    """The name of its file, and of its tables."""
    description: str
    """One sentence that says what is predicted, for lists and reports."""
    spine: Spine
    """What is scored on a day."""
    labels: tuple[Label | Outcome, ...]
    """What is predicted of each, one or more: told by the row, or by a stream some days later."""
    features: tuple[Feature, ...]
    """What a model takes of the row itself and of lookups; at least one is a category."""
    histories: tuple[History, ...] = ()
    """What a model takes of the days before."""
    sequences: tuple[Sequence, ...] = ()
    """What came last in the days before, value by value."""
    lookups: tuple[Lookup, ...] = ()
    """What rows are told by other streams, whose columns features take as `lookup.column`; in
    order: one may be asked by columns of those before it."""
    derived: tuple[Derived, ...] = ()
    """Columns computed of all these, in order: one may take those before it."""
    checks: tuple[Check, ...] = ()
    """What must hold of a day's features and scores before they are published."""
    training: Training = Training()
    """How the model is trained."""
    gate: Gate = Gate()
    """What a model must show before it is promoted."""
    first_day: date
    """The first day that is scored, or learned from."""
    last_day: date | None = None
    """The last day that is scored, or learned from; None: it goes on."""
    cutoff_hours: int = 0
    """Hours from the midnight (UTC) that begins `ds` to the cut-off; negative: before it."""
    owner: str = "nightscore"
    """Who looks after it: the owner of its DAGs in Airflow."""
    deadline_hours: int = 6
    """Hours after the cut-off by which scores must be published."""

    @property
    def stream(self) -> Stream | None:
        """The stream whose rows are scored; None where what is scored is told by days before."""
        return self.spine.stream if isinstance(self.spine, Rows) else None

    @property
    def keys(self) -> tuple[str, ...]:
        """The columns that, with `ds`, identify one thing to score."""
        return self.spine.keys

    @property
    def absent_days(self) -> tuple[date, ...]:
        """Days that the source will never have: they are not scored."""
        return self.stream.absent_days if self.stream else ()

    def is_scored(self, stream: Stream) -> bool:
        """Whether the rows of a stream are what is scored."""
        return self.stream is not None and self.stream.name == stream.name

    @property
    def row(self) -> RowType:
        """What a row to score has before any feature is made of it."""
        return self.spine.row

    def cutoff(self, day: date) -> datetime:
        """Return the UTC instant before which a value must be known to be a feature of `day`."""
        midnight = datetime(day.year, day.month, day.day, tzinfo=UTC)
        return midnight + timedelta(hours=self.cutoff_hours)

    def histories_of(self, stream: Stream) -> list[History]:
        """Return the histories that are of a stream."""
        return [h for h in self.histories if self.stream_of(h).name == stream.name]

    def sequences_of(self, stream: Stream) -> list[Sequence]:
        """Return the sequences that are of a stream."""
        return [s for s in self.sequences if self.stream_of(s).name == stream.name]

    def max_window(self, stream: Stream) -> int:
        """The longest window over a stream, in days; 0 if it has none.

        Of a history, of a sequence, or of the spine.
        """
        windows = [w for history in self.histories_of(stream) for w in history.windows]
        windows += [sequence.days for sequence in self.sequences_of(stream)]
        sides = [side.days for side in self.spine.sides if side.stream.name == stream.name]
        return max([*windows, *sides], default=0)

    def window_days(self, day: date, stream: Stream) -> list[date]:
        """Return the earlier days of a stream whose tiles a feature of `day` may read, in order."""
        days = (day - timedelta(days=back) for back in range(self.max_window(stream), 0, -1))
        return [d for d in days if stream.has(d)]

    def categorical_names(self) -> tuple[str, ...]:
        """Names of the categorical features, in the order of a model's `keys`."""
        return tuple(f.name for f in self.features if isinstance(f, Categorical | Cross))

    @property
    def lists(self) -> tuple[MultiValued | Sequence, ...]:
        """What has several categories in a row, in the order of a model's columns."""
        return (*(f for f in self.features if isinstance(f, MultiValued)), *self.sequences)

    def numeric_names(self) -> tuple[str, ...]:
        """Names of the numeric features, in the order of a model's `values`."""
        plain = [f.name for f in self.features if isinstance(f, Numeric)]
        return (*plain, *(name for h in self.histories for name, _, _ in h.columns()))

    @property
    def looked_up(self) -> dict[str, Column]:
        """The columns of lookups, by the name that features call them, `lookup.column`."""
        return {n: c for lookup in self.lookups for n, c in lookup.taken_columns.items()}

    @property
    def column_dtypes(self) -> dict[str, Dtype]:
        """The type of each column that there is for a feature to take, by its name."""
        found: dict[str, Dtype] = {column.name: column.dtype for column in self.row.columns}
        found |= {name: column.dtype for name, column in self.looked_up.items()}
        return found | {derived.name: derived.dtype for derived in self.derived}

    @property
    def feature_dtypes(self) -> dict[str, Dtype]:
        """The type of each source and lookup column that a feature takes, by the column's name.

        A category's key is a hash of its text, and 1 as a double has another text than as an int.
        """
        dtypes = self.column_dtypes
        return {name: dtypes[name] for feature in self.features for name in taken(feature)}

    def seen_by(self, derived: Derived) -> RowType:
        """Return what a derived column may be made of, as the row that it sees.

        Whether a column of it is known beforehand is another question.
        """
        (known, *_) = self.row.knowns
        before = self.derived[: self.derived.index(derived)]
        made: dict[str, Dtype] = {DS: "date"}
        made |= {name: column.dtype for name, column in self.looked_up.items()}
        made |= {name: "double" for h in self.histories for name, _, _ in h.columns()}
        made |= {other.name: other.dtype for other in before}
        columns = (Column(name=name, dtype=d, known=known.name) for name, d in made.items())
        return RowType(
            name=self.row.name,
            keys=self.row.keys,
            knowns=self.row.knowns,
            columns=(*self.row.columns, *columns),
        )

    def stream_of(self, part: History | Sequence | Outcome | Active | Top) -> Stream:
        """Return the stream that a history, a sequence, a label or a side of the spine is of.

        Raises:
            TypeError: it names none, and no stream's rows are scored.
        """
        stream = part.stream or self.stream
        if stream is None:
            raise TypeError(f"{type(part).__name__} without a stream")
        return stream

    def tiling(
        self, part: History | Sequence | Outcome | Active | Top, kind: TileKind = "sums"
    ) -> Tiling:
        """Return what the tiles of a history, a sequence, a label or a side are made of."""
        return Tiling(
            stream=self.stream_of(part),
            keys=part.keys,
            value=part.counted,
            known=part.known,
            cutoff_hours=self.cutoff_hours,
            kind=kind,
        )

    def feature_tilings(self, stream: Stream) -> tuple[Tiling, ...]:
        """Return what tiles of a stream the rows of features are made of, each once."""
        sides = [side for side in self.spine.sides if side.stream.name == stream.name]
        histories = ((h, kind) for h in self.histories_of(stream) for kind in h.kinds)
        of_histories = (self.tiling(history, kind) for history, kind in histories)
        of_sequences = (self.tiling(s, "texts") for s in self.sequences_of(stream))
        return _each_once([*map(self.tiling, sides), *of_histories, *of_sequences])

    def tilings(self, stream: Stream) -> tuple[Tiling, ...]:
        """Return what tiles of a stream features and labels are made of, each once."""
        told = (outcome for outcome in self.outcomes if outcome.stream.name == stream.name)
        return _each_once((*self.feature_tilings(stream), *map(self.tiling, told)))

    @property
    def counted_streams(self) -> tuple[Stream, ...]:
        """Every stream of rows to score, of histories or sequences, that of the rows first."""
        told = [self.stream] if self.stream else [side.stream for side in self.spine.sides]
        windows = [*map(self.stream_of, self.histories), *map(self.stream_of, self.sequences)]
        return _first_of_each([*told, *windows])

    @property
    def streams(self) -> tuple[Stream, ...]:
        """Every stream that features are made of, that of the rows to score first."""
        looked_up = (lookup.stream for lookup in self.lookups)
        return _first_of_each([*self.counted_streams, *looked_up])

    def lookups_in(self, stream: Stream) -> list[Lookup]:
        """Return the lookups that look a stream up."""
        return [lookup for lookup in self.lookups if lookup.stream.name == stream.name]

    def looked_up_by(self, lookup: Lookup) -> frozenset[str]:
        """Return the columns of what is scored that decide what a lookup finds.

        One that is asked by columns of another is decided by what decides that one.
        """
        others = {other.name: other for other in self.lookups}
        found = set() if lookup.at is None else {lookup.at}
        for name in lookup.asked_by:
            owner, dot, _ = name.partition(".")
            found |= self.looked_up_by(others[owner]) if dot else {name}
        return frozenset(found)

    @property
    def all_streams(self) -> tuple[Stream, ...]:
        """Every stream that features or labels are made of."""
        return _first_of_each([*self.streams, *(outcome.stream for outcome in self.outcomes)])

    @property
    def label_names(self) -> tuple[str, ...]:
        """Names of the labels, in the order of a model's logits."""
        return tuple(label.name for label in self.labels)

    def label_named(self, name: str) -> Label | Outcome:
        """Return the label of a name.

        Raises:
            KeyError: there is none.
        """
        return {label.name: label for label in self.labels}[name]

    def with_given(self, label: Label | Outcome) -> tuple[Label | Outcome, ...]:
        """Return the labels that decide whether a row has this one, the first of them first.

        The last is the label itself.
        """
        before = () if label.given is None else self.with_given(self.label_named(label.given))
        return (*before, label)

    @property
    def outcomes(self) -> tuple[Outcome, ...]:
        """The labels that a stream tells some days later."""
        return tuple(label for label in self.labels if isinstance(label, Outcome))

    def outcome_days(self, outcome: Outcome, day: date) -> list[date]:
        """Return the days of its stream that an outcome of `day` is looked for on, in order."""
        first = day + timedelta(days=self._whole_days)
        return [first + timedelta(days=place) for place in range(outcome.within_days)]

    def settled_days(self, outcome: Outcome) -> int:
        """Days after `ds` until whose cut-off it is settled whether an outcome came to be."""
        return self._whole_days + outcome.within_days + outcome.settle_days

    def label_days_of(self, label: Label | Outcome) -> int:
        """Days after `ds` until whose cut-off a label is settled; 0 if its row tells it.

        A row that tells its label has a time that says since when it does. A label that is given
        another is settled when both are.
        """
        told = (part for part in self.with_given(label) if isinstance(part, Outcome))
        return max(map(self.settled_days, told), default=0)

    @property
    def label_days(self) -> int:
        """Days after `ds` until whose cut-off every label is settled."""
        return max(map(self.label_days_of, self.labels))

    @property
    def score_columns(self) -> tuple[str, ...]:
        """The columns of scores, in the order of the labels."""
        return score_columns(self.label_names)

    @property
    def _whole_days(self) -> int:
        """Days from `ds` to the first whole day after its cut-off."""
        return max(0, -(-self.cutoff_hours // 24))

    def digest(self, part: Part) -> str:
        """Return 16 hex digits over what decides the rows of a table (or the encoding).

        What the rows of the tables that it is made of are is not part of it: those are pinned. So
        a rule of a column that changes no row makes nothing stale that is made of events.
        """
        return json_digest([plain(getattr(self, field)) for field in _PARTS[part]])

    @property
    def reads(self) -> list[Any]:
        """What decides what is read of each stream, given its rows, as JSON-ready data."""
        streams = [[s.types, s.knowledge, plain(s.first_day)] for s in self.counted_streams]
        return streams if self.stream else [*streams, plain(self.spine)]

    @property
    def computed(self) -> list[Any]:
        """What decides how features are made of columns, as JSON-ready data."""
        return [*plain(self.features), *plain(self.derived), *plain(self.sequences)]

    @property
    def joins(self) -> list[Any]:
        """What decides what lookups find, given the rows of their streams, as JSON-ready data."""
        return [lookup.joined for lookup in self.lookups]


def _first_of_each(streams: Iterable[Stream]) -> tuple[Stream, ...]:
    found: dict[str, Stream] = {}
    for stream in streams:
        found.setdefault(stream.name, stream)
    return tuple(found.values())


def _each_once(tilings: Iterable[Tiling]) -> tuple[Tiling, ...]:
    return tuple({tiling.digest: tiling for tiling in tilings}.values())


_PARTS: dict[Part, tuple[str, ...]] = {
    "features": (
        "reads",
        "name",
        "cutoff_hours",
        "joins",
        "computed",
        "histories",
        "first_day",
    ),
    "encoding": ("computed", "histories", "feature_dtypes"),
    "scores": ("name",),
}
