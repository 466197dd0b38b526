"""What came last: values of a stream before the day, in the order in which they happened."""

from __future__ import annotations

from dataclasses import dataclass, field

from feature_store.definition.history import ByKeys
from feature_store.definition.stream import Stream


@dataclass(frozen=True, kw_only=True, slots=True)
class Sequence(ByKeys):
    """The last values of `value` in the days before `ds`, per `keys`: what a user bought before.

    Yields `<name>`, an array of at most `length` texts, the newest last, and `<name>_days`, how
    many days before `ds` each of them was (1 for the day before). Values of one time stand in the
    order of their text; where there is none, both are empty. A model takes the keys of the texts,
    padded with 0, and their ages.

    `value` is a SQL expression over the stream's columns, `known` the group whose time says when it
    counts. A row for which it cannot be evaluated, or is null, has no value.

    Of a day, tiles keep one row for each different value and time of a key.
    """

    name: str
    """What the feature is called."""
    keys: tuple[str, ...]
    """Columns of the stream."""
    value: str
    """What the sequence is of."""
    known: str
    """A group of the stream."""
    length: int
    """How many values there are at most: the newest."""
    days: int
    """How many days before `ds` are looked at."""
    like: str = ""
    """A categorical feature that is of the same values (the item that is scored, where these are
    items bought before): a value has one vector in both. Empty: vectors of its own."""
    stream: Stream | None = field(default=None, metadata={"by_name": True})
    """Whose rows are looked at; None for the stream whose rows are scored."""
    on: tuple[str, ...] = ()
    """Columns of what is scored that are equal to `keys`, in their order; () if of the same names.
    """
    where: str | None = None
    """A boolean SQL expression: a row for which it does not hold has no value. None: all have."""

    @property
    def takes_any_type(self) -> bool:
        """Whether its values need be no numbers: they are texts."""
        return True

    @property
    def ages(self) -> str:
        """The column of the values' ages."""
        return f"{self.name}_days"
