"""What is scored on a day, one row each: decided by what was known before the cut-off."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from feature_store.definition.parts import Column, Known
from feature_store.definition.row_type import RowType
from feature_store.definition.stream import Stream


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows of a stream for the day: flights scheduled, ads planned, candidates delivered."""

    stream: Stream
    """Whose rows are scored."""

    @property
    def keys(self) -> tuple[str, ...]:
        """The columns that, with `ds`, identify one thing to score."""
        return self.stream.keys

    @property
    def row(self) -> RowType:
        """What a row to score has before any feature is made of it."""
        return self.stream

    @property
    def sides(self) -> tuple[Active | Top, ...]:
        """What is told by the days before: nothing, the rows are delivered."""
        return ()


@dataclass(frozen=True, kw_only=True, slots=True)
class _Entities:
    """Entities that a stream tells of in the days before `ds`, and how many of its rows count."""

    stream: Stream = field(metadata={"by_name": True})
    """That which tells of them."""
    keys: tuple[str, ...]
    """Columns of the stream: what identifies one entity."""
    known: str
    """The known-at group whose time says when a row counts."""
    days: int
    """How many days before `ds` are looked at."""

    @property
    def row(self) -> RowType:
        """What a row to score has before any feature is made of it: its keys."""
        return _keys_only(*map(self.stream.column, self.keys))

    @property
    def every_row(self) -> str:
        """An expression that is true for every row that has the first key."""
        return f"`{self.keys[0]}` IS NOT NULL"


@dataclass(frozen=True, kw_only=True, slots=True)
class Active(_Entities):
    """The entities that were seen in the last days: households that bought something.

    A row of the stream counts if `where`, a boolean SQL expression over its columns, holds.
    """

    where: str | None = None
    """None: every row counts."""
    at_least: int = 1
    """Rows that have to count."""

    @property
    def sides(self) -> tuple[Active | Top, ...]:
        """Itself: what is told by the days before."""
        return (self,)

    @property
    def counted(self) -> str:
        """What is counted, where it is true."""
        return self.where or self.every_row


@dataclass(frozen=True, kw_only=True, slots=True)
class Top(_Entities):
    """The `n` entities with the most rows, or the largest sum, in the last days.

    Of entities that are equal in it those come first whose keys come first as text. One whose sum
    is 0 or less is not among them.
    """

    n: int
    """How many there are, at most."""
    by: str | None = None
    """What is added up, an SQL expression over the stream's columns; None: rows are counted. One
    that is boolean counts the rows for which it holds."""

    @property
    def sides(self) -> tuple[Active | Top, ...]:
        """Itself: what is told by the days before."""
        return (self,)

    @property
    def counted(self) -> str:
        """What is added up."""
        return self.by or self.every_row


@dataclass(frozen=True, kw_only=True, slots=True)
class Product:
    """Every pair of an entity of the left and one of the right: households x products.

    Features of one side are computed once for each entity of that side.
    """

    left: Active | Top
    """One side."""
    right: Active | Top
    """The other side; no key has the name of one of the left."""
    where: str | None = None
    """A boolean SQL expression over the keys of both, such as `viewer <> author`; None: all."""
    max_rows: int = 100_000_000
    """Pairs of a day (before `where`) above which nothing is begun."""

    @property
    def keys(self) -> tuple[str, ...]:
        """The columns that, with `ds`, identify one thing to score."""
        return (*self.left.keys, *self.right.keys)

    @property
    def row(self) -> RowType:
        """What a row to score has before any feature is made of it: the keys of both."""
        return _keys_only(*self.left.row.columns, *self.right.row.columns)

    @property
    def sides(self) -> tuple[Active | Top, ...]:
        """What is told by the days before."""
        return (self.left, self.right)


def _keys_only(*columns: Column) -> RowType:
    """Return the type of a row that is nothing but keys, which the days before told."""
    told = Known(name="told", at="")
    return RowType(
        name="spine",
        keys=tuple(column.name for column in columns),
        knowns=(told,),
        columns=tuple(replace(column, known=told.name) for column in columns),
    )


Spine = Rows | Active | Top | Product
