"""Which columns a model takes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from models.errors import ConfigInvalid


@dataclass(frozen=True, kw_only=True, slots=True)
class ListField:
    """A field of several categories in a row: the last of a sequence, or a set of tags."""

    name: str
    length: int
    """Columns of `keys` that it takes, L; a key of 0 is padding."""
    like: str = ""
    """The categorical field whose categories its values are: both have one vector for each. Empty:
    it has categories of its own."""
    has_ages: bool = False
    """Whether each value has an age in days, in L columns of `values`; NaN is padding."""

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of its columns."""
        return tuple(f"{self.name}_{place}" for place in range(self.length))


def vocabulary_fields(categorical: Sequence[str], lists: Sequence[ListField]) -> tuple[str, ...]:
    """Return what has categories of its own: single fields, and lists that are like none."""
    return (*categorical, *(one.name for one in lists if not one.like))


def column_fields(categorical: Sequence[str], lists: Sequence[ListField]) -> tuple[int, ...]:
    """Return, for each column of keys, the place of its field among `vocabulary_fields`."""
    names = vocabulary_fields(categorical, lists)
    own = (names.index(one.like or one.name) for one in lists for _ in one.columns)
    return (*range(len(categorical)), *own)


@dataclass(frozen=True, kw_only=True, slots=True)
class Signature:
    """Which columns a model takes, in order: `keys (B, C)`, `values (B, V)`; it gives `(B, T)`.

    Without lists, C is K and V is N. The columns of lists stand behind them, list by list.

    Legend: K categorical fields, N numeric features (may be 0), T labels.
    """

    categorical: tuple[str, ...]
    numeric: tuple[str, ...]
    labels: tuple[str, ...]
    lists: tuple[ListField, ...] = ()

    def __post_init__(self) -> None:
        for group in ("categorical", "numeric", "labels"):
            names = getattr(self, group)
            if not isinstance(names, tuple) or not all(isinstance(n, str) and n for n in names):
                raise ConfigInvalid("signature", group, names, "must be a tuple of non-empty names")
            if len(set(names)) != len(names):
                raise ConfigInvalid("signature", group, names, "a name may stand only once")
        if not self.categorical:
            raise ConfigInvalid("signature", "categorical", (), "needs at least one field")
        if not self.labels:
            raise ConfigInvalid("signature", "labels", (), "needs at least one label")
        self._check_lists()

    def _check_lists(self) -> None:
        for one in self.lists:
            if one.length < 1:
                raise ConfigInvalid("signature", "lists", one.name, "needs a length of 1 or more")
            if one.like and one.like not in self.categorical:
                rule = f"is like {one.like!r}, which is no categorical field"
                raise ConfigInvalid("signature", "lists", one.name, rule)
        for columns in (self.key_columns, self.value_columns):
            twice = sorted({name for name in columns if columns.count(name) > 1})
            if twice:
                raise ConfigInvalid("signature", "lists", twice, "a column may stand only once")

    @property
    def fields(self) -> tuple[str, ...]:
        """What has a vector, in the order of a head's input: categories, lists, then numbers."""
        return (*self.categorical, *(one.name for one in self.lists), *self.numeric)

    @property
    def key_columns(self) -> tuple[str, ...]:
        """Names of the columns of `keys`, C of them."""
        return (*self.categorical, *(name for one in self.lists for name in one.columns))

    @property
    def value_columns(self) -> tuple[str, ...]:
        """Names of the columns of `values`, V of them."""
        aged = (one for one in self.lists if one.has_ages)
        return (*self.numeric, *(name for one in aged for name in one.columns))

    @property
    def vocabulary_fields(self) -> tuple[str, ...]:
        """What has categories of its own: categorical fields, and lists that are like none."""
        return vocabulary_fields(self.categorical, self.lists)

    @property
    def column_fields(self) -> tuple[int, ...]:
        """For each column of `keys`, the place of its field among `vocabulary_fields`."""
        return column_fields(self.categorical, self.lists)

    def record(self) -> dict[str, Any]:
        """Return the signature as JSON-ready data; one without lists is as it was before them."""
        told = asdict(self)
        if not self.lists:
            del told["lists"]
        return told

    def to_json(self) -> str:
        """Return the signature as JSON text, the same for equal signatures."""
        return json.dumps(self.record(), indent=1, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Signature:
        """Return the signature that `to_json` wrote.

        Raises:
            ConfigInvalid: the text is not such a signature.
        """
        try:
            return cls.from_record(json.loads(text))
        except ValueError as error:
            raise ConfigInvalid(
                "signature", "json", text[:80], f"cannot be read: {error}"
            ) from error

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Signature:
        """Return the signature that `record` told.

        Raises:
            ConfigInvalid: it is not such a signature.
        """
        try:
            raw = dict(record)
            groups = {name: tuple(raw.pop(name)) for name in ("categorical", "numeric", "labels")}
            lists = tuple(ListField(**one) for one in raw.pop("lists", ()))
        except (ValueError, TypeError, AttributeError, KeyError) as error:
            raise ConfigInvalid(
                "signature", "json", str(record)[:80], f"cannot be read: {error}"
            ) from error
        if raw:
            raise ConfigInvalid("signature", "json", sorted(raw), "has unknown entries")
        return cls(**groups, lists=lists)
